"""AmbER^2's losses: the fact sheet's values, who is given gradients, experts that are absent, extreme logits."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special

from affectjax.errors import UserError
from affectjax.objectives import ambiguity, distributions

Y = jnp.array([2 / 3, 1 / 3, 0, 0])
EXPERTS = jnp.array([[0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.6, 0.1]])
STUDENT = jnp.array([0.5, 0.3, 0.1, 0.1])
# Section 3 of the sheet: D of both experts and L_RAI; then by kappa u of the first and L_MAI.
SHEET = {
  'bits': ((0.1134, 0.5313, 0.1092), {2: (0.6976, 0.0845), 4: (0.8418, 0.0492), 8: (0.9659, 0.0189)}),
  'nats': ((0.0786, 0.3683, 0.0757), {2: (0.6409, 0.0682), 4: (0.7611, 0.0478), 8: (0.9103, 0.0225)}),
}
NAMES = tuple(ambiguity.DIVERGENCES)
WEIGHTS = dict(lambda_rai=0.5, lambda_mai=0.5, kappa=4.0)


def cases(n: int = 64, experts: int = 3, classes: int = 4, seed: int = 0) -> tuple[jax.Array, ...]:
  """Shares of three votes [N, K], and logits of a student [N, K] and of experts [N, M, K]."""
  rng = np.random.default_rng(seed)
  y = rng.multinomial(3, rng.dirichlet(np.ones(classes), n)) / 3
  student, others = rng.normal(size=(n, classes)), rng.normal(size=(n, experts, classes))
  return tuple(jnp.asarray(v, jnp.float32) for v in (y, student, others))


def loss(y, student, experts, present=None, term='loss', **more):
  """The sum over examples of a term, by logits."""
  student, experts = jax.nn.softmax(student), jax.nn.softmax(experts)
  return ambiguity.total(y, student, experts, present=present, **{**WEIGHTS, **more})[term].sum()


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


@pytest.mark.parametrize('base', SHEET)
def test_the_sheets_divergences(base):
  first, second, rater = SHEET[base][0]
  np.testing.assert_allclose(distributions.js(EXPERTS, Y, base), [first, second], atol=1e-4)
  assert float(ambiguity.rater_term(Y, STUDENT, base=base)) == pytest.approx(rater, abs=1e-4)


@pytest.mark.parametrize('kappa', [2, 4, 8])
@pytest.mark.parametrize('base', SHEET)
def test_the_sheets_weights_and_losses(base, kappa):
  trust, modality = SHEET[base][1][kappa]
  weights = ambiguity.reliability(Y, EXPERTS, kappa, base=base)
  np.testing.assert_allclose(weights, [trust, 1 - trust], atol=1e-4)
  assert float(ambiguity.modality_term(STUDENT, EXPERTS, weights, base=base)) == pytest.approx(modality, abs=1e-4)
  first, second, rater = SHEET[base][0]
  for joint in (True, False):
    got = ambiguity.total(Y, STUDENT, EXPERTS, lambda_rai=0.3, lambda_mai=0.7, kappa=kappa, base=base, joint=joint)
    wanted = 0.3 * rater + 0.7 * modality + (0.3 * (first + second) if joint else 0)
    assert float(got['loss']) == pytest.approx(wanted, abs=1e-4)
    np.testing.assert_allclose(
      [got['rai'], got['mai'], got['experts'], got['weights'][0]], [rater, modality, first + second, trust], atol=1e-4
    )


def test_without_sharpness_all_are_trusted_alike():
  np.testing.assert_array_equal(ambiguity.reliability(Y, EXPERTS, 0.0), [0.5, 0.5])
  got = ambiguity.total(Y, STUDENT, EXPERTS, **{**WEIGHTS, 'kappa': 0.0})
  assert float(got['mai']) == pytest.approx(float(distributions.js(STUDENT, EXPERTS, 'bits').mean()), abs=1e-6)


def test_sharpness_in_nats_is_less_sharp_by_log_2():
  np.testing.assert_allclose(
    ambiguity.reliability(Y, EXPERTS, 4.0, base='nats'),
    ambiguity.reliability(Y, EXPERTS, 4.0 * math.log(2), base='bits'), rtol=1e-6,
  )  # fmt: skip


@pytest.mark.parametrize('name', NAMES)
def test_every_divergence_by_hand(name):
  y, student, experts = cases(8)
  p, q = np.asarray(jax.nn.softmax(student)), np.asarray(jax.nn.softmax(experts))
  got = ambiguity.total(y, jnp.asarray(p), jnp.asarray(q), **WEIGHTS, name=name)
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


@pytest.mark.parametrize('name', NAMES)
def test_a_stop_keeps_the_modality_term_from_the_experts(name):
  y, student, experts = cases()
  for_student, for_experts = slopes(term='mai', name=name, stop=True)(y, student, experts)
  assert not for_experts.any() and (jnp.abs(for_student).max(-1) > 0).all()
  other, pulled = slopes(term='mai', name=name, stop=False)(y, student, experts)
  assert (jnp.abs(pulled).max((-1, -2)) > 1e-4).all()
  np.testing.assert_allclose(other, for_student, atol=1e-6)  # to the student the weights are constants either way
  values = [loss(y, student, experts, name=name, stop=stop) for stop in (True, False)]
  assert float(values[0]) == float(values[1])


def test_without_a_stop_weights_too_have_a_gradient():
  """By hand: du_m of a softmax of -kappa D, beside the divergence's own pull."""
  y, student, experts = (v[:1] for v in cases())
  p = jax.nn.softmax(student)

  def apart(logits):
    q = distributions.smoothed(jax.nn.softmax(logits))
    return distributions.js(distributions.smoothed(p)[:, None], q, 'bits'), distributions.js(y[:, None], q, 'bits')

  pull, worth = (jax.jacobian(lambda x, i=i: apart(x)[i])(experts)[0, :, 0] for i in (0, 1))  # [M, M, K]
  between, trust = apart(experts)[0][0], jax.nn.softmax(-4 * apart(experts)[1][0])
  turned = -4 * trust[:, None] * (jnp.eye(3) - trust)  # du_m / dD_n
  wanted = jnp.einsum('m,mnk->nk', trust, pull) + jnp.einsum('m,mj,jnk->nk', between, turned, worth)
  got = slopes(term='mai', stop=False)(y, student, experts)[1]
  np.testing.assert_allclose(got[0], wanted, atol=1e-6)


@pytest.mark.parametrize('stop', [True, False])
def test_experts_learn_by_themselves_only_in_the_joint_form(stop):
  y, student, experts = cases()
  alone = slopes(stop=True, joint=False)(y, student, experts)[1]
  assert not alone.any()
  joint = slopes(stop=stop, joint=True)(y, student, experts)[1]
  own = jax.grad(lambda x: 0.5 * ambiguity.expert_term(y, jax.nn.softmax(x)).sum())(experts)
  more = slopes(term='mai', stop=stop)(y, student, experts)[1]
  np.testing.assert_allclose(joint, own + 0.5 * more, atol=1e-6)


def test_kappa_and_lambdas_may_be_traced():
  y, student, experts = cases(4)
  call = jax.jit(lambda rai, mai, kappa: loss(y, student, experts, lambda_rai=rai, lambda_mai=mai, kappa=kappa))
  for given in ((0.3, 0.7, 2.0), (0.7, 0.3, 8.0)):
    plain = loss(y, student, experts, **dict(zip(('lambda_rai', 'lambda_mai', 'kappa'), given, strict=True)))
    assert float(call(*given)) == pytest.approx(float(plain), rel=1e-6)


# Experts whose modality is absent


@functools.lru_cache(maxsize=8)
def terms_and_slopes(name: str, stop: bool):
  def terms(y, student, experts, present):
    got = ambiguity.total(y, student, experts, **WEIGHTS, present=present, name=name, stop=stop)
    return got['loss'].sum(), got

  return jax.jit(jax.value_and_grad(terms, (1, 2), has_aux=True))


@pytest.mark.parametrize('junk', [0.0, 0.25, 1e30, np.inf, np.nan])
@pytest.mark.parametrize('stop', [True, False])
@pytest.mark.parametrize('name', NAMES)
def test_an_absent_expert_is_as_if_dropped(name, stop, junk):
  y, student, logits = cases(16, 3)
  here = [0, 2]
  student, experts = jax.nn.softmax(student), jax.nn.softmax(logits)
  present = jnp.broadcast_to(jnp.array([True, False, True]), (16, 3))
  by = terms_and_slopes(name, stop)
  (_, wanted), (ds, de) = by(y, student, experts[:, here], None)
  (_, got), (es, ee) = by(y, student, experts.at[:, 1].set(junk), present)
  for key in ('loss', 'rai', 'mai', 'experts'):
    np.testing.assert_allclose(got[key], wanted[key], rtol=2e-6, atol=1e-7)
  np.testing.assert_allclose(got['weights'][:, here], wanted['weights'], rtol=1e-6)
  np.testing.assert_array_equal(got['weights'][:, 1], 0)
  np.testing.assert_allclose(es, ds, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(ee[:, here], de, rtol=1e-5, atol=1e-6)
  np.testing.assert_array_equal(ee[:, 1], 0)


def test_a_single_expert_that_is_there_has_all_the_trust():
  y, _, experts = cases(5, 2)
  present = jnp.array([[True, False]] * 5)
  np.testing.assert_array_equal(ambiguity.reliability(y, jax.nn.softmax(experts), 8.0, present), [[1, 0]] * 5)


@pytest.mark.parametrize('stop', [True, False])
def test_with_nobody_there_the_raters_alone_count(stop):
  y, student, experts = cases(6, 2)
  nobody = jnp.zeros((6, 2), bool)
  got = ambiguity.total(y, jax.nn.softmax(student), jax.nn.softmax(experts), **WEIGHTS, present=nobody, stop=stop)
  for key in ('weights', 'mai', 'experts'):
    np.testing.assert_array_equal(got[key], 0)
  np.testing.assert_array_equal(got['loss'], 0.5 * got['rai'])
  ds, de = slopes(stop=stop)(y, student, experts, nobody)
  np.testing.assert_array_equal(de, 0)
  plain = jax.grad(lambda x: 0.5 * ambiguity.rater_term(y, jax.nn.softmax(x)).sum())(student)
  np.testing.assert_allclose(ds, plain, atol=1e-7)


# Extremes


@pytest.mark.parametrize('stop', [True, False])
@pytest.mark.parametrize('name', NAMES)
def test_gradients_are_finite_at_extreme_logits(name, stop):
  """Student and experts one-hot, equal, disjoint, with shares of 1e-30 and 0; raters one-hot, split and even."""
  ends = np.array([(300, -300, 0), (-300, 300, 0), (300, 300, -300), (0, 0, 0), (69, 0, 0), (100, 0, -100)], np.float32)
  raters = np.array([(1, 0, 0), (0, 1, 0), (0, 0.5, 0.5), (1 / 3, 1 / 3, 1 / 3), (1, 1e-30, 0)], np.float32)
  grid = np.stack(np.meshgrid(*[np.arange(len(ends))] * 3, np.arange(len(raters)), indexing='ij'), -1).reshape(-1, 4)
  y, student = jnp.asarray(raters[grid[:, 3]]), jnp.asarray(ends[grid[:, 0]])
  experts = jnp.asarray(ends[grid[:, 1:3]])
  present = jnp.asarray(np.random.default_rng(0).random((len(grid), 2)) < 0.7)
  call = jax.jit(jax.value_and_grad(functools.partial(loss, name=name, stop=stop, kappa=8.0), (1, 2)))
  for there in (None, present):
    value, (ds, de) = call(y, student, experts, there)
    assert np.isfinite(value) and np.isfinite(ds).all() and np.isfinite(de).all()
    assert max(np.abs(ds).max(), np.abs(de).max()) < 1e3


def test_student_like_its_experts_and_raters_costs_nothing():
  y = jax.nn.softmax(cases()[1])
  got = ambiguity.total(y, y, jnp.stack([y, y], 1), **WEIGHTS)
  for key in ('loss', 'rai', 'mai', 'experts'):
    np.testing.assert_allclose(got[key], 0, atol=1e-6)
