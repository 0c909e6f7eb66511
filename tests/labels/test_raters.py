import krippendorff
import numpy as np
import pandas
import pingouin
import pytest

from affectjax.common.errors import UserError
from affectjax.labels import raters


def ratings(seed, missing=0.0):
  """Ratings [N, R] of raters with their own bias and noise, on five steps."""
  rng = np.random.default_rng(seed)
  n, r = int(rng.integers(3, 40)), int(rng.integers(2, 7))
  x = rng.normal(size=(n, 1)) + rng.normal(size=(1, r)) * 0.5 + rng.normal(size=(n, r)) * rng.uniform(0.1, 2)
  x = np.clip(np.round(x), -2, 2) / 2
  x[rng.random(x.shape) < missing] = np.nan
  return x


def test_plurality_needs_one_winner():
  votes = np.array([[3, 1, 0], [2, 2, 1], [0, 0, 0], [0, 0, 1]])
  assert raters.plurality(votes).tolist() == [0, -1, -1, 2]
  assert raters.plurality(votes.reshape(2, 2, 3)).tolist() == [[0, -1], [-1, 2]]


def test_soft_label_is_shares_and_never_invented():
  shares = raters.soft_label([[3, 1, 0], [0, 0, 0]])
  np.testing.assert_array_equal(shares, [[0.75, 0.25, 0], [np.nan] * 3])


def test_masked_mean_ignores_what_is_not_there():
  given = np.array([[[0.2, np.nan], [0.4, 1e9]], [[5.0, 1.0], [7.0, 3.0]]])  # [N, R, A]
  mask = np.array([[[True, False], [True, False]], [[False, True], [True, True]]])
  np.testing.assert_allclose(raters.masked_mean(given, mask), [[0.3, np.nan], [7.0, 2.0]], rtol=1e-15)
  first = np.array([True, False])[:, None]  # the first rater only
  np.testing.assert_array_equal(raters.masked_mean(given, first), given[:, 0])


@pytest.mark.parametrize('level', ['interval', 'nominal'])
@pytest.mark.parametrize('seed', range(12))
def test_alpha_agrees_with_krippendorff(seed, level):
  x = ratings(seed, missing=0.3 if seed % 2 else 0.0)
  oracle = krippendorff.alpha(x.T, level_of_measurement=level)
  assert raters.krippendorff_alpha(x, level) == pytest.approx(oracle, abs=1e-10)


@pytest.mark.parametrize('seed', range(12))
def test_icc_agrees_with_pingouin(seed):
  x = ratings(seed)
  long = pandas.DataFrame([{'item': i, 'rater': r, 'value': v} for i, row in enumerate(x) for r, v in enumerate(row)])
  table = pingouin.intraclass_corr(long, targets='item', raters='rater', ratings='value')
  oracle = table.ICC.iloc[1]  # ICC2, also called ICC(A,1)
  assert raters.icc(x) == pytest.approx(oracle, abs=1e-10)


def test_agreement_does_not_depend_on_an_offset():
  x = ratings(1)
  assert raters.icc(x + 2.0**27) == pytest.approx(raters.icc(x), abs=1e-12)
  alpha = raters.krippendorff_alpha(x, 'interval')
  assert raters.krippendorff_alpha(x + 2.0**27, 'interval') == pytest.approx(alpha, abs=1e-12)


def test_agreement_that_cannot_be_told_is_nan():
  flat, alone = np.full((4, 3), 0.1), np.array([[1.0, np.nan], [np.nan, 2.0]])
  for level in ('interval', 'nominal'):
    assert np.isnan(raters.krippendorff_alpha(flat, level))
    assert np.isnan(raters.krippendorff_alpha(alone, level))
  assert np.isnan(raters.icc(flat)) and np.isnan(raters.icc(alone)) and np.isnan(raters.icc(np.ones((1, 3))))
  assert raters.krippendorff_alpha([[0.0, 0.0], [1.0, 1.0]], 'nominal') == 1
  with pytest.raises(UserError, match='interval, nominal'):
    raters.krippendorff_alpha(flat, 'ratio')


def pairwise(x):
  """The mean pairwise correlation by numpy.corrcoef."""
  correlations = []
  for i in range(x.shape[1]):
    for j in range(i):
      both = x[~np.isnan(x[:, [i, j]]).any(1)][:, [i, j]]
      if len(both) >= 3 and both.std(0).min() > 1e-9:
        correlations.append(np.corrcoef(both.T)[0, 1])
  return np.mean(correlations) if correlations else np.nan


@pytest.mark.parametrize('seed', range(12))
def test_mean_pairwise_r_agrees_with_numpy(seed):
  x = ratings(seed, missing=0.4 if seed % 2 else 0.0)
  assert raters.mean_pairwise_r(x) == pytest.approx(pairwise(x), abs=1e-12, nan_ok=True)
  assert raters.mean_pairwise_r(x + 2.0**27) == pytest.approx(pairwise(x), abs=1e-12, nan_ok=True)


def test_windows_agree_each_for_itself():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(30, 25, 5)) + rng.normal(size=(30, 25, 1)) * rng.uniform(0, 3, (30, 1, 1))
  x[rng.random(x.shape) < 0.3] = np.nan
  x[3] = np.nan
  x[4, :, 1] = 0.1  # never moves
  x[5, 2:] = np.nan  # two frames
  wanted = [pairwise(w) for w in x]
  assert np.isnan(wanted).sum() == 2
  np.testing.assert_allclose(raters.window_agreement(x), wanted, atol=1e-12)


def test_pairs_that_tell_nothing_drop_out():
  line = np.arange(4.0)
  flat = np.full(4, 0.1)
  assert raters.mean_pairwise_r(np.stack([line, 2 * line, flat], 1)) == pytest.approx(1, abs=1e-15)
  assert np.isnan(raters.mean_pairwise_r(np.stack([line, flat], 1)))
  # Constant in what both rated, though not in all: no correlation.
  partly = np.stack([np.array([0.1, 0.1, 0.1, 5.0]), np.array([1.0, 2.0, 4.0, np.nan])], 1)
  assert np.isnan(raters.mean_pairwise_r(partly))
  for shape in ((0, 3), (5, 1), (5, 0)):
    assert np.isnan(raters.mean_pairwise_r(np.ones(shape)))


def test_spread_and_count():
  rng = np.random.default_rng(1)
  given = rng.normal(size=(7, 6, 2))  # [T, R, A]
  mask = rng.random((7, 6, 2)) < 0.6
  mask[0], mask[1], mask[1, 2] = False, False, True
  given[~mask] = 1e30
  masked = np.where(mask, given, np.nan)
  for t, a in np.ndindex(7, 2):
    kept = masked[t, :, a][mask[t, :, a]]
    wanted = kept.std(ddof=1) if len(kept) > 1 else np.nan
    assert raters.spread(given, mask)[t, a] == pytest.approx(wanted, abs=1e-14, nan_ok=True)
    assert raters.count(given, mask)[t, a] == len(kept)
  np.testing.assert_array_equal(raters.spread(masked, mask), raters.spread(given, mask))
  np.testing.assert_array_equal(
    raters.spread(masked.swapaxes(1, 2), mask.swapaxes(1, 2), -1), raters.spread(given, mask)
  )
  assert raters.spread(np.full((3, 2), 0.1), np.ones((3, 2), bool), 0).tolist() == [0, 0]
  first = np.array([True, True, False, False, False, False])[:, None]  # the first two raters of every frame
  np.testing.assert_allclose(raters.spread(given[2:], first), np.abs(np.diff(given[2:, :2], axis=1))[:, 0] / 2**0.5)
