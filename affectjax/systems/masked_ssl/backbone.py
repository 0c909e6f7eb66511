"""Encoders of feature sequences: a pre-norm transformer (GRUs: layers/recurrent.py). experiments/masked_ssl.md, 11.

Built for a CPU as well: queries, keys and values are one product, attention works head by head on contiguous arrays,
and dropout draws its bits by a hash (`layers.dropout`).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.layers.dropout import Dropout

KINDS = ('transformer', 'bigru')
EPS = 1e-5


def sinusoids(at: jax.Array, width: int) -> jax.Array:
  """Sines and cosines of positions at [B, T] int -> [B, T, width] (Vaswani et al. 2017)."""
  rates = jnp.exp(-math.log(10000.0) * jnp.arange(0, width, 2) / width)
  angles = at[..., None] * rates
  return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(*at.shape, width)


def attention(q: jax.Array, k: jax.Array, v: jax.Array, real: jax.Array, drop) -> jax.Array:
  """Scaled dot products over the real steps; q, k, v [B, T, H, D] -> [B, T, H, D]. Nobody real: zeros."""
  scores = jnp.einsum('bthd,bshd->bhts', q, k) * q.shape[-1] ** -0.5
  seen = real[:, None, None, :]
  weights = jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min), -1)
  return jnp.einsum('bhts,bshd->bthd', drop(jnp.where(seen, weights, 0.0)), v)


class Block(nn.Module):
  """x + attention(norm(x)), then x + feed-forward(norm(x)).

  Attributes:
    heads: of the attention.
    hidden: of the feed-forward part.
    dropout: rate, of weights, of what is added, and within the feed-forward part.
  """

  heads: int
  hidden: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, real: jax.Array, train: bool) -> jax.Array:
    """x [B, T, D], real [B, T]."""
    b, t, width = x.shape
    drop = lambda v: Dropout(self.dropout)(v, train)
    qkv = nn.Dense(3 * width, name='qkv')(nn.LayerNorm(EPS, name='norm_attention')(x))
    q, k, v = jnp.moveaxis(qkv.reshape(b, t, 3, self.heads, width // self.heads), 2, 0)
    y = attention(q, k, v, real, drop).reshape(b, t, width)
    x = x + drop(nn.Dense(width, name='out')(y))
    y = nn.gelu(nn.Dense(self.hidden, name='ff_in')(nn.LayerNorm(EPS, name='norm_ff')(x)))
    return x + drop(nn.Dense(width, name='ff_out')(drop(y)))


class Transformer(nn.Module):
  """Dense - sinusoidal positions - blocks - LayerNorm.

  Attributes:
    width, blocks, heads, hidden, dropout: sizes.
  """

  width: int
  blocks: int
  heads: int
  hidden: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, real: jax.Array, at: jax.Array, train: bool) -> list[jax.Array]:
    """x [B, T, D], real [B, T], position of every step [B, T] -> [B, T, width] behind every block, the last normed."""
    x = nn.Dense(self.width, name='input')(x) + sinusoids(at, self.width)
    x = Dropout(self.dropout)(x, train)
    out = []
    for i in range(self.blocks):
      x = Block(self.heads, self.hidden, self.dropout, name=f'block_{i}')(x, real, train)
      out.append(x)
    return [*out[:-1], nn.LayerNorm(EPS, name='norm')(out[-1])]
