"""Siamese training: differences of valence and arousal, same or different expression, contrast of embeddings.

experiments/mtclar.md, 3 to 5 (code: src/tools/train.py, src/tools/loss.py, src/data/affectnet.py).
"""

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
from affectjax.engine.types import Experiment
from affectjax.examples import batches as batches_lib
from affectjax.examples import splits
from affectjax.objectives import contrastive, regression
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar import network, pairs

TASKS = ('valence', 'similarity', 'arousal', 'contrast')  # order of the random weights: dV, sim, dA, cos


def module(config: Mapping[str, Any]) -> network.Siamese:
  """The network of a config."""
  model = config['model']
  return network.Siamese(
    model['fusion'], model['dropout'], model['adapter_dropout'], parallel.AXIS, *network.widths(model, 'projector')
  )


def normalise(extra: Mapping[str, Any], x: jax.Array) -> jax.Array:
  """Features [B, D] by the training split's mean and scale, which travel with the parameters."""
  return (x - extra['input']['mean']) / extra['input']['scale']


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """Siamese training on pairs of one corpus, `corpora[0]`."""
  frames = frames_lib.load(config, data_dir)
  rows = {k: v[frames.present[v]] for k, v in splits.split(frames.examples, config).items()}
  batch_size = parallel.global_batch(config['batch_size'], 2)
  steps = config['steps'] or math.ceil(config['epochs'] * len(rows['train']) / batch_size)
  loss = config['loss']
  refuse_unknown('run.loss.delta', loss['delta'], ('scheduled', 'mse', 'ccc'))
  refuse_unknown('run.loss.weights', loss['weights'], ('random', 'equal'))
  if not loss['tasks']:
    raise UserError(f'run.loss.tasks is empty; name one or more of {", ".join(TASKS)}')
  for task in loss['tasks']:
    refuse_unknown('task', task, TASKS)

  def gather(drawn):
    a, b = drawn['first'], drawn['second']
    delta = frames.labels[a] - frames.labels[b]  # [B, 2], NaN where a label is missing
    return {
      **frames.examples.gather(a, {}, {}), 'id': np.char.add(np.char.add(frames.id[a], '|'), frames.id[b]),
      'first': frames.x[a], 'second': frames.x[b], 'delta': delta, 'same': drawn['same'],
      'emotion_first': frames.emotion[a], 'emotion_second': frames.emotion[b],
    }  # fmt: skip

  def batches(split, seed):
    sampler = pairs.sampler(frames, rows[split], config['pairs']['rule'], config['pairs']['same_video'])
    draw = lambda rng, n: vars(sampler.draw(rng, n))
    if split == 'train':
      return batches_lib.drawn(draw, gather, batch_size, seed, frames.on_disk)
    # as many pairs as frames, the same ones at every evaluation: a selection that is noisy by its draw is no selection
    fixed = draw(np.random.default_rng((seed, {'dev': 1, 'test': 2}[split])), len(rows[split]))
    some = lambda i: gather({k: v[i] for k, v in fixed.items()})
    return batches_lib.ordered(np.arange(len(rows[split])), some, batch_size, frames.on_disk)

  net, standard = module(config), frames_lib.standardiser(frames, rows['train'])
  traced = (optim.key(config[part]) for part in ('augment', 'loss', 'optim'))
  return Experiment(
    batches=batches,
    init=functools.partial(network.start, net, 2, optim.make(config['optim'], steps), standard),
    step=_step(net, *traced, config['epochs'], steps),
    predict=_predict(net),
    score=functools.partial(score, config['emotions'], loss['margin'], select=config['select']),
    steps=steps,
  )


def progress(step: jax.Array, steps: int, epochs: int, exponent: float) -> jax.Array:
  """s = (e / E)^p with epoch e = 1 .. E of a run of `steps` (experiments/mtclar.md, 4)."""
  # in whole numbers: floor(step * (E / steps)) in float32 is an epoch late at some boundaries
  epoch = jnp.minimum(step * epochs // max(steps, 1) + 1, epochs)
  return (epoch / epochs) ** exponent


def task_weights(key: jax.Array, tasks: tuple[str, ...], kind: str) -> jax.Array:
  """Weights [4] over TASKS, summing to 1: drawn from the batch's key ('random') or 'equal'; 0 for tasks left out."""
  chosen = jnp.array([float(t in tasks) for t in TASKS])
  drawn = jax.random.uniform(key, (len(TASKS),)) if kind == 'random' else jnp.ones(len(TASKS))
  drawn = jnp.maximum(drawn, 1e-6) * chosen
  return drawn / drawn.sum()


def augment(key: jax.Array, x: jax.Array, dropout: float, noise: float) -> jax.Array:
  """Feature dropout (rescaled) and Gaussian noise on standardised features [B, D] (experiments/mtclar.md, 11)."""
  if dropout:
    kept = jax.random.bernoulli(jax.random.fold_in(key, 0), 1 - dropout, x.shape)
    x = jnp.where(kept, x / (1 - dropout), 0.0)
  return x + noise * jax.random.normal(jax.random.fold_in(key, 1), x.shape) if noise else x


def _delta_losses(prediction, target, mask, share, kind):
  """Per-example loss [B] of one difference; rows without a target do not count, nor dilute the others."""
  known = mask * jnp.isfinite(target)
  target = jnp.where(known > 0, target, 0.0)
  count = jnp.maximum(parallel.total(known.sum()), 1.0)
  scale = parallel.total(mask.sum()) / count  # the step divides by all real examples
  squared = jnp.where(known > 0, regression.squared_error(prediction, target), 0.0) * scale
  if kind == 'mse':
    return squared
  concordance = regression.ccc(*(parallel.gather(v) for v in (prediction, target, known)))
  share = jnp.zeros(()) if kind == 'ccc' else share
  return regression.scheduled(squared, jnp.broadcast_to(concordance, squared.shape), share)


def _classified(losses, same, mask):
  """Losses of pairs whose `same` is defined, scaled as in `_delta_losses`."""
  known = mask * (same >= 0)
  scale = parallel.total(mask.sum()) / jnp.maximum(parallel.total(known.sum()), 1.0)
  return jnp.where(known > 0, losses, 0.0) * scale


@functools.lru_cache(maxsize=parallel.PROGRAMS, typed=True)
def _step(net: network.Siamese, augment_: tuple, loss: tuple, optimizer: tuple, epochs: float, steps: int):
  """The update, the same function for all cells that share what is traced."""
  augmented, losses, tx = (optim.unkey(k) for k in (augment_, loss, optimizer))
  return gradient_step(_loss(net, augmented, losses, epochs, steps), optim.make(tx, steps))


def _loss(net: network.Siamese, augment_, loss, epochs: float, steps: int):
  def loss_fn(params, state, batch, keys) -> Losses:
    variables = {'params': params, 'batch_stats': state.extra['batch_stats']}
    first, second = (
      augment(jax.random.fold_in(keys.device, i), normalise(state.extra, batch[name]), **augment_)
      for i, name in enumerate(('first', 'second'))
    )
    (z1, z2, logits, delta), updated = net.apply(
      variables, first, second, batch['mask'], True, mutable=['batch_stats'],
      rngs={'dropout': jax.random.fold_in(keys.device, 2)},
    )  # fmt: skip
    share = progress(state.step, steps, epochs, loss['exponent'])
    same = batch['same']
    entropy = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(same, 0))
    parts = {
      'valence': _delta_losses(delta[:, 0], batch['delta'][:, 0], batch['mask'], share, loss['delta']),
      'similarity': _classified(entropy, same, batch['mask']),
      'arousal': _delta_losses(delta[:, 1], batch['delta'][:, 1], batch['mask'], share, loss['delta']),
      'contrast': _classified(contrastive.cosine_embedding(z1, z2, same, loss['margin']), same, batch['mask']),
    }
    weights = task_weights(keys.shared, tuple(loss['tasks']), loss['weights'])
    total = sum(w * parts[t] for w, t in zip(weights, TASKS, strict=True))
    extra = {**state.extra, 'batch_stats': updated['batch_stats']}
    return Losses(total, {'s': share}, extra)

  return loss_fn


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _predict(net: network.Siamese):
  def predict(state, batch):
    variables = {'params': state.params, 'batch_stats': state.extra['batch_stats']}
    z1, z2, logits, delta = net.apply(variables, *(normalise(state.extra, batch[k]) for k in ('first', 'second')))
    return {
      'delta_valence': batch['delta'][:, 0], 'delta_valence_hat': delta[:, 0],
      'delta_arousal': batch['delta'][:, 1], 'delta_arousal_hat': delta[:, 1],
      'same': batch['same'], 'same_hat': jnp.argmax(logits, -1), 'same_logit': logits[:, 1] - logits[:, 0],
      'cosine': contrastive.cosine_similarity(z1, z2),
      'emotion_first': batch['emotion_first'], 'emotion_second': batch['emotion_second'],
    }  # fmt: skip

  return predict


def score(
  emotions: tuple[str, ...], margin: float, out: Mapping[str, np.ndarray], select: str = 'loss'
) -> dict[str, float]:
  """The loss (weights 1/4, s = 1/2; experiments/mtclar.md, 4), what else selects, accuracy by pair of classes."""
  scores = metrics.selected(select, out)
  known = out['same'] >= 0
  logit = np.where(out['same'] == 1, 1.0, -1.0) * out['same_logit'].astype(np.float64)  # of the right answer
  cosine = out['cosine'].astype(np.float64)
  contrast = np.where(out['same'] == 1, 1 - cosine, np.maximum(0, cosine - margin))
  both = [(out[f'delta_{d}'], out[f'delta_{d}_hat']) for d in ('valence', 'arousal')]
  deltas = [0.5 * metrics.rmse(*pair) ** 2 + 0.5 * (1 - metrics.ccc(*pair)) for pair in both]
  scores['loss'] = float(0.25 * (sum(deltas) + np.logaddexp(0, -logit)[known].mean() + contrast[known].mean()))
  low = np.minimum(out['emotion_first'], out['emotion_second'])
  high = np.maximum(out['emotion_first'], out['emotion_second'])
  for i, j in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
    if i >= 0 and j < len(emotions):
      rows = (low == i) & (high == j)
      hit = out['same'][rows] == out['same_hat'][rows]
      scores[f'acc.same.{emotions[i]}-{emotions[j]}'] = float(hit.mean())
  return scores
