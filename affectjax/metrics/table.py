"""The table of metrics: what each reads, adds up and makes of the sums. `affectjax.metrics` is the door to it.

To add a metric, add its entry to `METRICS`; what it adds up stands in `affectjax.metrics.statistics`, what its
name and the arrays mean in `affectjax.metrics`.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from affectjax.metrics import predictive, statistics
from affectjax.objectives import distributions as shares


@dataclasses.dataclass(frozen=True)
class Metric:
  """One definition of a metric.

  Attributes:
    better: 'higher', 'lower', 'nearer' to `aim`, or 'neither'.
    stats: (*truth [M] each, *output [M] each, unit [M] int or None: all are one) -> statistics [M, k] float64,
      centred within each unit.
    value: sums of statistics [..., k] -> [...]; vectorised over replicates.
    classes: the target is a class (integers, negative: none), else a real number (NaN: none); shares always are.
    per: the key whose values are scored one by one and then averaged ('item': per video), or None: pooled.
    truth, output: suffixes of the target's name, which give the arrays read. Those of `RATINGS` have the raters as
      one more axis [M, R], NaN where there is no rating; those of `SHARES` have the classes [M, K].
    where: (*truth [M]) -> [M] bool, what is scored besides; None: all.
    aim: the value that is best, if neither the highest nor the lowest is.
    parts: how many parts of the data have their sums [k / parts] side by side; the second of `truth` says which.
    counts: it is a number of entries.
  """

  better: str
  stats: Callable[..., np.ndarray]
  value: Callable[[np.ndarray], np.ndarray]
  classes: bool = False
  per: str | None = None
  truth: tuple[str, ...] = ('',)
  output: tuple[str, ...] = ('_hat',)
  where: Callable[..., np.ndarray] | None = None
  aim: float | None = None
  parts: int = 1
  counts: bool = False


# What a subset keeps: the key it reads, perhaps of the target, and the rows [N] bool it scores.
SUBSETS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
  'queries': ('support', lambda support: ~support.astype(bool)),
  # Tertiles of the raters' mean pairwise correlation in a window; -1 is in none.
  **{
    f'agreement_{name}': ('{target}_agreement', functools.partial(np.equal, tertile))
    for tertile, name in enumerate(('low', 'mid', 'high'))
  },
  # Levels of ambiguity, as the corpus or the experiment bins the entropy of its votes; -1 is in none.
  **{f'level_{level}': ('{target}_level', functools.partial(np.equal, level)) for level in range(10)},
}

RATINGS = ('_ratings',)  # suffixes of arrays whose last axis is the raters
SHARES = ('_shares', '_shares_hat')  # and of those where it is the classes
_PREDICTED = ('_hat', '_spread_hat', '_df_hat')
_RATERS = ('', '_spread', '_raters')
_enough = lambda mean, spread, raters: raters >= predictive.RATERS


def _divergence(per_unit: Callable[..., np.ndarray], truth: tuple[str, ...], output=_PREDICTED, where=None) -> Metric:
  return Metric('lower', statistics.mean_of(per_unit), statistics.mean_value, truth=truth, output=output, where=where)


def _of_ratings(better: str, stats: Callable[..., np.ndarray], value=statistics.mean_value, aim=None) -> Metric:
  return Metric(better, stats, value, truth=('_ratings',), output=_PREDICTED, aim=aim)


def _f1(average: str, of_reals: Callable[..., np.ndarray] | None = None) -> Metric:
  """Of classes, or of what statistics make of reals."""
  value, stats = functools.partial(statistics.f1_value, average), of_reals or statistics.confusions
  return Metric('higher', stats, value, classes=of_reals is None)


def _of_shares(better: str, per_row: Callable[..., np.ndarray], truth=SHARES[0]) -> Metric:
  """The mean over rows of what a distribution, or a class alone (truth ''), has against the predicted distribution."""
  stats = statistics.mean_of(statistics.if_finite(per_row))
  return Metric(better, stats, statistics.mean_value, classes=not truth, truth=(truth,), output=SHARES[1:])


def _gap(base: Metric) -> Metric:
  """The base metric, pooled and of one array of truth and one of output, of part 1 minus that of part 0."""
  stats, value = statistics.per_part(base.stats), statistics.gap(base.value)
  return dataclasses.replace(
    base, better='nearer', stats=stats, value=value, truth=(*base.truth, '_part'), aim=0.0, parts=2
  )


METRICS: dict[str, Metric] = {
  'ccc.pooled': Metric('higher', statistics.moments, statistics.ccc_value),
  'ccc.per_video': Metric('higher', statistics.moments, statistics.ccc_value, per='item'),
  'pcc.pooled': Metric('higher', statistics.moments, statistics.pcc_value),
  'rmse.pooled': Metric('lower', statistics.mean_of(lambda y, yhat: (y - yhat) ** 2), statistics.root_mean_value),
  'mae.pooled': Metric('lower', statistics.mean_of(lambda y, yhat: np.abs(y - yhat)), statistics.mean_value),
  'sagr.pooled': Metric('higher', statistics.mean_of(statistics.same_sign), statistics.mean_value),
  'acc': Metric('higher', statistics.mean_of(np.equal), statistics.mean_value, classes=True),
  'uar': Metric('higher', statistics.confusions, statistics.uar_value, classes=True),
  'f1.macro': _f1('macro'),
  'f1.weighted': _f1('weighted'),
  'f1.micro': Metric('higher', statistics.mean_of(np.equal), statistics.mean_value, classes=True),
  # Of intensities in [0, 3], rounded to their four levels (experiments/masked_ssl.md, 6); the presence of an emotion
  # (y > 0) by the output above 1/6, or by the output as a score; error beside that of the training median.
  'acc4': Metric('higher', statistics.mean_of(statistics.same_level), statistics.mean_value),
  'uar4': Metric('higher', statistics.levels, statistics.uar_value),
  **{f'f1.{average}4': _f1(average, statistics.levels) for average in ('macro', 'weighted')},
  **{f'f1.{average}.presence': _f1(average, statistics.presence) for average in ('macro', 'weighted')},
  'wa.presence': Metric('higher', statistics.presence, statistics.both_recalls_value),
  'ap.presence': Metric('higher', statistics.ranks, statistics.average_precision_value),
  'auc.presence': Metric('higher', statistics.ranks, statistics.auc_value),
  'skill': Metric('higher', statistics.errors, statistics.skill_value, output=('_hat', '_median')),
  # Divergence, in nats, from the raters' Gaussian N(mean, spread^2) (experiments/label_uncertainty.md, 4, 6).
  'kl.gauss': _divergence(predictive.kl_gauss, ('', '_spread'), _PREDICTED[:2]),
  # From the raters' Student-t: location and scale are their mean and spread, nu is how many they are (4 there).
  'kl.t': _divergence(predictive.kl_t, _RATERS, where=_enough),
  # The same less the least that any Gaussian could reach (4 there).
  'kl.t_minus_floor': _divergence(predictive.kl_t_minus_floor, _RATERS, where=_enough),
  # From a twin's own distribution: location, scale, degrees of freedom (inf: Gaussian).
  'kl.true': _divergence(predictive.kl, ('_true_loc', '_true_scale', '_true_df')),
  # Of the raters' own values, each of which counts once: negative log density, in nats;
  'nll.raters': _of_ratings('lower', predictive.mean_of(predictive.nll)),
  # continuous ranked probability score, in the label's unit;
  'crps.raters': _of_ratings('lower', predictive.mean_of(predictive.crps)),
  # share inside the central interval of 50, 80, 95 %;
  **{
    f'coverage.{p}': _of_ratings('nearer', predictive.mean_of(predictive.inside(p / 100)), aim=p / 100)
    for p in (50, 80, 95)
  },
  # mean over p = 0.05, 0.10 .. 0.95 of |share at or below the predicted p-quantile - p|.
  'calibration.raters': _of_ratings('lower', predictive.below, predictive.calibration),
  # Of label distributions: Jensen-Shannon divergence in bits, not its root; the root of that in nats (AER-LLM's "JS");
  'js.bits': _of_shares('lower', functools.partial(shares.js, base='bits', xp=np)),
  'js_sqrt.nats': _of_shares('lower', functools.partial(shares.js_sqrt, xp=np)),
  # Bhattacharyya coefficient; KL(truth || prediction) in nats, predicted shares floored at `statistics.LEAST`;
  'bc': _of_shares('higher', functools.partial(shares.bhattacharyya_coefficient, xp=np)),
  'kl.shares': _of_shares('lower', statistics.kl_floored),
  # squared correlation of the two rows of shares; scikit-learn's r2_score of each class over rows, mean of classes;
  'r2.pearson': _of_shares('higher', statistics.r2_pearson),
  'r2.sklearn': Metric('higher', statistics.residuals, statistics.r2_value, truth=SHARES[:1], output=SHARES[1:]),
  # correlation over rows of the two entropies; squared distance from the shares, or from the class alone;
  'entropy.pcc': Metric('higher', statistics.entropies, statistics.pcc_value, truth=SHARES[:1], output=SHARES[1:]),
  'brier.shares': _of_shares('lower', statistics.brier),
  'brier.class': _of_shares('lower', statistics.brier_of_class, truth=''),
  # |share right - mean confidence| of the greatest share in so many even bins, each closed on its right, weighted.
  **{
    f'ece.{n}': Metric('lower', statistics.confidence(n), statistics.ece_value, classes=True, output=SHARES[1:])
    for n in (5, 10, 15)
  },
}
_COUNT = Metric('neither', statistics.ones, statistics.count_value, classes=True, output=(), counts=True)
METRICS |= {'count': _COUNT, 'count.shares': dataclasses.replace(_COUNT, classes=False, truth=SHARES[:1])}
METRICS |= {f'gap.{name}': _gap(METRICS[name]) for name in ('f1.macro', 'f1.micro', 'uar', 'ccc.pooled')}
