"""Label uncertainty small enough for tests: the experiment's own rows on tiny twins with narrow layers.

python -m tests.helpers.lu_small FOLDER takes two steps of the full size there: more memory than tests' processes have.
"""

import functools
import json
import pathlib
import sys
from typing import Any

from absl import flags

from affectjax.engine import train
from affectjax.tables import cells
from tests.helpers import shared

TWINS = {
  'recola': dict(recordings=3, frames=1500),
  'msp_conversation': dict(conversations=4),
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
  return shared.experiment('label_uncertainty', table).copy_and_resolve_references().to_dict()


def config(row: str = 't_lu', table: str = 'within', seed: int = 0, **changes) -> dict[str, Any]:
  """A row's resolved config on tiny twins; `changes` are merged into it."""
  run = cells.Table(experiment(table), 'label_uncertainty.py', None).row(row)
  run = {**run, 'twins': {**experiment(table)['run']['twins']}}
  return {**cells.merge(cells.merge(run, FEW, 'tests'), changes, 'tests'), 'fold': 'all', 'seed': seed}


def take_full_size_steps(folder: pathlib.Path) -> None:
  """Two steps and one evaluation on 12 s of raw waveform, the released widths, 30 passes; prints the scores."""
  twins = dict(TWINS, recola=dict(recordings=2, frames=600, waveform=True))
  full = config(
    't_lu', steps=2, eval_every=2, batch_size=2, eval_batch_size=2, twins=twins,
    data=dict(modalities=('waveform',), rate_hz=0.0, frames=300, held_out=1, delays=(0.0, 1.0)),
    model=dict(frontend='released', hidden=256, block=50, passes=30),
  )  # fmt: skip
  print(json.dumps(train.run(full, folder).scores))


if __name__ == '__main__':
  flags.FLAGS.mark_as_parsed()  # grain's worker pool reads absl flags
  take_full_size_steps(pathlib.Path(sys.argv[1]))
