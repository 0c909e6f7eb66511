"""Step makers: from a per-example loss to one synchronous update on all devices."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from affectjax.engine import parallel
from affectjax.engine.types import Batch, TrainState


class Keys(NamedTuple):
  """Per-step randomness: `shared` is the same on all devices, `device` differs between them."""

  shared: jax.Array
  device: jax.Array


class Losses(NamedTuple):
  """What a loss function returns: losses [B] per example, scalars to log (means), and the new `extra`."""

  losses: jax.Array
  scalars: Mapping[str, jax.Array]
  extra: Any


def step_keys(state: TrainState) -> Keys:
  """Keys of this step, a function of the state alone, so that a resumed run draws the same."""
  step = jax.random.fold_in(state.key, state.step)
  return Keys(jax.random.fold_in(step, 0), jax.random.fold_in(step, 1 + jax.lax.axis_index(parallel.AXIS)))


def keep_if(finite: jax.Array, new: Any, old: Any) -> Any:
  """`new` where `finite` [] holds, else `old`, leaf by leaf."""
  return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)


def without_padding(batch: Batch) -> dict[str, Any]:
  """Zeros in place of whatever real numbers the padded rows hold.

  A loss that is masked at its end still has NaN gradients if a padded row holds an infinity: 0 * inf.
  """
  real = batch['mask'] > 0

  def clean(x):
    keep = real.reshape(-1, *[1] * (x.ndim - 1))
    return jnp.where(keep, x, 0) if jnp.issubdtype(x.dtype, jnp.floating) else x

  return {k: clean(v) for k, v in batch.items()}


def standardised(batch: Batch, standard: Mapping[str, Mapping[str, jax.Array]]) -> dict[str, Any]:
  """The batch with standardised frames of every modality, and nobody present in a padded row.

  Args:
    batch: `mask` [B]; per modality m its frames [B, T, D], which may hold anything where none is real, `m_mask` [B, T]
      and `m_present` [B].
    standard: modality -> `mean` and `scale` [D] of training.
  """
  out = dict(batch)
  for m, own in standard.items():
    present = batch[f'{m}_present'] & (batch['mask'] > 0)
    real = batch[f'{m}_mask'] & present[:, None]
    x = jnp.where(real[..., None], (batch[m] - own['mean']) / own['scale'], 0.0)
    out |= {m: x, f'{m}_mask': real, f'{m}_present': present}
  return out


def gradient_step(
  loss_fn: Callable[[Any, TrainState, Batch, Keys], Losses], tx: optax.GradientTransformation
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
  """One update by the mean loss over the real examples of all devices.

  `loss_fn(params, state, batch, keys)` sees one device's examples and runs under `parallel.AXIS`. An update
  whose loss or gradient is not finite is skipped: only `step` and `skipped` change, and `finite` is logged.
  """

  def step(state: TrainState, batch: Batch):
    keys, batch = step_keys(state), without_padding(batch)
    count = parallel.total(batch['mask'].sum())  # real examples, all devices

    def objective(params):
      out = loss_fn(params, state, batch, keys)
      # where, not times: a padded row's loss may be anything
      return jnp.sum(jnp.where(batch['mask'] > 0, out.losses, 0.0)) / count, out

    (loss, out), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
    grads, loss = parallel.total((grads, loss))  # sums, for the objective is already divided
    norm = optax.tree.norm(grads)
    finite = jnp.isfinite(loss) & jnp.isfinite(norm)
    updates, opt_state = tx.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    kept = keep_if(finite, (params, opt_state, out.extra), (state.params, state.opt_state, state.extra))
    state = state.replace(
      step=state.step + 1,
      params=kept[0],
      opt_state=kept[1],
      extra=kept[2],
      skipped=jnp.where(finite, 0, state.skipped + 1),
    )
    scalars = jax.lax.pmean(dict(out.scalars), parallel.AXIS)
    return state, {'loss': loss, 'grad_norm': norm, 'finite': finite, 'skipped': state.skipped, **scalars}

  return step
