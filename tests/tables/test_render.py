import json
import os
import time

import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables import bootstrap, render
from tests.helpers.shared import ROOT
from tests.helpers.workdirs import ACC, CCC, RMSE, build, cells, predictions, rated, rows_of, section


def test_values_intervals_and_differences_are_those_of_the_predictions(tmp_path):
  text, table = render.render(build(tmp_path))
  sample = {
    row: bootstrap.Sample(CCC, {
      (f, s): bootstrap.reduce([CCC], predictions(row, f, s))[CCC] for f in ('0', '1') for s in (0, 1)
    })
    for row in ('base', 'good')
  }  # fmt: skip
  good, difference = bootstrap.interval(sample['good']), bootstrap.paired(sample['good'], sample['base'])
  seeds = [np.mean([metrics.compute(CCC, predictions('good', f, s)) for f in ('0', '1')]) for s in (0, 1)]
  line = next(r for r in rows_of(table) if (r['row'], r['metric']) == ('good', CCC))
  got = [float(line[k]) for k in ('mean', 'sd', 'low', 'high', 'difference', 'difference_low', 'difference_high')]
  want = [np.mean(seeds), np.std(seeds), good.low, good.high, difference.mean, difference.low, difference.high]
  np.testing.assert_allclose(got, want, rtol=1e-11)
  assert (line['groups'], line['cells'], line['expected'], line['against']) == ('24', '4', '4', 'base')
  assert cells(text, CCC)['good'] == [
    '24', f'{got[0]:.3f} ± {got[1]:.3f}', f'[{got[2]:.3f}, {got[3]:.3f}]',
    f'{got[4]:+.3f} [{got[5]:+.3f}, {got[6]:+.3f}] to base', '-', '-',
  ]  # fmt: skip
  assert cells(text, CCC)['base'][3] == '-' and 'lower is better' in section(text, RMSE)[0]


def test_a_row_stands_only_in_the_tables_of_metrics_it_has(tmp_path):
  text, _ = render.render(build(tmp_path))
  assert set(cells(text, CCC)) == {'base', 'good'} and set(cells(text, ACC)) == {'pairs'}


def test_it_depends_on_the_records_alone(tmp_path):
  first = render.render(build(tmp_path / 'one'))
  other = build(tmp_path / 'two')
  lines = (other / 'results.jsonl').read_text().splitlines(keepends=True)
  (other / 'results.jsonl').write_text(''.join(reversed(lines)))
  assert render.render(other) == render.render(other) == first
  assert str(tmp_path) not in ''.join(first)


def test_write_leaves_the_two_files_and_nothing_else(tmp_path, capsys):
  workdir = build(tmp_path)
  before = {p.name for p in workdir.iterdir()}
  text = render.write(workdir)
  assert {p.name for p in workdir.iterdir()} - before == {'table.md', 'table.csv'}
  assert ((workdir / 'table.md').read_bytes().decode(), (workdir / 'table.csv').read_bytes().decode()) == (
    render.render(workdir)
  )
  render.console(text)
  assert capsys.readouterr().out == text


def test_a_table_is_current_until_something_it_rests_on_changes(tmp_path):
  workdir = build(tmp_path)
  definition = json.loads((workdir / 'table.json').read_text())
  assert not render.is_current(workdir, definition)
  render.write(workdir)
  later = time.time() + 10  # the rendering code may be as young as this test
  for name in ('table.md', 'table.csv'):
    os.utime(workdir / name, (later, later))
  assert render.is_current(workdir, definition | {'seeds': (0, 1)})
  assert not render.is_current(workdir, definition | {'title': 'another'})
  os.utime(workdir / 'results.jsonl', (later + 1, later + 1))
  assert not render.is_current(workdir, definition)
  (workdir / 'table.json').write_text('{"title"')
  assert not render.is_current(workdir, definition)


def test_the_code_that_a_table_rests_on_is_there():
  assert all(list((ROOT / 'affectjax').glob(f'{name}.py')) for name in render.RESTS_ON)


def test_synthetic_is_said_in_every_heading_and_row(tmp_path):
  claim = {'id': 'a.b', 'text': 'c', 'compare': [{'row': 'good', 'against': 'base', 'metric': CCC}]}
  published = [{'row': 'good', 'metric': CCC, 'value': 0.9, 'source': 'a paper'}]
  text, table = render.render(build(tmp_path, kind='synthetic', claims=[claim], published=published))
  headings = [line for line in text.split('\n') if line.startswith('#') and line != '## Sources']
  assert len(headings) == 6 and all('synthetic' in line for line in headings)
  for metric in (CCC, RMSE, ACC):
    assert all(row[-1] == 'n/a (synthetic)' for row in cells(text, metric).values())
  assert {r['kind'] for r in rows_of(table)} == {'synthetic'}
  assert 'afew_va 1.0.0 (synthetic, sha256 0123456789ab)' in text


def test_one_synthetic_record_makes_the_table_synthetic(tmp_path):
  workdir = build(tmp_path, kind='prepared')
  path = workdir / 'results.jsonl'
  path.write_text(path.read_text().replace('"prepared"', '"synthetic"', 1))
  assert render.render(workdir)[0].startswith('# Few-shot labelling (synthetic)')


def test_published_values_stand_beside_ours_with_their_source(tmp_path):
  published = [
    {'row': 'good', 'metric': CCC, 'value': 0.1, 'source': 'Toisoul 2021, table 2'},
    {'row': 'base', 'metric': CCC, 'value': None, 'source': 'not obtained'},
    {'row': 'base', 'metric': RMSE, 'value': 0.001, 'source': 'Toisoul 2021, table 2'},
    {'row': 'elsewhere', 'metric': CCC, 'value': 0.64, 'source': 'Kossaifi 2020'},
    {'row': 'nowhere', 'metric': CCC, 'value': None, 'source': 'says nothing'},
  ]
  text, table = render.render(build(tmp_path, published=published))
  ccc = cells(text, CCC)
  assert ccc['base'][-2:] == ['n/k [1]', 'undecided'] and ccc['good'][-2:] == ['0.100 [2]', 'holds']
  assert ccc['elsewhere'] == ['-', 'published only', '-', '-', '0.640 [3]', '-']
  assert 'nowhere' not in ccc and 'says nothing' not in text
  assert cells(text, RMSE)['base'][-2:] == ['0.001 [2]', 'contradicted']
  assert '[2] Toisoul 2021, table 2' in '\n'.join(section(text, 'Sources'))
  line = next(r for r in rows_of(table) if r['row'] == 'elsewhere')
  assert (line['type'], line['published'], line['source'], line['mean']) == ('published', '0.64', 'Kossaifi 2020', '')


def test_one_seed_has_no_sd_and_one_group_no_interval(tmp_path):
  one = lambda row, fold, seed: predictions(row, '0', seed, groups=1)
  text, _ = render.render(build(tmp_path, rows=('base', 'good'), folds=('0',), seeds=(0,), arrays=one))
  row = cells(text, CCC)['good']
  assert row[0] == '1 (few)' and row[1].endswith('± n/a') and row[2] == 'n/a'
  assert row[3].endswith('n/a to base') and 'too narrow' in text


def test_unfinished_and_failed_cells_are_counted_and_explained(tmp_path):
  claim = {'id': 'a.b', 'text': 'c', 'compare': [{'row': 'good', 'against': 'base', 'metric': CCC}]}
  lacking = {('good', '1', 0), ('good', '1', 1)} | {('late', f, s) for f in '01' for s in (0, 1)}
  given = lambda *cell: None if cell in lacking else predictions(*cell)
  workdir = build(tmp_path, rows=('base', 'good', 'late'), arrays=given, claims=[claim])
  folder = workdir / 'cells/good/1-0-good'
  folder.mkdir(parents=True)
  (folder / 'FAILED').write_text('Traceback (most recent call last):\n  ...\nValueError: loss | is NaN\n\n')
  (workdir / 'cells/base/1-1-base/predictions.npz').write_bytes(b'PK\x03\x04 torn')
  text, table = render.render(workdir)
  assert cells(text, CCC)['good'][1].endswith('(2 of 4 cells)') and cells(text, CCC)['good'][2:4] == ['-', '-']
  assert cells(text, CCC)['base'][1].endswith('(3 of 4 cells)')
  unfinished = section(text, 'Unfinished')
  assert '- good: 2 of 4 cells; fold 1, seed 0 failed: ValueError: loss \\| is NaN' in unfinished
  assert '- late: 0 of 4 cells' in unfinished
  assert any(line.startswith('- base: 3 of 4 cells; fold 1, seed 1: predictions.npz') for line in unfinished)
  assert cells(text, 'a.b')['good'][-1] == 'undecided: row good: 2 of 4 cells'
  assert [r['row'] for r in rows_of(table) if r['type'] == 'unfinished'] == ['base', 'good', 'late']
  assert str(tmp_path) not in text


def test_a_stale_record_does_not_enter_and_the_last_one_wins(tmp_path):
  workdir = build(tmp_path)
  fresh = render.render(workdir)
  path = workdir / 'results.jsonl'
  lines = path.read_text().splitlines()
  stale, twice = json.loads(lines[0]), json.loads(lines[1])
  stale['fingerprint'], stale['data']['afew_va']['version'] = 'another', '0.1.0'
  twice['data']['afew_va']['version'] = '0.2.0'
  path.write_text('\n'.join([json.dumps(stale), json.dumps(twice), *lines]) + '\n')
  assert render.render(workdir) == fresh


def test_a_torn_last_line_is_noted_and_any_other_refused(tmp_path):
  workdir = build(tmp_path)
  path = workdir / 'results.jsonl'
  whole = path.read_text()
  path.write_text(whole + whole[:40])
  text, _ = render.render(workdir)
  assert 'cut off' in '\n'.join(section(text, 'Notes')) and 'Unfinished' not in text
  path.write_text(whole[:40] + '\n' + whole)
  with pytest.raises(UserError, match='line 1'):
    render.render(workdir)


def test_claims_end_the_table_with_paired_intervals(tmp_path):
  claims = [
    {'id': 'mtclar.a', 'text': 'errs less', 'compare': [
      {'row': 'good', 'against': 'base', 'metric': RMSE},
      {'row': 'good', 'against': 'base', 'metric': 'mae.pooled.valence'}]},
    {'id': 'mtclar.b', 'text': 'errs more', 'compare': [{'row': 'base', 'against': 'good', 'metric': CCC}]},
    {'id': 'mtclar.c', 'text': 'of other rows', 'compare': [
      {'row': 'good', 'against': 'gone', 'metric': CCC}, {'row': 'good', 'against': 'pairs', 'metric': CCC}]},
  ]  # fmt: skip
  text, table = render.render(build(tmp_path, claims=claims))
  assert section(text, 'mtclar.a')[0].endswith('holds') and section(text, 'mtclar.b')[0].endswith('contradicted')
  assert section(text, 'mtclar.c')[0].endswith('undecided')
  assert 'row gone is not in this run' in '\n'.join(section(text, 'mtclar.c'))
  assert f'row pairs has {CCC} in 0 of 4 cells' in '\n'.join(section(text, 'mtclar.c'))
  line = next(r for r in rows_of(table) if r['id'] == 'mtclar.a' and r['metric'] == RMSE)
  assert 0 < float(line['improvement_low']) < float(line['improvement']) < float(line['improvement_high'])
  assert {r['verdict'] for r in rows_of(table) if r['type'] == 'claim'} == {'holds', 'contradicted', 'undecided'}


def test_a_difference_of_differences_is_drawn_together_and_shown(tmp_path):
  low, high = (f'kl.t.arousal.agreement_{level}' for level in ('low', 'high'))
  own = {'row': 'good', 'against': 'base', 'metric': high}
  claims = [
    {'id': 'lu.a', 'text': 'more so', 'compare': [own | {'minus': {'metric': low}}, own]},
    {'id': 'lu.b', 'text': 'plain', 'compare': [own]},
    {'id': 'lu.c', 'text': 'lacks', 'compare': [own | {'minus': {'row': 'gone'}}]},
  ]
  workdir = build(tmp_path, rows=('base', 'good'), metrics=['kl.t.arousal'], arrays=rated, claims=claims)
  text, table = render.render(workdir)
  made = lambda row, by: bootstrap.Sample(by, {
    (f, s): bootstrap.reduce([by], rated(row, f, s))[by] for f in ('0', '1') for s in (0, 1)
  })  # fmt: skip
  want = bootstrap.linear([(1, made('base', high)), (-1, made('good', high)), (-1, made('base', low)),
                           (1, made('good', low))])  # fmt: skip
  lines = [r for r in rows_of(table) if r['type'] == 'comparison']
  got = [float(lines[0][k]) for k in ('improvement', 'improvement_low', 'improvement_high')]
  np.testing.assert_allclose(got, [want.mean, want.low, want.high], rtol=1e-11)
  assert [lines[0][k] for k in ('minus_row', 'minus_against', 'minus_metric')] == ['good', 'base', low]
  assert lines[1]['minus_row'] == '' and want.low > 0
  assert section(text, 'lu.a')[4].split(' | ')[3].strip() == 'minus'
  shown = [line.split(' | ')[3].strip() for line in section(text, 'lu.a') if line.startswith('| good')]
  assert shown == [f'good against base by {low}', '-'] and 'minus' not in '\n'.join(section(text, 'lu.b'))
  assert 'undecided: row gone is not in this run' in '\n'.join(section(text, 'lu.c'))
  assert 'minus' not in rows_of(render.render(build(tmp_path / 'plain', claims=claims[1:2]))[1])[0]


def test_a_subset_in_one_group_decides_no_difference_of_differences(tmp_path):
  def arrays(*cell):
    given = rated(*cell)
    given['arousal_agreement'] = np.where(given['group'] == 's0-3', 2, given['arousal_agreement'] % 2)
    return given

  compare = [{'row': 'good', 'against': 'base', 'metric': 'kl.t.arousal.agreement_high',
              'minus': {'metric': 'kl.t.arousal.agreement_low'}}]  # fmt: skip
  claims = [{'id': 'a.b', 'text': 'c', 'compare': compare}]
  text, _ = render.render(build(tmp_path, ('base', 'good'), '0', (0,), arrays=arrays, claims=claims))
  assert 'row good has kl.t.arousal.agreement_high in fewer than 2 groups' in text


def test_metrics_of_spread_subsets_and_coverage_read_well(tmp_path):
  names = ['ccc.pooled.arousal_spread', 'ccc.pooled.arousal_post', 'kl.t.arousal.agreement_low', 'coverage.80.arousal',
           'kl.true.arousal', 'kl.gauss.arousal', 'nll.raters.arousal']  # fmt: skip
  published = [{'row': 'good', 'metric': 'coverage.80.arousal', 'value': 0.8, 'source': 'x'}]
  claims = [{'id': 'a.b', 'text': 'c', 'compare': [
    {'row': 'good', 'against': 'base', 'metric': 'coverage.80.arousal'}]}]  # fmt: skip
  workdir = build(tmp_path, ('base', 'good'), metrics=names, arrays=rated, published=published, claims=claims)
  text, table = render.render(workdir)
  assert '## coverage.80.arousal, nearer to 0.8 is better' in text
  assert cells(text, 'coverage.80.arousal')['good'][-2:] == ['0.800 [1]', 'undecided (no direction)']
  assert 'coverage.80.arousal is best nearer to 0.8' in '\n'.join(section(text, 'a.b'))
  assert section(text, 'kl.true.arousal')[2] == 'No finished row has it.'
  assert all(set(cells(text, name)) == {'base', 'good'} for name in names if name != 'kl.true.arousal')
  assert {r['better'] for r in rows_of(table) if 'coverage' in r['metric']} == {'nearer to 0.8'}


def test_rows_scored_on_other_examples_are_marked(tmp_path):
  def arrays(row, fold, seed):
    given = predictions(row, fold, seed)
    if row == 'good':
      given['valence'] = np.where(np.arange(96) % 7 == 0, np.nan, given['valence'])
    return given

  text, _ = render.render(build(tmp_path, arrays=arrays))
  assert cells(text, CCC)['good'][3].endswith('(other) to base') and 'not scored on the same examples' in text


def test_what_the_user_can_put_right_is_one_line(tmp_path):
  with pytest.raises(UserError, match=r'no table\.json'):
    render.render(tmp_path / 'nowhere')
  for content in ('{"title": 1', '[]', '3'):
    (tmp_path / 'table.json').write_text(content)
    with pytest.raises(UserError, match=r'table\.json'):
      render.render(tmp_path)
  with pytest.raises(UserError, match='unknown metric'):
    render.render(build(tmp_path / 'one', metrics=['ccc.valence']))
  torn = lambda *cell: predictions(*cell) | {'item': np.full(96, 'one video')}
  with pytest.raises(UserError, match=r'predictions\.npz: .*one video'):
    render.render(build(tmp_path / 'two', metrics=['ccc.per_video.valence'], arrays=torn))


def test_an_empty_run_renders(tmp_path):
  text, _ = render.render(build(tmp_path, arrays=lambda *cell: None))
  assert 'no finished cell yet' in text and '- base: 0 of 4 cells' in text and 'No finished row has it.' in text
