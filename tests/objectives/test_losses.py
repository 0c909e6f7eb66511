"""Losses: values by hand, masked equals dropped in value and gradient, gradients that stay finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.objectives import contrastive, regression

ONES = np.ones(4, np.float32)
ccc = jax.jit(regression.ccc, static_argnums=3)
ccc_and_gradient = jax.jit(jax.value_and_grad(regression.ccc, (0, 1)))
cosine_embedding = jax.jit(contrastive.cosine_embedding)
scheduled = jax.jit(regression.scheduled)


def sample_ccc(x: np.ndarray, y: np.ndarray) -> float:
  """2 rho sd sd' / (var + var' + dmean^2) with N - 1 moments, as the released code writes it."""
  x, y = x.astype(np.float64), y.astype(np.float64)
  rho = np.corrcoef(x, y)[0, 1]
  return 2 * rho * x.std(ddof=1) * y.std(ddof=1) / (x.var(ddof=1) + y.var(ddof=1) + (x.mean() - y.mean()) ** 2)


def test_squared_error_is_per_example():
  out = jax.jit(regression.squared_error)(np.float32([0.5, -1.0, 0.0]), np.float32([0.0, 1.0, 0.0]))
  np.testing.assert_allclose(out, [0.25, 4.0, 0.0])


def test_ccc_by_hand():
  y = np.float32([0, 1, 2, 3])
  assert float(ccc(y, y, ONES)) == pytest.approx(1.0, abs=1e-6)
  assert float(ccc(-y + 3.0, y, ONES)) == pytest.approx(-1.0, abs=1e-6)
  # variances and covariance 5/3, means one apart: 2 * 5/3 / (10/3 + 1) = 10/13
  assert float(ccc(y + 1.0, y, ONES)) == pytest.approx(10 / 13, abs=1e-6)
  # twice as wide about the same mean: 2 * 10/3 / (20/3 + 5/3) = 0.8
  assert float(ccc(2 * y - 1.5, y, ONES)) == pytest.approx(0.8, abs=1e-6)


def test_ccc_against_numpy():
  rng = np.random.default_rng(0)
  for n in (2, 3, 17, 256):
    x, y = rng.normal(0.3, 0.4, n), rng.normal(-0.1, 0.6, n)
    x = (0.5 * x + 0.5 * y).astype(np.float32)
    got = float(ccc(x, y.astype(np.float32), np.ones(n, np.float32)))
    assert got == pytest.approx(sample_ccc(x, y), abs=2e-6)
  population = metrics.ccc(y, x)  # evaluation uses N: apart from the mean's share the two agree as N grows
  assert got == pytest.approx(population, abs=2e-3)


@pytest.mark.parametrize('junk', [0.0, 1e30, np.inf, -np.inf, np.nan])
def test_padded_rows_are_as_if_dropped(junk):
  rng = np.random.default_rng(1)
  x, y = rng.normal(size=(2, 12)).astype(np.float32)
  mask = (np.arange(12) % 4 != 1).astype(np.float32)
  real = mask > 0
  dirty = lambda v: np.where(real, v, junk).astype(np.float32)
  value, gradient = ccc_and_gradient(dirty(x), dirty(y), mask)
  expected, wanted = ccc_and_gradient(x[real], y[real], np.ones(real.sum(), np.float32))
  assert float(value) == pytest.approx(float(expected), abs=1e-6)
  for g, w in zip(gradient, wanted, strict=True):
    np.testing.assert_allclose(np.asarray(g)[real], w, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(g)[~real], 0)


@pytest.mark.parametrize(
  ('x', 'y'),
  [
    (np.zeros(4), np.zeros(4)),  # no variance anywhere, means equal
    (np.full(4, 0.3), np.arange(4.0)),
    (np.arange(4.0), np.full(4, 0.3)),
    (np.full(4, 0.3), np.full(4, -0.3)),
  ],
)
def test_gradients_are_finite_at_zero_variance(x, y):
  value, gradient = ccc_and_gradient(x.astype(np.float32), y.astype(np.float32), ONES)
  assert float(value) == pytest.approx(0.0, abs=1e-6)
  assert all(np.isfinite(np.asarray(g)).all() for g in gradient)


@pytest.mark.parametrize('n', [0, 1])
def test_ccc_of_one_row_or_none_is_zero_and_differentiable(n):
  mask = (np.arange(4) < n).astype(np.float32)
  value, gradient = ccc_and_gradient(np.full(4, 0.7, np.float32), np.full(4, 0.7, np.float32), mask)
  assert float(value) == 0.0
  assert np.isfinite(np.asarray(gradient)).all()


def test_ccc_moments():
  rng = np.random.default_rng(5)
  x, y = rng.normal(size=(2, 3, 40, 2)).astype(np.float32)
  y = (y + x).astype(np.float32)
  mask = (rng.random((3, 40, 2)) < 0.8).astype(np.float32)
  real, n = mask > 0, mask.sum()
  cov = np.mean((x[real] - x[real].mean()) * (y[real] - y[real].mean()))
  means = (x[real].mean() - y[real].mean()) ** 2
  mixed = 2 * cov / (x[real].var(ddof=1) + y[real].var(ddof=1) + means)
  got = lambda moments: float(ccc(x, y, mask, moments))
  assert got('sample') == pytest.approx(sample_ccc(x[real], y[real]), abs=1e-6)
  assert got('sample') == float(ccc(x, y, mask))
  assert got('population') == pytest.approx(metrics.ccc(y[real], x[real]), abs=1e-6)
  assert got('mixed') == pytest.approx(float(mixed), abs=1e-6)
  # Against itself the released mixture gives (n - 1) / n.
  same = ccc(x, x, mask, 'mixed')
  assert float(same) == pytest.approx((n - 1) / n, abs=1e-6)
  assert float(ccc(x, x, mask, 'population')) == pytest.approx(1.0, abs=1e-6)


def test_unknown_moments_are_refused():
  with pytest.raises(UserError, match='mixed, population, sample'):
    regression.ccc(ONES, ONES, ONES, 'biased')


def test_schedule_runs_from_concordance_to_squared_error():
  mse, concordance = np.float32([0.1, 0.4]), np.full(2, 0.25, np.float32)
  np.testing.assert_allclose(scheduled(mse, concordance, np.float32(0.0)), [0.75, 0.75])
  np.testing.assert_allclose(scheduled(mse, concordance, np.float32(1.0)), mse)
  np.testing.assert_allclose(scheduled(mse, concordance, np.float32(0.5)), [0.425, 0.575])
  np.testing.assert_allclose(scheduled(mse, concordance, np.float32(0.5), alpha=2.0), [0.475, 0.775])


def at_cosine(*cosines: float) -> tuple[np.ndarray, np.ndarray]:
  """Pairs of vectors of unequal lengths with these cosines, [B, 2] each."""
  angle = np.arccos(np.array(cosines))
  first = np.tile([[3.0, 0.0]], (len(angle), 1))
  return first.astype(np.float32), (0.5 * np.stack([np.cos(angle), np.sin(angle)], 1)).astype(np.float32)


def test_cosine_embedding_by_hand():
  first, second = at_cosine(0.2, 0.5, 0.25, -0.9, 1.0)
  different = cosine_embedding(first, second, np.zeros(5, np.int32), margin=0.25)
  np.testing.assert_allclose(different, [0.0, 0.25, 0.0, 0.0, 0.75], atol=1e-6)
  same = cosine_embedding(first, second, np.ones(5, np.int32), margin=0.25)
  np.testing.assert_allclose(same, [0.8, 0.5, 0.75, 1.9, 0.0], atol=1e-6)


def test_cosine_similarity_against_numpy():
  rng = np.random.default_rng(2)
  a, b = rng.normal(size=(2, 50, 16))
  wanted = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
  np.testing.assert_allclose(jax.jit(contrastive.cosine_similarity)(np.float32(a), np.float32(b)), wanted, atol=1e-6)


def test_cosine_of_zero_vectors_is_zero_with_finite_gradients():
  zero, other = np.zeros((1, 3), np.float32), np.float32([[1, 2, 2]])
  total = lambda a, b: contrastive.cosine_embedding(a, b, jnp.ones(1)).sum()
  both = jax.jit(jax.value_and_grad(total, (0, 1)))
  for a, b in ((zero, other), (other, zero), (zero, zero)):
    value, gradient = both(a, b)
    assert float(value) == 1.0
    assert all(np.isfinite(g).all() for g in gradient)
