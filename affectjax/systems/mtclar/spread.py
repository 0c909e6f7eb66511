"""How far off an estimate is, by its distance in time from hand labels, and which frames to label next.

A squared error is expected to be a + b * distance, a, b >= 0: a for what the network gets wrong at any distance, b for
a label that wanders. Both are fitted to errors whose truth is known (see `annotate`).
"""

import dataclasses

import numpy as np
import scipy.optimize

from affectjax.systems.mtclar import supports


@dataclasses.dataclass(frozen=True)
class Law:
  """Expected squared error a + b * distance; a and b [2] for valence and arousal, distance in seconds."""

  a: np.ndarray
  b: np.ndarray

  def __call__(self, distance_s: np.ndarray) -> np.ndarray:
    """Distances [N] -> standard deviations [N, 2] in label units."""
    return np.sqrt(self.a + self.b * distance_s[:, None])

  def both(self, distance_s: np.ndarray) -> np.ndarray:
    """Distances [N] -> root mean square over valence and arousal, [N]."""
    return np.sqrt(np.square(self(distance_s)).mean(1))


UNKNOWN = Law(np.full(2, np.nan), np.full(2, np.nan))


def fit(distance_s: np.ndarray, squared: np.ndarray) -> Law:
  """Non-negative least squares of squared errors [M, 2] on distances [M]; UNKNOWN without any."""
  if not len(distance_s):
    return UNKNOWN
  design = np.stack([np.ones(len(distance_s)), distance_s], 1)
  a, b = zip(*(scipy.optimize.nnls(design, squared[:, k])[0] for k in range(2)), strict=True)
  return Law(np.array(a), np.array(b))


def suggest(pool: supports.Pool, time_s: np.ndarray, support: np.ndarray, present: np.ndarray, k: int):
  """The k frames whose labels are worth most, most wanted first.

  One at a time, the frame of largest expected error, which is the one farthest in time from a hand label before or
  after (one to come after it will serve it as well); it then counts as labelled. Ties go to the earlier row.

  Args:
    pool: all frames.
    time_s: [N] seconds within the video.
    support: [S] rows labelled by hand, at least one per video.
    present: [N] bool; a frame without a face is never suggested.
    k: how many; fewer come back when fewer are left.

  Returns:
    rows [k] and their distances [k] in seconds when they were chosen.
  """
  past, future = supports.neighbours(pool, support)
  away = lambda other: np.where(other >= 0, np.abs(time_s - time_s[other]), np.inf)
  distance = np.minimum(away(past), away(future)).round(9)  # so that what is equally far is equal
  distance[~present] = -1.0
  distance[support] = -1.0
  rows, distances = [], []
  for _ in range(min(k, int((distance >= 0).sum()))):
    row = int(distance.argmax())
    rows.append(row)
    distances.append(distance[row])
    same = slice(*np.searchsorted(pool.video, [pool.video[row], pool.video[row] + 1]))
    distance[same] = np.minimum(distance[same], np.abs(time_s[same] - time_s[row]).round(9))
    distance[row] = -1.0
  return np.array(rows, np.int64), np.array(distances, np.float64)
