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
`affectjax.metrics.predictive`; the truth of `kl.gauss` and `kl.t` has the standard deviation sqrt(spread^2 + 0.01^2).

Label distributions (`js.bits` and below; experiments/amber2.md, 6): `<target>_shares` and `<target>_shares_hat`
[N, K], at least 0 and of sum 1 (within 1e-4), each divided by its sum. A row of the truth that is all NaN is not
scored, and a prediction that is not finite gives NaN.

Gaps (`gap.<metric>.<target>`): the metric of the entries whose `<target>_part` is 1 minus that of those where it is 0,
both of the same predictions; an entry in neither has -1 (classes) or NaN (reals), and anything else is refused. NaN
where a part has nothing scored.

Counts (`count`, `count.shares`) are of entries scored: they add up over folds and have neither direction nor interval.

Intensities (experiments/masked_ssl.md, 6): reals in [0, 3], a target per emotion or all as [N, emotions]. Then
`mae.pooled`, `acc4` and `skill` are overall values, equal to the mean over emotions (of skill: of both its errors), for
each has as many entries; `rmse.pooled`, correlations, recalls and F1 are of all entries together, which is no mean.
Levels (`acc4`, `uar4`, `f1.macro4`, `f1.weighted4`) are floor(x + 1/2) of x cut to [0, 3]. An emotion is present
(`*.presence`) where the truth is above 0; the output says so above 1/6 (`wa.presence` = (TPR + TNR) / 2, F1), or is a
score, cut to [0, 3] and rounded to hundredths so that it adds up (`ap.presence`, average precision; `auc.presence`,
area under the ROC curve). NaN where an emotion is present in none, and of `wa` and `auc` where it is in all. `skill` is
1 - MAE / MAE of `<target>_median`, which gives each entry its training median.

The definitions stand in `affectjax.metrics.table`; import them from here.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.metrics import statistics
from affectjax.metrics.table import METRICS, RATINGS, SHARES, SUBSETS

Predictions = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Name:
  """A metric's name, taken apart: key of `METRICS`, target, and key of `SUBSETS` or None."""

  metric: str
  target: str
  subset: str | None


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
  """Which direction is better: 'higher', 'lower', such as 'nearer to 0.5', or 'neither'."""
  metric = METRICS[parse(name).metric]
  return metric.better if metric.aim is None else f'{metric.better} to {metric.aim:g}'


def counts(name: str) -> bool:
  """Whether the metric is a number of entries, which adds up over folds."""
  return METRICS[parse(name).metric].counts


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


def _arrays(name: str, predictions: Predictions) -> tuple[list[np.ndarray], list[bool]]:
  """What the metric reads, truth first, as int64 or float64 arrays, and which of them have one more axis."""
  metric = METRICS[parse(name).metric]
  missing = [key for key in needs(name) if key not in predictions]
  if missing:
    raise UserError(f'metric {name!r} reads {missing}, the predictions have {sorted(predictions)}')
  arrays, suffixes = [np.asarray(predictions[key]) for key in _read(name)], (*metric.truth, *metric.output)
  longer = [suffix in (*RATINGS, *SHARES) for suffix in suffixes]
  shapes = {x.shape[: x.ndim - more] for x, more in zip(arrays, longer, strict=True)}
  widths = {x.shape[-1:] for x, suffix in zip(arrays, suffixes, strict=True) if suffix in SHARES}
  if len(shapes) > 1 or len(widths) > 1 or () in shapes:
    shown = ', '.join(f'{key} is {x.shape}' for key, x in zip(_read(name), arrays, strict=True))
    more = ', and classes as one more axis' * bool(widths) or ', and raters as one more axis' * any(longer)
    raise UserError(f'metric {name!r}: {shown}; expected one shape{more}')
  classes = [metric.classes and not more for more in longer]
  of_class = list(itertools.compress(arrays, classes))
  if not all(x.dtype.kind in 'iub' or not x.size for x in of_class):
    raise UserError(f'metric {name!r} wants class indices, found {" and ".join(str(x.dtype) for x in of_class)}')
  return [x.astype(np.int64 if one else np.float64) for x, one in zip(arrays, classes, strict=True)], longer


def _checked(name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
  """The scored entries' arrays [M] or [M, R or K], shares divided by their sums; a `UserError` on impossible ones."""
  metric, keys = METRICS[parse(name).metric], _read(name)
  if metric.parts > 1 and len(strange := np.setdiff1d(arrays[1], np.arange(metric.parts))):
    expected = ' or '.join(map(str, range(metric.parts)))
    neither = '-1' if metric.classes else 'NaN'
    raise UserError(f'metric {name!r}: {keys[1]} is {expected}, or {neither} of none, found {strange[0]:g}')
  out = list(arrays)
  for i, suffix in enumerate((*metric.truth, *metric.output)):
    if suffix in SHARES:
      out[i], count = statistics.normalised(out[i], f'metric {name!r}: {keys[i]}', i > 0), out[i].shape[-1]
      if metric.classes and arrays[0].max(initial=-1) >= count:
        raise UserError(f'metric {name!r}: {keys[0]} has class {arrays[0].max()}, {keys[i]} only {count} classes')
  return out


def _scored(name: str, predictions: Predictions) -> tuple[np.ndarray, list[np.ndarray]]:
  """The scored entries: their rows [M] int, and the arrays of truth and output [M], [M, R] of ratings or [M, K]."""
  parsed = parse(name)
  metric = METRICS[parsed.metric]
  arrays, longer = _arrays(name, predictions)
  truth = arrays[: len(metric.truth)]
  keep = True if metric.where is None else metric.where(*truth)
  for x, more in zip(truth, longer, strict=False):
    known = ~np.isnan(x) if x.dtype.kind == 'f' else x >= 0
    keep = keep & (known.any(-1) if more else known)
  if parsed.subset:
    key, rows = SUBSETS[parsed.subset]
    of_row = rows(np.asarray(predictions[key.format(target=parsed.target)]))
    keep = keep & of_row.reshape(-1, *[1] * (keep.ndim - 1))
  return np.nonzero(keep)[0], _checked(name, [x[keep] for x in arrays])


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
      groups = sorted({str(g) for g in group[unit == here]})
      raise UserError(f'metric {name!r}: {metric.per} {str(names[here])!r} must lie in one group, not in {groups}')
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
  return (statistics.mean_value if metric.per else metric.value)(np.asarray(sums, np.float64))


def parted(name: str, sums: np.ndarray) -> np.ndarray:
  """Sums [..., k] of each part of the data apart, [..., parts, k / parts]; all zero where a part has nothing."""
  return statistics.parts(sums, METRICS[parse(name).metric].parts)


def compute(name: str, predictions: Predictions) -> float:
  """The metric over whole predictions (one split of one fold)."""
  return float(value(name, units(name, predictions)[1].sum(0)))


def selected(name: str, predictions: Predictions) -> dict[str, float]:
  """The metric by which a step is selected (`run.select`), under its name; {} for 'last' and 'loss', which are none.

  Raises:
    UserError: these predictions have no such metric; with those they have.
  """
  if name in ('last', 'loss'):
    return {}
  there = [f'{key}.{k.removesuffix(m.truth[0])}' for key, m in METRICS.items() for k in predictions
           if k.endswith(m.truth[0]) and len(k) > len(m.truth[0]) and not m.counts]  # fmt: skip
  there = [one for one in there if available(one, predictions)]
  if name not in there:
    raise unknown('score in run.select', name, ('last', 'loss', *there))
  return {name: compute(name, predictions)}


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
