"""The twins of rated speech: what they know of themselves is true, and their knobs do what they say."""

import numpy as np
import pytest
from scipy import stats

from affectjax.common.errors import UserError
from affectjax.data.store import opening
from affectjax.labels import raters

TWINS = ('recola', 'msp_conversation')
SMALL = {'recola': dict(recordings=4), 'msp_conversation': dict(conversations=10)}


def columns(name='recola', split='train', **knobs):
  return opening.open_corpus(name, **{**SMALL[name], **knobs}).columns(split)


def deviations(**knobs):
  """Marks of all raters as (y - location) / scale of the distribution that the twin calls true."""
  c = columns(**{'jitter': 0.0, **knobs})
  true = c['valence_true'].values[:, None]
  return (c['ratings'].values[:, :, 0] - true[..., 0]) / true[..., 1]


def test_geometry_is_the_corpus():
  corpus = opening.open_corpus('recola')
  assert dict(corpus.counts) == {'train': 9, 'dev': 9, 'test': 9}
  c = columns()
  assert c['ratings'].values.shape[1:] == (6, 2) and set(c['ratings'].lengths) == {7500}
  corpus = opening.open_corpus('msp_conversation')
  assert sum(corpus.counts.values()) > 74
  c = columns('msp_conversation')
  count = np.isfinite(c['ratings'].values[:, :, 0]).sum(1)
  assert count.min() == 5 and count.max() == 8  # ragged, none cut


def test_no_group_lies_on_two_sides_and_a_rater_keeps_its_seat():
  groups = [set(columns('msp_conversation', s)['group'].tolist()) for s in ('train', 'dev', 'test')]
  assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
  c = columns('msp_conversation')
  for i in range(len(c['ratings'])):  # a seat is taken for the whole of a recording or not at all
    seat = np.isfinite(c['ratings'][i][:, :, 0])
    assert (seat.all(0) | ~seat.any(0)).all()


@pytest.mark.parametrize('name', TWINS)
def test_same_seed_same_twin(name):
  a, b, other = columns(name), columns(name), columns(name, seed=1)
  np.testing.assert_array_equal(a['audio'].values, b['audio'].values)
  np.testing.assert_array_equal(a['ratings'].values, b['ratings'].values)
  assert (a['audio'].values[:500] != other['audio'].values[:500]).any()
  assert opening.open_corpus(name).sha256 != opening.open_corpus(name, seed=1).sha256


@pytest.mark.parametrize(('tails', 'df'), [(0.0, np.inf), (0.25, 4.0)])
def test_marks_are_distributed_as_the_twin_says(tails, df):
  """Over many raters, each at one moment: the marginal distribution of a mark is t_nu(m, s)."""
  z = deviations(tails=tails, raters=400, recordings=1, frames=600, agreement=0.8)[::150]
  truth = stats.norm() if tails == 0 else stats.t(df)
  for moment in z:
    assert stats.kstest(moment, truth.cdf).pvalue > 1e-3
  freedom = columns(tails=tails)['arousal_true'].values[:, 2]
  assert (freedom == df).all()


@pytest.mark.slow
def test_tails_are_heavier_where_the_knob_says():
  kurtosis = [stats.kurtosis(deviations(tails=t, raters=60, agreement=0.8).ravel()) for t in (0.0, 0.2)]
  assert kurtosis[1] > kurtosis[0] + 1


def test_agreement_is_about_what_is_asked_for():
  correlations = []
  for agreement in (0.2, 0.5, 0.8):
    c = columns(agreement=agreement, recordings=6, jitter=0.0)
    correlations.append(np.mean([raters.mean_pairwise_r(c['ratings'][i][:, :, 0]) for i in range(6)]))
    assert abs(correlations[-1] - agreement) < 0.15
  assert correlations[0] < correlations[1] < correlations[2]


def _follows(c, lag):
  """Correlation of marks with the best linear reading of the features `lag` frames before, on the second half."""
  x, y = c['audio'][0], c['ratings'][0][:, :, 1].mean(1)
  x, y = x[: len(x) - lag], y[lag:]
  half = len(x) // 2
  weights = np.linalg.lstsq(np.c_[x[:half], np.ones(half)], y[:half], rcond=None)[0]
  return np.corrcoef(np.c_[x[half:], np.ones(len(x) - half)] @ weights, y[half:])[0, 1]


def test_marks_are_late_by_the_delay():
  c = columns(delay=2.0, jitter=0.0, agreement=0.9)
  scores = {lag: _follows(c, lag) for lag in (0, 25, 50, 75, 100)}
  assert max(scores, key=scores.get) == 50


def test_without_signal_the_features_say_nothing():
  shown = _follows(columns(delay=0.0, jitter=0.0, agreement=0.9), 0)
  hidden = _follows(columns(delay=0.0, jitter=0.0, agreement=0.9, signal=0.0), 0)
  assert shown > 0.6 and abs(hidden) < 0.35


def test_a_constant_spread_is_one():
  c = columns(spread_sd=0.0)
  assert np.ptp(c['valence_true'].values[:, 1]) < 1e-6
  assert np.ptp(columns(spread_sd=0.4)['valence_true'].values[:, 1]) > 0.1


def test_shift_moves_the_features_and_nothing_else():
  a, b = columns(), columns(shift=0.5)
  np.testing.assert_array_equal(a['ratings'].values, b['ratings'].values)
  assert np.abs(a['audio'].values.mean(0) - b['audio'].values.mean(0)).max() > 0.05


def test_waveform_is_sound_of_the_features():
  c = columns(recordings=1, frames=500, waveform=True)
  assert c['waveform'].values.shape == (500, 640) and np.abs(c['waveform'].values).max() <= 1
  loud, x = np.log(c['waveform'].values.std(1)), c['audio'].values
  assert np.corrcoef(loud, x.max(1))[0, 1] > 0.3


@pytest.mark.parametrize(('knobs', 'said'), [(dict(tails=0.5), 'tails 0.5'), (dict(agreement=1.0), 'agreement 1.0')])
def test_impossible_knobs_are_refused(knobs, said):
  with pytest.raises(UserError, match=said):
    columns(**knobs)
