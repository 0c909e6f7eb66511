"""Frames of many recordings end to end in one npz, as the data packs of eGeMAPS descriptors have them.

lld [N, D] floats, offsets [n + 1], files [n] such as 03a01Fa.wav, lld_names [D]: frames of recording i are
lld[offsets[i]:offsets[i + 1]], 10 ms apart
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.corpora import _clips

PACK = 'egemaps_lld_10ms.npz'
RATE = 100.0  # Hz


class Packed(NamedTuple):
  """An npz of frames end to end, read and checked.

  Attributes:
    names: of the recordings, in its order, without .wav.
    frames: how many each has, [n].
    columns: names of the D features.
    load: name -> [T, D] float32.
  """

  names: list[str]
  frames: np.ndarray
  columns: list[str]
  load: Callable[[str], np.ndarray]


def choose(source: Path, absent: str, audio_hz: str | float | None) -> tuple[bool, float]:
  """Whether the pack lies in `source` (or a folder `features`), and the frames per second.

  Args:
    source: the corpus.
    absent: what to say where neither is there.
    audio_hz: of features in a folder; None for the pack's.

  Raises:
    UserError: both or neither is there, or a rate is given for the pack, which has its own.
  """
  packed = (source / PACK).exists()
  if packed == (source / 'features').exists():
    raise UserError(f'{source}: {f"both {PACK} and features; keep one" if packed else absent}')
  if packed and audio_hz is not None:
    raise UserError(f'option audio_hz: {audio_hz}, but frames of {PACK} are 10 ms apart; leave it out')
  return packed, RATE if audio_hz is None else _clips.rate('audio_hz', audio_hz)


def read(path: Path) -> Packed:
  """Reads and checks such an npz; whatever is wrong with it is a UserError in one line."""
  lld, offsets, files, columns = features.load_npz(path, ['lld', 'offsets', 'files', 'lld_names']).values()
  for name, x, kinds, ndim in (
    ('lld', lld, 'f', 2), ('offsets', offsets, 'iu', 1), ('files', files, 'U', 1), ('lld_names', columns, 'U', 1)
  ):  # fmt: skip
    if x.ndim != ndim or x.dtype.kind not in kinds or not x.size:
      wanted = {'f': 'floats [N, D]', 'iu': 'integers [files + 1]', 'U': 'text [n]'}[kinds]
      raise UserError(f'{path}: {name} is {x.dtype} {list(x.shape)}, expected {wanted}')
  if lld.shape[1] != len(columns):
    raise UserError(f'{path}: lld has {lld.shape[1]} columns, lld_names {len(columns)}; expected the same')
  if len(offsets) != len(files) + 1 or offsets[0] != 0 or offsets[-1] != len(lld):
    raise UserError(f'{path}: {len(offsets)} offsets from {offsets[0]} to {offsets[-1]}, expected {len(files) + 1} '
                    f'from 0 to {len(lld)}')  # fmt: skip
  frames = np.diff(offsets.astype(np.int64))
  if (frames < 1).any():
    i = int(np.argmax(frames < 1))
    raise UserError(f'{path}: {files[i]} has {frames[i]} frames by the offsets, expected one or more')
  names = [str(name).removesuffix('.wav') for name in files]
  rows = {name: i for i, name in enumerate(names)}
  if len(rows) < len(names):
    again = next(name for i, name in enumerate(names) if rows[name] != i)
    raise UserError(f'{path}: files has {again!r} twice; expected every recording once')
  load = lambda name: features.as_float32(path, lld[offsets[rows[name]] : offsets[rows[name] + 1]])
  return Packed(names, frames, columns.tolist(), load)
