"""Rows from top to bottom, their means with intervals. Drawn of every metric of a table, without being asked for."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from affectjax.common.errors import unknown
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run, metric_names, names, one_name
from affectjax.tables.summary import Entry

REQUIRED, OPTIONAL = ('metric',), ('rows',)  # rows: not all


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  one_name(spec, 'metric')
  return names(spec, 'rows') if 'rows' in spec else (), metric_names(spec)


def _label(entry: Entry) -> str:
  if entry.interval is None:
    return f'{entry.row} (published)'
  return entry.row if entry.done == entry.expected else f'{entry.row} ({entry.done} of {entry.expected} cells)'


def _rows(axes, entries: Sequence[Entry]) -> None:
  """A filled point has an interval, a hollow one has none, a diamond is a published value."""
  for y, entry in enumerate(entries):
    i = entry.interval
    if i is not None and not math.isnan(i.mean):
      whole = not math.isnan(i.low)
      if whole:
        axes.plot([i.low, i.high], [y, y], color=_style.INK, linewidth=1.8, solid_capstyle='butt', zorder=2)
      color, fill = (_style.INK, 'full') if whole else (_style.PALE, 'none')
      axes.plot(i.mean, y, 'o', color=color, markersize=6, fillstyle=fill, zorder=3)
    for value, _ in entry.published:
      if value is not None:
        axes.plot(value, y, 'D', color=_style.ACCENT, markersize=6, fillstyle='none', markeredgewidth=1.4, zorder=4)
  axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries])
  axes.set_ylim(len(entries) - 0.5, -0.5)
  axes.grid(visible=False, axis='y')
  axes.tick_params(axis='y', length=0)
  axes.margins(x=0.06)
  axes.spines['left'].set_visible(False)


def _legend(axes, entries: Sequence[Entry]) -> None:
  kinds = [('-o', _style.INK, 'full', 'mean, 95 % interval over groups')]
  if any(e.interval is not None and math.isnan(e.interval.low) for e in entries):
    kinds.append(('o', _style.PALE, 'none', 'mean without interval'))
  if any(value is not None for e in entries for value, _ in e.published):
    kinds.append(('D', _style.ACCENT, 'none', 'published'))
  for style, color, fill, label in kinds:
    axes.plot([], [], style, color=color, fillstyle=fill, markersize=6, label=label)
  axes.legend(loc='lower left', bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, borderaxespad=0.2)


def draw(run: Run, spec: Mapping[str, Any]):
  """One metric; filled points have an interval, hollow ones none."""
  metric = one_name(spec, 'metric')
  if metric not in run.summary.entries:
    raise unknown('metric of a forest figure', metric, run.summary.entries)
  shown = names(spec, 'rows') if 'rows' in spec else None
  entries = [e for e in run.summary.entries[metric] if shown is None or e.row in shown]
  if not any(entry.interval is not None for entry in entries):
    raise Lacks('no finished row has it')
  fig = _style.figure(8, 1.5 + 0.32 * len(entries))
  axes = fig.subplots()
  _rows(axes, entries)
  _legend(axes, entries)
  if _style.aim(metric) is not None:
    axes.axvline(_style.aim(metric), color=_style.INK, linewidth=0.9, linestyle='--', zorder=1.5)
  axes.set_xlabel(f'{_style.quantity(metric)}, {_style.better(metric)}')
  _style.title(fig, run.title)
  return fig
