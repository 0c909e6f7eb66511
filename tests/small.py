"""MT-CLAR small enough for tests: narrow networks, tiny twins, the experiment's own rows.

python -m tests.small FOLDER '{"row": "siamese", "steps": 50, ...}'    trains one cell in a process of its own
"""

import functools
import importlib.util
import json
import pathlib
import sys
from typing import Any

from affectjax.systems.mtclar import network
from affectjax.tables import cells
from tests.shared import ROOT

TWINS = {'affectnet': dict(train=400, val=80), 'afew_va': dict(clips=30)}
STILL = dict(model=dict(dropout=0.0, adapter_dropout=0.0), augment=dict(dropout=0.0, noise=0.0))  # no randomness
SGD = dict(name='sgd', lr=0.1, l2=1e-4, schedule='constant')


def shrink(setattr_=setattr) -> None:
  """Narrows MT-CLAR's layers; pass `monkeypatch.setattr` to have it undone."""
  setattr_(network, 'PROJECTOR', (16, 8))
  setattr_(network, 'EMBEDDING', 16)
  setattr_(network, 'HEAD', (16, 8))
  if not isinstance(network.Adapter, functools.partial):
    setattr_(network, 'Adapter', functools.partial(network.Adapter, hidden=16))


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'labelling') -> dict[str, Any]:
  """What experiments/mtclar.py says, as plain values."""
  spec = importlib.util.spec_from_file_location('mtclar_experiment', ROOT / 'experiments' / 'mtclar.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(table).copy_and_resolve_references().to_dict()


def config(row: str = 'siamese', table: str = 'labelling', fold: str = '0', seed: int = 0, **changes) -> dict[str, Any]:
  """A row's resolved config on tiny twins; `changes` are merged into it."""
  run = cells.Table(experiment(table), 'mtclar.py', None).row(row)
  few = dict(steps=12, eval_every=4, log_every=1, batch_size=32, twins=TWINS)
  run = cells.merge(cells.merge(run, few, 'tests'), changes, 'tests')
  return {**run, 'fold': fold if run['per_fold'] else cells.ALL, 'seed': seed}


def lines(path: pathlib.Path, without: tuple[str, ...] = ('examples_per_s', 'input_wait')) -> list[dict[str, Any]]:
  """A JSON-lines file, rates left out."""
  return [{k: v for k, v in json.loads(line).items() if k not in without} for line in path.read_text().splitlines()]


def train(folder: pathlib.Path, changes: dict[str, Any]) -> None:
  """Trains one small cell."""
  from affectjax.engine import train as engine

  shrink()
  engine.run(config(**changes), folder)


if __name__ == '__main__':
  train(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))
