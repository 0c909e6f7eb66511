"""Toy: a linear classifier of emotions on the mean and standard deviation of a clip's frames."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax import metrics
from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches, shape, splits, targets
from affectjax.examples import examples as examples_lib
from affectjax.examples.streams import Memory

KEYS = {'': 'target', 'data': 'modality', 'target': 'label names'}


def pooled(examples: examples_lib.Examples, modality: str) -> Memory:
  """Mean and standard deviation of the real frames, one row [2 D] per example."""
  return shape.summarised(examples.streams[modality], tuple(range(len(examples))), ('mean', 'std'))


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of one cell."""
  target, modality = config['target'], config['data']['modality']
  examples = examples_lib.load(config, data_dir, (modality,), setting='run.data.modality')
  x, label = pooled(examples, modality), targets.classes(examples, target['label'], target['names'])
  rows = {split: at[targets.known(label)[at]] for split, at in splits.split(examples, config).items()}
  size = parallel.global_batch(config['batch_size'])
  epoch = math.ceil(len(rows['train']) / size)
  count = config['steps'] or math.ceil(config['epochs'] * epoch)
  extra, classes = {'input': shape.standardiser(x, rows['train'])}, len(target['names'])

  def gather(index: np.ndarray) -> dict[str, np.ndarray]:
    names = {'id': examples.id[index], 'group': examples.group[index], 'item': examples.item[index]}
    return {**names, 'x': x.frames()[index], 'label': label[index]}

  def of_split(split: str, seed: int):
    if split == 'train':
      return batches.shuffled(rows['train'], gather, size, seed)
    return batches.ordered(rows[split], gather, size)

  def init(key: jax.Array, batch) -> TrainState:
    params = {'kernel': np.zeros((batch['x'].shape[1], classes), np.float32), 'bias': np.zeros(classes, np.float32)}
    return TrainState.create(params, optim.make(config['optim'], count), key, extra)

  step = make_step(optim.key(config['optim']), count)
  return Experiment(of_split, init, step, predict, score, steps=count, epoch=epoch)


def logits(params, extra, x: jax.Array) -> jax.Array:
  """Pooled features [B, D] -> [B, K]."""
  return (x - extra['input']['mean']) / extra['input']['scale'] @ params['kernel'] + params['bias']


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def make_step(optimizer: tuple, count: int):
  """The update by cross-entropy, the same function for all cells that share what is traced."""

  def loss(params, state, batch, keys) -> steps.Losses:
    values = logits(params, state.extra, batch['x'])
    return steps.Losses(optax.softmax_cross_entropy_with_integer_labels(values, batch['label']), {}, state.extra)

  return steps.gradient_step(loss, optim.make(optim.unkey(optimizer), count))


def predict(state: TrainState, batch) -> dict[str, jax.Array]:
  """Labels, the likeliest class and log probabilities of a batch."""
  values = jax.nn.log_softmax(logits(state.params, state.extra, batch['x']))
  return {'emotion': batch['label'], 'emotion_hat': jnp.argmax(values, -1), 'emotion_log': values}


def score(out: Mapping[str, np.ndarray]) -> dict[str, float]:
  """The cross-entropy in nats, and the accuracy."""
  chosen = np.take_along_axis(out['emotion_log'], out['emotion'][:, None], 1)
  return {'loss': -float(chosen.mean()), 'acc.emotion': metrics.compute('acc.emotion', out)}
