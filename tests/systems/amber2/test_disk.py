"""AmbER^2 on frames that stay on disk: the same losses as from memory, bit for bit."""

import numpy as np

from affectjax.data.store import opening
from affectjax.systems.amber2 import items
from tests.helpers import amber2_small, disk


def test_losses_from_disk_are_those_from_memory(tmp_path):
  disk.write(disk.longer(opening.open_corpus('iemocap', **amber2_small.TWINS['iemocap']), 5), tmp_path, 'mine')
  changes = dict(steps=disk.STEPS, eval_every=10, data=dict(frames=True))
  config = {**amber2_small.config('amber2', **changes), 'corpora': ('mine',)}
  on_disk = items.load({**config, 'data': {**config['data'], 'memory_gb': 0}}, str(tmp_path))
  assert all((x.lengths > 1).any() for x in on_disk.streams.values())
  assert on_disk.on_disk and not items.load(config, str(tmp_path)).on_disk
  first, second = (disk.losses(config, tmp_path, tmp_path / f'from{gb}', gb) for gb in (8, 0))
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)
