"""Flags: runs that a table is to name, for all of some metrics are near a value or near what another row has.

c.flags = (dict(name='collapsed', text='It says no more than a constant.', when=(
             dict(metric='acc4.intensity', near='constant', within=0.002),     near a row (in the same fold), or
             dict(metric='pcc.pooled.happy', near=0.0, within=0.05))),)        near a number

A run is a finished cell: the mean over seeds would hide that one of them has collapsed. Rows that a flag compares with
are not flagged by it, nor are rows that have none of its metrics.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError, unknown
from affectjax.tables.text import escape, grid

KEYS, OF_CONDITION = ('name', 'text', 'when'), ('metric', 'near', 'within')
FORM = "(dict(metric='acc.x', near=a row or a number, within=a number), ...)"
ALL = 'all'  # the fold of a row that does not depend on folds
UNCHECKED = 'Not checked: a run without one of the metrics, or without a finished run of the row it is compared with.'
Loaded = Any  # of `summary`, which imports this


@dataclasses.dataclass(frozen=True)
class Condition:
  """That a metric differs by at most `within` from `near`: a number, or a row's metric in the same fold."""

  metric: str
  near: float | str
  within: float

  @property
  def phrase(self) -> str:
    """The condition as a table says it."""
    near = f'that of row {self.near}' if isinstance(self.near, str) else f'{self.near:g}'
    return f'{self.metric} is within {self.within:g} of {near}'


@dataclasses.dataclass(frozen=True)
class Rule:
  """A flag as an experiment file names it: a run has it if all conditions hold."""

  name: str
  text: str
  when: tuple[Condition, ...]

  @property
  def metrics(self) -> tuple[str, ...]:
    """All that are compared, each once."""
    return tuple(dict.fromkeys(condition.metric for condition in self.when))


@dataclasses.dataclass(frozen=True)
class OfRow:
  """What a flag says of a row.

  Attributes:
    flagged: (fold, seed) of the runs that have it.
    checked: finished runs of which all that is compared is known.
    done: finished runs.
  """

  row: str
  flagged: tuple[tuple[str, int], ...]
  checked: int
  done: int

  @property
  def count(self) -> str:
    """How many of those that could be checked are flagged."""
    return f'{len(self.flagged)} of {self.checked}'


@dataclasses.dataclass(frozen=True)
class Flag:
  """A rule, and what it says of each row that it is about."""

  rule: Rule
  rows: tuple[OfRow, ...]


def _number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _condition(given: Any, where: str) -> Condition:
  if not isinstance(given, Mapping) or set(given) != set(OF_CONDITION):
    raise UserError(f'{where}: when is {FORM}, found {given!r}')
  metric, near, within = (given[key] for key in OF_CONDITION)
  if not isinstance(metric, str) or not (_number(near) or isinstance(near, str)):
    raise UserError(f'{where}: when is {FORM}, found metric {metric!r} near {near!r}')
  if not _number(within) or within < 0:
    raise UserError(f'{where}: within is a number of at least 0, found {within!r}')
  metrics.parse(metric)
  return Condition(metric, near, within)


def read(specs: Iterable[Any]) -> tuple[Rule, ...]:
  """The flags of an experiment file or of table.json; a `UserError` if one is none."""
  out: dict[str, Rule] = {}
  for spec in specs:
    if not isinstance(spec, Mapping):
      raise UserError(f'a flag is a mapping of {", ".join(KEYS)}, found {spec!r}')
    name, text, when = (spec.get(key) for key in KEYS)
    if not isinstance(name, str) or not name.strip() or name in out:
      raise UserError(f'a flag has a name of its own, found {name!r}{" twice" if name in out else ""}')
    for key in spec:
      if key not in KEYS:
        raise unknown(f'key in flag {name!r}:', key, KEYS)
    if not isinstance(text, str) or not text.strip():
      raise UserError(f'flag {name!r}: text says what it means, found {text!r}')
    if not isinstance(when, Sequence) or isinstance(when, str) or not when:
      raise UserError(f'flag {name!r}: when is {FORM}, found {when!r}')
    out[name] = Rule(name, text, tuple(_condition(given, f'flag {name!r}') for given in when))
  return tuple(out.values())


def check(specs: Iterable[Any], rows: Iterable[str]) -> None:
  """Refuses flags with unknown keys, rows or metrics, and those of the wrong form.

  Args:
    specs: of an experiment file.
    rows: the names of its rows.

  Raises:
    UserError: as said.
  """
  for rule in read(specs):
    for condition in rule.when:
      if isinstance(condition.near, str) and condition.near not in rows:
        raise unknown(f'row in flag {rule.name!r}:', condition.near, rows)


def _values(loaded: Loaded, row: str, metric: str) -> dict[tuple[str, int], float]:
  """The metric of each of the row's runs."""
  sample = loaded.samples.get((row, metric))
  return {key: float(metrics.value(metric, s.sums.sum(0))) for key, s in sample.cells.items()} if sample else {}


def _distance(loaded: Loaded, condition: Condition, row: str) -> Callable[[tuple[str, int]], float]:
  """(fold, seed) -> how far that run of the row is from what it is compared with; NaN where either is not known."""
  values, by_fold = _values(loaded, row, condition.metric), {}
  if isinstance(condition.near, str):
    for (fold, _), value in _values(loaded, condition.near, condition.metric).items():
      by_fold.setdefault(fold, []).append(value)

  def near(fold: str) -> float:
    if not isinstance(condition.near, str):
      return condition.near
    found = by_fold.get(fold, by_fold.get(ALL, []))
    return sum(found) / len(found) if found else math.nan

  return lambda key: abs(values.get(key, math.nan) - near(key[0]))


def judge(rule: Rule, loaded: Loaded) -> Flag:
  """Says which finished runs have the flag."""
  references, rows = {condition.near for condition in rule.when}, []
  for row, finished in loaded.finished.items():
    if row in references or not any((row, metric) in loaded.samples for metric in rule.metrics):
      continue
    runs = [(cell['fold'], cell['seed']) for cell in finished]
    of_conditions = [(_distance(loaded, condition, row), condition.within) for condition in rule.when]
    apart = {run: [distance(run) - within for distance, within in of_conditions] for run in runs}
    checked = [run for run in runs if not any(map(math.isnan, apart[run]))]
    flagged = tuple(run for run in checked if max(apart[run]) <= 0)
    rows.append(OfRow(row, flagged, len(checked), len(runs)))
  return Flag(rule, tuple(rows))


def runs_text(runs: Iterable[tuple[str, int]]) -> str:
  """'fold 0: seeds 1, 2; fold 1: seed 0'."""
  by_fold: dict[str, list[str]] = {}
  for fold, seed in runs:
    by_fold.setdefault(fold, []).append(str(seed))
  return '; '.join(f'fold {fold}: seed{"s" * (len(s) > 1)} {", ".join(s)}' for fold, s in by_fold.items())


def note(flags: Iterable[Flag], metric: str) -> list[str]:
  """What is said under a metric's table: the flagged rows, if a flag looks at that metric."""
  out = []
  for flag in flags:
    flagged = [f'{of.row} ({of.count} runs)' for of in flag.rows if of.flagged]
    out += (
      [f'{escape(flag.rule.name)}: {", ".join(flagged)}; see Flags.'] if flagged and metric in flag.rule.metrics else []
    )
  return out


def lines(flags: Iterable[Flag], mark: str) -> list[str]:
  """The flags in Markdown; `mark` is put behind the heading."""
  out = ['', f'## Flags{mark}']
  for flag in flags:
    rule, shown = flag.rule, [of for of in flag.rows if of.flagged or of.checked < of.done]
    conditions = ' and '.join(condition.phrase for condition in rule.when)
    checked = sum(of.checked for of in flag.rows)
    out += ['', f'### {escape(rule.name)}{mark}', '', f'{escape(rule.text)} A run is flagged if {conditions}.', '']
    if shown:
      lacks = lambda of: [f'{of.done - of.checked} not checked'] if of.checked < of.done else []
      cells = ([of.row, of.count, '; '.join([*lacks(of), *[runs_text(of.flagged)] * bool(of.flagged)])] for of in shown)
      out += grid(['row', 'runs flagged', 'which'], cells)
      out += ['', UNCHECKED] if any(map(lacks, shown)) else []
    else:
      out += [f'None of {checked} runs of {len(flag.rows)} rows is.']
  return out


def csv_lines(flags: Iterable[Flag]) -> Iterable[dict[str, Any]]:
  """A line per flag and row: under `cells` how many runs are flagged, under `expected` of how many."""
  for flag in flags:
    for of in flag.rows:
      yield {'type': 'flag', 'id': flag.rule.name, 'row': of.row, 'cells': len(of.flagged), 'expected': of.checked,
             'text': runs_text(of.flagged)}  # fmt: skip
