"""What takes no training, on the real votes: the known figures; and what a review of the rows asked for."""

import jax.numpy as jnp
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.data.store import preparing
from affectjax.examples import splits
from affectjax.systems import vavl
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl import network, views
from affectjax.systems.vavl.training import Target
from affectjax.tables import cells
from tests.helpers import vavl_small
from tests.helpers.shared import pack

# experiments/vavl.md, 8: mean of the five partitions, F1-macro and F1-micro
REFERENCE = {'majority': (0.074, 0.286), 'neighbours': (0.640, 0.684), 'intended': (0.797, 0.820)}


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  data = tmp_path_factory.mktemp('data')
  preparing.prepare('crema_d', pack('cremad_votes'), data)
  return data


@pytest.mark.slow
@pytest.mark.parametrize('row', REFERENCE)
def test_real_votes_give_the_known_figures(prepared, row):
  table = cells.Table(vavl_small.experiment('trust'), 'vavl.py', str(prepared))
  found = []
  for fold in table.config['folds']:
    experiment = vavl.build({**table.row(row), 'fold': fold, 'seed': 0}, str(prepared))
    batches = [{k: np.asarray(v)[b['mask'] > 0] for k, v in b.items()} for b in experiment.batches('test', 0)]
    out = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    views_ = experiment.finish({'test': out})['test']
    found.append([metrics.compute(name, views_) for name in ('f1.macro.emotion', 'f1.micro.emotion')])
  np.testing.assert_allclose(np.mean(found, 0), REFERENCE[row], atol=0.002)


@pytest.mark.parametrize('share', [0.5, 0.1])
def test_a_unimodal_row_is_given_the_clips_that_the_others_have(share):
  given = {}
  for row in ('vavl', 'audio_only', 'visual_only'):
    config = vavl_small.config(row, data=dict(paired=share))
    clips = clips_lib.load(config, None)
    rows = splits.split(clips, config)['train']
    given[row] = {m: has[rows] for m, has in clips_lib.presence(clips, rows, config['data']).items()}
  assert set(given['audio_only']) == {'audio'} and set(given['visual_only']) == {'visual'}
  for m in ('audio', 'visual'):
    np.testing.assert_array_equal(given[f'{m}_only'][m], given['vavl'][m])
    assert given['vavl'][m].mean() == pytest.approx(share + (1 - share) / 2, abs=0.02)


def test_training_clips_are_limited_by_lot_and_in_order():
  rows = np.arange(100, 200)
  some = splits.limited(rows, 30, 1)
  assert len(some) == 30 and (np.diff(some) > 0).all() and np.isin(some, rows).all()
  np.testing.assert_array_equal(splits.limited(rows, 0, 1), rows)
  assert set(splits.limited(rows, 10, 1)) < set(some), 'fewer are some of the more'
  with pytest.raises(UserError, match='limit is -1'):
    splits.limited(rows, -1, 1)


def test_late_fusion_of_very_sure_networks_stays_finite():
  out = {'audio': jnp.array([[200.0, 0.0]]), 'visual': jnp.array([[0.0, 210.0]])}
  mean = network.mean_of(out, True)
  np.testing.assert_allclose(mean, np.log([[0.5, 0.5]]), atol=1e-6)


def test_outputs_that_are_not_finite_are_wrong_not_left_out():
  n, k = 6, 3
  label = np.arange(n, dtype=np.int32) % k
  logits = np.eye(k, dtype=np.float32)[label]
  out = {'id': np.arange(n).astype(str), 'label': label, **{f'output_{v}': logits.copy() for v in views_of()}}
  target = Target('classification', ('a', 'b', 'c'), False)
  assert views.score(target, ('audio', 'visual'), out, 'f1.micro.emotion')['f1.micro.emotion'] == 1
  out['output_both'][2] = np.nan
  scores = views.score(target, ('audio', 'visual'), out, 'f1.micro.emotion')
  assert scores['f1.micro.emotion'] == pytest.approx(5 / 6) and np.isnan(scores['loss'])
  regression = Target('regression', ('x',), False)
  single = {'id': out['id'], 'label': np.linspace(-1, 1, n, dtype=np.float32)[:, None], 'output_audio': np.ones((n, 1))}
  single['output_audio'][0] = np.inf
  assert np.isnan(views.score(regression, ('audio',), single, 'ccc.pooled.x')['ccc.pooled.x'])


def views_of() -> tuple[str, ...]:
  return 'both', 'audio', 'visual'
