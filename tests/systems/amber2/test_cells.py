"""AmbER^2's cells from config to scores: searches, two stages, missing modalities, resuming, what is compiled."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.engine import train
from affectjax.examples.streams import Memory
from affectjax.systems.amber2 import experiment
from affectjax.systems.amber2 import items as items_lib
from tests.helpers import amber2_small as small
from tests.helpers.shared import scores
from tests.helpers.small import lines

BOTH = ('audio', 'text')


def predictions(folder, split='test'):
  with np.load(folder / 'predictions.npz', allow_pickle=False) as file:
    return {k.split('/')[1]: file[k] for k in file.files if k.startswith(f'{split}/')}


def trained(folder, row='amber2', warm=None, watch=lambda *_: None, **changes):
  config = small.config(row, **changes)
  return train.run(config, folder, warm_start=warm, watch=watch), predictions(folder)


METRICS = ('js.bits.emotion', 'bc.emotion', 'r2.pearson.emotion', 'acc.emotion', 'uar.emotion', 'f1.macro.emotion',
           'f1.weighted.emotion', 'ece.10.emotion')  # fmt: skip


def check(result, out, modalities=BOTH):
  assert np.isfinite([*(metrics.compute(m, out) for m in METRICS), *result.dev.values()]).all()
  names = ['emotion', *(f'emotion_{m}' for m in modalities)]
  for name in names:
    assert {name, f'{name}_hat', f'{name}_shares', f'{name}_shares_hat'} <= out.keys()
    np.testing.assert_allclose(out[f'{name}_shares_hat'].sum(1), 1, atol=1e-5)
  assert {'emotion_level', 'emotion_first', 'emotion_first_hat', 'group', 'item', 'votes'} <= out.keys()


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
  """A finished search of four settings, with dropout, and its folder."""
  folder = tmp_path_factory.mktemp('search')
  return trained(folder, 'search', **SEARCHED)[0], folder


SEARCHED = dict(model=dict(dropout=0.2), optim=dict(lr=0.02))
ALONE_AND_SEARCHED = pytest.mark.parametrize(('row', 'options'), [
  pytest.param('search', SEARCHED, id='search'),
  pytest.param('amber2', dict(optim=dict(lr=0.02)), id='amber2', marks=pytest.mark.slow),
])  # fmt: skip


def test_a_search_is_recorded(searched):
  result, folder = searched
  check(result, predictions(folder))
  settings = experiment.settings(small.config('search'))
  js = {s[0]: result.dev[f'search.{s[0]}'] for s in settings}
  best = min(js, key=js.get)
  setting = {s[0]: s[1:] for s in settings}[best]
  assert len(set(js.values())) == 4 and (result.dev['search.lambda_mai'], result.dev['search.kappa']) == setting
  assert result.dev['loss'] == pytest.approx(js[best], abs=1e-6) and not any('search' in k for k in predictions(folder))
  assert predictions(folder, 'dev')['search_js'].shape[1] == 4
  evaluated = [line for line in lines(folder / 'metrics.jsonl') if 'dev/loss' in line]
  assert [line['step'] for line in evaluated] == [2, 4]
  assert result.selected_step == min(evaluated, key=lambda line: line['dev/loss'])['step']
  at = next(line for line in evaluated if line['step'] == result.selected_step)
  assert {k: at[f'dev/search.{k}'] for k in js} == pytest.approx(js, abs=1e-6)


@pytest.mark.slow
def test_the_choice_of_a_search_is_that_setting_alone(searched, tmp_path):
  result, out = searched[0], predictions(searched[1])
  _, other = trained(
    tmp_path, loss=dict(lambda_mai=result.dev['search.lambda_mai'], kappa=result.dev['search.kappa']),
    steps=result.selected_step, select='last', eval_every=0, **SEARCHED,
  )  # fmt: skip
  for key in (k for k in out if k.endswith('_shares_hat')):
    np.testing.assert_allclose(out[key], other[key], atol=5e-6, err_msg=key)
  js = [metrics.compute('js.bits.emotion', predicted) for predicted in (out, other)]
  assert js[0] == pytest.approx(js[1], abs=1e-6)


@pytest.mark.slow
def test_two_stages_through_checkpoints(tmp_path):
  """What the experts say is what they said in the row they come from, on every utterance."""
  _, first = trained(tmp_path / 'experts', 'ce_experts')
  result, second = trained(tmp_path / 'both', 'two_stage', warm=tmp_path / 'experts')
  check(result, second)
  for m in BOTH:
    key = f'emotion_expert_{m}_shares_hat'
    np.testing.assert_array_equal(first[key], second[key])
  assert not np.array_equal(first['emotion_shares_hat'], second['emotion_shares_hat'])


@pytest.mark.slow
def test_a_head_of_another_size_is_not_taken_over(tmp_path):
  trained(tmp_path / 'experts', 'ce_experts', steps=1, eval_every=1)
  with pytest.raises(UserError, match='warm start: head_audio.* has shape'):
    trained(tmp_path / 'both', 'two_stage', warm=tmp_path / 'experts', model=dict(hidden=4))


ROWS = (
  'student_text',
  'student_audio',
  'concatenation',
  'ensemble',
  'soft',
  'edl',
  'dirichlet_prior',
  'uniform',
  'no_stop',
)


@pytest.mark.slow
@pytest.mark.parametrize('row', ['ce_text', *ROWS])
def test_every_row_trains_and_is_scored(tmp_path, row):
  changes = dict(data=dict(modalities=('text',))) if row == 'ce_text' else {}
  result, out = trained(tmp_path, row, **changes)
  config = small.config(row, **changes)
  modalities = BOTH if config['student'] == 'fusion' else (config['student'],)
  check(result, out, modalities)
  experts = {m for m in BOTH if m in config['heads'] and m != config['student']}
  assert {m for m in BOTH if f'emotion_expert_{m}' in out} == experts
  assert [line['finite'] for line in lines(tmp_path / 'metrics.jsonl') if 'finite' in line] in ([], [1.0] * 4)


@pytest.mark.parametrize('row', ['prior', 'rater'])
def test_references_take_no_training(tmp_path, row):
  result, out = trained(tmp_path, row)
  assert result.steps == 0 and not list(tmp_path.glob('checkpoints'))
  found = scores(tmp_path, *METRICS)
  assert json.loads(json.dumps(found)) == found and set(found) == set(METRICS)
  assert 0 < found['js.bits.emotion'] < 1 and len(out['id']) == len(out['emotion_hat'])


@pytest.mark.slow
@pytest.mark.parametrize('split', ['stratified', 'folds', 'official'])
def test_the_second_corpus_trains_on_each_of_its_splits(tmp_path, split):
  config = small.config('amber2', 'msp_podcast', 'all' if split == 'official' else '0', data=dict(split=split))
  result = train.run(config, tmp_path)
  check(result, predictions(tmp_path))
  assert predictions(tmp_path)['votes'].shape[1] == 8


@ALONE_AND_SEARCHED
def test_evaluated_once_an_epoch(tmp_path, row, options):
  """However many steps the training split of a fold makes."""
  config = small.config(row, **options, steps=0, epochs=2, eval_every=0, eval_epochs=1.0)
  result = train.run(config, tmp_path)
  steps = [line['step'] for line in lines(tmp_path / 'metrics.jsonl') if 'dev/loss' in line]
  batches = experiment.build(config, None)
  seen = len(set(np.concatenate([next(b)['id'] for b in [batches.batches('train', 0)] for _ in range(50)]).tolist()))
  assert steps[0] == np.ceil(seen / 32) == batches.epoch and steps[-1] in (2 * steps[0], result.steps)


@pytest.mark.slow
def test_tempering_changes_shares_and_no_class(tmp_path):
  plain, first = trained(tmp_path / 'plain', 'ce_fusion', optim=dict(lr=0.02), steps=40, eval_every=20)
  warm, second = trained(tmp_path / 'warm', 'ce_fusion', optim=dict(lr=0.02), steps=40, eval_every=20, temper=True)
  np.testing.assert_array_equal(first['emotion_hat'], second['emotion_hat'])
  raised = first['emotion_shares_hat'].astype(np.float64) ** warm.dev['temper']
  np.testing.assert_allclose(second['emotion_shares_hat'], raised / raised.sum(1, keepdims=True), atol=1e-5)
  assert warm.dev['loss'] < plain.dev['loss'] and 'temper' not in second and 'temper' not in plain.dev


@pytest.mark.slow
def test_it_learns_more_than_the_classes_shares(tmp_path):
  trained(tmp_path / 'amber2', steps=80, eval_every=20, optim=dict(lr=0.02))
  trained(tmp_path / 'prior', 'prior')
  found, known = (scores(tmp_path / row, *METRICS) for row in ('amber2', 'prior'))
  assert found['js.bits.emotion'] < known['js.bits.emotion'] - 0.01
  assert found['bc.emotion'] > known['bc.emotion'] + 0.01


class Stop(BaseException):
  """Not an Exception: nothing may catch it, as nothing catches a kill."""


@pytest.mark.parametrize('row', ['search', pytest.param('amber2', marks=pytest.mark.slow)])
def test_resumed_is_uninterrupted_bit_for_bit(tmp_path, row):
  options = dict(steps=6, **SEARCHED)

  def stop(step, steps, rate):
    if step == 5:
      raise Stop

  result, out = trained(tmp_path / 'whole', row, **options)
  with pytest.raises(Stop):
    trained(tmp_path / 'torn', row, watch=stop, **options)
  again, torn = trained(tmp_path / 'torn', row, **options)
  assert again._replace(timing={}) == result._replace(timing={})
  assert out.keys() == torn.keys() and all(out[k].tobytes() == torn[k].tobytes() for k in out)
  assert lines(tmp_path / 'torn' / 'metrics.jsonl') == lines(tmp_path / 'whole' / 'metrics.jsonl')


@pytest.mark.slow
def test_cells_of_equal_shape_compile_nothing_again(tmp_path):
  """Another fold, another seed, other weights of the loss: not one program more."""
  seen = []
  listen = lambda event, seconds, **_: seen.append(event) if event.endswith('backend_compile_duration') else None
  options = dict(steps=0, epochs=1, eval_every=3)
  train.run(small.config(**options), tmp_path / 'first')
  jax.monitoring.register_event_duration_secs_listener(listen)
  for fold, changes in (('1', {}), ('2', dict(seed=1)), ('0', dict(loss=dict(kappa=1.0, lambda_mai=0.2)))):
    config = small.config(fold=fold, **options, **changes)
    train.run(config, tmp_path / f'fold{fold}')
  assert not seen, f'{len(seen)} programs compiled again'
  train.run(small.config(loss=dict(divergence='kl'), **options), tmp_path / 'other')
  assert seen, 'the listener hears'


@ALONE_AND_SEARCHED
def test_missing_modalities_from_corpus_to_scores(tmp_path, monkeypatch, row, options):
  """Some lack their audio, some their text, some both: each target scores those who have what it needs."""
  items = small.utterances(width=12)
  gone = {'audio': np.arange(120) % 6 == 0, 'text': np.arange(120) % 4 == 0}
  for m, rows in gone.items():
    items.streams[m].mask.values[rows] = False
    items.streams[m].values.values[rows] = np.nan
  monkeypatch.setattr(items_lib, 'load', lambda *_, **__: items)
  result, out = trained(tmp_path, row, target=dict(merge={}), **options)
  assert all(line.get('finite', 1) for line in lines(tmp_path / 'metrics.jsonl'))
  rows = np.array([int(i[1:]) for i in out['id']])
  for name, absent in (('emotion', gone['audio'] & gone['text']), ('emotion_audio', gone['audio']),
                       ('emotion_expert_text', gone['text'])):  # fmt: skip
    np.testing.assert_array_equal(np.isnan(out[f'{name}_shares']).all(1), absent[rows], name)
    assert np.isfinite(out[f'{name}_shares_hat']).all()
  assert np.isfinite([*(metrics.compute(m, out) for m in METRICS), *result.dev.values()]).all()
  only = ~gone['audio'][rows] & gone['text'][rows]
  np.testing.assert_allclose(out['emotion_shares_hat'][only], out['emotion_audio_shares_hat'][only], atol=1e-6)


@pytest.mark.slow
def test_frames_train_as_their_means_do(tmp_path, monkeypatch):
  """Ragged frames against embeddings averaged beforehand, nothing standardised."""
  items = small.utterances(width=12)
  rng, framed, pooled = np.random.default_rng(0), {}, {}
  for m in BOTH:
    parts = [rng.normal(size=(n, 12)).astype(np.float32) for n in rng.integers(1, 5, 120)]
    framed[m], pooled[m] = Ragged.stack(parts), Ragged.stack([p.mean(0)[None] for p in parts])
  found = []
  for name, of in (('framed', framed), ('pooled', pooled)):
    streams = {m: Memory(x, Ragged(np.ones(len(x.values), bool), x.offsets)) for m, x in of.items()}
    whole_ = dataclasses.replace(items, streams=streams)
    monkeypatch.setattr(items_lib, 'load', lambda *_, whole_=whole_, **__: whole_)
    found.append(trained(tmp_path / name, target=dict(merge={}), data=dict(standardise=False))[1])
  np.testing.assert_allclose(found[0]['emotion_shares_hat'], found[1]['emotion_shares_hat'], atol=1e-5)
