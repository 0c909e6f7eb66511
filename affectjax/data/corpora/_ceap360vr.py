"""The two layouts of CEAP-360VR, see `ceap360vr`: read and checked, the same numbers from both."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features as feature_files
from affectjax.data import traces

PARTICIPANTS = tuple(f'P{i}' for i in range(1, 33))
VIDEOS = tuple(f'V{i}' for i in range(1, 9))
HEAD_RATE = 5.0
# The brightness of the videos, from the folder CEAP-360VR: where it lies today, and in clones from before it moved
_LUMINANCE = ('1_Stimuli/CEAP_VideoInfo_Luminance.json', '../ML_Analysis/Pre_VideoInfo_luminance.json')
_FILES = {
  'annotation': '3_AnnotationData/Frame/{}_Annotation_FrameData.json',
  'head': '4_BehaviorData/HM_ScanPath/{}_Behavior_HeadScanPathData.json',
  'fixation': '4_BehaviorData/EM_Fixation/{}_Behavior_FixationData.json',
  'sam': '2_QuestionnaireData/{}_Questionnaire_Data.json',
}


@dataclasses.dataclass(frozen=True)
class Video:
  """One video of T frames, seen by P participants; float32 as in the source.

  Attributes:
    rate: frames per second.
    ratings: [P, T, 2] valence and arousal, 1..9, NaN where missing.
    sam: [P, 2] 1..9.
    luminance: [T].
    head: [P, H, 2] pitch and yaw, degrees.
    fixating: [P, T] bool.
  """

  rate: float
  ratings: np.ndarray
  sam: np.ndarray
  luminance: np.ndarray
  head: np.ndarray
  fixating: np.ndarray


# Checks of both layouts


def _check_scale(where: str, x: np.ndarray, low: float, high: float, name: str) -> None:
  """Refuses values of [..., N] outside; NaN passes."""
  wrong = (x < low) | (x > high) | np.isinf(x)
  if wrong.any():
    at = np.argwhere(wrong)[0]
    raise UserError(f'{where}: {name} {at[-1]} is {x[tuple(at)]:g}, expected a value in {low:g} to {high:g}')


def _check_times(where: str, time: np.ndarray, rate: float) -> None:
  """Refuses times [T] that are not those of frames at `rate`; the source stretches 0 to 60 s over all frames."""
  if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
    i = int(np.argmax(~(np.diff(time, prepend=-np.inf) > 0)))
    raise UserError(f'{where}: time of frame {i} is {time[i]:g} s, not after the one before; expected rising times')
  late = np.abs(time - np.arange(len(time)) / rate) > 1.5 / rate
  if late.any():
    i = int(np.argmax(late))
    raise UserError(f'{where}: time of frame {i} is {time[i]:g} s, expected {i / rate:.3f} at {rate:g} frames per s')


def _check_head(where: str, head: np.ndarray, frames: int, rate: float) -> None:
  """Refuses head directions [..., H, 2] that are none or of another length."""
  if not np.isfinite(head).all():
    raise UserError(f'{where}: a head direction is missing; expected pitch and yaw every 0.2 s')
  _check_scale(where, head[..., 0], -90, 90, 'pitch')
  _check_scale(where, head[..., 1], -180, 180, 'yaw')
  rows = head.shape[-2]
  if rows < 2 or abs(rows / HEAD_RATE - frames / rate) > 0.5:
    raise UserError(f'{where}: {rows} head directions ({rows / HEAD_RATE:g} s), expected those of {frames / rate:g} s')


# The pack


def read_pack(source: Path, people: Sequence[str]) -> tuple[dict[str, Video], list[Path]]:
  """Videos by name with the participants `people` as P, and the files they come from, of the stacked form."""
  path, sam_path, info = source / 'ceap360vr.npz', source / 'sam_ratings.csv', source / 'videos.csv'
  keys = ('time_s', 'valence', 'arousal', 'luminance', 'head_pitch_yaw_5hz', 'fixation_pitch_yaw')
  arrays = feature_files.load_npz(path)
  for name in ('raters', *(f'{v}_{key}' for v in VIDEOS for key in keys)):
    if name not in arrays:
      raise UserError(f'{path}: no array {name!r}; expected raters, and of V1 to V8 {", ".join(keys)}')
  if arrays['raters'].tolist() != list(PARTICIPANTS):
    raise UserError(f'{path}: raters {arrays["raters"].tolist()[:3]} .., expected P1 to P32')
  rates = _rates(info, _table(info, ('VideoID', 'FrameRate')))
  sam = _sam(sam_path, _table(sam_path, ('participant', 'video', 'sam_valence', 'sam_arousal')))
  rows = [PARTICIPANTS.index(p) for p in people]
  out = {}
  for v in VIDEOS:
    where, of = f'{path}: {v}', {key: arrays[f'{v}_{key}'] for key in keys}
    time, frames, everybody = of['time_s'], len(of['time_s']), len(PARTICIPANTS)
    wanted = {'time_s': (frames,), 'valence': (everybody, frames), 'arousal': (everybody, frames),
              'luminance': (frames,), 'head_pitch_yaw_5hz': (everybody, *of['head_pitch_yaw_5hz'].shape[1:2], 2),
              'fixation_pitch_yaw': (everybody, frames, 2)}  # fmt: skip
    for key, shape in wanted.items():
      if of[key].shape != shape or of[key].dtype.kind != 'f' or not frames:
        raise UserError(f'{where}_{key} is {of[key].dtype} {list(of[key].shape)}, expected floats {list(shape)}')
    _check_times(where, time, rates[v])
    _check_head(where, of['head_pitch_yaw_5hz'], frames, rates[v])
    _check_scale(where, of['luminance'], 0, 255, 'luminance of frame')
    if np.isnan(of['luminance']).any():
      raise UserError(f'{where}_luminance is NaN in frame {np.argmax(np.isnan(of["luminance"]))}, expected 0 to 255')
    for key in traces.ATTRIBUTES:
      _check_scale(where, of[key], 1, 9, f'{key} in frame')
    ratings = np.stack([of[a][rows] for a in traces.ATTRIBUTES], -1)
    chosen = np.stack([_one(sam_path, sam, (p, v)) for p in people])
    out[v] = Video(rates[v], ratings, chosen, of['luminance'], of['head_pitch_yaw_5hz'][rows],
                   np.isfinite(of['fixation_pitch_yaw'][rows]).all(-1))  # fmt: skip
  return out, [path, sam_path, info]


def _table(path: Path, columns: Sequence[str]) -> list[list[str]]:
  header, rows = feature_files.load_rows(path, columns=columns)
  return [[row[header.index(c)].strip() for c in columns] for row in rows]


def _rates(path: Path, rows: Iterable[Sequence[Any]]) -> dict[str, float]:
  """video -> frames per second."""
  out = {}
  for name, rate in rows:
    if not traces.is_number(str(rate)) or not 0 < float(rate) < 1000:
      raise UserError(f'{path}: {name}: frame rate {rate!r}, expected frames per second')
    if name in out:
      raise UserError(f'{path}: {name} appears twice')
    out[name] = float(rate)
  for v in VIDEOS:
    _one(path, out, v)
  return out


def _sam(path: Path, rows: Iterable[Sequence[Any]]) -> dict[tuple[str, str], np.ndarray]:
  """(participant, video) -> valence and arousal after the video."""
  out: dict[tuple[str, str], np.ndarray] = {}
  for person, video, *values in rows:
    where = f'{path}: {person}, {video}'
    for x in values:
      if isinstance(x, bool) or not traces.is_number(str(x)) or not 1 <= float(x) <= 9:
        raise UserError(f'{where}: rating {x!r}, expected a number in 1 to 9')
    if (person, video) in out:
      raise UserError(f'{where} appears twice')
    out[person, video] = np.array(values, np.float32)
  return out


def _one(path: Path, rows: Mapping[Any, Any], key: Any) -> Any:
  if key not in rows:
    name = key if isinstance(key, str) else ', '.join(key)
    raise UserError(f'{path}: nothing of {name}; expected V1 to V8 of every participant')
  return rows[key]


# The clone


def read_clone(source: Path, people: Sequence[str]) -> tuple[dict[str, Video], list[Path]]:
  """As `read_pack`, of a clone of the repository or of its folder CEAP-360VR."""
  root = source / 'CEAP-360VR' if (source / 'CEAP-360VR').is_dir() else source
  if not (root / '3_AnnotationData').is_dir():
    raise UserError(
      f'{source}: no CEAP-360VR here; expected ceap360vr.npz, or a clone with CEAP-360VR/3_AnnotationData'
    )
  info = root / '1_Stimuli' / 'VideoInfo.json'
  light = luminance_path(root)
  rates = _rates(info, ((b['VideoID'], b.get('FrameRate')) for b in _blocks(info, _load_json(info), 'VideoInfo')))
  shown = {b['VideoID']: b for b in _blocks(light, _load_json(light), 'Video_InfoData')}
  luminance = {v: _luminance(light, v, _one(light, shown, v)) for v in VIDEOS}
  recordings = [_person(root, p, rates, {v: len(x) for v, x in luminance.items()}) for p in people]
  files = [info, light, *(root / f.format(p) for f in _FILES.values() for p in people)]
  out = {}
  for v in VIDEOS:
    ratings, head, fixating, sam = zip(*(r[v] for r in recordings), strict=True)
    for p, x in zip(people, head, strict=True):
      if len(x) != len(head[0]):
        raise UserError(
          f'{root / _FILES["head"].format(p)}: {v}: {len(x)} head directions, {people[0]} has {len(head[0])}'
        )
    out[v] = Video(rates[v], np.stack(ratings), np.stack(sam), luminance[v], np.stack(head), np.stack(fixating))
  return out, files


def luminance_path(root: Path) -> Path:
  """The file with the brightness of the videos, of the folder CEAP-360VR of a clone; today's place comes first."""
  paths = [(root.resolve() / name).resolve() for name in _LUMINANCE]
  return next((path for path in paths if path.is_file()), paths[0])


def _luminance(path: Path, video: str, block: Mapping[str, Any]) -> np.ndarray:
  where, values = f'{path}: {video}', block.get('V')
  if not isinstance(values, list) or not values:
    raise UserError(f'{where}: no brightness; expected a list of a number per frame under V')
  x = _numbers(where, [{'V': value} for value in values], 'V')
  _check_scale(where, x, 0, 255, 'luminance of frame')
  return x


def _person(root: Path, person: str, rates: Mapping[str, float], frames: Mapping[str, int]) -> dict[str, tuple]:
  """video -> (ratings [T, 2], head [H, 2], fixating [T], sam [2]) of a participant."""
  paths = {k: root / f.format(person) for k, f in _FILES.items()}
  rated = _videos(paths['annotation'], person, 'ContinuousAnnotation_FrameData', 'Video_Annotation_FrameData')
  heads = _videos(paths['head'], person, 'Behavior_HeadScanPath_Data', 'Video_Behavior_ScanPath_Data')
  fixed = _videos(paths['fixation'], person, 'Behavior_FixationData', 'Video_Behavior_FixationData')
  asked = _videos(paths['sam'], person, 'QuestionnaireData', 'Video_SAMRating_VideoTime_Data')
  keys = ('ValenceValue', 'ArousalValue')
  sam = _sam(paths['sam'], [(person, v, *(asked[v].get(k) for k in keys)) for v in asked])
  return {
    v: (
      _clone_ratings(f'{paths["annotation"]}: {v}', rated[v], rates[v], frames[v]),
      _clone_head(f'{paths["head"]}: {v}', heads[v], rates[v], frames[v]),
      _clone_fixating(f'{paths["fixation"]}: {v}', fixed[v], frames[v]),
      sam[person, v],
    )
    for v in VIDEOS
  }


def _clone_ratings(where: str, block: Mapping[str, Any], rate: float, frames: int) -> np.ndarray:
  rows = _list(where, block, 'TimeStamp_Valence_Arousal')
  if len(rows) != frames:
    raise UserError(f'{where}: {len(rows)} frames rated, the luminance has {frames}; the file may be cut off')
  _check_times(where, _numbers(where, rows, 'TimeStamp'), rate)
  x = [_numbers(where, rows, key, missing=True) for key in ('Valence', 'Arousal')]
  for values, key in zip(x, traces.ATTRIBUTES, strict=True):
    _check_scale(where, values, 1, 9, f'{key} in frame')
  return np.stack(x, -1)


def _clone_head(where: str, block: Mapping[str, Any], rate: float, frames: int) -> np.ndarray:
  rows = _list(where, block, 'ID_Pitch_Yaw')
  ids = _numbers(where, rows, 'ID')
  wrong = ids != np.arange(1, len(ids) + 1)
  if wrong.any():
    raise UserError(f'{where}: ID {ids[np.argmax(wrong)]:g}, expected {np.argmax(wrong) + 1} (one per 0.2 s)')
  head = np.stack([_numbers(where, rows, key) for key in ('Pitch', 'Yaw')], -1)
  _check_head(where, head, frames, rate)
  return head


def _clone_fixating(where: str, block: Mapping[str, Any], frames: int) -> np.ndarray:
  out = np.zeros(frames, bool)
  rows = _list(where, block, 'Fixation', empty=True)
  for i, row in enumerate(rows):
    first, last = (row.get(key) if isinstance(row, dict) else None for key in ('StartFrame', 'EndFrame'))
    if type(first) is not int or type(last) is not int or not 0 <= first <= last < frames:
      raise UserError(f'{where}: fixation {i} from frame {first} to {last}, expected 0 <= start <= end < {frames}')
    out[first : last + 1] = True
  return out


# JSON


def _load_json(path: Path) -> Any:
  def constant(name: str) -> None:
    raise ValueError(f'{name} is no JSON')

  if not path.is_file():
    raise UserError(f'{path}: no such file; expected a whole clone of CEAP-360VR, or give option participants')
  try:
    return json.loads(path.read_text('utf-8-sig'), parse_constant=constant)
  except (ValueError, RecursionError, OSError) as e:
    raise UserError(f'{path}: cannot be read as JSON (damaged or of another kind): {e}') from e


def _videos(path: Path, person: str, top: str, inner: str) -> dict[str, Mapping[str, Any]]:
  """video -> its block in a participant's file."""
  content = _load_json(path)
  people = content.get(top) if isinstance(content, dict) else None
  if not isinstance(people, list) or len(people) != 1 or not isinstance(people[0], dict):
    raise UserError(f'{path}: expected {top!r} with one participant')
  if str(people[0].get('ParticipantID')).removeprefix('P') != person[1:]:
    raise UserError(
      f'{path}: ParticipantID {people[0].get("ParticipantID")!r}, expected {person!r} as the file is called'
    )
  out: dict[str, Mapping[str, Any]] = {}
  for block in _blocks(path, people[0], inner):
    if block['VideoID'] in out:
      raise UserError(f'{path}: video {block["VideoID"]!r} appears twice')
    out[block['VideoID']] = block
  for v in VIDEOS:
    _one(path, out, v)
  return out


def _blocks(path: Path, content: Any, key: str) -> list[dict[str, Any]]:
  """The list under `key`, of objects with a VideoID."""
  blocks = content.get(key) if isinstance(content, dict) else None
  if not isinstance(blocks, list) or not all(isinstance(b, dict) and isinstance(b.get('VideoID'), str) for b in blocks):
    raise UserError(f'{path}: no {key!r} with blocks that have a VideoID')
  return blocks


def _list(where: str, block: Mapping[str, Any], key: str, empty: bool = False) -> list[Any]:
  rows = block.get(key)
  if not isinstance(rows, list) or not (rows or empty):
    raise UserError(f'{where}: no {key!r}; expected a list with an entry per sample')
  return rows


def _numbers(where: str, rows: Sequence[Any], key: str, missing: bool = False) -> np.ndarray:
  """[N] float32 of every row's `key`; null becomes NaN if values may be missing."""
  out = np.full(len(rows), np.nan, np.float32)
  for i, row in enumerate(rows):
    x = row.get(key) if isinstance(row, dict) else None
    if type(x) in (int, float):
      out[i] = x
    elif not (missing and isinstance(row, dict) and key in row and x is None):
      raise UserError(f'{where}: {key} of sample {i} is {json.dumps(x)[:40]}, expected a number')
  return out
