"""How much of a pretraining step passes outside the compiled program, with 1 and with several steps per dispatch.

  python -m pytest -s --optimised -m benchmark tests/benchmarks/bench_dispatch.py
  python -m tests.benchmarks.bench_dispatch

The loop of the engine (batches, dispatch, log; no evaluation) against the same steps as one program on the device.
Sizes: 'full', B = 256 sequences of 50 x 74, four blocks of width 128; 'small', the experiment file's on twins with 32
frames and a batch of 32, where the host weighs most.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np
import pytest

from affectjax.engine import feed, parallel, train
from affectjax.engine.feed import Feed
from affectjax.main import _keep_memory
from affectjax.systems.masked_ssl import experiment as experiments
from tests.helpers import masked_ssl_small as small

SIZES = {
  'full': dict(batch_size=256, model=dict(width=128, blocks=4, heads=4, hidden=512), data=dict(frames=50)),
  'small': dict(batch_size=32, model=dict(width=64, blocks=2, heads=4, hidden=256), data=dict(frames=32)),
}
FEATURES, ROWS, TURNS = 74, 2048, 3
STEPS = {'full': 16, 'small': 128}
MOST = 8
SHARE = 0.05  # of the loop, outside the compiled step, at most


def built(size: str, dispatch: int):
  """The experiment on sequences of noise, and its config."""
  run = small.experiment()['run']
  for part in (small.PRETRAIN, SIZES[size], dict(steps=STEPS[size], eval_every=0, eval_epochs=0.0, dispatch=dispatch)):
    run = small.cells.merge(run, part, 'benchmark')
  frames = SIZES[size]['data']['frames']
  x, real = small.features(ROWS, 0, frames, FEATURES)
  made = dataclasses.replace(small.sequences(ROWS), streams={'audio': small.memory(x, real)})
  sides = {side: np.arange(ROWS) for side in ('train', 'dev', 'test')}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(experiments, 'prepared', lambda *_: (made, sides))
    return experiments.pretrain({**run, 'fold': 'all', 'patience': 0}, None), {**run, 'fold': 'all', 'patience': 0}


def start(experiment):
  return experiment.init(jax.random.key(0), next(experiment.batches('train', 0)))


def loop(size: str, dispatch: int) -> float:
  """s per step of the engine's loop, compiled before."""
  experiment, config = built(size, dispatch)
  told, taken = Feed(experiment, 0, dispatch), STEPS[size]
  with tempfile.TemporaryDirectory() as folder:
    log = train._Log(pathlib.Path(folder), config['log_every'])
    state, turn = told.take(parallel.replicate(start(experiment)), 1)
    list(turn.each())
    for _ in range(2):  # the first time memory for two dispatches in flight is asked for; it does not count
      began, pending = time.perf_counter(), None
      for first in range(1, taken + 1, dispatch):
        state, turn = told.take(state, dispatch)
        if pending:
          log.dispatch(*pending)
        pending = (first, turn)
      log.dispatch(*pending)
    return (time.perf_counter() - began) / taken


def alone(size: str) -> float:
  """s per step of as many as one program."""
  experiment, _ = built(size, MOST)
  numbers, _ = parallel.split_strings(experiment.table)
  table, step = parallel.replicate(numbers), parallel.pmap(feed.several(experiment.step), True)
  order = experiment.batches('rows', 0)
  rows = np.stack([next(order)['row'] for _ in range(STEPS[size])], 1)
  given, state = parallel.shard({'row': rows})['row'], parallel.replicate(start(experiment))
  state, _ = jax.block_until_ready(step(state, table, given, parallel.replicate(np.int32(1))))
  count = jax.block_until_ready(parallel.replicate(np.int32(STEPS[size])))
  began = time.perf_counter()
  jax.block_until_ready(step(state, table, given, count))
  return (time.perf_counter() - began) / STEPS[size]


def measure(size: str) -> dict[str, list[float]]:
  """By turns: the program alone, the loop step by step, the loop with `MOST` steps per dispatch."""
  found: dict[str, list[float]] = {'alone': [], 'loop of 1': [], f'loop of {MOST}': []}
  for _ in range(TURNS):
    found['alone'].append(alone(size))
    for dispatch in (1, MOST):
      found[f'loop of {dispatch}'].append(loop(size, dispatch))
  return found


def told(size: str) -> dict[str, float]:
  """Prints medians, spreads and shares; the share outside by way."""
  found = measure(size)
  pure = statistics.median(found['alone'])
  shares = {k: 1 - pure / statistics.median(v) for k, v in found.items()}
  for k, v in found.items():
    print(f'{size:6s}{k:12s}{1e3 * statistics.median(v):8.2f} ms a step [{1e3 * min(v):.2f} - {1e3 * max(v):.2f}], '
          f'{100 * shares[k]:5.1f} % outside')  # fmt: skip
  return shares


@pytest.mark.benchmark
def test_share_outside_the_program():
  env = {k: v for k, v in os.environ.items() if k != 'XLA_FLAGS'}  # of one device, not the tests' eight
  command = [sys.executable, '-m', 'tests.benchmarks.bench_dispatch']
  assert subprocess.run(command, cwd=pathlib.Path(__file__).parents[2], env=env, check=False).returncode == 0


if __name__ == '__main__':
  _keep_memory()  # as the launcher does
  sys.exit(any([told(each)[f'loop of {MOST}'] >= SHARE for each in SIZES]))
