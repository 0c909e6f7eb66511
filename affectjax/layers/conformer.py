"""A conformer block: half a feed-forward, self-attention with relative positions, convolution, half a feed-forward.

Layer by layer as in the code released with VAVL (experiments/vavl.md, 3), where it copies a well-known PyTorch package;
but with masks: a padded frame is no key, adds nothing to a convolution and does not count in batch statistics, and
positions are those of the clip without its padding. Gulati et al. 2020, arXiv 2005.08100; relative positions of Dai et
al. 2019, arXiv 1901.02860, section 3.3.
"""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import unknown
from affectjax.layers import shapes
from affectjax.layers.dense import Dense, Weights, together
from affectjax.layers.dropout import Dropout
from affectjax.layers.heads import BatchNorm

EPS = 1e-5  # PyTorch's, in both kinds of normalisation
POSITIONS = ('released', 'relative')
xavier = nn.initializers.xavier_uniform()
fan_in = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')  # PyTorch's default, U(+-1 / sqrt(fan_in))


def bounded(width: int):
  """PyTorch's default for a layer that reads `width` values, of its bias and of its kernel: U(+-1 / sqrt(width))."""
  bound = width**-0.5
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, -bound, bound)


@functools.lru_cache(maxsize=64)
def sinusoids(first: int, last: int, width: int) -> np.ndarray:
  """Sines (even columns) and cosines (odd) of positions first .. last - 1, base 10000; [positions, width] float32."""
  angle = np.arange(first, last)[:, None] / 10000 ** (2 * (np.arange(width) // 2) / width)
  return np.where(np.arange(width) % 2, np.cos(angle), np.sin(angle)).astype(np.float32)


def shifted(scores: jax.Array) -> jax.Array:
  """From distance to key: [..., T, 2 T - 1] -> [..., T, T], out[i, j] = scores[i, T - 1 - i + j]."""
  t = scores.shape[-2]
  chex.assert_shape(scores, (..., t, 2 * t - 1), custom_message='scores by distance are [..., T, 2 T - 1]')
  if t == 1:
    return scores
  flat = scores.reshape(*scores.shape[:-2], t * (2 * t - 1))[..., t - 1 : t - 1 + t * (2 * t - 2)]
  return flat.reshape(*scores.shape[:-2], t, 2 * t - 2)[..., :t]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _cut(x: jax.Array, first: jax.Array, size: int) -> jax.Array:
  """x[h, b, first[b] : first[b] + size] of x [H, B, N], first [B] -> [H, B, size]."""
  return jax.vmap(lambda y, at: jax.lax.dynamic_slice_in_dim(y, at, size, 1), (1, 0), 1)(x, first)


def _cut_backward(size, kept, dy):
  n, first = kept  # a cut again: its transpose as XLA has it would scatter
  return _cut(jnp.pad(dy, ((0, 0), (0, 0), (n, n))), n - first, n), None


_cut.defvjp(lambda x, first, size: (_cut(x, first, size), (x.shape[2], first)), _cut_backward)


def wrapped(scores: jax.Array, lengths: jax.Array) -> jax.Array:
  """The released code's shift of scores against absolute positions, S [H, B, T, T], of clips of `lengths` [B].

  out[i, j] = S[i, L - 1 - i + j] for j <= i, 0 for j = i + 1, S[i + 1, j - i - 2] beyond: with a column of zeros in
  front and laid end to end, the first begins at L, the rest at T. Entries with i or j >= L are of no use.
  """
  h, b, t, _ = scores.shape
  chex.assert_shape(scores, (h, b, t, t), custom_message='scores by position are [H, B, T, T]')
  chex.assert_shape(lengths, (b,), custom_message='lengths are [B], of scores [H, B, T, T]')
  flat = jnp.pad(scores, ((0, 0), (0, 0), (0, 0), (1, 0))).reshape(h, b, t * (t + 1))
  behind, ahead = _cut(flat, lengths, t * t).reshape(scores.shape), flat[..., t:].reshape(scores.shape)
  return jnp.where(jnp.tri(t, dtype=bool), behind, ahead)


class Attention(nn.Module):
  """Self-attention with relative positions, normalised before and dropped out behind.

  Attributes:
    heads: H; the width D is a multiple of it.
    dropout: of weights and output.
    positions: 'relative': key j is seen from query i at distance i - j; 'released': see `wrapped`.
    compute: of dense layers; the products of queries, keys and values are float32.
  """

  heads: int
  dropout: float
  positions: str
  compute: str

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array, train: bool) -> jax.Array:
    """x [B, T, D], mask [B, T] real frames, lengths [B] -> [B, T, D]."""
    shapes.sequences(x, mask, lengths)
    b, t, width = x.shape
    d = width // self.heads
    x = nn.LayerNorm(EPS, name='norm')(x)
    layers = [Weights(width, name=name)(width) for name in ('query', 'key', 'value')]
    split = lambda v: v.reshape(*v.shape[:-1], self.heads, d)
    q, k, v = (split(y).transpose(2, 0, 1, 3) for y in together(x, layers, self.compute))  # [H, B, T, d]
    u, w = (self.param(name, xavier, (self.heads, d))[:, None, None] for name in 'uv')
    first = 0 if self.positions == 'released' else 1 - t
    table = sinusoids(first, t, width)[:: 1 if self.positions == 'released' else -1]
    place = split(Dense(width, compute=self.compute, use_bias=False, name='position')(table)).transpose(
      1, 0, 2
    )  # [H, n, d]
    by_place = jnp.einsum('hmd,hnd->hmn', (q + w).reshape(self.heads, b * t, d), place).reshape(self.heads, b, t, -1)
    by_place = wrapped(by_place, lengths) if self.positions == 'released' else shifted(by_place)
    scores = (jnp.einsum('hbtd,hbsd->hbts', q + u, k) + by_place) * width**-0.5
    weights = jax.nn.softmax(jnp.where(mask[:, None], scores, jnp.finfo(jnp.float32).min))
    y = jnp.einsum('hbts,hbsd->hbtd', Dropout(self.dropout)(weights, train), v)
    y = Dense(width, compute=self.compute, name='out')(y.transpose(1, 2, 0, 3).reshape(b, t, width))
    return Dropout(self.dropout)(y, train)


class FeedForward(nn.Module):
  """Norm - Dense 4 D - swish - Dense D, with dropout behind both.

  Attributes:
    dropout: rate.
    compute: of dense layers.
    factor: of the width in between.
  """

  dropout: float
  compute: str
  factor: int = 4

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """[..., D] -> [..., D]."""
    width = x.shape[-1]
    x = nn.LayerNorm(EPS, name='norm')(x)
    x = jax.nn.silu(Dense(self.factor * width, compute=self.compute, name='in')(x))
    x = Dense(width, compute=self.compute, name='out')(Dropout(self.dropout)(x, train))
    return Dropout(self.dropout)(x, train)


STEPS = 30  # of the kernel's gradient at once


def _correlated(x: jax.Array, kernel: jax.Array) -> jax.Array:
  shapes.sequences(x)
  chex.assert_shape(kernel, (None, x.shape[2]), custom_message='the kernel of x [B, T, D] is [k, D]')
  size, t = kernel.shape[0], x.shape[1]
  x = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
  return sum(x[:, i : i + t] * kernel[i] for i in range(size))


@jax.custom_vjp
def depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Each channel convolved along time to the same length, a cross-correlation: [B, T, D] with [k, D], k odd.

  Shifted copies, added up as they are read: XLA's own convolution by groups takes 40 times as long on a CPU.
  """
  return _correlated(x, kernel)


def _depthwise_backward(kept, dy):
  """The kernel's gradient is summed over time `STEPS` frames at a time, not in k passes over everything."""
  x, kernel = kept
  size, t = kernel.shape[0], x.shape[1]
  steps = min(STEPS, t)
  pieces = -(-t // steps)
  rest = pieces * steps - t
  padded = jnp.pad(x, ((0, 0), (size // 2, size // 2 + rest), (0, 0)))
  filled = jnp.pad(dy, ((0, 0), (0, rest), (0, 0)))

  def piece(j, total):  # [B, k, D]
    xs = jax.lax.dynamic_slice_in_dim(padded, j * steps, steps + size - 1, 1)
    ys = jax.lax.dynamic_slice_in_dim(filled, j * steps, steps, 1)
    return total + sum(xs[:, i : i + size] * ys[:, i : i + 1] for i in range(steps))

  total = jax.lax.fori_loop(0, pieces, piece, jnp.zeros((x.shape[0], size, x.shape[2]), x.dtype))
  return _correlated(dy, kernel[::-1]), total.sum(0)


depthwise.defvjp(lambda x, kernel: (_correlated(x, kernel), (x, kernel)), _depthwise_backward)


class Convolution(nn.Module):
  """Norm - pointwise 2 D - GLU - depthwise - batch norm - swish - pointwise D - dropout.

  Attributes:
    kernel: steps of the depthwise convolution, odd.
    dropout: rate.
    compute: of dense layers.
    axis_name: the devices' axis, for batch statistics.
  """

  kernel: int
  dropout: float
  compute: str
  axis_name: str | None

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, train: bool) -> jax.Array:
    """x [B, T, D], mask [B, T] -> [B, T, D]."""
    shapes.sequences(x, mask)
    width = x.shape[-1]
    dense = functools.partial(Dense, compute=self.compute, kernel_init=fan_in, bias_init=bounded(width))
    x = nn.LayerNorm(EPS, name='norm')(x)
    x, gate = jnp.split(dense(2 * width, name='in')(x), 2, -1)
    x = jnp.where(mask[..., None], x * jax.nn.sigmoid(gate), 0)
    x = depthwise(x, self.param('depthwise', bounded(self.kernel), (self.kernel, width)))
    rows = BatchNorm(self.axis_name, name='batch_norm')(x.reshape(-1, width), mask.reshape(-1), train)
    x = jax.nn.silu(rows.reshape(x.shape))
    return Dropout(self.dropout)(dense(width, name='out')(x), train)


class Block(nn.Module):
  """One conformer block; 6,323,200 parameters at D = 512, 8 heads, kernel 31.

  Attributes:
    heads, kernel, dropout, positions, compute, axis_name: of its parts.
  """

  heads: int = 8
  kernel: int = 31
  dropout: float = 0.1
  positions: str = 'released'
  compute: str = 'float32'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array, train: bool = False) -> jax.Array:
    """x [B, T, D], mask [B, T] bool real frames, lengths [B] int -> [B, T, D]; padded frames come out as anything."""
    shapes.sequences(x, mask, lengths)
    if self.positions not in POSITIONS:
      raise unknown('positions', self.positions, POSITIONS)
    feed = lambda name: FeedForward(self.dropout, self.compute, name=name)
    x = x + 0.5 * feed('ff_1')(x, train)
    attend = Attention(self.heads, self.dropout, self.positions, self.compute, name='attention')
    x = x + attend(x, mask, lengths, train)
    x = x + Convolution(self.kernel, self.dropout, self.compute, self.axis_name, name='conv')(x, mask, train)
    x = x + 0.5 * feed('ff_2')(x, train)
    return nn.LayerNorm(EPS, name='norm')(x)
