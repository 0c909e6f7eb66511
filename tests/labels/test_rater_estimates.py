"""Labels made of several raters, and agreement of counts, each against another implementation."""

import krippendorff
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from statsmodels.stats import inter_rater

from affectjax.common.errors import UserError
from affectjax.labels import raters


def counts(seed, equal=True):
  """Votes [N, K] of 3 to 9 raters per example, as many for each if `equal`."""
  rng = np.random.default_rng(seed)
  n, k = int(rng.integers(5, 60)), int(rng.integers(2, 8))
  m = np.full(n, rng.integers(3, 10)) if equal else rng.integers(0, 10, n)
  return np.stack([rng.multinomial(size, rng.dirichlet(np.full(k, 0.5))) for size in m])


def rows(votes):
  """Ratings [N, R], the classes as numbers, of counts [N, K]; NaN where an example has fewer raters."""
  out = np.full((len(votes), votes.sum(1).max()), np.nan)
  for i, row in enumerate(votes):
    out[i, : row.sum()] = np.repeat(np.arange(len(row)), row)
  return out


# Agreement


@pytest.mark.parametrize('seed', range(12))
def test_kappa_agrees_with_statsmodels(seed):
  votes = counts(seed)
  assert raters.fleiss_kappa(votes) == pytest.approx(inter_rater.fleiss_kappa(votes), abs=1e-12)


def test_kappa_of_unequal_numbers_by_hand():
  votes = np.array([[3, 1, 0], [0, 2, 0], [1, 0, 1], [0, 1, 0]])  # the last pairs nothing
  agree = (0.5 + 1 + 0) / 3
  chance = ((0.75 + 0 + 0.5) / 3) ** 2 + ((0.25 + 1) / 3) ** 2 + (0.5 / 3) ** 2
  assert raters.fleiss_kappa(votes) == pytest.approx((agree - chance) / (1 - chance), abs=1e-15)
  assert raters.fleiss_kappa(np.array([[2, 0], [0, 3]])) == 1
  for nothing in (np.array([[4, 0], [2, 0]]), np.array([[1, 0], [0, 1]]), np.zeros((0, 3))):
    assert np.isnan(raters.fleiss_kappa(nothing))


@pytest.mark.parametrize('level', ['nominal', 'ordinal', 'interval'])
@pytest.mark.parametrize('seed', range(12))
def test_alpha_of_counts_agrees_with_krippendorff(seed, level):
  votes = counts(seed, equal=False)
  values = np.linspace(-1, 2, votes.shape[1]) ** 2 if level == 'interval' else np.arange(votes.shape[1])
  oracle = krippendorff.alpha(value_counts=votes, value_domain=values, level_of_measurement=level)
  given = values if level == 'interval' else None
  assert raters.krippendorff_alpha_of_counts(votes, level, given) == pytest.approx(oracle, abs=1e-12)
  if level != 'interval':
    assert raters.krippendorff_alpha(rows(votes), level) == pytest.approx(oracle, abs=1e-12)
  else:
    named = np.where(np.isnan(rows(votes)), np.nan, values[np.nan_to_num(rows(votes)).astype(int)])
    assert raters.krippendorff_alpha(named, level) == pytest.approx(oracle, abs=1e-12)


@pytest.mark.parametrize('seed', range(6))
def test_ordinal_alpha_agrees_with_krippendorff(seed):
  rng = np.random.default_rng(seed)
  x = np.round(rng.normal(size=(30, 1)) + rng.normal(size=(30, 5)))
  x[rng.random(x.shape) < 0.3] = np.nan
  oracle = krippendorff.alpha(x.T, level_of_measurement='ordinal')
  assert raters.krippendorff_alpha(x, 'ordinal') == pytest.approx(oracle, abs=1e-12)


def test_alpha_of_counts_that_cannot_be_told_or_is_asked_wrongly():
  votes = np.array([[3, 0], [2, 0]])
  assert np.isnan(raters.krippendorff_alpha_of_counts(votes, 'nominal'))
  assert np.isnan(raters.krippendorff_alpha_of_counts(np.eye(2), 'nominal'))
  for level, values, message in (('ratio', None, 'interval, nominal, ordinal'), ('interval', None, 'are missing'),
                              ('nominal', [1, 2], 'are given')):  # fmt: skip
    with pytest.raises(UserError, match=message):
      raters.krippendorff_alpha_of_counts(votes, level, values)


# Evaluator weighted estimator


def ratings(seed):
  """[N, R] of raters who are unlike, the last of whom rates the wrong way round; some are missing."""
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(80, 1)) + rng.normal(size=(80, 6)) * rng.uniform(0.2, 2, 6)
  x[:, -1] *= -1
  x[rng.random(x.shape) < 0.2] = np.nan
  return x


@pytest.mark.parametrize('against', ['all', 'others'])
@pytest.mark.parametrize('seed', range(6))
def test_ewe_agrees_with_numpy_and_scipy(seed, against):
  x = ratings(seed)
  weights = []
  for r in range(x.shape[1]):
    mean = np.ma.mean(np.ma.masked_invalid(x if against == 'all' else np.delete(x, r, 1)), 1).filled(np.nan)
    rated = ~np.isnan(x[:, r]) & ~np.isnan(mean)
    weights.append(max(scipy.stats.pearsonr(x[rated, r], mean[rated]).statistic, 0))
  np.testing.assert_allclose(raters.evaluator_weights(x, against), weights, atol=1e-12)
  averages = np.ma.average(np.ma.masked_invalid(x), axis=1, weights=np.broadcast_to(weights, x.shape))
  np.testing.assert_allclose(raters.evaluator_weighted(x, against), averages.filled(np.nan), atol=1e-12)
  if against == 'others':
    assert weights[-1] == 0  # who rates the wrong way round does not count


def test_ewe_that_cannot_be_told():
  x = ratings(0)
  x[3] = np.nan
  x[4, :-1] = np.nan  # only the one with weight 0
  x[4, -1] = 1.0
  estimates = raters.evaluator_weighted(x, 'others')
  assert np.isnan(estimates[[3, 4]]).all() and np.isfinite(np.delete(estimates, [3, 4])).all()
  constant = np.c_[x[:, 0], x[:, 0], np.full(len(x), 0.5)]
  np.testing.assert_allclose(raters.evaluator_weights(constant), [1, 1, 0], atol=1e-12)
  assert raters.evaluator_weights(x[:2]).tolist() == [0] * 6  # fewer than three examples
  with pytest.raises(UserError, match='all, others'):
    raters.evaluator_weights(x, 'none')


# Student-t


def tight(function, start, args=(), disp=0):
  return scipy.optimize.fmin(function, start, args, xtol=1e-10, ftol=1e-15, maxiter=4000, maxfun=8000, disp=disp)


@pytest.mark.parametrize('seed', [pytest.param(s, marks=[pytest.mark.slow] * (s in (2, 6))) for s in range(8)])
def test_t_fit_agrees_with_scipy(seed):
  rng = np.random.default_rng(seed)
  x = rng.standard_t(2, size=int(rng.integers(3, 12))) * rng.uniform(0.1, 3) + rng.normal()
  for df in (None, 1.0, 2.5, 30.0):
    location, scale = raters.t_fit(x, np.ones(len(x), bool), -1, df)
    nu = len(x) if df is None else df
    _, m, s = scipy.stats.t.fit(x, fdf=nu, loc=np.median(x), scale=x.std(), optimizer=tight)
    assert (location, scale) == (pytest.approx(m, abs=1e-6 * s), pytest.approx(s, rel=1e-6))
    likelihood = scipy.stats.t.logpdf(x, nu, m, s).sum()
    assert scipy.stats.t.logpdf(x, nu, location, scale).sum() >= likelihood - 1e-12 * abs(likelihood) - 1e-12
    r = (x - location) / scale  # both derivatives of the likelihood are 0
    assert ((nu + 1) * r / (nu + r**2)).sum() == pytest.approx(0, abs=1e-11)
    assert ((nu + 1) * r**2 / (nu + r**2)).sum() == pytest.approx(len(x), abs=1e-11)


def test_t_fit_of_many_items_is_that_of_each_and_masks():
  rng = np.random.default_rng(3)
  x = np.round(rng.normal(size=(40, 3, 7, 2)), 1)  # [N, T, R, A]
  mask = rng.random(x.shape) < 0.7
  dirty = np.where(mask, x, np.nan)
  location, scale = raters.t_fit(dirty, mask)
  assert location.shape == scale.shape == (40, 3, 2)
  for i in np.ndindex(40, 3, 2):
    of = x[i[0], i[1], :, i[2]][mask[i[0], i[1], :, i[2]]]
    one = raters.t_fit(of, np.ones(len(of), bool), -1)
    np.testing.assert_allclose((location[i], scale[i]), one, rtol=1e-11, atol=1e-11)
    assert np.isnan(scale[i]) == (len(of) < 2)
  moved = raters.t_fit(4 * np.where(mask, x, 1e300) + 3, mask)
  np.testing.assert_allclose(moved[0], 4 * location + 3, atol=1e-11)
  np.testing.assert_allclose(moved[1], 4 * scale, atol=1e-11)


def test_t_fit_of_ratings_that_are_mostly_equal():
  fit = lambda x, df=None: [float(v) for v in raters.t_fit(np.array(x), np.ones(len(x), bool), -1, df)]
  assert fit([0.1, 0.1, 0.1]) == [0.1, 0] and fit([0.1, 0.1]) == [0.1, 0]
  assert fit([2.0, 1.0, 1.0, 1.0], df=3) == [1, 0]  # three quarters are equal: no maximum
  assert fit([2.0, 1.0, 1.0, 1.0], df=3.5)[1] > 0 and fit([2.0, 1.0, 1.0, 1.0])[1] > 0
  for nothing in (fit([]), fit([1.0]), fit([1.0, 2.0], df=1)):
    assert np.isnan(nothing).all()
  assert fit([1.0, 2.0]) == pytest.approx([1.5, 0.5], abs=1e-12)  # df 2: by hand
  with pytest.raises(UserError, match='degrees of freedom 0.5; expected 1 or more'):
    fit([1.0, 2.0], df=0.5)
  # A far rater moves the location less than the mean.
  assert fit([0.0, 0.1, -0.1, 0.05, 5.0], df=2)[0] < 0.1


# Disagreement


def test_disagreement_by_hand():
  first = np.array([[3, 1, 0], [2, 2, 0], [2, 2, 0], [0, 0, 0], [1, 1, 1]])
  second = np.array([[2, 0, 1], [0, 0, 4], [0, 3, 1], [1, 0, 0], [1, 1, 0]])
  nan = np.nan
  np.testing.assert_array_equal(raters.disagreement(first, second), [0, nan, nan, nan, nan])
  np.testing.assert_array_equal(raters.disagreement(first, second, 'first'), [0, 1, 1, nan, 0])
  np.testing.assert_allclose(raters.disagreement(first, second, 'lot'), [0, 1, 0.5, nan, 2 / 3], atol=1e-15)
  np.testing.assert_array_equal(raters.disagreement(second, first, 'lot'), raters.disagreement(first, second, 'lot'))
  assert raters.disagreement(first[0], [0, 1, 0]) == 1
  with pytest.raises(UserError, match='first, lot, none'):
    raters.disagreement(first, second, 'last')
