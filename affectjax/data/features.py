"""Reads precomputed features from a plain folder: one file per key, whatever tool made them.

A feature folder holds, per key (an utterance, clip, image or session), exactly one of

    <key>.npy    [T, D], or [D] for a single vector (read as [1, D])
    <key>.npz    the same; either one array in it, or several and the caller says which by `name`
    <key>.csv    a header line with the D feature names, then one line of D numbers per frame

Frames run oldest first. Numbers may be stored as float16/32/64, integers or booleans, and read as float32.
NaN and infinity are read as they stand: what becomes of them is decided when a corpus is prepared.
"""

import csv
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from affectjax.common import errors

SUFFIXES = ('.npy', '.npz', '.csv')
SUMMARIES = {'mean': np.mean, 'std': np.std, 'max': np.max}  # of several frames by one
# numpy reads the header of an array as Python source
_BROKEN = (ValueError, EOFError, OSError, KeyError, OverflowError, MemoryError, SyntaxError, tokenize.TokenError,
           zipfile.BadZipFile, zlib.error, NotImplementedError)  # fmt: skip


def find(folder: Path, key: str) -> Path:
  """The feature file of `key` in `folder`; none or more than one is a UserError."""
  paths = [p for s in SUFFIXES if (p := Path(folder) / f'{key}{s}').is_file()]
  if len(paths) == 1:
    return paths[0]
  if paths:
    raise errors.UserError(
      f'{folder}: {key!r} has {len(paths)} feature files ({", ".join(p.name for p in paths)}), expected one; '
      'delete those that are not meant'
    )
  names = ', '.join(f'{key}{s}' for s in SUFFIXES)
  raise errors.UserError(f'{folder}: no feature file for {key!r}; expected one of {names}')


def load_array(
  path: Path, *, width: int | None = None, frames: int | None = None, name: str | None = None
) -> np.ndarray:
  """Reads one feature file.

  Args:
    path: an .npy, .npz or .csv file as described above.
    width: the D that is expected, if known.
    frames: the T that is expected, if known.
    name: which array of an .npz with several.

  Returns:
    [T, D] float32, T and D at least 1.

  Raises:
    UserError: in one line naming the file, for whatever is wrong with it.
  """
  path = Path(path)
  if path.suffix not in SUFFIXES:
    raise errors.UserError(f'{path}: unknown kind of feature file; expected one of {", ".join(SUFFIXES)}')
  if path.suffix == '.csv':
    x = load_csv(path)[1]
  elif path.suffix == '.npz':
    x = _pick(path, load_npz(path, None if name is None else [name]))
  else:
    x = load_npy(path)
  x = as_float32(path, x)
  if x.ndim == 1 and path.suffix != '.csv':
    x = x[None]  # [1, D]
  if x.ndim != 2:
    raise errors.UserError(f'{path}: array of shape {list(x.shape)}; expected [frames, features] or [features]')
  if not x.size:
    raise errors.UserError(f'{path}: empty array of shape {list(x.shape)}; expected at least one frame and feature')
  for axis, what, wanted in ((1, 'features per frame', width), (0, 'frames', frames)):
    if wanted is not None and x.shape[axis] != wanted:
      raise errors.UserError(f'{path}: {x.shape[axis]} {what}, expected {wanted} (array {list(x.shape)})')
  return x


def load_npy(path: Path) -> np.ndarray:
  """One array of any shape and plain dtype; pickled content is refused."""
  _require(path)
  try:
    with open(path, 'rb') as f:
      if f.read(6) != b'\x93NUMPY':
        raise ValueError('it does not begin as an .npy file does')
      f.seek(0)
      x = np.load(f, allow_pickle=False)
      if f.read(1):
        raise ValueError('there are bytes after the end of the array')
      return x
  except _BROKEN as e:
    raise _unreadable(path, 'an .npy array', e) from e


def load_npz(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
  """Arrays of an .npz, all or those named; a name that is missing is refused with the names there are."""
  _require(path)
  try:
    with open(path, 'rb') as f, np.load(f, allow_pickle=False) as z:
      if not isinstance(z, np.lib.npyio.NpzFile):
        raise ValueError('it is not a zip archive')
      for name in names or ():
        if name not in z.files:
          raise errors.UserError(f'{path}: no array {name!r}; there is: {", ".join(sorted(z.files)) or "none"}')
      return {name: z[name] for name in (z.files if names is None else names)}
  except errors.UserError:
    raise
  except _BROKEN as e:
    raise _unreadable(path, 'an .npz archive', e) from e


def load_csv(path: Path, delimiter: str = ',') -> tuple[list[str], np.ndarray]:
  """A header and numbers: (names [D], values [T, D] float64); ragged rows and text name line and column."""
  names, rows = load_rows(path, delimiter)
  if all(_is_number(n) for n in names):
    raise errors.UserError(f'{path}: line 1 holds numbers; expected a header with the names of the features')
  if not rows:
    raise errors.UserError(f'{path}: no rows after the header; expected one per frame')
  try:
    return names, np.array([[float(cell) for cell in row] for row in rows])
  except ValueError:
    bad = ((i, c, cell) for i, row in enumerate(rows) for c, cell in enumerate(row) if not _is_number(cell))
    i, c, cell = next(bad)
    raise errors.UserError(f'{path}: line {i + 2}, column {names[c]!r}: {cell!r} is not a number') from None


def load_rows(path: Path, delimiter: str = ',', columns: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
  """A table of text: (names of the columns, rows); `columns` must be among the names, every row must be full.

  Row i stands on line i + 2 of the file.
  """
  lines = read_lines(path)
  try:
    names, *rows = csv.reader(lines, delimiter=delimiter)
  except csv.Error as e:
    raise _unreadable(path, 'a table', e) from e
  if not names or not all(n.strip() for n in names) or len(set(names)) < len(names):
    raise errors.UserError(f'{path}: line 1 is no header; expected the names of the columns, all different')
  missing = [c for c in columns if c not in names]
  if missing:
    raise errors.UserError(f'{path}: no column {missing[0]!r}; line 1 has: {", ".join(names)}')
  for i, row in enumerate(rows):
    if len(row) != len(names):
      raise errors.UserError(f'{path}: line {i + 2} has {len(row)} cells, the header has {len(names)}')
  return names, rows


def stream_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
  """(where a row stands, its cells in the order of `columns`) of a csv, row by row, for large ones.

  The cells are without blanks around them; '' among `columns` is the nameless first column that R writes.
  """
  lines = csv_lines(path)
  header = next(lines)[1]
  for column in columns:
    if header.count(column) != 1:
      raise errors.UserError(f'{path}: {header.count(column) or "no"} columns {column!r}, expected one; line 1 has: '
                             f'{", ".join(header)[:200]}')  # fmt: skip
  at, rows = [header.index(column) for column in columns], 0
  for line, row in lines:
    if len(row) != len(header):
      raise errors.UserError(f'{path}: line {line} has {len(row)} cells, the header has {len(header)}')
    rows += 1
    yield f'{path}: line {line}', [row[i].strip() for i in at]
  if not rows:
    raise errors.UserError(f'{path}: no rows after the header')


def csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
  """(number of the line, cells) of the lines of a csv that are not empty; there must be one."""
  _require(path)
  line = 0
  try:
    with open(path, encoding='utf-8-sig', newline='') as f:
      for row in (reader := csv.reader(f, strict=True)):
        if row:
          line = reader.line_num
          yield line, row
  except (OSError, UnicodeDecodeError, csv.Error) as e:
    raise _unreadable(path, 'a table in UTF-8', e) from e
  if not line:
    raise errors.UserError(f'{path}: empty file; expected a header and rows')


def read_lines(path: Path) -> list[str]:
  """The lines of a UTF-8 text file, line ends and a blank tail removed; an empty file is refused."""
  _require(path)
  try:
    lines = path.read_text('utf-8-sig').splitlines()
  except (UnicodeDecodeError, OSError) as e:
    raise _unreadable(path, 'UTF-8 text', e) from e
  while lines and not lines[-1].strip():
    lines.pop()
  if not lines:
    raise errors.UserError(f'{path}: empty file; expected a header and rows')
  return lines


def as_float32(path: Path, x: np.ndarray) -> np.ndarray:
  """The array as float32; text, complex numbers, dates and what float32 cannot hold are refused."""
  if x.dtype.kind not in 'fiub':
    raise errors.UserError(f'{path}: array of dtype {x.dtype}; expected numbers (float, integer or bool)')
  with np.errstate(over='ignore'):
    out = x.astype(np.float32)
  if x.dtype.itemsize > 4 and not np.array_equal(np.isinf(out), np.isinf(x)):
    raise errors.UserError(f'{path}: values beyond the range of float32; scale the features')
  return out


def standardiser(x: np.ndarray) -> dict[str, np.ndarray]:
  """Mean and scale [D] of training rows; a constant feature keeps scale 1."""
  std = x.std(0, dtype=np.float64)
  return {'mean': x.mean(0, dtype=np.float64).astype(np.float32),
          'scale': np.where(std > 1e-6, std, 1.0).astype(np.float32)}  # fmt: skip


def _pick(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
  if len(arrays) != 1:
    raise errors.UserError(
      f'{path}: {len(arrays)} arrays ({", ".join(sorted(arrays)) or "none"}); expected one per feature file'
    )
  return next(iter(arrays.values()))


def _require(path: Path) -> None:
  if not path.is_file():
    raise errors.UserError(f'{path}: no such file' if not path.exists() else f'{path}: a folder, expected a file')


def _is_number(cell: str) -> bool:
  try:
    float(cell)
    return True
  except ValueError:
    return False


def _unreadable(path: Path, what: str, e: Exception) -> errors.UserError:
  return errors.UserError(f'{path}: cannot be read as {what} (damaged or of another kind): {e or type(e).__name__}')
