"""The figure of rows trained with more and more labels: a row per budget, a logarithmic axis, columns that wrap."""

import numpy as np
import pytest

from affectjax.tables import bootstrap, figures
from affectjax.tables.plots import _lines, _run, curve
from affectjax.tables.summary import summarise
from tests.helpers.workdirs import build, words

pytest.importorskip('matplotlib')

BUDGETS = (50, 500, 16327)
EMOTIONS = ('happy', 'sad', 'anger', 'surprise')
MAE, ACC = 'mae.pooled.intensity', 'acc4.intensity'
ROWS = tuple(f'{kind}_{n}' for n in BUDGETS for kind in ('ssl', 'scratch'))
SERIES = [[name, [[n, f'{kind}_{n}'] for n in BUDGETS]] for name, kind in (('SSL', 'ssl'), ('from scratch', 'scratch'))]
BUDGET = {'kind': 'curve', 'metric': [MAE, ACC], 'series': SERIES, 'x_label': 'labelled segments', 'log': True,
          'difference': ['SSL', 'from scratch']}  # fmt: skip


def arrays(row, fold, seed, groups=12, n=10):
  """Errors fall with the budget, and are less with pre-training; 'scratch_500' is not done."""
  if row == 'scratch_500':
    return None
  kind, budget = row.split('_')
  rng, own = np.random.default_rng(int(fold)), np.random.default_rng([len(row), int(fold), seed])
  y = rng.choice([0, 1 / 3, 1, 2], (groups * n, 4))
  yhat = y + own.normal(size=y.shape) * (0.2 + 3 / np.sqrt(int(budget)) * (1 if kind == 'ssl' else 2))
  out = {'group': np.array([f'v{fold}-{g}' for g in np.repeat(np.arange(groups), n)])}
  out |= {'intensity': y, 'intensity_hat': yhat}
  return out | {f'{e}{s}': out[f'intensity{s}'][:, i] for i, e in enumerate(EMOTIONS) for s in ('', '_hat')}


def run(path, spec):
  figures.check([spec], ROWS)
  workdir = build(path, ROWS, arrays=arrays, metrics=[MAE])
  return _run.Run(workdir, summarise(workdir, curve.reads(spec)[1]))


def sample(row, metric):
  return bootstrap.Sample(metric, {
    (f, s): bootstrap.reduce([metric], arrays(row, f, s))[metric] for f in ('0', '1') for s in (0, 1)
  })  # fmt: skip


def test_budgets_stand_on_a_logarithmic_axis_with_the_difference_below(tmp_path):
  figure = curve.draw(run(tmp_path, BUDGET), BUDGET)
  mae, acc, below, below_acc = figure.axes
  assert all(axes.get_xscale() == 'log' for axes in figure.axes)
  for axes in (below, below_acc):
    assert [t.get_text() for t in axes.get_xticklabels()] == ['50', '500', '16327']
    np.testing.assert_allclose(axes.get_xticks(), BUDGETS)
  line = next(line for line in mae.lines if len(line.get_xdata()) == 3)
  np.testing.assert_allclose(line.get_xdata(), BUDGETS, rtol=0.08)
  np.testing.assert_allclose(line.get_ydata(), [bootstrap.interval(sample(f'ssl_{n}', MAE)).mean for n in BUDGETS])
  differences = [bootstrap.paired(sample(f'ssl_{n}', MAE), sample(f'scratch_{n}', MAE)) for n in (50, 16327)]
  shown = [c.get_segments()[0] for c in below.collections]
  np.testing.assert_allclose([s[:, 0] for s in shown], [[50, 50], [16327, 16327]])
  np.testing.assert_allclose([s[:, 1] for s in shown], [[d.low, d.high] for d in differences])
  assert below.get_ylabel().endswith('below 0: SSL is better') and acc.get_ylabel() == f'{ACC}\nhigher is better'
  assert 'from scratch (2 of 3 points)' in words(figure)


@pytest.mark.parametrize('pair', [True, False])
def test_more_columns_than_fit_go_below(tmp_path, pair):
  spec = BUDGET | {'metric': [f'mae.pooled.{e}' for e in EMOTIONS]}
  spec = spec if pair else {key: value for key, value in spec.items() if key != 'difference'}
  figure = curve.draw(run(tmp_path, spec), spec)
  assert len(figure.axes) == len(EMOTIONS) * (1 + pair) and _lines.ACROSS == 3
  figure.canvas.draw()
  place = {axes.get_ylabel().split('\n')[0]: axes.get_position() for axes in figure.axes if 'mae' in axes.get_ylabel()}
  happy, sad, anger, surprise = (place[f'mae.pooled.{e}'] for e in EMOTIONS)
  assert happy.x1 < sad.x0 and sad.x1 < anger.x0 and abs(happy.y0 - anger.y0) < 1e-6
  assert surprise.y1 < happy.y0 and abs(surprise.x0 - happy.x0) < 1e-6
  lowest = [axes for axes in figure.axes if axes.get_xlabel() == 'labelled segments']
  assert len(lowest) == len(EMOTIONS), 'each column says what its numbers are'
  assert all(any(t.get_visible() and t.get_text() for t in axes.get_xticklabels()) for axes in lowest)
  if pair:
    assert all('SSL' in axes.get_ylabel() for axes in lowest)
