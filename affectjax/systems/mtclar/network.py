"""MT-CLAR's network on precomputed face features: adapter, pair fusion, three projectors, supervised head."""

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import parallel
from affectjax.engine.types import TrainState
from affectjax.layers.heads import DenseStack

FUSIONS = ('concat', 'abs', 'mult')


class Adapter(nn.Module):
  """The trainable part of the encoder: LayerNorm - Dense - GELU - Dropout - Dense.

  Stands where the paper trains 1.82 M weights on a frozen face-alignment net (experiments/mtclar.md, 11).

  Attributes:
    hidden: units of the first layer.
    out: H, of the embeddings.
    dropout: rate.
  """

  hidden: int
  out: int
  dropout: float = 0.1

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Features [B, D] -> embeddings z [B, H]."""
    x = nn.gelu(nn.Dense(self.hidden)(nn.LayerNorm()(x)))
    return nn.Dense(self.out)(nn.Dropout(self.dropout, deterministic=not train)(x))


def fuse(fusion: str, first: jax.Array, second: jax.Array) -> jax.Array:
  """A pair of embeddings [B, H] each -> [B, 2 H] (concat) or [B, H]; `fusion` as in `Siamese`."""
  if fusion == 'concat':
    return jnp.concatenate([first, second], -1)
  return jnp.abs(first - second) if fusion == 'abs' else first * second


class Siamese(nn.Module):
  """Shared encoder, fusion of a pair, and the projectors for similarity and both differences.

  Attributes:
    fusion: 'concat' (released), 'abs' |z1 - z2| or 'mult' z1 * z2.
    dropout: in the projectors.
    adapter_dropout: in the encoder.
    axis_name: the devices' axis, for batch statistics.
    adapter, embedding: units of the encoder's two layers; H is the second.
    projector: of a projector's hidden layers (src/model/siamese_network.py).
  """

  fusion: str = 'concat'
  dropout: float = 0.5
  adapter_dropout: float = 0.1
  axis_name: str | None = None
  adapter: int = 512
  embedding: int = 256
  projector: tuple[int, ...] = (2048, 1024, 512, 128)

  def setup(self):
    """Makes the parts; an unknown fusion is refused."""
    refuse_unknown('fusion', self.fusion, FUSIONS)
    stack = lambda out: DenseStack(self.projector, out, self.dropout, dropout_first=True, axis_name=self.axis_name)
    self.encoder = Adapter(self.adapter, self.embedding, self.adapter_dropout)
    self.similarity = stack(2)
    self.delta_valence = stack(1)
    self.delta_arousal = stack(1)

  def encode(self, x: jax.Array, train: bool = False) -> jax.Array:
    """Features [B, D] -> z [B, H]."""
    return self.encoder(x, train)

  def deltas(self, first, second, mask=None, train: bool = False) -> jax.Array:
    """label(first) - label(second) as [B, 2] (valence, arousal), each 2 tanh(raw) in (-2, 2) (train.py)."""
    pair = fuse(self.fusion, first, second)
    raw = [self.delta_valence(pair, mask, train), self.delta_arousal(pair, mask, train)]
    return 2.0 * jnp.tanh(jnp.concatenate(raw, -1))

  def __call__(self, first: jax.Array, second: jax.Array, mask=None, train: bool = False):
    """Features [B, D] of a pair -> z1, z2 [B, H], similarity logits [B, 2], differences [B, 2]."""
    both = self.encode(jnp.concatenate([first, second]), train)  # one call; LayerNorm keeps rows apart
    z1, z2 = jnp.split(both, 2)
    logits = self.similarity(fuse(self.fusion, z1, z2), mask, train)
    return z1, z2, logits, self.deltas(z1, z2, mask, train)


class Supervised(nn.Module):
  """A head on the frozen representation (or, as a control, on the features themselves).

  Attributes:
    out: 2 for valence and arousal (tanh), the number of classes for categories (raw logits: the released
      configuration's tanh on logits would bound them; experiments/mtclar.md, 3).
    bounded: tanh.
    on_features: leave the encoder out.
    dropout: in the head.
    axis_name, adapter, embedding: as in `Siamese`.
    hidden: units of the head's hidden layers (src/model/linear_net.py).
  """

  out: int
  bounded: bool
  on_features: bool = False
  dropout: float = 0.0
  axis_name: str | None = None
  adapter: int = 512
  embedding: int = 256
  hidden: tuple[int, ...] = (1024, 512, 256, 128)

  def setup(self):
    """Makes the parts."""
    if not self.on_features:
      self.encoder = Adapter(self.adapter, self.embedding)
    self.head = DenseStack(self.hidden, self.out, self.dropout, hidden_bias=False, axis_name=self.axis_name)

  def __call__(self, x: jax.Array, mask=None, train: bool = False) -> jax.Array:
    """[B, D] -> [B, out]; the encoder gets no gradient and no dropout."""
    z = x if self.on_features else jax.lax.stop_gradient(self.encoder(x, False))
    raw = self.head(z, mask, train)
    return jnp.tanh(raw) if self.bounded else raw


def widths(model: Mapping[str, Any], stack: str) -> tuple[int, int, tuple[int, ...]]:
  """`adapter`, `embedding` and the hidden layers of `stack`, 'projector' or 'head', of a config's `model`."""
  every = model['adapter'], model['embedding'], tuple(model[stack])
  if min(*every[:2], *every[2]) < 1:
    raise UserError(f'run.model: adapter {every[0]}, embedding {every[1]}, {stack} {every[2]}; expected units per '
                    'layer, 1 or more each')  # fmt: skip
  return every


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def initialiser(net: nn.Module):
  """`net.init`, compiled once for all cells that share the network."""
  return jax.jit(net.init)


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def shapes(net: Siamese, width: int):
  """Shape and type of the variables of a network for D = `width` features."""
  x = jax.ShapeDtypeStruct((2, width), jnp.float32)
  return jax.eval_shape(net.init, jax.random.key(0), x, x)


def start(
  net: nn.Module, inputs: int, tx: optax.GradientTransformation, standard: Mapping[str, np.ndarray], key: jax.Array,
  batch: Mapping[str, np.ndarray],
) -> TrainState:  # fmt: skip
  """The state before the first step.

  Args:
    net: that takes so many `inputs` [B, D].
    tx: the optimiser.
    standard: mean and scale [D] of the features.
    key: of the cell.
  """
  del batch
  x = jnp.zeros((2, len(standard['mean'])))
  variables = initialiser(net)(jax.random.fold_in(key, 2**31 - 1), *[x] * inputs)
  return TrainState.create(variables['params'], tx, key, {'batch_stats': variables['batch_stats'], 'input': standard})
