"""Frames as a network takes them: pooled, summarised over the recent past, padded to one length, standardised.

All of it reads a stream in chunks, so that what is larger than memory need never be held whole.
"""

import functools
from collections.abc import Iterator

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.corpus import Ragged
from affectjax.examples.streams import Memory, Stream


def reach(item: np.ndarray, part: np.ndarray, context: int) -> tuple[int, ...]:
  """For each of N examples the first of the `context` examples, of its item and part, that end with it.

  Args:
    item, part: [N] str, as in `Examples`; the examples of an item stand together.
    context: how many, from 1.
  """
  if context < 1:
    raise UserError(f'run.data.context is {context}; expected a number of examples from 1')
  at, other = np.arange(len(item)), (item[1:] != item[:-1]) | (part[1:] != part[:-1])
  starts = np.maximum.accumulate(np.where(np.r_[True, other][: len(item)], at, 0))
  return tuple(np.maximum(at - context + 1, starts).tolist())


def windows(stream: Stream, first: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
  """(example, frames [T, D], mask [T]) of every example, with those of the examples from `first` [N] to it."""
  for part in stream.parts(np.arange(len(stream))):
    start = int(first[part].min())
    rows = np.arange(start, int(part[-1]) + 1)
    values, mask = stream.read(rows), stream.mask.take(rows)
    for i in part.tolist():
      cut = slice(values.offsets[first[i] - start], values.offsets[i + 1 - start])
      yield i, values.values[cut], mask.values[cut]


@functools.lru_cache(maxsize=8)
def summarised(stream: Stream, first: tuple[int, ...], summary: tuple[str, ...]) -> Memory:
  """One vector per example from the real frames of the examples first .. i.

  Args:
    stream: [T, D] frames of N examples.
    first: N numbers, from `reach`.
    summary: keys of `features.SUMMARIES`, at least one.

  Returns:
    A single frame [D * summaries] per example, zeros and masked where no frame is real.
  """
  for name in summary:
    if name not in features.SUMMARIES:
      raise unknown('summary in run.data.summary', name, features.SUMMARIES)
  if not summary:
    raise UserError(
      'run.data.summary is empty, but examples hold many frames and one label each; name mean, std or max'
    )
  rows = np.zeros((len(stream), stream.width * len(summary)), np.float32)
  present = np.zeros(len(stream), bool)
  for i, values, real in windows(stream, np.array(first)):
    frames = values[real]
    present[i] = len(frames) > 0
    frames = frames if len(frames) else np.zeros((1, stream.width), np.float32)
    rows[i] = np.concatenate([features.SUMMARIES[s](frames, 0) for s in summary])
  offsets = np.arange(len(stream) + 1)
  return Memory(Ragged(rows, offsets), Ragged(present, offsets))


def averaged(values: np.ndarray, real: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  """`size` frames in a row as the mean of the real ones: [T, D], [T] -> [ceil(T / size), D] float32 and [...] bool."""
  if not len(values):
    return values, real
  edges = np.arange(0, len(values), size)
  count = np.add.reduceat(real.astype(np.int64), edges)
  total = np.add.reduceat(np.where(real[:, None], values, 0), edges)
  return (total / np.maximum(count, 1)[:, None]).astype(np.float32), count > 0


@functools.lru_cache(maxsize=8)
def pooled(stream: Stream, first: tuple[int, ...], size: int) -> Stream:
  """The frames of the examples first .. i as one sequence each, `size` real frames in a row averaged."""
  if size < 1:
    raise UserError(f'run.data.pool is {size}; expected a number of frames from 1')
  if size == 1 and first == tuple(range(len(stream))):
    return stream
  sequences = [averaged(values, real, size) if size > 1 else (values, real) for _, values, real in windows(
    stream, np.array(first))]  # fmt: skip
  return Memory(*(Ragged.stack([part[k] for part in sequences]) for k in (0, 1)))


def moments(stream: Stream, index: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
  """How many real frames the examples at `index` have, their mean and their standard deviation [D] float64.

  In one pass, chunk by chunk (Chan, Golub, LeVeque 1983).
  """
  count, mean, squares = 0, np.zeros(stream.width), np.zeros(stream.width)
  for part, values in stream.chunks(index):
    frames = values.values[stream.mask.take(index[part]).values]
    if not len(frames):
      continue
    own = frames.mean(0, dtype=np.float64)
    off, total = own - mean, count + len(frames)
    squares = squares + frames.var(0, dtype=np.float64) * len(frames) + off**2 * (count * len(frames) / total)
    mean = mean + off * (len(frames) / total)
    count = total
  return count, mean, np.sqrt(squares / max(count, 1))


def standardiser(stream: Stream, index: np.ndarray) -> dict[str, np.ndarray] | None:
  """Mean and scale [D] float32 of the real frames at `index`; a constant feature keeps scale 1. None without frames."""
  count, mean, sd = moments(stream, index)
  if not count:
    return None
  return {'mean': mean.astype(np.float32), 'scale': np.where(sd > 1e-6, sd, 1.0).astype(np.float32)}


def unchanged(width: int) -> dict[str, np.ndarray]:
  """The standardiser that leaves features as they are."""
  return {'mean': np.zeros(width, np.float32), 'scale': np.ones(width, np.float32)}


@functools.lru_cache(maxsize=4)
def padded(stream: Stream, frames: int, pool: int, keep: str, pad: str) -> Memory:
  """Examples of `frames` frames each: `pool` real frames in a row averaged, the first or last kept.

  Args:
    stream: of N examples.
    frames: of every example of the result.
    pool: frames that are averaged to one.
    keep: 'first' or 'last', of what is longer.
    pad: 'right' or 'left', where padding goes.

  Returns:
    Padding is zeros and masked; see `Memory.dense`.
  """
  x = np.zeros((len(stream), frames, stream.width), np.float32)
  real = np.zeros((len(stream), frames), bool)
  for i, values, good in windows(stream, np.arange(len(stream))):
    if pool > 1:
      values, good = averaged(values, good, pool)
    cut = slice(0, frames) if keep == 'first' else slice(max(0, len(values) - frames), None)
    values, good = values[cut], good[cut]
    place = slice(0, len(values)) if pad == 'right' else slice(frames - len(values), frames)
    x[i, place], real[i, place] = values, good
  offsets = np.arange(len(stream) + 1) * frames
  return Memory(Ragged(x.reshape(-1, stream.width), offsets), Ragged(real.reshape(-1), offsets))


@functools.lru_cache(maxsize=4)
def by_group(stream: Memory, group: tuple[str, ...]) -> Memory:
  """Real frames standardised by those of the example's whole group: what is a speaker's own goes.

  Args:
    stream: of N examples.
    group: N names.
  """
  names, of = np.unique(np.array(group, str), return_inverse=True)
  values, real = stream.values.values.copy(), np.flatnonzero(stream.mask.values)
  owner = of[stream.mask.owners()[real]]
  ends = np.cumsum(np.bincount(owner, minlength=len(names)))
  for at in np.split(real[np.argsort(owner, kind='stable')], ends[:-1]):
    if len(at):
      own = features.standardiser(values[at])
      values[at] = (values[at] - own['mean']) / own['scale']
  return Memory(Ragged(values, stream.values.offsets), stream.mask)
