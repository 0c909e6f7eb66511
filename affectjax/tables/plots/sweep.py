"""The same rows at several numbers, each of which has a metric of its own: a line per row with 95 % intervals.

dict(kind='sweep', rows=('vavl', 'late'), x_label='frames dropped (%)', difference=('vavl', 'late'),       difference:
     points=((0, 'f1.macro.emotion'), (10, 'f1.macro.emotion_drop10')))                  optional, one row minus another
"""

from collections.abc import Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables.plots import _style
from affectjax.tables.plots._lines import Column, difference, draw_lines, is_point
from affectjax.tables.plots._run import Run, names

REQUIRED, OPTIONAL = ('rows', 'points', 'x_label'), ('difference',)
FORM = '((number, metric), ...)'


def _points(spec: Mapping[str, Any]) -> tuple[tuple[float, str], ...]:
  """The numbers in order, each with its metric."""
  given, where = spec['points'], f'figure {spec["kind"]!r}: points'
  if not isinstance(given, Sequence) or isinstance(given, str) or not given:
    raise UserError(f'{where} is {FORM}, found {given!r}')
  for point in given:
    if not (is_point(point) and isinstance(point[1], str)):
      raise UserError(f'{where} is {FORM}, found {point!r}')
  if len({x for x, _ in given}) < len(given):
    raise UserError(f'{where}: one of its numbers stands twice')
  kinds = list(dict.fromkeys(metrics.parse(metric).metric for _, metric in given))
  if len(kinds) > 1:
    raise UserError(f'{where} are of one metric on one axis, found {" and ".join(kinds)}; name one figure for each')
  return tuple(sorted((x, metric) for x, metric in given))


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  names(spec, 'x_label')
  rows = names(spec, 'rows')
  if len(set(rows)) < len(rows):
    raise UserError(f'figure {spec["kind"]!r}: one of its rows stands twice')
  difference(spec, rows, 'rows')
  return rows, tuple(metric for _, metric in _points(spec))


def draw(run: Run, spec: Mapping[str, Any]):
  """A line per row; points that are not done are left out, and the legend says how many."""
  rows, shown = reads(spec)
  lines = {row: tuple((x, row, metric) for x, metric in _points(spec)) for row in rows}
  column = Column(_style.quantity(_style.common(shown)), shown[0], lines)
  return draw_lines(run, [column], names(spec, 'x_label')[0], difference(spec, rows, 'rows'))
