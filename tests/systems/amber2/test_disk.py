"""AmbER^2 on frames that stay on disk: the same losses as from memory, bit for bit."""

import numpy as np

from affectjax.systems.amber2 import items
from tests.helpers import amber2_small, disk


def test_losses_from_disk_are_those_from_memory(tmp_path):
  name = disk.prepare('iemocap', tmp_path, **amber2_small.TWINS['iemocap'])
  changes = dict(steps=disk.STEPS, eval_every=10, data=dict(frames=True))
  config = {**amber2_small.config('amber2', **changes), 'corpora': (name,)}
  on_disk = items.load({**config, 'data': {**config['data'], 'memory_gb': 0}}, str(tmp_path))
  assert on_disk.on_disk and not items.load(config, str(tmp_path)).on_disk
  first, second = (disk.losses(config, tmp_path, tmp_path / f'from{gb}', gb) for gb in (8, 0))
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)
