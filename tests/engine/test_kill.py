"""SIGKILL at random moments, while a checkpoint is being written too: nothing unreadable, and the same end."""

import os
import pathlib
import shutil
import signal
import time

import chex
import jax
import numpy as np
import pytest

from affectjax.engine import checkpoint
from affectjax.systems import mtclar
from tests.helpers import forks, small
from tests.helpers.shared import flags_for

pytestmark = pytest.mark.slow
KILLS, STEPS = 20, 90
CHANGES = dict(  # a head compiles faster than a Siamese network
  row='control_va_afew_va', table='representation', steps=STEPS, eval_every=1, select='loss', log_every=1,
  batch_size=16, head=dict(dropout=0.3), optim=dict(schedule='plateau', patience=1, factor=0.7),
)  # fmt: skip


@pytest.fixture(scope='module')
def processes(tmp_path_factory):
  """Starts processes that share imports and compiled code, so that most of their life is training."""
  environment = {
    'JAX_COMPILATION_CACHE_DIR': str(tmp_path_factory.mktemp('cache')),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
    'XLA_FLAGS': flags_for(2),
  }
  with forks.server(**environment) as process:
    yield lambda folder: process(small.train, folder, CHANGES)


def saved(folder: pathlib.Path) -> int:
  """The last whole step."""
  steps = folder / 'checkpoints' / 'steps'
  return max((int(p.name) for p in steps.glob('*') if p.name.isdigit()), default=0)


def writing(folder: pathlib.Path) -> bool:
  return any((folder / 'checkpoints' / 'steps').glob('*tmp*'))


def wait_until(condition, process) -> None:
  end = time.monotonic() + 120
  while not condition() and process.is_alive():
    assert time.monotonic() < end, 'the training process does not get on'
    time.sleep(0.001)


def kill(process, folder, rng, during_save: bool) -> bool:
  """Kills after a few more steps, at any moment or within a save; returns whether a save was under way."""
  goal = saved(folder) + int(rng.integers(1, 5))
  wait_until(lambda: saved(folder) >= goal, process)
  if during_save:
    wait_until(lambda: writing(folder), process)
    time.sleep(float(rng.uniform(0, 0.02)))
  else:
    time.sleep(float(rng.uniform(0, 0.2)))
  os.kill(process.pid, signal.SIGKILL)
  process.join()
  assert process.exitcode == -signal.SIGKILL, 'the run ended before it could be killed: make it longer'
  return writing(folder)


def readable(folder: pathlib.Path, aside: pathlib.Path, like) -> int:
  """Restores the latest and the selected checkpoint of a copy of the folder, as the next run will; the latest step."""
  shutil.copytree(folder, aside)
  kept = checkpoint.Checkpoints(aside, 'loss', 'min')
  latest = kept.latest() or 0
  for step in {latest, kept.selected() or 0} - {0}:
    state, position = kept.restore(step, like)
    assert int(state.step) == step == position['batches']['next_index']
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
  kept.close()
  return latest


def test_twenty_kills(processes, tmp_path):
  experiment = mtclar.build(small.config(**CHANGES), None)
  like = experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  whole, torn = tmp_path / 'whole', tmp_path / 'torn'
  uninterrupted = processes(whole)
  uninterrupted.start()
  rng, in_save, reached = np.random.default_rng(0), 0, []
  for number in range(KILLS):
    process = processes(torn)
    process.start()
    in_save += kill(process, torn, rng, during_save=number % 2 == 1)
    reached.append(readable(torn, tmp_path / f'copy{number}', like))
  uninterrupted.join()
  last = processes(torn)
  last.start()
  last.join()
  assert uninterrupted.exitcode == last.exitcode == 0
  assert reached == sorted(reached) and reached[0] > 0, 'no kill may lose a checkpoint'
  assert in_save >= 5, f'only {in_save} kills fell into a save'
  print(f'\n{KILLS} kills, {in_save} of them during a save, at steps {reached}: 0 unreadable')
  chex.assert_trees_all_equal(checkpoint.load_final(torn), checkpoint.load_final(whole))
  assert small.lines(torn / 'metrics.jsonl') == small.lines(whole / 'metrics.jsonl')
  with np.load(torn / 'predictions.npz') as first, np.load(whole / 'predictions.npz') as second:
    assert set(first) == set(second)
    assert all(first[name].tobytes() == second[name].tobytes() for name in second)
