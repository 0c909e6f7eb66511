"""Losses of pretraining and fine-tuning, trivial guesses, the teacher, devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from affectjax.engine import optim, parallel
from affectjax.engine.types import TrainState
from affectjax.systems.masked_ssl import masks, training
from tests.helpers import masked_ssl_small as small
from tests.helpers.masked_ssl_small import ADAM, SGD, close, differ, same

KINDS = ('transformer', pytest.param('bigru', marks=pytest.mark.slow))
COPIED = dict(mask=dict(kind='mixed', replace='80_10_10', ratio=0.4))
LATENT = dict(pretext=dict(target='ema_latent', error='mse', ema=0.9), mask=dict(ratio=0.5))


@dataclasses.dataclass(frozen=True)
class Given:
  """In place of a network: its output is a parameter, so that a gradient of the output can be looked at."""

  target: str = 'features'

  def apply(self, variables, *args, **_):
    del args
    return variables['params']['out']


@functools.lru_cache(maxsize=64)
def _draw(masking):
  return jax.jit(lambda key, real: masks.draw(jax.random.split(key, 3)[0], real, small.WIDTH, masking))


def hidden_of(cell, state, batch) -> np.ndarray:
  """What a step from this state hides, [B, T, 1 or D]."""
  return np.asarray(_draw(cell.masking)(state.key, batch['real']))


def given(*parts, n: int = 24, seed: int = 0, left: bool = False):
  """Pretraining whose reconstruction is drawn; cell, state, batch and what is hidden."""
  cell = dataclasses.replace(small.pretraining(*parts), net=Given())
  batch = small.batch(n, seed, left)
  out = np.random.default_rng(9).normal(size=batch['x'].shape).astype(np.float32)
  extra = {'input': {**small.standard(), 'on': np.arange(small.WIDTH) != 4}}
  state = TrainState.create({'out': out}, optax.identity(), jax.random.key(seed), extra)
  return cell, state, batch, np.broadcast_to(hidden_of(cell, state, batch), out.shape)


def standardised(batch) -> np.ndarray:
  return np.where(batch['real'][..., None], np.clip((batch['x'] - 0.1) / 1.5, -5, 5), 0).astype(np.float64)


def each(name: str, d: np.ndarray) -> np.ndarray:
  d = np.abs(d)
  return {'l1': d, 'mse': d**2, 'huber': np.where(d <= 1, 0.5 * d**2, d - 0.5)}[name]


MASKS = [dict(kind='iid', ratio=0.3), dict(kind='span_fixed', ratio=0.3, span=3), dict(kind='band'),
         dict(kind='per_feature', ratio=0.3),
         pytest.param(dict(kind='mixed', ratio=0.3), marks=pytest.mark.slow, id='mixed')]  # fmt: skip


# Pretraining


@pytest.mark.parametrize('name', training.ERRORS)
@pytest.mark.parametrize('changes', [{}, dict(group_weights=True), dict(everywhere=True)], ids=str)
def test_the_pretext_loss_is_a_weighted_mean_over_hidden_entries_by_hand(name, changes):
  cell, state, batch, hidden = given(dict(pretext=dict(error=name, **changes), mask=dict(ratio=0.3)))
  found, _ = small.loss_of(cell, state, batch)
  weight = np.where(np.arange(10) < 3, 10 / 2 / 3, 10 / 2 / 7) if 'group_weights' in changes else np.ones(10)
  counted = (batch['real'][..., None] if 'everywhere' in changes else hidden) & (np.arange(10) != 4)
  d = each(name, state.params['out'] - standardised(batch)) * weight * counted
  np.testing.assert_allclose(found, d.sum((1, 2)) / (weight * counted).sum((1, 2)), rtol=2e-5)


def test_weights_of_groups_have_a_mean_of_one():
  groups = {'voice': [0, 11], 'mcep': [11, 36], 'hmpdm': [36, 61], 'hmpdd': [61, 74]}
  run = small.config(small.PRETRAIN, dict(pretext=dict(group_weights=True)))
  weights = np.array(small.experiments.pretraining(run, 74, {'column_groups': groups}).weights)
  assert weights.mean() == pytest.approx(1)
  np.testing.assert_allclose([weights[a:b].sum() for a, b in groups.values()], 74 / 4)
  assert set(small.pretraining().weights) == {1.0}


@pytest.mark.parametrize('mask', MASKS, ids=lambda m: m['kind'])
def test_gradients_are_zero_but_at_hidden_real_entries(mask):
  cell, state, batch, _ = given(dict(mask=mask))
  batch['real'][:, 5] = False  # missing, in the midst
  counted = np.broadcast_to(hidden_of(cell, state, batch), batch['x'].shape) & (np.arange(10) != 4)
  _, grads = small.loss_of(cell, state, batch)
  np.testing.assert_array_equal(np.asarray(grads['out']) != 0, counted)
  assert not counted[~batch['real']].any() and counted.any()


@pytest.mark.parametrize('mask', MASKS, ids=lambda m: m['kind'])
def test_targets_that_are_not_hidden_change_nothing(mask):
  cell, state, batch, hidden = given(dict(mask=mask))
  before = small.loss_of(cell, state, batch)
  other = {**batch, 'x': np.where(hidden & batch['real'][..., None], batch['x'], batch['x'] + 3).astype(np.float32)}
  same(before, small.loss_of(cell, state, other))
  changed = {**batch, 'x': np.where(hidden, batch['x'] + 3, batch['x']).astype(np.float32)}
  assert differ(before, small.loss_of(cell, state, changed))


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_padded_or_missing_may_hold_anything(kind):
  cell = small.pretraining(dict(model=dict(kind=kind)))
  state, batch = small.pretext_state(cell), small.batch(24)
  batch['mask'] = (np.arange(24) < 18).astype(np.float32)
  batch['real'][:, 4] = False
  batch['real'][0, 0] = True
  junk = {**batch, 'x': np.where(batch['real'][..., None], batch['x'], np.nan)}
  junk['x'][18:] = np.inf
  (losses, grads), (other, seen) = (small.loss_of(cell, state, b) for b in (batch, junk))
  np.testing.assert_array_equal(losses[:18], other[:18])
  same(grads, seen)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads)) and np.any(grads['encoder'])


@pytest.mark.parametrize('parts', [
  {}, LATENT,
  pytest.param(dict(mask=dict(replace='80_10_10', ratio=0.4)), marks=pytest.mark.slow),
  pytest.param(dict(mask=dict(replace='noise')), marks=pytest.mark.slow),
  pytest.param(dict(mask=dict(ratio=0.5), pretext=dict(layout='mae')), marks=pytest.mark.slow),
  pytest.param(dict(model=dict(kind='bigru'), mask=dict(kind='mixed')), marks=pytest.mark.slow),
], ids=str)  # fmt: skip
def test_padding_on_either_side_gives_the_same_losses(parts):
  cell = small.pretraining(parts)
  state = small.pretext_state(cell)
  right, left = (small.loss_of(cell, state, small.batch(24, left=v)) for v in (False, True))
  np.testing.assert_allclose(right[0], left[0], rtol=2e-6, atol=2e-6)
  close(right[1], left[1], rtol=1e-4, atol=2e-6)


@pytest.mark.slow
def test_the_loss_falls():
  cell, batch = small.pretraining(dict(mask=dict(ratio=0.3))), small.batch(48)
  batch['x'] = np.where(batch['real'][..., None], batch['x'][:, :1], 0)  # every step tells of the others
  step = small.pretext_step(cell, optim.key(ADAM))
  _, told = small.run(step, small.pretext_state(cell, ADAM), [batch] * 150)
  assert np.mean([t['loss'] for t in told[-20:]]) < 0.6 * told[0]['loss'] and all(t['finite'] for t in told)
  # round(.3 L) of L = 1 .. 12 with one at least
  wanted = sum(max(1, round(0.3 * n)) for n in range(1, 13)) / sum(range(1, 13))
  assert told[0]['hidden'] == pytest.approx(wanted, rel=1e-5)


# Trivial guesses


def test_between_neighbours_by_hand():
  x = np.array([9.0, 1, 9, 9, 7, 9, 2, 9], np.float32)
  shown = np.array([0, 1, 0, 0, 1, 0, 1, 0], bool)
  interpolated = jax.jit(training._interpolated)
  found = interpolated(x[None, :, None], shown[None, :, None])
  np.testing.assert_allclose(found[0, :, 0], [1, 1, 3, 5, 7, 4.5, 2, 2])
  x, shown = np.stack([x, x[::-1]], 1), np.stack([shown, shown[::-1]], 1)  # features with holes of their own
  found = np.asarray(interpolated(x[None], shown[None]))
  np.testing.assert_allclose(found[0].T, [[1, 1, 3, 5, 7, 4.5, 2, 2], [2, 2, 4.5, 7, 5, 3, 1, 1]])
  assert not np.any(interpolated(x[None], np.zeros((1, 8, 1), bool)))


WEIGHED = dict(mask=dict(ratio=0.3), pretext=dict(group_weights=True))  # one program predicts for all of these tests


@functools.lru_cache(maxsize=8)
def _own_draw(masking):
  key = lambda row: jax.random.split(jax.random.fold_in(jax.random.key(7), row), 3)[0]
  return jax.jit(jax.vmap(lambda row, real: masks.draw(key(row), real[None], small.WIDTH, masking)[0]))


@pytest.mark.parametrize('mask', [
  dict(ratio=0.3), pytest.param(dict(kind='per_feature', ratio=0.3), marks=pytest.mark.slow)
], ids=str)  # fmt: skip
def test_errors_of_trivial_guesses_by_hand(mask):
  cell = small.pretraining(WEIGHED, dict(mask=mask))
  state, batch = small.pretext_state(cell), small.batch(24)
  drawn = np.asarray(_own_draw(cell.masking)(np.arange(24, dtype=np.int32), batch['real']))
  found, x = small.predict(cell, state, batch), standardised(batch)
  weight = np.where(np.arange(10) < 3, 10 / 2 / 3, 10 / 2 / 7)
  for row in range(24):
    real, hidden = batch['real'][row], drawn[row]
    mean, between, total = 0.0, 0.0, 0.0
    for d in range(10):
      gone = hidden[:, d if hidden.shape[1] > 1 else 0]
      at, known = np.flatnonzero(gone), np.flatnonzero(real & ~gone)
      guess = np.interp(at, known, x[row, known, d]) if len(known) else np.zeros(len(at))
      mean += weight[d] * np.abs(x[row, at, d]).sum()
      between += weight[d] * np.abs(x[row, at, d] - guess).sum()
      total += weight[d] * len(at)
    np.testing.assert_allclose([found['loss_mean'][row], found['loss_interpolated'][row]],
                               [mean / total, between / total], rtol=1e-4, err_msg=str(row))  # fmt: skip


@pytest.mark.parametrize('parts', [
  {}, *(pytest.param(p, marks=pytest.mark.slow) for p in (COPIED, LATENT))
], ids=str)  # fmt: skip
@pytest.mark.parametrize('size', [24, pytest.param(16, marks=pytest.mark.slow)])
def test_masks_of_an_evaluation_are_the_examples_own(parts, size):
  """Whatever stands in a batch with it, in whatever order; so dev losses of two steps can be compared."""
  cell = small.pretraining(parts or WEIGHED)
  state, batch = small.pretext_state(cell), small.batch(24)
  whole = small.predict(cell, state, batch)
  order = np.random.default_rng(0).integers(0, 24, size)  # some are not there, some are there twice
  part = small.predict(cell, state, {k: v[order] for k, v in batch.items()})
  for k, v in whole.items():
    np.testing.assert_allclose(part[k], v[order], rtol=1e-5, atol=1e-6)
  again = small.predict(cell, state.replace(step=np.int32(50), key=jax.random.key(8)), batch)
  same(whole, again)


# The teacher


def test_a_teacher_follows_by_hand_and_no_gradient_reaches_it():
  cell, batch = small.pretraining(LATENT), small.batch(24)
  state = small.pretext_state(cell)
  now, before = state, [state]
  for _ in range(3):
    now, _ = small.run(small.pretext_step(cell), now, [batch])
    before.append(now)
  for old, new in zip(before[:-1], before[1:], strict=True):
    wanted = jax.tree.map(lambda t, p: 0.9 * t + 0.1 * p, old.extra['teacher'], old.params)
    close(new.extra['teacher'], wanted, rtol=1e-5, atol=1e-7)
    assert differ(new.params, old.params)
  _, (_, extra) = small.loss_of(cell, state, batch, wrt_extra=True)
  assert not any(np.any(g) for g in jax.tree.leaves(extra['teacher']))


@functools.lru_cache(maxsize=8)
def _latents(net):
  return jax.jit(lambda p, x, real: net.apply({'params': p}, x, real, method='latents'))


def latents_of(cell, state, x, real) -> np.ndarray:
  return np.asarray(_latents(cell.net)(state.extra['teacher'], x, real))


def test_latent_targets_are_the_teachers_by_hand():
  cell, batch = small.pretraining(LATENT), small.batch(24)
  state = small.pretext_state(cell)
  found, _ = small.loss_of(cell, state, batch)
  x, real = standardised(batch).astype(np.float32), batch['real']
  latents, hidden = latents_of(cell, state, x, real), hidden_of(cell, state, batch)

  @jax.jit
  def apply(p, key):  # the second of the step's keys is that of what stands in a hidden place
    return cell.net.apply({'params': p}, x, real, hidden, jax.random.split(key, 3)[1], cell.masking, False)

  out = np.asarray(apply(state.params, state.key))
  wanted = (np.square(out - latents) * hidden).sum((1, 2)) / (hidden.sum((1, 2)) * 16)
  np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_a_collapse_of_latents_would_be_seen():
  """Variances over real steps by hand; of a teacher that says the same of everything, none is left."""
  cell, batch = small.pretraining(LATENT), small.batch(24)
  state = small.pretext_state(cell)
  _, (told,) = small.run(small.pretext_step(cell), state, [batch])
  x, real = standardised(batch).astype(np.float32), batch['real']
  latents = latents_of(cell, state, x, real)
  assert told['target_var'] == pytest.approx(latents[real].var(0).mean(), rel=1e-4)
  assert told['output_var'] > 0
  flat = jax.tree.map(np.zeros_like, state.extra['teacher'])
  _, (told,) = small.run(small.pretext_step(cell), state.replace(extra={**state.extra, 'teacher': flat}), [batch])
  assert told['target_var'] == pytest.approx(0, abs=1e-6)


# Losses of fine-tuning


def task(loss: str, targets: int = 2, **tune) -> training.Finetuning:
  parts = small.CLASSES if loss == 'cross_entropy' else {}
  return small.finetuning(parts, dict(tune=dict(loss=loss, **tune)), targets=targets)


def task_losses(cell, out, label) -> np.ndarray:
  return np.asarray(_of_task(training.task_loss, cell)(out, {'label': label}))


def answers(cell, out) -> np.ndarray:
  return np.asarray(_of_task(training.answer, cell)(out))


@functools.lru_cache(maxsize=64)
def _of_task(function, cell):
  return jax.jit(functools.partial(function, cell))


def test_losses_by_hand_and_missing_intensities():
  out = np.array([[0.2, -1.0], [2.5, 3.5], [0.0, 1.0]], np.float32)
  label = np.array([[0.5, 2.0], [np.nan, 1.0], [np.nan, np.nan]], np.float32)
  d = np.abs(out - np.nan_to_num(label))
  for name in training.ERRORS:
    e = each(name, d)
    found = task_losses(task(name), out, label)
    np.testing.assert_allclose(found, [(e[0, 0] + e[0, 1]) / 2, e[1, 1], 0], rtol=1e-6)
  bce = lambda z, y: np.log1p(np.exp(-z)) if y else np.log1p(np.exp(z))
  found = task_losses(task('presence'), out, np.array([[0, 1 / 3], [np.nan, 2], [0, 0]], np.float32))
  np.testing.assert_allclose(found, [(bce(0.2, 0) + bce(-1.0, 1)) / 2, bce(3.5, 1), (bce(0, 0) + bce(1, 0)) / 2], 1e-5)
  found = task_losses(task('cross_entropy'), out, np.array([1, 0, -1]))
  wanted = [-np.log(np.exp(o)[y] / np.exp(o).sum()) for o, y in ((out[0].astype(float), 1), (out[1].astype(float), 0))]
  np.testing.assert_allclose(found[:2], wanted, rtol=1e-5)


def test_ordinal_outputs_by_hand():
  """A score less rising thresholds; a level is reached from .5, 1.5, 2.5 on, as rounding halves up says."""
  cell, soft = task('coral', 1), lambda t: np.log1p(np.exp(t))
  assert (cell.net.out, cell.net.levels) == (1, 3) and task('l1', 6).net.levels == 0
  out = np.array([[1.0, -0.5, 0.3, 2.0]] * 5, np.float32)
  ranks = 1.0 - np.cumsum([soft(-0.5), soft(0.3), soft(2.0)])
  label = np.array([[0.0], [0.5], [4 / 3], [1.5], [3.0]], np.float32)
  found, p = task_losses(cell, out, label), 1 / (1 + np.exp(-ranks))
  for y, level, value in zip(label[:, 0], (0, 1, 1, 2, 3), found, strict=True):
    wanted = -sum(np.log(p[k] if level > k else 1 - p[k]) for k in range(3))
    assert value == pytest.approx(wanted, rel=1e-5), y
  np.testing.assert_allclose(answers(cell, out)[0], [p.sum()], rtol=1e-5)
  rng = np.random.default_rng(0)
  drawn = rng.normal(0, 5, (50, 24)).astype(np.float32)
  ranks = np.asarray(_of_task(training._ranks, task('coral', 6))(drawn))
  assert (np.diff(ranks, axis=-1) <= 0).all(), 'never against the order'


def test_answers_lie_in_0_to_3():
  out = np.array([[-1.0, 0.4], [3.5, 3.0]], np.float32)
  for name in training.ERRORS:
    np.testing.assert_allclose(answers(task(name), out), [[0, 0.4], [3, 3]])
  p = 1 / (1 + np.exp(-out))
  known = np.where(p < 0.5, p / 3, 1 / 6 + (2 * p - 1) * (3 - 1 / 6))  # .5 is 1/6, 1 is 3
  np.testing.assert_allclose(answers(task('presence'), out), known, rtol=1e-5)
  shares = answers(task('cross_entropy'), out)
  np.testing.assert_allclose(shares, np.exp(out) / np.exp(out).sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_fine_tuning_does_not_see_padding_and_not_on_which_side_it_is(kind):
  cell = small.finetuning(dict(model=dict(kind=kind)))
  state, batch = small.task_state(cell, (1e-3, 1e-4)), small.batch(24)
  batch['label'][3], batch['label'][4, 2] = np.nan, np.nan
  batch['mask'] = (np.arange(24) < 18).astype(np.float32)
  junk = {**batch, 'x': np.where(batch['real'][..., None], batch['x'], np.nan).astype(np.float32)}
  junk['x'][18:], junk['label'] = np.inf, np.where(batch['mask'][:, None] > 0, batch['label'], np.inf)
  left = {**batch, **{k: v for k, v in small.batch(24, left=True).items() if k in ('x', 'real')}}
  base, padded, moved = (small.loss_of(cell, state, b) for b in (batch, junk, left))
  np.testing.assert_array_equal(base[0][:18], padded[0][:18])
  same(base[1], padded[1])
  np.testing.assert_allclose(base[0], moved[0], rtol=1e-5, atol=1e-6)
  close(base[1], moved[1], rtol=1e-4, atol=2e-6)
  assert base[0][3] == 0


# Devices


def uneven(n: int = 32, seed: int = 0):
  batch = small.batch(n, seed)
  batch['mask'] = (np.arange(n) < 27).astype(np.float32)
  return batch


@pytest.mark.parametrize('parts', [
  dict(tune=dict(norm=True)),
  *(pytest.param(p, marks=pytest.mark.slow) for p in ({}, dict(model=dict(kind='bigru')))),
], ids=str)  # fmt: skip
def test_fine_tuning_on_eight_devices_is_that_on_one(parts):
  rates, batches = (0.2, 0.05), [uneven(seed=seed) for seed in range(3)]
  cell = small.finetuning(parts, dict(tune=dict(encoder_lr=rates)))
  step, start = small.task_step(cell, rates), small.task_state(cell, rates)
  (one, told), (eight, told_eight) = (small.run(step, start, batches, devices) for devices in (1, 8))
  close(one.params, eight.params, rtol=1e-5, atol=1e-5)
  close(one.extra, eight.extra, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose([t['loss'] for t in told], [t['loss'] for t in told_eight], rtol=1e-5)


@pytest.mark.parametrize('size', [32, pytest.param(8, marks=pytest.mark.slow)])
def test_a_norm_before_the_head_counts_real_examples_alone(size):
  """Statistics by hand after one step, whatever padded rows hold; evaluation takes those, and not its batch's own."""
  rates, batch = (0.2, 0.05), uneven()
  cell = small.finetuning(dict(tune=dict(norm=True, encoder_lr=rates)))
  start, step = small.task_state(cell, rates), small.task_step(cell, rates)
  junk = {**batch, 'x': np.where(batch['mask'][:, None, None] > 0, batch['x'], np.inf).astype(np.float32)}
  (after, _), (other, _) = (small.run(step, start, [b]) for b in (batch, junk))
  same((after.params, after.extra), (other.params, other.extra))
  pooled = cell.net.clone(norm=False, head='linear', out=16)
  x = np.where(batch['real'][..., None], standardised(batch), 0).astype(np.float32)
  eye = {'kernel': np.eye(16, dtype=np.float32), 'bias': np.zeros(16, np.float32)}
  encoder = jax.tree.map(lambda v: v[0], start.params['encoder'])
  apply = jax.jit(lambda p, x, real: pooled.apply({'params': p}, x, real, False))
  h = np.asarray(apply({'encoder': encoder, 'head_out': eye}, x[:27], batch['real'][:27]))
  seen = after.extra['batch_stats']['head_norm']
  np.testing.assert_allclose(seen['mean'][0], 0.1 * h.mean(0), rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(seen['var'][1], 0.9 + 0.1 * h.var(0, ddof=1), rtol=1e-4, atol=1e-6)
  rows = np.r_[:8, :24][:size]  # the first eight in other company, or alone
  whole, part = (small.predict(cell, after, b) for b in (batch, {k: v[rows] for k, v in batch.items()}))
  np.testing.assert_allclose(whole['output'][:8], part['output'][:8], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('parts', [{}, pytest.param(LATENT, marks=pytest.mark.slow)], ids=['features', 'latent'])
def test_pretraining_on_eight_devices_is_the_mean_over_their_own_masks(parts):
  """Each device draws masks of its own; one update by hand on one device, with their keys."""
  cell, batch = small.pretraining(parts), uneven()
  start = small.pretext_state(cell)
  eight, _ = small.run(small.pretext_step(cell), start, [batch], 8)
  loss = training.pretext_loss(cell)
  key = jax.random.fold_in(start.key, start.step)

  @jax.jit
  def share(params, part, key):
    real = lambda p: (
      jnp.where(part['mask'] > 0, loss(p, start, part, small.steps.Keys(key, key)).losses, 0.0).sum() / 27
    )
    return jax.grad(real)(params)

  total = jax.tree.map(np.zeros_like, start.params)
  for i in range(8):
    part = {k: v.reshape(8, 4, *v.shape[1:])[i] for k, v in batch.items()}
    total = jax.tree.map(np.add, total, share(start.params, part, jax.random.fold_in(key, 1 + i)))
  close(eight.params, jax.tree.map(lambda p, g: p - 0.1 * g, start.params, total), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_evaluation_on_eight_devices_is_that_on_one():
  cell, batch = small.pretraining(), small.batch(32)
  state = small.pretext_state(cell)
  one = small.predict(cell, state, batch)
  split = {k: v.reshape(8, 4, *v.shape[1:]) for k, v in batch.items()}
  eight = jax.jit(jax.vmap(training.pretext_predict(cell), (None, 0), axis_name=parallel.AXIS))(state, split)
  for k, v in one.items():
    np.testing.assert_allclose(v, np.asarray(eight[k]).reshape(-1), rtol=1e-5, atol=1e-6)


def test_equal_cells_share_what_is_compiled():
  assert small.pretraining() == small.pretraining() and small.finetuning() == small.finetuning()
  steps_ = small.experiments
  optimizer = optim.key(SGD)
  assert steps_._pretext_step(small.pretraining(), optimizer, 9) is steps_._pretext_step(
    small.pretraining(), optimizer, 9
  )
  assert training.finetune_predict(small.finetuning()) is training.finetune_predict(small.finetuning())
