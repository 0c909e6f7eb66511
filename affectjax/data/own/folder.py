"""A folder of anybody's own features: feature files or wav files, one per id.

<source>/<id>.npy (.npz, .csv)              features of one modality, see affectjax.data.features
<source>/<id>.wav                           sound, described by affectjax.data.egemaps: modality `audio`, 100 Hz
<source>/<modality>/<id>.npy (..., .wav)    several modalities, named as their folders are
"""

import dataclasses
import math
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import egemaps, features

MODALITY, WAV = 'audio', '.wav'
_TAKEN = (  # what an example has besides its modalities
  'id', 'group', 'item', 'split', 'emotion', 'valence', 'arousal', 'dominance', 'ratings', 'votes', 'mask'
)  # fmt: skip
_NAME = re.compile(r'[a-z][a-z0-9_]*')


@dataclasses.dataclass(frozen=True)
class Files:
  """The files of a folder.

  Attributes:
    source: the folder.
    paths: modality -> id -> file; an id may lack some modalities, not all.
  """

  source: Path
  paths: Mapping[str, Mapping[str, Path]]

  @property
  def ids(self) -> list[str]:
    """All ids, those that lack a modality among them, sorted."""
    return sorted({name for of in self.paths.values() for name in of})

  @property
  def wavs(self) -> dict[str, Mapping[str, Path]]:
    """The modalities whose files are sound."""
    return {m: of for m, of in self.paths.items() if next(iter(of.values())).suffix.lower() == WAV}


def find(source: Path, modality: str | None = None, *, besides: Iterable[Path] = ()) -> Files:
  """The files of `source` in one of the layouts above.

  Args:
    source: the folder.
    modality: what its files are, if they lie in the folder itself; `audio` by default.
    besides: files that may lie there and are none of its features, such as the table.

  Raises:
    UserError: in one line: no files, two of one id, a mixture of kinds or layouts, a wrong name.
  """
  if not source.is_dir():
    raise UserError(f'{source}: {"a file" if source.exists() else "no such folder"}; expected a folder of features')
  known = {p.resolve() for p in besides}
  entries = [p for p in _listed(source) if not p.name.startswith('.') and p.resolve() not in known]
  flat, folders = [p for p in entries if p.is_file() and _is_ours(p)], [p for p in entries if p.is_dir()]
  if flat and folders:
    raise UserError(f'{source}: both files ({flat[0].name}) and folders ({folders[0].name}); expected the files of one '
                    'modality, or a folder per modality')  # fmt: skip
  if folders and modality is not None:
    raise UserError(f'{source}: modality {modality!r} was given, but there are folders, whose names are the '
                    f'modalities: {", ".join(p.name for p in folders)}; leave it out')  # fmt: skip
  if not flat and not folders:
    raise UserError(f'{source}: no feature files; expected <id>.npy, .npz, .csv or .wav, or a folder of them per '
                    'modality')  # fmt: skip
  places = {p.name: p for p in folders} or {MODALITY if modality is None else modality: source}
  for name in places:
    if not _NAME.fullmatch(name) or name in _TAKEN:
      raise UserError(f'{source}: modality {name!r}, expected another name, of small letters, digits and underscores')
  return Files(source, {m: _kind(p, [f for f in _listed(p) if f.resolve() not in known])
                        for m, p in places.items()})  # fmt: skip


def _listed(place: Path) -> list[Path]:
  try:
    return sorted(place.iterdir())
  except OSError as e:
    raise UserError(f'{place}: cannot be read ({e.strerror}); check its permissions') from e


def _is_ours(path: Path) -> bool:
  return path.suffix in features.SUFFIXES or path.suffix.lower() == WAV


def _kind(place: Path, entries: Sequence[Path]) -> dict[str, Path]:
  """id -> file in one folder, all features or all sound."""
  files = [p for p in entries if p.is_file() and _is_ours(p) and not p.name.startswith('.')]
  if not files:
    raise UserError(f'{place}: no feature files; expected <id>.npy, .npz, .csv or .wav')
  wavs = [p for p in files if p.suffix.lower() == WAV]
  if wavs and len(wavs) < len(files):
    other = next(p for p in files if p not in wavs)
    raise UserError(f'{place}: both sound ({wavs[0].name}) and features ({other.name}); expected one kind in a folder')
  out: dict[str, Path] = {}
  for path in files:
    if path.stem in out:
      raise UserError(f'{place}: {path.stem!r} has two files ({out[path.stem].name}, {path.name}), expected one; '
                      'delete the one that is not meant')  # fmt: skip
    out[path.stem] = path
  return out


def rates(given: str | float | None, files: Files) -> dict[str, float | None]:
  """Frames per second by modality, from what the user says of them.

  Args:
    given: 50 for the one modality, audio:50,visual:30 for several, `none` in place of a number for frames without a
      rate, such as words; wav files have 100 by themselves.
    files: of the folder.

  Returns:
    modality -> rate, None for frames without one, NaN if nobody said.
  """
  names, sounds = list(files.paths), files.wavs
  out = dict.fromkeys(names, math.nan)
  for part in [] if given is None else str(given).split(','):
    name, colon, text = part.rpartition(':')
    if not colon and len(names) > 1:
      raise UserError(f'rate_hz: {given!r}, expected a rate per modality, e.g. '
                      f'{",".join(f"{n}:50" for n in names if n not in sounds)}')  # fmt: skip
    name = name if colon else names[0]
    if name not in out:
      raise unknown('modality in rate_hz', name, names)
    if name in sounds:
      raise UserError(f'rate_hz: {given!r}, but descriptors of wav files ({name}) are 10 ms apart; leave it out')
    out[name] = None if text == 'none' else _rate(given, text)
  return {name: egemaps.RATE_HZ if name in sounds else rate for name, rate in out.items()}


def _rate(given: str | float, text: str) -> float:
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 < value < math.inf:
    raise UserError(f'rate_hz: {given!r}, expected frames per second, above 0, or none')
  return value


# What is in them


@dataclasses.dataclass(frozen=True)
class Extraction:
  """How wav files are described.

  Attributes:
    folder: keeps the descriptors, see `egemaps.extract`.
    workers: processes.
    progress: called with (done, total) as files are described.
    tell: called with a line for every wav that is damaged, before all of them are refused in one.
  """

  folder: Path
  workers: int = 1
  progress: Callable[[int, int], None] | None = None
  tell: Callable[[str], None] = lambda line: None


class Streams:
  """The features of every id.

  Attributes:
    widths: modality -> D.
    rates: modality -> frames per second, None for frames without a rate.
    columns: modality -> names of its features, if they are known.
  """

  def __init__(self, files: Files, rates: Mapping[str, float | None], extraction: Extraction):
    """Looks at the first file of every modality and at the beginning of every wav.

    Args:
      files: of the folder.
      rates: frames per second by modality, as the function `rates` gives them.
      extraction: of wav files.

    Raises:
      UserError: in one line, for files that are damaged.
    """
    self._files, self._sounds, self._extraction = files, files.wavs, extraction
    self._unsaid = {name for name, rate in rates.items() if rate is not None and math.isnan(rate)}
    self.rates = {name: None if name in self._unsaid else rate for name, rate in rates.items()}
    self._lock, self._described = threading.Lock(), {}
    self.widths: dict[str, int] = {}
    self.columns: dict[str, list[str]] = {}
    for name, of in files.paths.items():
      if name in self._sounds:
        self._refuse([fault for path in of.values() if (fault := _fault(path))], len(of))
        self.columns[name] = list(egemaps.COLUMNS)
        self.widths[name] = len(egemaps.COLUMNS)
        continue
      first = next(iter(of.values()))
      if all(path.suffix == '.csv' for path in of.values()):
        self.columns[name] = features.load_csv(first)[0]
      self.widths[name] = features.load_array(first).shape[1]

  def read(self, name: str) -> dict[str, Any]:
    """Every modality [T, D] float32 of an id; one it lacks is [1, D] of zeros, with its mask [1] and presence."""
    out = {}
    for modality, of in self._files.paths.items():
      if name not in of:
        out[modality] = np.zeros((1, self.widths[modality]), np.float32)
        out[f'{modality}_mask'], out[f'{modality}_present'] = np.zeros(1, bool), np.asarray(False)
      elif modality in self._sounds:
        out[modality] = features.load_array(self._frames(modality)[name], width=self.widths[modality])
      else:
        out[modality] = self._load(modality, of[name])
    return out

  def _load(self, modality: str, path: Path) -> np.ndarray:
    x = self._load_named(modality, path) if modality in self.columns else (
      features.load_array(path, width=self.widths[modality])
    )  # fmt: skip
    if len(x) > 1 and modality in self._unsaid:
      raise UserError(f'{path}: {len(x)} frames, and no rate of {modality} is known; give --rate_hz=<frames per '
                      'second>, or none in place of a number if they have no rate')  # fmt: skip
    return x

  def _load_named(self, modality: str, path: Path) -> np.ndarray:
    """Of a csv; the columns must be the same in all of them."""
    names, x = features.load_csv(path)
    wanted = self.columns[modality]
    if len(names) != len(wanted):
      raise UserError(f'{path}: {len(names)} features per frame, expected {len(wanted)}')
    for i, (a, b) in enumerate(zip(names, wanted, strict=True)):
      if a != b:
        raise UserError(f'{path}: column {i + 1} is {a!r}, expected {b!r} as in the first file of {modality}')
    return features.as_float32(path, x)

  def describe(self) -> None:
    """Describes all wav files; otherwise it is done, in the thread that asks, when the first of them is read."""
    with self._lock:
      for modality, of in self._sounds.items():
        if modality not in self._described:
          how = self._extraction
          extracted = egemaps.extract(of, how.folder / modality, workers=how.workers, progress=how.progress)
          self._refuse(extracted.faults, len(of))
          self._described[modality] = extracted.paths

  def _frames(self, modality: str) -> dict[str, Path]:
    if modality not in self._described:
      self.describe()
    return self._described[modality]

  def _refuse(self, faults: Sequence[str], total: int) -> None:
    if faults:
      for fault in faults:
        self._extraction.tell(fault)
      others = f'; {len(faults)} of {total} wav files are like that' if len(faults) > 1 else ''
      raise UserError(f'{faults[0]}{others}')


def _fault(path: Path) -> str | None:
  try:
    egemaps.check(path)
  except UserError as e:
    return str(e)
  return None
