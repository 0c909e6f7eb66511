"""pyfeat_faces: per-frame face features of 20 short clips of people who deliver good or bad news.

Source: github.com/cosanlab/py-feat, docs/data/news_sample; MIT licence. The clips are from D. M. Watson, A. Johnston,
PLOS Computational Biology 2020. No image is included.

VALENCE, AROUSAL AND EMOTION ARE THE DETECTOR'S OUTPUTS. Nobody rated these faces: what is learned from them says
whether the code works, not whether a method does. The one label people gave is good or bad news, per clip.

Layout of `source`:
  faces.npz        per row one frame: clip, frame, landmarks68 [N, 68, 2] pixels, au [N, 20], blendshapes [N, 52],
                   pose [N, 6], gaze [N, 3], pred_emotion [N, 7] with pred_emotion_names,
                   pred_valence_arousal [N, 2], good_news [N]
  clip_attrs.csv   clipN and class (gn = good news) of every clip of the source set

One example per clip, one split `all`; group and item are the clip.
  visual [T, 217]  the 68 points (midpoint of the eyes at 0, eyes level, their distance 1; x, y in turn), action
                   units, blendshapes, pose, gaze
  frame [T]        the number of each frame in the video; frames without a detection are not there
  valence, arousal [T], emotion [T]; good_news [] 0 or 1
"""

from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
POINTS = 68
PARTS = {'au': 20, 'blendshapes': 52, 'pose': 6, 'gaze': 3}
CLASSES = 7
_LEFT, _RIGHT = slice(36, 42), slice(42, 48)  # the eyes as seen in the image
_SHAPES = {  # of one frame
  'clip': (),
  'frame': (),
  'landmarks68': (POINTS, 2),
  **{name: (width,) for name, width in PARTS.items()},
  'pred_emotion': (CLASSES,),
  'pred_valence_arousal': (2,),
  'good_news': (),
}


def read(source: Path) -> Reading:
  """The clips as found in `source`; whatever is wrong with the files is a UserError of one line."""
  path, attributes = source / 'faces.npz', source / 'clip_attrs.csv'
  data = features.load_npz(path, [*_SHAPES, 'pred_emotion_names', 'au_names', 'blendshape_names'])
  _check(path, data)
  good = _good_news(attributes)
  clips = np.unique(data['clip']).tolist()
  rows = {clip: _rows(path, data, clip, good, attributes) for clip in clips}

  def example(split: str, clip: int) -> dict[str, Any]:
    at = rows[clip]
    points = normalised(data['landmarks68'][at]).reshape(len(at), 2 * POINTS)
    parts = [data[name][at].astype(np.float32) for name in PARTS]
    scores = data['pred_emotion'][at]
    name = f'clip{clip:02d}'
    return {
      'id': name,
      'group': name,
      'item': name,
      'visual': np.concatenate([points, *parts], axis=1),
      'frame': data['frame'][at].astype(np.int32),
      'valence': data['pred_valence_arousal'][at, 0],
      'arousal': data['pred_valence_arousal'][at, 1],
      'emotion': scores.argmax(1).astype(np.int32),
      'good_news': np.asarray(good[clip], np.int32),
    }

  return Reading(_meta(data), {'all': clips}, example, [path, attributes])


def _meta(data: dict[str, np.ndarray]) -> dict[str, Any]:
  points = [f'{axis}{i}' for i in range(POINTS) for axis in 'xy']
  names = {'au': data['au_names'], 'blendshapes': data['blendshape_names']}
  others = [n for k, width in PARTS.items() for n in names.get(k, [f'{k}_{i}' for i in range(width)])]
  return {
    'modalities': {'visual': 2 * POINTS + sum(PARTS.values())},
    'rate_hz': {'visual': None},
    'attributes': ['valence', 'arousal'],
    'emotions': [str(name) for name in data['pred_emotion_names']],
    'labels': 'NO HUMAN RATINGS: valence, arousal and emotion are the OUTPUTS OF A DETECTOR, per frame; '
    'good_news is the class of the clip',
    'licence': 'MIT',
    'groups': 'clips',
    'columns': {'visual': [*points, *map(str, others)]},
  }


def normalised(landmarks: np.ndarray) -> np.ndarray:
  """Landmarks free of place, roll and size.

  Args:
    landmarks: [T, 68, 2] pixels, y downwards, in the usual 68-point order.

  Returns:
    [T, 68, 2] float32: the midpoint of the eyes at the origin, the line through them level, their distance 1.
    NaN where the eyes coincide.
  """
  z = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1]  # [T, 68] points as complex numbers
  left, right = z[:, _LEFT].mean(1), z[:, _RIGHT].mean(1)
  across = np.where(left == right, np.nan, right - left)
  with np.errstate(invalid='ignore'):
    z = (z - ((left + right) / 2)[:, None]) / across[:, None]  # one division turns and scales
  return np.stack([z.real, z.imag], axis=-1).astype(np.float32)


def _check(path: Path, data: dict[str, np.ndarray]) -> None:
  n = len(data['clip']) if data['clip'].ndim else 0
  if not n:
    raise UserError(f'{path}: clip is {list(data["clip"].shape)}, expected one number per frame, and some frames')
  for name, shape in _SHAPES.items():
    x = data[name]
    whole = name in ('clip', 'frame', 'good_news')
    if x.shape != (n, *shape) or x.dtype.kind not in ('iu' if whole else 'f'):
      kind = 'integers' if whole else 'floats'
      raise UserError(f'{path}: {name} is {x.dtype} {list(x.shape)}, expected {kind} {[n, *shape]}')
  for name, count in (('pred_emotion_names', CLASSES), ('au_names', PARTS['au']), ('blendshape_names', 52)):
    x = data[name]
    if x.shape != (count,) or x.dtype.kind != 'U':
      raise UserError(f'{path}: {name} is {x.dtype} {list(x.shape)}, expected {count} names')
  if (data['clip'] < 0).any():
    raise UserError(f'{path}: clip {data["clip"].min()}, expected numbers from 0')


def _rows(path: Path, data: dict[str, np.ndarray], clip: int, good: dict[int, int], attributes: Path) -> np.ndarray:
  """The rows of a clip in the order of its frames."""
  if clip not in good:
    raise UserError(f'{attributes}: no row for clip {clip} of {path.name}; expected one per clip')
  at = np.flatnonzero(data['clip'] == clip)
  at = at[np.argsort(data['frame'][at], kind='stable')]
  frame = data['frame'][at]
  twice = frame[:-1][np.diff(frame) == 0]
  if len(twice):
    raise UserError(f'{path}: frame {twice[0]} of clip {clip} appears twice; expected every frame once')
  if frame[0] < 0:
    raise UserError(f'{path}: frame {frame[0]} of clip {clip}, expected numbers from 0')
  if (data['good_news'][at] != good[clip]).any():
    raise UserError(f'{path}: good_news of clip {clip} disagrees with its class in {attributes.name}')
  if not np.isfinite(data['pred_emotion'][at]).all():
    t = int(np.argmin(np.isfinite(data['pred_emotion'][at]).all(1)))
    raise UserError(f'{path}: pred_emotion of clip {clip}, frame {frame[t]}, is not finite; expected scores')
  return at


def _good_news(path: Path) -> dict[int, int]:
  """clip -> 1 for good news, 0 for bad."""
  names, rows = features.load_rows(path, columns=('clipN', 'class'))
  at, kind = names.index('clipN'), names.index('class')
  out: dict[int, int] = {}
  for i, row in enumerate(rows):
    if not row[at].isdigit():
      raise UserError(f'{path}: line {i + 2}: clipN is {row[at]!r}, expected a number')
    if row[kind] not in ('gn', 'ists'):
      raise UserError(f'{path}: line {i + 2}: class is {row[kind]!r}, expected gn or ists')
    if int(row[at]) in out:
      raise UserError(f'{path}: line {i + 2}: clip {row[at]} appears twice')
    out[int(row[at])] = int(row[kind] == 'gn')
  return out
