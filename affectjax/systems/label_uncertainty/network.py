"""The network: a frontend, two LSTM layers, and a head that is Bayesian, plain, or plain with dropout.

Layer by layer after the released code (GitHub sp-uhh/label-uncertainty-ser: model.py, layers.py), see
experiments/label_uncertainty.md, 3.
Parameters: `frontend` {`kernel_i` [k, C, O], `bias_i` [O]} for waveforms or {`kernel` [D, W], `bias` [W]} for features;
`lstm` as in layers/recurrent.py; `head` as in layers/bayesian.py, or {`dense_i` {`kernel`, `bias`}, `prelu_i`
{`slope`}}.
"""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.layers import bayesian, convolution, recurrent
from affectjax.layers.conformer import bounded

SAMPLES = 640  # per frame: 16 kHz, 40 ms
FILTERS, SIZES = (50, 125, 125), (8, 6, 6)
POOLS = {'released': (10, 5, 5), 'integer': (10, 8, 8)}
FRONTENDS = ('features', *POOLS)
MAX_PASSES = 256
# Weights of the last two layers: as released through as many units as there are outputs, or 256 -> 128 -> outputs.
BOTTLENECKS = ('kept', 'wide')


class Waveform(nn.Module):
  """Three convolutions on the raw waveform, each with ReLU, max pooling and dropout; frames by a reshape.

  'released' pools by 10, 5, 5: 2.56 steps per frame, laid row by row into frames of 320 values, so that a place in
  a frame is no fixed channel. 'integer' pools by 10, 8, 8: one step of 125 channels per frame.
  """

  pools: tuple[int, ...]
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, 640] -> [B, T, 320 or 125]."""
    b, t, samples = x.shape
    if samples != SAMPLES or (t * SAMPLES) % math.prod(self.pools):
      raise UserError(f'a waveform of {t} frames x {samples} samples; expected {SAMPLES} samples in a frame (16 kHz, '
                      '40 ms) and a multiple of 25 frames')  # fmt: skip
    y = x.reshape(b, t * samples, 1)
    for i, (filters, size, pool) in enumerate(zip(FILTERS, SIZES, self.pools, strict=True)):
      init = bounded(size * y.shape[-1])
      kernel = self.param(f'kernel_{i}', init, (size, y.shape[-1], filters))
      bias = self.param(f'bias_{i}', init, (filters,))
      y = convolution.convolve_pool_relu(y, kernel, bias, pool)
      y = nn.Dropout(self.dropout, deterministic=not train)(y)
    return y.reshape(b, t, -1)


class Features(nn.Module):
  """One dense layer with ReLU and dropout on precomputed, standardised frame features."""

  width: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, D] -> [B, T, W]."""
    init = bounded(x.shape[-1])
    y = x @ self.param('kernel', init, (x.shape[-1], self.width)) + self.param('bias', init, (self.width,))
    return nn.Dropout(self.dropout, deterministic=not train)(nn.relu(y))


def widths(hidden: int, outputs: int, bottleneck: str) -> tuple[int, ...]:
  """Units of the head's four layers."""
  refuse_unknown('model.bottleneck', bottleneck, BOTTLENECKS)
  return 2 * hidden, hidden, outputs if bottleneck == 'kept' else hidden // 2, outputs


def streams(windows: jax.Array, blocks: int, passes: int) -> jax.Array:
  """The number of the weights' draw for every block and pass, [B * blocks, P] uint32.

  A window has its own draws, whatever batch and device it is in.

  Args:
    windows: [B] int, numbers of the windows.
    blocks: per window.
    passes: P, at most 256.
  """
  block = windows.astype(jnp.uint32)[:, None] * jnp.uint32(blocks) + jnp.arange(blocks, dtype=jnp.uint32)  # [B, n]
  return block.reshape(-1, 1) * jnp.uint32(MAX_PASSES) + jnp.arange(passes, dtype=jnp.uint32)


class Prelu(nn.Module):
  """max(0, x) + a min(0, x) with one a per unit, 0.25 at first (as PyTorch)."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """x [..., W], element by element."""
    slope = self.param('slope', nn.initializers.constant(0.25), (x.shape[-1],))
    return jnp.where(x > 0, x, slope * x)


class DenseHead(nn.Module):
  """The same layers with plain weights; dropout, if any, after each PReLU."""

  widths: tuple[int, ...]
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, H] -> [B, T, the last of `widths`]."""
    for i, width in enumerate(self.widths):
      init = bounded(x.shape[-1])
      x = nn.Dense(width, kernel_init=init, bias_init=init, name=f'dense_{i}')(x)
      if i + 1 < len(self.widths):
        x = nn.Dropout(self.dropout, deterministic=not train)(Prelu(name=f'prelu_{i}')(x))
    return x


class Network(nn.Module):
  """Frames in, outputs per frame out: `trunk`, then `sampled` (Bayesian head) or `plain`.

  Attributes:
    outputs: values per frame.
    frontend: 'features', 'released' or 'integer'.
    width: of the features' layer.
    hidden: H of the LSTM; the head's layers follow from it.
    dropout: in the frontend and between the LSTM layers.
    head: 'bayes' or 'dense'.
    head_dropout: of a dense head.
    bottleneck: 'kept' or 'wide'.
    block: frames that share a draw of the weights.
    recurrent: backend of the LSTM.
  """

  outputs: int
  frontend: str = 'features'
  width: int = 128
  hidden: int = 256
  dropout: float = 0.5
  head: str = 'bayes'
  head_dropout: float = 0.0
  bottleneck: str = 'kept'
  block: int = 50
  recurrent: str = 'auto'

  def setup(self):
    """Makes the parts; unknown choices are refused."""
    refuse_unknown('model.frontend', self.frontend, FRONTENDS)
    refuse_unknown('model.head', self.head, ('bayes', 'dense'))
    self._frontend = (
      Features(self.width, self.dropout, name='frontend') if self.frontend == 'features'
      else Waveform(POOLS[self.frontend], self.dropout, name='frontend')
    )  # fmt: skip
    self._lstm = recurrent.LSTM(self.hidden, 2, self.dropout, self.recurrent, name='lstm')
    layers = widths(self.hidden, self.outputs, self.bottleneck)
    self._head = (
      bayesian.BayesStack(layers, name='head')
      if self.head == 'bayes'
      else DenseHead(layers, self.head_dropout, name='head')
    )

  def trunk(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, D] -> [B, T, H]; its dropout is shared by all passes."""
    return self._lstm(self._frontend(x, train), train)

  def plain(self, h: jax.Array, train: bool = False) -> jax.Array:
    """[B, T, H] -> [B, T, O]: the dense head, or the Bayesian one with its mean weights."""
    return self._head(h) if self.head == 'bayes' else self._head(h, train)

  def sampled(self, h: jax.Array, windows: jax.Array, key: jax.Array, passes: int) -> jax.Array:
    """All passes of the Bayesian head at once, [B, T, H] -> [P, B, T, O].

    Args:
      h: the trunk's output.
      windows: [B] int, numbers of the windows.
      key: of the weights' draws.
      passes: P.
    """
    b, t, width = h.shape
    if t % self.block or not 1 <= passes <= MAX_PASSES:
      raise UserError(f'windows of {t} frames in blocks of {self.block}, {passes} passes; expected whole blocks '
                      f'(run.model.block) and 1 to {MAX_PASSES} passes')  # fmt: skip
    blocks = t // self.block
    numbers = streams(windows, blocks, passes)  # [B * blocks, P]
    y = self._head(h.reshape(b * blocks, self.block, width), head_seeds(key), numbers)  # [B * blocks, P, F, O]
    y = y.reshape(b, blocks, passes, self.block, self.outputs)
    return jnp.moveaxis(y, 2, 0).reshape(passes, b, t, self.outputs)

  def __call__(self, x: jax.Array) -> jax.Array:
    """Touches every parameter, to make them."""
    return self.plain(self.trunk(x))


def head_seeds(key: jax.Array) -> jax.Array:
  """A seed per layer of the head, [4, 2] uint32."""
  return jnp.stack([bayesian.seed_of(jax.random.fold_in(key, i)) for i in range(4)])


def draw(params, key: jax.Array, numbers: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
  """What `sampled` draws: per layer (noise, weights), each [J, I + 1, O], for the draws `numbers` [J].

  Args:
    params: of the head.
    key: as given to `sampled`.
    numbers: of `streams`.
  """
  out = []
  for i, seed in enumerate(head_seeds(key)):
    mean, rho = params[f'mean_{i}'], params[f'rho_{i}']
    noise = bayesian.noise(seed, numbers, mean.shape)
    out.append((noise, mean + jax.nn.softplus(rho) * noise))
  return out


def moments(passes: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Mean and standard deviation (ddof 1) over the first axis, [P, ...] -> [...] twice; a finite gradient at sd 0."""
  mean = passes.mean(0)
  variance = jnp.square(passes - mean).sum(0) / (passes.shape[0] - 1)
  return mean, jnp.sqrt(jnp.maximum(variance, 1e-12))
