"""Dense layers whose weights are drawn anew for every block of rows, one draw per (pass, block).

The weights' noise comes from a counter-based generator: a pure function of (seed, stream, place in the matrix), so
that the backward pass draws the same noise again instead of keeping it. At the released size one training step needs
237 million normals, 0.95 GB if they were stored. Blocks are walked through by a scan whose working set fits into a
core's cache.
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy.special import ndtri

from affectjax.layers import shapes

Layers = Sequence[tuple[jax.Array, jax.Array]]
Slopes = Sequence[jax.Array]
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
  chex.assert_shape(seed, (2,), custom_message='a seed is two words, see `seed_of`')
  chex.assert_rank(streams, 1, custom_message='streams are [J]')
  places = _places(seed, shape)
  return jax.vmap(lambda s: _noise(seed, places, s))(streams)


@jax.custom_vjp
def drawn_stack(x: jax.Array, layers: Layers, slopes: Slopes, seeds: jax.Array, streams: jax.Array) -> jax.Array:
  """Dense layers with PReLU between them, their weights drawn anew for every stream.

  Layer l multiplies by (W; b) = mean_l + sigma_l * noise(seed_l, stream). All layers of a stream are walked through
  at once, so that what lies between them stays in the cache.

  Args:
    x: [K, F, I], F rows of K blocks.
    layers: per layer mean and sigma, [I_l + 1, O_l] each; the last row is the bias.
    slopes: of the PReLUs, [O_l] each, one fewer than layers.
    seeds: [layers, 2] uint32.
    streams: [K, P] uint32, P draws per block.

  Returns:
    [K, P, F, O].
  """
  return _forward(x, layers, slopes, seeds, streams)[0]


def _parts(seeds: jax.Array, layers: Layers) -> list[tuple[jax.Array, ...]]:
  """Per layer the places, means and sigmas of weights and of biases, apart and ready.

  Once, not in every turn of the loop: without the barrier XLA mixes the places again and again; and a matrix taken
  out of a larger one is copied each time.
  """
  out = []
  for seed, (mean, sigma) in zip(seeds, layers, strict=True):
    places = _places(seed, mean.shape)
    out.append(tuple((v[:-1], v[-1]) for v in (places, mean, sigma)))
  return jax.lax.optimization_barrier(out)


def _forward(x, layers, slopes, seeds, streams):
  shapes.sequences(x)
  chex.assert_shape(streams, (len(x), None), custom_message='streams of K blocks [K, F, I] are [K, P]')
  chex.assert_shape(seeds, (len(layers), 2), custom_message='seeds are [layers, 2], see `seed_of`')
  width = x.shape[2]
  for mean, sigma in layers:
    chex.assert_equal_shape([mean, sigma])
    chex.assert_shape(mean, (width + 1, None), custom_message='a layer is [I + 1, O], the last row its bias')
    width = mean.shape[1]
  parts = _parts(seeds, layers)

  def draw(row, stream):  # one stream of one block
    before = []
    for i, (places, mean, sigma) in enumerate(parts):
      w, b = (m + s * _noise(seeds[i], p, stream) for p, m, s in zip(places, mean, sigma, strict=True))
      row = row @ w + b
      if i + 1 < len(parts):
        before.append(row)
        row = jnp.where(row > 0, row, slopes[i] * row)
    return row, before

  def block(_, xs):
    row, own = xs
    return None, jax.lax.scan(lambda _, stream: (None, draw(row, stream)), None, own)[1]

  y, before = jax.lax.scan(block, None, (x, streams))[1]
  return y, (x, layers, slopes, seeds, streams, before)


def _backward(kept, dy):
  x, layers, slopes, seeds, streams, before = kept
  parts = _parts(seeds, layers)

  def draw(carry, xs):
    (totals, dslopes, drow), (row, stream, dy, before) = carry, xs
    inputs = [row, *(jnp.where(b > 0, b, s * b) for b, s in zip(before, slopes, strict=True))]
    totals, dslopes = list(totals), list(dslopes)
    for i in reversed(range(len(parts))):
      places, (mean, _), (sigma, _) = parts[i]
      e, e_bias = (_noise(seeds[i], p, stream) for p in places)
      w = mean + sigma * e
      dw, db = inputs[i].T @ dy, dy.sum(0)
      totals[i] = tuple(t + d for t, d in zip(totals[i], (dw, db, dw * e, db * e_bias), strict=True))
      dy = dy @ w.T
      if i:
        low = before[i - 1] <= 0
        dslopes[i - 1] = dslopes[i - 1] + jnp.where(low, before[i - 1] * dy, 0.0).sum(0)
        dy = jnp.where(low, slopes[i - 1] * dy, dy)
    return (tuple(totals), tuple(dslopes), drow + dy), None

  def block(carry, xs):
    row, own, dy, before = xs
    step = lambda c, ys: draw(c, (row, *ys))
    *carry, drow = jax.lax.scan(step, (*carry, jnp.zeros_like(row)), (own, dy, before))[0]
    return tuple(carry), drow

  zero = tuple(tuple(jnp.zeros_like(v) for v in (m[:-1], m[-1], m[:-1], m[-1])) for m, _ in layers)
  start = (zero, tuple(jnp.zeros_like(v) for v in slopes))
  (totals, dslopes), dx = jax.lax.scan(block, start, (x, streams, dy, before))
  joined = lambda w, b: jnp.concatenate([w, b[None]])
  dlayers = [(joined(dw, db), joined(dws, dbs)) for dw, db, dws, dbs in totals]
  return dx, type(layers)(dlayers), type(slopes)(dslopes), None, None


drawn_stack.defvjp(_forward, _backward)


def _uniform(low: float, high: float):
  return lambda key, shape, dtype=jnp.float32: jax.random.uniform(key, shape, dtype, low, high)


class BayesStack(nn.Module):
  """Dense layers with an independent Gaussian posterior on every weight and bias, PReLU between them.

  Parameters per layer i: `mean_i` and `rho_i`, [I + 1, O] each, the bias being the last row; the standard deviation
  is log(1 + exp(rho)). `slope_i` [O] of the PReLU after it, 0.25 at first. Initially mean ~ U(-0.1, 0.1) and
  rho ~ U(-3, -2) (label-uncertainty code: layers.py, model.py).

  Attributes:
    widths: O of each layer.
  """

  widths: tuple[int, ...]

  @nn.compact
  def __call__(self, x: jax.Array, seeds: jax.Array | None = None, streams: jax.Array | None = None) -> jax.Array:
    """Blocks [K, F, I] with P draws each -> [K, P, F, O]; without seeds any [..., I] by the posterior's means."""
    layers, slopes, width = [], [], x.shape[-1]
    for i, out in enumerate(self.widths):
      mean = self.param(f'mean_{i}', _uniform(-0.1, 0.1), (width + 1, out))
      rho = self.param(f'rho_{i}', _uniform(-3.0, -2.0), (width + 1, out))
      layers.append((mean, jax.nn.softplus(rho)))
      if i + 1 < len(self.widths):
        slopes.append(self.param(f'slope_{i}', nn.initializers.constant(0.25), (out,)))
      width = out
    if seeds is not None:
      return drawn_stack(x, tuple(layers), tuple(slopes), seeds, streams)
    for i, (mean, _) in enumerate(layers):
      x = x @ mean[:-1] + mean[-1]
      if i + 1 < len(layers):
        x = jnp.where(x > 0, x, slopes[i] * x)
    return x
