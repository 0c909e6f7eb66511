"""Where training steps get their examples: a batch from the host for each, or a table on the devices for several.

`run.dispatch` steps of the second kind are one program, a loop on the device, so that nothing but row numbers passes
between them. Small steps on a fast device otherwise wait for the host.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import UserError
from affectjax.engine import parallel
from affectjax.engine.types import Batch, Experiment, Scalars, TrainState, check_batch


class Dispatch(NamedTuple):
  """What one dispatch of steps did.

  Attributes:
    scalars: of each of its steps, still on the devices: [devices] or, with several steps, [devices, `most`].
    ids: of the examples, per step; [] where they have none.
    examples: per step, on this host.
    waited: s until the host had made what it gave.
  """

  scalars: Scalars
  ids: list[np.ndarray]
  examples: int
  waited: float

  def each(self) -> Iterator[dict[str, float]]:
    """Waits for the scalars; one step's after the other."""
    values = parallel.unreplicate(self.scalars)
    for i in range(len(self.ids)):
      yield {k: float(v[i] if v.ndim else v) for k, v in values.items()}


class Feed:
  """The training batches of an experiment, and the steps that are taken by them.

  Args:
    experiment: whose steps are taken.
    seed: of the order.
    dispatch: steps per dispatch, at most.

  Raises:
    UserError: for several steps per dispatch of an experiment without a table.
  """

  def __init__(self, experiment: Experiment, seed: int, dispatch: int):
    if dispatch < 1 or dispatch > 1 and experiment.table is None:
      only = '' if experiment.table else ', and 1 where batches are made on the host'
      raise UserError(f'run.dispatch is {dispatch}; expected 1 or more steps per dispatch{only}; set it to 1')
    self.most = dispatch
    self._ids, self._checked = None, False
    if dispatch == 1:
      self._batches = experiment.batches('train', seed)
      self._step = parallel.pmap(experiment.step, True)
    else:
      self._batches = experiment.batches('rows', seed)
      self._step = parallel.pmap(several(experiment.step), True)
      numbers, strings = parallel.split_strings(experiment.table)
      self._ids, self._table = strings.get('id'), parallel.replicate(numbers)

  def get_state(self) -> Any:
    """Where the order is, after all steps that were taken."""
    return self._batches.get_state()

  def set_state(self, state: Any) -> None:
    """Goes on from there."""
    self._batches.set_state(state)

  def take(self, replicated: TrainState, n: int) -> tuple[TrainState, Dispatch]:
    """`n` steps, 1 to `most`; returns before the devices are done."""
    began = time.perf_counter()
    batches = [next(self._batches) for _ in range(n)]
    if not self._checked:  # all are alike, and a check takes as long as a small step
      check_batch(batches[0])
    if self.most == 1:
      numbers, strings = parallel.split_strings(batches[0])
      waited = time.perf_counter() - began
      replicated, scalars = self._step(replicated, parallel.shard(numbers))
      return replicated, self._done(scalars, [strings.get('id', [])], len(numbers['mask']), waited)
    rows = [batch['row'] for batch in batches]
    waited = time.perf_counter() - began
    filled = np.zeros((self.most, len(rows[0])), np.int32)
    filled[:n] = rows
    given = parallel.shard({'row': filled.T})['row']  # [devices, B, most]
    replicated, scalars = self._step(replicated, self._table, given, parallel.replicate(np.int32(n)))
    ids = [[] if self._ids is None else self._ids[r] for r in rows]
    return replicated, self._done(scalars, ids, len(rows[0]), waited)

  def _done(self, scalars: Scalars, *rest) -> Dispatch:
    if not self._checked:
      chex.assert_rank(list(scalars.values()), 1 if self.most == 1 else 2)
      self._checked = True
    return Dispatch(scalars, *rest)


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def several(step: Callable[[TrainState, Batch], tuple[TrainState, Scalars]]) -> Callable:
  """`n` steps as one program, (state, table, row [B, most], n) -> (state, scalars [most] each, 0 behind the first n).

  A loop of a length that is known only when it runs: whatever is left before an evaluation needs no other program,
  and all steps are the same instructions.
  """

  def run(state: TrainState, table: Mapping[str, jax.Array], row: jax.Array, n: jax.Array):
    def batch(i):
      at = jax.lax.dynamic_index_in_dim(row, i, 1, keepdims=False)
      return {**{k: v[at] for k, v in table.items()}, 'mask': jnp.ones(row.shape[0], jnp.float32)}

    def one(i, carry):
      state, logged = carry
      state, scalars = step(state, batch(i))
      return state, jax.tree.map(lambda all_, value: all_.at[i].set(value), logged, dict(scalars))

    shapes = jax.eval_shape(lambda s: step(s, batch(0))[1], state)
    logged = jax.tree.map(lambda x: jnp.zeros((row.shape[1], *x.shape), x.dtype), dict(shapes))
    return jax.lax.fori_loop(0, n, one, (state, logged))

  return run
