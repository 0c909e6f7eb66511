"""How many frames per second `affectjax.label` labels once everything is loaded, on the network in its full size.

  python -m pytest -s --optimised -m benchmark tests/benchmarks/bench_label.py
  python -m tests.benchmarks.bench_label

Labelling is bound by matrix products: 12.9 MFLOP per frame, of which the projectors' second layers are 8.4. Beside the
rate the speed of one such product is printed, measured right before: what the machine gives at that moment. Other
work on the cores slows both down.
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.systems.mtclar import annotate, network

FRAMES, WIDTH, EVERY, VIDEOS = 60_000, 256, 20, 20
TARGET = 20_000  # frames per second, on two cores
ENCODER, PAIR = 0.524, 12.85  # MFLOP of matrix products per frame, and per frame compared with a hand label


def model(width: int = WIDTH) -> annotate.Model:
  """A network that never saw data: labelling takes as long with any parameters."""
  x = jnp.zeros((2, width))
  variables = jax.jit(network.Siamese().init)(jax.random.key(0), x, x)
  label = dict(anchors='past', smooth_block=1, antisymmetric=False, zeroed=False, temperature=0.0)
  weights = annotate.fold(variables['params'], variables['batch_stats'])
  return annotate.Model('', 'concat', label, weights, np.zeros(width, np.float32), np.ones(width, np.float32))


def scene() -> annotate.Scene:
  """Videos of 3,000 frames, every 20th labelled by hand."""
  rng = np.random.default_rng(0)
  length = FRAMES // VIDEOS
  support = np.arange(0, FRAMES, EVERY)
  return annotate.Scene(
    x=rng.standard_normal((FRAMES, WIDTH), np.float32),
    present=np.ones(FRAMES, bool),
    video=np.arange(FRAMES) // length,
    time_s=np.arange(FRAMES) % length / 25,
    support=support,
    labels=rng.uniform(-1, 1, (len(support), 2)),
  )


def product() -> float:
  """GFLOP/s of the projectors' second layer alone, median of 20."""
  a, b = jnp.ones((annotate.BATCH, 2048)), jnp.ones((2048, 1024))
  multiply = jax.jit(jnp.dot)
  multiply(a, b).block_until_ready()
  seconds = []
  for _ in range(20):
    began = time.perf_counter()
    multiply(a, b).block_until_ready()
    seconds.append(time.perf_counter() - began)
  return 2 * a.shape[0] * b.size / statistics.median(seconds) / 1e9


def measure(repeats: int = 5) -> float:
  """Prints every repeat; returns the median frames per second."""
  network_, frames = model(), scene()
  annotate.annotate(network_, frames, 'past')  # compiles
  hand = len(frames.support)
  work = ENCODER + PAIR * (FRAMES - hand + min(hand, annotate.CALIBRATION)) / FRAMES
  rates = []
  for _ in range(repeats):
    raw = product()
    began = time.perf_counter()
    annotate.annotate(network_, frames, 'past')
    rates.append(FRAMES / (time.perf_counter() - began))
    used = rates[-1] * work / 1e3
    print(f'{rates[-1]:.0f} frames/s, {used:.0f} GFLOP/s; one product alone {raw:.0f} GFLOP/s, ratio {used / raw:.2f}')
  print(f'median of {repeats}: {statistics.median(rates):.0f} frames/s (target {TARGET})')
  return statistics.median(rates)


@pytest.mark.benchmark
def test_labelling_is_fast_enough():
  assert measure() >= TARGET


if __name__ == '__main__':
  measure()
