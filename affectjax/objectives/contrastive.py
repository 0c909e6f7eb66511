"""Losses on pairs of embeddings."""

import chex
import jax
import jax.numpy as jnp


def cosine_similarity(first: jax.Array, second: jax.Array) -> jax.Array:
  """Cosine of the angle between rows, [B, H] x [B, H] -> [B] in [-1, 1]; 0 where a row is zero."""
  chex.assert_rank(first, 2, custom_message='embeddings are [B, H]')
  chex.assert_equal_shape([first, second], custom_message='both embeddings of pairs are [B, H]')
  product = jnp.sum(first * first, -1) * jnp.sum(second * second, -1)
  return jnp.sum(first * second, -1) * jax.lax.rsqrt(jnp.maximum(product, 1e-12))


def cosine_embedding(first: jax.Array, second: jax.Array, same: jax.Array, margin: float = 0.25) -> jax.Array:
  """1 - cos for pairs of one class, max(0, cos - margin) for others; [B] per pair, in [0, 2].

  Args:
    first, second: embeddings [B, H].
    same: [B], 1 for pairs of one class and 0 for others.
    margin: MT-CLAR uses 0.25 (code: src/tools/loss.py).
  """
  cosine = cosine_similarity(first, second)
  chex.assert_equal_shape([same, cosine], custom_message='`same` is [B], of pairs [B, H]')
  return jnp.where(same > 0, 1.0 - cosine, jnp.maximum(0.0, cosine - margin))
