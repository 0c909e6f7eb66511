"""KL divergences of Student-t's: against quadrature in extended precision, limits, gradients, float32.

Errors are |computed - reference| / (1 + |KL|).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from affectjax.common.errors import UserError
from affectjax.objectives import student_t

WIDE = np.longdouble  # 64 bits of mantissa on x86; where it is only a double, the references are good to 1e-14
CASES = 10_000


# References. None of them uses a closed form: even the normaliser of a density is integrated.


def whole_line(h: float = 0.03, reach: float = 6.4) -> tuple[np.ndarray, np.ndarray]:
  """Nodes and weights of double-exponential quadrature over the real line, x = sinh(pi / 2 sinh t)."""
  t = np.arange(-round(reach / h), round(reach / h) + 1, dtype=WIDE) * WIDE(h)
  inner = WIDE(np.pi) / 2 * np.sinh(t)
  return np.sinh(inner), np.cosh(inner) * np.cosh(t) * (WIDE(np.pi) / 2 * WIDE(h))


def log_kernel(x: np.ndarray, nu: np.ndarray) -> np.ndarray:
  return -(nu + 1) / 2 * np.log1p(x * x / nu)


def quadrature_t_normal(m, s, nu, m_hat, s_hat):
  """KL(t || N) of arrays [M] by double-exponential quadrature of p (log p - log q)."""
  x, weight = whole_line()
  out = []
  for rows in np.array_split(np.arange(len(m)), max(len(m) // 500, 1)):
    a, b, n, c, d = (np.asarray(v, WIDE)[rows, None] for v in (m, s, nu, m_hat, s_hat))
    log_p = log_kernel(x, n)
    p = np.exp(log_p) * weight
    total = p.sum(1)
    log_q = -(((a - c) + b * x) ** 2) / (2 * d * d) - np.log(2 * WIDE(np.pi)) / 2 - np.log(d)
    out.append((p * (log_p - np.log(b) - log_q)).sum(1) / total - np.log(total))
  return np.concatenate(out)


def log_normaliser(nu: float) -> WIDE:
  x, weight = whole_line()
  return np.log((np.exp(log_kernel(x, WIDE(nu))) * weight).sum())


def quadrature_t_t(m1, s1, nu1, m2, s2, nu2) -> float:
  """KL(t || t) of one pair, in pieces between the two centres: there, on whatever scale, the integrand is awkward."""
  m1, s1, nu1, m2, s2, nu2 = (WIDE(v) for v in (m1, s1, nu1, m2, s2, nu2))
  shift, scale = (m1 - m2) / s2, s1 / s2
  t = np.arange(-300, 301, dtype=WIDE) * WIDE(0.02)
  grown, slope = np.exp(WIDE(np.pi) / 2 * np.sinh(t)), WIDE(np.pi) / 2 * np.cosh(t)
  ends = sorted({WIDE(0), -shift / scale})
  pieces = [(ends[0] - grown, grown * slope), (ends[-1] + grown, grown * slope)]
  for a, b in zip(ends[:-1], ends[1:], strict=True):
    share = 1 / (1 + 1 / grown**2)
    pieces.append((a + (b - a) * share, (b - a) * 2 * share / (1 + grown**2) * slope))
  total = WIDE(0)
  for x, weight in pieces:
    log_p = log_kernel(x, nu1)
    total += (np.exp(log_p) * weight * (log_p - log_kernel(shift + scale * x, nu2))).sum() * WIDE(0.02)
  return total / np.exp(log_normaliser(nu1)) - log_normaliser(nu1) + log_normaliser(nu2) - np.log(scale)


@functools.cache
def cases() -> tuple[tuple[np.ndarray, ...], np.ndarray]:
  """10,000 cases (m, s, nu, m_hat, s_hat), all exact in float32, and their divergence."""
  rng = np.random.default_rng(7)
  s, s_hat = np.exp(rng.uniform(np.log(1e-3), np.log(2), (2, CASES)))
  nu = np.where(rng.random(CASES) < 0.5, rng.integers(3, 33, CASES), 2 + np.exp(rng.uniform(-1.5, 6, CASES)))
  given = rng.uniform(-1, 1, CASES), s, nu, rng.uniform(-1, 1, CASES), s_hat
  given = tuple(np.asarray(v, np.float32) for v in given)
  close = np.arange(CASES) < 2000  # a fifth lie near the minimum
  scale = given[1] * np.sqrt(given[2] / (given[2] - 2))
  width = 10.0 ** rng.uniform(-7, -1, CASES)
  given = (
    *given[:3],
    np.where(close, given[0] + scale * width, given[3]).astype(np.float32),
    np.where(close, scale * (1 + width * rng.choice([-1, 1], CASES)), given[4]).astype(np.float32),
  )
  return given, quadrature_t_normal(*given)


def error(computed, reference) -> np.ndarray:
  return np.abs(np.asarray(computed, WIDE) - reference) / (1 + np.abs(np.asarray(reference, WIDE)))


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


# t against Gaussian


def test_t_normal_in_float64_against_quadrature(x64):
  given, reference = cases()
  wide = [np.asarray(v, np.float64) for v in given]
  assert error(student_t.kl_t_normal(*wide, xp=np), reference).max() < 1e-12
  computed = jax.jit(student_t.kl_t_normal)(*map(jnp.asarray, wide))
  assert computed.dtype == jnp.float64
  assert error(computed, reference).max() < 1e-12
  assert (computed >= student_t.t_floor(wide[2], np)).all()


def test_t_normal_in_float32_against_quadrature():
  given, reference = cases()
  traced = jax.jit(student_t.kl_t_normal)(*map(jnp.asarray, given))  # nu too is a traced array
  m, s, nu, m_hat, s_hat = given
  on_host = jax.jit(lambda m, s, m_hat, s_hat: student_t.kl_t_normal(m, s, nu, m_hat, s_hat))(m, s, m_hat, s_hat)
  for computed in (traced, on_host):
    assert computed.dtype == jnp.float32
    assert error(computed, reference).max() < 2e-6
    assert (computed > 0).all()


def test_digits_of_traced_raters_survive_in_float32():
  nu = np.arange(3, 1000)
  exact = student_t.t_floor(nu, np)
  traced = jax.jit(student_t.t_floor)(jnp.asarray(nu, jnp.float32))
  assert np.abs(traced - exact).max() < 1e-6
  far = nu >= 16
  np.testing.assert_allclose(traced[far], exact[far], rtol=1e-5)


# experiments/label_uncertainty.md, 4: nu, optimal s_hat / s, KL there, KL at s_hat = s.
FLOORS = [
  (3, 1.7321, 0.19477, 0.64546), (4, 1.4142, 0.08375, 0.23718), (5, 1.2910, 0.04685, 0.12477),
  (6, 1.2247, 0.02995, 0.07722), (7, 1.1832, 0.02080, 0.05256), (8, 1.1547, 0.01528, 0.03811),
  (10, 1.1180, 0.00925, 0.02268), (20, 1.0541, 0.00208, 0.00495), (30, 1.0351, 0.00089, 0.00211),
]  # fmt: skip


@pytest.mark.parametrize(('nu', 'scale', 'least', 'at_scale'), FLOORS)
def test_floor_table(nu, scale, least, at_scale):
  assert student_t.t_optimal_scale(nu, np) == pytest.approx(scale, abs=5.1e-5)
  assert student_t.t_floor(nu, np) == pytest.approx(least, abs=5.1e-6)
  assert student_t.kl_t_normal(0.3, 2.0, nu, 0.3, 2.0, np) == pytest.approx(at_scale, abs=5.1e-6)
  best = student_t.kl_t_normal(0.3, 2.0, nu, 0.3, 2.0 * student_t.t_optimal_scale(nu, np), np)
  assert best == pytest.approx(student_t.t_floor(nu, np), abs=1e-15)


def test_the_floor_is_the_least(x64):
  grid = np.linspace(0.5, 3, 2001)
  for nu in (2.5, 3, 6, 50):
    values = student_t.kl_t_normal(0.0, 1.0, nu, 0.0, grid, np)
    assert values.min() >= student_t.t_floor(nu, np)
    at = float(student_t.t_optimal_scale(nu, np))
    slope = jax.jit(jax.grad(lambda s, nu=nu: student_t.kl_t_normal(0.0, 1.0, nu, 0.0, s)))(at)
    assert abs(slope) < 1e-14


@pytest.mark.parametrize('nu', [2, 2.0, 1, -3, np.nan, np.array([3, 2, 6]), [6.0, 1.5]])
def test_few_degrees_of_freedom_are_refused(nu):
  for call in (
    lambda: student_t.kl_t_normal(0.0, 1.0, nu, 0.0, 1.0),
    lambda: student_t.t_floor(nu),
    lambda: student_t.t_optimal_scale(nu),
  ):
    with pytest.raises(ValueError, match='nu is .*expected more than 2'):
      call()


def test_a_t_of_many_degrees_is_a_gaussian():
  given = 0.1, 0.7, -0.3, 0.4
  gauss = student_t.kl_normal_normal(*given, np)
  for nu, tolerance in ((1e3, 1e-2), (1e6, 1e-5), (1e9, 1e-8), (np.inf, 1e-16)):
    assert student_t.kl_t_normal(0.1, 0.7, nu, -0.3, 0.4, np) == pytest.approx(gauss, abs=tolerance)


def test_gaussian_by_hand_and_never_negative():
  assert student_t.kl_normal_normal(1.0, 1.0, 0.0, 2.0, np) == pytest.approx(np.log(2) + 2 / 8 - 0.5, abs=1e-16)
  rng = np.random.default_rng(3)
  s = np.exp(rng.uniform(-14, 3, 20_000)).astype(np.float32)
  s_hat = (s * (1 + 10.0 ** rng.uniform(-8, -0.5, 20_000) * rng.choice([-1, 1], 20_000))).astype(np.float32)
  computed = np.asarray(jax.jit(student_t.kl_normal_normal)(0.0, s, 0.0, s_hat), np.float64)
  assert (computed >= 0).all()
  e = np.asarray(s, WIDE) / s_hat  # log1p keeps the reference exact where the two are equal
  exact = ((e - 1) * (e + 1) - 2 * np.log1p(e - 1)) / 2
  keep = np.abs(e - 1) > 1e-6
  np.testing.assert_allclose(computed[keep], exact[keep].astype(np.float64), rtol=5e-6)  # relative, though it is 1e-12
  assert (computed[s == s_hat] == 0).all()


# t against t

NUMERICS = {  # experiments/label_uncertainty.md, 8: max error by nu1, {terms: figure}, s1 / s2 near and far; nu2 = 6
  2: ({8: 2.9e-4, 16: 1.8e-5, 32: 7.0e-8, 64: 6.7e-12}, {8: 9.6e-3, 16: 2.0e-3, 32: 3.3e-4, 64: 2.8e-5}),
  4: ({8: 5.6e-6, 16: 5.2e-9, 32: 5.4e-12, 64: 8.9e-16}, {8: 1.5e-4, 16: 8.2e-6, 32: 3.1e-7, 64: 4.3e-9}),
  6: ({8: 2.3e-7, 16: 1.2e-10, 32: 8.9e-16, 64: 1.8e-15}, {8: 8.9e-6, 16: 1.2e-7, 32: 1.0e-9, 64: 2.9e-12}),
  10: ({8: 6.5e-9, 16: 2.4e-13, 32: 3.1e-15, 64: 3.1e-15}, {8: 3.5e-7, 16: 2.3e-10, 32: 9.5e-14, 64: 3.6e-15}),
  30: ({8: 2.4e-4, 16: 4.8e-15, 32: 3.3e-15, 64: 3.3e-15}, {8: 2.5e-3, 16: 2.9e-13, 32: 5.3e-15, 64: 5.3e-15}),
}


def grid(ratios):
  for ratio in ratios:
    for shift in (0.0, 0.5, 2.0):
      yield 0.0, ratio, shift * max(ratio, 1.0), 1.0


@pytest.mark.parametrize('nu1', [1, 2, 3, 4, 5, 6, 7, 10, 30])
def test_series_errors_are_no_larger_than_known(nu1):
  for i, ratios in enumerate(((1 / 3, 1, 3), (1 / 50, 50))):
    pairs = list(grid(ratios))
    exact = np.array([quadrature_t_t(m1, s1, nu1, m2, s2, 6) for m1, s1, m2, s2 in pairs])
    m1, s1, m2, s2 = np.array(pairs).T
    for terms in (8, 16, 32, 64):
      computed = student_t.kl_t_t(m1, s1, nu1, m2, s2, 6, terms, np)
      figure_of = NUMERICS[nu1][i][terms] if nu1 in NUMERICS else 0.0  # odd: the sum is finite
      assert np.abs(computed - exact).max() <= 1.06 * figure_of + 1e-14, (nu1, i, terms)


def test_odd_degrees_of_freedom_need_few_terms():
  given = 0.2, 0.03, -0.5, 0.9
  for nu1 in (1, 3, 5, 7):
    m1, s1, m2, s2 = given
    exact = quadrature_t_t(m1, s1, nu1, m2, s2, 4.5)
    computed = student_t.kl_t_t(m1, s1, nu1, m2, s2, 4.5, (nu1 - 1) // 2, np)
    assert computed == pytest.approx(float(exact), abs=1e-14)
    assert computed == student_t.kl_t_t(m1, s1, nu1, m2, s2, 4.5, 64, np)


def test_cauchy():
  rng = np.random.default_rng(0)
  m1, m2 = rng.normal(size=(2, 500))
  s1, s2 = np.exp(rng.normal(size=(2, 500)))
  known = np.log(((s1 + s2) ** 2 + (m1 - m2) ** 2) / (4 * s1 * s2))
  np.testing.assert_allclose(student_t.kl_t_t(m1, s1, 1, m2, s2, 1, xp=np), known, atol=1e-14, rtol=1e-14)


def test_limits_of_t_t():
  given = 0.1, 0.6, -0.2, 0.9
  m1, s1, m2, s2 = given
  for nu1 in (5, 9):
    gauss = student_t.kl_t_normal(m1, s1, nu1, m2, s2, np)
    errors = [abs(student_t.kl_t_t(m1, s1, nu1, m2, s2, nu2, xp=np) - gauss) for nu2 in (1e2, 1e4, 1e6)]
    assert errors[0] < 0.02 and errors[1] < 2e-4 and errors[2] < 2e-6
  both = student_t.kl_t_t(m1, s1, 2001, m2, s2, 2001, 1000, np)
  assert both == pytest.approx(student_t.kl_normal_normal(*given, np), abs=1e-3)


def _of_degrees(m1, s1, m2, s2, degrees):
  return student_t.kl_t_t(m1, s1, degrees, m2, s2, degrees)


def value_and_gradient(call, *given):
  """The values [M] of a divergence, and the gradients of their sum by its first four arguments.

  Not compiled as a whole: a long series as one program takes longer than its operations one by one.
  """

  def total(*four):
    out = call(*four, *given[4:])
    return out.sum(), out

  (_, value), gradient = jax.value_and_grad(total, (0, 1, 2, 3), has_aux=True)(*given[:4])
  return np.asarray(value), [np.asarray(g) for g in gradient]


@pytest.mark.parametrize('nu', [1, 6, 29])
def test_a_t_is_no_distance_from_itself(nu):
  rng = np.random.default_rng(1)
  m, s = rng.normal(size=200).astype(np.float32), np.exp(rng.uniform(-14, 2, 200)).astype(np.float32)
  given = lambda m1, s1, m2, s2: student_t.kl_t_t(m1, s1, nu, m2, s2, nu)
  for call, degrees in ((given, ()), (_of_degrees, (jnp.full(200, nu, jnp.float32),))):
    value, gradient = value_and_gradient(call, m, s, m, s, *degrees)
    assert (value == 0).all()
    for g in gradient:
      np.testing.assert_array_equal(g, 0)


def neighbours(rng, n):
  """Pairs of t's [n] whose scales and locations differ by 1e-7 to 1 of a scale."""
  width = 10.0 ** rng.uniform(-7, 0, (2, n))
  m1, s1 = rng.uniform(-1, 1, n), np.exp(rng.uniform(np.log(0.01), 0, n))
  return tuple(np.asarray(v, np.float32) for v in (m1, s1, m1 + s1 * width[0], s1 * (1 + width[1])))


@pytest.mark.parametrize('nu', [3, 6, 10, 29])
def test_t_t_is_not_negative_in_float32(nu):
  m1, s1, m2, s2 = neighbours(np.random.default_rng(2), 20_000)
  same = np.asarray(jax.jit(lambda *a: student_t.kl_t_t(a[0], a[1], nu, a[2], a[3], nu))(m1, s1, m2, s2))
  assert (same >= 0).all()
  wide = student_t.kl_t_t(*(v.astype(np.float64) for v in (m1, s1)), nu,
                          *(v.astype(np.float64) for v in (m2, s2)), nu, 64, np)  # fmt: skip
  np.testing.assert_allclose(same, wide, rtol=2e-5, atol=1e-13)
  # With traced, unequal degrees of freedom the terms of nu are rounded: the bound is 3e-6.
  nu1, nu2 = jnp.full(len(m1), nu, jnp.float32), jnp.full(len(m1), nu + 1, jnp.float32)
  assert jax.jit(student_t.kl_t_t)(m1, s1, nu1, m2, s2, nu2).min() > -3e-6


def random_pairs(seed, n):
  rng = np.random.default_rng(seed)
  m1, m2 = rng.uniform(-1, 1, (2, n)).astype(np.float32)
  s1, s2 = rng.uniform(0.01, 1, (2, n)).astype(np.float32)
  return m1, s1, m2, s2


def test_t_t_on_random_pairs():
  m1, s1, m2, s2 = random_pairs(4, CASES)
  wide = [v.astype(np.float64) for v in (m1, s1, m2, s2)]
  of = lambda terms, nu1: student_t.kl_t_t(wide[0], wide[1], nu1, wide[2], wide[3], 6, terms, np)
  for nu1, figure_of in ((4, {16: 5e-5, 32: 3e-6}), (6, {16: 7e-7, 32: 1e-8}), (8, {16: 3e-8, 32: 1e-10})):
    long = of(1000, nu1)
    assert (long >= 0).all()
    for terms, figure in figure_of.items():
      assert np.abs(of(terms, nu1) - long).max() < 2 * figure
  narrow = jax.jit(lambda m1, s1, m2, s2: student_t.kl_t_t(m1, s1, 6, m2, s2, 6))(m1, s1, m2, s2)
  assert error(narrow, of(1000, 6)).max() < 2e-6
  traced = jax.jit(student_t.kl_t_t)(m1, s1, jnp.full(CASES, 6.0), m2, s2, jnp.full(CASES, 6.0))
  assert error(traced, of(1000, 6)).max() < 2e-6


# Gradients

PAIRS = [(0.2, 0.5, -0.3, 0.7), (0.2, 0.5, 0.2, 0.5), (0.0, 0.03, 0.4, 0.9), (0.5, 1.0, 0.49, 0.02)]


FUNCTIONS = {
  'kl_normal_normal': student_t.kl_normal_normal,
  'kl_t_normal': lambda m1, s1, m2, s2, **xp: student_t.kl_t_normal(m1, s1, 6, m2, s2, **xp),
  'kl_t_t': lambda m1, s1, m2, s2, **xp: student_t.kl_t_t(m1, s1, 6, m2, s2, 9, terms=200, **xp),
}


@functools.cache
def gradients(function):
  """By the four arguments, at all of PAIRS; [4, pairs] in float64."""
  with jax.enable_x64(True):
    return np.stack(value_and_gradient(FUNCTIONS[function], *np.array(PAIRS).T)[1])


@pytest.mark.parametrize('given', PAIRS)
@pytest.mark.parametrize('function', ['kl_normal_normal', 'kl_t_normal', 'kl_t_t'])
def test_gradients_against_finite_differences(function, given):
  for i, g in enumerate(gradients(function)[:, PAIRS.index(given)]):
    h = 1e-5 * max(abs(given[i]), 0.1)
    moved = ([v + sign * h * (i == j) for j, v in enumerate(given)] for sign in (1, -1))
    up, down = (FUNCTIONS[function](*m, xp=np) for m in moved)
    assert float(g) == pytest.approx(float(up - down) / (2 * h), rel=3e-6, abs=1e-8)


@pytest.mark.parametrize('traced', [False, True])
def test_values_and_gradients_are_finite_down_to_tiny_scales(traced):
  scales = np.array([1e-6, 1e-5, 1e-3, 0.1, 1.0, 2.0], np.float32)
  m, s, m_hat, s_hat = (v.ravel() for v in np.meshgrid([-1.0, 0.0, 0.3], scales, [0.0, 1.0], scales))
  m, s, m_hat, s_hat = (v.astype(np.float32) for v in (m, s, m_hat, s_hat))
  degrees = (jnp.full(m.shape, 6.0),) if traced else ()
  for call in (
    lambda m, s, m_hat, s_hat, *nu: student_t.kl_normal_normal(m, s, m_hat, s_hat),
    lambda m, s, m_hat, s_hat, nu=6: student_t.kl_t_normal(m, s, nu, m_hat, s_hat),
    lambda m, s, m_hat, s_hat, nu=6: student_t.kl_t_t(m, s, nu, m_hat, s_hat, nu),
  ):
    value, gradient = value_and_gradient(call, m, s, m_hat, s_hat, *degrees)
    assert np.isfinite(value.sum()) and (value >= 0).all()
    assert all(np.isfinite(g).all() for g in gradient)


@pytest.mark.parametrize('nu', [0, -1, np.nan, np.inf])
def test_impossible_degrees_of_freedom_of_t_t_are_refused(nu):
  with pytest.raises(UserError, match='nu1 is'):
    student_t.kl_t_t(0.0, 1.0, nu, 0.0, 1.0, 6)
  with pytest.raises(UserError, match='nu2 is'):
    student_t.kl_t_t(0.0, 1.0, 6, 0.0, 1.0, nu)


def test_monte_carlo_agrees():
  """The references and the forms share a definition of the density; scipy's is a third."""
  p, q = scipy.stats.t(6, 0.1, 0.5), scipy.stats.t(9, -0.2, 0.8)
  x = p.rvs(200_000, random_state=0)
  sample = p.logpdf(x) - q.logpdf(x)
  tolerance = 5 * sample.std() / np.sqrt(len(x))
  assert student_t.kl_t_t(0.1, 0.5, 6, -0.2, 0.8, 9, xp=np) == pytest.approx(sample.mean(), abs=tolerance)
  sample = p.logpdf(x) - scipy.stats.norm(-0.2, 0.8).logpdf(x)
  tolerance = 5 * sample.std() / np.sqrt(len(x))
  assert student_t.kl_t_normal(0.1, 0.5, 6, -0.2, 0.8, np) == pytest.approx(sample.mean(), abs=tolerance)
