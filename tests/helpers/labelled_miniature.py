"""Small sources in the layouts of IEMOCAP and MSP-Podcast: some lines by hand, the rest random."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WIDTHS = {'audio': 5, 'text': 4}


def features(folder: Path, names: Sequence[str], modalities: Sequence[str], pooled: bool) -> None:
  """A file per name and modality below features: [D] if pooled, [T, D] otherwise."""
  for modality in modalities:
    place = folder / 'features' / modality
    place.mkdir(parents=True)
    for name in names:
      np.save(place / f'{name}.npy', vectors(name, modality)[0] if pooled else vectors(name, modality))


def vectors(name: str, modality: str) -> np.ndarray:
  """[T, D] float32."""
  rng = np.random.default_rng([ord(c) for c in name + modality])
  return rng.normal(size=(rng.integers(2, 6), WIDTHS[modality])).astype(np.float32)


# IEMOCAP


HEADER = '% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n'
WORDS = ('Neutral', 'Happiness', 'Anger', 'Sadness', 'Excited', 'Frustration', 'Surprise', 'Fear', 'Disgust', 'Other')
CODES = ('neu', 'hap', 'ang', 'sad', 'exc', 'fru', 'sur', 'fea', 'dis', 'oth')
FIRST = 'Session1/dialog/EmoEvaluation/Ses01F_impro01.txt'
BY_HAND = HEADER + (  # turns F000 to F003 and M000
  '[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 3.0000, 2.0000]\n'
  'C-E2:\tNeutral;\t()\n'
  'C-E3:\tNeutral;\t()\n'
  'C-E4:\tAnger; Neutral;\t(a bit (only))\n'
  'C-F1:\tSadness;\t(curious)\n'
  'A-E3:\tval 3; act 2; dom  2;\t()\n'
  'A-E4:\tval 2; act 4; dom  ;\t(mildly aggravated, attitude)\n'
  'A-F1:\tval 5; act 5; dom  5;\t()\n'
  '\n'
  '[10.0100 - 11.3925]\tSes01F_impro01_F001\texc\t[5.0000, 5.0000, 5.0000]\n'
  'C-E2:\tHappiness; Excited;\t()\n'
  'C-E3:\tExcited;\t()\n'
  'C-E4:\tExcited;\t()\n'
  'A-E3:\tval 5; act 5; dom  5;\t()\n'
  '\n'
  '[14.8872 - 18.0175]\tSes01F_impro01_F002\txxx\t[3.0000, 1.0000, 4.0000]\n'
  'C-E2:\tHappiness;\t()\n'
  'C-E3:\tSadness;\t()\n'
  'C-E4:\tNeutral; Frustration;\t()\n'
  'C-E1:\t\t()\n'
  'A-E3:\tval ; act ; dom  ;\t()\n'
  'A-E4:\tval 3; act 1; dom  4;\t()\n'
  '\n'
  '[19.2900 - 20.7875]\tSes01F_impro01_F003\thap\t[4.0000, 3.0000, 3.0000]\n'
  'C-E2:\tHappiness;\t()\n'
  'C-E3:\tHappiness;\t()\n'
  'C-E4:\tHappiness;\t()\n'
  'A-E3:\tval 4; act 3; dom  3;\t()\n'
  '\n'
  '[7.5712 - 10.4750]\tSes01F_impro01_M000\tfru\t[2.0000, 2.0000, 2.0000]\n'
  'C-E2:\tFrustration;\t()\n'
  'C-E3:\tFrustration;\t()\n'
  'C-E4:\tNeutral;\t()\n'
  'C-M1:\tAnger;\t()\n'
)
HAND_TURNS = [f'Ses01F_impro01_{t}' for t in ('F000', 'F001', 'F002', 'F003', 'M000')]
DIALOGUES = ('Ses01F_script01_1', 'Ses02M_impro03', 'Ses03M_impro05a', 'Ses04F_script03_2', 'Ses05M_script01_1b')


def iemocap_turns() -> list[str]:
  """All turns of the miniature, in the order of names: five by hand, six in each further dialogue."""
  return sorted(
    HAND_TURNS + [f'{dialogue}_{letter}{i:03d}' for dialogue in DIALOGUES for letter in 'FM' for i in range(3)]
  )


def _block(rng: np.random.Generator, name: str, start: float) -> str:
  named, marks = rng.integers(0, 5, 3).tolist(), rng.integers(1, 6, (2, 3))
  counts = np.bincount(named, minlength=10)
  code = CODES[int(counts.argmax())] if counts.max() > 1 else 'xxx'
  lines = [f'[{start:.4f} - {start + 1.5:.4f}]\t{name}\t{code}\t[{", ".join(f"{m:.4f}" for m in marks.mean(0))}]']
  lines += [f'C-E{e}:\t{WORDS[c]};\t()' for e, c in zip((2, 3, 4), named, strict=True)]
  lines += [f'A-E{e}:\tval {v}; act {a}; dom  {d};\t()' for e, (v, a, d) in zip((3, 4), marks.tolist(), strict=True)]
  return '\n'.join(lines) + '\n'


def iemocap(folder: Path, modalities: Sequence[str] = ('audio', 'text'), pooled: bool = True,
            root: str = '.') -> Path:  # fmt: skip
  """IEMOCAP with six dialogues in five sessions; `root` is where in `folder` the sessions are."""
  rng = np.random.default_rng(0)
  for dialogue in DIALOGUES:
    place = folder / root / f'Session{dialogue[4]}' / 'dialog' / 'EmoEvaluation'
    (place / 'Categorical').mkdir(parents=True)
    (place / 'Categorical' / f'{dialogue}_e2_cat.txt').write_text(f'{dialogue}_F000 :Neutral state; ()\n')
    blocks = [_block(rng, f'{dialogue}_{letter}{i:03d}', 3.0 * i) for i in range(3) for letter in 'FM']
    (place / f'{dialogue}.txt').write_text(HEADER + '\n'.join(blocks))
    (place / f'._{dialogue}.txt').write_bytes(b'\x00\x05\x16\x07\xff')
  (folder / root / FIRST).write_text(BY_HAND)
  features(folder, iemocap_turns(), modalities, pooled)
  return folder


# MSP-Podcast


SEGMENT = ('FileName', 'EmoClass', 'EmoAct', 'EmoVal', 'EmoDom', 'SpkrID', 'Gender', 'Split_Set')
CONSENSUS = [  # by hand; the rest follows
  ('MSP-PODCAST_0001_0008.wav', 'H', '5.0', '6.0', '4.5', '127', 'Female', 'Train'),
  ('MSP-PODCAST_0001_0019.wav', 'X', '4.0', '4.0', '4.0', 'Unknown', 'Unknown', 'Train'),
  ('MSP-PODCAST_0002_0033.wav', 'O', '2.0', '3.0', '4.0', 'Unknown', 'Male', 'Development'),
  ('MSP-PODCAST_0003_0040_0001.wav', 'A', '7.0', '1.0', '7.0', '9', 'Male', 'Test1'),
]
WORKERS = {  # file -> (worker, class, secondary classes, arousal, valence, dominance)
  'MSP-PODCAST_0001_0008.wav': [
    ('WORKER00000001', 'Happy', 'Happy,Amused', '4', '5', '3'), ('WORKER00000002', 'Happy', 'Happy', '6', '7', '6'),
    ('WORKER00000003', 'Surprise', '', '5', '6', ''),
  ],
  'MSP-PODCAST_0001_0019.wav': [
    ('WORKER00000001', 'Neutral', 'Concerned', '4', '4', '4'),
    ('WORKER00000004', 'Contempt', 'Contempt', '4', '4', '4'),
    ('WORKER00000005', 'Other-Curious', 'Neutral,Other-Curious', '4', '4', '4'),
  ],
  'MSP-PODCAST_0002_0033.wav': [
    ('WORKER00000002', 'Other', 'Other', '1', '3', '4'), ('WORKER00000003', 'Other(bored, maybe)', '', '3', '3', '4'),
    ('WORKER00000001', 'Sad', 'Sad', '2', '3', '4'),
  ],
  'MSP-PODCAST_0003_0040_0001.wav': [('WORKER00000009', 'Angry', 'Angry,Annoyed', '7', '1', '7')] + [
    (f'WORKER0000001{i}', 'Angry', 'Angry', '7', '1', '7') for i in range(4)
  ],
}  # fmt: skip
CLASSES = ('Angry', 'Sad', 'Happy', 'Surprise', 'Fear', 'Disgust', 'Contempt', 'Neutral')
SPLITS = ('Train', 'Development', 'Test1', 'Test2', 'Test3')


def podcast_rows() -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
  """The rows of both tables: SEGMENT, and file, worker, class, secondary classes, arousal, valence, dominance."""
  rng = np.random.default_rng(1)
  segments = list(CONSENSUS)
  rows = [(file, *row) for file, workers in WORKERS.items() for row in workers]
  for i in range(10):
    file, n = f'MSP-PODCAST_01{i:02d}_0001.wav', int(rng.integers(5, 8))
    classes, marks = rng.integers(0, 8, n), rng.integers(1, 8, (n, 3))
    counts = np.bincount(classes, minlength=8)
    code = 'ASHUFDCN'[int(counts.argmax())] if (counts == counts.max()).sum() == 1 else 'X'
    split = SPLITS[i % 5]
    means = map(repr, marks.mean(0).tolist())
    segments.append((file, code, *means, str(200 + i % 5), 'Female' if i % 2 else 'Male', split))
    for w, (c, mark) in enumerate(zip(classes, marks.tolist(), strict=True)):
      rows.append((file, f'WORKER{w:08d}', CLASSES[c], CLASSES[c], *map(str, mark)))
  return segments, rows


def _table(path: Path, rows: Sequence[Sequence[str]]) -> None:
  with open(path, 'w', newline='') as f:
    csv.writer(f, lineterminator='\n').writerows(rows)


def msp_podcast(folder: Path, form: str = 'columns', modalities: Sequence[str] = ('audio', 'text'),
                pooled: bool = True) -> Path:  # fmt: skip
  """MSP-Podcast; `form` is columns (2.0), old (1.6), detail (1.7 to 1.12) or json."""
  segments, rows = podcast_rows()
  labels = folder / ('label' if form == 'old' else 'Labels')
  labels.mkdir(parents=True)
  columns = ('EmoClass_Major', 'EmoClass_Second', 'EmoAct', 'EmoVal', 'EmoDom')
  if form == 'json':
    released = {file: dict(zip(SEGMENT[1:], cells, strict=True)) for file, *cells in segments}
    (labels / 'labels_consensus.json').write_text(json.dumps(released, indent=1))
    by: dict[str, dict] = {}
    for file, worker, *cells in rows:
      by.setdefault(file, {})[worker] = dict(zip(columns, cells, strict=True))
    (labels / 'labels_detailed.json').write_text(json.dumps(by, indent=1))
  else:
    _table(labels / f'labels_{"concensus" if form == "old" else "consensus"}.csv', [SEGMENT, *segments])
    header: tuple[str, ...] = ('FileName', 'Workers' if form == 'old' else 'WorkerID', *columns)
    if form == 'detail':
      header = ('FileName', 'EmoDetail')
      rows = [
        (file, f'{w}; {c}; {f"{more};" if more else ""} A:{a}; V:{v}; D:{d};') for file, w, c, more, a, v, d in rows
      ]
    _table(labels / 'labels_detailed.csv', [header, *rows])
  (labels / 'labels.txt').write_text('not read\n')
  features(folder, [file[:-4] for file, *_ in segments], modalities, pooled)
  return folder
