"""Runs an experiment's table: every cell without a record, then prints it with intervals, verdicts and claims.

python -m affectjax.main --config=experiments/mtclar.py [--data_dir=DIR] [--workdir=runs/mtclar] [--rows=a,b]
  [--folds=0,1] [--seeds=0,1,2] [--config.run.steps=200] [--list] [--dry_run]

Exit status: 0 all cells done; 1 some cell failed; 2 usage.
"""

import ctypes
import functools
import os
import pathlib
import platform
import shlex
import sys
import time

from absl import flags
from ml_collections import config_flags

from affectjax.commands import arguments as command
from affectjax.commands.progress import Progress
from affectjax.common import files
from affectjax.common.errors import UserError
from affectjax.tables import cells as cells_lib
from affectjax.tables import experiment, render


class _ExperimentFile(flags.ArgumentParser):
  """The value of --config, `path[:table]`, as the ConfigDict that the file returns; locked, so that no key is new."""

  def parse(self, argument: str):
    path, colon, table = argument.partition(':')
    return experiment.load(pathlib.Path(path), table if colon else None).lock()


_CONFIG = config_flags.DEFINE_config_file('config', None, 'Experiment file, e.g. experiments/mtclar.py[:table].')
flags.FLAGS['config'].parser = _ExperimentFile()
_WORKDIR = flags.DEFINE_string('workdir', None, 'Where results go; runs/<experiment>[-<table>] if not given.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Prepared corpora; without it synthetic twins are used.')
_ROWS = flags.DEFINE_list('rows', [], 'Only these rows (and what they start from).')
_FOLDS = flags.DEFINE_list('folds', [], 'Only these folds.')
_SEEDS = flags.DEFINE_list('seeds', [], "These seeds instead of the table's.")
_LIST = flags.DEFINE_bool('list', False, 'Print rows, folds, seeds and the other tables, and stop.')
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Check what can be checked, print which cells would run, and stop.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'Several hosts: address of the first, host:port, or "auto".')
_PROCESSES = flags.DEFINE_integer('processes', None, 'Several hosts: how many.')
_PROCESS = flags.DEFINE_integer('process', None, 'Several hosts: which one this is, from 0.')


def _table() -> cells_lib.Table:
  """The table that the flags name, its config checked and overridden."""
  config = _CONFIG.value
  if config is None:
    raise UserError('--config is missing; name an experiment file, e.g. --config=experiments/mtclar.py')
  path = pathlib.Path(config_flags.get_config_filename(flags.FLAGS['config']).partition(':')[0])
  given = config_flags.get_override_values(flags.FLAGS['config'])
  outside = [k for k in given if not k.startswith('run.')]
  if outside:
    raise UserError(f'--config.{outside[0]} cannot be set by flag; set --config.run.*, or --rows, --folds, --seeds')
  plain = config.copy_and_resolve_references().to_dict()
  for key in given:
    if isinstance(functools.reduce(lambda tree, name: tree[name], key.split('.'), plain), dict):
      raise UserError(f'--config.{key} holds several keys; set them one by one, as --config.{key}.NAME=VALUE')
  experiment.check(plain, path)
  keys = frozenset(k.removeprefix('run.') for k in given)
  return cells_lib.Table(plain, path.name, _DATA_DIR.value, keys)


def _command(table: cells_lib.Table) -> str:
  """The command that these results come from, without where the file and the data lie on this machine."""
  name, colon, chosen = config_flags.get_config_filename(flags.FLAGS['config']).partition(':')
  path = pathlib.Path(name)
  given = config_flags.get_override_values(flags.FLAGS['config'])
  picked = {'rows': _ROWS.value, 'folds': _FOLDS.value, 'seeds': _SEEDS.value}
  parts = [
    f'--config={path.name if path.is_absolute() else path}{colon}{chosen}',
    *(f'--config.{key}={value}' for key, value in given.items()),
    *(f'--{key}={",".join(values)}' for key, values in picked.items() if values),
    *([] if table.data_dir is None else ['--data_dir=DIR']),
  ]
  return f'python -m affectjax.main {shlex.join(parts)}'


def _seeds() -> list[int]:
  try:
    return [int(s) for s in _SEEDS.value]
  except ValueError as error:
    raise UserError(f'--seeds={",".join(_SEEDS.value)}: {error}; expected whole numbers') from error


def _workdir(table: cells_lib.Table) -> pathlib.Path:
  """Where results go: --workdir, or runs/<experiment>[-<table>][-prepared]."""
  if _WORKDIR.value:
    return pathlib.Path(_WORKDIR.value)
  name, default = pathlib.Path(table.experiment).stem, table.config['tables'][0]
  name += '' if table.config['table'] == default else f'-{table.config["table"]}'
  return pathlib.Path('runs') / (name + ('' if table.data_dir is None else '-prepared'))


def _print_list(table: cells_lib.Table) -> None:
  config = table.config
  print(f'{config["title"]}\ntable: {config["table"]} (of {", ".join(config["tables"])})')
  print(f'folds: {", ".join(config["folds"])}\nseeds: {", ".join(map(str, config["seeds"]))}\nrows:')
  for name in config['order']:
    run = table.row(name)
    start = f', starts from {run["warm_start"]}' if run['warm_start'] else ''
    folds = '' if run['per_fold'] else ', one for all folds'
    print(f'  {name}: {run["stage"] if "stage" in run else run["system"]} on {", ".join(run["corpora"])}{start}{folds}')


def _keep_memory() -> None:
  """Lets glibc keep freed memory for the next step.

  XLA's CPU client allocates and frees its buffers anew every step; handed back to the kernel, an 11 M parameter step
  took 37,000 page faults, a fifth of its CPU time. These settings make it none.
  """
  if platform.libc_ver()[0] == 'glibc':
    mallopt = ctypes.CDLL(None).mallopt
    for option, value in ((-8, 1), (-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # ARENA_MAX MMAP_MAX TRIM_THRESHOLD TOP_PAD
      mallopt(option, value)


def _start_jax() -> bool:
  """Compilation cache and, where asked for, the other hosts; returns whether this is the first host."""
  _keep_memory()
  import jax

  cache = pathlib.Path(os.environ.get('XDG_CACHE_HOME', pathlib.Path.home() / '.cache')) / 'affectjax' / 'jax'
  if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    jax.config.update('jax_compilation_cache_dir', str(cache))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  if _COORDINATOR.value:
    from affectjax.engine import parallel

    address = None if _COORDINATOR.value == 'auto' else _COORDINATOR.value
    parallel.initialize(address, _PROCESSES.value, _PROCESS.value)
  return jax.process_index() == 0


def main(arguments: list[str]) -> int:
  """Runs what the flags ask for; returns the exit status. There are no positional `arguments`."""
  if arguments:
    raise UserError(f'unexpected argument {arguments[0]!r}; everything is a flag, see --help')
  if not _COORDINATOR.value and (_PROCESSES.value, _PROCESS.value) != (None, None):
    raise UserError('--coordinator is missing; with --processes and --process it names the first host, host:port')
  table = _table()
  if _LIST.value:
    return _print_list(table)
  cells = cells_lib.plan(table, _ROWS.value, _FOLDS.value, _seeds())
  workdir = _workdir(table)
  definition = {**cells_lib.definition(table, cells), 'command': _command(table)}
  finished = cells_lib.done(workdir, cells)
  if _DRY_RUN.value:
    cells_lib.refuse_unserved(table, cells)
    for cell in cells:
      print(f'{"done" if cell.key in finished else "to run"}  {cell.folder}')
    return 0
  todo = [c for c in cells if c.key not in finished]
  first_host = _start_jax() if todo or _COORDINATOR.value else True
  workdir.mkdir(parents=True, exist_ok=True)
  unchanged = not todo and render.is_current(workdir, definition)
  if first_host and not unchanged:
    files.write_json(workdir / 'table.json', definition)
  failed = _run(table, todo, len(cells), workdir, first_host)
  if first_host:
    markdown = (workdir / 'table.md').read_text() if unchanged else render.write(workdir)
    render.console(markdown)
    print(f'{workdir}/table.md, {workdir}/table.csv; {len(todo) - failed} cells run, {len(finished)} were done, '
          f'{failed} failed')  # fmt: skip
  return 1 if failed else 0


def _run(table, todo, total: int, workdir: pathlib.Path, first_host: bool) -> int:
  """Runs the cells `todo` of a table of `total`; returns how many failed."""
  failed = 0
  with Progress(total, total - len(todo), enabled=first_host) as progress:
    for cell in todo:
      progress.cell(cell.row, cell.fold, cell.seed)
      began = time.monotonic()
      reason = cells_lib.run_cell(table, cell, workdir, progress.step, first_host)
      failed += reason is not None
      progress.finished(reason, time.monotonic() - began)
  return failed


if __name__ == '__main__':
  sys.exit(command.run(main))
