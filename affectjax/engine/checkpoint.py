"""Checkpoints by Orbax: the latest to go on from, the selected one to report, and final parameters to reuse."""

import functools
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from affectjax.common.errors import UserError, unknown
from affectjax.engine.cell import Folder
from affectjax.engine.types import TrainState

EVERY = 5  # evaluations, after which a checkpoint is written that only an interrupted run would need


def _pack(state: TrainState) -> dict[str, Any]:
  # numpy leaves: every host holds the same, Orbax writes them once; typed keys have no numpy form
  state = state.replace(key=jax.random.key_data(state.key))
  return jax.tree.map(np.asarray, state)


def _unpack(packed: TrainState, like: TrainState) -> TrainState:
  return packed.replace(key=jax.random.wrap_key_data(packed.key, impl=jax.random.key_impl(like.key)))


class Checkpoints:
  """The checkpoints of one cell, under `<cell>/checkpoints/`.

  Args:
    folder: the cell's folder.
    select: the score whose best step is kept beside the latest, or 'last'.
    mode: 'min' or 'max', which value of `select` is best.
  """

  def __init__(self, folder: pathlib.Path, select: str = 'last', mode: str = 'min'):
    self._root = Folder(folder).steps.absolute()
    self._select = select

    def worth(scores: dict[str, float]) -> float:
      """The score, or the worst there is in place of NaN, which no sorting knows where to put."""
      worst = np.inf if mode == 'min' else -np.inf
      return worst if np.isnan(scores[select]) else scores[select]

    rules: list[Any] = [ocp.checkpoint_managers.LatestN(1)]
    if select != 'last':
      rules.append(
        ocp.checkpoint_managers.BestN(
          get_metric_fn=worth, n=1, reverse=mode == 'min', keep_checkpoints_without_metrics=False
        )
      )
    options = ocp.CheckpointManagerOptions(
      preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(rules),
      best_fn=None if select == 'last' else worth,
      best_mode=mode,
      cleanup_tmp_directories=True,  # what a kill left half written
    )
    self._manager = ocp.CheckpointManager(self._root, options=options)
    self._worth = worth if mode == 'min' else lambda scores: -worth(scores)
    self._passed = 0  # evaluations since the last checkpoint; a count, for all hosts must decide alike
    best = self._manager.best_step() if select != 'last' else None
    self._best = np.inf if best is None else self._worth(self._manager.metrics(best))

  def due(self, scores: dict[str, float]) -> bool:
    """Whether a step is worth writing: it may be the one to report, or the last was written `EVERY` evaluations ago.

    What is not written is trained again by a run that goes on, bit for bit.
    """
    better = self._select == 'last' or self._select not in scores or self._worth(scores) <= self._best
    self._passed += 1
    return better or self._passed >= EVERY

  def save(self, step: int, state: TrainState, data: dict, scores: dict[str, float]) -> None:
    """Writes in the background; what is being written becomes visible only when it is whole.

    Raises:
      UserError: when the score to select by is not among `scores`.
    """
    if self._select not in ('last', *scores):
      raise unknown('score in run.select', self._select, ('last', *scores))
    self._passed = 0
    if self._select != 'last':
      self._best = min(self._best, self._worth(scores))
    saved = self._manager.save(
      step,
      metrics=scores if self._select != 'last' else None,
      args=ocp.args.Composite(state=ocp.args.StandardSave(_pack(state)), data=ocp.args.JsonSave(data)),
    )
    if not saved:
      raise RuntimeError(f'checkpoint of step {step} was not written to {self._root}')

  def latest(self) -> int | None:
    """The last whole step on disk."""
    return self._manager.latest_step()

  def selected(self) -> int | None:
    """The step to report: the best by `select` (the later of equals, NaN last of all), or the last."""
    return self._manager.latest_step() if self._select == 'last' else self._manager.best_step()

  def restore(self, step: int, like: TrainState) -> tuple[TrainState, dict]:
    """State and data position of a step; `like` gives structure, shapes and types."""
    out = self._manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(_pack(like)), data=ocp.args.JsonRestore())
    )
    return _unpack(out.state, like), out.data

  def close(self) -> None:
    """Waits for what is being written."""
    self._manager.wait_until_finished()
    self._manager.close()


def save_final(folder: pathlib.Path, state: TrainState) -> None:
  """Parameters and `extra` of a finished cell, under `<cell>/checkpoints/final`."""
  with ocp.StandardCheckpointer() as writer:
    tree = {'params': state.params, 'extra': state.extra}
    writer.save(Folder(folder).final.absolute(), jax.tree.map(np.asarray, tree), force=True)


def drop_steps(folder: pathlib.Path) -> None:
  """Removes the training checkpoints of a cell that is finished and recorded; one host does it."""
  steps = Folder(folder).steps
  aside = steps.with_name('steps.tmp')
  if steps.is_dir():
    shutil.rmtree(aside, ignore_errors=True)
    steps.rename(aside)  # a kill must not leave a checkpoint that is there in part
  shutil.rmtree(aside, ignore_errors=True)


def load_final(folder: pathlib.Path) -> dict[str, Any]:
  """{'params', 'extra'} of a finished cell as nested dicts of arrays."""
  path = Folder(folder).final.absolute()
  if not path.is_dir():
    raise UserError(f'{folder} holds no finished parameters (checkpoints/{path.name}); run that cell to its end first')
  with ocp.StandardCheckpointer() as reader:
    return jax.tree.map(np.asarray, reader.restore(path))


def warm(state: TrainState, source: dict[str, Any], modules: tuple[str, ...]) -> TrainState:
  """`state` with another cell's parameters. What is trained in copies, [S, ...], takes the one over into each.

  Args:
    state: a fresh state.
    source: from `load_final`.
    modules: top-level names within `params` or `extra` to take over; () takes all of both.

  Raises:
    UserError: when a name is missing in either of the two or a shape differs.
  """
  names = modules or (*state.params, *state.extra)
  trees = {'params': dict(state.params), 'extra': dict(state.extra)}
  for name in names:
    kind = 'params' if name in trees['params'] else 'extra'
    if name not in trees[kind] or name not in (source[kind] or {}):
      theirs, ours = ([*(t['params'] or {}), *(t['extra'] or {})] for t in (source, trees))
      raise UserError(f'warm start: {name!r} is not on both sides; there: {sorted(theirs)}, here: {sorted(ours)}')
    fresh, given = _shapes(trees[kind][name]), _shapes(source[kind][name])
    copies = {shape[:1] for key, shape in fresh.items() if shape and shape[1:] == given.get(key)}
    if len(copies) == 1:
      ((n,),) = copies
      if fresh == {key: (n, *shape) for key, shape in given.items()}:
        trees[kind][name] = jax.tree.map(functools.partial(_repeated, n), source[kind][name])
        continue
    if fresh != given:
      wrong = min(k for k in fresh.keys() | given.keys() if fresh.get(k) != given.get(k))
      raise UserError(
        f'warm start: {name}{wrong} has shape {given.get(wrong)} there and {fresh.get(wrong)} here; the model or the '
        "features' width differs"
      )
    trees[kind][name] = source[kind][name]
  return state.replace(params=trees['params'], extra=trees['extra'])


def _repeated(n: int, x: Any) -> np.ndarray:
  return np.repeat(np.asarray(x)[None], n, 0)


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
  return {jax.tree_util.keystr(k): np.shape(v) for k, v in jax.tree_util.tree_leaves_with_path(tree)}
