"""Batches of clips of like length: a few shapes in all, so that nothing is compiled twice and little is padding."""

import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from affectjax.common.errors import UserError
from affectjax.examples import batches as batches_lib

Batch = Mapping[str, np.ndarray]
Gather = Callable[[np.ndarray, Mapping[str, int]], Batch]  # (rows, frames per modality) -> arrays


class Buckets:
  """Clips sorted into a few lengths, common to all their modalities.

  A clip's length is the largest, over modalities, of its share of the longest clip's; the edges are quantiles.

  Args:
    lengths: modality -> frames of each clip [N].
    count: of buckets.
    longest: modality -> frames after which a clip is cut; 0 or absent: not cut.
  """

  def __init__(self, lengths: Mapping[str, np.ndarray], count: int, longest: Mapping[str, int]):
    if count < 1:
      raise UserError(f'{count} buckets of lengths asked for; expected 1 or more')
    cut = {m: np.minimum(n, longest.get(m) or n.max(initial=1)) for m, n in lengths.items()}
    top = {m: max(int(n.max(initial=1)), 1) for m, n in cut.items()}
    share = functools.reduce(np.maximum, (n / top[m] for m, n in cut.items())) if cut else np.ones(0)
    edges = np.unique(np.quantile(share, np.arange(1, count + 1) / count)) if len(share) else np.ones(1)
    self.of = np.searchsorted(edges, share)  # [N]
    self.frames = [
      {m: max(int(n[self.of <= b].max(initial=1)), 1) for m, n in cut.items()} for b in range(len(edges))
    ]  # per bucket and modality, what the longest clip in it (or a smaller one) needs

  def needed(self, rows: np.ndarray) -> Mapping[str, int]:
    """modality -> frames of the bucket that holds all of `rows`."""
    return self.frames[int(self.of[rows].max())] if len(self.of) else {}


def shuffled(
  rows: np.ndarray,
  buckets: Buckets,
  gather: Gather,
  batch_size: int,
  seed: int,
) -> Iterator[Batch]:
  """Endless batches over `rows` [N], every epoch dealt anew among clips of like length, the batches in random order.

  An epoch has N // batch_size batches; which rows are left over differs from epoch to epoch. With fewer rows than a
  batch, the rest of it is padding with mask 0.

  Args:
    rows: of clips.
    buckets: of all clips.
    gather: (rows [b], frames per modality) -> arrays [b, ...].
    batch_size: clips per global batch.
    seed: of the order.
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

  return batches_lib.by_step(make, batch_size)


def in_file_order(rows: np.ndarray, buckets: Buckets, gather: Gather, batch_size: int) -> Iterator[Batch]:
  """Endless passes over `rows` in their own order, batch by batch the same ones; what does not fill one is padding."""
  count = -(-len(rows) // batch_size)

  def make(step: int, own: slice) -> Batch:
    first = step % count * batch_size
    chosen = rows[first : first + batch_size]
    mask = (np.arange(batch_size) < len(chosen)).astype(np.float32)
    chosen = np.concatenate([chosen, np.repeat(chosen[:1], batch_size - len(chosen))])
    return {**gather(chosen[own], buckets.needed(chosen)), 'mask': mask[own]}

  return batches_lib.by_step(make, batch_size)
