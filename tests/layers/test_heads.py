"""BatchNorm against numbers worked out by hand from PyTorch's rule; masked equals dropped; eight devices equal one."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.engine import parallel
from affectjax.layers.heads import BatchNorm, DenseStack

ALONE = BatchNorm()
SHARED = BatchNorm(axis_name=parallel.AXIS)


def start(net, width: int):
  shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((2, width)), None, False))
  first = {'scale': 1, 'bias': 0, 'mean': 0, 'var': 1}
  return jax.tree_util.tree_map_with_path(lambda path, x: np.full(x.shape, first[path[-1].key], x.dtype), shapes)


@functools.partial(jax.jit, static_argnums=0)
def _apply(net, variables, x, mask):
  return net.apply(variables, x, mask, True, mutable=['batch_stats'])


def train(net, variables, x, mask=None):
  """Output and the new running statistics."""
  out, updated = _apply(net, variables, np.asarray(x, np.float32), mask)
  return np.asarray(out), jax.tree.map(np.asarray, updated['batch_stats'])


def test_numbers_by_hand():
  # column 0: 1, 2, 3, 6 has mean 3, sum of squares 14; column 1 is constant
  x = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [6.0, 5.0]])
  out, stats = train(ALONE, start(ALONE, 2), x)
  np.testing.assert_allclose(out[:, 0], np.array([-2, -1, 0, 3]) / np.sqrt(3.5 + 1e-5), rtol=1e-6)  # 14 / 4: biased
  np.testing.assert_allclose(out[:, 1], 0, atol=1e-6)
  np.testing.assert_allclose(stats['mean'], [0.3, 0.5], rtol=1e-6)  # momentum 0.1 from 0
  np.testing.assert_allclose(stats['var'], [0.9 + 0.1 * 14 / 3, 0.9], rtol=1e-6)  # unbiased, from 1


def test_statistics_move_on_and_evaluation_uses_them():
  variables = start(ALONE, 1)
  x = np.array([[0.0], [2.0]])
  for _ in range(2):
    _, stats = train(ALONE, variables, x)
    variables = {**variables, 'batch_stats': stats}
  np.testing.assert_allclose(stats['mean'], [0.19], rtol=1e-6)  # 0.9 * 0.1 + 0.1
  np.testing.assert_allclose(stats['var'], [0.9 * 1.1 + 0.2], rtol=1e-6)  # unbiased variance of 0, 2 is 2
  affine = {'params': {'scale': np.float32([3]), 'bias': np.float32([-1])}, 'batch_stats': stats}
  out = jax.jit(lambda variables, x: ALONE.apply(variables, x, None, False))(affine, np.float32([[0.19], [1.19]]))
  np.testing.assert_allclose(out[:, 0], [-1.0, 3.0 / np.sqrt(1.19 + 1e-5) - 1.0], rtol=1e-5)


def test_initialising_leaves_statistics_alone():
  variables = jax.jit(lambda: ALONE.init(jax.random.key(0), jnp.full((4, 1), 7.0), None, True))()
  np.testing.assert_array_equal(variables['params']['scale'], [1])
  np.testing.assert_array_equal(variables['params']['bias'], [0])
  np.testing.assert_array_equal(variables['batch_stats']['mean'], [0])
  np.testing.assert_array_equal(variables['batch_stats']['var'], [1])


@jax.jit
def _gradients(params, stats, x, mask, weights):
  def loss(params, x):
    out, _ = ALONE.apply({'params': params, 'batch_stats': stats}, x, mask, True, mutable=['batch_stats'])
    keep = jnp.ones(len(x), bool) if mask is None else mask > 0
    return jnp.sum(jnp.where(keep[:, None], weights * jnp.square(out), 0.0))

  return jax.grad(loss, (0, 1))(params, x)


@pytest.mark.parametrize('junk', [0.0, 100.0, np.inf, np.nan])
def test_masked_equals_dropped(junk):
  rng = np.random.default_rng(0)
  x = rng.normal(2, 3, (10, 4)).astype(np.float32)
  mask = (rng.random(10) < 0.6).astype(np.float32)
  real = mask > 0
  x[~real] = junk
  variables = start(ALONE, 4)
  weights = rng.normal(size=(10, 4)).astype(np.float32)
  out, stats = train(ALONE, variables, x, mask)
  expected, wanted = train(ALONE, variables, x[real])
  np.testing.assert_allclose(out[real], expected, atol=1e-6)
  chex.assert_trees_all_close(stats, wanted, rtol=1e-6, atol=0)
  if not np.isfinite(junk):
    return  # what a loss does with the rows themselves is the step's business (test_train.py)
  got = _gradients(variables['params'], variables['batch_stats'], x, mask, weights)
  dropped = _gradients(variables['params'], variables['batch_stats'], x[real], None, weights[real])
  chex.assert_trees_all_close(got[0], dropped[0], rtol=1e-7, atol=2e-5)
  np.testing.assert_allclose(np.asarray(got[1])[real], dropped[1], atol=1e-5)


def test_eight_devices_equal_one_with_unequal_masks():
  rng = np.random.default_rng(1)
  x = rng.normal(1, 2, (32, 3)).astype(np.float32)
  x[:4] += 50.0  # a device unlike the others: the mean of the devices' own variances would be far off
  mask = np.ones(32, np.float32)
  mask[[5, 6, 7, 12, 17, 28, 29, 30, 31]] = 0  # one device has a single row, one none at all
  x[mask == 0] = 1e6
  weights = rng.normal(size=(32, 3)).astype(np.float32)
  one = start(ALONE, 3)

  def loss(net, params, x, mask, weights):
    out, updated = net.apply({**one, 'params': params}, x, mask, True, mutable=['batch_stats'])
    value = jnp.sum(jnp.where(mask[:, None] > 0, weights * jnp.square(out) + weights * out, 0.0))
    return value, (out, updated['batch_stats'])

  def on_devices(params, batch):
    (value, (out, stats)), grads = jax.value_and_grad(
      lambda p: loss(SHARED, p, batch['x'], batch['mask'], batch['w']), has_aux=True
    )(params)
    return parallel.total((value, grads)), out, stats

  (value, grads), out, stats = parallel.pmap(on_devices)(
    parallel.replicate(one['params']), parallel.shard({'x': x, 'mask': mask, 'w': weights})
  )
  (wanted, (wanted_out, wanted_stats)), wanted_grads = jax.jit(
    jax.value_and_grad(lambda p: loss(ALONE, p, x, mask, weights), has_aux=True)
  )(one['params'])
  real = mask > 0
  np.testing.assert_allclose(np.asarray(out).reshape(32, 3)[real], np.asarray(wanted_out)[real], atol=1e-5)
  np.testing.assert_allclose(np.asarray(value)[0], wanted, rtol=1e-5)
  close = lambda a, b: np.testing.assert_allclose(np.asarray(a)[0], b, rtol=2e-5, atol=2e-5)
  jax.tree.map(close, stats, wanted_stats)
  jax.tree.map(close, grads, wanted_grads)
  assert len({np.asarray(s).tobytes() for s in np.asarray(stats['mean'])}) == 1, 'all devices keep the same'


def test_dense_stack_shapes_and_dropout_places():
  net = DenseStack((8, 4), 2, dropout=0.5, dropout_first=True, hidden_bias=False)
  x = np.ones((6, 5), np.float32)
  variables = jax.jit(lambda x: net.init(jax.random.key(0), x, None, False))(x)
  assert variables['params']['dense_0']['kernel'].shape == (5, 8)
  assert 'bias' not in variables['params']['dense_0'] and 'bias' in variables['params']['out']
  evaluate = jax.jit(lambda variables, x: net.apply(variables, x, None, False))
  evaluated = evaluate(variables, x)
  assert evaluated.shape == (6, 2)
  np.testing.assert_array_equal(evaluated, evaluate(variables, x))

  @jax.jit
  def run(seed):
    return net.apply(variables, x, None, True, mutable=['batch_stats'], rngs={'dropout': jax.random.key(seed)})[0]

  assert not np.array_equal(run(0), run(1))
  np.testing.assert_array_equal(run(0), run(0))
