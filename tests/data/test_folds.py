import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import folds


def _groups(seed=0, n=500, g=23):
  return np.array([f's{i}' for i in np.random.default_rng(seed).zipf(1.6, n) % g])


def test_groups_stay_whole_and_every_row_has_one_fold():
  groups = _groups()
  fold = folds.grouped(groups, 5, 0)
  assert set(fold) == set(range(5))
  for g in set(groups):
    assert len(set(fold[groups == g])) == 1


def test_order_of_rows_does_not_matter_and_the_seed_does():
  groups = np.repeat([f's{i}' for i in range(20)], 3)
  fold = folds.grouped(groups, 4, 7)
  order = np.random.default_rng(1).permutation(len(groups))
  np.testing.assert_array_equal(folds.grouped(groups[order], 4, 7), fold[order])
  np.testing.assert_array_equal(folds.grouped(list(groups), 4, 7), fold)
  assert (folds.grouped(groups, 4, 8) != fold).any()


def test_largest_first_into_the_lightest():
  # 6 -> fold 0, 4 -> 1, 3 -> 2, 2 -> 2 (3 < 4), 1 -> 1 (4 < 5)
  groups = ['a'] * 6 + ['b'] * 4 + ['c'] * 3 + ['d'] * 2 + ['e']
  got = dict(zip(groups, folds.grouped(groups, 3, 0), strict=True))
  assert got == {'a': 0, 'b': 1, 'c': 2, 'd': 2, 'e': 1}


def test_folds_differ_by_at_most_the_largest_group():
  for seed in range(10):
    groups = _groups(seed)
    sizes = np.bincount(folds.grouped(groups, 5, seed), minlength=5)
    assert sizes.max() - sizes.min() <= np.unique(groups, return_counts=True)[1].max()


def test_split_covers_every_row_once_and_every_fold_is_tested_once():
  groups = _groups()
  tested = []
  for fold in range(5):
    s = folds.split(groups, 5, fold, 3)
    np.testing.assert_array_equal(np.sort(np.concatenate(list(s.values()))), np.arange(len(groups)))
    np.testing.assert_array_equal(s['dev'], folds.split(groups, 5, (fold + 1) % 5, 3)['test'])
    folds.refuse_leak({side: groups[rows] for side, rows in s.items()})
    tested.append(s['test'])
  assert len(np.unique(np.concatenate(tested))) == len(groups)


def test_by_value_takes_groups_in_order():
  groups = np.array(['s2', 's1', 's3', 's1'])
  s = folds.by_value(groups, 0)
  assert [s[k].tolist() for k in ('train', 'dev', 'test')] == [[2], [0], [1, 3]]
  s = folds.by_value(groups, 2, order=['s3', 's1', 's2'])
  assert [s[k].tolist() for k in ('train', 'dev', 'test')] == [[1, 3], [2], [0]]


@pytest.mark.parametrize(
  'call, message',
  [
    (lambda: folds.grouped(['a', 'b'], 3, 0), '2 groups cannot fill 3 folds'),
    (lambda: folds.grouped(['a', 'b'], 1, 0), '2 or more'),
    (lambda: folds.split(['a', 'b', 'c'], 2, 0, 0), '3 or more'),
    (lambda: folds.split(['a', 'b', 'c'], 3, 3, 0), "unknown fold '3'; there is: 0, 1, 2"),
    (lambda: folds.by_value(['a', 'b', 'c'], 0, order=['a', 'b', 'x']), "'c' of the data is not among"),
    (lambda: folds.by_value(['a', 'b', 'c'], 0, order=['a', 'b', 'c', 'd']), "'d' has no examples"),
  ],
)
def test_refusals(call, message):
  with pytest.raises(UserError, match=message):
    call()


def test_a_leak_names_the_first_five_and_the_count():
  folds.refuse_leak({'train': ['a'], 'dev': ['b'], 'test': ['c']})
  names = [f'spk{i}' for i in range(7)]
  with pytest.raises(UserError, match='7 speakers in both train and test: spk0, spk1, spk2, spk3, spk4, ...;'):
    folds.refuse_leak({'train': names, 'dev': ['x'], 'test': [*names, 'y']}, what='speaker')
