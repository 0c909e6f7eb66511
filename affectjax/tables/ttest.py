"""The papers' significance convention: a two-tailed t-test of two rows over folds. No verdict rests on it.

It takes folds for independent. They are not: what is tested in one is trained on in another, and partitions drawn anew
overlap in both, so p is smaller than it should be. Our own intervals draw groups instead, see `bootstrap`.
"""

import numpy as np

from affectjax import metrics
from affectjax.tables import bootstrap

SENTENCE = (
  'p is that of a two-tailed t-test over folds, each the mean over seeds of its metric, unpaired (equal variances) and '
  'paired. Folds share training data, and in repeated draws test data too, so p is the convention of papers, not our '
  'verdict, which goes by the interval.'
)
FLAT = 1e-12  # a spread below this share of the values is rounding
NONE = float('nan'), float('nan')


def _folds(sample: bootstrap.Sample) -> dict[str, float]:
  """The metric of each fold, its mean over seeds."""
  by_fold: dict[str, list[float]] = {}
  for (fold, _), s in sorted(sample.cells.items(), key=lambda item: str(item[0])):
    by_fold.setdefault(fold, []).append(float(metrics.value(sample.metric, s.sums.sum(0))))
  return {fold: float(np.mean(values)) for fold, values in by_fold.items()}


def over_folds(ours: bootstrap.Sample, theirs: bootstrap.Sample) -> tuple[float, float]:
  """p of the folds that both have, (unpaired with equal variances, paired).

  NaN with fewer than two such folds, where a fold has no finite value, and where what is tested does not vary.
  """
  import scipy.stats  # slow to import, and only a table that asks for it needs it

  a, b = _folds(ours), _folds(theirs)
  both = [fold for fold in a if fold in b]
  x, y = np.array([a[fold] for fold in both]), np.array([b[fold] for fold in both])
  if len(both) < 2 or not np.isfinite([x, y]).all():
    return NONE
  least = FLAT * max(np.abs(x).max(), np.abs(y).max())
  unpaired = scipy.stats.ttest_ind(x, y, equal_var=True).pvalue if max(np.ptp(x), np.ptp(y)) > least else NONE[0]
  paired = scipy.stats.ttest_rel(x, y).pvalue if np.ptp(x - y) > least else NONE[0]
  return float(unpaired), float(paired)
