"""Acoustic features of wav files: eGeMAPSv02, 25 low-level descriptors every 10 ms, by openSMILE (extra `extract`).

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective Computing",
IEEE Transactions on Affective Computing 7(2), 2016, doi 10.1109/TAFFC.2015.2457417. openSMILE is free for research and
private use and not for commercial products: see its licence.

A wav is mixed to one channel, resampled to 16 kHz and described as a whole; on such sound the packs of Emo-DB and
RAVDESS come out again, to the rounding of their float16. Frames are kept in a folder as they are made, so that an
interrupted extraction goes on:

    <folder>/<id>.npy      [T, 25] float32
    <folder>/notes.jsonl   what made them, then one line per file that is whole: the wav it is of, its size and time
"""

import contextlib
import functools
import importlib.metadata
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import sound

RATE_HZ = 100.0
SAMPLE_RATE = 16000  # Hz
SHORTEST, _HOP = 960, 160  # samples: the longest window, and 10 ms
COLUMNS = (
  'Loudness_sma3', 'alphaRatio_sma3', 'hammarbergIndex_sma3', 'slope0-500_sma3', 'slope500-1500_sma3',
  'spectralFlux_sma3', 'mfcc1_sma3', 'mfcc2_sma3', 'mfcc3_sma3', 'mfcc4_sma3', 'F0semitoneFrom27.5Hz_sma3nz',
  'jitterLocal_sma3nz', 'shimmerLocaldB_sma3nz', 'HNRdBACF_sma3nz', 'logRelF0-H1-H2_sma3nz', 'logRelF0-H1-A3_sma3nz',
  'F1frequency_sma3nz', 'F1bandwidth_sma3nz', 'F1amplitudeLogRelF0_sma3nz', 'F2frequency_sma3nz',
  'F2bandwidth_sma3nz', 'F2amplitudeLogRelF0_sma3nz', 'F3frequency_sma3nz', 'F3bandwidth_sma3nz',
  'F3amplitudeLogRelF0_sma3nz',
)  # fmt: skip
_NOTES = 'notes.jsonl'
_WHAT = 'openSMILE eGeMAPSv02 low-level descriptors'
_CHUNK = 4  # files that a process is given at once
_NPY_HEAD = 128  # bytes before the values of such an array


def check(path: Path) -> None:
  """Refuses a wav, by its beginning, that cannot be described."""
  head = sound.header(path)
  if head.samples * SAMPLE_RATE < SHORTEST * head.rate:
    raise UserError(f'{path}: {head.samples / head.rate:.3f} s of sound, expected {SHORTEST / SAMPLE_RATE:g} s or more')


def describe(x: np.ndarray) -> np.ndarray:
  """The descriptors [T, 25] float32 of samples [N] in [-1, 1] at 16 kHz, N >= 960; louder ones are clipped.

  Raises:
    UserError: no openSMILE, or one that lost frames.
  """
  smile = _smile()
  with _uninterrupted():
    # openSMILE takes 16 bits, and what is beyond them would come out at the other end
    y = smile(np.clip(x, -1, 1 - 2**-15)[None], SAMPLE_RATE)[0]  # [25, T]
  frames = (len(x) - SHORTEST) // _HOP + 2
  if y.shape[1] != frames:
    raise UserError(f'openSMILE gave {y.shape[1]} frames of {len(x)} samples, expected {frames}; try again')
  return np.ascontiguousarray(y.T, np.float32)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
  """Puts an interruption by hand off: openSMILE hands each frame to Python, where it would be lost with that frame."""
  before = signal.getsignal(signal.SIGINT)
  if before is None or threading.current_thread() is not threading.main_thread():  # it comes to the main thread only
    yield
    return
  caught = []
  signal.signal(signal.SIGINT, lambda *args: caught.append(args))
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, before)
  if caught:
    signal.raise_signal(signal.SIGINT)


@functools.cache
def _smile() -> Any:
  try:
    import opensmile
  except ImportError as e:
    raise UserError(
      f"wav files need openSMILE, which cannot be imported ({e}): python -m pip install 'affectjax[extract]' (free "
      'for research, not for commercial products); or give a folder of features'
    ) from e
  out = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
  if tuple(out.feature_names) != COLUMNS:
    raise UserError('openSMILE names other descriptors than expected; install opensmile 2.5 or 2.6')
  return out


class Extracted(NamedTuple):
  """The result of describing wav files.

  Attributes:
    paths: id -> file of its frames.
    faults: a line for every wav that could not be described.
    made: how many were described now; the others had been before.
  """

  paths: dict[str, Path]
  faults: list[str]
  made: int


def extract(
  wavs: Mapping[str, Path], folder: Path, *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> Extracted:
  """Describes wav files, those that `folder` does not hold yet.

  Args:
    wavs: id -> file.
    folder: where frames are kept; made if it is not there. One extraction at a time may use it.
    workers: processes; with 1 it is done here.
    progress: called with (done, total) after every file.

  Raises:
    UserError: no openSMILE, a folder that cannot be written, a process that died.
  """
  progress = progress or (lambda *_: None)
  paths = {name: folder / f'{name}.npy' for name in wavs}
  try:
    kept = _kept(wavs, folder)
    todo = [(name, wavs[name], path) for name, path in paths.items() if name not in kept]
    if not todo:
      return Extracted(paths, [], 0)
    _smile()  # without it nothing is begun
    faults, done = [], len(kept)
    progress(done, len(wavs))
    with _notes(folder) as notes:
      for name, frames, fault in _work(todo, workers):
        if fault is None:
          print(json.dumps({'id': name, **_identity(wavs[name]), 'frames': frames}), file=notes, flush=True)
        else:
          faults.append(fault)
        done += 1
        progress(done, len(wavs))
  except OSError as e:
    raise UserError(f'{folder}: cannot write ({e}); check space and permissions') from e
  return Extracted(paths, faults, len(todo) - len(faults))


def _identity(path: Path) -> dict[str, Any]:
  stat = path.stat()
  return {'wav': str(path.resolve()), 'size': stat.st_size, 'mtime_ns': stat.st_mtime_ns}


def _kept(wavs: Mapping[str, Path], folder: Path) -> set[str]:
  """The ids whose frames are there and still of their wav; what other descriptors made is thrown away."""
  path, version = folder / _NOTES, _version()
  lines = path.read_text('utf-8', 'replace').splitlines() if path.is_file() else []
  notes = [note for note in map(_parsed, lines) if note is not None]
  if not notes:
    if folder.exists() and any(p.name != _NOTES for p in folder.iterdir()):
      raise UserError(f'{folder}: holds other things than frames of ours, or its {_NOTES} is damaged; remove it')
    return set()
  if notes[0] != _made(version) and version is not None:
    shutil.rmtree(folder)
    return set()
  latest = {note['id']: note for note in notes[1:] if 'id' in note}
  return {name for name, wav in wavs.items() if name in latest and _still(latest[name], wav, folder / f'{name}.npy')}


@contextlib.contextmanager
def _notes(folder: Path) -> Iterator[TextIO]:
  """The notes, open for more lines; begins them if there are none."""
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / _NOTES
  begun = path.is_file() and any(map(_parsed, path.read_text('utf-8', 'replace').splitlines()))
  with open(path, 'a', encoding='utf-8') as f:
    print('' if begun else json.dumps(_made(_version())), file=f, flush=True)  # '' ends a line that was cut off
    yield f


def _made(version: str | None) -> dict[str, Any]:
  return {'made': _WHAT, 'opensmile': version}


def _still(note: Mapping[str, Any], wav: Path, frames: Path) -> bool:
  if any(note.get(key) != value for key, value in _identity(wav).items()):
    return False
  return frames.is_file() and frames.stat().st_size == _NPY_HEAD + note['frames'] * len(COLUMNS) * 4


def _parsed(line: str) -> dict[str, Any] | None:
  try:
    note = json.loads(line)
  except ValueError:
    return None
  return note if isinstance(note, dict) else None


def _version() -> str | None:
  try:
    return importlib.metadata.version('opensmile')
  except importlib.metadata.PackageNotFoundError:
    return None


# One file, here or in another process

_Task = tuple[str, Path, Path]  # id, wav, where its frames go
_Done = tuple[str, int, str | None]  # id, frames, what was wrong


def _one(task: _Task) -> _Done:
  name, wav, target = task
  try:
    check(wav)
    x = describe(sound.read(wav, SAMPLE_RATE))  # [T, 25]
  except UserError as e:
    return name, 0, str(e) if str(wav) in str(e) else f'{wav}: {e}'
  temporary = target.with_name(f'.{target.name}.tmp')
  with open(temporary, 'wb') as f:
    np.save(f, x)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, target)
  return name, len(x), None


def _work(tasks: Sequence[_Task], workers: int) -> Iterator[_Done]:
  if workers <= 1:
    yield from map(_one, tasks)
    return
  # processes of their own from the start: a fork would copy locks that threads of this one hold
  spawn = multiprocessing.get_context('spawn')
  pool = futures.ProcessPoolExecutor(min(workers, len(tasks)), spawn, _begin)
  with contextlib.ExitStack() as stack:
    stack.callback(pool.shutdown, cancel_futures=True)
    try:
      yield from pool.map(_one, tasks, chunksize=_CHUNK)
    except futures.process.BrokenProcessPool as e:
      raise UserError(f'a process that described wav files died ({e}); go on with the same command and '
                      '--workers=1, which shows at which file') from e  # fmt: skip


def _begin() -> None:
  """An interruption by hand is the parent's to handle, and without a parent there is nobody to work for."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
  connection.wait([parent.sentinel])
  os._exit(1)
