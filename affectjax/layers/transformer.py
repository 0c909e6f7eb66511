"""Transformer layers (pre-norm) over masked sequences, attending to themselves or to another sequence.

Vaswani et al. 2017, arXiv 1706.03762, with normalisation before each part. A query that sees no key at all, because the
other modality is absent, gets zeros, whatever that modality's frames hold.
"""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.layers import shapes
from affectjax.layers.conformer import EPS, FeedForward, sinusoids
from affectjax.layers.dense import Dense
from affectjax.layers.dropout import Dropout


class Attention(nn.Module):
  """Scaled dot-product attention over `heads`, scale 1 / sqrt(D / H).

  Attributes:
    heads: H; the width D is a multiple of it.
    dropout: of the weights.
    compute: of dense layers.
  """

  heads: int
  dropout: float
  compute: str

  @nn.compact
  def __call__(self, x: jax.Array, keys: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
    """Queries x [B, T, D], keys [B, S, D] with mask [B, S] -> [B, T, D]."""
    shapes.sequences(x)
    shapes.sequences(keys, mask)
    chex.assert_equal_shape([x, keys], dims=(0, 2), custom_message='queries are [B, T, D], keys [B, S, D]')
    b, t, width = x.shape
    dense = functools.partial(Dense, width, compute=self.compute)
    split = lambda v: v.reshape(b, v.shape[1], self.heads, width // self.heads)
    q, k, v = (split(dense(name=n)(y)) for n, y in (('query', x), ('key', keys), ('value', keys)))
    scores = jnp.einsum('bthd,bshd->bhts', q, k) * (width // self.heads) ** -0.5
    seen = mask[:, None, None]
    weights = jnp.where(seen, jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(jnp.float32).min)), 0.0)
    weights = Dropout(self.dropout)(weights, train)
    return dense(name='out')(jnp.einsum('bhts,bshd->bthd', weights, v).reshape(b, t, width))


class Layer(nn.Module):
  """x + attention(norm(x), norm(keys)), then x + feed-forward; 3.15 M parameters at D = 512.

  Attributes:
    heads, dropout, compute: of its parts.
  """

  heads: int = 8
  dropout: float = 0.1
  compute: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, keys: jax.Array | None = None, train: bool = False) -> jax.Array:
    """x [B, T, D]; mask [B, S] of the keys [B, S, D], which are x itself if None -> [B, T, D]."""
    shapes.sequences(x)
    shapes.sequences(x if keys is None else keys, mask)
    norm = functools.partial(nn.LayerNorm, EPS)
    queries = norm(name='norm')(x)
    keys = queries if keys is None else norm(name='norm_keys')(keys)
    y = Attention(self.heads, self.dropout, self.compute, name='attention')(queries, keys, mask, train)
    x = x + Dropout(self.dropout)(y, train)
    return x + FeedForward(self.dropout, self.compute, name='ff')(x, train)


class Stack(nn.Module):
  """Layers one after the other, then a LayerNorm.

  Attributes:
    layers: how many.
    heads, dropout, compute: of each.
    positions: whether sinusoids are added to x first (and to the keys).
  """

  layers: int
  heads: int = 8
  dropout: float = 0.1
  compute: str = 'float32'
  positions: bool = True

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, keys: jax.Array | None = None, train: bool = False) -> jax.Array:
    """As `Layer`; every layer attends to the same keys, or to the output of the one before if None."""
    shapes.sequences(x)
    shapes.sequences(x if keys is None else keys, mask)
    if self.positions:
      placed = lambda v: v + sinusoids(0, v.shape[1], v.shape[2])
      x, keys = placed(x), None if keys is None else placed(keys)
    for i in range(self.layers):
      x = Layer(self.heads, self.dropout, self.compute, name=f'layer_{i}')(x, mask, keys, train)
    return nn.LayerNorm(EPS, name='norm')(x)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
  """Mean over the real frames: x [B, T, D], mask [B, T] -> [B, D]; zeros where there are none."""
  shapes.sequences(x, mask)
  weight = mask.astype(jnp.float32)[..., None]
  return jnp.sum(jnp.where(mask[..., None], x, 0), 1) / jnp.maximum(weight.sum(1), 1.0)
