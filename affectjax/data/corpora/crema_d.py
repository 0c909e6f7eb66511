"""CREMA-D: 91 actors say 12 sentences in 6 emotions; crowds voted on voice, face, and both.

Paper: H. Cao, D. G. Cooper, M. K. Keutmann, R. C. Gur, A. Nenkova, R. Verma, "CREMA-D: Crowd-Sourced Emotional
Multimodal Actors Dataset", IEEE Transactions on Affective Computing 5(4), 2014, 377-390,
doi 10.1109/TAFFC.2014.2336244.
Source: github.com/CheyneyComputerScience/CREMA-D. Licence: Open Database License 1.0, share-alike.
Partitions: the label files of github.com/ilucasgoncalves/VAVL (MIT), of L. Goncalves et al., arXiv 2305.07216.

Layouts, found by themselves in `source`:
  clone   processedResults/tabulatedVotes.csv, processedResults/summaryTable.csv,
          SentenceFilenames.csv, VideoDemographics.csv
  pack    the same four files beside each other
  vavl_folds.csv (clip, fold1 .. fold5: Train, Development or Test) is read where it lies in `source`, or from the
  option folds=FILE; folds=none leaves it out
  features/{audio,visual}/<clip>.npy        yours, see `_clips`; without them a corpus of votes alone
In tabulatedVotes the name of a row is 100000 * condition + number of the clip; condition 1 is voice, 2 face, 3 both;
a mean level of -1 says that nobody chose that emotion. Files are checked against each other and the names of clips,
the plurality against summaryTable for all three conditions.

One example per clip (7442), one split `all`, in the order of names; group is the actor, item the clip.
  audio [Ta, Da], visual [Tv, Dv]           of the modalities whose features are there
  votes [6]                                 how many of those who saw and heard it chose each emotion
  votes_audio [6], votes_visual [6]         of those who only heard, only saw it
  emotion                                   the plurality of `votes`, -1 on a tie
  consensus                                 VAVL's label by its rule "M", -1 outside the consensus set: the class most
                                            chose, on a tie the one of which they gave the LOWEST mean level. The set is
                                            that of vavl_folds.csv (5820 clips), or without it the clips of which more
                                            than half of the raters agree (5913). The rule for ties was found by trial;
                                            it gives the published counts of classes in each partition.
  intended                                  what the actor was asked to show
  sentence, level, gender, age              'DFA' ..; LO, MD, HI or XX (not specified); female or male; years
  partitions int8 [5]                       0 train, 1 dev, 2 test, -1 not in it: VAVL's five partitions
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.corpora import _clips
from affectjax.data.corpus import Reading
from affectjax.data.folds import refuse_leak
from affectjax.labels import raters

VERSION = '1.0.0'
EMOTIONS = ('anger', 'sad', 'disgust', 'fear', 'neutral', 'happy')  # VAVL's order
LETTERS = 'ASDFNH'  # of EMOTIONS, in the tables
CODES = ('ANG', 'SAD', 'DIS', 'FEA', 'NEU', 'HAP')  # in the names of clips
MEANS = tuple(f'mean{n}Resp' for n in ('Anger', 'Sad', 'Disgust', 'Fear', 'Neutral', 'Happy'))
SENTENCES = ('IEO', 'TIE', 'IOM', 'IWW', 'TAI', 'MTI', 'IWL', 'ITH', 'DFA', 'ITS', 'TSI', 'WSI')
LEVELS = ('LO', 'MD', 'HI', 'XX')
CONDITIONS = ('voice', 'face', 'voice and face')  # 1, 2, 3 in the names of rows
VOTES = ('VoiceVote', 'FaceVote', 'MultiModalVote')  # in the summary, of the same
SPLITS = {'Train': 0, 'Development': 1, 'Test': 2}
FOLDS = tuple(f'fold{i}' for i in range(1, 6))
FOLDS_FILE = 'vavl_folds.csv'


class Clip(NamedTuple):
  """What the name of a clip says, e.g. 1001_IEO_ANG_HI."""

  name: str
  actor: str
  sentence: str
  emotion: int  # of EMOTIONS, intended
  level: str


class Tables(NamedTuple):
  """Paths of the tables of the corpus."""

  votes: Path
  summary: Path
  names: Path
  actors: Path


class Votes(NamedTuple):
  """The votes for one clip, per condition (voice, face, both) and class."""

  counts: np.ndarray  # [3, 6] int
  levels: np.ndarray  # [3, 6] mean level 0 .. 100 of those who chose it, NaN where nobody did


def read(
  source: Path, *, modalities: str | None = None, missing: str = 'error', folds: str | None = None,
  audio_hz: str | float = _clips.RATES['audio'], visual_hz: str | float = _clips.RATES['visual'],
) -> Reading:  # fmt: skip
  """CREMA-D as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    modalities, missing, audio_hz, visual_hz: see `_clips`.
    folds: a file with the partitions, 'none', or None for vavl_folds.csv if it is there.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  tables = _tables(source)
  numbers = _numbers(tables.names)  # number -> clip
  clips = {clip.name: clip for clip in sorted(numbers.values())}
  actors = _actors(tables.actors, clips.values())
  votes = _votes(tables.votes, numbers)
  _compare(tables.summary, numbers, votes)
  path = _folds_path(source, folds)
  partitions = None if path is None else _partitions(path, clips)
  rates = {'audio': audio_hz, 'visual': visual_hz}
  given = _clips.find(source, clips, modalities=modalities, missing=missing, rates=rates)

  def example(split: str, name: str) -> dict[str, Any]:
    clip, (counts, levels) = clips[name], votes[name]
    gender, age = actors[clip.actor]
    splits = (-1,) * len(FOLDS) if partitions is None else partitions.get(name, (-1,) * len(FOLDS))
    agreed = 2 * counts[2].max() > counts[2].sum() if partitions is None else name in partitions
    return {
      'id': name, 'group': clip.actor, 'item': name,
      **given.read(name),
      **{key: counts[i].astype(np.float32) for i, key in enumerate(('votes_audio', 'votes_visual', 'votes'))},
      'emotion': np.int32(raters.plurality(counts[2])),
      'consensus': np.int32(majority(counts[2], levels[2]) if agreed else -1),
      'intended': np.int32(clip.emotion),
      'sentence': clip.sentence, 'level': clip.level, 'gender': gender, 'age': np.int32(age),
      'partitions': np.array(splits, np.int8),
    }  # fmt: skip

  files = [*tables, *([] if path is None else [path]), *given.files]
  return Reading(_meta(given, partitions), {'all': list(clips)}, example, files)


def majority(counts: np.ndarray, levels: np.ndarray) -> int:
  """The class with the most votes; on a tie that with the lowest mean level.

  Args:
    counts: [K] votes, not all 0.
    levels: [K] mean level of those who chose a class; what nobody chose may be NaN.
  """
  return int(np.where(counts == counts.max(), levels, np.inf).argmin())


def _meta(given: _clips.Clips, partitions: Mapping[str, Any] | None) -> dict[str, Any]:
  if partitions is None:
    rule = 'more than half of the audio-visual raters agree; no vavl_folds.csv was at hand, partitions are all -1'
  else:
    rule = f'the {len(partitions)} clips of vavl_folds.csv; a tie goes to the class with the lowest mean level'
  return {
    **given.meta,
    'attributes': [],
    'emotions': list(EMOTIONS),
    'labels': f'votes are counts of audio-visual raters, emotion their plurality; consensus: {rule}',
    'licence': 'Open Database License 1.0 (attribution, share-alike)',
    'groups': 'actors',
    'fixed': ['votes_audio', 'votes_visual', 'partitions'],
    'partitions': [name.removeprefix('fold') for name in FOLDS],
  }


# Files


def _tables(source: Path) -> Tables:
  inside = source / 'processedResults'
  folders = [folder for folder in (inside, source) if (folder / 'tabulatedVotes.csv').is_file()]
  if len(folders) == 2:
    raise UserError(f'{source}: both tabulatedVotes.csv and processedResults/tabulatedVotes.csv; keep one')
  if not folders:
    raise UserError(
      f'{source}: no CREMA-D here; expected processedResults/tabulatedVotes.csv (a clone of '
      'CheyneyComputerScience/CREMA-D) or tabulatedVotes.csv'
    )
  names = ('SentenceFilenames.csv', 'VideoDemographics.csv')
  return Tables(folders[0] / 'tabulatedVotes.csv', folders[0] / 'summaryTable.csv', *(source / name for name in names))


def _folds_path(source: Path, given: str | None) -> Path | None:
  if given == 'none':
    return None
  if given is not None:
    return Path(given).expanduser()
  return path if (path := source / FOLDS_FILE).is_file() else None


def _whole(where: str, what: str, cell: str) -> int:
  if not (cell.isascii() and cell.isdigit()):
    raise UserError(f'{where}: {what} is {cell!r}, expected a whole number, 0 or more')
  return int(cell)


# Clips and actors


def parse(name: str, where: str) -> Clip:
  """What the name of a clip says, e.g. 1001_IEO_ANG_HI; `where` begins the refusal of another one."""
  actor, *rest = name.split('_')
  if len(rest) != 3 or not (actor.isascii() and actor.isdigit()):
    raise UserError(f'{where}: clip {name!r}, expected <actor>_<sentence>_<emotion>_<level>, e.g. 1001_IEO_ANG_HI')
  for what, part, known in zip(('sentence', 'emotion', 'level'), rest, (SENTENCES, CODES, LEVELS), strict=True):
    if part not in known:
      raise unknown(f'{what} in {where}: clip {name!r}:', part, known)
  return Clip(name, actor, rest[0], CODES.index(rest[1]), rest[2])


def _numbers(path: Path) -> dict[int, Clip]:
  """The clips by number."""
  out, seen = {}, set()
  for where, (number, name) in features.stream_rows(path, ('Stimulus_Number', 'Filename')):
    key = _whole(where, 'Stimulus_Number', number)
    if key in out or name in seen:
      raise UserError(f'{where}: number {number} or clip {name!r} has an earlier line; remove one')
    out[key] = parse(name, where)
    seen.add(name)
  return out


def _actors(path: Path, clips: Iterable[Clip]) -> dict[str, tuple[str, int]]:
  """actor -> gender and age in years."""
  out = {}
  for where, (actor, age, sex) in features.stream_rows(path, ('ActorID', 'Age', 'Sex')):
    if actor in out:
      raise UserError(f'{where}: actor {actor!r} has an earlier line; remove one')
    if sex not in ('Female', 'Male'):
      raise unknown(f'Sex in {where}:', sex, ('Female', 'Male'))
    out[actor] = sex.lower(), _whole(where, 'Age', age)
  for clip in clips:
    if clip.actor not in out:
      raise UserError(f'{path}: no line for actor {clip.actor!r} of clip {clip.name!r}')
  return out


# Votes


def _votes(path: Path, numbers: Mapping[int, Clip]) -> dict[str, Votes]:
  """The votes of every clip in every condition."""
  shape = (len(CONDITIONS), len(EMOTIONS))
  out = {clip.name: Votes(np.zeros(shape, int), np.full(shape, np.nan)) for clip in numbers.values()}
  columns = ('', 'fileName', 'numResponses', *LETTERS, *MEANS)
  for where, (row, name, total, *cells) in features.stream_rows(path, columns):
    condition, number = divmod(_whole(where, 'name of the row', row), 100000)
    if not 1 <= condition <= len(CONDITIONS):
      raise UserError(f'{where}: name of the row {row}, expected 100000 * condition (1 to 3) + number of the clip')
    if number not in numbers or numbers[number].name != name:
      known = repr(numbers[number].name) if number in numbers else 'no clip'
      raise UserError(f'{where}: row {row} is of clip {name!r}, but SentenceFilenames.csv has {known} as {number}')
    counts = [_whole(where, f'count {letter}', x) for letter, x in zip(LETTERS, cells, strict=False)]
    if sum(counts) != _whole(where, 'numResponses', total) or not sum(counts):
      raise UserError(f'{where}: clip {name!r}: {sum(counts)} votes in all, numResponses is {total}; '
                      'expected the same, above 0')  # fmt: skip
    if out[name].counts[condition - 1].any():
      raise UserError(f'{where}: clip {name!r}, {CONDITIONS[condition - 1]}, has an earlier line; remove one')
    out[name].counts[condition - 1] = counts
    out[name].levels[condition - 1] = _levels(where, counts, cells[len(counts) :])
  for name, clip_votes in out.items():
    if not clip_votes.counts.any(1).all():
      lacking = CONDITIONS[int(np.argmin(clip_votes.counts.any(1)))]
      raise UserError(f'{path}: no line for clip {name!r}, {lacking}; the file may be cut off')
  return out


def _levels(where: str, counts: Sequence[int], cells: Sequence[str]) -> list[float]:
  out = []
  for count, column, cell in zip(counts, MEANS, cells, strict=True):
    try:
      level = float(cell)
    except ValueError:
      raise UserError(f'{where}: {column} is {cell!r}, expected a number') from None
    if not (0 <= level <= 100 if count else level == -1):
      wanted = f'0 to 100, for {count} chose it' if count else '-1, for nobody chose it'
      raise UserError(f'{where}: {column} is {cell}, expected {wanted}')
    out.append(level if count else np.nan)
  return out


def _compare(path: Path, numbers: Mapping[int, Clip], votes: Mapping[str, Votes]) -> None:
  """Refuses a summary whose votes are not the pluralities of the table."""
  seen = set()
  for where, (number, name, *winners) in features.stream_rows(path, ('', 'FileName', *VOTES)):
    clip = numbers.get(_whole(where, 'name of the row', number))
    if clip is None or clip.name != name:
      raise UserError(f'{where}: row {number} is of clip {name!r}, but SentenceFilenames.csv has '
                      f'{repr(clip.name) if clip else "no clip"} as {number}')  # fmt: skip
    if name in seen:
      raise UserError(f'{where}: clip {name!r} has an earlier line; remove one')
    seen.add(name)
    for column, counts, winner in zip(VOTES, votes[name].counts, winners, strict=True):
      most = {letter for letter, n in zip(LETTERS, counts, strict=True) if n == counts.max()}
      if set(winner.split(':')) != most:
        raise UserError(f'{where}: clip {name!r}: {column} is {winner!r}, but most votes in tabulatedVotes.csv are for '
                        f'{":".join(sorted(most))}; fetch both files again')  # fmt: skip
  lacking = sorted(set(votes) - seen)
  if lacking:
    raise UserError(f'{path}: no line for clip {lacking[0]!r}; the file may be cut off')


# Partitions


def _partitions(path: Path, clips: Mapping[str, Clip]) -> dict[str, tuple[int, ...]]:
  """clip -> its split in each partition: 0 train, 1 dev, 2 test."""
  out = {}
  for where, (name, *splits) in features.stream_rows(path, ('clip', *FOLDS)):
    if name not in clips:
      raise UserError(f'{where}: clip {name!r} is not in SentenceFilenames.csv')
    if name in out:
      raise UserError(f'{where}: clip {name!r} has an earlier line; remove one')
    for column, split in zip(FOLDS, splits, strict=True):
      if split not in SPLITS:
        raise unknown(f'{column} in {where}: clip {name!r}:', split, SPLITS)
    out[name] = tuple(SPLITS[split] for split in splits)
  for i, column in enumerate(FOLDS):
    actors = {split: {clips[n].actor for n, splits in out.items() if splits[i] == k} for split, k in SPLITS.items()}
    empty = [split for split, members in actors.items() if not members]
    if empty:
      raise UserError(f'{path}: {column} has no clip in {empty[0]}; expected some in each of {", ".join(SPLITS)}')
    try:
      refuse_leak(actors, what='actor')
    except UserError as e:
      raise UserError(f'{path}: {column}: {e}') from e
  return out
