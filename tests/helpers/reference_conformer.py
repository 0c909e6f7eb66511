"""One conformer block as released with VAVL, in NumPy float64, the plain way: to compare with, not to use.

Written from experiments/vavl.md, 3, alone; nothing here imports affectjax. Clips stand alone, without padding, each
[L, D]; only the BatchNorm of training sees several at once. There is no dropout. Parameters are nested mappings,
kernels [in, out]:

  ff_1, ff_2   norm {scale, bias}, in {kernel, bias}, out {kernel, bias}
  attention    norm, query, key, value, out {kernel, bias}, position {kernel}, u, v [H, D / H]
  conv         norm, in {kernel [D, 2 D], bias}, depthwise {kernel [k, D]}, batch_norm {scale, bias}, out
  norm         {scale, bias}
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

EPSILON = 1e-5


def sigmoid(x: np.ndarray) -> np.ndarray:
  return 1 / (1 + np.exp(-x))


def swish(x: np.ndarray) -> np.ndarray:
  return x * sigmoid(x)


def softmax(x: np.ndarray) -> np.ndarray:
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def dense(p: Mapping, x: np.ndarray) -> np.ndarray:
  return x @ p['kernel'] + p['bias']


def layer_norm(p: Mapping, x: np.ndarray) -> np.ndarray:
  return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + EPSILON) * p['scale'] + p['bias']


def sinusoids(positions: np.ndarray, d: int) -> np.ndarray:
  """[n] positions, which may be negative -> [n, d]: sin in even dimensions, cos in odd ones, base 10000."""
  out = np.zeros((len(positions), d))
  for c in range(d):
    angle = np.asarray(positions, np.float64) / 10000 ** (c // 2 * 2 / d)
    out[:, c] = np.cos(angle) if c % 2 else np.sin(angle)
  return out


def shift_released(s: np.ndarray) -> np.ndarray:
  """[L, L] -> [L, L], entry by entry; above the diagonal stands what wraps around from the next query's row."""
  n = len(s)
  out = np.zeros_like(s)
  for i in range(n):
    for j in range(n):
      if j <= i:
        out[i, j] = s[i, n - 1 - i + j]
      elif j > i + 1:
        out[i, j] = s[i + 1, j - i - 2]
  return out


def feed_forward(p: Mapping, x: np.ndarray) -> np.ndarray:
  return dense(p['out'], swish(dense(p['in'], layer_norm(p['norm'], x))))


def attention(p: Mapping, x: np.ndarray, form: str = 'released') -> np.ndarray:
  """Of one clip [L, D].

  Args:
    p: parameters.
    x: input.
    form: 'released', position scores of rows 0 .. L - 1, shifted with the wrap; 'proper', those of the signed distance
      i - j from query to key.

  Returns:
    [L, D].
  """
  n, d = x.shape
  heads, size = p['u'].shape
  x = layer_norm(p['norm'], x)
  query, key, value = (dense(p[name], x) for name in ('query', 'key', 'value'))
  if form == 'released':
    position = sinusoids(np.arange(n), d) @ p['position']['kernel']
  elif form == 'proper':
    distances = np.arange(n - 1, -n, -1)  # row r is distance n - 1 - r
    position = sinusoids(distances, d) @ p['position']['kernel']
  else:
    raise ValueError(form)
  out = np.zeros((n, d))
  for h in range(heads):
    part = slice(h * size, (h + 1) * size)
    content = (query[:, part] + p['u'][h]) @ key[:, part].T
    by_position = (query[:, part] + p['v'][h]) @ position[:, part].T
    if form == 'released':
      by_position = shift_released(by_position)
    else:
      by_position = np.array([[by_position[i, n - 1 - (i - j)] for j in range(n)] for i in range(n)])
    out[:, part] = softmax((content + by_position) / math.sqrt(d)) @ value[:, part]  # of the model, not of the head
  return dense(p['out'], out)


def depthwise(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
  """Correlates each channel of [L, D] with its column of the odd [k, D]; as many frames out as in."""
  size, n = len(kernel), len(x)
  padded = np.pad(x, ((size // 2, size // 2), (0, 0)))
  return sum(kernel[tap] * padded[tap : tap + n] for tap in range(size))


def block(
  p: Mapping, clips: Sequence[np.ndarray], batch_stats: Mapping | None = None, form: str = 'released'
) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
  """One block on clips [L, D], of any lengths.

  Args:
    p: parameters.
    clips: the inputs.
    batch_stats: running {mean, var} of the BatchNorm; None normalises with those of these clips, as in training.
    form: see `attention`.

  Returns:
    One output [L, D] for each clip; the {mean, var} that were used (var over n, not n - 1).
  """
  clips = [np.asarray(x, np.float64) for x in clips]
  clips = [x + 0.5 * feed_forward(p['ff_1'], x) for x in clips]
  clips = [x + attention(p['attention'], x, form) for x in clips]
  conv, middles = p['conv'], []
  for x in clips:
    value, gate = np.split(dense(conv['in'], layer_norm(conv['norm'], x)), 2, -1)
    middles.append(depthwise(conv['depthwise']['kernel'], value * sigmoid(gate)))
  if batch_stats is None:
    frames = np.concatenate(middles)
    batch_stats = {'mean': frames.mean(0), 'var': frames.var(0)}
  norm = conv['batch_norm']
  factor = norm['scale'] / np.sqrt(np.asarray(batch_stats['var'], np.float64) + EPSILON)
  middles = [(y - batch_stats['mean']) * factor + norm['bias'] for y in middles]
  clips = [x + dense(conv['out'], swish(y)) for x, y in zip(clips, middles, strict=True)]
  clips = [x + 0.5 * feed_forward(p['ff_2'], x) for x in clips]
  return [layer_norm(p['norm'], x) for x in clips], dict(batch_stats)
