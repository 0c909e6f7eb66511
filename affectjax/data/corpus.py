"""What a corpus is in memory: its metadata, and columns of examples that may be ragged in time."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
  from affectjax.data.store.records import Stored


@dataclasses.dataclass(frozen=True)
class Ragged:
  """Sequences of unequal length laid end to end.

  Attributes:
    values: [sum of T, ...] all steps of all examples, oldest first.
    offsets: [N + 1] int64; example i is `values[offsets[i]:offsets[i + 1]]`.
  """

  values: np.ndarray
  offsets: np.ndarray

  @classmethod
  def stack(cls, sequences: Sequence[np.ndarray]) -> 'Ragged':
    """Lays sequences [T_i, ...] end to end."""
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sequences])]).astype(np.int64)
    return cls(np.concatenate(list(sequences)), offsets)

  def __len__(self) -> int:
    return len(self.offsets) - 1

  def __getitem__(self, i: int) -> np.ndarray:
    return self.values[self.offsets[i] : self.offsets[i + 1]]

  @property
  def lengths(self) -> np.ndarray:
    """Steps of each example, [N] int64."""
    return np.diff(self.offsets)

  def take(self, rows: np.ndarray) -> 'Ragged':
    """The examples at `rows` [M], in that order."""
    return Ragged.stack([self[i] for i in rows]) if len(rows) else Ragged(self.values[:0], np.zeros(1, np.int64))

  def owners(self) -> np.ndarray:
    """The example each step belongs to, [sum of T] int64."""
    return np.repeat(np.arange(len(self)), self.lengths)

  def padded(self, length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Zero-padded values [N, T, ...] and the mask of real steps [N, T] bool; longer examples are refused."""
    length = int(self.lengths.max(initial=0)) if length is None else length
    if self.lengths.max(initial=0) > length:
      raise ValueError(f'a sequence of {self.lengths.max()} steps does not fit into {length}')
    mask = np.arange(length) < self.lengths[:, None]  # [N, T]
    out = np.zeros((len(self), length, *self.values.shape[1:]), self.values.dtype)
    out[mask] = self.values
    return out, mask


Column = np.ndarray | Ragged
Columns = Mapping[str, Column]


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A corpus, real or synthetic, ready to be read.

  Attributes:
    name: of the adapter or twin, or what a user called a corpus of their own.
    kind: 'synthetic' or 'prepared'.
    version: of the adapter's or twin's schema.
    sha256: of the content (prepared) or of generator and knobs (synthetic).
    counts: examples per split.
    meta: `modalities` {name: width}, `rate_hz` {name: float or None}, `attributes` (names along A of `ratings`),
      `emotions` (class names), `labels` (how labels were aggregated), `licence`, and whatever else is said of it.
    columns: split -> its columns, read whole into memory.
    stored: the same on disk; None for a twin, which is made in memory.
  """

  name: str
  kind: str
  version: str
  sha256: str
  counts: Mapping[str, int]
  meta: Mapping[str, Any]
  columns: Callable[[str], Columns]
  stored: 'Stored | None' = None

  def describe(self) -> dict[str, Any]:
    """What a record says of its data."""
    return {
      'corpus': self.name, 'version': self.version, 'kind': self.kind, 'sha256': self.sha256,
      'counts': dict(self.counts),
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Reading:
  """A corpus in the layout it is distributed in, before it is prepared. Adapters return it from `read(source)`.

  Attributes:
    meta: as in `Corpus`.
    keys: split -> the keys of its examples, in the order in which they are written.
    example: (split, key) -> one example as a dict of arrays and strings. Called once per key; it raises
      `UserError` for bad input. Unlabelled frames have NaN labels (never zero).
    files: the source files that matter, for the fingerprint that lets an interrupted preparation go on.
    begin: called once, before examples are read to be written; not if the corpus is there already.
  """

  meta: Mapping[str, Any]
  keys: Mapping[str, Sequence[Any]]
  example: Callable[[str, Any], Mapping[str, Any]]
  files: Sequence[Any]
  begin: Callable[[], None] = lambda: None
