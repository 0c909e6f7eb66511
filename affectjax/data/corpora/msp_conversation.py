"""MSP-Conversation: podcast conversations, marked over time by five or more raters per part.

Paper: L. Martinez-Lucas, M. Abdelwahab, C. Busso, "The MSP-Conversation Corpus", Interspeech 2020, 1823-1827,
doi 10.21437/Interspeech.2020-2444. Reader followed: mspconv_reader.py of sp-uhh/label-uncertainty-ser (N. R. Prabhu).
Licence: gated, an academic agreement with the University of Texas at Dallas, not to be passed on.

Layout, as several public readers use it (a folder may stand in itself, `Audio/Audio`, as archives unpack it):
  partitions.txt                            <conversation>;Train|Validation|Test, no header
  Time_Labels/conversation_parts.txt        <conversation>_<part>;<start>;<end> in seconds, no header
  Annotations/{Arousal,Valence}/<conversation>_<part>_<annotator>.csv      Dominance is not read
  Audio/<conversation>.wav                  or Audios/
  features/<conversation>_<part>.npy        yours, at 25 Hz; or .npz, .csv
Conversations are called MSP-Conversation_0021 and annotators 001. A trace has nine lines of header (as the program
CARMA writes), then `time,value`: time in seconds from the start of the part, value in [-100, 100], divided by 100 here.
Start and end of parts count from somewhere in the podcast; the wav begins where the conversation's first part does.
Assumed, for no public source says it: that times never go back (equal ones are allowed) and traces have two columns.
What stands in the nine lines is not looked at. The second test set of newer releases
(test2_conversation_parts.txt) is not read.

Labels are at 0.04, 0.08, .. s: the median of the trace in [t - 0.25, t + 0.25), clipped at the part's ends; the first
label goes with the first frame of features and sound. Options:
  empty=repeat      a window without samples repeats the last value, 0 if there is none yet (as the reader does), or
  empty=mask        it has no rating
  max_gap_s=10      with empty=repeat, a longer stretch without samples is an error (inf: never)
  lowpass=001,007,009   annotators whose labels get a 3rd-order Butterworth low-pass at 0.25 Hz without phase shift,
                    after which they are clipped to [-1, 1]; lowpass=none for nobody
  delay_s=0         labels are moved earlier by this, what falls off the end is masked; two numbers are valence,arousal
                    (4.08,2.8 are the lags of best correlation that the corpus's authors found)
  modalities=audio,waveform, resample=true    see `_streams`

One example per part: id, item the part, group its conversation (all speakers of a conversation are in one partition),
`annotators` their names in the order of the slots, `ratings` [T, R, 2] valence and arousal in [-1, 1] with
`ratings_mask`, `valence` and `arousal` [T] the mean over the raters that are there, `label_rate_hz` 25, `audio` [T, D],
`waveform` [T, 640]. R is the largest number of annotators any part has; slots beyond a part's own are masked, and so is
an attribute that an annotator did not mark.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features as feature_files
from affectjax.data import traces
from affectjax.data.corpora import _streams
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
HEADER = 9  # lines
SCALE = 100.0
PARTITIONS = {'Train': 'train', 'Validation': 'dev', 'Test': 'test'}
FAULTY = '001,007,009'
_TRACE = re.compile(r'(?P<part>.+_\d+)_(?P<annotator>[0-9A-Za-z]+)\.csv')


class Part(NamedTuple):
  """One part of a conversation, which the same annotators marked."""

  name: str
  conversation: str
  start: float  # s from the start of the wav
  end: float
  files: Mapping[str, Mapping[str, Path]]  # attribute -> annotator -> trace

  @property
  def annotators(self) -> list[str]:
    """Ids of those who marked any attribute of this part, sorted."""
    return sorted({a for files in self.files.values() for a in files})


class Policy(NamedTuple):
  """What the options say of traces."""

  empty: str
  max_gap_s: float
  lowpass: tuple[str, ...]
  lags: tuple[int, int]  # labels, valence and arousal


def read(
  source: Path, *, empty: str = 'repeat', max_gap_s: str | float = 10.0, lowpass: str = FAULTY,
  delay_s: str | float = 0.0, modalities: str | None = None, resample: str = 'false',
) -> Reading:  # fmt: skip
  """MSP-Conversation as found in `source`.

  Args:
    source: the corpus.
    empty, max_gap_s, lowpass, delay_s, modalities, resample: see above.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  times = _first(source, 'Time_Labels/conversation_parts.txt', 'Time Labels/conversation_parts.txt')
  partitions = _partitions(source / 'partitions.txt')
  parts = _parts(times, partitions, _traces(source))
  annotators = sorted({a for p in parts.values() for a in p.annotators})
  policy = Policy(traces.choice('empty', empty, ('repeat', 'mask')), traces.seconds('max_gap_s', max_gap_s),
                  _lowpass(lowpass, annotators), _lags(delay_s))  # fmt: skip
  sound = [f'{a}{b}' for a in ('Audio', 'Audios') for b in (f'/{a}', '')]
  streams = _streams.find(source, {p.name: p.conversation for p in parts.values()}, sound, modalities, resample)
  slots = max(len(p.annotators) for p in parts.values())

  def example(split: str, name: str) -> dict[str, Any]:
    part = parts[name]
    ratings = _ratings(part, slots, policy)
    data = streams.read(name, len(ratings), (part.start, part.end))
    frames = min(map(len, data.values()))
    return {
      'id': name, 'group': part.conversation, 'item': name, 'annotators': ' '.join(part.annotators),
      **traces.labels(ratings[:frames], traces.RATE), **data,
    }  # fmt: skip

  keys = {s: [p.name for p in parts.values() if partitions[p.conversation] == s] for s in PARTITIONS.values()}
  files = [p for part in parts.values() for of in part.files.values() for p in of.values()]
  return Reading(_meta(streams, slots, policy), {s: k for s, k in keys.items() if k}, example,
                 [source / 'partitions.txt', times, *files, *streams.files])  # fmt: skip


def _meta(streams: _streams.Streams, slots: int, policy: Policy) -> dict[str, Any]:
  return {
    'modalities': streams.modalities,
    'rate_hz': dict.fromkeys(streams.modalities, traces.RATE),
    'label_rate_hz': traces.RATE,
    'attributes': list(traces.ATTRIBUTES),
    'labels': 'medians of the traces in windows of 0.5 s every 40 ms, divided by 100; valence and arousal are the mean '
    'over the raters that are there',
    'groups': 'conversations',
    'raters': [f'slot{i + 1}' for i in range(slots)],
    'licence': 'MSP academic agreement, no redistribution',
    'empty': policy.empty,
    'lowpass': list(policy.lowpass),
    'delay_s': [lag / traces.RATE for lag in policy.lags],
  }


# Options


def _lowpass(text: str, annotators: list[str]) -> tuple[str, ...]:
  if text == 'none':
    return ()
  names = tuple(text.split(','))
  for name in names:
    if text != FAULTY and name not in annotators:
      raise unknown('annotator in the option lowpass', name, [*annotators, 'none'])
  return names


def _lags(text: str | float) -> tuple[int, int]:
  """Labels by which valence and arousal are moved."""
  delays = [traces.seconds('delay_s', t) for t in str(text).split(',')]
  if len(delays) > 2 or not np.isfinite(delays).all():
    raise UserError(f'option delay_s: {text}, expected seconds, or two numbers for valence,arousal')
  valence, arousal = (round(d * traces.RATE) for d in (delays[0], delays[-1]))
  return valence, arousal


# Layout


def _first(source: Path, *names: str) -> Path:
  for name in names:
    if (source / name).exists():
      return source / name
  raise UserError(f'{source / names[0]}: no such file; expected MSP-Conversation as distributed')


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, list[str]]]:
  """(number of the line, cells) of a list without header, separated by semicolons."""
  out = []
  for i, line in enumerate(feature_files.read_lines(path)):
    cells = [c.strip() for c in line.split(';')]
    if line.strip():
      if len(cells) != len(columns) or not all(cells):
        raise UserError(f'{path}: line {i + 1} is {line[:60]!r}, expected {";".join(columns)}')
      out.append((i + 1, cells))
  return out


def _partitions(path: Path) -> dict[str, str]:
  """conversation -> split."""
  out = {}
  for line, (name, partition) in _rows(path, ('conversation', 'Train|Validation|Test')):
    if partition not in PARTITIONS:
      raise unknown(f'partition in {path}: line {line}:', partition, PARTITIONS)
    if name in out:
      raise UserError(f'{path}: line {line}: conversation {name!r} has an earlier line; remove one')
    out[name] = PARTITIONS[partition]
  return out


def _parts(path: Path, partitions: Mapping[str, str], files: dict[str, dict[str, dict[str, Path]]]) -> dict[str, Part]:
  """The parts by name, times counted from the first part of their conversation."""
  spans: dict[str, tuple[str, float, float]] = {}
  for line, (name, *ends) in _rows(path, ('part', 'start', 'end')):
    where = f'{path}: line {line}, part {name!r}'
    conversation, _, number = name.rpartition('_')
    if not number.isdigit() or conversation not in partitions:
      raise UserError(f'{where}: its conversation {conversation!r} is not in partitions.txt; expected e.g. NAME_1')
    if name in spans:
      raise UserError(f'{where} has an earlier line; remove one')
    for cell in ends:
      if not traces.is_number(cell) or not np.isfinite(float(cell)):
        raise UserError(f'{where}: {cell!r} is not a number of seconds')
    start, end = map(float, ends)
    if not 0 <= start < end or traces.count_labels(end - start) < 1:
      raise UserError(f'{where}: from {ends[0]} to {ends[1]} s; expected 0 <= start < end, at least 0.04 s')
    spans[name] = conversation, start, end
  for conversation in partitions:
    if conversation not in {c for c, _, _ in spans.values()}:
      raise UserError(f'{path}: no part of conversation {conversation!r}, which is in partitions.txt')
  for part, by_attribute in files.items():
    if part not in spans:
      first = next(iter(next(iter(by_attribute.values())).values()))
      raise UserError(f'{first}: part {part!r} is not in {path.name}')
  out = {}
  for name, (conversation, start, end) in spans.items():
    zero = min(s for c, s, _ in spans.values() if c == conversation)
    for attribute in traces.ATTRIBUTES:
      if not files.get(name, {}).get(attribute):
        raise UserError(f'{path}: part {name!r} has no trace of {attribute}; expected '
                        f'Annotations/{attribute.title()}/{name}_<annotator>.csv')  # fmt: skip
    out[name] = Part(name, conversation, start - zero, end - zero, files[name])
  return out


def _traces(source: Path) -> dict[str, dict[str, dict[str, Path]]]:
  """part -> attribute -> annotator -> its trace."""
  out: dict[str, dict[str, dict[str, Path]]] = {}
  root = source / 'Annotations'
  root = root / 'Annotations' if (root / 'Annotations').is_dir() else root
  for attribute in traces.ATTRIBUTES:
    folder = root / attribute.title()
    if not folder.is_dir():
      raise UserError(f'{folder}: no such folder; expected the traces of {attribute}')
    for path in sorted(p for p in folder.iterdir() if p.suffix == '.csv' and not p.name.startswith('.')):
      match = _TRACE.fullmatch(path.name)
      if not match:
        raise UserError(f'{path}: expected <conversation>_<part>_<annotator>.csv')
      out.setdefault(match['part'], {}).setdefault(attribute, {})[match['annotator']] = path
  return out


# Traces


def _ratings(part: Part, slots: int, policy: Policy) -> np.ndarray:
  """[T, R, 2] of a part, NaN where there is no rating."""
  duration, annotators = part.end - part.start, part.annotators
  out = np.full((traces.count_labels(duration), slots, len(traces.ATTRIBUTES)), np.nan)
  for a, attribute in enumerate(traces.ATTRIBUTES):
    for annotator, path in part.files[attribute].items():
      out[:, annotators.index(annotator), a] = _labels(path, annotator, duration, policy)
  for lag, attribute in zip(policy.lags, traces.ATTRIBUTES, strict=True):
    if lag >= len(out):
      raise UserError(f'part {part.name!r}: delay_s leaves nothing of {attribute} in {duration:.2f} s; lower it')
  return traces.shift(out, policy.lags)


def _labels(path: Path, annotator: str, duration: float, policy: Policy) -> np.ndarray:
  """One trace as labels [T] in [-1, 1], NaN where there is none."""
  time, value = read_trace(path)
  _refuse_gaps(path, time, duration, policy)
  x, rated = traces.resample(time, value, duration)
  x = traces.repeat_last(x) / SCALE
  if annotator in policy.lowpass:
    try:
      x = np.clip(traces.lowpass(x), -1, 1)
    except UserError as e:
      raise UserError(f'{path}: {e}; leave annotator {annotator} out of the option lowpass') from e
  return np.where(rated, x, np.nan) if policy.empty == 'mask' else x


def read_trace(path: Path) -> tuple[np.ndarray, np.ndarray]:
  """Times [N] in s and values [N] in [-100, 100] of a trace."""
  lines = feature_files.read_lines(path)
  filled = [i for i, line in enumerate(lines) if line.strip()]  # blank lines are no part of the header
  for i in filled[:HEADER]:
    cells = lines[i].split(',')
    if len(cells) == 2 and all(traces.is_number(c) for c in cells):
      raise UserError(f'{path}: line {i + 1} holds a time and a value, expected {HEADER} lines of header before them')
  if len(filled) <= HEADER:
    raise UserError(f'{path}: {len(filled)} lines, expected {HEADER} of header and then time,value')
  table = traces.numbers(path, lines, filled[HEADER], ('time', 'value'), ',')
  at = [i + 1 for i in filled[HEADER:]]  # the line a row stands on
  time, value = table.T
  for wrong, what in (
    (np.isnan(value), 'value is NaN, expected a number'),
    (np.abs(value) > SCALE, f'value beyond the scale, expected -{SCALE:g} to {SCALE:g}'),
    (time < 0, 'time below 0 s'),
    (np.diff(time, prepend=time[0]) < 0, 'time goes back, expected rising times'),
  ):
    if wrong.any():
      i = int(np.argmax(wrong))
      raise UserError(f'{path}: line {at[i]}: {what}; it is {lines[at[i] - 1].strip()[:60]!r}')
  return time, value


def _refuse_gaps(path: Path, time: np.ndarray, duration: float, policy: Policy) -> None:
  if time[-1] > duration + policy.max_gap_s:
    raise UserError(f'{path}: runs to {time[-1]:.2f} s, its part lasts {duration:.2f} s; is it of another part?')
  if policy.empty == 'mask':
    return
  edges = np.concatenate([[0.0], time[time < duration], [duration]])
  gaps = np.diff(edges)
  i = int(np.argmax(gaps))
  if gaps[i] > policy.max_gap_s:
    raise UserError(f'{path}: no value between {edges[i]:.2f} and {edges[i + 1]:.2f} s of a part of {duration:.2f} s; '
                    f'give option empty=mask, or max_gap_s above {gaps[i]:.2f}')  # fmt: skip
