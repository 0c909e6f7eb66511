"""The floors of the house: an import goes down only, and no test imports another.

Read from the source, so that lazy imports count as well.
"""

import ast
import functools
import pathlib
import subprocess
import sys

import pytest

from tests.helpers.shared import ROOT

FLOORS = (
  {'common'},
  {'objectives', 'layers'},
  {'labels', 'metrics'},
  {'engine'},
  {'data'},
  {'examples'},
  {'systems'},
  {'tables'},
)  # the commands, and what they share (affectjax/commands), stand above
PACKAGE = ROOT / 'affectjax'
MODULES = sorted(PACKAGE.rglob('*.py'))
TESTS = sorted((ROOT / 'tests').rglob('*.py'))


@functools.cache
def imports(path: pathlib.Path, top_level: bool = False) -> set[str]:
  """Dotted names that a file imports; `from a import b` gives both a and a.b."""
  tree = ast.parse(path.read_text())
  nodes = tree.body if top_level else ast.walk(tree)
  out = set()
  for node in nodes:
    if isinstance(node, ast.Import):
      out |= {a.name for a in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      out |= {node.module, *(f'{node.module}.{a.name}' for a in node.names)}
  return out


def room(dotted: str) -> str | None:
  """'affectjax.engine.train' -> 'engine'; None for the package itself."""
  parts = dotted.split('.')
  return parts[1] if len(parts) > 1 else None


def floor(name: str) -> int:
  return next((i for i, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


def own(path: pathlib.Path) -> set[str]:
  """The modules of this project that a file imports."""
  found = {n for n in imports(path) if n.startswith('affectjax.')}
  # `from affectjax.common.errors import UserError` names no module affectjax.common.errors.UserError
  exists = lambda n: (stem := PACKAGE.joinpath(*n.split('.')[1:])).is_dir() or stem.with_suffix('.py').is_file()
  return {n for n in found if exists(n)}


def relative(path: pathlib.Path) -> str:
  return str(path.relative_to(ROOT))


def test_imports_go_down_only():
  wrong = []
  for path in MODULES:
    here = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    others = [name for name in own(path) if room(name) != here]
    wrong += [
      f'{relative(path)} imports {name}'
      for name in others
      if not (floor(room(name)) < floor(here) or floor(here) == len(FLOORS))
    ]
  assert len(MODULES) > 100 and not wrong


def test_systems_do_not_see_each_other_nor_what_is_above():
  for path in (PACKAGE / 'systems').rglob('*.py'):
    system = path.relative_to(PACKAGE / 'systems').parts[0].removesuffix('.py')
    for name in own(path):
      if room(name) == 'systems':
        assert name.split('.')[2:3] in ([system], []), f'{relative(path)} imports {name}'
      assert room(name) not in ('tables', 'commands', 'main'), f'{relative(path)} imports {name}'
    assert not any(n == 'absl' or n.startswith('absl.') for n in imports(path)), relative(path)


def test_metrics_have_one_door():
  for path in MODULES:
    assert 'affectjax.metrics.table' not in own(path) or path == PACKAGE / 'metrics' / '__init__.py', relative(path)


def test_the_engine_finds_systems_by_name_only():
  for path in (PACKAGE / 'engine').rglob('*.py'):
    assert not any(n.startswith('affectjax.systems') for n in imports(path)), relative(path)
    assert 'affectjax' not in imports(path), f'{relative(path)}: import the module, not the package'


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments').rglob('*.py')), ids=relative)
def test_experiments_are_plain_data(path):
  paper = path.relative_to(ROOT / 'experiments').parts[0].removesuffix('.py').removesuffix('_tables')
  beside = set() if path.name == '_tables.py' else {'_tables', f'{paper}_tables'}
  assert {name.split('.')[0] for name in imports(path)} <= {'ml_collections', *beside}
  assert len(path.read_text().splitlines()) <= 300


def test_heavy_packages_stay_out():
  for path in MODULES:
    tops = {n.split('.')[0] for n in imports(path, top_level=True)}
    assert not tops & {'torch', 'tensorflow', 'tensorflow_datasets'}, relative(path)
    inside = {n.split('.')[0] for n in imports(path)}
    assert not inside & {'torch', 'tensorflow'}, relative(path)
    if path.is_relative_to(PACKAGE / 'data'):
      assert 'jax' not in tops, f'{relative(path)}: reading data starts no JAX'
    if path.is_relative_to(PACKAGE / 'data' / 'corpora'):
      assert 'jax' not in inside, relative(path)


def test_reading_a_table_starts_neither_jax_nor_tensorflow():
  code = (
    'import sys, affectjax.main, affectjax.data.store.opening; affectjax.data.store.opening.open_corpus("affectnet"); '
    'from affectjax.tables import experiment; experiment.load("experiments/vavl.py"); '
    'print([m for m in ("jax", "tensorflow", "torch", "tensorflow_datasets", "grain") if m in sys.modules])'
  )
  out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
  assert out.stdout.strip() == '[]'


def test_no_test_imports_another():
  """What they share lies in tests/helpers, fixtures in a conftest.py; benchmarks are tests, too."""
  wrong = []
  for path in TESTS:
    names = [name for name in imports(path) if name.split('.')[0] == 'tests']
    wrong += [f'{relative(path)} imports {name}' for name in names if '.test_' in name or '.bench_' in name]
  assert sum(path.name.startswith('test_') for path in TESTS) > 100 and not wrong


def test_every_room_has_its_tests():
  rooms = {path.parent.relative_to(PACKAGE) for path in MODULES if path.name != '__init__.py'}
  lacking = [str(room) for room in rooms if not list((ROOT / 'tests' / room).glob('test_*.py'))]
  assert len(rooms) > 15 and not lacking
