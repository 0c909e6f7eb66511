"""AmbER^2's losses: values by hand, who is given gradients, experts that are absent, extreme logits."""

import functools
import math

import jax
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special

from affectjax.common.errors import UserError
from affectjax.objectives import ambiguity, distributions

Y = np.array([2 / 3, 1 / 3, 0, 0], np.float32)
EXPERTS = np.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]], np.float32)
STUDENT = np.array([0.5, 0.3, 0.1, 0.1], np.float32)
# experiments/amber2.md, 4: D of both experts and L_RAI; then by kappa u of the first and L_MAI.
REFERENCE = {
  'bits': ((0.1134, 0.5313, 0.1092), {2: (0.6976, 0.0845), 4: (0.8418, 0.0492), 8: (0.9659, 0.0189)}),
  'nats': ((0.0786, 0.3683, 0.0757), {2: (0.6409, 0.0682), 4: (0.7611, 0.0478), 8: (0.9103, 0.0225)}),
}
NAMES = tuple(ambiguity.DIVERGENCES)
# Of a divergence and a stop, one compilation each; JS both ways and KL without a stop are run always.
MOSTLY_SLOW = [
  pytest.param(name, stop, marks=[] if name == 'js' or (name, stop) == ('kl', False) else [pytest.mark.slow])
  for name in NAMES for stop in (True, False)
]  # fmt: skip
WEIGHTS = dict(lambda_rai=0.5, lambda_mai=0.5, kappa=4.0)


def cases(n: int = 64, experts: int = 3, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
  """Shares of three votes [N, K], and logits of a student [N, K] and of experts [N, M, K]."""
  rng = np.random.default_rng(seed)
  y = rng.multinomial(3, rng.dirichlet(np.ones(classes), n)) / 3
  student, others = rng.normal(size=(n, classes)), rng.normal(size=(n, experts, classes))
  return tuple(v.astype(np.float32) for v in (y, student, others))


def softmax(x: np.ndarray) -> np.ndarray:
  return scipy.special.softmax(x, -1).astype(np.float32)


def loss(y, student, experts, present=None, term='loss', **more):
  """The sum over examples of a term, by logits."""
  student, experts = jax.nn.softmax(student), jax.nn.softmax(experts)
  return ambiguity.total(y, student, experts, present=present, **{**WEIGHTS, **more})[term].sum()


@functools.lru_cache(maxsize=64)
def compiled(function, **fixed):
  """A function of arrays with these settings, as one program."""
  return jax.jit(functools.partial(function, **fixed))


@functools.lru_cache(maxsize=64)
def slopes(**more):
  """The gradients of `loss` by the logits of student and experts, compiled."""
  return jax.jit(jax.grad(functools.partial(loss, **more), (1, 2)))


def distance(name: str, p, q) -> float:
  """In bits, float64: scipy, and by hand what it has not."""
  p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
  if name == 'js':
    return scipy.spatial.distance.jensenshannon(p, q, 2) ** 2
  if name == 'kl':
    return scipy.special.rel_entr(p, q).sum() / math.log(2)
  return -math.log2(np.sqrt(p * q).sum())


@pytest.mark.parametrize('base', REFERENCE)
def test_divergences(base):
  first, second, rater = REFERENCE[base][0]
  np.testing.assert_allclose(compiled(distributions.js, base=base)(EXPERTS, Y), [first, second], atol=1e-4)
  assert float(compiled(ambiguity.rater_term, base=base)(Y, STUDENT)) == pytest.approx(rater, abs=1e-4)


@pytest.mark.parametrize('kappa', [2, 4, 8])
@pytest.mark.parametrize('base', REFERENCE)
def test_weights_and_losses(base, kappa):
  trust, modality = REFERENCE[base][1][kappa]
  weights = compiled(ambiguity.reliability, base=base)(Y, EXPERTS, float(kappa))
  np.testing.assert_allclose(weights, [trust, 1 - trust], atol=1e-4)
  found = compiled(ambiguity.modality_term, base=base)(STUDENT, EXPERTS, weights)
  assert float(found) == pytest.approx(modality, abs=1e-4)
  first, second, rater = REFERENCE[base][0]
  for joint in (True, False):
    call = compiled(ambiguity.total, base=base, joint=joint)
    got = call(Y, STUDENT, EXPERTS, lambda_rai=0.3, lambda_mai=0.7, kappa=float(kappa))
    wanted = 0.3 * rater + 0.7 * modality + (0.3 * (first + second) if joint else 0)
    assert float(got['loss']) == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(
      [got['rai'], got['mai'], got['experts'], got['weights'][0]], [rater, modality, first + second, trust], atol=1e-4
    )


def test_without_sharpness_all_are_trusted_alike():
  np.testing.assert_array_equal(compiled(ambiguity.reliability, base='bits')(Y, EXPERTS, 0.0), [0.5, 0.5])
  got = compiled(ambiguity.total, base='bits', joint=True)(Y, STUDENT, EXPERTS, **{**WEIGHTS, 'kappa': 0.0})
  known = float(compiled(distributions.js, base='bits')(EXPERTS, STUDENT).mean())
  assert float(got['mai']) == pytest.approx(known, abs=1e-6)


def test_sharpness_in_nats_is_less_sharp_by_log_2():
  nats, bits = (compiled(ambiguity.reliability, base=base) for base in ('nats', 'bits'))
  np.testing.assert_allclose(nats(Y, EXPERTS, 4.0), bits(Y, EXPERTS, 4.0 * math.log(2)), rtol=1e-6)


@pytest.mark.parametrize('name', NAMES)
def test_every_divergence_by_hand(name):
  y, student, experts = cases(8)
  p, q = softmax(student), softmax(experts)
  got = compiled(ambiguity.total, name=name)(y, p, q, **WEIGHTS)
  got = {k: np.asarray(v) for k, v in got.items()}
  for i in range(8):
    apart = np.array([distance('js', y[i], m) for m in q[i]])  # reliability and experts: JS, whatever the terms are
    trust = np.exp(-4 * apart) / np.exp(-4 * apart).sum()
    modality = (trust * [distance(name, p[i], m) for m in q[i]]).sum()
    np.testing.assert_allclose(got['weights'][i], trust, atol=1e-5)
    known = distance(name, y[i], p[i]), modality, apart.sum()
    np.testing.assert_allclose([got[k][i] for k in ('rai', 'mai', 'experts')], known, atol=1e-5)
    assert float(got['loss'][i]) == pytest.approx(0.5 * sum(known), abs=1e-5)


def test_an_unknown_divergence_is_refused():
  with pytest.raises(UserError, match="unknown divergence 'jsd'; there is: bhattacharyya, js, kl"):
    ambiguity.rater_term(Y, STUDENT, 'jsd')


# Who learns from what


@pytest.mark.parametrize('name', [
  pytest.param(name, marks=[] if name == 'js' else [pytest.mark.slow]) for name in NAMES
])  # fmt: skip
def test_a_stop_keeps_the_modality_term_from_the_experts(name):
  y, student, experts = cases()
  for_student, for_experts = slopes(term='mai', name=name, stop=True)(y, student, experts)
  assert not np.any(for_experts) and (np.abs(for_student).max(-1) > 0).all()
  other, pulled = slopes(term='mai', name=name, stop=False)(y, student, experts)
  assert (np.abs(pulled).max((-1, -2)) > 1e-4).all()
  np.testing.assert_allclose(other, for_student, atol=1e-6)  # to the student the weights are constants either way
  values = jax.jit(lambda *x: [loss(*x, name=name, stop=stop) for stop in (True, False)])(y, student, experts)
  assert float(values[0]) == float(values[1])


def test_without_a_stop_weights_too_have_a_gradient():
  """By hand: du_m of a softmax of -kappa D, beside the divergence's own pull."""
  given = cases()
  y, student, experts = (v[:1] for v in given)
  p = distributions.smoothed(softmax(student))

  def apart(logits):
    q = distributions.smoothed(jax.nn.softmax(logits))
    return distributions.js(p[:, None], q, 'bits')[0], distributions.js(y[:, None], q, 'bits')[0]

  (pull, worth), (between, distance_) = jax.jit(lambda x: (jax.jacobian(apart)(x), apart(x)))(experts)
  pull, worth = (np.asarray(v)[:, 0] for v in (pull, worth))  # [M, M, K]
  trust = softmax(-4 * np.asarray(distance_))
  turned = -4 * trust[:, None] * (np.eye(3) - trust)  # du_m / dD_n
  wanted = np.einsum('m,mnk->nk', trust, pull) + np.einsum('m,mj,jnk->nk', between, turned, worth)
  got = slopes(term='mai', name='js', stop=False)(*given)[1]
  np.testing.assert_allclose(got[0], wanted, atol=1e-6)


@functools.lru_cache(maxsize=1)
def by_themselves():
  """Half the gradient of the experts' own term."""
  return jax.jit(jax.grad(lambda x, y: 0.5 * ambiguity.expert_term(y, jax.nn.softmax(x)).sum()))


@pytest.mark.parametrize('stop', [True, False])
def test_experts_learn_by_themselves_only_in_the_joint_form(stop):
  y, student, experts = cases()
  alone = slopes(stop=True, joint=False)(y, student, experts)[1]
  assert not np.any(alone)
  joint = slopes(stop=stop, joint=True)(y, student, experts)[1]
  own = by_themselves()(experts, y)
  more = slopes(term='mai', name='js', stop=stop)(y, student, experts)[1]
  np.testing.assert_allclose(joint, own + 0.5 * np.asarray(more), atol=1e-6)


def test_kappa_and_lambdas_may_be_traced():
  y, student, experts = cases(4)
  call = jax.jit(lambda rai, mai, kappa: loss(y, student, experts, lambda_rai=rai, lambda_mai=mai, kappa=kappa))
  for given in ((0.3, 0.7, 2.0), (0.7, 0.3, 8.0)):
    fixed = dict(zip(('lambda_rai', 'lambda_mai', 'kappa'), given, strict=True))
    plain = jax.jit(functools.partial(loss, **fixed))(y, student, experts)
    assert float(call(*given)) == pytest.approx(float(plain), rel=1e-6)


# Experts whose modality is absent


@functools.lru_cache(maxsize=8)
def terms_and_slopes(name: str, stop: bool):
  def terms(y, student, experts, present):
    got = ambiguity.total(y, student, experts, **WEIGHTS, present=present, name=name, stop=stop)
    return got['loss'].sum(), got

  return jax.jit(jax.value_and_grad(terms, (1, 2), has_aux=True))


@pytest.mark.parametrize('junk', [0.0, 0.25, 1e30, np.inf, np.nan])
@pytest.mark.parametrize(('name', 'stop'), MOSTLY_SLOW)
def test_an_absent_expert_is_as_if_dropped(name, stop, junk):
  y, student, logits = cases(16, 3)
  here = [0, 2]
  student, experts = softmax(student), softmax(logits)
  dirty = experts.copy()
  dirty[:, 1] = junk
  present = np.tile([True, False, True], (16, 1))
  by = terms_and_slopes(name, stop)
  wanted, got = by(y, student, experts[:, here], None), by(y, student, dirty, present)
  ((_, wanted), (ds, de)), ((_, got), (es, ee)) = jax.tree.map(np.asarray, (wanted, got))
  for key in ('loss', 'rai', 'mai', 'experts'):
    np.testing.assert_allclose(got[key], wanted[key], rtol=2e-6, atol=1e-7)
  np.testing.assert_allclose(got['weights'][:, here], wanted['weights'], rtol=1e-6)
  np.testing.assert_array_equal(got['weights'][:, 1], 0)
  np.testing.assert_allclose(es, ds, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(ee[:, here], de, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(ee[:, 1], 0)


def test_a_single_expert_that_is_there_has_all_the_trust():
  y, _, experts = cases(5, 2)
  present = np.array([[True, False]] * 5)
  np.testing.assert_array_equal(compiled(ambiguity.reliability)(y, softmax(experts), 8.0, present), [[1, 0]] * 5)


@functools.lru_cache(maxsize=1)
def by_raters():
  """Half the gradient of the rater term."""
  return jax.jit(jax.grad(lambda x, y: 0.5 * ambiguity.rater_term(y, x).sum()))


@pytest.mark.parametrize('stop', [True, False])
def test_with_nobody_there_the_raters_alone_count(stop):
  y, student, experts = cases(16, 3)
  nobody = np.zeros((16, 3), bool)
  given = y, softmax(student), softmax(experts), nobody
  (_, got), (ds, de) = jax.tree.map(np.asarray, terms_and_slopes('js', stop)(*given))
  for key in ('weights', 'mai', 'experts'):
    np.testing.assert_array_equal(got[key], 0)
  np.testing.assert_array_equal(got['loss'], 0.5 * got['rai'])
  np.testing.assert_array_equal(de, 0)
  plain = by_raters()(given[1], y)
  np.testing.assert_allclose(ds, plain, atol=1e-7)


# Extremes


@pytest.mark.parametrize(('name', 'stop'), MOSTLY_SLOW)
def test_gradients_are_finite_at_extreme_logits(name, stop):
  """Student and experts one-hot, equal, disjoint, with shares of 1e-30 and 0; raters one-hot, split and even."""
  ends = np.array([(300, -300, 0), (-300, 300, 0), (300, 300, -300), (0, 0, 0), (69, 0, 0), (100, 0, -100)], np.float32)
  raters = np.array([(1, 0, 0), (0, 1, 0), (0, 0.5, 0.5), (1 / 3, 1 / 3, 1 / 3), (1, 1e-30, 0)], np.float32)
  grid = np.stack(np.meshgrid(*[np.arange(len(ends))] * 3, np.arange(len(raters)), indexing='ij'), -1).reshape(-1, 4)
  y, student, experts = raters[grid[:, 3]], ends[grid[:, 0]], ends[grid[:, 1:3]]
  present = np.random.default_rng(0).random((len(grid), 2)) < 0.7
  call = jax.jit(jax.value_and_grad(functools.partial(loss, name=name, stop=stop, kappa=8.0), (1, 2)))
  for who in (None, present):
    value, (ds, de) = call(y, student, experts, who)
    assert np.isfinite(value) and np.isfinite(ds).all() and np.isfinite(de).all()
    assert max(np.abs(ds).max(), np.abs(de).max()) < 1e3


def test_student_like_its_experts_and_raters_costs_nothing():
  y = softmax(cases()[1])
  got = compiled(ambiguity.total)(y, y, np.stack([y, y], 1), **WEIGHTS)
  for key in ('loss', 'rai', 'mai', 'experts'):
    np.testing.assert_allclose(got[key], 0, atol=1e-6)
