"""Dense layers whose weights are drawn anew for every block of rows, one draw per (pass, block).

The weights' noise comes from a counter-based generator: a pure function of (seed, stream, place in the matrix), so
that the backward pass draws the same noise again instead of keeping it. At the released size one training step needs
237 million normals, 0.95 GB if they were stored. Blocks are walked through by a scan whose working set fits into a
core's cache.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy.special import ndtri

LEVELS = 65536
# Standard normal as equally likely steps at the middles of its 65,536 quantiles, scaled to unit variance. |z| <= 4.32;
# its distribution function is nowhere farther than 1e-5 from the normal's.
_QUANTILES = ndtri((np.arange(LEVELS) + 0.5) / LEVELS)
QUANTILES = (_QUANTILES / _QUANTILES.std()).astype(np.float32)


def _mix(x: jax.Array) -> jax.Array:
  """A bijection of 32-bit words in which every input bit changes half of the output bits (xorshift-multiply)."""
  x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
  x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
  return x ^ (x >> 16)


def seed_of(key: jax.Array) -> jax.Array:
  """A typed key as the generator's seed, [2] uint32."""
  return jax.random.bits(key, (2,), jnp.uint32)


def _places(seed: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """One mixed word per place of a matrix, `shape` uint32; the same for all streams."""
  n = int(np.prod(shape))
  return _mix(jax.lax.iota(jnp.uint32, n) * jnp.uint32(0x9E3779B9) + seed[1]).reshape(shape)


def _noise(seed: jax.Array, places: jax.Array, stream: jax.Array) -> jax.Array:
  words = _mix(places ^ _mix(stream * jnp.uint32(0x85EBCA6B) + seed[0]))
  return jnp.asarray(QUANTILES).at[(words >> 16).astype(jnp.int32)].get(mode='promise_in_bounds')


def noise(seed: jax.Array, streams: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Standard normal noise.

  Args:
    seed: [2] uint32.
    streams: [J] uint32; equal streams give equal noise.
    shape: of one draw.

  Returns:
    [J, *shape] float32.
  """
  places = _places(seed, shape)
  return jax.vmap(lambda s: _noise(seed, places, s))(streams)


@jax.custom_vjp
def drawn_dense(x: jax.Array, mean: jax.Array, sigma: jax.Array, seed: jax.Array, streams: jax.Array) -> jax.Array:
  """x_j W_j + b_j with (W_j; b_j) = mean + sigma * noise(seed, streams_j).

  Args:
    x: [J, F, I] rows of J blocks.
    mean, sigma: [I + 1, O]; the last row is the bias.
    seed: [2] uint32.
    streams: [J] uint32.

  Returns:
    [J, F, O].
  """
  return _forward(x, mean, sigma, seed, streams)[0]


def _forward(x, mean, sigma, seed, streams):
  places = jax.lax.optimization_barrier(_places(seed, mean.shape))  # once, not in every turn of the loop

  def block(_, xs):
    row, stream = xs
    w = mean + sigma * _noise(seed, places, stream)
    return None, row @ w[:-1] + w[-1]

  y = jax.lax.scan(block, None, (x, streams))[1]
  return y, (x, mean, sigma, seed, streams)


def _backward(kept, dy):
  x, mean, sigma, seed, streams = kept
  places = jax.lax.optimization_barrier(_places(seed, mean.shape))

  def block(total, xs):
    row, stream, dy = xs
    e = _noise(seed, places, stream)
    w = mean + sigma * e
    dw = jnp.concatenate([row.T @ dy, dy.sum(0, keepdims=True)])  # [I + 1, O]
    return (total[0] + dw, total[1] + dw * e), dy @ w[:-1].T

  zero = jnp.zeros_like(mean)
  (dmean, dsigma), dx = jax.lax.scan(block, (zero, zero), (x, streams, dy))
  return dx, dmean, dsigma, None, None


drawn_dense.defvjp(_forward, _backward)


def _uniform(low: float, high: float):
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, low, high)


class BayesDense(nn.Module):
  """A dense layer with an independent Gaussian posterior on every weight and bias.

  Parameters `mean` and `rho`, [I + 1, O] each, the bias being the last row; the standard deviation is
  log(1 + exp(rho)). Initially mean ~ U(-0.1, 0.1), rho ~ U(-3, -2) (label-uncertainty code: layers.py, model.py).

  Attributes:
    features: O.
  """

  features: int

  @nn.compact
  def __call__(self, x: jax.Array, seed: jax.Array | None = None, streams: jax.Array | None = None) -> jax.Array:
    """x [J, F, I] with a draw per stream [J], or any [..., I] with the posterior's means if `seed` is None."""
    shape = (x.shape[-1] + 1, self.features)
    mean = self.param('mean', _uniform(-0.1, 0.1), shape)
    rho = self.param('rho', _uniform(-3.0, -2.0), shape)
    if seed is None:
      return x @ mean[:-1] + mean[-1]
    return drawn_dense(x, mean, jax.nn.softplus(rho), seed, streams)
