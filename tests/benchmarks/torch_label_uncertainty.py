"""The released label-uncertainty network, losses and training step in PyTorch, for bench_label_uncertainty.py alone.

Written from experiments/label_uncertainty.md, 3 to 5, not from the released code. t-LU: CCC loss, Monte Carlo cost of
the weights (last block's log probabilities), KL from Student-t's to the prediction; Adam 1e-4. The variants differ in
how they come to the result, never in what they compute:

  loop         as released: Conv1d, ReLU, MaxPool1d; passes and blocks in Python loops. But log probabilities are
               computed for the block only whose value is kept
  fast_loop    the same loops behind a frontend in its fastest form: channels last, the maximum before the ReLU
  vectorised   that frontend; blocks folded into batched products, passes too as far as that pays (GROUP); autograd
  tuned        that frontend; everything folded, a hand-written gradient, noise and weights made in place, piece by
               piece in the cache, on one Python thread per core: the fastest found
"""

import math
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn
from torch.nn import functional as F

VARIANTS = ('loop', 'fast_loop', 'vectorised', 'tuned')
THREADS = 2
WIDTHS = ((256, 512), (512, 256), (256, 2), (2, 2))
CONVOLUTIONS = ((1, 50, 8, 10), (50, 125, 6, 5), (125, 125, 6, 5))  # channels in, out, size, pool
GROUP = 1  # passes at a time in 'vectorised': more are slower, their weights no longer fit into the cache
CHUNK = 4  # draws at a time and thread in 'tuned'


class Frontend(nn.Module):
  def __init__(self, fast):
    super().__init__()
    self.fast = fast
    kind = (lambda i, o, k: nn.Conv2d(i, o, (1, k))) if fast else nn.Conv1d
    self.convolutions = nn.ModuleList(kind(i, o, k) for i, o, k, _ in CONVOLUTIONS)
    if fast:
      self.to(memory_format=torch.channels_last)

  def forward(self, x):
    b, t, _ = x.shape
    y = x.reshape(b, 1, 1, -1) if self.fast else x.reshape(b, 1, -1)
    for convolution, (_, _, size, pool) in zip(self.convolutions, CONVOLUTIONS, strict=True):
      low = (size - 1) // 2
      y = convolution(F.pad(y, (low, size - 1 - low)))
      y = F.max_pool2d(y, (1, pool)).relu() if self.fast else F.max_pool1d(y.relu(), pool)
      y = F.dropout(y, 0.5)
    return y.flatten(2).transpose(1, 2).reshape(b, t, -1)


def log_ratio(w, mean, sigma):
  """log q(w) - log P(w), summed."""
  return (0.5 * w.square() - 0.5 * ((w - mean) / sigma).square() - sigma.log()).sum()


class Pieces:
  """Runs work(thread, first, last) over n draws on one Python thread per core, each without threads of its own."""

  def __init__(self):
    self.pool = ThreadPoolExecutor(THREADS, initializer=lambda: torch.set_num_threads(1))
    self.generators = [torch.Generator().manual_seed(i) for i in range(THREADS)]

  def run(self, work, n):
    cuts = [n * i // THREADS for i in range(THREADS + 1)]
    jobs = [self.pool.submit(work, i, cuts[i], cuts[i + 1]) for i in range(THREADS)]
    return [job.result() for job in jobs]


class DrawnProduct(torch.autograd.Function):
  """h_j (mean + sigma e_j) for h [J, F, I]; the weights stay in the buffer `w` [J, I, O]."""

  @staticmethod
  def forward(ctx, h, mean, sigma, w, pieces):
    ctx.save_for_backward(h, mean, sigma)
    ctx.w, ctx.pieces = w, pieces
    h, mean, sigma = h.detach(), mean.detach(), sigma.detach()
    y = h.new_empty(*h.shape[:2], mean.shape[1])

    def work(thread, first, last):
      for at in range(first, last, CHUNK):
        some = slice(at, min(at + CHUNK, last))
        w[some].normal_(generator=pieces.generators[thread])
        torch.addcmul(mean, sigma, w[some], out=w[some])
        torch.bmm(h[some], w[some], out=y[some])

    pieces.run(work, len(h))
    return y

  @staticmethod
  def backward(ctx, dy):
    h, mean, sigma = (v.detach() for v in ctx.saved_tensors)
    w, dy = ctx.w, dy.contiguous()
    dh = torch.empty_like(h)

    def work(_, first, last):
      total, product = torch.zeros_like(mean), torch.empty(CHUNK, *mean.shape)
      for at in range(first, last, CHUNK):
        some = slice(at, min(at + CHUNK, last))
        torch.bmm(dy[some], w[some].transpose(1, 2), out=dh[some])
        dw = product[: some.stop - some.start]
        torch.bmm(h[some].transpose(1, 2), dy[some], out=dw)
        for a, b in zip(dw, w[some], strict=True):
          total.addcmul_(a, b)
      return total

    along_w = sum(ctx.pieces.run(work, len(h)))
    dmean = h.flatten(0, 1).T @ dy.flatten(0, 1)
    # The sum of dW e, from that of dW W: noise need not be kept beside the weights.
    return dh, dmean, (along_w - mean * dmean) / sigma, None, None


class Twin:
  """Network, optimiser and step.

  Attributes:
    variant: of `VARIANTS`.
    passes, block: of the head.
  """

  def __init__(self, variant, passes=30, block=50, seed=0):
    assert variant in VARIANTS, variant
    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    self.variant, self.passes, self.block = variant, passes, block
    self.frontend = Frontend(variant != 'loop')
    self.lstm = nn.LSTM(320, 256, 2, batch_first=True, dropout=0.5)
    uniform = lambda low, high, *shape: torch.empty(shape).uniform_(low, high).requires_grad_()
    self.means = [(uniform(-0.1, 0.1, i, o), uniform(-0.1, 0.1, 1, o)) for i, o in WIDTHS]  # weights and bias
    self.rhos = [(uniform(-3, -2, i, o), uniform(-3, -2, 1, o)) for i, o in WIDTHS]
    self.slopes = [torch.full((o,), 0.25).requires_grad_() for _, o in WIDTHS[:-1]]
    own = [v for pair in (*self.means, *self.rhos) for v in pair]
    self.parameters = [*self.frontend.parameters(), *self.lstm.parameters(), *own, *self.slopes]
    self.optimizer = torch.optim.Adam(self.parameters, 1e-4, fused=True)
    self.pieces, self.buffers = Pieces() if variant == 'tuned' else None, None

  def step(self, x, ratings):
    """One update; x [B, T, 640], ratings [B, T, 2, a] -> the loss."""
    self.optimizer.zero_grad()
    h = self.lstm(self.frontend(x))[0].flatten(0, 1)
    sigmas = [tuple(F.softplus(rho) for rho in pair) for pair in self.rhos]
    out, cost = getattr(self, f'_{self.variant}')(h, sigmas)
    loss = label_loss(out.mean(0), out.std(0), ratings.flatten(0, 1)) + cost / len(h)
    loss.backward()
    self.optimizer.step()
    return float(loss.detach())

  def _fast_loop(self, h, sigmas):
    return self._loop(h, sigmas)

  def _loop(self, h, sigmas):
    out, cost = [], 0.0
    for _ in range(self.passes):
      y = h
      for i, ((mean, mean_b), (sigma, sigma_b)) in enumerate(zip(self.means, sigmas, strict=True)):
        rows = []
        for part in y.split(self.block):
          w, b = mean + sigma * torch.randn(mean.shape), mean_b + sigma_b * torch.randn(mean_b.shape)
          rows.append(torch.addmm(b, part, w))
        cost = cost + log_ratio(w, mean, sigma) + log_ratio(b, mean_b, sigma_b)  # the last block's
        y = torch.cat(rows)
        if i < len(self.slopes):
          y = F.prelu(y, self.slopes[i])
      out.append(y)
    return torch.stack(out), cost / self.passes

  def _folded(self, h, sigmas, passes, product):
    """`passes` at once; product(layer, y, mean, sigma, J) -> (y W, weights [J, I, O])."""
    blocks = len(h) // self.block
    y = h.view(1, blocks, self.block, -1).expand(passes, -1, -1, -1).reshape(passes * blocks, self.block, -1)
    cost = 0.0
    for i, ((mean, mean_b), (sigma, sigma_b)) in enumerate(zip(self.means, sigmas, strict=True)):
      b = torch.addcmul(mean_b, sigma_b, torch.randn(passes * blocks, *mean_b.shape))
      y, last = product(i, y, mean, sigma, blocks)
      y = y + b
      cost = cost + log_ratio(last, mean, sigma) + log_ratio(b[blocks - 1 :: blocks], mean_b, sigma_b)
      if i < len(self.slopes):
        y = F.prelu(y.flatten(0, 1), self.slopes[i]).view(y.shape)
    return y.view(passes, len(h), -1), cost

  def _vectorised(self, h, sigmas):
    def product(_, y, mean, sigma, blocks):
      w = torch.addcmul(mean, sigma, torch.randn(len(y), *mean.shape))
      return torch.bmm(y, w), w[blocks - 1 :: blocks]

    parts = [self._folded(h, sigmas, GROUP, product) for _ in range(self.passes // GROUP)]
    return torch.cat([out for out, _ in parts]), sum(cost for _, cost in parts) / self.passes

  def _tuned(self, h, sigmas):
    if self.buffers is None:
      self.buffers = [torch.empty(self.passes * len(h) // self.block, i, o) for i, o in WIDTHS]

    def product(i, y, mean, sigma, blocks):
      y = DrawnProduct.apply(y, mean, sigma, self.buffers[i], self.pieces)
      noise = (self.buffers[i][blocks - 1 :: blocks] - mean.detach()) / sigma.detach()
      return y, mean + sigma * noise

    out, cost = self._folded(h, sigmas, self.passes, product)
    return out, cost / self.passes


def label_loss(m_hat, s_hat, ratings):
  """CCC loss plus KL(t_a(m, s) || N(m_hat, s_hat^2)), attributes averaged; [N, 2], [N, 2], [N, 2, a]."""
  m, s, a = ratings.mean(-1), ratings.std(-1), ratings.shape[-1]
  covariance = ((m - m.mean(0)) * (m_hat - m_hat.mean(0))).mean(0)
  ccc = 2 * covariance / (m.var(0) + m_hat.var(0) + (m.mean(0) - m_hat.mean(0)).square())
  digamma = lambda v: float(torch.digamma(torch.tensor(v, dtype=torch.float64)))
  beta = math.lgamma(a / 2) + math.lgamma(0.5) - math.lgamma((a + 1) / 2)
  c = (a + 1) / 2 * (digamma((a + 1) / 2) - digamma(a / 2)) + 0.5 * math.log(a) + beta
  square = s.square() * a / (a - 2) + (m - m_hat).square()
  kl = 0.5 * (2 * math.pi * s_hat.square()).log() + square / (2 * s_hat.square()) - s.log() - c
  return (1 - ccc + kl.mean(0)).mean()
