"""Label distributions: scipy as oracle, inequalities between divergences, gradients that stay finite, class weights."""

import math

import jax
import numpy as np
import optax
import pytest
import scipy.spatial.distance
import scipy.special

from affectjax.common.errors import UserError
from affectjax.objectives import distributions

T, U = 2 / 3, 1 / 3
REFERENCE = (  # y, p, then JS in bits, root of JS in nats, BC: experiments/amber2.md, 6
  ((T, U, 0, 0), (0.7, 0.2, 0.05, 0.05), (0.0624, 0.2080, 0.9413)),
  ((1, 0, 0, 0), (0.7, 0.1, 0.1, 0.1), (0.1692, 0.3425, 0.8367)),
  ((U, U, U, 0), (0.4, 0.3, 0.2, 0.1), (0.0650, 0.2122, 0.9396)),
  ((T, U, 0, 0), (1, 0, 0, 0), (0.1909, 0.3637, 0.8165)),
  ((T, U, 0, 0), (0.25, 0.25, 0.25, 0.25), (0.3252, 0.4748, 0.6969)),
)
DIVERGENCES = {
  'js': distributions.js,
  'kl': distributions.kl,
  'bhattacharyya': distributions.bhattacharyya_distance,
  'js_sqrt': distributions.js_sqrt,
  'hellinger': distributions.hellinger,
}
SYMMETRIC = tuple(name for name in DIVERGENCES if name != 'kl')


def pairs(n: int = 500, classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Distributions [N, K]: shares of few votes, which have zeros, and smooth ones, against each other and themselves."""
  rng = np.random.default_rng(seed)
  votes = rng.multinomial(4, rng.dirichlet(np.full(classes, 0.5), n)) / 4
  smooth = rng.dirichlet(np.full(classes, 0.7), n)
  other = rng.multinomial(3, smooth) / 3
  return np.concatenate([votes, smooth, votes, votes]), np.concatenate([smooth, votes, other, votes])


def bhattacharyya(p: np.ndarray, q: np.ndarray) -> np.ndarray:
  return np.sqrt(p * q).sum(-1)


def oracle(name: str, p: np.ndarray, q: np.ndarray) -> np.ndarray:
  """In nats; scipy where it has it."""
  if name in ('js', 'js_sqrt'):
    root = np.array([scipy.spatial.distance.jensenshannon(a, b) for a, b in zip(p, q, strict=True)])
    root = np.nan_to_num(root)  # scipy's own rounding below 0, for equal distributions
    return root**2 if name == 'js' else root
  if name == 'kl':
    return scipy.special.rel_entr(p, q).sum(-1)
  bc = bhattacharyya(p, q)
  return -np.log(np.maximum(bc, 1e-30)) if name == 'bhattacharyya' else np.sqrt(np.maximum(1 - bc, 0))


@pytest.mark.parametrize(('y', 'p', 'known'), REFERENCE)
def test_known_values(y, p, known):
  y, p = np.array(y), np.array(p)
  got = (
    distributions.js(y, p, 'bits', np),
    distributions.js_sqrt(y, p, 'nats', np),
    distributions.bhattacharyya_coefficient(y, p, np),
  )
  np.testing.assert_allclose(got, known, atol=5.1e-5)


@pytest.mark.parametrize('name', DIVERGENCES)
def test_against_scipy(name):
  p, q = pairs()
  exact, call = oracle(name, p, q), DIVERGENCES[name]
  # a root makes of a rounding of 1e-16 one of 1e-8 where it is 0
  wide, narrow = (2e-8, 1e-3) if name in ('js_sqrt', 'hellinger') else (1e-12, 1e-5)
  got = call(p, q, xp=np)
  assert got.dtype == np.float64 and got.shape == exact.shape
  np.testing.assert_allclose(got, exact, rtol=1e-12, atol=wide)
  far = exact > 1e-2
  np.testing.assert_allclose(got[far], exact[far], rtol=1e-12, atol=1e-12)
  traced = np.asarray(jax.jit(call)(p.astype(np.float32), q.astype(np.float32)))
  assert traced.dtype == np.float32
  sane = np.isfinite(exact) & (exact < 10)  # disjoint ones are cut or infinite, in both
  np.testing.assert_array_equal(np.isinf(traced), np.isinf(exact))
  np.testing.assert_allclose(traced[sane], exact[sane], atol=narrow)
  np.testing.assert_allclose(traced[sane & far], exact[sane & far], atol=1e-5)


def test_entropy_against_scipy():
  p, _ = pairs()
  exact = scipy.special.entr(p).sum(-1)
  np.testing.assert_allclose(distributions.entropy(p, xp=np), exact, atol=1e-12)
  np.testing.assert_allclose(distributions.entropy(p, 'bits', np), exact / math.log(2), atol=1e-12)
  np.testing.assert_allclose(jax.jit(distributions.entropy)(p.astype(np.float32)), exact, atol=1e-5)
  assert distributions.entropy(np.full(8, 1 / 8), 'bits', np) == pytest.approx(3.0, abs=1e-15)
  for votes, bits in (((2, 1), 0.918), ((1, 1, 1), 1.585), ((4, 1), 0.722), ((3, 2), 0.971), ((2, 2, 1), 1.522)):
    assert distributions.entropy(np.array(votes) / sum(votes), 'bits', np) == pytest.approx(bits, abs=5.1e-4)


@pytest.mark.parametrize('name', ['js', 'kl', 'bhattacharyya'])
def test_bits_are_nats_over_log_2(name):
  p, q = pairs(50)
  nats, bits = (DIVERGENCES[name](p, q, base, np) for base in ('nats', 'bits'))
  np.testing.assert_allclose(bits, nats / math.log(2), rtol=1e-14)
  root = distributions.js_sqrt(p, q, 'bits', np)
  np.testing.assert_allclose(root, distributions.js_sqrt(p, q, 'nats', np) / math.sqrt(math.log(2)), rtol=1e-12)


def test_an_unknown_base_is_refused():
  for call in (distributions.entropy, lambda p, base: distributions.js(p, p, base)):
    with pytest.raises(UserError, match="unknown base 'log10'; there is: bits, nats"):
      call(np.ones(1), 'log10')


def test_js_is_symmetric_and_bounded():
  p, q = pairs()
  for name in SYMMETRIC:
    np.testing.assert_array_equal(DIVERGENCES[name](p, q, xp=np), DIVERGENCES[name](q, p, xp=np))
  bits = distributions.js(p, q, 'bits', np)
  assert bits.min() > -1e-15 and bits.max() <= 1 + 1e-15
  assert (distributions.js(p, p, 'bits', np) == 0).all() and (distributions.kl(p, p, xp=np) == 0).all()
  one, other = np.eye(4)[:2]
  assert distributions.js(one, other, 'bits', np) == pytest.approx(1.0, abs=1e-15)
  assert distributions.kl(one, other, xp=np) == np.inf
  assert distributions.hellinger(one, other, np) == 1.0
  pair = p.astype(np.float32), q.astype(np.float32)
  narrow = np.asarray(jax.jit(distributions.js, static_argnums=2)(*pair, 'bits'))
  assert narrow.min() > -3e-7 and narrow.max() < 1 + 3e-7
  roots = np.asarray(jax.jit(distributions.js_sqrt)(*pair))
  assert np.isfinite(roots).all() and (roots >= 0).all()


def test_js_and_bhattacharyya_bound_each_other():
  """H2 = 1 - BC: H2 <= JS in bits <= H2 / log 2, and KL >= twice the Bhattacharyya distance."""
  p, q = pairs(2000)
  h2 = 1 - distributions.bhattacharyya_coefficient(p, q, np)
  bits = distributions.js(p, q, 'bits', np)
  assert (h2 <= bits + 1e-12).all() and (bits <= 1.443 * h2 + 1e-12).all()
  nats = distributions.js(p, q, 'nats', np)
  assert (0.693 * h2 <= nats + 1e-12).all() and (nats <= h2 + 1e-12).all()
  np.testing.assert_allclose(distributions.hellinger(p, q, np) ** 2, np.maximum(h2, 0), atol=1e-12)
  finite = distributions.kl(p, q, xp=np)
  assert (finite + 1e-12 >= 2 * distributions.bhattacharyya_distance(p, q, xp=np))[np.isfinite(finite)].all()


def test_the_root_of_js_is_a_metric():
  rng = np.random.default_rng(2)
  a, b, c = rng.dirichlet(np.full(4, 0.3), (3, 2000))
  d = lambda x, y: distributions.js_sqrt(x, y, xp=np)
  assert (d(a, c) <= d(a, b) + d(b, c) + 1e-12).all()


def test_what_is_not_a_number_stays_so():
  p, q = np.array([np.nan, 0.5]), np.array([0.5, 0.5])
  for name, call in DIVERGENCES.items():
    assert np.isnan(call(p, q, xp=np)) and np.isnan(jax.jit(call)(p, q)), name
  assert np.isnan(distributions.entropy(p, xp=np))


def test_smoothed_has_no_zero_and_sum_one():
  p, _ = pairs(50)
  got = distributions.smoothed(p)
  assert (got > 0).all()
  np.testing.assert_allclose(got.sum(-1), 1, atol=1e-15)
  np.testing.assert_allclose(got, (p + 1e-8) / (1 + 5e-8), rtol=1e-14)


# Gradients. What is tiny or 0 as float32 comes first.
HARD = {
  'one-hot': (1, 0, 0), 'another': (0, 1, 0), 'equal': (0.2, 0.3, 0.5), 'uniform': (U, U, U), 'half': (0, 0.5, 0.5),
  'tiny': (1e-30, 0.5, 0.5), 'tiny rest': (1, 1e-30, 1e-30), 'tiny and 0': (1e-30, 1, 0), 'least': (1, 2e-38, 0),
}  # fmt: skip
LOGITS = (
  (300, -300, 0), (-300, 300, 0), (300, 300, -300), (-300, -300, 300), (0, 0, 0), (80, 0, -5), (60, -30, 5),
  (87, 0, 0), (100, 0, 0),
)  # fmt: skip


@pytest.mark.parametrize('name', DIVERGENCES)
def test_gradients_are_finite_on_hard_distributions(name):
  grid = np.array(list(HARD.values()), np.float32)
  p, q = (v.reshape(-1, 3) for v in np.broadcast_arrays(grid[:, None], grid))
  call = jax.vmap(jax.value_and_grad(lambda p, q: DIVERGENCES[name](p, q), (0, 1)))
  value, each = jax.tree.map(np.asarray, jax.jit(call)(p, q))
  # a gradient of KL by a share of 2e-38 is 5e37, which float32 still holds
  assert all(np.isfinite(g).all() for g in each)
  assert np.isfinite(value).all() or name == 'kl'
  same = (p == q).all(-1)
  assert (np.abs(value[same]) < 5e-4).all()
  if name == 'js_sqrt':
    assert all((g[same] == 0).all() for g in each)


@pytest.mark.parametrize('name', DIVERGENCES)
def test_gradients_are_finite_through_a_softmax_of_extreme_logits(name):
  grid = np.array(LOGITS, np.float32)
  x, y = (v.reshape(-1, 3) for v in np.broadcast_arrays(grid[:, None], grid))
  for smooth in (distributions.smoothed, lambda p: p):
    call = lambda x, y, smooth=smooth: DIVERGENCES[name](smooth(jax.nn.softmax(x)), smooth(jax.nn.softmax(y)))
    value, each = jax.jit(jax.vmap(jax.value_and_grad(call, (0, 1))))(x, y)
    assert all(np.isfinite(g).all() for g in each)
    # through the softmax no gradient is large, whatever a share's own is; a root's is, where it is next to 0
    assert max(np.abs(g).max() for g in each) < (1e4 if name in ('js_sqrt', 'hellinger') else 400)
    assert np.isfinite(value).all() or name == 'kl' and smooth is not distributions.smoothed


@pytest.mark.parametrize('name', DIVERGENCES)
def test_gradients_against_finite_differences(name):
  rng = np.random.default_rng(4)
  whole = jax.jit(jax.value_and_grad(lambda x, y: DIVERGENCES[name](jax.nn.softmax(x), jax.nn.softmax(y)), (0, 1)))
  call = lambda x, y: whole(x, y)[0]
  with jax.enable_x64(True):
    for _ in range(5):
      x, y = rng.normal(size=(2, 4))
      gradient, h = whole(x, y)[1], 1e-6
      for k in range(4):
        step = h * np.eye(4)[k]
        assert float(gradient[0][k]) == pytest.approx(float(call(x + step, y) - call(x - step, y)) / (2 * h), abs=1e-8)
        assert float(gradient[1][k]) == pytest.approx(float(call(x, y + step) - call(x, y - step)) / (2 * h), abs=1e-8)


def test_the_gradient_of_js_by_hand():
  """By p it is log(p / m) / 2, by a share that is 0 only what the other distribution's term leaves."""
  p, q = np.array([0.5, 0.5, 0.0], np.float32), np.array([0.25, 0.25, 0.5], np.float32)
  gradient = jax.jit(jax.grad(distributions.js))(p, q)
  np.testing.assert_allclose(gradient, [0.5 * math.log(4 / 3), 0.5 * math.log(4 / 3), -0.5], atol=1e-6)


def test_soft_cross_entropy_is_kl_and_entropy():
  rng = np.random.default_rng(5)
  shares, _ = pairs(20)
  logits = rng.normal(size=shares.shape)
  softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  exact = scipy.special.rel_entr(shares, softmax).sum(-1) + scipy.special.entr(shares).sum(-1)
  call = jax.jit(distributions.soft_cross_entropy)
  np.testing.assert_allclose(call(logits.astype(np.float32), shares.astype(np.float32)), exact, atol=1e-5)
  one = np.eye(3, dtype=np.float32)[1]
  sloped = jax.jit(jax.grad(lambda x: distributions.soft_cross_entropy(x, one)))
  gradient = sloped(np.array([300, -300, 0], np.float32))
  np.testing.assert_allclose(gradient, [1, -1, 0], atol=1e-6)


# Weights of classes

COUNTS = np.array([10, 1000, 0, 50])


@pytest.mark.parametrize('beta', [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 - 1e-9, 1 - 1e-12, 1.0])
def test_class_weights_have_mean_one_over_classes_that_occur(beta):
  for got in (
    distributions.effective_number_weights(COUNTS, beta, np),
    np.asarray(jax.jit(distributions.effective_number_weights, static_argnums=1)(COUNTS, beta)),
  ):
    assert got[2] == 0 and (got[[0, 1, 3]] > 0).all()
    assert got.sum() == pytest.approx(3, abs=1e-6)
    assert got[0] >= got[3] >= got[1]
    if 0 < beta < 1:
      occurs = COUNTS[COUNTS > 0]
      raw = np.array([1 / sum(beta**i for i in range(n)) for n in occurs])  # 1 - b^n over 1 - b, the sum written out
      np.testing.assert_allclose(got[COUNTS > 0], raw * 3 / raw.sum(), rtol=1e-6)


def test_limits_of_class_weights():
  occurs = COUNTS > 0
  alike = distributions.effective_number_weights(COUNTS, 0.0, np)
  np.testing.assert_array_equal(alike, occurs.astype(float))
  inverse = distributions.effective_number_weights(COUNTS, 1.0, np)
  raw = np.where(occurs, 1 / np.maximum(COUNTS, 1), 0)
  np.testing.assert_allclose(inverse, raw * 3 / raw.sum(), rtol=1e-14)
  for near in (1e-6, 1e-9, 1e-12, 1e-15):  # (1 - beta) itself has few digits, but all classes share them
    got = distributions.effective_number_weights(COUNTS, 1 - near, np)
    np.testing.assert_allclose(got, inverse, rtol=1000 * near + 1e-13)
  np.testing.assert_allclose(distributions.effective_number_weights(COUNTS, 1e-9, np), alike, rtol=2e-9)
  assert not distributions.effective_number_weights(np.zeros(3), 0.9, np).any()
  np.testing.assert_array_equal(distributions.effective_number_weights(np.full(4, 7), 0.99, np), 1)


@pytest.mark.parametrize('beta', [-0.1, 1.1, math.nan])
def test_a_beta_outside_is_refused(beta):
  with pytest.raises(UserError, match=r'beta is .*expected 0 \(all alike\) to 1') as error:
    distributions.effective_number_weights(COUNTS, beta, np)
  assert '\n' not in str(error.value)


def test_class_balanced_cross_entropy_is_weights_times_that_of_optax():
  rng = np.random.default_rng(6)
  logits, label = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 4, 20)
  weights = distributions.effective_number_weights(np.array([10, 1000, 3, 50]), 0.999, np).astype(np.float32)
  call = jax.jit(distributions.class_balanced_cross_entropy)
  plain = np.asarray(jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, label))
  np.testing.assert_allclose(call(logits, label, weights), weights[label] * plain, rtol=1e-6)
  uniform, shares = call(logits, label, np.ones(4, np.float32)), np.eye(4, dtype=np.float32)[label]
  np.testing.assert_allclose(uniform, jax.jit(distributions.soft_cross_entropy)(logits, shares), rtol=1e-5)
