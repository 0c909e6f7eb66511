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
  """Python source without what changes no result: comments, layout, docstrings, texts of refusals, chex's checks."""
  tree = ast.parse(source)
  for node in ast.walk(tree):
    documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    if documented and ast.get_docstring(node, clean=False) is not None:
      node.body = node.body[1:]
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
      node.exc.args, node.exc.keywords = [], []
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('refuse_unknown'):
      node.args = node.args[1:]  # the first is text
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('refuse_wrong'):
      node.args = [check.elts[0] for check in node.args]
    if isinstance(node, ast.For):
      _leave_out_texts(node)
    if isinstance(getattr(node, 'body', None), list):
      node.body = [part for part in node.body if not _is_check(part)] or [ast.Pass()]
  return ast.unparse(tree)


def _leave_out_texts(loop: ast.For) -> None:
  """`for wrong, why in ((.., ..), ..): if wrong: raise UserError(why)`: drops what only the refusal says."""
  if not (isinstance(loop.target, ast.Tuple) and isinstance(loop.iter, ast.Tuple) and len(loop.body) == 1):
    return
  (only,) = loop.body
  if isinstance(only, ast.If) and isinstance(only.body[0], ast.Raise) and not only.orelse:
    asked = {n.id for n in ast.walk(only.test) if isinstance(n, ast.Name)}
    for row in (row for row in loop.iter.elts if isinstance(row, ast.Tuple)):
      row.elts = [part for part, name in zip(row.elts, loop.target.elts, strict=True) if ast.unparse(name) in asked]


def _is_check(node: ast.stmt) -> bool:
  """Whether a statement is a call of `chex.assert_...`, or the import that it needs."""
  if isinstance(node, ast.Import):
    return node.names[0].name == 'chex'
  function = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
  return isinstance(function, ast.Attribute) and ast.unparse(function).startswith('chex.assert_')
