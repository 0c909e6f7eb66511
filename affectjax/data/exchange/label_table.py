"""Valence and arousal of every frame of some videos, as a table, and as csv.

    video,frame,time_s,valence,arousal,valence_spread,arousal_spread,support

Numbers are written with the fewest digits that read back the same; an empty cell is what is not known.
"""

import csv
import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features

NUMBERS = ('valence', 'arousal', 'valence_spread', 'arousal_spread')
COLUMNS = ('video', 'frame', 'time_s', *NUMBERS, 'support')


@dataclasses.dataclass(frozen=True)
class Table:
  """Labels of all frames of one or more videos.

  Attributes:
    video: [N] str; frame: [N] int64 from 0; time_s: [N] float64 seconds.
    valence, arousal: [N] float64 in [-1, 1].
    valence_spread, arousal_spread: [N] float64 standard deviations in label units, NaN where not known.
    support: [N] bool, labelled by hand.
    rate_hz: frames per second of videos without times of their own; NaN from a csv, which does not say.
    model: what made the estimates; '' from a csv.
  """

  video: np.ndarray
  frame: np.ndarray
  time_s: np.ndarray
  valence: np.ndarray
  arousal: np.ndarray
  valence_spread: np.ndarray
  arousal_spread: np.ndarray
  support: np.ndarray
  rate_hz: float = math.nan
  model: str = ''

  def __len__(self) -> int:
    return len(self.frame)

  @classmethod
  def of(cls, rows: Sequence[Sequence[Any]], rate_hz: float = math.nan, model: str = '') -> 'Table':
    """From rows in the order of COLUMNS."""
    kinds = (np.str_, np.int64, *(np.float64,) * 5, bool)
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    return cls(*(np.array(c, k) for c, k in zip(columns, kinds, strict=True)), rate_hz, model)

  def by_video(self) -> Iterator[tuple[str, np.ndarray]]:
    """(video, its rows) in order of first appearance."""
    names, first, inverse = np.unique(self.video, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind='stable')
    starts = np.r_[0, np.cumsum(np.bincount(inverse, minlength=len(names)))]
    for i in np.argsort(first):
      yield str(names[i]), order[starts[i] : starts[i + 1]]

  def regular(self, rows: np.ndarray) -> bool:
    """Whether time_s is frame / rate_hz in these rows."""
    return np.array_equal(self.time_s[rows], self.frame[rows] / self.rate_hz)


def shortest(x: np.ndarray) -> np.ndarray:
  """float32 values as the float64 whose shortest decimal is theirs: 0.1, not 0.10000000149; float32 of it is x."""
  return x.astype(np.float32).astype(np.str_).astype(np.float64)


def text(value: float) -> str:
  """The fewest digits that read back the same; '' for NaN."""
  return '' if math.isnan(value) else repr(float(value))


def whole(cell: str, where: str) -> int:
  """A frame's number; anything else is refused, `where` naming the place."""
  if not re.fullmatch(r'\s*[+-]?[0-9]{1,15}\s*', cell):
    raise UserError(f'{where}: frame {cell!r}; expected a whole number, 0 for the first frame')
  return int(cell)


def real(cell: str, where: str, name: str, empty: bool = False) -> float:
  """A finite number; NaN for '' where `empty` allows it."""
  if empty and cell == '':
    return math.nan
  try:
    value = float(cell)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise UserError(f'{where}: {name} {cell!r}; expected a number')
  return value


def flag(cell: str, where: str) -> bool:
  """'1' for a hand label, '0' for an estimate."""
  if cell not in ('0', '1'):
    raise UserError(f'{where}: support {cell!r}; expected 1 for a hand label, 0 for an estimate')
  return cell == '1'


def some(names: Iterable[str]) -> str:
  """The first few of many names, for messages."""
  names = sorted(names)
  return ', '.join(names[:8]) + (f' and {len(names) - 8} more' if len(names) > 8 else '')


def write_csv(table: Table, path: Path) -> None:
  """Writes the table as csv, with the columns COLUMNS."""
  numbers = [[text(v) for v in getattr(table, n)] for n in ('time_s', *NUMBERS)]
  write_rows(path, COLUMNS, zip(table.video, table.frame, *numbers, table.support.astype(int), strict=True))


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
  """Writes a csv of a header and rows."""
  with open(path, 'w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(names)
    writer.writerows(rows)


def read_csv(path: Path) -> Table:
  """Reads back what `write_csv` wrote; another header, a short row or what is no number is a UserError."""
  names, rows = features.load_rows(path, columns=COLUMNS)
  at = [names.index(c) for c in COLUMNS]
  out = []
  for i, row in enumerate(rows):
    where = f'{path}: line {i + 2}'
    video, frame, *numbers, support = (row[k] for k in at)
    values = [real(t, where, n, n.endswith('spread')) for n, t in zip(COLUMNS[2:-1], numbers, strict=True)]
    out.append((video, whole(frame, where), *values, flag(support, where)))
  return Table.of(out)
