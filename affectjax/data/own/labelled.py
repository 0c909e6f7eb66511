"""A corpus of the user's own: a folder of features or sounds (affectjax.data.own.folder) and a table of labels.

The table, a csv with a header, has a line per id and the columns

    id, group                     the file's name without suffix; the speaker (or whoever is never to be split)
    item                          the recording or dialogue, if ids are parts of one; the id itself without this column
    split                         train, dev or test; without this column there is one split, `all`
    emotion                       the name of a class
    valence, arousal, dominance   in [-1, 1]
    any other                     numbers, kept under the name of their column

An empty cell of a label says that it is not known: class -1, number NaN.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces
from affectjax.data.corpus import Reading
from affectjax.data.own import folder

ATTRIBUTES = ('valence', 'arousal', 'dominance')
SPLITS = ('train', 'dev', 'test')
_TEXTS = ('id', 'group', 'item', 'split', 'emotion')
_TAKEN = ('ratings', 'ratings_mask', 'votes', 'mask')  # keys of an example that are not one number


class Row(NamedTuple):
  """One line of the table."""

  line: int
  group: str
  item: str
  split: str
  emotion: str  # '' if not known
  numbers: Mapping[str, np.float32]  # column -> value, NaN if not known


class Labels(NamedTuple):
  """The table: its lines by id, the names of its classes, and its columns of numbers."""

  rows: Mapping[str, Row]
  emotions: tuple[str, ...]
  numbers: tuple[str, ...]


def read_labels(path: Path, emotions: Sequence[str] | None = None) -> Labels:
  """Reads a table of labels.

  Args:
    path: the csv.
    emotions: all names of classes, in the order of their numbers; by default those that occur, in alphabetical order.

  Raises:
    UserError: in one line naming file, line, id and column.
  """
  header, lines = features.load_rows(path, columns=('id', 'group'))
  for name in header:
    close = name.strip().lower()
    if name != close and close in (*_TEXTS, *ATTRIBUTES):
      raise UserError(f'{path}: column {name!r}, expected {close!r}')
    if not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', name) or name in _TAKEN:
      raise UserError(f'{path}: column {name!r}, expected another name, of letters, digits and underscores')
  if not lines:
    raise UserError(f'{path}: no lines after the header; expected one per id')
  numbers = tuple(name for name in header if name not in _TEXTS)
  rows: dict[str, Row] = {}
  for i, cells in enumerate(lines):
    given = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    name, row = given['id'], _row(path, i + 2, given, numbers)
    if name in rows:
      raise UserError(f'{path}: line {row.line}: id {name!r} has an earlier line, {rows[name].line}; expected one')
    rows[name] = row
  classes = sorted({row.emotion for row in rows.values()} - {''})
  if 'emotion' in header and not classes:
    raise UserError(f'{path}: column emotion is empty in every line; fill it, or leave it out')
  if emotions is not None:
    for name, row in rows.items():
      if row.emotion not in ('', *emotions):
        raise unknown(f'emotion in {path}: line {row.line}, id {name!r}:', row.emotion, emotions)
  return Labels(rows, tuple((emotions or classes) if 'emotion' in header else ()), numbers)


def _row(path: Path, line: int, cells: Mapping[str, str], numbers: Sequence[str]) -> Row:
  for column, what in (('id', 'the name of a file without suffix'), ('group', 'the speaker'), ('item', 'a recording')):
    if not cells.get(column, 'x'):
      raise UserError(f'{path}: line {line}: {column} is empty, expected {what}')
  where = f'{path}: line {line}, id {cells["id"]!r}'
  split = cells.get('split', 'all')
  if 'split' in cells and split not in SPLITS:
    raise unknown(f'split in {where}:', split, SPLITS)
  values = {column: _number(where, column, cells[column]) for column in numbers}
  return Row(line, cells['group'], cells.get('item', cells['id']), split, cells.get('emotion', ''), values)


def _number(where: str, column: str, cell: str) -> np.float32:
  if not cell:
    return np.float32(np.nan)
  try:
    value = float(cell)
  except ValueError:
    raise UserError(f'{where}: {column} is {cell!r}, expected a number, or nothing where none is known') from None
  if not abs(value) <= float(np.finfo(np.float32).max):
    raise UserError(f'{where}: {column} is {cell}, expected a finite number, or nothing where none is known')
  if column in ATTRIBUTES and abs(value) > 1:
    raise UserError(f'{where}: {column} is {cell}, expected a value in [-1, 1]; scale it')
  return np.float32(value)


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads such a folder as an adapter reads a corpus; `store.prepare` takes it for one.

  Attributes:
    labels: the table.
    extraction: how wav files are described.
  """

  labels: Path
  extraction: folder.Extraction

  def read(
    self, source: Path, *, modality: str | None = None, rate_hz: str | float | None = None, missing: str = 'error',
    emotions: str | None = None, unlabelled: str = 'false', licence: str = 'not said',
  ) -> Reading:  # fmt: skip
    """The corpus of `source` and `labels`.

    Args:
      source: the folder.
      modality: see `folder.find`.
      rate_hz: frames per second, see `folder.rates`.
      missing: 'error' for an id that lacks a modality, or 'absent': it has one frame there, zero and masked.
      emotions: the classes in order, comma separated; see `read_labels`.
      unlabelled: 'true' for a table without any column of labels.
      licence: of the data, for the metadata.

    Raises:
      UserError: in one line, for whatever is wrong with files, table or options.
    """
    traces.choice('missing', missing, ('error', 'absent'))
    traces.choice('unlabelled', unlabelled, ('false', 'true'))
    files = folder.find(source, modality, besides=[self.labels])
    labels = read_labels(self.labels, _classes(emotions))
    taken = [n for n in labels.numbers if any(n in (m, f'{m}_mask', f'{m}_present') for m in files.paths)]
    if taken:
      raise UserError(f'{self.labels}: column {taken[0]!r} has the name of a modality; expected another')
    if not labels.emotions and not labels.numbers and unlabelled == 'false':
      raise UserError(f'{self.labels}: no column of labels; expected emotion, valence, arousal, dominance or other '
                      'numbers, or give option unlabelled=true')  # fmt: skip
    _match(self.labels, labels, files, missing)
    streams = folder.Streams(files, folder.rates(rate_hz, files), self.extraction)
    return Reading(_meta(self, labels, streams, licence), _keys(labels), _examples(labels, streams),
                   [self.labels, *(p for of in files.paths.values() for p in of.values())],
                   streams.describe)  # fmt: skip


def _meta(reader: Reader, labels: Labels, streams: folder.Streams, licence: str) -> dict[str, Any]:
  return {
    'modalities': streams.widths,
    'rate_hz': streams.rates,
    'attributes': [name for name in ATTRIBUTES if name in labels.numbers],
    'emotions': list(labels.emotions),
    'labels': f'as in {reader.labels.name}',
    'groups': f'as in {reader.labels.name}',
    'licence': licence,
    **({'columns': streams.columns} if streams.columns else {}),
  }


def _keys(labels: Labels) -> dict[str, list[str]]:
  by = {split: sorted(name for name, row in labels.rows.items() if row.split == split) for split in (*SPLITS, 'all')}
  return {split: names for split, names in by.items() if names}


def _examples(labels: Labels, streams: folder.Streams) -> Callable[[str, str], dict[str, Any]]:
  def example(split: str, name: str) -> dict[str, Any]:
    row = labels.rows[name]
    out = {'id': name, 'group': row.group, 'item': row.item, **row.numbers, **streams.read(name)}
    if labels.emotions:
      out['emotion'] = np.int32(labels.emotions.index(row.emotion) if row.emotion else -1)
    return out

  return example


def _classes(given: str | None) -> tuple[str, ...] | None:
  if given is None:
    return None
  names = tuple(name.strip() for name in given.split(','))
  if not all(names) or len(set(names)) < len(names):
    raise UserError(f'option emotions: {given!r}, expected names of classes, comma separated, all different')
  return names


def _match(path: Path, labels: Labels, files: folder.Files, missing: str) -> None:
  """Refuses a line without a file and a file without a line."""
  for of in files.paths.values():
    absent = [name for name in labels.rows if name not in of]
    nowhere = [name for name in absent if not any(name in other for other in files.paths.values())]
    if absent and (missing == 'error' or nowhere):
      name = nowhere[0] if nowhere else absent[0]
      hint = '' if nowhere or len(files.paths) == 1 else ', or give option missing=absent'
      raise UserError(f'{path}: line {labels.rows[name].line}: id {name!r} has no file in '
                      f'{next(iter(of.values())).parent} ({len(nowhere or absent)} such ids); add it, or remove the '
                      f'line{hint}')  # fmt: skip
    strange = sorted(of.keys() - labels.rows.keys())
    if strange:
      raise UserError(f'{of[strange[0]]}: id {strange[0]!r} has no line in {path} ({len(strange)} such files); add it, '
                      'or remove the file')  # fmt: skip
