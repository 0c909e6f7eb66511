"""Emo-DB, the Berlin database of emotional speech: ten actors say ten German sentences in seven emotions.

Paper: F. Burkhardt, A. Paeschke, M. Rolfes, W. Sendlmeier, B. Weiss, "A Database of German Emotional Speech",
Interspeech 2005.
Licence: CC0 1.0, as the project says that publishes it in audformat (github.com/audeering/datasets, datasets/emodb).

Layouts, found by themselves in `source`:
  pack     egemaps_lld_10ms.npz: see corpora/_packed.py, files such as 03a01Fa.wav
           metadata.csv: index, file, speaker, gender, age, sentence, emotion, n_frames, all of which must be what the
           names of the files and the offsets say; recognised_pct, natural_pct
  folder   wav/<name>.wav, the recordings as distributed, and features/<name>.npy (or .npz, .csv), yours, named as they
           are; wav may be left out
           erkennung.txt, as distributed, if it is there: per recording the two percentages below
A name is the speaker (03, 08 .. 16), the sentence (a01 .. b10), a letter of the German word for the emotion, and a
letter for the version: 03a01Fa is speaker 03, sentence a01, Freude, version a.

One example per recording, one split `all`, in the order of names; group is the speaker, item the recording.
  audio [T, D]     in the pack 25 low-level descriptors of eGeMAPSv02 every 10 ms, stored as float16; in a folder
                   whatever there is, 100 frames per second unless option audio_hz says otherwise
  emotion          of meta['emotions'], what the actor was asked to show. Those are anger, happiness, neutral and
                   sadness, and after them boredom, disgust and fear if a recording of one of these is there
  recognised       share of about 20 listeners who heard that emotion, and
  natural          share who found it natural, 0 to 1; NaN where nobody says
  gender, sentence, age                     'female' or 'male', 'a01', years
The 535 recordings of the first release were recognised by 80 % or more, so that these labels hardly disagree; release
2.0 has 816, the ambiguous ones among them, named alike in wav/ (its folder laryngo/ is not read).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpora import _packed
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
LETTERS = {
  'W': 'anger', 'F': 'happiness', 'N': 'neutral', 'T': 'sadness', 'L': 'boredom', 'E': 'disgust', 'A': 'fear',
}  # fmt: skip
FOUR = 4  # the first of them, of which there is sound in the pack
SPEAKERS = {  # gender and age
  '03': ('male', 31), '08': ('female', 34), '09': ('female', 21), '10': ('male', 32), '11': ('male', 26),
  '12': ('male', 30), '13': ('female', 32), '14': ('female', 35), '15': ('male', 25), '16': ('female', 31),
}  # fmt: skip
SENTENCES = ('a01', 'a02', 'a04', 'a05', 'a07', 'b01', 'b02', 'b03', 'b09', 'b10')
VERSIONS = 'abcdef'
LISTENERS = 'erkennung.txt'
Shares = Mapping[str, tuple[float, float]]  # recording -> recognised, natural, 0 to 1


class Recording(NamedTuple):
  """What the name of a recording says, as metadata.csv writes it."""

  speaker: int
  gender: str
  age: int
  sentence: str
  emotion: str


def read(source: Path, *, audio_hz: str | float | None = None) -> Reading:
  """Emo-DB as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    audio_hz: frames per second of features in a folder.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  sound = ' for the recordings in wav' if (source / 'wav').is_dir() else ''
  packed, rate = _packed.choose(
    source, f'no Emo-DB with features here; expected {_packed.PACK} with {_packed.TABLE}, or features/03a01Fa.npy '
    f'and the like{sound}', audio_hz,
  )  # fmt: skip
  layout, shares = _read_pack(source) if packed else _read_folder(source)
  emotions = list(LETTERS.values())
  if not any(recording.emotion in emotions[FOUR:] for recording in layout.recordings.values()):
    emotions = emotions[:FOUR]

  def example(split: str, name: str) -> dict[str, Any]:
    recording, (recognised, natural) = layout.recordings[name], shares.get(name, (np.nan, np.nan))
    return {
      'id': name, 'group': f'speaker{recording.speaker:02d}', 'item': name,
      'audio': layout.load(name),
      'emotion': np.int32(emotions.index(recording.emotion)),
      'recognised': np.float32(recognised), 'natural': np.float32(natural),
      'gender': recording.gender, 'sentence': recording.sentence, 'age': np.int32(recording.age),
    }  # fmt: skip

  meta = {
    'modalities': {'audio': layout.width},
    'rate_hz': {'audio': rate},
    'attributes': [],
    'emotions': emotions,
    'labels': 'emotion is what the actor was asked to show; recognised: share of about 20 listeners who heard it',
    'licence': 'CC0 1.0',
    'groups': 'actors',
    **({'columns': {'audio': layout.columns}} if layout.columns else {}),
  }
  return Reading(meta, {'all': sorted(layout.recordings)}, example, layout.files)


def parse(name: str, where: str) -> Recording:
  """What a name says, e.g. 03a01Fa; `where` begins the refusal of another one."""
  if len(name) != 7:
    raise UserError(f'{where}: name {name!r}, expected seven letters and digits, e.g. 03a01Fa')
  speaker, sentence, letter, version = name[:2], name[2:5], name[5], name[6]
  for what, part, known in (
    ('speaker', speaker, SPEAKERS), ('sentence', sentence, SENTENCES), ('emotion', letter, LETTERS),
    ('version', version, VERSIONS),
  ):  # fmt: skip
    if part not in known:
      raise UserError(f'{where}: {what} of {name!r} is {part!r}, expected one of {", ".join(known)}')
  return Recording(int(speaker), *SPEAKERS[speaker], sentence, LETTERS[letter])


# Folder


def _read_folder(source: Path) -> tuple[_packed.Layout, Shares]:
  """Features of the user's own, held against the recordings in wav if these are at hand, and erkennung.txt."""
  folder, sounds, table = source / 'features', source / 'wav', source / LISTENERS
  layout = _packed.read_folder(folder, '03a01Fa.npy', parse)
  if sounds.is_dir():
    wavs = sorted(p.stem for p in sounds.iterdir() if p.suffix == '.wav' and not p.name.startswith('.'))
    for name in wavs:
      if name not in layout.recordings:
        parse(name, str(sounds / f'{name}.wav'))
        raise UserError(f'{folder}: no feature file for {name!r}, which wav has; add it, or take wav away')
    for name, path in zip(layout.recordings, layout.files, strict=True):
      if name not in wavs:
        raise UserError(f'{path}: no {name}.wav in {sounds}; remove it, or take wav away')
  if not table.exists():
    return layout, {}
  return layout._replace(files=[*layout.files, table]), _read_listeners(table)


def _read_pack(source: Path) -> tuple[_packed.Layout, Shares]:
  """The data pack, and the percentages of its table."""
  columns = ('recognised_pct', 'natural_pct')
  layout, rows = _packed.read_pack(source, parse, *columns)
  where = source / _packed.TABLE
  shares = [tuple(_share(f'{where}: line {i + 2}: {c}', row[c]) for c in columns) for i, row in enumerate(rows)]
  return layout, dict(zip(layout.recordings, shares, strict=True))


def _read_listeners(path: Path) -> dict[str, tuple[float, float]]:
  """erkennung.txt: number, file and two percentages with a decimal comma, each padded by no-break spaces."""
  try:
    lines = path.read_bytes().decode('latin-1').split('\n')
  except OSError as e:
    raise UserError(f'{path}: cannot be read ({e.strerror or e})') from e
  if lines[0].split() != ['Nr.', 'Satz', 'erkannt', 'natuerlich']:
    raise UserError(f'{path}: line 1 is {lines[0][:60]!r}, expected Nr., Satz, erkannt, natuerlich')
  out: dict[str, tuple[float, float]] = {}
  for number, line in enumerate(lines[1:], 2):
    cells = line.split()  # a no-break space is white as well
    if not cells:
      continue
    where = f'{path}: line {number}'
    if len(cells) != 4 or not cells[1].endswith('.wav'):
      raise UserError(f'{where} is {line.strip()[:60]!r}, expected a number, a wav and two percentages')
    name = cells[1].removesuffix('.wav')
    if name in out:
      raise UserError(f'{where}: {name!r} has an earlier line; expected one')
    percentages = zip(('erkannt', 'natuerlich'), cells[2:], strict=True)
    out[name] = tuple(_share(f'{where}: {column}', cell.replace(',', '.')) for column, cell in percentages)
  if not out:
    raise UserError(f'{path}: no lines after the first; expected one per recording')
  return out


def _share(where: str, cell: str) -> float:
  """A percentage as a share."""
  try:
    value = float(cell)
  except ValueError:
    value = np.nan
  if not 0 <= value <= 100:
    raise UserError(f'{where} is {cell!r}, expected a percentage, 0 to 100')
  return value / 100
