"""What metrics are made of: statistics that add up over entries, and values of their sums.

Statistics take (truth, output, unit), each [M] (distributions [M, K]), and give [M, k] float64; `unit` [M] is what
they are centred within, None for all together. Values take sums [..., k] and give [...], NaN where nothing was summed.
An output that is NaN makes a NaN of what it enters.
"""

from collections.abc import Callable

import numpy as np

from affectjax.common.errors import UserError
from affectjax.objectives import distributions

# A variance below this share of the second moment about the file's centre is rounding, so it counts as zero.
ROUNDING = 1e-12
SUM = 1e-4  # how far from 1 the shares of a label distribution may add up
LEAST = 1e-12  # predicted share, where its logarithm is taken
FLAT = 1e-10  # added below by the published code of the squared correlation of shares
TOP = 3.0  # the highest intensity; the lowest is 0
PRESENT = 1 / 6  # above it an intensity is nearer to the least that raters' means usually have, 1/3, than to none
STEPS = 100  # scores of presence to one unit of intensity


def _centred(x: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """x [M] minus the mean of its unit, [M, K] if all are one; exactly zero where a unit is constant."""
  if unit is None:
    x = x - x[:1]  # an offset of 1e8 is gone before anything is averaged
    return x - x.sum(0) / max(len(x), 1)
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
  """Sums [..., 7] of `moments` -> concordance correlation in [-1, 1]; 0 if y or yhat is constant (Lin 1989)."""
  var_y, var_yhat, cov, d = _second_moments(sums)
  return _divide(2 * cov, var_y + var_yhat + d * d, 0.0)


def pcc_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 7] of `moments` -> Pearson correlation in [-1, 1]; 0 if y or yhat is constant."""
  var_y, var_yhat, cov, _ = _second_moments(sums)
  return np.clip(_divide(cov, np.sqrt(var_y) * np.sqrt(var_yhat), 0.0), -1, 1)


def mean_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 2] of (x, 1) -> the mean of x."""
  return _divide(sums[..., 0], sums[..., 1], np.nan)


def root_mean_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 2] of (x, 1) -> the root of the mean of x."""
  return np.sqrt(mean_value(sums))


def mean_of(per_unit: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """Statistics [M, 2] of a metric that is the mean of `per_unit(*truth, *output)` [M]."""

  def stats(*arrays_and_unit):
    x = np.asarray(per_unit(*arrays_and_unit[:-1]), np.float64)
    return np.stack([x, np.ones_like(x)]).T

  return stats


def same_sign(y: np.ndarray, yhat: np.ndarray) -> np.ndarray:
  """1 where the signs (-1, 0, 1) of y and yhat [M] are equal, else 0; NaN where yhat is."""
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
  """Sums [..., 3 K] of `confusions` -> mean recall of the classes that the truth has, in [0, 1]."""
  hits, true, _ = _per_class(sums)
  return _divide(_divide(hits, true, 0.0).sum(-1), (true > 0).sum(-1), np.nan)


def f1_value(average: str, sums: np.ndarray) -> np.ndarray:
  """Sums [..., 3 K] of `confusions` -> F1 in [0, 1] over the classes of the truth, 'weighted' by it or 'macro'."""
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


def ones(truth: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 1] of a number of entries."""
  return np.ones((len(truth), 1))


def count_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 1] of `ones` -> the number of entries."""
  return sums[..., 0]


# Label distributions: shares [M, K] of the truth y, or its class [M], against those predicted, p [M, K]


def normalised(x: np.ndarray, where: str, predicted: bool) -> np.ndarray:
  """Rows [M, K] divided by their sums, to the last digit alike in any order of classes.

  Args:
    x: at least 0, of sum 1 within `SUM`.
    where: what errors begin with.
    predicted: a row that is not finite becomes NaN, else it is refused.

  Raises:
    UserError: on the first row that is no distribution.
  """
  total = np.sort(x, -1).sum(-1)
  finite = np.isfinite(x).all(-1)
  wrong = np.where(finite, (x < 0).any(-1) | (np.abs(total - 1) > SUM), not predicted)
  if wrong.any():
    row = x[wrong.argmax()]
    shown = ', '.join(f'{share:.4g}' for share in row[:8]) + ', ...' * (len(row) > 8)
    raise UserError(f'{where} is at least 0 and of sum 1 (within {SUM:g}) in each row, found [{shown}]; give shares')
  with np.errstate(invalid='ignore'):
    return np.where(finite[:, None], x / total[:, None], np.nan)


def if_finite(per_row: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """`per_row(y, p)` [M], and NaN where p is."""
  return lambda y, p: np.where(np.isnan(p).any(-1), np.nan, per_row(y, p))


def kl_floored(y: np.ndarray, p: np.ndarray) -> np.ndarray:
  """KL(y || p) in nats, with p floored at `LEAST` so that a predicted zero costs much and not everything."""
  return distributions.kl(y, np.maximum(p, LEAST), xp=np)


def r2_pearson(y: np.ndarray, p: np.ndarray) -> np.ndarray:
  """Squared correlation of y and p over the classes of a row, cov^2 / (var var + 1e-10), population moments."""
  a, b = (x - x.mean(-1, keepdims=True) for x in (y, p))
  return (a * b).mean(-1) ** 2 / ((a * a).mean(-1) * (b * b).mean(-1) + FLAT)


def brier(y: np.ndarray, p: np.ndarray) -> np.ndarray:
  """Sum over classes of (p - y)^2, in [0, 2]."""
  return ((p - y) ** 2).sum(-1)


def brier_of_class(label: np.ndarray, p: np.ndarray) -> np.ndarray:
  """`brier` of all shares on one class [M] int."""
  return brier(np.arange(p.shape[-1]) == label[:, None], p)


def entropies(y: np.ndarray, p: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """`moments` of the entropies of y and p. Sorted, for equal votes on other classes must not differ by rounding."""
  return moments(*(distributions.entropy(np.sort(x, -1), xp=np) for x in (y, p)), unit)


def residuals(y: np.ndarray, p: np.ndarray, unit: None) -> np.ndarray:
  """Statistics [M, 1 + 3 K]: 1, and per class (y - p)^2, y and y^2 (centred)."""
  a = _centred(y, unit)
  return np.concatenate([np.ones((len(y), 1)), (y - p) ** 2, a, a * a], axis=1)


def r2_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 1 + 3 K] -> the mean over classes of 1 - residual / total sum of squares; NaN of fewer than two rows.

  Of a class whose truth is constant 1 if all is right and else 0, as scikit-learn's `r2_score` has it.
  """
  n = sums[..., :1]
  residual, a, aa = np.moveaxis(parts(sums[..., 1:], 3), -2, 0)  # [..., K]
  total = aa - _divide(a * a, n, 0.0)
  constant = total <= ROUNDING * aa
  missed = np.where(residual == 0, 0.0, 1 + 0 * residual)  # a NaN stays
  r2 = 1 - np.where(constant, missed, _divide(residual, np.where(constant, 0, total), 0.0))
  return np.where(n[..., 0] > 1, _divide(r2.sum(-1), np.float64(r2.shape[-1]), np.nan), np.nan)


def confidence(bins: int) -> Callable[..., np.ndarray]:
  """Statistics [M, bins + 1]: in the bin of the greatest share, 1 if its class is right less that share; then 1.

  Bins are ((b - 1) / bins, b / bins]; of equal shares the first class counts as named.
  """
  edges = np.arange(1, bins) / bins

  def stats(label, p, unit):
    out = np.zeros((len(label), bins + 1))
    out[:, -1] = 1
    if len(label):
      share = p.max(-1)
      out[np.arange(len(label)), np.searchsorted(edges, share)] = (p.argmax(-1) == label) - share
    return out

  return stats


def ece_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., bins + 1] -> expected calibration error, in [0, 1]."""
  return _divide(np.abs(sums[..., :-1]).sum(-1), sums[..., -1], np.nan)


# Intensities in [0, 3]: the truth y and the output yhat, each [M]


def level(x: np.ndarray) -> np.ndarray:
  """The class 0, 1, 2, 3 that an intensity is nearest to; halves go up, and NaN stays."""
  return np.floor(np.clip(x, 0, TOP) + 0.5)


def same_level(y: np.ndarray, yhat: np.ndarray) -> np.ndarray:
  """1 where y and yhat [M] are nearest to the same of the levels 0 to 3, else 0; NaN where yhat is."""
  return np.where(np.isnan(yhat), np.nan, level(y) == level(yhat))


def _confusions_of(true: Callable[..., np.ndarray], predicted: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """`confusions` of the classes that two functions make of truth and output."""

  def stats(y, yhat, unit):
    out = confusions(true(y), predicted(yhat), unit)
    out[np.isnan(yhat)] = np.nan
    return out

  return stats


levels = _confusions_of(level, level)
presence = _confusions_of(lambda y: y > 0, lambda yhat: yhat > PRESENT)


def both_recalls_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 3 K] of two classes -> the mean of their recalls; NaN where the truth has one alone."""
  hits, true, _ = _per_class(sums)
  return _divide(hits, true, np.nan).sum(-1) / 2 if hits.shape[-1] == 2 else np.full(hits.shape[:-1], np.nan)


def score(yhat: np.ndarray) -> np.ndarray:
  """The output as a score of presence: the whole number of hundredths nearest to it in 0 .. 300; halves go up."""
  return np.floor(np.clip(yhat, 0, TOP) * STEPS + 0.5)


def ranks(y: np.ndarray, yhat: np.ndarray, unit: None) -> np.ndarray:
  """Statistics [M, 2 K]: at each of the K scores that occur, highest first, whether y > 0; then, whether y = 0."""
  descending, place = np.unique(-score(yhat), return_inverse=True)
  out = np.zeros((len(y), 2 * len(descending)))
  out[np.arange(len(y)), place + len(descending) * (y <= 0)] = 1
  out[np.isnan(yhat)] = np.nan
  return out


def _ranked(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Sums [..., 2 K] -> how many are present and how many absent at each score, [..., K]."""
  both = parts(sums, 2)
  return both[..., 0, :], both[..., 1, :]


def average_precision_value(sums: np.ndarray) -> np.ndarray:
  """Precision at and above each score, weighted by the share of those present that have it; NaN if none is."""
  present, absent = _ranked(sums)
  precision = _divide(present.cumsum(-1), (present + absent).cumsum(-1), 0.0)
  return _divide((present * precision).sum(-1), present.sum(-1), np.nan)


def auc_value(sums: np.ndarray) -> np.ndarray:
  """Share of pairs of one present and one absent in which the first scores higher, ties half; NaN without pairs."""
  present, absent = _ranked(sums)
  total = absent.sum(-1)
  below = total[..., None] - absent.cumsum(-1)
  return _divide((present * (below + absent / 2)).sum(-1), present.sum(-1) * total, np.nan)


def errors(y: np.ndarray, yhat: np.ndarray, reference: np.ndarray, unit: None) -> np.ndarray:
  """Statistics [M, 2]: absolute errors of the output and of a reference."""
  return np.stack([np.abs(y - yhat), np.abs(y - reference)]).T


def skill_value(sums: np.ndarray) -> np.ndarray:
  """1 minus the error as a share of the reference's; NaN where the reference makes none."""
  return 1 - _divide(sums[..., 0], sums[..., 1], np.nan)
