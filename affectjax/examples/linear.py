"""Ridge regression on features, in memory or on disk: what a linear map does with the same labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from affectjax.examples import shape
from affectjax.examples.streams import CHUNK, Rows

PENALTIES = tuple(10.0**e for e in range(-3, 5))


@dataclasses.dataclass(frozen=True)
class Ridge:
  """A linear map of standardised features, float64: ((x - mean) / scale) weights + offset.

  Attributes:
    mean, scale: [D].
    weights: [D, K].
    offset: [K].
  """

  mean: np.ndarray
  scale: np.ndarray
  weights: np.ndarray
  offset: np.ndarray

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """Features [M, D] -> [M, K]."""
    return ((x - self.mean) / self.scale) @ self.weights + self.offset

  def at(self, x: np.ndarray | Rows, rows: np.ndarray) -> np.ndarray:
    """The same of the rows [M] of x [N, D], some at a time."""
    return np.concatenate([self(x[part]) for part in pieces(x, rows)])


def fit(x: np.ndarray | Rows, rows: np.ndarray, y: np.ndarray, penalties: Sequence[float] = PENALTIES) -> list[Ridge]:
  """Linear least squares with an L2 penalty, intercept free; one map per penalty.

  Works in the smaller of M and D, on some rows at a time. A penalty is per standardised feature, times M.

  Args:
    x: [N, D] features.
    rows: [M] of x.
    y: [M, K] targets of those rows.
    penalties: above 0.
  """
  parts, width = pieces(x, rows), x.shape[1]
  _, mean, sd = shape.moments_of((x[part] for part in parts), width)
  scale, offset = np.where(sd > 1e-9, sd, 1.0), y.mean(0, dtype=np.float64)
  standard = lambda part: (x[part] - mean) / scale
  centred = y - offset
  if len(rows) < width:
    z = standard(rows)
    solve = lambda penalty: z.T @ np.linalg.solve(z @ z.T + penalty * np.eye(len(z)), centred)
  else:
    squares, products, start = np.zeros((width, width)), np.zeros((width, y.shape[1])), 0
    for part in parts:
      z = standard(part)
      squares += z.T @ z
      products += z.T @ centred[start : start + len(part)]
      start += len(part)
    solve = lambda penalty: np.linalg.solve(squares + penalty * np.eye(width), products)
  return [Ridge(mean, scale, solve(p * len(rows)), offset) for p in penalties]


def best(x: np.ndarray | Rows, train: np.ndarray, dev: np.ndarray, y: np.ndarray) -> Ridge:
  """The map fitted on `train` whose penalty has the lowest squared error on `dev`, clipped to [-1, 1].

  Args:
    x: [N, D] features.
    train, dev: rows.
    y: [N, K] targets.
  """
  each = fit(x, train, y[train])
  errors = [np.square(np.clip(one.at(x, dev), -1, 1) - y[dev]).mean() for one in each]
  return each[int(np.argmin(errors))]


def pieces(x: np.ndarray | Rows, rows: np.ndarray) -> list[np.ndarray]:
  """`rows` [M] in order, by what a pass over x [N, D] holds at once."""
  size = max(1, CHUNK // x.shape[1])
  return np.split(rows, range(size, len(rows), size))
