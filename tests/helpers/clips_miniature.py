"""Small sources in the layouts of corpora of acted clips, made of random numbers."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTHS = {'audio': 5, 'visual': 3}


def features(folder: Path, names: Sequence[str], modality: str, kind: str = 'npy') -> None:
  """A feature file of 4 to 9 rows per name, below features/<modality>."""
  place = folder / 'features' / modality
  place.mkdir(parents=True)
  for name in names:
    x = clip(name, modality)
    if kind == 'npy':
      np.save(place / f'{name}.npy', x)
    elif kind == 'npz':
      np.savez(place / f'{name}.npz', x=x)
    else:
      rows = [','.join(f'f{i}' for i in range(x.shape[1])), *(','.join(map(repr, row)) for row in x.tolist())]
      (place / f'{name}.csv').write_text('\n'.join(rows) + '\n')


def clip(name: str, modality: str) -> np.ndarray:
  """[T, D] float32 of a clip."""
  rng = np.random.default_rng([ord(c) for c in name + modality])
  return rng.normal(size=(rng.integers(4, 10), WIDTHS[modality])).astype(np.float32)


# CREMA-D


ACTORS = {'1001': (51, 'Male'), '1002': (21, 'Female'), '1003': (74, 'Female'), '1004': (20, 'Male'),
          '1005': (33, 'Male'), '1006': (29, 'Female')}  # fmt: skip
PARTS = ('IEO_NEU_XX', 'IEO_ANG_HI', 'DFA_SAD_XX', 'ITS_HAP_XX', 'TIE_DIS_XX')  # not in the order of names
NAMES = [f'{actor}_{part}' for actor in ACTORS for part in PARTS]
TIED = '1001_DFA_SAD_XX'  # anger and sad; sad has the lower level
OUTSIDE = [name for name in NAMES if name.endswith('ITS_HAP_XX')]  # of the partitions
LETTERS = 'ADFHNS'
MEANS = [f'mean{n}Resp' for n in ('Anger', 'Disgust', 'Fear', 'Happy', 'Neutral', 'Sad')]


def crema_votes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """clip -> counts [3, 6] and mean levels [3, 6], in the order of LETTERS; -1 where nobody chose it."""
  rng, out = np.random.default_rng(0), {}
  for name in NAMES:
    counts = rng.multinomial(rng.integers(6, 12), rng.dirichlet(np.ones(6), 3))  # [3, 6]
    if name == TIED:
      counts[2] = [4, 0, 0, 0, 1, 4]
    levels = np.where(counts > 0, rng.uniform(20, 90, (3, 6)).round(2), -1)
    if name == TIED:
      levels[2] = [60, -1, -1, -1, 90, 40]
    out[name] = counts, levels
  return out


def _most(counts: np.ndarray) -> str:
  return ':'.join(letter for letter, n in zip(LETTERS, counts, strict=True) if n == counts.max())


def _write(path: Path, rows: Sequence[Sequence[object]]) -> None:
  """As R writes a table: text in quotes, numbers bare."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, 'w', newline='') as f:
    csv.writer(f, quoting=csv.QUOTE_NONNUMERIC, lineterminator='\n').writerows(rows)


def crema_d(folder: Path, layout: str = 'clone', modalities: Sequence[str] = ('audio', 'visual'),
            folds: bool = True, kind: str = 'npy') -> Path:  # fmt: skip
  """CREMA-D as a clone has it, or as the pack does."""
  tables = folder / 'processedResults' if layout == 'clone' else folder
  votes, rows, summary = crema_votes(), [], []
  norm = [f'{m}Norm' for m in ('meanEmoResp', *MEANS)]
  for condition in (1, 2, 3):
    for i, (name, (counts, levels)) in enumerate(votes.items()):
      n, x = counts[condition - 1].tolist(), levels[condition - 1].tolist()
      share = max(n) / sum(n)
      rows.append([f'{100000 * condition + i + 1}', *n, name, sum(n), share, _most(counts[condition - 1]),
                   50.0, *x, 50.0, 50.0, *x, 50.0])  # fmt: skip
  for i, (name, (counts, _)) in enumerate(votes.items()):
    cells = [cell for n in counts for cell in (_most(n), '50')]
    summary.append([f'{i + 1}', name, *cells])
  _write(tables / 'tabulatedVotes.csv', [
    ['', *LETTERS, 'fileName', 'numResponses', 'agreement', 'emoVote', 'meanEmoResp', *MEANS, 'medianEmoResp', *norm,
     'medianEmoRespNorm'], *rows])  # fmt: skip
  _write(tables / 'summaryTable.csv', [
    ['', 'FileName', 'VoiceVote', 'VoiceLevel', 'FaceVote', 'FaceLevel', 'MultiModalVote', 'MultiModalLevel'],
    *summary])  # fmt: skip
  numbered = [[i + 1, name] for i, name in enumerate(NAMES)]
  _write(folder / 'SentenceFilenames.csv', [['Stimulus_Number', 'Filename'], *numbered])
  people = [[int(a), age, sex, 'Unknown', 'Not Hispanic'] for a, (age, sex) in ACTORS.items()]
  _write(folder / 'VideoDemographics.csv', [['ActorID', 'Age', 'Sex', 'Race', 'Ethnicity'], *people])
  if folds:
    lines = ['clip,fold1,fold2,fold3,fold4,fold5']
    lines += [','.join([name, *crema_sides(name[:4])]) for name in sorted(set(NAMES) - set(OUTSIDE))]
    (folder / 'vavl_folds.csv').write_text('\n'.join(lines) + '\n')
  for modality in modalities:
    features(folder, NAMES, modality, kind)
  return folder


def crema_sides(actor: str) -> list[str]:
  """Where an actor is in the five partitions: number i is in Test of i, and of Development of i + 1."""
  i = list(ACTORS).index(actor)
  return ['Test' if i == k else 'Development' if i == (k + 1) % 5 else 'Train' for k in range(5)]


# MSP-IMPROV


TURNS = [f'S{s:02d}{"AHNS"[s % 4]}-{g}0{d}-{"SPTR"[(s + d) % 4]}-{g}{"FM"[s % 2]}{d:02d}'
         for d in range(1, 7) for g in 'FM' for s in (1, 12)]  # fmt: skip
CHOICES = ('Angry', 'Sad', 'Happy', 'Neutral', 'Other')
TEXTS = ('Neutral,Concerned', '', 'Frustrated; "a bit; sad"', 'Other (tired - bored)')
BY_HAND = {  # turn -> (rater, choice, arousal, valence, dominance)
  TURNS[0]: [('A1-x', 'Angry', 1, 2, 5), ('B_2', 'Angry', 2, 1, 'NaN'), ('C3', 'Other', 3, 3, 4)],
  TURNS[1]: [('A1-x', 'Sad', 4, 2, 3), ('C3', 'Happy', 5, 4, 3)],  # a tie
  TURNS[2]: [('A1-x', 'Other', 4, 2, 3), ('C3', 'Other', 5, 4, 3), ('D4', 'Happy', 5, 5, 3)],
}


def msp_raters() -> dict[str, list[tuple]]:
  """turn -> its raters."""
  rng, out = np.random.default_rng(1), {}
  for turn in TURNS:
    who = rng.choice(40, rng.integers(5, 8), replace=False)
    out[turn] = BY_HAND.get(turn) or [(f'r{r}', CHOICES[rng.integers(5)], *rng.integers(1, 6, 3).tolist()) for r in who]
  return out


def _cell(values: Sequence[float | str]) -> str:
  x = np.array(values, float)
  return 'NaN' if np.isnan(x).all() else f'{np.nanmean(x):.6f}'


def msp_improv(folder: Path, name: str = 'Evalution.txt', modalities: Sequence[str] = ('audio', 'visual')) -> Path:
  """MSP-IMPROV with the lines of its evaluation as public readers expect them."""
  folder.mkdir(parents=True, exist_ok=True)
  blocks = []
  for turn, lines in msp_raters().items():
    counts = [sum(line[1] == c for line in lines) for c in CHOICES]
    letter = 'ASHNO'[int(np.argmax(counts))] if counts.count(max(counts)) == 1 else 'X'
    a, v, d = (_cell([line[i] for line in lines]) for i in (2, 3, 4))
    block = [f'UTD-IMPROV-{turn}.avi; {letter}; A:{a}; V:{v}; D:{d} ; N:3.400000;']
    for i, (rater, choice, *values) in enumerate(lines):
      a, v, d = (_cell([x]) for x in values)
      block.append(f'{rater}; {choice}; {TEXTS[i % len(TEXTS)]}; A:{a}; V:{v}; D:{d}; N:NaN;')
    blocks.append('\n'.join(block))
  (folder / name).write_text('\n\n'.join(blocks) + '\n\n')
  for modality in modalities:
    features(folder, [f'MSP-IMPROV-{turn}' for turn in TURNS], modality)
  return folder


# RAVDESS


EMOTIONS = ('neutral', 'calm', 'happy', 'sad', 'angry', 'fearful', 'disgust', 'surprised')
RECORDINGS = [f'03-01-{e:02d}-{1 + (e > 1) * (a % 2):02d}-{1 + e % 2:02d}-{1 + a // 13:02d}-{a:02d}'
              for a in (1, 2, 13, 24) for e in range(1, 9)]  # fmt: skip


def ravdess_frames() -> dict[str, np.ndarray]:
  """recording -> [T, 5] float16."""
  return {name: clip(name, 'audio').astype(np.float16) for name in RECORDINGS}


def ravdess_pack(folder: Path) -> Path:
  """RAVDESS as the pack has it."""
  folder.mkdir(parents=True)
  frames = ravdess_frames()
  offsets = np.cumsum([0, *(len(x) for x in frames.values())])
  files, columns = np.array([f'{name}.wav' for name in frames]), np.array([f'd{i}' for i in range(5)])
  lld = np.concatenate(list(frames.values()))
  np.savez(folder / 'egemaps_lld_10ms.npz', lld=lld, offsets=offsets, files=files, lld_names=columns)
  rows = ['index,file,emotion,intensity,statement,repetition,actor,gender,duration_s,n_frames']
  for i, (name, x) in enumerate(frames.items()):
    _, _, e, n, s, r, a = map(int, name.split('-'))
    fields = EMOTIONS[e - 1], ('normal', 'strong')[n - 1], ('kids', 'dogs')[s - 1], r, a, 'male' if a % 2 else 'female'
    rows.append(','.join(map(str, (i, f'{name}.wav', *fields, len(x) / 100, len(x)))))
  (folder / 'metadata.csv').write_text('\n'.join(rows) + '\n')
  return folder


def ravdess_folder(folder: Path) -> Path:
  """The same as files of features."""
  (folder / 'features').mkdir(parents=True)
  for name, x in ravdess_frames().items():
    np.save(folder / 'features' / f'{name}.npy', x)
  return folder
