"""Reads ArrayRecord shards of a prepared corpus: whole splits into columns, or a few examples at a time."""

import bisect
import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common import errors
from affectjax.data.corpus import Columns, Ragged
from affectjax.data.store import schema, wire

MANIFEST = 'affectjax.json'
# every record is its own group, which random access needs; snappy reads twice as fast as the default (zstd)
# and still takes most of the space from masks, zeros and bits
WRITER_OPTIONS = 'group_size:1,snappy'
_BATCH = 256
OPEN_SHARDS = 200  # shards of a split that are kept open; a process may have no more than about a thousand files


def open_shard(path: Path) -> Any:
  """An ArrayRecord reader without threads of its own, which several threads may share."""
  from array_record.python import array_record_module

  options = 'readahead_buffer_size:0,max_parallelism:0'
  try:
    return array_record_module.ArrayRecordReader(str(path), options=options, file_reader_buffer_size=1 << 15)
  except Exception as e:  # the module raises whatever its C++ status maps to
    raise _damaged(path, e) from e


def read_shard(path: Path) -> Iterator[bytes]:
  """All records of a shard in order; damage is a UserError."""
  reader = open_shard(path)
  count = reader.num_records()
  for start in range(0, count, _BATCH):
    try:
      yield from reader.read(start, min(start + _BATCH, count))
    except Exception as e:
      raise _damaged(path, e) from e
  reader.close()


def read_fields(info: Mapping[str, Any]) -> schema.Fields:
  """The dtypes and shapes in affectjax.json."""
  return {key: (dtype, tuple(shape)) for key, (dtype, shape) in info['fields'].items()}


def read_examples(
  where: Path, info: Mapping[str, Any], split: str, keys: Collection[str] | None = None
) -> Iterator[tuple[bytes, schema.Example]]:
  """The stored bytes and the example (of these keys, or all) of each record of a split, in order."""
  fields = read_fields(info)
  for shard in info['splits'][split]['shards']:
    for record in read_shard(where / shard['file']):
      yield record, _decode(record, fields, where / shard['file'], keys)


def read_columns(where: Path, info: Mapping[str, Any], split: str, keys: Collection[str] | None = None) -> Columns:
  """A whole split in memory, of these keys, or all.

  Returns:
    Strings and arrays of fixed shape [N, ...], and Ragged for those whose first axis is time.
  """
  fields, stats = read_fields(info), info['splits'][split]
  fields = fields if keys is None else {k: v for k, v in fields.items() if k in keys}
  n, steps = stats['examples'], {k: v for k, v in stats['steps'].items() if k in fields}
  texts = {k: [] for k, (dtype, _) in fields.items() if dtype == 'str'}
  flat = {  # of known size, so that nothing is ever held twice
    k: np.empty((steps[k], *shape[1:]) if k in steps else (n, *shape), dtype)
    for k, (dtype, shape) in fields.items()
    if dtype != 'str'
  }
  offsets = {k: np.zeros(n + 1, np.int64) for k in steps}
  rows = -1
  for rows, (_, example) in enumerate(read_examples(where, info, split, tuple(fields))):
    if rows >= n:
      break
    for key, x in example.items():
      if key in texts:
        texts[key].append(x)
      elif key in offsets:
        start = offsets[key][rows]
        stop = offsets[key][rows + 1] = start + len(x)
        if stop > len(flat[key]):
          raise errors.UserError(f'{where}: {split} holds more of {key} than {MANIFEST} says; prepare it again')
        flat[key][start:stop] = x
      else:
        flat[key][rows] = x
  if rows + 1 != n:
    raise errors.UserError(f'{where}: {split} does not hold the {n} examples that {MANIFEST} says; prepare it again')
  out = {k: Ragged(x, offsets[k]) if k in offsets else x for k, x in flat.items()}
  return {k: out[k] if k in out else np.array(texts[k], np.str_) for k in fields}


class Stored:
  """A prepared corpus on disk, of which parts are read.

  Attributes:
    where: `<data_dir>/<corpus>/<version>`.
    info: what affectjax.json says.
  """

  def __init__(self, where: Path, info: Mapping[str, Any]):
    self.where, self.info = where, info
    self._sources: dict[str, RecordSource] = {}

  def gigabytes(self, key: str) -> float:
    """What a column with time takes in memory, all splits together."""
    dtype, shape = read_fields(self.info)[key]
    steps = sum(split['steps'][key] for split in self.info['splits'].values())
    return steps * int(np.prod(shape[1:])) * np.dtype(dtype).itemsize / 1e9

  def columns(self, split: str, without: Collection[str] = ()) -> Columns:
    """A split's columns, read into memory, but those named."""
    if split not in self.info['splits']:
      raise errors.unknown(f'split of {self.info["name"]}', split, self.info['splits'])
    return read_columns(self.where, self.info, split, [k for k in self.info['fields'] if k not in without])

  def source(self, split: str) -> 'RecordSource':
    """Random access to a split; the same for all that ask."""
    if split not in self._sources:
      self._sources[split] = RecordSource(self.where, split)
    return self._sources[split]


class RecordSource:
  """Random access to a prepared split that stays on disk.

  `source[i]` is example i as it was written; `gather(indices)` a batch of them, padded. Threads may share it.
  """

  def __init__(self, corpus_dir: Path, split: str):
    """Opens no shard yet; `corpus_dir` is `<data_dir>/<corpus>/<version>`."""
    self._dir = Path(corpus_dir)
    try:
      self._info = json.loads((self._dir / MANIFEST).read_text('utf-8'))
    except (OSError, ValueError) as e:
      raise errors.UserError(f'{self._dir / MANIFEST}: missing or damaged; prepare the corpus again') from e
    if split not in self._info['splits']:
      raise errors.unknown(f'split of {self._info["name"]}', split, self._info['splits'])
    stats = self._info['splits'][split]
    self._shards = [self._dir / s['file'] for s in stats['shards']]
    self._ends = np.cumsum([s['examples'] for s in stats['shards']]).tolist()
    self._longest = stats['longest']
    self._fields = read_fields(self._info)
    self._reader = functools.lru_cache(OPEN_SHARDS)(lambda shard: open_shard(self._shards[shard]))

  def __len__(self) -> int:
    return self._ends[-1]

  def __getitem__(self, index: int) -> schema.Example:
    return self.read([index])[0]

  def gather(self, indices: Sequence[int], max_frames: int | None = None, crop: bool = False) -> dict[str, np.ndarray]:
    """A batch of examples in the order of `indices` [B].

    Every axis of time is padded to the longest of the split, or to `max_frames` if that is less, so that the
    shapes of all batches agree. Padding is 0 in features, False in masks, NaN in labels and -1 in classes.

    Args:
      indices: of the examples, each in [0, len).
      max_frames: the longest T.
      crop: whether to cut examples that are longer; otherwise they are refused.

    Returns:
      key -> [B, ...] array, [B, T, ...] for what has time.
    """
    examples = self.read(indices)
    out = {}
    for key, (dtype, shape) in self._fields.items():
      values = [e[key] for e in examples]
      if key not in self._longest:
        out[key] = np.array(values, np.str_ if dtype == 'str' else dtype)
        continue
      length = min(self._longest[key], max_frames or self._longest[key])
      fill = np.nan if key in schema.LABELS else -1 if key == 'emotion' else 0
      x = out[key] = np.full((len(values), length, *shape[1:]), fill, dtype)  # [B, T, ...]
      for row, value in enumerate(values):
        if len(value) > length and not crop:
          raise errors.UserError(
            f'id {examples[row]["id"]!r}: {key} has {len(value)} frames, more than max_frames={max_frames}'
          )
        x[row, : len(value)] = value[:length]
    return out

  def read(self, indices: Sequence[int], keys: Collection[str] | None = None) -> list[schema.Example]:
    """The examples at `indices`, in that order, of these keys, or all; one call per shard."""
    wanted: dict[int, list[tuple[int, int]]] = {}  # shard -> (position in it, position in the batch)
    for at, index in enumerate(indices):
      if not 0 <= index < len(self):
        raise IndexError(f'example {index} of {len(self)}')
      shard = bisect.bisect_right(self._ends, index)
      start = self._ends[shard - 1] if shard else 0
      wanted.setdefault(shard, []).append((int(index) - start, at))
    out: list[Any] = [None] * len(indices)
    for shard, places in wanted.items():
      path = self._shards[shard]
      reader = self._reader(shard)
      try:
        records = reader.read([position for position, _ in places])
      except Exception as e:
        raise _damaged(path, e) from e
      for (_, at), record in zip(places, records, strict=True):
        out[at] = _decode(record, self._fields, path, keys)
    return out


def _decode(record: bytes, fields: schema.Fields, path: Path, keys: Collection[str] | None) -> schema.Example:
  try:
    return wire.decode(record, fields, keys)
  except ValueError as e:
    raise _damaged(path, e) from e


def _damaged(path: Path, e: Exception) -> errors.UserError:
  return errors.UserError(f'{path}: damaged ({str(e)[:200]}); remove the prepared corpus and prepare it again')
