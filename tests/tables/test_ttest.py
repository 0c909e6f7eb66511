"""The t-test over folds, which a table may ask for beside its intervals."""

import warnings

import numpy as np
import pytest
import scipy.stats

from affectjax import metrics
from affectjax.tables import bootstrap, render, ttest
from tests.helpers.workdirs import CCC, RMSE, build, cells, predictions, rows_of, section

FOLDS = ('0', '1', '2', '3')
HEAD = 't-test over folds, p (unpaired / paired)'


def sample(values, seeds=1):
  """A row whose fold f has the mean absolute error values[f], the mean over seeds."""
  sums = lambda x: bootstrap.Sums(np.array(['g']), np.array([[x, 1.0]]), np.ones(1, int))
  off = np.arange(seeds) - (seeds - 1) / 2
  return bootstrap.Sample('mae.pooled.v', {(f, s): sums(x + off[s]) for f, x in values.items() for s in range(seeds)})


def test_p_is_that_of_the_means_over_seeds_of_the_folds_that_both_have():
  a, b = {'0': 0.5, '1': 0.7, '2': 0.65, '9': 5.0}, {'8': 9.0, '2': 0.5, '1': 0.6, '0': 0.47}
  unpaired, paired = ttest.over_folds(sample(a, 3), sample(b, 2))
  x, y = [0.5, 0.7, 0.65], [0.47, 0.6, 0.5]
  assert unpaired == pytest.approx(scipy.stats.ttest_ind(x, y, equal_var=True).pvalue, rel=1e-9)
  assert paired == pytest.approx(scipy.stats.ttest_rel(x, y).pvalue, rel=1e-9)
  d = np.subtract(x, y)
  t = d.mean() / (d.std(ddof=1) / np.sqrt(3))
  assert paired == pytest.approx(2 * scipy.stats.t.sf(t, 2), rel=1e-9)
  assert ttest.over_folds(sample(b), sample(a)) == pytest.approx((unpaired, paired), rel=1e-9), 'two-tailed'


@pytest.mark.parametrize(
  ('a', 'b', 'there'),
  [
    ({'0': 0.5}, {'0': 0.4}, (False, False)), ({'0': 0.5, '1': 0.7}, {'0': 0.4, '2': 0.3}, (False, False)),
    ({'all': 0.5}, {'0': 0.4, '1': 0.3}, (False, False)), ({'0': 0.5, '1': np.nan}, {'0': 0.4, '1': 1}, (False, False)),
    ({'0': 0.5, '1': 0.5}, {'0': 0.4, '1': 0.4}, (False, False)),
    ({'0': 0.3, '1': 0.7}, {'0': 0.3, '1': 0.7}, (True, False)),
    ({'0': 0.3, '1': 0.7, '2': 0.1}, {'0': 0.4, '1': 0.8, '2': 0.2}, (True, False)),
  ],
)  # fmt: skip
def test_what_cannot_be_tested_has_no_p(a, b, there):
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    assert tuple(np.isfinite(ttest.over_folds(sample(a), sample(b)))) == there


CLAIMS = [
  {'id': 'vavl.a', 'text': 'errs less', 'compare': [
    {'row': 'good', 'against': 'base', 'metric': RMSE}, {'row': 'good', 'against': 'gone', 'metric': RMSE},
    {'row': 'good', 'against': 'base', 'metric': RMSE, 'minus': {'metric': 'mae.pooled.valence'}}]},
  {'id': 'vavl.b', 'text': 'agrees', 'compare': [{'row': 'good', 'against': 'base', 'metric': CCC}]},
  {'id': 'vavl.c', 'text': 'only minus', 'compare': [
    {'row': 'good', 'against': 'base', 'metric': RMSE, 'minus': {'metric': 'mae.pooled.valence'}}]},
]  # fmt: skip


def test_a_table_that_asks_has_p_beside_its_intervals(tmp_path):
  workdir = build(tmp_path, ('base', 'good'), FOLDS, claims=CLAIMS, t_test=True)
  text, table = render.render(workdir)
  of = lambda row: [np.mean([metrics.compute(RMSE, predictions(row, f, s)) for s in (0, 1)]) for f in FOLDS]
  x, y = of('good'), of('base')
  want = [scipy.stats.ttest_ind(x, y, equal_var=True).pvalue, scipy.stats.ttest_rel(x, y).pvalue]
  lines = [r for r in rows_of(table) if r['type'] == 'comparison']
  np.testing.assert_allclose([float(lines[0][k]) for k in ('p_unpaired', 'p_paired')], want, rtol=1e-9)
  assert [(r['p_unpaired'] == '', r['p_paired'] == '') for r in lines[1:4]] == [(True, True)] * 2 + [(False, False)]
  assert all(r['p_paired'] == '' for r in rows_of(table) if r['type'] != 'comparison')
  a, c = '\n'.join(section(text, 'vavl.a')), '\n'.join(section(text, 'vavl.c'))
  assert HEAD in a and 'n/a / n/a' in a and HEAD not in c
  shown = lambda p: '<0.001' if p < 0.001 else f'{p:.3f}'
  assert cells(text, 'vavl.b')['good'][-2].count(' / ') == 1
  assert f'| {shown(want[0])} / {shown(want[1])} ' in a
  told = '\n'.join(section(text, 'Claims'))
  assert ttest.SENTENCE in told and 'not our verdict' in told


def test_p_moves_no_verdict_and_a_table_that_does_not_ask_says_nothing_of_it(tmp_path):
  asks = build(tmp_path / 'asks', ('base', 'good'), FOLDS, claims=CLAIMS, t_test=True)
  silent = build(tmp_path / 'silent', ('base', 'good'), FOLDS, claims=CLAIMS)
  (text, table), (plain, plain_table) = render.render(asks), render.render(silent)
  assert 't-test' not in plain and 'p_paired' not in plain_table
  verdicts = lambda table: [r['verdict'] for r in rows_of(table)]
  assert verdicts(table) == verdicts(plain_table)
  assert text.split('## Claims')[0] == plain.split('## Claims')[0]


def test_a_row_that_is_not_done_has_no_p(tmp_path):
  given = lambda *cell: None if cell == ('good', '3', 1) else predictions(*cell)
  text, table = render.render(build(tmp_path, ('base', 'good'), FOLDS, arrays=given, claims=CLAIMS[1:2], t_test=True))
  assert cells(text, 'vavl.b')['good'][-2] == 'n/a / n/a'
  assert next(r for r in rows_of(table) if r['type'] == 'comparison')['p_unpaired'] == ''
