"""Frames of ten times `run.data.memory_gb` train in little more memory than frames of a few examples do."""

import pytest

from affectjax.data.store import opening
from tests.helpers import amber2_small, disk

MEMORY_GB, FRAMES, WIDTH = 0.1, 256, 128
MANY, FEW = round(10 * MEMORY_GB * 1e9 / (FRAMES * WIDTH * 4)), 600


@pytest.mark.slow
def test_ten_times_what_memory_may_hold(tmp_path):
  twin, peaks = opening.open_corpus('iemocap', **amber2_small.TWINS['iemocap']), {}
  changes = dict(steps=30, eval_every=15, data=dict(frames=True))
  for count, limit in ((FEW, 0.0), (MANY, MEMORY_GB)):
    corpus = disk.write(disk.tiled(twin, count, 'audio', FRAMES, WIDTH), tmp_path, f'of_{count}')
    gigabytes = corpus.stored.gigabytes('audio')
    assert count == FEW or gigabytes >= 9.99 * MEMORY_GB
    config = {**amber2_small.config('amber2', **changes), 'corpora': (corpus.name,)}
    peaks[count] = disk.peak(config, tmp_path, tmp_path / f'run_{count}', limit)
    print(f'{count} examples, {gigabytes:.2f} GB of frames: at most {peaks[count]:.2f} GB resident')
  assert peaks[MANY] <= peaks[FEW] + MEMORY_GB + 0.5
