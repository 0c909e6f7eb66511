"""Heads on embeddings: one per modality, and one on their gated fusion. experiments/amber2.md, 3 and 11.

What an utterance lacks has no part in the fusion: a gate is a choice among the modalities that are there, so that the
fusion head answers from one modality alone as well.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.layers.dropout import Dropout
from affectjax.layers.transformer import masked_mean

FUSION = 'fusion'
GATES = ('convex', 'concatenation')


class Head(nn.Module):
  """Dense - ReLU - dropout - Dense; the softmax is the caller's.

  Attributes:
    hidden: width in between.
    classes: K.
    dropout: rate.
  """

  hidden: int
  classes: int
  dropout: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Logits [B, K] of an embedding [B, D]."""
    x = nn.relu(nn.Dense(self.hidden, name='hidden')(x))
    return nn.Dense(self.classes, name='out')(Dropout(self.dropout)(x, train))


class Gate(nn.Module):
  """Gated fusion of M embeddings. Every product is made once, whatever views of it are asked for.

  'convex': per dimension a softmax over the modalities that are there (of two: a sigmoid) weighs W_m h_m; the
  default. 'concatenation': sigmoid(W [h_1; ..; h_M] + b) * [h_1; ..; h_M], the cheaper alternative.

  Attributes:
    kind: of `GATES`.
    width: of the fused embedding, 'convex' only.
  """

  kind: str
  width: int

  @nn.compact
  def __call__(self, x: list[jax.Array], views: list[list[jax.Array]]) -> list[jax.Array]:
    """Embeddings [B, D_m] each -> a fused one for every view; a view says which modalities are there, [B] bool each."""
    init, sizes = nn.initializers.lecun_normal(), [v.shape[-1] for v in x]
    outs = sum(sizes) if self.kind == 'concatenation' else self.width * (len(x) - 1)
    kernel = self.param('gate_kernel', init, (sum(sizes), outs))
    bias = self.param('gate_bias', nn.initializers.zeros, (outs,))
    begins = [sum(sizes[:i]) for i in range(len(sizes))]
    parts = [v @ kernel[b : b + n] for v, b, n in zip(x, begins, sizes, strict=True)]  # [B, outs] each
    if self.kind == 'convex':
      x = [nn.Dense(self.width, use_bias=False, name=f'project_{i}')(v) for i, v in enumerate(x)]
    return [self._fused(x, parts, bias, present) for present in views]

  def _fused(self, x, parts, bias, present) -> jax.Array:
    keep = [p[:, None] for p in present]  # [B, 1]
    scores = bias + sum(jnp.where(k, p, 0.0) for k, p in zip(keep, parts, strict=True))
    if self.kind == 'concatenation':
      return nn.sigmoid(scores) * jnp.concatenate([jnp.where(k, v, 0.0) for k, v in zip(keep, x, strict=True)], -1)
    last = jnp.zeros((len(scores), 1, self.width))
    scores = jnp.concatenate([scores.reshape(len(scores), len(x) - 1, self.width), last], 1)  # [B, M, d]
    real = jnp.stack(keep, 1)  # [B, M, 1]
    some = real.any(1, keepdims=True)
    share = nn.softmax(jnp.where(real | ~some, scores, -1e9), 1)
    return jnp.sum(jnp.where(real, share * jnp.stack(x, 1), 0.0), 1)


class AmbER2(nn.Module):
  """Heads by name: those of the modalities, 'fusion'. Only `heads` exist and cost anything.

  Attributes:
    inputs: (modality, width of its features) in order.
    heads: names of the heads.
    classes: K.
    gate: of `GATES`.
    width: of the fused embedding.
    hidden: of the heads.
    dropout: rate within the heads.
  """

  inputs: tuple[tuple[str, int], ...]
  heads: tuple[str, ...]
  classes: int
  gate: str = 'convex'
  width: int = 768
  hidden: int = 256
  dropout: float = 0.1

  @nn.compact
  def __call__(self, batch: dict[str, jax.Array], train: bool, alone: bool = False) -> dict[str, jax.Array]:
    """Logits [B, K] by head.

    Args:
      batch: `<modality>` [B, T, D], `<modality>_mask` [B, T].
      train: dropout.
      alone: also 'fusion_<modality>', what the fusion head says from that modality alone.
    """
    names = [m for m, _ in self.inputs]
    pooled = {m: masked_mean(batch[m], batch[f'{m}_mask']) for m in names}  # [B, D]
    present = [batch[f'{m}_mask'].any(1) for m in names]  # [B]
    make = lambda name: Head(self.hidden, self.classes, self.dropout, name=f'head_{name}')
    out = {m: make(m)(pooled[m], train) for m in names if m in self.heads}
    if FUSION in self.heads:
      views = [present]
      if alone:
        nobody = jnp.zeros_like(present[0])
        views += [[p if i == j else nobody for j, p in enumerate(present)] for i in range(len(names))]
      fused = Gate(self.gate, self.width, name='gate')([pooled[m] for m in names], views)
      head = make(FUSION)
      out |= {name: head(x, train) for name, x in zip((FUSION, *(f'{FUSION}_{m}' for m in names)), fused, strict=False)}
    return out
