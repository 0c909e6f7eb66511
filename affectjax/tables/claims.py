"""Verdicts: on a paper's claims from paired intervals, and on a row beside a published value."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from affectjax import metrics
from affectjax.errors import UserError
from affectjax.tables import bootstrap

HOLDS, CONTRADICTED, UNDECIDED, SYNTHETIC = 'holds', 'contradicted', 'undecided', 'n/a (synthetic)'


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One comparison of a claim.

  Attributes:
    row, against, metric: what is compared.
    improvement: of row over against, positive where row is better whichever way the metric points; or None.
    verdict: 'holds' (interval above 0), 'contradicted' (below 0), else 'undecided'.
    reason: why it is undecided; '' where the interval says so itself.
  """

  row: str
  against: str
  metric: str
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


def _improvement(metric: str, d: bootstrap.Difference) -> bootstrap.Difference:
  if metrics.better(metric) == 'higher':
    return d
  return dataclasses.replace(d, mean=-d.mean, low=-d.high, high=-d.low)


def _compare(row: str, against: str, metric: str, found: bootstrap.Difference | str) -> Comparison:
  if isinstance(found, str):
    return Comparison(row, against, metric, None, UNDECIDED, found)
  improvement = _improvement(metric, found)
  reason = 'no interval' if math.isnan(improvement.low) else ''
  return Comparison(row, against, metric, improvement, of_interval(improvement.low, improvement.high), reason)


def judge(claim: Mapping[str, Any], difference: Callable[[str, str, str], bootstrap.Difference | str]) -> Claim:
  """Judges a claim.

  Args:
    claim: `id`, `text`, `compare`: a list of {`row`, `against`, `metric`}.
    difference: (row, against, metric) -> the paired difference row minus against, or why there is none.

  Raises:
    UserError: the claim lacks one of these keys, compares nothing, or names an unknown metric.
  """
  missing = {'id', 'text', 'compare'} - set(claim)
  if missing or not claim['compare']:
    raise UserError(f'claim {claim.get("id", claim)!r} lacks {sorted(missing) or ["comparisons"]}')
  comparisons = []
  for c in claim['compare']:
    if set(c) != {'row', 'against', 'metric'}:
      raise UserError(f'claim {claim["id"]!r} compares by row, against and metric, found {sorted(c)}')
    metrics.parse(c['metric'])
    names = c['row'], c['against'], c['metric']
    comparisons.append(_compare(*names, difference(*names)))
  verdicts = [c.verdict for c in comparisons]
  whole = CONTRADICTED if CONTRADICTED in verdicts else UNDECIDED if UNDECIDED in verdicts else HOLDS
  return Claim(claim['id'], claim['text'], tuple(comparisons), whole)


def beside_published(metric: str, values: Iterable[float | None], interval: bootstrap.Interval, kind: str) -> str:
  """The verdict on a row beside its published values, None where one is not known (n/k).

  On synthetic data there is nothing to reach. Else a row holds if its interval reaches the best known value
  or lies beyond it, and is contradicted if it is wholly worse; without value or interval it is undecided.
  """
  if kind == 'synthetic':
    return SYNTHETIC
  known = [value for value in values if value is not None]
  if not known or math.isnan(interval.low):
    return UNDECIDED
  if metrics.better(metric) == 'higher':
    return HOLDS if interval.high >= max(known) else CONTRADICTED
  return HOLDS if interval.low <= min(known) else CONTRADICTED
