"""Losses and the update: three phases with an optimiser per module, or one joint update.

experiments/vavl.md, 4 and 5.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from affectjax.common.errors import refuse_unknown
from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import TrainState
from affectjax.layers.transformer import masked_mean
from affectjax.objectives import regression
from affectjax.systems.vavl.network import VAVL

UPDATES = ('phases', 'joint')


@dataclasses.dataclass(frozen=True)
class Target:
  """What is predicted.

  Attributes:
    kind: 'classification' (cross-entropy) or 'regression' (1 - CCC, added up over attributes).
    names: of the classes or attributes.
    soft: cross-entropy with the shares of the votes instead of the one class.
  """

  kind: str
  names: tuple[str, ...]
  soft: bool


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is traced: equal specs share what was compiled.

  Attributes:
    net: of network.py or baselines.py, with `modalities`, the names in order.
    target: what is predicted.
    rebuild: weight of the reconstruction, 2 for classes and 1 for attributes in the released code.
    update: 'phases' (the paper) or 'joint'; baselines have one update.
    fusion_gradient: let the fusion loss into the encoders (joint update only).
  """

  net: nn.Module
  target: Target
  rebuild: float
  update: str
  fusion_gradient: bool


class Phase(NamedTuple):
  """One update: the modules it changes, and its loss (params, batch_stats, batch, key) -> `Loss`."""

  name: str
  modules: tuple[str, ...]
  loss: Callable[..., 'Loss']


class Loss(NamedTuple):
  """A loss on one device: `value` adds up over devices to the mean over all, `count` [] examples here."""

  value: jax.Array
  count: jax.Array
  batch_stats: Any


def share_of(values: jax.Array, known: jax.Array) -> jax.Array:
  """Losses [B] of the `known` [B]: this device's part of their mean over all devices."""
  count = jnp.maximum(parallel.total(known.sum()), 1)
  return jnp.sum(jnp.where(known, values, 0.0)) / count


def task_loss(target: Target, out: jax.Array, batch: Mapping[str, jax.Array], known: jax.Array) -> jax.Array:
  """This device's part of the loss of predictions out [B, K] over the `known` [B] bool who have a label."""
  if target.kind == 'classification':
    known = known & (batch['label'] >= 0)
    if target.soft:
      losses = optax.softmax_cross_entropy(out, jnp.where(known[:, None], batch['shares'], 0.0))
    else:
      losses = optax.softmax_cross_entropy_with_integer_labels(out, jnp.maximum(batch['label'], 0))
    return share_of(losses, known)
  total, devices = 0.0, parallel.total(1)
  for i in range(len(target.names)):
    label = batch['label'][:, i]
    rated = known & jnp.isfinite(label)
    rows = [parallel.gather(v) for v in (out[:, i], jnp.where(rated, label, 0.0), rated)]
    total += 1.0 - regression.ccc(*rows[:2], rows[2].astype(out.dtype), 'population')
  return total / devices


def rebuild_loss(out: jax.Array, x: jax.Array, mask: jax.Array, known: jax.Array) -> jax.Array:
  """This device's part of the squared error between out [B, D] and the mean of the real frames of x [B, T, D]."""
  return share_of(jnp.mean(jnp.square(out - masked_mean(x, mask)), -1), known)


def _calls(spec: Spec, params, batch_stats, key, train: bool):
  """Calls a method of the network; returns its output and the batch statistics behind it."""
  variables = {'params': params, 'batch_stats': batch_stats}

  def call(method, *args):
    if not train:
      return spec.net.apply(variables, *args, False, method=method), batch_stats
    out, updated = spec.net.apply(variables, *args, True, method=method, mutable=['batch_stats'], rngs={'dropout': key})
    return out, {**batch_stats, **updated.get('batch_stats', {})}

  return call


def _own(spec: Spec, modality: str, params, batch_stats, batch, key) -> tuple[jax.Array, list[jax.Array], Any]:
  """A modality's vectors r [B, D], its losses (of its head and its reconstruction) and the batch statistics behind."""
  keys = jax.random.split(key, 3)
  mask, known = batch[f'{modality}_mask'], batch[f'{modality}_present']
  call = lambda i, method, *args: _calls(spec, params, batch_stats, keys[i], True)(method, modality, *args)
  r, updated = call(0, 'encode', batch[modality], mask, known)
  losses = [task_loss(spec.target, call(1, 'predict', r)[0], batch, known)]
  if spec.rebuild:
    losses.append(spec.rebuild * rebuild_loss(call(2, 'rebuild', r)[0], batch[modality], mask, known))
  return r, losses, updated


def _modality(spec: Spec, modality: str) -> Phase:
  """Phases 1 and 2: one modality's encoder, the shared encoder, its head and its reconstruction."""

  def loss(params, batch_stats, batch, key) -> Loss:
    _, losses, updated = _own(spec, modality, params, batch_stats, batch, key)
    return Loss(sum(losses), batch[f'{modality}_present'].sum(), updated)

  return Phase(modality, _modules(spec, modality), loss)


def _modules(spec: Spec, modality: str) -> tuple[str, ...]:
  return tuple(m for m in spec.net.modules(modality) if spec.rebuild or not m.startswith('rebuilder'))


def _fusion(spec: Spec) -> Phase:
  """Phase 3: the fusion head alone, on vectors of encoders that neither learn nor drop anything."""

  def loss(params, batch_stats, batch, key) -> Loss:
    still = _calls(spec, params, batch_stats, key, False)
    known = _both(spec, batch)
    r = {m: still('encode', m, batch[m], batch[f'{m}_mask'], batch[f'{m}_present'])[0] for m in spec.net.modalities}
    out = _calls(spec, params, batch_stats, key, True)('fuse', jax.lax.stop_gradient(r))[0]
    return Loss(task_loss(spec.target, out, batch, known), known.sum(), batch_stats)

  return Phase('fusion', ('fused',), loss)


def _both(spec: Spec, batch) -> jax.Array:
  return functools.reduce(jnp.logical_and, (batch[f'{m}_present'] for m in spec.net.modalities))


def _joint(spec: Spec) -> Phase:
  """All of VAVL's losses in one update."""
  names = spec.net.modalities

  def loss(params, batch_stats, batch, key) -> Loss:
    losses, r = [], {}
    for i, m in enumerate(names):
      r[m], own, batch_stats = _own(spec, m, params, batch_stats, batch, jax.random.fold_in(key, i))
      losses += own
    if spec.net.fuses:
      vectors = r if spec.fusion_gradient else jax.lax.stop_gradient(r)
      out = _calls(spec, params, batch_stats, jax.random.fold_in(key, len(names)), True)('fuse', vectors)[0]
      losses.append(task_loss(spec.target, out, batch, _both(spec, batch)))
    return Loss(sum(losses), (batch['mask'] > 0).sum(), batch_stats)

  modules = {name: None for m in names for name in _modules(spec, m)}
  return Phase('joint', (*modules, *(['fused'] if spec.net.fuses else [])), loss)


def _terms(spec: Spec) -> Phase:
  """A baseline's losses in one update of everything (no modules named)."""

  def loss(params, batch_stats, batch, key) -> Loss:
    terms, updated = _calls(spec, params, batch_stats, key, True)('terms', batch)
    value = sum(task_loss(spec.target, out, batch, known) for out, known in terms.values())
    return Loss(value, (batch['mask'] > 0).sum(), updated)

  return Phase('all', (), loss)


def phases(spec: Spec) -> tuple[Phase, ...]:
  """The updates of one batch, in order: the second modality, the first, fusion, as in the paper; or one."""
  refuse_unknown('run.update.kind', spec.update, UPDATES)
  if not isinstance(spec.net, VAVL):
    return (_terms(spec),)
  if spec.update == 'joint':
    return (_joint(spec),)
  modal = [_modality(spec, m) for m in reversed(spec.net.modalities)]
  return (*modal, *([_fusion(spec)] if spec.net.fuses else []))


def optimiser(optimizer: Mapping[str, Any], length: int) -> optax.GradientTransformation:
  """The optimiser of every module, from config: outside its phases nothing of a module moves."""
  return optim.per_module(optim.make(optimizer, length))


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def make_step(spec: Spec, optimizer: tuple, length: int):
  """(state, batch) -> (state, scalars): every phase in turn, each with fresh gradients; `optimizer` by `optim.key`.

  A phase for which nobody in the batch has what it needs changes nothing, its moments and step counts included; nor
  does one whose loss or gradient is not finite, which counts as a skipped update.
  """
  tx, updates_of = optimiser(optim.unkey(optimizer), length), phases(spec)

  def step(state: TrainState, batch):
    keys, batch = steps.step_keys(state), steps.standardised(steps.without_padding(batch), state.extra['input'])
    params, moments, stats = dict(state.params), dict(state.opt_state), state.extra['batch_stats']
    whole, scalars, total = jnp.bool_(True), {}, 0.0
    for i, phase in enumerate(updates_of):
      names = phase.modules or tuple(params)
      key = jax.random.fold_in(keys.device, i)

      def objective(part, phase=phase, key=key, params=params, stats=stats):
        own = phase.loss({**params, **part}, stats, batch, key)
        return own.value, own

      (value, own), grads = jax.value_and_grad(objective, has_aux=True)({n: params[n] for n in names})
      value, grads, count = parallel.total((value, grads, own.count))
      norm = optax.tree.norm(grads)
      finite = jnp.isfinite(value) & jnp.isfinite(norm)
      old = ({n: params[n] for n in names}, {n: moments[n] for n in names})
      updates, new = tx.update(grads, old[1], old[0])
      kept = steps.keep_if(finite & (count > 0), (optax.apply_updates(old[0], updates), new, own.batch_stats),
                           (*old, stats))  # fmt: skip
      params, moments, stats = {**params, **kept[0]}, {**moments, **kept[1]}, kept[2]
      whole, total = whole & (finite | (count == 0)), total + value
      scalars |= {f'loss.{phase.name}': value, f'grad_norm.{phase.name}': norm}
    state = state.replace(
      step=state.step + 1, params=params, opt_state=moments, extra={**state.extra, 'batch_stats': stats},
      skipped=jnp.where(whole, 0, state.skipped + 1),
    )  # fmt: skip
    return state, {'loss': total, 'finite': whole, 'skipped': state.skipped, **scalars}

  return step
