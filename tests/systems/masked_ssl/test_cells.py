"""Cells of masked self-supervision, first step to predictions, on a corpus in memory and on the twin."""

import jax
import numpy as np
import pytest

from affectjax.data.store import opening
from affectjax.engine import checkpoint, train
from affectjax.examples.examples import Examples
from affectjax.systems.masked_ssl import experiment
from affectjax.systems.masked_ssl import sequences as sequences_lib
from tests.helpers import masked_ssl_small as small
from tests.helpers.masked_ssl_small import PRETRAIN, same
from tests.helpers.shared import scores
from tests.helpers.watched import Stop

SSL = dict(warm_start='pretrain', warm_modules=('encoder',))


@pytest.fixture
def made(monkeypatch):
  """The corpus in memory in place of the one that is named."""
  found = small.sequences()
  monkeypatch.setattr(sequences_lib, 'load', lambda *_: found)
  return found


@pytest.mark.slow
def test_pretrained_and_fine_tuned_cells(made, tmp_path):
  first = train.run(small.config(PRETRAIN, dict(select='last')), tmp_path / 'pretrain')
  assert set(first.dev) == {'loss', 'loss_mean', 'loss_interpolated'} and first.steps == 4
  frozen = dict(SSL, tune=dict(frozen=True, encoder_lr=(1e-4,)))
  last = train.run(small.config(frozen), tmp_path / 'frozen', warm_start=tmp_path / 'pretrain')
  source, final = (checkpoint.load_final(tmp_path / k)['params'] for k in ('pretrain', 'frozen'))
  same({k: v for k, v in jax.tree.map(lambda v: v[0], final['encoder']).items()}, source['encoder'])
  found = scores(tmp_path / 'frozen', 'mae.pooled.intensity', 'acc4.intensity', 'skill.intensity')
  assert len(found) == 3 and np.isfinite([*found.values(), *last.dev.values()]).all()
  with np.load(tmp_path / 'frozen' / 'predictions.npz') as file:
    assert set(file['test/id']) == set(made.id[made.columns['official'] == 2])
    np.testing.assert_array_equal(file['test/intensity'], made.columns['intensity'][made.columns['official'] == 2])
    assert file['test/happy_hat'].shape == (24,) and 0 <= file['test/intensity_hat'].min() <= 3


@pytest.mark.slow
@pytest.mark.parametrize('parts', [
  [PRETRAIN, dict(pretext=dict(target='ema_latent', ema=0.9), model=dict(dropout=0.2))],
  [dict(tune=dict(encoder_lr=(1e-2, 1e-3)), model=dict(dropout=0.2), optim=dict(schedule='cosine', warmup=0.3))],
], ids=['pretrain', 'finetune'])  # fmt: skip
def test_resumed_equals_uninterrupted(made, tmp_path, parts):
  config = small.config(*parts, dict(steps=6, eval_every=1))
  whole_ = train.run(config, tmp_path / 'whole')

  def watch(at, of, rate):
    if at == 4:
      raise Stop

  with pytest.raises(Stop):
    train.run(config, tmp_path / 'torn', watch=watch)
  resumed = train.run(config, tmp_path / 'torn')
  assert resumed._replace(timing={}) == whole_._replace(timing={})
  same(*(checkpoint.load_final(tmp_path / k)['params'] for k in ('whole', 'torn')))
  with np.load(tmp_path / 'whole' / 'predictions.npz') as a, np.load(tmp_path / 'torn' / 'predictions.npz') as b:
    for name in a:
      assert a[name].tobytes() == b[name].tobytes(), name


def test_the_twin_is_read_as_it_is():
  few = dict(twins=dict(cmu_mosei=dict(seed=0, scale=0.01)), data=dict(frames=20, limit=20))
  config = small.config(few)
  corpus = opening.open_corpus('cmu_mosei', seed=0, scale=0.01)
  columns = corpus.columns('all')
  found = sequences_lib.load(config, None)
  x, real = sequences_lib.stream(found).dense()
  i = int(np.argmax(columns['audio'].lengths > 20))
  np.testing.assert_array_equal(x[i], columns['audio'][i][-20:])
  np.testing.assert_array_equal(real[i], columns['audio_mask'][i][-20:])
  j = int(np.argmax(columns['audio'].lengths < 20))
  n = columns['audio'].lengths[j]
  assert not real[j, :-n].any()
  np.testing.assert_array_equal(x[j, -n:], columns['audio'][j])
  cell = experiment.pretraining(small.config(PRETRAIN, few), 74, found.meta)
  assert cell.masking.groups == ((0, 11), (11, 36), (36, 61), (61, 74))


@pytest.mark.slow
def test_a_cell_of_the_twin(tmp_path):
  few = dict(twins=dict(cmu_mosei=dict(seed=0, scale=0.01)), data=dict(frames=20, limit=20))
  result = train.run(small.config(few, dict(steps=1, eval_every=0, select='last')), tmp_path)
  names = {'mae.pooled.intensity', 'acc4.intensity', 'skill.intensity'}
  assert set(scores(tmp_path, *names)) == names and 'loss' in result.dev


# Claims


def latent(rank: int, width: int, clutter: tuple[int, float], n: int = 2400, frames: int = 24) -> Examples:
  """AR(1) paths of dimension `rank` behind features with clutter (dimension, sd) that changes at every step.

  Intensities are of the paths' means.
  """
  rng = np.random.default_rng(0)
  h = rng.normal(size=(n, frames, rank))
  for t in range(1, frames):
    h[:, t] = 0.9 * h[:, t - 1] + np.sqrt(1 - 0.9**2) * h[:, t]
  noise = clutter[1] * rng.normal(size=(n, frames, clutter[0])) @ rng.normal(size=(clutter[0], width))
  x = h @ rng.normal(size=(rank, width)) + noise + 0.5 * rng.normal(size=(n, frames, width))
  mean = h.mean(1) / h.mean(1).std(0)
  by = rng.normal(size=(rank, 6))
  intensity = np.round(3 * np.clip(1.2 + mean @ (by / np.linalg.norm(by, axis=0)), 0, 3)) / 3
  video = np.arange(n) // 4
  names = np.array([f'v{v:03}' for v in video])
  columns = {'intensity': intensity.astype(np.float32), 'official': np.array([0, 0, 0, 0, 0, 0, 1, 2])[video % 8]}
  meta = {'emotions': list(small.experiment()['run']['target']['names'])}
  ids = np.array([f'u{i:04}' for i in range(n)])
  streams = {'audio': small.memory(x.astype(np.float32), np.ones((n, frames), bool))}
  return Examples('latent', ids, names, names, np.full(n, 'all'), streams, {'audio': np.ones(n, bool)}, columns, meta)


PRE = dict(stage='pretrain', steps=400, eval_every=100, batch_size=64,
           optim=dict(lr=2e-3, schedule='cosine', warmup=0.05))  # fmt: skip
SIZE = dict(
  model=dict(width=32, heads=2, hidden=64, blocks=2, dropout=0.1), log_every=1000, eval_batch_size=320,
  data=dict(frames=24), select='loss', patience=0,
)  # fmt: skip


@pytest.mark.slow
def test_pretraining_finds_what_is_shared_over_time(monkeypatch, tmp_path):
  """Better than the mean and than what lies between neighbours, which is as good as the clutter allows."""
  made = latent(8, 40, (12, 1.0))
  monkeypatch.setattr(sequences_lib, 'load', lambda *_: made)
  train.run(small.config(SIZE, PRE), tmp_path)
  with np.load(tmp_path / 'predictions.npz') as file:
    loss, *trivial = (file[f'test/{k}'].mean() for k in ('loss', 'loss_mean', 'loss_interpolated'))
  assert loss < 0.95 * min(trivial)
