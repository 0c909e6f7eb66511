"""Dropout by hash: its rate, scale and keys, the same mask forwards and backwards, and no pattern in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.layers.dropout import Dropout, dropout

SHAPE = (40, 50, 60)
COUNT = 40 * 50 * 60


def masks(rate: float, seed: int = 0, shape=SHAPE) -> np.ndarray:
  """What is kept, as 0 and 1."""
  return np.asarray(dropout(jnp.ones(shape), jax.random.key(seed), rate) > 0, np.float64)


@pytest.mark.parametrize('rate', [0.01, 0.1, 0.2, 0.5, 0.9])
def test_rate_and_scale(rate):
  out = np.asarray(dropout(jnp.full(SHAPE, 3.0), jax.random.key(0), rate))
  kept = out != 0
  sigma = np.sqrt(rate * (1 - rate) / COUNT)
  assert abs((1 - kept.mean()) - rate) < 4 * sigma
  np.testing.assert_allclose(out[kept], 3 / (1 - rate), rtol=1e-6)


def test_mask_is_a_function_of_the_key_and_keys_are_independent():
  np.testing.assert_array_equal(masks(0.3, 1), masks(0.3, 1))
  drawn = np.stack([masks(0.3, seed).ravel() for seed in range(6)])
  off = np.corrcoef(drawn)[~np.eye(6, dtype=bool)]
  assert np.abs(off).max() < 4 / np.sqrt(COUNT)
  steps = jax.random.split(jax.random.key(0), 6)
  drawn = np.stack([np.asarray(dropout(jnp.ones(COUNT), k, 0.3) > 0) for k in steps])
  assert np.abs(np.corrcoef(drawn)[~np.eye(6, dtype=bool)]).max() < 4 / np.sqrt(COUNT)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_no_pattern_along_an_axis(axis):
  rate, kept = 0.2, masks(0.2, 3)
  others = tuple(a for a in range(3) if a != axis)
  n = COUNT // SHAPE[axis]
  z = (kept.mean(others) - (1 - rate)) / np.sqrt(rate * (1 - rate) / n)
  assert np.abs(z).max() < 4.5 and 0.6 < z.std() < 1.5
  a, b = np.moveaxis(kept, axis, 0)[:-1].ravel(), np.moveaxis(kept, axis, 0)[1:].ravel()
  assert abs(np.corrcoef(a, b)[0, 1]) < 4.5 / np.sqrt(len(a))


def test_bits_of_neighbours_are_independent_at_powers_of_two():
  """A hash of places shows its weakness at strides of two."""
  kept = masks(0.5, 5, (2**17,))
  for stride in (1, 2, 4, 16, 64, 256, 1024, 4096, 2**15):
    assert abs(np.corrcoef(kept[:-stride], kept[stride:])[0, 1]) < 4.5 / np.sqrt(len(kept) - stride), stride


@pytest.mark.parametrize('rate', [0.1, 0.5])
def test_backward_draws_the_mask_of_forward(rate):
  key, x = jax.random.key(2), jax.random.normal(jax.random.key(3), (20, 30))
  gradient = jax.jit(jax.grad(lambda x: dropout(x, key, rate).sum()))(x)
  kept = np.asarray(dropout(x, key, rate)) != 0
  np.testing.assert_allclose(gradient, kept / (1 - rate), rtol=1e-6)
  weight = jax.random.normal(jax.random.key(4), x.shape)
  _, back = jax.vjp(lambda x: dropout(x, key, rate), x)
  np.testing.assert_array_equal(back(weight)[0], dropout(weight, key, rate))


def test_nothing_happens_at_rate_zero_or_outside_training():
  x = jax.random.normal(jax.random.key(0), (4, 5))
  np.testing.assert_array_equal(dropout(x, jax.random.key(0), 0.0), x)
  np.testing.assert_array_equal(Dropout(0.5).apply({}, x, False), x)  # and no key is asked for
  np.testing.assert_array_equal(Dropout(0.0).apply({}, x, True), x)
  first, other = (Dropout(0.5).apply({}, x, True, rngs={'dropout': jax.random.key(i)}) for i in (0, 1))
  assert (np.asarray(first) == 0).any() and not np.array_equal(first, other)


def test_what_is_dropped_may_be_anything():
  x = jnp.full((1000,), jnp.inf)
  out = np.asarray(dropout(x, jax.random.key(0), 0.5))
  assert set(out.tolist()) == {0.0, np.inf}


def test_bfloat16_stays_bfloat16():
  x = jnp.full((200, 50), 2.0, jnp.bfloat16)
  out, gradient = jax.value_and_grad(lambda x: dropout(x, jax.random.key(0), 0.25).sum())(x)
  dropped = dropout(x, jax.random.key(0), 0.25)
  assert dropped.dtype == gradient.dtype == jnp.bfloat16 and jnp.isfinite(out)
  values = np.unique(np.asarray(dropped, np.float32))
  assert values[0] == 0 and len(values) == 2 and abs(values[1] - 8 / 3) < 0.02
  np.testing.assert_array_equal(np.asarray(gradient) != 0, np.asarray(dropped) != 0)
