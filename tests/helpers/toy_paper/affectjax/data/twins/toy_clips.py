"""Synthetic twin of the toy corpus: classes lie apart in the mean of three features."""

import sys

import numpy as np

from affectjax.data.corpora import toy_clips
from affectjax.data.corpus import Columns, Corpus, Ragged
from affectjax.data.twins import _twin

WIDTH = 3


def make(seed: int = 0, clips: int = 60) -> Corpus:
  """The twin.

  Args:
    seed: of everything that is drawn.
    clips: how many, of six speakers in turn.
  """

  def columns(split: str) -> Columns:
    rng = np.random.default_rng(seed)
    emotion = rng.integers(len(toy_clips.EMOTIONS), size=clips).astype(np.int32)
    x = Ragged.stack([rng.normal(np.eye(WIDTH)[e], 0.5, (rng.integers(4, 9), WIDTH)).astype(np.float32)
                      for e in emotion])  # fmt: skip
    names = np.array([f'clip{i:03d}' for i in range(clips)])
    return {
      'id': names, 'group': np.array([f'speaker{i % 6}' for i in range(clips)]), 'item': names, 'emotion': emotion,
      'audio': x, 'audio_mask': Ragged(np.ones(len(x.values), bool), x.offsets), 'audio_present': np.ones(clips, bool),
    }  # fmt: skip

  knobs, sources = dict(seed=seed, clips=clips), (sys.modules[__name__], toy_clips)
  return _twin.corpus('toy_clips', sources, '1.0.0', knobs, {'all': clips}, toy_clips.meta(WIDTH), columns)
