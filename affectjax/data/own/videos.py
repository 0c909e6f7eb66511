"""Videos as rows of features, one row per frame, read from whatever plain files the user has.

What a source may be:

    clip.npy, clip.csv     one video, named `clip` (see `features` for the two kinds)
    clip.npz               one video when it holds `visual` or `x` (other arrays are not read), named `clip`;
                           otherwise one video per array, named as the array
    folder/                one video per .npy, .npz or .csv file, named as the file

An .npz may give the seconds of the frames, strictly increasing: `<array>/time` [T] (`visual/time`, `clip7/time`).
Without it frame i lies at i / rate_hz.
"""

import dataclasses
from pathlib import Path

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features

TIME = '/time'
ONE_VIDEO = ('visual', 'x')


@dataclasses.dataclass(frozen=True)
class Video:
  """The features of one video, a row per frame.

  Attributes:
    name: as in the source; the `video` of labels.
    x: [T, D] float32 features, oldest first; zero where not present.
    present: [T] bool, False for rows with NaN or infinity: no face was detected.
    time_s: [T] float64 seconds, strictly increasing.
  """

  name: str
  x: np.ndarray
  present: np.ndarray
  time_s: np.ndarray

  def __len__(self) -> int:
    return len(self.x)


def read(source: Path, rate_hz: float, width: int) -> list[Video]:
  """The videos of a source, in the order of the archive or of the file names.

  Args:
    source: as described above.
    rate_hz: frames per second where the source gives no times.
    width: the D that every frame must have.

  Raises:
    UserError: in one line naming file and array, for whatever is wrong with it.
  """
  source = Path(source)
  if source.is_dir():
    files = sorted(p for p in source.iterdir() if p.suffix in features.SUFFIXES and p.is_file())
    if not files:
      raise UserError(f'{source}: no feature files; expected one of {", ".join(features.SUFFIXES)} per video')
    for first, second in zip(files, files[1:], strict=False):
      if first.stem == second.stem:
        raise UserError(f'{source}: {first.name} and {second.name} are the same video; delete the one not meant')
    return [_one(path, rate_hz, width) for path in files]
  if source.suffix == '.npz':
    arrays = features.load_npz(source)
    if not any(k in arrays for k in ONE_VIDEO):
      return _many(source, arrays, rate_hz, width)
  return [_one(source, rate_hz, width)]


def _many(path: Path, arrays: dict[str, np.ndarray], rate_hz: float, width: int) -> list[Video]:
  names = [k for k in arrays if not k.endswith(TIME)]
  if not names:
    raise UserError(f'{path}: no arrays; expected one per video, [frames, {width}]')
  stray = [k for k in arrays if k.endswith(TIME) and k.removesuffix(TIME) not in names]
  if stray:
    raise UserError(
      f'{path}: array {stray[0]!r} gives times of a video that is not there; there is: {", ".join(names)}'
    )
  named = {k: path.stem if k == 'arr_0' and len(names) == 1 else k for k in names}  # arr_0: saved without a name
  return [_video(path, named[k], k, arrays[k], arrays.get(k + TIME), rate_hz, width) for k in names]


def _one(path: Path, rate_hz: float, width: int) -> Video:
  if path.suffix != '.npz':
    return _video(path, path.stem, '', features.load_array(path), None, rate_hz, width)
  arrays = features.load_npz(path)
  keys = [k for k in ONE_VIDEO if k in arrays] or [k for k in arrays if not k.endswith(TIME)]
  if len(keys) != 1:
    raise UserError(
      f'{path}: {len(keys)} arrays that could be the video ({", ".join(keys) or "none"}); expected one array, or just '
      f'one of {", ".join(ONE_VIDEO)} among others'
    )
  return _video(path, path.stem, keys[0], arrays[keys[0]], arrays.get(keys[0] + TIME), rate_hz, width)


def _video(path: Path, name: str, key: str, x, time_s, rate_hz: float, width: int) -> Video:
  where = f'{path}: array {key!r}' if key else f'{path}:'
  if not name.strip() or not name.isprintable():
    raise UserError(f'{path}: {name!r} cannot be the name of a video; expected printable characters')
  x = features.as_float32(path / key, x)
  if x.ndim != 2 or not len(x):
    raise UserError(f'{where} has shape {list(x.shape)}; expected [frames, {width}]')
  if x.shape[1] != width:
    raise UserError(f'{where} has {x.shape[1]} features per frame, the cell was trained on {width}')
  present = np.isfinite(x).all(1)
  x = x if present.all() else np.where(present[:, None], x, np.float32(0))
  return Video(name, x, present, _times(where, time_s, len(x), rate_hz))


def _times(where: str, time_s: np.ndarray | None, frames: int, rate_hz: float) -> np.ndarray:
  if time_s is None:
    return np.arange(frames) / rate_hz
  if time_s.shape != (frames,) or time_s.dtype.kind not in 'fiu':
    raise UserError(f'{where}: its times are {time_s.dtype} {list(time_s.shape)}; expected {frames} numbers')
  time_s = time_s.astype(np.float64)
  if not np.isfinite(time_s).all() or (np.diff(time_s) <= 0).any() or time_s[0] < 0:
    raise UserError(f'{where}: its times must be seconds from 0 on, finite and strictly increasing')
  return time_s
