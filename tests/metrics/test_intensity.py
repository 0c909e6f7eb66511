"""Metrics of intensities in [0, 3]: scikit-learn as oracle, trivial predictors of CMU-MOSEI, multiplicity, refusals."""

import numpy as np
import pytest
import sklearn.metrics

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.metrics import statistics
from affectjax.tables import bootstrap

EMOTIONS = ('happy', 'sad', 'anger', 'surprise', 'disgust', 'fear')
LEVELS = ('acc4', 'uar4', 'f1.macro4', 'f1.weighted4')
PRESENCE = ('f1.macro.presence', 'f1.weighted.presence', 'wa.presence', 'ap.presence', 'auc.presence')
ALL = (*LEVELS, *PRESENCE, 'skill')
# Test split of CMU-MOSEI (published/masked_ssl_labels.csv): segments of each rounded class, those present, mean
N = 4662
COUNTS = {
  'happy': ((3051, 1212, 379, 20), 2505, 0.4697), 'sad': ((4083, 558, 21, 0), 1129, 0.1444),
  'anger': ((4003, 608, 46, 5), 1071, 0.1632), 'surprise': ((4536, 125, 1, 0), 441, 0.0440),
  'disgust': ((4238, 376, 43, 5), 805, 0.1172), 'fear': ((4490, 172, 0, 0), 385, 0.0426),
}  # fmt: skip
# Of constant 0 and of the training median, which is 1/3 for happy and else 0 (experiments/masked_ssl.md, 6)
ACCURACY = {'happy': 0.6544, 'sad': 0.8758, 'anger': 0.8586, 'surprise': 0.9730, 'disgust': 0.9091, 'fear': 0.9631}
MEDIAN = np.array([1 / 3, 0, 0, 0, 0, 0])


def predictions(seed=0, groups=24, n=15, emotions=None):
  """Intensities in thirds (some missing, some sixths), outputs in and beyond [0, 3]; of [N] or [N, emotions]."""
  rng = np.random.default_rng(seed)
  shape = (groups * n, *([emotions] if emotions else []))
  y = rng.choice(10, shape, p=[0.5, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.01, 0.01]) / 3
  y = np.where(rng.random(shape) < 0.05, 1 / 6, y)
  yhat = 0.6 * y + rng.normal(size=shape) * 0.5
  return {
    'e': np.where(rng.random(shape) < 0.1, np.nan, y), 'e_hat': yhat,
    'e_median': np.broadcast_to(1 / 3 * (rng.random(shape[1:]) < 0.5), shape).copy(),
    'group': np.repeat([f'v{i:02}' for i in range(groups)], n),
  }  # fmt: skip


def only(given, rows):
  return {key: column[rows] for key, column in given.items()}


def oracle(name, given):
  """By scikit-learn, from the definitions in experiments/masked_ssl.md, 6."""
  keep = ~np.isnan(given['e'])
  y, yhat = given['e'][keep], given['e_hat'][keep]
  if name == 'skill':
    mae = sklearn.metrics.mean_absolute_error
    return 1 - mae(y, yhat) / mae(y, given['e_median'][keep])
  if name in LEVELS:
    true, said = (np.floor(np.clip(x, 0, 3) + 0.5).astype(int) for x in (y, yhat))
  else:
    true, said = y > 0, yhat > 1 / 6
  rounded = np.floor(100 * np.clip(yhat, 0, 3) + 0.5) / 100
  some = {'labels': np.unique(true), 'zero_division': 0}
  return {
    'acc4': lambda: sklearn.metrics.accuracy_score(true, said),
    'uar4': lambda: sklearn.metrics.recall_score(true, said, average='macro', **some),
    'f1.macro4': lambda: sklearn.metrics.f1_score(true, said, average='macro', **some),
    'f1.weighted4': lambda: sklearn.metrics.f1_score(true, said, average='weighted', **some),
    'f1.macro.presence': lambda: sklearn.metrics.f1_score(true, said, average='macro', **some),
    'f1.weighted.presence': lambda: sklearn.metrics.f1_score(true, said, average='weighted', **some),
    'wa.presence': lambda: sklearn.metrics.balanced_accuracy_score(true, said),
    'ap.presence': lambda: sklearn.metrics.average_precision_score(true, rounded),
    'auc.presence': lambda: sklearn.metrics.roc_auc_score(true, rounded),
  }[name]()


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('emotions', [None, 6])
def test_they_agree_with_scikit_learn(name, emotions):
  for seed in range(12):
    given = predictions(seed, groups=3 + seed, emotions=emotions)
    assert metrics.compute(f'{name}.e', given) == pytest.approx(oracle(name, given), abs=1e-12)
    rows = np.random.default_rng(seed).permutation(len(given['e']))
    assert metrics.compute(f'{name}.e', only(given, rows)) == pytest.approx(oracle(name, given), abs=1e-12)


def test_values_by_hand():
  x = np.array([-1, 0, 0.49, 0.5, 1.49, 1.5, 2.5, 3, 9, np.inf])
  assert statistics.level(x).tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3, 3], 'halves go up, unlike numpy.round'
  assert statistics.score(np.array([-1, 0.125, 0.004, 1 / 3, 4])).tolist() == [0, 13, 0, 33, 300]
  given = {'e': np.array([0, 0, 1 / 3, 1]), 'e_hat': np.array([0.1, 0.3, 0.2, 1.2]), 'e_median': np.full(4, 1 / 3)}
  want = {'acc4': 1, 'wa.presence': 0.75, 'ap.presence': (1 + 2 / 3) / 2, 'auc.presence': 0.75, 'uar4': 1,
          'skill': 1 - (0.1 + 0.3 + (1 / 3 - 0.2) + 0.2) / (1 / 3 + 1 / 3 + 0 + 2 / 3)}  # fmt: skip
  for name, value in want.items():
    assert metrics.compute(f'{name}.e', given) == pytest.approx(value, abs=1e-15), name
  at = {'e': np.array([0.0, 1.0]), 'e_hat': np.array([1 / 6, np.nextafter(1 / 6, 1)])}
  assert metrics.compute('wa.presence.e', at) == 1, 'present is above 1/6, not at it'


def test_scores_within_a_hundredth_are_ties():
  given = {'e': np.array([1.0, 0.0]), 'e_hat': np.array([0.504, 0.4961])}
  assert metrics.compute('auc.presence.e', given) == 0.5 and metrics.compute('ap.presence.e', given) == 0.5
  assert metrics.compute('auc.presence.e', given | {'e_hat': np.array([0.51, 0.5])}) == 1


def test_rounding_scores_moves_average_precision_little():
  for seed in range(5):
    given = predictions(seed, groups=100, n=40)
    keep = ~np.isnan(given['e'])
    exact = sklearn.metrics.average_precision_score(given['e'][keep] > 0, given['e_hat'][keep].clip(0, 3))
    assert metrics.compute('ap.presence.e', given) == pytest.approx(exact, abs=2e-3)


def test_overall_is_the_mean_over_emotions():
  given = predictions(3, emotions=6)
  given['e'] = np.nan_to_num(given['e'])  # every segment has all six
  each = [{key: x[:, i] if x.ndim > 1 else x for key, x in given.items()} for i in range(6)]
  mean = lambda name: np.mean([metrics.compute(name, one) for one in each])
  for name in ('mae.pooled.e', 'acc4.e'):
    assert metrics.compute(name, given) == pytest.approx(mean(name), abs=1e-12)
  reference = given | {'e_hat': given['e_median']}
  share = mean('mae.pooled.e') / metrics.compute('mae.pooled.e', reference)
  assert metrics.compute('skill.e', given) == pytest.approx(1 - share, abs=1e-12)


def mosei():
  """Labels [N, 6] in thirds with the rounded classes, the number present and the mean of the test split."""
  rng, out = np.random.default_rng(0), []
  for counts, present, mean in COUNTS.values():
    thirds = np.repeat([0, 2, 5, 8], counts)  # the least of each class, which ends one or two thirds above
    thirds[counts[0] - (present - (N - counts[0])) : counts[0]] = 1
    room = np.repeat([0, 2, 2, 1], counts)
    lacking = round(3 * mean * N) - thirds.sum()
    assert 0 <= lacking <= room.sum()
    more = np.minimum(room, np.maximum(lacking - (np.cumsum(room) - room), 0))
    assert (thirds + more).sum() == round(3 * mean * N)
    out.append(rng.permutation(thirds + more) / 3)
  return np.stack(out, axis=1)


def test_labels_have_the_published_counts():
  y = mosei()
  for i, (counts, present, mean) in enumerate(COUNTS.values()):
    assert np.bincount(statistics.level(y[:, i]).astype(int), minlength=4).tolist() == list(counts)
    assert (y[:, i] > 0).sum() == present and y[:, i].mean() == pytest.approx(mean, abs=2e-4)


def test_trivial_predictors_score_what_they_do_on_the_corpus():
  y, name = mosei(), lambda metric: f'{metric}.intensity'
  given = {'intensity': y, 'intensity_median': np.broadcast_to(MEDIAN, y.shape)}
  zero, median = (given | {'intensity_hat': np.broadcast_to(x, y.shape)} for x in (np.zeros(6), MEDIAN))
  assert round(metrics.compute(name('acc4'), zero), 4) == round(metrics.compute(name('acc4'), median), 4) == 0.8723
  assert round(metrics.compute(name('mae.pooled'), zero), 4) == 0.1635
  assert round(metrics.compute(name('mae.pooled'), median), 4) == 0.1594
  assert metrics.compute(name('skill'), median) == 0
  assert metrics.compute(name('skill'), zero) == pytest.approx(1 - 0.1635 / 0.1594, abs=1e-3)
  assert metrics.compute(name('pcc.pooled'), median) > 0.3, 'over all entries a constant per emotion is no constant'
  f1 = []
  for i, emotion in enumerate(EMOTIONS):
    one = {'y': y[:, i], 'y_hat': np.full(N, MEDIAN[i]), 'y_median': np.full(N, MEDIAN[i])}
    assert round(metrics.compute('acc4.y', one), 4) == ACCURACY[emotion]
    assert metrics.compute('uar4.y', one) == 1 / sum(count > 0 for count in COUNTS[emotion][0])
    assert metrics.compute('wa.presence.y', one) == metrics.compute('auc.presence.y', one) == 0.5
    assert metrics.compute('ap.presence.y', one) == pytest.approx(COUNTS[emotion][1] / N, abs=1e-15)
    assert metrics.compute('pcc.pooled.y', one) == metrics.compute('skill.y', one) == 0
    f1.append(metrics.compute('f1.weighted.presence.y', one))
  assert round(metrics.compute('mae.pooled.y', {'y': y[:, 0], 'y_hat': np.full(N, 1 / 3)}), 3) == 0.445
  assert round(np.mean(f1), 4) == 0.6978 and round(f1[0], 4) == 0.3756, 'the median says what most segments have'


@pytest.mark.parametrize('name', ALL)
def test_a_nan_output_is_never_hidden_and_what_is_not_scored_may_be_anything(name):
  given = predictions(1)
  scored = np.flatnonzero(~np.isnan(given['e']))
  spoilt = {key: np.where(np.isnan(given['e']), np.nan, given[key]) for key in ('e_hat', 'e_median')}
  assert metrics.compute(f'{name}.e', given | spoilt) == metrics.compute(f'{name}.e', given)
  for key in metrics.needs(f'{name}.e')[1:]:
    bad = given[key].copy()
    bad[scored[7]] = np.nan
    assert np.isnan(metrics.compute(f'{name}.e', given | {key: bad})), key


@pytest.mark.parametrize('name', ALL)
def test_nothing_to_score_is_nan(name):
  given = predictions(1)
  assert np.isnan(metrics.compute(f'{name}.e', given | {'e': np.full(360, np.nan)}))
  assert np.isnan(metrics.compute(f'{name}.e', only(given, slice(0, 0))))


def test_what_one_kind_of_segment_leaves_undefined_is_nan():
  given = predictions(2)
  none, every = (given | {'e': np.full(360, value)} for value in (0.0, 1.0))
  for name in ('wa.presence.e', 'auc.presence.e'):
    assert np.isnan(metrics.compute(name, none)) and np.isnan(metrics.compute(name, every))
    silent = none | {'e_hat': np.zeros(360)}
    assert np.isnan(metrics.compute(name, silent))
  assert np.isnan(metrics.compute('ap.presence.e', none)) and metrics.compute('ap.presence.e', every) == 1
  right = {'e': np.full(4, 1 / 3), 'e_hat': np.zeros(4), 'e_median': np.full(4, 1 / 3)}
  assert np.isnan(metrics.compute('skill.e', right)), 'a median without errors cannot be bettered'


@pytest.mark.parametrize('name', ALL)
def test_a_replicate_is_the_metric_of_the_drawn_groups(name):
  name = f'{name}.e'
  cells = {(0, seed): predictions(seed, emotions=2) for seed in range(2)}
  ours = bootstrap.Sample(name, {key: bootstrap.reduce([name], cell)[name] for key, cell in cells.items()})
  counts = bootstrap.draws(ours.groups)[5].astype(int)
  by_hand = []
  for cell in cells.values():
    rows = [np.flatnonzero(cell['group'] == g) for g, c in zip(ours.groups, counts, strict=True) for _ in range(c)]
    by_hand.append(metrics.compute(name, only(cell, np.concatenate(rows))))
  assert ours.replicates(ours.groups)[5] == pytest.approx(np.mean(by_hand), abs=1e-12)
  got = bootstrap.interval(ours)
  assert got.low < got.mean < got.high and got.groups == 24


@pytest.mark.parametrize('name', ALL)
def test_float32_is_scored_as_it_is(name):
  given = predictions(4)
  single = given | {key: given[key].astype(np.float32) for key in ('e', 'e_hat', 'e_median')}
  assert metrics.compute(f'{name}.e', single) == pytest.approx(metrics.compute(f'{name}.e', given), abs=1e-6)


def test_names_say_what_is_read_and_what_is_best():
  assert metrics.needs('skill.happy') == ('happy', 'happy_hat', 'happy_median')
  assert metrics.parse('f1.macro.presence.happy') == metrics.Name('f1.macro.presence', 'happy', None)
  assert metrics.parse('f1.macro.presence') == metrics.Name('f1.macro', 'presence', None)
  assert metrics.parse('acc4.happy.level_1') == metrics.Name('acc4', 'happy', 'level_1')
  assert {metrics.better(f'{name}.x') for name in ALL} == {'higher'}
  with pytest.raises(UserError, match='acc4.<target>'):
    metrics.parse('acc5.happy')
  with pytest.raises(UserError, match=r"'skill\.e' reads \['e_median'\]"):
    metrics.compute('skill.e', {'e': np.zeros(2), 'e_hat': np.zeros(2)})
  with pytest.raises(UserError, match=r'e_median is \(6,\); expected one shape'):
    metrics.compute('skill.e', {'e': np.zeros((2, 6)), 'e_hat': np.zeros((2, 6)), 'e_median': np.zeros(6)})
