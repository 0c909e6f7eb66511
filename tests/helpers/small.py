"""MT-CLAR small enough for tests: narrow networks, tiny twins, the experiment's own rows.

python -m tests.helpers.small FOLDER '{"row": "siamese", "steps": 50, ...}'    trains one cell in a process of its own
"""

import functools
import json
import pathlib
import sys
from typing import Any

from affectjax.tables import cells
from tests.helpers import shared
from tests.helpers.shared import ROOT

TWINS = {'affectnet': dict(train=400, val=80), 'afew_va': dict(clips=30)}
NARROW = dict(adapter=16, embedding=16, projector=(16, 8), head=(16, 8))
STILL = dict(model=dict(dropout=0.0, adapter_dropout=0.0), augment=dict(dropout=0.0, noise=0.0))  # no randomness
SGD = dict(name='sgd', lr=0.1, l2=1e-4, schedule='constant')


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'labelling') -> dict[str, Any]:
  """What experiments/mtclar.py says, as plain values."""
  return shared.experiment('mtclar', table).copy_and_resolve_references().to_dict()


def config(row: str = 'siamese', table: str = 'labelling', fold: str = '0', seed: int = 0, **changes) -> dict[str, Any]:
  """A row's resolved config on tiny twins, with a narrow network; `changes` are merged into it."""
  run = cells.Table(experiment(table), 'mtclar.py', None).row(row)
  few = dict(steps=12, eval_every=4, log_every=1, batch_size=32, twins=TWINS, model=NARROW)
  run = cells.merge(cells.merge(run, few, 'tests'), changes, 'tests')
  return {**run, 'fold': fold if run['per_fold'] else cells.ALL, 'seed': seed}


def lines(path: pathlib.Path, without: tuple[str, ...] = ('examples_per_s', 'input_wait')) -> list[dict[str, Any]]:
  """A JSON-lines file, rates left out."""
  return [{k: v for k, v in json.loads(line).items() if k not in without} for line in path.read_text().splitlines()]


def train(folder: pathlib.Path, changes: dict[str, Any]) -> None:
  """Trains one small cell."""
  from affectjax.engine import train as engine

  engine.run(config(**changes), folder)


EXPERIMENT = """
import sys

sys.path.insert(0, {folder!r})
import mtclar

def get_config(table='labelling'):
  c = mtclar.get_config(table)
  c.run.twins = {twins!r}
  c.run.model.update({narrow!r})
  c.run.batch_size, c.run.log_every = 32, 1
  c.folds = c.folds[:2]
  c.rows, c.order = {{name: c.rows[name].to_dict() for name in {rows!r}}}, {rows!r}
  c.on_twins = {{name: dict(steps=8, eval_every=4) for name in {rows!r} if name.startswith('siamese')}}
  c.published = tuple(p for p in c.published if p['row'] in {rows!r})
  c.claims = ()
  with c.unlocked():
    c.update({changes!r})
  return c
"""


def write_experiment(path: pathlib.Path, rows: tuple[str, ...], **changes) -> pathlib.Path:
  """An experiment file that shrinks the real one: few rows, two folds, tiny twins, a narrow network, eight steps."""
  folder = str(ROOT / 'experiments')
  path.write_text(EXPERIMENT.format(folder=folder, twins=TWINS, narrow=NARROW, rows=rows, changes=changes))
  return path


def main() -> int:
  """`python -m affectjax.main`, for a forked process."""
  from affectjax import main as command
  from affectjax.commands import arguments

  return arguments.run(command.main)


if __name__ == '__main__':
  train(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]))
