"""How late the raters are: a delay per attribute, chosen on dev from a grid by a ridge regression."""

from collections.abc import Sequence

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.systems.label_uncertainty.series import Recording, Series

CONTEXT = 1.0  # s to either side, over which features are averaged: a causal average would be late itself
PENALTY = 100.0
Lag = tuple[int, float]  # an attribute's number and a delay in s
Line = tuple[np.ndarray, float]  # weights [D] of features and what is added


def choose(train: Series, dev: Series, grid: Sequence[float]) -> tuple[float, ...]:
  """The delay [A] in s after which the mean mark follows the features best on dev (CCC).

  The regression sees the features' averages over 2 s; a waveform is described by its loudness and its zero
  crossings. A grid of one value is taken as it is. Recordings are looked at one after the other.

  Args:
    train, dev: with the ratings of the training raters.
    grid: s, at least 0.
  """
  if not grid or min(grid) < 0:
    raise UserError(f'run.data.delays is {tuple(grid)}; expected one or more delays of at least 0 s')
  attributes = range(len(train.attributes))
  if len(grid) == 1:
    return tuple(float(grid[0]) for _ in attributes)
  lags = [(a, delay) for a in attributes for delay in grid]
  scores = _scored(dev, _fitted(train, lags))
  best = []
  for a in attributes:
    own = {delay: score for (of, delay), score in scores.items() if of == a}
    if not own:
      raise UserError(f'no training or dev frame is left at any of the delays {tuple(grid)} s; lower run.data.delays')
    best.append(float(max(own, key=lambda d: (own[d], -d))))
  return tuple(best)


def _mean(recording: Recording) -> np.ndarray:
  """Mean over raters [T, A], NaN where there is none."""
  marked = np.isfinite(recording.ratings)
  total, count = np.where(marked, recording.ratings, 0).sum(1), marked.sum(1)
  return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _described(recording: Recording, waveform: bool) -> np.ndarray:
  """Features [T, D] float64, smoothed."""
  x = recording.x.astype(np.float64)
  if waveform:
    loud = np.log(np.sqrt((x**2).mean(1)) + 1e-4)
    sharp = np.log(np.sqrt((np.diff(x, axis=1) ** 2).mean(1)) + 1e-4)
    crossing = (x[:, 1:] * x[:, :-1] < 0).mean(1)
    x = np.stack([loud, sharp, crossing], 1)
  total = np.concatenate([np.zeros((1, x.shape[1])), x.cumsum(0)])
  now, reach = np.arange(len(x)), round(CONTEXT * recording.rate)
  first, last = np.maximum(now - reach, 0), np.minimum(now + reach + 1, len(x))
  return (total[last] - total[first]) / (last - first)[:, None]


def _late(recording: Recording, mean: np.ndarray, lag: Lag) -> tuple[np.ndarray, np.ndarray]:
  """The frames [N] int with features and a mean mark that comes a delay later, and those marks [N]."""
  attribute, delay = lag
  late = mean[round(delay * recording.rate) :, attribute]
  at = np.flatnonzero(np.isfinite(late) & recording.x_mask[: len(late)])
  return at, late[at]


def _fitted(part: Series, lags: Sequence[Lag]) -> dict[Lag, Line]:
  """A ridge regression on standardised features per lag; none where no frame is left (recordings are too short)."""
  width = None
  for recording in part.recordings:
    x, mean = _described(recording, part.waveform), _mean(recording)
    if width is None:
      width, origin = x.shape[1], x.mean(0)  # sums of squares are about it
      sums = {lag: np.zeros((width + 2, width + 2)) for lag in lags}
    for lag in lags:
      at, y = _late(recording, mean, lag)
      table = np.column_stack([np.ones(len(at)), x[at] - origin, y])
      sums[lag] += table.T @ table
  return {lag: _line(sum_, origin) for lag, sum_ in sums.items() if sum_[0, 0]}


def _line(sums: np.ndarray, origin: np.ndarray) -> Line:
  """The regression from sums over frames of products of 1, features less `origin` [D], and mark: [D + 2, D + 2]."""
  n, x, y = sums[0, 0], sums[0, 1:-1] / sums[0, 0], sums[0, -1] / sums[0, 0]
  products = sums[1:-1, 1:-1] - n * np.outer(x, x)
  scale = np.maximum(np.sqrt(np.maximum(np.diag(products) / n, 0)), 1e-6)
  z = products / np.outer(scale, scale)
  weights = np.linalg.solve(z + PENALTY * np.eye(len(z)), (sums[1:-1, -1] - n * x * y) / scale) / scale
  return weights, float(y - (origin + x) @ weights)


def _scored(part: Series, lines: dict[Lag, Line]) -> dict[Lag, float]:
  """CCC of mark and regression per lag; none where no frame is left."""
  marks = {lag: ([], []) for lag in lines}
  for recording in part.recordings:
    x, mean = _described(recording, part.waveform), _mean(recording)
    for lag, (weights, offset) in lines.items():
      at, y = _late(recording, mean, lag)
      marks[lag][0].append(y)
      marks[lag][1].append(x[at] @ weights + offset)
  both = {lag: [np.concatenate(v) for v in pair] for lag, pair in marks.items()}
  return {lag: metrics.ccc(y, predicted) for lag, (y, predicted) in both.items() if len(y)}
