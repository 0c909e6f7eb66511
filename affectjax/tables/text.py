"""Numbers, intervals and grids as tables write them."""

import math
from collections.abc import Iterable, Sequence

from affectjax.tables import bootstrap

NOTHING = '-'
FEW = f'few: less than {bootstrap.FEW} groups; such an interval tends to be too narrow.'


def number_text(x: float, sign: str = '') -> str:
  """Three digits behind the point, 'n/a' for NaN; no minus before a zero."""
  if math.isnan(x):
    return 'n/a'
  text = f'{x:{sign}.3f}'
  return text if float(text) else text.lstrip('+-')


def interval_text(low: float, high: float, sign: str = '') -> str:
  return 'n/a' if math.isnan(low) else f'[{number_text(low, sign)}, {number_text(high, sign)}]'


def p_value(p: float) -> str:
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
