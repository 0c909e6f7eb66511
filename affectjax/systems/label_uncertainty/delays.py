"""How late the raters are: a delay per attribute, chosen on dev from a grid by a ridge regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError

CONTEXT = 1.0  # s to either side, over which features are averaged: a causal average would be late itself
PENALTY = 100.0


def choose(train: Any, dev: Any, grid: Sequence[float]) -> tuple[float, ...]:
  """The delay [A] in s after which the mean mark follows the features best on dev (CCC).

  The regression sees the features' averages over 2 s; a waveform is described by its loudness and its zero
  crossings. A grid of one value is taken as it is.

  Args:
    train, dev: a `Series` each; its ratings are those of the training raters.
    grid: s, at least 0.
  """
  if not grid or min(grid) < 0:
    raise UserError(f'run.data.delays is {tuple(grid)}; expected one or more delays of at least 0 s')
  attributes = len(train.attributes)
  if len(grid) == 1:
    return tuple(float(grid[0]) for _ in range(attributes))
  sides = [
    [(_described(r, part.waveform), r.x_mask, _mean(r), r.rate) for r in part.recordings] for part in (train, dev)
  ]
  return tuple(_best(sides[0], sides[1], a, grid) for a in range(attributes))


def _mean(recording) -> np.ndarray:
  """Mean over raters [T, A], NaN where there is none."""
  there = np.isfinite(recording.ratings)
  total, count = np.where(there, recording.ratings, 0).sum(1), there.sum(1)
  return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _described(recording, waveform: bool) -> np.ndarray:
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


def _pairs(side, attribute: int, delay: float) -> tuple[np.ndarray, np.ndarray]:
  """Features [N, D] and the mark [N] that comes `delay` s later."""
  xs, ys = [], []
  for x, x_mask, y, rate in side:
    late = y[round(delay * rate) :, attribute]
    known = np.isfinite(late) & x_mask[: len(late)]
    xs.append(x[: len(late)][known])
    ys.append(late[known])
  return np.concatenate(xs), np.concatenate(ys)


def _best(train, dev, attribute: int, grid: Sequence[float]) -> float:
  scores = {}
  for delay in grid:
    x, y = _pairs(train, attribute, delay)
    x_dev, y_dev = _pairs(dev, attribute, delay)
    if not len(y) or not len(y_dev):
      continue  # the recordings are shorter than this delay
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    z, target = (x - mean) / scale, y - y.mean()
    weights = np.linalg.solve(z.T @ z + PENALTY * np.eye(z.shape[1]), z.T @ target)
    scores[delay] = metrics.ccc(y_dev, (x_dev - mean) / scale @ weights + y.mean())
  if not scores:
    raise UserError(f'no training or dev frame is left at any of the delays {tuple(grid)} s; lower run.data.delays')
  return float(max(scores, key=lambda d: (scores[d], -d)))
