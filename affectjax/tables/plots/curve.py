"""A metric against a number, a line per series with 95 % intervals; below, perhaps, one series minus another.

dict(kind='curve', metric='kl.t.arousal', x_label='raters in training',      metric: one, or a column for each
     series=(('t_lu', ((3, 't_lu_a3'), (6, 't_lu_a6'))), ('mu_lu', ((3, 'mu_lu_a3'), (6, 'mu_lu_a6')))),
     difference=('t_lu', 'mu_lu'), log=True)                                 both optional; log: of the numbers
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.errors import UserError, unknown
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run, metric_names, names

REQUIRED, OPTIONAL = ('metric', 'series', 'x_label'), ('difference', 'log')
Points = tuple[tuple[float, str], ...]  # number, row
FORM = '((name, ((number, row), ...)), ...)'


def _is_pair(value: Any) -> bool:
  return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def _series(spec: Mapping[str, Any]) -> dict[str, Points]:
  """Each series with its points in order."""
  given, where, out = spec['series'], f'figure {spec["kind"]!r}: series', {}
  if not isinstance(given, Sequence) or isinstance(given, str) or not given:
    raise UserError(f'{where} is {FORM}, found {given!r}')
  for pair in given:
    if not (_is_pair(pair) and isinstance(pair[0], str) and isinstance(pair[1], Sequence) and pair[1]):
      raise UserError(f'{where} is {FORM}, found {pair!r}')
    for point in pair[1]:
      number = _is_pair(point) and isinstance(point[0], int | float) and not isinstance(point[0], bool)
      if not (number and math.isfinite(point[0]) and isinstance(point[1], str)):
        raise UserError(f'{where} {pair[0]!r} has points (number, row), found {point!r}')
      if spec.get('log') and point[0] <= 0:
        raise UserError(f'{where} {pair[0]!r} has {point[0]} on a logarithmic axis; expected more than 0')
    if pair[0] in out or len({x for x, _ in pair[1]}) < len(pair[1]):
      raise UserError(f'{where} {pair[0]!r}: its name or one of its numbers stands twice')
    out[pair[0]] = tuple(sorted((x, row) for x, row in pair[1]))
  return out


def _minus(spec: Mapping[str, Any]) -> tuple[str, str] | None:
  if 'difference' not in spec:
    return None
  series, pair = _series(spec), spec['difference']
  if not _is_pair(pair) or pair[0] == pair[1]:
    raise UserError(f'figure {spec["kind"]!r}: difference names two series, found {pair!r}')
  for name in pair:
    if name not in series:
      raise unknown(f'series in difference of figure {spec["kind"]!r}:', name, series)
  return tuple(pair)


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  names(spec, 'x_label')
  _minus(spec)
  return tuple(row for points in _series(spec).values() for _, row in points), metric_names(spec)


def _apart(x: float, place: float, numbers: Sequence[float], log: bool) -> float:
  """x moved a little, so that intervals at the same number lie beside each other; place in [-1, 1]."""
  if log:
    return x * (max(numbers) / min(numbers)) ** (0.012 * place)
  return x + 0.012 * place * (max(numbers) - min(numbers))


def _points(axes, found: Sequence[tuple[float, Any]], look: Mapping[str, Any]) -> Any:
  """Means joined, with intervals; hollow where there is none. Returns the line."""
  line = axes.plot([x for x, _ in found], [i.mean for _, i in found], linewidth=1.5, zorder=3, **look)[0]
  for x, i in found:
    if math.isnan(i.low):
      axes.plot(x, i.mean, look['marker'], color=look['color'], markerfacecolor='white', markersize=6, zorder=4)
    else:
      axes.errorbar(x, i.mean, [[max(i.mean - i.low, 0)], [max(i.high - i.mean, 0)]], color=look['color'], capsize=3,
                    elinewidth=1.3, zorder=2)  # fmt: skip
  return line


def _above(axes, run: Run, metric: str, series: Mapping[str, Points], log: bool) -> dict[str, tuple[Any, str]]:
  """One metric's lines; returns what the legend says of each series."""
  numbers, entries = sorted({x for points in series.values() for x, _ in points}), {}
  for i, (name, points) in enumerate(series.items()):
    place = 2 * i / (len(series) - 1) - 1 if len(series) > 1 else 0
    found = [(_apart(x, place, numbers, log), run.interval(row, metric)) for x, row in points]
    found = [(x, interval) for x, interval in found if interval is not None and math.isfinite(interval.mean)]
    if not found:
      entries[name] = None, f'{name}: no finished cell'
      continue
    look = {'color': _style.color(i), 'marker': _style.marker(i), 'linestyle': _style.dashes(i)}
    part = '' if len(found) == len(points) else f' ({len(found)} of {len(points)} points)'
    entries[name] = _points(axes, found, look), f'{name}{part}'
    if any(math.isnan(interval.low) for _, interval in found):
      entries['hollow'] = _hollow(), 'without interval'
  axes.set_ylabel(f'{_style.quantity(metric)}\n{_style.better(metric)}')
  if _style.aim(metric) is not None:
    axes.axhline(_style.aim(metric), color=_style.INK, linewidth=0.9, linestyle='--', zorder=1.5)
  return entries


def _hollow() -> Any:
  from matplotlib.lines import Line2D

  return Line2D([], [], linestyle='none', marker='o', color=_style.PALE, markerfacecolor='white')


def _below(axes, run: Run, metric: str, series: Mapping[str, Points], pair: tuple[str, str]) -> None:
  """The first series minus the second, at the numbers that both have."""
  ours, theirs = (dict(series[name]) for name in pair)
  found = [(x, run.difference(ours[x], theirs[x], metric)) for x in ours if x in theirs]
  found = [(x, d) for x, d in found if d is not None and math.isfinite(d.mean)]
  axes.axhline(0, color=_style.INK, linewidth=0.9, zorder=1.5)
  if found:
    _points(axes, found, {'color': 'black', 'marker': 'o', 'linestyle': '-'})
  else:
    axes.text(0.5, 0.6, 'not done', color=_style.PALE, ha='center', transform=axes.transAxes)
  side = {'higher': f'\nabove 0: {pair[0]} is better', 'lower': f'\nbelow 0: {pair[0]} is better'}
  axes.set_ylabel(f'{pair[0]} \N{MINUS SIGN} {pair[1]}{side.get(metrics.better(metric), "")}')


def _ticks(axes, numbers: Sequence[float], log: bool) -> None:
  from matplotlib.ticker import NullLocator, ScalarFormatter

  if log:
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(ScalarFormatter())
  if len(numbers) <= 10:
    axes.set_xticks(numbers, [f'{x:g}' for x in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
  axes.margins(x=0.06)


def draw(run: Run, spec: Mapping[str, Any]):
  """A column per metric; points that are not done are left out, and the legend says how many."""
  shown, series, pair, log = names(spec, 'metric'), _series(spec), _minus(spec), bool(spec.get('log'))
  if not any(run.interval(row, m) for points in series.values() for _, row in points for m in shown):
    raise Lacks('no finished cell of its rows has ' + ', '.join(shown))
  numbers = sorted({x for points in series.values() for x, _ in points})
  fig = _style.figure(max(6.4, 5.2 * len(shown)), 6.4 if pair else 4.4)
  ratios = [3, 2] if pair else [1]
  panels = fig.subplots(len(ratios), len(shown), sharex=True, squeeze=False, height_ratios=ratios)
  entries = {}
  for column, metric in zip(panels.T, shown, strict=True):
    new = _above(column[0], run, metric, series, log)
    entries = {**new, **{key: entry for key, entry in entries.items() if entry[0] is not None}}
    if pair:
      _below(column[1], run, metric, series, pair)
    column[-1].set_xlabel(names(spec, 'x_label')[0])
    _ticks(column[-1], numbers, log)
  order = sorted(entries, key=lambda key: list(series).index(key) if key in series else len(series))
  _style.legend(fig, [entries[key] for key in order])
  _style.title(fig, run.title, 'means with 95 % intervals over groups')
  return fig
