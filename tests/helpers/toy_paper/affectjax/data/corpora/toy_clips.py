"""A toy corpus: clips.csv (id, speaker, emotion) beside features/<id>.npy, [T, D] at 10 frames per second."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
EMOTIONS = ('calm', 'angry', 'glad')


def meta(width: int) -> dict[str, Any]:
  """What is known of the corpus, and of its twin."""
  return {
    'modalities': {'audio': width}, 'rate_hz': {'audio': 10.0}, 'attributes': [], 'emotions': list(EMOTIONS),
    'labels': 'drawn', 'licence': 'none: made up', 'groups': 'speakers',
  }  # fmt: skip


def read(source: Path) -> Reading:
  """The corpus as it lies in `source`; a `UserError` for what is wrong with it."""
  header, lines = features.load_rows(source / 'clips.csv', columns=('id', 'speaker', 'emotion'))
  clips = {clip['id']: clip for clip in (dict(zip(header, line, strict=True)) for line in lines)}
  for clip in clips.values():
    if clip['emotion'] not in EMOTIONS:
      raise UserError(f'{source}/clips.csv: emotion {clip["emotion"]!r}, expected one of {", ".join(EMOTIONS)}')
  paths = {name: features.find(source / 'features', name) for name in clips}

  def example(split: str, name: str) -> Mapping[str, Any]:
    emotion = np.int32(EMOTIONS.index(clips[name]['emotion']))
    audio = features.load_array(paths[name])
    return {'id': name, 'group': clips[name]['speaker'], 'item': name, 'audio': audio, 'emotion': emotion}

  width = features.load_array(next(iter(paths.values()))).shape[1]
  return Reading(meta(width), {'all': sorted(clips)}, example, [source / 'clips.csv', *paths.values()])
