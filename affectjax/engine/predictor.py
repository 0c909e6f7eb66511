"""A finished cell that predicts: what is read of it, and what a system must say so that new features can be put in.

A system that can predict has a module `predictor` in its package, found by name, with two functions:

  inputs(cell) -> modalities that are read, in order; UserError for a cell that cannot predict
  predictor(cell, corpus) -> Predictor, for the examples of `corpus`, which have features and no labels
"""

import dataclasses
import importlib
import importlib.util
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.errors
import jax
import numpy as np

from affectjax.common.errors import UserError
from affectjax.engine import checkpoint, parallel, train
from affectjax.engine.cell import AGAIN, Folder
from affectjax.engine.types import Batch, Experiment, TrainState

EMOTION = 'emotion'
Columns = dict[str, np.ndarray]  # name -> [N] numbers (NaN: none) or strings ('': none)


@dataclasses.dataclass(frozen=True)
class Cell:
  """A finished cell.

  Attributes:
    folder: where it lies.
    config: resolved, lists as tuples; a key that is missing is refused when it is asked for.
    features: modality -> `width`, `rate_hz` (None: frames without a rate), perhaps `columns`, of the training corpus.
    labels: of the training corpus: `attributes`, `emotions` (names), `rate_hz` of labels or None.
  """

  folder: pathlib.Path
  config: Mapping[str, Any]
  features: Mapping[str, Mapping[str, Any]]
  labels: Mapping[str, Any]

  def final(self) -> dict[str, Any]:
    """{'params', 'extra'}."""
    try:
      return checkpoint.load_final(self.folder)
    except UserError:
      raise
    except Exception as error:  # Orbax tells of damage by errors of many kinds
      line = (str(error).strip().splitlines() or [''])[0]
      raise UserError(
        f'{Folder(self.folder).final}: cannot be read (damaged?): {type(error).__name__}: {line[:200]}; {AGAIN}'
      ) from error

  def stored(self, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of predictions.npz, '<split>/<name>', those of `names` that are there."""
    try:
      return Folder(self.folder).predictions(names)
    except ValueError as error:
      raise UserError(f'{self.folder}/{error}; {AGAIN}') from error

  def can_not(self, why: str) -> UserError:
    """The refusal of a cell of which no predictions can be had."""
    return UserError(f'{self.folder}: {why}')


@dataclasses.dataclass(frozen=True)
class Predictor:
  """A trained network and the examples of a folder.

  Attributes:
    params, extra: of the network.
    streams: name -> [M, D] real frames, before they are standardised.
    standard: name -> `mean` and `scale` [D] of training, under the same names.
    rows: how many examples, or windows or frames of them, pass through the network.
    batch_size: of training's evaluation; fewer where there are fewer rows.
    batches: batch size -> one padded pass over all rows.
    predict: as in `Experiment`.
    columns: outputs -> columns of the table, all of one length; `id` first.
    notes: what the user should know.
  """

  params: Any
  extra: Any
  streams: Mapping[str, np.ndarray]
  standard: Mapping[str, Mapping[str, np.ndarray]]
  rows: int
  batch_size: int
  batches: Callable[[int], Iterator[Batch]]
  predict: Callable[[TrainState, Batch], Mapping[str, jax.Array]]
  columns: Callable[[Mapping[str, np.ndarray]], Columns]
  notes: tuple[str, ...] = ()


class _Settings(dict):
  """A part of config.json; what it lacks is refused in one line."""

  path: pathlib.Path | None = None

  def __missing__(self, key):
    raise UserError(f'{self.path}: says nothing of {key!r}, which this version reads; {AGAIN}')


def _plain(value: Any, path: pathlib.Path) -> Any:
  """JSON as configs are: tuples instead of lists."""
  if isinstance(value, dict):
    out = _Settings({k: _plain(v, path) for k, v in value.items()})
    out.path = path
    return out
  return tuple(_plain(v, path) for v in value) if isinstance(value, list) else value


def load(folder: pathlib.Path) -> Cell:
  """A finished cell.

  Raises:
    UserError: no cell, unfinished, failed, damaged, or of a version that did not say what it was trained on.
  """
  folder = pathlib.Path(folder)
  path, document = Folder(folder).config, Folder(folder).document()
  if not isinstance(document.get('features'), dict) or not isinstance(document.get('labels'), dict):
    raise UserError(f'{path}: says no width and rate of the training features (an earlier version ran it); {AGAIN}')
  document = _plain(document, path)
  return Cell(folder, document['config'], document['features'], document['labels'])


def of(cell: Cell):
  """The module `predictor` of the cell's system."""
  module = train.system(cell.config['system'])
  name = f'{module.__name__}.predictor'
  if importlib.util.find_spec(name) is None:
    raise cell.can_not(f'cells of {cell.config["system"]} cannot predict yet')
  return importlib.import_module(name)


def run(predictor: Predictor, cell: Cell, watch: Callable[[int, int], None] = lambda done, total: None) -> Columns:
  """Predicts every example; `watch` is called with batches (done, total).

  Raises:
    UserError: when the cell's parameters are not those of this version's network.
  """
  zero = np.zeros((), np.int32)
  state = TrainState(zero, predictor.params, (), jax.random.key(cell.config['seed']), predictor.extra, zero.copy())
  size = parallel.round_up(max(1, min(predictor.batch_size, predictor.rows)))
  count = -(-predictor.rows // size)

  def batches(split: str, seed: int) -> Iterator[Batch]:
    watch(0, count)
    for i, batch in enumerate(predictor.batches(size)):
      yield batch
      watch(i + 1, count)

  passing = Experiment(batches, lambda key, batch: state, None, predictor.predict)
  try:
    out = train.predict(passing, parallel.replicate(state), 'all', cell.config['seed'])
  except flax.errors.FlaxError as error:
    line = str(error).strip().splitlines()[0]
    raise cell.can_not(f'its parameters do not fit the network of this version ({line[:200]}); {AGAIN}') from error
  return predictor.columns(out)


# What systems share


def classes(names: Sequence[str], shares: np.ndarray) -> Columns:
  """`p_<class>` and `emotion`, the likeliest class (the first of equals), of probabilities [N, K]; NaN: none."""
  out = {f'p_{name}': shares[:, k].astype(np.float32) for k, name in enumerate(names)}
  return {**out, EMOTION: likeliest(names, shares, np.isfinite(shares).all(1))}


def likeliest(names: Sequence[str], values: np.ndarray, known: np.ndarray) -> np.ndarray:
  """Names [N] of the largest of values [N, K]; '' for those not `known` [N] bool."""
  at = np.where(known[:, None], values, 0.0).argmax(1)
  return np.where(known, np.array([*names])[at], '')


def softmax(logits: np.ndarray) -> np.ndarray:
  """Probabilities of logits [..., K], in float64."""
  x = np.asarray(logits, np.float64)
  p = np.exp(x - x.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def refuse_without(cell: Cell, ids: np.ndarray, present: np.ndarray, what: str) -> None:
  """Refuses ids [N] that lack what the network cannot do without; `present` [N] bool."""
  lacking = np.flatnonzero(~present)
  if len(lacking):
    raise UserError(f'id {str(ids[lacking[0]])!r} has no {what} ({len(lacking)} of {len(ids)} ids), which the network '
                    f'of {cell.folder} needs of all; add the files, or take these ids out')  # fmt: skip


def refuse_widths(cell: Cell, predictor: Predictor) -> None:
  """Refuses inputs [M, D] that, made of features of the right width, are still none of this network."""
  for name, x in predictor.streams.items():
    expected = np.shape(predictor.standard[name]['mean'])[0]
    if x.shape[1] != expected:
      raise UserError(f'{cell.folder}: {name} gives {x.shape[1]} inputs per step, the network has {expected}: frames '
                      'are not summarised as in training; give features at the rate of training')  # fmt: skip


def cut_notes(what: str, lengths: Mapping[str, np.ndarray], most: Mapping[str, int]) -> tuple[str, ...]:
  """What the user should know of examples, `what` in words, that are longer than a network reads.

  Args:
    what: such as 'clips'.
    lengths: modality -> [N] frames.
    most: modality -> frames that are read, from the first; 0 or none for all.
  """
  limits = {m: most.get(m, 0) or max(n, default=0) for m, n in lengths.items()}
  return tuple(
    f'{(n > limits[m]).sum()} of {len(n)} {what} have more than {limits[m]} frames of {m}; as in training, the first '
    f'{limits[m]} count' for m, n in lengths.items() if (n > limits[m]).any()
  )  # fmt: skip
