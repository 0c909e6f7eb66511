"""Supervised heads on the frozen representation: valence and arousal, or categories (experiments/mtclar.md, 3 to 5)."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax import metrics
from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import optim, parallel
from affectjax.engine.steps import Losses, gradient_step
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples import linear, splits
from affectjax.objectives import regression
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar import network, siamese

METHODS = ('head', 'ridge')


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """Trains `head.target` ('va' or 'emotion') on `corpora[0]`; with `head.method` 'ridge' a linear map instead."""
  head = config['head']
  refuse_unknown('head target', head['target'], ('va', 'emotion'))
  refuse_unknown('head method', head['method'], METHODS)
  frames = frames_lib.load(config, data_dir)
  usable = frames.present & (frames.labelled if head['target'] == 'va' else frames.emotion >= 0)
  rows = {k: v[usable[v]] for k, v in splits.split(frames.examples, config).items()}
  for split, kept in rows.items():
    if not len(kept):
      raise UserError(f'{config["corpora"][0]}: no {split} example has a label for head target {head["target"]!r}; '
                      'prepare the corpus with these labels, or leave the row out with --rows')  # fmt: skip
  batch_size = parallel.global_batch(config['batch_size'])
  steps = config['steps'] or math.ceil(config['epochs'] * len(rows['train']) / batch_size)
  columns = {'x': frames.x, 'label': frames.labels, 'emotion': frames.emotion}
  gather = functools.partial(frames.examples.gather, frames={}, columns=columns)

  def batches(split, seed):
    if split != 'train':
      return batches_lib.ordered(rows[split], gather, batch_size, frames.on_disk)
    if head['balanced']:
      draw = lambda rng, n: {'row': _balanced(frames.emotion[rows['train']], rows['train'], rng, n)}
      return batches_lib.drawn(draw, lambda d: gather(d['row']), batch_size, seed, frames.on_disk)
    return batches_lib.shuffled(rows['train'], gather, batch_size, seed, frames.on_disk)

  if head['method'] == 'ridge':
    init = functools.partial(_fit, frames, rows, head['target'], len(config['emotions']))
    return Experiment(batches, init, None, _ridge_predict(head['target']))
  tx = optim.make(config['optim'], steps, frozen=('encoder',))
  net = module(config)
  init = functools.partial(network.start, net, 1, tx, frames_lib.standardiser(frames, rows['train']))
  step = _step(net, head['target'], optim.key(config['optim']), config['loss']['exponent'], config['epochs'], steps)
  score = functools.partial(_score, head['target'], select=config['select'])
  return Experiment(batches, init, step, predict(net, head['target']), score, steps)


def module(config: Mapping[str, Any]) -> network.Supervised:
  """The network of a config."""
  head = config['head']
  out = 2 if head['target'] == 'va' else len(config['emotions'])
  return network.Supervised(
    out, head['target'] == 'va', head['on_features'], head['dropout'], parallel.AXIS,
    *network.widths(config['model'], 'head'),
  )  # fmt: skip


def _balanced(classes: np.ndarray, rows: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
  """n rows drawn with inverse class frequency: the class uniform, then uniform within it."""
  order = np.argsort(classes, kind='stable')
  _, starts, counts = np.unique(classes[order], return_index=True, return_counts=True)
  drawn = rng.integers(len(counts), size=n)
  return rows[order[starts[drawn] + (rng.random(n) * counts[drawn]).astype(np.int64)]]


@functools.lru_cache(maxsize=parallel.PROGRAMS, typed=True)
def _step(net, target: str, optimizer: tuple, exponent: float, epochs: float, steps: int):
  """The update, the same function for all cells that share what is traced."""
  tx = optim.make(optim.unkey(optimizer), steps, frozen=('encoder',))
  return gradient_step(_loss(net, target, exponent, epochs, steps), tx)


def _loss(net, target: str, exponent: float, epochs: float, steps: int):
  def loss_fn(params, state, batch, keys) -> Losses:
    variables = {'params': params, 'batch_stats': state.extra['batch_stats']}
    out, updated = net.apply(
      variables, siamese.normalise(state.extra, batch['x']), batch['mask'], True, mutable=['batch_stats'],
      rngs={'dropout': keys.device},
    )  # fmt: skip
    share = siamese.progress(state.step, steps, epochs, exponent)
    if target == 'emotion':
      losses = optax.softmax_cross_entropy_with_integer_labels(out, jnp.maximum(batch['emotion'], 0))
    else:  # s (MSE_v + MSE_a) + (1 - s) (1 - (CCC_v + CCC_a) / 2)
      squared = regression.squared_error(out, batch['label']).sum(-1)
      rows = [parallel.gather(v) for v in (out, batch['label'], batch['mask'])]
      both = [regression.ccc(rows[0][:, i], rows[1][:, i], rows[2]) for i in range(2)]
      losses = regression.scheduled(squared, sum(both) / 2, share)
    return Losses(losses, {'s': share}, {**state.extra, 'batch_stats': updated['batch_stats']})

  return loss_fn


def _outputs(target: str, batch, out) -> dict[str, jax.Array]:
  if target == 'emotion':
    return {'emotion': batch['emotion'], 'emotion_hat': jnp.argmax(out, -1), 'emotion_logits': out}
  return {'valence': batch['label'][:, 0], 'valence_hat': out[:, 0],
          'arousal': batch['label'][:, 1], 'arousal_hat': out[:, 1]}  # fmt: skip


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def predict(net: network.Supervised, target: str):
  """The prediction of a network, the same function for all cells that share it: (state, batch) -> outputs."""

  def outputs(state, batch):
    variables = {'params': state.params, 'batch_stats': state.extra['batch_stats']}
    return _outputs(target, batch, net.apply(variables, siamese.normalise(state.extra, batch['x'])))

  return outputs


def _fit(frames, rows, target: str, classes: int, key, batch) -> TrainState:
  """The ridge baseline: fitted on train, penalty by dev, kept as one affine map."""
  del batch
  y = frames.labels if target == 'va' else np.eye(classes, dtype=np.float32)[np.maximum(frames.emotion, 0)]
  fitted = linear.best(frames.x, rows['train'], rows['dev'], y)
  width = frames.x.shape[1]
  bias = fitted(np.zeros((1, width)))[0]
  weights = fitted(np.eye(width)) - bias
  params = {'weights': weights.astype(np.float32), 'bias': bias.astype(np.float32)}
  return TrainState.create(params, optax.identity(), key)


@functools.lru_cache(maxsize=2)
def _ridge_predict(target: str):
  def predict(state, batch):
    out = batch['x'] @ state.params['weights'] + state.params['bias']
    return _outputs(target, batch, jnp.clip(out, -1, 1) if target == 'va' else out)

  return predict


def _score(target: str, out: Mapping[str, np.ndarray], select: str = 'loss') -> dict[str, float]:
  """The loss (experiments/mtclar.md, 4: s = 1/4 for V/A; cross-entropy for categories), and what else selects."""
  scores = metrics.selected(select, out)
  if target == 'va':
    both = [(out[d], out[f'{d}_hat']) for d in ('valence', 'arousal')]
    squared = sum(metrics.rmse(*pair) ** 2 for pair in both)
    concordance = sum(metrics.ccc(*pair) for pair in both) / 2
    scores['loss'] = 0.25 * squared + 0.75 * (1 - concordance)
  else:
    logits = out['emotion_logits'].astype(np.float64)
    high = logits.max(1)
    log_sum = high + np.log(np.exp(logits - high[:, None]).sum(1))
    scores['loss'] = float((log_sum - logits[np.arange(len(logits)), out['emotion']]).mean())
  return scores
