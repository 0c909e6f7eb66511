"""Raters' continuous traces: tables of numbers, resampling by windowed medians, low-pass, delays.

Axes: N samples of a trace, T labels, R raters, A attributes. Times are seconds from the start of the recording.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import signal

from affectjax.common.errors import UserError, unknown
from affectjax.labels import raters

RATE = 25.0  # labels per second
ATTRIBUTES = ('valence', 'arousal')  # the order along A
_WINDOW_CELLS = 2_000_000  # of medians at once


# Files


def numbers(path: Path, lines: Sequence[str], first: int, columns: Sequence[str], delimiter: str) -> np.ndarray:
  """Rows of numbers as float64 [N, columns]; 'NaN' is a missing value but in the first column.

  Args:
    path: for messages.
    lines: of the file; blank ones are left out.
    first: where among `lines` the numbers begin.
    columns: what stands in a row.
    delimiter: between cells.

  Raises:
    UserError: no rows, a row with another number of cells, a cell that is no number; with the number of the line.
  """
  at = [i for i in range(first, len(lines)) if lines[i].strip()]
  if not at:
    raise UserError(f'{path}: no rows after line {first}; expected {delimiter.join(columns)}')
  rows = [lines[i] for i in at]
  try:
    table = np.loadtxt(rows, delimiter=delimiter, comments=None, ndmin=2)
  except ValueError as e:
    _blame(path, rows, at, columns, delimiter)
    raise UserError(f'{path}: cannot be read as numbers: {e}') from e
  if table.shape[1] != len(columns):
    _blame(path, rows, at, columns, delimiter)
  bad = np.isinf(table)
  bad[:, 0] |= np.isnan(table[:, 0])
  if bad.any():
    row, column = np.argwhere(bad)[0]
    raise UserError(f'{path}: line {at[row] + 1}: {columns[column]} is {table[row, column]}, expected a finite number')
  return table


def _blame(path: Path, rows: Sequence[str], at: Sequence[int], columns: Sequence[str], delimiter: str) -> None:
  """Refuses the first row that is wrong."""
  for row, i in zip(rows, at, strict=True):
    cells = row.split(delimiter)
    if len(cells) != len(columns):
      raise UserError(
        f'{path}: line {i + 1} has {len(cells)} cells, expected {len(columns)} ({delimiter.join(columns)})'
      )
    for cell, column in zip(cells, columns, strict=True):
      if not is_number(cell):
        raise UserError(f'{path}: line {i + 1}, column {column!r}: {cell.strip()!r} is not a number')


def is_number(cell: str) -> bool:
  """Whether a cell can be read as a number, NaN and infinity among them."""
  try:
    float(cell)
    return True
  except ValueError:
    return False


# Options of adapters, which come as text


def choice(name: str, value: str, known: Iterable[str]) -> str:
  """The value of an option, which must be one of `known`."""
  known = tuple(known)
  if value not in known:
    raise unknown(f'value of the option {name}', value, known)
  return value


def seconds(name: str, value: str | float) -> float:
  """A number of seconds, at least 0; 'inf' is allowed."""
  try:
    out = float(value)
  except (TypeError, ValueError):
    raise UserError(f'option {name}: {value!r} is not a number of seconds') from None
  if not out >= 0:
    raise UserError(f'option {name}: {value}, expected seconds, 0 or more')
  return out


# Traces to labels


def count_labels(duration: float) -> int:
  """How many labels, at 0.04, 0.08, ... s, lie in a recording of `duration` s."""
  return int(np.floor(duration * RATE + 1e-6))


def resample(
  time: np.ndarray, value: np.ndarray, duration: float, window_s: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
  """The median of a trace in windows [t - w/2, t + w/2) around t = 0.04, 0.08, ... s, clipped to [0, duration).

  Args:
    time: [N] s, never falling.
    value: [N].
    duration: of the recording, s.
    window_s: w, a multiple of 0.02 s.

  Returns:
    [T] medians, NaN where the window holds no sample; [T] bool, whether it holds one.

  References:
    The windows are those of the released reader of Prabhu et al. 2022 (sp-uhh/label-uncertainty-ser).
  """
  step, half = 4, round(window_s * 50)  # in hundredths of a second, so that borders are the decimals in the files
  centre = step * np.arange(1, count_labels(duration) + 1)
  low = np.maximum(centre - half, 0) / 100
  high = np.minimum((centre + half) / 100, duration)
  first, last = np.searchsorted(time, low, 'left'), np.searchsorted(time, high, 'left')  # [T]
  last = np.maximum(last, first)
  return _medians(value, first, last), last > first


def _medians(value: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
  """Medians [T] of value[first:last] per row, NaN where that is empty."""
  out = np.full(len(first), np.nan)
  size = last - first
  width = int(size.max(initial=0))
  if not width:
    return out
  rows = max(1, _WINDOW_CELLS // width)
  for start in range(0, len(first), rows):
    part = slice(start, start + rows)
    n = size[part]
    at = first[part, None] + np.arange(width)  # [t, width]
    x = np.where(at < last[part, None], value[np.minimum(at, len(value) - 1)], np.inf)
    x.sort(axis=1)
    i = np.arange(len(n))
    middle = (x[i, np.maximum(n - 1, 0) // 2] + x[i, np.minimum(n // 2, width - 1)]) / 2
    out[part] = np.where(n > 0, middle, np.nan)
  return out


def repeat_last(value: np.ndarray) -> np.ndarray:
  """NaN [T] replaced by the value before it; 0 where there is none yet."""
  at = np.where(np.isnan(value), -1, np.arange(len(value)))
  last = np.maximum.accumulate(at)
  return np.where(last < 0, 0.0, value[np.maximum(last, 0)])


def lowpass(value: np.ndarray, cutoff_hz: float = 0.25, order: int = 3, rate: float = RATE) -> np.ndarray:
  """Butterworth low-pass, forwards and backwards (zero phase), of finite values [T].

  Raises:
    UserError: fewer than 13 values, too few for the filter's start.
  """
  b, a = signal.butter(order, cutoff_hz / (rate / 2))
  if len(value) <= 3 * max(len(a), len(b)):
    raise UserError(f'{len(value)} labels, too few for the low-pass filter; expected more than {3 * len(b)}')
  return signal.filtfilt(b, a, value)


def shift(ratings: np.ndarray, lags: Sequence[int]) -> np.ndarray:
  """Ratings [T, R, A] moved `lags` [A] labels earlier; what has none any more is NaN."""
  out = np.full_like(ratings, np.nan)
  for a, lag in enumerate(lags):
    out[: max(len(ratings) - lag, 0), :, a] = ratings[lag:, :, a]
  return out


def labels(ratings: np.ndarray, rate: float) -> dict[str, np.ndarray]:
  """The labels of an example: `ratings`, `ratings_mask`, `valence`, `arousal`, `label_rate_hz`.

  Args:
    ratings: [T, R, 2] in [-1, 1], NaN where there is none.
    rate: labels per second.
  """
  mask = np.isfinite(ratings)
  mean = raters.masked_mean(ratings, mask)  # [T, A]
  means = {a: mean[:, i].astype(np.float32) for i, a in enumerate(ATTRIBUTES)}
  return {
    'ratings': ratings.astype(np.float32),
    'ratings_mask': mask,
    **means,
    'label_rate_hz': np.asarray(rate, np.float32),
  }
