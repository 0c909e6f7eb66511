"""Corpora of any shape become rows: order, context, splits without leaks, scales from training rows alone."""

import dataclasses

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.corpus import Corpus, Ragged
from affectjax.examples import examples as examples_lib
from affectjax.examples import splits
from affectjax.systems.mtclar import frames as frames_lib
from tests.helpers import small
from tests.helpers.refusals import refused

DATA = dict(split='folds', folds=3, dev=0.2, seed=5)


def corpus_of(parts, name='made_up') -> Corpus:
  counts = {part: len(columns['id']) for part, columns in parts.items()}
  first = next(iter(parts.values()))
  widths = {m: first[m].values.shape[1] for m in ('visual', 'audio') if m in first}
  return Corpus(name, 'synthetic', '1.0.0', 'x' * 64, counts, {'modalities': widths}, lambda part: parts[part])


def flatten(parts, modalities=('visual',), summary=(), context=1) -> frames_lib.Frames:
  return frames_lib.of(examples_lib.of(corpus_of(parts), modalities), summary, context)


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
  real = lambda: Ragged(np.ones(n * steps, bool), offsets)
  return {
    'id': np.array([f's{i}' for i in range(n)]), 'item': np.array(items), 'group': np.array(items),
    'visual': Ragged(np.stack([values, values**2], 1), offsets), 'visual_mask': real(),
    'audio': Ragged(100 + values[:, None], offsets), 'audio_mask': real(),
    'valence': np.linspace(-1, 1, n), 'arousal': np.zeros(n), **more,
  }  # fmt: skip


def test_ragged_clips_become_frames_in_order():
  frames = flatten({'all': clips([2, 1, 3])})
  assert len(frames) == 6
  np.testing.assert_array_equal(frames.x[:, 0], np.arange(6))
  assert frames.id.tolist() == ['c0/00000', 'c0/00001', 'c1/00000', 'c2/00000', 'c2/00001', 'c2/00002']
  assert frames.item.tolist() == ['c0', 'c0', 'c1', 'c2', 'c2', 'c2']
  assert frames.group[0] == 'gc0' and set(frames.examples.part) == {'all'}
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


def test_videos_are_contiguous_within_their_part():
  columns = {**clips([1, 2, 1], items=['b', 'a', 'b']), 'id': np.array(['d0', 'd1', 'd2'])}
  frames = flatten({'all': clips([1, 1, 1], items=['a', 'b', 'a']), 'val': columns})
  assert frames.item.tolist() == ['a', 'a', 'b', 'b', 'b', 'a', 'a']
  assert frames.examples.part.tolist() == ['all'] * 3 + ['val'] * 4
  assert frames.id.tolist() == [f'{i}/{t:05d}' for i, t in (
    ('c0', 0), ('c2', 0), ('c1', 0), ('d0', 0), ('d2', 0), ('d1', 0), ('d1', 1))]  # fmt: skip


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
  assert frames.examples.part.tolist() == ['train'] * 3 + ['val'] * 3


def test_what_does_not_fit_is_refused_in_one_line():
  refused(
    "unknown modality of made_up in run.data.modalities 'thermal'; there is: visual",
    lambda: flatten({'all': clips([2])}, ('thermal',)),
  )
  refused('run.data.summary is empty', lambda: flatten({'all': seconds(['a', 'b'])}))
  refused(
    "unknown summary in run.data.summary 'median'", lambda: flatten({'all': seconds(['a'])}, ('visual',), ('median',))
  )
  columns = clips([2, 3])
  columns['audio'] = Ragged(np.zeros((10, 1), np.float32), np.array([0, 4, 10]))
  columns['audio_mask'] = Ragged(np.ones(10, bool), np.array([0, 4, 10]))
  refused("'made_up', split 'all': audio has 4 steps where valence has 2.*'c0'",
          lambda: flatten({'all': columns}, ('visual', 'audio')))  # fmt: skip


def test_labels_that_do_not_fit_are_refused_in_one_line():
  unlike = Ragged(np.zeros(4, int), np.array([0, 2, 4]))
  for name in ('emotion', 'frame', 'arousal'):
    refused(f"'made_up', split 'all': {name} has 2 steps where valence has 3.*'c1'",
            lambda name=name: flatten({'all': clips([2, 3], **{name: unlike})}))  # fmt: skip
  refused("'made_up', split 'all': emotion has 2 steps where valence has 1.*'s0'",
          lambda: flatten({'all': seconds(['a', 'b'], steps=1, emotion=unlike)}))  # fmt: skip
  for columns, kind in ((seconds(['a'], steps=1), 'column of'), (clips([2]), 'column with time of')):
    del columns['arousal']
    refused(f"unknown {kind} made_up 'arousal'; there is: .*valence", lambda columns=columns: flatten({'all': columns}))
  with pytest.raises(UserError, match='run.data.modalities is empty; expected one or more'):
    frames_lib.load(small.config(data=dict(modalities=())), None)


def rows_of(frames, **data):
  fold = data.pop('fold', '0')
  return splits.split(frames.examples, {'data': {**DATA, **data}, 'fold': fold})


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


def test_folds_of_clips_are_balanced_in_frames():
  """Dealt out largest first, each to the fold that is lightest in frames: 9, 5 + 4 and 5 + 3 + 1."""
  frames = flatten({'all': clips([1, 5, 3, 9, 5, 4])})
  tests = [rows_of(frames, fold=fold)['test'] for fold in '012']
  assert [len(rows) for rows in tests] == [9, 9, 9]
  assert sorted(len(set(frames.item[rows])) for rows in tests) == [1, 2, 3]


def test_a_split_may_be_by_what_the_corpus_says_of_a_clip():
  official = np.array([0, 2, 1, 0])
  clip = {f'c{i}': {0: 'train', 1: 'dev', 2: 'test'}[v] for i, v in enumerate(official)}
  frames = flatten({'all': clips([2, 3, 1, 4], items=['a', 'b', 'b', 'a'], official=official)})
  assert frames.id[:2].tolist() == ['c0/00000', 'c0/00001'] and frames.id[2] == 'c3/00000'
  rows = rows_of(frames, split='official')
  for side, at in rows.items():
    assert {clip[i.split('/')[0]] for i in frames.id[at].tolist()} == {side}
  assert sorted(np.concatenate(list(rows.values()))) == list(range(10))
  frames = flatten({'all': clips([2, 3, 1], film=np.array([7, 8, 9]))})
  assert set(frames.item[rows_of(frames, split='values', by='film', fold='1')['test']]) == {'c1'}


def test_the_official_split_of_clips_takes_whole_groups_for_dev():
  frames = flatten({'train': clips([3] * 10), 'val': {**clips([2]), 'id': np.array(['v']), 'group': np.array(['v'])}})
  rows = rows_of(frames, split='official', dev=0.2)
  assert [len(rows[side]) for side in ('train', 'dev', 'test')] == [24, 6, 2]
  assert not set(frames.group[rows['train']]) & set(frames.group[rows['dev']])


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
  assert set(frames.examples.part[rows['test']]) == {'val'} and len(rows['test']) == 4
  counts = np.bincount(frames.emotion[frames.examples.part == 'train'])
  np.testing.assert_array_equal(np.bincount(frames.emotion[rows['dev']]), np.round(0.05 * counts))
  assert sorted(np.r_[rows['train'], rows['dev']]) == list(range(400))
  again = rows_of(frames, split='official', dev=0.05)
  np.testing.assert_array_equal(again['dev'], rows['dev'])
  other = rows_of(frames, split='official', dev=0.05, seed=6)
  assert not np.array_equal(other['dev'], rows['dev'])


def test_a_leak_is_refused_with_its_groups():
  frames = official()
  frames.group[frames.examples.part == 'val'] = frames.group[0]
  refused('1 group in both (train|dev) and test: t0', lambda: rows_of(frames, split='official'))


def test_splits_that_cannot_be_are_refused():
  frames = flatten({'all': clips([3] * 9)})
  known = 'all, folds, official, official_dev, partitions, stratified, values'
  refused(f"unknown run.data.split 'random'; there is: {known}", lambda: rows_of(frames, split='random'))
  refused("run.data.split 'folds' needs folds, but the row has run.per_fold False", lambda: rows_of(frames, fold='all'))
  refused("run.data.split 'official' needs the corpus's own split, with train and test; .*the parts are: all",
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

  config = small.config(row, table, corpora=('afew_va',), pairs=dict(rule='distance'))
  frames = frames_lib.load(config, None)
  rows = splits.split(frames.examples, config)
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
