"""Raters on the host in float64: votes and ratings to labels, and how well raters agree."""

import numpy as np

from affectjax.errors import unknown

COMMON = 3  # examples that two raters must share for their correlation to count
ROUNDING = 1e-12  # a variance below this share of the second moment is rounding


def plurality(votes: np.ndarray) -> np.ndarray:
  """The class with the most votes; -1 on a tie or where nobody voted.

  Args:
    votes: [..., K] counts, at least 0.

  Returns:
    [...] int64 in -1 .. K - 1.
  """
  votes = np.asarray(votes)
  most = votes.max(-1, keepdims=True)
  clear = ((votes == most).sum(-1) == 1) & (most[..., 0] > 0)
  return np.where(clear, votes.argmax(-1), -1)


def soft_label(votes: np.ndarray) -> np.ndarray:
  """Shares of the votes [..., K], which sum to 1; NaN where nobody voted."""
  votes = np.asarray(votes, np.float64)
  total = votes.sum(-1, keepdims=True)
  return np.divide(votes, total, out=np.full(votes.shape, np.nan), where=total > 0)


def masked_mean(ratings: np.ndarray, mask: np.ndarray, axis: int = -2) -> np.ndarray:
  """Mean over raters of the ratings that are there; NaN where there is none.

  Args:
    ratings: [..., R, A] by default: each rater's value per attribute. What is masked may hold anything.
    mask: of the same shape, or one that broadcasts to it; true where a rating is there.
    axis: of the raters.
  """
  ratings = np.asarray(ratings, np.float64)
  mask = np.broadcast_to(np.asarray(mask, bool), ratings.shape)
  total, count = np.where(mask, ratings, 0.0).sum(axis), mask.sum(axis)
  return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def count(ratings: np.ndarray, mask: np.ndarray, axis: int = -2) -> np.ndarray:
  """How many ratings are there along `axis`, int64; arguments as for `masked_mean`."""
  return np.broadcast_to(np.asarray(mask, bool), np.shape(ratings)).sum(axis)


def spread(ratings: np.ndarray, mask: np.ndarray, axis: int = -2) -> np.ndarray:
  """Standard deviation over raters, ddof 1, of the ratings that are there; NaN below two, exactly 0 if all agree.

  Arguments as for `masked_mean`.
  """
  ratings = np.asarray(ratings, np.float64)
  mask = np.broadcast_to(np.asarray(mask, bool), ratings.shape)
  first = np.take_along_axis(ratings, mask.argmax(axis, keepdims=True), axis)
  x = np.where(mask, ratings - np.where(mask.any(axis, keepdims=True), first, 0.0), 0.0)
  n = mask.sum(axis, keepdims=True)
  x = np.where(mask, x - x.sum(axis, keepdims=True) / np.maximum(n, 1), 0.0)
  squares, below = (x * x).sum(axis), n.squeeze(axis) - 1
  return np.sqrt(np.divide(squares, below, out=np.full(squares.shape, np.nan), where=below > 0))


def window_agreement(ratings: np.ndarray) -> np.ndarray:
  """Mean over pairs of raters of the Pearson correlation of what both rated, in each window.

  Args:
    ratings: [W, T, R], NaN where there is none. Pairs with fewer than `COMMON` common frames, or without variance in
      them, drop out.

  Returns:
    [W] in [-1, 1]; NaN where no pair is left.
  """
  ratings = np.asarray(ratings, np.float64)
  there = ~np.isnan(ratings)
  # An offset is gone before anything is squared, and a constant rater is exactly 0.
  first = np.take_along_axis(ratings, there.argmax(1, keepdims=True), 1) if ratings.shape[1] else 0.0
  x = np.where(there, ratings - np.where(there.any(1, keepdims=True), first, 0.0), 0.0)
  x = np.where(there, x - x.sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1), 0.0)
  m, xt = there.astype(np.float64), x.swapaxes(1, 2)
  n = m.swapaxes(1, 2) @ m  # [W, R, R], frames that both rated
  total, square = xt @ m, (xt * xt) @ m  # of the first rater, over what both rated
  some = np.maximum(n, 1)
  var = square - total * total / some
  var = np.where(var > ROUNDING * square, var, 0.0)
  cov = xt @ x - total * total.swapaxes(1, 2) / some
  scale = np.sqrt(var) * np.sqrt(var.swapaxes(1, 2))
  counted = (n >= COMMON) & (scale > 0) & np.triu(np.ones(n.shape[1:], bool), 1)
  r = np.clip(np.divide(cov, scale, out=np.zeros(n.shape), where=counted), -1, 1)
  pairs = counted.sum((1, 2))
  return np.divide(r.sum((1, 2)), pairs, out=np.full(len(n), np.nan), where=pairs > 0)


def mean_pairwise_r(ratings: np.ndarray) -> float:
  """`window_agreement` of one window, ratings [N, R]: the mean correlation of two raters; NaN where none is left."""
  return float(window_agreement(np.asarray(ratings, np.float64)[None])[0])


def krippendorff_alpha(ratings: np.ndarray, level: str) -> float:
  """Krippendorff's alpha: 1 minus observed over expected disagreement.

  Args:
    ratings: [N, R] each rater's value per example, NaN where there is none. Examples with less than two
      ratings pair nothing and drop out.
    level: 'interval' (squared differences) or 'nominal' (equal or not).

  Returns:
    At most 1; 0 is chance. NaN when nothing can be paired, or every paired value is the same: then agreement
    cannot be told from a lack of variation.

  References:
    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", University of Pennsylvania.
  """
  if level not in ('interval', 'nominal'):
    raise unknown('level', level, ('interval', 'nominal'))
  ratings = np.asarray(ratings, np.float64)
  ratings = ratings[(~np.isnan(ratings)).sum(1) >= 2]  # [N, R]
  there = ~np.isnan(ratings)
  m, n = there.sum(1), there.sum()
  if not n:
    return float('nan')
  # Sums of the disagreement over ordered pairs: within each example [N], and over all values.
  if level == 'interval':
    x = np.where(there, ratings - ratings[there][0], 0.0)
    x = np.where(there, x - x.sum() / n, 0.0)
    within = 2 * m * np.where(there, (x - (x.sum(1) / m)[:, None]) ** 2, 0.0).sum(1)
    overall = 2 * n * (x**2).sum()  # x is centred
  else:
    classes = np.unique(ratings[there])
    counts = (ratings[:, :, None] == classes).sum(1).astype(np.float64)  # [N, K]
    within = m**2 - (counts**2).sum(1)
    overall = float(n) ** 2 - (counts.sum(0) ** 2).sum()
  if overall == 0:
    return float('nan')
  return float(1 - (n - 1) * (within / (m - 1)).sum() / overall)


def icc(ratings: np.ndarray) -> float:
  """ICC(2,1): two-way random effects, absolute agreement of single raters.

  Args:
    ratings: [N, R] each rater's value per example; examples that lack a rating (NaN) drop out.

  Returns:
    At most 1; NaN with fewer than two examples or raters, or without any variation.

  References:
    Shrout and Fleiss 1979, Psychological Bulletin 86(2), doi 10.1037/0033-2909.86.2.420.
  """
  ratings = np.asarray(ratings, np.float64)
  ratings = ratings[~np.isnan(ratings).any(1)]  # [N, R]
  n, r = ratings.shape
  if n < 2 or r < 2:
    return float('nan')
  x = ratings - ratings[0, 0]
  x = x - x.mean()
  example, rater = x.mean(1, keepdims=True), x.mean(0, keepdims=True)  # [N, 1], [1, R]
  between = r * (example**2).sum() / (n - 1)
  raters = n * (rater**2).sum() / (r - 1)
  error = ((x - example - rater) ** 2).sum() / ((n - 1) * (r - 1))
  below = between + (r - 1) * error + r * (raters - error) / n
  return float((between - error) / below) if below else float('nan')
