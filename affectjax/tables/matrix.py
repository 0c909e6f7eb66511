"""Matrices: rows of a table against metrics, or against other rows, with a number and its interval in each cell.

c.matrices = (dict(title='Modalities', rows=('vavl', ('late fusion', 'late')),            a row, or (label, row)
                   columns=(('audio', 'f1.macro.emotion_audio'), ('visual', 'f1.macro.emotion_visual'))),
              dict(title='Trained and tested on', cells=(                                 each cell by itself
                   ('audio', (('audio', 'only_a', 'f1.macro.emotion'), ('both', 'vavl', 'f1.macro.emotion'))),)),)

The figure of kind 'matrix' takes the same rows and columns, or cells.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError, unknown
from affectjax.tables import bootstrap
from affectjax.tables.text import FEW, NOTHING, direction, escape, grid, interval_text, value_text

Pair = tuple[str, str]  # row, metric
KEYS = ('title', 'rows', 'columns', 'cells')
ROWS, COLUMNS = '(row or (label, row), ...)', '((label, metric), ...)'
CELLS = '((label, ((label, row, metric), ...)), ...)'


@dataclasses.dataclass(frozen=True)
class Matrix:
  """What stands where.

  Attributes:
    title: '' if it has none.
    rows, columns: labels.
    cells: (label of the row, of the column) -> (row, metric); what is not there is empty.
  """

  title: str
  rows: tuple[str, ...]
  columns: tuple[str, ...]
  cells: Mapping[tuple[str, str], Pair]

  @property
  def pairs(self) -> tuple[Pair, ...]:
    """The rows and metrics that it shows, each pair once."""
    return tuple(dict.fromkeys(self.cells.values()))


def _tuples(value: Any, sizes: Sequence[int], where: str, form: str) -> list[tuple]:
  """`value` as tuples of so many (or so many) parts, of which the first is a label that stands once."""
  parts = lambda x: tuple(x) if isinstance(x, Sequence) and not isinstance(x, str) else (x,)
  out = [parts(x) for x in parts(value)]
  for given in out:
    if len(given) not in sizes or not isinstance(given[0], str) or not given[0]:
      raise UserError(f'{where} is {form}, found {given[0] if len(given) == 1 else given!r}')
  labels = [given[0] for given in out]
  if not out or len(set(labels)) < len(labels):
    twice = f', found {next(x for x in labels if labels.count(x) > 1)!r} twice' if out else ', found nothing'
    raise UserError(f'{where} is {form}{twice}')
  return out


def parse(spec: Mapping[str, Any], where: str) -> Matrix:
  """A matrix of an experiment file or of table.json; `where` is its name in errors.

  Raises:
    UserError: it is no matrix, or a metric is unknown.
  """
  by_cell = 'cells' in spec
  if by_cell == bool({'rows', 'columns'} & set(spec)) or not by_cell and not {'rows', 'columns'} <= set(spec):
    found = ', '.join(key for key in KEYS[1:] if key in spec)
    raise UserError(f'{where} has rows and columns, or cells; found {found or "none of them"}')
  cells: dict[tuple[str, str], Pair] = {}
  if by_cell:
    lines = _tuples(spec['cells'], (2,), f'{where}: cells', CELLS)
    for label, line in lines:
      for column, row, metric in _tuples(line, (3,), f'{where}: line {label!r} of cells', CELLS):
        cells[label, column] = row, metric
  else:
    lines = _tuples(spec['rows'], (1, 2), f'{where}: rows', ROWS)
    for column, metric in _tuples(spec['columns'], (2,), f'{where}: columns', COLUMNS):
      cells |= {(line[0], column): (line[-1], metric) for line in lines}
  for row, metric in cells.values():
    if not isinstance(row, str) or not isinstance(metric, str):
      raise UserError(f'{where}: rows and metrics are names, found {(row, metric)!r}')
    metrics.parse(metric)
  columns = tuple(dict.fromkeys(column for _, column in cells))
  return Matrix(spec.get('title', ''), tuple(line[0] for line in lines), columns, cells)


def read(specs: Iterable[Any]) -> tuple[Matrix, ...]:
  """The matrices of an experiment file or of table.json; a `UserError` if one is none."""
  out: dict[str, Matrix] = {}
  for spec in specs:
    if not isinstance(spec, Mapping):
      raise UserError(f'a matrix is a mapping of title and more, found {spec!r}')
    title = spec.get('title')
    if not isinstance(title, str) or not title.strip() or title in out:
      raise UserError(f'a matrix has a title of its own, found {title!r}{" twice" if title in out else ""}')
    for key in spec:
      if key not in KEYS:
        raise unknown(f'key in matrix {title!r}:', key, KEYS)
    out[title] = parse(spec, f'matrix {title!r}')
  return tuple(out.values())


def check(specs: Iterable[Any], rows: Iterable[str]) -> None:
  """Refuses matrices with unknown keys, rows or metrics, and those of the wrong form.

  Args:
    specs: of an experiment file.
    rows: the names of its rows.

  Raises:
    UserError: as said.
  """
  for matrix in read(specs):
    for row, _ in matrix.pairs:
      if row not in rows:
        raise unknown(f'row in matrix {matrix.title!r}:', row, rows)


def _caption(matrix: Matrix) -> str:
  """What the labels stand for, and which way is better."""
  better = {metric: direction(metric) for _, metric in matrix.pairs}
  directions = list(dict.fromkeys(way for metric, way in better.items() if not metrics.counts(metric)))
  alike = len(directions) == 1
  name = lambda metric: metric if alike and not metrics.counts(metric) else f'{metric} ({better[metric]})'
  out = (
    [f'Means with 95 % intervals{f", {directions[0]}" if alike else ""}.'] if directions else ['Numbers of entries.']
  )
  if len(better) == 1:
    out.append(f'All by {next(iter(better))}.')
  else:
    by: dict[str, list[str]] = {}
    for column in matrix.columns:
      shown = dict.fromkeys(metric for (_, c), (_, metric) in matrix.cells.items() if c == column)
      by.setdefault(', '.join(map(name, shown)), []).append(column)
    out.append(f'Columns: {"; ".join(", ".join(of) + " by " + shown for shown, of in by.items())}.')
  of = {label: {row for (line, _), (row, _) in matrix.cells.items() if line == label} for label in matrix.rows}
  named = [f'{label} is {next(iter(rows))}' for label, rows in of.items() if len(rows) == 1 and rows != {label}]
  return ' '.join([*out, *([f'Rows: {"; ".join(named)}.'] if named else [])])


def _few(interval: bootstrap.Interval) -> bool:
  """Whether there is an interval, and over too few groups to be trusted."""
  return not math.isnan(interval.low) and interval.groups < bootstrap.FEW


def _cell(entry: Any) -> str:
  """What a cell says of a summary's entry."""
  if entry is None or entry.interval is None:
    return NOTHING
  i, mean = entry.interval, value_text(entry.metric, entry.interval.mean)
  if entry.done < entry.expected:
    return f'{mean} ({entry.done} of {entry.expected} cells)'
  return mean if metrics.counts(entry.metric) else f'{mean} {interval_text(i.low, i.high)}{" (few)" * _few(i)}'


def lines(matrix: Matrix, entries: Mapping[Pair, Any], mark: str) -> list[str]:
  """The matrix in Markdown.

  Args:
    matrix: what stands where.
    entries: (row, metric) -> the summary's `Entry`, for those that there are.
    mark: put behind the heading.
  """
  shown = {at: entries.get(pair) for at, pair in matrix.cells.items()}
  made = grid(
    ['row', *matrix.columns],
    ([row, *(_cell(shown.get((row, column))) for column in matrix.columns)] for row in matrix.rows),
  )
  notes = ['', FEW] if any('(few)' in line for line in made[2:]) else []
  return ['', f'## Matrix: {escape(matrix.title)}{mark}', '', escape(_caption(matrix)), '', *made, *notes]
