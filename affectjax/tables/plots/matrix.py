"""Rows against columns as a heat map, with the number and its interval in each cell. Numbers of entries have no colour.

dict(kind='matrix', title='Modalities', rows=('vavl', ('late fusion', 'late')),          title: optional
     columns=(('audio', 'f1.macro.emotion_audio'), ('visual', 'f1.macro.emotion_visual')))   or cells=, as `c.matrices`
"""

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables import matrix
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run
from affectjax.tables.text import interval_text, value_text

REQUIRED, OPTIONAL = (), ('title', 'rows', 'columns', 'cells')
COLORS = 'cividis'  # even to the colour-blind, and in grey
WIDE, LABEL = 14, 24  # characters in a line of a column's and of a row's label


def _matrix(spec: Mapping[str, Any]) -> matrix.Matrix:
  title = spec.get('title', '')
  if not isinstance(title, str):
    raise UserError(f'figure {spec["kind"]!r}: title is text, found {title!r}')
  return matrix.parse(spec, f'figure {spec["kind"]!r}')


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  pairs = _matrix(spec).pairs
  return tuple(dict.fromkeys(row for row, _ in pairs)), tuple(dict.fromkeys(metric for _, metric in pairs))


def _says(run: Run, row: str, metric: str) -> tuple[float, str]:
  """The mean, and what stands in the cell; NaN and nothing where there is none."""
  interval, loaded = run.interval(row, metric), run.summary.loaded
  if interval is None or not math.isfinite(interval.mean):
    return math.nan, '' if interval is None else value_text(metric, interval.mean)
  done, expected = loaded.scored(row, metric), loaded.expected[row]
  below = interval_text(interval.low, interval.high) if not metrics.counts(metric) else ''
  below = below if done == expected else f'({done} of {expected} cells)'
  return interval.mean, '\n'.join([value_text(metric, interval.mean), *([below] if below else [])])


def _luminance(color: tuple[float, ...]) -> float:
  """Relative luminance of sRGB, in [0, 1] (WCAG 2)."""
  light = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
  return float(np.dot(light, (0.2126, 0.7152, 0.0722)))


def _paint(axes, values: np.ndarray, texts: Mapping[tuple[int, int], str], counted: np.ndarray) -> Any:
  """Colours by value, none where entries are counted, hatches where nothing is, and the texts; returns the image."""
  from matplotlib.patches import Rectangle

  missing, values = np.isnan(values), np.where(counted, np.nan, values)
  low, high = (0, 1) if np.isnan(values).all() else (np.nanmin(values), np.nanmax(values))
  room = 0.5 * max(1e-3, 0.02 * abs(low)) if low == high else 0
  image = axes.imshow(np.ma.masked_invalid(values), cmap=COLORS, vmin=low - room, vmax=high + room, aspect='auto')
  for (i, j), text in texts.items():
    if missing[i, j]:
      axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor='white', edgecolor=_style.GRID, hatch='///', lw=0))
      color = _style.PALE
    elif counted[i, j]:
      color = _style.INK
    else:
      color = 'white' if _luminance(image.to_rgba(values[i, j])[:3]) < 0.18 else 'black'  # the greater contrast
    axes.text(j, i, text, ha='center', va='center', color=color, fontsize=9, linespacing=1.35)
  return image


def draw(run: Run, spec: Mapping[str, Any]):
  """One heat map; cells without a number are hatched."""
  made, (_, shown) = _matrix(spec), reads(spec)
  values, texts = np.full((len(made.rows), len(made.columns)), np.nan), {}
  counted = np.zeros(values.shape, bool)
  for i, row in enumerate(made.rows):
    for j, column in enumerate(made.columns):
      at = made.cells.get((row, column))
      values[i, j], texts[i, j] = _says(run, *at) if at else (math.nan, '')
      counted[i, j] = bool(at) and metrics.counts(at[1])
  if np.isnan(values).all():
    raise Lacks('no finished cell of its rows has ' + ', '.join(shown))
  fig = _style.figure(3.2 + 1.35 * len(made.columns), 2.0 + 0.62 * len(made.rows))
  axes = fig.subplots()
  image = _paint(axes, values, texts, counted)
  axes.set_xticks(range(len(made.columns)), ['\n'.join(textwrap.wrap(label, WIDE)) for label in made.columns])
  axes.set_yticks(range(len(made.rows)), ['\n'.join(textwrap.wrap(label, LABEL)) for label in made.rows])
  axes.tick_params(length=0)
  axes.grid(visible=False)
  for side in axes.spines.values():
    side.set_visible(False)
  colored = [metric for metric in shown if not metrics.counts(metric)]
  if colored:
    alike = len({metrics.parse(metric).metric for metric in colored}) == 1
    label = f'{_style.quantity(_style.common(colored))}\n{_style.better(colored[0])}' if alike else 'value'
    fig.colorbar(image, ax=axes, label=label, fraction=0.06).outline.set_visible(False)
  if np.isnan(values).any():
    from matplotlib.patches import Patch

    _style.legend(fig, [(Patch(facecolor='white', edgecolor=_style.PALE, hatch='///', lw=0), 'no number')])
  _style.title(fig, run.title, '; '.join([made.title] * bool(made.title) + ['means with 95 % intervals over groups']))
  return fig
