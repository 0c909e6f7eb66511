"""AffectNet, its manually annotated part: web faces with one expression, one valence and one arousal each.

Paper: A. Mollahosseini, B. Hasani, M. H. Mahoor, "AffectNet: A Database for Facial Expression, Valence, and
Arousal Computing in the Wild", IEEE Transactions on Affective Computing 10(1), 2019, 18-31,
doi 10.1109/TAFFC.2017.2740923, arXiv 1708.03985.
Licence: gated. The authors hand out images and labels on a signed request, for research only, not to be
passed on. No pixel is read here: the user brings one embedding per image.

Layouts read, one of the two under `source`:

(a) the first release, lists of files:
    training.csv, validation.csv       in `source`, Manually_Annotated/ or Manually_Annotated_file_lists/
                                       (or named Manually_training.csv, Manually_validation.csv)
    Manually_Annotated_Images/<folder>/<image>      not needed
  Columns: subDirectory_filePath, face_x, face_y, face_width, face_height, facial_landmarks, expression,
  valence, arousal. Some loaders meet a validation.csv without header; nine cells per line are then taken in
  this order. The id of an image is its path in the list without the suffix, `689/737d`.
  The list of automatically annotated images is never read: its labels are a network's.

(b) the release of March 2021 (8 labels; 287,651 + 3,999 images):
    train_set/annotations/<n>_exp.npy, <n>_val.npy, <n>_aro.npy, <n>_lnd.npy, and the same under val_set/
    train_set/images/<n>.jpg           not needed, nor are the landmarks
  Each array holds one value, in the release a string (dtype <U..); numbers are taken as well. The two folders
  number on their own, hence ids such as `train_set/12`.

Features, one of the three under `source`, every kept image in it (NaN for one in which no face was found;
what becomes of it is decided when the corpus is prepared):
    features/<id>.npy (or .npz, .csv)            [D] or [1, D]; one file per image
    features.npy, features_ids.csv or .json      [N, D], memory-mapped; a column `id`, or a list of ids
    features.npz                                 arrays `ids` [N] text and `features` [N, D]
In the last two an id may carry the suffix of its image.

Labels: expressions 0..7 are kept, the codes 8 none, 9 uncertain and 10 no-face are dropped and counted in
`dropped`; -2 (missing) becomes NaN. Splits: train, and val, the official validation set; the test set was
never published. AffectNet knows no identities: `group` is the id, folds and intervals take each image alone.
"""

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import corpus, features

VERSION = '1.0.0'

EMOTIONS = ('neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt')
CODES = (*EMOTIONS, 'none', 'uncertain', 'no-face')
COLUMNS = (
  'subDirectory_filePath', 'face_x', 'face_y', 'face_width', 'face_height', 'facial_landmarks', 'expression',
  'valence', 'arousal',
)  # fmt: skip
LISTS = {
  'train': ('training.csv', 'Manually_training.csv'),
  'val': ('validation.csv', 'Manually_validation.csv'),
}
FOLDERS = {'train': 'train_set', 'val': 'val_set'}

# What EmoNet's cleaned sets ask of valence, arousal and their radius (its emonet/data/affecnet.py).
# Its second condition, that annotators confirmed the class, is in no distributed file and not applied here.
CLEANED: Mapping[str, Callable[[float, float, float], bool]] = {
  'neutral': lambda v, a, r: r < 0.2,
  'happy': lambda v, a, r: v > 0 and r > 0.2,
  'sad': lambda v, a, r: v < 0 and r > 0.2,
  'surprise': lambda v, a, r: a > 0 and r > 0.2,
  'fear': lambda v, a, r: a >= 0 and v <= 0 and r > 0.2,
  'disgust': lambda v, a, r: v < 0 and r > 0.3,
  'anger': lambda v, a, r: a > 0 and r > 0.2,
  'contempt': lambda v, a, r: v < 0 and r > 0.2,
}


class Label(NamedTuple):
  """What the annotator of one image said."""

  code: int  # of CODES
  valence: float  # in [-1, 1], NaN where missing
  arousal: float


class Features(NamedTuple):
  """The feature files of the corpus, of width D, and how one image's are read."""

  width: int
  files: list[Path]
  load: Callable[[str], np.ndarray]  # id -> [1, D] float32


def read(source: Path, *, classes: int | str = 8, cleaned: bool | str = False) -> corpus.Reading:
  """AffectNet as found in `source`.

  Args:
    source: folder with layout (a) or (b) and the features, see above.
    classes: 8, or 7, which drops contempt.
    cleaned: whether only images stay whose valence and arousal agree with their class by EmoNet's rules, in
      both splits; where these are missing they do not agree.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  classes, cleaned = _options(classes, cleaned)
  layout, labels, files = _labels(source)
  kept, dropped = {}, {}
  for split, rows in labels.items():
    kept[split], dropped[split] = _keep(rows, classes, cleaned)
    if not kept[split]:
      counts = ', '.join(f'{k} {n}' for k, n in dropped[split].items())
      raise UserError(f'{source}: split {split!r} keeps none of {len(rows)} images ({counts})')
  known = {i for rows in labels.values() for i in rows}
  vectors = _features(source, known, [i for rows in kept.values() for i in rows])

  def example(split: str, key: str) -> dict[str, Any]:
    label = kept[split][key]
    return {
      'id': key,
      'group': key,
      'item': key,
      'visual': vectors.load(key),  # [1, D]
      'valence': np.float32(label.valence),
      'arousal': np.float32(label.arousal),
      'emotion': np.int32(label.code),
    }

  meta = {
    'modalities': {'visual': vectors.width},
    'rate_hz': {'visual': None},
    'attributes': ['valence', 'arousal'],
    'emotions': list(EMOTIONS[:classes]),
    'labels': f'one human annotator per image, as released; {_dropped_text(dropped)}',
    'groups': 'no identities in AffectNet; every image is its own group',
    'licence': 'AffectNet agreement, research only, no redistribution',
    'layout': layout,
    'classes': classes,
    'cleaned': cleaned,
    'dropped': dropped,
  }
  return corpus.Reading(meta, {s: list(rows) for s, rows in kept.items()}, example, files + vectors.files)


def _options(classes: int | str, cleaned: bool | str) -> tuple[int, bool]:
  """The options, which are text when they come from a command line."""
  if str(classes) not in ('7', '8'):
    raise UserError(f'option classes: {classes!r}, expected 8, or 7 without contempt')
  if str(cleaned).lower() not in ('true', 'false'):
    raise UserError(f'option cleaned: {cleaned!r}, expected true or false')
  return int(classes), str(cleaned).lower() == 'true'


def _keep(rows: Mapping[str, Label], classes: int, cleaned: bool) -> tuple[dict[str, Label], dict[str, int]]:
  """The rows that stay, and how many went for which reason."""
  kept, dropped = {}, dict.fromkeys(CODES[classes:], 0)
  if cleaned:
    dropped['not cleaned'] = 0
  for key, label in rows.items():
    name, va = CODES[label.code], label[1:]
    if label.code >= classes:
      dropped[name] += 1
    elif cleaned and not CLEANED[name](*va, math.hypot(*va)):  # a comparison with NaN is false
      dropped['not cleaned'] += 1
    else:
      kept[key] = label
  return kept, dropped


def _dropped_text(dropped: Mapping[str, Mapping[str, int]]) -> str:
  each = (f'{s} {", ".join(f"{k} {n}" for k, n in counts.items())}' for s, counts in dropped.items())
  return f'dropped: {"; ".join(each)}'


# Labels


def _labels(source: Path) -> tuple[str, dict[str, dict[str, Label]], list[Path]]:
  """(layout, split -> id -> label, the files read)."""
  if not source.is_dir():
    raise UserError(f'{source}: no such folder; expected the folder of AffectNet')
  lists = {s: p for s, names in LISTS.items() if (p := _find_list(source, names))}
  folders = {s: source / name for s, name in FOLDERS.items()}
  here = [*lists.values(), *(p for p in folders.values() if p.exists())]
  if not here:
    raise UserError(
      f'{source}: no AffectNet here; expected training.csv and validation.csv, or train_set/ and val_set/ '
      '(archives unpacked)'
    )
  if lists and len(here) > len(lists):
    raise UserError(f'{source}: both releases ({", ".join(p.name for p in here)}); keep one in this folder')
  if not lists:
    files = [p / 'annotations' for p in folders.values()]  # not the million files in them
    return 'npy', {s: _read_arrays(p) for s, p in folders.items()}, files
  for split, names in LISTS.items():
    if split not in lists:
      raise UserError(f'{source}: no {names[0]} beside {here[0].name}; both are needed')
  labels = {s: _read_list(p) for s, p in lists.items()}
  for key in labels['val']:
    if key in labels['train']:
      raise UserError(f'{lists["val"]}: id {key!r} is in {lists["train"].name} as well; remove one')
  return 'csv', labels, list(lists.values())


def _find_list(source: Path, names: tuple[str, ...]) -> Path | None:
  folders = ('.', 'Manually_Annotated', 'Manually_Annotated_file_lists')
  folders += ('Manually_Annotated/Manually_Annotated_file_lists',)
  lists = [p for f in folders for n in names if (p := source / f / n).is_file()]
  if len(lists) > 1:
    raise UserError(f'{source}: {" and ".join(str(p.relative_to(source)) for p in lists)}; keep one')
  return lists[0] if lists else None


def _read_list(path: Path) -> dict[str, Label]:
  """Layout (a): the labels of one list, by id, in its order."""
  lines = _lines(path)
  first = next(lines, None)
  if first is None:
    raise UserError(f'{path}: empty file; expected a header and one line per image')
  columns = first[1]
  if COLUMNS[0] not in columns and len(columns) == len(COLUMNS) and '/' in columns[0]:
    columns, lines = COLUMNS, itertools.chain([first], lines)
  needed = (COLUMNS[0], *COLUMNS[6:])
  for name in needed:
    if name not in columns:
      raise UserError(f'{path}: no column {name!r}; line 1 has: {", ".join(c[:40] for c in columns)}')
  at = [columns.index(name) for name in needed]
  rows = {}
  for line, cells in lines:
    if len(cells) != len(columns):
      raise UserError(f'{path}: line {line} has {len(cells)} cells, expected {len(columns)}')
    image, *values = (cells[i].strip() for i in at)
    key = _stem(image)
    where = f'{path}: line {line}, id {key!r}'
    if not key or key.startswith('/') or '..' in key.split('/'):
      raise UserError(f'{where}: {COLUMNS[0]} is {image!r}, expected a path such as 1/name.jpg')
    if key in rows:
      raise UserError(f'{where}: this id has an earlier line; remove one of them')
    rows[key] = _label(values, [f'{where}, column {name}' for name in COLUMNS[6:]])
  if not rows:
    raise UserError(f'{path}: no lines after the header; expected one per image')
  return rows


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
  """(line number, cells) of a csv file, one at a time: the real training list has hundreds of MB."""
  try:
    with open(path, encoding='utf-8-sig', newline='') as f:
      reader = csv.reader(f)
      for cells in reader:
        if cells:
          yield reader.line_num, cells
  except (UnicodeDecodeError, csv.Error, OSError) as e:
    raise UserError(f'{path}: cannot be read as a table of UTF-8 text: {e}') from e


def _read_arrays(folder: Path) -> dict[str, Label]:
  """Layout (b): the labels of one of the two folders, by id, in the order of their numbers."""
  annotations = folder / 'annotations'
  if not annotations.is_dir():
    raise UserError(f'{annotations}: no such folder; expected <n>_exp, _val and _aro.npy')
  paths = (p for p in annotations.iterdir() if p.suffix == '.npy' and not p.name.startswith('.'))
  stems = (p.stem.rsplit('_', 1) for p in paths)
  numbers = {s[0] for s in stems if len(s) == 2 and s[1] in ('exp', 'val', 'aro')}
  if not numbers:
    raise UserError(f'{annotations}: no annotations; expected <n>_exp, _val and _aro.npy')
  rows = {}
  for n in sorted(numbers, key=lambda n: (len(n), n)):
    paths = [annotations / f'{n}_{what}.npy' for what in ('exp', 'val', 'aro')]
    for p in paths:
      if not p.is_file():
        raise UserError(f'{p}: no such file; id {n!r} needs exp, val and aro')
    rows[f'{folder.name}/{n}'] = _label([_scalar(p) for p in paths], [str(p) for p in paths])
  return rows


def _scalar(path: Path) -> str:
  """The one value of an annotation, as text; the release stores it as a string."""
  x = features.load_npy(path)
  if x.size != 1 or x.dtype.kind not in 'USfiu':
    raise UserError(f'{path}: array of shape {list(x.shape)} and dtype {x.dtype}; expected one number or its text')
  value = x.item()
  return (value.decode('ascii', 'replace') if isinstance(value, bytes) else str(value)).strip()


def _label(values: list[str], where: list[str]) -> Label:
  """One label from the text of expression, valence and arousal; `where` names each of them in a refusal."""
  code = _number(values[0], where[0])
  if code not in range(len(CODES)):
    raise UserError(f'{where[0]}: expression {values[0]!r}, expected a code 0..10')
  if code >= len(EMOTIONS):
    return Label(int(code), math.nan, math.nan)  # dropped; its other cells are not looked at
  pair = []
  for text, w in zip(values[1:], where[1:], strict=True):
    x = _number(text, w)
    if x != -2 and not -1 <= x <= 1:
      raise UserError(f'{w}: {text}, expected a value in [-1, 1], or -2 where missing')
    pair.append(math.nan if x == -2 else x)
  return Label(int(code), *pair)


def _number(text: str, where: str) -> float:
  try:
    x = float(text)
  except ValueError:
    x = math.nan
  if not math.isfinite(x):
    raise UserError(f'{where}: {text!r} is not a number')
  return x


def _stem(image: str) -> str:
  base, dot, suffix = image.rpartition('.')
  kinds = ('jpg', 'jpeg', 'png', 'bmp', 'tif', 'tiff', 'gif')
  return base if dot and suffix.lower() in kinds else image


# Features


def _features(source: Path, known: set[str], wanted: list[str]) -> Features:
  """The one store of features in `source`; ids it has that no list knows, or lacks, are refused."""
  folder, npy, npz = source / 'features', source / 'features.npy', source / 'features.npz'
  sources = [p for p in (folder, npy, npz) if p.exists()]
  if len(sources) != 1:
    raise UserError(
      f'{source}: {" and ".join(p.name for p in sources) or "no features"}; expected one of features/<id>.npy, '
      'features.npy with features_ids.csv, and features.npz'
    )
  if sources[0] == folder:
    paths = {key: features.find(folder, key) for key in wanted}
    width = features.load_array(paths[wanted[0]], frames=1).shape[1]
    load = lambda key: features.load_array(paths[key], width=width, frames=1)
    return Features(width, list(paths.values()), load)
  if sources[0] == npy:
    x, ids_path = _mapped(npy), _ids_path(source)
    ids, files = _read_ids(ids_path), [npy, ids_path]
  else:
    arrays, ids_path, files = features.load_npz(npz, ['ids', 'features']), npz, [npz]
    x, names = features.as_float32(npz, arrays['features']), arrays['ids']
    if names.ndim != 1 or names.dtype.kind != 'U':
      raise UserError(f'{npz}: ids {list(names.shape)} of dtype {names.dtype}; expected [N] text')
    ids = names.tolist()
  if x.ndim != 2 or not x.size or len(x) != len(ids):
    raise UserError(
      f'{sources[0]}: array of shape {list(x.shape)} for {len(ids)} ids ({ids_path.name}); expected [ids, D]'
    )
  row = _index(ids_path, ids, known)
  for key in wanted:
    if key not in row:
      raise UserError(f'{ids_path}: no id {key!r}; every kept image needs a row (NaN if faceless)')
  return Features(x.shape[1], files, lambda key: features.as_float32(sources[0], x[row[key]][None]))


def _index(path: Path, ids: list[str], known: set[str]) -> dict[str, int]:
  """Row of each id."""
  row = {}
  for i, name in enumerate(ids):
    key = _stem(name)
    if key in row:
      raise UserError(f'{path}: id {name!r} stands at rows {row[key]} and {i}; keep one')
    if key not in known:
      raise UserError(f'{path}: id {name!r} (row {i}) is of no labelled image; correct or remove it')
    row[key] = i
  return row


def _mapped(path: Path) -> np.ndarray:
  """[N, D] through a memory map; objects are refused, never unpickled."""
  try:
    x = np.load(path, mmap_mode='r', allow_pickle=False)
    if not isinstance(x, np.memmap) or path.stat().st_size != x.offset + x.nbytes:
      raise ValueError('its size is not that of the array it announces')
  except (ValueError, EOFError, OSError) as e:
    raise UserError(f'{path}: cannot be read as an .npy array: {e}') from e
  if x.dtype.kind not in 'fiu':
    raise UserError(f'{path}: array of dtype {x.dtype}; expected numbers (float or integer)')
  return x


def _ids_path(source: Path) -> Path:
  lists = [p for n in ('features_ids.csv', 'features_ids.json') if (p := source / n).is_file()]
  if len(lists) != 1:
    raise UserError(
      f'{source / "features.npy"}: {" and ".join(p.name for p in lists) or "no list of ids"} beside it; '
      'expected one of features_ids.csv with a column id and features_ids.json with a list'
    )
  return lists[0]


def _read_ids(path: Path) -> list[str]:
  if path.suffix == '.csv':
    names, rows = features.load_rows(path, columns=['id'])
    return [row[names.index('id')].strip() for row in rows]
  try:
    ids = json.loads(path.read_text('utf-8'))
  except (ValueError, RecursionError, OSError) as e:
    raise UserError(f'{path}: cannot be read as JSON: {e}') from e
  if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
    raise UserError(f'{path}: expected a JSON list of ids, all of them strings')
  return ids
