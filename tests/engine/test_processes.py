"""Two processes of two devices each train what one process of four trains, are killed together, and go on."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers import small
from tests.helpers.shared import ROOT, flags_for

pytestmark = pytest.mark.slow
ROWS = ('siamese', 'mtclar', 'carry_forward')


def start(workdir: pathlib.Path, config: pathlib.Path, devices: int, *flags: str) -> subprocess.Popen:
  environment = {
    **os.environ, 'XLA_FLAGS': flags_for(devices),
    'NPROC': '16', 'XDG_CACHE_HOME': str(config.parent / 'cache'),
  }  # fmt: skip
  command = [
    sys.executable,
    '-m',
    'affectjax.main',
    f'--config={config}',
    f'--workdir={workdir}',
    '--folds=0',
    *flags,
  ]
  return subprocess.Popen(
    command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
  )  # fmt: skip


def start_two(workdir: pathlib.Path, config: pathlib.Path) -> list[subprocess.Popen]:
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  flags = (f'--coordinator=127.0.0.1:{port}', '--processes=2')
  return [start(workdir, config, 2, *flags, f'--process={i}') for i in range(2)]


def finish(processes: list[subprocess.Popen]) -> list[tuple[str, str]]:
  """Their outputs; all must end well."""
  outputs = [p.communicate(timeout=180) for p in processes]
  for process, (_, errors) in zip(processes, outputs, strict=True):
    assert process.returncode == 0, errors[-3000:]
  return outputs


def kill_after(processes: list[subprocess.Popen], checkpoint: pathlib.Path) -> None:
  end = time.monotonic() + 120
  while not checkpoint.is_dir():
    assert time.monotonic() < end and all(p.poll() is None for p in processes)
    time.sleep(0.005)
  for process in processes:
    process.send_signal(signal.SIGKILL)
  for process in processes:
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def cell(workdir: pathlib.Path, row: str) -> pathlib.Path:
  (folder,) = (workdir / 'cells' / row).iterdir()
  return folder


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """Workdirs of one process, of two processes that were killed once, and the second attempt's outputs."""
  folder = tmp_path_factory.mktemp('hosts')
  run = dict(optim=small.SGD, **small.STILL)
  twin = {'siamese': dict(steps=40, eval_every=4, select='loss')}
  config = small.write_experiment(folder / 'tiny.py', ROWS, run=run, on_twins=twin)
  one, two = folder / 'one', folder / 'two'
  finish([start(one, config, 4)])
  processes = start_two(two, config)
  while not list(two.glob('cells/siamese/*')):
    assert all(p.poll() is None for p in processes), processes[0].communicate()[1][-3000:]
    time.sleep(0.01)
  kill_after(processes, cell(two, 'siamese') / 'checkpoints' / 'steps' / '4')
  assert not (two / 'results.jsonl').exists()
  return one, two, finish(start_two(two, config))


def test_the_same_curve(runs):
  one, two, _ = runs
  first, second = (small.lines(cell(w, 'siamese') / 'metrics.jsonl') for w in (one, two))
  assert [line['step'] for line in first] == [line['step'] for line in second]
  assert max(line['step'] for line in first) == 40
  for a, b in zip(first, second, strict=True):
    for key in ('loss', 'grad_norm', 'dev/loss', 'dev/acc.same.happy-happy'):
      assert (key in a) == (key in b)
      assert key not in a or a[key] == pytest.approx(b[key], abs=1e-5), (a['step'], key)


@pytest.mark.parametrize('row', ROWS)
def test_the_same_predictions(runs, row):
  one, two, _ = runs
  with np.load(cell(one, row) / 'predictions.npz') as first, np.load(cell(two, row) / 'predictions.npz') as second:
    assert set(first) == set(second)
    for name in first:
      if first[name].dtype.kind == 'f':
        np.testing.assert_allclose(second[name], first[name], atol=1e-4, err_msg=name)
      else:
        np.testing.assert_array_equal(second[name], first[name], err_msg=name)


def test_the_first_host_alone_writes_and_prints(runs):
  one, two, ((table, _), (silent, errors)) = runs
  files = lambda workdir: sorted(str(p.relative_to(workdir)) for p in workdir.rglob('*') if '/d/' not in str(p))
  assert files(one) == files(two)
  assert len((two / 'results.jsonl').read_text().splitlines()) == len(ROWS)
  assert '3 cells run, 0 were done, 0 failed' in table
  assert 'siamese' not in silent  # its collectives say hello on stdout, we do not
  assert 'cell 1 of' not in errors


def test_nothing_is_copied_in_place_of_being_donated(runs):
  _, _, outputs = runs
  assert not any('Donated' in errors or 'resharding' in errors for _, errors in outputs)
