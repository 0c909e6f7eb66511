"""Transformer layers against plain NumPy: attention, absent keys, padding, positions."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from affectjax.layers import transformer
from tests.helpers import reference_conformer as reference

WIDTH, HEADS = 8, 2
RNG = np.random.default_rng(0)


def drawn(*shape):
  return RNG.normal(size=shape).astype(np.float32)


def moved(init, *args):
  """Random parameters of the shapes that `init` gives, none of them 0 or 1."""
  shapes = jax.eval_shape(init, jax.random.key(0), *args)['params']
  draw = lambda path, p: (path[-1].key == 'scale') + RNG.normal(0, 0.4 if p.ndim > 1 else 0.2, p.shape)
  return jax.tree_util.tree_map_with_path(lambda path, p: draw(path, p).astype(np.float32), shapes)


def layer_by_hand(p, x, keys=None):
  """One clip: queries x [T, D], keys [S, D] or None for itself; float64."""
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), p)
  queries = reference.layer_norm(p['norm'], x)
  keys = queries if keys is None else reference.layer_norm(p['norm_keys'], keys)
  a, size = p['attention'], WIDTH // HEADS
  q, k, v = (reference.dense(a[n], y) for n, y in (('query', queries), ('key', keys), ('value', keys)))
  out = np.zeros_like(x, np.float64)
  for h in range(HEADS):
    part = slice(h * size, (h + 1) * size)
    out[:, part] = reference.softmax(q[:, part] @ k[:, part].T / np.sqrt(size)) @ v[:, part]
  x = x + reference.dense(a['out'], out)
  return x + reference.feed_forward(p['ff'], x)


@functools.lru_cache(maxsize=2)
def stack(crossed: bool):
  """Parameters of a stack of two layers and itself compiled: output, and if crossed gradients of a weighted sum."""
  net = transformer.Stack(2, HEADS, dropout=0.3)
  keys = np.zeros((1, 3, WIDTH), np.float32) if crossed else None
  mask = np.ones((1, 3 if crossed else 2), bool)
  params = moved(net.init, np.zeros((1, 2, WIDTH), np.float32), mask, keys)
  if not crossed:
    return params, jax.jit(lambda params, x, mask: net.apply({'params': params}, x, mask, None))

  def judged(params, x, mask, keys, weight):
    def total(params, x, keys):
      out = net.apply({'params': params}, x, mask, keys)
      return jnp.sum(out * weight), out

    return jax.value_and_grad(total, (0, 1, 2), has_aux=True)(params, x, keys)

  return params, jax.jit(judged)


def test_stack_attending_to_itself_is_the_plain_one():
  params, judged = stack(False)
  lengths, x = (6, 4, 1), drawn(3, 6, WIDTH)
  mask = np.arange(6) < np.array(lengths)[:, None]
  out = judged(params, x, mask)
  for i, n in enumerate(lengths):
    y = x[i, :n] + reference.sinusoids(np.arange(n), WIDTH)
    for name in ('layer_0', 'layer_1'):
      y = layer_by_hand(params[name], y)
    np.testing.assert_allclose(out[i, :n], reference.layer_norm(params['norm'], y), atol=2e-5)


def test_stack_attending_to_another_sequence_is_the_plain_one():
  params, judged = stack(True)
  x, keys, lengths = drawn(3, 6, WIDTH), drawn(3, 5, WIDTH), (5, 3, 1)
  mask = np.arange(5) < np.array(lengths)[:, None]
  (_, out), _ = judged(params, x, mask, keys, np.ones_like(x))
  for i, n in enumerate(lengths):
    y = x[i] + reference.sinusoids(np.arange(6), WIDTH)
    for name in ('layer_0', 'layer_1'):
      y = layer_by_hand(params[name], y, keys[i, :n] + reference.sinusoids(np.arange(n), WIDTH))
    np.testing.assert_allclose(out[i], reference.layer_norm(params['norm'], y), atol=2e-5)


def test_keys_that_are_masked_do_not_matter_and_have_no_gradient():
  params, judged = stack(True)
  x, keys, weight = drawn(3, 6, WIDTH), drawn(3, 5, WIDTH), drawn(3, 6, WIDTH)
  mask = np.arange(5) < np.array([5, 2, 0])[:, None]
  (_, out), grads = judged(params, x, mask, keys, weight)
  (_, again), others = judged(params, x, mask, np.where(mask[..., None], keys, 77.0).astype(np.float32), weight)
  np.testing.assert_array_equal(out, again)
  chex.assert_trees_all_equal(grads, others)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
  assert not np.any(np.asarray(grads[2])[~mask]) and np.all(np.abs(np.asarray(grads[2])[mask]).sum(-1) > 0)


def test_who_sees_no_key_gets_exact_zeros_from_attention():
  net = transformer.Attention(HEADS, 0.0, 'float32')
  x, keys = drawn(2, 4, WIDTH), drawn(2, 3, WIDTH)
  mask = np.array([[True, False, True], [False, False, False]])
  params = moved(lambda key: net.init(key, x, keys, mask, False))
  params['out'] = {'kernel': np.eye(WIDTH, dtype=np.float32), 'bias': np.zeros(WIDTH, np.float32)}
  run = lambda p, k: net.apply({'params': p}, x, k, mask, False)
  out = np.asarray(jax.jit(run)(params, keys))
  assert not np.any(out[1]) and np.all(out[0])
  by_params, by_keys = jax.jit(jax.grad(lambda p, k: run(p, k).sum(), (0, 1)))(params, keys)
  assert all(np.isfinite(g).all() for g in jax.tree.leaves((by_params, by_keys)))
  assert not np.any(by_keys[1]) and not np.any(by_keys[0, 1])


def test_masked_mean_by_hand():
  x = np.array([[[1.0], [3.0], [np.nan]], [[np.inf], [np.nan], [5.0]]], np.float32)
  mask = np.array([[True, True, False], [False, False, False]])
  assert np.asarray(transformer.masked_mean(x, mask)).tolist() == [[2.0], [0.0]]
  gradient = jax.grad(lambda x: transformer.masked_mean(x, mask).sum())(jnp.asarray(x))
  np.testing.assert_array_equal(gradient[..., 0], [[0.5, 0.5, 0], [0, 0, 0]])


def test_a_layer_weighs_half_a_conformer_block():
  shapes = jax.eval_shape(transformer.Layer().init, jax.random.key(0), jnp.zeros((1, 2, 512)), jnp.ones((1, 2)) > 0)
  count = sum(p.size for p in jax.tree.leaves(shapes))
  assert count == 3_152_384 and abs(2 * count / 6_323_200 - 1) < 0.01
