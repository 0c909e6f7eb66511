"""Label uncertainty small enough for tests: the experiment's own rows on tiny twins with narrow layers.

python -m tests.helpers.lu_small FOLDER takes two steps of the full size there: more memory than tests' processes have.
"""

import dataclasses
import functools
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags

from affectjax.engine import train
from affectjax.systems.label_uncertainty.series import Recording
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


def recording(frames=50, raters=4, rate=5.0, name='a', group=None, **changes) -> Recording:
  """Three features and two attributes that `raters` marked in every frame, all drawn at random."""
  rng = np.random.default_rng(frames)
  ratings = rng.uniform(-1, 1, (frames, raters, 2)).astype(np.float32)
  x = rng.normal(size=(frames, 3)).astype(np.float32)
  return dataclasses.replace(Recording(name, group or name, rate, x, np.ones(frames, bool), ratings, None), **changes)


def outputs(shift=0, scale=1.0, offset=0.0, noise=0.0, frames=120, items=3) -> dict[str, np.ndarray]:
  """Predictions of smooth arousal that are late by `shift` frames, scaled, off and noisy, in windows of 40 frames."""
  rng = np.random.default_rng(3)
  truth = np.cumsum(rng.normal(0, 0.05, (items, frames)), 1)
  hat = np.roll(truth, shift, 1) * scale + offset + rng.normal(0, noise, truth.shape)
  time = np.tile(np.arange(frames) / 5.0, (items, 1))
  cut = lambda x: x.reshape(-1, 40).astype(np.float32)
  item = np.repeat([f'r{i}' for i in range(items)], frames // 40)
  return {'arousal': cut(truth), 'arousal_hat': cut(hat), 'time_s': cut(time), 'item': item, 'group': item}


def take_full_size_steps(folder: pathlib.Path) -> None:
  """Two steps and one evaluation on 12 s of raw waveform, the released widths, 30 passes."""
  twins = dict(TWINS, recola=dict(recordings=2, frames=600, waveform=True))
  full = config(
    't_lu', steps=2, eval_every=2, batch_size=2, eval_batch_size=2, twins=twins,
    data=dict(modalities=('waveform',), rate_hz=0.0, frames=300, held_out=1, delays=(0.0, 1.0)),
    model=dict(frontend='released', hidden=256, block=50, passes=30),
  )  # fmt: skip
  train.run(full, folder)


if __name__ == '__main__':
  flags.FLAGS.mark_as_parsed()  # grain's worker pool reads absl flags
  take_full_size_steps(pathlib.Path(sys.argv[1]))
