"""What metrics are made of: statistics that add up over entries, and values of their sums.

Statistics take (truth, output, unit), each [M], and give [M, k] float64; `unit` [M] is what they are centred within,
None for all together. Values take sums [..., k] and give [...], NaN where nothing was summed.
"""

from collections.abc import Callable

import numpy as np

# A variance below this share of the second moment about the file's centre is rounding, so it counts as zero.
ROUNDING = 1e-12


def _centred(x: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """x [M] minus the mean of its unit; exactly zero where a unit is constant."""
  if unit is None:
    x = x - x[:1]  # an offset of 1e8 is gone before anything is averaged
    return x - x.sum() / max(len(x), 1)
  _, first, unit = np.unique(unit, return_index=True, return_inverse=True)
  x = x - x[first][unit]
  return x - (np.bincount(unit, x) / np.bincount(unit))[unit]


def moments(y: np.ndarray, yhat: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 7]: 1, y, yhat, y^2, yhat^2, y yhat (centred), y - yhat (as it is)."""
  a, b = _centred(y, unit), _centred(yhat, unit)
  return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b, y - yhat]).T


def _divide(above: np.ndarray, below: np.ndarray, empty: float) -> np.ndarray:
  """above / below, and `empty` where below is 0."""
  above, below = np.broadcast_arrays(above, below)
  return np.divide(above, below, out=np.full(above.shape, empty), where=below != 0)


def _second_moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Population variances of y and yhat, their covariance and the difference of means, from sums [..., 7]."""
  _, a, b, aa, bb, ab, d = np.moveaxis(_divide(sums, sums[..., :1], np.nan), -1, 0)
  var_y, var_yhat = aa - a * a, bb - b * b
  flat_y, flat_yhat = var_y <= ROUNDING * aa, var_yhat <= ROUNDING * bb
  cov = np.where(flat_y | flat_yhat, 0.0, ab - a * b)
  return np.where(flat_y, 0.0, var_y), np.where(flat_yhat, 0.0, var_yhat), cov, d


def ccc_value(sums: np.ndarray) -> np.ndarray:
  var_y, var_yhat, cov, d = _second_moments(sums)
  return _divide(2 * cov, var_y + var_yhat + d * d, 0.0)


def pcc_value(sums: np.ndarray) -> np.ndarray:
  var_y, var_yhat, cov, _ = _second_moments(sums)
  return np.clip(_divide(cov, np.sqrt(var_y) * np.sqrt(var_yhat), 0.0), -1, 1)


def mean_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 2] of (x, 1) -> the mean of x."""
  return _divide(sums[..., 0], sums[..., 1], np.nan)


def root_mean_value(sums: np.ndarray) -> np.ndarray:
  return np.sqrt(mean_value(sums))


def mean_of(per_unit: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """Statistics [M, 2] of a metric that is the mean of `per_unit(*truth, *output)` [M]."""

  def stats(*arrays_and_unit):
    x = np.asarray(per_unit(*arrays_and_unit[:-1]), np.float64)
    return np.stack([x, np.ones_like(x)]).T

  return stats


def same_sign(y: np.ndarray, yhat: np.ndarray) -> np.ndarray:
  return np.where(np.isnan(yhat), np.nan, np.sign(y) == np.sign(yhat))


def confusions(y: np.ndarray, yhat: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 3 K]: per class of truth or prediction, whether it is hit, true, predicted."""
  classes = np.unique(np.concatenate([y, yhat]))
  true, predicted = classes[:, None] == y, classes[:, None] == yhat  # [K, M]
  return np.concatenate([true & predicted, true, predicted]).astype(np.float64).T


def _per_class(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sums [..., 3 K] -> hits, true and predicted counts, each [..., K]."""
  return tuple(np.moveaxis(sums.reshape(*sums.shape[:-1], 3, sums.shape[-1] // 3), -2, 0))


def uar_value(sums: np.ndarray) -> np.ndarray:
  hits, true, _ = _per_class(sums)
  return _divide(_divide(hits, true, 0.0).sum(-1), (true > 0).sum(-1), np.nan)


def f1_value(average: str, sums: np.ndarray) -> np.ndarray:
  hits, true, predicted = _per_class(sums)
  f1 = _divide(2 * hits, true + predicted, 0.0)  # [..., K]
  weight = true if average == 'weighted' else true > 0
  return _divide((f1 * weight).sum(-1), weight.sum(-1), np.nan)


def per_part(stats: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """Statistics [M, 2 k] of the entries of part 0, then of those of part 1, from (truth, part, output, None).

  They are centred within each part, so that each half is to the last digit what the part alone would give.
  """

  def of_parts(y, part, yhat, _):
    own = stats(y, yhat, part)
    return np.concatenate([np.where(part[:, None] == p, own, 0.0) for p in (0, 1)], axis=1)

  return of_parts


def parts(sums: np.ndarray, count: int) -> np.ndarray:
  """Sums [..., count k] of parts side by side -> [..., count, k]."""
  return sums.reshape(*sums.shape[:-1], count, sums.shape[-1] // count)


def gap(value: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
  """The value of part 1 minus that of part 0, from sums [..., 2 k]; NaN where a part has nothing."""

  def of_parts(sums):
    both = parts(sums, 2)
    return value(both[..., 1, :]) - value(both[..., 0, :])

  return of_parts
