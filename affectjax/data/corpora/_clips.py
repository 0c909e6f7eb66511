"""Features of short clips, one file per clip and modality; a corpus says which modalities it knows.

  features/audio/<clip>.npy      [T, D], or [D] if pooled, see affectjax.data.features; or .npz, .csv
  features/visual/<clip>.npy     the same
  features/text/<clip>.npy       the same

Options that go with them:
  modalities=audio,visual        those that are wanted; without it whatever folders are there; `none` for none
  missing=error                  a clip that lacks one of its files is an error, or
  missing=absent                 that modality of it is absent: one frame of zeros, masked, `<modality>_present` False;
                                 a clip that lacks all of them is an error all the same
  audio_hz=50, visual_hz=30      frames per second, `rate_hz` in the metadata; a corpus may know none by itself,
                                 as of embeddings that are pooled over time
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces

RATES = {'audio': 50.0, 'visual': 30.0}  # of wav2vec2, and of the videos
POLICIES = ('error', 'absent')


@dataclasses.dataclass(frozen=True)
class Clips:
  """The feature files of a corpus.

  Attributes:
    paths: modality -> clip -> file; a clip without one is not there.
    widths: modality -> D.
    rates: modality -> frames per second, None if nobody said.
  """

  paths: Mapping[str, Mapping[str, Path]]
  widths: Mapping[str, int]
  rates: Mapping[str, float | None]

  @property
  def files(self) -> list[Path]:
    """All feature files; a preparation that was interrupted goes on only if they are unchanged."""
    return [path for of in self.paths.values() for path in of.values()]

  @property
  def meta(self) -> dict[str, Any]:
    """`modalities` (name -> width) and `rate_hz` (name -> frames per second), as a corpus's metadata has them."""
    return {'modalities': dict(self.widths), 'rate_hz': dict(self.rates)}

  def read(self, clip: str) -> dict[str, Any]:
    """Every modality [T, D] float32 of a clip; an absent one is [1, D] of zeros, with its mask [1] and presence."""
    out = {}
    for name, width in self.widths.items():
      path = self.paths[name].get(clip)
      if path is None:
        out[name] = np.zeros((1, width), np.float32)
        out[f'{name}_mask'], out[f'{name}_present'] = np.zeros(1, bool), np.asarray(False)
      else:
        out[name] = features.load_array(path, width=width)
    return out


def find(
  source: Path, clips: Collection[str], *, modalities: str | None, missing: str,
  rates: Mapping[str, str | float | None], elsewhere: Callable[[str], bool] = lambda _: False,
) -> Clips:  # fmt: skip
  """The feature files of clips.

  Args:
    source: the corpus.
    clips: their names.
    modalities, missing: the options above.
    rates: every modality that the corpus knows, in order -> its option `<modality>_hz`, or None.
    elsewhere: whether a file of this name, which is of no clip, is of a part of the corpus that was not asked for.

  Raises:
    UserError: a folder or file that is missing, or that nobody would read; wrong options.
  """
  traces.choice('missing', missing, POLICIES)
  given = {name: None if hz is None else rate(f'{name}_hz', hz) for name, hz in rates.items()}
  chosen = _chosen(source / 'features', modalities, tuple(rates))
  paths = {name: _files(source / 'features' / name, clips, missing, elsewhere) for name in chosen}
  if paths:
    for clip in clips:
      if not any(clip in of for of in paths.values()):
        raise UserError(f'{source / "features"}: clip {clip!r} has no file in {" or ".join(paths)}; '
                        'expected one at least')  # fmt: skip
  widths = {name: features.load_array(next(iter(of.values()))).shape[1] for name, of in paths.items()}
  return Clips(paths, widths, {name: given[name] for name in chosen})


def rate(name: str, value: str | float) -> float:
  """Frames per second, above 0."""
  try:
    out = float(value)
  except (TypeError, ValueError):
    out = math.nan
  if not 0 < out < math.inf:
    raise UserError(f'option {name}: {value!r}, expected frames per second, above 0')
  return out


def _chosen(root: Path, wanted: str | None, known: Sequence[str]) -> tuple[str, ...]:
  """The modalities to read, in the order of those that are known."""
  if wanted == 'none':
    return ()
  if wanted is not None:
    names = wanted.split(',')
    for name in names:
      if name not in known:
        raise unknown('value of the option modalities', name, (*known, 'none'))
      if not (root / name).is_dir():
        raise UserError(f'{root / name}: no such folder; expected {name}/<clip>.npy, or another option modalities')
    return tuple(name for name in known if name in names)
  if not root.exists():
    return ()
  for path in sorted(root.iterdir()):  # what has another name would go unread and unnoticed
    if not path.name.startswith('.') and path.name not in known:
      raise unknown(f'folder or file in {root}:', path.name, known)
  present = tuple(name for name in known if (root / name).is_dir())
  if not present:
    raise UserError(f'{root}: no folder {" or ".join(known)} in it; fill it, or give option modalities=none')
  return present


def _files(folder: Path, clips: Collection[str], missing: str, elsewhere: Callable[[str], bool]) -> dict[str, Path]:
  """clip -> its file in one folder."""
  stems = {p.stem for p in folder.iterdir() if p.suffix in features.SUFFIXES and not p.name.startswith('.')}
  known = set(clips)
  strange = sorted(name for name in stems - known if not elsewhere(name))
  if strange:
    raise UserError(f'{folder}: {strange[0]!r} is no clip of the corpus ({len(strange)} such files); '
                    'rename or remove them')  # fmt: skip
  if not stems & known:
    raise UserError(f'{folder}: no feature files; expected <clip>.npy, .npz or .csv')
  return {clip: features.find(folder, clip) for clip in clips if missing == 'error' or clip in stems}
