"""Metrics on the host in float64, each defined once: statistics per unit, and a value of their sum.

A metric's name carries its definition, `<metric>[.<definition>].<target>[.<subset>]`: `ccc.pooled.valence`,
`f1.macro.emotion`, `ccc.pooled.valence.queries`. It reads the target `valence` and the output `valence_hat`
of a mapping of predictions; some read more, such as `valence_spread`: `Metric.truth` and `Metric.output` list the
suffixes. Their rows also have `group` (what intervals are drawn over), `item` (video, dialogue) and perhaps what
`SUBSETS` read: `support` (true for frames whose label the system was given), `valence_agreement`.

The point value is `value(sum of statistics)`, a bootstrap replicate `value(counts @ statistics per group)`:
both rest on the same lines. Statistics are centred on the file's own mean, so that large offsets do not
cancel; hence they add up within one file of predictions only. Folds are finalised one by one, then averaged.

Scored are entries whose target is not NaN (reals; of raters' values, one at least) or not negative (classes).
Nothing scored gives NaN, and so does a NaN output in a metric of reals. Targets may be [N] or [N, ...]; every entry
of a row counts alike.

Distributions (`kl.*`, `nll`, `crps`, `coverage`, `calibration`): a prediction has a mean `_hat`, a standard deviation
`_spread_hat` (at least 0.001) and degrees of freedom `_df_hat`, inf for a Gaussian, else of a Student-t. See
`affectjax.distributions`; the truth of `kl.gauss` and `kl.t` has the standard deviation sqrt(spread^2 + 0.01^2).

To add a metric, add its entry to `METRICS`.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from affectjax import distributions
from affectjax.errors import UserError, unknown

Predictions = Mapping[str, np.ndarray]

# A variance below this share of the second moment about the file's centre is rounding, so it counts as zero.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class Metric:
  """One definition of a metric.

  Attributes:
    better: 'higher', 'lower', or 'nearer' to `aim`.
    stats: (*truth [M] each, *output [M] each, unit [M] int or None: all are one) -> statistics [M, k] float64,
      centred within each unit.
    value: sums of statistics [..., k] -> [...]; vectorised over replicates.
    classes: the target is a class (integers, negative: none), else a real number (NaN: none).
    per: the key whose values are scored one by one and then averaged ('item': per video), or None: pooled.
    truth, output: suffixes of the target's name, which give the arrays read. Those of `RATINGS` have the raters as
      one more axis [M, R], NaN where there is no rating.
    where: (*truth [M]) -> [M] bool, what is scored besides; None: all.
    aim: the value that is best, if neither the highest nor the lowest is.
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


@dataclasses.dataclass(frozen=True)
class Name:
  """A metric's name, taken apart: key of `METRICS`, target, and key of `SUBSETS` or None."""

  metric: str
  target: str
  subset: str | None


# What a subset keeps: the key it reads, perhaps of the target, and the rows [N] bool it scores.
SUBSETS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
  'queries': ('support', lambda support: ~support.astype(bool)),
  # Tertiles of the raters' mean pairwise correlation in a window; -1 is in none.
  **{
    f'agreement_{name}': ('{target}_agreement', functools.partial(np.equal, tertile))
    for tertile, name in enumerate(('low', 'mid', 'high'))
  },
}

RATINGS = ('_ratings',)  # suffixes of arrays whose last axis is the raters


def _centred(x: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """x [M] minus the mean of its unit; exactly zero where a unit is constant."""
  if unit is None:
    x = x - x[:1]  # an offset of 1e8 is gone before anything is averaged
    return x - x.sum() / max(len(x), 1)
  _, first, unit = np.unique(unit, return_index=True, return_inverse=True)
  x = x - x[first][unit]
  return x - (np.bincount(unit, x) / np.bincount(unit))[unit]


def _moments(y: np.ndarray, yhat: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 7]: 1, y, yhat, y^2, yhat^2, y yhat (centred), y - yhat (as it is)."""
  a, b = _centred(y, unit), _centred(yhat, unit)
  return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b, y - yhat]).T


def _divide(above: np.ndarray, below: np.ndarray, empty: float) -> np.ndarray:
  """above / below, and `empty` where below is 0."""
  above, below = np.broadcast_arrays(above, below)
  return np.divide(above, below, out=np.full(above.shape, empty), where=below != 0)


def _second_moments(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """Population variances of y and yhat, their covariance and the difference of means, from sums [..., 7]."""
  _, a, b, aa, bb, ab, d = np.moveaxis(_divide(sums, sums[..., :1], np.nan), -1, 0)
  var_y, var_yhat = aa - a * a, bb - b * b
  flat_y, flat_yhat = var_y <= ROUNDING * aa, var_yhat <= ROUNDING * bb
  cov = np.where(flat_y | flat_yhat, 0.0, ab - a * b)
  return np.where(flat_y, 0.0, var_y), np.where(flat_yhat, 0.0, var_yhat), cov, d


def _ccc_value(sums: np.ndarray) -> np.ndarray:
  var_y, var_yhat, cov, d = _second_moments(sums)
  return _divide(2 * cov, var_y + var_yhat + d * d, 0.0)


def _pcc_value(sums: np.ndarray) -> np.ndarray:
  var_y, var_yhat, cov, _ = _second_moments(sums)
  return np.clip(_divide(cov, np.sqrt(var_y) * np.sqrt(var_yhat), 0.0), -1, 1)


def _mean_value(sums: np.ndarray) -> np.ndarray:
  """Sums [..., 2] of (x, 1) -> the mean of x."""
  return _divide(sums[..., 0], sums[..., 1], np.nan)


def _root_mean_value(sums: np.ndarray) -> np.ndarray:
  return np.sqrt(_mean_value(sums))


def _mean_of(per_unit: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
  """Statistics [M, 2] of a metric that is the mean of `per_unit(*truth, *output)` [M]."""

  def stats(*arrays_and_unit):
    x = np.asarray(per_unit(*arrays_and_unit[:-1]), np.float64)
    return np.stack([x, np.ones_like(x)]).T

  return stats


def _same_sign(y: np.ndarray, yhat: np.ndarray) -> np.ndarray:
  return np.where(np.isnan(yhat), np.nan, np.sign(y) == np.sign(yhat))


def _confusions(y: np.ndarray, yhat: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
  """Statistics [M, 3 K]: per class of truth or prediction, whether it is hit, true, predicted."""
  classes = np.unique(np.concatenate([y, yhat]))
  true, predicted = classes[:, None] == y, classes[:, None] == yhat  # [K, M]
  return np.concatenate([true & predicted, true, predicted]).astype(np.float64).T


def _per_class(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sums [..., 3 K] -> hits, true and predicted counts, each [..., K]."""
  return tuple(np.moveaxis(sums.reshape(*sums.shape[:-1], 3, sums.shape[-1] // 3), -2, 0))


def _uar_value(sums: np.ndarray) -> np.ndarray:
  hits, true, _ = _per_class(sums)
  return _divide(_divide(hits, true, 0.0).sum(-1), (true > 0).sum(-1), np.nan)


def _f1_value(average: str, sums: np.ndarray) -> np.ndarray:
  hits, true, predicted = _per_class(sums)
  f1 = _divide(2 * hits, true + predicted, 0.0)  # [..., K]
  weight = true if average == 'weighted' else true > 0
  return _divide((f1 * weight).sum(-1), weight.sum(-1), np.nan)


_PREDICTED = ('_hat', '_spread_hat', '_df_hat')
_RATERS = ('', '_spread', '_raters')
_enough = lambda mean, spread, raters: raters >= distributions.RATERS


def _divergence(per_unit: Callable[..., np.ndarray], truth: tuple[str, ...], output=_PREDICTED, where=None) -> Metric:
  return Metric('lower', _mean_of(per_unit), _mean_value, truth=truth, output=output, where=where)


def _of_ratings(better: str, stats: Callable[..., np.ndarray], value=_mean_value, aim: float | None = None) -> Metric:
  return Metric(better, stats, value, truth=('_ratings',), output=_PREDICTED, aim=aim)


METRICS: dict[str, Metric] = {
  'ccc.pooled': Metric('higher', _moments, _ccc_value),
  'ccc.per_video': Metric('higher', _moments, _ccc_value, per='item'),
  'pcc.pooled': Metric('higher', _moments, _pcc_value),
  'rmse.pooled': Metric('lower', _mean_of(lambda y, yhat: (y - yhat) ** 2), _root_mean_value),
  'mae.pooled': Metric('lower', _mean_of(lambda y, yhat: np.abs(y - yhat)), _mean_value),
  'sagr.pooled': Metric('higher', _mean_of(_same_sign), _mean_value),
  'acc': Metric('higher', _mean_of(np.equal), _mean_value, classes=True),
  'uar': Metric('higher', _confusions, _uar_value, classes=True),
  'f1.macro': Metric('higher', _confusions, functools.partial(_f1_value, 'macro'), classes=True),
  'f1.weighted': Metric('higher', _confusions, functools.partial(_f1_value, 'weighted'), classes=True),
  'f1.micro': Metric('higher', _mean_of(np.equal), _mean_value, classes=True),
  # Divergence, in nats, from the raters' Gaussian N(mean, spread^2) (label-uncertainty sheet, sections 3 and 7).
  'kl.gauss': _divergence(distributions.kl_gauss, ('', '_spread'), _PREDICTED[:2]),
  # From the raters' Student-t: location and scale are their mean and spread, nu is how many they are (sheet, 3).
  'kl.t': _divergence(distributions.kl_t, _RATERS, where=_enough),
  # The same less the least that any Gaussian could reach (sheet, 7).
  'kl.t_minus_floor': _divergence(distributions.kl_t_minus_floor, _RATERS, where=_enough),
  # From a twin's own distribution: location, scale, degrees of freedom (inf: Gaussian).
  'kl.true': _divergence(distributions.kl, ('_true_loc', '_true_scale', '_true_df')),
  # Of the raters' own values, each of which counts once: negative log density, in nats;
  'nll.raters': _of_ratings('lower', distributions.mean_of(distributions.nll)),
  # continuous ranked probability score, in the label's unit;
  'crps.raters': _of_ratings('lower', distributions.mean_of(distributions.crps)),
  # share inside the central interval of 50, 80, 95 %;
  **{
    f'coverage.{p}': _of_ratings('nearer', distributions.mean_of(distributions.inside(p / 100)), aim=p / 100)
    for p in (50, 80, 95)
  },
  # mean over p = 0.05, 0.10 .. 0.95 of |share at or below the predicted p-quantile - p|.
  'calibration.raters': _of_ratings('lower', distributions.below, distributions.calibration),
}


def parse(name: str) -> Name:
  """Takes a metric's name apart; an unknown metric or subset is a `UserError` listing what there is."""
  for key in sorted(METRICS, key=len, reverse=True):
    if name.startswith(f'{key}.'):
      target, *subset = name[len(key) + 1 :].split('.')
      if target and not subset:
        return Name(key, target, None)
      if target and len(subset) == 1 and subset[0] in SUBSETS:
        return Name(key, target, subset[0])
      if target:
        raise unknown(f'subset in metric {name!r}:', '.'.join(subset), SUBSETS)
  raise unknown('metric', name, (f'{key}.<target>' for key in METRICS))


def better(name: str) -> str:
  """Which direction is better: 'higher', 'lower', or such as 'nearer to 0.5'."""
  metric = METRICS[parse(name).metric]
  return metric.better if metric.aim is None else f'{metric.better} to {metric.aim:g}'


def _read(name: str) -> list[str]:
  """The keys of the arrays that the metric reads, those of the truth first."""
  parsed = parse(name)
  metric = METRICS[parsed.metric]
  return [parsed.target + suffix for suffix in (*metric.truth, *metric.output)]


def needs(name: str) -> tuple[str, ...]:
  """The keys of predictions that the metric reads, without `group`."""
  parsed = parse(name)
  per = METRICS[parsed.metric].per
  subset = [SUBSETS[parsed.subset][0].format(target=parsed.target)] if parsed.subset else []
  return (*_read(name), *([per] if per else []), *subset)


def available(name: str, keys: Iterable[str]) -> bool:
  """Whether predictions with these keys can be scored by this metric."""
  return set(needs(name)) <= set(keys)


def codes(names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Sorted unique names [G] and the index of each row's name [N]; fast where equal names stand together."""
  names = np.asarray(names)
  heads = np.flatnonzero(np.concatenate([np.ones(min(len(names), 1), bool), names[1:] != names[:-1]]))
  unique, inverse = np.unique(names[heads], return_inverse=True)
  return unique, np.repeat(inverse, np.diff(np.append(heads, len(names))))


def _scored(name: str, predictions: Predictions) -> tuple[np.ndarray, list[np.ndarray]]:
  """The scored entries: their rows [M] int, and the arrays of truth and output [M], or [M, R] of ratings."""
  parsed = parse(name)
  metric = METRICS[parsed.metric]
  missing = [key for key in needs(name) if key not in predictions]
  if missing:
    raise UserError(f'metric {name!r} reads {missing}, the predictions have {sorted(predictions)}')
  arrays = [np.asarray(predictions[key]) for key in _read(name)]
  rated = [suffix in RATINGS for suffix in (*metric.truth, *metric.output)]
  shapes = [x.shape[: x.ndim - more] for x, more in zip(arrays, rated, strict=True)]
  if len(set(shapes)) > 1:
    found = ', '.join(f'{key} is {x.shape}' for key, x in zip(_read(name), arrays, strict=True))
    raise UserError(f'metric {name!r}: {found}; expected one shape{", and raters as one more axis" * any(rated)}')
  if metric.classes and not all(x.dtype.kind in 'iub' or not x.size for x in arrays):
    raise UserError(f'metric {name!r} wants class indices, found {" and ".join(str(x.dtype) for x in arrays)}')
  arrays = [x.astype(np.int64 if metric.classes else np.float64) for x in arrays]
  truth = arrays[: len(metric.truth)]
  keep = np.ones(shapes[0], bool) if metric.where is None else metric.where(*truth)
  for x, more in zip(truth, rated, strict=False):
    there = x >= 0 if metric.classes else ~np.isnan(x)
    keep = keep & (there.any(-1) if more else there)
  if parsed.subset:
    key, rows = SUBSETS[parsed.subset]
    of_row = rows(np.asarray(predictions[key.format(target=parsed.target)]))
    keep = keep & of_row.reshape(-1, *[1] * (keep.ndim - 1))
  return np.nonzero(keep)[0], [x[keep] for x in arrays]


def units(name: str, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
  """What the metric adds up: for each unit the row that it belongs to [M] and its statistics [M, k] float64.

  A unit is a scored entry, or for `per_video` a video. A video in two groups cannot be drawn and is refused.
  """
  metric = METRICS[parse(name).metric]
  row, arrays = _scored(name, predictions)
  if metric.per is None:
    return row, metric.stats(*arrays, None)
  names, unit = codes(np.asarray(predictions[metric.per])[row])
  _, first = np.unique(unit, return_index=True)
  if 'group' in predictions:
    group = np.asarray(predictions['group'])[row]
    torn = np.flatnonzero(group != group[first][unit])
    if len(torn):
      here = unit[torn[0]]
      found = sorted({str(g) for g in group[unit == here]})
      raise UserError(f'metric {name!r}: {metric.per} {str(names[here])!r} must lie in one group, not in {found}')
  stats = metric.stats(*arrays, unit)
  sums = np.stack([np.bincount(unit, column, len(names)) for column in stats.T], axis=-1)  # [videos, k]
  value = metric.value(sums)
  return row[first], np.stack([value, np.ones_like(value)], axis=-1)


def contributions(name: str, predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
  """Each unit's group [M] str and statistics [M, k] float64; sum them over any units, then take `value`."""
  owner, stats = units(name, predictions)
  return np.asarray(predictions['group'])[owner], stats


def value(name: str, sums: np.ndarray) -> np.ndarray:
  """The metric of summed statistics [..., k] -> [...]; NaN where nothing was summed."""
  metric = METRICS[parse(name).metric]
  return (_mean_value if metric.per else metric.value)(np.asarray(sums, np.float64))


def compute(name: str, predictions: Predictions) -> float:
  """The metric over whole predictions (one split of one fold)."""
  return float(value(name, units(name, predictions)[1].sum(0)))


def _plain(metric: str, y: np.ndarray, yhat: np.ndarray) -> float:
  return compute(f'{metric}.y', {'y': np.asarray(y), 'y_hat': np.asarray(yhat)})


def ccc(y: np.ndarray, yhat: np.ndarray) -> float:
  """Concordance correlation with population variances, `2 cov / (var + var + (difference of means)^2)`.

  0 when either is constant (identical constants and n = 1 included: there is no variation to agree upon), NaN
  for n = 0.

  References:
    Lin 1989, Biometrics 45(1), doi 10.2307/2532051.
  """
  return _plain('ccc.pooled', y, yhat)


def pcc(y: np.ndarray, yhat: np.ndarray) -> float:
  """Pearson correlation; 0 when either is constant (n = 1 included), NaN for n = 0."""
  return _plain('pcc.pooled', y, yhat)


def rmse(y: np.ndarray, yhat: np.ndarray) -> float:
  """Root of the mean squared error, in the unit of y; NaN for n = 0."""
  return _plain('rmse.pooled', y, yhat)


def mae(y: np.ndarray, yhat: np.ndarray) -> float:
  """Mean absolute error, in the unit of y; NaN for n = 0."""
  return _plain('mae.pooled', y, yhat)


def sagr(y: np.ndarray, yhat: np.ndarray) -> float:
  """Share of equal signs. A label of zero counts as wrong unless the output is exactly 0.

  References:
    Nicolaou et al. 2011, IEEE TAC 2(2), doi 10.1109/T-AFFC.2011.9.
  """
  return _plain('sagr.pooled', y, yhat)


def accuracy(y: np.ndarray, yhat: np.ndarray) -> float:
  """Share of equal classes; y < 0 is not scored, NaN for n = 0."""
  return _plain('acc', y, yhat)


def uar(y: np.ndarray, yhat: np.ndarray) -> float:
  """Unweighted average recall over the classes present in y; NaN for n = 0."""
  return _plain('uar', y, yhat)


def f1(y: np.ndarray, yhat: np.ndarray, average: str) -> float:
  """F1 over classes, `average` one of 'macro', 'weighted', 'micro'; NaN for n = 0.

  Macro and weighted averages run over the classes present in y (scikit-learn with `labels=np.unique(y)`): a
  class that only the outputs name is not averaged, but costs recall where it was named. Micro counts every
  class, so with one class per example it is accuracy.
  """
  if f'f1.{average}' not in METRICS:
    raise unknown('average', average, ('macro', 'weighted', 'micro'))
  return _plain(f'f1.{average}', y, yhat)
