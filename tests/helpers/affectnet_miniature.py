"""AffectNet in miniature, in both layouts in which it is distributed and all three of its features."""

import csv
import json
import zlib
from pathlib import Path

import numpy as np

from affectjax.data.corpora import affectnet

WIDTH = 5
# image, expression, valence, arousal; no image of the real corpus
ROWS = {
  'train': [
    ('7/a.jpg', 0, 0.1, -0.05), ('7/b.JPG', 1, 0.7, 0.1), ('7/c.png', 2, -0.5, -0.25),
    ('12/d.jpg', 7, -0.4, 0.3), ('12/e.jpg', 8, -2, -2), ('12/f.jpg', 9, -2, -2), ('12/g.jpg', 10, -2, -2),
    ('12/h.jpg', 6, -2, -2), ('12/i.tif', 1, -0.6, 0.0), ('9/j.jpg', 8, 0.1, 0.1),
    ('9/k.k.jpg', 5, -0.25, 0.1),
  ],
  'val': [
    ('9/v.jpg', 3, 0.0, 0.6), ('9/w.jpg', 4, -0.5, 0.5), ('9/x.jpg', 0, 0.5, 0.5), ('9/y.jpg', 9, -2, -2),
  ],
}  # fmt: skip
LISTS = {'train': 'training.csv', 'val': 'validation.csv'}


def stem(image: str) -> str:
  return image.rsplit('.', 1)[0]


def vector(image: str) -> np.ndarray:
  """The features of an image, the same in every layout."""
  return np.random.default_rng(zlib.crc32(stem(image).encode())).normal(size=WIDTH).astype(np.float32)


def write_csv(folder: Path, header: tuple[str, ...] = ('train', 'val')) -> None:
  """Layout (a)."""
  folder.mkdir(parents=True, exist_ok=True)
  for split, rows in ROWS.items():
    with open(folder / LISTS[split], 'w', newline='') as f:
      out = csv.writer(f)
      if split in header:
        out.writerow(affectnet.COLUMNS)
      for image, code, v, a in rows:
        box = ['NULL'] * 5 if code == 10 else [1, 2, 30, 40, ';'.join(f'{i}.5' for i in range(136))]
        out.writerow([image, *box, code, v, a])


def write_npy(source: Path, text: bool = True) -> dict[str, str]:
  """Layout (b), numbered per folder; returns its ids for those of layout (a)."""
  ids = {}
  for split, rows in ROWS.items():
    folder = source / affectnet.FOLDERS[split] / 'annotations'
    folder.mkdir(parents=True)
    for n, (image, code, v, a) in enumerate(rows):
      for what, value in (('exp', code), ('val', v), ('aro', a)):
        np.save(folder / f'{n}_{what}.npy', np.array(str(value) if text else value))
      np.save(folder / f'{n}_lnd.npy', np.zeros(136))
      ids[stem(image)] = f'{affectnet.FOLDERS[split]}/{n}'
  return ids


def write_features(source: Path, kind: str = 'files', ids: dict[str, str] | None = None, drop=()) -> None:
  """Features of all images but the codes 9 and 10, whose rows nobody needs."""
  images = [r[0] for rows in ROWS.values() for r in rows if r[1] < 9 and r[0] not in drop]
  names = [ids[stem(i)] if ids else stem(i) for i in images]
  x = np.stack([vector(i) for i in images])
  if kind == 'files':
    for i, name in enumerate(names):
      path = source / 'features' / f'{name}.npy'
      path.parent.mkdir(parents=True, exist_ok=True)
      np.save(path, x[i] if i % 2 else x[i : i + 1])
  elif kind == 'npz':
    np.savez(source / 'features.npz', ids=np.array(names), features=x)
  else:
    np.save(source / 'features.npy', x)
    if kind == 'json':
      (source / 'features_ids.json').write_text(json.dumps(names if ids else images))
    else:
      (source / 'features_ids.csv').write_text('id\n' + '\n'.join(names if ids else images) + '\n')


def write(source: Path, layout: str = 'csv', kind: str = 'files', **kwargs) -> Path:
  source.mkdir(parents=True, exist_ok=True)
  ids = write_npy(source) if layout == 'npy' else write_csv(source)
  write_features(source, kind, ids, **kwargs)
  return source
