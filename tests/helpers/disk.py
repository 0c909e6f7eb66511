"""Twins written to disk as corpora of the user's own, and what training on them loses, from disk and from memory.

name = disk.prepare('crema_d', tmp_path, seed=0, actors=6)          # any twin, with its knobs
config = vavl_small.config(corpora=(name,), steps=30, ...)
first, second = (disk.losses(config, tmp_path, tmp_path / f'{gb}', gb) for gb in (8.0, 0.0))
np.testing.assert_array_equal(first, second)
"""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.data.corpus import Corpus, Reading
from affectjax.data.store import opening, preparing
from affectjax.engine import train
from tests.helpers import small

STEPS = 30


def prepare(twin: str, data_dir: Path, name: str = 'mine', **knobs: Any) -> str:
  """Writes a twin, made with `knobs`, below `data_dir` as the corpus `name`, which is returned."""
  write(opening.open_corpus(twin, **knobs), data_dir, name)
  return name


def write(corpus: Corpus, data_dir: Path, name: str, **how: Any) -> Corpus:
  """The corpus on disk, example by example through `preparing.prepare`, which `how` is passed to."""
  columns = {split: corpus.columns(split) for split in corpus.counts}

  def example(split: str, i: int) -> dict[str, Any]:
    row = {key: column[i] for key, column in columns[split].items()}
    return {key: str(x) if isinstance(x, str) else np.asarray(x) for key, x in row.items()}

  keys = {split: range(n) for split, n in corpus.counts.items()}
  reader = types.SimpleNamespace(read=lambda source: Reading(corpus.meta, keys, example, []))
  return preparing.prepare(name, data_dir, data_dir, reader=reader, **how)


def losses(config: Mapping[str, Any], data_dir: Path, folder: Path, memory_gb: float) -> list[float]:
  """The training loss of every step of a cell, trained in `folder` with `run.data.memory_gb` as given."""
  run = {**config, 'twins': {}, 'log_every': 1, 'data': {**config['data'], 'memory_gb': memory_gb}}
  train.run(run, folder, str(data_dir))
  return [line['loss'] for line in small.lines(folder / 'metrics.jsonl') if 'loss' in line]
