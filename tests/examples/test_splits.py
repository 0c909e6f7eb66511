"""One rule per name of `run.data.split`: who is in which split, what is refused, and how training is limited."""

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.examples import splits
from affectjax.examples.examples import SPLITS, Examples


def made(n=60, groups=12, part='all', **columns) -> Examples:
  """Examples without streams: groups in turn, five examples of an item one after the other."""
  at = np.arange(n)
  parts = np.array(part) if isinstance(part, list) else np.full(n, part)
  return Examples('made', np.char.add('e', at.astype(str)), np.char.add('g', (at % groups).astype(str)),
                  np.char.add('v', (at // 5).astype(str)), parts, {}, {}, columns, {})  # fmt: skip


def split(examples, name, fold='0', index=None, strata=None, stage=None, **data):
  config = dict(data=dict(dict(folds=4, seed=5, dev=0.2, held_out=1), split=name, **data), fold=fold, stage=stage)
  return splits.split(examples, config, index, strata)


def groups_of(examples, rows):
  return {split: set(examples.group[at].tolist()) for split, at in rows.items()}


@pytest.mark.parametrize(('name', 'folds'), [('folds', 4), ('values', 12)])
def test_every_example_is_tested_once_and_groups_stay_apart(name, folds):
  examples, tested = made(), []
  for fold in range(folds):
    rows = split(examples, name, str(fold))
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(60))
    assert sum(map(len, groups_of(examples, rows).values())) == 12
    tested += rows['test'].tolist()
  assert sorted(tested) == list(range(60))


def test_official_is_the_corpus_s_column_and_leaves_out_what_has_no_split():
  own = np.repeat([0, 1, 2, 3, -1], 12)
  examples = made(official=own)
  examples.group[:] = np.char.add('s', own.astype(str))
  rows = split(examples, 'official', 'all')
  assert {s: at.tolist() for s, at in rows.items()} == {
    s: list(range(12 * i, 12 * i + 12)) for i, s in enumerate(SPLITS)
  }


def test_official_is_the_user_s_own_column_split():
  """A corpus of the user's own is stored in parts of these names."""
  parts = ['train'] * 30 + ['dev'] * 10 + ['test'] * 20
  examples = made(part=parts)
  examples.group[:] = np.char.add('s', np.array(parts))
  rows = split(examples, 'official', 'all')
  assert {s: len(at) for s, at in rows.items()} == dict(train=30, dev=10, test=20)
  assert all(set(examples.part[at]) == {s} for s, at in rows.items())


def test_without_a_dev_split_a_share_of_training_selects_by_class_or_by_group():
  parts = ['train'] * 48 + ['val'] * 12
  examples = made(groups=60, part=parts, emotion=np.arange(60) % 3)
  rows = split(examples, 'official', 'all')
  assert rows['test'].tolist() == list(range(48, 60)), 'val is reported where there is no test'
  assert np.bincount(rows['dev'] % 3).tolist() == [3, 3, 3] and len(rows['train']) == 39
  grouped = made(part=['train'] * 48 + ['test'] * 12)
  grouped.group[48:] = 'other'
  rows = split(grouped, 'official', 'all')
  groups = groups_of(grouped, rows)
  assert len(groups['dev']) == 2 and not groups['dev'] & groups['train'] and len(rows['dev']) == 8


def test_a_dev_split_without_labels_is_not_made_up():
  examples = made(part=['train'] * 20 + ['dev'] * 20 + ['test'] * 20, groups=60)
  with pytest.raises(UserError, match="made: run.data.split 'official' leaves no dev example"):
    split(examples, 'official', 'all', index=np.r_[np.arange(20), np.arange(40, 60)])


def test_official_dev_reports_the_dev_split():
  examples = made(part=['train'] * 40 + ['dev'] * 20)
  examples.group[40:] = 'other'
  rows = split(examples, 'official_dev', 'all', held_out=2)
  groups = groups_of(examples, rows)
  assert rows['test'].tolist() == list(range(40, 60)) and len(groups['dev']) == 2 and len(groups['train']) == 10


def test_partitions_are_the_corpus_s_and_all_holds_out_a_tenth():
  own = np.stack([np.arange(60) % 12 // 4, (np.arange(60) % 12 // 4 + 1) % 3], 1)
  examples = made(partitions=own)
  for fold in (0, 1):
    rows = split(examples, 'partitions', str(fold))
    assert all((own[at, fold] == i).all() and len(at) == 20 for i, at in enumerate(rows.values()))
  whole = split(made(n=100, groups=20), 'all', 'all', stage='pretrain')
  assert whole['dev'].tolist() == whole['test'].tolist() and len(whole['train']) + len(whole['dev']) == 100


@pytest.mark.parametrize(('name', 'fold', 'said'), [
  ('all', 'all', "run.data.split 'all' leaves nothing unseen to test on; it is for run.stage 'pretrain' only"),
  ('random', '0', "unknown run.data.split 'random'; there is: all, folds, official"),
  ('folds', 'all', "run.data.split 'folds' needs folds, but the row has run.per_fold False"),
  ('official', 'all', "needs the corpus's own split, with train and test; there is no column official"),
  ('official_dev', 'all', "needs the corpus's own split, with train and dev; the parts are: all"),
  ('partitions', '0', "unknown column of made 'partitions'"),
  ('stratified', '0', 'is for label distributions'), ('values', '12', "unknown fold '12'"),
])  # fmt: skip
def test_a_rule_that_cannot_be_served_is_refused_in_one_line(name, fold, said):
  with pytest.raises(UserError) as error:
    split(made(), name, fold)
  assert said in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize(('name', 'fold', 'served'), [
  ('folds', '3', True), ('values', '11', True), ('stratified', '0', True), ('all', 'all', False),
  ('random', '0', False), ('folds', 'all', False), ('official', 'all', False), ('official_dev', 'all', False),
  ('partitions', '0', False),
])  # fmt: skip
def test_what_a_corpus_cannot_serve_is_known_without_a_system(name, fold, served):
  config = dict(data=dict(split=name, folds=4, seed=5, dev=0.2, held_out=1), fold=fold)
  if served:
    assert splits.refuse_unserved(made(), config) is None
  else:
    with pytest.raises(UserError):
      splits.refuse_unserved(made(), config)


def test_a_setting_that_a_rule_needs_is_named():
  with pytest.raises(UserError, match="run.data.split 'folds' needs run.data.folds"):
    splits.split(made(), dict(data=dict(split='folds', seed=5), fold='0'))


def test_groups_in_two_splits_are_refused_but_between_train_and_dev_where_the_table_says_so():
  parts = ['train'] * 20 + ['dev'] * 20 + ['test'] * 20
  with pytest.raises(UserError, match='in both train and test'):
    split(made(part=parts), 'official', 'all', dev_shares_groups=True)
  examples = made(part=parts)
  examples.group[40:] = 'other'
  with pytest.raises(UserError, match='in both train and dev'):
    split(examples, 'official', 'all')
  rows = split(examples, 'official', 'all', dev_shares_groups=True)
  assert set(examples.group[rows['train']]) & set(examples.group[rows['dev']])


def test_training_is_limited_by_lot_nested_and_in_order():
  examples, index = made(), np.arange(10, 60)
  for items in (None, examples.item):
    before = set()
    for count in (1, 7, 20, 49):
      some = splits.limited(index, count, 3, items)
      assert len(some) == count and (np.diff(some) > 0).all() and before <= set(some.tolist()) <= set(index.tolist())
      before = set(some.tolist())
    for count in (0, 50, 99):
      np.testing.assert_array_equal(splits.limited(index, count, 3, items), index)
  whole = splits.limited(index, 12, 3, examples.item)
  assert (np.unique(examples.item[whole], return_counts=True)[1] < 5).sum() == 1, 'whole items but for the last'
  with pytest.raises(UserError, match='run.data.limit is -1; expected a number of training examples, or 0 for all'):
    splits.limited(index, -1, 0)
