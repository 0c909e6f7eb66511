"""What is kept of a cell: its fingerprint before it runs, its record in results.jsonl when it is done."""

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import affectjax
from affectjax.common import files
from affectjax.common.errors import UserError, unknown

_ROOT = pathlib.Path(affectjax.__file__).parent
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow-datasets', 'grain', 'ml_collections',
            'numpy', 'scipy')  # fmt: skip


def fingerprint(value: Any) -> str:
  """sha256 of a JSON-like value, independent of key order."""
  return hashlib.sha256(json.dumps(value, sort_keys=True, default=list).encode()).hexdigest()


def flatten(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Dotted keys and leaves of nested mappings."""
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def _module_path(name: str) -> pathlib.Path | None:
  path = _ROOT.joinpath(*name.split('.')[1:])
  for candidate in (path.with_suffix('.py'), path / '__init__.py'):
    if candidate.is_file():
      return candidate
  return None


@functools.lru_cache(maxsize=256)
def _imports(source: str) -> tuple[str, ...]:
  """Dotted names that a source file imports; `from a import b` gives both a and a.b."""
  out: list[str] = []
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      out += (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      out += (node.module, *(f'{node.module}.{a.name}' for a in node.names))
  return tuple(out)


@functools.lru_cache(maxsize=8)
def code_hash(system: str) -> str:
  """sha256 over the code that a system's results depend on: the system, the loop, and all they import of affectjax.

  Comments and docstrings do not count; other systems and the rendering of tables do not either.
  """
  if _module_path(f'affectjax.systems.{system}') is None:
    raise unknown('system', system, (p.stem for p in (_ROOT / 'systems').iterdir() if not p.name.startswith('_')))
  todo, seen = [f'affectjax.systems.{system}', 'affectjax.engine.train'], {}
  while todo:
    name = todo.pop()
    path = _module_path(name) if name.startswith('affectjax.') else None
    if path is None or str(path) in seen:
      continue
    text = path.read_text()
    todo += _imports(text)
    seen[str(path)] = (str(path.relative_to(_ROOT)), files.meaning(text))
  return fingerprint(sorted(seen.values()))


def affectjax_version() -> str:
  """The installed package's version."""
  try:
    return f'affectjax {importlib.metadata.version("affectjax")}'
  except importlib.metadata.PackageNotFoundError:  # a copy of the sources that was never installed
    return 'affectjax, not installed'


def revision() -> str:
  """The checkout's commit, with '+changes' when files differ from it; the package version outside a checkout."""
  git = lambda *args: subprocess.run(['git', '-C', str(_ROOT), *args], capture_output=True, text=True, check=False)
  try:
    head = git('rev-parse', 'HEAD')
    inside = git('ls-files', '--error-unmatch', str(_ROOT / '__init__.py'))
  except FileNotFoundError:  # no git on this machine
    return affectjax_version()
  if head.returncode or inside.returncode:
    return affectjax_version()
  return head.stdout.strip() + ('+changes' if git('status', '--porcelain', '-uno').stdout.strip() else '')


def packages() -> dict[str, str]:
  """Versions of the packages that results rest on."""
  return {name: importlib.metadata.version(name) for name in PACKAGES}


def append(workdir: pathlib.Path, record: Mapping[str, Any]) -> None:
  """Adds one line to results.jsonl, flushed to disk; a line torn by an earlier kill is cut off first."""
  with open(workdir / 'results.jsonl', 'ab+') as file:
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)
    file.write((json.dumps(record, sort_keys=True) + '\n').encode())
    file.flush()
    os.fsync(file.fileno())


def load(workdir: pathlib.Path) -> dict[tuple[str, str, int, str], dict[str, Any]]:
  """(row, fold, seed, fingerprint) -> record; the last one wins. A last line torn by a kill is passed over.

  Raises:
    UserError: for any other line that is not a record.
  """
  path, out = workdir / 'results.jsonl', {}
  whole = path.read_text().split('\n')[:-1] if path.exists() else []
  for number, line in enumerate(whole, 1):
    try:
      record = json.loads(line)
      out[record['row'], record['fold'], record['seed'], record['fingerprint']] = record
    except (ValueError, KeyError, TypeError) as error:
      raise UserError(f'{path}, line {number}: not a record ({error}); remove that line') from error
  return out
