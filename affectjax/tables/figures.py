"""Forest plots of a workdir's table: rows from top to bottom, their means with intervals. Needs matplotlib."""

import math
import pathlib
from collections.abc import Sequence

from affectjax import metrics
from affectjax.errors import UserError
from affectjax.tables.summary import Entry, summarise

INK, PALE, ACCENT = '#1f3b57', '#9aa7b3', '#c4572b'


def _pyplot():
  try:
    import matplotlib
  except ImportError as error:
    raise UserError('figures need matplotlib; install it with: pip install "affectjax[report]"') from error
  matplotlib.use('Agg')
  from matplotlib import pyplot

  return pyplot


def _label(entry: Entry) -> str:
  if entry.interval is None:
    return f'{entry.row} (published)'
  return entry.row if entry.done == entry.expected else f'{entry.row} ({entry.done} of {entry.expected} cells)'


def _forest(axes, entries: Sequence[Entry]) -> None:
  """Draws the rows; a filled point has an interval, a hollow one has none, a diamond is a published value."""
  for y, entry in enumerate(entries):
    i = entry.interval
    if i is not None and not math.isnan(i.mean):
      whole = not math.isnan(i.low)
      if whole:
        axes.plot([i.low, i.high], [y, y], color=INK, linewidth=1.8, solid_capstyle='butt', zorder=2)
      axes.plot(
        i.mean, y, 'o', color=INK if whole else PALE, markersize=6, fillstyle='full' if whole else 'none', zorder=3
      )
    for value, _ in entry.published:
      if value is not None:
        axes.plot(value, y, 'D', color=ACCENT, markersize=6, fillstyle='none', markeredgewidth=1.4, zorder=4)
  axes.set_yticks(range(len(entries)), [_label(entry) for entry in entries])
  axes.set_ylim(len(entries) - 0.5, -0.5)
  axes.grid(axis='x', color='#e3e7eb', linewidth=0.8)
  axes.set_axisbelow(True)
  axes.tick_params(axis='y', length=0)
  axes.margins(x=0.06)
  for side in ('top', 'right', 'left'):
    axes.spines[side].set_visible(False)


def _legend(axes, entries: Sequence[Entry]) -> None:
  kinds = [('-o', INK, 'full', 'mean, 95 % interval over groups')]
  if any(e.interval is not None and math.isnan(e.interval.low) for e in entries):
    kinds.append(('o', PALE, 'none', 'mean without interval'))
  if any(value is not None for e in entries for value, _ in e.published):
    kinds.append(('D', ACCENT, 'none', 'published'))
  for style, color, fill, label in kinds:
    axes.plot([], [], style, color=color, fillstyle=fill, markersize=6, label=label)
  axes.legend(loc='lower left', bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, fontsize=9, borderaxespad=0.2)


def draw(workdir: pathlib.Path) -> list[pathlib.Path]:
  """Draws one figure per metric that a row has into `<workdir>/figures/<metric>.png`; returns their paths."""
  pyplot = _pyplot()
  workdir = pathlib.Path(workdir)
  summary, out = summarise(workdir), []
  folder = workdir / 'figures'
  mark = ' (synthetic)' if summary.kind == 'synthetic' else ''
  for metric, entries in summary.entries.items():
    if not any(entry.interval is not None for entry in entries):
      continue
    folder.mkdir(exist_ok=True)
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.32 * len(entries)), layout='constrained')
    _forest(axes, entries)
    _legend(axes, entries)
    axes.set_xlabel(f'{metric}, {metrics.better(metric)} is better')
    figure.suptitle(f'{summary.table["title"]}{mark}', fontsize=11)
    path = folder / f'{metric}.png'
    temporary = folder / f'{metric}.png.tmp'
    figure.savefig(temporary, dpi=150, format='png')
    pyplot.close(figure)
    temporary.replace(path)
    out.append(path)
  return out
