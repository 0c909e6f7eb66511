"""How fast a prepared corpus comes back: whole splits and random batches of [100, 74] float32, on one core."""

import time

import numpy as np
import pytest

from affectjax.data.store import records, shards
from tests.helpers import miniature

N, T, D = 4000, 100, 74
TARGET = 6000  # examples per second


@pytest.fixture
def corpus(monkeypatch, tmp_path):
  toy = miniature.toy(monkeypatch, tmp_path)
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 50_000)
  x = np.random.default_rng(0).normal(size=(64, T, D)).astype(np.float32)
  toy.meta = {**miniature.TOY_META, 'modalities': {'audio': D}}
  toy.keys = {'train': range(N)}
  toy.example = lambda split, i: {
    'id': f'u{i}', 'group': f'g{i % 9}', 'item': 'x', 'audio': x[i % 64],
    'valence': np.float32(0.1), 'arousal': np.float32(np.nan),
  }  # fmt: skip
  began = time.perf_counter()
  prepared = toy.prepare()
  print(f'\nprepare: {N / (time.perf_counter() - began):,.0f} examples/s')
  return prepared, toy.folder


def _best(function, examples: int) -> float:
  """Examples per second, the best of four."""
  times = []
  for _ in range(4):
    began = time.perf_counter()
    function()
    times.append(time.perf_counter() - began)
  return examples / min(times)


@pytest.mark.benchmark
@pytest.mark.slow
def test_reading_rates(corpus):
  prepared, folder = corpus
  whole = _best(lambda: prepared.columns('train'), N)
  source = records.RecordSource(folder, 'train')
  batches = np.random.default_rng(0).integers(0, N, (50, 32))
  random = _best(lambda: [source.gather(b) for b in batches], batches.size)
  print(f'columns: {whole:,.0f} examples/s; random batches of 32: {random:,.0f} examples/s')
  assert whole >= TARGET and random >= TARGET
