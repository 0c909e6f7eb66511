"""Metrics of predicted distributions: scipy as oracle, quadrature, what is scored, multiplicity, no JAX."""

import subprocess
import sys
import time

import numpy as np
import pytest
import scipy.stats

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.metrics import predictive
from affectjax.objectives import student_t
from tests.helpers.shared import ROOT

KL = ['kl.gauss.a', 'kl.t.a', 'kl.t_minus_floor.a', 'kl.true.a']
VALUES = ['nll.raters.a', 'crps.raters.a', 'coverage.50.a', 'coverage.80.a', 'coverage.95.a', 'calibration.raters.a']
NAMES = [*KL, *VALUES]


def predictions(seed=0, windows=12, frames=20, raters=6):
  """Windows of rated frames; Gaussian and Student-t predictions and truths, missing ratings, unrated frames."""
  rng = np.random.default_rng(seed)
  shape = windows, frames
  loc, scale = rng.uniform(-0.6, 0.6, shape), rng.uniform(0.05, 0.5, shape)
  ratings = loc[..., None] + scale[..., None] * rng.standard_t(5, (*shape, raters))
  ratings[rng.random(ratings.shape) < 0.2] = np.nan
  ratings[0, :3] = np.nan
  given = ~np.isnan(ratings)
  count = given.sum(-1)
  mean = np.divide(np.nansum(ratings, -1), count, out=np.full(shape, np.nan), where=count > 0)
  square = np.nansum((ratings - mean[..., None]) ** 2, -1)
  return {
    'a': mean, 'a_hat': loc + 0.1 * rng.normal(size=shape), 'a_ratings': ratings, 'a_raters': count,
    'a_spread': np.sqrt(np.divide(square, count - 1, out=np.full(shape, np.nan), where=count > 1)),
    'a_spread_hat': scale * rng.uniform(0.7, 1.6, shape),
    'a_df_hat': rng.choice([np.inf, 29.0, 6.0, 4.5], shape),
    'a_true_loc': loc, 'a_true_scale': scale, 'a_true_df': rng.choice([np.inf, 5.0, 6.0], shape),
    'a_agreement': rng.integers(-1, 3, windows), 'group': np.repeat([f'g{i}' for i in range(4)], windows // 4),
    'item': np.repeat([f'v{i}' for i in range(4)], windows // 4),
  }  # fmt: skip


def frozen(mean, sd, df):
  """scipy's distribution of a prediction, or of many of one kind."""
  sd = np.maximum(sd, 1e-3)
  return scipy.stats.norm(mean, sd) if np.isinf(df).all() else scipy.stats.t(df, mean, sd * np.sqrt((df - 2) / df))


def rated(given):
  """All values and their predicted distributions: (places of some [M], the values there, scipy's distributions)."""
  scored = ~np.isnan(given['a_ratings'])
  x = given['a_ratings'][scored]
  mean, sd, df = (np.broadcast_to(given[f'a{k}'][..., None], scored.shape)[scored]
                  for k in ('_hat', '_spread_hat', '_df_hat'))  # fmt: skip
  return [
    (np.flatnonzero(kind), x[kind], frozen(mean[kind], sd[kind], df[kind])) for kind in (df == np.inf, df < np.inf)
  ]


def together(parts, function):
  """function(values, distributions) of all that `rated` gave, in the order of the places; [M] or [..., M]."""
  order = np.argsort(np.concatenate([places for places, _, _ in parts]))
  return np.concatenate([np.asarray(function(x, p)) for _, x, p in parts], -1)[..., order]


STEPS = np.arange(-160, 161) * 0.025  # of double-exponential quadrature


def integral(function, low, high) -> float:
  """Of a function that is smooth within pieces [low, high] ([M] each), by double-exponential quadrature in each."""
  inner, slope = np.pi / 2 * np.sinh(STEPS), np.pi / 2 * np.cosh(STEPS) * 0.025
  total = 0.0
  for a, b in zip(low, high, strict=True):
    if np.isfinite([a, b]).all():
      x, weight = a + (b - a) / (1 + np.exp(-2 * inner)), (b - a) / 2 * slope / np.cosh(inner) ** 2
    else:
      grown = np.exp(inner)
      x, weight = (a + grown if np.isfinite(a) else b - grown), grown * slope
    total += (function(x) * weight).sum()
  return total


def divergence(p, q) -> float:
  """KL(p || q) of scipy distributions, by quadrature in pieces; good to about 1e-10."""
  cuts = np.unique(np.concatenate([d.mean() + d.std() * np.array([-30, -5, -1, 0, 1, 5, 30]) for d in (p, q)]))
  cuts = np.r_[-np.inf, cuts, np.inf]
  if isinstance(p.dist, type(scipy.stats.norm)):  # beyond 38 deviations a Gaussian underflows
    cuts = np.unique(np.clip(cuts, p.mean() - 37 * p.std(), p.mean() + 37 * p.std()))

  def density(x):
    log_p = p.logpdf(x)
    return np.exp(log_p) * (log_p - q.logpdf(x))

  return integral(density, cuts[:-1], cuts[1:])


def test_values_against_scipy():
  given = predictions()
  parts = rated(given)
  x = together(parts, lambda x, p: x)
  assert len(x) > 1000
  nll = np.mean(together(parts, lambda x, p: -p.logpdf(x)))
  assert metrics.compute('nll.raters.a', given) == pytest.approx(nll, abs=1e-12)
  cdf = together(parts, lambda x, p: p.cdf(x))
  for share in (50, 80, 95):
    wanted = np.mean(np.abs(cdf - 0.5) <= share / 200)
    assert metrics.compute(f'coverage.{share}.a', given) == pytest.approx(wanted, abs=1e-12)
    low, high = together(parts, lambda x, p, share=share: p.interval(share / 100))
    assert wanted == np.mean((low <= x) & (x <= high))
  levels = np.arange(5, 100, 5) / 100
  wanted = np.mean([abs(np.mean(cdf <= level) - level) for level in levels])
  assert metrics.compute('calibration.raters.a', given) == pytest.approx(wanted, abs=1e-12)
  columns = [together(parts, f)[:40] for f in (lambda x, p: p.mean(), lambda x, p: p.std())]
  df = together(parts, lambda x, p: p.args[0] if len(p.args) == 3 else np.full(len(x), np.inf))[:40]
  np.testing.assert_allclose(predictive.pit(x[:40, None], *columns, df)[:, 0], cdf[:40], atol=1e-13)


@pytest.mark.parametrize('df', [np.inf, 29.0, 6.0, 2.5])
@pytest.mark.parametrize('x', [-3.0, -0.2, 0.31, 0.9, 7.0])
def test_crps_against_quadrature(x, df):
  """The score is the integral of (F(y) - [y >= x])^2; quadrature is good to about 1e-11."""
  p = frozen(0.3, 0.4, df)
  low, high = min(x, 0.3) - 40, max(x, 0.3) + 40
  below, above = (lambda y: p.cdf(y) ** 2), (lambda y: p.sf(y) ** 2)
  cuts = np.unique([-np.inf, low, x, 0.3 - 1, 0.3, 0.3 + 1, high, np.inf])
  at = np.flatnonzero(cuts == x)[0]
  wanted = integral(below, cuts[:at], cuts[1 : at + 1]) + integral(above, cuts[at:-1], cuts[at + 1 :])
  got = predictive.crps(np.array([[x]]), np.array([0.3]), np.array([0.4]), np.array([df]))
  assert got.item() == pytest.approx(wanted, abs=1e-9)


def test_crps_of_a_gaussian_by_hand():
  got = predictive.crps(np.array([[2.0]]), np.array([2.0]), np.array([3.0]), np.array([np.inf]))
  assert got.item() == pytest.approx(3 * (np.sqrt(2) - 1) / np.sqrt(np.pi), abs=1e-15)


def test_divergences_against_quadrature():
  given = predictions(1, windows=4, frames=3)
  wanted = {name: [] for name in KL}
  for at in np.ndindex(4, 3):
    v = {key: x[at] for key, x in given.items() if x.shape == (4, 3)}
    q = frozen(v['a_hat'], v['a_spread_hat'], v['a_df_hat'])
    gauss = frozen(v['a_hat'], v['a_spread_hat'], np.inf)
    s = np.sqrt(v['a_spread'] ** 2 + 1e-4)
    if v['a_raters'] >= 2:
      wanted['kl.gauss.a'].append(divergence(scipy.stats.norm(v['a'], s), gauss))
    if v['a_raters'] >= 3:
      wanted['kl.t.a'].append(divergence(scipy.stats.t(v['a_raters'], v['a'], s), q))
      least = student_t.t_floor(v['a_raters'], np)
      wanted['kl.t_minus_floor.a'].append(wanted['kl.t.a'][-1] - least)
    df = v['a_true_df']
    make = scipy.stats.norm if np.isinf(df) else lambda *a, df=df: scipy.stats.t(df, *a)
    wanted['kl.true.a'].append(divergence(make(v['a_true_loc'], v['a_true_scale']), q))
  for name, values in wanted.items():
    assert len(values) > 5
    assert metrics.compute(name, given) == pytest.approx(np.mean(values), abs=1e-8)


@pytest.mark.parametrize('ratio', [1e-2, 0.1, 0.5, 1.0, 3.0, 30.0])
@pytest.mark.parametrize('shift', [0.0, 0.4, 2.0, 20.0])
def test_a_gaussian_against_a_t(ratio, shift):
  for nu in (2.5, 6.0, 29.0):
    got = predictive.kl_normal_t(*(np.array([v]) for v in (0.2, 1.0, 0.2 + shift, ratio, nu)))
    wanted = divergence(scipy.stats.norm(0.2, 1.0), scipy.stats.t(nu, 0.2 + shift, ratio))
    assert got.item() == pytest.approx(wanted, rel=1e-9, abs=1e-10)
  wide = student_t.kl_t_t(0.2, 1.0, 20_001, 0.2 + shift, ratio, 6.0, 10_000, np)  # nearly Gaussian, exact
  near = predictive.kl_normal_t(*(np.array([v]) for v in (0.2, 1.0, 0.2 + shift, ratio, 6.0)))
  assert near.item() == pytest.approx(float(wide), abs=2e-3)


def test_all_four_pairings_meet_in_the_limit():
  at = np.array([0.1]), np.array([0.4])
  hat = np.array([0.3]), np.array([0.6])
  gauss = predictive.kl(*at, np.array([np.inf]), *hat, np.array([np.inf])).item()
  for df, df_hat in ((np.inf, 2001.0), (2001.0, np.inf), (2001.0, 2001.0)):
    assert predictive.kl(*at, np.array([df]), *hat, np.array([df_hat])).item() == pytest.approx(gauss, abs=3e-3)


def test_agreeing_raters_and_certain_predictions_stay_finite():
  one = lambda *x: [np.array([v]) for v in x]
  exact = predictive.kl_gauss(*one(0.2, 0.0, 0.2, 0.0)).item()
  assert exact == pytest.approx(student_t.kl_normal_normal(0.0, 0.01, 0.0, 0.001, np), rel=1e-12)
  given = predictions()
  given['a_spread'][~np.isnan(given['a_spread'])] = 0.0
  given['a_spread_hat'][:] = 0.0
  assert all(np.isfinite(metrics.compute(name, given)) for name in NAMES)


def test_a_perfect_prediction():
  rng = np.random.default_rng(2)
  shape = 50, 40
  loc, scale = rng.uniform(-0.5, 0.5, shape), rng.uniform(0.1, 0.4, shape)
  for df in (np.inf, 6.0):
    draws = rng.standard_normal((*shape, 6)) if np.isinf(df) else rng.standard_t(df, (*shape, 6))
    sd = scale if np.isinf(df) else scale * np.sqrt(df / (df - 2))
    given = {
      'a_ratings': loc[..., None] + scale[..., None] * draws, 'a_hat': loc, 'a_spread_hat': sd,
      'a_df_hat': np.full(shape, df), 'a_true_loc': loc, 'a_true_scale': scale, 'a_true_df': np.full(shape, df),
    }  # fmt: skip
    assert metrics.compute('kl.true.a', given) == pytest.approx(0, abs=1e-14)
    assert metrics.compute('calibration.raters.a', given) < 0.01
    best = metrics.compute('nll.raters.a', given), metrics.compute('crps.raters.a', given)
    for share in (50, 80, 95):
      assert metrics.compute(f'coverage.{share}.a', given) == pytest.approx(share / 100, abs=0.02)
    for factor in (0.7, 1.4):
      off = given | {'a_spread_hat': sd * factor}
      assert metrics.compute('nll.raters.a', off) > best[0] and metrics.compute('crps.raters.a', off) > best[1]
      assert metrics.compute('calibration.raters.a', off) > 0.02
      assert (metrics.compute('coverage.80.a', off) > 0.8) == (factor > 1)


def test_what_is_scored():
  given = predictions()
  rows = lambda name: metrics.units(name, given)[1][:, -1]
  count = given['a_raters']
  assert len(rows('kl.gauss.a')) == (count >= 2).sum() and (count < 2).any()
  assert len(rows('kl.t.a')) == len(rows('kl.t_minus_floor.a')) == (count >= 3).sum()
  assert len(rows('kl.true.a')) == count.size
  for name in VALUES:
    assert len(rows(name)) == (count >= 1).sum()
    assert rows(name).sum() == count.sum()  # each value counts once
  unseen = given | {'a_ratings': np.where(count[..., None] > 4, given['a_ratings'], np.nan)}
  assert metrics.units('nll.raters.a', unseen)[1][:, 1].min() == 5


@pytest.mark.parametrize('name', NAMES)
def test_a_nan_or_impossible_output_is_never_hidden(name):
  for key, value in (('a_hat', np.nan), ('a_spread_hat', np.nan), ('a_df_hat', np.nan), ('a_df_hat', 2.0)):
    if key not in metrics.needs(name):
      continue
    given = predictions()
    given[key][5, 5] = value
    assert np.isnan(metrics.compute(name, given)), (key, value)


@pytest.mark.parametrize('name', NAMES)
def test_nothing_to_score_is_nan(name):
  given = predictions()
  truth = metrics.METRICS[metrics.parse(name).metric].truth
  none = given | {f'a{s}': np.full(given[f'a{s}'].shape, np.nan) for s in truth}
  assert np.isnan(metrics.compute(name, none))
  assert np.isnan(metrics.compute(name, {key: x[:0] for key, x in given.items()}))


@pytest.mark.parametrize('name', [*NAMES, 'kl.t.a.agreement_low', 'calibration.raters.a.agreement_high'])
def test_statistics_with_multiplicity_equal_repeated_rows(name):
  given = predictions()
  counts = np.array([2, 0, 1, 3])
  groups, stats = metrics.contributions(name, given)
  weights = counts[[int(g[1:]) for g in groups]]
  rows = np.repeat(np.arange(12), counts[[int(g[1:]) for g in given['group']]])
  repeated = {key: x[rows] for key, x in given.items()}
  assert metrics.value(name, weights @ stats) == pytest.approx(metrics.compute(name, repeated), abs=1e-12)
  together = metrics.value(name, np.random.default_rng(1).integers(0, 3, (5, 4, len(groups))) @ stats)
  assert together.shape == (5, 4)


def test_agreement_subsets_select_windows():
  given = predictions()
  for i, name in enumerate(('low', 'mid', 'high')):
    rows = given['a_agreement'] == i
    some = {key: x[rows] for key, x in given.items()}
    for metric in ('kl.t.a', 'ccc.pooled.a', 'nll.raters.a'):
      assert metrics.compute(f'{metric}.agreement_{name}', given) == metrics.compute(metric, some)
  assert metrics.needs('kl.gauss.a.agreement_mid') == ('a', 'a_spread', 'a_hat', 'a_spread_hat', 'a_agreement')
  assert metrics.needs('coverage.50.a') == ('a_ratings', 'a_hat', 'a_spread_hat', 'a_df_hat')
  assert metrics.needs('ccc.per_video.a_spread') == ('a_spread', 'a_spread_hat', 'item')


def test_directions():
  assert metrics.better('coverage.50.a') == 'nearer to 0.5' and metrics.better('coverage.95.a') == 'nearer to 0.95'
  for name in [*KL, 'nll.raters.a', 'crps.raters.a', 'calibration.raters.a']:
    assert metrics.better(name) == 'lower'
  assert not metrics.available('kl.t.a', {'a', 'a_hat', 'a_spread', 'a_spread_hat', 'a_df_hat'})


def test_shapes_that_do_not_fit_are_refused_in_one_line():
  given = predictions()
  with pytest.raises(UserError, match=r'a_spread_hat is \(12, 19\).*expected one shape'):
    metrics.compute('kl.gauss.a', given | {'a_spread_hat': given['a_spread_hat'][:, 1:]})
  with pytest.raises(UserError, match=r'a_ratings is \(12, 20\).*raters as one more axis'):
    metrics.compute('nll.raters.a', given | {'a_ratings': given['a_ratings'][..., 0]})
  with pytest.raises(UserError, match='agreement_low, agreement_mid'):
    metrics.parse('kl.t.a.agreement')


def test_scoring_starts_no_jax():
  code = (
    'import sys, numpy as np\n'
    'from affectjax import metrics\n'
    'x = np.array([[0.1, 0.2]])\n'
    'given = {"a": x, "a_spread": x, "a_raters": x * 60, "a_hat": x, "a_spread_hat": x, "a_df_hat": x * 90}\n'
    'assert np.isfinite(metrics.compute("kl.t.a", given))\n'
    'print("jax" in sys.modules)'
  )
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
  assert out.stdout.strip() == 'False'


def test_a_cell_is_scored_in_no_time():
  given = predictions(3, windows=236, frames=300)  # 70,800 frames x 6 raters
  began = time.process_time()
  for name in NAMES:
    metrics.compute(name, given)
  assert time.process_time() - began < 4
