"""AmbER^2's data: splits and folds, standardising, frames, and what a batch is made of."""

import dataclasses

import jax
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpus import Corpus, Ragged
from affectjax.data.store import opening
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, targets
from affectjax.examples.streams import Memory
from affectjax.systems.amber2 import experiment
from affectjax.systems.amber2 import items as items_lib
from tests.helpers import amber2_small as small
from tests.helpers.amber2_small import TARGET, refused


def config(split='values', fold='0', **data):
  return {**small.config(data=dict(split=split, **data)), 'fold': fold}


# Sides


def test_sessions_are_folds_with_the_next_one_for_dev():
  made = small.utterances()
  labels = targets.distributions(made, TARGET)
  session = made.columns['session']
  for fold in range(5):
    rows = items_lib.labelled(made, labels, config(fold=str(fold), by='session'))
    assert set(session[rows['test']]) == {fold} and set(session[rows['dev']]) == {(fold + 1) % 5}
    assert set(session[rows['train']]) == set(range(5)) - {fold, (fold + 1) % 5}
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(120))
  groups = items_lib.labelled(made, labels, config(by='group', fold='3'))
  assert len(set(made.group[groups['test']])) == 1


@pytest.mark.parametrize('split', ['values', 'folds', 'stratified'])
def test_utterances_without_a_label_are_on_no_side(split):
  made = small.utterances()
  made.columns['votes'][::7] = 0
  labels = targets.distributions(made, TARGET)
  rows = np.concatenate(list(items_lib.labelled(made, labels, config(split, by='session')).values()))
  assert sorted(rows.tolist()) == [i for i in range(120) if i % 7]


def test_folds_of_speakers():
  made = small.utterances()
  labels = targets.distributions(made, TARGET)
  tests = []
  for fold in range(5):
    rows = items_lib.labelled(made, labels, config('folds', str(fold)))
    of = {split: set(made.group[r]) for split, r in rows.items()}
    assert not of['train'] & of['test'] and not of['dev'] & of['test'] and not of['train'] & of['dev']
    tests += rows['test'].tolist()
  assert sorted(tests) == list(range(120))


def test_stratified_folds_are_balanced_in_level_and_class_and_share_speakers():
  made = small.utterances(331, seed=3)
  labels = targets.distributions(made, TARGET)
  rows = [items_lib.labelled(made, labels, config('stratified', str(f), dev=0.1)) for f in range(5)]
  tests = [r['test'] for r in rows]
  assert sorted(np.concatenate(tests).tolist()) == list(range(331)), 'every utterance is tested once'
  strata = np.stack([labels.level, labels.first], 1)
  count = lambda index, stratum: int((strata[index] == stratum).all(1).sum())
  for stratum in np.unique(strata, axis=0):
    counts = [count(t, stratum) for t in tests]
    assert max(counts) - min(counts) <= 1, (stratum, counts)
    for r in rows:  # dev is a tenth of the rest, of every stratum
      assert abs(count(r['dev'], stratum) - 0.1 * count(np.r_[r['dev'], r['train']], stratum)) < 1
  sizes = [len(t) for t in tests]
  assert max(sizes) - min(sizes) <= 1, 'and what is left over does not pile up'
  for r in rows:
    assert sorted(np.concatenate(list(r.values())).tolist()) == list(range(331))
    assert len(r['dev']) in (26, 27)
  assert set(made.group[rows[0]['train']]) & set(made.group[rows[0]['test']]), 'the paper does not keep speakers apart'
  again = items_lib.labelled(made, labels, config('stratified', '0', dev=0.1))
  other = items_lib.labelled(made, labels, config('stratified', '0', dev=0.1, seed=6))
  assert all(np.array_equal(again[split], rows[0][split]) for split in again)
  assert not np.array_equal(other['test'], tests[0])


def test_fewer_training_utterances_leave_the_other_sides_alone():
  made = small.utterances()
  labels = targets.distributions(made, TARGET)
  whole = items_lib.labelled(made, labels, config(by='session'))
  few = items_lib.labelled(made, labels, config(by='session', limit=20))
  assert len(few['train']) == 20 and set(few['train']) < set(whole['train']) and (np.diff(few['train']) > 0).all()
  assert all(np.array_equal(few[split], whole[split]) for split in ('dev', 'test'))
  fewer = items_lib.labelled(made, labels, config(by='session', limit=10))
  assert set(fewer['train']) < set(few['train']), 'a smaller set is part of a larger one'
  more = items_lib.labelled(made, labels, config(by='session', limit=10**6))
  np.testing.assert_array_equal(more['train'], whole['train'])


def test_official_sides_need_no_folds_and_leave_the_rest_out():
  official = np.repeat([0, 1, 2, 3], 30).astype(np.int8)
  made = small.utterances(official=official)
  made = dataclasses.replace(made, group=np.array([f's{o}-{i % 5}' for i, o in enumerate(official)]))
  rows = items_lib.labelled(made, targets.distributions(made, TARGET), config('official', 'all'))
  assert {split: r.tolist() for split, r in rows.items()} == {
    'train': list(range(30)), 'dev': list(range(30, 60)), 'test': list(range(60, 90))}  # fmt: skip


def test_leaks_are_refused():
  made = small.utterances(session=np.arange(120, dtype=np.int32) % 3)
  labels = targets.distributions(made, TARGET)
  assert 'groups in both train and dev: s0, s1' in refused(items_lib.labelled, made, labels, config(by='session'))
  official = small.utterances(official=np.arange(120) % 3)
  shared = config('official', 'all', dev_shares_groups=True)
  assert 'in both train and test' in refused(items_lib.labelled, official, labels, shared)
  official.columns['official'][:] = np.array([0, 1, 2])[np.arange(120) % 20 // 8]  # train and dev share nobody yet
  official.columns['official'][0] = 1  # of a speaker who trains: the corpus's own partitions are taken as they are
  assert 'in both train and dev' in refused(items_lib.labelled, official, labels, config('official', 'all'))
  rows = items_lib.labelled(official, labels, shared)
  assert set(official.group[rows['train']]) & set(official.group[rows['dev']]) == {'s0'}


@pytest.mark.parametrize(('split', 'fold', 'data', 'said'), [
  ('random', '0', {}, "unknown run.data.split 'random'; there is: all, folds, official, official_dev"),
  ('values', 'all', {}, 'needs folds, but the row has run.per_fold False'),
  ('stratified', 'all', {}, 'needs folds, but the row has run.per_fold False'),
  ('values', '7', dict(by='session'), "unknown fold '7'; there is: 0, 1, 2, 3, 4"),
  ('folds', '5', {}, "unknown fold '5'"),
  ('stratified', '5', {}, "unknown fold '5'; there is: 0, 1, 2, 3, 4"),
  ('stratified', '0', dict(dev=0.9), 'run.data.dev is 0.9'), ('stratified', '0', dict(dev=0.0), 'run.data.dev is 0.0'),
  ('values', '0', dict(by='session', limit=-5), 'run.data.limit is -5'),
  ('folds', '0', dict(folds=2), '2 folds leave nothing to train on'),
  ('folds', '0', dict(folds=30), '20 groups cannot fill 30 folds'),
  ('values', '0', dict(by='season'), "unknown column of made 'season'"),
  ('official', '0', {}, "run.data.split 'official' needs the corpus's own split, with train and test"),
])  # fmt: skip
def test_sides_that_cannot_be_made_are_refused(split, fold, data, said):
  made = small.utterances()
  labels = targets.distributions(made, TARGET)
  assert said in refused(items_lib.labelled, made, labels, config(split, fold, **data))


def test_a_side_without_labels_is_refused():
  made = small.utterances(official=np.arange(120) // 4 % 5 % 3)
  made.columns['votes'][made.columns['official'] == 1] = 0
  labels = targets.distributions(made, TARGET)
  assert "made: run.data.split 'official' leaves no dev example (fold all)" in refused(
    items_lib.labelled, made, labels, config('official', 'all')
  )


# Embeddings


def ragged(lengths, width=2, real=None):
  x = Ragged.stack([np.full((n, width), i + 1, np.float32) + np.arange(n)[:, None] for i, n in enumerate(lengths)])
  return x, Ragged(np.ones(len(x.values), bool) if real is None else np.array(real), x.offsets)


def test_frames_are_gathered_padded_and_cut():
  x, mask = ragged([1, 3, 2], real=[True, True, False, True, True, True])
  values, real = Memory(x, mask).gather(np.array([1, 0, 2]), 2)
  assert real.tolist() == [[True, False], [True, False], [True, True]]
  assert values[..., 0].tolist() == [[2, 0], [1, 0], [3, 4]]
  values, real = Memory(x, mask).gather(np.array([1]), 5)
  assert real.tolist() == [[True, False, True, False, False]] and values[0, :, 0].tolist() == [2, 0, 4, 0, 0]


def test_as_many_frames_as_utterances_need_not_be_one_each():
  x, mask = ragged([2, 0, 1])
  values, real = Memory(x, mask).gather(np.array([0, 1, 2]), 2)
  assert real.tolist() == [[True, True], [False, False], [True, False]]
  assert values[..., 0].tolist() == [[1, 2], [0, 0], [3, 0]]


def test_single_frames_that_are_not_real_are_zero():
  x, mask = ragged([1, 1, 1], real=[True, False, True])
  x.values[1] = np.nan
  values, real = Memory(x, mask).gather(np.array([2, 1]), 1)
  assert real.tolist() == [[True], [False]] and values[..., 0].tolist() == [[3], [0]]
  whole, _ = Memory(x, mask).gather(np.array([2, 0]), 1)
  assert whole[..., 0].tolist() == [[3], [1]]


def test_standardisers_look_at_real_frames_of_training_alone():
  made = small.utterances(6)
  rows = np.array([0, 1, 3])
  made.streams['audio'].mask.values[3] = False
  made.streams['audio'].values.values[[2, 3, 4, 5]] = 1e6
  found = shape.standardisers(made, rows)
  seen = made.streams['audio'].values.values[:2].astype(np.float64)
  np.testing.assert_allclose(found['audio']['mean'], seen.mean(0), rtol=1e-5)
  np.testing.assert_allclose(found['audio']['scale'], seen.std(0), rtol=1e-5)
  off = shape.standardisers(made, rows, on=False)
  assert not off['text']['mean'].any() and (off['text']['scale'] == 1).all()
  made.streams['text'].mask.values[rows] = False
  assert 'no training example has text' in refused(shape.standardisers, made, rows)


def corpus(monkeypatch, **splits):
  """Opened instead of a twin: splits of utterances with ragged audio."""
  meta = {'modalities': {'audio': 2, 'text': 2}, 'emotions': ['x', 'y']}

  def columns(split):
    lengths = splits[split]
    n = len(lengths)
    audio, mask = ragged(lengths)
    text, text_mask = ragged([1] * n)
    ids = np.array([f'{split}{i}' for i in range(n)])
    return {'id': ids, 'group': ids, 'item': np.array(['a', 'a', 'b', 'b'])[:n], 'audio': audio, 'audio_mask': mask,
            'text': text, 'text_mask': text_mask, 'votes': np.eye(2, dtype=np.float32)[np.arange(n) % 2],
            f'only_{split}': np.zeros(n)}  # fmt: skip

  made = Corpus('made', 'synthetic', '1', 'x', {s: len(v) for s, v in splits.items()}, meta, columns)
  monkeypatch.setattr(opening, 'open_corpus', lambda *_, **__: made)
  examples_lib._load.cache_clear()


@pytest.fixture(autouse=True)
def forget():
  yield
  examples_lib._load.cache_clear()


def load(**data):
  return items_lib.load(small.config(corpora=('made',), data=data), None)


def test_frames_are_summarised_unless_they_are_asked_for(monkeypatch):
  corpus(monkeypatch, all=[2, 1, 3])
  pooled = load(summary=('mean', 'max'))
  assert pooled.streams['audio'].lengths.tolist() == [1, 1, 1]
  np.testing.assert_allclose(pooled.streams['audio'].values.values[:, [0, 2]], [[1.5, 2], [2, 2], [4, 5]])
  assert pooled.streams['text'].values.values.shape == (3, 2), 'one frame each is left as it is'
  framed = load(frames=True)
  assert framed.streams['audio'].lengths.tolist() == [2, 1, 3]
  context = load(context=2)
  np.testing.assert_allclose(context.streams['audio'].values.values[:, 0], [1.5, (1 + 2 + 2) / 3, 4], rtol=1e-6)
  corpus(monkeypatch, all=[0, 2, 1])
  gap = load()
  assert gap.streams['audio'].lengths.tolist() == [1, 1, 1] and gap.streams['audio'].mask.values.tolist() == [
    False,
    True,
    True,
  ]


def test_splits_of_a_corpus_are_joined(monkeypatch):
  corpus(monkeypatch, a=[2, 1], b=[1, 3, 2])
  for made in (load(frames=True), load()):
    assert made.id.tolist() == ['a0', 'a1', 'b0', 'b1', 'b2'] and len(made) == 5
    assert set(made.columns) == {'votes'}, 'columns that all have'
    assert len(made.streams['audio']) == len(made.streams['text']) == 5
  np.testing.assert_allclose(made.streams['audio'].values.values[:, 0], [1.5, 2, 1, 3, 3.5])


@pytest.mark.parametrize(('data', 'said'), [
  (dict(modalities=('audio', 'video')), "modality of made in run.data.modalities 'video'; there is: audio, text"),
  (dict(modalities=()), 'expected one or more'),
  (dict(modalities=('audio', 'audio')), 'expected each once'),
  (dict(context=0), 'run.data.context is 0'), (dict(summary=()), 'run.data.summary is empty'),
  (dict(summary=('median',)), "unknown summary in run.data.summary 'median'"),
])  # fmt: skip
def test_embeddings_that_are_not_there_are_refused(monkeypatch, data, said):
  corpus(monkeypatch, all=[2, 1, 3])
  with pytest.raises(UserError) as caught:
    load(**data)
  assert said in str(caught.value) and '\n' not in str(caught.value)


# Batches


def test_ties_are_not_learnt_by_cross_entropy_but_by_shares():
  trained_on = {}
  for row in ('ce_fusion', 'amber2', 'soft'):
    made = experiment.build(small.config(row), None)
    batches = made.batches('train', 0)
    seen = [next(batches) for _ in range(30)]
    emotion = np.concatenate([b['emotion'] for b in seen])
    assert ((emotion < 0).any()) == (row != 'ce_fusion'), row
    trained_on[row] = set(np.concatenate([b['id'] for b in seen]).tolist())
    assert any((b['emotion'] < 0).any() for b in made.batches('test', 0)), 'ties stay in the other splits'
  first = experiment.build(small.config('ce_fusion', target=dict(ties='first')), None)
  batches = first.batches('train', 0)
  seen = [next(batches) for _ in range(30)]
  ties = np.concatenate([b['label'][b['emotion'] < 0] for b in seen])
  assert len(ties) and (ties >= 0).all()
  everybody = set(np.concatenate([b['id'] for b in seen]).tolist())
  assert trained_on['amber2'] == trained_on['soft'] == everybody > trained_on['ce_fusion']


def test_batches_hold_what_raters_said_and_only_utterances_that_are_kept():
  config = small.config()
  made = experiment.build(config, None)
  items = items_lib.load(config, None)
  labels = targets.distributions(items, config['target'])
  assert 0.3 < labels.kept.mean() < 0.6, 'the rule inside leaves out more than half, as in the corpus'
  at = {name: i for i, name in enumerate(items.id.tolist())}
  found = {split: list(made.batches(split, 0)) for split in ('dev', 'test')}
  for batch in (*found['dev'], *found['test'], next(made.batches('train', 0))):
    rows = np.array([at[i] for i in batch['id'].tolist()])
    np.testing.assert_array_equal(batch['shares'], labels.shares[rows])
    np.testing.assert_allclose(batch['shares'].sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(batch['audio'][:, 0], items.streams['audio'].values.values[rows])
    np.testing.assert_array_equal(batch['level'], labels.level[rows])
    assert batch['audio'].shape == (len(rows), 1, 12) and batch['audio_present'].all()
  ids = np.concatenate([b['id'][b['mask'] > 0] for b in found['test']])
  assert len(set(ids.tolist())) == len(ids) == (items.columns['session'][labels.kept] == 1).sum()
  assert made.steps == 4
  assert experiment.build(small.config(steps=0, epochs=3), None).steps == np.ceil(
    3 * np.isin(items.columns['session'][labels.kept], (3, 4, 5)).sum() / 32)  # fmt: skip


def test_rows_that_start_from_each_other_see_the_same_embeddings():
  """Ties are left out of cross-entropy, but not of what embeddings are standardised by."""
  of = [experiment.build(small.config(row), None).init(jax.random.key(0), {}).extra['input']
        for row in ('ce_experts', 'two_stage')]  # fmt: skip
  for m in ('audio', 'text'):
    for key in ('mean', 'scale'):
      np.testing.assert_array_equal(of[0][m][key], of[1][m][key])
      assert of[0][m][key].std() > 0
