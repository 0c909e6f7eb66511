"""Label uncertainty small enough for tests: the experiment's own rows on tiny twins with narrow layers."""

import functools
import importlib.util
from typing import Any

from affectjax.tables import cells
from tests.shared import ROOT

TWINS = {
  'recola': dict(recordings=3, frames=1500),
  'msp_conversation': dict(conversations=5),
}
FEW = dict(
  steps=6, eval_every=3, log_every=1, batch_size=8, eval_batch_size=8,
  data=dict(rate_hz=5.0, frames=20, held_out=1, delays=(0.0, 2.0)),
  model=dict(hidden=8, width=8, block=10, passes=4, members=2), twins=TWINS,
)  # fmt: skip
STILL = dict(model=dict(dropout=0.0, head_dropout=0.0))  # no randomness but the weights'


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'within') -> dict[str, Any]:
  """What experiments/label_uncertainty.py says, as plain values."""
  spec = importlib.util.spec_from_file_location('lu_experiment', ROOT / 'experiments' / 'label_uncertainty.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(table).copy_and_resolve_references().to_dict()


def config(row: str = 't_lu', table: str = 'within', seed: int = 0, **changes) -> dict[str, Any]:
  """A row's resolved config on tiny twins; `changes` are merged into it."""
  run = cells.Table(experiment(table), 'label_uncertainty.py', None).row(row)
  run = {**run, 'twins': {**experiment(table)['run']['twins']}}
  return {**cells.merge(cells.merge(run, FEW, 'tests'), changes, 'tests'), 'fold': 'all', 'seed': seed}
