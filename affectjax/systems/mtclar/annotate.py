"""Labels videos frame by frame from a few hand labels, by a trained cell: what `affectjax.label` calls.

Estimates are those of `labelling`: clip(sum over anchors of weight * (label + difference), -1, 1), computed faster.
Every frame is encoded once; batch normalisation and LayerNorm's scale are folded into the weights; the first layer of the
projectors, linear in the pair's concatenation, is split, so that an anchor's half is computed once.

How far off an estimate is (`spread`, a standard deviation in label units) is calibrated on the hand labels themselves:
each is predicted from the others of its video by the same rule, and the squared errors, pooled over videos, are fitted by
a + b * distance, a, b >= 0, where distance is the time to the anchors, weighted as they are. Hand labels at even
intervals all lie equally far from each other and cannot tell a from b. So the frame after each hand label is used too: a
label hardly moves within one frame, and what the estimate there departs from it by is an error at almost no distance.
Where no video has two hand labels there is nothing to calibrate on, and spreads are not known (NaN).
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from affectjax.engine import checkpoint
from affectjax.errors import UserError, unknown
from affectjax.layers.heads import BatchNorm
from affectjax.systems.mtclar import supports

BATCH = 1024  # frames per call; larger ones leave the caches
ANCHORS = ('past', 'two_sided', 'all')
_PAIRS = 2**18  # pairs prepared at once
_dot = functools.partial(jnp.dot, precision=jax.lax.Precision.HIGHEST)  # float32 on every device


@dataclasses.dataclass(frozen=True)
class Model:
  """A trained Siamese network, ready to label.

  Attributes:
    fingerprint: of the cell.
    fusion: of the network.
    label: the cell's labelling options (`anchors`, `smooth_block`, `antisymmetric`, `zeroed`, `temperature`).
    weights: from `fold`.
    mean, scale: [D] of the features it was trained on.
  """

  fingerprint: str
  fusion: str
  label: Mapping[str, Any]
  weights: Mapping[str, Any]
  mean: np.ndarray
  scale: np.ndarray

  @property
  def width(self) -> int:
    return len(self.mean)

  @property
  def anchors(self) -> str:
    """How the cell chooses anchors, where that can be done with given supports; else 'past', the released rule."""
    return self.label['anchors'] if self.label['anchors'] in ANCHORS else 'past'


def load(folder: pathlib.Path) -> Model:
  """The model of a finished cell: a Siamese one, or a labelling one, whose network is that of its warm start."""
  folder = pathlib.Path(folder).resolve()
  document = _config(folder)
  config = document['config']
  source = folder
  if config['stage'] == 'label':
    source = folder.parents[2] / document['warm_start']
  try:
    final = checkpoint.load_final(source)
    params, extra = final['params'], final['extra']
    weights, scaling = fold(params, extra['batch_stats']), extra['input']
  except UserError:
    raise
  except Exception as error:  # Orbax tells of damage by errors of many kinds
    line = (str(error).strip().splitlines() or [''])[0]
    raise UserError(
      f'{source}/checkpoints/{checkpoint.FINAL}: cannot be read (damaged?): {type(error).__name__}: {line[:200]}; '
      'delete the cell and run it again'
    ) from error
  fusion = config['model']['fusion']
  return Model(document['fingerprint'], fusion, config['label'], weights, scaling['mean'], scaling['scale'])


def _config(folder: pathlib.Path) -> dict[str, Any]:
  """config.json of a finished cell that can label."""
  path = folder / 'config.json'
  if not path.is_file():
    raise UserError(f'{folder}: not a cell, there is no config.json; expected WORKDIR/cells/<row>/<cell> of MT-CLAR')
  try:
    document = json.loads(path.read_text('utf-8'))
    config = document['config']
    system, stage = config['system'], config.get('stage')
  except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
    raise UserError(f'{path}: cannot be read as the config of a cell: {error!r}') from error
  method = config['label']['method'] if system == 'mtclar' and stage == 'label' else None
  if system != 'mtclar' or stage not in ('siamese', 'label') or method not in (None, 'mtclar'):
    found = ', '.join(str(v) for v in (system, stage, method) if v)
    raise UserError(f'{folder}: a cell of {found}; expected mtclar, stage siamese, or stage label by method mtclar')
  if (folder / 'FAILED').is_file():
    raise UserError(f'{folder}: this cell failed, see its file FAILED; run it to its end first')
  if not (folder / 'predictions.npz').is_file():
    raise UserError(f'{folder}: this cell is not finished, there is no predictions.npz; run it to its end first')
  return document


def fold(params: Mapping[str, Any], batch_stats: Mapping[str, Any]) -> dict[str, Any]:
  """The network without normalisation parameters, in float32.

  Args:
    params, batch_stats: of `network.Siamese`.

  Returns:
    'encoder': two layers (weight [I, O], bias [O]), the first behind a plain LayerNorm, GELU between; 'deltas': for
    valence and arousal the projector's layers, ReLU between, whose output is tanh'ed and doubled.
  """
  wide = lambda tree: jax.tree.map(lambda v: np.asarray(v, np.float64), tree)
  encoder = wide(params['encoder'])
  first, second, norm = encoder['Dense_0'], encoder['Dense_1'], encoder['LayerNorm_0']
  layers = (
    (norm['scale'][:, None] * first['kernel'], norm['bias'] @ first['kernel'] + first['bias']),
    (second['kernel'], second['bias']),
  )
  deltas = [_projector(wide(params[n]), wide(batch_stats[n])) for n in ('delta_valence', 'delta_arousal')]
  return jax.tree.map(lambda v: v.astype(np.float32), {'encoder': layers, 'deltas': tuple(deltas)})


def _projector(params, batch_stats) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
  layers = []
  for i in range(len(batch_stats)):
    dense, norm, seen = params[f'dense_{i}'], params[f'norm_{i}'], batch_stats[f'norm_{i}']
    factor = norm['scale'] / np.sqrt(seen['var'] + BatchNorm.eps)
    layers.append((dense['kernel'] * factor, (dense['bias'] - seen['mean']) * factor + norm['bias']))
  return (*layers, (params['out']['kernel'], params['out']['bias']))


@jax.jit
def _encode(weights, mean, scale, x):
  """Features [B, D] -> z [B, H]."""
  (w1, b1), (w2, b2) = weights['encoder']
  x = nn.LayerNorm(use_scale=False, use_bias=False).apply({}, (x - mean) / scale)
  return _dot(nn.gelu(_dot(x, w1) + b1), w2) + b2


@jax.jit
def _anchor_half(weights, z):
  """z [S, H] of anchors -> for each difference, the anchor's share of the first layer, bias included, [S, O]."""
  return [_dot(z, layers[0][0][z.shape[1] :]) + layers[0][1] for layers in weights['deltas']]


def _rest(layers, hidden):
  """The first layer's output [B, O] -> the difference [B, 1]."""
  for weight, bias in layers[1:]:
    hidden = _dot(nn.relu(hidden), weight) + bias
  return 2.0 * jnp.tanh(hidden)


@jax.jit
def _from_halves(weights, halves, z, slot):
  """z [B, H] of queries and the anchors' slots [B] in `halves` -> differences [B, 2] (fusion by concatenation)."""
  first = [_dot(z, layers[0][0][: z.shape[1]]) + half[slot] for layers, half in zip(weights['deltas'], halves, strict=True)]
  return jnp.concatenate([_rest(ls, h) for ls, h in zip(weights['deltas'], first, strict=True)], -1)


@functools.partial(jax.jit, static_argnums=1)
def _from_pairs(weights, fusion, first, second):
  """Embeddings [B, H] of pairs -> differences [B, 2]."""
  if fusion == 'concat':
    pair = jnp.concatenate([first, second], -1)
  else:
    pair = jnp.abs(first - second) if fusion == 'abs' else first * second
  return jnp.concatenate([_rest(ls, _dot(pair, ls[0][0]) + ls[0][1]) for ls in weights['deltas']], -1)


def _batched(function, n: int, arrays) -> np.ndarray:
  """`function(*arrays(rows))` over n rows in batches of one size, the last one filled up; [n, ...] on the host."""
  size = min(BATCH, max(8, 1 << (n - 1).bit_length())) if n else 8
  pieces, pending = [], []
  for start in range(0, n, size):
    rows = np.minimum(np.arange(start, start + size), n - 1)
    pending.append(function(*arrays(rows)))
    if len(pending) > 2:  # the device works while the host gathers
      pieces.append(np.asarray(pending.pop(0)))
  pieces += [np.asarray(p) for p in pending]
  return np.concatenate(pieces)[:n] if pieces else np.zeros((0, 2), np.float32)


class Differences:
  """The network's differences between any frame and any support: label(frame) - label(support).

  Args:
    model: trained.
    x: [N, D] float32 features of all frames.
    support: [S] rows of the supports, ascending.
  """

  def __init__(self, model: Model, x: np.ndarray, support: np.ndarray):
    self._model, self._support = model, support
    self._weights = jax.device_put(model.weights)
    mean, scale = jnp.asarray(model.mean), jnp.asarray(model.scale)
    encode = functools.partial(_encode, self._weights, mean, scale)
    self.z = _batched(encode, len(x), lambda rows: (x[rows],))
    self._halves = _anchor_half(self._weights, self.z[support]) if model.fusion == 'concat' else None
    self._itself = self._pairs(support, support) if model.label['zeroed'] else None

  def __call__(self, query: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Rows [P] and supports' rows [P] -> [P, 2] (valence, arousal)."""
    slot = np.searchsorted(self._support, anchor)
    if self._halves is None:
      out = self._pairs(query, anchor)
    else:
      function = functools.partial(_from_halves, self._weights, self._halves)
      out = _batched(function, len(query), lambda i: (self.z[query[i]], slot[i]))
    if self._model.label['antisymmetric']:
      out = (out - self._pairs(anchor, query)) / 2
    return out if self._itself is None else out - self._itself[slot]

  def _pairs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    function = functools.partial(_from_pairs, self._weights, self._model.fusion)
    return _batched(function, len(first), lambda i: (self.z[first[i]], self.z[second[i]]))


@dataclasses.dataclass(frozen=True)
class Scene:
  """The frames to be labelled, and what is known of them.

  Attributes:
    x: [N, D] float32 features, videos contiguous and oldest first.
    present: [N] bool, False where no face was found: the anchors' label is carried over, as from such an anchor.
    video: [N] int64 codes, ascending.
    time_s: [N] float64 seconds within the video.
    support: [S] int64 rows labelled by hand, ascending; at least one per video.
    labels: [S, 2] float64 valence and arousal.
  """

  x: np.ndarray
  present: np.ndarray
  video: np.ndarray
  time_s: np.ndarray
  support: np.ndarray
  labels: np.ndarray

  @functools.cached_property
  def pool(self) -> supports.Pool:
    """All frames; time is the frame's number."""
    starts = np.searchsorted(self.video, self.video)
    return supports.Pool(np.arange(len(self.x)), self.video, self.video, np.arange(len(self.x)) - starts)


@dataclasses.dataclass(frozen=True)
class Law:
  """How a squared error grows with the distance in time: a + b * distance, each [2] for valence and arousal."""

  a: np.ndarray
  b: np.ndarray

  def spread(self, distance_s: np.ndarray) -> np.ndarray:
    """Distances [N] in seconds -> standard deviations [N, 2]."""
    return np.sqrt(self.a + self.b * distance_s[:, None])


def fit_law(distance_s: np.ndarray, squared: np.ndarray) -> Law | None:
  """Non-negative least squares of squared errors [M, 2] on distances [M]; None without any."""
  if not len(distance_s):
    return None
  design = np.stack([np.ones(len(distance_s)), distance_s], 1)
  a, b = zip(*(scipy.optimize.nnls(design, squared[:, k])[0] for k in range(2)), strict=True)
  return Law(np.array(a), np.array(b))


def _anchors(scene: Scene, how: str, rows: np.ndarray, leave_out: bool) -> tuple[np.ndarray, np.ndarray]:
  """The supports that `rows` are compared with, [n, A] rows of frames, and weights [n, A] summing to 1.

  As `supports.anchors` chooses them within a video. With `leave_out`, rows are supports, their own label is not used,
  and each needs another support in its video.
  """
  pool, support = scene.pool, scene.support
  if how == 'all':
    codes, starts, counts = np.unique(pool.video[support], return_index=True, return_counts=True)
    at = np.searchsorted(codes, pool.video[rows])
    column = np.arange(counts[at].max())
    inside = column < counts[at, None]
    anchor = support[np.where(inside, starts[at, None] + column, starts[at, None])]
    inside = inside & (anchor != rows[:, None]) if leave_out else inside
    return anchor, (inside / inside.sum(1, keepdims=True)).astype(np.float32)
  index = np.searchsorted(support, rows, side='right')
  before, after = np.r_[-1, support, -1][index - leave_out], np.r_[-1, support, -1][index + 1]
  past, future = (np.where((v >= 0) & (pool.video[v] == pool.video[rows]), v, -1) for v in (before, after))
  if how == 'past':
    return np.where(past >= 0, past, future)[:, None], np.ones((len(rows), 1), np.float32)
  left, right = np.where(past >= 0, past, future), np.where(future >= 0, future, past)
  span = pool.time[right] - pool.time[left]
  share = np.divide(pool.time[rows] - pool.time[left], span, out=np.zeros(len(rows)), where=span > 0)
  return np.stack([left, right], 1), np.stack([1 - share, share], 1).astype(np.float32)
