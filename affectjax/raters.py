"""Raters on the host in float64: votes and ratings to labels, and how well raters agree."""

import numpy as np

from affectjax.errors import unknown


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
