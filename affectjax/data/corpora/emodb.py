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

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
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
TABLE, LISTENERS = 'metadata.csv', 'erkennung.txt'
Shares = Mapping[str, tuple[float, float]]  # recording -> recognised, natural, 0 to 1


class Recording(NamedTuple):
  """What the name of a recording says, as metadata.csv writes it."""

  speaker: int
  gender: str
  age: int
  sentence: str
  emotion: str


class Layout(NamedTuple):
  """The corpus as one of the layouts has it."""

  recordings: dict[str, Recording]  # by name
  shares: Shares
  width: int
  load: Callable[[str], np.ndarray]  # name -> [T, D] float32
  files: list[Path]
  columns: list[str] | None  # names of the features, if they are known


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
    source, f'no Emo-DB with features here; expected {_packed.PACK} with {TABLE}, or features/03a01Fa.npy and the like'
    f'{sound}', audio_hz,
  )  # fmt: skip
  layout = _read_pack(source / _packed.PACK, source / TABLE) if packed else _read_folder(source)
  emotions = list(LETTERS.values())
  if not any(recording.emotion in emotions[FOUR:] for recording in layout.recordings.values()):
    emotions = emotions[:FOUR]

  def example(split: str, name: str) -> dict[str, Any]:
    recording, (recognised, natural) = layout.recordings[name], layout.shares.get(name, (np.nan, np.nan))
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


def _read_folder(source: Path) -> Layout:
  folder, sounds = source / 'features', source / 'wav'
  if not folder.is_dir():
    raise UserError(f'{folder}: a file, expected a folder of features')
  names = sorted({p.stem for p in folder.iterdir() if p.suffix in features.SUFFIXES and not p.name.startswith('.')})
  if not names:
    raise UserError(f'{folder}: no feature files; expected 03a01Fa.npy and the like')
  paths = {name: features.find(folder, name) for name in names}
  recordings = {name: parse(name, str(paths[name])) for name in names}
  if sounds.is_dir():
    wavs = sorted(p.stem for p in sounds.iterdir() if p.suffix == '.wav' and not p.name.startswith('.'))
    for name in wavs:
      if name not in recordings:
        parse(name, str(sounds / f'{name}.wav'))
        raise UserError(f'{folder}: no feature file for {name!r}, which wav has; add it, or take wav away')
    for name in names:
      if name not in wavs:
        raise UserError(f'{paths[name]}: no {name}.wav in {sounds}; remove it, or take wav away')
  table = source / LISTENERS
  shares = _read_listeners(table) if table.exists() else {}
  width = features.load_array(paths[names[0]]).shape[1]
  files = [*paths.values(), *([table] if table.exists() else [])]
  return Layout(recordings, shares, width, lambda name: features.load_array(paths[name], width=width), files, None)


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


# Pack


def _read_pack(path: Path, table: Path) -> Layout:
  pack = _packed.read(path)
  recordings = {name: parse(name, f'{path}: files') for name in pack.names}
  shares = _compare(table, pack, recordings)
  return Layout(recordings, shares, len(pack.columns), pack.load, [path, table], pack.columns)


def _compare(path: Path, pack: _packed.Packed, recordings: Mapping[str, Recording]) -> dict[str, tuple[float, float]]:
  """The percentages of the table; it is refused if it says other things than the names of the files and the offsets."""
  wanted = ('index', 'file', *Recording._fields, 'n_frames')
  header, rows = features.load_rows(path, columns=(*wanted, 'recognised_pct', 'natural_pct'))
  if len(rows) != len(pack.names):
    raise UserError(f'{path}: {len(rows)} rows, {_packed.PACK} has {len(pack.names)} recordings; expected the same')
  shares = {}
  for i, (name, row) in enumerate(zip(pack.names, rows, strict=True)):
    cells = {column: cell.strip() for column, cell in zip(header, row, strict=True)}
    expected = (i, f'{name}.wav', *recordings[name], pack.frames[i])
    for column, value in zip(wanted, expected, strict=True):
      if cells[column] != str(value):
        raise UserError(f'{path}: line {i + 2}: {column} is {cells[column]!r}, but {_packed.PACK} says '
                        f'{str(value)!r} of recording {i} ({name})')  # fmt: skip
    recognised, natural = (_share(f'{path}: line {i + 2}: {c}', cells[c]) for c in ('recognised_pct', 'natural_pct'))
    shares[name] = recognised, natural
  return shares
