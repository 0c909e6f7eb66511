"""A metric against a number, a line per series with 95 % intervals; below, perhaps, one series minus another.

dict(kind='curve', metric='kl.t.arousal', x_label='raters in training',      metric: one, or a column for each
     series=(('t_lu', ((3, 't_lu_a3'), (6, 't_lu_a6'))), ('mu_lu', ((3, 'mu_lu_a3'), (6, 'mu_lu_a6')))),
     difference=('t_lu', 'mu_lu'), log=True)                                 both optional; log: of the numbers
"""

from collections.abc import Mapping, Sequence
from typing import Any

from affectjax.common.errors import UserError
from affectjax.tables.plots import _style
from affectjax.tables.plots._lines import Column, difference, draw_lines, is_pair, is_point
from affectjax.tables.plots._run import Run, metric_names, names

REQUIRED, OPTIONAL = ('metric', 'series', 'x_label'), ('difference', 'log')
Points = tuple[tuple[float, str], ...]  # number, row
FORM = '((name, ((number, row), ...)), ...)'


def _series(spec: Mapping[str, Any]) -> dict[str, Points]:
  """Each series with its points in order."""
  given, where, out = spec['series'], f'figure {spec["kind"]!r}: series', {}
  if not isinstance(given, Sequence) or isinstance(given, str) or not given:
    raise UserError(f'{where} is {FORM}, found {given!r}')
  for pair in given:
    if not (is_pair(pair) and isinstance(pair[0], str) and isinstance(pair[1], Sequence) and pair[1]):
      raise UserError(f'{where} is {FORM}, found {pair!r}')
    for point in pair[1]:
      if not (is_point(point) and isinstance(point[1], str)):
        raise UserError(f'{where} {pair[0]!r} has points (number, row), found {point!r}')
      if spec.get('log') and point[0] <= 0:
        raise UserError(f'{where} {pair[0]!r} has {point[0]} on a logarithmic axis; expected more than 0')
    if pair[0] in out or len({x for x, _ in pair[1]}) < len(pair[1]):
      raise UserError(f'{where} {pair[0]!r}: its name or one of its numbers stands twice')
    out[pair[0]] = tuple(sorted((x, row) for x, row in pair[1]))
  return out


def _minus(spec: Mapping[str, Any]) -> tuple[str, str] | None:
  return difference(spec, _series(spec), 'series')


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  names(spec, 'x_label')
  _minus(spec)
  return tuple(row for points in _series(spec).values() for _, row in points), metric_names(spec)


def draw(run: Run, spec: Mapping[str, Any]):
  """A column per metric; points that are not done are left out, and the legend says how many."""
  shown, series = names(spec, 'metric'), _series(spec)
  columns = [
    Column(_style.quantity(metric), metric, {
      name: tuple((x, row, metric) for x, row in points) for name, points in series.items()
    })
    for metric in shown
  ]  # fmt: skip
  return draw_lines(run, columns, names(spec, 'x_label')[0], _minus(spec), bool(spec.get('log')))
