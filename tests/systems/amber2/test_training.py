"""AmbER^2's training step: losses, who learns, missing modalities, padding, one device and eight."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.engine import checkpoint, steps
from affectjax.objectives import dirichlet, distributions
from affectjax.systems.amber2 import training
from tests.helpers import amber2_small as small
from tests.helpers.amber2_small import ADAM, DROPOUT, SGD, differ

LOSSES = ('amber2', 'ce_experts', 'soft', 'edl', 'dirichlet_prior')
MOSTLY_SLOW = [LOSSES[0], *(pytest.param(row, marks=pytest.mark.slow) for row in LOSSES[1:])]  # one compilation each


def loss(row, batch, labels=None, **changes):
  """Losses [B] of the copies together, and their gradient's mean over real examples."""
  return _loss(small.spec(row, **changes))(small.state(row, labels=labels, **changes), batch)


@functools.lru_cache(maxsize=64)
def _loss(cell):
  one = training.make_loss(cell)

  def whole(state, batch):
    batch = steps.without_padding(batch)

    def objective(params):
      out = one(params, state, batch, steps.Keys(state.key, state.key))
      return jnp.where(batch['mask'] > 0, out.losses, 0.0).sum() / batch['mask'].sum(), out.losses

    (_, losses), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    return losses, grads

  return jax.jit(whole)


def softmax(x):
  return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def shares(row, batch):
  """The heads' label distributions of the state that `loss` starts from, in numpy."""
  return {h: softmax(v.astype(np.float64)) for h, v in small.logits(small.state(row), batch).items()}


def total(y, s, experts, name='js', base='bits', joint=True):
  """As in experiments/amber2.md, 4: .5 (D(y||s) + the experts' own JS) + .5 sum_m u_m D(s||p_m), kappa 4, u by JS."""
  far = {
    'js': distributions.js, 'kl': distributions.kl, 'bhattacharyya': distributions.bhattacharyya_distance,
  }[name]  # fmt: skip
  d = np.stack([distributions.js(y, p, base, np) for p in experts])
  u = np.exp(-4 * d) / np.exp(-4 * d).sum(0)
  mai = sum(w * far(s, p, base, np) for w, p in zip(u, experts, strict=True))
  return 0.5 * far(y, s, base, np) + 0.5 * mai + (0.5 * d.sum(0) if joint else 0)


# Losses


# KL's order of arguments matters; bits and nats also weigh experts differently
@pytest.mark.parametrize(('name', 'base'), [
  ('js', 'bits'),
  *(pytest.param(*p, marks=pytest.mark.slow) for p in (('js', 'nats'), ('kl', 'nats'), ('bhattacharyya', 'bits'))),
])  # fmt: skip
def test_the_amber2_loss_by_hand(name, base):
  batch = small.batch()
  p = shares('amber2', batch)
  expected = total(batch['shares'].astype(np.float64), p['fusion'], [p['audio'], p['text']], name, base)
  found, _ = loss('amber2', batch, loss=dict(divergence=name, base=base))
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('changes', 'rai', 'mai'), [
  (dict(lambda_mai=0.3), 0.7, 0.3), (dict(lambda_mai=0.3, lambda_rai=0.9), 0.9, 0.3),
  (dict(lambda_mai=0.0, lambda_rai=0.5), 0.5, 0.0),
])  # fmt: skip
def test_lambda_rai_is_what_is_left_of_one_unless_named(changes, rai, mai):
  found = small.numbers('amber2', small.spec(), loss=changes)
  np.testing.assert_allclose([found['lambda_rai'][0], found['lambda_mai'][0]], [rai, mai], rtol=1e-6)


@pytest.mark.parametrize('row', [*LOSSES[1:-1], pytest.param(LOSSES[-1], marks=pytest.mark.slow)])
def test_other_losses_are_the_sum_over_heads_of_their_own(row):
  batch, weights = small.batch(), distributions.effective_number_weights(np.array([9.0, 5, 1, 3]), 0.9999, np)
  labels = np.repeat(np.arange(4), (9, 5, 1, 3))
  evidential = jax.jit(lambda alpha, votes: dirichlet.evidential(alpha, votes, 'dirichlet', 0.8))
  prior = jax.jit(dirichlet.prior)
  expected = np.zeros(16)
  for values in small.logits(small.state(row), batch).values():
    if row == 'soft':
      expected += -(batch['shares'] * np.log(softmax(values))).sum(1)
    elif row == 'ce_experts':
      expected += weights[batch['label']] * -np.log(softmax(values))[range(16), batch['label']]
    elif row == 'edl':
      expected += np.asarray(evidential(np.maximum(values, 0) + 1, batch['votes']))
    else:
      expected += np.asarray(prior(np.exp(values), batch['votes']))
  np.testing.assert_allclose(loss(row, batch, labels=labels)[0], expected, rtol=1e-4, atol=1e-5, err_msg=row)


def test_class_weights_of_the_training_split_reach_the_loss():
  batch = small.batch()
  rare, even = (np.asarray(loss('ce_fusion', batch, labels=np.repeat(np.arange(4), n))[0])
                for n in ((50, 50, 50, 2), (10, 10, 10, 10)))  # fmt: skip
  weights = distributions.effective_number_weights(np.array([50.0, 50, 50, 2]), 0.9999, np)
  np.testing.assert_allclose(rare / even, weights[batch['label']], rtol=1e-5)
  plain, _ = loss('ce_fusion', batch, labels=np.repeat(np.arange(4), (50, 50, 50, 2)), loss=dict(beta=0.0))
  np.testing.assert_allclose(plain, even, rtol=1e-6)


@pytest.mark.slow
def test_uniform_weights_are_kappa_0_exactly():
  batch = small.batch()
  first, second = loss('uniform', batch), loss('kappa_0', batch)
  chex.assert_trees_all_equal(first, second)
  assert differ(first, loss('amber2', batch))


@pytest.mark.slow
def test_experts_learn_of_the_raters_alone_unless_gradients_flow():
  """With the stop, an expert's gradient is that of lambda_RAI JS(y || p) and no more."""
  batch = small.batch()
  stopped, flowing = loss('amber2', batch)[1], loss('no_stop', batch)[1]
  _, alone = loss('amber2', batch, loss=dict(lambda_mai=0.0, lambda_rai=0.5))
  for m in ('audio', 'text'):
    chex.assert_trees_all_close(stopped[f'head_{m}'], alone[f'head_{m}'], rtol=1e-5, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (
      stopped[f'head_{m}'], flowing[f'head_{m}'])), strict=True)) > 1e-4  # fmt: skip
  chex.assert_trees_all_close(stopped['head_fusion'], flowing['head_fusion'], rtol=1e-5, atol=1e-6)
  assert differ(stopped['head_fusion'], alone['head_fusion'])


@pytest.mark.parametrize('student', ['audio', pytest.param('text', marks=pytest.mark.slow)])
def test_another_head_as_student(student):
  """All other heads are its experts, the fusion head among them."""
  row = f'student_{student}'
  cell, batch, p = small.spec(row), small.batch(), shares(row, small.batch())
  assert cell.experts == tuple(h for h in ('audio', 'text', 'fusion') if h != student)
  expected = total(batch['shares'].astype(np.float64), p[student], [p[h] for h in cell.experts])
  np.testing.assert_allclose(loss(row, batch)[0], expected, rtol=1e-4, atol=1e-5)


# Padding and what is missing


@pytest.mark.parametrize('row', MOSTLY_SLOW)
@pytest.mark.parametrize('junk', [np.inf, np.nan])
def test_padding_is_invisible(row, junk):
  """Rows that are padding, and frames behind the last one: neither loss nor gradient looks at them."""
  batch = small.batch(16, frames=3)
  batch['mask'] = (np.arange(16) < 8).astype(np.float32)
  padded = {k: v.copy() for k, v in batch.items()}
  for k, v in padded.items():
    if v.dtype.kind == 'f' and k != 'mask':
      v[8:] = junk
  for m in small.WIDTHS:
    padded[m] = np.where(padded[f'{m}_mask'][..., None], padded[m], junk).astype(np.float32)
  (losses, grads), (other, seen) = loss(row, batch), loss(row, padded)
  np.testing.assert_array_equal(other[:8], losses[:8])
  chex.assert_trees_all_equal(grads, seen)
  assert any(np.any(g) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize('row', ['amber2', 'student_audio', 'ce_experts', 'edl'])
@pytest.mark.parametrize('junk', [1e4, np.nan, np.inf])
def test_an_absent_modality_changes_nothing_whatever_it_holds(row, junk):
  batch = small.without(small.batch(), 'audio', [0, 5, 6])
  chex.assert_trees_all_equal(loss(row, batch), loss(row, small.without(batch, 'audio', [0, 5, 6], junk)))


@pytest.mark.parametrize('row', ['amber2', 'ce_experts'])
def test_a_head_does_not_learn_from_who_lacks_its_modality(row):
  batch = small.batch()
  lacking = small.without(batch, 'audio', slice(8, None))
  half = {**batch, 'mask': (np.arange(16) < 8).astype(np.float32)}
  seen, of_half = loss(row, lacking)[1]['head_audio'], loss(row, half)[1]['head_audio']
  twice = jax.tree.map(lambda g: 2 * np.asarray(g), seen)  # the mean is over all who are there
  chex.assert_trees_all_close(twice, of_half, rtol=1e-5, atol=1e-6)
  absent = small.without(batch, 'audio')
  assert not any(np.any(g) for g in jax.tree.leaves(loss(row, absent)[1]['head_audio']))
  assert differ(jax.tree.map(np.zeros_like, seen), loss(row, absent)[1]['head_text'])


def test_reliability_is_shared_among_the_experts_that_are_there():
  whole, batch = small.batch(), small.without(small.batch(), 'audio', [1, 2])
  now, p = small.state(), jax.tree.map(lambda v: v[0], small.state().params)
  text = (batch['text'][:, 0] - now.extra['input']['text']['mean']) / now.extra['input']['text']['scale']
  s = softmax(small.head(p['head_fusion'], text @ p['gate']['project_1']['kernel']))  # the gate is all the text's
  t, y = softmax(small.head(p['head_text'], text)), batch['shares']
  js = lambda a, b: distributions.js(a, b, 'bits', np)
  found, before = loss('amber2', batch)[0], loss('amber2', whole)[0]
  np.testing.assert_allclose(found[1:3], 0.5 * (js(y, s) + js(s, t) + js(y, t))[1:3], rtol=1e-4, atol=1e-5)
  np.testing.assert_array_equal(np.delete(found, [1, 2]), np.delete(before, [1, 2]))


def test_a_student_without_its_modality_learns_nothing_and_the_experts_go_on():
  batch = small.without(small.batch(), 'audio')
  _, grads = loss('student_audio', batch)
  assert not any(np.any(g) for g in jax.tree.leaves(grads['head_audio']))
  assert all(np.any(grads[h]['out']['kernel']) for h in ('head_text', 'head_fusion'))


def test_nobody_there_is_no_loss():
  batch = small.without(small.without(small.batch(), 'audio', [3]), 'text', [3])
  for row in ('amber2', 'ce_experts', 'soft'):
    losses, grads = loss(row, batch)
    assert losses[3] == 0 and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


# Who learns


@pytest.mark.slow
def test_experts_of_the_two_stage_form_stay_as_they_came():
  """Bit for bit, weight decay included, and what they predict as well."""
  batches = [small.batch(32, seed) for seed in range(3)]
  source = small.spec('ce_experts')
  taught, _ = small.steps(source, small.state('ce_experts', ADAM), batches, ADAM)
  cell, fresh = small.spec('two_stage'), small.state('two_stage', ADAM)
  given = {'params': taught.params, 'extra': taught.extra}
  start = checkpoint.warm(fresh, given, ('head_audio', 'head_text'))
  after, logged = small.steps(cell, start, batches, ADAM)
  for m in ('audio', 'text'):
    chex.assert_trees_all_equal(after.params[f'head_{m}'], taught.params[f'head_{m}'])
    np.testing.assert_array_equal(*(small.predict(c, s, batches[0])[f'share_{m}'] for c, s in (
      (source, taught), (cell, after))))  # fmt: skip
  for name in ('head_fusion', 'gate'):
    assert differ(after.params[name], start.params[name])
    chex.assert_trees_all_equal(start.params[name], fresh.params[name])
  assert ADAM['decay'] > 0 and logged[0]['experts'] > 0


TEACHER = dict(student='audio', warm_modules=('head_text', 'head_fusion', 'gate'))


def test_the_gate_is_frozen_with_the_fusion_head_as_an_expert():
  assert set(training.frozen(small.spec('two_stage', **TEACHER))) == {'head_text', 'head_fusion', 'gate'}
  assert set(training.frozen(small.spec('two_stage'))) == {'head_audio', 'head_text'}


@pytest.mark.slow
def test_the_gate_belongs_to_the_fusion_head_as_an_expert():
  """Decay would change what it says, if it were trained on."""
  cell, start = small.spec('two_stage', **TEACHER), small.state('two_stage', ADAM, **TEACHER)
  after, _ = small.steps(cell, start, [small.batch(32)], ADAM)
  assert {name for name in start.params if differ(start.params[name], after.params[name])} == {'head_audio'}


def test_a_two_stage_loss_has_no_term_of_the_experts():
  batch = small.batch()
  losses, grads = loss('two_stage', batch)
  joint, _ = loss('amber2', batch)
  p = shares('amber2', batch)
  own = sum(distributions.js(batch['shares'], p[m], 'bits', np) for m in ('audio', 'text'))
  np.testing.assert_allclose(joint - losses, 0.5 * own, rtol=1e-3, atol=1e-5)
  assert not any(np.any(g) for m in ('audio', 'text') for g in jax.tree.leaves(grads[f'head_{m}']))


@pytest.mark.parametrize('row', ['ce_experts', *(pytest.param(row, marks=pytest.mark.slow) for row in LOSSES
                                                 if row != 'ce_experts')])  # fmt: skip
def test_loss_falls(row):
  batch = small.batch(32)
  cell = small.spec(row)
  _, logged = small.steps(cell, small.state(row, ADAM), [batch] * 300, ADAM)
  floor = 0.97 if row in ('edl', 'dirichlet_prior', 'soft') else 0.8  # the best there is is not 0
  assert logged[-1]['loss'] < floor * logged[0]['loss'] and all(t['finite'] for t in logged)


# Devices


@pytest.mark.parametrize('row', ['amber2', *(pytest.param(r, marks=pytest.mark.slow) for r in (
  'ce_experts', 'search', 'edl', 'two_stage'))])  # fmt: skip
def test_eight_devices_are_one(row):
  """Devices hold unequal numbers of real examples; four steps of plain descent."""
  batches = []
  for seed in range(4):
    batch = small.without(small.batch(32, seed, frames=2), 'audio', slice(0, 5))
    batch['mask'] = (np.arange(32) < 27).astype(np.float32)
    batches.append(batch)
  cell, start = small.spec(row), small.state(row)
  one, logged = small.steps(cell, start, batches)
  eight, logged_eight = small.steps(cell, start, batches, devices=8)
  chex.assert_trees_all_close(one.params, eight.params, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose([t['loss'] for t in logged], [t['loss'] for t in logged_eight], rtol=1e-5)


@pytest.mark.parametrize('row', ['ce_experts', pytest.param('amber2', marks=pytest.mark.slow)])
def test_masked_is_dropped(row):
  """Three steps of Adam on 24 examples, alone and among 8 that are padding."""
  cell, start = small.spec(row), small.state(row, ADAM)
  short = [small.batch(24, seed) for seed in range(3)]
  long = []
  for b in short:
    padded = {k: np.concatenate([v, v[:8]]) for k, v in b.items()}
    padded['mask'] = (np.arange(32) < 24).astype(np.float32)
    long.append(padded)
  first, second = (small.steps(cell, start, batches, ADAM)[0] for batches in (short, long))
  chex.assert_trees_all_close(first.params, second.params, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_devices_draw_dropout_of_their_own():
  batch = small.batch(8)
  twice = {k: np.concatenate([v, v]) for k, v in batch.items()}
  cell, start = small.spec(**DROPOUT), small.state(**DROPOUT)
  one, _ = small.steps(cell, start, [batch])
  two, _ = small.steps(cell, start, [twice], devices=2)
  assert differ(one.params, two.params)
  still = [small.steps(small.spec(), small.state(), [b], devices=d)[0].params for b, d in ((batch, 1), (twice, 2))]
  chex.assert_trees_all_close(*still, rtol=1e-5, atol=1e-6)


# What is compiled


def test_numbers_of_a_search_and_lengths_are_not_compiled_in():
  """Cells that differ in lambda, kappa, class weights or number of steps share one program."""
  cell = small.spec()
  assert cell == small.spec(loss=dict(lambda_mai=0.0, lambda_rai=0.5, kappa=1.0, beta=0.9))
  assert training.make_step(cell, ADAM, 10) is training.make_step(small.spec(), dict(reversed(ADAM.items())), 99)
  assert training.make_predict(cell) is training.make_predict(small.spec(loss=dict(kappa=0.0)))
  assert training.make_step(cell, ADAM, 10) is not training.make_step(cell, {**ADAM, 'lr': 1.0}, 10)
  cosine = {**ADAM, 'schedule': 'cosine'}
  assert training.make_step(cell, cosine, 10) is not training.make_step(cell, cosine, 99)
  for kappa in (1.0, 2.0):
    small.steps(cell, small.state(loss=dict(kappa=kappa)), [small.batch(32, frames=2)])
  compiled = small._compiled(cell, tuple(sorted(SGD.items())))
  before = compiled._cache_size()
  small.steps(cell, small.state(loss=dict(kappa=3.0, lambda_mai=0.1)), [small.batch(32, seed=5, frames=2)])
  assert compiled._cache_size() == before
