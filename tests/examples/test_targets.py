"""AmbER^2's labels: votes to shares, pluralities and ambiguity levels, by the rules there are."""

import numpy as np
import pytest

from affectjax.examples import targets
from tests.helpers import amber2_small as small
from tests.helpers.amber2_small import TARGET, refused


def told(votes, **target):
  """Labels of a corpus with these votes."""
  votes = np.asarray(votes, np.float32)
  return targets.distributions(small.utterances(len(votes), votes=votes), {**TARGET, **target})


def test_votes_become_shares_pluralities_and_levels():
  found = told([[3, 0, 0, 0], [2, 1, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0]])
  shares = [[1, 0, 0, 0], [2 / 3, 1 / 3, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3], [1, 0, 0, 0], [0.5, 0.5, 0, 0]]
  np.testing.assert_allclose(found.shares[:5], shares, rtol=1e-6)
  assert np.isnan(found.shares[5]).all() and found.kept.tolist() == [True] * 5 + [False]
  assert found.emotion.tolist() == [0, 0, -1, 0, -1, -1], 'a tie has no plurality'
  assert found.first.tolist() == [0, 0, 1, 0, 0, -1], 'the first class of a tie'
  assert found.level.tolist() == [0, 1, 2, 0, 3, -1], 'two to two is one bit, none of those that are named'
  assert found.votes.dtype == found.shares.dtype == np.float32


def test_label_rules():
  votes = [[2, 0, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0], [3, 0, 0, 1]]
  target = dict(names=('neutral', 'happy', 'angry'))
  assert told(votes, **target).kept.tolist() == [True, False, True, False], 'inside: no vote for sad'
  assert told(votes, rule='least', least=2, **target).kept.tolist() == [True, False, True, True]
  assert told(votes, rule='majority', **target).kept.tolist() == [True, False, False, True]
  np.testing.assert_allclose(told(votes, rule='least', least=1, **target).shares[3], [1, 0, 0])
  merged = told(votes, names=('calm', 'low'), merge=dict(calm=('neutral', 'happy'), low=('angry', 'sad')))
  assert merged.votes.tolist() == [[2, 0], [1, 1], [2, 0], [3, 1]]


def test_levels_are_bins_if_they_are_a_number():
  rng = np.random.default_rng(0)
  found = told(rng.multinomial(9, [0.4, 0.3, 0.2, 0.1], 200), levels=(4,))
  assert set(found.level.tolist()) == {0, 1, 2, 3}


def test_the_consensus_of_the_corpus_and_its_number_of_raters():
  """A rater may have two votes: more than half is of raters; the corpus's own verdict may be another still."""
  votes = [[2, 2, 0, 0], [2, 1, 1, 0], [1, 1, 1, 1], [2, 1, 0, 0]]
  made = small.utterances(4, votes=np.array(votes, np.float32), voters=np.array([2, 3, 3, 4]),
                          consensus=np.array([0, 3, -1, 1]))  # fmt: skip
  of = lambda **target: targets.distributions(made, {**TARGET, **target}).kept.tolist()
  assert of(rule='majority') == [True, True, False, False]
  made.columns['more'] = np.zeros((4, 4), np.float32)
  assert of(rule='majority', votes=('votes', 'more')) == [False, False, False, True], 'whose number is not known'
  assert of(rule='consensus') == [True, True, False, True]
  assert of(rule='consensus', names=('neutral', 'happy')) == [True, False, False, True]
  assert of(rule='consensus', names=('x', 'sad'), merge=dict(x=('neutral', 'angry'))) == [True, True, False, False]
  assert 'consensus' in refused(targets.distributions, small.utterances(), {**TARGET, 'rule': 'consensus'})


def test_what_a_twin_knows_is_told_of_whom_the_rule_keeps():
  truth = np.array([[0.5, 0.25, 0.25, 0], [0.2, 0.2, 0.2, 0.4], [1, 0, 0, 0]], np.float32)
  made = small.utterances(3, votes=np.array([[3, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 2]], np.float32), truth=truth,
                          reason=np.array([0, 2, 3], np.int8))  # fmt: skip
  target = dict(TARGET, names=('neutral', 'happy'), merge=dict(happy=('happy', 'angry')), votes=('votes',))
  found = targets.truth(made, targets.distributions(made, target), target)
  np.testing.assert_allclose(found['true_shares'][:2], [[0.5, 0.5], [1 / 3, 2 / 3]], rtol=1e-6)
  assert np.isnan(found['true_shares'][2]).all() and found['reason'].tolist() == [0, 2, -1]
  assert targets.truth(small.utterances(), targets.distributions(small.utterances(), TARGET), TARGET) == {}


def test_votes_of_several_columns_are_added():
  first, second = (np.eye(4, dtype=np.float32)[i] for i in ([0, 1], [0, 2]))
  made = small.utterances(2, votes=first, more=second)
  assert targets.distributions(made, {**TARGET, 'votes': ('votes', 'more')}).votes.tolist() == [
    [2, 0, 0, 0],
    [0, 1, 1, 0],
  ]
  made.meta['vote_classes'] = {'more': ['a', 'b', 'c', 'd']}
  assert 'over different classes' in refused(targets.distributions, made, {**TARGET, 'votes': ('votes', 'more')})


@pytest.mark.parametrize(('target', 'said'), [
  (dict(votes=()), 'run.target.votes is empty'), (dict(votes=('ballots',)), "unknown column of made 'ballots'"),
  (dict(rule='most'), "unknown label rule 'most'; there is: "),
  (dict(names=('neutral', 'furious')), "'furious'; there is: angry"),
  (dict(merge=dict(calm=('neutral',))), "unknown class in merge 'calm'"),
  (dict(merge=dict(happy=('sad',))), "class 'sad' of the corpus is part of 'happy' and of 'sad'"),
  (dict(least=9), "the rule 'inside' (run.target) keeps no example of 120"),
  (dict(levels=(1,)), 'expected'), (dict(levels=()), 'run.target.levels is (), '),
])  # fmt: skip
def test_labels_that_cannot_be_made_are_refused(target, said):
  assert said in refused(targets.distributions, small.utterances(), {**TARGET, **target})
