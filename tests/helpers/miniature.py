"""Small sources in the layouts of real corpora, made of random numbers, and a corpus of no layout at all."""

import csv
import sys
import types
from pathlib import Path

import numpy as np

from affectjax.data import corpora
from affectjax.data.corpora import pyfeat_faces, studyforrest
from affectjax.data.corpus import Reading
from affectjax.data.store import opening, preparing, shards

STARTS = (0.0, 4.0, 8.08, 12.16, 16.2, 20.28, 24.36, 28.44, 32.0)  # s; eight short segments, borders off the second
SECONDS = 32


def shorten(monkeypatch) -> None:
  """Makes the film of studyforrest 32 s long."""
  monkeypatch.setattr(studyforrest, 'STARTS', STARTS)
  monkeypatch.setattr(studyforrest, 'SECONDS', SECONDS)


def film(seed: int = 0) -> dict[str, np.ndarray]:
  """Features of the short film as the pack names them."""
  rng, n = np.random.default_rng(seed), SECONDS * studyforrest.RATE
  return {
    'av_audio': rng.normal(size=(n, 2)).astype(np.float32),
    'ao_audio': rng.normal(size=(n, 2)).astype(np.float32),
    'av_visual': rng.normal(size=(n, 4)).astype(np.float32),
    'av_phash_bits': rng.integers(0, 256, (n, 18)).astype(np.uint8),
    'segment_start_s': np.array(STARTS),
  }


def observers(folder: Path, seed: int = 0) -> None:
  """A file of episodes per observer."""
  folder.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  for name in studyforrest.OBSERVERS:
    with open(folder / f'{name}.csv', 'w', newline='') as f:
      out = csv.writer(f)
      out.writerow('start end character arousal valence direction emotion oncue offcue'.split())
      for start in np.sort(rng.uniform(0, SECONDS - 4, 12)).round(1):
        named = ' '.join(rng.choice(studyforrest.EMOTIONS, rng.integers(0, 3), replace=False))
        signs = rng.choice(['HIGH', 'LOW']), rng.choice(['POS', 'NEG'])
        out.writerow([start, round(start + rng.uniform(0.5, 4), 1), 'FORREST', *signs, 'SELF', named, 'FACE', ''])


def pack(folder: Path) -> Path:
  """studyforrest as the pack has it."""
  observers(folder / 'raw')
  np.savez(folder / 'features_25hz.npz', **film())
  return folder


def clones(folder: Path, features: dict[str, np.ndarray] | None = None, segments: range = range(8)) -> Path:
  """studyforrest as the two public clones; a few frames of every file overlap the next segment."""
  features = film() if features is None else features
  if not (folder / studyforrest._EMOTIONS).exists() and features['av_audio'].shape[0] == SECONDS * 25:
    observers(folder / studyforrest._EMOTIONS / 'data' / 'raw')
  annotation = folder / studyforrest._CONFOUNDS / 'annotation'
  borders = np.rint(features['segment_start_s'] * studyforrest.RATE).astype(int)
  for room in ('audio', 'visual'):
    (annotation / room).mkdir(parents=True, exist_ok=True)
  for k in segments:
    rows = slice(borders[k], min(borders[k + 1] + 40, borders[-1]))
    for sound, prefix in studyforrest.SOUNDS.items():
      for i, name in enumerate(studyforrest.AUDIO):
        _tsv(annotation / 'audio' / f'{prefix}_seg{k}_{name}.tsv', name, features[f'{sound}_audio'][rows, i])
    for i, (name, column) in enumerate(studyforrest.VISUAL.items()):
      _tsv(annotation / 'visual' / f'fg_av_ger_seg{k}_{name}.tsv', column, features['av_visual'][rows, i])
    hashes = [row.tobytes().hex() for row in features['av_phash_bits'][rows]]
    _tsv(annotation / 'visual' / f'fg_av_ger_seg{k}_phash.tsv', 'phash', hashes)
  return folder


def _tsv(path: Path, column: str, values) -> None:
  while len(values) and not isinstance(values[-1], str) and np.isnan(values[-1]):
    values = values[:-1]  # what a file lacks at its end is not there at all
  cells = (v if isinstance(v, str) else f'{v:.9g}' for v in values)
  rows = (f'{i / studyforrest.RATE:.2f}\t0.04\t{cell}\n' for i, cell in enumerate(cells))
  path.write_text(f'onset\tduration\t{column}\n' + ''.join(rows))


def faces(frames: tuple[int, ...] = (4, 3, 5, 2), seed: int = 0) -> dict[str, np.ndarray]:
  """Arrays of pyfeat_faces; clip i + 1 has `frames[i]` frames."""
  rng, n = np.random.default_rng(seed), sum(frames)
  clip = np.repeat(np.arange(1, len(frames) + 1), frames).astype(np.int16)
  return {
    'clip': clip,
    'frame': np.concatenate([2 * np.arange(t) for t in frames]).astype(np.int32),
    'landmarks68': rng.uniform(200, 900, (n, 68, 2)).astype(np.float32),
    **{k: rng.uniform(size=(n, width)).astype(np.float32) for k, width in pyfeat_faces.PARTS.items()},
    'au_names': np.array([f'AU{i:02d}' for i in range(20)]),
    'blendshape_names': np.array([f'shape{i}' for i in range(52)]),
    'pred_emotion': rng.dirichlet(np.ones(7), n).astype(np.float32),
    'pred_emotion_names': np.array(['Neutral', 'Happy', 'Sad', 'Surprise', 'Fear', 'Disgust', 'Anger']),
    'pred_valence_arousal': rng.uniform(-1, 1, (n, 2)).astype(np.float32),
    'good_news': (clip % 2).astype(np.int8),
  }


def pyfeat(folder: Path, frames: tuple[int, ...] = (4, 3, 5, 2), **changes) -> Path:
  """pyfeat_faces in its layout; `changes` replace arrays."""
  folder.mkdir(parents=True, exist_ok=True)
  np.savez(folder / 'faces.npz', **{**faces(frames), **changes})
  lines = [f'{i},{"gn" if i % 2 else "ists"},{i},some words' for i in range(1, len(frames) + 3)]
  (folder / 'clip_attrs.csv').write_text('\n'.join(['clipN,class,phraseN,phrase_txt', *lines]) + '\n')
  return folder


# A corpus that tests may change as they like


TOY_META = {
  'modalities': {'audio': 3, 'visual': 2},
  'rate_hz': {'audio': 10.0, 'visual': None},
  'attributes': ['valence', 'arousal'],
  'emotions': ['a', 'b', 'c'],
  'labels': 'by hand',
  'licence': 'none',
}


def toy_example(i: int) -> dict:
  """Example i: i % 4 + 1 frames of audio, visual absent in every third, all dtypes."""
  rng = np.random.default_rng(i)
  t = i % 4 + 1
  absent = i % 3 == 0
  rated = rng.random((t, 2, 2)) < 0.7
  return {
    'id': f'u{i:03d}',
    'group': f'spk{i % 5}',
    'item': f'video{i // 7}',
    'audio': rng.normal(size=(t, 3)),
    'visual': np.zeros((0 if absent else t, 2), np.float32),
    'visual_present': np.asarray(not absent),
    'ratings': np.where(rated, rng.uniform(-1, 1, (t, 2, 2)), np.nan),
    'ratings_mask': rated,
    'valence': rng.uniform(-1, 1, t),
    'arousal': np.float32(np.nan if i % 2 else 0.5),
    'votes': rng.integers(0, 5, 3).astype(np.float32),
    'emotion': np.int32(i % 4 - 1),
    'note': 'ä' if i % 2 else '',
  }


def toy(monkeypatch, tmp_path: Path) -> types.SimpleNamespace:
  """Installs a corpus `toy`; returns its state, which tests change, and a function that prepares it."""
  state = types.SimpleNamespace(
    keys={'train': list(range(20)), 'dev': [20, 21]},
    example=lambda split, i: toy_example(i),
    meta=TOY_META,
    tmp=tmp_path,
  )
  source = tmp_path / 'source'
  source.mkdir()
  (source / 'list.txt').write_text('x')
  module = types.ModuleType(f'{corpora.__name__}.toy')
  module.VERSION = '1.2.0'

  def read(source, *, scale: str = '1'):
    return Reading(state.meta, state.keys, state.example, [source / 'list.txt'])

  module.read = read
  monkeypatch.setitem(sys.modules, module.__name__, module)
  real = opening.names
  monkeypatch.setattr(
    opening, 'names', lambda package=corpora: [*real(package), *(['toy'] if package is corpora else [])]
  )
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 6)
  state.source, state.module = source, module
  state.prepare = lambda folder='data', **kwargs: preparing.prepare('toy', source, tmp_path / folder, **kwargs)
  state.folder = tmp_path / 'data' / 'toy' / '1.2.0'
  return state


def change(toy, i: int, **changes):
  """Makes example i another one; a value of None removes the key."""
  before = toy.example

  def changed(split, key):
    out = before(split, key)
    if key == i:
      out.update(changes)
      out = {k: v for k, v in out.items() if v is not None}
    return out

  toy.example = changed


def break_audio(toy) -> np.ndarray:
  """Makes two of the three frames of example 6 non-finite."""
  x = toy_example(6)['audio']
  x[1, 2], x[2, 0], x[2, 1] = np.nan, np.inf, -np.inf
  change(toy, 6, audio=x)
  return x
