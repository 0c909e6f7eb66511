"""Small cells as a table leaves them, and their corpora's features in folders as a user has them."""

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.data.store import opening
from affectjax.tables import cells


def train(workdir: pathlib.Path, config: Mapping[str, Any], row: str = 'row') -> pathlib.Path:
  """Runs one cell on its twin; returns its folder."""
  cell = cells.Cell(row, str(config['fold']), config['seed'], config, 'f' * 64)
  made = cells.Table({'metrics': ()}, 'tests.py', None)
  assert (failure := cells.run_cell(made, cell, workdir, lambda *_: None, True)) is None, failure
  return workdir / cell.folder


def export(config: Mapping[str, Any], place: pathlib.Path, modalities=None, keep=lambda modality, i: True):
  """Every example's features as files: masked frames are NaN, a modality that is not there has no file.

  Args:
    config: whose twin.
    place: a folder, made; a single modality's files lie in it.
    modalities: names, all by default.
    keep: (modality, number of the example) -> whether it has that file.

  Returns:
    [N] ids, in the order of the corpus.
  """
  name = config['corpora'][0]
  corpus = opening.open_corpus(name, None, **config['twins'][name])
  names, ids = list(modalities or corpus.meta['modalities']), []
  for split in corpus.counts:
    columns = corpus.columns(split)
    for i, key in enumerate(columns['id'].tolist()):
      for m in names:
        mask = columns[f'{m}_mask'][i]
        if mask.any() and keep(m, len(ids)):
          folder = place if len(names) == 1 else place / m
          folder.mkdir(parents=True, exist_ok=True)
          np.save(folder / f'{key}.npy', np.where(mask[:, None], columns[m][i], np.float32(np.nan)))
      ids.append(key)
  return np.array(ids)


def stored(folder: pathlib.Path, side: str = 'test') -> dict[str, np.ndarray]:
  """What the cell itself predicted on a side."""
  with np.load(folder / 'predictions.npz') as file:
    return {k.removeprefix(f'{side}/'): file[k] for k in file.files if k.startswith(f'{side}/')}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
  """The table, columns of numbers as float64, NaN where empty; of text as it is."""
  with open(path, newline='', encoding='utf-8') as file:
    header, *rows = csv.reader(file)
  out = {}
  for name, values in zip(header, zip(*rows, strict=True), strict=True):
    text = name in ('id', 'emotion')
    out[name] = np.array(values) if text else np.array([float(v) if v else np.nan for v in values])
  return out


def of_ids(table: Mapping[str, np.ndarray], ids: np.ndarray) -> dict[str, np.ndarray]:
  """The rows of these ids, in their order."""
  at = {name: i for i, name in enumerate(table['id'].tolist())}
  return {k: v[[at[i] for i in ids.tolist()]] for k, v in table.items()}
