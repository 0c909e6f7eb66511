"""The state that goes in and comes out of every step, and what the loop knows of a paper."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import chex
import flax.struct
import jax
import numpy as np
import optax

from affectjax.common.errors import refuse_unknown

Batch = Mapping[str, Any]  # see `check_batch`; strings stay on the host
Scalars = Mapping[str, jax.Array]


@flax.struct.dataclass
class TrainState:
  """All that training changes, as one pytree.

  Attributes:
    step: [] int32, batches seen (an update that was skipped counts, so that data and keys move on).
    params: trainable (and frozen) parameters.
    opt_state: the optimiser's state.
    key: [] typed PRNG key; per-step keys are folded in from it, it never changes.
    extra: batch statistics, a teacher, a memory bank, ...
    skipped: [] int32, updates skipped in a row because loss or gradient was not finite.
  """

  step: jax.Array
  params: Any
  opt_state: optax.OptState
  key: jax.Array
  extra: Any
  skipped: jax.Array

  @classmethod
  def create(cls, params, tx: optax.GradientTransformation, key: jax.Array, extra=None) -> 'TrainState':
    """A state before the first step."""
    zero = np.zeros((), np.int32)
    return cls(zero, params, tx.init(params), key, {} if extra is None else extra, zero.copy())


def passed_on(state: TrainState, batch: Batch) -> dict[str, Any]:
  """For `Experiment.predict` of what takes no training: a batch's numbers as they are, `mask` left out."""
  del state
  return {k: v for k, v in batch.items() if k != 'mask'}


def check_batch(batch: Batch) -> None:
  """Asserts what every batch is: `mask` [B], 0 where an example is padding, and all else [B, ...].

  B is a multiple of this host's devices.
  """
  chex.assert_rank(batch['mask'], 1)
  chex.assert_equal_shape_prefix(list(batch.values()), 1)
  chex.assert_is_divisible(len(batch['mask']), jax.local_device_count())


@dataclasses.dataclass(frozen=True)
class Experiment:
  """All the loop knows of a paper: one cell, ready to be trained. A system's `build(config, data_dir)` makes it.

  `step` and `predict` are compiled by `parallel.pmap`, once per function object. So cells that trace the same must hand
  over the very same object, or each of them is traced and compiled anew: systems make both by functions of what is
  traced alone (modules, flat configs as `optim.key` gives them, lengths, each hashable and with its types), cached by
  `functools.lru_cache`. What may differ between such cells goes through the state (`TrainState.extra`) or the batch.
  All else runs on the host, and may be made anew for every cell.

  Attributes:
    batches: (split, seed) -> iterator of batches (`check_batch`). 'train': endless and checkpointable (`get_state`,
      `set_state`), this host's part of the global batch. 'dev', 'test': one pass in a fixed order, whole on every host,
      the last batch padded. Batches of one split hold the same names and types, or each is compiled for by itself.
    init: (key, batch) -> state before the first step, on the host; the batch is there for its shapes, or, in a system
      without steps, everything is fitted here.
    step: (state, batch) -> (state, scalars), under `parallel.AXIS` with this device's part of a batch; scalars are []
      each, equal on all devices: `loss`, and perhaps `finite` and `skipped` (see `steps.gradient_step`), the others are
      logged. None for a system without steps.
    predict: (state, batch) -> values per example, each [B, ...]; padding is dropped by the loop.
    score: predictions over a whole split, labels and strings included -> the scores that select a step, `loss` among
      them (lower is better) and, if `run.select` names a metric, that; `search.*` are of what is trained side by side.
      It is called with the outputs of `predict` and with those of `finish`. Never, for a system without steps.
    steps: optimizer steps; 0 for a system that fits in `init` or only predicts.
    epoch: steps of one pass over the training split, for a config that evaluates by epochs; 0 if that is not known.
    finish: predictions {'dev': ..., 'test': ...} of the selected step -> what is stored, and scored from there by
      `affectjax.tables`; for what is fitted on dev and applied to test (post-processing, calibration), and for names.
    table: columns [N, ...] that training batches are rows of, for a loop that keeps them on the devices
      (`run.dispatch`); `batches('rows', seed)` then gives `row` [B] and `mask` alone, in the order of 'train'. None:
      batches are made on the host.
  """

  batches: Callable[[str, int], Iterator[Batch]]
  init: Callable[[jax.Array, Batch], TrainState]
  step: Callable[[TrainState, Batch], tuple[TrainState, Scalars]] | None
  predict: Callable[[TrainState, Batch], Mapping[str, jax.Array]]
  score: Callable[[Mapping[str, np.ndarray]], Mapping[str, float]] = lambda outputs: {}
  steps: int = 0
  epoch: int = 0
  finish: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda outputs: outputs
  table: Mapping[str, np.ndarray] | None = None


def by_stage(stages: Mapping[str, Callable[..., Experiment]]) -> Callable[..., Experiment]:
  """A system's `build(config, data_dir)` that leaves the experiment to the function of `config['stage']`."""

  def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
    refuse_unknown('stage', config['stage'], stages)
    return stages[config['stage']](config, data_dir)

  return build
