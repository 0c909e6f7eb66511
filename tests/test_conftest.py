"""What a run of these tests promises: small processes, an end with its reason when one dies, programs let go."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.helpers.shared import ROOT, pack

MAPPED = """
import mmap
KEPT = []

def test_before():
  pass

def test_maps():
  for i in range(20_500):  # neighbours alike would be one mapping
    KEPT.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | (i % 2) * mmap.PROT_WRITE))

def test_after():
  pass
"""
LARGE = """
import numpy as np

def test_large():
  np.ones(3_100_000_000, np.uint8)
"""
DYING = """
import os, signal
import pytest

@pytest.mark.parametrize('i', range(300))  # the file with the most tests is the first to be run
def test_dies(i):
  if i == 3:
    os.kill(os.getpid(), signal.SIGSEGV)
"""
LONG = """
import time
import pytest

@pytest.mark.parametrize('i', range(200))
def test_one_of_many(i):
  time.sleep(0.01)
"""
COMPILED = """
import jax
import numpy as np

def size():
  with open('/proc/self/maps') as file:
    return len(file.readlines())

@jax.jit
def twice(x):
  return 2 * x

def test_compiles():
  before = size()
  for n in range(1, 101):
    twice(np.ones(n))
  assert size() > before + 200
  with open('size', 'w') as file:
    print(size(), file=file)
"""
FREED = """
from test_a import size

def test_the_next_module_finds_them_gone():
  with open('size') as file:
    assert size() < int(file.read()) - 200
"""


def run(folder: pathlib.Path, *options: str, **files: str) -> tuple[int, list[str]]:
  """Runs test files with this folder's conftest; exit status and lines."""
  for name, text in files.items():
    (folder / f'test_{name}.py').write_text(text)
  done = subprocess.run(
    [sys.executable, '-m', 'pytest', '-p', 'tests.conftest', '-p', 'no:cacheprovider', '--rootdir=.', *options],
    cwd=folder, env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True, timeout=120,
  )  # fmt: skip
  return done.returncode, done.stdout.splitlines()


@pytest.mark.skipif(not pathlib.Path('/proc/self/maps').exists(), reason='this system does not count mappings')
def test_the_test_that_takes_too_many_mappings_fails_and_no_other(tmp_path):
  status, lines = run(tmp_path, a=MAPPED)
  assert status == 1 and '1 failed, 2 passed' in lines[-1]
  told = [line for line in lines if line.startswith('test_a.py::test_maps (call): its process grew from ')]
  assert len(told) == 1 and 'at most 20,000 and 3 GB' in told[0]
  assert any(line.startswith('largest process: 2') and '(test_a.py::test_' in line for line in lines)


@pytest.mark.slow
def test_the_test_that_takes_too_much_memory_fails(tmp_path):
  status, lines = run(tmp_path, a=LARGE)
  assert status == 1 and any('its process grew from' in line and ' to 3.' in line for line in lines)


def test_the_death_of_a_process_ends_the_run_with_its_reason(tmp_path, pytestconfig):
  assert '--max-worker-restart=0' in pytestconfig.getini('addopts')
  files = {f'long{i}': LONG for i in range(4)}
  status, lines = run(tmp_path, '-n', '2', '--dist', 'loadfile', '--max-worker-restart=0', a=DYING, **files)
  text = '\n'.join(lines)
  assert status != 0 and "crashed while running 'test_a.py::test_dies[3]'" in text
  assert 'crashed and worker restarting disabled' in text
  assert any(line.startswith('largest process: ') for line in lines)
  assert int(re.search(r'(\d+) passed', lines[-1]).group(1)) < 500, 'it went on'


@pytest.mark.skipif(not pathlib.Path('/proc/self/maps').exists(), reason='this system does not count mappings')
def test_what_a_module_compiled_is_let_go_after_it(tmp_path):
  status, lines = run(tmp_path, a=COMPILED, b=FREED)
  assert status == 0 and '2 passed' in lines[-1], lines


def test_the_processes_of_a_run_share_what_they_compiled(tmp_path):
  told = """
import os
def test_where():
  with open('folders', 'a') as file:
    print(os.environ['JAX_COMPILATION_CACHE_DIR'], file=file)
"""
  status, _ = run(tmp_path, '-n', '2', '--dist', 'loadfile', a=told, b=told)
  folders = (tmp_path / 'folders').read_text().split()
  assert status == 0 and len(folders) == 2 and len(set(folders)) == 1
  assert not pathlib.Path(folders[0]).exists(), 'left behind'
  assert folders[0] != os.environ['JAX_COMPILATION_CACHE_DIR']


@pytest.mark.parametrize(('ci', 'outcome'), [('true', pytest.fail.Exception), ('', pytest.skip.Exception)])
def test_absent_data_skips_a_test_and_fails_it_in_ci(tmp_path, monkeypatch, ci, outcome):
  monkeypatch.setenv('CI', ci)
  monkeypatch.setenv('AFFECTJAX_SHARED_DATA', str(tmp_path))
  with pytest.raises(outcome, match=f'data pack none is not at {tmp_path}/none; set AFFECTJAX_SHARED_DATA'):
    pack('none')
  (tmp_path / 'some').mkdir()
  assert pack('some') == tmp_path / 'some'
