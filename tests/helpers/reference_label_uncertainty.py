"""The label-uncertainty network and losses as released, in NumPy float64, the plain way: to compare with, not to use.

Written from experiments/label_uncertainty.md (3, 4, 11) alone; nothing here imports affectjax. Parameters come as
mappings of arrays, named as in affectjax/systems/label_uncertainty/network.py; with draws given, nothing is random.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import betaln, digamma

Params = Mapping[str, np.ndarray]
POOLS = {'released': (10, 5, 5), 'integer': (10, 8, 8)}
BLOCK = 50


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def softplus(x: np.ndarray) -> np.ndarray:
  return np.log1p(np.exp(x))


# Network.


def convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
  """Stride 1, as many steps out as in: k - 1 zeros of padding, the odd one at the end.

  Args:
    x: [B, T, C].
    kernel: [k, C, O].
    bias: [O].

  Returns:
    [B, T, O].
  """
  size, t = len(kernel), x.shape[1]
  left = (size - 1) // 2  # 3 of 7 for size 8, 2 of 5 for size 6
  padded = np.zeros((x.shape[0], t + size - 1, x.shape[2]))
  padded[:, left : left + t] = x
  out = np.zeros((x.shape[0], t, kernel.shape[2])) + bias
  for tap in range(size):
    out += padded[:, tap : tap + t] @ kernel[tap]
  return out


def max_pool(x: np.ndarray, size: int) -> np.ndarray:
  """[B, T, C] -> [B, T // size, C]."""
  steps = x.shape[1] // size
  return np.stack([x[:, i * size : (i + 1) * size].max(1) for i in range(steps)], 1)


def frontend(params: Params, x: np.ndarray, pools: Sequence[int] = POOLS['released']) -> np.ndarray:
  """Waveform frames [B, T, 640] -> [B, T, 320], or [B, T, 125] for the 'integer' pools; no dropout."""
  x = np.asarray(x, np.float64)
  b, t, samples = x.shape
  y = x.reshape(b, t * samples, 1)
  for i, pool in enumerate(pools):
    y = max_pool(np.maximum(convolution(y, params[f'kernel_{i}'], params[f'bias_{i}']), 0), pool)
  # Row-major: frame j takes the values j w .. j w + w - 1 of the (step, channel) order, w = 320 being 2.56 steps.
  width = y.shape[1] * y.shape[2] // t
  frames = np.zeros((b, t, width))
  for sequence in range(b):
    flat = np.concatenate(list(y[sequence]))
    for j in range(t):
      frames[sequence, j] = flat[j * width : (j + 1) * width]
  return frames


def lstm(params: Params, x: np.ndarray, layers: int = 2) -> np.ndarray:
  """Unidirectional layers over [B, T, I] -> [B, T, H], one bias per gate (input, forget, cell, output), zero start."""
  x = np.asarray(x, np.float64)
  for layer in range(layers):
    kernel, recurrent, bias = (params[f'{name}_{layer}'] for name in ('kernel', 'recurrent', 'bias'))
    size = recurrent.shape[0]
    h, c = np.zeros((2, x.shape[0], size))
    out = []
    for t in range(x.shape[1]):
      gates = x[:, t] @ kernel + h @ recurrent + bias
      i, f, g, o = (gates[:, n * size : (n + 1) * size] for n in range(4))
      c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
      h = sigmoid(o) * np.tanh(c)
      out.append(h)
    x = np.stack(out, 1)
  return x


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
  return np.maximum(x, 0) + slope * np.minimum(x, 0)


def head(weights: Sequence[np.ndarray], slopes: Sequence[np.ndarray], h: np.ndarray, block: int = BLOCK) -> np.ndarray:
  """All passes with given weights, new ones for every block of frames.

  Args:
    weights: per layer [P, J, I + 1, O], the bias being the last row.
    slopes: of the PReLU after every layer but the last, [O] each.
    h: [B, T, H]; B T = J block.
    block: frames per draw.

  Returns:
    [P, B T, O].
  """
  flat = np.asarray(h, np.float64).reshape(-1, h.shape[-1])
  passes, blocks = weights[0].shape[:2]
  assert len(flat) == blocks * block, 'frames do not fill the blocks'
  out = []
  for p in range(passes):
    y = flat
    for layer, w in enumerate(weights):
      rows = []
      for j in range(blocks):
        part = y[j * block : (j + 1) * block]
        rows.append(part @ w[p, j, :-1] + w[p, j, -1])
      y = np.concatenate(rows)
      if layer + 1 < len(weights):
        y = prelu(y, slopes[layer])
    out.append(y)
  return np.stack(out)


def mean_head(means: Sequence[np.ndarray], slopes: Sequence[np.ndarray], h: np.ndarray) -> np.ndarray:
  """The prediction with all weights at their means, [B, T, H] -> [B T, O]."""
  frames = h.shape[0] * h.shape[1]
  return head([m[None, None] for m in means], slopes, h, block=frames)[0]


def moments(passes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """m_hat and s_hat (ddof 1) over the first axis, [P, ...] -> [...] each."""
  n = len(passes)
  m = sum(passes) / n
  return m, np.sqrt(sum((p - m) ** 2 for p in passes) / (n - 1))


# Losses. Frames are flat, [N] with N = B T; `ratings` are [N, a]. The truth always comes first.


def ccc_loss(x: np.ndarray, y: np.ndarray, moments: str = 'mixed') -> float:
  """1 - CCC over all frames; 'mixed' as released (covariance 1/n, variances 1/(n - 1)), 'population' 1/n in both."""
  n = len(x)
  of_variance = {'mixed': n - 1, 'population': n}[moments]
  dx, dy = x - x.mean(), y - y.mean()
  covariance = (dx * dy).sum() / n
  variances = (dx**2).sum() / of_variance + (dy**2).sum() / of_variance
  return float(1 - 2 * covariance / (variances + (x.mean() - y.mean()) ** 2))


def kl_gauss(m: np.ndarray, s: np.ndarray, m_hat: np.ndarray, s_hat: np.ndarray) -> np.ndarray:
  """KL(N(m, s^2) || N(m_hat, s_hat^2)) per frame."""
  return np.log(s_hat / s) + (s**2 + (m - m_hat) ** 2) / (2 * s_hat**2) - 0.5


def kl_t(m: np.ndarray, s: np.ndarray, nu: float, m_hat: np.ndarray, s_hat: np.ndarray) -> np.ndarray:
  """KL(t_nu(m, s) || N(m_hat, s_hat^2)) per frame; s is the scale."""
  c = (nu + 1) / 2 * (digamma((nu + 1) / 2) - digamma(nu / 2)) + math.log(nu) / 2 + betaln(nu / 2, 0.5)
  square = s**2 * nu / (nu - 2) + (m - m_hat) ** 2
  return 0.5 * np.log(2 * math.pi * s_hat**2) + square / (2 * s_hat**2) - np.log(s) - c


def bbb_monte_carlo(weights: Sequence[np.ndarray], means: Sequence[np.ndarray], rhos: Sequence[np.ndarray]) -> float:
  """Mean over passes of log q(w) - log P(w), in nats, at the last block's weights; prior N(0, 1).

  Args:
    weights: per layer [P, J, I + 1, O].
    means, rhos: per layer [I + 1, O].
  """
  passes = len(weights[0])
  total = 0.0
  for w, mean, rho in zip(weights, means, rhos, strict=True):
    sigma = softplus(rho)
    for p in range(passes):
      last = w[p, -1]
      log_q = -0.5 * math.log(2 * math.pi) - np.log(sigma) - (last - mean) ** 2 / (2 * sigma**2)
      log_p = -0.5 * math.log(2 * math.pi) - last**2 / 2
      total += log_q.sum() - log_p.sum()
  return total / passes


def bbb_closed(means: Sequence[np.ndarray], rhos: Sequence[np.ndarray]) -> float:
  """The expectation of `bbb_monte_carlo`: the KL between the posterior and N(0, 1), in nats."""
  total = 0.0
  for mean, rho in zip(means, rhos, strict=True):
    sigma = softplus(rho)
    total += (-np.log(sigma) + (sigma**2 + mean**2) / 2 - 0.5).sum()
  return float(total)


def total(
  row: str, m_hat: np.ndarray, s_hat: np.ndarray, ratings: np.ndarray, cost: float, ccc: str = 'mixed'
) -> float:
  """The released training loss, all weights 1, the two attributes averaged.

  Args:
    row: 'mu', 'mu_lu' or 't_lu'.
    m_hat, s_hat: [N, D].
    ratings: [N, D, a].
    cost: of the weights in nats, divided here by the number of frames.
    ccc: moments of the CCC.
  """
  frames, attributes, raters = ratings.shape
  label = 0.0
  for d in range(attributes):
    m, s = ratings[:, d].mean(-1), ratings[:, d].std(-1, ddof=1)
    label += ccc_loss(m_hat[:, d], m, ccc)
    if row == 'mu_lu':
      label += kl_gauss(m, s, m_hat[:, d], s_hat[:, d]).mean()
    elif row == 't_lu':
      label += kl_t(m, s, raters, m_hat[:, d], s_hat[:, d]).mean()
    else:
      assert row == 'mu', row
  return label / attributes + cost / frames
