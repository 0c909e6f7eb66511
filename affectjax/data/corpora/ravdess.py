"""RAVDESS, its speech part: 24 actors say two sentences in eight emotions, 1440 utterances.

Paper: S. R. Livingstone, F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS)",
PLoS ONE 13(5), 2018, e0196391, doi 10.1371/journal.pone.0196391.
Licence: Creative Commons Attribution-NonCommercial-ShareAlike 4.0 (zenodo.org/record/1188976).

Layouts, found by themselves in `source`:
  pack     egemaps_lld_10ms.npz: lld [N, D] the frames of all utterances end to end, offsets [n + 1], files [n] such as
           03-01-05-01-01-01-01.wav, lld_names [D]
           metadata.csv: index, file, emotion, intensity, statement, repetition, actor, gender, n_frames, all of which
           must be what the name of the file and the offsets say
  folder   features/<name>.npy (or .npz, .csv), yours, named as the recordings are; labels come from the names
A name is modality-channel-emotion-intensity-statement-repetition-actor, two digits each: modality 01 audio-visual or
03 audio alone, channel 01 speech (02 is song, not read), emotion 01 .. 08 in the order below, intensity 01 normal or
02 strong, statement 01 kids or 02 dogs, actor 01 .. 24, odd numbers male and even ones female.

One example per utterance, one split `all`, in the order of names; group is the actor, item the utterance. Nobody rated
them here: `emotion` is what the actor was asked to show.
  audio [T, D]     in the pack 25 low-level descriptors of eGeMAPSv02 every 10 ms, stored as float16; in a folder
                   whatever there is, 100 frames per second unless option audio_hz says otherwise
  emotion          of meta['emotions']
  intensity, statement, gender              'normal' or 'strong', 'kids' or 'dogs', 'female' or 'male'
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpora import _packed
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
EMOTIONS = ('neutral', 'calm', 'happy', 'sad', 'angry', 'fearful', 'disgust', 'surprised')
INTENSITIES, STATEMENTS = ('normal', 'strong'), ('kids', 'dogs')
ACTORS, REPETITIONS = 24, 2
FIRST = 'features/03-01-05-01-01-01-01.npy'
_ALLOWED = {  # field of a name -> what it may be, and how a refusal says so
  'modality': ((1, 3), '01 (audio-visual) or 03 (audio)'),
  'channel': ((1,), '01 (speech)'),
  'emotion': (range(1, len(EMOTIONS) + 1), '01 to 08'),
  'intensity': ((1, 2), '01 or 02'),
  'statement': ((1, 2), '01 or 02'),
  'repetition': (range(1, REPETITIONS + 1), '01 or 02'),
  'actor': (range(1, ACTORS + 1), '01 to 24'),
}


class Utterance(NamedTuple):
  """What the name of a recording says, as metadata.csv writes it."""

  emotion: str
  intensity: str
  statement: str
  repetition: int
  actor: int
  gender: str


def read(source: Path, *, audio_hz: str | float | None = None) -> Reading:
  """RAVDESS as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    audio_hz: frames per second of features in a folder.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  packed, rate = _packed.choose(
    source, f'no RAVDESS here; expected {_packed.PACK} with {_packed.TABLE}, or {FIRST}', audio_hz
  )
  if packed:
    layout, _ = _packed.read_pack(source, parse, refuse=_refuse_twice)
  else:
    layout = _packed.read_folder(source / 'features', Path(FIRST).name, parse, _refuse_twice)

  def example(split: str, name: str) -> dict[str, Any]:
    utterance = layout.recordings[name]
    return {
      'id': name, 'group': f'actor{utterance.actor:02d}', 'item': name,
      'audio': layout.load(name),
      'emotion': np.int32(EMOTIONS.index(utterance.emotion)),
      'intensity': utterance.intensity, 'statement': utterance.statement, 'gender': utterance.gender,
    }  # fmt: skip

  meta = {
    'modalities': {'audio': layout.width},
    'rate_hz': {'audio': rate},
    'attributes': [],
    'emotions': list(EMOTIONS),
    'labels': 'emotion is what the actor was asked to show; nobody rated it',
    'licence': 'CC BY-NC-SA 4.0',
    'groups': 'actors',
    **({'columns': {'audio': layout.columns}} if layout.columns else {}),
  }
  return Reading(meta, {'all': sorted(layout.recordings)}, example, layout.files)


def parse(name: str, where: str) -> Utterance:
  """What a name says, e.g. 03-01-05-01-01-01-01; `where` begins the refusal of another one."""
  cells = name.split('-')
  if len(cells) != len(_ALLOWED) or not all(len(c) == 2 and c.isascii() and c.isdigit() for c in cells):
    raise UserError(f'{where}: name {name!r}, expected seven numbers of two digits, e.g. 03-01-05-01-01-01-01')
  fields = dict(zip(_ALLOWED, map(int, cells), strict=True))
  for (field, number), cell in zip(fields.items(), cells, strict=True):
    allowed, expected = _ALLOWED[field]
    if number not in allowed:
      raise UserError(f'{where}: {field} of {name!r} is {cell}, expected {expected}')
  emotion, intensity = EMOTIONS[fields['emotion'] - 1], INTENSITIES[fields['intensity'] - 1]
  if (emotion, intensity) == ('neutral', 'strong'):
    raise UserError(f'{where}: {name!r} is neutral (01) in strong intensity (02), which RAVDESS does not have')
  statement, actor = STATEMENTS[fields['statement'] - 1], fields['actor']
  return Utterance(emotion, intensity, statement, fields['repetition'], actor, 'male' if actor % 2 else 'female')


def _refuse_twice(where: Path, names: list[str]) -> None:
  """Refuses the sound of one utterance from its video and by itself."""
  seen: dict[str, str] = {}
  for name in names:
    utterance = name.partition('-')[2]
    if utterance in seen:
      raise UserError(f'{where}: {seen[utterance]} and {name} are one utterance; keep one')
    seen[utterance] = name
