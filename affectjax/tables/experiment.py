"""An experiment file: loaded by its path, and refused in one line if it is no table that can be run."""

import ast
import contextlib
import inspect
import itertools
import pathlib
import sys
import traceback
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ml_collections

import affectjax
from affectjax.common.errors import UserError, unknown

# What `get_config` sets, and of which type; lists pass as tuples.
KEYS = {
  'title': str, 'table': str, 'tables': tuple, 'run': dict, 'rows': dict, 'order': tuple, 'folds': tuple,
  'seeds': tuple, 'metrics': tuple, 'baselines': dict, 'on_twins': dict, 'published': tuple, 'claims': tuple,
  'notes': tuple,
}  # fmt: skip
OPTIONAL = {'figures': tuple, 'matrices': tuple, 'flags': tuple, 't_test': bool}
ITEMS = {'tables': str, 'order': str, 'folds': str, 'metrics': str, 'notes': str, 'seeds': int, 'rows': dict,
         'on_twins': dict}  # fmt: skip
# What the launcher, the loop and the optimiser read of `run`, whatever the system; a system adds its own KEYS.
RUN = {
  '': 'system corpora per_fold epochs steps batch_size log_every eval_every select select_mode warm_start warm_modules '
  'twins data optim',
  'data': 'split seed',
  'optim': 'name lr l2 decay clip schedule factor patience drops',
}
RUN_OPTIONAL = {
  '': 'seed fold eval_epochs patience patience_for dispatch',
  'data': 'folds by dev held_out dev_shares_groups memory_gb',
  'optim': 'warmup beta1 beta2',
}
_SYSTEMS = pathlib.Path(affectjax.__file__).parent / 'systems'


def load(path: pathlib.Path, table: str | None = None) -> ml_collections.ConfigDict:
  """What `get_config` of an experiment file returns; while it runs, the file may import what lies beside it.

  Args:
    path: of the file.
    table: passed to `get_config`, if it is given.

  Raises:
    UserError: no such file, it cannot be run, or what it returns is refused by `check`.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    names = sorted(str(p) for p in pathlib.Path('experiments').glob('[!_]*.py'))
    raise UserError(f'{path}: no such experiment file; in ./experiments there is: {", ".join(names) or "none"}')
  module = types.ModuleType('experiment_file')
  module.__file__ = str(path)
  with _beside(path.resolve().parent), _refused(path):
    exec(compile(path.read_bytes(), str(path.resolve()), 'exec'), module.__dict__)
    get_config = getattr(module, 'get_config', None)
    if not callable(get_config):
      raise UserError(f'{path}: has no function get_config; {_expected()}')
    given = () if table is None else (table,)
    try:
      inspect.signature(get_config).bind(*given)
    except TypeError as error:
      what = f'takes no table, but :{table} was given' if given else f'cannot be called without a table ({error})'
      raise UserError(f'{path}: get_config {what}') from error
    config = get_config(*given)
  if not isinstance(config, ml_collections.ConfigDict):
    raise UserError(f'{path}: get_config returns {type(config).__name__}, not a ConfigDict; {_expected()}')
  check(config.copy_and_resolve_references().to_dict(), path)
  return config


@contextlib.contextmanager
def _beside(folder: pathlib.Path) -> Iterator[None]:
  """The folder is first where Python looks for modules, as for a script; what was imported of it is forgotten."""
  path, before = list(sys.path), set(sys.modules)
  sys.path.insert(0, str(folder))
  try:
    yield
  finally:
    sys.path[:] = path
    new = set(sys.modules) - before
    for top in {name for name in new if '.' not in name}:
      places = [getattr(sys.modules[top], '__file__', None), *getattr(sys.modules[top], '__path__', ())]
      if any(place and pathlib.Path(place).parent == folder for place in places):  # not deeper: a venv may lie there
        for name in (n for n in new if n == top or n.startswith(f'{top}.')):
          del sys.modules[name]


@contextlib.contextmanager
def _refused(path: pathlib.Path) -> Iterator[None]:
  """Whatever an experiment file raises, as one line with its place."""
  try:
    yield
  except UserError:
    raise
  except SyntaxError as error:
    raise UserError(f'{error.filename}: line {error.lineno}: {error.msg}') from error
  except ImportError as error:
    raise UserError(f'{path}: {error}; an experiment file may import ml_collections and files that lie beside it, '
                    'which are copied with it') from error  # fmt: skip
  except Exception as error:
    frames = [(pathlib.Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [f'{p.name} line {line}' for p, line in frames if p.is_relative_to(path.resolve().parent)]
    where = '' if type(error) is ValueError else f' ({", ".join([type(error).__name__, *own[-1:]])})'
    raise UserError(f'{path}: {error}{where}') from error


def _expected() -> str:
  return (f'get_config returns an ml_collections.ConfigDict with {", ".join(KEYS)}, and, if needed, '
          f'{", ".join(OPTIONAL)}')  # fmt: skip


def check(config: Mapping[str, Any], path: pathlib.Path) -> None:
  """Refuses what is no table: a key that is missing, unknown or of another type, at the top or under `run`.

  Args:
    config: what `get_config` returned, as plain values.
    path: of the file, for the refusal.

  Raises:
    UserError: names the key and all keys that are expected.
  """
  _compare(f'{path}: ', config, KEYS, OPTIONAL, _expected())
  for key, value in config.items():
    kind, each = {**KEYS, **OPTIONAL}[key], ITEMS.get(key, object)
    if not _is(value, kind):
      raise UserError(f'{path}: {key} is {value!r}, expected a {kind.__name__}; {_expected()}')
    items = value.values() if kind is dict else value if kind is tuple else ()
    for item in items:
      if not _is(item, each):
        raise UserError(f'{path}: {key} holds {item!r}, expected a {each.__name__} each')
  rows = config['rows']
  if sorted(config['order']) != sorted(rows):
    raise UserError(f'{path}: order is {", ".join(config["order"])}; expected each row once: {", ".join(rows)}')
  _check_run(config['run'], rows, path)


def _is(value: Any, kind: type) -> bool:
  """Whether a value is of a type of `KEYS`; True is no integer."""
  kinds = {tuple: (tuple, list), dict: Mapping}.get(kind, kind)
  return isinstance(value, kinds) and (kind is not int or not isinstance(value, bool))


def _check_run(run: Mapping[str, Any], rows: Mapping[str, Any], path: pathlib.Path) -> None:
  """Refuses keys under `run` that are missing, or that nothing reads."""
  systems = dict.fromkeys(row.get('system', run.get('system')) for row in rows.values())
  own = [] if 'system' not in run else [keys(name) for name in systems]
  required: dict[str, list[str]] = {}
  for part, names in itertools.chain(*(parts.items() for parts in (RUN, *filter(None, own)))):
    required.setdefault(part, []).extend(names.split())
  name = lambda part: f'run.{part}'.rstrip('.')
  listed = 'required are ' + '; '.join(f'{name(part)}: {", ".join(names)}' for part, names in required.items())
  for part, names in required.items():
    given = run.get(part) if part else run
    if not isinstance(given, Mapping):
      raise UserError(f'{path}: {name(part)} is {given!r}, expected keys; {listed}')
    # a system that does not say what it reads may read anything
    optional = RUN_OPTIONAL.get(part, '').split() if own and None not in own else given
    _compare(f'{path}: {name(part)}.', given, names, optional, listed)


def _compare(where: str, given: Iterable[str], required: Iterable[str], optional: Iterable[str], expected: str) -> None:
  """Refuses the keys `given` if they are not those that are required, and perhaps optional ones."""
  for key in required:
    if key not in given:
      raise UserError(f'{where}{key} is missing; {expected}')
  for key in given:
    if key not in required and key not in optional:
      raise UserError(f'{where}{key} is unknown; {expected}')


def keys(system: str) -> Mapping[str, str] | None:
  """`KEYS` of a system: part of `run` ('' for its top) -> names of the keys that it reads there, besides `RUN`.

  Read without importing the system, which would start JAX. None if it does not say.

  Raises:
    UserError: there is no such system.
  """
  places = (_SYSTEMS / f'{system}.py', _SYSTEMS / str(system) / '__init__.py')
  source = next((p for p in places if p.is_file()), None)
  if source is None:
    raise unknown('system', system, (p.stem for p in _SYSTEMS.iterdir() if not p.name.startswith('_')))
  for node in ast.parse(source.read_text()).body:
    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == 'KEYS' for t in node.targets):
      return ast.literal_eval(node.value)
  return None
