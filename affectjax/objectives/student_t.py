"""KL divergences among Gaussians and Student-t's, per entry, in nats; the first distribution is the truth.

t_nu(m, s) has location m and scale s, so its variance is s^2 nu / (nu - 2). Arguments broadcast. `xp` is the array
namespace, `jax.numpy` by default; with `xp=numpy` the same lines serve the metrics in float64 and start no JAX.

Every form here is arranged so that nothing cancels near its minimum: what is quadratically small is computed as a
sum of quadratically small terms, never as a difference of logarithms. Terms of nu alone are computed in float64 on
the host when nu is a Python or numpy number or array; a jax array of them (rater counts per frame) uses the same
elementary formula in its own precision.

References:
  Formulas: experiments/label_uncertainty.md, 4 (t against Gaussian; Prabhu et al. 2022, arXiv 2207.12135) and 8 (t
  against t, a Fourier series in arctan of the standardised value).
  Asymptotic series of digamma differences and of log B(nu/2, 1/2): Euler-Maclaurin with Bernoulli numbers, DLMF 5.11.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from affectjax.common.errors import UserError

Array = Any  # of xp

# psi((nu + 1) / 2) - psi(nu / 2) = 1 / nu + sum of these times nu^-2, nu^-4, ...
_DIGAMMA = (1 / 2, -1 / 4, 1 / 2, -17 / 8, 31 / 2, -691 / 4, 5461 / 2, -929569 / 16, 3202291 / 2)
# log B(nu / 2, 1 / 2) + log(nu / 2 pi) / 2 = sum of these times nu^-1, nu^-3, ...
_BETA = (1 / 4, -1 / 24, 1 / 20, -17 / 112, 31 / 36, -691 / 88, 5461 / 52, -929569 / 480, 3202291 / 68)
_ASYMPTOTIC = 16  # from here on the series above are exact to float64
_STEPS = 8  # of two, by which a smaller nu is raised
_NEAR = 0.25  # below it, series in place of differences


def _namespace(xp: ModuleType | None, *arrays: Array) -> ModuleType:
  """`xp`, or jax.numpy; there, while it is traced, arrays that are no scalars are asserted to have one rank."""
  if xp is None:
    import chex
    import jax.numpy as xp

    message = 'locations, scales and degrees of freedom have one rank, or none: [B] beside [B, 1] would make [B, B]'
    shaped = [x for x in arrays if getattr(x, 'shape', ())]
    if shaped:
      chex.assert_equal_rank(shaped, custom_message=message)
  return xp


def _on_host(nu: Any) -> bool:
  return isinstance(nu, int | float | np.ndarray | np.generic | list | tuple)


def _refuse(what: str, nu: Any, least: float, why: str) -> None:
  """Refuses concrete degrees of freedom at or below `least`, or NaN; traced ones cannot be looked at."""
  if _on_host(nu):
    values = np.asarray(nu, np.float64)
    wrong = values[~(values > least)]
    if wrong.size:
      raise UserError(f'{what} is {wrong.flat[0]:g}, expected more than {least:g}: {why}')


def _dtype(xp: ModuleType, *arrays: Array) -> Any:
  """The floating type of the arguments, at least float32; Python numbers give way."""
  return xp.promote_types(xp.result_type(*arrays, 1.0), np.float32)


def _polynomial(coefficients: Sequence[float], x: Array) -> Array:
  """coefficients[0] + coefficients[1] x + ..."""
  out = coefficients[-1]
  for c in coefficients[-2::-1]:
    out = out * x + c
  return out


def _excess(xp: ModuleType, y: Array, log1p: Array) -> Array:
  """y - log(1 + y), at least 0 and relatively exact near 0; `log1p` is log(1 + y), used where |y| is not small.

  With z = y / (2 + y), log(1 + y) = 2 artanh z and y - 2 z = y z.
  """
  near = xp.abs(y) < _NEAR
  y0 = xp.where(near, y, 0.0)
  z = y0 / (2.0 + y0)
  artanh = _polynomial([1 / k for k in range(3, 25, 2)], z * z)
  return xp.where(near, z * (y0 - 2.0 * z * z * artanh), y - log1p)


def _digamma_and_beta(xp: ModuleType, nu: Array) -> tuple[Array, Array]:
  """psi((nu + 1) / 2) - psi(nu / 2), and log B(nu / 2, 1 / 2) + log(nu / 2 pi) / 2; nu > 0, inf allowed."""
  small = nu < _ASYMPTOTIC
  low = xp.where(small, nu, 4.0)
  u = 1.0 / xp.where(small, low + 2.0 * _STEPS, nu)
  psi = u + u * u * _polynomial(_DIGAMMA, u * u)
  beta = u * _polynomial(_BETA, u * u)
  gained, product = 0.0, 1.0
  for j in range(_STEPS):
    x = low + 2.0 * j
    gained = gained + 2.0 / (x * (x + 1.0))
    product = product * ((x + 1.0) / x)
  log = xp.log(product) + 0.5 * xp.log(low / (low + 2.0 * _STEPS))
  return psi + xp.where(small, gained, 0.0), beta + xp.where(small, log, 0.0)


def _floor(xp: ModuleType, nu: Array) -> Array:
  """`t_floor` without checks: 1/2 log(2 pi e nu / (nu - 2)) less the entropy of t_nu."""
  small = nu < _ASYMPTOTIC
  low = xp.where(small, nu, 4.0)
  psi, beta = _digamma_and_beta(xp, low)
  direct = 0.5 * xp.log(low / (low - 2.0)) + 0.5 - 0.5 * (low + 1.0) * psi - beta
  u = 1.0 / xp.where(small, 4.0 * _ASYMPTOTIC, nu)
  v = u * u
  rest = u * (0.5 * _polynomial(_DIGAMMA[1:], v) + _polynomial(_BETA[1:], v)) + 0.5 * _polynomial(_DIGAMMA, v)
  return xp.where(small, direct, 0.5 * _excess(xp, -2.0 * u, xp.log1p(-2.0 * u)) - v * rest)


def _of_nu(xp: ModuleType, function: Any, dtype: Any, *nu: Any) -> Any:
  """function(namespace, *nu) in float64 on the host if every nu is concrete, then of `dtype`."""
  if all(_on_host(n) for n in nu):
    with np.errstate(divide='ignore'):
      out = function(np, *(np.asarray(n, np.float64) for n in nu))
    cast = lambda x: xp.asarray(x, dtype)
    return tuple(map(cast, out)) if isinstance(out, tuple) else cast(out)
  return function(xp, *(xp.asarray(n, dtype) for n in nu))


def kl_normal_normal(m: Array, s: Array, m_hat: Array, s_hat: Array, xp: ModuleType | None = None) -> Array:
  """KL(N(m, s^2) || N(m_hat, s_hat^2)), never negative; standard deviations s, s_hat > 0, in the unit of m.

  log(s_hat / s) + (s^2 + (m - m_hat)^2) / (2 s_hat^2) - 1/2.
  """
  xp = _namespace(xp, m, s, m_hat, s_hat)
  m, s, m_hat, s_hat = (xp.asarray(x, _dtype(xp, m, s, m_hat, s_hat)) for x in (m, s, m_hat, s_hat))
  ratio, distance = s / s_hat, (m - m_hat) / s_hat
  y = ((s - s_hat) / s_hat) * ((s + s_hat) / s_hat)  # (s / s_hat)^2 - 1, exact where they are close
  return 0.5 * (_excess(xp, y, 2.0 * xp.log(ratio)) + distance * distance)


def t_optimal_scale(nu: Array, xp: ModuleType | None = None) -> Array:
  """sqrt(nu / (nu - 2)): the s_hat / s at which KL(t_nu(m, s) || N(m, s_hat^2)) is least; nu > 2, inf gives 1."""
  xp = _namespace(xp)
  _refuse('nu', nu, 2, 'a Student-t of that few degrees of freedom has no finite variance')
  return _of_nu(xp, lambda xp, nu: 1.0 / xp.sqrt(1.0 - 2.0 / nu), _dtype(xp, nu), nu)


def t_floor(nu: Array, xp: ModuleType | None = None) -> Array:
  """The least KL(t_nu(m, s) || N) over all Gaussians N, > 0; nu > 2, about 0.75 / nu^2 for large nu, inf gives 0.

  It is reached by the Gaussian of the same mean and variance.
  """
  xp = _namespace(xp)
  _refuse('nu', nu, 2, 'a Student-t of that few degrees of freedom is infinitely far from any Gaussian')
  return _of_nu(xp, _floor, _dtype(xp, nu), nu)


def kl_t_normal(m: Array, s: Array, nu: Array, m_hat: Array, s_hat: Array, xp: ModuleType | None = None) -> Array:
  """KL(t_nu(m, s) || N(m_hat, s_hat^2)), never below `t_floor(nu)`; the loss of t-LU with nu = number of raters.

  A Gaussian's log density is quadratic, so only the truth's first two moments count, and the closed form is
  `t_floor(nu)` plus the KL of the Gaussian with those moments.

  Args:
    m, s: location and scale > 0 of the truth.
    nu: degrees of freedom > 2, inf for a Gaussian truth. A jax array of them is not checked: up to 2 gives inf or
      NaN, also in the gradient, so give masked entries some harmless nu.
    m_hat, s_hat: mean and standard deviation > 0 of the prediction.

  Raises:
    UserError: a concrete nu is not above 2, where the divergence is infinite.
  """
  xp = _namespace(xp, m, s, nu, m_hat, s_hat)
  _refuse('nu', nu, 2, 'KL(t || Gaussian) is infinite there, so such entries need to be masked')
  dtype = _dtype(xp, m, s, m_hat, s_hat)
  floor, scale = _of_nu(xp, lambda xp, nu: (_floor(xp, nu), 1.0 / xp.sqrt(1.0 - 2.0 / nu)), dtype, nu)
  return floor + kl_normal_normal(m, scale * xp.asarray(s, dtype), m_hat, s_hat, xp)


def _pair(xp: ModuleType, nu1: Array, nu2: Array) -> tuple[Array, ...]:
  """What kl_t_t needs of nu1, nu2 alone: sqrt(nu1 / nu2), K, c and K - log sqrt(nu1 / nu2), see there."""
  psi, beta1 = _digamma_and_beta(xp, nu1)
  _, beta2 = _digamma_and_beta(xp, nu2)
  ratio = xp.sqrt(nu1 / nu2)
  far = beta2 - beta1 + 0.5 * (nu2 - nu1) * psi
  return ratio, far + xp.log(ratio), 2.0 * (nu1 - nu2) / (nu1 + 1.0), far


def _moments(xp: ModuleType, nu1: Any, terms: int, dtype: Any) -> list[Array]:
  """(-1)^(n + 1) M_n / n for n = 1 .. terms; for an odd integer nu1 they are 0 from (nu1 + 1) / 2 on and cut there."""
  host = _on_host(nu1)
  nu = np.asarray(nu1, np.float64) if host else xp.asarray(nu1, dtype)
  out, moment = [], 1.0
  for n in range(1, max(terms, 1) + 1):
    moment = moment * ((nu + (1.0 - 2 * n)) / (nu + (2 * n - 1.0)))
    if host and not np.any(moment):
      break
    value = moment * ((1 if n % 2 else -1) / n)
    out.append(xp.asarray(value, dtype) if host else value)
  return out


def kl_t_t(
  m1: Array, s1: Array, nu1: Array, m2: Array, s2: Array, nu2: Array, terms: int = 32, xp: ModuleType | None = None
) -> Array:
  """KL(t_nu1(m1, s1) || t_nu2(m2, s2)) by a convergent series; exactly 0 for equal arguments.

  With rho = sqrt(nu1 / nu2) s1 / s2, delta = (m1 - m2) / (s2 sqrt(nu2)), A = (1 + rho)^2 + delta^2 and
  w = (1 - rho + i delta) / (1 + rho + i delta),

    KL = log(s2 / s1) + b(nu2) - b(nu1) + (nu2 - nu1) psi(nu1) / 2 + (nu2 + 1) / 2 (log(A / 4) + 2 S),
    S = sum over n >= 1 of (-1)^(n + 1) M_n Re(w^n) / n,  M_n = M_(n - 1) (nu1 + 1 - 2 n) / (nu1 - 1 + 2 n)

  (psi and b: `_digamma_and_beta`). For |w| < 1/4 the logarithms are merged into terms of second order in w,

    KL = K + c Re w - nu2 log(1 - |w|^2) - (nu2 - 1) (-log|1 - w| - Re w) + (nu2 + 1) (S without n = 1),

  K = KL at w = 0, c = 2 (nu1 - nu2) / (nu1 + 1), so that it is not lost in rounding near its minimum.

  Args:
    m1, s1, nu1: the truth; s1, nu1 > 0 and finite. For odd integers the sum is finite, hence exact.
    m2, s2, nu2: the prediction, likewise.
    terms: of the series, which fall like |w|^n n^-(nu1 + 1). For nu1 = 6 and scales 100 apart 32 leave 1e-8.

  Raises:
    UserError: concrete degrees of freedom are not positive and finite.
  """
  xp = _namespace(xp, m1, s1, nu1, m2, s2, nu2)
  for name, nu in (('nu1', nu1), ('nu2', nu2)):
    _refuse(name, nu, 0, 'degrees of freedom are positive')
    if _on_host(nu) and np.isinf(np.asarray(nu, np.float64)).any():
      raise UserError(f'{name} is inf, expected finite degrees of freedom: a Gaussian has its own formula, kl_t_normal')
  dtype = _dtype(xp, m1, s1, m2, s2)
  m1, s1, m2, s2 = (xp.asarray(x, dtype) for x in (m1, s1, m2, s2))
  ratio, close, first, far = _of_nu(xp, _pair, dtype, nu1, nu2)
  moments = _moments(xp, nu1, terms, dtype)
  nu1, nu2 = xp.asarray(nu1, dtype), xp.asarray(nu2, dtype)

  rho, delta = ratio * s1 / s2, (m1 - m2) / (s2 * xp.sqrt(nu2))
  less = (s2 - ratio * s1) / s2  # 1 - rho
  area = (1.0 + rho) * (1.0 + rho) + delta * delta
  re, im = (less * (1.0 + rho) + delta * delta) / area, 2.0 * rho * delta / area
  square = (less * less + delta * delta) / area  # |w|^2

  near = square < _NEAR * _NEAR
  q, x = xp.where(near, square, 0.0), xp.where(near, re, 0.0)
  y = q - 2.0 * x  # |1 - w|^2 - 1
  merged = close + first * x + nu2 * (q + _excess(xp, -q, xp.log1p(-q)))
  merged = merged - 0.5 * (nu2 - 1.0) * (_excess(xp, y, xp.log1p(y)) - q)
  direct = xp.log(s2 / s1) + far + 0.5 * (nu2 + 1.0) * xp.log(0.25 * area)
  direct = direct + (nu2 + 1.0) * ((nu1 - 1.0) / (nu1 + 1.0)) * re
  head = xp.where(near, merged, direct)
  return head if len(moments) < 2 else head + (nu2 + 1.0) * _real_part(moments[1:], re, im)


def _real_part(coefficients: Sequence[Array], re: Array, im: Array) -> Array:
  """Re of coefficients[0] w^2 + coefficients[1] w^3 + ..., by Horner's rule in real numbers."""
  a, b = coefficients[-1], 0.0
  for c in [*coefficients[-2::-1], 0.0, 0.0]:
    a, b = a * re - b * im + c, a * im + b * re
  return a
