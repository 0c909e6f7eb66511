"""What the doctor says of raters."""

import re

import numpy as np
import pytest

from affectjax import doctor
from affectjax.commands import agreement, survey
from affectjax.commands.survey import Survey
from affectjax.data.store import opening, preparing
from affectjax.labels import raters
from tests.helpers.shared import pack

META = {'modalities': {}, 'attributes': [], 'emotions': ['sad', 'happy', 'angry']}


def surveyed(meta, **columns):
  """The survey of columns in memory; ids and groups of two are added."""
  n = len(next(iter(columns.values())))
  names = {'id': [f'i{i}' for i in range(n)], 'group': [f'g{i // 2}' for i in range(n)], 'item': ['x'] * n}
  return survey.synthetic({**names, **columns}, meta)


def votes(seed, n=80, k=3):
  rng = np.random.default_rng(seed)
  return rng.multinomial(5, rng.dirichlet(np.full(k, 0.6), n)).astype(np.float32)


def test_votes_by_hand():
  both = np.array([[3, 0, 0], [1, 1, 0], [0, 2, 2], [0, 0, 0], [0, 1, 0], [0, 0, 4]], np.float32)
  lines = list(agreement.of_votes(surveyed(META, votes=both), META))
  assert lines[0] == 'votes: sad 4, happy 4, angry 6'
  kappa, alpha = raters.fleiss_kappa(both), raters.krippendorff_alpha_of_counts(both, 'nominal')
  assert lines[1] == (
    'agreement in votes: 5 of 6 items have votes, 1 to 4 each, mean 2.80; of the 4 with two or more: '
    f"Fleiss' kappa {kappa:.2f}, Krippendorff's alpha (nominal) {alpha:.2f}, entropy 0.500 bits, unanimous 50.0%, "
    'tied 50.0%'
  )
  assert lines[2] == (
    '  by plurality class: sad entropy 0.000 bits, unanimous 100.0%; angry entropy 0.000 bits, unanimous 100.0%'
  )
  assert len(lines) == 3


def test_conditions_by_hand():
  heard = np.array([[3, 0, 0], [0, 3, 0], [2, 2, 0], [0, 0, 1]], np.float32)
  seen = np.array([[3, 1, 0], [2, 0, 1], [0, 4, 0], [0, 0, 0]], np.float32)
  s = surveyed(META, votes_audio=heard, votes_visual=seen, intended=np.array([0, 1, 1, 2]))
  lines = list(agreement.of_votes(s, META))
  at = next(i for i, line in enumerate(lines) if line.startswith('pluralities'))
  # first by name: happy before sad, so the tie of the third item is happy
  assert re.fullmatch(
    r'pluralities of votes_audio and votes_visual differ in 50\.0% of the 2 items without a tie; '
    r'in 33\.3% \[0\.0%, 50\.0%, only 2 groups\] of 3 if a tie goes to the class that is first by name',
    lines[at],
  )
  assert lines[at + 1] == '  by intended class: sad 0.0%; happy 100.0%'
  assert '  by intended class: sad entropy 0.000 bits, unanimous 100.0%; happy ' in lines[2]


def test_interval_of_a_difference_covers_and_shrinks():
  widths = []
  for n in (40, 640):
    s = surveyed(META, votes_audio=votes(0, n), votes_visual=votes(1, n))
    line = next(line for line in agreement.of_votes(s, META) if line.startswith('pluralities'))
    share, low, high = map(float, re.search(r'differ in ([\d.]+)% \[([\d.]+)%, ([\d.]+)%', line).groups())
    assert low < share < high
    widths.append(high - low)
  assert widths[1] < 0.4 * widths[0]


def test_only_what_can_be_compared_is_compared():
  meta = {
    **META, 'emotions': [], 'attributes': ['valence', 'arousal'],
    'vote_classes': {k: ['1', '2', '3'] for k in ('votes_valence_a', 'votes_valence_b', 'votes_arousal_a')},
  }  # fmt: skip
  keys = {key: votes(i) for i, key in enumerate(meta['vote_classes'])}
  lines = list(agreement.of_votes(surveyed(meta, **keys), meta))
  assert [line.split(' differ')[0] for line in lines if line.startswith('pluralities')] == [
    'pluralities of votes_valence_a and votes_valence_b'
  ]
  assert 'votes_arousal_a: 1 ' in lines[0]
  ordinal = raters.krippendorff_alpha_of_counts(keys['votes_arousal_a'], 'ordinal')
  assert f"Krippendorff's alpha (ordinal) {ordinal:.2f}, entropy" in lines[1]
  other = {**META, 'vote_classes': {'votes_b': ['x', 'y', 'z']}}
  lines = list(agreement.of_votes(surveyed(other, votes=votes(0), votes_b=votes(1)), other))
  assert not [line for line in lines if line.startswith('pluralities')]


NOTHING = {(0, 0, 0): 'no item has votes', (1, 0, 0): '3 of 3 items have votes, none of them two or more'}


@pytest.mark.parametrize('counts', NOTHING)
def test_votes_that_tell_nothing(counts):
  of = np.array([counts] * 3, np.float32)
  s = surveyed(META, votes=of, votes_audio=np.zeros((3, 3), np.float32))
  lines = list(agreement.of_votes(s, META))
  assert lines[1] == f'agreement in votes: {NOTHING[counts]}'
  assert lines[-1] == 'votes and votes_audio: no item has one plurality in each'


def ratings_of(meta, seed=0):
  rng = np.random.default_rng(seed)
  x = (rng.normal(size=(50, 1, 1, 1)) + 0.5 * rng.normal(size=(50, 1, 4, 1))).clip(-3, 3).astype(np.float32) / 3
  mask = np.ones(x.shape, bool)
  s = surveyed(meta, ratings=list(x), ratings_mask=list(mask))
  return x[:, 0, :, 0].astype(np.float64), list(agreement.of_ratings(s, meta))


def test_ratings_of_named_raters_seats_and_conditions():
  meta = {**META, 'attributes': ['valence'], 'raters': ['anna', 'ben', 'cem', 'dora']}
  x, lines = ratings_of(meta)
  assert lines == [
    f'agreement in valence: 4 raters, mean pairwise r {raters.mean_pairwise_r(x):.2f}, '
    f"Krippendorff's alpha (interval) {raters.krippendorff_alpha(x, 'interval'):.2f}, over 50 frames; "
    f'ICC(2,1) {raters.icc(x):.2f}, over the 50 that all rated'
  ]
  meta |= {'conditions': ['reader', 'writer', 'writer', 'reader']}
  _, lines = ratings_of(meta)
  assert len(lines) == 3 and lines[2].startswith('  agreement in valence, writer only: 2 raters, mean pairwise r ')
  assert f'alpha (interval) {raters.krippendorff_alpha(x[:, 1:3], "interval"):.2f}' in lines[2]
  for unnamed in ({'raters': ['seat 1', 'seat 2', 'seat 3', 'seat 4']}, {'seats': True}, {'raters': None}):
    _, lines = ratings_of({**meta, **unnamed, 'conditions': []})
    assert len(lines) == 1 and 'pairwise' not in lines[0] and 'ICC' not in lines[0]
    assert "4 seats, taken by other raters from example to example, Krippendorff's alpha (interval) " in lines[0]


def test_a_survey_keeps_votes_and_groups():
  s = surveyed(META, votes=votes(0, 6), votes_audio=votes(1, 6), emotion=np.zeros(6, np.int32))
  assert isinstance(s, Survey) and list(s.votes) == ['votes', 'votes_audio'] and s.intended == []
  np.testing.assert_array_equal(np.stack(s.votes['votes_audio']), votes(1, 6))
  assert s.group == ['g0', 'g0', 'g1', 'g1', 'g2', 'g2']


def test_doctor_prints_rules_and_what_was_left_out(monkeypatch):
  corpus = opening.open_corpus('crema_d', actors=6)
  meta = {**corpus.meta, 'rules': {'inside': 'every vote within four classes: 12'}, 'dropped': {'no text': 3, 'x': {}}}
  changed = type(corpus)(**{**vars(corpus), 'meta': meta})
  monkeypatch.setattr(opening, 'open_corpus', lambda name, data_dir: changed)
  lines = list(doctor.examine('crema_d', None, None, False))
  assert '  rule inside: every vote within four classes: 12' in lines and '  left out: no text 3' in lines
  assert sum(line.startswith('  pluralities of votes') for line in lines) == 3
  assert not [line for line in lines if line.startswith('  votes_audio: ') and ' to ' in line]


@pytest.mark.slow
def test_real_voice_and_face_differ_as_the_description_says(tmp_path):
  """Its README: 49 percent, and 43 to the audio-visual; ties went to the class first by name."""
  preparing.prepare('crema_d', pack('cremad_votes'), tmp_path)
  text = '\n'.join(doctor.examine('crema_d', tmp_path, None, False))
  two = r'pluralities of {} and {} differ in ([\d.]+)% .* of the (\d+) items without a tie; in ([\d.]+)% '
  assert re.search(two.format('votes_audio', 'votes_visual'), text).groups() == ('47.4', '6383', '49.2')
  assert re.search(two.format('votes', 'votes_audio'), text).groups() == ('41.2', '6419', '43.3')
  unanimous = re.findall(r'tied ([\d.]+)%', text)
  assert unanimous == ['5.6', '8.7', '6.3'] and 'entropy 0.924 bits' in text  # 0.64 nats
  assert 'by intended class: anger 35.6%; sad 43.9%; disgust 72.9%' in text
