"""One pretraining step of `masked_ssl`, side by side with the same network and loss in PyTorch eager mode, on a CPU.

  pip install torch        (the only thing here that needs it; a CPU build will do)
  python -m pytest -s --optimised -m benchmark tests/benchmarks/bench_masked_ssl.py
  python -m tests.benchmarks.bench_masked_ssl

B = 256 sequences of 10 to 50 steps x 74 features, four blocks of width 128 (experiments/masked_ssl.md, 11), fresh masks
every step, AdamW, clipped, on two cores. workers.py says how time and memory are taken. Run it on an idle machine.
"""

import importlib.util
import statistics
import sys

import numpy as np
import pytest

from tests.benchmarks import workers

VARIANTS = ('ours', 'torch')
BATCH, FRAMES, FEATURES = 256, 50, 74
WARM, STEPS, TURNS = 2, 8, 3
TIME = 0.7  # of PyTorch's, at most


def ours() -> workers.Made:
  """The step of this project: (what compiles it, a function that makes one step and returns its loss)."""
  import jax

  from affectjax.engine import optim, parallel
  from affectjax.systems.masked_ssl import experiment
  from tests.helpers import shared

  config = shared.experiment('masked_ssl')
  run = {**config.run.to_dict(), 'optim': {**config.run.optim.to_dict(), **config.rows.pretrain.optim.to_dict()}}
  cell = experiment.pretraining(run, FEATURES, {})
  rng = np.random.default_rng(0)
  real = np.arange(FRAMES) < rng.integers(10, FRAMES + 1, (BATCH, 1))
  x = rng.standard_normal((BATCH, FRAMES, FEATURES), np.float32)
  batch = {'x': x, 'real': real, 'mask': np.ones(BATCH, np.float32)}
  one = np.ones(FEATURES, np.float32)
  standard = {'mean': np.zeros(FEATURES, np.float32), 'scale': one, 'on': one > 0}
  start = experiment._init_pretraining(cell, optim.make(run['optim'], 100), standard, jax.random.key(0), batch)
  state, batch = parallel.replicate(start), jax.block_until_ready(parallel.shard(batch))
  mapped = parallel.pmap(experiment._pretext_step(cell, tuple(sorted(run['optim'].items())), 100), True)

  def step() -> float:
    nonlocal state
    state, scalars = mapped(state, batch)
    return float(np.asarray(scalars['loss']).ravel()[0])

  return step, step


def in_torch() -> workers.Made:
  import torch

  from tests.benchmarks import torch_masked_ssl

  torch.set_num_threads(workers.CORES)
  step, _ = torch_masked_ssl.make_step(BATCH, FRAMES, FEATURES)
  return step, step


def measure(turns: int = TURNS) -> dict[str, list[float]]:
  return workers.measure('tests.benchmarks.bench_masked_ssl', VARIANTS, turns, WARM, STEPS)[0]


@pytest.mark.benchmark
@pytest.mark.skipif(not importlib.util.find_spec('torch'), reason='PyTorch is not installed')
def test_step_against_pytorch():
  seconds = measure()
  ratio = statistics.median(seconds['ours']) / statistics.median(seconds['torch'])
  assert ratio <= TIME, f'{ratio:.2f} x PyTorch, target {TIME}'


if __name__ == '__main__':
  if len(sys.argv) > 1:
    workers.work({'ours': ours, 'torch': in_torch}[sys.argv[1]], {'torch': 'torch', 'ours': 'jax'}[sys.argv[1]])
  else:
    measure()
