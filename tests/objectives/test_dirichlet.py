"""Dirichlet losses: scipy's own Dirichlet, quadrature, an urn drawn by hand, both losses on one example by hand."""

import functools
import math

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from affectjax.common.errors import UserError
from affectjax.objectives import dirichlet


@pytest.fixture
def x64():
  with jax.enable_x64(True):
    yield


def examples(n: int = 40, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Concentrations from .2 to 20 and votes of one to six raters, float64."""
  rng = np.random.default_rng(seed)
  alpha = np.exp(rng.uniform(np.log(0.2), np.log(20), (n, classes)))
  counts = [rng.multinomial(rng.integers(1, 7), row) for row in rng.dirichlet(np.ones(classes), n)]
  return alpha, np.array(counts, np.float64)


def kl_to_uniform(alpha: np.ndarray) -> float:
  """The entropy that scipy gives, against a density that is (K - 1)! everywhere."""
  return -scipy.stats.dirichlet(alpha).entropy() - math.lgamma(len(alpha))


def urn(alpha: np.ndarray, counts: np.ndarray) -> float:
  """log probability of labels drawn one after the other from an urn, each of which puts one more ball of its own in."""
  balls, out = np.array(alpha, np.float64), 0.0
  for k in np.repeat(np.arange(len(alpha)), counts.astype(int)):
    out += math.log(balls[k] / balls.sum())
    balls[k] += 1
  return out


@functools.lru_cache(maxsize=16)
def each(function, *fixed):
  """A function of one example, over many of them, as one program; with these settings."""
  return jax.jit(jax.vmap(lambda *arrays: function(*arrays, *fixed)))


def test_mean_is_that_of_scipy(x64):
  alpha, _ = examples()
  for got, one in zip(np.asarray(each(dirichlet.mean)(alpha)), alpha, strict=True):
    np.testing.assert_allclose(got, scipy.stats.dirichlet(one).mean(), rtol=1e-14)


def test_kl_to_uniform_against_scipy(x64):
  alpha, _ = examples()
  exact = np.array([kl_to_uniform(a) for a in alpha])
  call = jax.jit(dirichlet.kl_to_uniform)
  got = np.asarray(call(alpha))
  np.testing.assert_allclose(got, exact, atol=1e-12, rtol=1e-12)
  assert (got > 0).all()
  np.testing.assert_allclose(call(np.ones((3, 7))), 0, atol=1e-14)


@pytest.mark.parametrize('alpha', [(1.0, 1.0), (2.0, 1.0), (3.5, 1.2), (1.0, 9.0), (25.0, 30.0)])
def test_kl_to_uniform_of_two_classes_by_quadrature(x64, alpha):
  density = scipy.stats.beta(*alpha)

  def integrand(p):
    log = density.logpdf(p)
    return math.exp(log) * log if np.isfinite(log) else 0.0

  exact, _ = scipy.integrate.quad(integrand, 0, 1, epsabs=1e-12, epsrel=1e-12, limit=200)
  assert float(each(dirichlet.kl_to_uniform)(np.array([alpha]))[0]) == pytest.approx(exact, abs=1e-10)


def test_votes_are_labels_drawn_one_by_one(x64):
  found = np.asarray(each(dirichlet.prior, 'votes')(*examples()))
  for got, alpha, counts in zip(found, *examples(), strict=True):
    assert got == pytest.approx(-urn(alpha, counts) / counts.sum(), abs=1e-12)
    # as many as there are orders of the labels: the distribution of counts
    orders = scipy.special.gammaln(counts.sum() + 1) - scipy.special.gammaln(counts + 1).sum()
    known = scipy.stats.dirichlet_multinomial(alpha, int(counts.sum())).logpmf(counts.astype(int))
    assert got == pytest.approx((orders - known) / counts.sum(), abs=1e-12)


def test_one_vote_has_the_likelihood_of_the_mean(x64):
  alpha, _ = examples()
  for k in range(4):
    got = each(dirichlet.prior, 'votes')(alpha, np.tile(np.eye(4)[k], (40, 1)))
    np.testing.assert_allclose(got, -np.log(alpha[:, k] / alpha.sum(1)), atol=1e-13)


@pytest.mark.parametrize('smoothing', [0.01, 0.1])
def test_density_is_that_of_smoothed_labels(x64, smoothing):
  labels = (1 - smoothing) * np.eye(4) + smoothing / 4
  found = np.asarray(each(dirichlet.prior, 'density', smoothing)(*examples()))
  for got, alpha, counts in zip(found, *examples(), strict=True):
    logs = np.array([scipy.stats.dirichlet(alpha).logpdf(label) for label in labels])
    assert got == pytest.approx(-(counts * logs).sum() / counts.sum(), abs=1e-12)


def test_evidential_by_hand(x64):
  alpha, counts = np.array([4.0, 1.5, 1.0, 2.5]), np.array([2.0, 1.0, 0.0, 0.0])
  fit = 2 * math.log(9 / 4) + math.log(9 / 1.5)
  call = lambda *args: float(each(dirichlet.evidential, *args)(alpha[None], counts[None])[0])
  assert call('none') == pytest.approx(fit, abs=1e-13)
  assert call('none', 5.0) == call('none')
  left = np.array([2 / 3 + 4 / 3, 1 / 3 + 2 / 3 * 1.5, 1.0, 2.5])  # y + (1 - y) alpha
  assert call('dirichlet', 0.8) == pytest.approx(fit + 0.8 * kl_to_uniform(left), abs=1e-12)
  assert call() == call('dirichlet', 0.8)
  mean = 2 / 3 * math.log(2 / 3 * 9 / 4) + 1 / 3 * math.log(1 / 3 * 9 / 1.5)
  assert call('mean', 0.2) == pytest.approx(fit + 0.2 * mean, abs=1e-13)


def test_evidence_only_for_what_all_raters_chose_costs_nothing_more(x64):
  alpha, counts = np.array([[50.0, 1.0, 1.0]]), np.array([[3.0, 0.0, 0.0]])
  call = lambda alpha, r: np.asarray(each(dirichlet.evidential, r, 1.0)(alpha, counts))
  np.testing.assert_allclose(call(alpha, 'dirichlet'), call(alpha, 'none'), atol=1e-13)
  assert call(alpha[:, ::-1], 'dirichlet')[0] > call(alpha[:, ::-1], 'none')[0] + 1


LOSSES = {
  **{r: lambda a, n, r=r: dirichlet.evidential(a, n, r) for r in dirichlet.REGULARISERS},
  **{like: lambda a, n, like=like: dirichlet.prior(a, n, like) for like in dirichlet.LIKELIHOODS},
}


@functools.lru_cache(maxsize=16)
def _sloped(name: str):
  return jax.jit(jax.vmap(jax.value_and_grad(LOSSES[name])))


def sloped(name: str, alpha, counts) -> tuple[np.ndarray, np.ndarray]:
  """Losses [N] and their gradients by alpha; of at most 200 examples, repeated up to those: one program for all."""
  full = (np.resize(v, (200, v.shape[1])) for v in (alpha, counts))
  return tuple(np.asarray(v)[: len(alpha)] for v in _sloped(name)(*full))


@pytest.mark.parametrize('name', LOSSES)
def test_float32_agrees_with_float64(name):
  alpha, counts = examples(200, seed=3)
  alpha += name in dirichlet.REGULARISERS  # evidence and 1
  narrow, slope = sloped(name, alpha.astype(np.float32), counts.astype(np.float32))
  assert narrow.dtype == np.float32
  with jax.enable_x64(True):
    exact, steep = sloped(name, alpha, counts)
    assert exact.dtype == np.float64
    np.testing.assert_allclose(narrow, exact, rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(slope, steep, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', LOSSES)
def test_gradients_against_finite_differences(x64, name):
  alpha, counts = examples(5, seed=4)
  h, gradient = 1e-6, sloped(name, alpha + 1, counts)[1]
  for k in range(4):
    step = h * np.eye(4)[k]
    slope = (sloped(name, alpha + 1 + step, counts)[0] - sloped(name, alpha + 1 - step, counts)[0]) / (2 * h)
    for found, known in zip(gradient[:, k], slope, strict=True):
      assert found == pytest.approx(known, abs=2e-7)


@pytest.mark.parametrize('name', LOSSES)
def test_the_ends_of_evidence_stay_finite(name):
  """No evidence at all, a great deal of it, and, for the prior, concentrations next to 0; nobody voted, too."""
  low = [1.0, 1.0, 1.0] if name in dirichlet.REGULARISERS else [1e-6, 1e-6, 1e-6]
  for alpha in (low, [low[0], 1e4, 5.0], [1e6, 1e6, 1e6]):
    for counts in ([3.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]):
      value, gradient = _sloped(name)(np.array([alpha], np.float32), np.array([counts], np.float32))
      assert np.isfinite(value).all() and np.isfinite(gradient).all()


def test_gradients_keep_their_digits_where_values_lose_theirs():
  """lgamma of large concentrations cancels in float32; what training goes by does not."""
  rng = np.random.default_rng(5)
  alpha = (1 + 1e4 * rng.random((200, 4))).astype(np.float32)
  counts = rng.multinomial(5, [0.4, 0.3, 0.2, 0.1], 200).astype(np.float32)
  got = jax.jit(jax.grad(lambda a: dirichlet.prior(a, counts).sum()))(alpha)
  wide = alpha.astype(np.float64)
  psi = scipy.special.digamma
  exact = (psi(wide.sum(1) + 5) - psi(wide.sum(1)))[:, None] - (psi(wide + counts) - psi(wide))
  np.testing.assert_allclose(got, exact / 5, atol=1e-5 * np.abs(exact).max())


def test_unknown_names_are_refused():
  call = lambda function, name: jax.eval_shape(lambda x: function(x, x, name), np.ones(3))
  with pytest.raises(UserError, match="unknown regulariser 'kl'; there is: dirichlet, mean, none"):
    call(dirichlet.evidential, 'kl')
  with pytest.raises(UserError, match="unknown likelihood 'labels'; there is: density, votes"):
    call(dirichlet.prior, 'labels')
