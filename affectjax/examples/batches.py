"""Iterators over batches: training without an end, evaluation in one pass, clips of like length together.

Grain moves batch numbers, and numpy (or the records on disk) gathers what belongs to them. The state of an iterator is
one integer, the batches given out, and resuming is exact. With `ahead`, threads gather the next few batches while the
last one is used, which is for frames that stay on disk (`Examples.on_disk`); batches and state are the same without.

In training every host computes the same global batch of indices and gathers only its own slice of it, so that the
batches do not depend on how many hosts share the work. In evaluation every host gathers all.
"""

import functools
from collections.abc import Callable, Iterator, Mapping

import grain
import numpy as np

from affectjax.common.errors import UserError

Batch = Mapping[str, np.ndarray]
Gather = Callable[[np.ndarray], Batch]  # index [B] -> arrays [B, ...]
CutGather = Callable[[np.ndarray, Mapping[str, int]], Batch]  # (index [B], frames per modality) -> arrays [B, ...]
INLINE = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)  # threads cost more than a gather from memory
AHEAD = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)  # batches are large: a few are enough, and fit
_STEPS = 2**31 - 1


def _grain(make: Callable[[int], Batch], count: int, options: grain.ReadOptions) -> Iterator[Batch]:
  """`make(0)` to `make(count - 1)`; has `get_state` and `set_state`."""
  return iter(grain.MapDataset.range(count).map(make).to_iter_dataset(options))


def _own_slice(n: int) -> slice:
  import jax  # only to ask which host this is

  if n % jax.process_count():
    raise ValueError(f'a global batch of {n} does not divide among {jax.process_count()} hosts')
  own = n // jax.process_count()
  return slice(jax.process_index() * own, (jax.process_index() + 1) * own)


def _real(batch: Batch, n: int) -> Batch:
  return {**batch, 'mask': np.ones(n, np.float32)}


def _filled(index: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  """`index` filled up with its first to `size`, and the mask [size] float32 of what is its own."""
  filled = np.concatenate([index, np.repeat(index[:1], size - len(index))])
  return filled, (np.arange(size) < len(index)).astype(np.float32)


# Training


def by_step(make: Callable[[int, slice], Batch], batch_size: int, ahead: bool = False) -> Iterator[Batch]:
  """Endless batches: batch i is `make(i, own)`, `own` being this host's slice of the global batch.

  Args:
    make: must depend on its arguments alone; with `ahead` it is called from several threads.
    batch_size: examples per global batch.
    ahead: whether the next batches are made while one is used.
  """
  own = _own_slice(batch_size)
  return _grain(lambda step: make(int(step), own), _STEPS, AHEAD if ahead else INLINE)


def shuffled(rows: np.ndarray, gather: Gather, batch_size: int, seed: int, ahead: bool = False) -> Iterator[Batch]:
  """Endless batches over `rows` [N], every epoch in a new order; no row is dropped, a batch may span epochs.

  Args:
    rows: what `gather` is asked for.
    gather: rows [B] -> arrays [B, ...].
    batch_size: examples per global batch.
    seed: of the order.
    ahead: see `by_step`.
  """
  n = len(rows)
  order = functools.lru_cache(maxsize=2)(lambda epoch: np.random.default_rng((seed, epoch)).permutation(rows))

  def make(step: int, own: slice) -> Batch:
    # By the batch: Grain's own shuffle and batch work row by row, at 30 us each.
    epoch, place = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size)[own], n)
    chosen = [order(e)[place[epoch == e]] for e in range(epoch[0], epoch[-1] + 1)]
    return _real(gather(np.concatenate(chosen)), own.stop - own.start)

  return by_step(make, batch_size, ahead)


def drawn(
  draw: Callable[[np.random.Generator, int], Batch],
  gather: Callable[[Batch], Batch],
  batch_size: int,
  seed: int,
  ahead: bool = False,
) -> Iterator[Batch]:
  """Endless batches drawn with replacement: `draw(rng, n)` gives index arrays [n], `gather` what they stand for.

  The generator of batch i depends on (seed, i) alone; `ahead`: see `by_step`.
  """

  def make(step: int, own: slice) -> Batch:
    index = draw(np.random.default_rng((seed, step)), batch_size)
    return _real(gather({k: v[own] for k, v in index.items()}), own.stop - own.start)

  return by_step(make, batch_size, ahead)


class Buckets:
  """Clips sorted into a few lengths, common to all their modalities: few shapes are compiled, and little is padding.

  A clip's length is the largest, over modalities, of its share of the longest clip's; the edges are quantiles.

  Args:
    lengths: modality -> frames of each clip [N].
    count: of buckets.
    longest: modality -> frames after which a clip is cut; 0 or absent: not cut.

  Attributes:
    of: the bucket of each clip [N], from the shortest.
    frames: per bucket, modality -> the frames that its longest clip (or one of a bucket before) needs.
  """

  def __init__(self, lengths: Mapping[str, np.ndarray], count: int, longest: Mapping[str, int]):
    if count < 1:
      raise UserError(f'{count} buckets of lengths asked for; expected 1 or more')
    cut = {m: np.minimum(n, longest.get(m) or n.max(initial=1)) for m, n in lengths.items()}
    top = {m: max(int(n.max(initial=1)), 1) for m, n in cut.items()}
    share = functools.reduce(np.maximum, (n / top[m] for m, n in cut.items())) if cut else np.ones(0)
    edges = np.unique(np.quantile(share, np.arange(1, count + 1) / count)) if len(share) else np.ones(1)
    self.of = np.searchsorted(edges, share)
    self.frames = [{m: max(int(n[self.of <= b].max(initial=1)), 1) for m, n in cut.items()} for b in range(len(edges))]

  def needed(self, rows: np.ndarray) -> Mapping[str, int]:
    """modality -> frames of the bucket that holds all of `rows`."""
    return self.frames[int(self.of[rows].max())] if len(self.of) else {}


def bucketed(
  rows: np.ndarray, buckets: Buckets, gather: CutGather, batch_size: int, seed: int, ahead: bool = False
) -> Iterator[Batch]:
  """Endless batches over `rows` [N], every epoch dealt anew among clips of like length, the batches in random order.

  An epoch has N // batch_size batches; which rows are left over differs from epoch to epoch. With fewer rows than a
  batch, the rest of it is padding with mask 0.

  Args:
    rows: of clips.
    buckets: of all clips.
    gather: (rows [B], frames per modality) -> arrays [B, ...].
    batch_size: clips per global batch.
    seed: of the order.
    ahead: see `by_step`.
  """
  count = max(len(rows) // batch_size, 1)

  @functools.lru_cache(maxsize=2)
  def epoch(number: int) -> np.ndarray:
    rng = np.random.default_rng((seed, number))
    chosen = rng.permutation(rows)[: count * batch_size]
    dealt = chosen[np.argsort(buckets.of[chosen], kind='stable')] if len(buckets.of) else chosen
    return rng.permutation(np.resize(dealt, (count, batch_size)))

  def make(step: int, own: slice) -> Batch:
    chosen = epoch(step // count)[step % count]
    mask = (np.arange(batch_size) < len(rows)).astype(np.float32)
    return {**gather(chosen[own], buckets.needed(chosen)), 'mask': mask[own]}

  return by_step(make, batch_size, ahead)


def in_file_order(
  rows: np.ndarray, buckets: Buckets, gather: CutGather, batch_size: int, ahead: bool = False
) -> Iterator[Batch]:
  """Endless passes over `rows` in their own order, batch by batch the same ones; what does not fill one is padding."""
  count = -(-len(rows) // batch_size)

  def make(step: int, own: slice) -> Batch:
    first = step % count * batch_size
    chosen, mask = _filled(rows[first : first + batch_size], batch_size)
    return {**gather(chosen[own], buckets.needed(chosen)), 'mask': mask[own]}

  return by_step(make, batch_size, ahead)


# Evaluation


def ordered(rows: np.ndarray, gather: Gather, batch_size: int, ahead: bool = False) -> Iterator[Batch]:
  """One pass over `rows` in their order; the last batch is filled up with its first row and masked.

  `ahead`: see `by_step`.
  """

  def make(number: int) -> Batch:
    chosen, mask = _filled(rows[number * batch_size : (number + 1) * batch_size], batch_size)
    return {**gather(chosen), 'mask': mask}

  count = -(-len(rows) // batch_size)
  return _grain(make, count, AHEAD) if ahead else map(make, range(count))  # which is ten times faster than Grain inline
