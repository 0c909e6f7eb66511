"""Files that are there whole or not at all, and what of a source file can change a result."""

import ast
import functools
import json
import pathlib
from typing import Any


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes to a temporary name beside `path` and renames."""
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(text, encoding='utf-8')
  temporary.replace(path)


def write_json(path: pathlib.Path, value: Any) -> None:
  """As `write_text`, sorted keys."""
  write_text(path, json.dumps(value, indent=1, sort_keys=True) + '\n')


@functools.lru_cache(maxsize=256)
def meaning(source: str) -> str:
  """Python source without comments, layout and docstrings."""
  tree = ast.parse(source)
  for node in ast.walk(tree):
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    if documented and ast.get_docstring(node, clean=False) is not None:
      node.body = node.body[1:] or [ast.Pass()]
  return ast.unparse(tree)
