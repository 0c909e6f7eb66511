"""VAVL's network: an encoder per modality, one shared encoder, heads, reconstruction, fusion.

After the released code: net/avmodel.py; experiments/vavl.md, 3.

Inputs are standardised features; what is masked may hold anything. Widths and numbers of blocks come from the config,
the released ones are the defaults.
"""

import functools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.engine import parallel
from affectjax.layers import conformer
from affectjax.layers.conformer import EPS, bounded, fan_in
from affectjax.layers.dense import Dense
from affectjax.layers.dropout import Dropout
from affectjax.layers.transformer import masked_mean
from affectjax.systems.vavl.clips import BOTH

REDUCED = 50  # channels between the first convolution and the projection
HEAD_DROPOUT = 0.2


class Head(nn.Module):
  """Dense D - ReLU - dropout - Dense D / 2 - Dense out, PyTorch's default initialisation (net/avmodel.py).

  Attributes:
    hidden: D, 512 in the paper.
    out: values.
    compute: of dense layers.
  """

  hidden: int
  out: int
  compute: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """[B, any] -> [B, out]."""
    dense = lambda width, read, name: Dense(
      width, compute=self.compute, kernel_init=fan_in, bias_init=bounded(read), name=name
    )
    x = Dropout(HEAD_DROPOUT)(nn.relu(dense(self.hidden, x.shape[-1], 'in')(x)), train)
    x = dense(self.hidden // 2, self.hidden, 'middle')(x)
    return dense(self.out, self.hidden // 2, 'out')(x)


class Step(nn.Module):
  """One conformer block as the body of a loop over blocks.

  Attributes:
    block: makes a conformer block by name.
    train: whether in training.
  """

  block: functools.partial
  train: bool

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array) -> tuple[jax.Array, None]:
    """x [B, T, D], mask [B, T], lengths [B] -> [B, T, D]."""
    return self.block(name='block')(x, mask, lengths, self.train), None


class Blocks(nn.Module):
  """Projection, dropout and conformer blocks; an encoder if `reduced`, which is a 1 x 1 convolution in front.

  Blocks run in a loop, compiled once; their parameters have the blocks as first axis. With `remat` only what matrix
  products gave is kept for the backward pass, the rest is computed again: a quarter of the memory.

  Attributes:
    blocks: how many.
    reduced: channels after the convolution, 0 for none.
    width: D.
    block: makes a conformer block by name.
    dropout: behind the projection.
    compute: of dense layers.
    remat: see above.
  """

  blocks: int
  reduced: int
  width: int
  block: functools.partial
  dropout: float
  compute: str
  remat: bool

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array, train: bool) -> jax.Array:
    """x [B, T, any], mask [B, T], lengths [B] -> [B, T, D]."""
    if self.reduced:
      x = Dense(self.reduced, use_bias=False, compute=self.compute, kernel_init=fan_in, name='reduce')(x)
    x = Dropout(self.dropout)(Dense(self.width, compute=self.compute, name='project')(x), train)
    kept = jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    step = nn.remat(Step, policy=kept, prevent_cse=False) if self.remat else Step
    loop = nn.scan(
      step, {'params': 0, 'batch_stats': 0}, split_rngs={'params': True, 'dropout': True}, in_axes=(nn.broadcast,) * 2,
      length=self.blocks,
    )  # fmt: skip
    return loop(self.block, train, name='blocks')(x, mask, lengths)[0]


class Joint(nn.Module):
  """The shared encoder with its residual connection and norm, and the mean over time.

  Attributes:
    encoder: makes `Blocks` by name.
    residual: whether its input is added to what comes out.
  """

  encoder: functools.partial
  residual: bool

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array, train: bool, time: int = 1) -> jax.Array:
    """x [B, T, D], mask [B, T] -> mean over axis `time`, [B, D] (for 0: [T, D]) float32."""
    y = self.encoder(name='encoder')(x, mask, lengths, train)
    h = nn.LayerNorm(EPS, name='norm')(y + x if self.residual else y)
    return masked_mean(h, mask) if time == 1 else masked_mean(jnp.swapaxes(h, 0, 1), mask.T)


class Modal(nn.Module):
  """What VAVL and the baselines share: their sizes.

  Attributes:
    inputs: (modality, width D_m) of one or two; one alone makes a unimodal network.
    out: classes, or attributes.
    width, blocks, shared_blocks, heads, dropout: 512, 3, 2, 8, 0.1 in the paper.
    classes: whether outputs are logits, whose probabilities are averaged, or numbers.
    compute: of dense layers, 'float32' or 'bfloat16' (see layers/dense.py); all else is float32.
  """

  inputs: tuple[tuple[str, int], ...]
  out: int
  width: int = 512
  blocks: int = 3
  shared_blocks: int = 2
  heads: int = 8
  dropout: float = 0.1
  classes: bool = True
  compute: str = 'float32'

  @property
  def modalities(self) -> tuple[str, ...]:
    """Names, in order."""
    return tuple(m for m, _ in self.inputs)


class VAVL(Modal):
  """The network. Modality m is [B, T, D_m] with a mask [B, T]; r is an utterance's vector [B, D].

  Attributes:
    kernel: of the conformer's convolution, 31 in the paper.
    shared: one encoder behind both modalities' (the paper), or one each (ablation: as deep, nothing shared).
    residual: add the modality's encoding to what the shared encoder makes of it (the paper).
    positions: of the conformer.
    fusion: 'head' on both vectors (the paper), or 'mean' of the modalities' predictions (late fusion).
    across_batch: attention and convolution run across the clips of a batch, frame by frame, as in the released code
      (but clips that are over are masked): a clip's output then depends on its batch mates. For parity only.
    remat: keep less for the backward pass, and compute it again.
  """

  kernel: int = 31
  shared: bool = True
  residual: bool = True
  positions: str = 'released'
  fusion: str = 'head'
  across_batch: bool = False
  remat: bool = False

  def setup(self):
    """Makes the modules, by the names that checkpoints know them by."""
    axis = None if self.across_batch else parallel.AXIS  # there every device holds the whole batch
    block = functools.partial(
      conformer.Block, self.heads, self.kernel, self.dropout, self.positions, self.compute, axis
    )
    common, names = (self.width, block, self.dropout, self.compute, self.remat), self.modalities
    shared = functools.partial(Blocks, self.shared_blocks, 0, *common)
    self.encoder = {m: Blocks(self.blocks, REDUCED, *common) for m in names}
    self.joint = {place: Joint(shared, self.residual) for place in map(self.place, names)}
    self.head = {m: Head(self.width, self.out, self.compute) for m in names}
    self.rebuilder = {m: Head(self.width, d, self.compute) for m, d in self.inputs}
    if self.fuses:
      self.fused = Head(self.width, self.out, self.compute)

  @property
  def fuses(self) -> bool:
    """Whether there is a fusion head."""
    return len(self.inputs) > 1 and self.fusion == 'head'

  def place(self, modality: str) -> str:
    """Which of `joint` a modality goes through."""
    return 'shared' if self.shared else modality

  def modules(self, modality: str) -> tuple[str, ...]:
    """The parameters that a modality's update changes."""
    return (f'encoder_{modality}', f'joint_{self.place(modality)}', f'head_{modality}', f'rebuilder_{modality}')

  def encode(self, modality: str, x: jax.Array, mask: jax.Array, present: jax.Array, train: bool) -> jax.Array:
    """A modality's utterance vectors r [B, D]; `present` [B] bool are the clips that have it."""
    mask = mask & present[:, None]
    x = jnp.where(mask[..., None], x, 0)  # whatever stands where nothing is
    if not self.across_batch:
      lengths = jnp.max(jnp.where(mask, jnp.arange(1, mask.shape[1] + 1), 0), 1)  # to the last real frame
      return self._through(modality, x, mask, lengths, train)
    x, whole = (jnp.swapaxes(parallel.gather(v), 0, 1) for v in (x, mask))  # [T, B, D]: frames are the batch
    lengths = jnp.full(whole.shape[:1], whole.shape[1])
    made = self._through(modality, x, whole, lengths, train, time=0)
    return jax.lax.dynamic_slice_in_dim(made, jax.lax.axis_index(parallel.AXIS) * len(mask), len(mask))

  def _through(self, modality, x, mask, lengths, train, time: int = 1) -> jax.Array:
    y = self.encoder[modality](x, mask, lengths, train)
    return self.joint[self.place(modality)](y, mask, lengths, train, time)

  def predict(self, modality: str, r: jax.Array, train: bool) -> jax.Array:
    """[B, D] -> logits or attributes [B, out] from one modality."""
    return self.head[modality](r, train)

  def rebuild(self, modality: str, r: jax.Array, train: bool) -> jax.Array:
    """[B, D] -> mean of the input's frames [B, D_m], as far as r tells it."""
    return self.rebuilder[modality](r, train)

  def fuse(self, r: dict[str, jax.Array], train: bool) -> jax.Array:
    """Both vectors -> [B, out]."""
    return self.fused(jnp.concatenate([r[m] for m in self.modalities], -1), train)

  def __call__(self, batch, train: bool = False) -> dict[str, jax.Array]:
    """Everything once, for initialisation and evaluation: view -> [B, out]."""
    r = {m: self.encode(m, batch[m], batch[f'{m}_mask'], batch[f'{m}_present'], train) for m in self.modalities}
    out = {m: self.predict(m, r[m], train) for m in r}
    if self.is_initializing():
      for m in r:
        self.rebuild(m, r[m], train)
    if len(r) < 2:
      return out
    return {**out, BOTH: self.fuse(r, train) if self.fuses else mean_of(out, self.classes)}


def mean_of(out: Mapping[str, jax.Array], classes: bool) -> jax.Array:
  """The mean of several predictions [B, out]: of numbers, or of logits' probabilities, as logits again."""
  each = jnp.stack(list(out.values()))
  return jax.nn.logsumexp(jax.nn.log_softmax(each), 0) - jnp.log(len(each)) if classes else each.mean(0)
