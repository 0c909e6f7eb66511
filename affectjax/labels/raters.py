"""Raters on the host in float64: votes and ratings to labels, and how well raters agree."""

from collections.abc import Sequence

import numpy as np

from affectjax.common.errors import UserError, unknown

COMMON = 3  # examples that two raters must share for their correlation to count
ROUNDING = 1e-12  # a variance below this share of the second moment is rounding
LEVELS = ('interval', 'nominal', 'ordinal')
STEPS, CLOSE = 20_000, 1e-14  # of the fit of a Student-t: at most, and the change, in scales, at which it is done


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
  """Mean over raters of the ratings that are not masked; NaN where all are.

  Args:
    ratings: [..., R, A] by default: each rater's value per attribute. What is masked may hold anything.
    mask: of the same shape, or one that broadcasts to it; true where there is a rating.
    axis: of the raters.
  """
  ratings = np.asarray(ratings, np.float64)
  mask = np.broadcast_to(np.asarray(mask, bool), ratings.shape)
  total, count = np.where(mask, ratings, 0.0).sum(axis), mask.sum(axis)
  return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def count(ratings: np.ndarray, mask: np.ndarray, axis: int = -2) -> np.ndarray:
  """Number of ratings along `axis` that are not masked, int64; arguments as for `masked_mean`."""
  return np.broadcast_to(np.asarray(mask, bool), np.shape(ratings)).sum(axis)


def spread(ratings: np.ndarray, mask: np.ndarray, axis: int = -2) -> np.ndarray:
  """Standard deviation over raters, ddof 1, of the ratings that are not masked; NaN below two, exactly 0 if all agree.

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


def evaluator_weights(ratings: np.ndarray, against: str = 'all') -> np.ndarray:
  """How much each rater counts in `evaluator_weighted`: the correlation of their ratings with the mean rating.

  Args:
    ratings: [N, R] each rater's value per example, NaN where there is none.
    against: 'all', the mean of all raters, the rater among them, as published; or 'others', the mean of the others.

  Returns:
    [R] in [0, 1]; 0 for a correlation that is not positive or not defined (fewer than `COMMON` examples, no
    variance).

  References:
    Grimm and Kroschel 2005, "Evaluation of natural emotions using self assessment manikins", ASRU, equations 5 and 6.
  """
  if against not in ('all', 'others'):
    raise unknown('mean to weigh raters against', against, ('all', 'others'))
  ratings = np.asarray(ratings, np.float64)
  out = np.zeros(ratings.shape[1])
  for r in range(ratings.shape[1]):
    others = ratings if against == 'all' else np.delete(ratings, r, 1)
    mean = masked_mean(others, ~np.isnan(others), -1)  # [N]
    correlation = mean_pairwise_r(np.stack([ratings[:, r], mean], 1))
    out[r] = max(correlation, 0.0) if np.isfinite(correlation) else 0.0
  return out


def evaluator_weighted(ratings: np.ndarray, against: str = 'all') -> np.ndarray:
  """The evaluator weighted estimator (EWE) of each example [N]: the mean of its ratings by `evaluator_weights`.

  NaN where no rater with a weight above 0 rated. Arguments as for `evaluator_weights`.
  """
  ratings = np.asarray(ratings, np.float64)
  rated = ~np.isnan(ratings)
  weights = np.where(rated, evaluator_weights(ratings, against), 0.0)  # [N, R]
  total, above = weights.sum(1), (weights * np.where(rated, ratings, 0.0)).sum(1)
  return np.divide(above, total, out=np.full(total.shape, np.nan), where=total > 0)


def t_fit(
  ratings: np.ndarray, mask: np.ndarray, axis: int = -2, df: float | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """The most likely location and scale of a Student-t with given degrees of freedom, over the raters of each item.

  Args:
    ratings, mask, axis: as for `masked_mean`.
    df: at least 1, one number or one that broadcasts to the result; by default the number of an item's ratings. From 1
      on the likelihood has one maximum (Kent, Tyler and Vardi 1994), which the EM below finds from any start.

  Returns:
    location, scale: without `axis`. NaN below two ratings. Where df / (df + 1) of the ratings or more are one value the
    likelihood grows without bound as the scale falls: scale 0 at that value, e.g. if all are equal (NaN if two values
    tie for it: df 1 and two ratings).

  References:
    Lange, Little and Taylor 1989, JASA 84(408), section 3, with the scale step of Kent, Tyler and Vardi 1994.
  """
  ratings = np.asarray(ratings, np.float64)
  rated = np.moveaxis(np.broadcast_to(np.asarray(mask, bool), ratings.shape), axis, -1)
  x = np.moveaxis(ratings, axis, -1)
  shape = x.shape[:-1]
  if not x.size:
    return np.full(shape, np.nan), np.full(shape, np.nan)
  x, rated = x.reshape(-1, x.shape[-1]), rated.reshape(-1, x.shape[-1])  # [M, R]
  n = rated.sum(1)
  df = n if df is None else np.broadcast_to(np.asarray(df, np.float64), shape).ravel()
  if not (df[n > 0] >= 1).all():
    raise UserError(
      f'degrees of freedom {np.nanmin(df[n > 0]):g}; expected 1 or more, below that no fit is the only one'
    )
  location, scale = np.full(n.shape, np.nan), np.full(n.shape, np.nan)
  equal = ((x[:, :, None] == x[:, None]) & rated[:, :, None] & rated[:, None]).sum(1)  # [M, R], that have this value
  most = equal.max(1, initial=0)
  flat = (n >= 2) & (most >= df * (n - most))
  single = flat & ((equal == most[:, None]).sum(1) == most)
  location[single], scale[single] = np.take_along_axis(x, equal.argmax(1)[:, None], 1)[single, 0], 0.0
  rows = np.flatnonzero((n >= 2) & ~flat)
  if len(rows):
    location[rows], scale[rows] = _t_em(x[rows], rated[rows], df[rows])
  return location.reshape(shape), scale.reshape(shape)


def _t_em(x: np.ndarray, rated: np.ndarray, df: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """`t_fit` of rows [M, R] whose likelihood has a maximum."""
  first = np.take_along_axis(x, rated.argmax(1)[:, None], 1)
  unit = np.where(rated, np.abs(x - first), 0.0).max(1, keepdims=True)  # > 0, or all would be equal
  x, n = np.where(rated, (x - first) / unit, 0.0), rated.sum(1)
  m = x.sum(1) / n
  v = np.where(rated, (x - m[:, None]) ** 2, 0.0).sum(1) / n
  left = np.arange(len(x))
  for _ in range(STEPS):
    xl, nu = x[left], df[left, None]
    squares = (xl - m[left, None]) ** 2
    w = np.where(rated[left], (nu + 1) / (nu + squares / v[left, None]), 0.0)  # [M, R]
    total = w.sum(1)
    centre = (w * xl).sum(1) / total
    spread = (w * (xl - centre[:, None]) ** 2).sum(1) / total
    moved = np.maximum(np.abs(centre - m[left]) / np.sqrt(spread), np.abs(spread / v[left] - 1))
    m[left], v[left] = centre, spread
    left = left[moved > CLOSE]
    if not len(left):
      break
  return first[:, 0] + unit[:, 0] * m, unit[:, 0] * np.sqrt(v)


def disagreement(first: np.ndarray, second: np.ndarray, ties: str = 'none') -> np.ndarray:
  """Whether the pluralities of two sets of votes over the same classes differ, per item.

  Args:
    first, second: [..., K] counts.
    ties: what a tie for the most votes counts as. 'none': no plurality, so that the item is undecided; 'first': for the
      first of the tied classes; 'lot': for each of them with the same chance.

  Returns:
    [...] float64: 1 differ, 0 do not (with 'lot' the chance that they do); NaN undecided, or nobody voted in one.
  """
  if ties not in ('none', 'first', 'lot'):
    raise unknown('way to treat ties', ties, ('none', 'first', 'lot'))
  shares = []
  for votes in (np.asarray(first), np.asarray(second)):
    most = votes == votes.max(-1, keepdims=True)
    if ties == 'first':
      most &= np.cumsum(most, -1) == 1
    decided = votes.any(-1) & ((ties != 'none') | (most.sum(-1) == 1))
    shares.append(np.where(decided[..., None], most / most.sum(-1, keepdims=True), np.nan))
  return 1 - (shares[0] * shares[1]).sum(-1)


def window_agreement(ratings: np.ndarray) -> np.ndarray:
  """Mean over pairs of raters of the Pearson correlation of what both rated, in each window.

  Args:
    ratings: [W, T, R], NaN where there is none. Pairs with fewer than `COMMON` common frames, or without variance in
      them, drop out.

  Returns:
    [W] in [-1, 1]; NaN where no pair is left.
  """
  ratings = np.asarray(ratings, np.float64)
  rated = ~np.isnan(ratings)
  # An offset is gone before anything is squared, and a constant rater is exactly 0.
  first = np.take_along_axis(ratings, rated.argmax(1, keepdims=True), 1) if ratings.shape[1] else 0.0
  x = np.where(rated, ratings - np.where(rated.any(1, keepdims=True), first, 0.0), 0.0)
  x = np.where(rated, x - x.sum(1, keepdims=True) / np.maximum(rated.sum(1, keepdims=True), 1), 0.0)
  m, xt = rated.astype(np.float64), x.swapaxes(1, 2)
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
    level: 'interval' (squared differences), 'ordinal' (squared numbers of values between, see
      `krippendorff_alpha_of_counts`) or 'nominal' (equal or not).

  Returns:
    At most 1; 0 is chance. NaN when nothing can be paired, or every paired value is the same: then agreement
    is not to be distinguished from a lack of variation.

  References:
    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", University of Pennsylvania.
  """
  if level not in LEVELS:
    raise unknown('level', level, LEVELS)
  ratings = np.asarray(ratings, np.float64)
  ratings = ratings[(~np.isnan(ratings)).sum(1) >= 2]  # [N, R]
  rated = ~np.isnan(ratings)
  m, n = rated.sum(1), rated.sum()
  if not n:
    return float('nan')
  if level != 'interval':
    classes = np.unique(ratings[rated])
    return krippendorff_alpha_of_counts(np.stack([(ratings == c).sum(1) for c in classes], 1), level)
  # Sums of the disagreement over ordered pairs: within each example [N], and over all values.
  x = np.where(rated, ratings - ratings[rated][0], 0.0)
  x = np.where(rated, x - x.sum() / n, 0.0)
  within = 2 * m * np.where(rated, (x - (x.sum(1) / m)[:, None]) ** 2, 0.0).sum(1)
  overall = 2 * n * (x**2).sum()  # x is centred
  return float(1 - (n - 1) * (within / (m - 1)).sum() / overall) if overall else float('nan')


def krippendorff_alpha_of_counts(votes: np.ndarray, level: str, values: Sequence[float] | None = None) -> float:
  """The same of counts of values, which is all it needs: who gave which value is not asked.

  Args:
    votes: [N, K] how many raters gave an example each value.
    level: 'nominal', 'ordinal' (values in the order of their columns; between two lie all ratings of the values
      between, and half of those of the two) or 'interval'.
    values: [K], with 'interval'.

  Returns:
    As `krippendorff_alpha`.
  """
  if level not in LEVELS:
    raise unknown('level', level, LEVELS)
  if (values is None) == (level == 'interval'):
    raise UserError(f'level {level!r}: values are {"missing" if values is None else "given"}; they go with interval')
  votes = np.asarray(votes, np.float64)
  votes = votes[votes.sum(-1) >= 2]  # [N, K]
  m, each = votes.sum(1), votes.sum(0)
  if level == 'nominal':
    apart = 1 - np.eye(len(each))
  elif level == 'ordinal':
    place = np.cumsum(each) - each / 2
    apart = (place[:, None] - place) ** 2
  else:
    apart = (np.asarray(values, np.float64)[:, None] - np.asarray(values, np.float64)) ** 2
  within, overall = ((votes @ apart) * votes).sum(1), each @ apart @ each
  return float(1 - (each.sum() - 1) * (within / (m - 1)).sum() / overall) if overall else float('nan')


def fleiss_kappa(votes: np.ndarray) -> float:
  """Fleiss' kappa of counts [N, K]: 1 minus observed over expected disagreement of two raters of an example.

  Raters may differ in number: observed is the mean over examples of the share of their pairs of raters that agree, and
  expected is that of two raters drawn by the mean over examples of their shares of votes, so that every example weighs
  the same in both. With equal numbers this is Fleiss' own. Examples with less than two votes drop out.

  Returns:
    At most 1; 0 is chance. NaN without examples, or if every vote is for one class.

  References:
    Fleiss 1971, Psychological Bulletin 76(5), doi 10.1037/h0031619; unequal numbers as in Gwet 2014, "Handbook of
    Inter-Rater Reliability", 4th edition, chapter 2.
  """
  votes = np.asarray(votes, np.float64)
  votes = votes[votes.sum(-1) >= 2]  # [N, K]
  if not len(votes) or (votes.sum(0) > 0).sum() < 2:
    return float('nan')
  m = votes.sum(1)
  agree = ((votes * (votes - 1)).sum(1) / (m * (m - 1))).mean()
  chance = ((votes / m[:, None]).mean(0) ** 2).sum()
  return float((agree - chance) / (1 - chance))


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


def dealt(ratings: np.ndarray, count: int, seed: int, reserve: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Deals a recording's raters to training and to the others: `count` of those who marked anything, 0 for all.

  The order of slots depends on `seed` alone, so that a rater of all recordings has one part in all of them.

  Args:
    ratings: [T, R, A], NaN where there is none.
    count: raters for training.
    seed: of the draw.
    reserve: raters who are kept from the others, 0 for `count`: rows that train on unequally many raters have the same
      others if they reserve as many.

  Returns:
    (training [R] bool, others [R] bool).
  """
  everyone = np.isfinite(ratings).any((0, 2))
  if not count:
    return everyone, np.zeros_like(everyone)
  order = np.random.default_rng((seed, 71)).permutation(len(everyone))
  chosen, others = np.zeros_like(everyone), np.zeros_like(everyone)
  present = [r for r in order if everyone[r]]
  chosen[present[:count]] = True
  others[present[max(count, reserve) :]] = True
  return chosen, others


def shift(ratings: np.ndarray, delays: Sequence[float], rate: float) -> np.ndarray:
  """Marks moved to the moment they are about, `delays` [A] s earlier; the end then has none.

  Args:
    ratings: [T, ..., A], NaN where there is none.
    delays: s, per attribute.
    rate: labels per second.
  """
  out = np.full_like(ratings, np.nan)
  for a, delay in enumerate(delays):
    lag = min(round(delay * rate), len(ratings))
    out[: len(ratings) - lag, ..., a] = ratings[lag:, ..., a]
  return out
