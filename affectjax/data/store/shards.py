"""Writes a corpus as ArrayRecord shards in TFDS format; what was written before an interruption is kept."""

import collections
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common import errors
from affectjax.data.corpus import Reading
from affectjax.data.store import records, schema, wire

SHARD_BYTES = 48 << 20
SHARD_EXAMPLES = 50_000
_TEMPLATE = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}'
_PROGRESS = 'progress'  # folder of notes, one per finished shard
_IDENTITY = 'identity.json'


@dataclasses.dataclass
class Job:
  """One preparation.

  Attributes:
    name, version, reading: what is prepared.
    work: the folder to write into.
    identity: options, policy, source files, and `features_as` if that is not float32; work found there under another
      identity is thrown away.
    workers: threads that read ahead of the writer.
    progress: called with (done, total) after every example.
  """

  name: str
  version: str
  reading: Reading
  work: Path
  identity: Mapping[str, Any]
  workers: int
  progress: Callable[[int, int], None]
  done: int = 0
  fields: schema.Fields | None = None
  seen: dict[str, str] = dataclasses.field(default_factory=dict)  # id -> where it stood first

  @property
  def half(self) -> tuple[str, ...]:
    """The modalities that are stored as float16."""
    return tuple(self.reading.meta['modalities']) if self.identity.get('features_as') == 'float16' else ()

  def advance(self) -> None:
    """Says that one more example is done."""
    self.done += 1
    self.progress(self.done, sum(map(len, self.reading.keys.values())))


def write(job: Job) -> None:
  """Fills `job.work` with shards, TFDS metadata and affectjax.json; nothing else is left in it."""
  note = job.work / _IDENTITY
  text = json.dumps({'version': job.version, **job.identity}, sort_keys=True)
  if not (note.is_file() and note.read_text('utf-8') == text):
    shutil.rmtree(job.work)
    job.work.mkdir()
    _save(note, text)
  (job.work / _PROGRESS).mkdir(exist_ok=True)
  splits = {split: _Split(job, split).write() for split in job.reading.keys}
  combined = '\n'.join(f'{split} {s["sha256"]}' for split, s in splits.items())
  info = {
    'name': job.name,
    'kind': 'prepared',
    'version': job.version,
    'sha256': hashlib.sha256(combined.encode()).hexdigest(),
    'meta': job.reading.meta,
    'fields': job.fields,
    'splits': splits,
    'created': job.identity,
  }
  shutil.rmtree(job.work / _PROGRESS)
  note.unlink()
  _write_tfds(job, splits)
  _save(job.work / records.MANIFEST, json.dumps(info, indent=1))


class _Split:
  """Writes one split, shard by shard."""

  def __init__(self, job: Job, split: str):
    self._job, self._name, self._keys = job, split, job.reading.keys[split]
    self._next = 0  # the first key that is in no shard yet
    self._shards: list[dict[str, Any]] = []
    self._tally: schema.Tally | None = None
    self._nonfinite = {m: collections.Counter() for m in job.reading.meta['modalities']}
    self._dropped: list[str] = []

  def write(self) -> dict[str, Any]:
    """Returns what affectjax.json says of the split."""
    while self._resume():
      pass
    for path in self._job.work.glob(f'{self._path().name[:-5]}*'):
      if path.name not in {s['file'] for s in self._shards}:
        path.unlink()
    raws = self._read_ahead()
    while self._next < len(self._keys):
      self._write_shard(raws)
    if not self._shards:
      raise errors.UserError(f'{self._job.name}: all {len(self._keys)} examples of {self._name} were dropped')
    return {
      **self._tally.summary(),
      'shards': self._shards,
      'nonfinite': self._nonfinite,
      'dropped': self._dropped,
    }

  def _path(self) -> Path:
    return self._job.work / f'{self._job.name}-{self._name}.array_record-{len(self._shards):05d}'

  def _note(self) -> Path:
    return self._job.work / _PROGRESS / f'{self._path().name}.json'

  def _resume(self) -> bool:
    """Takes over the next shard if it was finished before; its examples go through the same counts again."""
    path, note = self._path(), self._note()
    if not (path.is_file() and note.is_file()):
      return False
    state = json.loads(note.read_text('utf-8'))
    self._job.fields = {k: (dtype, tuple(shape)) for k, (dtype, shape) in state['fields'].items()}
    for record in records.read_shard(path):
      self._count(record, wire.decode(record, self._job.fields))
    for _ in range(self._next, state['next']):
      self._job.advance()
    self._finish(path, state)
    return True

  def _finish(self, path: Path, state: Mapping[str, Any]) -> None:
    self._next = state['next']
    self._dropped += state['dropped']
    for name, counts in state['nonfinite'].items():
      self._nonfinite[name].update(counts)
    if state['examples']:
      self._shards.append({'file': path.name, 'examples': state['examples'], 'size': path.stat().st_size})

  def _write_shard(self, raws: Iterator[Mapping[str, Any]]) -> None:
    path, note = self._path(), self._note()
    temporary = path.with_name(f'.{path.name}.tmp')
    state = {'next': self._next, 'examples': 0, 'dropped': [], 'nonfinite': {m: {} for m in self._nonfinite}}
    size = 0
    with _Writer(temporary) as writer:
      while state['next'] < len(self._keys) and size < SHARD_BYTES and state['examples'] < SHARD_EXAMPLES:
        example = self._example(next(raws), state)
        state['next'] += 1
        self._job.advance()
        if example is None:
          continue
        record = wire.encode(example, self._job.half)
        self._count(record, example)
        writer.write(record)
        size += len(record)
        state['examples'] += 1
    with open(temporary, 'rb') as f:
      os.fsync(f.fileno())
    if state['examples']:  # the note first: a shard without one is not taken over
      _save(note, json.dumps({**state, 'fields': self._job.fields}))
      os.replace(temporary, path)
    else:
      temporary.unlink()
    self._finish(path, state)

  def _example(self, raw: Mapping[str, Any], state: dict[str, Any]) -> schema.Example | None:
    """The example as it is stored, or None if it is dropped; counts what was not finite in `state`, a shard's note."""
    meta = self._job.reading.meta
    example = schema.complete(raw, meta, f'{self._job.name}: {self._name} example {state["next"]}')
    if self._job.fields is None:
      self._job.fields = schema.derive(example, meta)
    schema.check(example, self._job.fields)
    try:
      nonfinite = schema.treat(example, meta['modalities'], self._job.identity['nonfinite'])
    except schema.Dropped as e:
      nonfinite = e.args[0]
      state['dropped'].append(example['id'])
      example = None
    else:
      schema.halve(example, self._job.half)
    for name, counts in nonfinite.items():
      total = state['nonfinite'][name]
      for key, count in {**counts, 'examples': 1}.items():
        total[key] = total.get(key, 0) + count
    return example

  def _count(self, record: bytes, example: schema.Example) -> None:
    if self._tally is None:
      self._tally = schema.Tally(self._job.fields)
    here = f'{self._name} example {self._tally.count}'
    first = self._job.seen.setdefault(example['id'], here)
    if first != here:
      raise errors.UserError(
        f'{self._job.name}: id {example["id"]!r} stands twice, in {first} and {here}; expected once'
      )
    self._tally.add(record, example)

  def _read_ahead(self) -> Iterator[Mapping[str, Any]]:
    """The adapter's examples from the next key on, in order."""
    job, keys = self._job, self._keys[self._next :]
    if job.workers <= 1:
      yield from (job.reading.example(self._name, key) for key in keys)
      return
    with futures.ThreadPoolExecutor(job.workers) as pool:
      ahead = collections.deque()
      for key in itertools.chain(keys, [None] * 2 * job.workers):
        ahead.append(None if key is None else pool.submit(job.reading.example, self._name, key))
        if len(ahead) > 2 * job.workers and (first := ahead.popleft()) is not None:
          yield first.result()


class _Writer:
  """An ArrayRecord file being written; a full disk is an OSError, which the module itself calls RuntimeError."""

  def __init__(self, path: Path):
    from array_record.python import array_record_module

    self._writer = array_record_module.ArrayRecordWriter(str(path), records.WRITER_OPTIONS)

  def __enter__(self) -> '_Writer':
    return self

  def __exit__(self, *error: Any) -> None:
    self._call(self._writer.close)

  def write(self, record: bytes) -> None:
    self._call(self._writer.write, record)

  def _call(self, method: Callable, *arguments: bytes) -> None:
    try:
      method(*arguments)
    except RuntimeError as e:
      raise OSError(str(e)) from e


def _write_tfds(job: Job, splits: Mapping[str, Any]) -> None:
  """features.json and dataset_info.json, by TFDS itself."""
  import tensorflow_datasets as tfds

  def feature(key: str, dtype: str, shape: tuple[int | None, ...]) -> tfds.features.FeatureConnector:
    if dtype == 'str':
      return tfds.features.Text()
    if key in job.half:
      return tfds.features.Tensor(shape=shape, dtype=np.float16, encoding='bytes')
    return tfds.features.Tensor(shape=shape, dtype=np.dtype(dtype).type)

  features = {key: feature(key, *field) for key, field in job.fields.items()}
  template = tfds.core.ShardedFileTemplate(
    data_dir=job.work, dataset_name=job.name, filetype_suffix='array_record', template=_TEMPLATE
  )
  split_infos = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=[shard['examples'] for shard in s['shards']],
      num_bytes=s['bytes'],
      filename_template=template.replace(split=split),
    )
    for split, s in splits.items()
  ]
  tfds.folder_dataset.write_metadata(
    data_dir=job.work,
    features=features,
    split_infos=split_infos,
    version=job.version,
    filename_template=template,
    check_data=False,  # it would read the first example with TensorFlow
    description=f'{job.name}, prepared by affectjax; see {records.MANIFEST}',
  )


def _save(path: Path, text: str) -> None:
  temporary = path.with_name(f'.{path.name}.tmp')
  with open(temporary, 'w', encoding='utf-8') as f:
    f.write(text)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)
