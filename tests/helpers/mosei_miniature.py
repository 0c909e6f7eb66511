"""A small CMU-MOSEI in the forms it comes in: computational sequences of the SDK, and tensors of MMSA or MulT."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np

from affectjax.data.corpora.cmu_mosei import EMOTIONS

FOLDS = {
  'train': ['-vAbc_12345', '81406', 'hh04W3xXa5s', 'GdFP_p4eQX0', '4iG0ffmnCOw', 'qyJiDgtj6YE', 'KI2sU-mhM44'],
  'valid': ['CLkTjujFVKU', 'aMtFBGh2wKI', 'noLabels_01'],
  'test': ['2OLVF-KEaZU', 'Or-9Nc_GAq8'],
}
NO_FOLD = ['zz_nowhere_']
VIDEOS = [v for of in FOLDS.values() for v in of if v != 'noLabels_01'] + NO_FOLD
COVAREP, LABELS, WORDS, RAW = (
  'acoustic/CMU_MOSEI_COVAREP.csd', 'labels/CMU_MOSEI_Labels.csd', 'language/CMU_MOSEI_TimestampedWordVectors.csd',
  'language/CMU_MOSEI_TimestampedWords.csd',
)  # fmt: skip
STD_FOLDS = 'cmu_mosei_std_folds.py'
TENSORS = 'aligned_50.pkl'
SECONDS, HOP = 5.0, 0.01
SILENT = (1.2, 1.5)  # s of every video: no frames there


def content(seed: int = 0) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
  """root -> video -> (intervals, features). The labels of a video are not in the order of time, and they overlap."""
  out: dict[str, dict] = {'COVAREP': {}, 'All Labels': {}, 'glove_vectors': {}, 'words': {}}
  for i, video in enumerate([*VIDEOS, 'noLabels_01']):
    rng = np.random.default_rng((seed, i))
    start = np.arange(0, SECONDS, HOP)
    start = start[(start < SILENT[0]) | (start >= SILENT[1])]
    frames = rng.normal(size=(len(start), 74)).astype(np.float32)
    frames[:, 0], frames[:, 1] = rng.uniform(50, 500, len(start)), rng.random(len(start)) < 0.5
    out['COVAREP'][video] = np.stack([start, start + HOP], 1), frames
    ends = np.cumsum(rng.uniform(0.13, 0.4, 30))
    ends = ends[ends < SECONDS]
    spans = np.stack([np.append(0.0, ends[:-1]), ends], 1)
    spans[:, 1] -= 0.02 * (rng.random(len(spans)) < 0.3)  # short pauses
    out['glove_vectors'][video] = spans, rng.normal(size=(len(spans), 4)).astype(np.float32)
    said = np.array([b'word'] * len(spans) + [b'sp'], 'S8')[:, None]
    out['words'][video] = np.concatenate([spans, [[SECONDS - 0.05, SECONDS]]]), said
    if video == 'noLabels_01':
      continue
    starts = np.array([2.4, 0.1, 1.0, 3.3])
    intervals = np.stack([starts, starts + rng.uniform(0.7, 1.3, 4)], 1)
    out['All Labels'][video] = intervals, labels(rng, 4)
  return out


def labels(rng: np.random.Generator, n: int) -> np.ndarray:
  """Sentiment and intensities [n, 7] in thirds, correlated about as they are in the corpus."""
  sentiment = rng.integers(-9, 10, n) / 3
  chance = rng.integers(0, 3, (n, 6)) / 3
  sign = np.array([1, -1, -1, 0, -1, 0])
  felt = np.maximum(0, np.rint(3 * sign * sentiment[:, None] / 2)) / 3 + chance * (rng.random((n, 6)) < 0.3)
  return np.concatenate([sentiment[:, None], np.minimum(felt, 3)], 1)


def write(path: Path, root: str, entries: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
  """One computational sequence as the SDK deploys it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with h5py.File(path, 'w') as file:
    for key, (intervals, features) in entries.items():
      group = file.create_group(f'{root}/data/{key}')
      group.create_dataset('intervals', data=intervals)
      group.create_dataset('features', data=features)
    metadata = file.create_group(f'{root}/metadata')
    metadata.create_dataset('root name', (1,), dtype=h5py.string_dtype())[0] = json.dumps(root)


def folds(path: Path) -> None:
  """The SDK's file."""
  text = '\n'.join(f'standard_{name}_fold={of!r}' for name, of in FOLDS.items())
  path.write_text(text + '\n')


def sequences(source: Path, words: str = 'glove_vectors', seed: int = 0) -> Path:
  """The .csd files and the folds."""
  data = content(seed)
  write(source / COVAREP, 'COVAREP', data['COVAREP'])
  write(source / LABELS, 'All Labels', data['All Labels'])
  write(source / (WORDS if words == 'glove_vectors' else RAW), words, data[words])
  write(source / 'visual/CMU_MOSEI_VisualFacet42.csd', 'FACET 4.2', {'81406': (np.zeros((1, 2)), np.zeros((1, 35)))})
  folds(source / STD_FOLDS)
  return source


def given(source: Path) -> Path:
  """What the SDK has aligned: entries video[k], rows of zeros where words had no frames."""
  data = content()
  audio, labels = {}, {}
  for video, (intervals, features) in data['All Labels'].items():
    for k, interval in enumerate(intervals):
      rng = np.random.default_rng(k)
      x = rng.normal(size=(3 + k, 74))
      x[1] = 0
      audio[f'{video}[{k}]'] = np.sort(rng.uniform(*interval, (3 + k, 2)), 1), x
      labels[f'{video}[{k}]'] = interval[None], features[k][None]
  del audio['81406[3]']
  write(source / 'COVAREP.csd', 'COVAREP', audio)
  write(source / 'All Labels.csd', 'All Labels', labels)
  folds(source / STD_FOLDS)
  return source


def dataset(ids: str = 'mmsa', rows: int = 6) -> dict[str, dict]:
  """Tensors by split; ids as of MMSA (k the row of the labels, or 'time': the place in time), or of MulT."""
  labelled = content()['All Labels']
  out = {}
  for split, videos in FOLDS.items():
    names, audio, sentiment = [], [], []
    for video in videos:
      if video not in labelled:
        continue
      intervals, values = labelled[video]
      place = np.argsort(np.argsort(intervals[:, 0]))
      for k in range(len(values)):
        rng = np.random.default_rng((VIDEOS.index(video), k))
        x = np.zeros((rows, 74))
        x[rows - 2 - k % 3 :] = rng.normal(size=(2 + k % 3, 74))  # padded on the left
        if k == 2:
          x[-2] = 0  # a word without frames
        audio.append(x)
        sentiment.append(values[k, 0])
        forms = {'mmsa': f'{video}$_${k}', 'time': f'{video}$_${place[k]}', 'sdk': f'{video}[{k}]'}
        names.append(forms.get(ids, [video.encode(), *(str(round(t, 3)).encode() for t in intervals[k])]))
    shape = (len(names), 1, 1) if ids == 'mult' else len(names)
    out[split] = {
      'id': np.array(names) if ids == 'mult' else names, 'audio': np.array(audio, np.float32),
      'vision': np.zeros((len(names), 2, 3)), 'labels' if ids == 'mult' else 'regression_labels':
      np.array(sentiment, np.float32).reshape(shape),
    }  # fmt: skip
  return out


def tensors(source: Path, ids: str = 'mmsa') -> Path:
  """A pickle, and the labels."""
  write(source / 'CMU_MOSEI_Labels.csd', 'All Labels', content()['All Labels'])
  (source / TENSORS).write_bytes(pickle.dumps(dataset(ids)))
  return source


assert len(EMOTIONS) == 6
