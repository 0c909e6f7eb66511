"""Corpora of recordings whose names say all about them: a folder of features, or frames end to end in one npz.

The npz, as the data packs of eGeMAPS descriptors have it:
  lld [N, D] floats, offsets [n + 1], files [n] such as 03a01Fa.wav, lld_names [D]: frames of recording i are
  lld[offsets[i]:offsets[i + 1]], 10 ms apart
Beside it lies metadata.csv, which must say of every recording what its name and the offsets do.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.corpora import _clips

PACK, TABLE = 'egemaps_lld_10ms.npz', 'metadata.csv'
RATE = 100.0  # Hz
Parse = Callable[[str, str], Any]  # (name, where it stands) -> what the name says, a NamedTuple; refuses other names
Refuse = Callable[[Path, list[str]], None]  # (where, names): refuses names that do not go together


def choose(source: Path, absent: str, audio_hz: str | float | None) -> tuple[bool, float]:
  """Whether the pack lies in `source` (or a folder `features`), and the frames per second.

  Args:
    source: the corpus.
    absent: what to say where neither is there.
    audio_hz: of features in a folder; None for the pack's.

  Raises:
    UserError: both or neither is there, or a rate is given for the pack, which has its own.
  """
  packed = (source / PACK).exists()
  if packed == (source / 'features').exists():
    raise UserError(f'{source}: {f"both {PACK} and features; keep one" if packed else absent}')
  if packed and audio_hz is not None:
    raise UserError(f'option audio_hz: {audio_hz}, but frames of {PACK} are 10 ms apart; leave it out')
  return packed, RATE if audio_hz is None else _clips.rate('audio_hz', audio_hz)


def _read(path: Path) -> tuple[list[str], np.ndarray, list[str], Callable[[str], np.ndarray]]:
  """The npz, checked: names without .wav and frames [n] of the recordings, names of the D features, `Layout.load`."""
  lld, offsets, files, columns = features.load_npz(path, ['lld', 'offsets', 'files', 'lld_names']).values()
  for name, x, kinds, ndim in (
    ('lld', lld, 'f', 2), ('offsets', offsets, 'iu', 1), ('files', files, 'U', 1), ('lld_names', columns, 'U', 1)
  ):  # fmt: skip
    if x.ndim != ndim or x.dtype.kind not in kinds or not x.size:
      wanted = {'f': 'floats [N, D]', 'iu': 'integers [files + 1]', 'U': 'text [n]'}[kinds]
      raise UserError(f'{path}: {name} is {x.dtype} {list(x.shape)}, expected {wanted}')
  if lld.shape[1] != len(columns):
    raise UserError(f'{path}: lld has {lld.shape[1]} columns, lld_names {len(columns)}; expected the same')
  if len(offsets) != len(files) + 1 or offsets[0] != 0 or offsets[-1] != len(lld):
    raise UserError(f'{path}: {len(offsets)} offsets from {offsets[0]} to {offsets[-1]}, expected {len(files) + 1} '
                    f'from 0 to {len(lld)}')  # fmt: skip
  frames = np.diff(offsets.astype(np.int64))
  if (frames < 1).any():
    i = int(np.argmax(frames < 1))
    raise UserError(f'{path}: {files[i]} has {frames[i]} frames by the offsets, expected one or more')
  names = [str(name).removesuffix('.wav') for name in files]
  rows = {name: i for i, name in enumerate(names)}
  if len(rows) < len(names):
    again = next(name for i, name in enumerate(names) if rows[name] != i)
    raise UserError(f'{path}: files has {again!r} twice; expected every recording once')
  load = lambda name: features.as_float32(path, lld[offsets[rows[name]] : offsets[rows[name] + 1]])
  return names, frames, columns.tolist(), load


class Layout(NamedTuple):
  """A corpus as one of its layouts has it.

  Attributes:
    recordings: name -> what the name says, a NamedTuple.
    width: D, features per frame.
    load: name -> [T, D] float32.
    files: what was read.
    columns: names of the D features, if they are known.
  """

  recordings: Mapping[str, Any]
  width: int
  load: Callable[[str], np.ndarray]
  files: list[Path]
  columns: list[str] | None


def read_folder(folder: Path, example: str, parse: Parse, refuse: Refuse = lambda *_: None) -> Layout:
  """A folder with one feature file per recording.

  Args:
    folder: of the files.
    example: the name of a file, for messages.
    parse, refuse: of the names.
  """
  if not folder.is_dir():
    raise UserError(f'{folder}: a file, expected a folder of features')
  names = sorted({p.stem for p in folder.iterdir() if p.suffix in features.SUFFIXES and not p.name.startswith('.')})
  if not names:
    raise UserError(f'{folder}: no feature files; expected {example} and the like')
  paths = {name: features.find(folder, name) for name in names}
  recordings = {name: parse(name, str(paths[name])) for name in names}
  refuse(folder, names)
  width = features.load_array(paths[names[0]]).shape[1]
  return Layout(recordings, width, lambda name: features.load_array(paths[name], width=width), [*paths.values()], None)


def read_pack(
  source: Path, parse: Parse, *more: str, refuse: Refuse = lambda *_: None
) -> tuple[Layout, list[dict[str, str]]]:
  """The npz of `source`, and the rows of its metadata.csv by column, in the order of the npz.

  Args:
    source: the folder of both files.
    parse, refuse: of the names; the fields of what a name says are columns of the table.
    more: further columns that the table must have.

  Raises:
    UserError: the table says other things than the names of the files and the offsets.
  """
  archive, path = source / PACK, source / TABLE
  names, frames, columns, load = _read(archive)
  recordings = {name: parse(name, f'{archive}: files') for name in names}
  refuse(archive, names)
  wanted = ('index', 'file', *recordings[names[0]]._fields, 'n_frames')
  header, lines = features.load_rows(path, columns=(*wanted, *more))
  if len(lines) != len(names):
    raise UserError(f'{path}: {len(lines)} rows, {PACK} has {len(names)} recordings; expected the same')
  rows = [dict(zip(header, map(str.strip, line), strict=True)) for line in lines]
  for i, (name, row) in enumerate(zip(names, rows, strict=True)):
    expected = (i, f'{name}.wav', *recordings[name], frames[i])
    for column, value in zip(wanted, expected, strict=True):
      if row[column] != str(value):
        raise UserError(f'{path}: line {i + 2}: {column} is {row[column]!r}, but {PACK} says {str(value)!r} of '
                        f'recording {i} ({name})')  # fmt: skip
  return Layout(recordings, len(columns), load, [archive, path], columns), rows
