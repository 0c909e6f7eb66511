"""Bayes by backprop: closed form, Monte Carlo, and the released network's cost at initialisation."""

import jax
import numpy as np
import pytest
import scipy.stats

from affectjax.objectives import bayes

WEIGHTS = 263_432  # of the released head, experiments/label_uncertainty.md, 3


kl_closed = jax.jit(bayes.kl_closed)
log_ratio = jax.jit(bayes.log_ratio, static_argnames=('prior_std', 'axis'))


def initial(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
  """mu ~ U(-0.1, 0.1), rho ~ U(-3, -2) as released; [n] each."""
  rng = np.random.default_rng(seed)
  return rng.uniform(-0.1, 0.1, n).astype(np.float32), rng.uniform(-3, -2, n).astype(np.float32)


def normal(seed: int, *shape: int) -> np.ndarray:
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def test_closed_form_by_hand():
  rho = np.log(np.expm1(np.array([0.5, 2.0], np.float32)))  # sigma 0.5 and 2
  mu = np.array([0.3, -1.0], np.float32)
  wanted = sum(-np.log(s) + (s * s + m * m) / 2 - 0.5 for s, m in ((0.5, 0.3), (2.0, -1.0)))
  assert float(kl_closed(mu, rho)) == pytest.approx(wanted, abs=1e-6)
  tree = {'a': mu[:1], 'b': {'c': mu[1:, None]}}, {'a': rho[:1], 'b': {'c': rho[1:, None]}}
  assert float(kl_closed(*tree)) == pytest.approx(wanted, abs=1e-6)
  # N(0.3, 0.5^2) against N(0, 2^2)
  assert float(kl_closed(mu[:1], rho[:1], 2.0)) == pytest.approx(np.log(4) + 0.34 / 8 - 0.5, abs=1e-6)


def test_log_ratio_is_that_of_the_densities():
  mu, rho = initial(0, 40)
  eps = np.random.default_rng(1).normal(size=(3, 40))
  sigma = np.log1p(np.exp(np.asarray(rho, np.float64)))
  w = mu + sigma * eps
  for std in (1.0, 0.3):
    wanted = scipy.stats.norm.logpdf(w, mu, sigma) - scipy.stats.norm.logpdf(w, 0, std)
    np.testing.assert_allclose(log_ratio(eps, mu, rho, std, axis=-1), wanted.sum(-1), rtol=1e-5)
    np.testing.assert_allclose(log_ratio(eps, mu, rho, std), wanted.sum(), rtol=1e-5)


@pytest.mark.parametrize('std', [1.0, 0.5])
def test_monte_carlo_has_the_closed_form_as_its_expectation(std):
  mu, rho = initial(2, 50)
  eps = normal(0, 20_000, 50)
  draws = np.asarray(log_ratio(eps, mu, rho, std, axis=1), np.float64)
  assert draws.shape == (20_000,)
  assert draws.mean() == pytest.approx(float(kl_closed(mu, rho, std)), abs=5 * draws.std() / np.sqrt(len(draws)))


def test_the_released_cost_at_initialisation():
  # The mean over mu and rho by the midpoint rule, then one draw of all weights: as the known figure is, whose
  # standard deviation over draws is 140.
  middle = (np.arange(400) + 0.5) / 400
  mu, rho = np.meshgrid(-0.1 + 0.2 * middle, -3 + middle)
  mean = float(kl_closed(mu.astype(np.float32), rho.astype(np.float32))) / mu.size
  assert mean * WEIGHTS == pytest.approx(538_969, abs=280)
  assert mean * WEIGHTS / 7500 == pytest.approx(71.9, abs=0.05) and mean * WEIGHTS / 1500 == pytest.approx(359, abs=0.5)
  mu, rho = initial(3, WEIGHTS)
  assert float(kl_closed(mu, rho)) == pytest.approx(538_969, abs=600)  # 4 standard deviations
  eps = normal(1, WEIGHTS)
  assert float(log_ratio(eps, mu, rho)) == pytest.approx(538_969, abs=3_000)


def test_gradients_of_both_agree_in_expectation():
  mu, rho = np.array([0.4], np.float32), np.array([-1.0], np.float32)
  eps = normal(2, 400_000, 1)
  closed = jax.jit(jax.grad(bayes.kl_closed, (0, 1)))(mu, rho)
  mean = lambda mu, rho, eps: bayes.log_ratio(eps, mu, rho, axis=1).mean()
  sampled = jax.jit(jax.grad(mean, (0, 1)))(mu, rho, eps)
  for c, s in zip(closed, sampled, strict=True):
    np.testing.assert_allclose(s, c, atol=5e-3)


def test_gradients_stay_finite_for_narrow_posteriors():
  rho = np.array([-60, -14, 30], np.float32)
  value, gradient = jax.jit(jax.value_and_grad(bayes.kl_closed, (0, 1)))(np.zeros(3, np.float32), rho)
  assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradient)
