"""Optimisers from config. Weight decay is coupled (added to the gradient before Adam) or decoupled, by name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax.common.errors import UserError, unknown


class PlateauState(NamedTuple):
  """Learning-rate factor, best value seen and evaluations since; changed on the host by `observe`."""

  scale: jax.Array
  best: jax.Array
  since: jax.Array


def scale_by_plateau() -> optax.GradientTransformation:
  """Multiplies updates by a factor that `observe` lowers when a dev value no longer falls."""

  def init(params):
    del params
    return PlateauState(np.float32(1.0), np.float32(np.inf), np.int32(0))

  def update(updates, state, params=None):
    del params
    return jax.tree.map(lambda u: u * state.scale, updates), state

  return optax.GradientTransformation(init, update)


def observe(opt_state: Any, value: float, factor: float, patience: int, threshold: float = 1e-4) -> Any:
  """Tells every plateau within `opt_state` (on the host) a dev value, lower being better.

  The rule of PyTorch's ReduceLROnPlateau, relative threshold: after more than `patience` evaluations without
  an improvement the factor is multiplied by `factor` and counting starts anew. A value that is not finite is no
  improvement. (PyTorch also stops lowering once the rate would change by less than 1e-8.)
  """

  def change(node):
    if not isinstance(node, PlateauState):
      return node
    if value < float(node.best) * (1 - threshold):
      return PlateauState(node.scale, np.float32(value), np.int32(0))
    if int(node.since) + 1 > patience:
      return PlateauState(np.float32(node.scale * factor), node.best, np.int32(0))
    return PlateauState(node.scale, node.best, np.int32(node.since + 1))

  return jax.tree.map(change, opt_state, is_leaf=lambda n: isinstance(n, PlateauState))


def key(config: Mapping[str, Any]) -> tuple[tuple[str, str, Any], ...]:
  """A flat config as something hashable: what is traced is cached by it. Lists become tuples.

  The types belong to it, for 1 and 1.0 are equal but are traced otherwise.
  """
  plain = {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}
  kind = lambda v: f'({", ".join(map(kind, v))})' if isinstance(v, tuple) else type(v).__name__
  return tuple((name, kind(v), v) for name, v in sorted(plain.items()))


def unkey(key: tuple[tuple[str, str, Any], ...]) -> dict[str, Any]:
  """The config of a `key`."""
  return {name: value for name, _, value in key}


def _schedule(config: Mapping[str, Any], steps: int) -> optax.Schedule:
  if config['schedule'] in ('constant', 'plateau'):
    return optax.constant_schedule(1.0)
  if config['schedule'] == 'cosine':
    return optax.cosine_decay_schedule(1.0, max(steps, 1))
  if config['schedule'] == 'step':  # `drops` equal pieces, each `factor` times the one before
    piece = max(steps // (config['drops'] + 1), 1)
    return optax.exponential_decay(1.0, piece, config['factor'], staircase=True)
  raise unknown('schedule', config['schedule'], ('constant', 'plateau', 'cosine', 'step'))


def make(config: Mapping[str, Any], steps: int, frozen: tuple[str, ...] = ()) -> optax.GradientTransformation:
  """The optimiser of a run.

  Args:
    config: `name` adam (`beta1`, `beta2`, if not 0.9 and 0.999) or sgd, `lr`, `l2` (coupled), `decay` (decoupled),
      `clip` (global norm, 0 for none), perhaps `warmup` (share of the steps over which the rate rises), `schedule`
      constant, plateau, step or cosine; `factor`, `patience` (plateau), `drops` (step).
    steps: length of the run, for schedules.
    frozen: top-level modules whose parameters stay as they are (no decay either).
  """
  if config['name'] not in ('adam', 'sgd'):
    raise unknown('optimizer', config['name'], ('adam', 'sgd'))
  parts = []
  if config['clip']:
    parts.append(optax.clip_by_global_norm(config['clip']))
  if config['l2']:
    parts.append(optax.add_decayed_weights(config['l2']))  # before Adam's scaling: the L2 of torch.optim.Adam
  if config['name'] == 'adam':
    parts.append(optax.scale_by_adam(config.get('beta1', 0.9), config.get('beta2', 0.999)))
  if config['decay']:
    parts.append(optax.add_decayed_weights(config['decay']))
  schedule = _schedule(config, steps)
  if not 0 <= config.get('warmup', 0.0) <= 1:
    raise UserError(f'run.optim.warmup is {config["warmup"]}; expected a share of the steps, 0 to 1')
  rise = config.get('warmup', 0.0) * steps
  warm = lambda count: jnp.minimum(1.0, (count + 1) / rise) if rise >= 1 else 1.0
  parts.append(optax.scale_by_schedule(lambda count: -config['lr'] * schedule(count) * warm(count)))
  if config['schedule'] == 'plateau':
    parts.append(scale_by_plateau())
  tx = optax.chain(*parts)
  if not frozen:
    return tx
  label = lambda params: {k: 'frozen' if k in frozen else 'trained' for k in params}
  return optax.multi_transform({'trained': tx, 'frozen': optax.set_to_zero()}, label)


def each(tx: optax.GradientTransformation) -> optax.GradientTransformation:
  """`tx` for every copy of the parameters by itself, along a leading axis [S, ...] of every leaf."""
  return optax.GradientTransformation(jax.vmap(tx.init), jax.vmap(tx.update))


def per_module(tx: optax.GradientTransformation) -> optax.GradientTransformation:
  """`tx` for each top-level module with a state of its own, so that a module without gradients stays as it is.

  `update` takes the gradients of some modules and gives their updates and states.
  """

  def update(updates, state, params):
    out = {name: tx.update(grad, state[name], params[name]) for name, grad in updates.items()}
    return {name: u for name, (u, _) in out.items()}, {name: s for name, (_, s) in out.items()}

  return optax.GradientTransformation(lambda params: {name: tx.init(p) for name, p in params.items()}, update)
