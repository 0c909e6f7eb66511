"""VAVL's network, losses and three-phase update in PyTorch, for bench_vavl.py alone.

Written from experiments/vavl.md, 3 to 5, not from the released code; float32, six classes, cross-entropy plus
twice the reconstruction error. Neither the convolution stem that is never called nor the third, unused head is built.
No masks: all frames are real.

  released   attention and convolution run across the clips of the batch; gradients of the fusion flow through
             everything and are thrown away; positions are projected for every row of the batch; Adam as it comes
  time       they run along time, the fusion takes no gradient through what it does not train, positions are projected
             once: the plain way to do it right
  tuned      as `time`, with what was found to help on a CPU: dropout from bytes drawn eight at a time (rate 26 / 256),
             pointwise convolutions as products, the depthwise one channels last, fused Adam. torch.compile of a block
             took more processor time than eager PyTorch and is left out
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

VARIANTS = ('released', 'time', 'tuned')
THREADS = 2
DIMS = {'audio': 1024, 'visual': 1408}
WIDTH, HEADS, KERNEL, CLASSES, DROPOUT = 512, 8, 31, 6, 0.1
PARAMETERS = 53_884_818


def xavier(layer):
  nn.init.xavier_uniform_(layer.weight)
  if layer.bias is not None:
    nn.init.zeros_(layer.bias)
  return layer


class Masked(torch.autograd.Function):
  """Dropout that draws one byte for each value, eight at a time, and keeps one bool."""

  @staticmethod
  def forward(ctx, x, rate):
    out = round(256 * rate)
    drawn = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)
    gone = drawn[: x.numel()].view(x.shape) < out
    ctx.save_for_backward(gone)
    ctx.factor = 256 / (256 - out)
    return x.masked_fill(gone, 0).mul_(ctx.factor)

  @staticmethod
  def backward(ctx, dy):
    return dy.masked_fill(ctx.saved_tensors[0], 0).mul_(ctx.factor), None


class FeedForward(nn.Sequential):
  def __init__(self):
    inner = 4 * WIDTH
    super().__init__(
      nn.LayerNorm(WIDTH), xavier(nn.Linear(WIDTH, inner)), nn.SiLU(), nn.Dropout(DROPOUT),
      xavier(nn.Linear(inner, WIDTH)), nn.Dropout(DROPOUT),
    )  # fmt: skip


def sinusoids(n):
  place = torch.arange(n)[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)
  return torch.stack([place.sin(), place.cos()], -1).flatten(1)  # [n, D]


def shifted(s):
  """[..., L, L] by pad and reshape; experiments/vavl.md, 3, says what it comes to."""
  *lead, n, _ = s.shape
  return F.pad(s, (1, 0)).view(*lead, n + 1, n)[..., 1:, :]


class Attention(nn.Module):
  def __init__(self, released):
    super().__init__()
    self.released = released
    self.norm, self.dropout = nn.LayerNorm(WIDTH), nn.Dropout(DROPOUT)
    self.query, self.key, self.value, self.out = (xavier(nn.Linear(WIDTH, WIDTH)) for _ in range(4))
    self.position = xavier(nn.Linear(WIDTH, WIDTH, bias=False))
    self.u, self.v = (nn.Parameter(nn.init.xavier_uniform_(torch.empty(HEADS, WIDTH // HEADS))) for _ in range(2))

  def forward(self, x):
    n, t, _ = x.shape
    x = self.norm(x)
    split = lambda y: y.view(len(y), t, HEADS, -1)
    query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
    table = sinusoids(t)[None]
    place = split(self.position(table.repeat(n, 1, 1) if self.released else table))
    by_content = (query + self.u).transpose(1, 2) @ key.permute(0, 2, 3, 1)
    by_place = (query + self.v).transpose(1, 2) @ place.permute(0, 2, 3, 1)
    weights = ((by_content + shifted(by_place)) / math.sqrt(WIDTH)).softmax(-1)
    y = self.dropout(weights) @ value.transpose(1, 2)
    return self.dropout(self.out(y.transpose(1, 2).reshape(n, t, WIDTH)))


class Convolution(nn.Module):
  def __init__(self):
    super().__init__()
    self.norm = nn.LayerNorm(WIDTH)
    self.inner = nn.Conv1d(WIDTH, 2 * WIDTH, 1)
    self.depthwise = nn.Conv1d(WIDTH, WIDTH, KERNEL, padding=KERNEL // 2, groups=WIDTH, bias=False)
    self.batch_norm = nn.BatchNorm1d(WIDTH)
    self.out = nn.Conv1d(WIDTH, WIDTH, 1)
    self.dropout = nn.Dropout(DROPOUT)

  def forward(self, x):
    y = F.glu(self.inner(self.norm(x).transpose(1, 2)), 1)
    return self.dropout(self.out(F.silu(self.batch_norm(self.depthwise(y))))).transpose(1, 2)


class Block(nn.Module):
  def __init__(self, released):
    super().__init__()
    self.ff_1, self.attention, self.conv, self.ff_2 = FeedForward(), Attention(released), Convolution(), FeedForward()
    self.norm = nn.LayerNorm(WIDTH)

  def forward(self, x):
    x = x + 0.5 * self.ff_1(x)
    x = x + self.attention(x)
    x = x + self.conv(x)
    return self.norm(x + 0.5 * self.ff_2(x))


class Encoder(nn.Module):
  """[B, T, D_m] -> [T, B, 512] as released, [B, T, 512] otherwise."""

  def __init__(self, width, released):
    super().__init__()
    self.released = released
    self.reduce = nn.Conv1d(width, 50, 1, bias=False)
    self.project = nn.Sequential(xavier(nn.Linear(50, WIDTH)), nn.Dropout(DROPOUT))
    self.blocks = nn.Sequential(*(Block(released) for _ in range(3)))

  def forward(self, x):
    y = self.reduce(x.transpose(1, 2))  # [B, 50, T]
    return self.blocks(self.project(y.permute(2, 0, 1) if self.released else y.transpose(1, 2)))


class Shared(nn.Module):
  """-> utterance vectors [B, 512]."""

  def __init__(self, released):
    super().__init__()
    self.released = released
    self.project = nn.Sequential(xavier(nn.Linear(WIDTH, WIDTH)), nn.Dropout(DROPOUT))
    self.blocks = nn.Sequential(*(Block(released) for _ in range(2)))
    self.norm = nn.LayerNorm(WIDTH)

  def forward(self, x):
    return self.norm(self.blocks(self.project(x)) + x).mean(0 if self.released else 1)


def head(i, o):
  return nn.Sequential(nn.Linear(i, WIDTH), nn.ReLU(), nn.Dropout(0.2), nn.Linear(WIDTH, 256), nn.Linear(256, o))


# What `tuned` puts in the place of the modules above.


class FastDropout(nn.Module):
  def forward(self, x):
    return Masked.apply(x, DROPOUT) if self.training else x


class FastConvolution(Convolution):
  """Channels last throughout: the pointwise convolutions are products, the depthwise one reads [B, D, 1, T] strided."""

  def forward(self, x):
    y = F.glu(F.linear(self.norm(x), self.inner.weight.squeeze(2), self.inner.bias))  # [B, T, D]
    image = y.transpose(1, 2).unsqueeze(2)  # [B, D, 1, T], channels last as it lies
    y = F.conv2d(image, self.depthwise.weight.unsqueeze(2), padding=(0, KERNEL // 2), groups=WIDTH)
    y = F.silu(self.batch_norm(y.squeeze(2).transpose(1, 2).flatten(0, 1))).view(x.shape)
    return self.dropout(F.linear(y, self.out.weight.squeeze(2), self.out.bias))


class Twin:
  """Network, optimisers and step.

  Attributes:
    variant: of `VARIANTS`.
    modules: by name.
  """

  def __init__(self, variant, seed=0):
    assert variant in VARIANTS, variant
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    self.variant, released = variant, variant == 'released'
    self.modules = nn.ModuleDict({'shared': Shared(released), 'fusion': head(2 * WIDTH, CLASSES)})
    for m, width in DIMS.items():
      self.modules[m] = Encoder(width, released)
      self.modules[f'head_{m}'], self.modules[f'reconstruct_{m}'] = head(WIDTH, CLASSES), head(WIDTH, width)
    if variant == 'tuned':
      _make_fast(self.modules)
    settings = dict(lr=5e-5, betas=(0.95, 0.999), eps=1e-8, weight_decay=5e-7)
    if variant == 'tuned':
      settings['fused'] = True
    self.optimizers = {k: torch.optim.Adam(v.parameters(), **settings) for k, v in self.modules.items()}

  def utterance(self, modality, x):
    return self.modules['shared'](self.modules[modality](x))

  def update(self, modality, x, y):
    """Phase 1 or 2: x [B, T, D_m], y [B] -> loss."""
    own = [modality, 'shared', f'head_{modality}', f'reconstruct_{modality}']
    for name in own:
      self.modules[name].train()
      self.optimizers[name].zero_grad()
    r = self.utterance(modality, x)
    error = F.mse_loss(self.modules[own[3]](r), x.mean(1))
    loss = F.cross_entropy(self.modules[own[2]](r), y) + 2 * error
    loss.backward()
    for name in own:
      self.optimizers[name].step()
    return float(loss.detach())

  def fuse(self, audio, visual, y):
    """Phase 3."""
    for name, module in self.modules.items():
      module.train(name == 'fusion')
    self.optimizers['fusion'].zero_grad()
    with torch.set_grad_enabled(self.variant == 'released'):
      both = torch.cat([self.utterance('audio', audio), self.utterance('visual', visual)], 1)
    loss = F.cross_entropy(self.modules['fusion'](both), y)
    loss.backward()
    self.optimizers['fusion'].step()
    return float(loss.detach())

  def step(self, audio, visual, y):
    """audio [B, T_a, 1024], visual [B, T_v, 1408], y [B] -> the losses of the three phases."""
    return self.update('visual', visual, y), self.update('audio', audio, y), self.fuse(audio, visual, y)


def _make_fast(module):
  for name, child in module.named_children():
    if isinstance(child, nn.Dropout) and child.p == DROPOUT:
      setattr(module, name, FastDropout())
    elif isinstance(child, Convolution):
      child.__class__ = FastConvolution
      _make_fast(child)
    else:
      _make_fast(child)
