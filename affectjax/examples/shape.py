"""Frames as a network takes them: pooled, summarised over the recent past, padded to one length, standardised.

All of it reads a stream in chunks, so that what is larger than memory need never be held whole.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.corpus import Ragged
from affectjax.examples.examples import Examples
from affectjax.examples.streams import Changed, Memory, Stream


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


def align(x: np.ndarray, mask: np.ndarray, steps: int, summary: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """Features at the rate of the labels of the same stretch of time.

  Args:
    x: [T, D] features; mask: [T] whether they are real.
    steps: S, number of labels.
    summary: where several frames fall upon a label, what describes them; else a label takes the frame it lies in.

  Returns:
    [S, D] (times the number of summaries if T > S) float32, and [S] bool.
  """
  if len(x) == steps:
    return x, mask
  if len(x) == 0:
    raise UserError('a recording has no frame of features; leave it out when the corpus is prepared')
  if len(x) < steps:
    at = np.arange(steps) * len(x) // steps
    return x[at], mask[at]
  if not summary:
    raise UserError('run.data.summary is empty, but there are more frames than labels; name mean, std or max')
  edges = np.linspace(0, len(x), steps + 1).round().astype(int)
  pieces = [x[a:b][mask[a:b]] for a, b in zip(edges[:-1], edges[1:], strict=True)]
  present = np.array([len(p) > 0 for p in pieces])
  width = x.shape[1] * len(summary)
  rows = [np.concatenate([features.SUMMARIES[s](p, 0) for s in summary]) if len(p) else np.zeros(width) for p in pieces]
  return np.array(rows, np.float32), present


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


def _averaged(values: Ragged, mask: Ragged, size: int) -> tuple[Ragged, Ragged]:
  """`averaged` of every example."""
  count = -(-values.lengths // size)
  offsets = np.concatenate([[0], np.cumsum(count)])
  edges = np.repeat(values.offsets[:-1] - size * offsets[:-1], count) + size * np.arange(offsets[-1])
  if not len(edges):
    return values, mask
  real = np.add.reduceat(mask.values.astype(np.int64), edges)
  total = np.add.reduceat(np.where(mask.values[:, None], values.values, 0), edges)
  mean = (total / np.maximum(real, 1)[:, None]).astype(np.float32)
  return Ragged(mean, offsets), Ragged(real > 0, offsets)


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
  """How many real frames the examples at `index` have, their mean and their standard deviation [D] float64."""
  chunks = stream.chunks(index)
  return moments_of((x.values[stream.mask.take(index[part]).values] for part, x in chunks), stream.width)


def moments_of(pieces: Iterable[np.ndarray], width: int) -> tuple[int, np.ndarray, np.ndarray]:
  """Number, mean and standard deviation [D] float64 of rows that come in pieces [M, D].

  In one pass (Chan, Golub, LeVeque 1983).
  """
  count, mean, squares = 0, np.zeros(width), np.zeros(width)
  for frames in pieces:
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
  return scaling(*moments(stream, index))


def scaling(count: int, mean: np.ndarray, sd: np.ndarray) -> dict[str, np.ndarray] | None:
  """`standardiser` from `moments`."""
  if not count:
    return None
  return {'mean': mean.astype(np.float32), 'scale': np.where(sd > 1e-6, sd, 1.0).astype(np.float32)}


def standardisers(
  examples: Examples, index: np.ndarray, given: Mapping[str, np.ndarray] | None = None, on: bool = True
) -> dict[str, dict[str, np.ndarray]]:
  """`standardiser` by modality, of the training examples at `index`.

  Args:
    examples: N of them.
    index: of the training split.
    given: modality -> [N] bool, who is given it in training; by default all who have it.
    on: whether features are standardised at all; they stay as they are without.
  """
  out = {}
  for m, x in examples.streams.items():
    own = standardiser(x, index if given is None else index[given[m][index]])
    if own is None:
      raise UserError(f'{examples.name}: no training example has {m}; leave it out of run.data.modalities')
    out[m] = own if on else unchanged(x.width)
  return out


def unchanged(width: int) -> dict[str, np.ndarray]:
  """The standardiser that leaves features as they are."""
  return {'mean': np.zeros(width, np.float32), 'scale': np.ones(width, np.float32)}


@functools.lru_cache(maxsize=4)
def padded(stream: Stream, frames: int, pool: int, keep: str, pad: str) -> Stream:
  """Examples of `frames` frames each: `pool` real frames in a row averaged, the first or last kept.

  Args:
    stream: of N examples.
    frames: of every example of the result.
    pool: frames that are averaged to one.
    keep: 'first' or 'last', of what is longer.
    pad: 'right' or 'left', where padding goes.

  Returns:
    On disk if `stream` is. Padding is zeros and masked; see `Stream.dense`.
  """

  def fitted(values: Ragged, mask: Ragged) -> tuple[np.ndarray, np.ndarray]:
    if pool > 1:
      values, mask = _averaged(values, mask, pool)
    kept = np.minimum(mask.lengths, frames)[:, None]
    first = mask.offsets[:-1, None] + (0 if keep == 'first' else mask.lengths[:, None] - kept)
    at = np.arange(frames) - (0 if pad == 'right' else frames - kept)
    inside = (at >= 0) & (at < kept)  # [B, frames]
    source = (first + at)[inside]
    x = np.zeros((*inside.shape, values.values.shape[1]), np.float32)
    x[inside], inside[inside] = values.values[source], mask.values[source]
    return x, inside

  offsets = np.arange(len(stream) + 1) * frames
  change = lambda index, values: Ragged(
    fitted(values, stream.mask.take(index))[0].reshape(-1, stream.width), offsets[: len(index) + 1]
  )
  no_features = Ragged(np.zeros((len(stream.mask.values), 0), np.float32), stream.mask.offsets)
  mask = Ragged(fitted(no_features, stream.mask)[1].reshape(-1), offsets)
  return Changed(stream, mask, change).settled()


@functools.lru_cache(maxsize=4)
def by_group(stream: Stream, group: tuple[str, ...]) -> Stream:
  """Real frames standardised by those of the example's whole group: what is a speaker's own goes.

  Args:
    stream: of N examples.
    group: N names.

  Returns:
    On disk if `stream` is.
  """
  names, of = np.unique(np.array(group, str), return_inverse=True)
  own = [standardiser(stream, np.flatnonzero(of == k)) or unchanged(stream.width) for k in range(len(names))]
  mean, scale = (np.stack([one[key] for one in own]) for key in ('mean', 'scale'))  # [G, D]

  def change(index: np.ndarray, values: Ragged) -> Ragged:
    at, real = of[index][values.owners()], stream.mask.take(index).values[:, None]
    return Ragged(np.where(real, (values.values - mean[at]) / scale[at], values.values), values.offsets)

  return Changed(stream, stream.mask, change).settled()
