"""The pretraining network and step in PyTorch eager mode, as one would write it, for the benchmark beside ours."""

import torch
from torch import nn


class Block(nn.Module):
  """Pre-norm transformer block with GELU."""

  def __init__(self, width: int, heads: int, hidden: int, dropout: float):
    super().__init__()
    self.heads, self.dropout = heads, dropout
    self.norm_attention, self.norm_ff = nn.LayerNorm(width), nn.LayerNorm(width)
    self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
    self.ff_in, self.ff_out = nn.Linear(width, hidden), nn.Linear(hidden, width)
    self.drop = nn.Dropout(dropout)

  def forward(self, x, seen):
    b, t, d = x.shape
    q, k, v = self.qkv(self.norm_attention(x)).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
    rate = self.dropout if self.training else 0.0
    y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=rate)
    x = x + self.drop(self.out(y.transpose(1, 2).reshape(b, t, d)))
    return x + self.drop(self.ff_out(self.drop(nn.functional.gelu(self.ff_in(self.norm_ff(x))))))


class Pretext(nn.Module):
  """Dense, sinusoids, blocks, LayerNorm, and the head that gives back the features."""

  def __init__(self, features=74, width=128, blocks=4, heads=4, hidden=512, dropout=0.1, frames=50):
    super().__init__()
    self.input = nn.Linear(features, width)
    at = torch.arange(frames)[:, None] * torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(0, width, 2) / width)
    self.register_buffer('positions', torch.stack([at.sin(), at.cos()], -1).reshape(frames, width))
    self.blocks = nn.ModuleList(Block(width, heads, hidden, dropout) for _ in range(blocks))
    self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
    self.learned = nn.Parameter(torch.randn(features) * 0.02)
    self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, features))

  def forward(self, x, real, hidden):
    h = self.drop(self.input(torch.where(hidden[..., None], self.learned, x)) + self.positions)
    for block in self.blocks:
      h = block(h, real[:, None, None, :])
    return self.head(self.norm(h))


def make_step(batch: int, frames: int, features: int, seed: int = 0):
  """A function that makes one update on fresh masks and returns the loss; and the number of parameters."""
  torch.manual_seed(seed)
  net = Pretext(features=features, frames=frames)
  net.train()
  optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
  x = torch.randn(batch, frames, features)
  real = torch.arange(frames)[None] < torch.randint(10, frames + 1, (batch, 1))

  def step():
    score = torch.where(real, torch.rand(batch, frames), torch.inf)
    count = torch.clamp(torch.round(0.15 * real.sum(1, keepdim=True)), min=1)
    hidden = (score.argsort(1).argsort(1) < count) & real
    each = (net(x, real, hidden) - x).abs() * hidden[..., None]
    loss = (each.sum((1, 2)) / (hidden.sum(1) * features)).mean()
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return loss.item()

  return step, sum(p.numel() for p in net.parameters())
