"""Matrices in the table, and the figures of kinds matrix and sweep that draw the same numbers."""

import json

import numpy as np
import pytest

from affectjax import report
from affectjax.common.errors import UserError
from affectjax.tables import bootstrap, figures, matrix, render
from affectjax.tables.plots import _run, sweep
from affectjax.tables.plots import matrix as heat
from affectjax.tables.summary import summarise
from tests.helpers.workdirs import build, cells, drawn, rows_of, section, words

F1 = 'f1.macro.emotion'
DROPS = (0, 10, 40)
ROWS = ('vavl', 'late', 'audio', 'partial', 'absent')
GRID = {'rows': ['vavl', ['late fusion', 'late'], 'audio', 'partial', 'absent'],
        'columns': [['A', f'{F1}_audio'], ['V', f'{F1}_visual']]}  # fmt: skip
CROSS = {'cells': [['on audio', [['one', 'audio', f'{F1}_audio'], ['both', 'vavl', f'{F1}_audio']]],
                   ['on visual', [['both', 'vavl', f'{F1}_visual']]]]}  # fmt: skip
POINTS = [[x, f'{F1}_drop{x}' if x else F1] for x in reversed(DROPS)]
SWEEP = {'kind': 'sweep', 'rows': ['vavl', 'late', 'partial', 'absent'], 'points': POINTS, 'x_label': 'dropped (%)',
         'difference': ['vavl', 'late']}  # fmt: skip


def arrays(row, fold, seed, groups=12, n=8):
  """A cell's classes; 'audio' has no visual ones and nothing dropped, and of 'partial' a fold is not done."""
  if row == 'absent' or (row, fold) == ('partial', '1'):
    return None
  rng, own = np.random.default_rng(int(fold)), np.random.default_rng([len(row), int(fold), seed])
  truth, out = rng.integers(0, 4, groups * n), {}
  for what, right in (('_audio', 0.5), ('_visual', 0.7), ('', 0.8), ('_drop10', 0.7), ('_drop40', 0.4)):
    right -= 0.2 * (row != 'vavl')
    if row != 'audio' or what == '_audio':
      said = np.where(own.random(groups * n) < right, truth, own.integers(0, 4, groups * n))
      out |= {f'emotion{what}': truth, f'emotion{what}_hat': said}
  return out | {'group': np.array([f'a{fold}-{g}' for g in np.repeat(np.arange(groups), n)])}


def made(path, **options):
  return build(path, ROWS, arrays=arrays, **{'metrics': [F1], 'baselines': {}, **options})


def sample(row, metric):
  return bootstrap.Sample(metric, {
    (f, s): bootstrap.reduce([metric], arrays(row, f, s))[metric] for f in ('0', '1') for s in (0, 1)
  })  # fmt: skip


def says(row, metric):
  i = bootstrap.interval(sample(row, metric))
  return f'{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]'


def test_a_matrix_shows_the_numbers_of_rows_and_metrics(tmp_path):
  claim = {'id': 'a.b', 'text': 'c', 'compare': [{'row': 'vavl', 'against': 'late', 'metric': F1}]}
  text, table = render.render(made(tmp_path, matrices=[{'title': 'Modalities', **GRID}], claims=[claim]))
  found = cells(text, 'Matrix: Modalities')
  assert list(found) == ['vavl', 'late fusion', 'audio', 'partial', 'absent']
  assert found['vavl'] == [says('vavl', f'{F1}_audio'), says('vavl', f'{F1}_visual')]
  assert found['late fusion'][0] == says('late', f'{F1}_audio')
  assert found['audio'] == [says('audio', f'{F1}_audio'), '-'] and found['absent'] == ['-', '-']
  assert found['partial'][0].endswith(' (2 of 4 cells)') and '[' not in found['partial'][0]
  told = section(text, 'Matrix: Modalities')[2]
  assert 'higher is better' in told and f'A by {F1}_audio; V by {F1}_visual' in told and 'late fusion is late' in told
  headings = [line for line in text.split('\n') if line.startswith('## ')]
  assert headings == [f'## {F1}, higher is better', '## Matrix: Modalities', '## Claims', '## Unfinished']
  lines = [r for r in rows_of(table) if r['metric'] == f'{F1}_audio']
  assert [r['row'] for r in lines] == ['vavl', 'late', 'audio', 'partial'], 'what no block shows stands in the csv'
  np.testing.assert_allclose(float(lines[0]['low']), bootstrap.interval(sample('vavl', f'{F1}_audio')).low, rtol=1e-11)


def test_cells_by_themselves_may_put_rows_on_the_other_axis(tmp_path):
  text, table = render.render(made(tmp_path, matrices=[{'title': 'Crossed', **CROSS}, {'title': 'B | C', **GRID}]))
  found = cells(text, 'Matrix: Crossed')
  assert found == {
    'on audio': [says('audio', f'{F1}_audio'), says('vavl', f'{F1}_audio')],
    'on visual': ['-', says('vavl', f'{F1}_visual')],
  }
  assert r'## Matrix: B \| C' in text
  pairs = [(r['row'], r['metric']) for r in rows_of(table)]
  assert len(set(pairs)) == len(pairs)


def test_few_groups_directions_and_synthetic_data_are_said(tmp_path):
  one = {'title': 'One', 'rows': ['vavl'], 'columns': [['all', F1], ['gap', 'gap.uar.emotion_gender']]}
  few = lambda *cell: arrays(*cell, groups=6) if arrays(*cell) else None
  text, table = render.render(build(tmp_path, ROWS, arrays=few, kind='synthetic', metrics=[F1], matrices=[one]))
  lines = section(text, 'Matrix: One')
  assert lines[0] == '## Matrix: One (synthetic)' and 'gap.uar.emotion_gender (nearer to 0 is better)' in lines[2]
  assert cells(text, 'Matrix: One')['vavl'][0].endswith('] (few)') and 'few: less than 20' in '\n'.join(lines)
  assert {r['kind'] for r in rows_of(table)} == {'synthetic'}


def test_without_matrices_nothing_changes_and_a_block_is_not_made_twice(tmp_path):
  plain = render.render(made(tmp_path / 'plain'))
  again = {'title': 'Again', 'rows': ['vavl'], 'columns': [['all', F1]]}
  text, table = render.render(made(tmp_path / 'with', matrices=[again]))
  start, end = text.index('\n## Matrix'), text.index('\n## Unfinished')
  assert (text[:start] + text[end:], table) == plain and f'All by {F1}.' in text


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    ({'rows': ['vavl', 'gone']}, "unknown row in matrix 'M': 'gone'; there is: absent"),
    ({'columns': [['A', 'f1.emotion']]}, 'unknown metric'), ({'title': ''}, 'a matrix has a title of its own'),
    ({'collumns': ()}, "unknown key in matrix 'M': 'collumns'; there is: cells, columns, rows, title"),
    ({'rows': None}, "matrix 'M' has rows and columns, or cells; found columns"),
    ({'rows': None, 'columns': None}, 'or cells; found none of them'), (CROSS, 'found rows, columns, cells'),
    ({'rows': []}, 'rows is .*found nothing'), ({'rows': ['vavl', ['vavl', 'late']]}, "found 'vavl' twice"),
    ({'rows': [3]}, 'rows is .*found 3'), ({'columns': [['A', F1, 'x']]}, 'columns is'),
    ({'columns': [['A', 3]]}, 'rows and metrics are names'), ({'columns': {'A': F1}}, 'columns is'),
    ({'rows': None, 'columns': None, 'cells': [['a', [['b', 'vavl']]]]}, "line 'a' of cells is"),
    ({'rows': None, 'columns': None, 'cells': 'a'}, 'cells is'),
  ],
)  # fmt: skip
def test_a_matrix_that_is_none_is_refused_in_one_line(change, says):
  spec = {key: value for key, value in ({'title': 'M', **GRID} | change).items() if value is not None}
  with pytest.raises(UserError, match=says) as caught:
    matrix.check([spec], ROWS)
  assert '\n' not in str(caught.value)


def test_titles_stand_once_and_a_matrix_is_a_mapping():
  matrix.check([{'title': 'M', **GRID}, {'title': 'N', **CROSS}], ROWS)
  for wrong, what in (([{'title': 'M', **GRID}] * 2, "'M' twice"), (['title'], 'a matrix is a mapping')):
    with pytest.raises(UserError, match=what):
      matrix.check(wrong, ROWS)


def run(path, specs, **options):
  workdir = made(path, **options)
  return _run.Run(workdir, summarise(workdir, [m for spec in specs for m in figures._reads(spec)[1]]))


def test_a_heat_map_prints_the_tables_numbers(tmp_path):
  spec = {'kind': 'matrix', 'title': 'Modalities', **GRID}
  figure = heat.draw(run(tmp_path, [spec], kind='synthetic'), spec)
  said = words(figure)
  for text in (says('vavl', f'{F1}_audio').replace(' [', '\n['), '(2 of 4 cells)', 'late fusion', 'no number',
               'Modalities; means with 95 %', 'f1.macro\nhigher is better', '(synthetic)'):  # fmt: skip
    assert text in said
  image = figure.axes[0].images[0].get_array()
  assert image.shape == (5, 2) and image.mask.sum() == 3 == len(figure.axes[0].patches)
  assert image[0, 0] == pytest.approx(bootstrap.interval(sample('vavl', f'{F1}_audio')).mean)
  alone = {'kind': 'matrix', 'rows': ['absent'], 'columns': GRID['columns']}
  with pytest.raises(_run.Lacks, match=f'no finished cell of its rows has {F1}_audio, '):
    heat.draw(run(tmp_path / 'more', [alone]), alone)


def test_a_sweep_has_a_line_per_row_over_metrics(tmp_path):
  figure = sweep.draw(run(tmp_path, [SWEEP]), SWEEP)
  above, below = figure.axes
  said = words(figure)
  for text in (f'{F1}\nhigher is better', 'dropped (%)', 'absent: no finished cell', 'without interval',
               'vavl \N{MINUS SIGN} late\nabove 0: vavl is better'):  # fmt: skip
    assert text in said
  line = next(line for line in above.lines if len(line.get_xdata()) == 3)
  np.testing.assert_allclose(line.get_xdata(), DROPS, atol=1)
  by = [F1, f'{F1}_drop10', f'{F1}_drop40']
  np.testing.assert_allclose(line.get_ydata(), [bootstrap.interval(sample('vavl', m)).mean for m in by])
  differences = [bootstrap.paired(sample('vavl', m), sample('late', m)) for m in by]
  shown = [c.get_segments()[0][:, 1] for c in below.collections]
  np.testing.assert_allclose(shown, [[d.low, d.high] for d in differences])
  short = {'kind': 'sweep', 'rows': ['audio', 'late'], 'points': POINTS, 'x_label': 'x'}
  assert len(sweep.draw(run(tmp_path / 'more', [short]), short).axes) == 1


@pytest.mark.parametrize(
  ('spec', 'says'),
  [
    ({'kind': 'matrix', 'rows': ['vavl']}, "figure 'matrix' has rows and columns, or cells"),
    ({'kind': 'matrix', **GRID, 'rows': ['gone']}, "unknown row in figure 'matrix': 'gone'"),
    ({'kind': 'matrix', **GRID, 'title': 3}, 'title is text'),
    ({'kind': 'matrix', **GRID, 'x_label': 'x'}, 'unknown key in figure'),
    (SWEEP | {'points': []}, 'points is'), (SWEEP | {'points': [['0', F1]]}, 'points is'),
    (SWEEP | {'points': [[0, F1], [0, F1]]}, 'stands twice'), (SWEEP | {'points': [[0, 'f1.x']]}, 'unknown metric'),
    (SWEEP | {'points': [[0, F1], [1, 'uar.emotion']]}, 'of one metric on one axis, found f1.macro and uar'),
    (SWEEP | {'difference': ['vavl', 'audio']}, "'audio'; there is: absent, late, partial, vavl"),
    (SWEEP | {'difference': ['vavl', 'vavl']}, 'names two rows'), (SWEEP | {'rows': ['late', 'late']}, 'stands twice'),
  ],
)  # fmt: skip
def test_a_figure_that_is_none_is_refused(spec, says):
  with pytest.raises(UserError, match=says) as caught:
    figures.check([spec], ROWS)
  assert '\n' not in str(caught.value)


def test_all_of_it_comes_from_table_json_and_forests_are_of_the_tables_metrics_alone(tmp_path, capsys):
  specs = [{'kind': 'matrix', **GRID}, {'kind': 'matrix', **CROSS, 'name': 'crossed'}, SWEEP]
  workdir = made(tmp_path, matrices=[{'title': 'Modalities', **GRID}], figures=specs)
  figures.check(json.loads((workdir / 'table.json').read_text())['figures'], ROWS)
  assert report.main([str(workdir), '--figures']) == 0
  assert drawn(workdir) == ['crossed.png', f'{F1}.png', 'matrix.png', 'sweep.png']
  capsys.readouterr()
