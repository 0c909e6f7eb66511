"""A table is rows x folds x seeds: which cells there are, which are done, and how the rest is run."""

import dataclasses
import functools
import itertools
import pathlib
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from affectjax import metrics
from affectjax.common.errors import UserError, unknown
from affectjax.data.store import opening
from affectjax.engine.cell import Folder
from affectjax.tables import claims, figures, fingerprints, flags, matrix, records, scores

ALL = 'all'  # the fold of a row that does not depend on folds
NO_RESULT = frozenset({'log_every', 'data.memory_gb'})  # settings under `run` that change none


@dataclasses.dataclass(frozen=True)
class Cell:
  """One training (or prediction): a row on a fold with a seed.

  Attributes:
    config: fully resolved, plain values.
    fingerprint: of config, data, the code that matters, and of the cell it starts from.
    warm: the cell whose parameters it starts from.
  """

  row: str
  fold: str
  seed: int
  config: Mapping[str, Any]
  fingerprint: str
  warm: 'Cell | None' = None

  @property
  def key(self) -> tuple[str, str, int, str]:
    """What its record is filed under."""
    return self.row, self.fold, self.seed, self.fingerprint

  @property
  def folder(self) -> str:
    """Relative to the workdir."""
    return f'cells/{self.row}/{self.fold}-{self.seed}-{self.fingerprint[:8]}'


def merge(base: Mapping[str, Any], change: Mapping[str, Any], where: str) -> dict[str, Any]:
  """`base` with what `change` names; a key that base does not have is refused."""
  out = dict(base)
  for key, value in change.items():
    if key not in base:
      raise unknown(f'key in {where}', key, base)
    if isinstance(base[key], Mapping) and not isinstance(value, Mapping):
      raise UserError(f'{where}: {key} is {value!r}, expected some of its keys: {", ".join(base[key])}')
    if isinstance(base[key], Mapping) and key != 'twins':
      out[key] = merge(base[key], value, f'{where}.{key}')
    else:
      out[key] = value
  return out


def _without(tree: Mapping[str, Any], keys: frozenset[str], prefix: str = '') -> dict[str, Any]:
  """`tree` without the dotted keys, at whatever depth."""
  return {
    name: _without(value, keys, f'{prefix}{name}.') if isinstance(value, Mapping) else value
    for name, value in tree.items()
    if f'{prefix}{name}' not in keys
  }


@dataclasses.dataclass(frozen=True)
class Table:
  """An experiment file's table, resolved.

  Attributes:
    config: what `get_config` returned, as plain values.
    experiment: name of the file, for the record.
    data_dir: prepared corpora; None for twins.
    given: dotted keys under `run` that were set by flag.
  """

  config: Mapping[str, Any]
  experiment: str
  data_dir: str | None
  given: frozenset[str] = frozenset()

  @property
  def kind(self) -> str:
    """Of the data: 'prepared' or 'synthetic'."""
    return 'prepared' if self.data_dir else 'synthetic'

  def row(self, name: str) -> dict[str, Any]:
    """The resolved run config of a row, without fold and seed."""
    rows = self.config['rows']
    if name not in rows:
      raise unknown('row', name, rows)
    clash = {k for k, _ in records.flatten(rows[name])} & self.given
    if clash:
      raise UserError(f'row {name!r} sets {", ".join(sorted(clash))} itself; it cannot also be set by --config.run')
    if self.data_dir is not None and 'twins' in rows[name]:
      raise UserError(f'row {name!r} is of a synthetic twin with other knobs; there is no such row with --data_dir')
    run = merge(self.config['run'], rows[name], f'row {name}')
    if self.data_dir is None:
      run = merge(run, _without(self.config['on_twins'].get(name, {}), self.given), f'on_twins {name}')
    # knobs of other corpora must not enter the fingerprint
    run['twins'] = {n: run['twins'].get(n, {}) for n in run['corpora']} if self.data_dir is None else {}
    return run

  def folds(self, run: Mapping[str, Any]) -> Sequence[str]:
    """The folds of a row with this run config."""
    return self.config['folds'] if run['per_fold'] else (ALL,)


def plan(table: Table, rows: Sequence[str] = (), folds: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[Cell]:
  """The cells asked for, in the order in which they run: whatever a cell starts from comes before it.

  Args:
    table: the table.
    rows, folds, seeds: which; empty for all. Rows that others start from are added.

  Raises:
    UserError: unknown rows, folds or seeds, with those there are.
  """
  for fold in folds:
    if fold not in table.config['folds']:
      raise unknown('fold', fold, table.config['folds'])
  for seed in seeds:
    if seed < 0:
      raise UserError(f'seed {seed} is negative; expected 0 or more')
  planned: dict[tuple, Cell] = {}
  make = functools.partial(_cell, table, planned)
  for name, seed in itertools.product(rows or table.config['order'], seeds or table.config['seeds']):
    for fold in table.folds(table.row(name)):
      if not folds or fold in folds or fold == ALL:
        make(name, fold, seed, ())
  return list(planned.values())


def _cell(table: Table, planned: dict, row: str, fold: str, seed: int, above: tuple[str, ...]) -> Cell:
  if row in above:
    raise UserError(f'rows {" -> ".join((*above, row))} start from each other')
  run = table.row(row)
  fold = fold if run['per_fold'] else ALL
  if (row, fold, seed) in planned:
    return planned[row, fold, seed]
  warm = None
  if run['warm_start']:
    source = table.row(run['warm_start'])
    if fold == ALL and source['per_fold']:
      raise UserError(f'row {row!r} has no folds, so it cannot start from {run["warm_start"]!r}, which has')
    warm = _cell(table, planned, run['warm_start'], fold, seed, (*above, row))
  config = {**run, 'fold': fold, 'seed': seed}
  identity = {
    'config': _without(config, NO_RESULT),
    'data': {name: _corpus(config, name, table.data_dir).sha256 for name in config['corpora']},
    'code': fingerprints.code_hash(config['system'], config['select']),
    'warm': warm.fingerprint if warm else None,
  }
  cell = Cell(row, fold, seed, config, fingerprints.fingerprint(identity), warm)
  planned[row, fold, seed] = cell
  return cell


def _corpus(config: Mapping[str, Any], name: str, data_dir: str | None):
  return opening.open_corpus(name, data_dir, **({} if data_dir else config['twins'].get(name, {})))


def definition(table: Table, cells: Iterable[Cell]) -> dict[str, Any]:
  """table.json: all that rendering needs besides the records.

  Raises:
    UserError: a metric, baseline, claim, figure, matrix or flag of the experiment file is none; better now than when
      all is trained.
  """
  config, cells = table.config, list(cells)
  optional = {key: list(config.get(key, ())) for key in ('figures', 'matrices', 'flags')}
  optional['t_test'] = config.get('t_test', False)
  for name in config['metrics']:
    metrics.parse(name)
  for row, baseline in config['baselines'].items():
    if row in config['rows'] and baseline not in config['rows']:
      raise unknown(f'baseline of row {row}', baseline, config['rows'])
  for claim in config['claims']:
    claims.check(claim)
  figures.check(optional['figures'], config['rows'])
  matrix.check(optional['matrices'], config['rows'])
  flags.check(optional['flags'], config['rows'])
  if not isinstance(optional['t_test'], bool):
    raise UserError(f't_test is True or False, found {optional["t_test"]!r}')
  names = [r for r in config['order'] if any(c.row == r for c in cells)]
  return {
    'title': config['title'],
    'table': config['table'],
    'experiment': table.experiment,
    'kind': table.kind,
    'rows': names,
    'metrics': list(config['metrics']),
    'folds': {r: list(dict.fromkeys(c.fold for c in cells if c.row == r)) for r in names},
    'seeds': sorted({c.seed for c in cells}),
    'baselines': {r: config['baselines'].get(r) for r in names},
    'published': list(config['published']),
    'claims': list(config['claims']),
    'notes': list(config['notes']),
    **{key: value for key, value in optional.items() if value},
    'cells': [
      {'row': c.row, 'fold': c.fold, 'seed': c.seed, 'fingerprint': c.fingerprint, 'dir': c.folder} for c in cells
    ],
  }


def refuse_unserved(table: Table, cells: Iterable[Cell]) -> None:
  """Refuses a rule of splits that its prepared corpus cannot serve, which a cell would say when it is run."""
  from affectjax.examples import examples, splits

  checked = set()
  for config in (c.config for c in cells if c.config['corpora'] and table.data_dir):
    what = fingerprints.fingerprint([config['corpora'][0], config['data'], config['fold']])
    if what not in checked:
      splits.refuse_unserved(examples.load(config, table.data_dir, ()), config)
      checked.add(what)


def done(workdir: pathlib.Path, cells: Iterable[Cell]) -> set[tuple]:
  """The cells whose record and predictions are there."""
  known = records.load(workdir)
  return {c.key for c in cells if c.key in known and Folder(workdir / c.folder).finished}


def run_cell(table: Table, cell: Cell, workdir: pathlib.Path, watch, first_host: bool) -> str | None:
  """Runs one cell and records it; a failure is written down (FAILED) and returned as one line."""
  from affectjax.engine import checkpoint, train  # JAX starts only when something is to be trained

  folder, began = workdir / cell.folder, time.time()
  if cell.warm is not None and Folder(workdir / cell.warm.folder).failure:
    return _failed(folder, f'UserError: not run: row {cell.warm.row!r}, from which it starts, failed', first_host)
  folder.mkdir(parents=True, exist_ok=True)
  try:
    if first_host:
      Folder(folder).begin({
        'config': cell.config, 'fingerprint': cell.fingerprint, 'row': cell.row, 'kind': table.kind,
        'warm_start': cell.warm.folder if cell.warm else None, **_trained_on(table, cell),
      })  # fmt: skip
    warm = workdir / cell.warm.folder if cell.warm else None
    result = train.run(cell.config, folder, table.data_dir, warm, watch)
  except Exception:  # one cell's failure must not stop the others; it is kept whole in FAILED
    return _failed(folder, traceback.format_exc(), first_host)
  if first_host:
    records.append(workdir, _record(table, cell, folder, result, time.time() - began))
    checkpoint.drop_steps(folder)  # not before the record is there: a kill in between must not train again
  return None


def _trained_on(table: Table, cell: Cell) -> dict[str, Any]:
  """What `affectjax.predict` holds new features against: the corpus's modalities and what its labels are called."""
  if not cell.config['corpora']:
    return {}
  meta = _corpus(cell.config, cell.config['corpora'][0], table.data_dir).meta
  rates, columns, features = meta.get('rate_hz', {}), meta.get('columns', {}), {}
  for name, width in meta.get('modalities', {}).items():
    features[name] = {'width': int(width), 'rate_hz': None if rates.get(name) is None else float(rates[name])}
    if len(columns.get(name, ())) == width:
      features[name]['columns'] = list(columns[name])
  labels = {key: list(meta.get(key, ())) for key in ('attributes', 'emotions')}
  return {'features': features, 'labels': {**labels, 'rate_hz': meta.get('label_rate_hz')}}


def _failed(folder: pathlib.Path, text: str, first_host: bool) -> str:
  if first_host:
    Folder(folder).fail(text)
  return text.strip().splitlines()[-1]


def _record(table: Table, cell: Cell, folder: pathlib.Path, result, seconds: float) -> dict[str, Any]:
  import jax

  devices = jax.devices()
  corpora = {name: _corpus(cell.config, name, table.data_dir) for name in cell.config['corpora']}
  return {
    'row': cell.row,
    'fold': cell.fold,
    'seed': cell.seed,
    'fingerprint': cell.fingerprint,
    'config': cell.config,
    'scores': _scores(Folder(folder), table.config['metrics']),
    'dev': result.dev,
    'data': {name: {**c.describe(), 'nonfinite': c.meta.get('nonfinite', {})} for name, c in corpora.items()},
    'revision': _revision(),
    'packages': _packages(),
    'device': f'{len(devices)} x {devices[0].device_kind}',
    'seconds': round(seconds, 3),
    'timing': result.timing,
    'steps': result.steps,
    'selected_step': result.selected_step,
    'cell': cell.folder,
  }


def _scores(folder: Folder, names: Sequence[str]) -> dict[str, float]:
  """The table's metrics on test; none if one does not fit, which the report refuses: the cell is done all the same."""
  try:
    return scores.points(folder, names)
  except UserError:
    return {}


_revision = functools.lru_cache(maxsize=1)(records.revision)
_packages = functools.lru_cache(maxsize=1)(records.packages)
