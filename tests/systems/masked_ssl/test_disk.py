"""Masked self-supervision on sequences that stay on disk: the same losses as from memory, bit for bit."""

import numpy as np
import pytest

from affectjax.systems.masked_ssl import sequences
from tests.helpers import disk
from tests.helpers import masked_ssl_small as small

FEW = dict(steps=disk.STEPS, eval_every=15, dispatch=1)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Where a twin's utterances are prepared, and their name there."""
  folder = tmp_path_factory.mktemp('prepared')
  return folder, disk.prepare('cmu_mosei', folder, seed=0, scale=0.01)


@pytest.mark.parametrize(
  'parts',
  [
    (small.PRETRAIN, dict(data=dict(pool=2, frames=20))),
    (dict(data=dict(frames=20, limit=40, standard='group', pad='left')),),
  ],
  ids=['pretrain', 'finetune'],
)  # fmt: skip
@pytest.mark.slow
def test_losses_from_disk_are_those_from_memory(prepared, tmp_path, parts):
  data_dir, name = prepared
  config = small.config(*parts, {**FEW, 'corpora': (name,)})
  on_disk = sequences.load({**config, 'twins': {}, 'data': {**config['data'], 'memory_gb': 0.0}}, str(data_dir))
  assert on_disk.on_disk
  first, second = (disk.losses(config, data_dir, tmp_path / str(gb), gb) for gb in (8.0, 0.0))
  assert len(first) == disk.STEPS and len(set(first)) > disk.STEPS // 2
  np.testing.assert_array_equal(first, second)


def test_several_steps_per_dispatch_need_features_in_memory(prepared, tmp_path):
  data_dir, name = prepared
  config = small.config(small.PRETRAIN, dict(data=dict(frames=20), corpora=(name,), dispatch=5))
  message = small.refused(disk.losses, config, data_dir, tmp_path / 'cell', 0.0)
  assert 'run.dispatch is 5; expected 1 or more steps per dispatch, and 1 where batches are made on the host' in message
