"""CMU-MOSEI: 23,259 labelled segments of 3,293 video monologues; sentiment and six intensities; COVAREP by the word.

Paper: A. Zadeh, P. P. Liang, S. Poria, E. Cambria, L.-P. Morency, "Multimodal language analysis in the wild: CMU-MOSEI
dataset and interpretable dynamic fusion graph", ACL 2018, 2236-2246, aclanthology P18-1208.
Licence: features and labels are public, from the CMU Multimodal SDK, whose terms hold; videos are their owners'.

Forms, found by themselves in `source` and the folders below it:
  sequences   .csd files of the SDK, known by the root in them, not by their names: COVAREP, All Labels, and for words
              glove_vectors (or words, the timestamped ones, where `sp` is silence); others are passed over
  tensors     one .pkl, train/valid/test -> id, audio [N, T, 74], and regression_labels (MMSA) or labels (MulT) [N];
              ids are `video$_$k`, `video[k]` or (video, start, end). It is read by a restricted unpickler. It knows
              sentiment only: the rest is joined from All Labels (.csd), which has to be there: by interval, or k being
              the row of the labels or the place in time, whichever agrees with the sentiments
and the folds: *std_folds*.py of the SDK (three lists are read from it, it is not run), folds.json (train, valid, test:
lists of videos) or folds.csv (lines `video,train`), or option folds=FILE; for tensors they are the file's own.

Options of sequences:
  align=words      one row per word, the mean of the frames it shares time with (finite values of each column only), or
        20hz       means over 50 ms from the segment's start; or none: the frames, 100 per second; or
        given      entries `video[k]`, of what the SDK has aligned already, as they are
  collapse=mean    or none: a word keeps all its frames, as in the SDK's own script for this corpus
  seq_len=auto     rows kept of a segment: 50 with words, 500 at 20 Hz, else all; or a number, or all
  keep=last        or first: which
  sdk_last50=no    yes: align=words, collapse=none, seq_len=50, keep=last. This is what that script amounts to: about
                   the last half second of a segment, though it looks like 50 words
  order=auto       of the labels' columns: the README's, refused if correlations with sentiment look otherwise;
                   readme or alphabetical: taken at your word
  unlabelled=no    yes: segments without labels as well, from words that lie in no labelled segment: cut at pauses of
                   0.5 s and after as many words as seq_len
of tensors: audio_hz (frames per second, if rows are no words); mismatch=error or drop, of rows that agree with no label

One example per labelled segment, one split `all`, in the order of ids; group and item are the video.
  audio [T, 74]      columns in meta['columns']; words without frames are zeros, masked. Padding is not kept. Non-finite
                     values stay, for --nonfinite; a segment without any frame is one masked row, audio_present False
  intensity [6]      of meta['emotions'], 0 to 3, NaN if unlabelled; above 3, up to 6, taken for 3 and counted
  sentiment          -3 to 3; valence is a third of it
  official           0 train, 1 dev (valid), 2 test, -1 in no fold
The id is `video[k]`, k the row of All Labels; `video[u0]`, ... without labels.

Known counts: train 16327, valid 1871, test 4662 segments of 2249, 300, 676 videos, 399 of 68 videos in no fold.
Seen in public code: layout of .csd files, roots, rule and order of alignment, lists of folds, keys of the tensors. Not
seen: the corpus itself; the names in ids of tensors are from readers of them and from memory.
"""

import collections
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import traces
from affectjax.data.corpora import _clips, _cmu_mosei, _cmu_mosei_folds, _cmu_mosei_tensors
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
EMOTIONS = ('happy', 'sad', 'anger', 'surprise', 'disgust', 'fear')
ORDERS = {'readme': EMOTIONS, 'alphabetical': tuple(sorted(EMOTIONS))}
TONE = (0.585, -0.342, -0.415, -0.063, -0.548, -0.017)  # correlation of EMOTIONS with sentiment
ENOUGH = 40  # segments to tell the order of columns by
OFFICIAL = ('train', 'dev', 'test')
COLUMNS = (
  'F0', 'VUV', 'NAQ', 'QOQ', 'H1H2', 'PSP', 'MDQ', 'peakSlope', 'Rd', 'Rd_conf', 'creak',
  *(f'MCEP_{i}' for i in range(25)), *(f'HMPDM_{i}' for i in range(25)), *(f'HMPDD_{i}' for i in range(13)),
)  # fmt: skip
GROUPS = {'voice': (0, 11), 'mcep': (11, 36), 'hmpdm': (36, 61), 'hmpdd': (61, 74)}
AUDIO, LABELS, WORDS = 'COVAREP', 'All Labels', ('glove_vectors', 'words')
HIGHEST, BEYOND = 3.0, 6.0  # an intensity; what is still taken for it
PAUSE = 0.5  # s
ROWS = {'words': 50, '20hz': 500, 'none': None, 'given': None}
RATES = {'words': None, '20hz': 20.0, 'none': 100.0, 'given': None}
CHOICES = {
  'align': tuple(ROWS), 'collapse': ('mean', 'none'), 'keep': ('last', 'first'), 'sdk_last50': ('no', 'yes'),
  'order': ('auto', *ORDERS), 'unlabelled': ('no', 'yes'), 'mismatch': ('error', 'drop'),
}  # fmt: skip


class Options(NamedTuple):
  """The options of `read`, checked; what they mean is at the top of this file."""

  align: str = 'words'
  collapse: str = 'mean'
  seq_len: str = 'auto'
  keep: str = 'last'
  sdk_last50: str = 'no'
  order: str = 'auto'
  unlabelled: str = 'no'
  mismatch: str = 'error'


class Segment(NamedTuple):
  """A labelled part of a video, or one without labels."""

  name: str
  video: str
  start: float  # s
  end: float
  labels: np.ndarray | None  # [7] sentiment and EMOTIONS


def read(
  source: Path, *, align: str = 'words', collapse: str = 'mean', seq_len: str | int = 'auto', keep: str = 'last',
  sdk_last50: str = 'no', order: str = 'auto', folds: str | None = None, unlabelled: str = 'no',
  audio_hz: str | float | None = None, mismatch: str = 'error',
) -> Reading:  # fmt: skip
  """CMU-MOSEI as found in `source`.

  Args:
    source: a folder that holds one of the forms above.
    align, collapse, seq_len, keep, sdk_last50, order, unlabelled, audio_hz, mismatch: see the top of this file.
    folds: the file of the folds, or 'none' for none.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  options = Options(align, collapse, str(seq_len), keep, sdk_last50, order, unlabelled, mismatch)
  for name, known in CHOICES.items():
    traces.choice(name, getattr(options, name), known)
  if sdk_last50 == 'yes':
    if (align, keep) != ('words', 'last') or options.seq_len not in ('auto', '50'):
      raise UserError(
        'option sdk_last50: yes stands for align=words, collapse=none, seq_len=50, keep=last; leave these out'
      )
    options = options._replace(collapse='none')
  sequences, tensors = _cmu_mosei.find(source), _pickle(source)
  if tensors is None and not sequences:
    raise UserError(f'{source}: no CMU-MOSEI here; expected .csd files with the roots {AUDIO}, {LABELS} and '
                    f'{" or ".join(WORDS)}, or a .pkl and {LABELS}')  # fmt: skip
  if tensors is not None and AUDIO in sequences:
    raise UserError(f'{source}: both {tensors.name} and {sequences[AUDIO].path.name}; keep one')
  counted: collections.Counter = collections.Counter()
  labels = _sequence(source, sequences, (LABELS,))
  segments = read_labels(labels, order, counted)
  if tensors is None:
    if audio_hz is not None:
      raise UserError(f'option audio_hz: {audio_hz}, but it is for tensors (.pkl) only; leave it out')
    return _from_sequences(source, sequences, segments, folds, options, counted)
  if options._replace(order='auto', mismatch='error') != Options():
    raise UserError(f'{tensors}: options align, collapse, seq_len, keep, sdk_last50 and unlabelled are for .csd files; '
                    'leave them out')  # fmt: skip
  hz = None if audio_hz is None else _clips.rate('audio_hz', audio_hz)
  return _from_tensors(source, tensors, labels.path, segments, folds, mismatch == 'drop', hz, counted)


def _pickle(source: Path) -> Path | None:
  pickles = sorted(p for p in source.rglob('*.pkl') if not p.name.startswith('.'))
  if len(pickles) > 1:
    raise UserError(f'{source}: both {pickles[0].name} and {pickles[1].name}; keep one')
  return pickles[0] if pickles else None


def _from_sequences(
  source: Path,
  sequences: Mapping[str, _cmu_mosei.Sequence],
  segments: dict[str, Segment],
  folds: str | None,
  options: Options,
  counted: collections.Counter,
) -> Reading:
  rows = _rows(options.seq_len, options.align)
  official, files = _cmu_mosei_folds.read(source, folds, {s.video for s in segments.values()})
  audio = _sequence(source, sequences, (AUDIO,))
  _check_alignment(audio, options.align)
  worded = options.align == 'words' or options.unlabelled == 'yes'
  spoken = _sequence(source, sequences, WORDS) if worded else None
  if spoken is not None and spoken.aligned:
    raise UserError(f'{spoken.path}: its entries are segments, video[k]; expected the words of whole videos')
  if options.unlabelled == 'yes':
    segments |= _unlabelled(segments, audio, spoken, rows or ROWS['words'])
  stream = _streams(audio, spoken, options)

  def example(split: str, name: str) -> dict[str, Any]:
    return _example(segments[name], official, *_audio(audio, stream, segments[name], options, rows))

  meta = _meta(segments, official, RATES[options.align], counted) | {
    'alignment': {'align': options.align, 'collapse': options.collapse, 'seq_len': rows, 'keep': options.keep},
  }  # fmt: skip
  paths = [audio.path, sequences[LABELS].path, *([spoken.path] if spoken else []), *files]
  return Reading(meta, {'all': sorted(segments)}, example, paths)


def _rows(seq_len: str, align: str) -> int | None:
  """How many rows of a segment are kept; None for all."""
  if seq_len in ('auto', 'all'):
    return ROWS[align] if seq_len == 'auto' else None
  if not re.fullmatch(r'[1-9]\d{0,5}', seq_len):
    raise UserError(f'option seq_len: {seq_len!r}, expected auto, all, or a whole number above 0')
  return int(seq_len)


def _sequence(
  source: Path, sequences: Mapping[str, _cmu_mosei.Sequence], wanted: tuple[str, ...]
) -> _cmu_mosei.Sequence:
  """The first of those wanted."""
  for root in wanted:
    if root in sequences:
      return sequences[root]
  roots = ', '.join(sorted(sequences)) or 'none'
  raise UserError(f'{source}: no .csd file with the root {" or ".join(wanted)}; there is: {roots}')


# Labels


def read_labels(sequence: _cmu_mosei.Sequence, order: str, counted: collections.Counter) -> dict[str, Segment]:
  """id -> the labelled segment; intensities above 3 are taken for 3 and added to `counted`."""
  out: dict[str, Segment] = {}
  for video, keys in sequence.keys.items():
    for row, key in keys.items():
      where = f'{sequence.path}: {LABELS}/data/{key}'
      intervals, values = sequence.load(key, 1 + len(EMOTIONS))
      if row >= 0 and len(values) != 1:
        raise UserError(f'{where}: {len(values)} rows, expected one label for one segment')
      for i, ((start, end), value) in enumerate(zip(intervals, values.astype(np.float64), strict=True)):
        k = i if row < 0 else row
        if end - start <= _cmu_mosei.EPSILON:
          raise UserError(f'{where}: interval {i} is {[start, end]}, expected one of some length, s')
        _check_values(f'{where}: row {i}', value)
        out[f'{video}[{k}]'] = Segment(f'{video}[{k}]', video, float(start), float(end), value)
  columns = _order(sequence.path, np.stack([s.labels for s in out.values()]), order)
  at = [0, *(1 + columns.index(e) for e in EMOTIONS)]
  for name, segment in out.items():
    value = segment.labels[at]
    counted['clamped'] += int((value[1:] > HIGHEST).sum())
    value[1:] = np.minimum(value[1:], HIGHEST)
    out[name] = segment._replace(labels=value)
  return out


def _check_values(where: str, value: np.ndarray) -> None:
  """Refuses a label that is out of range; `value` is sentiment and six intensities."""
  if not -3 <= value[0] <= 3:
    raise UserError(f'{where}: sentiment is {value[0]:g}, expected -3 to 3')
  bad = ~((value[1:] >= 0) & (value[1:] <= BEYOND))
  if bad.any():
    k = 1 + int(np.argmax(bad))
    raise UserError(f'{where}: column {k} (an intensity) is {value[k]:g}, expected 0 to {HIGHEST:g}')


def _order(path: Path, values: np.ndarray, order: str) -> tuple[str, ...]:
  """The emotions in the order of the columns; by their correlation with sentiment where nobody says."""
  if order != 'auto':
    return ORDERS[order]
  if len(values) < ENOUGH:
    return ORDERS['readme']
  sd = values.std(0)
  together = ((values - values.mean(0)) * (values[:, :1] - values[:, :1].mean())).mean(0)
  r = np.where(sd * sd[0] > 0, together / np.maximum(sd * sd[0], 1e-12), 0)[1:]  # [6]
  far = {
    name: np.abs([r[columns.index(e)] for e in EMOTIONS] - np.array(TONE)).sum() for name, columns in ORDERS.items()
  }
  best = min(far, key=far.get)
  if best != 'readme':
    raise UserError(f'{path}: the column of happy has a correlation of {r[0]:.2f} with sentiment, expected about '
                    f'{TONE[0]:.2f}: emotions look {best}; give option order={best}, or order=readme if they are '
                    f'{", ".join(EMOTIONS)} all the same')  # fmt: skip
  return ORDERS['readme']


# Features


def _check_alignment(audio: _cmu_mosei.Sequence, align: str) -> None:
  if audio.aligned != (align == 'given'):
    entries = 'segments, video[k]' if audio.aligned else 'videos'
    wanted = 'give option align=given' if audio.aligned else 'align=given is for entries video[k]: leave it out'
    raise UserError(f'{audio.path}: its entries are {entries}; {wanted}')


def _streams(
  audio: _cmu_mosei.Sequence, spoken: _cmu_mosei.Sequence | None, options: Options
) -> Callable[[str], _cmu_mosei.Stream | None]:
  """What gives the stream of a video, None for one without features or words."""

  @functools.lru_cache(maxsize=4)  # segments of a video come one after the other
  def stream(video: str) -> _cmu_mosei.Stream | None:
    if video not in audio.keys or (options.align == 'words' and video not in spoken.keys):
      return None
    intervals, frames = _cmu_mosei.in_time(audio, video, len(COLUMNS))
    if options.align != 'words':
      return _cmu_mosei.by_frame(intervals, frames)
    return _cmu_mosei.by_word(_cmu_mosei.words(spoken, video), intervals, frames, options.collapse == 'mean')

  return stream


def _audio(
  audio: _cmu_mosei.Sequence,
  stream: Callable[[str], _cmu_mosei.Stream | None],
  segment: Segment,
  options: Options,
  rows: int | None,
) -> tuple[np.ndarray, np.ndarray]:
  """Features [T, 74] of a segment, and which rows are real, [T]; of nothing [0, 74] and [0]."""
  x, real = np.zeros((0, len(COLUMNS)), np.float32), np.zeros(0, bool)
  if options.align == 'given':
    key = audio.keys.get(segment.video, {}).get(int(segment.name[len(segment.video) + 1 : -1]))
    if key is not None:
      x = _cmu_mosei.by_frame(*audio.load(key, len(COLUMNS))).features
      real = x.any(1)  # rows of zeros are the SDK's imputation
  elif (entry := stream(segment.video)) is not None:
    if options.align == '20hz':
      x, real = _cmu_mosei.binned(entry, segment.start, segment.end, RATES['20hz'])
    else:
      x, real = _cmu_mosei.cut(entry, segment.start, segment.end)
  kept = slice(None) if rows is None else slice(-rows, None) if options.keep == 'last' else slice(rows)
  return x[kept], real[kept]


def _unlabelled(
  segments: Mapping[str, Segment], audio: _cmu_mosei.Sequence, spoken: _cmu_mosei.Sequence, longest: int
) -> dict[str, Segment]:
  """Segments of what nobody labelled, of the videos that have words and features."""
  taken = collections.defaultdict(list)
  for segment in segments.values():
    taken[segment.video].append((segment.start, segment.end))
  if audio.aligned:
    raise UserError(f'{audio.path}: option unlabelled needs features of whole videos, these are of segments')
  out = {}
  for video in sorted(set(spoken.keys) & set(audio.keys)):
    labelled = np.array(taken[video]).reshape(-1, 2)
    for k, (start, end) in enumerate(_cmu_mosei.runs(_cmu_mosei.words(spoken, video), labelled, longest, PAUSE)):
      out[f'{video}[u{k}]'] = Segment(f'{video}[u{k}]', video, start, end, None)
  return out


def _from_tensors(
  source: Path, path: Path, labels: Path, segments: Mapping[str, Segment], folds: str | None, drop: bool,
  hz: float | None, counted: collections.Counter,
) -> Reading:  # fmt: skip
  tensors = _cmu_mosei_tensors.read(path, len(COLUMNS))
  joined = _cmu_mosei_tensors.join(path, tensors, segments, drop, counted)
  official = {segments[name].video: fold for name, (fold, _) in joined.items()}
  for name, (fold, _) in joined.items():
    if official[segments[name].video] != fold:
      pair = ' and '.join(OFFICIAL[f] for f in sorted({fold, official[segments[name].video]}))
      raise UserError(f'{path}: video {segments[name].video!r} is in both {pair}; expected each video in one')
  files = []
  if folds is not None or _cmu_mosei_folds.candidates(source):
    listed, files = _cmu_mosei_folds.read(source, folds, set(official))
    for video, fold in official.items():
      if folds != 'none' and listed.get(video, -1) != fold:
        raise UserError(f'{path}: video {video!r} is in {OFFICIAL[fold]}, but not so in {files[0]}; '
                        'give option folds=none to go by the tensors')  # fmt: skip

  def example(split: str, name: str) -> dict[str, Any]:
    fold, row = joined[name]
    x, real = _cmu_mosei_tensors.unpadded(tensors[fold].audio[row])
    return _example(segments[name], official, x, real)

  chosen = {name: segments[name] for name in joined}
  return Reading(_meta(chosen, official, hz, counted), {'all': sorted(joined)}, example, [path, labels, *files])


# Examples


def _example(segment: Segment, official: Mapping[str, int], audio: np.ndarray, real: np.ndarray) -> dict[str, Any]:
  if not len(audio):
    audio, real = np.zeros((1, len(COLUMNS)), np.float32), np.zeros(1, bool)
  value = np.full(1 + len(EMOTIONS), np.nan) if segment.labels is None else segment.labels
  return {
    'id': segment.name, 'group': segment.video, 'item': segment.video,
    'audio': audio, 'audio_mask': real, 'audio_present': np.asarray(real.any()),
    'intensity': value[1:].astype(np.float32), 'sentiment': np.float32(value[0]), 'valence': np.float32(value[0] / 3),
    'official': np.int8(official.get(segment.video, -1)),
  }  # fmt: skip


def _meta(
  segments: Mapping[str, Segment], official: Mapping[str, int], hz: float | None, counted: collections.Counter
) -> dict[str, Any]:
  splits = {name: [s for s in segments.values() if official.get(s.video, -1) == f] for f, name in enumerate(OFFICIAL)}
  splits['none'] = [s for s in segments.values() if official.get(s.video, -1) < 0]
  return {
    'modalities': {'audio': len(COLUMNS)}, 'rate_hz': {'audio': hz}, 'columns': {'audio': list(COLUMNS)},
    'column_groups': {name: list(ends) for name, ends in GROUPS.items()},
    'attributes': ['valence'], 'emotions': list(EMOTIONS), 'official': list(OFFICIAL), 'groups': 'videos',
    'labels': 'means of three annotators: intensities 0 to 3, sentiment -3 to 3; valence is a third of it',
    'licence': 'public features and labels; terms of the CMU Multimodal SDK', 'fixed': ['intensity'],
    # Segments and videos with labels, of each fold; cells taken for 3; rows of tensors left out
    'folds': {
      name: [sum(s.labels is not None for s in of), len({s.video for s in of if s.labels is not None})]
      for name, of in splits.items()
    },
    'unlabelled': sum(s.labels is None for s in segments.values()),
    'clamped': counted['clamped'], 'mismatched': counted['mismatched'],
  }  # fmt: skip
