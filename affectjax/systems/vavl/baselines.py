"""Audio-visual baselines, written from what their papers describe, at VAVL's size: no released code was read.

A conformer block weighs two transformer layers (6.32 M and 3.15 M at D = 512), so a network of e blocks per modality
and s shared ones is matched by 2 (2 e + s) layers, and each docstring says how they are dealt out. Heads are VAVL's.
All take `batch` with two modalities m [B, T, D_m], masks `<m>_mask` [B, T] and `<m>_present` [B]; what is masked may
hold anything.
"""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.layers.dense import Dense
from affectjax.layers.transformer import Stack, masked_mean
from affectjax.systems.vavl.clips import BOTH
from affectjax.systems.vavl.network import Head, Modal, mean_of

Terms = dict[str, tuple[jax.Array, jax.Array]]  # view -> (outputs [B, out], who has it [B] bool)


class Baseline(Modal):
  """What the baselines share; `inputs` are two, the sizes those of VAVL, whose size is matched."""

  def stack(self, layers: int, name: str, positions: bool = True) -> Stack:
    """Transformer layers of the network's size; with `positions` these are added to what comes in."""
    return Stack(layers, self.heads, self.dropout, self.compute, positions, name=name)

  def project(self, batch, modality: str) -> tuple[jax.Array, jax.Array]:
    """Frames projected to D, zeros where there is none, and the mask of those there are."""
    mask = batch[f'{modality}_mask'] & batch[f'{modality}_present'][:, None]
    x = jnp.where(mask[..., None], batch[modality], 0)
    return Dense(self.width, compute=self.compute, name=f'project_{modality}')(x), mask

  def predict(self, r: jax.Array, train: bool, name: str) -> jax.Array:
    """Vectors [B, D] -> logits or attributes [B, out], by a head of its own."""
    return Head(self.width, self.out, self.compute, name=name)(r, train)


class MulT(Baseline):
  """Multimodal transformer: each modality attends to the other, then to itself; both ends are joined.

  Tsai et al., ACL 2019, arXiv 1906.00295. Known: temporal projection, crossmodal stacks whose queries are one modality
  and whose keys and values are the other's low-level sequence in every layer, self-attention stacks behind, and one
  prediction from the joined ends. Defaults of ours: 1 x 1 projection, mean over time where the paper takes the last
  step, e + s crossmodal and e self-attention layers per direction. It was not made for missing modalities: an absent
  one is attended to as nothing, and its end is zero.
  """

  @nn.compact
  def forward(self, batch, train: bool) -> jax.Array:
    """[B, out] from whatever is present."""
    frames, ends = {m: self.project(batch, m) for m in self.modalities}, []
    for m, other in (self.modalities, self.modalities[::-1]):
      (x, mask), (keys, seen) = frames[m], frames[other]
      x = self.stack(self.blocks + self.shared_blocks, f'cross_{m}')(x, seen, keys, train)
      ends.append(masked_mean(self.stack(self.blocks, f'own_{m}', False)(x, mask, None, train), mask))
    return self.predict(jnp.concatenate(ends, -1), train, 'head')

  def terms(self, batch, train: bool) -> Terms:
    """What is trained: one prediction, from either or both."""
    first, second = (batch[f'{m}_present'] for m in self.modalities)
    return {BOTH: (self.forward(batch, train), first | second)}

  def __call__(self, batch, train: bool = False) -> dict[str, jax.Array]:
    """view -> [B, out], each view with only its modalities present."""
    first, second = self.modalities
    without = lambda m: self.forward({**batch, f'{m}_present': jnp.zeros_like(batch[f'{m}_present'])}, train)
    return {first: without(second), second: without(first), BOTH: self.forward(batch, train)}


class Separable(Baseline):
  """A baseline whose views come out of one pass; `JOINT`: that of both modalities has a loss of its own."""

  def terms(self, batch, train: bool) -> Terms:
    """What is trained: every view, on those who have it."""
    out = self.views(batch, train)
    trained = {m: (out[m], batch[f'{m}_present']) for m in self.modalities}
    if self.JOINT:
      trained[BOTH] = out[BOTH], jnp.logical_and(*(who for _, who in trained.values()))
    return trained

  def __call__(self, batch, train: bool = False) -> dict[str, jax.Array]:
    """view -> [B, out]."""
    return self.views(batch, train)


class UAVM(Separable):
  """Unified audio-visual model: own layers per modality, then layers and a classifier shared by both.

  Gong et al., IEEE SPL 2022, arXiv 2208.00061. Known: a transformer per modality on frozen features, a shared
  transformer and classifier behind, modalities trained one at a time, and predictions averaged when both are there.
  Defaults of ours: 2 e own and 2 s shared layers, both losses in one update, mean over time.
  """

  JOINT = False

  @nn.compact
  def views(self, batch, train: bool) -> dict[str, jax.Array]:
    """view -> [B, out]."""
    shared = self.stack(2 * self.shared_blocks, 'shared', False)
    head, out = Head(self.width, self.out, self.compute, name='head'), {}
    for m in self.modalities:
      x, mask = self.project(batch, m)
      x = shared(self.stack(2 * self.blocks, f'own_{m}')(x, mask, None, train), mask, None, train)
      out[m] = head(masked_mean(x, mask), train)
    return {**out, BOTH: mean_of(out, self.classes)}


class AuxFormer(Separable):
  """Auxiliary networks per modality below a fusion network of crossmodal layers, all trained together.

  Goncalves and Busso, ICASSP 2022. Known: a main audio-visual transformer whose layers are shared with auxiliary
  acoustic and visual networks that have losses of their own, so that one modality suffices. Defaults of ours: e own
  layers per modality, e + s crossmodal layers per direction behind them, losses weighted alike, the auxiliary network
  answers where a modality is absent, no modality dropout.
  """

  JOINT = True

  @nn.compact
  def views(self, batch, train: bool) -> dict[str, jax.Array]:
    """view -> [B, out]."""
    encoded, out, ends = {}, {}, []
    for m in self.modalities:
      x, mask = self.project(batch, m)
      encoded[m] = self.stack(self.blocks, f'own_{m}')(x, mask, None, train), mask
      out[m] = self.predict(masked_mean(*encoded[m]), train, f'head_{m}')
    for m, other in (self.modalities, self.modalities[::-1]):
      (x, mask), (keys, seen) = encoded[m], encoded[other]
      x = self.stack(self.blocks + self.shared_blocks, f'cross_{m}')(x, seen, keys, train)
      ends.append(masked_mean(x, mask))
    return {**out, BOTH: self.predict(jnp.concatenate(ends, -1), train, 'head')}


KINDS: Mapping[str, type[Baseline]] = {'mult': MulT, 'uavm': UAVM, 'auxformer': AuxFormer}
