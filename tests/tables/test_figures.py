import json

import numpy as np
import pytest
import scipy.stats

from affectjax import metrics, report
from affectjax.common.errors import UserError
from affectjax.tables import bootstrap, figures
from affectjax.tables.plots import _run, band, calibration, curve
from affectjax.tables.summary import summarise
from tests.helpers.workdirs import build, drawn, rated, words

pytest.importorskip('matplotlib')

KL = 'kl.t.arousal'
BAND = {'kind': 'band', 'rows': ['base', 'good'], 'target': 'arousal'}
CALIBRATION = {'kind': 'calibration', 'rows': ['base', 'good'], 'target': 'arousal'}
SERIES = [['good', [[6, 'good_a6'], [3, 'good_a3']]], ['base', [[3, 'base_a3'], [6, 'base_a6']]]]
CURVE = {'kind': 'curve', 'metric': KL, 'series': SERIES, 'x_label': 'raters', 'difference': ['good', 'base']}
COUNTED = ('good_a3', 'good_a6', 'base_a3', 'base_a6')


def arrays(row, fold, seed):
  """`rated`, of which 'late' is not done, 'plain' predicts no spread, and 't' predicts a Student-t."""
  if row == 'late':
    return None
  given = rated('base' if row.startswith('base') else 'good', fold, seed)
  if row == 'plain':
    return {k: v for k, v in given.items() if not k.startswith('arousal_') or k == 'arousal_hat'}
  if row == 't':
    given['arousal_df_hat'] = np.full_like(given['arousal_df_hat'], 5)
  if row == 'good_a3':
    given['arousal_spread_hat'] = given['arousal_spread_hat'] * 2
  order = np.random.default_rng(0).permutation(len(given['id']))  # windows need not stand in order
  return {k: v[order] for k, v in given.items()}


def run(path, rows=('base', 'good', 't', 'plain', 'late'), also=(KL,), **options):
  workdir = build(path, rows, arrays=options.pop('arrays', arrays), **{'metrics': [KL], **options})
  return _run.Run(workdir, summarise(workdir, also))


def test_a_recordings_windows_are_joined_in_order_of_time(tmp_path):
  made = run(tmp_path)
  told = band._over_time(made, made.cells('good')[0], 'r0-3', 'arousal')
  want = rated('good', '0', 0)
  here = want['item'] == 'r0-3'
  np.testing.assert_allclose(told['time_s'], want['time_s'][here].ravel())
  np.testing.assert_allclose(told[''], want['arousal'][here].ravel())
  np.testing.assert_allclose(told['_ratings'], want['arousal_ratings'][here].reshape(30, 4))
  assert (np.diff(told['time_s']) > 0).all()
  time = told['time_s']
  part = band._over_time(made, made.cells('good')[0], 'r0-3', 'arousal', (time[4], time[9]))
  np.testing.assert_allclose(part['_hat'], told['_hat'][4:10])
  with pytest.raises(_run.Lacks, match=r'recording r0-3 has no frame in \(0, 1\)'):
    band.draw(made, BAND | {'item': 'r0-3', 'span': (0, 1)})


def test_padding_is_dropped_and_a_leap_of_time_breaks_the_lines(tmp_path):
  def leaping(*cell):
    given = arrays(*cell)
    time = given['time_s'] + 100 * (given['id'].astype(int)[:, None] % 6 >= 4)
    return given | {'time_s': np.where(np.arange(5) == 4, np.nan, time)}

  made = run(tmp_path, rows=('good',), arrays=leaping)
  told = band._over_time(made, made.cells('good')[0], 'r0-0', 'arousal')
  time = told['time_s']
  assert np.flatnonzero(np.isnan(time)).tolist() == [4, 9, 14, 19, 24]  # six windows of four frames, 0.4 s between them
  assert time[20] - time[18] > 100 and np.isnan(told['_ratings'][19]).all() and len(told['_hat']) == 29


def test_half_widths_are_those_of_the_distributions():
  sd, df = np.array([0.5, 0.5, 0.2, 0.3]), np.array([np.inf, 29.0, 3.0, 2.0])
  got = band.half_width(0.95, sd, df)
  want = [0.5 * scipy.stats.norm.ppf(0.975)] + [
    s * np.sqrt((n - 2) / n) * scipy.stats.t.ppf(0.975, n) for s, n in ((0.5, 29), (0.2, 3))
  ]
  np.testing.assert_allclose(got[:3], want)
  assert np.isnan(got[3])


def test_a_band_has_a_panel_per_row_and_says_what_is_not_there(tmp_path):
  made = run(tmp_path, kind='synthetic')
  spec = BAND | {'rows': ['base', 't', 'plain', 'late'], 'item': 'r1-2', 'seed': 1}
  figure = band.draw(made, spec)
  said = words(figure)
  for text in ('Few-shot labelling (synthetic)', 'recording r1-2, fold 1, seed 1', 'base: Gaussian', 'time (s)',
               't: Student-t, 5 degrees of freedom', 'plain: predicts no spread',
               'no finished cell with this recording',
               'predicted 50 % interval', 'predicted 95 % interval', "raters' mean"):  # fmt: skip
    assert text in said
  base, student, plain, late = figure.axes
  assert [len(axes.collections) for axes in (base, student, plain, late)] == [2, 2, 0, 0]
  assert [len(axes.lines) for axes in (base, student, plain, late)] == [4 + 2, 4 + 2, 2, 0]
  wanted = rated('good', '1', 1)
  here = wanted['item'] == 'r1-2'
  np.testing.assert_allclose(student.lines[-1].get_ydata(), wanted['arousal_hat'][here].ravel())
  assert 'recording' in words(band.draw(made, BAND))


def test_observed_shares_are_the_coverage_of_the_table(tmp_path):
  def ragged(*cell):
    given = arrays(*cell)
    if given is None:
      return None
    rng = np.random.default_rng(int(cell[1]))
    ratings = np.where(rng.random((72, 5, 4)) < 0.2, np.nan, given['arousal_ratings'])
    ratings[:7] = np.nan
    return given | {'arousal_ratings': ratings}

  made = run(tmp_path, rows=('t', 'good', 'late'), arrays=ragged)
  for row in ('t', 'good'):
    line = calibration._of_row(made, row, 'arousal')
    for percent in (50, 80, 95):
      name = f'coverage.{percent}.arousal'
      want = np.mean([metrics.compute(name, ragged(row, f, s)) for f in '01' for s in (0, 1)])
      assert line[np.flatnonzero(np.isclose(calibration.SHARES, percent / 100))[0]] == pytest.approx(want, abs=1e-12)
    assert line[0] == 0 and line[-1] == 1 and (np.diff(line) >= 0).all()


def test_calibration_has_a_line_per_row_and_names_rows_without(tmp_path):
  made = run(tmp_path)
  figure = calibration.draw(made, CALIBRATION | {'rows': ['good', 'late', 'plain', 't'], 'target': ['arousal', 'x']})
  said = words(figure)
  assert 'late: no finished cell' in said and 'plain: predicts no distribution' in said and 'calibrated' in said
  assert 'good: predicts no distribution (x)' in said and '(synthetic)' not in said
  assert [len(axes.lines) for axes in figure.axes] == [3, 1]
  np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), figure.axes[0].lines[0].get_ydata())
  with pytest.raises(_run.Lacks, match='late: no finished cell'):
    calibration.draw(made, CALIBRATION | {'rows': ['late']})


def test_curves_show_the_tables_numbers_and_paired_differences(tmp_path):
  made = run(tmp_path, rows=COUNTED)
  figure = curve.draw(made, CURVE)
  above, below = figure.axes
  sample = {
    row: bootstrap.Sample(KL, {
      (f, s): bootstrap.reduce([KL], arrays(row, f, s))[KL] for f in ('0', '1') for s in (0, 1)
    })
    for row in COUNTED
  }  # fmt: skip
  line = next(line for line in above.lines if line.get_marker() == 'o' and len(line.get_xdata()) == 2)
  np.testing.assert_allclose(line.get_ydata(), [bootstrap.interval(sample[f'good_a{n}']).mean for n in (3, 6)])
  np.testing.assert_allclose(line.get_xdata(), [3, 6], atol=0.05)
  differences = [bootstrap.paired(sample[f'good_a{n}'], sample[f'base_a{n}']) for n in (3, 6)]
  shown = [c.get_segments()[0] for c in below.collections]
  np.testing.assert_allclose([s[:, 0] for s in shown], [[3, 3], [6, 6]])
  np.testing.assert_allclose([s[:, 1] for s in shown], [[d.low, d.high] for d in differences])
  said = words(figure)
  assert f'{KL} (nats)\nlower is better' in said and 'raters' in said
  assert 'good \N{MINUS SIGN} base\nbelow 0: good is better' in said


def test_points_that_are_not_done_are_left_out_of_a_curve(tmp_path):
  given = lambda *cell: None if cell[0] == 'good_a6' or cell == ('base_a6', '0', 0) else arrays(*cell)
  made = run(tmp_path, rows=COUNTED, arrays=given, also=(KL, 'coverage.80.arousal'))
  more = CURVE | {'series': [*SERIES, ['gone', [[3, 'late']]]], 'metric': [KL, 'coverage.80.arousal'], 'log': True}
  figure = curve.draw(made, more)
  said = words(figure)
  for text in ('good (1 of 2 points)', 'gone: no finished cell', 'without interval', 'nearer to 0.8 is better'):
    assert text in said
  assert 'above 0' not in said and figure.axes[0].get_xscale() == 'log'
  assert len(figure.axes[2].collections) == 1  # the one number that both have
  with pytest.raises(_run.Lacks, match='no finished cell'):
    curve.draw(made, {k: v for k, v in CURVE.items() if k != 'difference'} | {'series': [['gone', [[3, 'late']]]]})


@pytest.mark.parametrize(
  ('spec', 'says'),
  [
    ({'kind': 'bands'}, "unknown kind of figure 'bands'; there is: band, calibration, curve, forest"),
    ({'rows': ['base']}, 'unknown kind of figure'), ('band', 'a figure is a mapping'),
    ({'kind': '_run'}, 'unknown kind of figure'),
    (BAND | {'taget': 'x'}, "unknown key in figure 'band': 'taget'; there is: fold, item,"),
    ({'kind': 'band', 'rows': ['base']}, "figure 'band' lacks target"), (BAND | {'rows': 'gone'}, "'gone'; there is"),
    (BAND | {'span': 3}, 'span is'), (BAND | {'span': (2, 1)}, 'span is'), (BAND | {'span': 'ab'}, 'span'),
    (BAND | {'target': ['a', 'b']}, 'target is one name'), (BAND | {'rows': []}, 'rows is a name or several'),
    (BAND | {'name': '../x'}, 'no file name'), (CURVE | {'metric': 'kl.arousal'}, 'unknown metric'),
    (CURVE | {'series': {'good': {3: 'a'}}}, 'series is'), (CURVE | {'series': [['a', [['3', 'b']]]]}, 'points'),
    (CURVE | {'difference': ['good', 'bad']}, "'bad'; there is: base, good"),
    (CURVE | {'difference': 'xy'}, "found 'xy'"),
    (CURVE | {'series': [['a', [[0, 'base']]]], 'log': True, 'difference': ['a', 'b']}, 'more than 0'),
    (CURVE | {'series': [['a', [[1, 'base'], [1, 'good']]]]}, 'stands twice'), ({'kind': 'forest'}, 'lacks metric'),
  ],
)  # fmt: skip
def test_a_figure_that_is_none_is_refused(spec, says):
  with pytest.raises(UserError, match=says) as caught:
    figures.check([spec], ['base', 'good', *COUNTED])
  assert '\n' not in str(caught.value)


def test_what_an_experiment_file_names_is_drawn_beside_the_forest_plots(tmp_path, capsys):
  specs = [BAND, BAND | {'item': 'r0-1'}, CALIBRATION | {'name': 'reliability'}, CURVE,
           CALIBRATION | {'rows': ['late']},
           {'kind': 'forest', 'metric': KL, 'rows': ['good'], 'name': 'one'}]  # fmt: skip
  rows = ('base', 'good', 'late', *COUNTED)
  workdir = build(tmp_path, rows, '0', (0,), arrays=arrays, metrics=[KL, 'acc.same'], figures=specs)
  assert report.main([str(workdir), '--figures']) == 0
  err = capsys.readouterr().err
  assert drawn(workdir) == ['band.arousal-2.png', 'band.arousal.png', f'curve.{KL}.png', f'{KL}.png', 'one.png',
                            'reliability.png']  # fmt: skip
  assert 'calibration.arousal.png not drawn: late: no finished cell\n' in err
  assert 'acc.same.png not drawn: no finished row has it\n' in err and err.count('\n') == 8


def test_a_figure_that_cannot_be_read_is_left_out_and_an_unknown_kind_draws_nothing(tmp_path, capsys):
  workdir = build(tmp_path, ('good',), '0', (0,), arrays=arrays, metrics=['ccc.pooled.arousal'],
                  figures=[BAND | {'rows': ['good'], 'item': 'nowhere'}, BAND | {'target': 'dominance'}])  # fmt: skip
  assert report.main([str(workdir), '--figures']) == 0
  err = capsys.readouterr().err
  assert "tested on item 'nowhere'; there is: r0-" in err and 'the predictions have no dominance' in err
  assert drawn(workdir) == ['ccc.pooled.arousal.png']
  table = json.loads((workdir / 'table.json').read_text())
  (workdir / 'table.json').write_text(json.dumps(table | {'figures': [{'kind': 'pie'}]}))
  (workdir / 'figures' / 'ccc.pooled.arousal.png').unlink()
  assert report.main([str(workdir), '--figures']) == 2
  assert "error: unknown kind of figure 'pie'" in capsys.readouterr().err and drawn(workdir) == []


def test_predictions_of_no_recording_have_no_band(tmp_path):
  still = lambda *cell: {k: v for k, v in arrays(*cell).items() if k != 'time_s'}
  made = run(tmp_path, rows=('good',), arrays=still)
  with pytest.raises(_run.Lacks, match='no time_s'):
    band.draw(made, BAND)
