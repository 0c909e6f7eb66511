"""studyforrest: a whole film with low-level features and twelve observers' marks of portrayed emotions.

Papers: A. Labs et al., "Portrayed emotions in the movie 'Forrest Gump'", F1000Research 4:92, 2015 (observers);
C. O. Haeusler, M. Hanke, F1000Research 5:2273, 2016 (cuts and locations).
Licence: CC0 (observers) and PDDL (features); cite the papers.

Layouts, found by themselves in `source`:
  clones   studyforrest-data-confoundsannotation/annotation/{audio,visual}/fg_{av_ger,ad}_seg<0..7>_<name>.tsv
           studyforrest-paper-emotionannotation/data/raw/{av1o01..av1o09,ao1o01..ao1o03}.csv
           `source` holds both folders, or is one of them with the other beside it
  pack     features_25hz.npz and raw/*.csv

One example per second of film (7086), one split `all`. The eight film segments, as shown in the scanner, are the
groups: neighbouring seconds are alike, so never split at random. A second belongs to the segment its middle lies in.

  audio [25, 2]      rms, left-right difference; of the film sound, or with option audio=ao of the audio description,
                     whose last 1.2 s do not exist (masked)
  visual [25, 148]   brightness: mean, left-right, up-down; change to the frame before; 144 bits of perceptual hash
  ratings [1, 12, 2] valence, arousal per observer: HIGH = POS = +1, LOW = NEG = -1, averaged over the episodes that
                     touch the second [s, s + 1); NaN and masked where the observer marked nothing, which is not neutral
  valence, arousal   the mean over observers who marked something; NaN if none did
  votes [22]         how many observers named the emotion in some episode of that second
  votes_audiovisual [22], votes_audio [22]   of the 9 who saw and heard the film, of the 3 who only heard its audio
                     description; together they are `votes`
  emotion            the one most of them named; -1 on a tie or none
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.corpus import Reading
from affectjax.labels import raters

VERSION = '1.1.0'
SECONDS = 7086
RATE = 25
STARTS = (0.0, 886.0, 1752.08, 2612.16, 3572.2, 4480.28, 5342.36, 6410.44, 7086.0)  # s, film time; the last is the end
SOUNDS = {'av': 'fg_av_ger', 'ao': 'fg_ad'}  # the film as seen and heard, the audio description
AUDIO = ('rms', 'lrdiff')
VISUAL = {'brmean': 'brmean', 'brlr': 'brlr', 'brud': 'brud', 'normdiff': 'norm_diff'}  # name of file and of column
HASH_BITS = 144
OBSERVERS = (*(f'av1o{i:02d}' for i in range(1, 10)), *(f'ao1o{i:02d}' for i in range(1, 4)))
CONDITIONS = {'votes_audiovisual': 'av', 'votes_audio': 'ao'}  # whose votes, by the beginning of their names
EMOTIONS = (
  'ADMIRATION', 'ANGERRAGE', 'COMPASSION', 'CONTEMPT', 'DISAPPOINTMENT', 'FEAR', 'FEARSCONFIRMED', 'GLOATING',
  'GRATIFICATION', 'GRATITUDE', 'HAPPINESS', 'HAPPYFOR', 'HATE', 'HOPE', 'LOVE', 'PRIDE', 'RELIEF', 'REMORSE',
  'RESENTMENT', 'SADNESS', 'SATISFACTION', 'SHAME',
)  # fmt: skip
_CONFOUNDS = 'studyforrest-data-confoundsannotation'
_EMOTIONS = 'studyforrest-paper-emotionannotation'
_SHORT = 2 * RATE  # how many frames the audio description may lack at the end of the film


@dataclasses.dataclass(frozen=True)
class Labels:
  """What the observers marked, per second.

  Attributes:
    valence, arousal: [R, S] float64 in [-1, 1]; 0 where nothing is marked.
    active: [R, S] running episodes.
    emotions: [R, S, K] episodes that name the emotion.
  """

  valence: np.ndarray
  arousal: np.ndarray
  active: np.ndarray
  emotions: np.ndarray


def read(source: Path, *, audio: str = 'av') -> Reading:
  """The film as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    audio: 'av' for the sound of the film, 'ao' for that of the audio description.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  if audio not in SOUNDS:
    raise unknown('value of the option audio', audio, SOUNDS)
  pack = source / 'features_25hz.npz'
  if pack.is_file():
    raw, files = source / 'raw', [pack]
    sound, light, bits = _read_pack(pack, audio)
  else:
    confounds, raw = _clones(source)
    sound, light, bits, files = _read_clone(confounds, audio)
  paths = _observer_files(raw)
  labels = read_labels(paths)
  sound_mask = _sound_mask(sound, audio)

  def example(split: str, second: int) -> dict[str, Any]:
    frames = slice(second * RATE, (second + 1) * RATE)
    segment = f'seg{np.searchsorted(STARTS, second + 0.5, side="right") - 1}'
    hashes = np.unpackbits(bits[frames], axis=1).astype(np.float32)  # [25, 144]
    return {
      'id': f'{segment}-{second:05d}',
      'group': segment,
      'item': segment,
      'audio': sound[frames],
      'audio_mask': sound_mask[frames],
      'visual': np.concatenate([light[frames], hashes], axis=1),
      **_label(labels, second),
    }

  return Reading(_meta(audio), {'all': range(SECONDS)}, example, [*files, *paths])


def _meta(audio: str) -> dict[str, Any]:
  bits = [f'phash_{i}' for i in range(HASH_BITS)]
  return {
    'modalities': {'audio': len(AUDIO), 'visual': len(VISUAL) + HASH_BITS},
    'rate_hz': {'audio': float(RATE), 'visual': float(RATE)},
    'attributes': ['valence', 'arousal'],
    'emotions': list(EMOTIONS),
    'labels': 'per second: each observer +1/-1 averaged over running episodes, then the mean over observers who '
    'marked any; votes count observers, emotion is their plurality',
    'licence': 'CC0 (observers), PDDL (features)',
    'groups': 'film segments',
    'raters': list(OBSERVERS),
    'conditions': [o[:2] for o in OBSERVERS],
    'fixed': list(CONDITIONS),
    'sound': audio,
    'columns': {'audio': list(AUDIO), 'visual': [*VISUAL.values(), *bits]},
    'segment_starts_s': list(STARTS),
  }


def _label(labels: Labels, second: int) -> dict[str, Any]:
  active = labels.active[:, second] > 0  # [R]
  ratings = np.stack([labels.valence[:, second], labels.arousal[:, second]], axis=-1)  # [R, 2]
  mask = np.repeat(active[:, None], 2, axis=1)
  mean = raters.masked_mean(ratings, mask)
  named = labels.emotions[:, second] > 0  # [R, K]
  votes = named.sum(0)  # [K]
  return {
    'ratings': np.where(mask, ratings, np.nan)[None],
    'ratings_mask': mask[None],
    'valence': mean[0],
    'arousal': mean[1],
    'votes': votes.astype(np.float32),
    **{
      key: named[[o.startswith(start) for o in OBSERVERS]].sum(0).astype(np.float32)
      for key, start in CONDITIONS.items()
    },
    'emotion': np.asarray(raters.plurality(votes), np.int32),
  }


def _sound_mask(sound: np.ndarray, audio: str) -> np.ndarray:
  """False for the frames [N] that the audio description lacks at the end; NaN elsewhere is for the policy to treat."""
  mask = np.ones(len(sound), bool)
  if audio == 'ao':
    real = np.flatnonzero(~np.isnan(sound).all(1))
    end = real[-1] + 1 if len(real) else 0
    if len(sound) - end <= _SHORT:
      mask[end:] = False
  return mask


# Labels


def read_labels(paths: Sequence[Path]) -> Labels:
  """Seconds from episodes: second s is covered by an episode if [start, end) touches [s, s + 1).

  Args:
    paths: the files of the observers.
  """
  shape = (len(paths), SECONDS)
  valence, arousal, active = np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
  emotions = np.zeros((*shape, len(EMOTIONS)), int)
  names = ('start', 'end', 'valence', 'arousal', 'emotion')
  for r, path in enumerate(paths):
    header, rows = features.load_rows(path, columns=names)
    if not rows:
      raise UserError(f'{path}: no episodes; expected those of observer {path.stem!r}')
    at = [header.index(n) for n in names]
    for i, row in enumerate(rows):
      where = f'{path}: line {i + 2}'
      start, end, positive, high, named = (row[j].strip() for j in at)
      seconds = _covered(where, start, end)
      valence[r, seconds] += _sign(where, 'valence', positive, 'POS', 'NEG')
      arousal[r, seconds] += _sign(where, 'arousal', high, 'HIGH', 'LOW')
      active[r, seconds] += 1
      for name in named.split():
        if name not in EMOTIONS:
          raise unknown(f'emotion in {where}:', name, EMOTIONS)
        emotions[r, seconds, EMOTIONS.index(name)] += 1
  count = np.maximum(active, 1)
  return Labels(valence / count, arousal / count, active, emotions)


def _covered(where: str, start: str, end: str) -> slice:
  try:
    s, e = float(start), float(end)
  except ValueError:
    raise UserError(f'{where}: episode from {start!r} to {end!r}, expected seconds') from None
  if not 0 <= s < e <= SECONDS:
    raise UserError(f'{where}: episode from {start} to {end} s, expected 0 <= start < end <= {SECONDS}')
  return slice(int(np.floor(s)), int(np.ceil(e)))


def _sign(where: str, name: str, value: str, plus: str, minus: str) -> int:
  if value not in (plus, minus):
    raise UserError(f'{where}: {name} is {value!r}, expected {plus} or {minus}')
  return 1 if value == plus else -1


def _observer_files(raw: Path) -> list[Path]:
  for path in sorted(raw.glob('*.csv')):
    if path.stem not in OBSERVERS:
      raise unknown(f'observer in {raw}: file', path.name, (f'{o}.csv' for o in OBSERVERS))
  return [_required(raw / f'{o}.csv') for o in OBSERVERS]


# Features


def _borders() -> np.ndarray:
  """First frames of the segments, and the number of frames of the film, [9]."""
  return np.rint(np.array(STARTS) * RATE).astype(int)


def _read_pack(path: Path, audio: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sound [N, 2], light [N, 4] and packed bits of the hash [N, 18], of the whole film."""
  n = _borders()[-1]
  wanted = {f'{audio}_audio': len(AUDIO), 'av_visual': len(VISUAL), 'av_phash_bits': HASH_BITS // 8}
  arrays = features.load_npz(path, [*wanted, 'segment_start_s'])
  if not np.array_equal(arrays['segment_start_s'], STARTS):
    raise UserError(f'{path}: segment_start_s {arrays["segment_start_s"].tolist()}, expected {list(STARTS)}')
  for name, width in wanted.items():
    x, kind = arrays[name], 'u' if name == 'av_phash_bits' else 'f'
    if x.shape != (n, width) or x.dtype.kind != kind:
      given, dtype = f'{x.dtype} {list(x.shape)}', 'uint8' if kind == 'u' else 'float32'
      raise UserError(f'{path}: {name} is {given}, expected {dtype} [{n}, {width}]')
  sound, light, bits = (arrays[name] for name in wanted)
  return sound.astype(np.float32), light.astype(np.float32), bits.astype(np.uint8)


def _read_clone(folder: Path, audio: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Path]]:
  """As `_read_pack`, and the files: segments are laid end to end at their start, what overlaps is cut."""
  borders = _borders()
  n = borders[-1]
  sound, light = np.full((n, len(AUDIO)), np.nan, np.float32), np.full((n, len(VISUAL)), np.nan, np.float32)
  bits = np.zeros((n, HASH_BITS // 8), np.uint8)
  files = []

  def values(room: str, segment: int, prefix: str, name: str, column: str) -> tuple[Path, list[str]]:
    path = _required(folder / 'annotation' / room / f'{prefix}_seg{segment}_{name}.tsv')
    files.append(path)
    lacking = _SHORT if prefix == SOUNDS['ao'] and segment == len(borders) - 2 else 0
    return path, _read_tsv(path, column, borders[segment + 1] - borders[segment], lacking)

  for segment, start in enumerate(borders[:-1]):
    for i, name in enumerate(AUDIO):
      x = _numbers(*values('audio', segment, SOUNDS[audio], name, name))
      sound[start : start + len(x), i] = x
    for i, (name, column) in enumerate(VISUAL.items()):
      x = _numbers(*values('visual', segment, SOUNDS['av'], name, column))
      light[start : start + len(x), i] = x
    x = _hashes(*values('visual', segment, SOUNDS['av'], 'phash', 'phash'))
    bits[start : start + len(x)] = x
  return sound, light, bits, files


def _read_tsv(path: Path, column: str, frames: int, lacking: int = 0) -> list[str]:
  """The first `frames` cells of a column, one per 0.04 s from 0; `lacking` may be missing, and more may follow."""
  names, rows = features.load_rows(path, '\t', columns=('onset', 'duration', column))
  onset, at = names.index('onset'), names.index(column)
  if len(rows) < frames - lacking:
    raise UserError(f'{path}: {len(rows)} frames, expected {frames - lacking} or more; the file may be cut off')
  for i, row in enumerate(rows[:frames]):
    if row[onset] != f'{i / RATE:.2f}':
      raise UserError(f'{path}: line {i + 2}: onset {row[onset]!r}, expected {i / RATE:.2f} (a frame lasts 0.04 s)')
  return [row[at] for row in rows[:frames]]


def _numbers(path: Path, cells: list[str]) -> np.ndarray:
  for i, cell in enumerate(cells):
    try:
      float(cell)
    except ValueError:
      raise UserError(f'{path}: line {i + 2}: {cell!r} is not a number') from None
  return np.array(cells, np.float64).astype(np.float32)


def _hashes(path: Path, cells: list[str]) -> np.ndarray:
  """Hexadecimal hashes as packed bits [N, 18] uint8."""
  out = bytearray()
  for i, cell in enumerate(cells):
    try:
      if len(cell) != HASH_BITS // 4:
        raise ValueError
      out += bytes.fromhex(cell)
    except ValueError:
      raise UserError(f'{path}: line {i + 2}: {cell!r}, expected a hash of {HASH_BITS // 4} hex digits') from None
  return np.frombuffer(bytes(out), np.uint8).reshape(len(cells), HASH_BITS // 8)


# Files


def _clones(source: Path) -> tuple[Path, Path]:
  """The clone of the features and the folder of the observers' files."""
  roots = {}
  for name, inside in ((_CONFOUNDS, 'annotation'), (_EMOTIONS, 'data/raw')):
    places = (source / name, source, source.resolve().parent / name)
    roots[name] = next((p for p in places if (p / inside).is_dir()), None)
  missing = [name for name, place in roots.items() if place is None]
  if missing:
    raise UserError(
      f'{source}: found neither features_25hz.npz nor {" and ".join(missing)}; expected clones of {_CONFOUNDS} '
      f'and {_EMOTIONS} side by side'
    )
  return roots[_CONFOUNDS], roots[_EMOTIONS] / 'data' / 'raw'


def _required(path: Path) -> Path:
  if path.is_symlink() and not path.exists():
    raise UserError(f'{path}: its content was not fetched; run datalad get in the clone')
  if not path.is_file():
    raise UserError(f'{path}: no such file')
  return path
