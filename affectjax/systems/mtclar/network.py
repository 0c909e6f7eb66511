"""MT-CLAR's network on precomputed face features: adapter, pair fusion, three projectors, supervised head."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.common.errors import unknown
from affectjax.engine import parallel
from affectjax.layers.heads import DenseStack

EMBEDDING = 256
PROJECTOR = (2048, 1024, 512, 128)  # src/model/siamese_network.py
HEAD = (1024, 512, 256, 128)  # src/model/linear_net.py
FUSIONS = ('concat', 'abs', 'mult')


class Adapter(nn.Module):
  """The trainable part of the encoder: LayerNorm - Dense 512 - GELU - Dropout - Dense 256.

  Stands where the paper trains 1.82 M weights on a frozen face-alignment net (experiments/mtclar.md, 11).
  """

  hidden: int = 512
  dropout: float = 0.1

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Features [B, D] -> embeddings z [B, 256]."""
    x = nn.gelu(nn.Dense(self.hidden)(nn.LayerNorm()(x)))
    return nn.Dense(EMBEDDING)(nn.Dropout(self.dropout, deterministic=not train)(x))


class Siamese(nn.Module):
  """Shared encoder, fusion of a pair, and the projectors for similarity and both differences.

  Attributes:
    fusion: 'concat' (released), 'abs' |z1 - z2| or 'mult' z1 * z2.
    dropout: in the projectors.
    axis_name: the devices' axis, for batch statistics.
  """

  fusion: str = 'concat'
  dropout: float = 0.5
  adapter_dropout: float = 0.1
  axis_name: str | None = None

  def setup(self):
    if self.fusion not in FUSIONS:
      raise unknown('fusion', self.fusion, FUSIONS)
    projector = lambda out: DenseStack(PROJECTOR, out, self.dropout, dropout_first=True, axis_name=self.axis_name)
    self.encoder = Adapter(dropout=self.adapter_dropout)
    self.similarity = projector(2)
    self.delta_valence = projector(1)
    self.delta_arousal = projector(1)

  def encode(self, x: jax.Array, train: bool = False) -> jax.Array:
    """[B, D] -> z [B, 256]."""
    return self.encoder(x, train)

  def fuse(self, first: jax.Array, second: jax.Array) -> jax.Array:
    """A pair of embeddings [B, 256] each -> [B, 512] (concat) or [B, 256]."""
    if self.fusion == 'concat':
      return jnp.concatenate([first, second], -1)
    return jnp.abs(first - second) if self.fusion == 'abs' else first * second

  def deltas(self, first, second, mask=None, train: bool = False) -> jax.Array:
    """label(first) - label(second) as [B, 2] (valence, arousal), each 2 tanh(raw) in (-2, 2) (train.py)."""
    pair = self.fuse(first, second)
    raw = [self.delta_valence(pair, mask, train), self.delta_arousal(pair, mask, train)]
    return 2.0 * jnp.tanh(jnp.concatenate(raw, -1))

  def __call__(self, first: jax.Array, second: jax.Array, mask=None, train: bool = False):
    """Features [B, D] of a pair -> z1, z2 [B, 256], similarity logits [B, 2], differences [B, 2]."""
    both = self.encode(jnp.concatenate([first, second]), train)  # one call; LayerNorm keeps rows apart
    z1, z2 = jnp.split(both, 2)
    logits = self.similarity(self.fuse(z1, z2), mask, train)
    return z1, z2, logits, self.deltas(z1, z2, mask, train)


class Supervised(nn.Module):
  """A head on the frozen representation (or, as a control, on the features themselves).

  Attributes:
    out: 2 for valence and arousal (tanh), the number of classes for categories (raw logits: the released
      configuration's tanh on logits would bound them; experiments/mtclar.md, 3).
    on_features: leave the encoder out.
  """

  out: int
  bounded: bool
  on_features: bool = False
  dropout: float = 0.0
  axis_name: str | None = None

  def setup(self):
    if not self.on_features:
      self.encoder = Adapter()
    self.head = DenseStack(HEAD, self.out, self.dropout, hidden_bias=False, axis_name=self.axis_name)

  def __call__(self, x: jax.Array, mask=None, train: bool = False) -> jax.Array:
    """[B, D] -> [B, out]; the encoder gets no gradient and no dropout."""
    z = x if self.on_features else jax.lax.stop_gradient(self.encoder(x, False))
    raw = self.head(z, mask, train)
    return jnp.tanh(raw) if self.bounded else raw


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def initialiser(net: nn.Module):
  """`net.init`, compiled once for all cells that share the network."""
  return jax.jit(net.init)
