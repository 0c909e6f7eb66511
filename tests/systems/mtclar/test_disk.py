"""MT-CLAR on features that stay on disk: the same losses and predictions as from memory, bit for bit."""

import numpy as np
import pytest

from affectjax.engine import train
from affectjax.examples import splits
from affectjax.systems.mtclar import frames as frames_lib
from tests.helpers import disk, small

LIMITS = (8.0, 0.0)  # GB: all in memory, and nothing


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Where a twin's films are prepared, and their name there."""
  folder = tmp_path_factory.mktemp('prepared')
  return folder, disk.prepare('afew_va', folder, clips=16)


def configs(name: str, *row: str, **changes):
  """A row on that corpus, from memory and from disk."""
  config = small.config(*row, corpora=(name,), per_fold=True, data=dict(split='folds'), **changes)
  return [{**config, 'twins': {}, 'data': {**config['data'], 'memory_gb': gb}} for gb in LIMITS]


def outputs(folder) -> dict[str, np.ndarray]:
  with np.load(folder / 'predictions.npz') as stored:
    return dict(stored)


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
  assert list(first) == list(second)
  for name, values in first.items():
    np.testing.assert_array_equal(values, second[name], name)


@pytest.mark.parametrize(
  'row',
  [pytest.param(('siamese',), marks=pytest.mark.slow), ('control_va_afew_va', 'representation')],
  ids=lambda row: row[0],
)
def test_losses_from_disk_are_those_from_memory(prepared, tmp_path, row):
  data_dir, name = prepared
  config, _ = configs(name, *row, pairs=dict(rule='distance'), steps=disk.STEPS, eval_every=15)
  folders = [tmp_path / str(gb) for gb in LIMITS]
  first, second = (disk.losses(config, data_dir, *where) for where in zip(folders, LIMITS, strict=True))
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)
  same(*map(outputs, folders))


@pytest.mark.parametrize(
  'row',
  [pytest.param(('mtclar',), marks=pytest.mark.slow), ('ridge',), ('ridge_va_afew_va', 'representation')],
  ids=lambda row: row[0],
)
def test_what_takes_no_training_predicts_the_same(prepared, tmp_path, row):
  data_dir, name = prepared
  each = configs(name, *row)
  start = tmp_path / 'start' if row == ('mtclar',) else None
  if start:
    train.run(small.config('siamese', steps=1, eval_every=0), start)
  for config, gb in zip(each, LIMITS, strict=True):
    train.run(config, tmp_path / str(gb), str(data_dir), start)
  same(*(outputs(tmp_path / str(gb)) for gb in LIMITS))


def test_rows_are_read_in_any_order(prepared):
  data_dir, name = prepared
  memory, rows = (frames_lib.load(config, str(data_dir)) for config in configs(name, 'siamese'))
  assert rows.on_disk and not memory.on_disk and rows.x.shape == memory.x.shape
  index = np.random.default_rng(0).integers(len(memory), size=(50, 3))
  np.testing.assert_array_equal(rows.x[index], memory.x[index])
  train_rows = splits.split(memory.examples, configs(name, 'siamese')[0])['train']
  first, second = (frames_lib.standardiser(frames, train_rows) for frames in (memory, rows))
  same(first, second)
