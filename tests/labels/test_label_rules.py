"""Label rules by hand: classes merged, utterances kept, levels of ambiguity."""

import re

import numpy as np
import pytest

from affectjax.labels import label_rules
from tests.helpers.refusals import refused

SOURCE = ('neutral', 'happy', 'angry', 'sad', 'excited', 'other')
NAMES = ('neutral', 'happy', 'angry', 'sad')
MERGE = {'happy': ('happy', 'excited')}
VOTES = np.array([
  [3, 0, 0, 0, 0, 0], [0, 1, 0, 0, 2, 0], [1, 0, 0, 1, 0, 1], [0, 0, 2, 0, 0, 1], [0, 0, 0, 0, 0, 3],
  [0, 0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 2], [0, 0, 0, 1, 0, 0],
])  # fmt: skip


def test_classes_are_merged_and_the_rest_counted():
  inside, outside = label_rules.merged(VOTES, SOURCE, NAMES, MERGE)
  assert inside.dtype == outside.dtype == np.float64
  np.testing.assert_array_equal(inside, [
    [3, 0, 0, 0], [0, 3, 0, 0], [1, 0, 0, 1], [0, 0, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1],
  ])  # fmt: skip
  np.testing.assert_array_equal(outside, [0, 0, 1, 1, 3, 0, 2, 0])


def test_without_a_merge_excitement_is_outside():
  inside, outside = label_rules.merged(VOTES, SOURCE, NAMES, {})
  np.testing.assert_array_equal(inside[1], [0, 1, 0, 0])
  assert outside[1] == 2
  np.testing.assert_array_equal(inside.sum(-1) + outside, VOTES.sum(-1))


def test_the_order_of_the_task_counts_and_a_class_may_have_another_name():
  inside, outside = label_rules.merged(VOTES, SOURCE, ('sad', 'joy'), {'joy': ('excited', 'happy')})
  np.testing.assert_array_equal(inside[[1, 2, 7]], [[0, 3], [1, 0], [1, 0]])
  np.testing.assert_array_equal(outside, VOTES.sum(-1) - inside.sum(-1))


def test_all_classes_as_they_are():
  inside, outside = label_rules.merged(VOTES, SOURCE, SOURCE, {})
  np.testing.assert_array_equal(inside, VOTES)
  assert not outside.any()
  inside, outside = label_rules.merged(VOTES[:0], SOURCE, NAMES, MERGE)
  assert inside.shape == (0, 4) and outside.shape == (0,)


def test_classes_that_do_not_fit_are_refused():
  merged = lambda names, merge: lambda: label_rules.merged(VOTES, SOURCE, names, merge)
  refused("unknown class in merge 'joy'; there is: angry, happy, neutral, sad", merged(NAMES, {'joy': ('happy',)}))
  refused(
    "unknown class of the corpus, for 'happy': 'joy'; there is: angry, excited, happy, neutral, other, sad",
    merged(NAMES, {'happy': ('joy',)}),
  )
  refused("unknown class of the corpus, for 'fear': 'fear'; there is: angry", merged(('fear',), {}))
  refused(
    "class 'sad' of the corpus is part of 'happy' and of 'sad'; expected of one",
    merged(NAMES, {'happy': ('happy', 'sad')}),
  )
  refused("class 'happy' .* is part of 'happy' and of 'happy'", merged(NAMES, {'happy': ('happy', 'happy')}))


@pytest.mark.parametrize(
  ('rule', 'least', 'known'),
  [
    ('inside', 0, [1, 1, 0, 0, 0, 0, 0, 1]),
    ('inside', 2, [1, 1, 0, 0, 0, 0, 0, 0]),
    ('majority', 0, [1, 1, 0, 1, 0, 0, 0, 1]),  # half of all votes are not more than half
    ('majority', 3, [1, 1, 0, 0, 0, 0, 0, 0]),
    ('least', 0, [1, 1, 1, 1, 0, 0, 1, 1]),
    ('least', 2, [1, 1, 1, 1, 0, 0, 1, 0]),
    ('least', 3, [1, 1, 0, 0, 0, 0, 0, 0]),
  ],
)
def test_who_is_kept(rule, least, known):
  inside, outside = label_rules.merged(VOTES, SOURCE, NAMES, MERGE)
  kept = label_rules.kept(inside, outside, rule, least)
  assert kept.dtype == bool
  np.testing.assert_array_equal(kept, np.array(known, bool))


def test_what_is_kept_inside_or_by_majority_is_kept_at_least():
  rng = np.random.default_rng(0)
  inside, outside = rng.integers(0, 4, (500, 4)), rng.integers(0, 3, 500)
  for least in (0, 1, 3):
    agreed = rng.random(500) < 0.5
    by = {rule: label_rules.kept(inside, outside, rule, least, None, agreed) for rule in label_rules.RULES}
    assert (by['consensus'] == (by['least'] & agreed)).all()
    assert by['least'][by['inside'] | by['majority']].all()
    assert 0 < by['inside'].sum() < by['least'].sum() and 0 < by['majority'].sum() < by['least'].sum()


def test_a_majority_of_the_raters_is_not_one_of_the_votes():
  inside, outside = np.array([[2, 0], [2, 0]]), np.array([2, 2])  # the first: two of three raters, one named two
  assert label_rules.kept(inside, outside, 'majority', 1, np.array([3, 4])).tolist() == [True, False]
  assert not label_rules.kept(inside, outside, 'majority', 1).any()


def test_consensus_wants_one():
  refused("label rule 'consensus': the corpus has no consensus; choose another rule",
          lambda: label_rules.kept(np.ones((1, 2)), np.zeros(1), 'consensus', 1))  # fmt: skip


def test_an_unknown_rule_is_refused():
  refused("unknown label rule 'plurality'; there is: consensus, inside, least, majority",
          lambda: label_rules.kept(np.ones((1, 2)), np.zeros(1), 'plurality', 1))  # fmt: skip


# Levels

THREE = (0.0, 0.918, 1.585)  # entropies in bits that three votes can have
COUNTS = np.array([
  [3, 0, 0, 0], [2, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0], [4, 1, 0, 0], [0, 0, 4, 2], [1, 1, 0, 0], [0, 5, 0, 0],
])  # fmt: skip


def test_levels_are_the_entropies_named_and_one_for_the_rest():
  got = label_rules.levels(COUNTS, COUNTS.any(1), THREE)
  assert got.dtype == np.int32
  np.testing.assert_array_equal(got, [0, 1, 2, -1, 3, 1, 3, 0])  # 4 + 1 has .722, 1 + 1 has 1
  rounded = label_rules.levels(COUNTS, COUNTS.any(1), (0.0, 0.9149, 1.5835))  # of shares rounded to two digits
  np.testing.assert_array_equal(rounded, got)


def test_whoever_is_not_kept_has_no_level():
  keep = np.array([1, 0, 1, 0, 0, 1, 0, 0], bool)
  np.testing.assert_array_equal(label_rules.levels(COUNTS, keep, THREE), [0, -1, 2, -1, -1, 1, -1, -1])
  for how in (THREE, 3):
    np.testing.assert_array_equal(label_rules.levels(COUNTS, np.zeros(8, bool), how), -1)
    assert label_rules.levels(COUNTS[:0], np.zeros(0, bool), how).shape == (0,)


def test_bins_between_quantiles():
  rng = np.random.default_rng(1)
  votes = rng.multinomial(1000, rng.dirichlet(np.ones(4), 400))
  share = votes / 1000
  with np.errstate(divide='ignore', invalid='ignore'):
    entropy = -np.nansum(share * np.log2(share), -1)
  for bins in (2, 3, 5):
    got = label_rules.levels(votes, np.ones(400, bool), bins)
    assert set(got) == set(range(bins))
    # in order of entropy, and equal in number up to the entropies next to an edge
    assert (np.diff(got[np.argsort(entropy)]) >= 0).all()
    assert np.abs(np.bincount(got) - 400 / bins).max() <= 8


def test_equal_entropies_share_a_bin():
  votes = np.repeat([[3, 0, 0, 0], [0, 2, 1, 0], [1, 0, 1, 1]], [60, 30, 10], 0)
  got = label_rules.levels(votes, np.ones(100, bool), 5)
  of = [set(got[s]) for s in (slice(0, 60), slice(60, 90), slice(90, 100))]
  assert all(len(s) == 1 for s in of) and min(of[0]) < min(of[1]) < min(of[2]), 'bins may be empty, never mixed'
  shuffled = np.random.default_rng(2).permutation(100)
  np.testing.assert_array_equal(label_rules.levels(votes[shuffled], np.ones(100, bool), 5), got[shuffled])
  # a class's place does not change an entropy, but may change its last digit
  turned = label_rules.levels(np.roll(votes, 1, 1), np.ones(100, bool), 5)
  np.testing.assert_array_equal(turned, got)


@pytest.mark.parametrize('how', [1, 0, -2, ()])
def test_too_few_bins_and_no_levels_are_refused(how):
  message = rf'ambiguity levels {re.escape(repr(how))}: expected 2 or more bins, or a list of entropies in bits'
  refused(message, lambda: label_rules.levels(COUNTS, COUNTS.any(1), how))
