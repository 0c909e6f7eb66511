"""How long it takes to describe a second of sound: the real recordings of Emo-DB, read from disk, on one core.

python -m pytest -s --optimised tests/benchmarks/bench_egemaps.py
"""

import statistics
import time

import pytest

from affectjax.data import egemaps, sound
from tests.helpers.shared import pack

REPEATS, EVERY = 5, 8
TARGET = 0.03  # seconds per second


@pytest.mark.benchmark
def test_real_time_factor():
  pytest.importorskip('opensmile', reason='extra `extract` is not installed')
  paths = sorted((pack('emodb') / 'wav').glob('*.wav'))[::EVERY]
  seconds = sum(told.samples / told.rate for told in map(sound.header, paths))
  egemaps.describe(sound.read(paths[0], egemaps.SAMPLE_RATE))  # warms up
  walls, cpus = [], []
  for _ in range(REPEATS):
    wall, cpu = time.perf_counter(), time.process_time()
    for path in paths:
      egemaps.describe(sound.read(path, egemaps.SAMPLE_RATE))
    walls.append((time.perf_counter() - wall) / seconds)
    cpus.append((time.process_time() - cpu) / seconds)
  middle = statistics.median(walls)
  print(f'\n{len(paths)} recordings, {seconds:.0f} s: median {middle:.4f} s per second of sound, {min(walls):.4f} to '
        f'{max(walls):.4f}; time of the processor {statistics.median(cpus):.4f} (target {TARGET})')  # fmt: skip
  assert middle <= TARGET
