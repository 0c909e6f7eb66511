"""Lines against a number with 95 % intervals, and below them the paired difference of two: `curve` and `sweep`."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError, unknown
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run

ACROSS = 3  # columns side by side; more go below
Line = tuple[tuple[float, str, str], ...]  # number, row, metric; in order of the numbers


@dataclasses.dataclass(frozen=True)
class Column:
  """One column of a figure.

  Attributes:
    label: of its values.
    metric: what says which way is better, and which value is best.
    lines: name -> line.
  """

  label: str
  metric: str
  lines: Mapping[str, Line]


def is_pair(value: Any) -> bool:
  """Whether it is a sequence of two, and no text."""
  return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def is_point(value: Any) -> bool:
  """Whether it is a pair that begins with a finite number."""
  number = is_pair(value) and isinstance(value[0], int | float) and not isinstance(value[0], bool)
  return number and math.isfinite(value[0])


def difference(spec: Mapping[str, Any], known: Iterable[str], what: str) -> tuple[str, str] | None:
  """The two lines under `difference`, if a spec has it; a `UserError` if they are not two of the known ones."""
  if 'difference' not in spec:
    return None
  pair = spec['difference']
  if not is_pair(pair) or pair[0] == pair[1]:
    raise UserError(f'figure {spec["kind"]!r}: difference names two {what}, found {pair!r}')
  for name in pair:
    if name not in known:
      raise unknown(f'{what} in difference of figure {spec["kind"]!r}:', name, known)
  return tuple(pair)


def _apart(x: float, place: float, numbers: Sequence[float], log: bool) -> float:
  """x moved a little, so that intervals at the same number lie beside each other; place in [-1, 1]."""
  if log:
    return x * (max(numbers) / min(numbers)) ** (0.012 * place)
  return x + 0.012 * place * (max(numbers) - min(numbers))


def _points(axes, means: Sequence[tuple[float, Any]], look: Mapping[str, Any]) -> Any:
  """Means joined, with intervals; hollow where there is none. Returns the line."""
  line = axes.plot([x for x, _ in means], [i.mean for _, i in means], linewidth=1.5, zorder=3, **look)[0]
  for x, i in means:
    if math.isnan(i.low):
      axes.plot(x, i.mean, look['marker'], color=look['color'], markerfacecolor='white', markersize=6, zorder=4)
    else:
      axes.errorbar(x, i.mean, [[max(i.mean - i.low, 0)], [max(i.high - i.mean, 0)]], color=look['color'], capsize=3,
                    elinewidth=1.3, zorder=2)  # fmt: skip
  return line


def _above(axes, run: Run, column: Column, log: bool) -> dict[str, tuple[Any, str]]:
  """A column's lines; returns what the legend says of each."""
  lines = column.lines
  numbers, entries = sorted({x for line in lines.values() for x, _, _ in line}), {}
  for i, (name, line) in enumerate(lines.items()):
    place = 2 * i / (len(lines) - 1) - 1 if len(lines) > 1 else 0
    means = [(_apart(x, place, numbers, log), run.interval(row, metric)) for x, row, metric in line]
    means = [(x, interval) for x, interval in means if interval is not None and math.isfinite(interval.mean)]
    if not means:
      entries[name] = None, f'{name}: no finished cell'
      continue
    look = {'color': _style.color(i), 'marker': _style.marker(i), 'linestyle': _style.dashes(i)}
    part = '' if len(means) == len(line) else f' ({len(means)} of {len(line)} points)'
    entries[name] = _points(axes, means, look), f'{name}{part}'
    if any(math.isnan(interval.low) for _, interval in means):
      entries['hollow'] = _hollow(), 'without interval'
  axes.set_ylabel(f'{column.label}\n{_style.better(column.metric)}')
  if _style.aim(column.metric) is not None:
    axes.axhline(_style.aim(column.metric), color=_style.INK, linewidth=0.9, linestyle='--', zorder=1.5)
  return entries


def _hollow() -> Any:
  from matplotlib.lines import Line2D

  return Line2D([], [], linestyle='none', marker='o', color=_style.PALE, markerfacecolor='white')


def _below(axes, run: Run, column: Column, pair: tuple[str, str]) -> None:
  """The first line minus the second, at the numbers that both have."""
  ours, theirs = ({x: (row, metric) for x, row, metric in column.lines[name]} for name in pair)
  means = [(x, run.difference(ours[x][0], theirs[x][0], ours[x][1])) for x in ours if x in theirs]
  means = [(x, d) for x, d in means if d is not None and math.isfinite(d.mean)]
  axes.axhline(0, color=_style.INK, linewidth=0.9, zorder=1.5)
  if means:
    _points(axes, means, {'color': 'black', 'marker': 'o', 'linestyle': '-'})
  else:
    axes.text(0.5, 0.6, 'not done', color=_style.PALE, ha='center', transform=axes.transAxes)
  side = {'higher': f'\nabove 0: {pair[0]} is better', 'lower': f'\nbelow 0: {pair[0]} is better'}
  axes.set_ylabel(f'{pair[0]} \N{MINUS SIGN} {pair[1]}{side.get(metrics.better(column.metric), "")}')


def _ticks(axes, numbers: Sequence[float], log: bool) -> None:
  from matplotlib.ticker import NullLocator, ScalarFormatter

  if log:
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter(ScalarFormatter())
  if len(numbers) <= 10:
    axes.set_xticks(numbers, [f'{x:g}' for x in numbers])
    axes.xaxis.set_minor_locator(NullLocator())
  axes.margins(x=0.06)


def draw_lines(
  run: Run, columns: Sequence[Column], x_label: str, pair: tuple[str, str] | None = None, log: bool = False
):
  """A figure of columns, `ACROSS` at most side by side, perhaps with the difference of a pair of lines below each.

  Points that are not done are left out, and the legend says how many. `Lacks` if all are.
  """
  every = [point for column in columns for line in column.lines.values() for point in line]
  if not any(run.interval(row, metric) for _, row, metric in every):
    raise Lacks('no finished cell of its rows has ' + ', '.join(dict.fromkeys(metric for *_, metric in every)))
  numbers, names = sorted({x for x, _, _ in every}), list(columns[0].lines)
  across, ratios, entries = min(len(columns), ACROSS), [3, 2] if pair else [1], {}
  down = math.ceil(len(columns) / across)
  fig = _style.figure(max(6.4, 5.2 * across), (6.4 if pair else 4.4) * down)
  panels = fig.subplots(len(ratios) * down, across, sharex=True, squeeze=False, height_ratios=ratios * down)
  panels = panels.reshape(down, len(ratios), across).swapaxes(1, 2).reshape(-1, len(ratios))  # one line per column
  for axes in panels[len(columns) :].flat:
    axes.remove()
  for axes, column in zip(panels, columns, strict=False):
    new = _above(axes[0], run, column, log)
    entries = {**new, **{key: entry for key, entry in entries.items() if entry[0] is not None}}
    if pair:
      _below(axes[1], run, column, pair)
    axes[-1].set_xlabel(x_label)
    axes[-1].tick_params(labelbottom=True)
    _ticks(axes[-1], numbers, log)
  order = sorted(entries, key=lambda key: names.index(key) if key in names else len(names))
  _style.legend(fig, [entries[key] for key in order])
  _style.title(fig, run.title, 'means with 95 % intervals over groups')
  return fig
