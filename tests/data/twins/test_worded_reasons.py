"""The twins of spoken words: reasons for disagreement, unreliable modalities, and what embeddings show of them."""

import functools

import numpy as np
import pytest

from affectjax.data.store import opening
from affectjax.data.twins import _worded
from tests.helpers.worded_small import (
  NAMES,
  SMALL,
  accuracy,
  carried,
  columns,
  entropy,
  ranked_above,
  read,
  softmax_probe,
  values,
)

CLEAR = dict(audio_width=64, text_width=64, noise=0.05, identity=0.1)  # features that show what they carry
PLAIN = dict(audio_width=64, text_width=64, noise=0.2)


@functools.lru_cache(maxsize=8)
def made(**knobs):
  """IEMOCAP's twin; nothing of it may be changed."""
  return columns('iemocap', **knobs)


@functools.lru_cache(maxsize=16)
def probed(*modalities, **knobs):
  """`read` of such a twin; nothing of it may be changed."""
  return read(made(**knobs), *modalities)


def right_of(*modalities, **knobs):
  """`accuracy` of such a twin."""
  p, label, _, test = probed(*modalities, **knobs)
  return (p.argmax(1) == label)[test & (label >= 0)].mean()


@pytest.fixture(scope='module')
def turns():
  return columns('iemocap', audio_width=1, text_width=1)  # nothing is asked of their features


@pytest.fixture(scope='module')
def segments():
  return columns('msp_podcast', audio_width=1, text_width=1)


# Two reasons


@pytest.mark.parametrize('name', NAMES)
def test_votes_are_drawn_from_the_truth(name, turns, segments):
  c = {'iemocap': turns, 'msp_podcast': segments}[name]
  np.testing.assert_allclose(c['truth'].sum(1), 1, atol=1e-5)
  first = _worded.vote(np.random.default_rng(0), c['truth'], c['voters'])
  np.testing.assert_allclose(first.mean(0) / first.sum(1).mean(), c['truth'].mean(0), atol=0.01)
  one = np.tile(np.array([[0.5, 0.3, 0.2, 0.0]]), (20000, 1))
  votes = _worded.vote(np.random.default_rng(0), one, np.full(20000, 3))
  np.testing.assert_allclose(votes.mean(0), [1.5, 0.9, 0.6, 0], atol=0.02)
  twice = _worded.vote(np.random.default_rng(0), one, np.full(20000, 3), 1.0)
  assert (twice.sum(1) == 6).all() and twice.max() == 3, 'nobody names a class twice'


@pytest.mark.parametrize('name', NAMES)
def test_shares_of_reasons_are_the_knobs(name):
  _, labels = carried(name, ambiguous=0.4, conflict=0.2)
  got = np.bincount(labels['reason'], minlength=4) / len(labels['reason'])
  np.testing.assert_allclose(got, [0.48, 0.32, 0.12, 0.08], atol=0.02)


@pytest.mark.parametrize('name', NAMES)
def test_without_either_reason_raters_only_err_now_and_then(name):
  shown, labels = carried(name, ambiguous=0.0, conflict=0.0)
  assert not labels['reason'].any()
  np.testing.assert_allclose(shown['truth'].max(1), 1 - _worded.SLIP)
  np.testing.assert_array_equal(shown['audio'], shown['text'])
  bits = entropy(labels['votes']).mean()
  assert 0.1 < bits < 0.55 and bits < entropy(carried(name)[1]['votes']).mean() - 0.3


@pytest.mark.parametrize('name', NAMES)
def test_where_voice_and_words_conflict_each_is_clear_and_votes_split(name):
  shown, labels = carried(name)
  torn, blended = labels['reason'] == 2, labels['reason'] == 1
  voice, words = shown['audio'].argmax(1), shown['text'].argmax(1)
  assert (voice != words)[torn].all() and (shown['audio'] == shown['text'])[blended].all()
  for m in ('audio', 'text'):
    np.testing.assert_allclose(shown[m][torn].max(1), 1 - _worded.SLIP)
  votes = labels['votes']
  shares = np.stack([votes[np.arange(len(votes)), k] for k in (voice, words)], 1)
  either = shares[torn].sum(0)
  for doubt, voiced in enumerate((0.5, 0.15, 0.85)):  # neither, voice, words unreliable
    for_voice, for_words = shares[torn & (labels['unreliable'] == doubt)].sum(0)
    assert for_voice / (for_voice + for_words) == pytest.approx(voiced, abs=0.07)  # slip evens it out
  assert sum(either) > 0.85 * votes[torn].sum(), 'hardly anybody says anything else'
  even, uneven = (entropy(votes[torn & of]).mean() for of in (labels['unreliable'] == 0, labels['unreliable'] > 0))
  assert even > uneven + 0.1 and even > entropy(votes[labels['reason'] == 0]).mean() + 0.4


@pytest.mark.parametrize('name', NAMES)
def test_where_it_is_ambiguous_each_modality_alone_is_flat(name):
  shown, labels = carried(name)
  for m in ('audio', 'text'):
    flat = entropy(shown[m])
    assert flat[labels['reason'] == 1].min() > flat[labels['reason'] == 2].max() - 0.2
    assert flat[labels['reason'] % 2 == 1].mean() > flat[labels['reason'] % 2 == 0].mean() + 0.5


# A modality that is unreliable


@pytest.mark.parametrize('name', NAMES)
def test_raters_lean_on_the_other_modality_where_one_is_unreliable(name):
  shown, labels = carried(name, unreliable=0.4)
  doubt = labels['unreliable']
  np.testing.assert_allclose(np.bincount(doubt) / len(doubt), [0.6, 0.2, 0.2], atol=0.015)
  shares = np.bincount(labels['reason'][doubt > 0], minlength=4) / (doubt > 0).sum()
  np.testing.assert_allclose(shares, np.bincount(labels['reason'], minlength=4) / len(doubt), atol=0.02)
  voiced = np.array([0.5, 1 - _worded.LEAN, _worded.LEAN])[doubt][:, None]
  np.testing.assert_allclose(shown['truth'], voiced * shown['audio'] + (1 - voiced) * shown['text'])
  assert _worded.LEAN > 0.5


@pytest.mark.parametrize('name', NAMES)
def test_without_unreliable_modalities_all_is_as_it_would_be_and_only_theirs_differ(name):
  sizes = {**SMALL[name], 'noise': 0.5}
  without, some = columns(name, **sizes, unreliable=0.0), columns(name, **sizes, unreliable=0.5)
  assert not without['unreliable'].any()
  for key in set(some) - {'truth', 'unreliable', 'votes', 'audio', 'text', 'emotion', 'consensus', 'ratings',
                          *_worded.ATTRIBUTES}:  # fmt: skip
    np.testing.assert_array_equal(values(without[key]), values(some[key]), key)
  np.testing.assert_array_equal(without['reason'], some['reason'])
  for i, m in enumerate(('audio', 'text'), 1):
    alike = (without[m].values == some[m].values).all(1)
    np.testing.assert_array_equal(alike, some['unreliable'] != i)
  np.testing.assert_array_equal(without['votes'][some['unreliable'] == 0], some['votes'][some['unreliable'] == 0])
  shown, labels = carried(name, unreliable=0.0)
  np.testing.assert_array_equal(shown['truth'], (shown['audio'] + shown['text']) / 2)
  more = columns(name, **sizes, unreliable=0.7)['unreliable']
  np.testing.assert_array_equal(more[some['unreliable'] > 0], some['unreliable'][some['unreliable'] > 0])


def test_iemocaps_votes_without_unreliable_modalities_are_known():
  _, labels = carried('iemocap', unreliable=0.0, conflict=0.3)
  counts = np.bincount(labels['consensus'] + 1)
  known = [1786, 1889, 632, 1174, 1204, 1119, 1985, 124, 46, 20, 60]  # of the twin before it had the knob
  np.testing.assert_allclose(counts, known, atol=2)  # a library's logarithm may differ in its last digit


@pytest.mark.parametrize('modality', ['audio', 'text'])
def test_an_unreliable_modality_reads_worse_and_shows_that_it_is(modality):
  wide = dict(audio_width=128, text_width=128)
  c, which = made(**wide), {'audio': 1, 'text': 2}[modality]
  p, label, inside, test = probed(modality, **wide)
  test = test & (label >= 0)
  right, doubt = (p.argmax(1) == label)[test], c['unreliable'][inside][test]
  assert right[doubt == which].mean() < right[doubt != which].mean() - 0.15
  other = (probed({'audio': 'text', 'text': 'audio'}[modality], **wide)[0].argmax(1) == label)[test]
  assert other[doubt == which].mean() > right[doubt == which].mean() + 0.15, 'the other one reads better'
  weak, held = (c['unreliable'] == which).astype(int), c['session'] == 1
  seen = softmax_probe(c[modality].values, weak, c['session'] > 2, 2)[:, 1]
  assert 0.65 < ranked_above(seen[held], weak[held]) < 0.95, 'to some degree, even to a linear probe'
  assert ranked_above((c[modality].values ** 2).mean(1)[held], weak[held]) > 0.85, 'and from its spread'


@pytest.mark.parametrize('name', NAMES)
def test_slip_is_what_is_taken_for_a_neighbour(name):
  shown, labels = carried(name, ambiguous=0.0, conflict=0.0, slip=0.25)
  np.testing.assert_allclose(shown['truth'].max(1), 0.75)
  shown, labels = carried(name, ambiguous=0.0, conflict=0.0, slip=0.0)
  np.testing.assert_array_equal(shown['truth'].max(1), 1)
  assert not entropy(labels['votes']).any(), 'nobody errs, and nobody has a second class to name'


@pytest.mark.parametrize('modality', ['audio', 'text'])
def test_a_probe_of_one_modality_is_unsure_of_the_ambiguous_and_sure_of_conflict(modality):
  p, _, inside, test = probed(modality, **CLEAR)
  reason, unsure = made(**CLEAR)['reason'][inside][test], entropy(p[test])
  none, blended, torn = (unsure[reason == r].mean() for r in range(3))
  assert blended > none + 0.1 and torn == pytest.approx(none, abs=0.1)


def test_probes_of_voice_and_words_differ_where_they_conflict():
  (voice, _, inside, test), words = probed('audio', **CLEAR), probed('text', **CLEAR)[0]
  differ = (voice.argmax(1) != words.argmax(1))[test]
  reason = made(**CLEAR)['reason'][inside][test]
  assert differ[reason == 2].mean() > 0.7 and differ[reason == 0].mean() < 0.1


# What embeddings show


@pytest.mark.slow
def test_a_probe_reads_about_what_is_published():
  turns = opening.open_corpus('iemocap').columns('all')
  voice, words, both = accuracy(turns, 'audio'), accuracy(turns, 'text'), accuracy(turns, 'audio', 'text')
  print(f'\nvoice {voice:.3f}, words {words:.3f}, both {both:.3f}')
  assert 0.48 < voice < 0.62 and 0.5 < words < 0.64 and 0.58 < both < 0.72
  assert both > max(voice, words) + 0.03


@pytest.mark.parametrize('modality', ['audio', 'text'])
def test_without_signal_a_modality_says_nothing(modality):
  silent = columns('iemocap', **PLAIN, **{f'signal_{modality}': 0.0})
  assert accuracy(silent, modality) < 0.35 < 0.6 < right_of(modality, **PLAIN)
  other = {'audio': 'text', 'text': 'audio'}[modality]
  assert accuracy(silent, other) == right_of(other, **PLAIN)


def test_more_noise_and_more_of_the_speaker_hide_the_emotion():
  plain = right_of('audio', **PLAIN)
  assert accuracy(columns('iemocap', **{**PLAIN, 'noise': 1.0}), 'audio') < plain - 0.1
  assert accuracy(columns('iemocap', **PLAIN, identity=8.0), 'audio') < plain - 0.05


def test_classes_come_in_runs(turns):
  emotion = carried('iemocap', ambiguous=0.0, conflict=0.0)[1]['emotion']  # hardly diluted by disagreement
  within = turns['item'][1:] == turns['item'][:-1]
  by_chance = (np.bincount(emotion + 1) ** 2).sum() / len(emotion) ** 2
  assert (emotion[1:] == emotion[:-1])[within].mean() > by_chance + 0.02
