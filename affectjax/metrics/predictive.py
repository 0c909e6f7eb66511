"""What a predicted distribution costs, per frame, on the host in float64: against raters' distribution and values.

A prediction has a mean, a standard deviation and degrees of freedom `df`: inf is a Gaussian, else a Student-t of the
location and standard deviation given, so its scale is sd sqrt((df - 2) / df) and df > 2; df up to 2 gives NaN, as a
NaN prediction does. Its standard deviation is floored at `PREDICTED_FLOOR`. The raters' own standard deviation s (ddof
1) counts in divergences as sqrt(s^2 + SPREAD_FLOOR^2): where all agree s is 0 and every divergence would be infinite
(experiments/label_uncertainty.md, 4 and 11; labels lie in [-1, 1]).

Divergences are KL(truth || prediction) in nats, arrays [M].
"""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.special

from affectjax.objectives import student_t

SPREAD_FLOOR = 0.01
PREDICTED_FLOOR = 1e-3
RATERS = 3  # the least for which a Student-t with as many degrees of freedom has a variance
TERMS = 64  # of the t || t series: at six raters and scales 100 apart 3e-11 are left
LEVELS = np.arange(1, 20) / 20  # of calibration
_ROWS = 2**15  # at a time


def floored(spread: np.ndarray) -> np.ndarray:
  """The raters' standard deviation as divergences use it."""
  return np.sqrt(spread * spread + SPREAD_FLOOR**2)


def predicted(sd: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The floored standard deviation and the scale of a prediction."""
  sd = np.maximum(sd, PREDICTED_FLOOR)
  with np.errstate(invalid='ignore', divide='ignore'):
    share = np.where(df > 2, 1 - 2 / df, np.nan)
  return sd, sd * np.sqrt(share)


# Against a distribution


def kl_gauss(m: np.ndarray, s: np.ndarray, m_hat: np.ndarray, s_hat: np.ndarray) -> np.ndarray:
  """KL(N(m, s^2) || N(m_hat, s_hat^2)); s of the raters."""
  return student_t.kl_normal_normal(m, floored(s), m_hat, np.maximum(s_hat, PREDICTED_FLOOR), np)


def kl_t(m, s, raters, m_hat, s_hat, df_hat) -> np.ndarray:
  """KL(t(m, s) with as many degrees of freedom as raters || prediction); at least `RATERS` of them."""
  return kl(m, floored(s), raters, m_hat, s_hat, df_hat)


def kl_t_minus_floor(m, s, raters, m_hat, s_hat, df_hat) -> np.ndarray:
  """`kl_t` less the least that a Gaussian can reach for that many raters; a Student-t may go below 0."""
  return kl_t(m, s, raters, m_hat, s_hat, df_hat) - student_t.t_floor(raters, np)


def kl(loc, scale, df, m_hat, s_hat, df_hat) -> np.ndarray:
  """KL(truth || prediction) of a known truth, Gaussian where df is inf, else Student-t; nothing about it is floored."""
  given = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (loc, scale, df, m_hat, s_hat, df_hat)))
  loc, scale, df, m_hat, s_hat, df_hat = given
  sd, scale_hat = predicted(s_hat, df_hat)
  t, t_hat = (df > 0) & (df < np.inf), (df_hat > 2) & (df_hat < np.inf)
  normal, normal_hat = df == np.inf, df_hat == np.inf
  out = np.full(loc.shape, np.nan)
  out[t & (df <= 2) & normal_hat] = np.inf
  of_normal = lambda *x: student_t.kl_normal_normal(*x, np)
  for rows, function, arguments in (
    (normal & normal_hat, of_normal, (loc, scale, m_hat, sd)),
    (t & (df > 2) & normal_hat, lambda *x: student_t.kl_t_normal(*x, np), (loc, scale, df, m_hat, sd)),
    (t & t_hat, lambda *x: student_t.kl_t_t(*x, TERMS, np), (loc, scale, df, m_hat, scale_hat, df_hat)),
    (normal & t_hat, kl_normal_t, (loc, scale, m_hat, scale_hat, df_hat)),
  ):
    rows = np.flatnonzero(rows)
    for begin in range(0, len(rows), _ROWS):
      some = rows[begin : begin + _ROWS]
      out[some] = function(*(x[some] for x in arguments))
  return out


def kl_normal_t(m, s, m_hat, scale_hat, nu) -> np.ndarray:
  """KL(N(m, s^2) || t_nu(m_hat, scale_hat)) of arrays [M], by the trapezoidal rule; errors up to 1e-12 (1 + KL).

  The mean of log(1 + (a + b z)^2) over a standard normal z has its singularities at z0 +- i d, d = 1 / b, z0 = -a / b.
  Where they are far from the bulk of z an even grid converges geometrically; else z = z0 + d sinh(u) takes them to
  +- i pi / 2, whatever d is.
  """
  width = scale_hat * np.sqrt(nu)
  d, z0 = width / s, (m_hat - m) / s
  mean = np.full(d.shape, np.nan)
  plain = (d >= 1) | (np.abs(z0) > 8.5)
  z = np.arange(-50, 51) * 0.18
  density = np.exp(-z * z / 2) * (0.18 / np.sqrt(2 * np.pi))
  for rows in _blocks(plain):
    mean[rows] = np.log1p(((z - z0[rows, None]) / d[rows, None]) ** 2) @ density
  steps = np.arange(-128, 129) / 128
  for rows in _blocks(~plain & (d > 0)):
    reach = np.arcsinh((np.abs(z0[rows]) + 9) / d[rows])[:, None]
    u = reach * steps  # [M, K]
    z, cosh = z0[rows, None] + d[rows, None] * np.sinh(u), np.cosh(u)
    weight = np.exp(-z * z / 2) * cosh * (d[rows, None] * reach / (128 * np.sqrt(2 * np.pi)))
    mean[rows] = (weight * (2 * np.log(cosh))).sum(1)
  constant = scipy.special.betaln(nu / 2, 0.5) - 0.5 * np.log(2 * np.pi)
  return np.log(width / s) - 0.5 + constant + 0.5 * (nu + 1) * mean


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
  rows = np.flatnonzero(rows)
  return (rows[i : i + 4096] for i in range(0, len(rows), 4096))


# Against values


def _by_kind(df: np.ndarray, gauss, student) -> np.ndarray:
  """gauss(rows) where df is inf and student(rows) elsewhere, [M, R]; rows index the first axis."""
  normal = df == np.inf
  if normal.all():
    return gauss(slice(None))
  if not normal.any():
    return student(slice(None))
  a, b = gauss(normal), student(~normal)
  out = np.empty((len(df), a.shape[1]))
  out[normal], out[~normal] = a, b
  return out


def _standardised(x, m, s, df) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """(x - m) / scale [M, R], the scale [M, 1] and df [M, 1] of predictions [M] for values [M, R]."""
  _, scale = predicted(s, df)
  return (x - m[:, None]) / scale[:, None], scale[:, None], df[:, None]


def nll(x: np.ndarray, m: np.ndarray, s: np.ndarray, df: np.ndarray) -> np.ndarray:
  """Negative log density of the values x [M, R] under predictions [M] each, in nats."""
  z, scale, nu = _standardised(x, m, s, df)

  def student(rows):
    n = nu[rows]
    return scipy.special.betaln(n / 2, 0.5) + 0.5 * np.log(n) + 0.5 * (n + 1) * np.log1p(z[rows] ** 2 / n)

  shape = _by_kind(df, lambda rows: 0.5 * z[rows] ** 2 + 0.5 * np.log(2 * np.pi), student)
  return shape + np.log(scale)


def pit(x: np.ndarray, m: np.ndarray, s: np.ndarray, df: np.ndarray) -> np.ndarray:
  """Probability integral transform: the predicted distribution function [M] at the values x [M, R], in [0, 1]."""
  z, _, nu = _standardised(x, m, s, df)
  return _by_kind(df, lambda rows: scipy.special.ndtr(z[rows]), lambda rows: scipy.special.stdtr(nu[rows], z[rows]))


def crps(x: np.ndarray, m: np.ndarray, s: np.ndarray, df: np.ndarray) -> np.ndarray:
  """Continuous ranked probability score of the values x [M, R], in their unit; closed forms.

  References:
    Gaussian: Gneiting et al. 2005, Monthly Weather Review 133(5), doi 10.1175/MWR2904.1.
    Student-t: Jordan, Krueger and Lerch 2019, Journal of Statistical Software 90(12), doi 10.18637/jss.v090.i12.
  """
  z, scale, nu = _standardised(x, m, s, df)

  def gauss(rows):
    y = z[rows]
    density = np.exp(-0.5 * y * y) / np.sqrt(2 * np.pi)
    return y * (2 * scipy.special.ndtr(y) - 1) + 2 * density - 1 / np.sqrt(np.pi)

  def student(rows):
    y, n = z[rows], nu[rows]
    beta = scipy.special.betaln(n / 2, 0.5)
    density = np.exp(-0.5 * (n + 1) * np.log1p(y * y / n) - beta) / np.sqrt(n)
    own = 2 * np.sqrt(n) / (n - 1) * np.exp(scipy.special.betaln(0.5, n - 0.5) - 2 * beta)
    return y * (2 * scipy.special.stdtr(n, y) - 1) + 2 * density * (n + y * y) / (n - 1) - own

  return scale * _by_kind(df, gauss, student)


# Statistics of values, for metrics: (values x [M, R] with NaN for none, m, s, df [M], unit) -> [M, k]


def mean_of(per_value: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """Statistics [M, 2] of the mean of `per_value(x, m, s, df)` [M, R]: its sum over a frame's values, and how many."""

  def stats(x, m, s, df, unit):
    given = ~np.isnan(x)
    return np.stack([np.where(given, per_value(x, m, s, df), 0.0).sum(1), given.sum(1)], axis=-1)

  return stats


def inside(share: float) -> Callable[..., np.ndarray]:
  """1 where a value lies in the central interval of that probability, 0 where it does not."""

  def per_value(x, m, s, df):
    off = np.abs(pit(x, m, s, df) - 0.5)
    return np.where(np.isnan(off), np.nan, off <= share / 2)

  return per_value


def below(x: np.ndarray, m: np.ndarray, s: np.ndarray, df: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 20]: how many values lie at or below the predicted quantile of each of `LEVELS`, and all values."""
  given, level = ~np.isnan(x), pit(x, m, s, df)
  known = ~(given & np.isnan(level)).any(1)
  counts = [np.where(known, (level <= p).sum(1), np.nan) for p in LEVELS]  # NaN, no value, is never below
  return np.stack([*counts, given.sum(1)], axis=-1)


def calibration(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 20] of `below` -> the mean over `LEVELS` of |share - level|; NaN without values.

  As in Kuleshov et al. 2018 (arXiv 1807.00263, eq. 9), with the absolute in place of the squared distance.
  """
  with np.errstate(invalid='ignore', divide='ignore'):
    return np.abs(sums[..., :-1] / sums[..., -1:] - LEVELS).mean(-1)
