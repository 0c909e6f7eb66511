"""The state that goes in and comes out of every step, and the five functions the loop knows of a paper."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.struct
import jax
import numpy as np
import optax

Batch = Mapping[str, Any]  # 'mask' [B] marks real examples; strings stay on the host
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


@dataclasses.dataclass(frozen=True)
class Experiment:
  """All the loop knows of a paper. `step` and `predict` are traced, the others run on the host.

  Attributes:
    batches: (split, seed) -> iterator of batches: endless and checkpointable (`get_state`, `set_state`) for
      'train', one padded pass in a fixed order for 'dev' and 'test'.
    init: (key, batch) -> state before the first step, on the host.
    step: (state, batch) -> (state, scalars), under `parallel.AXIS`.
    predict: (state, batch) -> values per example, each [B, ...].
    score: predictions over a whole split, targets and strings included -> named scores.
    steps: optimizer steps; 0 for a system that fits in `init` or only predicts.
    epoch: steps of one pass over the training side, for a config that evaluates by epochs; 0 if that is not known.
    finish: predictions {'dev': ..., 'test': ...} of the selected step -> what is scored and stored; for what is
      fitted on dev and applied to test (post-processing, calibration).
    table: columns [N, ...] that training batches are rows of, for a loop that keeps them on the devices
      (`run.dispatch`); `batches('rows', seed)` then gives `row` [B] alone, in the order of 'train'. None: batches are
      made on the host.
  """

  batches: Callable[[str, int], Iterator[Batch]]
  init: Callable[[jax.Array, Batch], TrainState]
  step: Callable[[TrainState, Batch], tuple[TrainState, Scalars]] | None
  predict: Callable[[TrainState, Batch], Mapping[str, jax.Array]]
  score: Callable[[Mapping[str, np.ndarray]], Mapping[str, float]]
  steps: int = 0
  epoch: int = 0
  finish: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda outputs: outputs
  table: Mapping[str, np.ndarray] | None = None
