"""Wav files, read without further packages: PCM of 8 to 32 bit or floats, any rate, any number of channels."""

import math
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from affectjax.common.errors import UserError

_KINDS = {  # (format, bits) -> how samples are stored
  (1, 8): 'u1', (1, 16): '<i2', (1, 24): 'u1', (1, 32): '<i4', (3, 32): '<f4', (3, 64): '<f8',
}  # fmt: skip
_HEAD = 64 * 1024  # bytes within which the sound begins
_LOUDEST = 2.0  # floats far beyond [-1, 1] are no samples of that scale
CONVERT = 'convert it: ffmpeg -i IN -ac 1 -ar 16000 OUT.wav'


class Header(NamedTuple):
  """The form of the samples of a wav file, from its beginning."""

  kind: int  # 1 PCM, 3 floats
  bits: int
  channels: int
  rate: int  # Hz
  offset: int  # of the first sample in the file, bytes
  size: int  # bytes

  @property
  def samples(self) -> int:
    """Number of samples per channel."""
    return self.size // (self.channels * self.bits // 8)


def header(path: Path) -> Header:
  """Reads the beginning of a wav file and checks that all its sound is there.

  Raises:
    UserError: in one line, for a file that is missing, damaged, cut off, empty or of another kind.
  """
  try:
    with open(path, 'rb') as f:
      head = f.read(_HEAD)
      return _parse(head, os.fstat(f.fileno()).st_size)
  except (OSError, ValueError, struct.error) as e:
    raise _unreadable(path, e) from e


def read(path: Path, rate: int) -> np.ndarray:
  """All of a wav file as one channel.

  Args:
    path: of the file; several channels are averaged.
    rate: the wanted number of samples per second; others are resampled by a polyphase filter.

  Returns:
    [N] float32, full scale 1.

  Raises:
    UserError: as `header`, and for samples that are not finite or no sound of full scale 1.
  """
  head = header(path)
  x = samples(path, head, 0, head.samples).mean(1, dtype=np.float32)  # [N]
  return resampled(x, head.rate, rate)


def samples(path: Path, head: Header, first: int, last: int) -> np.ndarray:
  """Samples `first` to before `last` of a file with that header, [last - first, channels] float, full scale 1."""
  width = head.channels * head.bits // 8
  try:
    with open(path, 'rb') as f:
      f.seek(head.offset + first * width)
      x = _decode(f.read((last - first) * width), head)
  except (OSError, ValueError) as e:
    raise _unreadable(path, e) from e
  fine = np.abs(x) <= _LOUDEST
  if not fine.all():
    raise UserError(f'{path}: a sample is {x[~fine][0]:g}, expected sound within [-1, 1]; {CONVERT}')
  return x.reshape(-1, head.channels)


def resampled(x: np.ndarray, rate: int, wanted: int) -> np.ndarray:
  """Samples [N] at another rate, float32, by a polyphase filter."""
  if rate != wanted:
    from scipy import signal

    common = math.gcd(rate, wanted)
    x = signal.resample_poly(x, wanted // common, rate // common)
  return x.astype(np.float32, copy=False)


def _unreadable(path: Path, e: Exception) -> UserError:
  if isinstance(e, FileNotFoundError):
    return UserError(f'{path}: no such file')
  said = e.strerror if isinstance(e, OSError) else e
  return UserError(f'{path}: cannot be read as a wav file (damaged or of another kind): {said}')


def _parse(head: bytes, file_size: int) -> Header:
  """ValueError if that is not to be had."""
  if head[:4] != b'RIFF' or head[8:12] != b'WAVE':
    raise ValueError('it does not begin as one does')
  at, form = 12, None
  while at + 8 <= len(head):
    name, size = head[at : at + 4], struct.unpack('<I', head[at + 4 : at + 8])[0]
    at += 8
    if name == b'fmt ':
      kind, channels, rate, _, _, bits = struct.unpack('<HHIIHH', head[at : at + 16])
      if kind == 0xFFFE:  # the kind stands further on
        kind = struct.unpack('<H', head[at + 24 : at + 26])[0]
      form = kind, bits, channels, rate
    elif name == b'data':
      if form is None or form[:2] not in _KINDS or not form[2] or not form[3]:
        shown = 'missing' if form is None else f'format {form[0]}, {form[1]} bit, {form[2]} channels, {form[3]} Hz'
        raise ValueError(f'its format is {shown}; expected PCM of 8 to 32 bit or floats; {CONVERT}')
      if at + size > file_size:
        raise ValueError(f'it is cut off: {file_size - at} of {size} bytes of sound')
      out = Header(*form, at, size)
      if not out.samples:
        raise ValueError('it holds no sound')
      return out
    at += size + size % 2
  raise ValueError('no sound found in it')


def _decode(raw: bytes, head: Header) -> np.ndarray:
  """Interleaved samples as floats, full scale 1."""
  x = np.frombuffer(raw, _KINDS[head.kind, head.bits])
  if head.kind == 3:
    return x
  if head.bits == 8:  # stored without sign
    return (x.astype(np.float32) - 128) / 128
  if head.bits == 24:  # three bytes as the upper three of four
    x = np.concatenate([np.zeros((len(x) // 3, 1), np.uint8), x.reshape(-1, 3)], 1).reshape(-1).view('<i4')
  return (x / (2**15 if head.bits == 16 else 2**31)).astype(np.float32)
