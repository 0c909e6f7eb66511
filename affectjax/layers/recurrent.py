"""Recurrent layers over frames: LSTMs, by one scan or on NVIDIA by cuDNN on the same parameters, and two-way GRUs."""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from affectjax.common.errors import unknown
from affectjax.layers import shapes
from affectjax.layers.dropout import Dropout

BACKENDS = ('auto', 'scan', 'cudnn')


def scan_layer(x: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array) -> jax.Array:
  """One unidirectional LSTM layer, gates in the order input, forget, cell, output; the state starts at zero.

  Args:
    x: [B, T, I].
    kernel: [I, 4 H].
    recurrent: [H, 4 H].
    bias: [4 H].

  Returns:
    [B, T, H].
  """
  _refuse_others(x, kernel, recurrent, bias)
  inputs = jnp.swapaxes(x @ kernel + bias, 0, 1)  # [T, B, 4 H]: all frames in one product
  return jnp.swapaxes(_unrolled(inputs, recurrent), 0, 1)


def _refuse_others(x: jax.Array, kernel: jax.Array, recurrent: jax.Array, bias: jax.Array) -> None:
  """Asserts the shapes of one layer."""
  shapes.sequences(x)
  gates = 4 * recurrent.shape[0]
  wanted = [(x.shape[2], gates), (recurrent.shape[0], gates), (gates,)]
  chex.assert_shape([kernel, recurrent, bias], wanted, custom_message='a layer has [I, 4 H], [H, 4 H] and [4 H]')


@jax.custom_vjp
def _unrolled(inputs: jax.Array, recurrent: jax.Array) -> jax.Array:
  """[T, B, 4 H] before the recurrence -> [T, B, H]. Its own gradient: see `_backward`."""
  return _forward(inputs, recurrent)[0]


def _forward(inputs, recurrent):
  zero = jnp.zeros((inputs.shape[1], recurrent.shape[0]), inputs.dtype)

  def step(state, frame):
    h, c = state
    z = frame + h @ recurrent
    i, f, g, o = jnp.split(z, 4, axis=-1)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c + i * g
    h = o * jnp.tanh(c)
    return (h, c), (h, c, jnp.concatenate([i, f, g, o], -1))

  h, c, gates = jax.lax.scan(step, (zero, zero), inputs)[1]
  return h, (h, c, gates, recurrent)


def _backward(kept, dh):
  """The recurrent weights' gradient in one product over all frames, not added up in every turn of the loop."""
  h, c, gates, recurrent = kept
  before = lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
  back = jax.lax.optimization_barrier(recurrent.T)

  def step(state, frame):
    dh, dc = state
    dy, c, c_before, gates = frame
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    t = jnp.tanh(c)
    dh = dh + dy
    dc = dc + dh * o * (1 - t * t)
    dz = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)]
    dz = jnp.concatenate(dz, -1)
    return (dz @ back, dc * f), dz

  zero = jnp.zeros_like(h[0])
  dz = jax.lax.scan(step, (zero, zero), (dh, c, before(c), gates), reverse=True)[1]
  return dz, jnp.einsum('tbh,tbz->hz', before(h), dz)


_unrolled.defvjp(_forward, _backward)


def packed(layers: list[tuple[jax.Array, jax.Array, jax.Array]]) -> jax.Array:
  """Parameters of a stack in cuDNN's flat order: per layer input and recurrent weights, then both biases per layer.

  cuDNN has two biases per gate; ours is the first, the second is zero.
  """
  weights, biases = [], []
  for kernel, recurrent, bias in layers:
    weights += [kernel.T.ravel(), recurrent.T.ravel()]
    biases += [bias, jnp.zeros_like(bias)]
  return jnp.concatenate([*weights, *biases])


def cudnn_stack(x: jax.Array, layers: list[tuple[jax.Array, jax.Array, jax.Array]]) -> jax.Array:
  """The same as `scan_layer` after `scan_layer`, by cuDNN; [B, T, I] -> [B, T, H]."""
  from jax.experimental import rnn

  _refuse_others(x, *layers[0])
  b, t, width = x.shape
  hidden, n = layers[0][1].shape[0], len(layers)
  zero = jnp.zeros((n, b, hidden), x.dtype)
  lengths = jnp.full((b,), t, jnp.int32)
  return rnn.lstm(x, zero, zero, packed(layers), lengths, width, hidden, n, 0.0, False)[0]


class LSTM(nn.Module):
  """A stack of unidirectional LSTM layers with dropout between them.

  Every layer has `kernel` [I, 4 H], `recurrent` [H, 4 H] and `bias` [4 H], all U(-1 / sqrt H, 1 / sqrt H) as in
  PyTorch, which keeps two biases per gate where one does.

  Attributes:
    hidden: H.
    layers: how many.
    dropout: rate between layers.
    backend: 'scan', 'cudnn', or 'auto': cuDNN on a GPU.
  """

  hidden: int
  layers: int = 2
  dropout: float = 0.0
  backend: str = 'auto'

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, I] -> [B, T, H]. Padding may only stand at the end, where it changes no real frame."""
    if self.backend not in BACKENDS:
      raise unknown('recurrent backend', self.backend, BACKENDS)
    cudnn = self.backend == 'cudnn' or (self.backend == 'auto' and jax.default_backend() == 'gpu')
    bound = self.hidden**-0.5
    uniform = lambda key, shape: jax.random.uniform(key, shape, jnp.float32, -bound, bound)
    for layer in range(self.layers):
      weights = (
        self.param(f'kernel_{layer}', uniform, (x.shape[-1], 4 * self.hidden)),
        self.param(f'recurrent_{layer}', uniform, (self.hidden, 4 * self.hidden)),
        self.param(f'bias_{layer}', uniform, (4 * self.hidden,)),
      )
      x = cudnn_stack(x, [weights]) if cudnn else scan_layer(x, *weights)
      if layer + 1 < self.layers:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
    return x


class BiGRU(nn.Module):
  """Layers of GRUs that run both ways over the real steps, dropout between them.

  Attributes:
    width: of both directions together.
    blocks: layers.
    dropout: rate.
  """

  width: int
  blocks: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, real: jax.Array, at: jax.Array, train: bool) -> list[jax.Array]:
    """x [B, T, D], real [B, T] -> [B, T, width] behind every layer; the positions `at` [B, T] are not needed."""
    del at
    shapes.sequences(x, real)
    out = []
    for i in range(self.blocks):
      x = Dropout(self.dropout)(x, train) if i else x
      ways = [self._way(x, real, i, back) for back in (False, True)]
      x = jnp.where(real[..., None], jnp.concatenate(ways, -1), 0.0)
      out.append(x)
    return out

  def _way(self, x: jax.Array, real: jax.Array, layer: int, back: bool) -> jax.Array:
    """One direction, [B, T, width / 2]; a step that is not real leaves the state as it was."""
    half, name = self.width // 2, f'gru_{layer}_{"back" if back else "forth"}'
    inputs = nn.Dense(3 * half, name=f'{name}_input')(x)
    kernel = self.param(f'{name}_kernel', nn.initializers.orthogonal(), (half, 3 * half))
    bias = self.param(f'{name}_bias', nn.initializers.zeros, (half,))

    def advance(h, frame):
      z, is_real = frame
      g = h @ kernel
      reset, update = jax.nn.sigmoid(z[:, : 2 * half] + g[:, : 2 * half]).reshape(-1, 2, half).swapaxes(0, 1)
      new = jnp.tanh(z[:, 2 * half :] + reset * (g[:, 2 * half :] + bias))
      h = jnp.where(is_real[:, None], update * h + (1 - update) * new, h)
      return h, h

    zero = jnp.zeros((len(x), half), x.dtype)
    _, h = jax.lax.scan(advance, zero, (inputs.swapaxes(0, 1), real.T), reverse=back)
    return h.swapaxes(0, 1)
