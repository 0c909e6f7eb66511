"""A paper and a corpus cost no more than README says: their own files, added to a copy of the repository."""

import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.shared import ROOT, flags_for

TOY = ROOT / 'tests' / 'helpers' / 'toy_paper'
LEFT_OUT = shutil.ignore_patterns('__pycache__', 'toy_paper', '*.json', 'results', 'published', 'benchmarks')
# Forks a child per command, so that what all of them import is imported once; `*` stands for one folder's name.
DRIVER = """
import glob, json, os, runpy, sys
import jax, flax, optax, orbax.checkpoint, grain, tensorflow_datasets
for number, (module, *arguments) in enumerate(json.loads(sys.argv[1])):
  if os.fork() == 0:
    for stream in (1, 2):
      os.dup2(os.open(f'{number}.{stream}', os.O_WRONLY | os.O_CREAT), stream)
    arguments = [a.partition('=') for a in arguments]
    sys.argv = [module, *(name + equals + ''.join(glob.glob(v) if '*' in v else v) for name, equals, v in arguments)]
    runpy.run_module(module, run_name='__main__', alter_sys=True)
  _, status = os.wait()
  print(os.waitstatus_to_exitcode(status), flush=True)
  if status:
    break
"""


def files(tree: pathlib.Path) -> dict[str, bytes]:
  """Every file's content; what Python compiled is left out."""
  found = (p for p in tree.rglob('*') if p.is_file() and '__pycache__' not in p.parts)
  return {str(p.relative_to(tree)): p.read_bytes() for p in found}


@pytest.fixture(scope='module')
def copy(tmp_path_factory) -> pathlib.Path:
  """A copy of the repository with the toy's files added."""
  tree = tmp_path_factory.mktemp('copy')
  for folder in ('affectjax', 'experiments', 'tests'):
    shutil.copytree(ROOT / folder, tree / folder, ignore=LEFT_OUT)
  before = files(tree)
  added = {name: content for name, content in files(TOY).items() if name != 'conftest.py'}
  assert not set(added) & set(before)
  for name, content in added.items():
    (tree / name).parent.mkdir(exist_ok=True, parents=True)
    (tree / name).write_bytes(content)
  yield tree
  assert files(tree) == {**before, **added}, 'a command wrote into the tree'


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> pathlib.Path:
  """The toy corpus as it would be distributed: 18 clips of six speakers."""
  folder, rng = tmp_path_factory.mktemp('source'), np.random.default_rng(3)
  (folder / 'features').mkdir()
  with open(folder / 'clips.csv', 'w', newline='') as file:
    table = csv.writer(file)
    table.writerow(('id', 'speaker', 'emotion'))
    for i in range(18):
      table.writerow((f'clip{i:02d}', f'speaker{i % 6}', ('calm', 'angry', 'glad')[i // 6]))
      np.save(folder / 'features' / f'clip{i:02d}.npy', rng.normal(np.eye(3)[i // 6], 0.5, (5, 3)))
  return folder


def run(tree: pathlib.Path, place: pathlib.Path, *commands: list) -> list[tuple[str, str]]:
  """What each command `[module, argument, ...]` printed, to stdout and stderr; all must end well."""
  environment = {**os.environ, 'PYTHONPATH': str(tree), 'XLA_FLAGS': flags_for(1)}
  given = json.dumps([list(map(str, command)) for command in commands])
  done = subprocess.run(
    [sys.executable, '-c', DRIVER, given], cwd=place, env=environment, capture_output=True, text=True
  )
  printed = [tuple((place / f'{i}.{k}').read_text() for k in (1, 2)) for i in range(len(done.stdout.splitlines()))]
  assert done.stdout.split() == ['0'] * len(commands), (printed[-1:], done.stderr)
  return printed


@pytest.mark.slow
def test_a_sixth_paper_and_its_corpus_are_their_own_files_alone(copy, source, tmp_path):
  main, prepared = ['affectjax.main', f'--config={copy}/experiments/toy.py', '--folds=0'], tmp_path / 'prepared'
  tests = [copy / 'tests' / name for name in ('systems/toy', 'test_imports.py')]
  first, again, report, _, real, _, _ = run(
    copy, tmp_path, main, main, ['affectjax.report', 'runs/toy'],
    ['affectjax.prepare', 'toy_clips', f'--source={source}', f'--data_dir={prepared}'],
    [*main, f'--data_dir={prepared}'],
    ['affectjax.predict', '--run=runs/toy-prepared/cells/toy/0-*', f'--source={source}/features', '--output=out.csv',
     '--rate_hz=10'],
    ['pytest', '-q', '-p', 'no:cacheprovider', '-k', 'toy or down_only or see_each_other or plain_data', *tests],
  )  # fmt: skip
  assert '2 cells run, 0 were done, 0 failed' in first[0]
  assert '0 cells run, 2 were done, 0 failed' in again[0]
  assert report[0] == (tmp_path / 'runs' / 'toy' / 'table.md').read_text() and '(synthetic)' in report[0]
  assert 'toy.faster' in report[0]
  assert '2 cells run' in real[0] and '(synthetic)' not in real[0] and 'toy_clips' in real[0]
  with open(tmp_path / 'out.csv', newline='') as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ['id', 'p_calm', 'p_angry', 'p_glad', 'emotion'] and len(rows) == 18
  right = [row['emotion'] == ('calm', 'angry', 'glad')[i // 6] for i, row in enumerate(rows)]
  assert np.mean(right) > 0.7
