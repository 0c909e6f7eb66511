"""Every public module, class, function and method says what it is; names are words of the field."""

import ast
import pathlib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'affectjax'
WORDS = {'found', 'sides', 'there', 'told'}  # each had many meanings


def modules() -> list[pathlib.Path]:
  """The source files of the package."""
  return sorted(PACKAGE.rglob('*.py'))


def undocumented(tree: ast.Module) -> Iterator[str]:
  """Public modules, classes, functions and methods without a docstring; what a function defines is its own affair."""
  if not ast.get_docstring(tree):
    yield 'the module'
  holders: list[tuple[str, ast.Module | ast.ClassDef]] = [('', tree)]
  for prefix, holder in holders:
    for node in holder.body:
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith('_'):
        if not ast.get_docstring(node):
          yield prefix + node.name
        if isinstance(node, ast.ClassDef):
          holders.append((f'{prefix}{node.name}.', node))


def names(tree: ast.Module) -> Iterator[str]:
  """Every name that the code gives or uses: variables, arguments, attributes, keywords, functions and classes."""
  for node in ast.walk(tree):
    for field in ('id', 'attr', 'arg', 'name', 'asname'):
      if isinstance(name := getattr(node, field, None), str):
        yield name


@pytest.mark.parametrize('path', modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_public_has_a_docstring_and_names_are_of_the_field(path):
  tree = ast.parse(path.read_text('utf-8'))
  assert list(undocumented(tree)) == []
  assert {name for name in names(tree) if name.strip('_').lower() in WORDS} == set()


def test_what_is_lacking_is_seen():
  code = '''
class A:
  """Documented."""
  def method(self, told): ...
  def _private(self): ...
  class B: ...
def documented():
  """Documented."""
  def inner(): ...
def function(): _sides = 1
'''
  tree = ast.parse(code)
  assert list(undocumented(tree)) == ['the module', 'function', 'A.method', 'A.B']
  assert {name for name in names(tree) if name.strip('_').lower() in WORDS} == {'told', '_sides'}
  assert len(modules()) > 150
