"""Dropout whose mask is drawn again in the backward pass: it takes no memory, and a hash instead of a cipher.

On a CPU the bits of jax.random cost more than the matrix products of a small layer. Here a value's fate is a hash of
(key, its place), 16 bits of it, so that rates are exact to 1 / 65536.
"""

import functools
import math

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp


def _mixed(x: jax.Array) -> jax.Array:
  """uint32 -> uint32: two rounds of multiply and xor-shift, which leave no trace of the order of places."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)


def kept(words: jax.Array, shape: tuple[int, ...], rate: float) -> jax.Array:
  """Which values stay, bool of `shape`; `words` [2] uint32 are the key."""
  chex.assert_shape(words, (2,), custom_message='the key of a mask is two words')
  place = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
  bits = _mixed(_mixed(place + words[0]) ^ words[1])
  return (bits >> 16) >= jnp.uint32(round(rate * 65536))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _dropped(x: jax.Array, words: jax.Array, rate: float) -> jax.Array:
  return jnp.where(kept(words, x.shape, rate), x * x.dtype.type(1 / (1 - rate)), x.dtype.type(0))


_dropped.defvjp(
  lambda x, words, rate: (_dropped(x, words, rate), words), lambda rate, words, dy: (_dropped(dy, words, rate), None)
)


def dropout(x: jax.Array, key: jax.Array, rate: float) -> jax.Array:
  """x of any shape with a share `rate` in [0, 1) set to 0 and the rest divided by 1 - rate."""
  return _dropped(x, jax.random.bits(key, (2,), jnp.uint32), rate) if rate else x


class Dropout(nn.Module):
  """`dropout` with a key of the collection 'dropout'; nothing at rate 0 or outside training.

  Attributes:
    rate: share of values set to 0.
  """

  rate: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """x of any shape -> the same shape."""
    return dropout(x, self.make_rng('dropout'), self.rate) if train and self.rate else x
