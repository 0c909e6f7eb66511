import audmetric
import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.metrics import statistics, table

NAMES = [
  'ccc.pooled.v', 'ccc.per_video.v', 'pcc.pooled.v', 'rmse.pooled.v', 'mae.pooled.v', 'sagr.pooled.v',
  'acc.emotion', 'uar.emotion', 'f1.macro.emotion', 'f1.weighted.emotion', 'f1.micro.emotion',
  'ccc.pooled.v.queries',
]  # fmt: skip


def reals(seed):
  """A random pair of [n], with offsets, scales and correlations of all kinds."""
  rng = np.random.default_rng(seed)
  n = int(rng.integers(2, 400))
  y = rng.normal(size=n) * 10 ** rng.uniform(-2, 2) + rng.choice([0, 0.5, -30])
  yhat = rng.uniform(-1, 1) * y + rng.normal(size=n) * 10 ** rng.uniform(-2, 2) + rng.normal()
  return y, yhat


def classes(seed):
  """A random pair of [n] class indices; some classes are missing from the truth, some from the outputs."""
  rng = np.random.default_rng(seed)
  n, k = int(rng.integers(1, 60)), int(rng.integers(1, 9))
  return rng.choice(rng.permutation(8)[:k], n), rng.choice(rng.permutation(8)[: max(1, k - 1)], n)


def predictions(seed=0, n=240):
  rng = np.random.default_rng(seed)
  v = rng.normal(size=n)
  v[rng.random(n) < 0.1] = np.nan
  emotion = rng.integers(-1, 4, n)
  return {
    'v': v, 'v_hat': np.nan_to_num(v) + rng.normal(size=n), 'emotion': emotion,
    'emotion_hat': rng.integers(0, 5, n), 'group': np.repeat([f'g{i}' for i in range(12)], n // 12),
    'item': np.repeat([f'video{i}' for i in range(24)], n // 24), 'support': np.arange(n) % 5 == 0,
  }  # fmt: skip


@pytest.mark.parametrize('seed', range(40))
def test_reals_agree_with_the_libraries(seed):
  y, yhat = reals(seed)
  assert metrics.ccc(y, yhat) == pytest.approx(audmetric.concordance_cc(y, yhat), abs=1e-12)
  assert metrics.pcc(y, yhat) == pytest.approx(scipy.stats.pearsonr(y, yhat).statistic, abs=1e-12)
  assert metrics.rmse(y, yhat) == pytest.approx(sklearn.metrics.root_mean_squared_error(y, yhat), rel=1e-12)
  assert metrics.mae(y, yhat) == pytest.approx(sklearn.metrics.mean_absolute_error(y, yhat), rel=1e-12)
  assert metrics.sagr(y, yhat) == pytest.approx(np.mean(np.sign(y) == np.sign(yhat)), abs=1e-12)


@pytest.mark.parametrize('seed', range(40))
def test_classes_agree_with_the_libraries(seed):
  y, yhat = classes(seed)
  present = np.unique(y)
  assert metrics.accuracy(y, yhat) == pytest.approx(sklearn.metrics.accuracy_score(y, yhat), abs=1e-12)
  uar = sklearn.metrics.recall_score(y, yhat, average='macro', labels=present)
  assert metrics.uar(y, yhat) == pytest.approx(uar, abs=1e-12)
  inside = np.where(np.isin(yhat, present), yhat, present[0])  # audmetric cuts outputs of other classes off
  uar = audmetric.unweighted_average_recall(y, inside, labels=present.tolist())
  assert metrics.uar(y, inside) == pytest.approx(uar, abs=1e-12)
  for average, labels in (('macro', present), ('weighted', present), ('micro', np.arange(8))):
    f1 = sklearn.metrics.f1_score(y, yhat, average=average, labels=labels, zero_division=0)
    assert metrics.f1(y, yhat, average) == pytest.approx(f1, abs=1e-12)


def test_values_by_hand():
  assert metrics.ccc([0, 1, 2], [0, 1, 1]) == pytest.approx(2 / 3, abs=1e-15)  # 2 (1/3) / (2/3 + 2/9 + 1/9)
  assert metrics.pcc([0, 1, 2], [0, 1, 1]) == pytest.approx(np.sqrt(3) / 2, abs=1e-15)
  assert metrics.rmse([0.0, 0.0], [3.0, 4.0]) == pytest.approx(np.sqrt(12.5), abs=1e-15)
  assert metrics.mae([0.0, 0.0], [3.0, -4.0]) == 3.5
  assert metrics.f1([0, 0, 1, 1], [0, 1, 1, 1], 'macro') == pytest.approx((2 / 3 + 4 / 5) / 2, abs=1e-15)
  assert metrics.uar([0, 0, 1, 1], [0, 1, 1, 1]) == 0.75
  assert metrics.uar([0, 0, 1, 1], [2, 0, 1, 1]) == 0.75  # class 2 is in no truth, so it is not averaged


def test_zero_label_is_wrong_unless_the_output_is_exactly_zero():
  assert metrics.sagr([0.0, 0.0, 1.0, -1.0], [0.0, 1e-9, 0.2, 0.2]) == 0.5


@pytest.mark.parametrize('offset', [1e8, -1e8])
def test_a_large_offset_loses_nothing(offset):
  rng = np.random.default_rng(3)
  y = np.round(rng.normal(size=300), 3) * 2.0**-3
  y = np.round(y * 2**20) / 2**20  # exact at an offset of 1e8
  yhat = np.round((y + rng.normal(size=300) * 0.1) * 2**20) / 2**20
  shift = float(np.float32(offset))
  assert metrics.ccc(y + shift, yhat + shift) == pytest.approx(metrics.ccc(y, yhat), abs=1e-12)
  assert metrics.pcc(y + shift, yhat) == pytest.approx(metrics.pcc(y, yhat), abs=1e-12)
  assert metrics.rmse(y + shift, yhat + shift) == pytest.approx(metrics.rmse(y, yhat), rel=1e-12)
  far = metrics.ccc(y, yhat + shift)
  assert 0 < abs(far) < 1e-15 and np.sign(far) == np.sign(metrics.pcc(y, yhat))


@pytest.mark.parametrize('constant', [0.0, 0.1, 1e8 + 0.1])
def test_constants_and_single_examples_score_zero(constant):
  flat, y = np.full(7, constant), np.arange(7.0)
  for metric in (metrics.ccc, metrics.pcc):
    assert metric(y, flat) == metric(flat, y) == metric(flat, flat) == metric(flat[:1], y[:1]) == 0
  assert metrics.rmse(flat, flat) == 0 and metrics.rmse(flat[:1], flat[:1] + 1) == pytest.approx(1, rel=1e-7)


def test_a_replicate_of_constant_groups_is_constant_despite_rounding():
  y = np.array([0.1] * 9 + [0.7] * 11)
  given = {'v': y, 'v_hat': y[::-1] * 1.3, 'group': np.array(['a'] * 9 + ['b'] * 11)}
  groups, stats = metrics.contributions('pcc.pooled.v', given)
  sums = stats[groups == 'a'].sum(0)
  assert metrics.value('pcc.pooled.v', 3 * sums) == 0 and metrics.value('ccc.pooled.v', 3 * sums) == 0


def test_nothing_to_score_is_nan():
  for name in NAMES:
    empty = {k: v[:0] for k, v in predictions().items()}
    assert np.isnan(metrics.compute(name, empty))
    unlabelled = predictions() | {'v': np.full(240, np.nan), 'emotion': np.full(240, -1)}
    assert np.isnan(metrics.compute(name, unlabelled))


def test_a_nan_output_is_never_hidden():
  for metric in (metrics.ccc, metrics.pcc, metrics.rmse, metrics.mae, metrics.sagr):
    assert np.isnan(metric([0.0, 1.0, 2.0], [0.0, np.nan, 1.0]))


def test_unlabelled_rows_and_support_frames_are_left_out():
  given = predictions()
  keep = ~np.isnan(given['v'])
  assert metrics.compute('ccc.pooled.v', given) == metrics.ccc(given['v'][keep], given['v_hat'][keep])
  keep &= ~given['support']
  assert metrics.compute('ccc.pooled.v.queries', given) == metrics.ccc(given['v'][keep], given['v_hat'][keep])
  keep = given['emotion'] >= 0
  assert metrics.compute('uar.emotion', given) == metrics.uar(given['emotion'][keep], given['emotion_hat'][keep])


def test_per_video_is_the_mean_over_videos_wherever_their_rows_stand():
  given = predictions()
  videos = [np.flatnonzero(given['item'] == i) for i in np.unique(given['item'])]
  mean = np.mean([metrics.ccc(given['v'][rows], given['v_hat'][rows]) for rows in videos])
  assert metrics.compute('ccc.per_video.v', given) == pytest.approx(mean, abs=1e-12)
  order = np.random.default_rng(1).permutation(240)
  shuffled = {key: column[order] for key, column in given.items()}
  for name in NAMES:
    assert metrics.compute(name, shuffled) == pytest.approx(metrics.compute(name, given), abs=1e-12)


@pytest.mark.parametrize('name', NAMES)
def test_statistics_with_multiplicity_equal_repeated_rows(name):
  given = predictions()
  counts = np.random.default_rng(5).multinomial(12, np.full(12, 1 / 12))
  group = np.array([int(g[1:]) for g in given['group']])
  groups, stats = metrics.contributions(name, given)
  weights = counts[[int(g[1:]) for g in groups]]
  copies = [
    {k: v[group == g] for k, v in given.items()} | {'item': np.char.add(given['item'][group == g], f'copy {c}')}
    for g in range(12)
    for c in range(counts[g])
  ]
  repeated = {key: np.concatenate([copy[key] for copy in copies]) for key in given}
  assert metrics.value(name, weights @ stats) == pytest.approx(metrics.compute(name, repeated), abs=1e-12)


@pytest.mark.parametrize('name', NAMES)
def test_value_is_vectorised(name):
  given = predictions()
  groups, stats = metrics.contributions(name, given)
  counts = np.random.default_rng(6).integers(0, 3, (5, 4, len(groups)))
  together = metrics.value(name, counts @ stats)
  assert together.shape == (5, 4)
  assert together[2, 1] == pytest.approx(float(metrics.value(name, counts[2, 1] @ stats)), abs=1e-14)


def test_sequences_count_every_step_for_their_row():
  given = {'v': np.array([[0.0, 1.0, np.nan], [2.0, 3.0, 4.0]]), 'group': np.array(['a', 'b'])}
  given['v_hat'] = np.array([[0.5, 1.0, 9.0], [2.0, 2.0, 5.0]])
  groups, _ = metrics.contributions('ccc.pooled.v', given)
  assert groups.tolist() == ['a', 'a', 'b', 'b', 'b']
  assert metrics.compute('ccc.pooled.v', given) == metrics.ccc([0, 1, 2, 3, 4], [0.5, 1, 2, 2, 5])


def test_codes_of_names_in_any_order():
  for names in (['b', 'b', 'a', 'c', 'c'], ['c', 'a', 'c', 'b'], []):
    unique, code = metrics.codes(np.array(names, dtype=str))
    assert unique.tolist() == sorted(set(names)) and unique[code].tolist() == names


def test_names_are_taken_apart():
  assert metrics.parse('f1.macro.emotion') == metrics.Name('f1.macro', 'emotion', None)
  assert metrics.parse('ccc.pooled.arousal.queries') == metrics.Name('ccc.pooled', 'arousal', 'queries')
  assert metrics.needs('ccc.per_video.v.queries') == ('v', 'v_hat', 'item', 'support')
  assert metrics.better('rmse.pooled.v') == 'lower' and metrics.better('uar.emotion') == 'higher'
  assert metrics.available('acc.emotion', predictions()) and not metrics.available('acc.other', predictions())


@pytest.mark.parametrize(
  ('name', 'says'),
  [('ccc.v', 'ccc.pooled.<target>'), ('ccc.pooled', 'unknown metric'), ('acc.', 'unknown metric'),
   ('ccc.pooled.v.suport', 'queries'), ('ccc.pooled.v.queries.x', 'queries')],
)  # fmt: skip
def test_an_unknown_name_lists_what_there_is(name, says):
  with pytest.raises(UserError, match=says):
    metrics.parse(name)


def test_predictions_that_do_not_fit_are_refused_in_one_line():
  given = predictions()
  with pytest.raises(UserError, match='reads .*arousal'):
    metrics.compute('ccc.pooled.arousal', given)
  with pytest.raises(UserError, match='class indices'):
    metrics.compute('acc.v', given)
  with pytest.raises(UserError, match=r'\(239,\)'):
    metrics.compute('ccc.pooled.v', given | {'v_hat': given['v_hat'][1:]})
  with pytest.raises(UserError, match="'video0' must lie in one group"):
    metrics.compute('ccc.per_video.v', given | {'group': np.arange(240).astype(str)})
  with pytest.raises(UserError, match='macro'):
    metrics.f1([0], [0], 'marco')


def test_a_metric_is_added_by_its_entry_alone(monkeypatch):
  cubes = statistics.mean_of(lambda y, yhat: np.abs(y - yhat) ** 3)
  monkeypatch.setitem(table.METRICS, 'cubed.error', table.Metric('lower', cubes, statistics.mean_value))
  p, name = predictions(), 'cubed.error.v.queries'
  scored = ~np.isnan(p['v']) & ~p['support'].astype(bool)
  assert metrics.compute(name, p) == pytest.approx((np.abs(p['v'] - p['v_hat']) ** 3)[scored].mean(), rel=1e-12)
  assert metrics.better(name) == 'lower' and metrics.needs(name) == ('v', 'v_hat', 'support')
  assert metrics.contributions(name, p)[1].shape == (scored.sum(), 2)
