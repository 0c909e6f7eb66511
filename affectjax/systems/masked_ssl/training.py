"""What is traced: the pretext loss, the losses of fine-tuning, and predictions. experiments/masked_ssl.md, 11."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import Batch, TrainState
from affectjax.metrics.statistics import PRESENT
from affectjax.systems.masked_ssl import masks
from affectjax.systems.masked_ssl.masks import Masking
from affectjax.systems.masked_ssl.network import Predictor, Pretext

ERRORS = ('l1', 'mse', 'huber')
LOSSES = (*ERRORS, 'coral', 'presence', 'cross_entropy')
LEVELS = 3  # thresholds of the ordinal loss: .5, 1.5, 2.5 or more of an intensity in [0, 3]
CLIP = 5.0  # of standardised features
_INIT = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Pretraining:
  """What is traced of pretraining.

  Attributes:
    net: encoder and head.
    masking: what is hidden.
    error: of `ERRORS`.
    everywhere: loss on all real entries instead of the hidden ones.
    weights: [D] of the features in the loss, of mean 1.
    ema: how much of the teacher stays per step, for latent targets.
  """

  net: Pretext
  masking: Masking
  error: str
  everywhere: bool
  weights: tuple[float, ...]
  ema: float


@dataclasses.dataclass(frozen=True)
class Finetuning:
  """What is traced of fine-tuning.

  Attributes:
    net: encoder and head.
    loss: of `LOSSES`.
    targets: how many intensities, or classes.
    frozen: the encoder stays as it is.
    decay: factor of the learning rate per block below the head; 1 for none.
    copies: encoder learning rates that are tried together.
  """

  net: Predictor
  loss: str
  targets: int
  frozen: bool
  decay: float
  copies: int


def inputs(extra: Mapping[str, Any], batch: Batch) -> tuple[jax.Array, jax.Array]:
  """Standardised, clipped features [B, T, D], 0 where not real or constant; real [B, T]."""
  real = batch['real'] & (batch['mask'] > 0)[:, None]
  x = jnp.clip((batch['x'] - extra['input']['mean']) / extra['input']['scale'], -CLIP, CLIP)
  return jnp.where(real[..., None] & extra['input']['on'], x, 0.0), real


def error(name: str, out: jax.Array, truth: jax.Array) -> jax.Array:
  """|d|, d^2 or Huber's of width 1, entry by entry."""
  if name == 'l1':
    return jnp.abs(out - truth)
  return jnp.square(out - truth) if name == 'mse' else optax.huber_loss(out, truth)


# Pretraining


def _reconstruction(spec: Pretraining, params, extra, x, real, key, train: bool):
  """The loss per utterance [B], what is hidden [B, T, D or 1], the weight of features in a loss [B, T, D], and scalars.

  Scalars tell a collapse of latent targets: a student and a teacher that agree on a constant have no variance left.
  """
  keys = jax.random.split(key, 3)
  hidden = masks.draw(keys[0], real, x.shape[-1], spec.masking)
  apply = functools.partial(spec.net.apply, {'params': params}, x, real, hidden, keys[1], spec.masking, train)
  out = apply(rngs={'dropout': keys[2]}) if train else apply()
  counted = (real[..., None] if spec.everywhere else hidden) & real[..., None]
  of_features = jnp.array(spec.weights) * (counted & extra['input']['on'])
  if spec.net.target == 'features':
    truth, weight, scalars = x, of_features, {}
  else:
    truth = spec.net.apply({'params': extra['teacher']}, x, real, method='latents')
    weight = counted.any(-1, keepdims=True).astype(x.dtype)
    scalars = {'target_var': _variance(truth, real), 'output_var': _variance(out, real)}
  each = error(spec.error, out, jax.lax.stop_gradient(truth))
  return _weighted(each, jnp.broadcast_to(weight, out.shape)), hidden, of_features, scalars


def _variance(values: jax.Array, real: jax.Array) -> jax.Array:
  """Of values [B, T, D] over the real steps, mean over D."""
  weight = real[..., None].astype(values.dtype)
  total = jnp.maximum(weight.sum(), 1.0)
  mean = (values * weight).sum((0, 1)) / total
  return (jnp.square(values - mean) * weight).sum((0, 1)).mean() / total


def _weighted(each: jax.Array, weight: jax.Array) -> jax.Array:
  """Mean over steps and features [B, T, D] by weight -> [B]; 0 where nothing weighs."""
  return (each * weight).sum((1, 2)) / jnp.maximum(weight.sum((1, 2)), 1e-6)


def pretext_loss(spec: Pretraining):
  """For `steps.gradient_step`."""

  def loss(params, state: TrainState, batch: Batch, keys: steps.Keys) -> steps.Losses:
    x, real = inputs(state.extra, batch)
    losses, hidden, _, scalars = _reconstruction(spec, params, state.extra, x, real, keys.device, True)
    extra = dict(state.extra)
    if spec.net.target == 'ema_latent':
      slow = lambda old, new: spec.ema * old + (1 - spec.ema) * jax.lax.stop_gradient(new)
      extra['teacher'] = jax.tree.map(slow, extra['teacher'], params)
    share = (hidden & real[..., None]).mean() / jnp.maximum(real.mean(), 1e-6)
    return steps.Losses(losses, {'hidden': share, **scalars}, extra)

  return loss


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def pretext_predict(spec: Pretraining):
  """Errors per utterance, beside those of two trivial guesses at the features: the mean, and between neighbours.

  Masks are an example's own, by its `row`: the same in every evaluation, whatever the batches and devices.
  """

  def predict(state: TrainState, batch: Batch) -> dict[str, jax.Array]:
    def one(x, real, row):
      x, real, key = x[None], real[None], jax.random.fold_in(jax.random.key(7), row)
      loss, hidden, weight, _ = _reconstruction(spec, state.params, state.extra, x, real, key, False)
      guessed = lambda guess: _weighted(error(spec.error, guess, x), weight)[0]
      between = _interpolated(x, real[..., None] & ~hidden)
      return {'loss': loss[0], 'loss_mean': guessed(jnp.zeros_like(x)), 'loss_interpolated': guessed(between)}

    return jax.vmap(one)(*inputs(state.extra, batch), batch['row'])

  return predict


def _interpolated(x: jax.Array, shown: jax.Array) -> jax.Array:
  """x [B, T, D] from its nearest neighbours `shown` [B, T, D or 1] on both sides, by distance; from one at the ends."""
  steps_ = jnp.arange(x.shape[1])[:, None]
  last = jax.lax.cummax(jnp.where(shown, steps_, -1), axis=1)
  following = jax.lax.cummin(jnp.where(shown, steps_, x.shape[1]), axis=1, reverse=True)
  before, behind = last >= 0, following < x.shape[1]
  a, b = jnp.where(before, last, following), jnp.where(behind, following, last)
  share = jnp.where(before & behind & (b > a), (steps_ - a) / jnp.maximum(b - a, 1), 0.0)
  take = lambda at: jnp.take_along_axis(x, jnp.clip(at, 0, x.shape[1] - 1), 1)
  return jnp.where(before | behind, (1 - share) * take(a) + share * take(b), 0.0)


# Fine-tuning


def task_loss(spec: Finetuning, out: jax.Array, batch: Batch) -> jax.Array:
  """[B] of outputs [B, K], for intensities [B, E] or classes [B]; a missing intensity counts for nothing."""
  if spec.loss == 'cross_entropy':
    return optax.softmax_cross_entropy_with_integer_labels(out, jnp.maximum(batch['label'], 0))
  known = jnp.isfinite(batch['label'])
  y = jnp.where(known, batch['label'], 0.0)
  if spec.loss == 'coral':
    reached = y[..., None] >= jnp.arange(LEVELS) + 0.5  # [B, E, 3]; halves up, as the metrics round
    each = optax.sigmoid_binary_cross_entropy(_ranks(spec, out), reached.astype(out.dtype)).sum(-1)
  elif spec.loss == 'presence':
    each = optax.sigmoid_binary_cross_entropy(out, (y > 0).astype(out.dtype))
  else:
    each = error(spec.loss, out, y)
  return jnp.where(known, each, 0.0).sum(-1) / jnp.maximum(known.sum(-1), 1)


def _ranks(spec: Finetuning, out: jax.Array) -> jax.Array:
  """Logits [B, E, 3] of an ordinal output: a score per emotion less thresholds that rise (Cao et al. 2020, CORAL)."""
  score, thresholds = out[:, : spec.targets, None], out[:, spec.targets :].reshape(len(out), spec.targets, LEVELS)
  return score - jnp.cumsum(jax.nn.softplus(thresholds), -1)


def answer(spec: Finetuning, out: jax.Array) -> jax.Array:
  """Intensities clipped to [0, 3], or probabilities of classes.

  A probability of presence p becomes an intensity that rises with it and crosses what metrics take for presence at .5.
  """
  if spec.loss == 'cross_entropy':
    return jax.nn.softmax(out, -1)
  if spec.loss == 'coral':
    return jax.nn.sigmoid(_ranks(spec, out)).sum(-1)
  if spec.loss == 'presence':
    p = jax.nn.sigmoid(out)
    return jnp.where(p < 0.5, 2 * PRESENT * p, PRESENT + (2 * p - 1) * (3.0 - PRESENT))
  return jnp.clip(out, 0.0, 3.0)


def _statistics(extra: Mapping[str, Any]) -> dict[str, Any]:
  """What `extra` holds of the network's own variables, per copy."""
  return {k: v for k, v in extra.items() if k == 'batch_stats'}


def finetune_loss(spec: Finetuning):
  """All copies together: their sum, per example."""

  def loss(params, state: TrainState, batch: Batch, keys: steps.Keys) -> steps.Losses:
    x, real = inputs(state.extra, batch)

    def one(p, seen):
      p = {**p, 'encoder': jax.lax.stop_gradient(p['encoder'])} if spec.frozen else p
      out, updated = spec.net.apply(
        {'params': p, **seen}, x, real, True, batch['mask'], rngs={'dropout': keys.device}, mutable=list(seen)
      )
      return task_loss(spec, out, batch), updated

    losses, updated = jax.vmap(one)(params, _statistics(state.extra))
    return steps.Losses(losses.sum(0), {}, {**state.extra, **updated})

  return loss


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def finetune_predict(spec: Finetuning):
  """`output` [B, S, K] of all copies, and the label."""

  def predict(state: TrainState, batch: Batch) -> dict[str, jax.Array]:
    x, real = inputs(state.extra, batch)
    one = lambda p, seen: answer(spec, spec.net.apply({'params': p, **seen}, x, real, False))
    out = jax.vmap(one)(state.params, _statistics(state.extra))
    return {'output': jnp.swapaxes(out, 0, 1), 'label': batch['label'], 'median': batch['median']}

  return predict


def rates(spec: Finetuning, params: Any, encoder: float, head: float) -> Any:
  """The learning rate of every leaf: the head's, the encoder's, or by blocks down from it."""
  blocks = spec.net.blocks

  def of(path, leaf):
    names = [getattr(k, 'key', str(k)) for k in path]
    if names[0] != 'encoder':
      return head
    last = -1 if 'input' in names else blocks - 1
    number = next((int(n.split('_')[1]) for n in names if n.startswith(('block_', 'gru_'))), last)
    return encoder * spec.decay ** (blocks - 1 - number)

  return jax.tree_util.tree_map_with_path(of, params)


def optimiser(spec: Finetuning, config: Mapping[str, Any], length: int, encoder: tuple[float, ...], params: Any):
  """One optimiser per copy, with rates of its own; the config's own rate counts for nothing."""
  tx = optim.make({**config, 'lr': 1.0}, length, ('encoder',) if spec.frozen else ())
  tables = [rates(spec, params, lr, config['lr']) for lr in encoder]
  factors = jax.tree.map(lambda *x: jnp.array(x, jnp.float32), *tables)  # [S] per leaf
  scale = lambda u, f: u * f.reshape(-1, *[1] * (u.ndim - 1))
  every = optim.each(tx)

  def update(grads, state, params):
    updates, state = every.update(grads, state, params)
    return jax.tree.map(scale, updates, factors), state

  return optax.GradientTransformation(every.init, update)


def initialise(net, key: jax.Array, copies: int, *arguments) -> Any:
  """Parameters [S, ...], alike in all copies; or without that axis for copies 0."""
  return _repeated(_initialiser(net)(jax.random.fold_in(key, _INIT), *arguments)['params'], copies)


def statistics(spec: Finetuning) -> dict[str, Any]:
  """For `extra`: before the first step, of what `run.tune.norm` keeps; {} without it."""
  if not spec.net.norm:
    return {}
  width = (spec.net.width,)
  return {'batch_stats': _repeated({'head_norm': {'mean': jnp.zeros(width), 'var': jnp.ones(width)}}, spec.copies)}


def _repeated(tree: Any, copies: int) -> Any:
  return jax.tree.map(lambda p: jnp.repeat(p[None], copies, 0), tree) if copies else tree


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _initialiser(net):
  return jax.jit(net.init, static_argnums=(5, 6) if isinstance(net, Pretext) else (3,))
