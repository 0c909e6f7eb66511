"""RECOLA: spoken French in video calls, valence and arousal marked over time by six raters, every 40 ms for 5 minutes.

Papers: F. Ringeval, A. Sonderegger, J. Sauer, D. Lalanne, "Introducing the RECOLA multimodal corpus of remote
collaborative and affective interactions", FG 2013, doi 10.1109/FG.2013.6553805; M. Valstar et al., "AVEC 2016:
Depression, Mood, and Emotion Recognition Workshop and Challenge", 2016, doi 10.1145/2988257.2988258.
Licence: gated, on a signed agreement with the authors, for research, not to be passed on.

Layouts, found by themselves in `source`:
  AVEC'16   ratings_individual/{arousal,valence}/{train,dev}_<1..9>.csv    the partition is in the name; test_<1..9>.csv
                                                                         are read where they are (they were withheld)
            recordings_audio/<name>.wav, or recordings_audio/recordings_audio/, or audio/
  own       RECOLA-Annotation/emotional_behaviour/{arousal,valence}/P<number>.csv (or emotional_behaviour/ itself)
            RECOLA-Audio-recordings/P<number>.wav, or audio/
            No partition was published with it: option partitions=FILE, a csv with columns participant,partition and
            the partitions train, dev and test, is needed and must name every participant that has ratings.
A csv of ratings is separated by semicolons: `time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3`, blanks around names do not count; then
one line per 0.04 s from 0 with values in [-1, 1]; `NaN` is a missing value. 7501 lines (0 to 300 s) and 7500 are both
right. What a file of one attribute lacks against the others (a rater, the last line) is masked or cut off.

Beside it features/<name>.npy (npz, csv) at 25 Hz; `_streams` says how features and sound are read. The challenge's own
features (arff) are not read. Options:
  modalities=audio,waveform   which of the two to take; default whatever is there
  resample=true               bring sound at another rate than 16 kHz to 16 kHz
  partitions=FILE             see above

One example per recording: id, item, group its name (one speaker each), `ratings` [T, R, 2] valence and arousal in
[-1, 1] with `ratings_mask`, `valence` and `arousal` [T] the mean over the raters that are there, `label_rate_hz` 25,
`audio` [T, D], `waveform` [T, 640]. Label t is at 0.04 t s. No delay is taken out and no rater is centred.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features as feature_files
from affectjax.data import traces
from affectjax.data.corpora import _streams
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
FRAMES = 7500  # 300 s; one more is right, too
RATERS = ('FM1', 'FM2', 'FM3', 'FF1', 'FF2', 'FF3')
SPLITS = ('train', 'dev', 'test')
_AVEC, _OWN = 'ratings_individual', 'emotional_behaviour'
_NAMES = {'avec2016': r'(train|dev|test)_[1-9]', 'recola': r'P\d{1,3}'}
_EXPECTED = {'avec2016': 'train_1.csv to train_9.csv, dev_1.csv, .., test_9.csv', 'recola': 'P16.csv and the like'}
_SOUND = {  # the first that is there; archives unpack into a folder of their own name
  'avec2016': ('recordings_audio/recordings_audio', 'recordings_audio', 'audio'),
  'recola': ('RECOLA-Audio-recordings', 'audio'),
}


def read(
  source: Path, *, modalities: str | None = None, resample: str = 'false', partitions: str | None = None
) -> Reading:
  """RECOLA as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    modalities, resample, partitions: see above.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  layout, folder = _layout(source)
  files = _files(layout, folder)
  keys = _partition(layout, list(files), partitions)
  streams = _streams.find(source, {n: n for n in files}, _SOUND[layout], modalities, resample)
  raters = _raters(files)

  def example(split: str, name: str) -> dict[str, Any]:
    ratings = _ratings(files[name], raters)
    data = streams.read(name, len(ratings))
    frames = min(map(len, data.values()))
    return {'id': name, 'group': name, 'item': name, **traces.labels(ratings[:frames], traces.RATE), **data}

  meta = {
    'modalities': streams.modalities,
    'rate_hz': dict.fromkeys(streams.modalities, traces.RATE),
    'label_rate_hz': traces.RATE,
    'attributes': list(traces.ATTRIBUTES),
    'labels': 'as released, every 40 ms; valence and arousal are the mean over the raters that are there',
    'groups': 'recordings, one speaker each',
    'raters': raters,
    'licence': 'RECOLA agreement, research only, no redistribution',
    'layout': layout,
  }
  sources = [p for pair in files.values() for p in pair.values()] + streams.files
  return Reading(meta, keys, example, sources + ([] if partitions is None else [Path(partitions).expanduser()]))


def _layout(source: Path) -> tuple[str, Path]:
  """Which layout, and the folder with the folders arousal and valence."""
  avec = [p for p in (source / _AVEC, source / _AVEC / _AVEC) if (p / 'arousal').is_dir() or (p / 'valence').is_dir()]
  own = [p for p in (source / 'RECOLA-Annotation' / _OWN, source / _OWN) if p.is_dir()]
  if avec and own:
    raise UserError(f'{source}: both {_AVEC} and {_OWN}; expected one layout, say which by moving the other')
  if not avec and not own:
    raise UserError(f'{source}: no RECOLA here; expected {_AVEC}/arousal/train_1.csv .. (AVEC 2016), or '
                    f'RECOLA-Annotation/{_OWN}/arousal/P16.csv ..')  # fmt: skip
  return ('avec2016', avec[0]) if avec else ('recola', own[0])


def _files(layout: str, folder: Path) -> dict[str, dict[str, Path]]:
  """recording -> attribute -> its csv, in the order of partitions and numbers."""
  files: dict[str, dict[str, Path]] = {}
  for attribute in traces.ATTRIBUTES:
    inside = folder / attribute
    if not inside.is_dir():
      raise UserError(f'{inside}: no such folder; expected the ratings of {attribute}')
    for path in sorted(p for p in inside.iterdir() if p.suffix == '.csv' and not p.name.startswith('.')):
      if not re.fullmatch(_NAMES[layout], path.stem):
        raise UserError(f'{path}: unknown recording {path.stem!r}; expected {_EXPECTED[layout]}')
      files.setdefault(path.stem, {})[attribute] = path
  if not files:
    raise UserError(f'{folder}: no ratings; expected {_EXPECTED[layout]} in arousal and valence')
  for name, pair in files.items():
    for attribute in traces.ATTRIBUTES:
      if attribute not in pair:
        raise UserError(f'{folder / attribute / name}.csv: no such file; {name!r} has other ratings, it needs both')
  return dict(sorted(files.items(), key=lambda item: _order(item[0])))


def _order(name: str) -> tuple[int, int]:
  head, _, number = name.rpartition('_')
  return (SPLITS.index(head), int(number)) if head else (0, int(name[1:]))


def _partition(layout: str, names: Sequence[str], partitions: str | None) -> dict[str, list[str]]:
  """split -> recordings; only splits that have any."""
  if layout == 'avec2016':
    if partitions is not None:
      raise UserError(f'option partitions: {partitions}, but the names of AVEC 2016 say the partition; leave it out')
    of = {name: name.split('_')[0] for name in names}
  else:
    if partitions is None:
      raise UserError("RECOLA's own layout has no partitions; give option partitions=FILE, a csv with columns "
                      'participant,partition (train, dev or test)')  # fmt: skip
    of = _read_partitions(Path(partitions).expanduser(), names)
  keys = {split: [n for n in names if of[n] == split] for split in SPLITS}
  return {split: recordings for split, recordings in keys.items() if recordings}


def _read_partitions(path: Path, names: Sequence[str]) -> dict[str, str]:
  header, rows = feature_files.load_rows(path, columns=('participant', 'partition'))
  at = header.index('participant'), header.index('partition')
  of: dict[str, str] = {}
  for i, row in enumerate(rows):
    name, split = row[at[0]].strip(), row[at[1]].strip()
    if split not in SPLITS:
      raise unknown(f'partition in {path}: line {i + 2}:', split, SPLITS)
    if name not in names:
      raise UserError(f'{path}: line {i + 2}: participant {name!r} has no ratings; there is: {", ".join(names)}')
    if name in of:
      raise UserError(f'{path}: line {i + 2}: participant {name!r} has an earlier line; remove one')
    of[name] = split
  for name in names:
    if name not in of:
      raise UserError(f'{path}: no line for participant {name!r}, who has ratings; expected train, dev or test')
  return of


# Ratings


def _raters(files: Mapping[str, Mapping[str, Path]]) -> list[str]:
  """All raters of the corpus: the known ones first, then others as they appear."""
  seen = {r: None for pair in files.values() for path in pair.values() for r in _header(path)[1]}
  return [*(r for r in RATERS if r in seen), *(r for r in seen if r not in RATERS)]


def _header(path: Path) -> tuple[list[str], list[str]]:
  """The lines of a csv and the names of its raters."""
  lines = feature_files.read_lines(path)
  time, *names = (cell.strip() for cell in lines[0].split(';'))
  if time.lower() != 'time' or not names or not all(names) or len(set(names)) < len(names):
    raise UserError(f'{path}: line 1 is {lines[0][:60]!r}, expected time;{";".join(RATERS)}')
  if all(traces.is_number(n) for n in names):
    raise UserError(f'{path}: line 1 holds numbers where the names of raters should be')
  return lines, names


def _ratings(pair: Mapping[str, Path], raters: Sequence[str]) -> np.ndarray:
  """[T, R, 2] of one recording, NaN where a rater is missing."""
  tables = {a: _table(pair[a]) for a in traces.ATTRIBUTES}
  frames = min(len(x) for _, x in tables.values())
  out = np.full((frames, len(raters), len(traces.ATTRIBUTES)), np.nan)
  for a, (names, x) in enumerate(tables.values()):
    out[:, [raters.index(n) for n in names], a] = x[:frames]
  return out


def _table(path: Path) -> tuple[list[str], np.ndarray]:
  """The raters of a csv and their values [T, R]."""
  lines, names = _header(path)
  table = traces.numbers(path, lines, 1, ['time', *names], ';')
  at = [i + 1 for i, line in enumerate(lines) if i and line.strip()]  # the line a row stands on
  time, x = table[:, 0], table[:, 1:]
  wrong = np.abs(time - np.arange(len(time)) / traces.RATE) > 0.005
  if wrong.any():
    i = int(np.argmax(wrong))
    raise UserError(f'{path}: line {at[i]}: time {time[i]:g}, expected {i / traces.RATE:g} (a line per 0.04 s from 0)')
  if len(x) not in (FRAMES, FRAMES + 1):
    raise UserError(f'{path}: {len(x)} lines of ratings, expected {FRAMES} or {FRAMES + 1}; the file may be cut off')
  if (np.abs(x) > 1).any():
    i, r = np.argwhere(np.abs(x) > 1)[0]
    raise UserError(f'{path}: line {at[i]}: {names[r]} is {x[i, r]:g}, expected a value in [-1, 1], or NaN')
  if np.isnan(x).all():
    raise UserError(f'{path}: every value is NaN; expected ratings')
  return names, x
