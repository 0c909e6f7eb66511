"""What a recording brings besides its labels: features at 25 Hz, or sound in frames of 40 ms.

  features/<name>.npy|npz|csv    `audio` [T, D], see affectjax.data.features; row i belongs to [0.04 i, 0.04 (i + 1)) s
  <folder>/<name>.wav            `waveform` [T, 640]: PCM of 16, 24 or 32 bit or 32-bit float, one channel, 16 kHz;
                                 scaled to [-1, 1], a last frame that is not full is left out

Labels, features and sound of a recording may differ by 0.5 s in length; the common length is used.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features as feature_files
from affectjax.data import sound as wav_files
from affectjax.data import traces

SAMPLE_RATE, SAMPLES = 16000, 640
TOLERANCE_S = 0.5
MODALITIES = ('audio', 'waveform')


@dataclasses.dataclass(frozen=True)
class Streams:
  """The files of a corpus.

  Attributes:
    features: recording -> feature file; empty without features.
    wavs: recording -> wav file; empty without sound.
    width: D of the features.
    resample: whether sound at another rate is brought to 16 kHz.
  """

  features: Mapping[str, Path]
  wavs: Mapping[str, Path]
  width: int
  resample: bool

  @property
  def modalities(self) -> dict[str, int]:
    """Name -> width, of those there are."""
    return {**({'audio': self.width} if self.features else {}), **({'waveform': SAMPLES} if self.wavs else {})}

  @property
  def files(self) -> list[Path]:
    """All files; a preparation that was interrupted goes on only if they are unchanged."""
    return [*self.features.values(), *self.wavs.values()]

  def read(self, name: str, frames: int, span: tuple[float, float | None] = (0.0, None)) -> dict[str, np.ndarray]:
    """Every modality [T, D] of a recording, T the length all have, at most `frames`.

    Args:
      name: of the recording.
      frames: labels it has.
      span: of the sound that belongs to it, s.

    Raises:
      UserError: lengths that differ by more than 0.5 s, and whatever is wrong with the files.
    """
    streams = {}
    if self.features:
      path = self.features[name]
      streams['audio'] = feature_files.load_array(path, width=self.width)
      _refuse_other_length(path, name, len(streams['audio']), frames)
    if self.wavs:
      path = self.wavs[name]
      streams['waveform'] = framed(read_wav(path, *span, resample=self.resample))
      _refuse_other_length(path, name, len(streams['waveform']), frames)
    shortest = min([frames, *map(len, streams.values())])
    if not shortest:
      raise UserError(f'{name}: nothing is left of it at the common length; expected a frame or more')
    return {k: x[:shortest] for k, x in streams.items()}


def find(source: Path, names: Mapping[str, str], folders: Iterable[str], wanted: str | None, resample: str) -> Streams:
  """The feature and wav files of recordings.

  Args:
    source: the corpus.
    names: recording -> how its wav is called, without suffix.
    folders: where wavs may lie, below `source`.
    wanted: option `modalities`, comma separated; None for whatever is there.
    resample: option `resample`, 'true' or 'false'.

  Raises:
    UserError: neither is there, what is wanted is not, or a recording lacks its file.
  """
  traces.choice('resample', resample, ('true', 'false'))
  chosen = MODALITIES if wanted is None else tuple(wanted.split(','))
  for name in chosen:
    if name not in MODALITIES:
      raise unknown('value of the option modalities', name, MODALITIES)
  sound = next((source / f for f in folders if (source / f).is_dir()), None)
  present = {'audio': (source / 'features').is_dir(), 'waveform': sound is not None}
  places = {'audio': 'features', 'waveform': ' or '.join(folders)}
  missing = [m for m in chosen if not present[m]]
  if missing and (wanted is not None or len(missing) == len(chosen)):
    raise UserError(f'{source}: no folder {" and no folder ".join(places[m] for m in missing)}; expected '
                    'features/<recording>.npy (25 Hz) or wav files there')  # fmt: skip
  arrays, wavs, width = {}, {}, 0
  if 'audio' in chosen and present['audio']:
    arrays = {name: feature_files.find(source / 'features', name) for name in names}
    width = feature_files.load_array(next(iter(arrays.values()))).shape[1]
  if 'waveform' in chosen and sound is not None:
    wavs = {name: sound / f'{stem}.wav' for name, stem in names.items()}
    for path in wavs.values():
      if not path.is_file():
        raise UserError(f'{path}: no such file; every recording needs its sound, or give option modalities=audio')
  return Streams(arrays, wavs, width, resample == 'true')


def _refuse_other_length(path: Path, name: str, count: int, frames: int) -> None:
  if abs(count - frames) > TOLERANCE_S * traces.RATE:
    raise UserError(f'{path}: {count} frames ({count / traces.RATE:.2f} s), the ratings of {name} have {frames} '
                    f'({frames / traces.RATE:.2f} s); lengths may differ by {TOLERANCE_S} s')  # fmt: skip


# Sound


def framed(x: np.ndarray) -> np.ndarray:
  """Samples [N] as whole frames [N // 640, 640]."""
  return x[: len(x) // SAMPLES * SAMPLES].reshape(-1, SAMPLES)


def read_wav(path: Path, start: float = 0.0, end: float | None = None, *, resample: bool = False) -> np.ndarray:
  """Samples [N] float32 at 16 kHz of a wav file with one channel, from `start` to `end` seconds or where it ends.

  Raises:
    UserError: no wav file, another encoding, rate or number of channels, or cut off.
  """
  header = wav_files.header(path)
  if header.channels != 1:
    raise UserError(f'{path}: {header.channels} channels, expected one; convert it: ffmpeg -i IN -ac 1 OUT')
  if header.rate != SAMPLE_RATE and not resample:
    raise UserError(f'{path}: {header.rate} samples per second, expected {SAMPLE_RATE}; give option resample=true')
  first = min(round(start * header.rate), header.samples)
  last = header.samples if end is None else min(max(round(end * header.rate), first), header.samples)
  return wav_files.resampled(wav_files.samples(path, header, first, last)[:, 0], header.rate, SAMPLE_RATE)
