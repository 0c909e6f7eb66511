"""Computational sequences (.csd, which is HDF5) of the CMU Multimodal SDK, and what is aligned with what.

A file holds one sequence, <root>/data/<key>/{features,intervals}: [N, D] and [N, 2], s; a key is a video, or `video[k]`
once something has been aligned. <root>/metadata is not read.

Two intervals meet if they share more than EPSILON seconds, which is the SDK's rule (dataset.py, `align`).
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError

EPSILON = 1e-5  # s
SILENCE = (b'sp', b'')
_KEY = re.compile(r'(?P<video>[^\[\]]+)(\[(?P<row>\d+)\])?')


class Stream(NamedTuple):
  """The frames of a whole video, in the order of time."""

  intervals: np.ndarray  # [N, 2] float64, s
  features: np.ndarray  # [N, D] float32
  real: np.ndarray  # [N] bool; False where nothing was there and zeros stand in


@dataclasses.dataclass(frozen=True)
class Sequence:
  """One .csd file: a computational sequence of features or labels by video or segment.

  Attributes:
    path: of it.
    root: the name of the sequence.
    keys: video -> row -> key in the file; a key without a row has row -1.
  """

  path: Path
  root: str
  keys: Mapping[str, Mapping[int, str]]

  @property
  def aligned(self) -> bool:
    """Whether its keys are segments rather than videos."""
    return -1 not in next(iter(self.keys.values()))

  def load(self, key: str, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Intervals [N, 2] float64 and features [N, D] as they stand, sorted by start.

    Raises:
      UserError: damaged, of other shapes, intervals that are none, or another D than `width`.
    """
    where = f'{self.path}: {self.root}/data/{key}'
    with _opened(self.path) as file:
      entry = file[self.root]['data'][key]
      missing = [n for n in ('intervals', 'features') if not hasattr(entry, 'keys') or n not in entry]
      if missing:
        raise UserError(f'{where}: no {missing[0]}; expected intervals [N, 2] and features [N, D]')
      intervals, features = entry['intervals'][()], entry['features'][()]
    if np.ndim(intervals) != 2 or intervals.shape[1] != 2 or intervals.dtype.kind not in 'fiu':
      raise UserError(f'{where}: intervals are {_shape(intervals)}, expected numbers [N, 2]')
    if np.ndim(features) != 2 or len(features) != len(intervals):
      raise UserError(
        f'{where}: features are {_shape(features)}, expected [{len(intervals)}, D] as there are intervals'
      )
    if not len(features):
      raise UserError(f'{where}: empty; expected one row at least')
    if width is not None and (features.shape[1] != width or features.dtype.kind not in 'fiu'):
      raise UserError(f'{where}: features are {_shape(features)}, expected numbers [N, {width}]')
    intervals = intervals.astype(np.float64)
    bad = ~np.isfinite(intervals).all(1) | (intervals[:, 1] < intervals[:, 0])
    if bad.any():
      row = int(np.argmax(bad))
      raise UserError(f'{where}: interval {row} is {intervals[row].tolist()}, expected a start and an end after it, s')
    return intervals, features


def _shape(x: Any) -> str:
  return f'{getattr(x, "dtype", type(x).__name__)} {list(np.shape(x))}'


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
  """The file for reading; whatever h5py raises becomes one line."""
  try:
    import h5py
  except ImportError:
    raise UserError(f'{path}: h5py is needed to read it; run: pip install "affectjax[extract]"') from None
  try:
    with h5py.File(path, 'r', locking=False) as file:
      yield file
  except UserError:
    raise
  except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError) as e:
    raise UserError(f'{path}: cannot be read as a computational sequence (damaged or of another kind): '
                    f'{str(e)[:160]}') from e  # fmt: skip


def find(source: Path) -> dict[str, Sequence]:
  """root -> the sequence, of all .csd files in a folder and below it."""
  sequences: dict[str, Sequence] = {}
  for path in sorted(p for p in source.rglob('*.csd') if not p.name.startswith('.')):
    sequence = _scan(path)
    if sequence.root in sequences:
      raise UserError(f'{path}: holds {sequence.root!r} as {sequences[sequence.root].path} does; keep one')
    sequences[sequence.root] = sequence
  return sequences


def _scan(path: Path) -> Sequence:
  with _opened(path) as file:
    roots = list(file)
    if len(roots) != 1:
      raise UserError(f'{path}: {len(roots)} groups ({", ".join(roots[:5]) or "none"}), expected one, the root')
    data = file[roots[0]].get('data') if hasattr(file[roots[0]], 'get') else None
    names = list(data) if hasattr(data, 'keys') else []
  if not names:
    raise UserError(f'{path}: {roots[0]}/data is missing or empty; expected <root>/data/<video>/features and intervals')
  keys: dict[str, dict[int, str]] = {}
  for name in names:
    parts = _KEY.fullmatch(name)
    if parts is None:
      raise UserError(f'{path}: {roots[0]}/data/{name}: expected a video, or video[row]')
    keys.setdefault(parts['video'], {})[-1 if parts['row'] is None else int(parts['row'])] = name
  rows = {-1 in of for of in keys.values()}
  if len(rows) > 1 or any(-1 in of and len(of) > 1 for of in keys.values()):
    raise UserError(f'{path}: some keys are videos, some are video[row]; expected one or the other')
  return Sequence(path, roots[0], keys)


# Alignment


def shared(intervals: np.ndarray, start: float, end: float) -> np.ndarray:
  """Which intervals [N, 2] meet the one from start to end, [N] bool."""
  return np.minimum(intervals[:, 1], end) - np.maximum(intervals[:, 0], start) > EPSILON


def in_time(sequence: Sequence, video: str, width: int | None = None) -> tuple[np.ndarray, np.ndarray]:
  """Intervals [N, 2] and features [N, D] of a whole video, in the order of their starts."""
  intervals, features = sequence.load(sequence.keys[video][-1], width)
  order = np.argsort(intervals[:, 0], kind='stable')
  return intervals[order], features[order]


def words(sequence: Sequence, video: str) -> np.ndarray:
  """Intervals [N, 2] of the words of a video; silence, where it is marked, is none, nor is what has no length."""
  intervals, features = in_time(sequence, video)
  spoken = intervals[:, 1] - intervals[:, 0] > EPSILON
  if features.dtype.kind in 'SOU':
    said = [w.encode() if isinstance(w, str) else bytes(w) for w in features[:, 0]]
    spoken &= np.array([w not in SILENCE for w in said], bool)
  return intervals[spoken]


def mean(features: np.ndarray) -> np.ndarray:
  """Mean over rows [N, D] of what is finite, [D]; NaN where nothing is."""
  finite = np.isfinite(features)
  count = finite.sum(0)
  total = np.where(finite, features, 0).sum(0, dtype=np.float64)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def by_word(spans: np.ndarray, intervals: np.ndarray, features: np.ndarray, collapse: bool) -> Stream:
  """Frames laid out by the words they fall in.

  Args:
    spans: [W, 2] of words.
    intervals, features: [N, 2] and [N, D] of frames, in the order of time.
    collapse: whether a word becomes the mean of its frames; otherwise it keeps them all, and a frame that two words
      share appears twice.

  Returns:
    A word without frames is one row of zeros that is not real.
  """
  when, what, real = [], [], []
  width = features.shape[1]
  ended = np.maximum.accumulate(intervals[:, 1])
  for start, end in spans:
    first, last = np.searchsorted(ended, start, 'right'), np.searchsorted(intervals[:, 0], end)
    met = first + np.flatnonzero(shared(intervals[first:last], start, end))  # no other frame can
    inside = np.stack([np.maximum(intervals[met, 0], start), np.minimum(intervals[met, 1], end)], 1)
    if not len(met):
      when.append([[start, end]])
      what.append(np.zeros((1, width), np.float32))
    elif collapse:
      when.append([[inside[:, 0].min(), inside[:, 1].max()]])
      what.append(mean(features[met])[None])
    else:
      when.append(inside)
      what.append(features[met])
    real.append(np.full(len(what[-1]), len(met) > 0))
  if not when:
    return Stream(np.zeros((0, 2)), np.zeros((0, width), np.float32), np.zeros(0, bool))
  with np.errstate(over='ignore'):
    stacked = np.concatenate(what).astype(np.float32)
  return Stream(np.concatenate(when).astype(np.float64), stacked, np.concatenate(real))


def by_frame(intervals: np.ndarray, features: np.ndarray) -> Stream:
  """Frames as they are."""
  with np.errstate(over='ignore'):
    return Stream(intervals, features.astype(np.float32), np.ones(len(intervals), bool))


def cut(stream: Stream, start: float, end: float) -> tuple[np.ndarray, np.ndarray]:
  """The rows of a segment, [T, D], and which are real, [T]."""
  met = shared(stream.intervals, start, end)
  return stream.features[met], stream.real[met]


def binned(stream: Stream, start: float, end: float, hz: float) -> tuple[np.ndarray, np.ndarray]:
  """Means over bins of 1 / hz from the start of a segment, [T, D], and which bins have frames, [T]."""
  x, _ = cut(stream, start, end)
  met = shared(stream.intervals, start, end)
  middle = stream.intervals[met].mean(1)
  bins = max(1, int(np.ceil(round((end - start) * hz, 6))))
  at = np.clip(((middle - start) * hz + 1e-6).astype(int), 0, bins - 1)
  out, real = np.zeros((bins, stream.features.shape[1]), np.float32), np.zeros(bins, bool)
  for b in np.unique(at):
    out[b], real[b] = mean(x[at == b]), True
  return out, real


def runs(spans: np.ndarray, taken: np.ndarray, longest: int, pause: float) -> list[tuple[float, float]]:
  """Segments of what nobody labelled: words in a row that meet none of the intervals `taken` [K, 2].

  Args:
    spans: [W, 2] of words in the order of time.
    taken: [K, 2] of labelled segments.
    longest: words in one segment.
    pause: s of silence at which one ends.
  """
  out: list[list[float]] = []
  words_in, before = 0, None
  for start, end in spans:
    if len(taken) and shared(taken, start, end).any():
      before = None
      continue
    if before is None or words_in == longest or start - before > pause:
      out.append([start, end])
      words_in = 0
    out[-1][1], before = max(out[-1][1], end), end
    words_in += 1
  return [(start, end) for start, end in out]
