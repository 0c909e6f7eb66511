"""Batches by Grain: batch numbers move, numpy (or a record source) gathers. State is one integer; resuming is exact.

Every host computes the same global batch of indices and gathers only its own slice of it, so that the batches do
not depend on how many hosts share the work.
"""

import functools
from collections.abc import Callable, Iterator, Mapping

import grain
import numpy as np

Batch = Mapping[str, np.ndarray]
Gather = Callable[[np.ndarray], Batch]
_INLINE = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # threads cost more than a gather from memory
_STEPS = 2**31 - 1


def _own_slice(n: int) -> slice:
  import jax  # only to ask which host this is

  if n % jax.process_count():
    raise ValueError(f'a global batch of {n} does not divide among {jax.process_count()} hosts')
  own = n // jax.process_count()
  return slice(jax.process_index() * own, (jax.process_index() + 1) * own)


def _real(batch: Mapping[str, np.ndarray], n: int) -> dict[str, np.ndarray]:
  return {**batch, 'mask': np.ones(n, np.float32)}


def by_step(make: Callable[[int, slice], Batch], batch_size: int) -> Iterator[Batch]:
  """Endless batches: batch i is `make(i, own)`, `own` being this host's slice of the global batch."""
  own = _own_slice(batch_size)
  return iter(grain.MapDataset.range(_STEPS).map(lambda step: make(int(step), own)).to_iter_dataset(_INLINE))


def shuffled(rows: np.ndarray, gather: Gather, batch_size: int, seed: int) -> Iterator[Batch]:
  """Endless batches over `rows` [N], every epoch in a new order; no row is dropped, a batch may span epochs.

  Args:
    rows: what `gather` is asked for.
    gather: rows [b] -> arrays [b, ...].
    batch_size: examples per global batch.
    seed: of the order.
  """
  n = len(rows)
  order = functools.lru_cache(maxsize=2)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(rows))

  def make(step: int, own: slice):
    # By the batch: Grain's own shuffle and batch work row by row, at 30 us each.
    epoch, place = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size)[own], n)
    chosen = [order(e)[place[epoch == e]] for e in range(epoch[0], epoch[-1] + 1)]
    return _real(gather(np.concatenate(chosen)), own.stop - own.start)

  return by_step(make, batch_size)


def drawn(
  draw: Callable[[np.random.Generator, int], Mapping[str, np.ndarray]],
  gather: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
  batch_size: int,
  seed: int,
) -> Iterator[Batch]:
  """Endless batches drawn with replacement: `draw(rng, n)` gives index arrays [n], `gather` what they stand for.

  The generator of batch i depends on (seed, i) alone.
  """

  def make(step: int, own: slice):
    drawn_ = draw(np.random.default_rng((seed, step)), batch_size)
    return _real(gather({k: v[own] for k, v in drawn_.items()}), own.stop - own.start)

  return by_step(make, batch_size)


def ordered(rows: np.ndarray, gather: Gather, batch_size: int) -> Iterator[Batch]:
  """One pass over `rows` in their order; the last batch is filled up with its first row and masked."""
  for start in range(0, len(rows), batch_size):
    piece = rows[start : start + batch_size]
    missing = batch_size - len(piece)
    batch = dict(gather(np.concatenate([piece, np.repeat(piece[:1], missing)])))
    batch['mask'] = (np.arange(batch_size) < len(piece)).astype(np.float32)
    yield batch
