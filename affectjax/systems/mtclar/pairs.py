"""Pairs for Siamese training: exactly half same, half different, balanced over classes; no loop per pair."""

import dataclasses

import numpy as np

from affectjax.common.errors import UserError, unknown

NEAR, FAR = 0.2, 0.4  # VA distance below which two frames are "same", above which "different": our choice
_ROUNDING = 1e-6  # labels come in steps of 0.1, as float32: two steps apart must not be "same" by rounding
_ROUNDS, _TRIES = 50, 4


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Rows of the first and second frame [P] int64, and `same` [P] int32: 1, 0, or -1 where it is not defined."""

  first: np.ndarray
  second: np.ndarray
  same: np.ndarray


class _Groups:
  """Values 0..G-1 -> the rows that hold them, for drawing uniformly within a group."""

  def __init__(self, values: np.ndarray, rows: np.ndarray):
    order = np.argsort(values, kind='stable')
    self.rows = rows[order]
    self.names, self.starts, self.counts = np.unique(values[order], return_index=True, return_counts=True)

  def draw(self, rng: np.random.Generator, group: np.ndarray) -> np.ndarray:
    """Positions (into `rows`) of one row of each group [P]."""
    return self.starts[group] + (rng.random(len(group)) * self.counts[group]).astype(np.int64)

  def another(self, rng: np.random.Generator, group: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Positions of a row of the same group, never the one at `position`."""
    step = 1 + (rng.random(len(group)) * (self.counts[group] - 1)).astype(np.int64)
    return self.starts[group] + (position - self.starts[group] + step) % self.counts[group]


def _near_and_far(labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Whether frames a and b [P] lie nearer than NEAR, and whether beyond FAR; labels [2, N] float64."""
  squared = sum((axis[a] - axis[b]) ** 2 for axis in labels)
  return squared < (NEAR - _ROUNDING) ** 2, squared > (FAR + _ROUNDING) ** 2


class ClassPairs:
  """Pairs by expression class, the released sampling (src/data/affectnet.py).

  Even places are positive, odd ones negative. The first class is uniform over classes, its image uniform in the
  class; a positive takes another image of that class, a negative an image of another class drawn uniformly.
  """

  def __init__(self, classes: np.ndarray, rows: np.ndarray):
    """classes [N] int with -1 for none; rows [N] the frames they belong to."""
    known = classes >= 0
    self._groups = _Groups(classes[known], rows[known])
    self._multiple = np.flatnonzero(self._groups.counts > 1)
    if len(self._groups.counts) < 2 or not len(self._multiple):
      raise UserError(
        f'pairs need two classes, one of them with two frames; found classes {self._groups.names.tolist()} '
        f'with {self._groups.counts.tolist()} frames'
      )

  def draw(self, rng: np.random.Generator, n: int) -> Pairs:
    """n pairs; the positive ones come from classes that hold at least two frames."""
    groups, half = self._groups, (n + 1) // 2
    positive = self._multiple[rng.integers(len(self._multiple), size=half)]
    negative = rng.integers(len(groups.counts), size=n - half)
    other = (negative + 1 + rng.integers(len(groups.counts) - 1, size=n - half)) % len(groups.counts)
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    first[0::2] = groups.draw(rng, positive)
    second[0::2] = groups.another(rng, positive, first[0::2])
    first[1::2], second[1::2] = groups.draw(rng, negative), groups.draw(rng, other)
    same = np.arange(n, dtype=np.int32) % 2 ^ 1
    return Pairs(groups.rows[first], groups.rows[second], same)


class DistancePairs:
  """Pairs by distance in the valence-arousal plane, for corpora without categories (experiments/mtclar.md, 11).

  Same below 0.2, different above 0.4, the band between is never drawn. The first frame is uniform over the
  occupied cells (0.2 wide) of the plane, then uniform in the cell, as classes are in `ClassPairs`.
  """

  def __init__(self, labels: np.ndarray, rows: np.ndarray):
    """labels [N, 2] in [-1, 1] without NaN; rows [N] the frames they belong to."""
    if len(rows) < 2:
      raise UserError(f'pairs need at least two labelled frames, found {len(rows)}')
    cell = np.floor((labels + 1.0) / NEAR).astype(np.int64)
    self._cells = _Groups(cell[:, 0] * 1000 + cell[:, 1], np.arange(len(rows)))
    self._labels, self._rows = labels.T.astype(np.float64, order='C'), rows  # [2, N]
    names = self._cells.names
    x, y = names // 1000, names % 1000
    near = (np.abs(x[:, None] - x) <= 1) & (np.abs(y[:, None] - y) <= 1)
    self._near = _Groups(np.nonzero(near)[0], np.nonzero(near)[1])  # cell -> cells within reach

  def draw(self, rng: np.random.Generator, n: int) -> Pairs:
    """n pairs, by rejection: a place whose two frames do not fit is drawn anew, both frames."""
    first, second = np.empty(n, np.int64), np.empty(n, np.int64)
    same = np.arange(n, dtype=np.int32) % 2 ^ 1
    open_ = np.arange(n)
    for _ in range(_ROUNDS):
      wanted = np.repeat(same[open_] == 1, _TRIES)  # the first of several tries that fits: fewer rounds
      cell = rng.integers(len(self._cells.counts), size=len(wanted))
      a = self._cells.rows[self._cells.draw(rng, cell)]
      beside = self._near.rows[self._near.draw(rng, cell)]
      anywhere = rng.integers(len(self._cells.counts), size=len(wanted))
      b = self._cells.rows[self._cells.draw(rng, np.where(wanted, beside, anywhere))]
      near, far = _near_and_far(self._labels, a, b)
      fits = np.where(wanted, near & (a != b), far).reshape(-1, _TRIES)
      fit, at = fits.any(1), np.arange(len(open_)) * _TRIES + fits.argmax(1)
      first[open_[fit]], second[open_[fit]] = a[at[fit]], b[at[fit]]
      open_ = open_[~fit]
      if not len(open_):
        return Pairs(self._rows[first], self._rows[second], same)
    raise UserError(
      f'no pairs with VA distance {"below " + str(NEAR) if same[open_[0]] else "above " + str(FAR)} were found '
      f'in {_ROUNDS * _TRIES} tries; the labels of this split hardly vary'
    )


class VideoPairs:
  """Pairs within one video, for closing the gap between training and labelling (an extension, off in paper rows)."""

  def __init__(self, videos: np.ndarray, labels: np.ndarray, classes: np.ndarray | None, rows: np.ndarray):
    groups = np.unique(videos, return_inverse=True)[1]
    counts = np.bincount(groups)
    keep = counts[groups] > 1
    if not keep.any():
      raise UserError('same-video pairs need a video with two labelled frames; there is none in this split')
    self._groups = _Groups(groups[keep], np.flatnonzero(keep))
    self._labels, self._classes, self._rows = labels.T.astype(np.float64, order='C'), classes, rows

  def draw(self, rng: np.random.Generator, n: int) -> Pairs:
    """n pairs; `same` by class where there are classes, else by VA distance with -1 in the band between."""
    group = rng.integers(len(self._groups.counts), size=n)
    position = self._groups.draw(rng, group)
    a, b = self._groups.rows[position], self._groups.rows[self._groups.another(rng, group, position)]
    if self._classes is not None:
      same = np.where((self._classes[a] < 0) | (self._classes[b] < 0), -1, self._classes[a] == self._classes[b])
    else:
      near, far = _near_and_far(self._labels, a, b)
      same = np.where(near, 1, np.where(far, 0, -1))
    return Pairs(self._rows[a], self._rows[b], same.astype(np.int32))


class MixedPairs:
  """`base` pairs with a share of same-video ones at the end of each draw."""

  def __init__(self, base, video: VideoPairs, share: float):
    self._base, self._video, self._share = base, video, share

  def draw(self, rng: np.random.Generator, n: int) -> Pairs:
    """n pairs, the share of same-video ones last."""
    inside = round(n * self._share)
    parts = [self._base.draw(rng, n - inside), self._video.draw(rng, inside)]
    return Pairs(*(np.concatenate([getattr(p, k) for p in parts]) for k in ('first', 'second', 'same')))


def sampler(frames, rows: np.ndarray, rule: str, same_video: float = 0.0):
  """The pair sampler over labelled `rows` [N] of frames.

  Args:
    frames: `mtclar.frames.Frames`.
    rule: 'class' or 'distance'.
    same_video: share of pairs taken within one video, in [0, 1).
  """
  if not 0 <= same_video < 1:
    raise UserError(f'run.pairs.same_video is {same_video}; expected 0 or more, below 1')
  if rule == 'class':
    rows = rows[frames.emotion[rows] >= 0]
    base = ClassPairs(frames.emotion[rows], rows)
  elif rule == 'distance':
    rows = rows[np.isfinite(frames.labels[rows]).all(1)]
    base = DistancePairs(frames.labels[rows], rows)
  else:
    raise unknown('pair rule', rule, ('class', 'distance'))
  if not same_video:
    return base
  classes = frames.emotion[rows] if rule == 'class' else None
  return MixedPairs(base, VideoPairs(frames.item[rows], frames.labels[rows], classes, rows), same_video)
