"""Convolution, max pooling and ReLU along time as one operation, in stretches that fit into a core's cache.

On a CPU the three apart move gigabytes: at the released size the first layer's output alone is 192 MB, and so are the
masks of its pooling. Here a stretch is convolved (one matrix product over shifted copies), pooled and forgotten, and
convolved again in the backward pass. On accelerators the whole sequence is one stretch.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from affectjax.layers import shapes

STRETCH = 1 << 17  # values of a stretch before pooling, on a CPU


def _stretches(t: int, pool: int, filters: int) -> int:
  """Into how many equal stretches of whole pools t steps are cut."""
  if jax.default_backend() != 'cpu':
    return 1
  pools = t // pool
  return next(n for n in range(1, pools + 1) if pools % n == 0 and (t // n) * filters <= STRETCH or n == pools)


def _cut(x: jax.Array, size: int, stretches: int) -> jax.Array:
  """Padded x [B, T + size - 1, C] -> overlapping stretches [B * n, T / n + size - 1, C]."""
  b, t, c = x.shape
  length = (t - size + 1) // stretches
  at = jnp.arange(stretches)[:, None] * length + jnp.arange(length + size - 1)
  return x[:, at].reshape(b * stretches, length + size - 1, c)


def _joined(pieces: jax.Array, b: int, size: int) -> jax.Array:
  """The transpose of `_cut`: overlaps are added up, [B * n, L + size - 1, C] -> [B, n L + size - 1, C]."""
  c, length = pieces.shape[2], pieces.shape[1] - size + 1
  pieces = pieces.reshape(b, -1, length + size - 1, c)
  body = pieces[:, :, :length].reshape(b, -1, c)
  if size == 1:
    return body
  over = jnp.zeros((b, body.shape[1] + size - 1, c), body.dtype).at[:, : body.shape[1]].set(body)
  at = (jnp.arange(1, pieces.shape[1] + 1) * length)[:, None] + jnp.arange(size - 1)
  return over.at[:, at].add(pieces[:, :, length:])


def _shifted(piece: jax.Array, size: int) -> jax.Array:
  """[L + size - 1, C] -> [L, size * C]."""
  length = piece.shape[0] - size + 1
  return jnp.concatenate([piece[i : i + length] for i in range(size)], -1)


def _pooled(y: jax.Array, pool: int) -> jax.Array:
  return y.reshape(-1, pool, y.shape[-1])  # [L / pool, pool, O]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def convolve_pool_relu(x: jax.Array, kernel: jax.Array, bias: jax.Array, pool: int) -> jax.Array:
  """relu(max over `pool` steps of (x * kernel + bias)), padded to the same length (one more at the end for even sizes).

  Args:
    x: [B, T, C], T a multiple of `pool`.
    kernel: [k, C, O], a cross-correlation as in PyTorch.
    bias: [O].
    pool: steps.

  Returns:
    [B, T / pool, O].
  """
  return _forward(x, kernel, bias, pool)[0]


def _prepared(x, kernel, pool):
  size, (_b, t, c) = kernel.shape[0], x.shape
  n = _stretches(t, pool, kernel.shape[2])
  low = (size - 1) // 2
  return _cut(jnp.pad(x, ((0, 0), (low, size - 1 - low), (0, 0))), size, n), kernel.reshape(size * c, -1)


def _forward(x, kernel, bias, pool):
  shapes.sequences(x)
  chex.assert_shape(kernel, (None, x.shape[2], None), custom_message='the kernel of x [B, T, C] is [k, C, O]')
  chex.assert_shape(bias, kernel.shape[2:], custom_message='the bias of a kernel [k, C, O] is [O]')
  chex.assert_is_divisible(x.shape[1], pool, custom_message='T is a multiple of what is pooled')
  pieces, flat = _prepared(x, kernel, pool)
  stretch = lambda piece: jax.nn.relu(_pooled(_shifted(piece, kernel.shape[0]) @ flat, pool).max(1) + bias)
  y = jax.lax.map(stretch, pieces) if len(pieces) > len(x) else jax.vmap(stretch)(pieces)
  return y.reshape(len(x), x.shape[1] // pool, -1), (x, kernel, bias)


def _backward(pool, kept, dy):
  x, kernel, bias = kept
  size, b = kernel.shape[0], len(x)
  pieces, flat = _prepared(x, kernel, pool)
  dy = dy.reshape(len(pieces), -1, dy.shape[-1])

  def stretch(total, xs):
    piece, dy = xs
    columns = _shifted(piece, size)
    y = _pooled(columns @ flat, pool)
    top = y.max(1)
    dy = jnp.where(top + bias > 0, dy, 0.0)
    first = y == top[:, None]
    share = dy / first.sum(1)  # equal steps share the gradient, as XLA's maximum does
    spread = jnp.where(first, share[:, None], 0.0).reshape(-1, dy.shape[-1])  # [L, O]
    back = spread @ flat.T  # [L, k C]
    length, c = len(spread), piece.shape[1]
    dx = sum(jnp.pad(back[:, i * c : (i + 1) * c], ((i, size - 1 - i), (0, 0))) for i in range(size))
    return (total[0] + columns.T @ spread, total[1] + dy.sum(0)), dx.reshape(length + size - 1, c)

  zero = (jnp.zeros_like(flat), jnp.zeros_like(bias))
  (dkernel, dbias), dx = jax.lax.scan(stretch, zero, (pieces, dy))
  low = (size - 1) // 2
  dx = _joined(dx, b, size)[:, low : low + x.shape[1]]
  return dx, dkernel.reshape(kernel.shape), dbias


convolve_pool_relu.defvjp(_forward, _backward)
