"""Labels videos frame by frame from a few hand labels, by a trained cell: what `affectjax.label` calls.

Estimates are those of `labelling`: clip(sum over anchors of weight * (label + difference), -1, 1), computed faster.
Every frame is encoded once; batch normalisation and LayerNorm's scale are folded into the weights; the first layer of
the projectors, linear in the pair's concatenation, is split, so that an anchor's half is computed once.

How far off an estimate is (`spread`, a standard deviation in label units) is calibrated on the hand labels themselves:
each is predicted from the others of its video by the same rule, and the squared errors, pooled over videos, are fitted
by a + b * distance, a, b >= 0, where distance is the time to the anchors, weighted as they are. Hand labels at even
intervals lie equally far from each other and cannot tell a from b; therefore the frame after each hand label is used
too: a label hardly moves within one frame, so what the estimate departs from it by is an error at almost no
distance. Where no video has two hand labels there is nothing to calibrate on, and spreads are not known (NaN).
"""

import concurrent.futures
import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine.cell import AGAIN, Folder
from affectjax.engine.predictor import Cell
from affectjax.layers.heads import BatchNorm
from affectjax.systems.mtclar import labelling, network, supports
from affectjax.systems.mtclar import spread as spread_lib

BATCH, FEW = 1024, 128  # frames per call, and of a small call; larger ones leave the caches
ANCHORS = ('past', 'two_sided', 'all')
CALIBRATION = 1000  # hand labels left out in turn, evenly chosen; they give a standard deviation to 2 %
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
    """D."""
    return len(self.mean)

  @property
  def anchors(self) -> str:
    """How the cell chooses anchors, where that can be done with given supports; else 'past', the released rule."""
    return self.label['anchors'] if self.label['anchors'] in ANCHORS else 'past'


def load(folder: pathlib.Path) -> Model:
  """The model of a finished cell: a Siamese one, or a labelling one, whose network is that of its warm start.

  Raises:
    UserError: no such cell, damaged, or one that cannot label.
  """
  folder = pathlib.Path(folder).resolve()
  document = Folder(folder).document()
  config = document['config']
  system, stage = config['system'], config.get('stage')
  try:
    method = config['label']['method'] if (system, stage) == ('mtclar', 'label') else None
    if system != 'mtclar' or stage not in ('siamese', 'label') or method not in (None, 'mtclar'):
      kind = ', '.join(str(v) for v in (system, stage, method) if v)
      raise UserError(f'{folder}: a cell of {kind}; expected mtclar, stage siamese, or stage label by method mtclar')
    source = folder if stage == 'siamese' else folder.parent.parent.parent / document['warm_start']
    fusion, label, fingerprint = config['model']['fusion'], config['label'], document['fingerprint']
  except (KeyError, TypeError, AttributeError) as error:
    raise UserError(f'{folder / "config.json"}: cannot be read as the config of a cell: {error!r}; {AGAIN}') from error
  final = Cell(source, config, {}, {}).final()
  scaling = final['extra']['input']
  weights = fold(final['params'], final['extra']['batch_stats'])
  return Model(fingerprint, fusion, label, weights, scaling['mean'], scaling['scale'])


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
  share = lambda layers, half: _dot(z, layers[0][0][: z.shape[1]]) + half[slot]
  both = zip(weights['deltas'], halves, strict=True)
  return jnp.concatenate([_rest(layers, share(layers, half)) for layers, half in both], -1)


@functools.partial(jax.jit, static_argnums=1)
def _from_pairs(weights, fusion, first, second):
  """Embeddings [B, H] of pairs -> differences [B, 2]."""
  pair = network.fuse(fusion, first, second)
  return jnp.concatenate([_rest(ls, _dot(pair, ls[0][0]) + ls[0][1]) for ls in weights['deltas']], -1)


def _batched(function, n: int, arrays) -> np.ndarray:
  """`function(*arrays(rows))` over n rows in batches of one size, the last one filled up; [n, ...] on the host.

  Two at a time: while one batch is at what a single core does, the matrix products of the other keep all cores busy.
  """
  size = BATCH if n > FEW else FEW
  one = lambda start: np.asarray(function(*arrays(np.minimum(np.arange(start, start + size), n - 1))))
  with concurrent.futures.ThreadPoolExecutor(2) as workers:
    pieces = list(workers.map(one, range(0, n, size)))
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
    slots = support[np.minimum(np.arange(1 << (len(support) - 1).bit_length()), len(support) - 1)]  # few shapes
    self._halves = _anchor_half(self._weights, self.z[slots]) if model.fusion == 'concat' else None
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
class Labels:
  """What `annotate` finds.

  Attributes:
    estimate: [N, 2] float32 valence and arousal in [-1, 1]; a hand label's row is that label.
    spread: [N, 2] float32 standard deviations; 0 for hand labels, NaN where not known.
    law: of the spread.
  """

  estimate: np.ndarray
  spread: np.ndarray
  law: spread_lib.Law


def annotate(model: Model, scene: Scene, how: str) -> Labels:
  """Labels every frame of a scene; `how`, one of ANCHORS, says by which hand labels (as `supports.anchors`)."""
  refuse_unknown('anchor choice', how, ANCHORS)
  differences = Differences(model, scene.x, scene.support)
  every, block = np.arange(len(scene.x)), model.label['smooth_block']
  # where consecutive frames share their mean difference, hand-labelled ones count in it
  rows = np.setdiff1d(every, scene.support) if block == 1 else every
  estimate, distance = np.zeros((len(every), 2), np.float32), np.zeros(len(every))
  estimate[rows], distance[rows] = _estimate(model, scene, differences, rows, how, block=block)
  estimate[scene.support], distance[scene.support] = scene.labels, 0.0
  law = _calibrate(model, scene, differences, how, estimate, distance)
  spread = law(distance).astype(np.float32)
  spread[scene.support] = 0.0
  return Labels(estimate, spread, law)


def _calibrate(model, scene: Scene, differences, how: str, estimate, distance) -> spread_lib.Law:
  """The law of errors, from hand labels left out in turn and from the frames after them."""
  pool, support, labels = scene.pool, scene.support, scene.labels
  _, code, counts = np.unique(pool.video[support], return_inverse=True, return_counts=True)
  spare = np.flatnonzero(counts[code] > 1)
  if not len(spare):
    return spread_lib.UNKNOWN
  spare = spare[np.unique(np.linspace(0, len(spare) - 1, CALIBRATION).astype(np.int64))]
  predicted, far = _estimate(model, scene, differences, support[spare], how, leave_out=True)
  after = np.minimum(support + 1, len(scene.x) - 1)
  seen = scene.present[support] & scene.present[after]
  seen &= (pool.video[after] == pool.video[support]) & ~np.isin(after, support)
  near = after[seen]
  squared = np.concatenate([predicted - labels[spare], estimate[near] - labels[seen]]) ** 2
  return spread_lib.fit(np.r_[far, distance[near]], squared)


def _estimate(
  model: Model, scene: Scene, differences: Differences, rows: np.ndarray, how: str, leave_out=False, block=1
) -> tuple[np.ndarray, np.ndarray]:
  """Estimates [n, 2] of frames [n], and their weighted distances [n] in seconds from the hand labels they are from."""
  choose, width = _anchors(scene, how, rows, leave_out)
  known = np.zeros((len(scene.x), 2), np.float32)
  known[scene.support] = scene.labels
  estimate, distance = np.zeros((len(rows), 2), np.float32), np.zeros(len(rows))
  step = max(_PAIRS // width // block, 1) * block
  for start in range(0, len(rows), step):
    i = np.arange(start, min(start + step, len(rows)))
    row = rows[i, None]  # [n, 1]
    anchor, weight = choose(i)  # [n, A]
    usable = scene.present[row] & scene.present[anchor]  # [n, A]
    needed = usable & ((weight > 0) | (block > 1))
    difference = np.zeros((*anchor.shape, 2), np.float32)
    difference[needed] = differences(np.broadcast_to(row, anchor.shape)[needed], anchor[needed])
    if model.label['temperature']:
      z, temperature = differences.z, model.label['temperature']
      weight = labelling.by_similarity(z[rows[i]], z[anchor], weight, usable, temperature, np).astype(np.float32)
    if block > 1:
      starts = np.arange(0, len(i), block)
      counts = np.diff(np.r_[starts, len(i)])
      number = np.maximum(np.add.reduceat(usable.astype(np.float32), starts), 1)  # [n / block, A]
      mean = np.add.reduceat(difference, starts) / number[..., None]
      difference = np.where(usable[..., None], np.repeat(mean, counts, 0), 0).astype(np.float32)
    estimate[i] = np.clip((weight[..., None] * (known[anchor] + difference)).sum(1), -1, 1)
    distance[i] = (weight * np.abs(scene.time_s[row] - scene.time_s[anchor])).sum(1)
  return estimate, distance


def _anchors(scene: Scene, how: str, rows: np.ndarray, leave_out: bool):
  """The hand labels that frames are compared with, each within its video.

  With `leave_out` the frames are hand-labelled themselves, and their own labels are not used.

  Returns:
    a function of positions [n] in `rows` to anchors [n, A] (rows) and weights [n, A] that sum to 1; and A.
  """
  pool, support = scene.pool, scene.support
  if how == 'all':
    codes, first, counts = np.unique(pool.video[support], return_index=True, return_counts=True)
    column = np.arange(counts.max())

    def choose(i):
      at = np.searchsorted(codes, pool.video[rows[i]])
      inside = column < counts[at, None]
      anchor = support[np.where(inside, first[at, None] + column, first[at, None])]
      inside &= (anchor != rows[i, None]) | (not leave_out)
      return anchor, (inside / inside.sum(1, keepdims=True)).astype(np.float32)

    return choose, len(column)
  if leave_out:  # among the hand-labelled frames alone, the one before and the one after
    pool = supports.Pool(*(v[support] for v in (pool.row, pool.video, pool.actor, pool.time)))
    edge = np.r_[True, pool.video[1:] != pool.video[:-1], True]
    k = np.arange(len(support))
    past, future, pick = np.where(edge[:-1], -1, k - 1), np.where(edge[1:], -1, k + 1), np.searchsorted(support, rows)
  else:
    (past, future), pick = supports.neighbours(pool, support), rows
  if how == 'past':
    local, weight = np.where(past >= 0, past, future)[:, None], np.ones((len(pool), 1), np.float32)
  else:
    local, weight = supports.two_sided(pool, past, future)
  anchor, weight = pool.row[local[pick]], weight[pick]
  return (lambda i: (anchor[i], weight[i])), anchor.shape[1]
