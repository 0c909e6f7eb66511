"""One process runs a table of a thousand cells: what it holds no longer grows after the first cells of each system."""

import ctypes
import gc
import itertools
import pathlib
import shutil

import jax
import numpy as np
import pytest

from affectjax.engine import programs, train
from tests.helpers import amber2_small, lu_small, masked_ssl_small, small, vavl_small

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(not pathlib.Path('/proc/self/maps').exists(), reason='this system does not count mappings'),
]
FEW = dict(steps=2, eval_every=0, select='last')
MAKERS = {
  'siamese': lambda seed, lr: small.config('siamese', seed=seed, optim=dict(lr=lr), **FEW),
  'head': lambda seed, lr: small.config('control_va_afew_va', 'representation', seed=seed, optim=dict(lr=lr), **FEW),
  'carry_forward': lambda seed, lr: small.config('carry_forward', seed=seed),
  'label_uncertainty': lambda seed, lr: lu_small.config('stl', seed=seed, optim=dict(lr=lr), **FEW),
  'masked_ssl': lambda seed, lr: masked_ssl_small.config(
    dict(FEW, data=dict(frames=50), twins=dict(cmu_mosei=dict(seed=0, scale=0.02)), optim=dict(lr=lr)), seed=seed
  ),
  'amber2': lambda seed, lr: amber2_small.config('ce_fusion', seed=seed, optim=dict(lr=lr), **FEW),
  'vavl': lambda seed, lr: vavl_small.config('audio_only', seed=seed, optim=dict(lr=lr), **FEW),
}
SEEDS, WARM = 143, 20  # of each of seven; the allocator's pools settle in the first
RATES, MORE = 150, 600  # each a program of its own; mappings until they are let go


def size() -> tuple[int, float]:
  """Mappings and resident memory (MB) of this process, what is free given back."""
  gc.collect()
  ctypes.CDLL(None).malloc_trim(0)
  status = pathlib.Path('/proc/self/status').read_text().split('VmRSS:')[1]
  return len(pathlib.Path('/proc/self/maps').read_text().splitlines()), int(status.split()[0]) / 1024


def run(name: str, seed: int, folder: pathlib.Path, lr: float = 1e-3) -> None:
  train.run(MAKERS[name](seed, lr), folder)
  shutil.rmtree(folder)


@pytest.fixture
def compiled():
  """Seconds of every compilation from now on, as JAX tells them."""
  seconds: list[float] = []
  listen = lambda event, duration, **_: seconds.append(duration) if event.endswith('backend_compile_duration') else None
  jax.monitoring.register_event_duration_secs_listener(listen)
  return seconds


def test_a_thousand_cells_hold_no_more_than_the_first(compiled, tmp_path):
  for seed, name in itertools.product(range(WARM), MAKERS):
    run(name, seed, tmp_path / 'cell')
  mappings, megabytes = size()
  compiled.clear()
  for seed, name in itertools.product(range(WARM, SEEDS), MAKERS):
    run(name, seed, tmp_path / 'cell')
  assert not compiled, f'{len(compiled)} programs were compiled again'
  after = size()
  assert after[0] < mappings + 200 and after[1] < megabytes + 100, ((mappings, megabytes), after)


def test_cells_with_programs_of_their_own_hold_as_many_as_a_process_keeps(compiled, monkeypatch, tmp_path):
  jax.clear_caches()
  run('head', 0, tmp_path / 'cell')
  monkeypatch.setattr(programs, 'MAPPINGS', size()[0] + MORE)
  sizes = []
  for i in range(RATES):
    run('head', 0, tmp_path / 'cell', 1e-3 * (1 + i / 100))
    sizes.append(size())
  assert len(compiled) >= RATES
  mappings, megabytes = np.array(sizes).T
  assert mappings.max() < programs.MAPPINGS + 1000, 'let go before the next cell'
  falls = np.flatnonzero(np.diff(mappings) < -MORE / 2)
  assert len(falls) >= 4, 'as often as it is full'
  assert megabytes[RATES // 2 :].max() < megabytes[: RATES // 2].max() + 100, megabytes
