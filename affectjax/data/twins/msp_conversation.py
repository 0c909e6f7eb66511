"""Synthetic twin of MSP-Conversation 1.0: 74 conversations of 10 to 20 minutes in parts, five or more raters each.

Known of the corpus (experiments/label_uncertainty.md, 1): number and length of the conversations, at least five workers
each, partitions by conversation. Guessed: 44 / 12 / 18 conversations per partition, parts of about five minutes, 5 to 8
raters from a pool of 20, how late they are. They agree less than RECOLA's, as its alphas say. Knobs and truth: see
`_rated`.
"""

import sys

import numpy as np

from affectjax.data.corpus import Columns, Corpus
from affectjax.data.twins import _rated, _twin

VERSION = '1.0.0'
SHARES = {'train': 44 / 74, 'dev': 12 / 74, 'test': 18 / 74}
POOL, FEWEST, MOST = 20, 5, 8
PART = 7500  # frames, about


def make(
  seed: int = 0, conversations: int = 74, signal: float = 1.0, spread_signal: float = 1.0, noise: float = 0.3,
  shift: float = 0.15, agreement: float = 0.3, tails: float = 0.2, spread_sd: float = 0.4, delay: float = 2.8,
  jitter: float = 0.6, waveform: bool = False,
) -> Corpus:  # fmt: skip
  """Makes the twin of MSP-Conversation; knobs as in `recola.make`, `conversations` in all."""
  knobs = dict(seed=seed, conversations=conversations, signal=signal, spread_signal=spread_signal, noise=noise,
               shift=shift, agreement=agreement, tails=tails, spread_sd=spread_sd, delay=delay, jitter=jitter,
               waveform=waveform)  # fmt: skip
  _rated.check(knobs)
  rng = np.random.default_rng((seed, 11))
  traits = _rated.rater_traits(rng, POOL)
  lengths = rng.integers(10 * 60 * 25, 20 * 60 * 25 + 1, conversations)  # frames
  last = np.cumsum([max(1, round(share * conversations)) for share in SHARES.values()])
  first = dict(zip(SHARES, (0, last[0], last[1]), strict=True))
  end = dict(zip(SHARES, (last[0], last[1], conversations), strict=True))
  parts = {
    split: [(c, p) for c in range(first[split], end[split]) for p in range(max(1, round(lengths[c] / PART)))]
    for split in SHARES
  }

  def columns(split: str) -> Columns:
    made, ids, groups = [], [], []
    for c, p in parts[split]:
      rng = np.random.default_rng((seed, 12, c, p))
      frames = lengths[c] // max(1, round(lengths[c] / PART))
      raters = np.sort(rng.choice(POOL, rng.integers(FEWEST, MOST + 1), replace=False))
      made.append(_rated.recording(rng, frames, traits, raters, knobs))
      ids.append(f'conversation{c + 1:02d}_{p + 1}')
      groups.append(f'conversation{c + 1:02d}')
    return _rated.columns(made, ids, groups, MOST)

  meta = _rated.meta([f'slot{i + 1}' for i in range(MOST)], waveform)
  counts = {split: len(recordings) for split, recordings in parts.items()}
  return _twin.corpus('msp_conversation', (sys.modules[__name__], _rated), VERSION, knobs, counts, meta, columns)
