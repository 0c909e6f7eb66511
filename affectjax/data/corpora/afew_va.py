"""AFEW-VA: 600 clips from feature films, valence and arousal annotated in every frame.

Paper: J. Kossaifi, G. Tzimiropoulos, S. Todorovic, M. Pantic, "AFEW-VA database for valence and arousal
estimation in-the-wild", Image and Vision Computing 65, 2017, 23-36, doi 10.1016/j.imavis.2017.02.001.
Licence: gated. Film stills, given for research only on a signed request to the authors' group (iBUG), not to
be passed on. No pixel is read here: the user brings one embedding per frame, or takes the landmarks.

Layout, unpacked from 12 zips (01.zip .. 12.zip) of 50 clips each, the clips directly in `source` or one
folder further down (`01/001`, as some archivers leave them):
    001/001.json .. 600/600.json
    001/00000.png ..         not needed
  {"video_id": "001", "actor": "<name>",
   "frames": {"00000": {"valence": -3, "arousal": 5, "landmarks": [[x, y], .. 68 pairs]}, ..}}
  with integers -10..10 as labels and the landmarks in pixels, in the usual 68-point order.

Beside it in `source`:
    features/<clip>.npy      [T, D], rows in the order of the frames' numbers; or .csv, or .npz with one array
    features/<clip>.npz      arrays `frame` [T] int and `features` [T, D], rows in any order
    expressions.csv          optional, columns video_id, frame, expression: AFEW-VA has no categories, this
                             is the user's own list; a class by its name, or an empty cell
A frame in which no face was found gets a row of NaN; what becomes of it is decided when the corpus is
prepared.

Option `features=landmarks` needs no feature files. It takes each frame's 68 points, moves the midpoint of the
eyes to the origin, turns the eyes level, scales their distance to 1 (136 numbers), and adds the change since
the frame before, per frame number (136 more, zero in the first frame). Coinciding eyes have no shape: NaN.

Labels are divided by 10; null becomes NaN. One split, `all`: no split was published; folds go by `group`, the
actor. A copy with fewer than 600 clips is read as it is; the metadata has `clips` and `clips_expected`.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import corpus
from affectjax.data import features as feature_files

VERSION = '1.0.0'

CLIPS = 600
POINTS = 68
EMOTIONS = ('neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger')
NAMES = {**{e: e for e in EMOTIONS}, 'angry': 'anger'}  # `Angry` is how AFEW calls that folder
KINDS = ('arrays', 'landmarks')

_LEFT, _RIGHT = slice(36, 42), slice(42, 48)  # the eyes as seen in the image


class Clip(NamedTuple):
  """The annotations of one clip of T frames."""

  actor: str
  frame: np.ndarray  # [T] int32, rising
  valence: np.ndarray  # [T] float32 in [-1, 1], NaN where missing
  arousal: np.ndarray  # [T] float32
  landmarks: list[Any]  # [T] as in the file


def read(source: Path, *, features: str = 'arrays') -> corpus.Reading:
  """AFEW-VA as found in `source`.

  Args:
    source: folder with the clips and the features, see above.
    features: 'arrays' for the folder of feature files, or 'landmarks'.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  if features not in KINDS:
    raise unknown('value of the option features', features, KINDS)
  clips = _clips(source)
  emotions = _expressions(source / 'expressions.csv')
  if features == 'landmarks':
    arrays, width = {}, 4 * POINTS
  else:
    if not (source / 'features').is_dir():
      raise UserError(
        f'{source}: no folder features; expected features/<clip>.npy, or give the option features=landmarks'
      )
    arrays = {clip: feature_files.find(source / 'features', clip) for clip in clips}
    width = _load(next(iter(arrays.values())))[0].shape[1]

  def example(split: str, key: str) -> dict[str, Any]:
    clip = load_clip(clips[key])
    if features == 'landmarks':
      x = shape_features(_landmarks(clips[key], clip), clip.frame)
    else:
      x = _aligned(arrays[key], key, clip.frame, width)
    out = {
      'id': key,
      'group': clip.actor,
      'item': key,
      'visual': x,  # [T, D]
      'frame': clip.frame,
      'valence': clip.valence,
      'arousal': clip.arousal,
    }
    if emotions is not None:
      out['emotion'] = _emotion(source / 'expressions.csv', key, clip.frame, emotions.get(key, {}))
    return out

  meta = {
    'modalities': {'visual': width},
    'rate_hz': {'visual': None},
    'attributes': ['valence', 'arousal'],
    'emotions': [] if emotions is None else list(EMOTIONS),
    'labels': f'per frame, the released integers -10..10 divided by 10; {len(clips)} of {CLIPS} clips',
    'groups': 'actors',
    'licence': 'AFEW-VA agreement, research only, no redistribution',
    'features': features,
    'clips': len(clips),
    'clips_expected': CLIPS,
  }
  files = [*clips.values(), *arrays.values(), *([] if emotions is None else [source / 'expressions.csv'])]
  return corpus.Reading(meta, {'all': list(clips)}, example, files)


def _clips(source: Path) -> dict[str, Path]:
  """The annotation file of each clip, by clip."""
  if not source.is_dir():
    raise UserError(f'{source}: no such folder; expected the folder of AFEW-VA')
  files = {}
  for folder in _folders(source):
    inside = [folder] if re.fullmatch('[0-9]{3}', folder.name) else _folders(folder)
    for clip in inside:
      if not re.fullmatch('[0-9]{3}', clip.name):
        continue
      if not 1 <= int(clip.name) <= CLIPS:
        raise UserError(f'{clip}: clip {clip.name!r} is unknown; AFEW-VA has 001 to {CLIPS}')
      if clip.name in files:
        raise UserError(f'{clip}: clip {clip.name!r} is also in {files[clip.name].parent}; keep one')
      files[clip.name] = clip / f'{clip.name}.json'
      if not files[clip.name].is_file():
        raise UserError(f'{files[clip.name]}: no such file; every clip needs its annotations')
  if not files:
    zips = '; unpack the zip archives first' if any(source.glob('*.zip')) else ''
    raise UserError(f'{source}: no clip here; expected folders 001 to {CLIPS} with 001/001.json{zips}')
  return dict(sorted(files.items()))


def _folders(folder: Path) -> list[Path]:
  return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] not in '._' and p.name != 'features')


# Annotations


def load_clip(path: Path) -> Clip:
  """The annotations of one clip, `<clip>/<clip>.json`, in the order of the frames' numbers."""
  content = _load_json(path)
  clip = path.stem
  if not isinstance(content, dict):
    raise UserError(f'{path}: this is {_kind(content)}, expected an object with video_id, actor and frames')
  for name, kind in (('video_id', str), ('actor', str), ('frames', dict)):
    if name not in content:
      raise UserError(f'{path}: no {name!r}; clip {clip!r} needs video_id, actor and frames')
    if not isinstance(content[name], kind) or not (content[name].strip() if kind is str else content[name]):
      want = 'an object with the frames' if kind is dict else 'a non-empty string'
      raise UserError(f'{path}: {name!r} of clip {clip!r} is {_kind(content[name])}, expected {want}')
  if any('\ud800' <= c <= '\udfff' for c in content['actor']):
    raise UserError(f'{path}: the actor of clip {clip!r} is {content["actor"]!r}, which is no valid text')
  if content['video_id'] != clip:
    raise UserError(f'{path}: video_id is {content["video_id"]!r}, expected {clip!r} as the folder is called')
  frames = {}
  for name, frame in content['frames'].items():
    if not re.fullmatch(r'[0-9]{1,9}', name):
      raise UserError(f'{path}: frame {name!r} of clip {clip!r}, expected a number such as 00000')
    if int(name) in frames:
      raise UserError(f'{path}: frame {name!r} of clip {clip!r} appears twice')
    if not isinstance(frame, dict):
      raise UserError(f'{path}: frame {name!r} of clip {clip!r} is {_kind(frame)}, expected an object')
    frames[int(name)] = frame
  numbers = sorted(frames)
  valence, arousal = (
    np.array([_label(path, n, frames[n], what) for n in numbers], np.float32) for what in ('valence', 'arousal')
  )
  landmarks = [frames[n].get('landmarks') for n in numbers]
  return Clip(content['actor'], np.array(numbers, np.int32), valence, arousal, landmarks)


def _load_json(path: Path) -> Any:
  """Strict JSON: no repeated keys, no NaN."""

  def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(items)
    if len(out) < len(items):
      raise ValueError(f'a key appears twice among {", ".join(repr(k) for k, _ in items[:3])} ..')
    return out

  def constant(name: str) -> None:
    raise ValueError(f'{name} is no JSON')

  try:
    return json.loads(path.read_text('utf-8-sig'), object_pairs_hook=pairs, parse_constant=constant)
  except (ValueError, RecursionError, OSError) as e:
    raise UserError(f'{path}: cannot be read as JSON (damaged or of another kind): {e}') from e


def _label(path: Path, n: int, frame: Mapping[str, Any], what: str) -> float:
  where = f'{path}: {what} in frame {n:05d} of clip {path.stem!r}'
  if what not in frame:
    raise UserError(f'{where} is not there; expected an integer -10..10, or null')
  x = frame[what]
  if x is None:
    return math.nan
  if isinstance(x, bool) or not isinstance(x, int | float):
    raise UserError(f'{where} is {_kind(x)}, expected an integer -10..10')
  if not -10 <= x <= 10 or x != int(x):
    raise UserError(f'{where} is {x}, expected an integer -10..10 (not yet divided by 10)')
  return x / 10


def _kind(x: Any) -> str:
  names = {dict: 'an object', list: 'a list', str: 'a string', bool: 'a boolean', type(None): 'null'}
  return f'{names.get(type(x), "a number")} ({json.dumps(x)[:40]})'


def _expressions(path: Path) -> dict[str, dict[int, int]] | None:
  """clip -> frame -> class, or None without the file."""
  if not path.exists():
    return None
  names, rows = feature_files.load_rows(path, columns=['video_id', 'frame', 'expression'])
  at = [names.index(n) for n in ('video_id', 'frame', 'expression')]
  out: dict[str, dict[int, int]] = {}
  for i, row in enumerate(rows):
    clip, frame, name = (row[j].strip() for j in at)
    where = f'{path}: line {i + 2}, clip {clip!r}, frame {frame!r}'
    if not re.fullmatch(r'[0-9]{1,3}', clip) or not 1 <= int(clip) <= CLIPS:
      raise UserError(f'{where}: unknown video_id, expected 001 to {CLIPS}')
    if not re.fullmatch(r'[0-9]{1,9}', frame):
      raise UserError(f'{where}: the frame is no number')
    if name and name.lower() not in NAMES:
      raise UserError(f'{where}: unknown expression {name!r}; there is: {", ".join(EMOTIONS)}, and empty')
    of_clip = out.setdefault(f'{int(clip):03d}', {})
    if int(frame) in of_clip:
      raise UserError(f'{where}: this frame has an earlier line; remove one of them')
    of_clip[int(frame)] = EMOTIONS.index(NAMES[name.lower()]) if name else -1
  return out


def _emotion(path: Path, clip: str, frame: np.ndarray, known: Mapping[int, int]) -> np.ndarray:
  """Class per frame, [T] int32; -1 where the list has none."""
  for n in known:
    if n not in frame:
      raise UserError(f'{path}: frame {n} of clip {clip!r} is not among the {len(frame)} annotated frames')
  return np.array([known.get(int(n), -1) for n in frame], np.int32)


# Features


def _load(path: Path, width: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
  """Rows as stored [T, D], and the frame of each if the file says so."""
  arrays = feature_files.load_npz(path) if path.suffix == '.npz' else {}
  if 'frame' not in arrays:
    return feature_files.load_array(path, width=width), None
  return feature_files.load_array(path, width=width, name='features'), arrays['frame']


def _aligned(path: Path, clip: str, frame: np.ndarray, width: int) -> np.ndarray:
  """[T, D] of one clip, row t belonging to `frame[t]`."""
  x, ids = _load(path, width)
  if len(x) != len(frame):
    raise UserError(
      f'{path}: {len(x)} frames of features for clip {clip!r}, {clip}.json has {len(frame)}; every frame '
      'needs its row (NaN where no face was found)'
    )
  if ids is None:
    return x
  if ids.shape != frame.shape or ids.dtype.kind not in 'iu':
    raise UserError(
      f'{path}: array frame {list(ids.shape)} of dtype {ids.dtype}, expected {list(frame.shape)} integers'
    )
  order = np.argsort(ids, kind='stable')
  for number, wanted in zip(ids[order], frame, strict=True):
    if number != wanted:
      raise UserError(f'{path}: frame {number} of clip {clip!r} is unknown or repeated, expected {wanted}')
  return x[order]


def _landmarks(path: Path, clip: Clip) -> np.ndarray:
  """[T, 68, 2] float64."""
  out = np.empty((len(clip.frame), POINTS, 2))
  for n, points, row in zip(clip.frame, clip.landmarks, out, strict=True):
    where = f'{path}: landmarks in frame {n:05d} of clip {path.stem!r}'
    pairs = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
    if not pairs or len(points) != POINTS:
      raise UserError(f'{where}: {_kind(points)}, expected a list of {POINTS} pairs [x, y]')
    if not all(type(v) in (int, float) and abs(v) < 1e6 for p in points for v in p):
      raise UserError(f'{where}: not all are numbers, or some lie beyond any image')
    row[:] = points
  return out


def shape_features(points: np.ndarray, frame: np.ndarray) -> np.ndarray:
  """Landmarks free of shift, scale and roll, with their first differences.

  Args:
    points: [T, 68, 2] x to the right and y down, in pixels.
    frame: [T] rising frame numbers.

  Returns:
    [T, 272] float32: x, y of the 68 points by turns, in inter-ocular distances; then their change per frame.
  """
  z = points[..., 0] + 1j * points[..., 1]  # [T, 68], a similarity is one complex factor and a shift
  left, right = z[:, _LEFT].mean(1, keepdims=True), z[:, _RIGHT].mean(1, keepdims=True)
  with np.errstate(divide='ignore', invalid='ignore'):
    z = (z - (left + right) / 2) / (right - left)
  z[np.isinf(z)] = np.nan
  x = np.stack([z.real, z.imag], -1).reshape(len(z), -1)  # [T, 136]
  steps = np.diff(frame.astype(np.int64))[:, None]
  change = np.concatenate([np.zeros_like(x[:1]), np.diff(x, axis=0) / steps])
  return np.concatenate([x, change], 1).astype(np.float32)
