"""A workdir's table as Markdown and CSV, from its records alone and the same to the byte every time."""

import csv
import io
import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common import files
from affectjax.tables import bootstrap, flags, matrix, ttest
from affectjax.tables.claims import Claim, Comparison
from affectjax.tables.summary import Entry, Summary, summarise
from affectjax.tables.text import FEW, NOTHING, direction, escape, grid, interval_text, number_text, p_value, value_text

RESTS_ON = ('tables/*', 'metrics/*', 'objectives/student_t', 'objectives/distributions')  # .py, below affectjax
UNLIKE = 'other: the two rows were not scored on the same examples.'
COLUMNS = (
  'type', 'id', 'row', 'against', 'metric', 'better', 'kind', 'cells', 'expected', 'groups', 'mean', 'sd', 'low',
  'high', 'difference', 'difference_low', 'difference_high', 'improvement', 'improvement_low', 'improvement_high',
  'published', 'source', 'verdict', 'text',
)  # fmt: skip

SUBTRACTED = ('minus_row', 'minus_against', 'minus_metric')
TESTED = ('p_unpaired', 'p_paired')


def _groups(count: int) -> str:
  return f'{count} (few)' if count < bootstrap.FEW else str(count)


def _signed(d: bootstrap.Difference) -> str:
  return f'{number_text(d.mean, "+")} {interval_text(d.low, d.high, "+")}{"" if d.alike else " (other)"}'


def _line(entry: Entry, sources: dict[str, int]) -> list[str]:
  """One row of a metric's table; sources met for the first time are numbered."""
  published = []
  for value, source in entry.published:
    number = sources.setdefault(source or 'no source given', len(sources) + 1)
    published.append(f'{"n/k" if value is None else value_text(entry.metric, value)} [{number}]')
  tail = ['; '.join(published) or NOTHING, entry.verdict or NOTHING]
  if entry.interval is None:
    return [entry.row, NOTHING, 'published only', NOTHING, NOTHING, *tail]
  i, d, difference, interval = entry.interval, entry.difference, NOTHING, NOTHING
  mean = value_text(entry.metric, i.mean)
  if entry.done < entry.expected:
    mean = f'{mean} ({entry.done} of {entry.expected} cells)'
  else:
    mean = f'{mean} ± {value_text(entry.metric, i.sd)}'
    interval = NOTHING if metrics.counts(entry.metric) else interval_text(i.low, i.high)
  if d is not None:
    more = value_text(entry.metric, d.mean, '+') if metrics.counts(entry.metric) else _signed(d)
    difference = f'{more} to {entry.baseline}'
  return [entry.row, _groups(i.groups), mean, interval, difference, *tail]


def _metric(
  metric: str, entries: Sequence[Entry], mark: str, sources: dict[str, int], flagged: Sequence[flags.Flag]
) -> list[str]:
  head = ['row', 'groups', 'mean ± sd', '95 % interval', 'difference to baseline', 'published', 'verdict']
  out = ['', f'## {metric}, {direction(metric)}{mark}', '']
  if not entries:
    return [*out, 'No finished row has it.']
  out += grid(head, [_line(entry, sources) for entry in entries])
  measured = [entry for entry in entries if entry.interval is not None]
  notes = [FEW] if any(e.interval.groups < bootstrap.FEW for e in measured) else []
  unlike = any(e.difference is not None and not e.difference.alike for e in measured)
  notes += [UNLIKE] if unlike and not metrics.counts(metric) else []
  notes += flags.note(flagged, metric)
  return [*out, '', *notes] if notes else out


def _subtracts(summary: Summary) -> bool:
  return any(c.minus for claim in summary.claims for c in claim.comparisons)


def _subtracted(c: Comparison) -> str:
  return f'{c.minus[0]} against {c.minus[1]} by {c.minus[2]}' if c.minus else NOTHING


def _tested(c: Comparison, summary: Summary) -> tuple[float, float] | None:
  """p of the comparison's t-tests over folds, None where none was asked for."""
  return None if c.minus else summary.t_tests.get((c.row, c.against, c.metric))


def _p(both: tuple[float, float] | None) -> str:
  return ' / '.join(p_value(p) for p in both) if both else NOTHING


def _claim(claim: Claim, summary: Summary, mark: str) -> list[str]:
  subtracts = any(c.minus for c in claim.comparisons)
  tests = [_tested(c, summary) for c in claim.comparisons]
  tested = any(tests)
  head = ['row', 'against', 'metric', *['minus'] * subtracts, 'groups', 'improvement, 95 % interval',
          *['t-test over folds, p (unpaired / paired)'] * tested, 'verdict']  # fmt: skip
  lines = []
  for c, p in zip(claim.comparisons, tests, strict=True):
    d = c.improvement
    figures = [_groups(d.groups), _signed(d)] if d else [NOTHING, NOTHING]
    verdict = c.verdict + (f': {c.reason}' if c.reason else '')
    lines.append([c.row, c.against, c.metric, *[_subtracted(c)] * subtracts, *figures, *[_p(p)] * tested, verdict])
  return ['', f'### {claim.id}: {claim.verdict}{mark}', '', escape(claim.text), '', *grid(head, lines)]


def _claims(summary: Summary, mark: str) -> list[str]:
  text = 'Improvements are positive where the row is better, whichever way the metric points.'
  if _subtracts(summary):
    text += ' Of the pair under minus, the improvement is taken off, on the same draws.'
  if summary.t_tests:
    text += f' {ttest.SENTENCE}'
  lines = (line for claim in summary.claims for line in _claim(claim, summary, mark))
  return ['', f'## Claims{mark}', '', text, *lines]


def markdown(summary: Summary) -> str:
  """The table as Markdown."""
  mark = ' (synthetic)' if summary.kind == 'synthetic' else ''
  table, sources = summary.table, {}
  seeds = ', '.join(map(str, table['seeds']))
  out = [
    f'# {escape(table["title"])}{mark}', '',
    f'Table {table["table"]} of experiment {table["experiment"]}, on {summary.kind} data.',
    f'Data: {", ".join(summary.data) or "no finished cell yet"}.',
    *([f'Command: `{table["command"]}`; revision {", ".join(summary.revisions) or "of no cell yet"}.']
      if 'command' in table else []),
    f'Mean over seeds ({seeds}) of the mean over folds, ± sd over seeds; 95 % intervals by drawing groups '
    f'{bootstrap.REPLICATES} times; differences are row minus baseline on the same draws.',
  ]  # fmt: skip
  for metric, entries in summary.entries.items():
    out += _metric(metric, entries, mark, sources, summary.flags)
  for one in summary.matrices:
    out += matrix.lines(one, summary.matrix_entries, mark)
  if sources:
    out += ['', '## Sources', '', *(f'[{i}] {escape(source)}  ' for source, i in sources.items())]
  if summary.claims:
    out += _claims(summary, mark)
  if summary.flags:
    out += flags.lines(summary.flags, mark)
  if summary.missing:
    out += ['', '## Unfinished', '', *(f'- {escape(row)}: {escape(text)}' for row, text in summary.missing)]
  if summary.notes:
    out += ['', '## Notes', '', *(f'- {escape(note)}' for note in summary.notes)]
  return '\n'.join(out) + '\n'


def _exact(x: float | None) -> str:
  """12 digits: more than any table needs, fewer than could differ between two machines."""
  return '' if x is None or math.isnan(x) else f'{x:.12g}'


def _csv_entry(entry: Entry, kind: str) -> dict[str, object]:
  i, d = entry.interval, entry.difference
  line = {
    'type': 'row' if i else 'published', 'row': entry.row, 'metric': entry.metric,
    'better': metrics.better(entry.metric), 'kind': kind if i else '', 'cells': entry.done,
    'expected': entry.expected, 'verdict': entry.verdict,
    'published': '; '.join('n/k' if v is None else _exact(v) for v, _ in entry.published),
    'source': '; '.join(source for _, source in entry.published),
  }  # fmt: skip
  if i:
    line |= {'groups': i.groups, 'mean': _exact(i.mean), 'sd': _exact(i.sd)}
    line |= {'low': _exact(i.low), 'high': _exact(i.high), 'against': entry.baseline or ''}
  if d:
    line |= {'difference': _exact(d.mean), 'difference_low': _exact(d.low), 'difference_high': _exact(d.high)}
  return line


def table_csv(summary: Summary) -> str:
  """The table in long form: a line per row and metric, per claim, per comparison, per flag and row, and per
  unfinished row.

  Only if some claim subtracts there are columns for what it does, and for t-tests only if the table has some. What
  stands in a matrix alone has its line as well.
  """
  text = io.StringIO()
  more = (*(SUBTRACTED if _subtracts(summary) else ()), *(TESTED if summary.table.get('t_test') else ()))
  out = csv.DictWriter(text, (*COLUMNS, *more), restval='', lineterminator='\n')
  out.writeheader()
  for entries in summary.entries.values():
    out.writerows(_csv_entry(entry, summary.kind) for entry in entries)
  alone = (entry for (_, metric), entry in summary.matrix_entries.items() if metric not in summary.entries)
  out.writerows(_csv_entry(entry, summary.kind) for entry in alone)
  for claim in summary.claims:
    same = {'id': claim.id, 'kind': summary.kind}
    out.writerow({'type': 'claim', **same, 'verdict': claim.verdict, 'text': claim.text})
    for c in claim.comparisons:
      line = {'type': 'comparison', **same, 'row': c.row, 'against': c.against, 'metric': c.metric}
      line |= {'better': metrics.better(c.metric), 'verdict': c.verdict, 'text': c.reason}
      line |= dict(zip(SUBTRACTED, c.minus or (), strict=False))
      line |= dict(zip(TESTED, map(_exact, _tested(c, summary) or ()), strict=False))
      if c.improvement:
        d = c.improvement
        line |= {'groups': d.groups, 'improvement': _exact(d.mean)}
        line |= {'improvement_low': _exact(d.low), 'improvement_high': _exact(d.high)}
      out.writerow(line)
  out.writerows({**line, 'kind': summary.kind} for line in flags.csv_lines(summary.flags))
  for row, reason in summary.missing:
    out.writerow({'type': 'unfinished', 'row': row, 'kind': summary.kind, 'text': reason})
  return text.getvalue()


def render(workdir: pathlib.Path) -> tuple[str, str]:
  """The table of a workdir as (Markdown, CSV)."""
  summary = summarise(pathlib.Path(workdir))
  return markdown(summary), table_csv(summary)


def write(workdir: pathlib.Path) -> str:
  """Writes table.md and table.csv, each whole or not at all, and returns the Markdown."""
  workdir = pathlib.Path(workdir)
  text, rows = render(workdir)
  files.write_text(workdir / 'table.md', text)
  files.write_text(workdir / 'table.csv', rows)
  return text


def is_current(workdir: pathlib.Path, definition: Mapping[str, Any]) -> bool:
  """Whether table.md and table.csv are what `write` would leave, so that nothing needs to be written.

  They are if table.json says the same as `definition`, and the two are younger than it, than the records and than
  the code that renders them.
  """
  table, results = workdir / 'table.json', workdir / 'results.jsonl'
  outputs = [workdir / 'table.md', workdir / 'table.csv']
  if not all(path.is_file() for path in (table, results, *outputs)):
    return False
  try:
    if json.loads(table.read_text(encoding='utf-8')) != json.loads(json.dumps(definition)):
      return False
  except ValueError:  # not JSON: it is written anew
    return False
  package = pathlib.Path(__file__).resolve().parents[1]
  sources = [table, results, *(path for name in RESTS_ON for path in package.glob(f'{name}.py'))]
  return min(path.stat().st_mtime_ns for path in outputs) >= max(path.stat().st_mtime_ns for path in sources)


def console(text: str) -> None:
  """Prints a table as it stands in table.md."""
  sys.stdout.write(text)
  sys.stdout.flush()
