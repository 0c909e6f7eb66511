"""Prepares a corpus: reads it as distributed and writes ArrayRecord shards in TFDS format, without TensorFlow.

All is written to `<version>.incomplete` and renamed when complete, so a folder without that suffix is whole.
An interrupted preparation goes on with the shard it was at, if source, options and adapter are still the same.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from affectjax.common import errors
from affectjax.data.corpus import Corpus, Reading
from affectjax.data.store import opening, schema, shards


def prepare(
  name: str,
  source: Path,
  data_dir: Path,
  *,
  nonfinite: str = 'error',
  features_as: str = 'float32',
  options: Mapping[str, Any] | None = None,
  workers: int = 1,
  progress: Callable[[int, int], None] | None = None,
  reader: Any = None,
) -> Corpus:
  """Reads a corpus in its distributed layout and writes it below `data_dir`.

  Args:
    name: of the corpus; `affectjax.data.corpora.<name>` reads it, or `reader`.
    source: the folder as distributed.
    data_dir: where prepared corpora go.
    nonfinite: what to do about non-finite features: 'error', 'drop' the example, or 'mask' the frame.
    features_as: 'float32', or 'float16' for files half the size; either is read as float32. Labels stay float32.
    options: of the adapter, by name.
    workers: threads that read ahead of the writer; 1 reads in turn.
    progress: called with (done, total) after every example.
    reader: of a corpus of the user's own (affectjax.data.own.labelled.Reader), whose name no other corpus may have.

  Returns:
    The prepared corpus; if it was prepared before, from the same source in the same way, as it is.

  Raises:
    UserError: for anything wrong with the source. Nothing is left behind that counts as prepared.
  """
  if reader is not None:
    opening.refuse_taken(name)
  module = opening.adapter(name) if reader is None else reader
  version = opening.OWN_VERSION if reader is not None else module.VERSION
  source, options = Path(source).expanduser(), dict(options or {})
  if nonfinite not in schema.POLICIES:
    raise errors.unknown('policy for non-finite features', nonfinite, schema.POLICIES)
  if features_as not in schema.FLOATS:
    raise errors.unknown('type that features can be stored as', features_as, schema.FLOATS)
  if not source.exists():
    raise errors.UserError(f'{source}: no such folder; expected {name} as distributed (--source)')
  opening.refuse_unknown(f'option of {name}', module.read, options)
  reading = module.read(source, **options)
  _check_reading(name, reading)
  identity = {'options': options, 'nonfinite': nonfinite, 'files': _fingerprint(source, reading.files)}
  if features_as != 'float32':
    identity['features_as'] = features_as
  if reader is not None:
    identity['form'] = opening.OWN
  final = Path(data_dir).expanduser() / name / version
  if final.exists():
    have = opening.manifest(name, data_dir)['created']
    if have != identity:
      differs = ', '.join(k for k in sorted({*identity, *have}) if have.get(k) != identity.get(k))
      raise errors.UserError(f'{final}: already prepared from other {differs}; remove it to prepare it again')
    return opening.open_corpus(name, data_dir)
  work = opening.incomplete(final)
  job = shards.Job(name, version, reading, work, identity, workers, progress or (lambda *_: None))
  try:
    work.mkdir(parents=True, exist_ok=True)
    with _locked(work):
      try:
        reading.begin()
        shards.write(job)
      except errors.UserError as e:  # another source or policy will be needed: nothing here is of use
        shutil.rmtree(work)
        raise e if str(source) in str(e) else errors.UserError(f'{source}: {e}') from e
      os.replace(work, final)
  except OSError as e:
    raise errors.UserError(f'{work}: cannot write ({e}); check space and permissions') from e
  return opening.open_corpus(name, data_dir)


def _check_reading(name: str, reading: Reading) -> None:
  if not reading.keys or not any(map(len, reading.keys.values())):
    raise errors.UserError(f'{name}: the source holds no examples')
  for split, keys in reading.keys.items():
    if not re.fullmatch(r'[a-z][a-z0-9_]*', split):
      raise errors.UserError(f'{name}: split {split!r}, expected a name of small letters, digits and underscores')
    if not len(keys):
      raise errors.UserError(f'{name}: split {split!r} holds no examples')


def _fingerprint(source: Path, files: Any) -> dict[str, Any]:
  """Number of source files and a hash over their names, sizes and times of change."""
  lines = []
  for path in sorted({Path(f) for f in files}):
    try:
      stat = path.stat()
    except OSError as e:
      raise errors.UserError(f'{path}: cannot be read ({e.strerror})') from e
    lines.append(f'{os.path.relpath(path, source)} {stat.st_size} {stat.st_mtime_ns}')
  return {'count': len(lines), 'sha256': hashlib.sha256('\n'.join(lines).encode()).hexdigest()}


@contextlib.contextmanager
def _locked(work: Path) -> Iterator[None]:
  """Holds a lock that dies with its process, so that two preparations never write into one folder."""
  handle = os.open(work.parent, os.O_RDONLY)
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    yield
  except BlockingIOError as e:
    raise errors.UserError(f'{work}: another preparation is writing there; wait for it') from e
  finally:
    os.close(handle)
