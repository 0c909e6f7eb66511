"""Ridge regression on the features: what a linear map does with the same labels."""

import numpy as np

PENALTIES = tuple(10.0**e for e in range(-3, 5))


class Ridge:
  """Linear least squares with an L2 penalty on standardised features, intercept free; float64.

  x [N, D], y [N, K]. Works in the smaller of N and D. The penalty is per standardised feature, times N.
  """

  def __init__(self, x: np.ndarray, y: np.ndarray, penalty: float):
    x, y = x.astype(np.float64), y.astype(np.float64)
    self._mean, std = x.mean(0), x.std(0)
    self._scale = np.where(std > 1e-9, std, 1.0)
    self._offset = y.mean(0)
    z, centred = (x - self._mean) / self._scale, y - self._offset
    if len(z) < z.shape[1]:
      dual = np.linalg.solve(z @ z.T + penalty * len(z) * np.eye(len(z)), centred)
      self._weights = z.T @ dual
    else:
      self._weights = np.linalg.solve(z.T @ z + penalty * len(z) * np.eye(z.shape[1]), z.T @ centred)

  def __call__(self, x: np.ndarray) -> np.ndarray:
    return ((x - self._mean) / self._scale) @ self._weights + self._offset  # [N, K]


def best_penalty(fit_x, fit_y, dev_x, dev_y) -> float:
  """The penalty with the lowest squared error on dev."""
  errors = [np.square(np.clip(Ridge(fit_x, fit_y, p)(dev_x), -1, 1) - dev_y).mean() for p in PENALTIES]
  return PENALTIES[int(np.argmin(errors))]


def _from_supports(frames, plan: dict[str, np.ndarray], penalty: float) -> np.ndarray:
  """Valence and arousal [N, 2] of a plan's frames, by a ridge on the supports each may use.

  A frame without a face keeps the plan's `base`, the label it would carry.
  """
  rows, out = plan['row'], plan['base'].astype(np.float64)
  support = plan['support_rows'][frames.present[plan['support_rows']]]
  owner = np.zeros(len(frames), int) if plan['apart'] is None else plan['apart']
  for one in np.unique(owner[rows]):
    here = (owner[rows] == one) & frames.present[rows]
    known = support if plan['apart'] is None else support[owner[support] != one]
    if here.any() and len(known):
      out[here] = Ridge(frames.x[known], frames.labels[known], penalty)(frames.x[rows[here]])
  return out


def ridge_by_dev(frames, dev: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Valence and arousal [N, 2] of both splits by a ridge fitted on each split's own supports.

  The penalty is chosen on dev (its supports against its other frames), then used for both.

  Args:
    frames: `mtclar.frames.Frames`.
    dev, test: plans, with `apart` [len(frames)] where a frame may not use the supports of its own actor or video
      (equal values), else None.
  """
  rest = ~dev['support'] if not dev['support'].all() else dev['support']
  truth = frames.labels[dev['row'][rest]]
  error = lambda penalty: np.square(np.clip(_from_supports(frames, dev, penalty)[rest], -1, 1) - truth).mean()
  penalty = PENALTIES[int(np.argmin([error(p) for p in PENALTIES]))]
  return {s: _from_supports(frames, plan, penalty).astype(np.float32) for s, plan in (('dev', dev), ('test', test))}
