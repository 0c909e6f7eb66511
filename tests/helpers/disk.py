"""Twins written to disk as corpora of the user's own, and what training on them loses, from disk and from memory.

name = disk.prepare('crema_d', tmp_path, seed=0, actors=6)          # any twin, with its knobs
config = vavl_small.config(corpora=(name,), steps=30, ...)
first, second = (disk.losses(config, tmp_path, tmp_path / f'{gb}', gb) for gb in (8.0, 0.0))
np.testing.assert_array_equal(first, second)

python -m tests.helpers.disk DATA_DIR FOLDER MEMORY_GB CONFIG    # losses in a process of its own; CONFIG is a JSON file
"""

import dataclasses
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.data.corpus import Corpus, Ragged, Reading
from affectjax.data.store import opening, preparing
from affectjax.engine import train
from tests.helpers import small
from tests.helpers.shared import ROOT

STEPS = 30


def prepare(twin: str, data_dir: Path, name: str = 'mine', **knobs: Any) -> str:
  """Writes a twin, made with `knobs`, below `data_dir` as the corpus `name`, which is returned."""
  write(opening.open_corpus(twin, **knobs), data_dir, name)
  return name


def longer(corpus: Corpus, most: int) -> Corpus:
  """A corpus of one frame per example and modality with 1 to `most` frames in its place, each with noise of its own."""

  def columns(split: str) -> dict[str, Any]:
    rng, out = np.random.default_rng(0), dict(corpus.columns(split))
    for m in corpus.meta['modalities']:
      counts = rng.integers(1, most + 1, corpus.counts[split])
      offsets = np.concatenate([[0], np.cumsum(counts)])
      x = np.repeat(out[m].values, counts, 0)
      x = (x + 0.5 * rng.normal(size=x.shape)).astype(np.float32)
      out |= {m: Ragged(x, offsets), f'{m}_mask': Ragged(np.repeat(out[f'{m}_mask'].values, counts), offsets)}
    return out

  return dataclasses.replace(corpus, columns=columns)


class Made:
  """A column whose examples are made when they are asked for."""

  def __init__(self, make: Callable[[int], Any]):
    self._make = make

  def __getitem__(self, i: int) -> Any:
    return self._make(i)


def tiled(corpus: Corpus, count: int, modality: str, frames: int, width: int) -> Corpus:
  """`count` examples, the corpus's own in turn, whose `modality` is [frames, width] of noise; made one by one."""
  ((split, own),) = corpus.counts.items()
  noise = np.random.default_rng(0).standard_normal((frames + 100, width), np.float32)
  columns = {k: Made(lambda i, column=column: column[i % own]) for k, column in corpus.columns(split).items()}
  columns |= {
    'id': Made(lambda i: f'u{i:06d}'), modality: Made(lambda i: noise[i % 100 : i % 100 + frames]),
    f'{modality}_mask': Made(lambda i: np.ones(frames, bool)), f'{modality}_present': Made(lambda i: np.True_),
  }  # fmt: skip
  meta = {**corpus.meta, 'modalities': {**corpus.meta['modalities'], modality: width}}
  return dataclasses.replace(corpus, counts={split: count}, meta=meta, columns=lambda _: columns)


def write(corpus: Corpus, data_dir: Path, name: str, **how: Any) -> Corpus:
  """The corpus on disk, example by example through `preparing.prepare`, which `how` is passed to."""
  columns = {split: corpus.columns(split) for split in corpus.counts}

  def example(split: str, i: int) -> dict[str, Any]:
    row = {key: column[i] for key, column in columns[split].items()}
    return {key: str(x) if isinstance(x, str) else np.asarray(x) for key, x in row.items()}

  keys = {split: range(n) for split, n in corpus.counts.items()}
  reader = types.SimpleNamespace(read=lambda source: Reading(corpus.meta, keys, example, []))
  return preparing.prepare(name, data_dir, data_dir, reader=reader, **how)


def peak(config: Mapping[str, Any], data_dir: Path, folder: Path, memory_gb: float) -> float:
  """The largest resident memory in GB of a process of its own that does what `losses` does, on one device."""
  folder.mkdir()
  (folder / 'config.json').write_text(json.dumps(config))
  command = [sys.executable, '-m', 'tests.helpers.disk', str(data_dir), str(folder / 'cell'), str(memory_gb)]
  env = {**os.environ, 'XLA_FLAGS': '', 'PYTHONPATH': str(ROOT)}
  done = subprocess.run([*command, str(folder / 'config.json')], cwd=ROOT, env=env, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  return float(done.stdout.split()[-1])


def losses(config: Mapping[str, Any], data_dir: Path, folder: Path, memory_gb: float) -> list[float]:
  """The training loss of every step of a cell, trained in `folder` with `run.data.memory_gb` as given."""
  run = {**config, 'twins': {}, 'log_every': 1, 'data': {**config['data'], 'memory_gb': memory_gb}}
  train.run(run, folder, str(data_dir))
  return [line['loss'] for line in small.lines(folder / 'metrics.jsonl') if 'loss' in line]


if __name__ == '__main__':
  losses(json.loads(Path(sys.argv[4]).read_text()), Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
  status = Path('/proc/self/status').read_text().splitlines()
  print(next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) / 1e6)
