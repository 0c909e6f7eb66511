"""What stands on the encoder: reconstruction of what was hidden, and prediction from the pooled sequence."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.engine.parallel import AXIS
from affectjax.layers import recurrent
from affectjax.layers.dropout import Dropout
from affectjax.layers.heads import BatchNorm
from affectjax.layers.transformer import masked_mean
from affectjax.systems.masked_ssl import backbone, masks

LAYOUTS = ('bert', 'mae')
TARGETS = ('features', 'ema_latent')
TOP = 8  # at most, of the teacher's layers that are averaged
HEADS = ('mlp', 'linear')


def encoder(kind: str, width: int, blocks: int, heads: int, hidden: int, dropout: float, name: str) -> nn.Module:
  """The encoder of either kind."""
  if kind == 'bigru':
    return recurrent.BiGRU(width, blocks, dropout, name=name)
  return backbone.Transformer(width, blocks, heads, hidden, dropout, name=name)


class Pretext(nn.Module):
  """Encoder and head that give back what was hidden.

  Attributes:
    kind, width, blocks, heads, hidden, dropout: of the encoder.
    features: D.
    layout: 'bert', the encoder sees every step, hidden ones replaced; 'mae', it sees only what is shown, and a small
      decoder the whole.
    target: 'features', or 'ema_latent': the teacher's layers, the output then has the encoder's width.
    keep: share of the steps that the encoder of 'mae' is made for.
  """

  kind: str
  width: int
  blocks: int
  heads: int
  hidden: int
  dropout: float
  features: int
  layout: str
  target: str
  keep: float

  def setup(self):
    """Makes the parts."""
    self.encoder = encoder(self.kind, self.width, self.blocks, self.heads, self.hidden, self.dropout, 'encoder')
    self.learned = self.param('learned', nn.initializers.normal(0.02), (self.features,))
    out = self.features if self.target == 'features' else self.width
    self.head_in, self.head_norm, self.head_out = nn.Dense(self.width), nn.LayerNorm(backbone.EPS), nn.Dense(out)
    if self.layout == 'mae':
      self.hole = self.param('hole', nn.initializers.normal(0.02), (self.width,))
      self.decoder = backbone.Transformer(self.width, 1, self.heads, self.hidden, self.dropout, name='decoder')

  def __call__(self, x: jax.Array, real: jax.Array, hidden: jax.Array, key, masking: masks.Masking, train: bool):
    """x [B, T, D] standardised, real [B, T], hidden [B, T, D or 1] -> [B, T, D or width]."""
    at = masks.places(real)
    if self.layout == 'bert':
      seen = masks.replaced(key, x, hidden, real, self.learned, masking)
      h = self.encoder(seen, real, at, train)[-1]
    else:
      h = self._shown(x, real, hidden.any(-1), at, train)
    return self.head_out(self.head_norm(nn.gelu(self.head_in(h))))

  def _shown(self, x, real, hidden, at, train: bool) -> jax.Array:
    """The encoder over shown steps alone, the decoder over all."""
    shown = real & ~hidden
    count = max(1, int(self.keep * x.shape[1] + 1))  # as many as any utterance shows
    order = jnp.argsort(~shown, -1, stable=True)[:, :count]  # [B, S], the shown ones first
    take = lambda v: jnp.take_along_axis(v, order.reshape(*order.shape, *[1] * (v.ndim - 2)), 1)
    h = self.encoder(take(x), take(shown), take(at), train)[-1]
    rank = jnp.minimum(masks.places(shown), count - 1)
    back = jnp.take_along_axis(h, rank[..., None], 1)
    filled = jnp.where(shown[..., None], back, self.hole)
    return self.decoder(filled, real, at, train)[-1]

  def latents(self, x: jax.Array, real: jax.Array) -> jax.Array:
    """Mean of the top layers, each normalised over time per feature: what a student is to predict, [B, T, width]."""
    layers = self.encoder(x, real, masks.places(real), False)[-TOP:]
    weight = real.astype(jnp.float32)[..., None]
    total = jnp.maximum(weight.sum(1, keepdims=True), 1.0)

    def normed(h):
      mean = (h * weight).sum(1, keepdims=True) / total
      var = (jnp.square(h - mean) * weight).sum(1, keepdims=True) / total
      return (h - mean) * jax.lax.rsqrt(var + 1e-5)

    return sum(normed(h) for h in layers) / len(layers)


class Predictor(nn.Module):
  """Encoder, mean over the real steps, head.

  Attributes:
    kind, width, blocks, heads, hidden, dropout: of the encoder.
    out: scores.
    head: 'mlp' (Dense - GELU - dropout - Dense) or 'linear' (a probe).
    levels: thresholds per score, parameters that no input moves, of an ordinal output; 0 for none.
    norm: batch normalisation before the head: differences between utterances are a small part of what the mean over
      time of a pretrained encoder holds, and a head would need long to find them (He et al. 2022, linear probing).
    still: no dropout in the encoder, which is not trained.
  """

  kind: str
  width: int
  blocks: int
  heads: int
  hidden: int
  dropout: float
  out: int
  head: str
  levels: int = 0
  norm: bool = False
  still: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, real: jax.Array, train: bool, mask: jax.Array | None = None) -> jax.Array:
    """x [B, T, D], real [B, T] -> [B, out], and behind them the thresholds [B, out * levels] if there are any.

    mask [B] marks examples that are not padding; it matters for `norm` in training.
    """
    net = encoder(self.kind, self.width, self.blocks, self.heads, self.hidden, self.dropout, 'encoder')
    h = masked_mean(net(x, real, masks.places(real), train and not self.still)[-1], real)
    if self.norm:
      h = BatchNorm(AXIS, name='head_norm')(h, mask, train)
    if self.head == 'mlp':
      h = Dropout(self.dropout)(nn.gelu(nn.Dense(self.width, name='head_in')(h)), train)
    scores = nn.Dense(self.out, name='head_out')(h)
    if not self.levels:
      return scores
    thresholds = self.param('head_thresholds', nn.initializers.zeros, (self.out * self.levels,))
    return jnp.concatenate([scores, jnp.broadcast_to(thresholds, (len(scores), len(thresholds)))], -1)
