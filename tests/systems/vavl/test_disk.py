"""VAVL on frames that stay on disk: the same losses as from memory, bit for bit."""

import numpy as np
import pytest

from affectjax.layers import conformer
from affectjax.systems.vavl import clips
from tests.helpers import disk, vavl_small


@pytest.mark.slow
def test_losses_from_disk_are_those_from_memory(tmp_path, monkeypatch):
  monkeypatch.setattr(conformer, 'Block', vavl_small.Light)
  name = disk.prepare('crema_d', tmp_path, **vavl_small.TWINS['crema_d'])
  changes = dict(steps=disk.STEPS, eval_every=10, data=dict(pool=dict(audio=1, visual=1)))
  config = {**vavl_small.config('vavl', **changes), 'corpora': (name,)}
  on_disk = clips.load({**config, 'data': {**config['data'], 'memory_gb': 0}}, str(tmp_path))
  assert on_disk.on_disk and not clips.load(config, str(tmp_path)).on_disk
  first, second = (disk.losses(config, tmp_path, tmp_path / f'from{gb}', gb) for gb in (8, 0))
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)
