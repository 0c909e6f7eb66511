"""IEMOCAP: ten actors in five sessions improvise and play scripts; three or so evaluators per turn.

Paper: C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee, S. S. Narayanan, "IEMOCAP:
Interactive emotional dyadic motion capture database", Language Resources and Evaluation 42, 2008, 335-359,
doi 10.1007/s10579-008-9076-6.
Licence: gated, an academic agreement with the University of Southern California (SAIL), not to be passed on.

Layout, in `source` itself or in IEMOCAP_full_release below it:
  Session{1..5}/dialog/EmoEvaluation/Ses01F_impro01.txt     one file per dialogue; its sub-folders are not read
  features/{audio,text}/<turn>.npy                          yours, in `source`, see `_clips`; without them labels alone
A file begins with a header line. A turn has one line of its own, then one for each rater, then an empty line:
  [6.2901 - 8.2357]<tab>Ses01F_impro01_F000<tab>neu<tab>[2.5000, 2.5000, 2.5000]
  C-E2:<tab>Neutral; Anger;<tab>(comment)          the classes that evaluator E2 names
  C-F1:<tab>Neutral;<tab>(comment)                 what the actor says of himself; not read, nor A-F1, C-M1, A-M1
  A-E3:<tab>val 3; act 2; dom  2;<tab>(comment)    the attributes by E3, 1 to 5
In the turn's line stand the class of the release (xxx: no majority) and the means of valence, activation, dominance.

Seen in public code (readers of the release: the collectors of labels of Rongjiehuang/GenerSpeech and of a copy of
SLT22's script, the notes of CXianRen/AMST, lists of dialogues in several): folders, both kinds of line down to tabs,
several classes in one line, hidden files ._Ses*, dialogues Ses03M_impro05a and Ses05M_script01_1b, the ten codes with
their counts (10,039 turns: xxx 2507, fru 1849, neu 1708, ang 1103, sad 1084, exc 1041, hap 595, sur 107, fea 40,
oth 3, dis 2), means over evaluators without the actors' own lines.
Not seen, and therefore a default here: that an evaluator stands once in a turn (a second line is refused, or passed
over with option repeated=first); that attributes lie in 1 to 5 (others are refused, or masked and counted with option
outside=mask); that each turn has a class by someone (refused, or kept without votes by option unrated=keep); how the
release finds its class when evaluators name several: where exactly one class was named by more than half of them it
has to be that one (refused, or counted in `differ` with option consensus=count), all other differences from the
plurality, and from the means, are counted in `differ`.

One example per turn (10,039), one split `all`, in the order of names; group is the speaker (`Ses01_F`: session and
letter of the turn), item the dialogue.
  audio [T, Da], text [T, Dt]            of the modalities whose features are there; T = 1 for pooled embeddings
  votes [10]                             how many evaluators named each class; option multiple=first counts the first
                                         one of each evaluator only
  voters                                 how many evaluators named a class
  emotion                                the plurality of `votes`, -1 on a tie or for none
  consensus                              the class of the release, -1 for xxx
  ratings [1, R, 3]                      valence, arousal (activation), dominance in [-1, 1] by (x - 3) / 2; R is the
                                         most evaluators that any turn has, what is left out is NaN and masked
  valence, arousal, dominance            their mean
  session, gender, kind                  1 .. 5, 'female' or 'male', 'improvised' or 'scripted'
`meta['rules']` counts the turns that label rules in use would keep.
"""

import collections
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces
from affectjax.data.corpora import _clips
from affectjax.data.corpus import Reading
from affectjax.labels import label_rules, raters

VERSION = '1.0.0'
RELEASE = 'IEMOCAP_full_release'
SESSIONS = (1, 2, 3, 4, 5)
ATTRIBUTES = ('valence', 'arousal', 'dominance')
EMOTIONS = (
  'neutral', 'happy', 'angry', 'sad', 'excited', 'frustrated', 'surprised', 'fearful', 'disgusted', 'other',
)  # fmt: skip
CODES = ('neu', 'hap', 'ang', 'sad', 'exc', 'fru', 'sur', 'fea', 'dis', 'oth')  # of EMOTIONS; xxx is for no majority
WORDS = ('Neutral', 'Happiness', 'Anger', 'Sadness', 'Excited', 'Frustration', 'Surprise', 'Fear', 'Disgust', 'Other')
FOUR = ('neutral', 'happy', 'angry', 'sad')
MERGED = np.array([0, 1, 2, 3, 1, -1, -1, -1, -1, -1])  # of EMOTIONS in FOUR, excited with happy
CLOSE = 0.01  # how far the mean in the line of a turn may be from that of its evaluators
_TURN = re.compile(r'\[[\d.]+\s*-\s*[\d.]+\]\s+(?P<name>\S+)\s+(?P<code>\S+)\s+\[(?P<means>[^\]]*)\]')
_RATER = re.compile(r'(?P<kind>[AC])-(?P<rater>[EFM]\d+):\s*(?P<answer>[^()]*?)\s*\(.*')
_MARKS = re.compile(r'val\s*(?P<valence>[^;]*);\s*act\s*(?P<arousal>[^;]*);\s*dom\s*(?P<dominance>[^;]*);')
_DIALOGUE = r'(?P<dialogue>Ses0(?P<session>[1-5])[FM]_(?P<kind>impro|script)\d\d(_\d)?[a-z]?)'
_NAME = re.compile(rf'{_DIALOGUE}_(?P<letter>[FM])[0-9X]+[a-z]?')
_SHAPES = {
  'turn': '[6.2901 - 8.2357] Ses01F_impro01_F000 neu [2.5000, 2.5000, 2.5000]',
  'C': 'C-E2: Neutral; Anger; ()',
  'A': 'A-E3: val 3; act 2; dom 2; ()',
}


class Turn(NamedTuple):
  """One turn, with its evaluators in the order of their lines."""

  where: str
  name: str
  parts: re.Match  # of its name
  consensus: int  # of EMOTIONS, -1 for xxx
  means: list[float]  # valence, activation, dominance of its own line
  named: dict[str, list[int]]  # evaluator -> the classes, each once; none if the line is blank
  marks: dict[str, list[float]]  # evaluator -> valence, activation, dominance as in the file, NaN where there is none


class Policy(NamedTuple):
  """The options of `read`, checked; what they mean is at the top of this file."""

  multiple: str
  repeated: str
  outside: str
  unrated: str
  consensus: str


CHOICES = Policy(('each', 'first'), ('error', 'first'), ('error', 'mask'), ('error', 'keep'), ('error', 'count'))


def read(
  source: Path, *, modalities: str | None = None, missing: str = 'error', sessions: str = '1,2,3,4,5',
  multiple: str = 'each', repeated: str = 'error', outside: str = 'error', unrated: str = 'error',
  consensus: str = 'error', audio_hz: str | float | None = None, text_hz: str | float | None = None,
) -> Reading:  # fmt: skip
  """IEMOCAP as found in `source`.

  Args:
    source: the corpus, or the folder that IEMOCAP_full_release is in.
    modalities, missing, audio_hz, text_hz: see `_clips`.
    sessions: those that are wanted, e.g. '1,2'.
    multiple, repeated, outside, unrated, consensus: see the top of this file.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source, policy = Path(source), Policy(multiple, repeated, outside, unrated, consensus)
  for name, value in policy._asdict().items():
    traces.choice(name, value, getattr(CHOICES, name))
  wanted = _sessions(sessions)
  files = [path for session in wanted for path in _files(_release(source), session, wanted)]
  counted: collections.Counter = collections.Counter()
  turns: dict[str, Turn] = {}
  for path in files:
    for turn in read_dialogue(path, policy, counted):
      if turn.name in turns:
        raise UserError(f'{turn.where}: turn {turn.name!r} stands in {turns[turn.name].where} as well; remove one')
      turns[turn.name] = turn
  _compare(turns, policy, counted)
  if multiple == 'first':
    turns = {name: turn._replace(named={r: c[:1] for r, c in turn.named.items()}) for name, turn in turns.items()}
  given = _clips.find(
    source, turns, modalities=modalities, missing=missing, rates={'audio': audio_hz, 'text': text_hz},
    elsewhere=lambda name: bool(m := _NAME.fullmatch(name)) and int(m['session']) not in wanted,
  )  # fmt: skip
  slots = max(1, *(len(turn.marks) for turn in turns.values()))

  def example(split: str, name: str) -> dict[str, Any]:
    return {**_labels(turns[name], slots), **given.read(name)}

  meta = {**given.meta, **_meta(turns, slots, counted), 'sessions': list(wanted)}
  return Reading(meta, {'all': sorted(turns)}, example, [*files, *given.files])


def _labels(turn: Turn, slots: int) -> dict[str, Any]:
  counts, parts = votes(turn), turn.parts
  ratings = np.full((slots, len(ATTRIBUTES)), np.nan)  # [R, 3]
  if turn.marks:
    ratings[: len(turn.marks)] = (np.array(list(turn.marks.values())) - 3) / 2
  mask = ~np.isnan(ratings)
  mean = raters.masked_mean(ratings, mask)
  return {
    'id': turn.name, 'group': f'Ses0{parts["session"]}_{parts["letter"]}', 'item': parts['dialogue'],
    'session': np.int32(parts['session']), 'gender': 'female' if parts['letter'] == 'F' else 'male',
    'kind': 'improvised' if parts['kind'] == 'impro' else 'scripted',
    'votes': counts.astype(np.float32), 'voters': np.int32(voters(turn)),
    'emotion': np.int32(raters.plurality(counts)), 'consensus': np.int32(turn.consensus),
    'ratings': ratings[None], 'ratings_mask': mask[None],
    **{attribute: np.float32(mean[i]) for i, attribute in enumerate(ATTRIBUTES)},
  }  # fmt: skip


def votes(turn: Turn) -> np.ndarray:
  """How many evaluators named each class, [10] int."""
  return np.bincount(np.array([c for named in turn.named.values() for c in named], int), minlength=len(EMOTIONS))


def voters(turn: Turn) -> int:
  """How many evaluators named a class."""
  return sum(map(bool, turn.named.values()))


def _meta(turns: Mapping[str, Turn], slots: int, counted: collections.Counter) -> dict[str, Any]:
  return {
    'attributes': list(ATTRIBUTES),
    'emotions': list(EMOTIONS),
    'raters': [f'seat {i + 1}' for i in range(slots)],
    'labels': 'votes are counts of classes that evaluators named, emotion their plurality, -1 on a tie; attributes are '
    f'the mean over up to {slots} evaluators, 1 to 5 scaled to [-1, 1]; consensus is the class of the release',
    'licence': 'gated, academic agreement with the University of Southern California (SAIL)',
    'groups': 'speakers',
    'rules': _rules(turns),
    # Lines of evaluators passed over, without a class; attributes masked; turns that nobody gave a class
    **{what: counted[what] for what in ('repeated', 'blank', 'outside', 'unrated')},
    # Turns whose own line says otherwise
    'differ': {what: counted[f'differ {what}'] for what in ('class', *ATTRIBUTES)},
  }


def _rules(turns: Mapping[str, Turn]) -> dict[str, str]:
  """How many turns are kept by rules in use."""
  counts = np.stack([votes(turn) for turn in turns.values()])  # [N, 10]
  four, outside = label_rules.merged(counts, EMOTIONS, FOUR, {'happy': ('happy', 'excited')})
  plain = label_rules.merged(counts, EMOTIONS, FOUR, {})
  consensus = np.array([turn.consensus for turn in turns.values()])
  agreed = (consensus >= 0) & (MERGED[consensus] >= 0)
  n = np.array([voters(turn) for turn in turns.values()])
  merged = 'neutral, happy + excited, angry, sad'
  kept = {
    'inside': (label_rules.kept(four, outside, 'inside', 1),
               f'every vote is for one of {merged}', ' (4370 in the work on AER-LLM)'),
    'inside_plain': (label_rules.kept(*plain, 'inside', 1), f'every vote is for one of {", ".join(FOUR)}', ''),
    'majority': (label_rules.kept(four, outside, 'majority', 1, n),
                 f'one of {merged} has votes of more than half of the evaluators', ''),
    'consensus': (label_rules.kept(four, outside, 'consensus', 1, agreed=agreed),
                  f'the class of the release is one of {merged}', ' (5531 in common use)'),
  }  # fmt: skip
  return {name: f'{text}: {keep.sum()} of {len(keep)} turns{known}' for name, (keep, text, known) in kept.items()}


# Files


def _sessions(given: str) -> tuple[int, ...]:
  names = [name.strip() for name in str(given).split(',')]
  for name in names:
    if name not in map(str, SESSIONS):
      raise unknown('value of the option sessions', name, SESSIONS)
  return tuple(session for session in SESSIONS if str(session) in names)


def _release(source: Path) -> Path:
  """Where the sessions are."""
  inside = source / RELEASE
  roots = [root for root in (source, inside) if any((root / f'Session{s}').is_dir() for s in SESSIONS)]
  if len(roots) == 2:
    raise UserError(f'{source}: sessions both here and in {RELEASE}; keep one')
  if not roots:
    raise UserError(f'{source}: no IEMOCAP here; expected Session1 .. Session5 with dialog/EmoEvaluation in them')
  return roots[0]


def _files(root: Path, session: int, wanted: tuple[int, ...]) -> list[Path]:
  """The evaluations of a session."""
  folder = root / f'Session{session}' / 'dialog' / 'EmoEvaluation'
  if not folder.is_dir():
    present = [s for s in wanted if (root / f'Session{s}' / 'dialog' / 'EmoEvaluation').is_dir()]
    raise UserError(f'{folder}: no such folder; add it, or give option sessions={",".join(map(str, present)) or "..."}')
  files = sorted(p for p in folder.iterdir() if p.suffix == '.txt' and not p.name.startswith('.'))
  for path in files:
    name = re.fullmatch(_DIALOGUE, path.stem)
    if name is None or int(name['session']) != session:
      raise UserError(f'{path}: expected an evaluation of session {session}, e.g. Ses0{session}F_impro01.txt')
  if not files:
    raise UserError(f'{folder}: no evaluations; expected Ses0{session}F_impro01.txt and others')
  return files


def read_dialogue(path: Path, policy: Policy, counted: collections.Counter) -> list[Turn]:
  """The turns of one file; lines passed over and values masked are added to `counted`."""
  lines, turns = features.read_lines(path), []
  if 'TURN_NAME' not in lines[0]:
    raise UserError(f'{path}: line 1 is {lines[0][:60]!r}, expected the header with TURN_NAME; the file may be cut off')
  turn = None
  for i, text in enumerate(lines[1:]):
    where, text = f'{path}: line {i + 2}', text.strip()
    if not text:
      turn = None
    elif text.startswith('['):
      turn = _turn(where, text, path.stem)
      turns.append(turn)
    elif turn is None:
      raise UserError(f'{where} is {text[:60]!r}, a line of no turn; expected {_SHAPES["turn"]!r} first')
    else:
      _add(where, text, turn, policy, counted)
  if not turns:
    raise UserError(f'{path}: no turns after the header; expected {_SHAPES["turn"]!r}')
  return turns


def _turn(where: str, text: str, dialogue: str) -> Turn:
  line = _TURN.fullmatch(text)
  means = [_number(x) for x in line['means'].split(',')] if line else []
  if line is None or len(means) != len(ATTRIBUTES) or None in means:
    raise UserError(f'{where} is {text[:80]!r}, expected a line of a turn such as {_SHAPES["turn"]!r}')
  name = _NAME.fullmatch(line['name'])
  if name is None or name['dialogue'] != dialogue:
    raise UserError(f'{where}: turn {line["name"]!r}, expected one of this dialogue, e.g. {dialogue}_F000')
  if line['code'] not in (*CODES, 'xxx'):
    raise unknown(f'class of a turn in {where}:', line['code'], (*CODES, 'xxx'))
  consensus = -1 if line['code'] == 'xxx' else CODES.index(line['code'])
  return Turn(where, line['name'], name, consensus, means, {}, {})


def _add(where: str, text: str, turn: Turn, policy: Policy, counted: collections.Counter) -> None:
  """Adds the line of a rater to the turn; those of the actors themselves are passed over."""
  line = _RATER.fullmatch(text)
  if line is None:
    raise UserError(
      f'{where} is {text[:80]!r}, expected a line of a rater such as {_SHAPES["C"]!r} or {_SHAPES["A"]!r}'
    )
  if line['rater'][0] != 'E':
    return
  of, add = (turn.named, _classes) if line['kind'] == 'C' else (turn.marks, _marks)
  answer = add(where, line['answer'], policy, counted)
  if line['rater'] in of:
    if policy.repeated == 'error':
      raise UserError(f'{where}: evaluator {line["rater"]} has an earlier line {line["kind"]}- in turn {turn.name!r}; '
                      'remove one, or give option repeated=first')  # fmt: skip
    counted['repeated'] += 1
  else:
    of[line['rater']] = answer


def _classes(where: str, text: str, _: Policy, counted: collections.Counter) -> list[int]:
  """The classes that a line names, each once."""
  *words, tail = (word.strip() for word in text.split(';'))
  if tail:
    raise UserError(f'{where}: {tail!r} without a semicolon after it, expected e.g. {_SHAPES["C"]!r}')
  words = list(dict.fromkeys(word.removesuffix(' state') for word in words if word))  # 'Neutral state' in sub-folders
  for word in words:
    if word not in WORDS:
      raise unknown(f'class in {where}:', word, WORDS)
  counted['blank'] += not words
  return [WORDS.index(word) for word in words]


def _marks(where: str, text: str, policy: Policy, counted: collections.Counter) -> list[float]:
  """Valence, activation and dominance, NaN where there is none."""
  line = _MARKS.fullmatch(text)
  if line is None:
    raise UserError(f'{where}: attributes {text[:60]!r}, expected e.g. {_SHAPES["A"]!r}')
  out = []
  for attribute in ATTRIBUTES:
    cell = line[attribute].strip()
    x = _number(cell) if cell else np.nan
    if x is None or (cell and not 1 <= x <= 5 and policy.outside == 'error'):
      raise UserError(f'{where}: {attribute} is {cell!r}, expected a number of 1 to 5 or nothing; '
                      'correct it, or give option outside=mask for numbers beyond')  # fmt: skip
    counted['outside'] += bool(cell) and not 1 <= x <= 5
    out.append(x if 1 <= x <= 5 else np.nan)
  return out


def _number(cell: str) -> float | None:
  try:
    return float(cell)
  except ValueError:
    return None


# What a turn's own line says


def _compare(turns: Mapping[str, Turn], policy: Policy, counted: collections.Counter) -> None:
  """Refuses turns without votes or whose class cannot be, counts other differences."""
  against = []
  for turn in turns.values():
    counts, n = votes(turn), voters(turn)
    if not n and policy.unrated == 'error':
      raise UserError(f'{turn.where}: turn {turn.name!r} has no class by an evaluator, such as {_SHAPES["C"]!r}; '
                      'the file may be cut off, or give option unrated=keep')  # fmt: skip
    counted['unrated'] += not n
    clear = np.flatnonzero(2 * counts > n)
    if len(clear) == 1 and clear[0] != turn.consensus:
      against.append((turn, int(clear[0])))
    counted['differ class'] += int(raters.plurality(counts)) != turn.consensus
    marks = np.array(list(turn.marks.values()) or [[np.nan] * len(ATTRIBUTES)])
    means = raters.masked_mean(marks, ~np.isnan(marks))
    for attribute, released, mean in zip(ATTRIBUTES, turn.means, means, strict=True):
      # Without an evaluator there is nothing to compare with
      counted[f'differ {attribute}'] += bool(np.isfinite(mean)) and not np.isclose(released, mean, rtol=0, atol=CLOSE)
  if against and policy.consensus == 'error':
    turn, most = against[0]
    code = CODES[turn.consensus] if turn.consensus >= 0 else 'xxx'
    raise UserError(f'{turn.where}: turn {turn.name!r} is {code}, but more than half of its evaluators say '
                    f'{WORDS[most]} ({len(against)} such turns); fetch the file again, or give option '
                    'consensus=count')  # fmt: skip
