"""Small folders of features and of sound with a table of labels, and Emo-DB in small; all of random numbers."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from affectjax.data.corpora import emodb as adapter
from tests.helpers import rated

WIDTHS = {'audio': 4, 'visual': 3}
IDS = [f'clip{i:02d}' for i in range(12)]
EMOTIONS = ('joy', 'anger', 'calm')


def frames(name: str, modality: str = 'audio', width: int | None = None) -> np.ndarray:
  """[T, D] float32 of an id."""
  rng = np.random.default_rng([ord(c) for c in name + modality])
  return rng.normal(size=(rng.integers(4, 10), width or WIDTHS[modality])).astype(np.float32)


def save(path: Path, x: np.ndarray) -> None:
  """As the suffix says."""
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.npy':
    np.save(path, x)
  elif path.suffix == '.npz':
    np.savez(path, x=x)
  else:
    lines = [','.join(f'f{i}' for i in range(x.shape[1])), *(','.join(map(repr, row)) for row in x.tolist())]
    path.write_text('\n'.join(lines) + '\n')


def labels(folder: Path, split: bool = False) -> Path:
  """labels.csv: an emotion that is not known in line 4, a valence in line 5."""
  lines = ['id,group,item,emotion,valence,arousal,pulse' + (',split' if split else '')]
  for i, name in enumerate(IDS):
    emotion, valence = '' if i == 2 else EMOTIONS[i % 3], '' if i == 3 else f'{i / 6 - 1:.3f}'
    cells = [name, f'p{i % 4}', f'film{i % 2}', emotion, valence, f'{0.5 - i / 20:.3f}', f'{60 + i}']
    lines.append(','.join([*cells, *(['train' if i < 8 else 'dev' if i < 10 else 'test'] if split else [])]))
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'labels.csv').write_text('\n'.join(lines) + '\n')
  return folder / 'labels.csv'


def one(folder: Path, kind: str = '.npy', split: bool = False) -> Path:
  """One modality, files beside the table."""
  for name in IDS:
    save(folder / f'{name}{kind}', frames(name))
  labels(folder, split)
  return folder


def two(folder: Path) -> Path:
  """Two modalities."""
  for modality in WIDTHS:
    for name in IDS:
      save(folder / modality / f'{name}.npy', frames(name, modality))
  labels(folder)
  return folder


def sound(folder: Path, names: Mapping[str, dict] | None = None) -> Path:
  """Wavs of .2 to .31 s; `names` -> how it is written."""
  for i, name in enumerate(IDS):
    how = (names or {}).get(name, {})
    rate = how.get('rate', 16000)
    channels = how.get('channels', 1)
    rated.wav(folder / f'{name}.wav', np.repeat(0.3 * rated.sound(0.2 + i / 100, i, rate), channels), **how)
  labels(folder)
  return folder


# Emo-DB


RECORDINGS = [f'{speaker}{spoken}{letter}{version}' for speaker in ('03', '08', '16')
              for spoken, version in (('a01', 'a'), ('b10', 'b')) for letter in 'FNTW']  # fmt: skip


def shares(name: str) -> tuple[float, float]:
  """The two percentages."""
  rng = np.random.default_rng([ord(c) for c in name])
  return float(rng.integers(16, 21) * 5), float(rng.integers(9, 21) * 5)


def emodb_pack(folder: Path) -> Path:
  """Emo-DB as the pack has it."""
  folder.mkdir(parents=True)
  recordings = {name: frames(name, width=5).astype(np.float16) for name in RECORDINGS}
  offsets = np.cumsum([0, *map(len, recordings.values())])
  files, columns = np.array([f'{name}.wav' for name in recordings]), np.array([f'd{i}' for i in range(5)])
  np.savez(folder / 'egemaps_lld_10ms.npz', lld=np.concatenate([*recordings.values()]), offsets=offsets, files=files,
           lld_names=columns)  # fmt: skip
  rows = ['index,file,speaker,gender,age,sentence,emotion,recognised_pct,natural_pct,duration_s,n_frames']
  for i, (name, x) in enumerate(recordings.items()):
    gender, age = adapter.SPEAKERS[name[:2]]
    fields = int(name[:2]), gender, age, name[2:5], adapter.LETTERS[name[5]], *shares(name)
    rows.append(','.join(map(str, (i, f'{name}.wav', *fields, len(x) / 100, len(x)))))
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n')
  return folder


def emodb_folder(folder: Path, more: tuple[str, ...] = ()) -> Path:
  """The same as distributed, with files of features; `more` recordings besides."""
  for name in (*RECORDINGS, *more):
    save(folder / 'features' / f'{name}.npy', frames(name, width=5).astype(np.float16))
    rated.wav(folder / 'wav' / f'{name}.wav', rated.sound(0.1, 0))
  lines = ['Nr.\tSatz\terkannt\tnatuerlich']
  for i, name in enumerate(RECORDINGS):
    cells = [f'{x:.2f}'.replace('.', ',') for x in shares(name)]
    lines.append('\t'.join(f'{cell}\xa0\xa0' for cell in (f'{i + 1}', f'{name}.wav', *cells)))
  (folder / 'erkennung.txt').write_bytes('\n'.join(lines).encode('latin-1'))
  return folder
