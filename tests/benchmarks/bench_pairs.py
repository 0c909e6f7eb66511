"""How many pairs per second the samplers draw.

python -m pytest -s --optimised tests/benchmarks/bench_pairs.py
"""

import numpy as np
import pytest

from affectjax.data.twins.affectnet import TRAIN_COUNTS
from affectjax.systems.mtclar import pairs
from tests.benchmarks.rates import per_second, report

BATCH, ROUNDS = 256, 400
TARGET = 1_000_000  # pairs per second


def by_class() -> pairs.ClassPairs:
  """AffectNet in its full size."""
  return pairs.ClassPairs(np.repeat(np.arange(8), TRAIN_COUNTS), np.arange(sum(TRAIN_COUNTS)))


def by_distance() -> pairs.DistancePairs:
  """The training folds of AFEW-VA: labels in steps of 0.1, crowded about the middle."""
  labels = np.round(np.clip(np.random.default_rng(0).normal(0, 0.35, (18_000, 2)), -1, 1) * 10) / 10
  return pairs.DistancePairs(labels, np.arange(len(labels)))


@pytest.mark.benchmark
@pytest.mark.parametrize('make', [by_class, by_distance])
@pytest.mark.parametrize('size', [BATCH, 65_536])
def test_pairs_per_second(make, size):
  sampler, rng = make(), np.random.default_rng(0)
  rounds = ROUNDS if size == BATCH else 8
  rates = per_second(lambda: [sampler.draw(rng, size) for _ in range(rounds)], rounds * size)
  assert report(f'{type(sampler).__name__}, {size} at once', rates, TARGET, 'pairs') >= TARGET
