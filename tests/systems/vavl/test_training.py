"""VAVL's updates: who learns in which phase, the same by hand, missing modalities, losses, one device and eight.

Without dropout, so that what is computed in two ways is the same.
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from affectjax import metrics
from affectjax.engine import parallel, steps
from affectjax.layers import conformer
from affectjax.systems.vavl import network, training
from tests.helpers import vavl_small
from tests.helpers.vavl_small import ADAM, SGD, STILL

OF = {m: {f'encoder_{m}', 'joint_shared', f'head_{m}', f'rebuilder_{m}'} for m in ('audio', 'visual')}
REBUILD = 2.0


@pytest.fixture(scope='module', autouse=True)
def no_dropout_in_heads():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(network, 'HEAD_DROPOUT', 0.0)
    yield


@pytest.fixture(params=['light', pytest.param('conformer', marks=pytest.mark.slow)])
def blocks(request, monkeypatch):
  """What the encoders are made of: an update deals with modules, whatever is in them."""
  monkeypatch.setattr(conformer, 'Block', vavl_small.BLOCKS[request.param])


WITH_BLOCKS = pytest.mark.usefixtures('blocks')


def spec(row='vavl', table='crema_d', **changes):
  return vavl_small.spec(row, table, **{**STILL, **changes})


def adam(batches, start=None, cell=None):
  cell = cell or spec()
  return vavl_small.steps(cell, start or vavl_small.state(cell, ADAM), batches, ADAM)


def clips(audio=None, visual=None, **more):
  """A batch in which only some have audio, only some have a picture."""
  batch = vavl_small.batch(**more)
  for m, has in (('audio', audio), ('visual', visual)):
    if has is not None:
      batch[f'{m}_present'] = np.isin(np.arange(len(batch['mask'])), has)
  return batch


def changed(first, second) -> set[str]:
  """Modules in which anything differs."""
  same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))
  return {name for name in second if not same(first[name], second[name])}


def counts(state) -> dict[str, set[int]]:
  """The step counters within each module's optimiser."""
  found = {}
  for name, tree in state.opt_state.items():
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    found[name] = {int(leaf) for path, leaf in flat if getattr(path[-1], 'name', '') == 'count'}
  return found


# Phases


@WITH_BLOCKS
@pytest.mark.parametrize(('present', 'moved'), [
  (dict(), {name: 2 if name == 'joint_shared' else 1 for name in (*OF['audio'], *OF['visual'], 'fused')}),
  (dict(visual=[]), dict.fromkeys(OF['audio'], 1)),
  (dict(audio=[]), dict.fromkeys(OF['visual'], 1)),
  (dict(audio=[0, 1, 2], visual=[5, 6]),
   {name: 2 if name == 'joint_shared' else 1 for name in (*OF['audio'], *OF['visual'])}),
  (dict(audio=[], visual=[]), {}),
])  # fmt: skip
def test_a_phase_changes_its_modules_and_nothing_else(present, moved):
  """Parameters, moments and step counts of the others stay bit for bit; the shared encoder steps in both phases."""
  start = vavl_small.state(spec(), ADAM)
  before, _ = adam([vavl_small.batch(seed=3)], start)  # moments that are not zero
  after, (logged,) = adam([clips(**present)], before)
  assert changed(before.params, after.params) == changed(before.opt_state, after.opt_state) == set(moved)
  first = {name: 2 if name == 'joint_shared' else 1 for name in before.params}
  assert counts(after) == {name: {n + moved.get(name, 0)} for name, n in first.items()}
  assert logged['finite'] and int(after.skipped) == 0 and int(after.step) == 2
  learnt = {m for m in OF if set(OF[m]) <= set(moved)}
  norms = {place: changed(*(s.extra['batch_stats'][place] for s in (before, after)))
           for place in before.extra['batch_stats']}  # fmt: skip
  assert {place for place, found in norms.items() if found} == {
    *(f'encoder_{m}' for m in learnt), *(['joint_shared'] if learnt else [])
  }  # fmt: skip


def by_hand(cell, start, batch):
  """One step of three phases as sequential optax updates, written out."""
  tx = optax.chain(optax.add_decayed_weights(5e-7), optax.scale_by_adam(b1=0.95, b2=0.999), optax.scale(-ADAM['lr']))
  params, stats = start.params, start.extra['batch_stats']
  moments = jax.jit(lambda params: {name: tx.init(p) for name, p in params.items()})(params)
  x = {m: np.where(batch[f'{m}_mask'][..., None], (batch[m] - 0.1) / np.float32(1.5), 0) for m in OF}
  chosen = np.eye(6, dtype=np.float32)[batch['label']]
  cross = lambda out, who: -(chosen * jax.nn.log_softmax(out)).sum(1)[who].mean()
  one = lambda f: jax.jit(jax.vmap(f, axis_name=parallel.AXIS, in_axes=(None, None), axis_size=1))

  def apply(params, stats, method, *args, train):
    return cell.net.apply(
      {'params': params, 'batch_stats': stats}, *args, train, method=method, mutable=['batch_stats'] if train else False
    )

  def modality(m, params, stats):
    who, mask = batch[f'{m}_present'], batch[f'{m}_mask']

    def loss(part):
      p = {**params, **part}
      r, updated = apply(p, stats, 'encode', m, x[m], mask, who, train=True)
      out, rebuilt = (apply(p, stats, method, m, r, train=True)[0] for method in ('predict', 'rebuild'))
      mean = np.stack([v[has].mean(0) for v, has in zip(x[m], mask, strict=True)])
      return cross(out, who) + REBUILD * jnp.square(rebuilt - mean)[who].mean(), updated['batch_stats']

    return jax.value_and_grad(loss, has_aux=True)({name: params[name] for name in OF[m]})

  def fusion(params, stats):
    def loss(part):
      r = {
        m: apply(params, stats, 'encode', m, x[m], batch[f'{m}_mask'], batch[f'{m}_present'], train=False) for m in OF
      }
      out = apply({**params, **part}, stats, 'fuse', r, train=True)[0]
      return cross(out, batch['audio_present'] & batch['visual_present']), {}

    return jax.value_and_grad(loss, has_aux=True)({'fused': params['fused']})

  @jax.jit
  def advance(grads, moments, params):
    logged = {}
    for name, grad in grads.items():
      update, new = tx.update(grad, moments[name], params[name])
      logged[name] = optax.apply_updates(params[name], update), new
    return logged

  values = []
  for phase in (functools.partial(modality, 'visual'), functools.partial(modality, 'audio'), fusion):
    (value, updated), grads = jax.tree.map(lambda a: np.asarray(a)[0], one(phase)(params, stats))
    moved = advance(grads, *({name: tree[name] for name in grads} for tree in (moments, params)))
    params, moments = ({**old, **{name: both[i] for name, both in moved.items()}}
                       for i, old in enumerate((params, moments)))  # fmt: skip
    stats = {**stats, **updated}
    values.append(float(value))
  return params, stats, values


@WITH_BLOCKS
def test_a_step_is_three_updates_written_out():
  cell = spec()
  start = vavl_small.state(cell, ADAM)
  batch = clips(audio=[0, 1, 2, 3, 4, 5], visual=[2, 3, 4, 5, 6, 7])
  after, (logged,) = adam([batch], start)
  params, stats, values = by_hand(cell, start, batch)
  found = [logged[f'loss.{phase}'] for phase in ('visual', 'audio', 'fusion')]
  np.testing.assert_allclose(found, values, rtol=1e-5)
  np.testing.assert_allclose(logged['loss'], sum(values), rtol=1e-5)
  chex.assert_trees_all_close(after.extra['batch_stats'], stats, rtol=1e-5, atol=1e-6)
  # Adam's first step is the gradient's sign: where a gradient is all but zero it may be either
  moved = lambda tree: np.concatenate([np.ravel(a - b) for a, b in zip(*map(jax.tree.leaves, tree), strict=True)])
  for name in params:
    got, want = moved((after.params[name], start.params[name])), moved((params[name], start.params[name]))
    assert (np.abs(got - want) < 1e-5).mean() > 0.995 and np.abs(want).max() > 0.5e-3, name


@WITH_BLOCKS
def test_fusion_has_no_gradient_but_its_own():
  cell = spec()
  start, batch = vavl_small.state(cell), vavl_small.batch()
  phase = training.phases(cell)[-1]
  assert phase.name == 'fusion' and phase.modules == ('fused',)
  x = steps.standardised(batch, start.extra['input'])

  def gradient(params):
    return jax.grad(lambda p: phase.loss(p, start.extra['batch_stats'], x, jax.random.key(0)).value)(params)

  run = jax.jit(jax.vmap(gradient, axis_name=parallel.AXIS, in_axes=None, axis_size=1))
  largest = {name: max(np.abs(g).max() for g in jax.tree.leaves(tree)) for name, tree in run(start.params).items()}
  assert {name for name, size in largest.items() if size > 0} == {'fused'}


@WITH_BLOCKS
def test_loss_falls():
  batch = clips(audio=range(6), visual=range(2, 8))
  _, logged = adam([batch] * 60)
  for name in ('loss', 'loss.visual', 'loss.audio', 'loss.fusion'):
    assert logged[-1][name] < 0.8 * logged[0][name], name


# Missing modalities, padding, what is not finite


@WITH_BLOCKS
@pytest.mark.parametrize('junk', [1e3, np.nan, np.inf])
@pytest.mark.parametrize('mask', [False, True])
def test_values_of_an_absent_modality_do_not_matter(junk, mask):
  batch = clips(audio=[0, 1, 2, 3, 4], visual=[3, 4, 5, 6, 7])
  dirty = dict(batch)
  for m in OF:
    has = batch[f'{m}_present'][:, None]
    batch[f'{m}_mask'] = batch[f'{m}_mask'] & has
    dirty[f'{m}_mask'] = batch[f'{m}_mask'] | (~has & mask)
    dirty[m] = np.where(batch[f'{m}_mask'][..., None], batch[m], junk).astype(np.float32)
  (after, (logged,)), (other, (noisy,)) = adam([batch]), adam([dirty])
  assert logged == noisy and logged['finite']
  chex.assert_trees_all_equal(after.params, other.params)
  chex.assert_trees_all_equal(after.extra['batch_stats'], other.extra['batch_stats'])


@WITH_BLOCKS
def test_without_a_modality_is_as_without_the_clip():
  """The visual phase comes first; for it a clip without a picture, and padding full of NaN, are no clips."""
  absent, (logged,) = adam([clips(visual=[0, 1, 2, 3, 4])])
  padded = vavl_small.batch()
  padded['mask'][5:] = 0
  for m in OF:
    padded[m][5:] = np.nan
  other, (scalars,) = adam([padded])
  np.testing.assert_allclose(scalars['loss.visual'], logged['loss.visual'], rtol=1e-6)
  chex.assert_trees_all_equal(*(s.extra['batch_stats']['encoder_visual'] for s in (absent, other)))
  for name in OF['visual'] - {'joint_shared'}:
    chex.assert_trees_all_close(other.params[name], absent.params[name], rtol=1e-5, atol=1e-6)


@WITH_BLOCKS
def test_a_phase_that_is_not_finite_is_skipped_alone_and_nothing_is_lost():
  start = vavl_small.state(spec(), ADAM)
  spoiled = vavl_small.batch()
  spoiled['visual'][2, 0] = np.inf
  after, (logged,) = adam([spoiled], start)
  assert changed(start.params, after.params) == changed(start.opt_state, after.opt_state) == OF['audio']
  assert not changed(start.extra['batch_stats']['encoder_visual'], after.extra['batch_stats']['encoder_visual'])
  assert not logged['finite'] and int(after.skipped) == 1 and int(after.step) == 1
  assert all(np.isfinite(x).all() for x in jax.tree.leaves((after.params, after.extra['batch_stats'])))
  again, (_, healthy) = adam([spoiled, vavl_small.batch()], after)
  assert healthy['finite'] and int(again.skipped) == 0 and int(again.step) == 3
  assert changed(after.params, again.params) == set(start.params)


# Losses


def target(kind='classification', soft=False):
  names = ('a', 'b', 'c') if kind == 'regression' else tuple('abcdef')
  return training.Target(kind, names, soft)


def task_loss(goal, out, batch, known, devices=1):
  """Added up over devices, and its gradient."""
  cut = lambda v: np.reshape(v, (devices, -1, *np.shape(v)[1:]))

  def one(out, batch, known):
    value, grad = jax.value_and_grad(lambda o: training.task_loss(goal, o, batch, known))(out)
    return parallel.total(value), grad

  numbers = {k: cut(v) for k, v in batch.items() if k in ('label', 'shares')}
  value, grad = jax.jit(jax.vmap(one, axis_name=parallel.AXIS))(cut(out), numbers, cut(known))
  return float(value[0]), np.reshape(grad, np.shape(out))


def test_cross_entropy_by_hand_and_of_votes():
  batch, out = vavl_small.batch(), np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
  known = np.arange(8) < 6
  batch['label'][4] = -1
  logs = np.asarray(jax.nn.log_softmax(out), np.float64)
  who = known & (batch['label'] >= 0)
  hard, gradient = task_loss(target(), out, batch, known)
  assert hard == pytest.approx(-logs[who, batch['label'][who]].mean(), rel=1e-6) and not gradient[~who].any()
  soft, _ = task_loss(target(soft=True), out, batch, known)
  assert soft == pytest.approx(-(batch['shares'] * logs)[who].sum(1).mean(), rel=1e-6)
  batch['shares'] = np.eye(6, dtype=np.float32)[batch['label']]
  one_hot, same = task_loss(target(soft=True), out, batch, known)
  assert one_hot == pytest.approx(hard, rel=1e-6)
  np.testing.assert_allclose(same, gradient, atol=1e-7)
  eight, spread = task_loss(target(), out, batch, known, 8)
  assert eight == pytest.approx(hard, rel=1e-6)
  np.testing.assert_allclose(spread, gradient, atol=1e-7)


def test_ccc_is_the_metric_s_over_all_devices():
  batch, out = vavl_small.batch(kind='regression'), np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32)
  known = np.arange(8) != 2
  batch['label'][4, 1] = np.nan
  wanted = 0.0
  for i in range(3):
    who = known & np.isfinite(batch['label'][:, i])
    wanted += 1 - metrics.ccc(batch['label'][who, i], out[who, i])
  for devices in (1, 8):
    value, gradient = task_loss(target('regression'), out, batch, known, devices)
    assert value == pytest.approx(wanted, rel=1e-5)
    assert np.isfinite(gradient).all() and not gradient[2].any() and gradient[4, 1] == 0
    if devices == 1:
      alone = gradient
  np.testing.assert_allclose(gradient, alone, atol=1e-6)
  perfect, _ = task_loss(target('regression'), batch['label'][:4], {'label': batch['label'][:4]}, known[:4] | True)
  assert perfect == pytest.approx(0, abs=1e-6)


def test_constant_predictions_keep_value_and_gradient_finite():
  batch = {'label': np.full((4, 3), 0.5, np.float32)}
  value, gradient = task_loss(target('regression'), np.zeros((4, 3), np.float32), batch, np.ones(4, bool))
  assert value == pytest.approx(3) and np.isfinite(gradient).all()


def test_reconstruction_by_hand():
  batch, out = vavl_small.batch(), np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
  known = np.arange(8) < 5
  run = jax.jit(jax.vmap(training.rebuild_loss, axis_name=parallel.AXIS))
  found = run(out[None], batch['audio'][None], batch['audio_mask'][None], known[None])
  each = [np.square(o - x[m].mean(0)).mean() for o, x, m in zip(out, batch['audio'], batch['audio_mask'], strict=True)]
  assert float(found[0]) == pytest.approx(np.mean(each[:5]), rel=1e-6)


# Other updates, devices, precision


def sgd(cell, batches, devices=1):
  return vavl_small.steps(cell, vavl_small.state(cell, SGD), batches, SGD, devices)


def joint(reach: bool):
  cell = spec('joint', update=dict(fusion_gradient=reach))
  start = vavl_small.state(cell, SGD)
  after, (logged,) = sgd(cell, [clips(audio=range(6), visual=range(2, 8))])
  assert set(logged) == {'loss', 'finite', 'skipped', 'loss.joint', 'grad_norm.joint'}
  assert counts(after) == {name: {1} for name in after.params}
  assert changed(start.params, after.params) == set(after.params)
  return after


@WITH_BLOCKS
def test_joint_is_one_update_of_everything():
  joint(False)


@pytest.mark.slow
def test_fusion_may_reach_the_encoders():
  still, reaching = joint(False), joint(True)
  for name in still.params:
    pairs = zip(*(jax.tree.leaves(s.params[name]) for s in (still, reaching)), strict=True)
    gap = max(np.abs(a - b).max() for a, b in pairs)
    differs = name in ('encoder_audio', 'encoder_visual', 'joint_shared')
    assert gap > 1e-5 if differs else gap < 1e-6, name


@pytest.mark.parametrize(('row', 'table', 'blocks'), [
  ('joint', 'crema_d', 'light'),
  *(pytest.param(*at, 'conformer', marks=pytest.mark.slow)
    for at in (('uavm', 'crema_d'), ('vavl', 'msp_improv'), ('batch_axis', 'crema_d'))),
], indirect=['blocks'])  # fmt: skip
def test_eight_devices_are_one(row, table, blocks):
  """Three steps of gradient descent; devices hold unequal numbers of clips that have a modality, or none."""
  cell = spec(row, table)
  kind = 'regression' if table == 'msp_improv' else 'classification'
  batches = [clips(range(6), range(2, 8), n=8, seed=s, kind=kind) for s in range(3)]
  batches[1]['mask'][:2] = 0
  (one, logged), (eight, other) = sgd(cell, batches), sgd(cell, batches, 8)
  for a, b in zip(logged, other, strict=True):
    chex.assert_trees_all_close(b, a, rtol=1e-5, atol=1e-6)
  chex.assert_trees_all_close(eight.params, one.params, atol=2e-6, rtol=1e-5)
  chex.assert_trees_all_close(eight.extra['batch_stats'], one.extra['batch_stats'], rtol=1e-5, atol=1e-6)
  assert changed(vavl_small.state(cell).params, one.params) == set(one.params)


@pytest.mark.slow
def test_bfloat16_is_near_and_parameters_stay_float32():
  batch = vavl_small.batch()
  after, (logged,) = adam([batch], cell=spec(model=dict(dropout=0.0, compute='bfloat16')))
  _, (exact,) = adam([batch])
  for name in ('loss', 'loss.visual', 'loss.audio', 'loss.fusion'):
    assert logged[name] == pytest.approx(exact[name], rel=0.02) and logged[name] != exact[name]
  floats = [x for x in jax.tree.leaves((after.params, after.opt_state)) if jnp.issubdtype(x.dtype, jnp.floating)]
  assert {x.dtype for x in floats} == {jnp.dtype('float32')}


@pytest.mark.slow
def test_what_is_computed_again_is_the_same():
  """`remat` changes memory, neither values nor dropout."""
  batch = vavl_small.batch()
  first, second = (sgd(spec(model=dict(dropout=0.4, remat=remat)), [batch]) for remat in (False, True))
  np.testing.assert_allclose(second[1][0]['loss'], first[1][0]['loss'], rtol=1e-6)
  chex.assert_trees_all_close(second[0].params, first[0].params, rtol=1e-5, atol=1e-6)
