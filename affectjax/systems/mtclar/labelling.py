"""Few-shot video labelling, and the baselines that need no network: every frame from a few labelled ones.

v(t) = clip(sum over anchors of weight * (label + delta), -1, 1); experiments/mtclar.md, 8 (code:
fsl_mtclar.py, src/tools/test.py). Baselines keep the labels and leave the delta out, or fit a ridge on the supports.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import parallel
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples import linear, shape, splits
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar import network, siamese, supports
from affectjax.systems.mtclar.frames import Frames

METHODS = ('mtclar', 'carry_forward', 'interpolation', 'support_mean', 'ridge')
_PAIRS_PER_BATCH = 2000


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """Labels dev and test of `corpora[0]`; trains nothing. `label` holds rule, k, anchors, method and options."""
  label = config['label']
  refuse_unknown('labelling method', label['method'], METHODS)
  if label['antisymmetric'] and label['zeroed']:
    raise UserError('run.label.antisymmetric and run.label.zeroed are both set; the antisymmetric difference of a '
                    'frame to itself is zero already: set one of them')  # fmt: skip
  frames = frames_lib.load(config, data_dir)
  rows = splits.split(frames.examples, config)
  rng = lambda number: np.random.default_rng((config['seed'], number))
  plans = {s: plan(frames, rows[s], rows['train'], label, rng(i)) for i, s in enumerate(('dev', 'test'))}
  if label['method'] == 'ridge':
    estimates = _ridge_by_dev(frames, plans['dev'], plans['test'])
    plans = {split: {**own, 'base': estimates[split]} for split, own in plans.items()}
  uses_network = label['method'] == 'mtclar'

  def batches(split, seed):
    del seed  # supports are drawn once, from the cell's seed
    plan = plans[split]
    size = parallel.round_up(max(1, _PAIRS_PER_BATCH // plan['anchor'].shape[1]), label['smooth_block'])
    gather = functools.partial(_gather, frames, plan, uses_network)
    return batches_lib.ordered(np.arange(len(plan['row'])), gather, size, frames.on_disk)

  options = (label[k] for k in ('smooth_block', 'antisymmetric', 'zeroed', 'temperature'))
  predict = _network_predict(siamese.module(config), *options) if uses_network else _label_predict
  return Experiment(batches, functools.partial(_init, config, uses_network), None, predict)


def _init(config, uses_network: bool, key: jax.Array, batch) -> TrainState:
  if not uses_network:
    return TrainState.create({}, optax.identity(), key)
  if not config['warm_start']:
    raise UserError('labelling by the network needs trained parameters: name a Siamese row in run.warm_start')
  width = batch['x'].shape[1]
  shapes = network.shapes(siamese.module(config), width)
  zeros = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)  # to be replaced by the warm start
  extra = {'batch_stats': zeros['batch_stats'], 'input': shape.unchanged(width)}
  return TrainState.create(zeros['params'], optax.identity(), key, extra)


def plan(frames, rows: np.ndarray, train: np.ndarray, label: Mapping[str, Any], rng) -> dict[str, np.ndarray]:
  """Who is labelled by whom.

  Interpolation has both neighbours in time as anchors. Where a rule reaches beyond the video there is no time to
  interpolate over, and the video's own supports are not to be used: it then keeps the rule's anchors.

  Returns:
    row [N] into frames; anchor [N, A] rows of frames; weight [N, A]; base [N, 2] the weighted anchors' labels (or
    the baseline's estimate); support [N] bool; support_rows [S]; apart [len(frames)], see `_ridge_by_dev`, or None.
  """
  pool = supports.Pool.of(frames, rows)
  if label['rule'] == 'train_bins':
    train = train[frames.labelled[train]]
    rows_ = train[supports.train_bins(frames.labels[train, 0], label['k'], rng)]
    anchor = np.broadcast_to(rows_, (len(pool), len(rows_)))
    weight = np.full(anchor.shape, 1 / len(rows_), np.float32)
    is_support, label_rows = np.zeros(len(pool), bool), rows_
  else:
    support = supports.choose(pool, label['rule'], label['k'], rng)
    local, weight = supports.anchors(pool, support, label['rule'], label['anchors'], rng)
    if label['method'] == 'support_mean':  # all supports that the rule allows
      local, weight = supports.anchors(pool, support, label['rule'], 'all', None)
    elif label['method'] == 'interpolation' and label['rule'] in supports.WITHIN_VIDEO:
      local, weight = supports.two_sided(pool, *supports.neighbours(pool, support))
    anchor, label_rows = pool.row[local], pool.row[support]
    is_support = np.isin(np.arange(len(pool)), support)
  base = (frames.labels[anchor] * weight[..., None]).sum(1)  # [N, 2]
  owner = {'other_actor': frames.group, 'other_video': frames.item}.get(label['rule'])
  apart = None if owner is None else np.unique(owner, return_inverse=True)[1]
  return {'row': pool.row, 'anchor': anchor, 'weight': weight, 'base': base.astype(np.float32),
          'support': is_support, 'support_rows': label_rows, 'apart': apart}  # fmt: skip


def _from_supports(frames: Frames, plan: Mapping[str, np.ndarray], penalties: Sequence[float]) -> np.ndarray:
  """Valence and arousal [P, N, 2] of a plan's frames, by a ridge per penalty on the supports each frame may use.

  A frame without a face keeps the plan's `base`, the label it would carry.
  """
  rows = plan['row']
  out = np.repeat(plan['base'].astype(np.float64)[None], len(penalties), 0)
  support = plan['support_rows'][frames.present[plan['support_rows']]]
  owner = np.zeros(len(frames), int) if plan['apart'] is None else plan['apart']
  for own in np.unique(owner[rows]):
    here = (owner[rows] == own) & frames.present[rows]
    known = support if plan['apart'] is None else support[owner[support] != own]
    if here.any() and len(known):
      maps = linear.fit(frames.x, known, frames.labels[known], penalties)
      out[:, here] = [one.at(frames.x, rows[here]) for one in maps]
  return out


def _ridge_by_dev(
  frames: Frames, dev: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Valence and arousal [N, 2] of both splits by a ridge fitted on each split's own supports.

  The penalty is chosen on dev (its supports against its other frames), then used for both.

  Args:
    frames: of the corpus.
    dev, test: plans, with `apart` [len(frames)] where a frame may not use the supports of its own actor or video
      (equal values), else None.
  """
  rest = ~dev['support'] if not dev['support'].all() else dev['support']
  truth, each = frames.labels[dev['row'][rest]], _from_supports(frames, dev, linear.PENALTIES)
  best_ = int(np.argmin([np.square(np.clip(out[rest], -1, 1) - truth).mean() for out in each]))
  tested = _from_supports(frames, test, linear.PENALTIES[best_ : best_ + 1])[0]
  return {'dev': each[best_].astype(np.float32), 'test': tested.astype(np.float32)}


def _gather(frames, plan_, uses_network: bool, i: np.ndarray) -> dict[str, np.ndarray]:
  row = plan_['row'][i]
  batch = frames.examples.gather(row, {}, {'label': frames.labels})
  batch |= {'base': plan_['base'][i], 'support': plan_['support'][i]}
  if uses_network:
    anchor = plan_['anchor'][i]
    usable = frames.present[row][:, None] & frames.present[anchor]  # no face: the anchor's label is carried over
    batch |= {'x': frames.x[row], 'anchor': frames.x[anchor], 'weight': plan_['weight'][i], 'usable': usable,
              'anchor_label': frames.labels[anchor]}  # fmt: skip
  return batch


def _outputs(batch, estimate: jax.Array) -> dict[str, jax.Array]:
  estimate = jnp.clip(estimate, -1.0, 1.0)
  return {'valence': batch['label'][:, 0], 'valence_hat': estimate[:, 0], 'arousal': batch['label'][:, 1],
          'arousal_hat': estimate[:, 1], 'support': batch['support']}  # fmt: skip


def _label_predict(state: TrainState, batch) -> dict[str, jax.Array]:
  del state
  return _outputs(batch, batch['base'])


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _network_predict(net: network.Siamese, block: int, antisymmetric: bool, zeroed: bool, temperature: float):
  apply = lambda state, method, *args: net.apply(
    {'params': state.params, 'batch_stats': state.extra['batch_stats']}, *args, method=method
  )

  def predict(state: TrainState, batch):
    b, a = batch['weight'].shape
    encode = lambda x: apply(state, network.Siamese.encode, siamese.normalise(state.extra, x))
    query, anchor = encode(batch['x']), encode(batch['anchor'].reshape(b * a, -1))
    repeated = jnp.repeat(query, a, 0)  # [B * A, H]
    delta = lambda z1, z2: apply(state, network.Siamese.deltas, z1, z2)
    difference = delta(repeated, anchor)
    if antisymmetric:
      difference = (difference - delta(anchor, repeated)) / 2
    if zeroed:  # a frame does not differ from itself
      difference = difference - delta(anchor, anchor)
    difference, weight, usable = difference.reshape(b, a, 2), batch['weight'], batch['usable']
    if temperature:
      weight = by_similarity(query, anchor.reshape(b, a, -1), weight, usable, temperature)
    if block > 1:
      difference = _blocks(difference, batch['mask'][:, None] * usable, block)
    difference = difference * usable[..., None]
    return _outputs(batch, (weight[..., None] * (batch['anchor_label'] + difference)).sum(1))

  return predict


def by_similarity(query, anchor, weight, usable, temperature: float, xp: Any = jnp):
  """softmax(cos(z_query, z_anchor) / temperature) over the anchors in use that show a face, [B, A].

  Where no face is to be compared, the weights stay what they are.

  Args:
    query, anchor: z [B, H] and [B, A, H].
    weight, usable: [B, A] weights before, and whether both show a face.
    temperature: above 0.
    xp: jax.numpy or numpy.
  """
  unit = lambda z: z / xp.maximum(xp.linalg.norm(z, axis=-1, keepdims=True), 1e-6)
  cosine = xp.einsum('bh,bah->ba', unit(query), unit(anchor))
  allowed = (weight > 0) & usable
  some = allowed.any(-1, keepdims=True)
  exponent = xp.where(allowed | ~some, cosine / temperature, -xp.inf)
  shares = xp.exp(exponent - exponent.max(-1, keepdims=True))
  return xp.where(some, shares / shares.sum(-1, keepdims=True), weight)


def _blocks(difference: jax.Array, weight: jax.Array, block: int) -> jax.Array:
  """Differences [B, A, 2] averaged over blocks of consecutive rows, as the released routine does (test5).

  weight [B, A] leaves padding and frames without a face out of the mean.
  """
  weight = weight.reshape(-1, block, weight.shape[1], 1)
  grouped = difference.reshape(-1, block, *difference.shape[1:])
  mean = (grouped * weight).sum(1, keepdims=True) / jnp.maximum(weight.sum(1, keepdims=True), 1.0)
  return jnp.broadcast_to(mean, grouped.shape).reshape(difference.shape)
