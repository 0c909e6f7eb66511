"""What is kept of a cell when it is done: its record in results.jsonl, with versions and revision."""

import importlib.metadata
import json
import os
import pathlib
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import affectjax
from affectjax.common.errors import UserError

_ROOT = pathlib.Path(affectjax.__file__).parent
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow-datasets', 'grain', 'ml_collections',
            'numpy', 'scipy')  # fmt: skip


def flatten(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Dotted keys and leaves of nested mappings."""
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from flatten(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


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
