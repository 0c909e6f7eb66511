"""VAVL's network and baselines: released sizes, clips judged alone, absent modalities unseen, the parity flag."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.engine import parallel, steps
from affectjax.layers import conformer
from affectjax.systems.vavl import experiment, network
from tests.helpers import reference_conformer as reference
from tests.helpers import vavl_small

RELEASED = {  # experiments/vavl.md, 3
  'encoder_audio': 19_046_912, 'encoder_visual': 19_066_112, 'joint_shared': 12_910_080, 'head_audio': 395_526,
  'head_visual': 395_526, 'fused': 657_670, 'rebuilder_audio': 657_152, 'rebuilder_visual': 755_840,
}  # fmt: skip
TOTAL = 53_884_818
# every network there is; rows that differ in losses or updates only have vavl's; LIGHT is vavl of light blocks
LIGHT = 'vavl_light'
QUICK, SLOW = ('vavl', LIGHT, 'uavm'), ('audio_only', 'late_fusion', 'mult', 'auxformer', 'no_shared')
NETS = [*QUICK, *(pytest.param(row, marks=pytest.mark.slow) for row in SLOW)]
CLIP, NO_VISUAL, NO_AUDIO = 2, 5, 6


@functools.lru_cache(maxsize=16)
def sizes(row: str) -> dict[str, int]:
  """Parameters of each module at full size."""
  config = vavl_small.full(row)
  widths = {m: {'audio': 1024, 'visual': 1408}[m] for m in config['data']['modalities']}
  net = experiment.spec(config, widths).net
  net = net.clone(across_batch=False) if isinstance(net, network.VAVL) else net
  example = {}
  for m, width in widths.items():
    example |= {m: jnp.zeros((1, 2, width)), f'{m}_mask': jnp.ones((1, 2), bool), f'{m}_present': jnp.ones(1, bool)}
  shapes = jax.eval_shape(net.init, jax.random.key(0), example)['params']
  return {name: sum(p.size for p in jax.tree.leaves(tree)) for name, tree in shapes.items()}


@pytest.mark.parametrize(
  'row', ['vavl', *(pytest.param(r, marks=pytest.mark.slow) for r in ('batch_axis', 'no_residual'))]
)
def test_parameters_are_as_many_as_released(row):
  assert sizes(row) == RELEASED and sum(RELEASED.values()) == TOTAL


@pytest.mark.parametrize('row', ['uavm', *(pytest.param(row, marks=pytest.mark.slow) for row in ('mult', 'auxformer'))])
def test_baselines_are_of_vavl_s_size(row):
  assert abs(sum(sizes(row).values()) / TOTAL - 1) < 0.1


def test_a_network_of_one_modality_lacks_the_other():
  alone = {'encoder_audio', 'joint_shared', 'head_audio', 'rebuilder_audio'}
  assert sizes('audio_only') == {name: RELEASED[name] for name in alone}


@pytest.mark.slow
def test_ablations_lack_what_they_say():
  apart = sizes('no_shared')
  assert apart['joint_audio'] == apart['joint_visual'] == RELEASED['joint_shared'] and 'joint_shared' not in apart
  assert set(apart) - set(sizes('late_fusion')) == {'fused'}


@pytest.fixture(autouse=True)
def blocks(request, monkeypatch):
  """What the encoders are made of."""
  row = getattr(request.node, 'callspec', None) and request.node.callspec.params.get('row')
  if row == LIGHT:
    monkeypatch.setattr(conformer, 'Block', vavl_small.Light)


def row_of(name: str) -> str:
  return name.removesuffix('_light')


@functools.lru_cache(maxsize=16)
def judged(row: str):
  """Compiled (batch, weight [B], params) -> (outputs per view, gradient of the weighted sum of all outputs)."""
  cell = vavl_small.spec(row_of(row))
  start = vavl_small.state(cell)
  stats = start.extra['batch_stats']

  def judge(params, batch, weight):
    x = steps.standardised(batch, start.extra['input'])

    def total(params):
      out = cell.net.apply({'params': params, 'batch_stats': stats}, x)
      mixed = sum(jnp.sum(y * jnp.cos(jnp.arange(y.shape[1])) * (i + 1), 1) for i, y in enumerate(out.values()))
      return jnp.sum(jnp.where(weight > 0, mixed, 0)), out

    (_, out), grads = jax.value_and_grad(total, has_aux=True)(params)
    return out, grads

  run = jax.jit(judge)

  def call(batch, weight, params=start.params):
    return jax.device_get(run(params, batch, np.asarray(weight, np.float32)))

  return call


def batch_of(row: str, **more):
  """Clips of which one has no picture and one no sound, as a row takes them."""
  batch = vavl_small.batch(**more)
  batch['visual_present'][NO_VISUAL] = batch['audio_present'][NO_AUDIO] = False
  kept = vavl_small.config(row_of(row))['data']['modalities']
  return {k: v for k, v in batch.items() if not k.startswith(('audio', 'visual')) or k.split('_')[0] in kept}


def close(first, second, atol=1e-6):
  scale = max(1.0, *(np.abs(x).max() for x in jax.tree.leaves(second)))
  chex.assert_trees_all_close(first, second, rtol=1e-7, atol=atol * scale)


@pytest.mark.parametrize('row', NETS)
def test_a_clip_is_judged_alone(row):
  """Its outputs and their gradient do not depend on its batch mates."""
  run, batch = judged(row), batch_of(row)
  only = np.arange(8) == CLIP
  out, grads = run(batch, only)
  other = {**batch_of(row, seed=1), 'mask': batch['mask']}
  for key, value in other.items():
    value[CLIP] = batch[key][CLIP]
  other['mask'][4:6] = 0
  again, others = run(other, only)
  close({v: y[CLIP] for v, y in again.items()}, {v: y[CLIP] for v, y in out.items()})
  close(others, grads)
  assert max(np.abs(g).max() for g in jax.tree.leaves(grads)) > 1e-3


@pytest.mark.parametrize('row', NETS)
@pytest.mark.parametrize('junk', [1e4, np.nan, np.inf])
def test_what_is_masked_or_absent_may_hold_anything(row, junk):
  """Frames behind a clip's end, all of a modality that is absent (even if its mask says otherwise): bit-equal."""
  run, batch = judged(row), batch_of(row)
  clean, dirty = dict(batch), dict(batch)
  for m in vavl_small.WIDTHS:
    if m in batch:
      seen = batch[f'{m}_mask'] & batch[f'{m}_present'][:, None]
      clean[m] = np.where(seen[..., None], batch[m], 0).astype(np.float32)
      dirty[m] = np.where(seen[..., None], batch[m], junk).astype(np.float32)
  out, grads = run(clean, np.ones(8))
  assert all(np.isfinite(v).all() for v in jax.tree.leaves((out, grads)))
  chex.assert_trees_all_equal((out, grads), run(dirty, np.ones(8)))


@pytest.mark.parametrize(
  'row', [LIGHT, *(pytest.param(row, marks=pytest.mark.slow) for row in ('vavl', 'uavm', 'mult', 'auxformer'))]
)
def test_padding_is_invisible(row):
  """The same clips padded to 11 and 9 frames."""
  run, batch = judged(row), batch_of(row)
  longer = dict(batch)
  for m in vavl_small.WIDTHS:
    for key in (m, f'{m}_mask'):
      longer[key] = np.pad(batch[key], ((0, 0), (0, 4), (0, 0))[: batch[key].ndim])
  (out, grads), (again, others) = run(batch, np.ones(8)), run(longer, np.ones(8))
  close(again, out)
  close(others, grads, 2e-6)


@pytest.mark.parametrize('row', NETS)
def test_a_view_sees_its_modalities_alone(row):
  """`audio` does not change with the picture, nor `visual` with the sound; `both` does with either."""
  run, batch = judged(row), batch_of(row)
  out = run(batch, np.ones(8))[0]
  for m, other in (('audio', 'visual'), ('visual', 'audio')):
    if m in batch and other in batch:
      changed = run({**batch, m: -batch[m]}, np.ones(8))[0]
      np.testing.assert_array_equal(changed[other], out[other])
      assert np.abs(changed[m][CLIP] - out[m][CLIP]).max() > 1e-4
      assert np.abs(changed['both'][CLIP] - out['both'][CLIP]).max() > 1e-4
  assert set(out) == ({'audio', 'visual', 'both'} if {'audio', 'visual'} <= batch.keys() else {row.split('_')[0]})


@pytest.mark.parametrize('row', ['uavm', pytest.param('late_fusion', marks=pytest.mark.slow)])
def test_late_fusion_and_uavm_average_probabilities(row):
  out = judged(row)(batch_of(row), np.ones(8))[0]
  mean = (jax.nn.softmax(out['audio']) + jax.nn.softmax(out['visual'])) / 2
  np.testing.assert_allclose(jax.nn.softmax(out['both']), mean, atol=1e-6)


def test_numbers_are_averaged_as_they_are():
  made = network.mean_of({'audio': jnp.ones((1, 3)), 'visual': jnp.zeros((1, 3))}, False)
  np.testing.assert_allclose(made, np.full((1, 3), 0.5))


@pytest.mark.parametrize('row', [LIGHT, pytest.param('vavl', marks=pytest.mark.slow)])
def test_the_shared_encoder_is_behind_both(row):
  """What comes of either modality changes with it, and with the modality's own encoder only what comes of that."""
  run, batch = judged(row), vavl_small.batch()
  params = vavl_small.variables(vavl_small.spec())['params']
  out = run(batch, np.ones(8))[0]
  for name, changed in (
    ('joint_shared', {'audio', 'visual'}),
    ('encoder_audio', {'audio'}),
    ('encoder_visual', {'visual'}),
  ):
    now = run(batch, np.ones(8), {**params, name: jax.tree.map(lambda p: p + np.float32(0.1), params[name])})[0]
    assert {m for m in vavl_small.WIDTHS if not np.array_equal(out[m], now[m])} == changed


# Across the batch, as released


def blocks_by_hand(p, x, stats, count):
  """x [T, B, any] through projection and blocks that take frames for clips."""
  x = x @ p['reduce']['kernel'] if 'reduce' in p else x
  x = reference.dense(p['project'], x)
  for i in range(count):
    block, norms = jax.tree.map(lambda a, i=i: a[i], (p['blocks']['block'], stats['blocks']['block']))
    block = {**block, 'conv': {**block['conv'], 'depthwise': {'kernel': block['conv']['depthwise']}}}
    x = np.stack(reference.block(block, x, norms['conv']['batch_norm'])[0])
  return x


@pytest.fixture(scope='module')
def across():
  """The network across the batch: itself on so many devices, its variables, and a batch."""
  cell = vavl_small.spec('batch_axis')
  start = vavl_small.state(cell)
  variables = {'params': start.params, 'batch_stats': start.extra['batch_stats']}
  run = jax.jit(jax.vmap(lambda b: cell.net.apply(variables, b), axis_name=parallel.AXIS))
  batch = vavl_small.batch()
  for m in vavl_small.WIDTHS:  # clips of one length: the released code has no masks
    batch[f'{m}_mask'][:], batch[m] = True, np.random.default_rng(5).normal(size=batch[m].shape).astype(np.float32)
  cut = lambda b, n: {k: np.reshape(v, (n, -1, *v.shape[1:])) for k, v in b.items()}
  return lambda b, n: jax.tree.map(lambda y: y.reshape(8, -1), jax.device_get(run(cut(b, n)))), start, batch


@pytest.mark.slow
def test_across_the_batch_eight_devices_are_one(across):
  run, _, batch = across
  close(run(batch, 8), run(batch, 1))


@pytest.mark.slow
@pytest.mark.parametrize('devices', [8, 1])
def test_across_the_batch_is_the_released_layout_on_any_number_of_devices(across, devices):
  run, start, batch = across
  one = run(batch, devices)
  other = {**batch, 'audio': batch['audio'].copy()}
  other['audio'][0] *= -1
  changed = run(other, devices)['audio']
  assert np.abs(changed - one['audio'])[1:].max() > 1e-3, 'batch mates were meant to matter'

  p, stats = jax.tree.map(lambda a: np.asarray(a, np.float64), (start.params, start.extra['batch_stats']))
  r = {}
  for m in vavl_small.WIDTHS:
    y = blocks_by_hand(p[f'encoder_{m}'], batch[m].swapaxes(0, 1).astype(np.float64), stats[f'encoder_{m}'], 1)
    z = blocks_by_hand(p['joint_shared']['encoder'], y, stats['joint_shared']['encoder'], 1)
    r[m] = reference.layer_norm(p['joint_shared']['norm'], y + z).mean(0)
  head = lambda q, x: reference.dense(
    q['out'], reference.dense(q['middle'], np.maximum(reference.dense(q['in'], x), 0))
  )
  for m in r:
    np.testing.assert_allclose(one[m], head(p[f'head_{m}'], r[m]), atol=2e-5)
  np.testing.assert_allclose(one['both'], head(p['fused'], np.concatenate([r['audio'], r['visual']], 1)), atol=2e-5)
