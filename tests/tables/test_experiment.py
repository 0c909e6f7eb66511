"""Experiment files: what they may import; whatever is no table is refused in one line that says what is expected."""

import functools
import pathlib
import sys

import pytest

from affectjax.tables import cells, experiment
from tests.helpers import shared
from tests.helpers.refusals import refused

PAPERS = ('amber2', 'label_uncertainty', 'masked_ssl', 'mtclar', 'vavl')
OWN = """
import ml_collections

def get_config():
  c = ml_collections.ConfigDict()
  c.title, c.table, c.tables = 'mine', 'mine', ('mine',)
  c.run = dict(
    system='label_uncertainty', corpora=('recola',), per_fold=False, epochs=1.0, steps=0, batch_size=5, log_every=20,
    eval_every=100, select='loss', select_mode='min', warm_start='', warm_modules=(), twins={}, eval_batch_size=16,
    data=dict(split='official_dev', seed=5, held_out=2, modalities=('audio',), summary=('mean',), rate_hz=0.0,
              frames=300, delays=(0.0,), test_split='official'),
    raters=dict(train=0, score='all', reserve=0),
    model=dict(frontend='features', width=128, hidden=256, dropout=0.5, head_dropout=0.0, bottleneck='kept', block=50,
               passes=30, members=5, spread='passes', recurrent='auto'),
    loss=dict(mean=1.0, spread=0.0, label='none', nu='a', scale='s', bbb='closed', over='batch', moments='population',
              floor=0.01, floor_hat=1e-3, df_hat=29.0),
    optim=dict(name='adam', lr=1e-4, l2=0.0, decay=0.0, clip=0.0, schedule='constant', factor=0.1, patience=5, drops=3))
  c.rows, c.order = {'a': {}, 'b': dict(loss=dict(label='t'))}, ('a', 'b')
  c.folds, c.seeds, c.metrics = ('all',), (0,), ('ccc.pooled.arousal',)
  c.baselines, c.on_twins, c.published, c.claims, c.notes = {}, {}, (), (), ()
  CHANGE
  return c
"""
TOP = (
  'with title, table, tables, run, rows, order, folds, seeds, metrics, baselines, on_twins, published, claims, notes'
)
RUN = 'required are run: system, corpora, .*; run.data: split, seed, delays, .*; run.raters: reserve, score, train'


def load(folder: pathlib.Path, text: str, table: str | None = None):
  """What a file of that text returns."""
  path = folder / 'mine.py'
  path.write_text(text)
  return experiment.load(path, table)


def test_a_file_of_ones_own_needs_no_clone(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = load(pathlib.Path(), OWN.replace('CHANGE', ''))
  table = cells.Table(config.to_dict(), 'mine.py', None)
  assert [cell.row for cell in cells.plan(table)] == ['a', 'b'] and table.row('b')['loss']['label'] == 't'


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    ('del c.title', f'title is missing; .*{TOP}'),
    ('del c.run', f'run is missing; .*{TOP}'),
    ('del c.rows', f'rows is missing; .*{TOP}'),
    ('c.seed = (0,)', f'seed is unknown; .*{TOP}, and, if needed, figures, matrices, flags, t_test'),
    ('del c.seeds; c.seeds = 3', f'seeds is 3, expected a tuple; .*{TOP}'),
    ('c.seeds = (0.5,)', 'seeds holds 0.5, expected a int'),
    ('c.folds = (0, 1)', 'folds holds 0, expected a str'),
    ('del c.run; c.run = ()', r'run is \(\), expected a dict'),
    ('c.rows = dict(a=3)', 'rows holds 3, expected a dict'),
    ('c.order = ("a",)', 'order is a; expected each row once: a, b'),
    ('del c.run.system', 'run.system is missing; required are run: system, corpora'),
    ('c.run.system = "emonet"', "unknown system 'emonet'; there is: amber2, "),
    ('del c.run.data', f'run.data is missing; {RUN}'),
    ('del c.run.data; c.run.data = 3', f'run.data is 3, expected keys; {RUN}'),
    ('del c.run.data.split', f'run.data.split is missing; {RUN}'),
    ('del c.run.raters', f'run.raters is missing; {RUN}'),
    ('del c.run.raters.score', f'run.raters.score is missing; {RUN}'),
    ('del c.run.optim.lr', f'run.optim.lr is missing; {RUN}'),
    ('c.run.data.modality = "audio"', f'run.data.modality is unknown; {RUN}'),
    ('c.run.step = 3', f'run.step is unknown; {RUN}'),
    ('c = c.to_dict()', f'get_config returns dict, not a ConfigDict; .*{TOP}'),
    ('c = None', f'get_config returns NoneType, not a ConfigDict; .*{TOP}'),
    ('c.run.nothing.more = 3', r'nothing.* \(AttributeError, mine.py line \d+\)'),
    ('1 / 0', r'division by zero \(ZeroDivisionError, mine.py line \d+\)'),
    ('raise ValueError("two\\n lines")', 'mine.py: two lines$'),
    ('import nowhere', "No module named 'nowhere'; an experiment file may import ml_collections and files"),
    ('return (', "line .*'[(]' was never closed"),
  ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, change, says):
  refused(says, lambda: load(tmp_path, OWN.replace('CHANGE', change)))


def test_rows_name_keys_of_the_run(tmp_path):
  for change, says in (
    ("c.rows['b'] = dict(loss=dict(labels='t'))", "unknown key in row b.loss 'labels'; there is: bbb, df_hat, "),
    ("c.rows['b'] = dict(steps=3, step=3)", "unknown key in row b 'step'; there is: batch_size, "),
    ("c.rows['b'] = dict(loss='t')", "row b: loss is 't', expected some of its keys: bbb, df_hat, "),
  ):
    table = cells.Table(load(tmp_path, OWN.replace('CHANGE', change)).to_dict(), 'mine.py', None)
    refused(says, functools.partial(cells.plan, table))


def test_no_file_no_get_config_no_table(tmp_path):
  refused(
    r'absent.py: no such experiment file; in ./experiments there is: ', lambda: experiment.load(tmp_path / 'absent.py')
  )
  refused(f'has no function get_config; .*{TOP}', lambda: load(tmp_path, 'get_config = 3'))
  refused('get_config takes no table, but :other was given', lambda: load(tmp_path, OWN, 'other'))
  refused(
    'get_config cannot be called without a table .missing a required argument',
    lambda: load(tmp_path, OWN.replace('get_config()', 'get_config(table)')),
  )


def test_a_file_imports_what_lies_beside_it_and_leaves_nothing_behind(tmp_path):
  text = 'import beside\n' + OWN.replace('CHANGE', 'from beside import title; c.title = title')
  for name in ('one', 'two'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'beside.py').write_text(f'title = {name!r}')
  before = list(sys.path)
  assert [load(tmp_path / name, text).title for name in ('one', 'two')] == ['one', 'two']
  assert sys.path == before and 'beside' not in sys.modules


def test_packages_installed_below_the_folder_stay_imported(tmp_path, monkeypatch):
  (tmp_path / 'venv').mkdir()
  (tmp_path / 'venv' / 'installed_below.py').write_text('')
  monkeypatch.syspath_prepend(str(tmp_path / 'venv'))
  load(tmp_path, OWN.replace('CHANGE', 'import installed_below'))
  assert sys.modules.pop('installed_below').__file__ == str(tmp_path / 'venv' / 'installed_below.py')


def test_a_copy_of_ours_says_what_must_be_copied_with_it(tmp_path):
  refused(
    "No module named '_tables'; .*beside it, which are copied with it",
    lambda: load(tmp_path, (shared.ROOT / 'experiments' / 'mtclar.py').read_text()),
  )


@pytest.mark.parametrize('paper', PAPERS)
def test_a_paper_has_all_its_keys_in_every_table(paper):
  for table in shared.experiment(paper).tables:
    shared.experiment(paper, table)
  refused(r"unknown table 'nothing'; there is: \w+, \w+", lambda: shared.experiment(paper, 'nothing'))
  run, keys = shared.experiment(paper).run.to_dict(), experiment.keys(paper)
  parts = lambda given: {part: set(names.split()) for part, names in given.items()}
  own, required, optional = parts(keys), parts(experiment.RUN), parts(experiment.RUN_OPTIONAL)
  for part in {*own, *required} - {''}:
    rest = set(run[part]) - required.get(part, set()) - optional.get(part, set())
    assert own.get(part, set()) == rest and not rest & required.get(part, set())
  assert own[''] == set(run) - required[''] - optional['']
