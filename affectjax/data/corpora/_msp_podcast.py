"""The label files of MSP-Podcast, see `msp_podcast`: what the release says of segments, and what each worker said."""

import collections
import dataclasses
import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces

ATTRIBUTES = ('valence', 'arousal', 'dominance')
EMOTIONS = (
  'angry', 'sad', 'happy', 'surprised', 'fearful', 'disgusted', 'contemptuous', 'neutral', 'other',
)  # fmt: skip
OTHER = EMOTIONS.index('other')
CODES = 'ASHUFDCNO'  # of EMOTIONS; X is for no agreement
WORDS = ('Angry', 'Sad', 'Happy', 'Surprise', 'Fear', 'Disgust', 'Contempt', 'Neutral', 'Other')  # of a worker
SPLITS = ('Train', 'Development', 'Test1', 'Test2', 'Test3')
GENDERS = ('Female', 'Male', 'Unknown')
MARKS = ('EmoVal', 'EmoAct', 'EmoDom')  # of ATTRIBUTES
SEGMENT = ('EmoClass', *MARKS, 'SpkrID', 'Gender', 'Split_Set')
WORKER = ('EmoClass_Major', *MARKS)
WORKERS = ('WorkerID', 'Workers', 'Worker')  # what the column of the workers is called
KINDS = ('csv', 'json')
_FILE = re.compile(r'(?P<name>(?P<item>MSP-PODCAST_\d+)_\w+)\.wav')
_DETAIL = re.compile(
  r'(?P<worker>[^;]+?)\s*;\s*(?P<word>[^;]+?)\s*;(?P<more>.*?);?\s*A:(?P<A>[^;]*);\s*V:(?P<V>[^;]*);\s*D:(?P<D>[^;]*);?\s*'
)
_DETAIL_SHAPE = 'WORKER00000001; Happy; Happy,Amused; A:4.000000; V:5.000000; D:4.000000;'


@dataclasses.dataclass(slots=True)
class Segment:
  """What the release says of a segment, and the workers in the order of their rows."""

  consensus: int  # of EMOTIONS, -1 for X
  means: tuple[float, ...]  # valence, activation, dominance, 1 to 7
  speaker: str | None  # None: unknown
  gender: str
  split: int  # of SPLITS
  workers: list[str] = dataclasses.field(default_factory=list)
  classes: list[int] = dataclasses.field(default_factory=list)  # of EMOTIONS
  marks: list[tuple[float, ...]] = dataclasses.field(default_factory=list)  # as `means`, NaN where there is none


def item(name: str) -> str:
  """The podcast of a segment: MSP-PODCAST_0001 of MSP-PODCAST_0001_0008."""
  return '_'.join(name.split('_')[:2])


def tables(source: Path, kind: str | None) -> tuple[Path, Path]:
  """The files of the consensus and of the workers; both are of one kind, csv if there is one."""
  if kind is not None:
    traces.choice('labels', kind, KINDS)
  folders = [p for p in sorted(source.iterdir()) if p.is_dir() and p.name.lower() in ('labels', 'label')]
  if len(folders) != 1:
    fault = f'{" and ".join(p.name for p in folders)}; keep one' if folders else 'no folder Labels'
    raise UserError(f'{source}: {fault}; expected MSP-Podcast with Labels/labels_consensus.csv')
  folder = folders[0]
  for suffix in KINDS if kind is None else (kind,):
    names = [f'labels_{word}.{suffix}' for word in ('consensus', 'concensus')]
    paths = [folder / name for name in names if (folder / name).is_file()]
    if len(paths) == 2:
      raise UserError(f'{folder}: both {" and ".join(names)}; keep one')
    if paths:
      detailed = folder / f'labels_detailed.{suffix}'
      if not detailed.is_file():
        raise UserError(f'{detailed}: no such file; it says what each worker chose, and belongs to {paths[0].name}')
      return paths[0], detailed
  raise UserError(f'{folder}: no labels_consensus.{kind or "csv or .json"}; expected it and labels_detailed')


# The consensus


def read_consensus(path: Path) -> dict[str, Segment]:
  """The segments by name, as yet without workers."""
  out: dict[str, Segment] = {}
  for where, name, cells in _consensus_rows(path):
    if name in out:
      raise UserError(f'{where}: segment {name!r} has an earlier row; remove one')
    out[name] = _segment(f'{where}, segment {name!r}', dict(zip(SEGMENT, cells, strict=True)))
  return out


def _consensus_rows(path: Path) -> Iterator[tuple[str, str, list[str]]]:
  """(where it stands, segment, cells in the order of SEGMENT)."""
  if path.suffix == '.csv':
    for where, (file, *cells) in features.stream_rows(path, ('FileName', *SEGMENT)):
      yield where, _name(where, file), cells
  else:
    for file, content in _json(path).items():
      where = f'{path}: {file}'
      yield where, _name(where, file), _fields(where, content, SEGMENT)


def _segment(where: str, row: Mapping[str, str]) -> Segment:
  if row['EmoClass'] not in (*CODES, 'X'):
    raise unknown(f'EmoClass in {where}:', row['EmoClass'], (*CODES, 'X'))
  split = {'Validation': 'Development'}.get(row['Split_Set'], row['Split_Set'])
  if split not in SPLITS:
    raise unknown(f'Split_Set in {where}:', split, SPLITS)
  if row['Gender'].capitalize() not in GENDERS:
    raise unknown(f'Gender in {where}:', row['Gender'], GENDERS)
  speaker = row['SpkrID']
  if speaker.lower() == 'unknown':
    speaker = None
  elif not (speaker.isascii() and speaker.isdigit()):
    raise UserError(f'{where}: SpkrID is {speaker!r}, expected a number or Unknown')
  means = tuple(_mark(where, column, row[column]) for column in MARKS)
  return Segment(('X' + CODES).index(row['EmoClass']) - 1, means, speaker, row['Gender'].lower(), SPLITS.index(split))


# The workers


def add_workers(
  path: Path, segments: Mapping[str, Segment], repeated: str, strange: str, counted: collections.Counter
) -> None:
  """Adds what each worker said to the segments; rows passed over are counted.

  Args:
    path: of the detailed labels.
    segments: by name.
    repeated: 'error', or 'first' to pass over further rows of a worker.
    strange: 'error', or 'other' for what an unknown class is taken for.
    counted: to be added to.
  """
  for where, name, (worker, word, *marks) in _worker_rows(path):
    segment = segments.get(name)
    where = f'{where}, segment {name!r}'
    if segment is None:
      raise UserError(f'{where} is not among the segments of the consensus; fetch both files again')
    if not worker:
      raise UserError(f'{where}: a worker without a name; expected e.g. WORKER00000001')
    values = tuple(_mark(where, column, cell) for column, cell in zip(MARKS, marks, strict=True))
    if worker in segment.workers:
      if repeated == 'error':
        raise UserError(f'{where}: worker {worker!r} has an earlier row; remove one, or give option repeated=first')
      counted['repeated'] += 1
      continue
    segment.workers.append(worker)
    segment.classes.append(_class(where, word, strange, counted))
    segment.marks.append(values)


def _worker_rows(path: Path) -> Iterator[tuple[str, str, Sequence[str]]]:
  """(where it stands, segment, worker, class and three attributes as text)."""
  if path.suffix == '.json':
    for file, workers in _json(path).items():
      where = f'{path}: {file}'
      name = _name(where, file)
      if not isinstance(workers, dict):
        raise UserError(f'{where} holds {type(workers).__name__}, expected workers, each with {", ".join(WORKER)}')
      for worker, content in workers.items():
        yield where, name, [worker, *_fields(f'{where}, worker {worker!r}', content, WORKER)]
    return
  columns = next(features.csv_lines(path))[1]
  if 'EmoDetail' in columns:
    for where, (file, detail) in features.stream_rows(path, ('FileName', 'EmoDetail')):
      line = _DETAIL.fullmatch(detail)
      if line is None:
        raise UserError(f'{where}: EmoDetail is {detail[:80]!r}, expected e.g. {_DETAIL_SHAPE!r}')
      yield where, _name(where, file), [line[k].strip() for k in ('worker', 'word', 'V', 'A', 'D')]
    return
  workers = next((name for name in WORKERS if name in columns), WORKERS[0])
  for where, (file, *cells) in features.stream_rows(path, ('FileName', workers, *WORKER)):
    yield where, _name(where, file), cells


def _class(where: str, word: str, strange: str, counted: collections.Counter) -> int:
  if word in WORDS:
    return WORDS.index(word)
  if not word.lower().startswith('other'):
    if strange == 'error':
      raise unknown(f'class in {where} (or give option strange=other):', word, (*WORDS, 'Other-...'))
    counted['strange'] += 1
  return OTHER


# Cells and rows


def _name(where: str, file: str) -> str:
  match = _FILE.fullmatch(file)
  if match is None:
    raise UserError(f'{where}: file {file!r}, expected e.g. MSP-PODCAST_0001_0008.wav')
  return match['name']


def _mark(where: str, column: str, cell: str) -> float:
  x = _number(cell)
  if x is None or not (np.isnan(x) or 1 <= x <= 7):
    raise UserError(f'{where}: {column} is {cell!r}, expected a number of 1 to 7, or nothing')
  return x


@functools.lru_cache(4096)
def _number(cell: str) -> float | None:
  try:
    return float(cell) if cell else np.nan
  except ValueError:
    return None


def _json(path: Path) -> dict[str, Any]:
  """An object of a json file; a name that stands twice anywhere in it is refused."""

  def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
      twice = next(name for name, n in collections.Counter(name for name, _ in pairs).items() if n > 1)
      raise UserError(f'{path}: {twice!r} stands twice in one object; remove one')
    return out

  try:
    content = json.loads('\n'.join(features.read_lines(path)), object_pairs_hook=unique)
  except json.JSONDecodeError as e:
    raise UserError(f'{path}: cannot be read as JSON (damaged or of another kind): {e}') from e
  if not isinstance(content, dict) or not content:
    raise UserError(f'{path}: holds {type(content).__name__}, expected an object with one entry per segment')
  return content


def _fields(where: str, content: Any, names: Sequence[str]) -> list[str]:
  """Some values of an object as text."""
  if not isinstance(content, dict):
    raise UserError(f'{where} holds {type(content).__name__}, expected an object with {", ".join(names)}')
  for name in names:
    if name not in content:
      raise UserError(f'{where}: no {name}; there is: {", ".join(content) or "nothing"}')
  return ['' if content[name] is None else str(content[name]).strip() for name in names]
