"""MSP-IMPROV: six pairs of actors improvise and read; five or more raters per turn.

Paper: C. Busso, S. Parthasarathy, A. Burmania, M. AbdelWahab, N. Sadoughi, E. Mower Provost, "MSP-IMPROV: An Acted
Corpus of Dyadic Interactions to Study Emotion Perception", IEEE Transactions on Affective Computing 8(1), 2017, 67-80,
doi 10.1109/TAFFC.2016.2515617.
Licence: gated, an academic agreement with the University of Texas at Dallas, not to be passed on.

Layout:
  Evalution.txt                               so in the release; Evaluation.txt is taken as well
  features/{audio,visual}/<turn>.npy          yours, see `_clips`; without them a corpus of ratings alone
A turn has one line of its own, then one for each rater, then an empty line:
  UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.200000; D:2.800000 ; N:3.400000;
  <rater>; Neutral; <more emotions, free text>; A:3.000000; V:3.000000; D:3.000000; N:4.000000;
A is arousal, V valence, D dominance, N naturalness (not kept); the letter is the class the release gives the turn.

Seen in public code (readers of the release, among them that of the package ertk, which has a pattern for both kinds of
line, and data/msp-improv/process_database2.py of felixbur/nkululeko): both names of the file, both kinds of line down
to their spaces, letters A H S N O X, emotions Angry Happy Sad Neutral Other, NaN in place of values, free text with
semicolons in it, a rater twice in one turn ("simply copied", says ertk; another reader averages), arousal from 1 =
very active to 5, names of turns: sentence and target emotion, speaker, kind, who speaks and listens, number.
Not seen, and therefore a default here: that values lie in 1 to 5 (the paper's scales); that copies of a rater's line
count once, while a second line that differs is refused, or passed over with option repeated=first; that N may lack. The
turn's own class and means are compared with those of its raters and differences counted in `differ`, not refused,
since nobody says how the release rounds. The meaning of kinds is from memory (experiments/vavl.md, 1): S other
improvised, P natural, between recordings, T target improvised, R target read.

One example per turn, one split `all`, in the order of names (MSP-IMPROV-S01A-F01-P-FM01, as the sound is called);
group is the pair of actors, `dyad1` .. `dyad6`, after the number of the speaker; item is the turn.
  ratings [1, R, 3]      valence, arousal, dominance in [-1, 1] by (x - 3) / 2, arousal reversed once by 6 - x before
                         that, so that active is high; raters differ from turn to turn, R is the most that any turn
                         has, slots beyond its own are NaN and masked, and so is what a rater left out
  annotators             the names of the raters, in the order of the slots
  valence, arousal, dominance    the mean over raters
  votes [4]              raters per class of meta['emotions']; those for `other` are in none of them
  emotion                what most raters chose, -1 on a tie or if most chose `other`
  partitions int8 [5]    0 train, 1 dev, 2 test: VAVL's five partitions (arXiv 2305.07216), by pair
  speaker, gender, kind  'F01', 'female' or 'male', S, P, T or R
"""

import collections
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces
from affectjax.data.corpora import _clips
from affectjax.data.corpus import Reading
from affectjax.labels import raters

VERSION = '1.0.0'
FILES = ('Evalution.txt', 'Evaluation.txt')
ATTRIBUTES = ('valence', 'arousal', 'dominance')
EMOTIONS = ('angry', 'sad', 'happy', 'neutral')
CHOICES = ('Angry', 'Sad', 'Happy', 'Neutral', 'Other')  # of a rater
LETTERS = 'ASHNO'  # of CHOICES, in the line of a turn; X is for no agreement
TEST_DYADS, DEV_DYADS = (5, 3, 2, 1, 6), (4, 2, 1, 6, 5)  # of the five partitions
CLOSE = 0.01  # how far the mean in the line of a turn may be from that of its raters
_VALUES = r'A:\s*(?P<A>[^;\s]+)\s*;\s*V:\s*(?P<V>[^;\s]+)\s*;\s*D:\s*(?P<D>[^;\s]+)\s*(;\s*N:[^;]*)?;?\s*'
_TURN = re.compile(rf'(?P<name>[^;\s]+)\.(avi|wav)\s*;\s*(?P<letter>[^;\s]*)\s*;\s*{_VALUES}')
_RATER = re.compile(rf'(?P<rater>[^;\s]+)\s*;\s*(?P<choice>[^;]*?)\s*;(?P<more>.*);\s*{_VALUES}')
_NAME = re.compile(
  r'(UTD|MSP)-IMPROV-(?P<rest>S\d\d[AHNS]-(?P<speaker>(?P<gender>[FM])0(?P<dyad>[1-6]))-(?P<kind>[SPTR])-[FM]{1,2}\d+)'
)
_SHAPES = {
  'turn': 'UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.0; V:3.0; D:3.0 ; N:3.0;',
  'rater': '<rater>; Neutral; <more>; A:3.0; V:3.0; D:3.0; N:3.0;',
}


class Turn(NamedTuple):
  """One turn, with its raters in the order of their lines.

  `values` are valence, arousal, dominance as in the file, 1 to 5 (arousal 1 = very active), NaN where there is none.
  """

  where: str
  name: str
  speaker: str
  gender: str
  dyad: int
  kind: str
  letter: str
  means: list[float]  # of the turn's own line, as `values`
  annotators: list[str]
  choices: list[int]  # of CHOICES
  values: list[list[float]]


def read(
  source: Path, *, modalities: str | None = None, missing: str = 'error', repeated: str = 'error',
  audio_hz: str | float = _clips.RATES['audio'], visual_hz: str | float = _clips.RATES['visual'],
) -> Reading:  # fmt: skip
  """MSP-IMPROV as found in `source`.

  Args:
    source: the corpus.
    modalities, missing, audio_hz, visual_hz: see `_clips`.
    repeated: 'error', or 'first' to pass over further lines of a rater in a turn.

  Raises:
    UserError: in one line, for whatever is wrong with the file or options.
  """
  source = Path(source)
  traces.choice('repeated', repeated, ('error', 'first'))
  path = _evaluation(source)
  turns, counted = read_evaluation(path, repeated)
  rates = {'audio': audio_hz, 'visual': visual_hz}
  given = _clips.find(source, turns, modalities=modalities, missing=missing, rates=rates)
  slots = max(len(turn.annotators) for turn in turns.values())

  def example(split: str, name: str) -> dict[str, Any]:
    turn = turns[name]
    ratings = np.full((slots, len(ATTRIBUTES)), np.nan)
    ratings[: len(turn.values)] = scaled(np.array(turn.values))
    mean = raters.masked_mean(ratings, ~np.isnan(ratings))
    votes = np.bincount(turn.choices, minlength=len(CHOICES))  # [5]
    return {
      'id': name, 'group': f'dyad{turn.dyad}', 'item': name,
      **given.read(name),
      'ratings': ratings[None], 'ratings_mask': ~np.isnan(ratings)[None],
      'annotators': ' '.join(turn.annotators),
      **{attribute: np.float32(mean[i]) for i, attribute in enumerate(ATTRIBUTES)},
      'votes': votes[: len(EMOTIONS)].astype(np.float32),
      'emotion': np.int32(_emotion(votes)),
      'partitions': np.array(partitions(turn.dyad), np.int8),
      'speaker': turn.speaker, 'gender': turn.gender, 'kind': turn.kind,
    }  # fmt: skip

  return Reading(_meta(given, slots, counted), {'all': sorted(turns)}, example, [path, *given.files])


def scaled(values: np.ndarray) -> np.ndarray:
  """Values [.., 3] of the file (1 to 5, arousal 1 = very active) in [-1, 1], all with more as more."""
  x = np.array(values, np.float64)
  arousal = ATTRIBUTES.index('arousal')
  x[..., arousal] = 6 - x[..., arousal]
  return (x - 3) / 2


def partitions(dyad: int) -> list[int]:
  """The split of a pair of actors (1 to 6) in each of the five partitions: 0 train, 1 dev, 2 test."""
  return [2 if dyad == test else 1 if dyad == dev else 0 for test, dev in zip(TEST_DYADS, DEV_DYADS, strict=True)]


def _emotion(votes: np.ndarray) -> int:
  """The class with the most votes [5]; -1 on a tie, or if it is `other`."""
  most = int(raters.plurality(votes))
  return most if most < len(EMOTIONS) else -1


def _meta(given: _clips.Clips, slots: int, counted: collections.Counter) -> dict[str, Any]:
  return {
    **given.meta,
    'attributes': list(ATTRIBUTES),
    'emotions': list(EMOTIONS),
    'labels': f'mean over up to {slots} raters, 1 to 5 scaled to [-1, 1], arousal reversed (active is high); emotion '
    'is the plurality, -1 on a tie or for other',
    'licence': 'gated, academic agreement with the University of Texas at Dallas',
    'groups': 'dyads (pairs of actors)',
    'fixed': ['partitions'],
    'partitions': [str(i + 1) for i in range(len(TEST_DYADS))],
    'repeated': counted['repeated'],  # lines of raters passed over
    'differ': {what: counted[what] for what in ('class', *ATTRIBUTES)},  # turns whose own line says otherwise
  }


# The evaluation


def _evaluation(source: Path) -> Path:
  files = [source / name for name in FILES if (source / name).is_file()]
  if len(files) != 1:
    what = 'both Evalution.txt and Evaluation.txt; keep one' if files else (
      'no Evalution.txt (or Evaluation.txt) here; expected the evaluation of MSP-IMPROV'
    )  # fmt: skip
    raise UserError(f'{source}: {what}')
  return files[0]


def read_evaluation(path: Path, repeated: str = 'error') -> tuple[dict[str, Turn], collections.Counter]:
  """The turns by name, and how many lines were passed over and turns differ from the mean of their raters."""
  turns: dict[str, Turn] = {}
  counted: collections.Counter = collections.Counter()
  turn, lines = None, {}  # rater -> their line in this turn
  for i, text in enumerate(features.read_lines(path)):
    where, text = f'{path}: line {i + 1}', text.strip()
    if not text:
      turn = None
    elif 'IMPROV-' in text.partition(';')[0]:
      turn, lines = _turn(where, text), {}
      if turn.name in turns:
        raise UserError(f'{where}: turn {turn.name!r} has an earlier line; remove one')
      turns[turn.name] = turn
    elif turn is None:
      raise UserError(f'{where} is {text[:60]!r}, a line of no turn; expected {_SHAPES["turn"]!r} first')
    else:
      _add_rater(where, text, turn, lines, repeated, counted)
  for turn in turns.values():
    if not turn.annotators:
      raise UserError(f'{turn.where}: turn {turn.name!r} has no line of a rater; the file may be cut off')
    _count_differences(turn, counted)
  return turns, counted


def _turn(where: str, text: str) -> Turn:
  line = _match(_TURN, 'turn', where, text)
  name = _NAME.fullmatch(line['name'])
  if name is None:
    raise UserError(f'{where}: turn {line["name"]!r}, expected e.g. UTD-IMPROV-S01A-F01-P-FM01: S, sentence, target '
                    'emotion (AHNS); speaker F01 to M06; kind (SPTR); who speaks and listens (FM), number')  # fmt: skip
  if line['letter'] not in (*LETTERS, 'X'):
    raise unknown(f'class of a turn in {where}:', line['letter'], (*LETTERS, 'X'))
  gender = 'female' if name['gender'] == 'F' else 'male'
  return Turn(where, f'MSP-IMPROV-{name["rest"]}', name['speaker'], gender, int(name['dyad']), name['kind'],
              line['letter'], _values(where, line), [], [], [])  # fmt: skip


def _add_rater(
  where: str, text: str, turn: Turn, lines: dict[str, str], repeated: str, counted: collections.Counter
) -> None:
  line = _match(_RATER, 'rater', where, text)
  rater, choice = line['rater'], line['choice']
  if choice not in CHOICES:
    raise unknown(f'emotion in {where}, turn {turn.name!r}:', choice, CHOICES)
  values = _values(where, line)
  if rater in lines:
    if lines[rater] != text and repeated == 'error':
      raise UserError(f'{where}: rater {rater!r} has another line in turn {turn.name!r} that says other things; '
                      'remove one, or give option repeated=first')  # fmt: skip
    counted['repeated'] += 1
    return
  lines[rater] = text
  turn.annotators.append(rater)
  turn.choices.append(CHOICES.index(choice))
  turn.values.append(values)


def _match(pattern: re.Pattern, what: str, where: str, text: str) -> re.Match:
  line = pattern.fullmatch(text)
  if line is None:
    raise UserError(f'{where} is {text[:80]!r}, expected a line of a {what} such as {_SHAPES[what]!r}')
  return line


def _values(where: str, line: re.Match) -> list[float]:
  """Valence, arousal, dominance of a line; NaN where it says so."""
  out = []
  for letter in 'VAD':
    try:
      x = float(line[letter])
    except ValueError:
      x = np.inf
    if not (np.isnan(x) or 1 <= x <= 5):
      raise UserError(f'{where}: {letter} is {line[letter]!r}, expected a value of 1 to 5, or NaN')
    out.append(x)
  return out


def _count_differences(turn: Turn, counted: collections.Counter) -> None:
  """Counts where the turn's own line is not the mean, or the class, of its raters."""
  most = int(raters.plurality(np.bincount(turn.choices, minlength=len(CHOICES))))
  counted['class'] += turn.letter != (LETTERS[most] if most >= 0 else 'X')
  values = np.array(turn.values)
  means = raters.masked_mean(values, ~np.isnan(values))
  for attribute, released, mean in zip(ATTRIBUTES, turn.means, means, strict=True):
    counted[attribute] += not (np.isclose(released, mean, rtol=0, atol=CLOSE, equal_nan=True))
