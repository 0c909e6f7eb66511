"""Numbers, intervals and grids as tables write them."""

import math
from collections.abc import Iterable, Sequence

from affectjax import metrics
from affectjax.tables import bootstrap

NOTHING = '-'
FEW = f'few: less than {bootstrap.FEW} groups; such an interval tends to be too narrow.'


def number_text(x: float, sign: str = '') -> str:
  """Three digits behind the point, 'n/a' for NaN; no minus before a zero."""
  if math.isnan(x):
    return 'n/a'
  text = f'{x:{sign}.3f}'
  return text if float(text) else text.lstrip('+-')


def value_text(metric: str, x: float, sign: str = '') -> str:
  """A value of a metric: `number_text`, or of a number of entries no more digits than it has (a tenth at most)."""
  if not metrics.counts(metric) or math.isnan(x):
    return number_text(x, sign)
  text = f'{x:{sign}.1f}'.removesuffix('.0')
  return text if float(text) else '0'


def direction(metric: str) -> str:
  """'lower is better', or what else is to be known of a metric that has none."""
  return 'added up over folds' if metrics.counts(metric) else f'{metrics.better(metric)} is better'


def interval_text(low: float, high: float, sign: str = '') -> str:
  """An interval in brackets, 'n/a' where there is none (NaN); `sign` as in `number_text`."""
  return 'n/a' if math.isnan(low) else f'[{number_text(low, sign)}, {number_text(high, sign)}]'


def p_value(p: float) -> str:
  """A p as tables show it."""
  return '<0.001' if p < 0.001 else number_text(p)


def escape(text: str) -> str:
  """Text that can stand in a cell or a line."""
  return ' '.join(str(text).replace('|', r'\|').split())


def grid(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
  """A Markdown table whose columns are padded, so that it also reads as plain text."""
  lines = [[escape(cell) for cell in line] for line in (head, *lines)]
  widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
  lines.insert(1, ['-' * width for width in widths])
  return [f'| {" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |' for line in lines]
