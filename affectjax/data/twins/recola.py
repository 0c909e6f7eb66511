"""Synthetic twin of RECOLA as AVEC 2016 shares it: 27 recordings of 5 minutes, 9 / 9 / 9, six raters of all of them.

Knobs and truth: see `_rated`. Partition, length, rate and raters are the corpus's (experiments/label_uncertainty.md,
1); how strongly its raters agree and how late they are is a guess.
"""

import sys

import numpy as np

from affectjax.data.corpus import Columns, Corpus
from affectjax.data.twins import _rated, _twin

VERSION = '1.0.0'
SPLITS = ('train', 'dev', 'test')
RATERS = ('FM1', 'FM2', 'FM3', 'FF1', 'FF2', 'FF3')


def make(
  seed: int = 0, recordings: int = 9, frames: int = 7500, raters: int = 6, signal: float = 1.0,
  spread_signal: float = 1.0, noise: float = 0.3, shift: float = 0.0, agreement: float = 0.45, tails: float = 0.2,
  spread_sd: float = 0.4, delay: float = 2.0, jitter: float = 0.2, waveform: bool = False,
) -> Corpus:  # fmt: skip
  """Makes the twin of RECOLA from its law and these knobs; the same knobs give the same examples.

  Args:
    seed: of everything that is drawn.
    recordings: per partition.
    frames: per recording, 25 per second.
    raters: of every recording.
    signal: how strongly the mean shows in the features; 0: not at all.
    spread_signal: the same of the spread.
    noise: sd of independent feature noise.
    shift: of the corpus against the others: turns and offsets the features.
    agreement: mean correlation of two raters over time, about.
    tails: 1 / degrees of freedom of the raters' marks; 0: normal.
    spread_sd: sd of the log spread over time; 0: constant.
    delay: s, how late all raters are.
    jitter: s, how much later the latest one is.
    waveform: also make sound.
  """
  knobs = dict(seed=seed, recordings=recordings, frames=frames, raters=raters, signal=signal,
               spread_signal=spread_signal, noise=noise, shift=shift, agreement=agreement, tails=tails,
               spread_sd=spread_sd, delay=delay, jitter=jitter, waveform=waveform)  # fmt: skip
  _rated.check(knobs)
  traits = _rated.rater_traits(np.random.default_rng((seed, 1)), raters)

  def columns(split: str) -> Columns:
    part = SPLITS.index(split)
    ids = [f'{split}_{i + 1}' for i in range(recordings)]
    made = [
      _rated.recording(np.random.default_rng((seed, 2, part, i)), frames, traits, np.arange(raters), knobs)
      for i in range(recordings)
    ]
    return _rated.columns(made, ids, ids, raters)

  names = [RATERS[i] if i < len(RATERS) else f'F{i + 1}' for i in range(raters)]
  meta = _rated.meta(names, waveform)
  counts = dict.fromkeys(SPLITS, recordings)
  return _twin.corpus('recola', (sys.modules[__name__], _rated), VERSION, knobs, counts, meta, columns)
