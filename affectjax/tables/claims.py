"""Verdicts: on a paper's claims from paired intervals, and on a row beside a published value."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables import bootstrap

Pair = tuple[str, str, str]  # row, against, metric
KEYS = ('row', 'against', 'metric')
HOLDS, CONTRADICTED, UNDECIDED, SYNTHETIC = 'holds', 'contradicted', 'undecided', 'n/a (synthetic)'
UNDIRECTED = 'undecided (no direction)'


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One comparison of a claim.

  Attributes:
    row, against, metric: what is compared.
    minus: (row, against, metric) whose improvement is subtracted, or None.
    improvement: of row over against, positive where row is better whichever way the metric points, less that of
      `minus`; or None.
    verdict: 'holds' (interval above 0), 'contradicted' (below 0), else 'undecided'.
    reason: why it is undecided; '' where the interval says so itself.
  """

  row: str
  against: str
  metric: str
  minus: Pair | None
  improvement: bootstrap.Difference | None
  verdict: str
  reason: str


@dataclasses.dataclass(frozen=True)
class Claim:
  """A claim judged: contradicted by any of its comparisons, held by all of them, else undecided."""

  id: str
  text: str
  comparisons: tuple[Comparison, ...]
  verdict: str


def of_interval(low: float, high: float) -> str:
  """The verdict on an improvement with this interval; NaN decides nothing."""
  return HOLDS if low > 0 else CONTRADICTED if high < 0 else UNDECIDED


def directed(metric: str) -> bool:
  """Whether more or less of the metric is better; one that is best near a value has no improvement to speak of."""
  return metrics.better(metric) in ('higher', 'lower')


def pairs(comparison: Mapping[str, Any]) -> tuple[Pair, Pair | None]:
  """What a comparison compares, and what it subtracts: each key of `minus` defaults to the comparison's own."""
  own, minus = (comparison['row'], comparison['against'], comparison['metric']), comparison.get('minus')
  return own, None if minus is None else tuple(minus.get(key, value) for key, value in zip(KEYS, own, strict=True))


def check(claim: Mapping[str, Any]) -> None:
  """Refuses a claim that lacks a key, compares nothing, names an unknown metric or subtracts what it cannot."""
  missing = {'id', 'text', 'compare'} - set(claim)
  if missing or not claim['compare']:
    raise UserError(f'claim {claim.get("id", claim)!r} lacks {sorted(missing) or ["comparisons"]}')
  where = f'claim {claim["id"]!r}'
  for c in claim['compare']:
    if set(c) - {'minus'} != set(KEYS):
      raise UserError(f'{where} compares by row, against and metric, and perhaps minus, found {sorted(c)}')
    if 'minus' in c and (not isinstance(c['minus'], Mapping) or not c['minus'] or set(c['minus']) - set(KEYS)):
      raise UserError(f'{where}: minus is a mapping of some of row, against and metric, found {c["minus"]!r}')
    own, minus = pairs(c)
    for _, _, metric in (own, minus or own):
      metrics.parse(metric)
    if minus == own:
      raise UserError(f'{where}: {own[0]} against {own[1]} by {own[2]} is to be compared with itself; change minus')
    if minus and metrics.better(minus[2]) != metrics.better(own[2]):
      raise UserError(
        f'{where}: of {own[2]} {metrics.better(own[2])} is better, of {minus[2]} in minus {metrics.better(minus[2])}; '
        'expected metrics that point the same way'
      )


def _compare(own: Pair, minus: Pair | None, difference: Callable[..., bootstrap.Difference | str]) -> Comparison:
  row, against, metric = own
  if not directed(metric):
    best = 'has no direction' if metrics.better(metric) == 'neither' else f'is best {metrics.better(metric)}'
    outcome = f'{metric} {best}, so no difference is an improvement'
  else:
    outcome = difference(*own, minus) if minus else difference(*own)
  if isinstance(outcome, str):
    return Comparison(row, against, metric, minus, None, UNDECIDED, outcome)
  if metrics.better(metric) == 'lower':
    outcome = dataclasses.replace(outcome, mean=-outcome.mean, low=-outcome.high, high=-outcome.low)
  reason = 'no interval' if math.isnan(outcome.low) else ''
  return Comparison(row, against, metric, minus, outcome, of_interval(outcome.low, outcome.high), reason)


def judge(claim: Mapping[str, Any], difference: Callable[..., bootstrap.Difference | str]) -> Claim:
  """Judges a claim.

  Args:
    claim: `id`, `text`, `compare`: a list of {`row`, `against`, `metric`}, perhaps with `minus`: some of the same
      keys, which default to the comparison's own. Then the improvement of its pair is subtracted.
    difference: (row, against, metric[, minus]) -> the paired difference row minus against, less that of the pair
      `minus`, in the metric's own direction; or why there is none.

  Raises:
    UserError: see `check`.
  """
  check(claim)
  comparisons = tuple(_compare(*pairs(c), difference) for c in claim['compare'])
  verdicts = [c.verdict for c in comparisons]
  whole = CONTRADICTED if CONTRADICTED in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
  return Claim(claim['id'], claim['text'], comparisons, whole)


def beside_published(metric: str, values: Iterable[float | None], interval: bootstrap.Interval, kind: str) -> str:
  """The verdict on a row beside its published values, None where one is not known (n/k).

  On synthetic data there is nothing to reach. Else a row holds if its interval reaches the best known value
  or lies beyond it, and is contradicted if it is wholly worse; without value or interval it is undecided, and so
  it is by a metric of which neither more nor less is better.
  """
  if kind == 'synthetic':
    return SYNTHETIC
  if not directed(metric):
    return UNDIRECTED
  known = [value for value in values if value is not None]
  if not known or math.isnan(interval.low):
    return UNDECIDED
  if metrics.better(metric) == 'higher':
    return HOLDS if interval.high >= max(known) else CONTRADICTED
  return HOLDS if interval.low <= min(known) else CONTRADICTED
