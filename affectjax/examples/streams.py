"""The frames of one modality for all examples of a corpus, in memory or on disk, with the same calls and values.

Axes: N examples, T frames of an example, D features, B examples of a batch.
"""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from affectjax.data.corpus import Ragged
from affectjax.data.store.records import RecordSource

CHUNK = 2**22  # values (D times frames) that a pass over a stream looks at together


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
  """An array [N, ...] that is read where it is indexed, for what stays on disk.

  Attributes:
    shape: N and the axes behind it.
    take: index [B] -> [B, ...].
  """

  shape: tuple[int, ...]
  take: Callable[[np.ndarray], np.ndarray]

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, index: np.ndarray) -> np.ndarray:
    return self.take(index.ravel()).reshape(*index.shape, *self.shape[1:])


class Stream(abc.ABC):
  """Frames of N examples; the mask is always in memory, the features may not be.

  Attributes:
    mask: of each example [T] bool, its real frames.
    on_disk: whether reading goes to disk.
  """

  mask: Ragged
  on_disk: ClassVar[bool] = False

  @property
  @abc.abstractmethod
  def width(self) -> int:
    """D, the features of a frame."""

  @abc.abstractmethod
  def read(self, index: np.ndarray) -> Ragged:
    """The frames of the examples at `index` [B], in that order."""

  @property
  def lengths(self) -> np.ndarray:
    """Frames of each example, [N]."""
    return self.mask.lengths

  @property
  def present(self) -> np.ndarray:
    """Whether an example has a real frame, [N] bool."""
    return np.array([self.mask[i].any() for i in range(len(self))], bool)

  def __len__(self) -> int:
    return len(self.mask)

  def frames(self) -> np.ndarray:
    """The real frames of all examples, [M, D]; for few examples."""
    return np.concatenate([x.values[self.mask.take(part).values] for part, x in self.chunks()])

  @abc.abstractmethod
  def gather(self, index: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A padded batch: features [B, frames, D] float32, zeros where no frame is real, and the mask [B, frames] bool.

    An example with more frames than that is cut at its end.
    """

  def chunks(self, index: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Ragged]]:
    """(positions in `index`, their frames), some examples at a time, in order; `index` [M] is of all by default."""
    index = np.arange(len(self)) if index is None else index
    for part in self.parts(index):
      yield part, self.read(index[part])

  def parts(self, index: np.ndarray) -> list[np.ndarray]:
    """Positions in `index` [M], in order, by what a pass looks at together."""
    if not len(index):
      return []
    ends = np.cumsum(self.lengths[index] * self.width)
    return np.split(np.arange(len(index)), np.flatnonzero(np.diff(ends // CHUNK)) + 1)

  def dense(self) -> tuple[np.ndarray | Rows, np.ndarray]:
    """Features [N, T, D] and mask [N, T] of examples that all have T frames; in memory views, not copies."""
    n, frames = len(self), int(self.lengths.max(initial=0))
    if (self.lengths != frames).any():
      raise ValueError(f'examples of {self.lengths.min()} to {frames} frames; expected as many of each')
    return self._dense((n, frames, self.width)), self.mask.values.reshape(n, frames)

  def _dense(self, shape: tuple[int, ...]) -> np.ndarray | Rows:
    return Rows(shape, lambda index: self.read(index).values)


@dataclasses.dataclass(frozen=True, eq=False)
class Memory(Stream):
  """Features in memory.

  Attributes:
    values: of each example [T, D] float32.
    mask: of each example [T] bool.
  """

  values: Ragged
  mask: Ragged

  @property
  def width(self) -> int:
    """D, the features of a frame."""
    return self.values.values.shape[1]

  def read(self, index: np.ndarray) -> Ragged:
    """As in `Stream`; a view where the examples follow one another."""
    if len(index) and (np.diff(index) == 1).all():  # examples in a row: a view
      first, end = self.values.offsets[index[0]], self.values.offsets[index[-1] + 1]
      offsets = self.values.offsets[index[0] : index[-1] + 2] - first
      return Ragged(self.values.values[first:end], offsets)
    return self.values.take(index)

  def gather(self, index: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """As in `Stream`."""
    values, offsets = self.values.values, self.values.offsets
    if len(values) == len(self) and frames == 1 and (self.lengths == 1).all():
      real = self.mask.values[index]
      x = values[index]
      return (x if real.all() else np.where(real[:, None], x, np.float32(0)))[:, None], real[:, None]
    at = offsets[index][:, None] + np.arange(frames)
    inside = at < offsets[index + 1][:, None]
    at = np.where(inside, at, 0)
    real = inside & self.mask.values[at]
    return np.where(real[..., None], values[at], np.float32(0)), real

  def _dense(self, shape: tuple[int, ...]) -> np.ndarray:
    return self.values.values.reshape(shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Disk(Stream):
  """Features that stay on disk, in the shards of a prepared corpus.

  Attributes:
    key: the modality.
    features: D.
    sources: of the corpus's splits, whose examples follow one another.
    mask: of each example [T] bool.
  """

  on_disk: ClassVar[bool] = True
  key: str
  features: int
  sources: Sequence[RecordSource]
  mask: Ragged

  @property
  def width(self) -> int:
    """D, the features of a frame."""
    return self.features

  def read(self, index: np.ndarray) -> Ragged:
    """As in `Stream`, from the shards."""
    frames = self._frames(index)
    return Ragged.stack(frames) if frames else Ragged(np.zeros((0, self.features), np.float32), np.zeros(1, np.int64))

  def gather(self, index: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """As in `Stream`, from the shards."""
    return padded(self._frames(index), self.mask.take(index), frames, self.features)

  def _frames(self, index: np.ndarray) -> list[np.ndarray]:
    """[T, D] of each example at `index`."""
    ends = np.cumsum([len(s) for s in self.sources])
    number = np.searchsorted(ends, index, side='right')
    frames: list[Any] = [None] * len(index)
    for k in np.unique(number):
      own = np.flatnonzero(number == k)
      first = ends[k] - len(self.sources[k])
      for at, example in zip(own, self.sources[k].read((index[own] - first).tolist(), (self.key,)), strict=True):
        frames[at] = example[self.key]
    return frames


@dataclasses.dataclass(frozen=True, eq=False)
class Changed(Stream):
  """Features that are made of another stream's as they are read.

  Attributes:
    source: the other stream.
    mask: of each example [T] bool.
    change: (index [B], the frames of `source` there) -> the frames wanted, as wide as those.
  """

  source: Stream
  mask: Ragged
  change: Callable[[np.ndarray, Ragged], Ragged]

  @property
  def on_disk(self) -> bool:
    return self.source.on_disk

  @property
  def width(self) -> int:
    return self.source.width

  def read(self, index: np.ndarray) -> Ragged:
    return self.change(index, self.source.read(index))

  def gather(self, index: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    return padded(self.read(index), self.mask.take(index), frames, self.width)

  def settled(self) -> Stream:
    """The same in memory, where `source` is; else itself."""
    if self.on_disk:
      return self
    values = np.empty((len(self.mask.values), self.width), np.float32)
    for part, x in self.chunks():
      values[self.mask.offsets[part[0]] : self.mask.offsets[part[-1] + 1]] = x.values
    return Memory(Ragged(values, self.mask.offsets), self.mask)


def padded(
  values: Ragged | Sequence[np.ndarray], mask: Ragged, frames: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
  """Zero-padded features [B, frames, width] and mask [B, frames] of `values` and `mask`; cut at the end if longer."""
  x = np.zeros((len(values), frames, width), np.float32)
  real = np.zeros((len(values), frames), bool)
  for i in range(len(values)):
    good = mask[i][:frames]
    real[i, : len(good)] = good
    x[i, : len(good)] = values[i][:frames]
    if not good.all():
      x[i, : len(good)][~good] = 0
  return x, real
