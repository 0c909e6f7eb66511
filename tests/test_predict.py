"""Predictions of trained cells on folders of features: those of the cell itself, on its corpus's own features."""

import dataclasses
import functools
import shutil

import numpy as np
import pytest

from affectjax import predict
from affectjax.data.store import opening
from affectjax.examples import examples as examples_lib
from affectjax.systems.amber2 import views as amber2_views
from affectjax.systems.label_uncertainty import windows
from affectjax.systems.vavl import views as vavl_views
from tests.helpers import amber2_small, lu_small, masked_ssl_small, predict_cells, small, vavl_small

CLOSE = dict(rtol=0, atol=1e-6)
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def command(run, source, output, *more) -> int:
  return predict.main([f'--run={run}', f'--source={source}', f'--output={output}', *more])


def softmax(x):
  p = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
  return p / p.sum(-1, keepdims=True)


def same_classes(written, names, shares):
  for k, name in enumerate(names):
    np.testing.assert_allclose(written[f'p_{name}'], shares[:, k], **CLOSE)
  assert written['emotion'].tolist() == [names[k] for k in shares.argmax(1)]


# MT-CLAR


@pytest.mark.parametrize('target', ['va', slow('emotion')])
def test_heads_of_mtclar_per_frame(tmp_path, target):
  config = small.config(f'control_{target}_afew_va', 'representation', steps=8)
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in')
  out = tmp_path / 'out.csv'
  assert command(run, tmp_path / 'in', out, '--rate_hz=25', '--nonfinite=mask') == 0
  written, wanted = predict_cells.read(out), predict_cells.stored(run)
  keys = np.array([f'{i}/{int(f):05d}' for i, f in zip(written['id'], written['frame'], strict=True)])
  np.testing.assert_allclose(written['seconds'], written['frame'] / 25, **CLOSE)
  written = predict_cells.of_ids({**written, 'id': keys}, wanted['id'])
  if target == 'emotion':
    same_classes(written, config['emotions'], softmax(wanted['emotion_logits']))
    return
  assert list(written) == ['id', 'frame', 'seconds', 'valence', 'arousal']
  for name in ('valence', 'arousal'):
    np.testing.assert_allclose(written[name], wanted[f'{name}_hat'], **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize('summary', [(), ('mean',)], ids=['frames', 'examples'])
def test_heads_of_mtclar_on_images(tmp_path, summary):
  config = small.config('control_va_affectnet', 'representation', steps=4, data=dict(summary=summary))
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in')
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--nonfinite=mask') == 0
  written, wanted = predict_cells.read(tmp_path / 'out.csv'), predict_cells.stored(run)
  assert list(written) == ['id', 'valence', 'arousal']
  written = predict_cells.of_ids(written, wanted['id'])
  np.testing.assert_allclose(written['arousal'], wanted['arousal_hat'], **CLOSE)


# Label uncertainty


def renumbered(monkeypatch):
  """Windows numbered within their recording in training as well, so that the same weights are drawn for them."""
  load = windows.load

  def changed(config, data_dir):
    data = load(config, data_dir)
    for side in data.splits.values():
      side['window'] = np.array([int(i.split('/')[1]) for i in side['id'].tolist()], np.int32)
    return data

  monkeypatch.setattr(windows, 'load', changed)


@pytest.mark.slow
@pytest.mark.parametrize('row', ['t_lu', 'mu_lu', 't_lu_t', 'mtl_pu', 'mc_dropout', 'stl_pu'])
def test_label_uncertainty(tmp_path, monkeypatch, row):
  renumbered(monkeypatch)
  config = lu_small.config(row)
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in')
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--rate_hz=25') == 0
  written, wanted = predict_cells.read(tmp_path / 'out.csv'), predict_cells.stored(run)
  names = ['valence', 'arousal']
  ends = ['_spread'] if row == 'stl_pu' else ['', '_spread', '_df'] if row == 't_lu_t' else ['', '_spread']
  assert list(written) == ['id', 'frame', 'seconds', *(f'{a}{end}' for a in names for end in ends)]
  real = np.isfinite(wanted['time_s'])
  of = np.isin(written['id'], wanted['item'])
  assert of.sum() == real.sum() > 0
  for a in names:
    for end in ends:
      np.testing.assert_allclose(written[f'{a}{end}'][of], wanted[f'{a}{end}_hat'][real], **CLOSE)
  np.testing.assert_allclose(written['seconds'][of], wanted['time_s'][real], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_recording_is_predicted_alike_whatever_lies_beside_it(tmp_path):
  config = lu_small.config('t_lu')
  run = predict_cells.train(tmp_path, config)
  ids = predict_cells.export(config, tmp_path / 'in')
  shutil.copytree(tmp_path / 'in', tmp_path / 'one')
  for name in ids[:-1]:
    (tmp_path / 'one' / f'{name}.npy').unlink()
  for place in ('in', 'one'):
    assert command(run, tmp_path / place, tmp_path / f'{place}.csv', '--rate_hz=audio:25') == 0
  whole, one = (predict_cells.read(tmp_path / f'{place}.csv') for place in ('in', 'one'))
  of = whole['id'] == ids[-1]
  for name in ('valence', 'valence_spread'):
    np.testing.assert_allclose(one[name], whole[name][of], **CLOSE)


# VAVL


@pytest.mark.slow
@pytest.mark.parametrize('row, table', [('vavl', 'crema_d'), ('visual_only', 'msp_improv')])
def test_vavl_with_any_modality_missing(tmp_path, row, table):
  config = vavl_small.config(row, table)
  run = predict_cells.train(tmp_path, config)
  lost = (lambda m, i: m == 'visual') if row == 'visual_only' else (lambda m, i: i % 3 != ('audio', 'visual').index(m))
  ids = predict_cells.export(config, tmp_path / 'in', ('audio', 'visual'), lost)
  if row == 'visual_only':
    (tmp_path / 'in' / 'audio').mkdir()
    np.save(tmp_path / 'in' / 'audio' / f'{ids[0]}.npy', np.zeros((2, 5), np.float32))
  hz = '--rate_hz=visual:2' if row == 'visual_only' else '--rate_hz=audio:3,visual:2'
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', hz, '--nonfinite=mask') == 0
  written, wanted = predict_cells.read(tmp_path / 'out.csv'), predict_cells.stored(run)
  number = {name: i for i, name in enumerate(ids.tolist())}
  at = np.array([number[i] for i in wanted['id'].tolist()])
  has = {m: wanted[f'{m}_present'] & np.array([lost(m, i) for i in at]) for m in ('audio', 'visual')
         if f'{m}_present' in wanted}  # fmt: skip
  chosen, answered = vavl_views.chosen(wanted, has)
  kept = answered & np.isin(wanted['id'], written['id'])
  assert kept.any()
  written = predict_cells.of_ids(written, wanted['id'][kept])
  if config['target']['kind'] == 'classification':
    same_classes(written, config['target']['names'], softmax(chosen[kept]))
    return
  for i, name in enumerate(config['target']['names']):
    np.testing.assert_allclose(written[name], chosen[kept, i], rtol=0, atol=2e-6)


# AmbER^2


@pytest.mark.parametrize('row', [*map(slow, ('search', 'ensemble', 'edl', 'tempered')), 'ce_text'])
def test_amber2(tmp_path, row):
  changes = dict(temper=True) if row == 'tempered' else {}
  config = amber2_small.config('soft' if row == 'tempered' else row, **changes)
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in', config['data']['modalities'])
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--nonfinite=mask') == 0
  for side in ('dev', 'test'):
    written, wanted = predict_cells.read(tmp_path / 'out.csv'), predict_cells.stored(run, side)
    written = predict_cells.of_ids(written, wanted['id'])
    same_classes(written, config['target']['names'], wanted['emotion_shares_hat'])


@pytest.mark.slow
def test_amber2_from_one_modality_alone(tmp_path):
  config = amber2_small.config('ce_fusion')
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in', ('text',))
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--modality=text', '--nonfinite=mask') == 0
  wanted = predict_cells.stored(run)
  written = predict_cells.of_ids(predict_cells.read(tmp_path / 'out.csv'), wanted['id'])
  same_classes(written, config['target']['names'], wanted[f'{amber2_views.EMOTION}_text_shares_hat'])


def test_examples_look_back_on_those_of_their_item(tmp_path):
  config = amber2_small.config('ce_text', data=dict(context=3))
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in', ('text',))
  corpus = opening.open_corpus('iemocap', None, **config['twins']['iemocap'])
  lines = [f'{i},{item}' for split in corpus.counts
           for i, item in zip(*(corpus.columns(split)[k].tolist() for k in ('id', 'item')), strict=True)]  # fmt: skip
  (tmp_path / 'items.csv').write_text('\n'.join(['id,item', *lines]) + '\n')
  items = f'--items={tmp_path}/items.csv'
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--modality=text', '--nonfinite=mask', items) == 0
  wanted = predict_cells.stored(run)
  written = predict_cells.of_ids(predict_cells.read(tmp_path / 'out.csv'), wanted['id'])
  same_classes(written, config['target']['names'], wanted['emotion_shares_hat'])


# Masked self-supervision

MOSEI = dict(twins=dict(cmu_mosei=dict(seed=0, scale=0.01)), data=dict(frames=20))


def with_classes(monkeypatch):
  """The twin has a class as well: its strongest emotion."""
  plain = opening.open_corpus

  def opened(name, data_dir=None, **knobs):
    corpus = plain(name, data_dir, **knobs)
    named = lambda columns: {**columns, 'emotion': np.nan_to_num(columns['intensity']).argmax(1)}
    return dataclasses.replace(corpus, columns=lambda split: named(corpus.columns(split)))

  monkeypatch.setattr(opening, 'open_corpus', opened)


@pytest.mark.parametrize('kind', [slow('intensity'), 'class'])
def test_masked_ssl(tmp_path, monkeypatch, capsys, kind):
  with_classes(monkeypatch)
  examples_lib._load.cache_clear()
  part = masked_ssl_small.CLASSES if kind == 'class' else dict(optim=dict(lr=0.01))
  config = masked_ssl_small.config(part, MOSEI)
  run = predict_cells.train(tmp_path, config)
  predict_cells.export(config, tmp_path / 'in')
  assert command(run, tmp_path / 'in', tmp_path / 'out.csv', '--nonfinite=mask') == 0
  wanted, names = predict_cells.stored(run), masked_ssl_small.experiment()['run']['target']['names']
  written = predict_cells.of_ids(predict_cells.read(tmp_path / 'out.csv'), wanted['id'])
  if kind == 'class':
    same_classes(written, names, wanted['output'][:, 0])
    return
  assert list(written) == ['id', *names, 'emotion']
  for name in names:
    np.testing.assert_allclose(written[name], wanted[f'{name}_hat'], **CLOSE)
  best = np.array([names[k] for k in wanted['intensity_hat'].argmax(1)])
  assert written['emotion'].tolist() == np.where(wanted['intensity_hat'].max(1) > 0, best, '').tolist()
  with np.load(run / 'predictions.npz') as file:
    rest = {k: file[k] for k in file.files if k != 'dev/search'}
  np.savez(run / 'predictions.npz', **rest)
  assert command(run, tmp_path / 'in', tmp_path / 'again.csv', '--nonfinite=mask') == 2
  assert 'does not say which learning rate dev chose; remove its folder' in capsys.readouterr().err
