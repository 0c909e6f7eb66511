"""The launcher: exit statuses, refusals in one line, what a second run does, and kill -9 in the middle of a table."""

import json
import os
import pathlib
import re
import shutil
import signal
import time

import pytest

from tests.helpers import forks, small
from tests.helpers.shared import flags_for

ROWS = ('siamese', 'mtclar', 'carry_forward')
TRAINED = {'siamese': dict(steps=60, eval_every=4, select='loss')}


@pytest.fixture(scope='module')
def process(tmp_path_factory):
  cache = tmp_path_factory.mktemp('cache')
  with pytest.MonkeyPatch.context() as patch:
    patch.delenv('JAX_COMPILATION_CACHE_DIR')  # the launcher's own place
    with forks.server(XDG_CACHE_HOME=str(cache), XLA_FLAGS=flags_for(2)) as start:
      yield start
  assert any((cache / 'affectjax' / 'jax').iterdir())


@pytest.fixture(scope='module')
def config(tmp_path_factory) -> pathlib.Path:
  """A tiny experiment of three rows and two folds, on twins."""
  return small.write_experiment(tmp_path_factory.mktemp('experiment') / 'tiny.py', ROWS)


@pytest.fixture(scope='module')
def launch(process, config):
  """(flags...) -> how `python -m affectjax.main --config=tiny.py flags...` ended."""
  return lambda *flags, config=config: forks.run(process, small.main, ['main', f'--config={config}', *flags])


@pytest.fixture(scope='module')
def finished(launch, tmp_path_factory):
  """A workdir with all cells done, and what was printed."""
  workdir = tmp_path_factory.mktemp('runs') / 'tiny'
  return workdir, launch(f'--workdir={workdir}')


def snapshot(workdir: pathlib.Path) -> dict[str, tuple[int, bytes]]:
  """Every file's time of change and content."""
  return {
    str(p.relative_to(workdir)): (p.stat().st_mtime_ns, p.read_bytes()) for p in workdir.rglob('*') if p.is_file()
  }


def test_a_whole_table(finished):
  workdir, done = finished
  assert done.status == 0, done.err
  records = [json.loads(line) for line in (workdir / 'results.jsonl').read_text().splitlines()]
  cells = [(r['row'], r['fold'], r['seed']) for r in records]
  assert cells == [('siamese', 'all', 0), ('mtclar', '0', 0), ('mtclar', '1', 0),
                   ('carry_forward', '0', 0), ('carry_forward', '1', 0)]  # fmt: skip
  for record in records:
    folder = workdir / record['cell']
    assert (folder / 'predictions.npz').is_file() and not (folder / 'FAILED').exists()
    assert json.loads((folder / 'config.json').read_text())['config'] == record['config']
    assert folder.name == f'{record["fold"]}-{record["seed"]}-{record["fingerprint"][:8]}'
    assert {d['kind'] for d in record['data'].values()} == {'synthetic'}
    assert {'jax', 'numpy'} <= set(record['packages']) and record['device'].startswith('2 x')
  assert not list(workdir.rglob('checkpoints/steps')) and not list(workdir.rglob('*.tmp'))
  assert '5 cells run, 0 were done, 0 failed' in done.out
  assert (workdir / 'table.md').read_text() in done.out and '(synthetic)' in done.out
  assert re.search('Command: .python -m affectjax.main --config=[^ ]+.*; revision .+', done.out)


def test_a_second_run_trains_nothing_and_changes_no_file(finished, launch):
  workdir, _ = finished
  before = snapshot(workdir)
  again = launch(f'--workdir={workdir}')
  assert again.status == 0 and '0 cells run, 5 were done, 0 failed' in again.out
  assert snapshot(workdir) == before
  assert 'first training step' not in again.err


def test_a_changed_setting_runs_the_cells_it_touches_only(finished, launch, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / 'copy')
  flag = '--config.run.label.smooth_block=5'
  dry = launch(f'--workdir={workdir}', flag, '--dry_run')
  assert dry.status == 0
  # a label option is part of every cell's config; a row's own is of that row alone
  assert [line.split()[0] for line in dry.out.splitlines()].count('to') == 5
  plain = launch(f'--workdir={workdir}', '--dry_run')
  assert [line.split()[0] for line in plain.out.splitlines()] == ['done'] * 5
  shutil.rmtree(next((workdir / 'cells' / 'mtclar').glob('1-*')))
  less = launch(f'--workdir={workdir}')
  assert less.status == 0 and '1 cells run, 4 were done, 0 failed' in less.out
  assert len((workdir / 'results.jsonl').read_text().splitlines()) == 6


def test_list_and_dry_run_touch_nothing(launch, tmp_path):
  listed = launch('--list', f'--workdir={tmp_path / "none"}')
  assert listed.status == 0
  for word in (*ROWS, 'labelling', 'representation', 'ablation', 'studyforrest', 'faces', 'starts from siamese'):
    assert word in listed.out
  dry = launch('--dry_run', f'--workdir={tmp_path / "none"}', '--rows=mtclar', '--folds=1', '--seeds=3,4')
  assert dry.status == 0
  assert [line.split()[-1].rsplit('-', 1)[0] for line in dry.out.splitlines()] == [
    'cells/siamese/all-3', 'cells/mtclar/1-3', 'cells/siamese/all-4', 'cells/mtclar/1-4',
  ]  # fmt: skip
  assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (['--rows=mtclar,nothing'], "unknown row 'nothing'; there is: carry_forward, mtclar, siamese"),
    (['--folds=7'], "unknown fold '7'; there is: 0, 1"),
    (['--seeds=one'], '--seeds=one: .*expected whole numbers'),
    (['--seeds=-1'], 'seed -1 is negative'),
    (['--config.run.optim.rate=1'], 'flags: .*rate'),
    (['--config.run.optim.lr=fast'], 'flags: .*lr'),
    (['--config.run.steps=1.5'], 'flags: .*steps'),
    (['--config.run.optim={"lr": 1}'], '--config.run.optim holds several keys; set them one by one'),
    (['--config.title=mine'], '--config.title cannot be set by flag'),
    (['--config.run.stage=label'], "row 'siamese' sets stage itself"),
    (['--config.run.system=emonet'], "unknown system 'emonet'; there is: .*mtclar"),
    (['--frobnicate'], "flags: Unknown command line flag 'frobnicate'"),
    (['rows=mtclar'], "'rows=mtclar' is not a flag; flags begin with two dashes: --rows=mtclar"),
    (['mtclar'], "unexpected argument 'mtclar'; everything is a flag"),
    (['--data_dir=/nowhere'], 'affectnet is not prepared in /nowhere; run: python -m affectjax.prepare affectnet'),
    (['--processes=2'], '--coordinator is missing'),
  ],
)
def test_usage_is_refused_in_one_line_with_status_2(launch, flags, message, tmp_path):
  done = launch(f'--workdir={tmp_path / "runs"}', *flags)
  assert done.status == 2, done.err
  lines = done.err.splitlines()
  assert len(lines) == 1 and lines[0].startswith('error: '), done.err
  assert re.search(message, lines[0]), lines[0]
  assert done.out == '' and not (tmp_path / 'runs').exists()


@pytest.mark.parametrize(
  ('path', 'message'),
  [
    ('tiny.py:nothing', "unknown table 'nothing'.*labelling"),
    ('absent.py', 'absent.py'),
    (None, '--config is missing'),
    ('empty.py', 'empty.py: has no function get_config; .*title, table, tables, run, rows'),
    ('torn.py', "torn.py: line 1: '[(]' was never closed"),
  ],
)
def test_files_and_tables_that_are_not_there(process, config, path, message):
  (config.parent / 'empty.py').touch()
  (config.parent / 'torn.py').write_text('get_config = (')
  flag = [] if path is None else [f'--config={config.parent / path}']
  done = forks.run(process, small.main, ['main', *flag])
  assert done.status == 2 and len(done.err.splitlines()) == 1
  assert re.search(message, done.err), done.err


def test_a_failed_cell_gives_status_1_and_does_not_stop_the_others(launch, config, tmp_path):
  broken = small.write_experiment(tmp_path / 'broken.py', ROWS, on_twins={'siamese': dict(optim=dict(name='lamb'))})
  workdir = tmp_path / 'runs'
  done = launch(f'--workdir={workdir}', '--folds=0', config=broken)
  assert done.status == 1
  assert '3 cells run' not in done.out and '1 cells run, 0 were done, 2 failed' in done.out
  (failed,) = (workdir / 'cells' / 'siamese').glob('*/FAILED')
  assert "unknown optimizer 'lamb'; there is: adam, sgd" in failed.read_text()
  assert 'Traceback' in failed.read_text() and 'Traceback' not in done.err
  (dependent,) = (workdir / 'cells' / 'mtclar').glob('*/FAILED')
  assert "row 'siamese', from which it starts, failed" in dependent.read_text()
  assert len((workdir / 'results.jsonl').read_text().splitlines()) == 1
  assert 'lamb' in (workdir / 'table.md').read_text(), 'the table says which failed and why'
  again = launch(f'--workdir={workdir}', '--folds=0', config=broken)
  assert again.status == 1 and '0 cells run, 1 were done, 2 failed' in again.out


def kill_when(process, argv, condition) -> None:
  """Starts the launcher and kills it as soon as the condition holds."""
  folder = pathlib.Path(argv[-1].partition('=')[2]).with_suffix('.log')
  folder.mkdir(parents=True, exist_ok=True)
  child = process(forks.redirected, small.main, ['main', *argv], str(folder))
  child.start()
  end = time.monotonic() + 120
  while not condition():
    assert child.is_alive() and time.monotonic() < end, (folder / 'err').read_text()
    time.sleep(0.002)
  os.kill(child.pid, signal.SIGKILL)
  child.join()
  assert child.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_kill_9_and_the_same_command_goes_on(process, launch, tmp_path):
  config = small.write_experiment(tmp_path / 'tiny.py', ROWS, on_twins=TRAINED)
  whole, torn = tmp_path / 'whole', tmp_path / 'torn'
  assert launch(f'--workdir={whole}', config=config).status == 0
  saved = lambda step: list(torn.glob(f'cells/siamese/*/checkpoints/steps/{step}'))
  recorded = lambda: (torn / 'results.jsonl').exists() and (torn / 'results.jsonl').read_text().count('\n') >= 2
  for condition in (lambda: torn.exists(), lambda: saved(8), lambda: saved(40), recorded):
    kill_when(process, [f'--config={config}', f'--workdir={torn}'], condition)
  done = launch(f'--workdir={torn}', config=config)
  assert done.status == 0
  assert 'were done' in done.out and '0 were done' not in done.out
  assert (torn / 'table.md').read_bytes() == (whole / 'table.md').read_bytes()
  assert (torn / 'table.csv').read_bytes() == (whole / 'table.csv').read_bytes()
  scores = lambda w: {(r['row'], r['fold']): r['scores'] for r in map(json.loads, open(w / 'results.jsonl'))}
  assert scores(torn) == scores(whole)
  (log,) = torn.glob('cells/siamese/*/metrics.jsonl')
  (wanted,) = whole.glob('cells/siamese/*/metrics.jsonl')
  assert small.lines(log) == small.lines(wanted)
  assert not list(torn.rglob('*.tmp')) and not list(torn.rglob('checkpoints/steps*'))
