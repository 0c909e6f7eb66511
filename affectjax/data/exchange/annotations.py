"""Labels per frame on disk: csv, ELAN (.eaf) and Label Studio (.json), each read back number for number.

A table is written and read whole (`label_table`, `elan` and `label_studio` say how each kind looks). Hand labels are
read from the same files, or from any csv with columns `frame,valence,arousal` and, for more than one video, `video`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.exchange import elan, label_studio, label_table
from affectjax.data.exchange.label_table import Table

SUFFIXES = {'.csv': 'csv', '.eaf': 'eaf', '.json': 'label_studio'}
FORMATS = tuple(SUFFIXES.values())
_WRITERS = {'csv': label_table.write_csv, 'eaf': elan.write, 'label_studio': label_studio.write}
_READERS = {'csv': label_table.read_csv, 'eaf': elan.read, 'label_studio': label_studio.read}


@dataclasses.dataclass(frozen=True)
class Hand:
  """One frame labelled by hand, as found in a file; `video` None where the file names none; `where` for messages."""

  video: str | None
  frame: int
  valence: float
  arousal: float
  where: str


def format_of(path: Path, given: str | None = None) -> str:
  """One of FORMATS, as given or by the suffix."""
  if given is not None and given not in FORMATS:
    raise unknown('format', given, FORMATS)
  if given is None and path.suffix not in SUFFIXES:
    raise UserError(f'{path}: no format goes with {path.suffix!r}; expected {", ".join(SUFFIXES)}, or give --format')
  return given or SUFFIXES[path.suffix]


def write(table: Table, path: Path, kind: str | None = None) -> None:
  """Writes a table whole or not at all."""
  writer = _WRITERS[format_of(path, kind)]
  _whole(path, lambda temporary: writer(table, temporary))


def write_suggestions(path: Path, rows: Sequence[tuple[str, int, float]]) -> None:
  """`video,frame,spread`, most wanted first, whole or not at all."""
  lines = [(video, frame, label_table.text(spread)) for video, frame, spread in rows]
  _whole(path, lambda temporary: label_table.write_rows(temporary, ('video', 'frame', 'spread'), lines))


def _whole(path: Path, write_to: Callable[[Path], None]) -> None:
  temporary = path.with_name(path.name + '.tmp')
  try:
    temporary.unlink(missing_ok=True)
    write_to(temporary)
    temporary.replace(path)
  except OSError as error:
    raise UserError(f'{path}: cannot be written: {error}') from error
  finally:
    temporary.unlink(missing_ok=True)


def read(path: Path, kind: str | None = None) -> Table:
  """Reads back what `write` wrote, and what was edited since."""
  return _READERS[format_of(path, kind)](path)


def read_hand(path: Path) -> list[Hand]:
  """The hand labels in a file: .eaf and .json as written here, or a csv with frame, valence and arousal.

  A csv may leave `video` out, where the source is one video. Where it has a column `support`, only rows with 1 count.
  """
  if format_of(path) == 'csv':
    return _hand_csv(path)
  table = read(path)
  return [
    Hand(str(table.video[i]), int(table.frame[i]), float(table.valence[i]), float(table.arousal[i]),
         f'{path}: video {str(table.video[i])!r}, frame {table.frame[i]}')
    for i in np.flatnonzero(table.support)
  ]  # fmt: skip


def _hand_csv(path: Path) -> list[Hand]:
  names, rows = features.load_rows(path, columns=('frame', 'valence', 'arousal'))
  at, hands = {n: i for i, n in enumerate(names)}, []
  for i, row in enumerate(rows):
    where = f'{path}: line {i + 2}'
    if 'support' in at and not label_table.flag(row[at['support']].strip(), where):
      continue
    values = [label_table.real(row[at[n]], where, n) for n in ('valence', 'arousal')]
    frame = label_table.whole(row[at['frame']], where)
    hands.append(Hand(row[at['video']] if 'video' in at else None, frame, *values, where))
  return hands


def match(path: Path, hands: Sequence[Hand], lengths: Mapping[str, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Hand labels by video, checked against the videos there are.

  Args:
    path: for messages.
    hands: as read.
    lengths: frames of each video.

  Returns:
    video -> (frames [S] int64 ascending, labels [S, 2] float64 valence and arousal).

  Raises:
    UserError: unknown video, frame out of range or twice, label not in [-1, 1], a video without any.
  """
  by_video: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in lengths}
  for hand in hands:
    name = next(iter(lengths)) if hand.video is None else hand.video
    if hand.video is None and len(lengths) > 1:
      raise UserError(f"{path}: no column 'video', but the source has {len(lengths)} videos; add it")
    if name not in lengths:
      raise UserError(f'{hand.where}: unknown video {name!r}; the source has: {label_table.some(lengths)}')
    if not 0 <= hand.frame < lengths[name]:
      raise UserError(f'{hand.where}: frame {hand.frame}, but video {name!r} has frames 0 to {lengths[name] - 1}')
    if hand.frame in by_video[name]:
      raise UserError(f'{hand.where}: frame {hand.frame} of video {name!r} is labelled twice; keep one')
    for dimension in ('valence', 'arousal'):
      if not -1 <= (value := getattr(hand, dimension)) <= 1:
        raise UserError(f'{hand.where}: {dimension} {value}; expected a number in [-1, 1]')
    by_video[name][hand.frame] = hand.valence, hand.arousal
  for name, labels in by_video.items():
    if not labels:
      raise UserError(f'{path}: no hand label for video {name!r}; label at least one frame of each video')
  order = {name: sorted(labels) for name, labels in by_video.items()}
  return {n: (np.array(f, np.int64), np.array([by_video[n][i] for i in f], np.float64)) for n, f in order.items()}
