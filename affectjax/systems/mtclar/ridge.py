"""Ridge regression on the features: what a linear map does with the same labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from affectjax.examples import shape
from affectjax.examples.streams import Rows
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar.frames import Frames

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
    return np.concatenate([self(x[part]) for part in frames_lib.pieces(x, rows)])


def fit(x: np.ndarray | Rows, rows: np.ndarray, y: np.ndarray, penalties: Sequence[float] = PENALTIES) -> list[Ridge]:
  """Linear least squares with an L2 penalty, intercept free; one map per penalty.

  Works in the smaller of M and D, on some rows at a time. A penalty is per standardised feature, times M.

  Args:
    x: [N, D] features.
    rows: [M] of x.
    y: [M, K] targets of those rows.
    penalties: above 0.
  """
  parts, width = frames_lib.pieces(x, rows), x.shape[1]
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


def _from_supports(frames: Frames, plan: Mapping[str, np.ndarray], penalties: Sequence[float]) -> np.ndarray:
  """Valence and arousal [P, N, 2] of a plan's frames, by a ridge per penalty on the supports each frame may use.

  A frame without a face keeps the plan's `base`, the label it would carry.
  """
  rows = plan['row']
  out = np.repeat(plan['base'].astype(np.float64)[None], len(penalties), 0)
  support = plan['support_rows'][frames.present[plan['support_rows']]]
  owner = np.zeros(len(frames), int) if plan['apart'] is None else plan['apart']
  for one in np.unique(owner[rows]):
    here = (owner[rows] == one) & frames.present[rows]
    known = support if plan['apart'] is None else support[owner[support] != one]
    if here.any() and len(known):
      maps = fit(frames.x, known, frames.labels[known], penalties)
      out[:, here] = [linear.at(frames.x, rows[here]) for linear in maps]
  return out


def ridge_by_dev(
  frames: Frames, dev: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Valence and arousal [N, 2] of both splits by a ridge fitted on each split's own supports.

  The penalty is chosen on dev (its supports against its other frames), then used for both.

  Args:
    frames: of the corpus.
    dev, test: plans, with `apart` [len(frames)] where a frame may not use the supports of its own actor or video
      (equal values), else None.
  """
  rest = ~dev['support'] if not dev['support'].all() else dev['support']
  truth, each = frames.labels[dev['row'][rest]], _from_supports(frames, dev, PENALTIES)
  best_ = int(np.argmin([np.square(np.clip(out[rest], -1, 1) - truth).mean() for out in each]))
  tested = _from_supports(frames, test, PENALTIES[best_ : best_ + 1])[0]
  return {'dev': each[best_].astype(np.float32), 'test': tested.astype(np.float32)}
