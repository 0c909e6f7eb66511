"""Corpora of any shape become rows: order, context, splits without leaks, scales from training rows alone."""

import dataclasses

import numpy as np
import pytest

from affectjax.data import features
from affectjax.data.corpus import Corpus, Ragged
from affectjax.errors import UserError
from affectjax.systems.mtclar import frames as frames_lib
from tests import small

DATA = dict(split='folds', folds=3, dev=0.2, seed=5)


def corpus_of(splits, name='made_up') -> Corpus:
  counts = {split: len(columns['id']) for split, columns in splits.items()}
  return Corpus(name, 'synthetic', '1.0.0', 'x' * 64, counts, {}, lambda split: splits[split])


def flatten(splits, modalities=('visual',), summary=(), context=1) -> frames_lib.Frames:
  corpus = corpus_of(splits)
  parts = [frames_lib._split(corpus, split, modalities, summary, context) for split in splits]
  fields = [f.name for f in dataclasses.fields(frames_lib.Frames)]
  return frames_lib.Frames(*(np.concatenate([getattr(p, f) for p in parts]) for f in fields))


def clips(lengths, items=None, **more):
  """A corpus with a label per frame; feature 0 is a running number."""
  offsets = np.concatenate([[0], np.cumsum(lengths)])
  ragged = lambda values: Ragged(np.asarray(values), offsets)
  n = offsets[-1]
  ids = np.array([f'c{i}' for i in range(len(lengths))])
  running = np.arange(n, dtype=np.float32)
  return {
    'id': ids, 'item': ids if items is None else np.array(items), 'group': np.char.add('g', ids),
    'visual': ragged(np.stack([running, -running], 1)), 'visual_mask': ragged(np.arange(n) % 4 != 3),
    'valence': ragged(running / n), 'arousal': ragged(-running / n), **more,
  }  # fmt: skip


def seconds(items, steps=2, **more):
  """A corpus with one label per example, `steps` feature steps each; both modalities number the examples."""
  n = len(items)
  offsets = np.arange(n + 1) * steps
  values = np.repeat(np.arange(n, dtype=np.float32), steps)
  return {
    'id': np.array([f's{i}' for i in range(n)]), 'item': np.array(items), 'group': np.array(items),
    'visual': Ragged(np.stack([values, values**2], 1), offsets),
    'audio': Ragged(100 + values[:, None], offsets), 'audio_mask': Ragged(np.ones(n * steps, bool), offsets),
    'valence': np.linspace(-1, 1, n), 'arousal': np.zeros(n), **more,
  }  # fmt: skip


def test_ragged_clips_become_frames_in_order():
  frames = flatten({'all': clips([2, 1, 3])})
  assert len(frames) == 6
  np.testing.assert_array_equal(frames.x[:, 0], np.arange(6))
  assert frames.id.tolist() == ['c0/00000', 'c0/00001', 'c1/00000', 'c2/00000', 'c2/00001', 'c2/00002']
  assert frames.item.tolist() == ['c0', 'c0', 'c1', 'c2', 'c2', 'c2']
  assert frames.group[0] == 'gc0' and set(frames.split) == {'all'}
  assert frames.present.tolist() == [True, True, True, False, True, True]
  np.testing.assert_allclose(frames.labels, np.stack([np.arange(6) / 6, -np.arange(6) / 6], 1))
  assert (frames.emotion == -1).all() and frames.labelled.all()
  assert frames.x.dtype == frames.labels.dtype == np.float32


def test_frame_numbers_and_classes_per_frame_or_clip():
  offsets = np.array([0, 2, 3])
  columns = clips([2, 1], frame=Ragged(np.array([4, 9, 0]), offsets), emotion=np.array([3, 5]))
  frames = flatten({'all': columns})
  assert frames.id.tolist() == ['c0/00004', 'c0/00009', 'c1/00000']
  assert frames.emotion.tolist() == [3, 3, 5]
  columns['emotion'] = Ragged(np.array([0, 1, 2]), offsets)
  assert flatten({'all': columns}).emotion.tolist() == [0, 1, 2]


def test_videos_are_contiguous_even_if_their_clips_are_not():
  frames = flatten({'all': clips([2, 2, 1, 1], items=['b', 'a', 'b', 'a'])})
  assert frames.item.tolist() == ['b', 'b', 'b', 'a', 'a', 'a']
  np.testing.assert_array_equal(frames.x[:, 0], [0, 1, 4, 2, 3, 5])


def test_labels_that_are_missing_stay_missing():
  columns = clips([3])
  columns['valence'].values[1] = np.nan
  assert flatten({'all': columns}).labelled.tolist() == [True, False, True]


def test_context_windows_never_look_ahead_nor_into_another_item():
  columns = seconds(['a', 'a', 'a', 'b', 'b'])
  frames = flatten({'all': columns}, ('visual', 'audio'), ('mean', 'max'), context=2)
  assert frames.x.shape == (5, 6)  # (2 + 1) features, two summaries each
  np.testing.assert_allclose(frames.x[:, 0], [0, 0.5, 1.5, 3, 3.5])  # mean of this second and the last
  np.testing.assert_allclose(frames.x[:, 2], [0, 1, 2, 3, 4])  # max
  np.testing.assert_allclose(frames.x[:, 4], [100, 100.5, 101.5, 103, 103.5])
  for i in range(5):  # what comes later changes nothing
    later = seconds(['a', 'a', 'a', 'b', 'b'])
    later['visual'].values[2 * (i + 1) :] = 99.0
    changed = flatten({'all': later}, ('visual', 'audio'), ('mean', 'max'), context=2)
    np.testing.assert_array_equal(changed.x[: i + 1], frames.x[: i + 1])


def test_the_mean_and_spread_of_a_window_by_hand():
  frames = flatten({'all': seconds(['a'] * 4, steps=3)}, ('visual',), ('mean', 'std', 'max'), context=15)
  want = [np.repeat(np.arange(i + 1), 3) for i in range(4)]
  np.testing.assert_allclose(frames.x[:, 0], [w.mean() for w in want])
  np.testing.assert_allclose(frames.x[:, 2], [w.std() for w in want], rtol=1e-6)
  np.testing.assert_allclose(frames.x[:, 5], [(w**2).max() for w in want])


def test_masked_steps_do_not_enter_a_window():
  columns = seconds(['a', 'a', 'b'])
  columns['audio'].values[1] = 1e6
  columns['audio_mask'].values[[1, 4, 5]] = False
  frames = flatten({'all': columns}, ('audio',), ('mean',), context=1)
  np.testing.assert_allclose(frames.x[:, 0], [100, 101, 0])
  assert frames.present.tolist() == [True, True, False]


def test_images_are_passed_on_as_they_are():
  columns = seconds(['a', 'b', 'c'], steps=1)
  frames = flatten({'train': columns, 'val': columns}, ('visual', 'audio'))
  np.testing.assert_allclose(frames.x, np.tile([[0, 0, 100], [1, 1, 101], [2, 4, 102]], (2, 1)))
  assert frames.id.tolist() == ['s0', 's1', 's2'] * 2
  assert frames.split.tolist() == ['train'] * 3 + ['val'] * 3


def refused(message, make):
  with pytest.raises(UserError, match=message) as error:
    make()
  assert '\n' not in str(error.value)


def test_what_does_not_fit_is_refused_in_one_line():
  refused("'made_up' has no 'thermal'; it has .*visual", lambda: flatten({'all': clips([2])}, ('thermal',)))
  refused('run.data.summary is empty', lambda: flatten({'all': seconds(['a', 'b'])}))
  refused("unknown summary 'median'", lambda: flatten({'all': seconds(['a'])}, ('visual',), ('median',)))
  columns = clips([2, 3])
  columns['audio'] = Ragged(np.zeros((10, 1), np.float32), np.array([0, 4, 10]))
  refused("'made_up', split 'all': audio has 4 steps where valence has 2.*'c0'",
          lambda: flatten({'all': columns}, ('visual', 'audio')))  # fmt: skip


def rows_of(frames, **data):
  fold = data.pop('fold', '0')
  return frames_lib.split_rows(frames, {'data': {**DATA, **data}, 'fold': fold})


def test_folds_keep_groups_apart_and_cover_everything_once():
  frames = flatten({'all': clips([3] * 9)})
  seen = []
  for fold in '012':
    rows = rows_of(frames, fold=fold)
    groups = [set(frames.group[r]) for r in rows.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert sorted(np.concatenate(list(rows.values()))) == list(range(27))
    seen.append(rows['test'])
  assert sorted(np.concatenate(seen)) == list(range(27))


def test_values_take_every_group_in_turn():
  frames = flatten({'all': clips([3] * 4)})
  rows = rows_of(frames, split='values', fold='3')
  assert set(frames.group[rows['test']]) == {'gc3'} and set(frames.group[rows['dev']]) == {'gc0'}


def official(classes=(0, 1, 2), train=40, val=4):
  emotion = lambda n: np.repeat(classes, n // len(classes) + 1)[:n]
  split = lambda n, e: seconds([f'{e}{i}' for i in range(n)], steps=1, emotion=emotion(n))
  return flatten({'train': split(train, 't'), 'val': split(val, 'v')})


def test_the_official_split_takes_a_stratified_share_for_dev():
  frames = official(classes=(0, 0, 0, 1), train=400)
  rows = rows_of(frames, split='official', dev=0.05)
  assert set(frames.split[rows['test']]) == {'val'} and len(rows['test']) == 4
  counts = np.bincount(frames.emotion[frames.split == 'train'])
  np.testing.assert_array_equal(np.bincount(frames.emotion[rows['dev']]), np.round(0.05 * counts))
  assert sorted(np.r_[rows['train'], rows['dev']]) == list(range(400))
  again = rows_of(frames, split='official', dev=0.05)
  np.testing.assert_array_equal(again['dev'], rows['dev'])
  other = rows_of(frames, split='official', dev=0.05, seed=6)
  assert not np.array_equal(other['dev'], rows['dev'])


def test_a_leak_is_refused_with_its_groups():
  frames = official()
  frames.group[frames.split == 'val'] = frames.group[0]
  refused('1 group in both (train|dev) and test: t0', lambda: rows_of(frames, split='official'))


def test_splits_that_cannot_be_are_refused():
  frames = flatten({'all': clips([3] * 9)})
  refused("unknown run.data.split 'random'; there is: folds, official, values", lambda: rows_of(frames, split='random'))
  refused("run.data.split 'folds' needs folds, but the row has run.per_fold False", lambda: rows_of(frames, fold='all'))
  refused("run.data.split 'official' needs the corpus's own splits train and val; there is: all",
          lambda: rows_of(frames, split='official'))  # fmt: skip


def test_the_standardiser_by_hand_and_constant_features():
  x = np.array([[0.0, 5.0], [2.0, 5.0]], np.float32)
  found = features.standardiser(x)
  np.testing.assert_allclose(found['mean'], [1, 5])
  np.testing.assert_allclose(found['scale'], [1, 1])
  assert found['mean'].dtype == found['scale'].dtype == np.float32


@pytest.mark.parametrize(('row', 'table'), [('siamese', 'faces'), ('control_va_afew_va', 'representation')])
def test_scales_come_from_training_rows_with_a_face(row, table, monkeypatch):
  """Whatever dev and test hold, and whatever stands in for a face that was not found, leaves no trace."""
  import jax

  from affectjax.systems import mtclar

  small.shrink(monkeypatch.setattr)
  config = small.config(row, table, corpora=('afew_va',), pairs=dict(rule='distance'))
  frames = frames_lib.load(config, None)
  rows = frames_lib.split_rows(frames, config)
  train = rows['train'][frames.present[rows['train']]]
  assert 0 < len(train) < len(rows['train'])
  x = frames.x.copy()
  x[np.r_[rows['dev'], rows['test']]] = 1e3
  x[~frames.present] = -1e3
  monkeypatch.setattr(frames_lib, 'load', lambda *_: dataclasses.replace(frames, x=x))
  experiment = mtclar.build(config, None)
  state = experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  np.testing.assert_allclose(state.extra['input']['mean'], frames.x[train].mean(0, dtype=np.float64), atol=1e-5)
  np.testing.assert_allclose(state.extra['input']['scale'], frames.x[train].std(0, dtype=np.float64), rtol=1e-4)


def test_siamese_pairs_hold_faces_only(monkeypatch):
  from affectjax.systems import mtclar

  config = small.config('siamese', 'faces', corpora=('afew_va',), pairs=dict(rule='distance'))
  frames = frames_lib.load(config, None)
  absent = set(frames.id[~frames.present])
  assert absent
  experiment = mtclar.build(config, None)
  for split in ('train', 'dev', 'test'):
    for _, batch in zip(range(5), experiment.batches(split, 0), strict=False):
      assert not {i for pair in batch['id'] for i in pair.split('|')} & absent
