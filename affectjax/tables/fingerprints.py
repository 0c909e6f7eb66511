"""What a finished cell is known by: a hash of its config and data, and of the code that its training depends on.

That code is the modules of the system, of the loop and of all they import of affectjax, without comments, docstrings,
the texts of refusals and checks of shapes. Rooms in which nothing is trained are left out. Of layers, objectives and
metrics only the definitions count that are used, and of metrics so does the one that selects a step.
"""

import ast
import functools
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import affectjax
from affectjax import metrics
from affectjax.common import files
from affectjax.common.errors import unknown

ROOT = pathlib.Path(affectjax.__file__).parent
METRICS, TABLE = 'affectjax.metrics', 'affectjax.metrics.table'
# Where nothing is trained. A prepared corpus is known by the hash of its records, a twin by that of its generator.
LEFT_OUT = tuple(
  f'affectjax.{room}'
  for room in ('commands', 'common', 'data.corpora', 'data.exchange', 'data.own', 'data.store', 'data.twins',
               'engine.cell', 'engine.clock', 'engine.programs', 'tables')
)  # fmt: skip
IN_PARTS = (METRICS, 'affectjax.layers', 'affectjax.objectives')
CONTAINERS = ('Metric', 'METRICS', 'SUBSETS')  # they hold all definitions; those that are wanted are taken out singly


def fingerprint(value: Any) -> str:
  """sha256 of a JSON-like value, independent of key order."""
  return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()


@functools.lru_cache(maxsize=64)
def code_hash(system: str, select: str) -> str:
  """sha256 of the code that a cell's results depend on.

  Args:
    system: name of the package below `affectjax.systems`.
    select: the dev score that selects its step, `run.select`; the definition counts if it is a metric.

  Raises:
    UserError: there is no such system.
  """
  if _path(f'affectjax.systems.{system}') is None:
    raise unknown('system', system, (p.stem for p in (ROOT / 'systems').iterdir() if not p.name.startswith('_')))
  modules, named, seen = [f'affectjax.systems.{system}', 'affectjax.engine.train'], _metric(select), {}
  while modules or named:
    if modules:
      name = modules.pop()
      if name in seen or _path(name) is None or name.startswith(IN_PARTS) or _left_out(name):
        continue
      source = _source(name)
      seen[name], used = source.text, source.used
    else:
      name, node, module = named.pop()
      if name in seen:
        continue
      seen[name], used = ast.unparse(node), _used(node, _source(module), module)
    for dotted in used:
      modules += [dotted, dotted.rpartition('.')[0]]
      named += _definition(dotted)
  return fingerprint(sorted(seen.items()))


class Source(NamedTuple):
  """A module, of which only the meaning is kept.

  Attributes:
    text: of the whole module.
    aliases: names that it imports from affectjax, and what they stand for, dotted.
    symbols: the statements at its top level by the names that they define.
    used: dotted names of affectjax that it imports or uses.
  """

  text: str
  aliases: Mapping[str, str]
  symbols: Mapping[str, list[ast.stmt]]
  used: frozenset[str]


Part = tuple[str, ast.AST, str]  # of a module: its name, its syntax, the module


def _metric(name: str) -> list[Part]:
  """What defines a metric: its entry in the table; all entries if it has none of its own; nothing for no metric."""
  key = max((key for key in metrics.METRICS if name.startswith(f'{key}.')), key=len, default=None)
  if key is None:
    return []
  statements = _source(TABLE).symbols['METRICS']
  entries = [statement.value for statement in statements if isinstance(statement.value, ast.Dict)]
  own = [v for entry in entries for k, v in zip(entry.keys, entry.values, strict=True)
         if isinstance(k, ast.Constant) and k.value == key]  # fmt: skip
  nodes = own or [statement.value for statement in statements]
  if name.count('.') > key.count('.') + 1:  # of a subset
    nodes = [*nodes, *_source(TABLE).symbols['SUBSETS']]
  return [(f'{TABLE}.{key} {i}', node, TABLE) for i, node in enumerate(nodes)]


def _definition(dotted: str) -> list[Part]:
  """What a name of `IN_PARTS` stands for; of a function at the door of metrics, the metrics that it names."""
  module, _, symbol = dotted.rpartition('.')
  if not module.startswith(IN_PARTS) or symbol in CONTAINERS or _path(module) is None:
    return []
  if (elsewhere := _source(module).aliases.get(symbol, dotted)) != dotted:
    return _definition(elsewhere)
  nodes = _source(module).symbols.get(symbol, ())
  if module == METRICS:
    texts = [n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return [d for text in texts if text in metrics.METRICS for d in _metric(f'{text}.')]
  return [(f'{dotted} {i}', node, module) for i, node in enumerate(nodes)]


def _used(node: ast.AST, source: Source, module: str = '') -> set[str]:
  """Dotted names of affectjax that are used in a part of a module; with `module` its own names, too."""
  out = set()
  for n in ast.walk(node):
    if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in source.aliases:
      out.add(f'{source.aliases[n.value.id]}.{n.attr}')
    elif isinstance(n, ast.Name) and n.id in source.aliases:
      out.add(source.aliases[n.id])
    elif isinstance(n, ast.Name) and module and n.id in source.symbols:
      out.add(f'{module}.{n.id}')
  return out


def _left_out(module: str) -> bool:
  return any(f'{module}.'.startswith(f'{room}.') for room in LEFT_OUT)


def _path(module: str) -> pathlib.Path | None:
  """The file of a module of affectjax, if there is one."""
  if not module.startswith('affectjax.'):
    return None
  path = ROOT.joinpath(*module.split('.')[1:])
  return next((p for p in (path.with_suffix('.py'), path / '__init__.py') if p.is_file()), None)


def _source(module: str) -> Source:
  return _read(_path(module).read_text())


@functools.lru_cache(maxsize=256)
def _read(text: str) -> Source:
  text = files.meaning(text)
  tree, aliases, symbols = ast.parse(text), {}, {}
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom):
      aliases |= {a.asname or a.name: f'{node.module}.{a.name}' for a in node.names}
    elif isinstance(node, ast.Import):
      aliases |= {a.asname or a.name: a.name for a in node.names}
  aliases = {name: dotted for name, dotted in aliases.items() if dotted.startswith('affectjax.')}
  for node in tree.body:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, 'target', node)]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):  # `f.defvjp(forward, backward)` belongs to f
      targets = list(ast.walk(node.value.func))
    for target in targets:
      for part in target.elts if isinstance(target, ast.Tuple) else [target]:
        symbols.setdefault(getattr(part, 'id', getattr(part, 'name', None)), []).append(node)
  source = Source(text, aliases, symbols, frozenset())
  return source._replace(used=frozenset(_used(tree, source)) | frozenset(aliases.values()))
