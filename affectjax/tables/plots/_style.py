"""The look that all figures share: colours that the colour-blind tell apart, titles, legends beside the axes."""

import os
import textwrap
from collections.abc import Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables.text import direction

INK, PALE, GRID, ACCENT = '#1f3b57', '#8a97a3', '#e3e7eb', '#c4572b'
# Okabe and Ito's palette without its yellow and black, which are too faint and too loud on white
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#6b5b4b')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
DASHES = ('-', '--', '-.', ':')
UNITS = {'kl': 'nats', 'nll': 'nats'}  # of metrics whose number has one that no label decides
SETTINGS = {
  'font.size': 10, 'axes.titlesize': 10, 'axes.labelsize': 10, 'legend.fontsize': 9, 'axes.edgecolor': PALE,
  'axes.labelcolor': INK, 'xtick.color': INK, 'ytick.color': INK, 'text.color': INK, 'axes.spines.top': False,
  'axes.spines.right': False, 'axes.grid': True, 'axes.axisbelow': True, 'grid.color': GRID, 'grid.linewidth': 0.8,
  'text.parse_math': False,
}  # fmt: skip


def matplotlib() -> Any:
  """The package, which is imported by those alone who draw; a `UserError` if it is not installed."""
  try:
    import matplotlib
  except ImportError as error:
    raise UserError('figures need matplotlib; install it with: pip install "affectjax[report]"') from error
  return matplotlib


def figure(width: float, height: float) -> Any:
  """An empty figure of so many inches, drawn without a display."""
  matplotlib()
  from matplotlib.figure import Figure

  return Figure(figsize=(width, height), layout='constrained')


def title(fig: Any, text: str, detail: str = '') -> None:
  """The figure's title, broken into lines that fit, and below it a detail."""
  width = int(11 * fig.get_figwidth())  # characters of .08 in on average, and a margin
  fig.suptitle('\n'.join([*textwrap.wrap(text, width), *textwrap.wrap(detail, width)]), fontsize=11)


def legend(fig: Any, entries: Sequence[tuple[Any, str]]) -> None:
  """A legend below the axes; a handle of None says what is not drawn."""
  from matplotlib.lines import Line2D

  handles = [Line2D([], [], linestyle='none') if handle is None else handle for handle, _ in entries]
  room, lengths = int(14 * fig.get_figwidth()), [len(label) + 7 for _, label in entries]
  columns = len(entries) if sum(lengths) <= room else max(1, room // max(lengths))
  made = fig.legend(handles, [label for _, label in entries], loc='outside lower center', ncols=columns, frameon=False)
  for text, (handle, _) in zip(made.get_texts(), entries, strict=True):
    text.set_color(PALE if handle is None else INK)


def better(metric: str) -> str:
  """'lower is better', 'nearer to 0.8 is better'; of a count that it is added up."""
  return direction(metric)


def quantity(metric: str) -> str:
  """The metric with its unit, if it has one."""
  unit = UNITS.get(metric.split('.')[0])
  return f'{metric} ({unit})' if unit else metric


def common(shown: Sequence[str]) -> str:
  """What metrics of one definition have in common.

  f1.macro.emotion and f1.macro.emotion_drop10 are f1.macro.emotion, as are f1.macro.emotion.level_0 and .level_1;
  f1.macro.emotion_audio and f1.macro.emotion_visual are f1.macro.
  """
  parsed = [metrics.parse(metric) for metric in shown]
  target, subsets = os.path.commonprefix([name.target for name in parsed]).rstrip('_'), {name.subset for name in parsed}
  if target not in {name.target for name in parsed}:
    return parsed[0].metric
  subset = subsets.pop() if len(subsets) == 1 else None
  return '.'.join([parsed[0].metric, target, *([subset] if subset else [])])


def aim(metric: str) -> float | None:
  """The value that is best, of a metric of which neither more nor less is."""
  return metrics.METRICS[metrics.parse(metric).metric].aim


def color(number: int) -> str:
  """The colour of the number-th line; colours repeat."""
  return COLORS[number % len(COLORS)]


def marker(number: int) -> str:
  """The same for the mark of its points."""
  return MARKERS[number % len(MARKERS)]


def dashes(number: int) -> str:
  """The same for its dashes."""
  return DASHES[number % len(DASHES)]
