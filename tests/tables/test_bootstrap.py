import numpy as np
import pytest

from affectjax import metrics
from affectjax.tables import bootstrap

NAMES = ['ccc.pooled.v', 'ccc.per_video.v', 'rmse.pooled.v', 'f1.macro.emotion', 'uar.emotion']


def predictions(rng, groups=12, n=10, name='g', spread=0.5, noise=0.5):
  """A cell's predictions [groups * n]: outputs err by a part that a group shares and a part of their own."""
  group = np.repeat(np.arange(groups), n)
  v = rng.normal(size=groups)[group] + rng.normal(size=groups * n)
  error = spread * rng.normal(size=groups)[group] + noise * rng.normal(size=groups * n)
  emotion = rng.integers(0, 4, groups * n)
  return {
    'group': np.array([f'{name}{g:03d}' for g in group]), 'item': np.array([f'{name}{g:03d}' for g in group]),
    'v': v, 'v_hat': v + error, 'emotion': emotion,
    'emotion_hat': np.where(rng.random(groups * n) < 0.7, emotion, rng.integers(0, 4, groups * n)),
  }  # fmt: skip


def reduced(name, cell):
  return bootstrap.reduce([name], cell)[name]


def sample(name, cells):
  return bootstrap.Sample(name, {key: reduced(name, cell) for key, cell in cells.items()})


def folds(seed=0, count=4, **options):
  rng = np.random.default_rng(seed)
  return {(f, s): predictions(rng, name=f'fold{f}g', **options) for f in range(count) for s in range(2)}


@pytest.mark.parametrize('name', NAMES)
def test_reduce_keeps_the_sum_whatever_the_order(name):
  given = predictions(np.random.default_rng(0))
  sums = reduced(name, given)
  assert metrics.value(name, sums.sums.sum(0)) == pytest.approx(metrics.compute(name, given), abs=1e-12)
  order = np.random.default_rng(1).permutation(120)
  shuffled = reduced(name, {key: column[order] for key, column in given.items()})
  assert shuffled.groups.tolist() == sums.groups.tolist() == sorted(set(given['group'].tolist()))
  np.testing.assert_allclose(shuffled.sums, sums.sums, atol=1e-12)
  np.testing.assert_array_equal(shuffled.units, sums.units)


def test_groups_without_anything_scored_are_not_drawn():
  given = predictions(np.random.default_rng(0))
  given['v'][given['group'] == 'g003'] = np.nan
  assert 'g003' not in reduced('ccc.pooled.v', given).groups
  given['v'][:] = np.nan
  nothing = bootstrap.interval(sample('ccc.pooled.v', {(0, 0): given}))
  assert nothing.groups == 0 and np.isnan([nothing.mean, nothing.low, nothing.high]).all()


@pytest.mark.parametrize('name', NAMES)
def test_a_replicate_is_the_metric_of_the_drawn_groups(name):
  """One fold, two seeds: replicate 7 equals the metric of rows repeated by hand."""
  cells = {(0, s): predictions(np.random.default_rng(s)) for s in range(2)}
  ours = sample(name, cells)
  counts = bootstrap.draws(ours.groups)[7].astype(int)
  by_hand = []
  for cell in cells.values():
    rows = [np.flatnonzero(cell['group'] == g) for g, c in zip(ours.groups, counts, strict=True) for _ in range(c)]
    again = {key: column[np.concatenate(rows)] for key, column in cell.items()}
    again['item'] = np.repeat(np.arange(len(rows)), 10)  # a video drawn twice is two videos
    again.pop('group')
    by_hand.append(metrics.compute(name, again))
  assert ours.replicates(ours.groups)[7] == pytest.approx(np.mean(by_hand), abs=1e-12)


def test_folds_weigh_by_what_was_drawn_of_them():
  cells = folds(count=3)
  ours = sample('mae.pooled.v', cells)
  counts = dict(zip(ours.groups, bootstrap.draws(ours.groups)[3], strict=True))
  seeds = []
  for s in range(2):
    weights, values = [], []
    for f in range(3):
      sums = ours.cells[f, s]
      drawn = np.array([counts[g] for g in sums.groups.tolist()])
      weights.append(drawn.sum() / len(drawn))
      values.append(metrics.value('mae.pooled.v', drawn @ sums.sums))
    seeds.append(np.average(values, weights=weights))
  assert ours.replicates(ours.groups)[3] == pytest.approx(np.mean(seeds), abs=1e-12)
  assert np.mean([weights]) == pytest.approx(1)


def test_leaving_one_group_out_draws_folds_whole():
  """Folds of one group each: the interval is that of the mean of the folds' values."""
  rng = np.random.default_rng(2)
  cells = {(f, 0): predictions(rng, groups=1, name=f'film{f:02d}') for f in range(30)}
  ours = sample('mae.pooled.v', cells)
  got = bootstrap.interval(ours)
  values = np.array([metrics.value('mae.pooled.v', s.sums.sum(0)) for s in ours.cells.values()])
  assert got.mean == pytest.approx(values.mean()) and got.groups == 30
  width = 2 * 1.96 * values.std() / np.sqrt(30)
  assert got.high - got.low == pytest.approx(width, rel=0.1)


def test_mean_and_sd_are_over_seeds_of_means_over_folds():
  cells = folds()
  got = bootstrap.interval(sample('rmse.pooled.v', cells))
  seeds = [np.mean([metrics.compute('rmse.pooled.v', cells[f, s]) for f in range(4)]) for s in range(2)]
  assert got.mean == pytest.approx(np.mean(seeds), abs=1e-12)
  assert got.sd == pytest.approx(np.std(seeds), abs=1e-12)
  alone = bootstrap.interval(sample('rmse.pooled.v', {(f, 0): cells[f, 0] for f in range(4)}))
  assert np.isnan(alone.sd) and alone.low < alone.mean < alone.high


def test_results_do_not_depend_on_order_and_repeat_exactly():
  cells = folds()
  got = bootstrap.interval(sample('ccc.pooled.v', cells))
  assert got == bootstrap.interval(sample('ccc.pooled.v', cells))
  assert got == bootstrap.interval(sample('ccc.pooled.v', dict(reversed(cells.items()))))
  order = np.random.default_rng(1).permutation(120)
  shuffled = {key: {k: column[order] for k, column in cell.items()} for key, cell in cells.items()}
  again = bootstrap.interval(sample('ccc.pooled.v', shuffled))
  np.testing.assert_allclose([again.low, again.high], [got.low, got.high], atol=1e-12)


def test_one_group_has_no_interval():
  alone = sample('ccc.pooled.v', {(0, 0): predictions(np.random.default_rng(0), groups=1)})
  got = bootstrap.interval(alone)
  assert np.isfinite(got.mean) and np.isnan([got.low, got.high]).all() and got.groups == 1
  assert np.isnan(bootstrap.paired(alone, alone).low)


def test_a_nan_output_leaves_no_interval():
  given = predictions(np.random.default_rng(0))
  given['v_hat'][3] = np.nan
  got = bootstrap.interval(sample('ccc.pooled.v', {(0, 0): given}))
  assert np.isnan([got.mean, got.low, got.high]).all()


def test_a_paired_difference_cancels_what_both_rows_share():
  rng = np.random.default_rng(4)
  ours = predictions(rng, groups=40, spread=1.0, noise=0.3)
  theirs = ours | {'v_hat': ours['v_hat'] + 0.1 * rng.normal(size=400)}
  a, b = (sample('mae.pooled.v', {(0, 0): x}) for x in (ours, theirs))
  difference, x, y = bootstrap.paired(a, b), bootstrap.interval(a), bootstrap.interval(b)
  assert difference.mean == pytest.approx(x.mean - y.mean) and difference.alike
  assert difference.high - difference.low < 0.3 * np.hypot(x.high - x.low, y.high - y.low)
  back = bootstrap.paired(b, a)
  np.testing.assert_allclose([back.low, back.high], [-difference.high, -difference.low], atol=1e-12)
  same = bootstrap.paired(a, sample('mae.pooled.v', {(0, 0): ours}))
  assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_rows_with_other_folds_are_paired_by_group():
  rng = np.random.default_rng(5)
  whole = predictions(rng, groups=24)
  cut = {f: np.isin(whole['group'], np.unique(whole['group'])[f::3]) for f in range(3)}
  in_folds = {(f, 0): {k: v[keep] for k, v in whole.items()} for f, keep in cut.items()}
  difference = bootstrap.paired(sample('mae.pooled.v', {(0, 0): whole}), sample('mae.pooled.v', in_folds))
  assert difference.groups == 24 and difference.alike
  assert abs(difference.mean) < 1e-12 and max(abs(difference.low), abs(difference.high)) < 1e-12  # folds are equal
  fewer = {(0, 0): {k: v[20:] for k, v in whole.items()}}
  assert not bootstrap.paired(sample('mae.pooled.v', {(0, 0): whole}), sample('mae.pooled.v', fewer)).alike


def test_a_pair_is_a_linear_combination():
  rng = np.random.default_rng(6)
  a, b, c, d = (sample('mae.pooled.v', {(0, 0): predictions(rng, groups=30)}) for _ in range(4))
  assert bootstrap.paired(a, b) == bootstrap.linear([(1, a), (-1, b)])
  replicates = a.replicates(a.groups) - b.replicates(a.groups)
  low, high = np.nanpercentile(replicates, [50 * (1 - 0.95), 100 - 50 * (1 - 0.95)])
  assert bootstrap.paired(a, b) == bootstrap.Difference(a.seeds.mean() - b.seeds.mean(), low, high, 30, True)
  both = bootstrap.linear([(1, a), (-1, b), (-1, c), (1, d)])
  one, two = bootstrap.paired(a, b), bootstrap.paired(c, d)
  assert both.mean == pytest.approx(one.mean - two.mean)
  wide = np.hypot(one.high - one.low, two.high - two.low)  # they err independently
  assert both.high - both.low == pytest.approx(wide, rel=0.25)
  none = bootstrap.linear([(1, a), (-1, b), (-1, a), (1, b)])
  assert np.abs([none.mean, none.low, none.high]).max() < 1e-15


def test_a_combination_draws_from_all_groups_and_says_which_metrics_were_scored_alike():
  rng = np.random.default_rng(7)
  whole = predictions(rng, groups=24)
  part = {k: v[:120] for k, v in whole.items()}
  a, b = (sample('mae.pooled.v', {(0, 0): x}) for x in (whole, part))
  other = sample('rmse.pooled.v', {(0, 0): part})
  assert bootstrap.linear([(1, b), (-1, b), (1, a)]).groups == 24
  assert bootstrap.linear([(1, a), (-1, a), (-1, other), (1, other)]).alike  # other metrics, other examples
  assert not bootstrap.linear([(1, a), (-1, a), (-1, b), (1, b)]).alike


def test_an_infinite_value_leaves_no_interval():
  infinite = bootstrap.Sample('kl.t.v', {(0, 0): bootstrap.Sums(
    np.array(['a', 'b', 'c']), np.array([[1.0, 1], [np.inf, 1], [2, 1]]), np.ones(3, int))})  # fmt: skip
  got = bootstrap.interval(infinite)
  assert np.isinf(got.mean) and np.isnan([got.low, got.high]).all()


def coverage(name, truth, repeats, make):
  hits = 0
  for i in range(repeats):
    got = bootstrap.interval(sample(name, make(np.random.default_rng(100 + i))))
    hits += got.low <= truth <= got.high
  return hits / repeats


@pytest.mark.slow
def test_coverage_of_pooled_and_of_folds():
  big = predictions(np.random.default_rng(9), groups=40_000)
  for name in ('mae.pooled.v', 'ccc.pooled.v'):
    truth = metrics.compute(name, big)
    pooled = coverage(name, truth, 300, lambda rng: {(0, 0): predictions(rng, groups=60)})
    assert 0.90 <= pooled <= 0.98, (name, pooled)
  truth = metrics.compute('mae.pooled.v', big)
  five = lambda rng: {(f, 0): predictions(rng, groups=12, name=f'{f}-') for f in range(5)}
  assert 0.90 <= coverage('mae.pooled.v', truth, 300, five) <= 0.98
  alone = lambda rng: {(f, 0): predictions(rng, groups=1, name=f'{f}-') for f in range(40)}
  assert 0.90 <= coverage('mae.pooled.v', truth, 300, alone) <= 0.98


@pytest.mark.slow
def test_drawing_examples_instead_of_groups_would_not_cover():
  truth = metrics.compute('mae.pooled.v', predictions(np.random.default_rng(9), groups=40_000, spread=1.0))

  def rows(rng):
    given = predictions(rng, groups=60, spread=1.0)
    return {(0, 0): given | {'group': np.arange(600).astype(str)}}

  assert coverage('mae.pooled.v', truth, 100, rows) < 0.85
