"""Label uncertainty: what the experiment file says, and details that a row's end result would not betray."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine import parallel, train
from affectjax.labels import raters
from affectjax.metrics import predictive
from affectjax.systems import label_uncertainty as system
from affectjax.systems.label_uncertainty import experiment, network, postprocess, windows
from affectjax.tables import claims
from tests.helpers import lu_small
from tests.helpers.lu_small import outputs, recording

WAVES = dict(lu_small.TWINS, recola=dict(recordings=2, frames=100, waveform=True))
TABLES = ('within', 'cross_corpus', 'annotators', 'agreement', 'switches', 'ceap360vr', 'studyforrest')


@pytest.mark.parametrize('name', TABLES)
def test_tables_name_rows_and_metrics_that_there_are(name):
  table = lu_small.experiment(name)
  rows = set(table['rows'])
  assert tuple(table['order']) and set(table['order']) == rows
  for metric in table['metrics']:
    metrics.parse(metric)
  for claim in table['claims']:
    claims.check(claim)
    for c in claim['compare']:
      minus = c.get('minus', {})
      assert {c['row'], c['against'], minus.get('row', c['row']), minus.get('against', c['against'])} <= rows
      assert metrics.better(c['metric']) in ('higher', 'lower')
  assert set(table['baselines']) | set(table['baselines'].values()) <= rows
  assert {p['row'] for p in table['published']} <= rows
  assert all(p['value'] is None for p in table['published'])  # no table of the papers could be had
  for figure in table['figures']:
    named = figure.get('rows', [r for _, points in figure.get('series', ()) for _, r in points])
    assert set(named) <= rows


def test_claims_are_those_of_the_papers():
  ids = {name: [c['id'].split()[0] for c in lu_small.experiment(name)['claims']] for name in TABLES}
  assert ids['within'] == ['lu.uncertainty'] * 2 and ids['cross_corpus'] == ['lu.cross'] * 2
  assert ids['agreement'] == ['lu.agreement'] * 2 and ids['annotators'] == ['lu.annotators']
  assert ids['ceap360vr'] == ids['studyforrest'] == ['lu.uncertainty', 'lu.annotators', 'lu.agreement']
  for name in ('annotators', 'ceap360vr', 'studyforrest'):
    claim = next(c for c in lu_small.experiment(name)['claims'] if c['id'] == 'lu.annotators')
    for c in claim['compare']:  # fewest minus most, on the same truth
      few, many = (int(''.join(filter(str.isdigit, r))) for r in (c['row'], c['minus']['row']))
      assert few < many and c['metric'].startswith('kl.t.')
      rows = lu_small.experiment(name)['rows']
      truth = [rows[r]['raters'].get('reserve', 0) for r in (c['row'], c['against'], c['minus']['row'])]
      assert len(set(truth)) == 1 and (name == 'annotators' or truth[0] == many)


def test_rows_with_unequal_training_raters_have_the_same_others():
  ratings = recording(raters=12).ratings
  dealt = [raters.dealt(ratings, k, seed=3, reserve=6) for k in (3, 4, 6)]
  for chosen, others in dealt:
    assert not (chosen & others).any()
    np.testing.assert_array_equal(others, dealt[0][1])
  assert [c.sum() for c, _ in dealt] == [3, 4, 6] and dealt[0][1].sum() == 6
  with pytest.raises(UserError, match='reserve'):
    windows.load(lu_small.config(raters=dict(train=4, score='others', reserve=2)), None)


def test_dealing_raters_who_miss_recordings_is_refused():
  """A seat that is empty in some recordings would move others from scoring to training."""
  config = lu_small.config('t_lu_msp', raters=dict(train=3, score='others'))
  with pytest.raises(UserError, match='not all raters mark every recording'):
    windows.load(config, None)
  windows.load(lu_small.config('t_lu_msp', raters=dict(train=3, score='all')), None)


def test_the_twins_truth_moves_with_the_marks():
  twin = dict(lu_small.TWINS, recola=dict(recordings=3, frames=2000, raters=60, tails=0.0, jitter=0.0, agreement=0.9))
  data = windows.load(lu_small.config(twins=twin, data=dict(delays=(2.0,))), None)
  side = data.splits['test']
  there = side['count'] > 0
  for a in range(2):
    m, loc = side['mean'][..., a][there[..., a]], side['true'][..., a, 0][there[..., a]]
    assert np.corrcoef(m, loc)[0, 1] > 0.99
    s, scale = side['spread'][..., a][there[..., a]], side['true'][..., a, 1][there[..., a]]
    assert abs(np.median(s / scale) - 1) < 0.1


def test_thirds_are_of_all_windows():
  among = np.linspace(0, 1, 300)[:, None]
  out = windows._thirds(np.array([[0.1], [0.5], [0.9], [np.nan]]), among)
  assert out[:, 0].tolist() == [0, 1, 2, -1]
  assert windows._thirds(np.array([[np.nan]]), np.array([[np.nan]])).tolist() == [[-1]]


def spec_of(row='t_lu', **changes):
  return experiment.spec(lu_small.config(row, **changes), ('valence', 'arousal'), 100.0)


def test_a_student_prediction_is_wider_than_its_scale():
  cell = spec_of('t_lu_t', loss=dict(df_hat=10.0))
  shape = (1, 4, 2)
  batch = {
    'time_s': np.zeros(shape[:2]), 'x_mask': np.ones(shape[:2], bool), 'count': np.full(shape, 5.0),
    'mean': np.zeros(shape), 'spread': np.ones(shape), 'ratings': np.zeros((1, 4, 5, 2)),
    'agreement': np.array([[0, 2]]),
  }  # fmt: skip
  outputs_of = jax.jit(
    lambda cell, batch, mean, spread: experiment._outputs(cell, batch, mean, spread, None), static_argnums=0
  )
  out = outputs_of(cell, batch, np.zeros(shape), np.full(shape, 0.3))
  np.testing.assert_allclose(out['arousal_spread_hat'], 0.3 * np.sqrt(10 / 8), rtol=1e-6)
  assert (out['arousal_df_hat'] == 10).all() and out['arousal_agreement'].tolist() == [2]
  gauss = outputs_of(spec_of('mu_lu'), batch, np.zeros(shape), np.full(shape, 0.3))
  np.testing.assert_allclose(gauss['arousal_spread_hat'], 0.3, rtol=1e-6)
  assert np.isinf(gauss['arousal_df_hat']).all() and gauss['valence_agreement'].tolist() == [0]


@pytest.mark.parametrize(
  ('row', 'nu', 'wider'), [('mu_lu', np.inf, 1), ('t_lu', 6, 1), ('t_lu_posterior', 5, np.sqrt(7 / 6))]
)
def test_the_step_is_selected_by_the_rows_own_loss(row, nu, wider):
  rng = np.random.default_rng(0)
  out = {
    'a': rng.normal(size=40), 'a_spread': rng.uniform(0.1, 0.4, 40), 'a_raters': np.full(40, 6.0),
    'a_hat': rng.normal(size=40), 'a_spread_hat': rng.uniform(0.1, 0.4, 40), 'a_df_hat': np.full(40, np.inf),
  }  # fmt: skip
  s = np.sqrt(out['a_spread'] ** 2 + 0.01**2) * wider
  expected = predictive.kl(out['a'], s, np.full(40, nu), out['a_hat'], out['a_spread_hat'], out['a_df_hat']).mean()
  assert experiment._label_loss(spec_of(row).loss, out, 'a') == pytest.approx(expected, rel=1e-12)


def test_post_processing_is_fitted_on_dev_alone():
  right, off = outputs(), outputs(offset=0.7)
  done = postprocess.add({'dev': right, 'test': off}, ['arousal'])
  np.testing.assert_array_equal(done['test']['arousal_post_hat'], off['arousal_hat'])
  done = postprocess.add({'dev': off, 'test': right}, ['arousal'])
  assert np.nanmean(done['test']['arousal_post_hat'] - right['arousal_hat']) < -0.5


def test_absent_features_do_not_spoil_the_chain():
  dev = outputs(noise=0.3)
  holes = {**dev, 'arousal_hat': dev['arousal_hat'].copy()}
  holes['arousal_hat'][1, 5:8] = np.nan
  steps = [name for name, *_ in postprocess.chain(holes, 'arousal')]
  assert steps == [name for name, *_ in postprocess.chain(dev, 'arousal')]
  done = postprocess.add({'dev': holes, 'test': holes}, ['arousal'])['test']['arousal_post_hat']
  np.testing.assert_array_equal(np.isnan(done), np.isnan(holes['arousal_hat']))


@pytest.mark.parametrize('row', ['mc_dropout', pytest.param('ensemble', marks=pytest.mark.slow)])
def test_passes_and_members_differ(row):
  config = lu_small.config(row)
  built = system.build(config, None)
  batch, _ = parallel.split_strings(next(iter(built.batches('dev', 0))))
  state = jax.jit(built.init)(jax.random.key(0), batch)
  out = jax.jit(built.predict)(state, batch)
  spread = np.asarray(out['arousal_spread_hat'])[np.asarray(batch['x_mask'])]
  assert np.median(spread) > 5e-3 and np.ptp(spread) > 1e-3  # not the least that is allowed
  if row == 'ensemble':
    leaves = jax.tree.leaves(jax.tree.map(np.asarray, state.params))
    assert all((leaf[0] != leaf[1]).any() for leaf in leaves if leaf[0].size > 1 and np.ptp(leaf[0]) > 0)


@pytest.mark.parametrize('row', ['mc_dropout', 'ensemble'])
def test_rows_can_be_traced_for_a_gpu(monkeypatch, row):
  """cuDNN's LSTM has no rule for batching over members or passes; nothing is run here."""
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  config = lu_small.config(row)
  built = system.build(config, None)
  batch, _ = parallel.split_strings(next(iter(built.batches('dev', 0))))
  state = jax.eval_shape(built.init, jax.random.key(0), batch)
  jax.eval_shape(built.predict, state, batch)


@pytest.mark.slow
@pytest.mark.parametrize('changes', [dict(loss=dict(over='data')), dict(model=dict(bottleneck='wide'))])
def test_corrected_switches_train(tmp_path, changes):
  train.run(lu_small.config('t_lu', **changes), tmp_path)
  lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert np.isfinite([line['loss'] for line in lines if 'loss' in line]).all()


def test_the_wide_bottleneck_is_wide():
  assert network.widths(256, 2, 'wide') == (512, 256, 128, 2)
  assert network.widths(256, 2, 'kept') == (512, 256, 2, 2)


@pytest.mark.parametrize(('changes', 'said'), [
  (dict(model=dict(passes=1)), 'run.model.passes is 1'),
  (dict(model=dict(members=0)), 'run.model.members is 0'),
  (dict(model=dict(block=0)), 'run.model.block is 0'),
  (dict(model=dict(dropout=1.0)), 'run.model.dropout is 1.0'),
  (dict(data=dict(frames=0)), 'run.data.frames'),
  (dict(data=dict(held_out=0)), 'held_out'),
  (dict(data=dict(modalities=())), 'run.data.modalities'),
  (dict(data=dict(modalities=('waveform', 'audio'))), 'run.data.modalities'),
  (dict(data=dict(modalities=('waveform',)), twins=WAVES), 'rate_hz must be 0'),
  (dict(batch_size=0), 'run.batch_size is 0'),
  (dict(loss=dict(df_hat=2.0)), 'df_hat 2.0'),
  (dict(loss=dict(floor=-1.0)), 'floor -1.0'),
  (dict(raters=dict(train=-1)), 'run.raters.train is -1'),
  (dict(twins=dict(lu_small.TWINS, recola=dict(frames=0))), 'twin: frames 0'),
  (dict(twins=dict(lu_small.TWINS, recola=dict(delay=-3.0))), 'twin: delay -3.0'),
])  # fmt: skip
def test_more_that_cannot_be_is_refused_in_one_line(tmp_path, changes, said):
  with pytest.raises(UserError) as caught:
    train.run(lu_small.config(**changes), tmp_path)
  assert said in str(caught.value) and '\n' not in str(caught.value)


def test_a_row_is_not_asked_for_what_it_does_not_predict():
  for row, loss in (('stl', dict(spread=1.0)), ('stl_pu', dict(mean=1.0)), ('ensemble', dict(spread=1.0))):
    with pytest.raises(UserError, match='does not train that'):
      spec_of(row, loss=loss)


def test_unlike_rates_are_refused():
  a, b = recording(rate=25.0), dataclasses.replace(recording(name='b'), rate=30.0)
  with pytest.raises(UserError, match='25, 30 labels per s'):
    windows._refuse_rates([a, b])


def test_a_recording_shorter_than_the_delay_has_no_label():
  out = raters.shift(np.ones((10, 2, 2), np.float32), (5.0, 0.0), rate=5.0)
  assert np.isnan(out[..., 0]).all() and (out[..., 1] == 1).all()
