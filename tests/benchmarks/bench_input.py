"""How fast batches come: from memory, from ArrayRecord, and how long training waits for them.

python -m pytest -s --optimised tests/benchmarks/bench_input.py
"""

import statistics

import numpy as np
import pytest

from affectjax.data.store import records, shards
from affectjax.engine import train
from affectjax.examples import batches as batches_lib
from tests.benchmarks.rates import per_second, report
from tests.helpers import miniature, small

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
def test_shuffled_from_array_record(monkeypatch, tmp_path):
  toy = miniature.toy(monkeypatch, tmp_path)
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 50_000)
  x = np.random.default_rng(0).standard_normal((64, T, D), np.float32)
  toy.meta = {**miniature.TOY_META, 'modalities': {'audio': D}}
  toy.keys = {'train': range(4000)}
  toy.example = lambda split, i: {
    'id': f'u{i}', 'group': f'g{i % 9}', 'item': 'x', 'audio': x[i % 64],
    'valence': np.float32(0.1), 'arousal': np.float32(0.2),
  }  # fmt: skip
  toy.prepare()
  source = records.RecordSource(toy.folder, 'train')
  batches = batches_lib.shuffled(np.arange(len(source)), source.gather, BATCH, 0)
  assert next(batches)['audio'].shape == (BATCH, T, D)
  rates = per_second(lambda: [next(batches) for _ in range(BATCHES // 3)], BATCHES // 3 * BATCH)
  assert report(f'from ArrayRecord, [{T}, {D}] float32, batches of {BATCH}', rates, STREAM, 'examples') >= STREAM


@pytest.mark.benchmark
def test_training_hardly_waits_for_its_batches(tmp_path):
  """MT-CLAR in its full size: 11.6 M parameters, batches of 256 pairs."""
  twins = dict(affectnet=dict(train=6000, val=80), afew_va={})
  config = small.config('siamese', steps=14, eval_every=0, batch_size=256, log_every=1, twins=twins)
  train.run(config, tmp_path)
  steps = [line for line in small.lines(tmp_path / 'metrics.jsonl', without=()) if 'input_wait' in line]
  shares = [line['input_wait'] for line in steps[2:]]  # the first holds the compilation
  rates = [line['examples_per_s'] for line in steps[2:]]
  middle = statistics.median(shares)
  print(
    f'\ninput wait: median {middle:.2%} of a step, {min(shares):.2%} to {max(shares):.2%} (target below {WAIT:.0%}); '
    f'{statistics.median(rates):,.0f} pairs/s'
  )
  assert middle < WAIT
