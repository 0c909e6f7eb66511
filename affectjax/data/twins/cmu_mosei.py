"""Synthetic twin of CMU-MOSEI's acoustic features and labels: six intensities per segment, 74 COVAREP columns per word.

Labels are those of the corpus as far as they are known: in every fold as many segments and videos, and of every emotion
as many segments with it, as many in every class of the rounded intensity, and the same mean (experiments/
published/masked_ssl_labels.csv), all exact with `scale` 1 and dealt in proportion below. So the trivial
predictors score what they score on the corpus: constant 0 an accuracy of .872 and an MAE of .1635, the median of the
training fold .1594. Intensities are thirds; which emotions go together follows their correlation with sentiment. Which
segments have them depends on the video: resampling videos, the accuracy of constant 0 on test has a standard error of
.013 .010 .010 .004 .008 .004 (of EMOTIONS; on the corpus .017 .008 .013 .003 .009 .004). Lengths are those of the
segments, log-normal with a median of 6.4 s and a mean of 7.55 s, at 2.5 words a second.

A segment is a path through a latent space of 7 dimensions (sentiment, and one of each emotion),

  h(t) = sqrt(structure) * (sqrt(VIDEO) * video + sqrt(1 - VIDEO) * ar(t)) + sqrt(1 - structure) * white(t),

ar an AR(1) process of coefficient PACE; all of unit variance. m is the mean of h over the segment, divided by what its
standard deviation is at this length. The score of emotion e is

  s_e = sqrt(share_e) * b_e m + sqrt(1 - share_e) * chance,     share_e = signal, or signal * (1 - easy),

and the intensities are given out in the order of the scores. What is heard at a word is

  x(t) = tanh(h(t) C + sqrt(structure) * identity * speaker) W + noise * (LOUD * clutter(t) + WHITE * white(t)),

in a layer of 32 units, then each of the 74 columns in a range of its own. clutter is of RANK dimensions, new at every
word: loud directions that say nothing. Which they are a few labels do not tell, but what words tell of each other does:
this is why pretraining helps where labels are few. With `structure` 0 a word says nothing of another one: there is
nothing to learn, though the labels can still be read off. With `signal` 0 features say nothing of the labels. With
`easy` 0 all emotions are as separable (an MAE still falls more where intensities are larger, so compare correlations
or skill); below 0 the easy ones are the harder ones.

`truth` [6] is b_e m, of unit variance: all that features can tell. Ranges of columns, sentiment's distribution, the
number of words a second, columns that are constant and the rates of missing words are guesses.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpus import Columns, Corpus, Ragged
from affectjax.data.twins import _clips, _twin, _worded
from affectjax.labels import raters

VERSION = '1.0.0'
EMOTIONS = ('happy', 'sad', 'anger', 'surprise', 'disgust', 'fear')
EASY = ('happy', 'sad', 'anger')
OFFICIAL = ('train', 'dev', 'test')  # and -1 for no fold
FOLDS = (*OFFICIAL, 'none')
SEGMENTS, VIDEOS = (16327, 1871, 4662, 399), (2249, 300, 676, 68)
# Fold -> of every emotion: segments with it, mean intensity, segments whose rounded intensity is 1, 2, 3
LABELS = {
  'train': (
    (8735, 0.4871, 4040, 1477, 142), (4269, 0.1609, 2102, 116, 19), (3526, 0.1578, 1887, 228, 12),
    (1642, 0.0488, 482, 23, 2), (2955, 0.1243, 1414, 183, 15), (1331, 0.0405, 504, 3, 0),
  ),
  'dev': (
    (1005, 0.4388, 453, 141, 5), (520, 0.1674, 262, 11, 1), (338, 0.122, 194, 11, 0),
    (203, 0.0503, 59, 2, 0), (281, 0.0898, 118, 9, 2), (176, 0.0441, 57, 0, 0),
  ),
  'test': (
    (2505, 0.4697, 1212, 379, 20), (1129, 0.1444, 558, 21, 0), (1071, 0.1632, 608, 46, 5),
    (441, 0.044, 125, 1, 0), (805, 0.1172, 376, 43, 5), (385, 0.0426, 172, 0, 0),
  ),
  'none': (
    (220, 0.5021, 100, 39, 5), (80, 0.1128, 35, 1, 0), (62, 0.142, 34, 8, 1),
    (34, 0.0434, 11, 1, 0), (56, 0.0894, 27, 2, 0), (21, 0.0267, 9, 0, 0),
  ),
}  # fmt: skip
TONE = (0.68, -0.50, -0.60, -0.13, -0.95, -0.05)  # of EMOTIONS with sentiment, before scores become intensities
SECONDS = (6.4, 0.575)  # of a segment: median, sd of the logarithm
WORDS = 2.5  # a second
LONGEST = 50  # words; of a longer segment the last so many
VOICE = ('F0', 'VUV', 'NAQ', 'QOQ', 'H1H2', 'PSP', 'MDQ', 'peakSlope', 'Rd', 'Rd_conf', 'creak')
COLUMNS = (
  *VOICE, *(f'MCEP_{i}' for i in range(25)), *(f'HMPDM_{i}' for i in range(25)), *(f'HMPDD_{i}' for i in range(13)),
)  # fmt: skip
GROUPS = {'voice': (0, 11), 'mcep': (11, 36), 'hmpdm': (36, 61), 'hmpdd': (61, 74)}
CONSTANT = ('HMPDM_0', 'HMPDM_1')
PACE, VIDEO, CHANCE = 0.9, 0.5, 0.5  # CHANCE: of the variance of what labels owe to chance, the video's part
UNITS, RANK = 32, 40
LOUD, WHITE = 2.0, 0.3  # sd of clutter and of white noise in a column, for that of the path's about 0.6
_MAPS = 20230723  # seed of the maps: one extractor for all twins
_LIMITS = {
  'scale': (0.005, 10), 'structure': (0, 1), 'signal': (0, 1), 'easy': (-1, 1), 'identity': (0, 100),
  'noise': (0, 100), 'missing': (0, 0.9), 'nonfinite': (0, 0.9), 'unlabelled': (0, 10),
}  # fmt: skip


def make(
  seed: int = 0, scale: float = 0.25, structure: float = 0.8, signal: float = 0.9, easy: float = 0.8,
  identity: float = 0.5, noise: float = 1.0, missing: float = 0.03, nonfinite: float = 0.005, raw: bool = False,
  unlabelled: float = 0.0,
) -> Corpus:  # fmt: skip
  """Makes the twin of CMU-MOSEI, with one split `all`; the same knobs give the same examples.

  Args:
    seed: of everything that is drawn.
    scale: 1 for as many segments and videos as the corpus has, 23,259 and 3,293.
    structure: share of the latent path that is shared over time, which masked prediction can learn; 0: none.
    signal: share of the variance of an easy emotion's score that shows in the features; 0: labels by chance.
    easy: how much less of the other three's does; 0: as much; below 0 it is the easy ones that show less.
    identity: how strongly the speaker shows, all through a video.
    noise: sd of what changes from word to word and says nothing.
    missing: share of words without acoustic features, masked.
    nonfinite: share of words with a NaN or an infinity, masked.
    raw: whether these are left as they are; otherwise they are zeros, as they are in a prepared corpus.
    unlabelled: segments of training videos without labels, as a multiple of the labelled ones of that fold.
  """
  knobs = dict(seed=seed, scale=scale, structure=structure, signal=signal, easy=easy, identity=identity, noise=noise,
               missing=missing, nonfinite=nonfinite, raw=raw, unlabelled=unlabelled)  # fmt: skip
  _clips.check('cmu_mosei', knobs, **_LIMITS)
  if not isinstance(raw, bool):
    raise UserError(f'twin cmu_mosei: raw {raw!r}, expected True or False')
  segments = _dealt(SEGMENTS, scale)
  count = int(segments.sum()) + round(unlabelled * segments[0])

  def columns(split: str) -> Columns:
    del split
    place = _place(knobs)
    labelled, path = _labelled(knobs, place)
    return {**{k: place[k] for k in ('id', 'group', 'item', 'official')}, **labelled, **_heard(knobs, place, path)}

  modules = (sys.modules[__name__], _worded, _clips, raters)
  return _twin.corpus('cmu_mosei', modules, VERSION, knobs, {'all': count}, _meta(knobs), columns)


def shares(knobs: Mapping[str, Any]) -> np.ndarray:
  """Share of the variance of each emotion's score that shows in the features, [6]."""
  plain, less = knobs['signal'], knobs['signal'] * (1 - abs(knobs['easy']))
  easy, hard = (plain, less) if knobs['easy'] >= 0 else (less, plain)
  return np.array([easy if e in EASY else hard for e in EMOTIONS])


def _meta(knobs: Mapping[str, Any]) -> dict[str, Any]:
  return {
    'modalities': {'audio': len(COLUMNS)}, 'rate_hz': {'audio': None}, 'columns': {'audio': list(COLUMNS)},
    'column_groups': {name: list(ends) for name, ends in GROUPS.items()},
    'attributes': ['valence'], 'emotions': list(EMOTIONS), 'official': list(OFFICIAL), 'groups': 'videos',
    'labels': 'synthetic: intensities 0 to 3 in thirds, sentiment -3 to 3 in thirds, valence a third of it',
    'licence': 'Apache-2.0', 'fixed': ['intensity', 'truth'],
    'separability': dict(zip(EMOTIONS, shares(knobs).tolist(), strict=True)),
  }  # fmt: skip


# Where segments lie, and how long they are


def _dealt(counts: Sequence[int], scale: float) -> np.ndarray:
  """`counts` [4] of the folds times `scale`, each 1 at least."""
  out = _worded.deal(np.array(counts), max(len(counts), round(scale * sum(counts))))
  while not out.all():
    out[out.argmax()] -= 1
    out[out.argmin()] += 1
  return out


def _place(knobs: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Segments [N] sorted by id: names, `official`, number of the `video`, `labelled`, `length` in words."""
  rng = np.random.default_rng((knobs['seed'], 1))
  segments = _dealt(SEGMENTS, knobs['scale'])
  videos = np.minimum(_dealt(VIDEOS, knobs['scale']), segments)
  fold = np.repeat(np.arange(len(FOLDS)), videos)
  sizes = [_worded.deal(rng.gamma(2.0, size=v), s, least=1) for v, s in zip(videos, segments, strict=True)]
  sizes = np.concatenate(sizes)
  more = np.bincount(rng.integers(videos[0], size=round(knobs['unlabelled'] * segments[0])), minlength=len(sizes))
  names = _names(rng, len(sizes))
  ids = [f'{name}[{k}]' for name, n in zip(names, sizes, strict=True) for k in range(n)]
  ids += [f'{name}[u{k}]' for name, n in zip(names, more, strict=True) for k in range(n)]
  video = np.concatenate([np.repeat(np.arange(len(sizes)), n) for n in (sizes, more)])
  seconds = SECONDS[0] * np.exp(rng.normal(0, SECONDS[1], len(ids)))
  order = np.argsort(ids)
  video, group = video[order], np.array(names)[video[order]]
  return {
    'id': np.array(ids)[order], 'group': group, 'item': group.copy(),
    'official': np.where(fold == FOLDS.index('none'), -1, fold).astype(np.int8)[video],
    'video': video, 'fold': fold[video], 'labelled': (np.arange(len(ids)) < sizes.sum())[order],
    'length': np.clip(np.rint(WORDS * seconds), 1, LONGEST).astype(np.int64)[order],
  }  # fmt: skip


def _names(rng: np.random.Generator, n: int) -> list[str]:
  """Eleven characters each, as videos are named where they come from."""
  letters = np.array(list('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'))
  names: dict[str, None] = {}
  while len(names) < n:
    names[''.join(rng.choice(letters, 11))] = None
  return list(names)


# Labels, and the path they come from


def thirds(total: int, present: int, mean: float, one: int, two: int, three: int) -> np.ndarray:
  """How many segments have an intensity of 0, 1/3, ..., 3, [10] int64, from what is known of `total` segments.

  Within each class of the rounded intensity the counts are exponential in the intensity; one exponent for all classes
  gives the mean.
  """
  classes = [(slice(2, 5), one), (slice(5, 8), two), (slice(8, 10), three)]
  out = np.zeros(10, np.int64)
  out[:2] = total - present, present - one - two - three
  wanted, grid = round(3 * mean * total), np.arange(10)

  def dealt(exponent: float) -> np.ndarray:
    for where, n in classes:
      out[where] = _worded.deal(np.exp(exponent * (grid[where] - grid[where].mean())), n)
    return out

  low, high = -20.0, 20.0
  for _ in range(60):
    middle = (low + high) / 2
    low, high = (middle, high) if dealt(middle) @ grid < wanted else (low, middle)
  dealt(high)
  for where, _ in classes:  # rounding leaves a few thirds over
    for k in grid[where][:-1]:
      step = np.sign(wanted - out @ grid)
      moved = min(abs(wanted - out @ grid), out[k if step > 0 else k + 1])
      out[k], out[k + 1] = out[k] - step * moved, out[k + 1] + step * moved
  return out


def _labelled(knobs: Mapping[str, Any], place: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """The columns of labels, and the latent path [sum of T, 7]."""
  rng = np.random.default_rng((knobs['seed'], 2))
  video, length = place['video'], place['length']
  path, mean = _path(rng, knobs['structure'], video, length)
  by_video = rng.normal(size=(video.max() + 1, mean.shape[1]))[video]
  chance = np.sqrt(CHANCE) * by_video + np.sqrt(1 - CHANCE) * rng.normal(size=mean.shape)
  share, tone = shares(knobs), np.array(TONE)
  reading = lambda x: tone * x[:, :1] + np.sqrt(1 - tone**2) * x[:, 1:]  # [N, 6]
  truth = reading(mean)
  scores = np.sqrt(share) * truth + np.sqrt(1 - share) * reading(chance)
  felt = np.sqrt(knobs['signal']) * mean[:, 0] + np.sqrt(1 - knobs['signal']) * chance[:, 0]
  sentiment = np.rint(np.clip(3 * (0.15 + 1.1 * felt), -9, 9)) / 3
  intensity = np.full(scores.shape, np.nan)
  for f, fold in enumerate(FOLDS):
    rows = np.flatnonzero((place['fold'] == f) & place['labelled'])
    for e, known in enumerate(LABELS[fold]):
      counts = _worded.deal(thirds(SEGMENTS[f], *known), len(rows))
      intensity[rows[np.argsort(scores[rows, e], kind='stable')], e] = np.repeat(np.arange(10) / 3, counts)
  sentiment[~place['labelled']] = np.nan
  return {
    'intensity': intensity.astype(np.float32), 'sentiment': sentiment.astype(np.float32),
    'valence': (sentiment / 3).astype(np.float32), 'truth': truth.astype(np.float32),
  }, path  # fmt: skip


def _path(
  rng: np.random.Generator, structure: float, video: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """h [sum of T, 7] float32 of all segments end to end, and its standardised mean over each [N, 7]."""
  n, wide = len(video), 1 + len(EMOTIONS)
  by_video = rng.normal(size=(video.max() + 1, wide))[video]
  walk = rng.standard_normal((LONGEST, n, wide), np.float32)
  for t in range(1, LONGEST):
    walk[t] *= np.float32(np.sqrt(1 - PACE**2))
    walk[t] += np.float32(PACE) * walk[t - 1]
  owner, time = np.repeat(np.arange(n), length), np.concatenate([np.arange(t) for t in length])
  own = walk[time, owner]
  own *= np.float32(np.sqrt(structure * (1 - VIDEO)))
  own += np.float32(np.sqrt(1 - structure)) * rng.standard_normal(own.shape, np.float32)
  own += (np.sqrt(structure * VIDEO) * by_video).astype(np.float32)[owner]
  starts = np.cumsum(length) - length
  mean = np.add.reduceat(own, starts, 0, dtype=np.float64) / length[:, None]
  lag = np.arange(1, LONGEST + 1)
  walked = [(t + 2 * ((t - lag[: t - 1]) * PACE ** lag[: t - 1]).sum()) / t**2 for t in lag]  # variance of a mean of ar
  variance = structure * (VIDEO + (1 - VIDEO) * np.array(walked)) + (1 - structure) / lag
  return own, mean / np.sqrt(variance[length - 1])[:, None]


# Features


def _heard(knobs: Mapping[str, Any], place: Mapping[str, np.ndarray], path: np.ndarray) -> dict[str, Any]:
  """The columns `audio`, `audio_mask`, `audio_present`."""
  rng, maps = np.random.default_rng((knobs['seed'], 3)), np.random.default_rng(_MAPS)
  video, length = place['video'], place['length']
  owner = np.repeat(np.arange(len(length)), length)
  code = maps.normal(0, 1 / np.sqrt(path.shape[1]), (path.shape[1], UNITS)).astype(np.float32)
  clutter = maps.normal(0, LOUD / np.sqrt(RANK), (RANK, len(COLUMNS))).astype(np.float32)
  into = maps.normal(0, 1 / np.sqrt(UNITS), (UNITS, len(COLUMNS))).astype(np.float32)
  who = rng.standard_normal((video.max() + 1, UNITS), np.float32)
  who *= np.float32(np.sqrt(knobs['structure']) * knobs['identity'])
  noise = np.float32(knobs['noise'])
  drive = path @ code
  drive += who[video][owner]
  x = np.tanh(drive, out=drive) @ into
  x += noise * rng.standard_normal((len(path), RANK), np.float32) @ clutter
  x += np.float32(WHITE) * noise * rng.standard_normal(x.shape, np.float32)
  _ranges(maps, x)
  mask = _damage(rng, knobs, x, length)
  offsets = np.concatenate([[0], np.cumsum(length)])
  present = np.logical_or.reduceat(mask, offsets[:-1])
  return {'audio': Ragged(x, offsets), 'audio_mask': Ragged(mask, offsets), 'audio_present': present}


def _ranges(maps: np.random.Generator, x: np.ndarray) -> None:
  """Brings columns [sum of T, 74] of about unit variance into ranges like COVAREP's, in place."""
  at = COLUMNS.index
  middle = np.concatenate([maps.normal(0, 0.3, len(VOICE)), maps.normal(0, 0.5, 63)]).astype(np.float32)
  spread = np.exp(maps.normal(-1, 0.7, len(COLUMNS))).astype(np.float32)
  f0, voiced = x[:, at('F0')].copy(), x[:, at('VUV')] > -0.5
  bounded = {name: 1 / (1 + np.exp(-2 * x[:, at(name)])) for name in ('Rd_conf', 'creak')}
  x *= spread
  x += middle
  x[:, at('F0')] = np.clip(160 * np.exp(0.3 * f0), 50, 500)
  x[:, at('VUV')] = voiced
  for name, column in bounded.items():
    x[:, at(name)] = column
  for name in CONSTANT:
    x[:, at(name)] = 0


def _damage(rng: np.random.Generator, knobs: Mapping[str, Any], x: np.ndarray, length: np.ndarray) -> np.ndarray:
  """Spoils words of x in place; the mask [sum of T] of the good ones, of which every segment has one at least."""
  missing, spoilt = rng.random(len(x)) < knobs['missing'], rng.random(len(x)) < knobs['nonfinite']
  last = np.cumsum(length) - 1
  missing[last] = spoilt[last] = False
  rows = np.flatnonzero(spoilt & ~missing)
  x[rows, rng.integers(len(COLUMNS), size=len(rows))] = rng.choice([np.nan, np.inf, -np.inf], len(rows))
  x[missing] = 0
  if not knobs['raw']:
    x[rows] = 0
  return ~(missing | spoilt)
