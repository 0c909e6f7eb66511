"""Label uncertainty: what is trained on and scored, the losses, and every row from start to end."""

import functools
import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.engine import optim, parallel, train
from affectjax.examples import shape, splits
from affectjax.examples.examples import Examples
from affectjax.examples.streams import Memory
from affectjax.labels import raters
from affectjax.metrics import predictive
from affectjax.systems import label_uncertainty as system
from affectjax.systems.label_uncertainty import delays, experiment, losses, network, postprocess, series, windows
from tests.helpers import lu_small
from tests.helpers.lu_small import outputs, recording
from tests.helpers.shared import ROOT, scores

RNG = np.random.default_rng(0)


def rated(examples, frames=4, labels=2, **columns):
  """Examples (item, part) of a corpus with 2 raters, `frames` frames and `labels` labels each, numbered throughout."""
  n, item = len(examples), np.array([i for i, _ in examples])
  of = lambda count, *shape: np.arange(n * count * math.prod(shape), dtype=np.float32).reshape(n * count, *shape)
  offsets = lambda count: np.arange(n + 1) * count
  ratings = Ragged(of(labels, 2, 2), offsets(labels))
  x = Memory(Ragged(of(frames, 3), offsets(frames)), Ragged(np.ones(n * frames, bool), offsets(frames)))
  return Examples(
    'a', np.array([f'e{i}' for i in range(n)]), item, item, np.array([p for _, p in examples]), {'audio': x},
    {'audio': np.ones(n, bool)},
    {'ratings': ratings, 'ratings_mask': Ragged(ratings.values >= 0, ratings.offsets), **columns},
    {'attributes': ('valence', 'arousal'), 'rate_hz': {'audio': 10.0}, 'modalities': {'audio': 3}},
  )  # fmt: skip


# What is trained on


def test_examples_of_an_item_are_one_recording_within_its_part():
  stored = [('a', 'train'), ('a', 'train'), ('b', 'train'), ('b', 'dev'), ('c', 'dev')]
  examples = rated(stored, session=np.arange(5), label_rate_hz=np.full(5, 2.5, np.float32))
  dealt = series.per_recording(examples)
  assert dealt.id.tolist() == dealt.item.tolist() == dealt.group.tolist() == ['a', 'b', 'b', 'c']
  assert dealt.part.tolist() == ['train', 'train', 'dev', 'dev'] and dealt.column('session').tolist() == [0, 2, 3, 4]
  found = series.of(examples, ('mean', 'max'), 0.0)
  assert [(r.id, len(r)) for r in found.recordings] == [('a', 4), ('b', 2), ('b', 2), ('c', 2)]
  assert {r.rate for r in found.recordings} == {2.5}
  ratings = np.concatenate([r.ratings for r in found.recordings])
  np.testing.assert_array_equal(ratings, examples.series('ratings').values)
  np.testing.assert_array_equal(found.recordings[0].x[1], [7.5, 8.5, 9.5, 9, 10, 11])
  assert [r.id for r in found.take([3, 0]).recordings] == ['c', 'a']
  with pytest.raises(UserError, match='do not stand together'):
    series.per_recording(rated([('a', 'train'), ('b', 'train'), ('a', 'train')]))


def test_the_rate_of_labels_follows_from_that_of_features():
  found = series.of(rated([('a', 'train')]), ('mean',), 0.0).recordings[0]
  assert found.rate == 5.0 and found.true is None


def test_recordings_are_dealt_out_by_every_rule_of_splits():
  data = windows.load({**lu_small.config(data=dict(split='folds', folds=3)), 'fold': 1}, None)
  items = {side: set(part['item'].tolist()) for side, part in data.splits.items()}
  assert all(items.values()) and not items['train'] & items['test'] and not items['dev'] & items['test']
  examples = rated([(i, 'all') for i in 'aabbc'], partitions=np.array([[0], [0], [2], [2], [1]]))
  rows = splits.split(series.per_recording(examples), {'data': dict(split='partitions'), 'fold': 0})
  assert {side: index.tolist() for side, index in rows.items()} == {'train': [0], 'dev': [2], 'test': [1]}


def test_features_are_aligned_with_labels():
  x, mask = np.arange(12, dtype=np.float32)[:, None], np.ones(12, bool)
  mean, there = shape.align(x, mask, 3, ('mean', 'max'))
  np.testing.assert_allclose(mean, [[1.5, 3], [5.5, 7], [9.5, 11]])
  assert there.all()
  mask[4:8] = False
  assert shape.align(x, mask, 3, ('mean',))[1].tolist() == [True, False, True]
  np.testing.assert_array_equal(shape.align(x[:3], mask[:3], 6, ())[0][:, 0], [0, 0, 1, 1, 2, 2])
  with pytest.raises(UserError, match='summary is empty'):
    shape.align(x, mask, 3, ())


def test_resampling_averages_what_is_there():
  r = recording(frames=10, rate=10.0)
  r.ratings[0, 0, 0] = np.nan
  r.ratings[2:4, 1, :] = np.nan
  half = series.resample(r, 5.0)
  assert half.rate == 5.0 and len(half) == 5
  np.testing.assert_allclose(half.ratings[0, 0, 0], r.ratings[1, 0, 0])
  assert np.isnan(half.ratings[1, 1]).all()
  np.testing.assert_allclose(half.x[3], r.x[6:8].mean(0), rtol=1e-6)
  with pytest.raises(UserError, match='20 labels|rate_hz 20'):
    series.resample(r, 20.0)


def test_dealt_raters_are_the_same_in_every_recording():
  ratings = recording(raters=6).ratings
  train_a, others = raters.dealt(ratings, 3, seed=4)
  assert train_a.sum() == 3 and others.sum() == 3 and not (train_a & others).any()
  np.testing.assert_array_equal(raters.dealt(ratings[:10], 3, seed=4)[0], train_a)
  draws = {tuple(raters.dealt(ratings, 3, seed=s)[0]) for s in range(20)}
  assert len(draws) > 5
  ratings[:, 2] = np.nan  # who marked nothing is dealt to nobody
  chosen, others = raters.dealt(ratings, 3, seed=4)
  assert not chosen[2] and not others[2] and (chosen | others).sum() == 5


def test_shift_moves_marks_to_what_they_are_about():
  r = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
  out = raters.shift(r, (0.4, 0.0), rate=5.0)
  np.testing.assert_array_equal(out[:8, 0, 0], np.arange(2, 10))
  assert np.isnan(out[8:, :, 0]).all()
  np.testing.assert_array_equal(out[..., 1], r[..., 1])


def test_windows_hold_every_frame_once_and_padding_is_marked():
  recordings = [recording(45, raters=4), recording(20, raters=2, name='b')]
  side = windows.cut(recordings, 20, 7, ('valence', 'arousal'))
  assert side['window'].tolist() == [7, 8, 9, 10] and side['item'].tolist() == ['a', 'a', 'a', 'b']
  assert side['x_mask'].sum() == 65 and np.isfinite(side['time_s']).sum() == 65
  np.testing.assert_array_equal(side['x'][side['x_mask']], np.concatenate([r.x for r in recordings]))
  assert (side['count'][2, 5:] == 0).all() and (side['count'][3] == 2).all() and (side['count'][0] == 4).all()
  np.testing.assert_allclose(side['mean'][0], recordings[0].ratings[:20].mean(1), rtol=1e-5)
  np.testing.assert_allclose(side['spread'][0], recordings[0].ratings[:20].std(1, ddof=1), rtol=1e-5)
  assert np.isnan(side['ratings'][3, :, 2:]).all()


def test_the_truth_is_of_the_scoring_raters_and_dev_never_sees_them():
  config = lu_small.config(raters=dict(train=3, score='others'))
  data = windows.load(config, None)
  there = {s: np.isfinite(a['ratings'][..., 0]).any((0, 1)) for s, a in data.splits.items()}
  assert (
    there['train'].sum() == 3 and (there['train'] == there['dev']).all() and not (there['train'] & there['test']).any()
  )
  everyone = windows.load(lu_small.config(raters=dict(train=3, score='all')), None)
  assert np.isfinite(everyone.splits['test']['ratings'][..., 0]).any((0, 1)).all()


def test_delays_are_found_on_dev_per_attribute():
  twin = dict(lu_small.TWINS, recola=dict(recordings=3, frames=4000, delay=2.0, jitter=0.0, agreement=0.8))
  data = dict(delays=(0.0, 1.0, 2.0, 3.6))
  assert windows.load(lu_small.config(twins=twin, data=data), None).delays == (2.0, 2.0)
  assert windows.load(lu_small.config(data=dict(delays=(2.8,))), None).delays == (2.8, 2.8)
  with pytest.raises(UserError, match=r'run\.data\.delays'):
    delays.choose(None, None, (-1.0, 0.0))


def test_standardisation_is_of_training_frames_and_other_corpora_bring_none():
  cross = lu_small.config('t_lu_to_msp', 'cross_corpus')
  a, b = windows.load(cross, None), windows.load(lu_small.config('t_lu'), None)
  np.testing.assert_array_equal(a.standard['mean'], b.standard['mean'])
  assert a.delays == b.delays
  assert a.splits['test']['item'][0].startswith('conversation') and a.splits['train']['item'][0].startswith('train')


@pytest.mark.parametrize(('changes', 'said'), [
  (dict(data=dict(split='values')), 'needs folds'),
  (dict(data=dict(split='halves')), 'halves'),
  (dict(data=dict(modalities=('visual',))), "unknown modality of recola in run.data.modalities 'visual'"),
  (dict(data=dict(summary=('median',))), 'median'),
  (dict(data=dict(rate_hz=50.0)), 'rate_hz 50'),
  (dict(data=dict(held_out=3)), 'no train example'),
  (dict(raters=dict(train=0, score='others')), 'run.raters.train is 0'),
  (dict(raters=dict(train=9, score='all')), 'has 6 raters'),
  (dict(raters=dict(train=6, score='others')), 'has 6 raters'),
  (dict(raters=dict(train=2, score='all')), 'needs 3 raters a frame'),
  (dict(raters=dict(train=1), loss=dict(label='gauss')), 'needs 2 raters a frame'),
  (dict(raters=dict(train=3), loss=dict(nu='a-1')), 'needs 4 raters a frame'),
  (dict(loss=dict(label='cauchy')), 'cauchy'),
  (dict(loss=dict(nu='a+1')), 'a+1'),
  (dict(loss=dict(bbb='none')), 'cost of the weights'),
  (dict(model=dict(spread='direct')), 'cost of the weights'),
  (dict(model=dict(spread='none'), loss=dict(bbb='none')), 'needs a spread that is trained'),
  (dict(model=dict(block=7)), 'whole blocks'),
  (dict(model=dict(passes=500)), '256 passes'),
  (dict(model=dict(frontend='released')), '640 samples'),
  (dict(model=dict(frontend='raw')), 'raw'),
  (dict(model=dict(bottleneck='narrow')), 'narrow'),
  (dict(model=dict(recurrent='gru')), 'gru'),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(tmp_path, changes, said):
  with pytest.raises(UserError) as caught:
    train.run(lu_small.config(**changes), tmp_path)
  assert said in str(caught.value) and '\n' not in str(caught.value)


# Losses


def loss_of(**changes):
  return losses.Loss.of(cells_loss(**changes))


def cells_loss(**changes):
  config = lu_small.config()
  return {'loss': {**config['loss'], **changes}}


def label_batch(counts=(6, 5, 3, 2, 1, 0)):
  n = len(counts)
  shape = (1, n, 1)
  return {
    'mean': RNG.normal(0, 0.3, shape).astype(np.float32),
    'spread': np.where(np.reshape(counts, shape) > 1, 0.2, 0.0).astype(np.float32),
    'count': np.reshape(counts, shape).astype(np.float32),
  }


@pytest.mark.parametrize(
  ('label', 'nu', 'fewest'), [('gauss', 'a', 2), ('t', 'a', 3), ('t', 'a-1', 4), ('t_t', 'a', 3)]
)
def test_frames_with_too_few_raters_are_masked_in_value_and_gradient(label, nu, fewest):
  loss, batch = loss_of(label=label, nu=nu), label_batch()

  def total(m_hat, s_hat):
    values, there = losses.label_divergence(loss, batch, m_hat, s_hat)
    return jnp.where(there, values, 0.0).sum(), there

  m_hat, s_hat = np.zeros((1, 6, 1), np.float32), np.full((1, 6, 1), 0.3, np.float32)
  result = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(m_hat, s_hat)
  (value, there), grads = jax.tree.map(np.asarray, result)
  assert there[0, :, 0].tolist() == [c >= fewest for c in (6, 5, 3, 2, 1, 0)]
  assert np.isfinite(value) and value > 0
  for g in grads:
    assert np.isfinite(g).all() and (g[~there] == 0).all() and (g[there] != 0).all()


def test_posterior_scale_and_floor_are_what_they_are_said_to_be():
  batch = label_batch((6,))
  from affectjax.objectives import student_t

  hat = np.zeros((1, 1, 1), np.float32), np.full((1, 1, 1), 0.3, np.float32)
  mean, spread = (np.asarray(batch[k], np.float64) for k in ('mean', 'spread'))
  value = lambda **loss: jax.jit(functools.partial(losses.label_divergence, loss_of(**loss)))(batch, *hat)[0]
  expected = student_t.kl_t_normal(mean, spread * np.sqrt(1 + 1 / 6), 5.0, *hat, xp=np)
  np.testing.assert_allclose(value(label='t', nu='a-1', scale='posterior', floor=0.0), expected, rtol=1e-5)
  expected = student_t.kl_normal_normal(mean, np.sqrt(0.2**2 + 0.1**2), *hat, xp=np)
  np.testing.assert_allclose(value(label='gauss', floor=0.1), expected, rtol=1e-5)


@functools.lru_cache(maxsize=1)
def small_net():
  """A network and its parameters, for 3 features."""
  net = network.Network(2, hidden=8, width=8, block=5, dropout=0.0)
  shapes = jax.eval_shape(net.init, jax.random.key(0), np.zeros((1, 10, 3), np.float32))
  rng = np.random.default_rng(0)
  ends = {'mean': (-0.1, 0.1), 'rho_': (-3, -2), 'slop': (0.25, 0.25)}  # as they are made at first; all others: 8^-1/2
  of = lambda path, x: rng.uniform(*ends.get(path[-1].key[:4], (-(8**-0.5), 8**-0.5)), x.shape).astype(np.float32)
  return net, jax.tree_util.tree_map_with_path(of, shapes)


def test_closed_cost_is_the_expectation_of_the_drawn_one():
  params = small_net()[1]['params']['head']

  def costs(bbb, passes):
    cost = lambda seed, w: losses.weights_cost(loss_of(bbb=bbb), params, jax.random.key(seed), w, 2, passes)
    return jax.jit(jax.vmap(cost, (None, 0), axis_name=parallel.AXIS))

  windows = np.arange(2).reshape(1, 2)
  exact = float(costs('closed', 1)(1, windows)[0])
  monte_carlo = costs('monte_carlo', 200)
  drawn = [float(monte_carlo(i, windows)[0]) for i in range(5)]
  assert abs(np.mean(drawn) - exact) < 4 * np.std(drawn) / np.sqrt(5) + 1.0


def test_mean_over_frames_is_over_all_devices_frames():
  values, there = np.arange(24, dtype=np.float32).reshape(4, 3, 2), RNG.random((4, 3, 2)) < 0.6
  mask = np.array([1, 1, 1, 0], np.float32)
  share = jax.jit(jax.vmap(losses.per_example, axis_name=parallel.AXIS))
  one = np.asarray(share(values[None], there[None], mask[None]))[0]
  two = np.asarray(share(*(v.reshape(2, 2, *v.shape[1:]) for v in (values, there, mask))))
  np.testing.assert_allclose(two.reshape(-1), one, rtol=1e-6)
  kept = [values[:3, :, a][there[:3, :, a]].mean() for a in range(2)]
  np.testing.assert_allclose((one * mask).sum() / mask.sum(), np.mean(kept), rtol=1e-6)


# Network


def test_prediction_of_a_window_does_not_depend_on_its_batch():
  net, params = small_net()
  x = np.random.default_rng(0).normal(size=(4, 10, 3)).astype(np.float32)

  @jax.jit
  def run(x, w):
    return net.apply(params, net.apply(params, x, method='trunk'), w, jax.random.key(2), 3, method='sampled')

  whole = np.asarray(run(x, np.arange(4)))
  np.testing.assert_allclose(run(x[2:3], np.arange(2, 3)), whole[:, 2:3], atol=1e-6)
  again = np.asarray(run(x, np.arange(4) + 1))
  assert (np.abs(again - whole) > 1e-4).mean() > 0.9


def test_weights_change_between_blocks_and_passes_and_not_within():
  net, params = small_net()
  run = jax.jit(lambda h, windows: net.apply(params, h, windows, jax.random.key(0), 4, method='sampled'))
  y = run(np.ones((1, 15, 8), np.float32), np.arange(1))  # [4, 1, 15, 2]
  y = np.asarray(y)[:, 0].reshape(4, 3, 5, 2)
  assert np.ptp(y, axis=2).max() < 1e-6  # a constant input within a block
  assert np.ptp(y, axis=1).min() > 1e-6 and np.ptp(y, axis=0).min() > 1e-6


def test_moments_are_mean_and_ddof_one():
  x = RNG.normal(size=(7, 3)).astype(np.float32)
  mean, spread = jax.jit(network.moments)(x)
  np.testing.assert_allclose(mean, np.mean(x, 0), rtol=1e-5)
  np.testing.assert_allclose(spread, np.std(x, 0, ddof=1), rtol=1e-5)
  assert np.isfinite(jax.jit(jax.grad(lambda x: network.moments(x)[1].sum()))(np.ones((4, 2), np.float32))).all()


# From start to end


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """trained(row): the folder and the result of a row that ran from start to end, once."""

  def run(row):
    folder = tmp_path_factory.mktemp(row)
    return folder, train.run(lu_small.config(row), folder)

  return functools.cache(run)


def rows(names, quick):
  """Parameters of a test of whole rows: those of `quick` differ in what is traced, the others run with the slow."""
  return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize('row', rows(list(lu_small.experiment()['order'])[:10], ('t_lu',)))
def test_every_row_trains_and_is_scored(trained, row):
  folder, result = trained(row)
  assert np.isfinite(result.dev['loss']) and result.dev['delay_s.arousal'] in (0.0, 2.0)
  with np.load(folder / 'predictions.npz', allow_pickle=False) as file:
    out = {k.removeprefix('test/'): file[k] for k in file.files if k.startswith('test/')}
  has_mean, has_spread = row != 'stl_pu', row != 'stl'
  assert ('arousal_hat' in out) == has_mean and ('arousal_spread_hat' in out) == has_spread
  found = scores(folder, 'kl.true.arousal', 'nll.raters.valence', 'ccc.pooled.arousal_post')
  assert ('kl.true.arousal' in found) == ('nll.raters.valence' in found) == (has_mean and has_spread)
  assert ('ccc.pooled.arousal_post' in found) == has_mean and np.isfinite(list(found.values())).all()
  if has_spread:
    assert np.nanmin(out['arousal_spread_hat']) > 0
  if row == 't_lu_t':
    assert (out['arousal_df_hat'] == 29).all()
  first = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  assert all(line.get('skipped', 0) == 0 for line in first)


def test_eight_devices_are_one_without_padding_and_garbage():
  """The same steps on eight devices, and on one that has a padded window more and garbage in absent frames.

  Weights' draws belong to windows, losses to all devices' frames, and nothing to padding; so every step's loss and the
  parameters after three steps are equal. The two tests below tell apart what is put together here.
  """
  sgd = dict(name='sgd', lr=0.01, clip=0.0)
  built = system.build(lu_small.config('t_lu', optim=sgd, loss=dict(bbb='monte_carlo'), **lu_small.STILL), None)
  keys = ('window', 'x', 'x_mask', 'mean', 'spread', 'count', 'mask')
  batches = [{k: b[k].copy() for k in keys} for it in [built.batches('train', 0)] for b in (next(it) for _ in range(3))]
  for batch in batches:
    batch['x_mask'][1, 12:], batch['count'][1, 12:] = False, 0
  state = built.init(jax.random.key(0), batches[0])

  def dirty(batch):
    there = batch['x_mask'][..., None]
    batch = {
      **batch,
      'x': np.where(there, batch['x'], 1e6),
      'mean': np.where(batch['count'] > 0, batch['mean'], np.inf),
    }
    return {k: v.astype(batches[0][k].dtype) for k, v in batch.items()}

  def padded(batch):  # the last window stays the last: its weights are those that are paid for
    empty = lambda v: np.full_like(v[:1], np.nan if v.dtype.kind == 'f' else 0)
    out = {k: np.concatenate([v[:4], empty(v), v[4:]]) for k, v in batch.items()}
    return {**out, 'mask': np.insert(batch['mask'], 4, 0)}

  def trained(step, batches, devices):
    now, told = state, []
    for batch in batches:
      now, scalars = step(now, {k: np.stack(np.split(v, devices)) for k, v in batch.items()})
      now = now.replace(key=state.key, **{
        k: jax.tree.map(lambda x: np.asarray(x)[0], getattr(now, k))
        for k in ('step', 'params', 'opt_state', 'extra', 'skipped')
      })  # fmt: skip
      told.append({k: float(scalars[k][0]) for k in ('loss', 'label_loss', 'ccc_loss')})
    return {k: np.array([t[k] for t in told]) for k in told[0]}, now.params

  on = lambda devices: jax.pmap(built.step, parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:devices])
  one, eight = on(1), on(8)
  wanted, params = trained(one, [padded(b) for b in batches], 1)
  noisy, after = trained(one, [padded(dirty(b)) for b in batches], 1)
  np.testing.assert_allclose(noisy['loss'], wanted['loss'], rtol=1e-6)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), params, after)
  several, after = trained(eight, batches, 8)
  np.testing.assert_allclose(several['loss'], wanted['loss'], rtol=2e-5)
  np.testing.assert_allclose(several['label_loss'], wanted['label_loss'], rtol=1e-5)
  np.testing.assert_allclose(several['ccc_loss'], wanted['ccc_loss'], rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), params, after)


@pytest.mark.slow
def test_padded_windows_and_absent_frames_are_invisible():
  """Garbage in padded frames changes neither the loss nor its gradient; masked equals dropped."""
  config = lu_small.config('t_lu', **lu_small.STILL)
  data = windows.load(config, None)
  cell = experiment.spec(config, data.attributes, 100.0)
  keys = ('window', 'x', 'x_mask', 'mean', 'spread', 'count')
  batch = {k: data.splits['train'][k][:3].copy() for k in keys}
  batch['x_mask'][1, 12:], batch['count'][1, 12:] = False, 0
  state = system.build(config, None).init(jax.random.key(0), batch)
  step = experiment._step(cell, optim.key({**config['optim'], 'name': 'sgd'}), 6)

  run = jax.pmap(step, parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:1])
  tx = experiment.optim.make({**config['optim'], 'name': 'sgd'}, 6)
  start = state.replace(opt_state=tx.init(state.params))

  def update(batch, mask):
    after, scalars = run(start, {k: np.asarray(v)[None] for k, v in {**batch, 'mask': mask}.items()})
    return jax.tree.map(np.asarray, after.params), scalars

  ones = np.ones(3, np.float32)
  clean, scalars = update(batch, ones)
  dirty = {
    **batch,
    'x': np.where(batch['x_mask'][..., None], batch['x'], 1e6),
    'mean': np.where(batch['count'] > 0, batch['mean'], np.inf),
  }
  other, noisy = update(dirty, ones)
  np.testing.assert_allclose(noisy['loss'], scalars['loss'], rtol=1e-6)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), clean, other)
  padded = {
    k: np.concatenate([v, v[:1] * 0 + (np.nan if v.dtype.kind == 'f' else 0)]).astype(v.dtype) for k, v in batch.items()
  }
  more, filled = update(padded, np.array([1, 1, 1, 0], np.float32))
  np.testing.assert_allclose(filled['label_loss'], scalars['label_loss'], rtol=1e-5)
  np.testing.assert_allclose(filled['ccc_loss'], scalars['ccc_loss'], rtol=1e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), clean, more)


@pytest.mark.slow
@pytest.mark.parametrize('row', ['t_lu', 'mtl_pu'])
def test_eight_devices_are_one(row):
  """The same steps on one device and on eight: weights' draws belong to windows, losses to all devices' frames."""
  changes = dict(optim=dict(name='sgd', lr=0.01, clip=0.0), loss=dict(bbb='monte_carlo'), **lu_small.STILL)
  if row == 'mtl_pu':
    del changes['loss']
  config = lu_small.config(row, **changes)
  built = system.build(config, None)
  batches = [parallel.split_strings(next(it))[0] for it in [built.batches('train', 0)] for _ in range(3)]
  state = built.init(jax.random.key(0), batches[0])
  curves = []
  for devices in (1, 8):
    cut = {
      k: np.stack([np.stack(np.split(b[k], devices)) for b in batches], 1) for k in batches[0]
    }  # [devices, 3, ...]
    steps = lambda state, batches: jax.lax.scan(built.step, state, batches)
    run = jax.pmap(steps, parallel.AXIS, in_axes=(None, 0), devices=jax.devices()[:devices])
    after, scalars = run(state, cut)
    curves.append((np.asarray(scalars['loss'])[0], jax.tree.map(lambda x: np.asarray(x)[0], after.params)))
  np.testing.assert_allclose(curves[0][0], curves[1][0], rtol=2e-5)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), curves[0][1], curves[1][1])


def test_resumed_is_uninterrupted(tmp_path, trained):
  folder, whole = trained('t_lu')
  config = lu_small.config('t_lu')

  class Stop(Exception):
    pass

  def stop(step, steps, rate):
    if step == 5:  # of 6, after the evaluation at 3
      raise Stop

  with pytest.raises(Stop):
    train.run(config, tmp_path, watch=stop)
  again = train.run(config, tmp_path)
  assert again.dev == whole.dev
  with np.load(folder / 'predictions.npz') as a, np.load(tmp_path / 'predictions.npz') as b:
    assert a.files == b.files
    for key in a.files:
      np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.parametrize(
  ('row', 'table'),
  [('stl_pu', 'within'), ('ensemble', 'within'), ('mtl_pu_to_recola', 'cross_corpus')],
)
def test_other_kinds_of_rows_can_be_trained_and_predict(row, table):
  """Traced, not compiled: shapes fit, also on a corpus with other raters, and predicted is what a row is to predict."""
  built = system.build(lu_small.config(row, table), None)
  batches = {side: parallel.split_strings(next(iter(built.batches(side, 0))))[0] for side in ('train', 'dev', 'test')}
  state = jax.eval_shape(built.init, jax.random.key(0), batches['train'])
  cut = {k: v[None] for k, v in batches['train'].items()}
  after, scalars = jax.eval_shape(jax.vmap(built.step, (None, 0), axis_name=parallel.AXIS), state, cut)
  shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
  assert shapes(after.params) == jax.tree.map(lambda x: (1, *x.shape), state.params) and 'loss' in scalars
  for side in ('dev', 'test'):
    out = jax.eval_shape(built.predict, state, batches[side])
    assert ('arousal_hat' in out) == (row != 'stl_pu') and 'arousal_spread_hat' in out
    assert out['valence_spread_hat'].shape == batches[side]['x_mask'].shape


@pytest.mark.slow
@pytest.mark.parametrize('row', ['mu_lu', 'stl'])
def test_other_tables_run(tmp_path, row):
  name = f'{row}_to_recola'
  train.run(lu_small.config(name, 'cross_corpus'), tmp_path)
  assert np.isfinite(scores(tmp_path, 'ccc.pooled.arousal')['ccc.pooled.arousal'])


@pytest.mark.slow
def test_full_size_network_on_raw_waveforms_takes_steps(tmp_path):
  """12 s of raw waveform, the released widths, 30 passes: two steps and one evaluation, in a process of its own."""
  command = [sys.executable, '-m', 'tests.helpers.lu_small', str(tmp_path)]
  environment = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
  done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
  assert np.isfinite([line['loss'] for line in lines if 'loss' in line]).all()
  assert np.isfinite(scores(tmp_path, 'kl.t.arousal')['kl.t.arousal'])


# Post-processing


@pytest.mark.parametrize(('changes', 'step'), [
  (dict(noise=0.3), 'median'), (dict(offset=0.7), 'linear'), (dict(scale=0.3), 'linear'), (dict(shift=5), 'shift'),
])  # fmt: skip
def test_each_step_is_found_where_it_helps(changes, step):
  dev = outputs(**changes)
  assert step in [name for name, *_ in postprocess.chain(dev, 'arousal')]
  done = postprocess.add({'dev': dev, 'test': dev}, ['arousal', 'valence'])
  before, after = (metrics.compute(f'ccc.pooled.{t}', done['test']) for t in ('arousal', 'arousal_post'))
  assert after > before + 0.01


def test_a_perfect_prediction_is_left_alone():
  dev = outputs()
  assert postprocess.chain(dev, 'arousal') == []
  done = postprocess.add({'dev': dev, 'test': dev}, ['arousal'])['dev']
  np.testing.assert_array_equal(done['arousal_post_hat'], dev['arousal_hat'])


def test_recordings_do_not_touch_each_other():
  dev = outputs()
  track = postprocess.Track(dev, 'arousal')
  x = np.concatenate([np.full(120, float(i)) for i in range(3)])
  np.testing.assert_array_equal(postprocess.median(track, x, 4.0), x)
  np.testing.assert_array_equal(postprocess.shifted(track, x, 4.0), x)
  assert track.rate == pytest.approx(5.0)


def test_unknown_corpora_for_crossing_are_refused():
  a = rated((('a', 'train'),))
  with pytest.raises(UserError, match="needs the corpus's own split, with train and test.* the parts are: train"):
    splits.split(series.per_recording(a), {'data': dict(split='official', seed=0, held_out=1), 'fold': 'all'})
  b = rated((('a', 'train'), ('b', 'dev')))
  with pytest.raises(UserError, match='leaves no train example'):
    splits.split(series.per_recording(b), {'data': dict(split='official_dev', seed=0, held_out=1), 'fold': 'all'})


@functools.lru_cache(maxsize=2)
def mean_divergence(label):
  """The label loss of all frames, predicted as 0 with each of some widths."""
  loss = loss_of(label=label, floor=0.0)

  def of(batch, widths):
    zero = jnp.zeros_like(batch['mean'])
    return jax.lax.map(lambda w: losses.label_divergence(loss, batch, zero, zero + w)[0].mean(), widths)

  return jax.jit(of)


@pytest.mark.parametrize('tails', [0.0, pytest.param(0.2, marks=pytest.mark.slow), 0.33])
@pytest.mark.parametrize('raters', [3, 6])
def test_the_t_loss_asks_for_a_wider_prediction_whatever_the_tails(tails, raters):
  """Known without any network: of a Gaussian prediction every label loss sees two moments of the raters only.

  So the t loss always widens it, by up to sqrt(nu / (nu - 2)): better by kl.t, worse by the density of new raters'
  values. Whether raters have heavy tails does not enter, as long as they have a variance.
  """
  law = stats.norm() if tails == 0 else stats.t(1 / tails)
  y = law.rvs(size=(20000, raters), random_state=np.random.default_rng(0))
  m, s = y.mean(1), y.std(1, ddof=1)
  batch = {'mean': m, 'spread': s, 'count': np.full(len(m), raters, np.float32)}
  batch = {k: v.astype(np.float32).reshape(1, -1, 1) for k, v in batch.items()}
  widths = np.geomspace(0.5, 5, 200, dtype=np.float32)

  def best(label):  # of all widths; it lies next to the best of every tenth, for the loss has one minimum
    of = mean_divergence(label)
    first = 10 * max(int(np.argmin(of(batch, widths[::10]))) - 1, 0)
    near = widths[first : first + 20]
    return float(near[np.argmin(of(batch, near))])

  gauss, t = best('gauss'), best('t')
  np.testing.assert_allclose(gauss, np.sqrt((s**2 + m**2).mean()), rtol=0.02)
  np.testing.assert_allclose(t, np.sqrt((s**2 * raters / (raters - 2) + m**2).mean()), rtol=0.02)
  new = law.rvs(size=200000, random_state=np.random.default_rng(1))
  assert -stats.norm.logpdf(new, 0, gauss).mean() < -stats.norm.logpdf(new, 0, t).mean()
  by = lambda w: predictive.kl_t(m, s, np.full(len(m), raters), np.zeros(len(m)), np.full(len(m), w), np.inf).mean()
  assert by(t) < by(gauss)
