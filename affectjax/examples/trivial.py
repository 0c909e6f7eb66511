"""Rows that need no training: outputs that are known beforehand, and the best constants."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax

from affectjax.engine import parallel
from affectjax.engine.types import Experiment, TrainState, passed_on
from affectjax.examples import batches as batches_lib
from affectjax.examples.examples import Examples


def fixed(
  examples: Examples,
  rows: Mapping[str, np.ndarray],
  columns: Mapping[str, np.ndarray],
  batch_size: int,
  finish: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Experiment:
  """The experiment of outputs that are known for every example.

  Args:
    examples: N of them.
    rows: index of the examples of each split.
    columns: labels and outputs, [N, ...] each.
    batch_size: of evaluation.
    finish: as in `Experiment`.
  """
  size = parallel.global_batch(batch_size)
  return Experiment(
    batches=lambda split, seed: batches_lib.ordered(rows[split], lambda at: examples.gather(at, {}, columns), size),
    init=lambda key, batch: TrainState.create({}, optax.identity(), key),
    step=None,
    predict=passed_on,
    finish=finish,
  )


def majority(label: np.ndarray, classes: int) -> np.ndarray:
  """One-hot [K] float32 of the most frequent class of `label` [M], the first of equals."""
  return np.eye(classes, dtype=np.float32)[np.bincount(label, minlength=classes).argmax()]


def mean(label: np.ndarray) -> np.ndarray:
  """Mean [A] float32 of `label` [M, A], NaN left out: the constant of the squared error, or of label distributions."""
  return np.nanmean(label, 0, dtype=np.float64).astype(np.float32)


def median(label: np.ndarray) -> np.ndarray:
  """Median [A] float32 of `label` [M, A], NaN left out: the constant of the absolute error."""
  return np.nanmedian(label, 0).astype(np.float32)
