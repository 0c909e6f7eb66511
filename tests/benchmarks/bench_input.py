"""How fast batches come: from memory, from ArrayRecord, and how long training waits for them.

python -m pytest -s --optimised tests/benchmarks/bench_input.py
"""

import os
import statistics
import time

import numpy as np
import pytest

from affectjax.data.store import opening
from affectjax.engine import train
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples
from affectjax.tables import cells
from tests.benchmarks.rates import REPEATS, per_second, report
from tests.helpers import amber2_small, disk, small

T, D, BATCH, BATCHES = 100, 74, 32, 120
MEMORY, STREAM = 50_000, 6_000  # examples per second
WAIT = 0.05  # of a step


@pytest.mark.benchmark
def test_shuffled_from_memory():
  x = np.random.default_rng(0).standard_normal((4000, T, D), np.float32)
  batches = batches_lib.shuffled(np.arange(len(x)), lambda rows: {'x': x[rows]}, BATCH, 0)
  rates = per_second(lambda: [next(batches) for _ in range(BATCHES)], BATCHES * BATCH)
  assert report(f'from memory, [{T}, {D}] float32, batches of {BATCH}', rates, MEMORY, 'examples') >= MEMORY


@pytest.mark.benchmark
@pytest.mark.parametrize('features_as', ['float32', 'float16'])
def test_shuffled_from_array_record(tmp_path, features_as):
  """What training does where frames stay on disk: random batches of a stream, read ahead."""
  twin = opening.open_corpus('iemocap', seed=0, turns=600, audio_width=4, text_width=4)
  corpus = disk.write(disk.tiled(twin, 4000, 'audio', T, D), tmp_path, 'mine', features_as=features_as)
  made = examples.of(corpus, ('audio',), memory_gb=0)
  gather = lambda index: {'audio': made.streams['audio'].gather(index, T)[0]}
  for ahead in (False, made.on_disk):
    batches = batches_lib.shuffled(np.arange(len(made)), gather, BATCH, 0, ahead)
    assert next(batches)['audio'].shape == (BATCH, T, D)
    used = time.process_time()
    rates = per_second(lambda b=batches: [next(b) for _ in range(BATCHES // 3)], BATCHES // 3 * BATCH)
    used = (REPEATS + 1) * (BATCHES // 3) * BATCH / (time.process_time() - used)
    how = f'from ArrayRecord, [{T}, {D}] {features_as}, batches of {BATCH}{", read ahead" if ahead else ""}'
    middle = report(how, rates, STREAM, 'examples')
    print(f'by processor time {used:,.0f} examples/s; load {os.getloadavg()[0]:.1f}')
  assert middle >= STREAM


@pytest.mark.benchmark
def test_training_hardly_waits_for_its_batches(tmp_path):
  """MT-CLAR in its full size: 11.6 M parameters, batches of 256 pairs."""
  twins = dict(affectnet=dict(train=6000, val=80), afew_va={})
  config = small.config('siamese', steps=14, eval_every=0, batch_size=256, log_every=1, twins=twins)
  train.run(config, tmp_path)
  hardly_waits(tmp_path, 'pairs')


@pytest.mark.benchmark
def test_training_from_disk_hardly_waits_for_its_batches(tmp_path):
  """AmbER^2 in its full size, which has short steps: batches of 128 utterances of [100, 74] and [40, 300] frames."""
  twin = opening.open_corpus('iemocap', seed=0, turns=600, audio_width=4, text_width=4)
  corpus = disk.tiled(disk.tiled(twin, 1500, 'audio', T, D), 1500, 'text', 40, 300)
  disk.write(corpus, tmp_path, 'mine')
  changes = dict(steps=40, eval_every=0, eval_epochs=0.0, patience=0, select='last', data=dict(frames=True))
  config = {**cells.merge(amber2_small.experiment()['run'], changes, 'tests'), 'corpora': ('mine',)}
  disk.peak({**config, 'fold': '0', 'seed': 0}, tmp_path, tmp_path / 'run', memory_gb=0)
  hardly_waits(tmp_path / 'run' / 'cell', 'utterances')


def hardly_waits(folder, unit: str) -> None:
  """Prints the share of a step that a cell has waited for its batch, and holds the median against the target."""
  steps = [line for line in small.lines(folder / 'metrics.jsonl', without=()) if 'input_wait' in line]
  shares = [line['input_wait'] for line in steps[2:]]  # the first holds the compilation
  rates = [line['examples_per_s'] for line in steps[2:]]
  middle = statistics.median(shares)
  print(
    f'\ninput wait: median {middle:.2%} of a step, {min(shares):.2%} to {max(shares):.2%} (target below {WAIT:.0%}); '
    f'{statistics.median(rates):,.0f} {unit}/s'
  )
  assert middle < WAIT
