"""Tensors of CMU-MOSEI as MMSA and MulT pickle them, and the labels they lack."""

import collections
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features, restricted_pickle

SPLITS = ('train', 'valid', 'test')
SAME, NEAR = 1e-3, 0.02  # how far sentiments may differ; and borders of an interval, s
_NAMED = re.compile(r'(?P<video>.+?)(?:\$_\$(?P<mmsa>\d+)|\[(?P<sdk>\d+)\])')


class Tensors(NamedTuple):
  """One split of the pickle: ids, features [N, T, D] and sentiments [N]."""

  ids: list[tuple[str, Any]]  # the video, and k, or (start, end) in s
  audio: np.ndarray  # [N, T, D]
  sentiment: np.ndarray  # [N]


def read(path: Path, width: int) -> list[Tensors]:
  """Train, valid and test of a pickle.

  Raises:
    UserError: the pickle holds something that could run, or lacks a part; other shapes; an id of no form known.
  """
  content = restricted_pickle.load(path)
  if not isinstance(content, dict):
    raise UserError(f'{path}: a {type(content).__name__}, expected a dict of {", ".join(SPLITS)}')
  missing = [s for s in SPLITS if not isinstance(content.get(s), dict)]
  if missing:
    keys = ', '.join(map(str, content))[:80] or 'none'
    raise UserError(f'{path}: no dict {missing[0]!r}; there is: {keys}; expected {", ".join(SPLITS)}')
  return [_split(f'{path}: {name}', path, content[name], width) for name in SPLITS]


def _split(where: str, path: Path, content: Mapping[str, Any], width: int) -> Tensors:
  named = 'regression_labels' if 'regression_labels' in content else 'labels'
  for key in ('id', 'audio', named):
    if key not in content:
      keys = ', '.join(map(str, content))[:80] or 'none'
      raise UserError(f'{where} has no {key!r}; there is: {keys}; expected id, audio and regression_labels or labels')
  audio, sentiment = np.asarray(content['audio']), np.asarray(content[named])
  if audio.ndim != 3 or audio.shape[2] != width or audio.dtype.kind not in 'fiu':
    raise UserError(f'{where}: audio is {audio.dtype} {list(audio.shape)}, expected numbers [N, T, {width}]')
  n = len(audio)
  if sentiment.size != n or len(sentiment) != n or sentiment.dtype.kind not in 'fiu':
    raise UserError(f'{where}: {named} is {sentiment.dtype} {list(sentiment.shape)}, expected {n} sentiments, as there '
                    'are examples in audio')  # fmt: skip
  ids = content['id']
  if isinstance(ids, (str, bytes)) or not hasattr(ids, '__len__') or len(ids) != n:
    count = len(ids) if hasattr(ids, '__len__') else type(ids).__name__
    raise UserError(f'{where}: id has {count} entries, audio {n}; expected the same')
  return Tensors([_id(where, i, one) for i, one in enumerate(ids)], audio, sentiment.reshape(n).astype(np.float64))


def _text(x: Any) -> str:
  return x.decode('latin1') if isinstance(x, bytes) else str(x)


def _id(where: str, i: int, given: Any) -> tuple[str, Any]:
  parts = (
    [_text(x) for x in given] if isinstance(given, (list, tuple, np.ndarray)) and np.ndim(given) else [_text(given)]
  )
  if len(parts) == 3:
    try:
      start, end = float(parts[1]), float(parts[2])
    except ValueError:
      start = end = np.nan
    if start < end:
      return parts[0], (start, end)
  named = _NAMED.fullmatch(parts[0]) if len(parts) == 1 else None
  if named is None:
    raise UserError(f'{where}: id {i} is {str(given)[:60]!r}, expected video$_$k, video[k] or (video, start, end)')
  return named['video'], int(named['mmsa'] or named['sdk'])


def join(
  path: Path, tensors: Sequence[Tensors], segments: Mapping[str, Any], drop: bool, counted: collections.Counter
) -> dict[str, tuple[int, int]]:
  """id of a labelled segment -> the split and the row of its tensor.

  Where ids have numbers, two readings are tried for all of them, the row of the labels and the place in time; that
  whose sentiments agree is taken.

  Args:
    path: for messages.
    tensors: of the three splits.
    segments: id -> segment, with `video`, `start`, `end`, `labels`.
    drop: whether rows that agree with no label are left out and added to `counted`; otherwise they are refused.

  Raises:
    UserError: a row without a label, or two for one.
  """
  of_video = collections.defaultdict(list)
  for segment in segments.values():
    of_video[segment.video].append(segment)
  by_row = {name: name for name in segments}
  in_time = {
    f'{video}[{k}]': s.name
    for video, of in of_video.items()
    for k, s in enumerate(sorted(of, key=lambda s: (s.start, s.end)))
  }
  rows, lost = min(
    (_joined(tensors, segments, of_video, table) for table in (by_row, in_time)), key=lambda f: len(f[1])
  )
  if lost and not drop:
    split, row, why = lost[0]
    video, k = tensors[split].ids[row]
    raise UserError(f'{path}: {SPLITS[split]}: id {row} ({video!r}, {k}) {why} ({len(lost)} of '
                    f'{sum(len(t.ids) for t in tensors)} rows); give the labels of the same release, or option '
                    'mismatch=drop')  # fmt: skip
  counted['mismatched'] += len(lost)
  out: dict[str, tuple[int, int]] = {}
  for split, row, name in rows:
    if name in out:
      first, at = out[name]
      raise UserError(f'{path}: {SPLITS[split]}: id {row} is {name!r}, as is id {at} of {SPLITS[first]}; '
                      'expected each segment once')  # fmt: skip
    out[name] = split, row
  if not out:
    raise UserError(f'{path}: no row agrees with a label; expected tensors of CMU-MOSEI')
  return out


def _joined(
  tensors: Sequence[Tensors], segments: Mapping[str, Any], of_video: Mapping[str, list], table: Mapping[str, str]
) -> tuple[list[tuple[int, int, str]], list[tuple[int, int, str]]]:
  """(split, row, id of the segment) of rows with a label, and (split, row, why) of those without."""
  rows, lost = [], []
  for split, of in enumerate(tensors):
    for row, ((video, k), sentiment) in enumerate(zip(of.ids, of.sentiment, strict=True)):
      if isinstance(k, tuple):
        near = [s.name for s in of_video.get(video, ()) if abs(s.start - k[0]) < NEAR and abs(s.end - k[1]) < NEAR]
      else:
        near = [table[f'{video}[{k}]']] if f'{video}[{k}]' in table else []
      if len(near) != 1:
        lost.append((split, row, 'has no label' if not near else f'has {len(near)} labels'))
      elif not abs(segments[near[0]].labels[0] - sentiment) < SAME:
        why = f'has sentiment {sentiment:g}, its label {near[0]!r} {segments[near[0]].labels[0]:g}'
        lost.append((split, row, why))
      else:
        rows.append((split, row, near[0]))
  return rows, lost


def unpadded(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """A tensor [T, D] without the zeros before and after it, and which rows are real; zeros in between are not."""
  real = x.any(1)
  at = np.flatnonzero(real)
  kept = slice(at[0], at[-1] + 1) if len(at) else slice(0)
  return features.as_float32(Path('audio'), x[kept]), real[kept]
