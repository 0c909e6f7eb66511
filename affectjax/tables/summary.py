"""What a workdir's records say: every row's metrics, intervals, differences and verdicts, nothing trained."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine.cell import Folder
from affectjax.tables import bootstrap, claims, flags, matrix, records, scores, ttest

# `figures`, `matrices`, `flags` and `t_test` may be there as well
KEYS = ('title', 'table', 'experiment', 'kind', 'rows', 'metrics', 'seeds', 'baselines', 'published', 'claims', 'notes',
        'cells')  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Entry:
  """One row in one metric's table.

  Attributes:
    done, expected: its cells with the metric, and all. Only if none lacks are there intervals and differences.
    interval: None for a row that is known from publications only.
    baseline: the row it is compared with, or None.
    difference: row minus baseline, or None where either is incomplete or lacks the metric.
    published: (value or None if not known, source).
    verdict: of claims.py; '' where nothing is published.
  """

  row: str
  metric: str
  done: int
  expected: int
  interval: bootstrap.Interval | None
  baseline: str | None
  difference: bootstrap.Difference | None
  published: tuple[tuple[float | None, str], ...]
  verdict: str


@dataclasses.dataclass(frozen=True)
class Summary:
  """A workdir's table before it is written out.

  Attributes:
    table: the content of table.json.
    kind: 'synthetic' if the table or any record in it is, else 'prepared'.
    data: one phrase per corpus.
    revisions: of the code that the cells were run with.
    entries: metric -> its rows, in the table's order.
    claims: judged.
    matrices: what stands where in each.
    matrix_entries: (row, metric) of a matrix -> its entry, as far as there is one.
    flags: which runs have each.
    t_tests: comparison -> p (unpaired, paired) over folds; empty if the table does not ask for it.
    missing: (row, what it lacks and why), for rows with cells not done.
    notes: the table's own and those of this summary.
    loaded: what it all rests on.
  """

  table: Mapping[str, Any]
  kind: str
  data: tuple[str, ...]
  revisions: tuple[str, ...]
  entries: Mapping[str, tuple[Entry, ...]]
  claims: tuple[claims.Claim, ...]
  matrices: tuple[matrix.Matrix, ...]
  matrix_entries: Mapping[matrix.Pair, Entry]
  flags: tuple[flags.Flag, ...]
  t_tests: Mapping[claims.Pair, tuple[float, float]]
  missing: tuple[tuple[str, str], ...]
  notes: tuple[str, ...]
  loaded: 'Loaded'


def read_table(workdir: pathlib.Path) -> dict[str, Any]:
  """table.json of a workdir; a `UserError` where there is none or it is not one of ours."""
  path = workdir / 'table.json'
  if not path.is_file():
    raise UserError(f'{workdir} has no table.json, so it is no workdir; give the --workdir of a run')
  try:
    table = json.loads(path.read_text(encoding='utf-8'))
    missing = [key for key in KEYS if key not in table]
  except (ValueError, TypeError) as error:
    raise UserError(f'{path} is not a table ({error}); run the experiment again') from error
  if missing:
    raise UserError(f'{path} lacks {", ".join(missing)}; run the experiment again')
  return table


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A workdir read: samples by (row, metric), finished cells by row, how many there should be, why others are not."""

  samples: Mapping[tuple[str, str], bootstrap.Sample]
  finished: Mapping[str, Sequence[Mapping[str, Any]]]
  expected: Mapping[str, int]
  reasons: Mapping[str, Sequence[str]]
  records: Sequence[Mapping[str, Any]]

  def done(self, row: str) -> int:
    """The row's finished cells."""
    return len(self.finished[row])

  def scored(self, row: str, metric: str) -> int:
    """The row's cells that have the metric."""
    sample = self.samples.get((row, metric))
    return len(sample.cells) if sample else 0

  def lack(self, row: str, metric: str) -> str:
    """Why there is no interval of the row's metric; '' if nothing lacks."""
    if row not in self.expected:
      return f'row {row} is not in this run'
    if self.done(row) < self.expected[row]:
      return f'row {row}: {self.done(row)} of {self.expected[row]} cells'
    if self.scored(row, metric) < self.expected[row]:
      return f'row {row} has {metric} in {self.scored(row, metric)} of {self.expected[row]} cells'
    return ''


def _load(workdir: pathlib.Path, table: Mapping[str, Any], names: Sequence[str]) -> Loaded:
  known, rows = records.load(workdir), table['rows']
  finished, expected, reasons = ({row: kind() for row in rows} for kind in (list, int, list))
  sums, used = {}, []
  for cell in table['cells']:
    row, where = cell['row'], f'fold {cell["fold"]}, seed {cell["seed"]}'
    record = known.get((row, cell['fold'], cell['seed'], cell['fingerprint']))
    expected[row] += 1
    if record is None:
      failure = Folder(workdir / cell['dir']).failure
      reasons[row] += [f'{where} failed: {failure}'] if failure else []
      continue
    try:
      reduced = scores.sums(Folder(workdir / cell['dir']), names)
    except UserError:
      raise
    except ValueError as error:
      reasons[row].append(f'{where}: {error}')
      continue
    finished[row].append(cell)
    used.append(record)
    for name, value in reduced.items():
      sums.setdefault((row, name), {})[cell['fold'], cell['seed']] = value
  samples = {key: bootstrap.Sample(key[1], cells) for key, cells in sums.items()}
  return Loaded(samples, finished, expected, reasons, used)


def _data(used: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
  phrases = {
    f'{name} {d["version"]} ({d["kind"]}, sha256 {d["sha256"][:12]})' for r in used for name, d in r['data'].items()
  }
  return tuple(sorted(phrases))


def _difference(
  loaded: Loaded, row: str, against: str, metric: str, minus: claims.Pair | None = None
) -> bootstrap.Difference | str:
  """Row minus against, less the same of the pair `minus`; or why there is no such difference."""
  wanted = [(1, row, metric), (-1, against, metric)]
  if minus:
    wanted += [(-1, minus[0], minus[2]), (1, minus[1], minus[2])]
  for _, name, by in wanted:
    lack = loaded.lack(name, by)
    if lack:
      return lack
    # in a draw that misses the one group there is no difference of differences, so its interval would be too narrow
    if minus and len(loaded.samples[name, by].groups) < 2:
      return f'row {name} has {by} in fewer than 2 groups'
  return bootstrap.linear([(factor, loaded.samples[name, by]) for factor, name, by in wanted])


def _t_tests(loaded: Loaded, table: Mapping[str, Any]) -> dict[claims.Pair, tuple[float, float]]:
  """p over folds of each comparison that subtracts nothing, if the table asks for it; NaN where cells lack."""
  out = {}
  for c in (c for claim in table['claims'] for c in claim['compare'] if table.get('t_test') and 'minus' not in c):
    row, against, metric = pair = claims.pairs(c)[0]
    lacks = loaded.lack(row, metric) or loaded.lack(against, metric)
    both = () if lacks else (loaded.samples[row, metric], loaded.samples[against, metric])
    out[pair] = ttest.over_folds(*both) if both else ttest.NONE
  return out


def _entry(loaded: Loaded, table: Mapping[str, Any], kind: str, row: str, metric: str) -> Entry | None:
  published = tuple((p['value'], p['source']) for p in table['published'] if (p['row'], p['metric']) == (row, metric))
  sample = loaded.samples.get((row, metric))
  if sample is None:
    known = row not in table['rows'] and any(value is not None for value, _ in published)
    return Entry(row, metric, 0, 0, None, None, None, published, '') if known else None
  done, expected = loaded.scored(row, metric), loaded.expected[row]
  interval = bootstrap.interval(sample) if done == expected else bootstrap.mean_only(sample)
  baseline = table['baselines'].get(row)
  difference = _difference(loaded, row, baseline, metric) if baseline else ''
  verdict = ''
  if published or kind == 'synthetic':
    verdict = claims.beside_published(metric, [value for value, _ in published], interval, kind)
  return Entry(
    row, metric, done, expected, interval, baseline, None if isinstance(difference, str) else difference,
    published, verdict,
  )  # fmt: skip


def _missing(loaded: Loaded, rows: Sequence[str]) -> tuple[tuple[str, str], ...]:
  out = []
  for row in rows:
    if loaded.done(row) < loaded.expected[row]:
      count = f'{loaded.done(row)} of {loaded.expected[row]} cells'
      out.append((row, '; '.join([count, *loaded.reasons[row]])))
  return tuple(out)


def _torn(workdir: pathlib.Path) -> list[str]:
  path = workdir / 'results.jsonl'
  last = path.read_bytes()[-1:] if path.is_file() else b''
  return [] if last in (b'', b'\n') else ['the last line of results.jsonl was cut off while it was written; ignored']


def summarise(workdir: pathlib.Path, also: Sequence[str] = ()) -> Summary:
  """Reads a workdir.

  Args:
    workdir: of a run.
    also: metrics to load besides those of the table, its claims, matrices and flags.

  Raises:
    UserError: it is no workdir, a record is not one, a metric is unknown, or predictions do not fit a metric.
  """
  table = read_table(workdir)
  for claim in table['claims']:
    claims.check(claim)
  compared = [claims.pairs(c) for claim in table['claims'] for c in claim['compare']]
  claimed = [pair[2] for both in compared for pair in both if pair]
  matrices = matrix.read(table.get('matrices', ()))
  shown = list(dict.fromkeys(pair for one in matrices for pair in one.pairs))
  rules = flags.read(table.get('flags', ()))
  more = [*(metric for _, metric in shown), *(metric for rule in rules for metric in rule.metrics), *also]
  names = list(dict.fromkeys([*table['metrics'], *claimed, *more]))
  for name in names:
    metrics.parse(name)
  loaded = _load(workdir, table, names)
  kinds = {table['kind'], *(d['kind'] for r in loaded.records for d in r['data'].values())}
  kind = 'synthetic' if 'synthetic' in kinds else 'prepared'
  rows = list(dict.fromkeys([*table['rows'], *(p['row'] for p in table['published'])]))
  entries = {}
  for metric in table['metrics']:
    of_rows = [_entry(loaded, table, kind, row, metric) for row in rows]
    entries[metric] = tuple(entry for entry in of_rows if entry is not None)
  judged = tuple(claims.judge(claim, functools.partial(_difference, loaded)) for claim in table['claims'])
  cells = {(row, metric): _entry(loaded, table, kind, row, metric) for row, metric in shown}
  return Summary(
    table=table, kind=kind, data=_data(loaded.records),
    revisions=tuple(sorted({record['revision'] for record in loaded.records})),
    entries=entries, claims=judged, matrices=matrices,
    matrix_entries={pair: entry for pair, entry in cells.items() if entry is not None},
    flags=tuple(flags.judge(rule, loaded) for rule in rules),
    t_tests=_t_tests(loaded, table), missing=_missing(loaded, table['rows']),
    notes=(*table['notes'], *_torn(workdir)), loaded=loaded,
  )  # fmt: skip
