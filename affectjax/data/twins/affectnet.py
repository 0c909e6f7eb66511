"""Synthetic twin of AffectNet: one face per image, eight expressions at the corpus's frequencies, valence and arousal.

Each image is another person. Expressions lie around fixed places of the valence-arousal plane; the features show both
as strongly as `signal` says. Class shares are those of the manually annotated training set (experiments/mtclar.md, 1).
"""

import sys

import numpy as np

from affectjax.data.corpus import Columns, Corpus, Ragged
from affectjax.data.twins import _faces, _twin

VERSION = '1.0.0'
TRAIN_COUNTS = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)  # experiments/mtclar.md, 1 [mem]


def make(
  seed: int = 0, train: int = 24000, val: int = 4000, signal: float = 1.0, identity: float = 1.0,
  noise: float = 0.3, spread: float = 0.15, bias: float = 0.3,
) -> Corpus:  # fmt: skip
  """Makes the twin of AffectNet from its law and these knobs; the same knobs give the same examples.

  Args:
    seed: of everything that is drawn.
    train: training images, in the corpus's class shares (the corpus has 287,651).
    val: validation images, the same number of each class (the corpus has 4,000).
    signal: how strongly valence and arousal show in the features; 0: not at all.
    identity: how strongly the person shows.
    noise: sd of independent feature noise.
    spread: sd of valence and arousal around an expression's place.
    bias: sd of a person's look against the label, in label units.
  """
  knobs = dict(seed=seed, train=train, val=val, signal=signal, identity=identity, noise=noise, spread=spread, bias=bias)
  shares = np.array(TRAIN_COUNTS) / sum(TRAIN_COUNTS)
  per_class = np.maximum(2, np.round(shares * train)).astype(int)
  counts = {'train': int(per_class.sum()), 'val': 8 * (val // 8)}

  def columns(split: str) -> Columns:
    sizes = per_class if split == 'train' else np.full(8, val // 8)
    rng = np.random.default_rng((seed, 1 if split == 'train' else 2))
    emotion = rng.permutation(np.repeat(np.arange(8), sizes))
    n = len(emotion)
    va = np.clip(_faces.CENTRES[emotion] + rng.normal(0, spread, (n, 2)), -1, 1)
    people, nuisance = rng.normal(size=(n, _faces.IDENTITY)), rng.normal(size=(n, _faces.NUISANCE))
    shown = va + rng.normal(0, bias, (n, 2))
    x = _faces.features(shown, people, nuisance, rng, signal=signal, identity_strength=identity, noise=noise)
    ids = np.array([f'{split}{i:06d}' for i in range(n)])
    one = np.arange(n + 1)
    return {
      'id': ids, 'group': ids, 'item': ids,
      'visual': Ragged(x, one), 'visual_mask': Ragged(np.ones(n, bool), one),
      'valence': va[:, 0].astype(np.float32), 'arousal': va[:, 1].astype(np.float32),
      'emotion': emotion.astype(np.int32),
    }  # fmt: skip

  meta = {
    'modalities': {'visual': _faces.WIDTH}, 'rate_hz': {'visual': None}, 'emotions': list(_faces.EMOTIONS),
    'attributes': ['valence', 'arousal'], 'labels': 'synthetic, one annotator', 'licence': 'Apache-2.0',
  }  # fmt: skip
  return _twin.corpus('affectnet', (sys.modules[__name__], _faces), VERSION, knobs, counts, meta, columns)
