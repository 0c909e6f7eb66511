"""Label uncertainty on recordings that stay on disk: the same losses as from memory, bit for bit."""

import numpy as np
import pytest

from affectjax.systems.label_uncertainty import windows
from tests.helpers import disk, lu_small

WAVEFORM = dict(
  data=dict(modalities=('waveform',), rate_hz=0.0, frames=50, held_out=1, delays=(0.0, 1.0)),
  model=dict(frontend='released', block=50),
)  # fmt: skip


@pytest.mark.parametrize(
  ('row', 'knobs', 'changes'),
  [
    ('t_lu', lu_small.TWINS['recola'], {}),
    pytest.param('stl', dict(recordings=2, frames=200, waveform=True), WAVEFORM, marks=pytest.mark.slow),
  ],
  ids=['features', 'waveform'],
)  # fmt: skip
@pytest.mark.slow
def test_losses_from_disk_are_those_from_memory(tmp_path, row, knobs, changes):
  name = disk.prepare('recola', tmp_path, **knobs)
  config = lu_small.config(row, corpora=(name,), steps=disk.STEPS, eval_every=15, **changes)
  parts = {gb: windows.load({**config, 'twins': {}, 'data': {**config['data'], 'memory_gb': gb}}, str(tmp_path))
           for gb in (8.0, 0.0)}  # fmt: skip
  assert parts[8.0].delays == parts[0.0].delays and len(set(parts[0.0].delays)) == 1
  x, read = (part.splits['train']['x'] for part in parts.values())
  assert isinstance(x, np.ndarray) and not isinstance(read, np.ndarray) and read.shape == x.shape
  np.testing.assert_array_equal(read[np.array([3, 0, 3])], x[[3, 0, 3]])
  first, second = (disk.losses(config, tmp_path, tmp_path / f'from{gb}', gb) for gb in parts)
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)
