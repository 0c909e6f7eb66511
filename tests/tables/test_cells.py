"""Cells: rows merged and refused, fingerprints that change with what matters, order, failures, records."""

import json
import re
import types

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import train
from affectjax.engine.cell import Folder
from affectjax.tables import cells, records, scores
from tests.helpers.refusals import refused
from tests.helpers.table_small import RUN, table


def names(planned) -> list[tuple]:
  return [(c.row, c.fold, c.seed) for c in planned]


def test_a_row_is_the_base_and_what_it_names():
  made = table({'a': dict(steps=3, optim=dict(lr=0.5)), 'b': {}}).row('a')
  assert made['steps'] == 3 and made['optim'] == dict(lr=0.5, clip=0.0)
  assert made['twins'] == {'afew_va': dict(clips=10)}, 'knobs of other corpora are none of its business'
  assert RUN['optim'] == dict(lr=0.1, clip=0.0), 'the base stays as it is'


def test_unknown_keys_and_rows_are_refused_with_those_there_are():
  refused(r"unknown key in row a 'step'; there is: .*steps", lambda: table({'a': dict(step=3)}).row('a'))
  refused(r"unknown key in row a.optim 'rate'; there is: clip, lr",
          lambda: table({'a': dict(optim=dict(rate=1))}).row('a'))  # fmt: skip
  refused("unknown row 'z'; there is: a, b", lambda: table({'a': {}, 'b': {}}).row('z'))
  refused("unknown key in on_twins a 'step'", lambda: table({'a': {}}, on_twins={'a': dict(step=1)}).row('a'))


def test_a_row_and_a_flag_cannot_both_decide():
  rows = {'a': dict(optim=dict(lr=0.5)), 'b': {}}
  refused(
    "row 'a' sets optim.lr itself; it cannot also be set by --config.run", lambda: table(rows, ['optim.lr']).row('a')
  )
  assert table(rows, ['optim.lr']).row('b')['optim']['lr'] == 0.1
  assert table(rows, ['optim.clip']).row('a')['optim']['lr'] == 0.5


def test_budgets_on_twins_yield_to_flags_and_to_real_data():
  on_twins = {'a': dict(steps=5, optim=dict(lr=9.0, clip=1.0))}
  assert table({'a': {}}, on_twins=on_twins).row('a')['steps'] == 5
  assert table({'a': {}}, ['steps'], on_twins=on_twins).row('a')['steps'] == 10
  nested = table({'a': {}}, ['optim.lr'], on_twins=on_twins).row('a')
  assert nested['optim'] == dict(lr=0.1, clip=1.0)
  real = table({'a': {}}, data_dir='/data', on_twins=on_twins).row('a')
  assert real['steps'] == 10 and real['twins'] == {}


def test_a_table_is_rows_by_folds_by_seeds_in_the_order_of_the_file():
  planned = cells.plan(table({'b': {}, 'a': dict(per_fold=False)}, seeds=(0, 1)))
  assert names(planned) == [
    ('b', '0', 0),
    ('b', '1', 0),
    ('b', '0', 1),
    ('b', '1', 1),
    ('a', 'all', 0),
    ('a', 'all', 1),
  ]
  assert planned[0].folder == f'cells/b/0-0-{planned[0].fingerprint[:8]}'
  assert planned[0].config['fold'] == '0' and planned[2].config['seed'] == 1


def test_choosing_rows_folds_and_seeds():
  made = table({'a': {}, 'b': {}})
  assert names(cells.plan(made, ['b'], ['1'], [7])) == [('b', '1', 7)]
  refused("unknown fold '2'; there is: 0, 1", lambda: cells.plan(made, folds=['2']))
  refused("unknown row 'c'; there is: a, b", lambda: cells.plan(made, rows=['c']))
  refused('seed -3 is negative', lambda: cells.plan(made, seeds=[-3]))


def test_what_a_cell_starts_from_comes_first_and_is_shared():
  rows = {
    'tuned': dict(warm_start='base', per_fold=True, steps=1), 'base': dict(per_fold=False),
    'label': dict(warm_start='tuned'), 'other': dict(warm_start='base', steps=2),
  }  # fmt: skip
  planned = cells.plan(table(rows))
  assert names(planned) == [
    ('base', 'all', 0), ('tuned', '0', 0), ('tuned', '1', 0), ('label', '0', 0), ('label', '1', 0),
    ('other', '0', 0), ('other', '1', 0),
  ]  # fmt: skip
  by = {(c.row, c.fold): c for c in planned}
  assert by['tuned', '0'].warm is by['tuned', '1'].warm is by['base', 'all'], 'trained once for all folds'
  assert by['label', '1'].warm is by['tuned', '1'], 'a fold starts from its own fold'
  asked = cells.plan(table(rows), ['label'], ['1'])
  assert names(asked) == [('base', 'all', 0), ('tuned', '1', 0), ('label', '1', 0)]


def test_circles_and_impossible_starts_are_refused():
  circle = {'a': dict(warm_start='b'), 'b': dict(warm_start='c'), 'c': dict(warm_start='a')}
  refused('rows a -> b -> c -> a start from each other', lambda: cells.plan(table(circle)))
  refused('rows a -> a start from each other', lambda: cells.plan(table({'a': dict(warm_start='a')})))
  refused("row 'a' has no folds, so it cannot start from 'b', which has",
          lambda: cells.plan(table({'a': dict(warm_start='b', per_fold=False), 'b': {}})))  # fmt: skip
  refused("unknown row 'z'; there is: a", lambda: cells.plan(table({'a': dict(warm_start='z')})))


def prints(made, **chosen) -> dict[tuple, str]:
  return {(c.row, c.fold, c.seed): c.fingerprint for c in cells.plan(made, **chosen)}


def test_fingerprints_follow_config_data_fold_and_seed():
  plain = prints(table({'a': {}, 'b': dict(steps=11)}), seeds=[0, 1])
  assert len(set(plain.values())) == len(plain) == 8
  assert plain == prints(table({'a': {}, 'b': dict(steps=11)}), seeds=[0, 1])
  again = prints(table({'a': {}, 'b': dict(steps=12)}), seeds=[0, 1])
  assert {k: v == again[k] for k, v in plain.items()} == {k: k[0] == 'a' for k in plain}
  data = prints(table({'a': {}, 'b': dict(steps=11)}, run={**RUN, 'twins': dict(afew_va=dict(clips=11))}))
  assert not set(data.values()) & set(plain.values())
  elsewhere = prints(table({'a': {}}, run={**RUN, 'twins': {**RUN['twins'], 'affectnet': dict(train=500)}}))
  assert elsewhere['a', '0', 0] == plain['a', '0', 0], 'it does not read that corpus'


def test_what_changes_no_result_is_no_part_of_a_fingerprint():
  of = lambda **changes: prints(table({'a': {}}, run={**RUN, 'data': {'memory_gb': 8.0}, 'log_every': 1, **changes}))
  assert of(log_every=7) == of() == of(data={'memory_gb': 0.0})
  assert of(steps=3) != of()


def test_a_fingerprint_follows_the_cell_it_starts_from():
  rows = lambda steps: {'base': dict(per_fold=False, steps=steps), 'a': dict(warm_start='base'), 'b': {}}
  first, second = prints(table(rows(1))), prints(table(rows(2)))
  assert first['a', '0', 0] != second['a', '0', 0] and first['b', '0', 0] == second['b', '0', 0]


PREDICTED = {'group': np.array(['g', 'g', 'h', 'h']), 'x': np.array([0, 1, 2, 1]), 'x_hat': np.array([0, 1, 1, 1])}


@pytest.fixture
def trained(monkeypatch):
  """Replaces training: notes what ran, and fails the rows in `trained.broken`."""
  state = types.SimpleNamespace(ran=[], broken={})

  def run(config, folder, data_dir, warm, watch):
    state.ran.append((folder.parent.name, folder.name.split('-')[0], warm))
    if (error := state.broken.get(folder.parent.name)) is not None:
      raise error
    (folder / 'checkpoints' / 'steps' / '3').mkdir(parents=True)
    Folder(folder).store({'test': PREDICTED})
    return train.Result({'loss': 0.4}, 10, 8, {'compile': 1.0})

  monkeypatch.setattr(train, 'run', run)
  return state


def run_all(made, workdir) -> dict[tuple, str | None]:
  """As the launcher does: every cell that is not done; reasons of failure."""
  planned = cells.plan(made)
  done = cells.done(workdir, planned)
  watch = lambda *_: None
  return {(c.row, c.fold): cells.run_cell(made, c, workdir, watch, True) for c in planned if c.key not in done}


ROWS = {'base': dict(per_fold=False), 'a': dict(warm_start='base'), 'b': {}}


def test_finished_cells_are_skipped_and_unfinished_ones_run(trained, tmp_path):
  made = table(ROWS)
  assert set(run_all(made, tmp_path).values()) == {None}
  assert [r[:2] for r in trained.ran] == [('base', 'all'), ('a', '0'), ('a', '1'), ('b', '0'), ('b', '1')]
  assert trained.ran[1][2].parent.name == 'base' and trained.ran[3][2] is None
  assert run_all(made, tmp_path) == {}
  assert not list(tmp_path.rglob('checkpoints/steps*')), 'no longer needed'
  lost = cells.plan(made, ['b'], ['1'])[0]
  (tmp_path / lost.folder / 'predictions.npz').unlink()
  assert set(run_all(made, tmp_path)) == {('b', '1')}
  changed = table({**ROWS, 'b': dict(steps=11)})
  assert set(run_all(changed, tmp_path)) == {('b', '0'), ('b', '1')}
  assert run_all(made, tmp_path) == {}, 'the old cells are still there'


def test_a_record_says_what_was_run(trained, tmp_path):
  made = table({'b': {}}, folds=('0',))
  run_all(made, tmp_path)
  (record,) = records.load(tmp_path).values()
  assert (record['row'], record['fold'], record['seed']) == ('b', '0', 0)
  assert record['scores'] == {'acc.x': 0.75} and record['dev'] == {'loss': 0.4}
  assert (record['steps'], record['selected_step']) == (10, 8)
  assert record['data']['afew_va']['kind'] == 'synthetic' and len(record['data']['afew_va']['sha256']) == 64
  assert record['data']['afew_va']['counts'] == {'all': 10}
  assert record['config']['label'] == {'k': 20} and record['config']['fold'] == '0'
  assert set(record['packages']) == set(records.PACKAGES) and record['device'].startswith('8 x')
  assert record['revision'] and record['seconds'] >= 0


def test_a_metric_that_does_not_fit_costs_no_training(trained, tmp_path):
  """The cell is done without scores; the report refuses the metric, and a table without it needs no training."""
  odd = table({'b': {}}, folds=('0',), metrics=('acc.x', 'acc.group'))
  assert set(run_all(odd, tmp_path).values()) == {None}
  assert [r['scores'] for r in records.load(tmp_path).values()] == [{'acc.x': 0.75}]
  more = table({'b': {}}, folds=('0',), metrics=('acc.x', 'uar.x'))
  assert run_all(more, tmp_path) == {}
  assert scores.points(Folder(tmp_path / cells.plan(more)[0].folder), more.config['metrics'])['uar.x'] == 2 / 3


def test_a_failed_cell_does_not_stop_others_and_its_dependents_say_so(trained, tmp_path):
  made = table(ROWS)
  trained.broken['base'] = UserError('training diverged: look here')
  failed = run_all(made, tmp_path)
  assert failed['base', 'all'].endswith('UserError: training diverged: look here')
  assert failed['a', '0'] == failed['a', '1'] == "UserError: not run: row 'base', from which it starts, failed"
  assert failed['b', '0'] is failed['b', '1'] is None
  assert [r[0] for r in trained.ran] == ['base', 'b', 'b']
  folder = tmp_path / cells.plan(made, ['base'])[0].folder
  assert 'Traceback' in (folder / 'FAILED').read_text()
  assert all('\n' not in reason for reason in failed.values() if reason)
  trained.broken.clear()
  assert set(run_all(made, tmp_path).values()) == {None}
  assert not list(tmp_path.rglob('FAILED')), 'what has succeeded since has not failed'


def test_a_crash_of_any_kind_is_one_line_and_kept_whole(trained, tmp_path):
  trained.broken['b'] = ZeroDivisionError('a\nb')
  reason = run_all(table({'b': {}}, folds=('0',)), tmp_path)['b', '0']
  assert '\n' not in reason and 'b' in reason
  assert 'ZeroDivisionError: a\nb' in next(tmp_path.rglob('FAILED')).read_text()
  trained.broken['b'] = KeyboardInterrupt()
  with pytest.raises(KeyboardInterrupt):
    run_all(table({'b': {}}, folds=('1',)), tmp_path)


def record(row, **more):
  return {'row': row, 'fold': '0', 'seed': 0, 'fingerprint': 'f' * 64, **more}


def test_records_append_and_the_last_one_wins(tmp_path):
  for value in (1, 2):
    records.append(tmp_path, record('a', value=value))
  records.append(tmp_path, record('b', value=3))
  assert len((tmp_path / 'results.jsonl').read_text().splitlines()) == 3
  loaded = records.load(tmp_path)
  assert {k[0]: v['value'] for k, v in loaded.items()} == {'a': 2, 'b': 3}
  assert records.load(tmp_path / 'nowhere') == {}


@pytest.mark.parametrize('torn', ['{"row": "b", "fo', '{', json.dumps(record('b'))])
def test_a_tail_torn_by_a_kill_is_passed_over_and_cut_off(tmp_path, torn):
  records.append(tmp_path, record('a'))
  with open(tmp_path / 'results.jsonl', 'a') as file:
    file.write(torn)  # without its newline a line is not whole, even if it parses
  assert {k[0] for k in records.load(tmp_path)} == {'a'}
  records.append(tmp_path, record('c'))
  assert {k[0] for k in records.load(tmp_path)} == {'a', 'c'}
  assert len((tmp_path / 'results.jsonl').read_text().splitlines()) == 2


def test_a_line_in_the_middle_that_is_no_record_is_refused(tmp_path):
  records.append(tmp_path, record('a'))
  path = tmp_path / 'results.jsonl'
  path.write_text('{"row": 3}\n' + path.read_text())
  refused(re.escape(f'{path}, line 1: not a record'), lambda: records.load(tmp_path))


def test_the_definition_holds_what_rendering_needs():
  made = table({'b': {}, 'a': dict(per_fold=False)}, baselines={'b': 'a'}, seeds=(1, 0))
  told = cells.definition(made, cells.plan(made))
  assert told['rows'] == ['b', 'a'] and told['seeds'] == [0, 1] and told['kind'] == 'synthetic'
  assert told['folds'] == {'b': ['0', '1'], 'a': ['all']} and told['baselines'] == {'b': 'a', 'a': None}
  assert len(told['cells']) == 6 and json.loads(json.dumps(told)) == told


def test_figures_are_told_and_change_no_fingerprint():
  drawn = (dict(kind='band', rows=('a', 'b'), target='arousal'),)
  made, plain = table({'a': {}, 'b': {}}, figures=drawn), table({'a': {}, 'b': {}})
  told = cells.definition(made, cells.plan(made))
  assert told['figures'] == list(drawn) and 'figures' not in cells.definition(plain, cells.plan(plain))
  assert [c.fingerprint for c in cells.plan(made)] == [c.fingerprint for c in cells.plan(plain)]


def test_matrices_and_t_tests_are_told_only_where_a_table_has_them():
  shown = (dict(title='M', rows=('a', ('other', 'b')), columns=(('X', 'acc.x'), ('Y', 'acc.y'))),)
  made, plain = table({'a': {}, 'b': {}}, matrices=shown, t_test=True), table({'a': {}, 'b': {}}, t_test=False)
  told = cells.definition(made, cells.plan(made))
  assert told['matrices'] == list(shown) and told['t_test'] is True and told['metrics'] == ['acc.x']
  assert not {'matrices', 't_test'} & set(cells.definition(plain, cells.plan(plain)))
  assert [c.fingerprint for c in cells.plan(made)] == [c.fingerprint for c in cells.plan(plain)]


def test_what_cannot_be_drawn_or_judged_is_refused_before_anything_runs():
  define = lambda **more: lambda: cells.definition(made := table({'a': {}}, **more), cells.plan(made))
  refused('unknown kind of figure .pie.; there is: band', define(figures=(dict(kind='pie'),)))
  one = dict(kind='calibration', rows=('a', 'b'), target='x')
  refused("unknown row in figure 'calibration': 'b'; there is: a", define(figures=(one,)))
  shown = dict(title='M', rows=('a', 'b'), columns=(('X', 'acc.x'),))
  refused("unknown row in matrix 'M': 'b'; there is: a", define(matrices=(shown,)))
  refused("unknown metric 'acc'", define(matrices=(shown | dict(rows=('a',), columns=(('X', 'acc'),)),)))
  refused("t_test is True or False, found 'yes'", define(t_test='yes'))
  refused("unknown metric 'nosuch.x'", define(metrics=('nosuch.x',)))
  refused("unknown baseline of row a 'b'; there is: a", define(baselines={'a': 'b'}))
  claim = dict(id='x.y', text='z', compare=(dict(row='a', against='b', metric='acc.x', minus={}),))
  refused("claim 'x.y': minus is a mapping", define(claims=(claim,)))
