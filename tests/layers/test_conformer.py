"""The conformer block: parity with a plain float64 one, its shifts and convolution by hand, padding invisible.

Inputs of masked frames are finite here: the block multiplies them by zero. Infinities and NaN there are dealt with by
the network, which puts zeros in their place (tests/systems/vavl/test_network.py).
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.layers import conformer
from tests.helpers import reference_conformer as reference

WIDTH, HEADS, KERNEL = 8, 2, 3
LENGTHS = (9, 4, 3, 2, 1)
FORMS = {'released': 'released', 'relative': 'proper'}


def block(positions: str, **changes) -> conformer.Block:
  return conformer.Block(**{**dict(heads=HEADS, kernel=KERNEL, dropout=0.0, positions=positions), **changes})


@functools.lru_cache(maxsize=8)
def variables(positions: str):
  """Parameters and running statistics, none of them 0 or 1."""
  x = jax.ShapeDtypeStruct((1, 2, WIDTH), jnp.float32)
  start = jax.eval_shape(block(positions).init, jax.random.key(0), x, np.ones((1, 2), bool), np.array([2]))
  rng = np.random.default_rng(1)
  draw = lambda path, p: (path[-1].key == 'scale') + rng.normal(0, 0.5 if p.ndim > 1 else 0.3, p.shape)
  moved = jax.tree_util.tree_map_with_path(lambda path, p: draw(path, p).astype(np.float32), start['params'])
  norm = {'mean': rng.normal(0, 0.5, WIDTH), 'var': rng.uniform(0.3, 2, WIDTH)}
  return {'params': moved, 'batch_stats': {'conv': {'batch_norm': jax.tree.map(np.float32, norm)}}}


def as_reference(params):
  """float64, and the depthwise kernel where the reference has it."""
  params = jax.tree.map(lambda p: np.asarray(p, np.float64), params)
  return {**params, 'conv': {**params['conv'], 'depthwise': {'kernel': params['conv']['depthwise']}}}


def clips(lengths, seed=2):
  rng = np.random.default_rng(seed)
  return [rng.normal(size=(n, WIDTH)).astype(np.float32) for n in lengths]


def padded(parts, frames=None, junk=50.0):
  frames = frames or max(map(len, parts))
  x = np.full((len(parts), frames, WIDTH), junk, np.float32)
  for i, part in enumerate(parts):
    x[i, : len(part)] = part
  lengths = np.array([len(p) for p in parts])
  return x, np.arange(frames) < lengths[:, None], lengths


@functools.lru_cache(maxsize=16)
def applied(positions: str, train: bool = False):
  net = block(positions)
  if train:
    return jax.jit(lambda v, *args: net.apply(v, *args, True, mutable=['batch_stats']))
  return jax.jit(lambda v, *args: net.apply(v, *args))


@pytest.mark.parametrize(('lengths', 'positions'), [
  (LENGTHS, 'released'), (LENGTHS, 'relative'), ((1,), 'released'), ((2,), 'relative'),
  *(pytest.param(*at, marks=pytest.mark.slow) for at in (((1,), 'relative'), ((2,), 'released'))),
])  # fmt: skip
def test_parity_in_evaluation(positions, lengths):
  v, parts = variables(positions), clips(lengths)
  wanted, _ = reference.block(
    as_reference(v['params']), parts, v['batch_stats']['conv']['batch_norm'], FORMS[positions]
  )
  out = np.asarray(applied(positions)(v, *padded(parts)))
  for got, want in zip(out, wanted, strict=True):
    np.testing.assert_allclose(got[: len(want)], want, atol=1e-5)


@pytest.mark.parametrize('positions', FORMS)
def test_parity_in_training_over_clips_of_all_lengths(positions):
  v, parts = variables(positions), clips(LENGTHS)
  wanted, stats = reference.block(as_reference(v['params']), parts, None, FORMS[positions])
  out, updated = applied(positions, True)(v, *padded(parts))
  for got, want in zip(np.asarray(out), wanted, strict=True):
    np.testing.assert_allclose(got[: len(want)], want, atol=1e-5)
  old, new = (s['conv']['batch_norm'] for s in (v['batch_stats'], updated['batch_stats']))
  n = sum(LENGTHS)
  np.testing.assert_allclose(new['mean'], 0.9 * old['mean'] + 0.1 * stats['mean'], atol=1e-6)
  np.testing.assert_allclose(new['var'], 0.9 * old['var'] + 0.1 * stats['var'] * n / (n - 1), rtol=1e-5)


def test_parameters_of_a_block_of_the_paper():
  inputs = (jnp.zeros((1, 4, 512)), jnp.ones((1, 4), bool), jnp.array([4]))
  for positions in FORMS:
    net = conformer.Block(positions=positions)
    shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)
    assert sum(p.size for p in jax.tree.leaves(shapes['params'])) == 6_323_200


def test_unknown_positions_are_refused():
  with pytest.raises(UserError, match="unknown positions 'absolute'; there is: relative, released"):
    jax.eval_shape(block('absolute').init, jax.random.key(0), *padded(clips((2,))))


@pytest.mark.parametrize('positions', ['released', pytest.param('relative', marks=pytest.mark.slow)])
def test_padding_and_batch_mates_are_invisible(positions):
  """Forward, and the gradient with respect to input and parameters."""
  v, parts = variables(positions), clips(LENGTHS)
  weight = np.random.default_rng(3).normal(size=(9, WIDTH)).astype(np.float32)

  @jax.jit
  def judged(params, x, mask, lengths):
    def total(params, x):
      out = block(positions).apply({**v, 'params': params}, x, mask, lengths)
      return jnp.sum(jnp.where(mask[..., None], out * jnp.pad(weight, ((0, x.shape[1] - 9), (0, 0))), 0)[1]), out[1]

    (_, out), grads = jax.value_and_grad(total, (0, 1), has_aux=True)(params, x)
    return out, grads

  out, (by_params, by_x) = judged(v['params'], *padded(parts))
  rest = [np.asarray(by_x)[i] for i in range(len(parts)) if i != 1]
  assert np.abs(np.asarray(by_x)[1, :4]).min() > 0 and not np.any(rest) and not np.any(by_x[1, 4:])
  other = clips(LENGTHS[::-1], seed=4)
  other[1] = parts[1]
  for x in (padded(parts, junk=-3.0), padded(other), padded(other, 12)):
    again, grads = judged(v['params'], *x)
    np.testing.assert_allclose(again[:4], out[:4], atol=1e-6)
    np.testing.assert_allclose(grads[1][1, :4], by_x[1, :4], atol=2e-6)
    # 2e-6 of the largest: float32 shows that sums over another length associate otherwise; see below for float64
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6 * max(1, np.abs(b).max())), grads[0], by_params
    )


@pytest.mark.slow
@pytest.mark.parametrize('positions', FORMS)
def test_padding_and_batch_mates_are_invisible_to_the_parameters(positions):
  """Their gradient, in float64: sums over another length associate otherwise, and float32 shows it."""
  double = lambda tree: jax.tree.map(lambda p: np.asarray(p, np.float64) if p.dtype.kind == 'f' else p, tree)
  with jax.enable_x64(True):
    v, parts = double(variables(positions)), clips(LENGTHS)

    @jax.jit
    def slope(params, x, mask, lengths):
      out = lambda p: block(positions).apply({**v, 'params': p}, x, mask, lengths)[1, :4]
      return jax.grad(lambda p: jnp.sum(jnp.sin(3.0 * out(p))))(params)

    wanted = slope(v['params'], *double(padded(parts)))
    other = clips(LENGTHS[::-1], seed=4)
    other[1] = parts[1]
    for x in (padded(parts, junk=-3.0), padded(other), padded(other, 12)):
      got = slope(v['params'], *double(x))
      assert all(g.dtype == np.float64 for g in jax.tree.leaves(got))
      chex.assert_trees_all_close(got, wanted, rtol=1e-7, atol=1e-10)


# Shifts


def wrapped_by_loops(s, lengths):
  out = np.zeros_like(s)
  for b, n in enumerate(lengths):
    for h in range(len(s)):
      out[h, b, :n, :n] = reference.shift_released(s[h, b, :n, :n])
  return out


def wrapped_by_index(s, lengths):
  """The same by plain indexing, to be differentiated by JAX."""
  i, j = jnp.meshgrid(jnp.arange(s.shape[2]), jnp.arange(s.shape[2]), indexing='ij')
  last = s.shape[2] - 1
  clip = lambda a: jnp.clip(a, 0, last)

  def one(x, n):
    behind, ahead = x[i, clip(n - 1 - i + j)], x[clip(i + 1), clip(j - i - 2)]
    return jnp.where(j <= i, behind, jnp.where(j == i + 1, 0, ahead))

  return jax.vmap(jax.vmap(one), (0, None))(s, lengths)


def used(shape, lengths):
  inside = np.arange(shape[-1]) < np.asarray(lengths)[:, None]
  return np.broadcast_to(inside[:, :, None] & inside[:, None], shape)


@pytest.mark.parametrize('lengths', [(7, 4, 1, 2, 0), (1,), (3, 1, 3)])
def test_the_released_shift_of_clips_of_their_own_lengths(lengths):
  t = max(lengths)
  rng = np.random.default_rng(t)
  s, weight = rng.normal(size=(2, 2, len(lengths), t, t)).astype(np.float32)
  real, lengths = used(s.shape, lengths), jnp.array(lengths)
  np.testing.assert_array_equal(
    np.where(real, jax.jit(conformer.wrapped)(s, lengths), 0), wrapped_by_loops(s, lengths.tolist())
  )
  gradient = lambda f: jax.jit(jax.grad(lambda s: jnp.sum(jnp.where(real, f(s, lengths) * weight, 0))))(s)
  np.testing.assert_allclose(gradient(conformer.wrapped), gradient(wrapped_by_index), atol=1e-6)


@pytest.mark.parametrize('t', [1, 2, 7])
def test_the_shift_by_signed_distance(t):
  rng = np.random.default_rng(t)
  s, weight = rng.normal(size=(2, 3, t, 2 * t - 1)).astype(np.float32), rng.normal(size=(2, 3, t, t))
  by_loops = np.array([[s[..., i, t - 1 - i + j] for j in range(t)] for i in range(t)]).transpose(2, 3, 0, 1)
  np.testing.assert_array_equal(conformer.shifted(s), by_loops)
  i, j = np.meshgrid(range(t), range(t), indexing='ij')
  gradient = lambda f: jax.jit(jax.grad(lambda s: jnp.sum(f(s) * weight.astype(np.float32))))(s)
  np.testing.assert_allclose(gradient(conformer.shifted), gradient(lambda s: s[..., i, t - 1 - i + j]), atol=1e-6)


def test_sinusoids_are_the_reference_s():
  for first, last in ((0, 6), (-5, 6)):
    np.testing.assert_allclose(
      conformer.sinusoids(first, last, 10), reference.sinusoids(np.arange(first, last), 10), atol=1e-6
    )


# Convolution


def grouped(x, kernel):
  size, width = kernel.shape
  return jax.lax.conv_general_dilated(
    x, kernel[:, None], (1,), [(size // 2, size // 2)], dimension_numbers=('NWC', 'WIO', 'NWC'),
    feature_group_count=width,
  )  # fmt: skip


@pytest.mark.parametrize(('frames', 'size'), [(1, 3), (5, 1), (29, 5), (30, 3), (61, 7), (4, 31)])
def test_depthwise_is_a_convolution_by_groups(frames, size):
  rng = np.random.default_rng(frames)
  x, weight = rng.normal(size=(2, 2, frames, 3)).astype(np.float32)
  kernel = rng.normal(size=(size, 3)).astype(np.float32)

  @jax.jit
  def both(x, kernel):
    weighed = lambda f: jax.grad(lambda x, k: jnp.sum(f(x, k) * weight), (0, 1))(x, kernel)
    return [(f(x, kernel), weighed(f)) for f in (conformer.depthwise, grouped)]

  (out, gradient), (wanted, slope) = both(x, kernel)
  np.testing.assert_allclose(out, wanted, atol=1e-5)
  for got, want in zip(gradient, slope, strict=True):
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_dropout_goes_by_its_key():
  v, x = variables('released'), padded(clips((5, 5)))
  net = block('released', dropout=0.5)
  run = jax.jit(lambda key: net.apply(v, *x, True, mutable=['batch_stats'], rngs={'dropout': key})[0])
  first, again, other = (np.asarray(run(jax.random.key(i))) for i in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert (np.abs(first - other) > 1e-3).mean() > 0.9
