"""Metrics of label distributions and of ambiguity levels: libraries as oracle, what is scored, tables and figures."""

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import sklearn.metrics

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.metrics import statistics
from affectjax.tables import bootstrap, claims, figures, matrix, render
from affectjax.tables.plots import _run, _style, sweep
from affectjax.tables.plots import matrix as heat
from affectjax.tables.summary import summarise
from tests.helpers.workdirs import build, cells, rows_of, section, words

OF_SHARES = ('js.bits', 'js_sqrt.nats', 'bc', 'kl.shares', 'r2.pearson', 'r2.sklearn', 'entropy.pcc', 'brier.shares')
OF_CLASS = ('brier.class', 'ece.5', 'ece.10', 'ece.15')
ALL = (*OF_SHARES, *OF_CLASS)
T, U = 2 / 3, 1 / 3
REFERENCE = (  # y, p, then js.bits, js_sqrt.nats, bc, r2.pearson: experiments/amber2.md, 6
  ((T, U, 0, 0), (0.7, 0.2, 0.05, 0.05), (0.0624, 0.2080, 0.9413, 0.9219)),
  ((1, 0, 0, 0), (0.7, 0.1, 0.1, 0.1), (0.1692, 0.3425, 0.8367, 1.0)),
  ((U, U, U, 0), (0.4, 0.3, 0.2, 0.1), (0.0650, 0.2122, 0.9396, 0.6)),
  ((T, U, 0, 0), (1, 0, 0, 0), (0.1909, 0.3637, 0.8165, 0.7576)),
  ((T, U, 0, 0), (0.25, 0.25, 0.25, 0.25), (0.3252, 0.4748, 0.6969, 0.0)),
)


def predictions(seed=0, classes=4, groups=12, n=15, votes=3):
  """Votes of a few raters and softmax outputs; some rows have no votes, and ties no class."""
  rng = np.random.default_rng(seed)
  true = rng.dirichlet(np.full(classes, 0.5), groups * n)
  counts = np.array([rng.multinomial(votes, row) for row in true])
  truth = counts / votes
  truth[rng.random(len(truth)) < 0.1] = np.nan
  top = (counts == counts.max(-1, keepdims=True)).sum(-1) == 1
  distinct = (counts > 0).sum(-1)
  logits = 4 * true + rng.normal(size=true.shape)
  p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  p[rng.random(len(p)) < 0.1] = np.eye(classes)[0]
  return {
    'group': np.repeat([f'g{i:02}' for i in range(groups)], n), 'emotion_shares': truth, 'emotion_shares_hat': p,
    'emotion': np.where(top & ~np.isnan(truth[:, 0]), counts.argmax(-1), -1), 'emotion_hat': p.argmax(-1),
    'emotion_level': np.where(np.isnan(truth[:, 0]), -1, distinct - 1),
  }  # fmt: skip


def only(given, rows):
  return {key: column[rows] for key, column in given.items()}


def ece(label, p, bins):
  """As in the textbook: a loop over bins."""
  share, right = p.max(-1), p.argmax(-1) == label
  out = 0.0
  for b in range(bins):
    here = (share > b / bins) & (share <= (b + 1) / bins)
    if here.any():
      out += here.mean() * abs(right[here].mean() - share[here].mean())
  return out


def oracle(name, y, label, p):
  """A metric by the library that defines it; y, p [N, K] and classes [N]."""
  pairs = list(zip(y, p, strict=True))
  if name.startswith('ece'):
    return ece(label, p, int(name.split('.')[1]))
  if name == 'r2.sklearn':
    return sklearn.metrics.r2_score(y, p, multioutput='uniform_average')
  if name == 'entropy.pcc':
    return scipy.stats.pearsonr(*(scipy.stats.entropy(x, axis=-1) for x in (y, p))).statistic
  if name == 'r2.pearson':
    moments = [np.cov(a, b, ddof=0) for a, b in pairs]
    return np.mean([m[0, 1] ** 2 / (m[0, 0] * m[1, 1] + 1e-10) for m in moments])
  if name == 'brier.class':
    hot = np.eye(p.shape[1])[label]
    return p.shape[1] * sklearn.metrics.mean_squared_error(hot, p)
  return np.mean({
    'js.bits': lambda: [scipy.spatial.distance.jensenshannon(a, b, 2) ** 2 for a, b in pairs],
    'js_sqrt.nats': lambda: [scipy.spatial.distance.jensenshannon(a, b) for a, b in pairs],
    'bc': lambda: [np.sqrt(a) @ np.sqrt(b) for a, b in pairs],
    'kl.shares': lambda: [sum(s * np.log(s / max(t, 1e-12)) for s, t in zip(a, b, strict=True) if s) for a, b in pairs],
    'brier.shares': lambda: [np.sum((a - b) ** 2) for a, b in pairs],
  }[name]())  # fmt: skip


def scored(given, name):
  """What the oracle is given: the rows with shares, or those with a class."""
  keep = given['emotion'] >= 0 if name in OF_CLASS else ~np.isnan(given['emotion_shares'][:, 0])
  return tuple(given[f'emotion{key}'][keep] for key in ('_shares', '', '_shares_hat'))


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize(('seed', 'classes', 'votes'), [(0, 2, 3), (1, 4, 3), (2, 8, 5), (3, 11, 7)])
def test_values_against_the_libraries(name, seed, classes, votes):
  given = predictions(seed, classes, votes=votes)
  want = oracle(name, *scored(given, name))
  assert metrics.compute(f'{name}.emotion', given) == pytest.approx(want, abs=1e-12)
  assert abs(want) > 1e-3


@pytest.mark.parametrize(('y', 'p', 'want'), REFERENCE)
def test_unit_values(y, p, want):
  given = {'e_shares': np.array([y]), 'e_shares_hat': np.array([p])}
  for name, value in zip(('js.bits', 'js_sqrt.nats', 'bc', 'r2.pearson'), want, strict=True):
    assert metrics.compute(f'{name}.e', given) == pytest.approx(value, abs=1e-4), name


def test_the_published_code_of_brier_agrees():
  given = predictions(5)
  _, label, p = scored(given, 'ece.5')
  want = np.mean([sklearn.metrics.brier_score_loss(label == k, p[:, k]) for k in range(4)]) * 4
  assert metrics.compute('brier.class.emotion', given) == pytest.approx(want, abs=1e-12)


def test_confidence_on_an_edge_counts_below_it_and_of_equal_shares_the_first():
  p = np.array([[0.6, 0.4], [0.2, 0.8], [0.5, 0.5], [1.0, 0.0]])
  given = {'e': np.array([0, 0, 1, 0]), 'e_shares_hat': p}
  # bins of 0.2: (.4, .6] has .6 right and .5 wrong; (.6, .8] has .8 wrong; (.8, 1] has 1 right
  assert metrics.compute('ece.5.e', given) == pytest.approx((abs(1 - 0.6 - 0.5) + 0.8 + 0) / 4, abs=1e-15)


@pytest.mark.filterwarnings('ignore:R.2 score is not well-defined')
@pytest.mark.parametrize(
  ('y', 'p'),
  [
    ([[1, 0], [1, 0], [1, 0]], [[1, 0], [1, 0], [1, 0]]),  # constant and right: 1
    ([[1, 0], [1, 0], [1, 0]], [[0.9, 0.1], [1, 0], [1, 0]]),  # constant and wrong: 0
    ([[0.5, 0.5, 0], [0.2, 0.8, 0], [1, 0, 0]], [[0.4, 0.6, 0], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]]),
    ([[0.5, 0.5, 0], [0.2, 0.8, 0], [1, 0, 0]], [[0.4, 0.6, 0], [0.2, 0.8, 0], [0.7, 0.3, 0]]),
    ([[1, 0]], [[0.3, 0.7]]),  # one row has no variance to explain: NaN
  ],
)
def test_r2_of_constant_classes_is_scikit_learns(y, p):
  y, p = np.array(y, float), np.array(p, float)
  got = metrics.compute('r2.sklearn.e', {'e_shares': y, 'e_shares_hat': p})
  assert got == pytest.approx(sklearn.metrics.r2_score(y, p), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize('name', ALL)
def test_masked_equals_dropped_and_order_does_not_matter(name):
  given = predictions(1)
  full, name = metrics.compute(f'{name}.emotion', given), f'{name}.emotion'
  keep = (given['emotion'] >= 0) if name.startswith(OF_CLASS) else ~np.isnan(given['emotion_shares'][:, 0])
  assert 0 < keep.sum() < len(keep)
  assert metrics.compute(name, only(given, keep)) == pytest.approx(full, abs=1e-15)
  rows = np.random.default_rng(0).permutation(len(keep))
  assert metrics.compute(name, only(given, rows)) == pytest.approx(full, abs=1e-13)
  classes = [2, 0, 3, 1]
  turned = given | {key: given[key][:, classes] for key in ('emotion_shares', 'emotion_shares_hat')}
  turned['emotion'] = np.where(given['emotion'] < 0, -1, np.argsort(classes)[given['emotion']])
  assert metrics.compute(name, turned) == pytest.approx(full, abs=1e-13)
  spoilt = given | {'emotion_shares_hat': np.where(keep[:, None], given['emotion_shares_hat'], np.nan)}
  assert metrics.compute(name, spoilt) == full, 'what is not scored may be anything'


@pytest.mark.parametrize('name', (*ALL, 'count', 'count.shares', 'acc', 'f1.macro', 'f1.weighted'))
def test_levels_are_the_rows_of_that_level(name):
  given = predictions(2)
  for level in range(3):
    own = only(given, given['emotion_level'] == level)
    want = metrics.compute(f'{name}.emotion', own)
    assert metrics.compute(f'{name}.emotion.level_{level}', given) == pytest.approx(want, abs=1e-13, nan_ok=True)
    # three votes for three classes name none of them
    assert np.isnan(want) == (level == 2 and metrics.METRICS[name].classes and name != 'count')
  assert metrics.compute('count.emotion.level_9', given) == 0
  assert np.isnan(metrics.compute('js.bits.emotion.level_9', given))


def test_at_one_level_of_votes_there_is_no_correlation_of_entropies():
  """The same votes on other classes have the same entropy to the last digit; else rounding would be correlated."""
  rng = np.random.default_rng(0)
  y = np.array([rng.permutation([4 / 7, 2 / 7, 1 / 7, 0, 0, 0, 0, 0, 0]) for _ in range(200)])
  given = {'e_shares': y.astype(np.float32), 'e_shares_hat': rng.dirichlet(np.ones(9), 200)}
  assert metrics.compute('entropy.pcc.e', given) == 0.0
  assert metrics.compute('entropy.pcc.e', given | {'e_shares': given['e_shares_hat']}) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize('name', ALL)
@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_a_prediction_that_is_not_finite_is_not_hidden(name, bad):
  given = predictions(3)
  row = np.flatnonzero((given['emotion'] >= 0) & ~np.isnan(given['emotion_shares'][:, 0]))[4]
  given['emotion_shares_hat'][row, given['emotion_shares'][row].argmin()] = bad
  assert np.isnan(metrics.compute(f'{name}.emotion', given))


@pytest.mark.parametrize('name', ALL)
def test_float32_and_nothing_scored(name):
  given = predictions(4)
  single = given | {key: given[key].astype(np.float32) for key in ('emotion_shares', 'emotion_shares_hat')}
  want = metrics.compute(f'{name}.emotion', given)
  assert metrics.compute(f'{name}.emotion', single) == pytest.approx(want, abs=1e-6)
  none = given | {'emotion': np.full(180, -1), 'emotion_shares': np.full((180, 4), np.nan)}
  for nothing in (none, only(given, slice(0, 0))):
    assert np.isnan(metrics.compute(f'{name}.emotion', nothing))
  assert metrics.compute('count.emotion', none) == metrics.compute('count.shares.emotion', none) == 0


def test_equal_distributions_are_at_the_best_value_exactly():
  y = predictions(0)['emotion_shares']
  given = {'e_shares': y, 'e_shares_hat': np.where(np.isnan(y), 0.25, y)}
  for name, best in (('js.bits', 0), ('js_sqrt.nats', 0), ('kl.shares', 0), ('brier.shares', 0), ('r2.sklearn', 1)):
    assert metrics.compute(f'{name}.e', given) == best, name
  assert metrics.compute('bc.e', given) == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
  ('change', 'name', 'says'),
  [
    ({'e_shares': [[2, 1], [1, 0]]}, 'bc', r"metric 'bc\.e': e_shares is at least 0 and .*found \[2, 1\]; give shares"),
    ({'e_shares': [[1.1, -0.1], [1, 0]]}, 'bc', r'e_shares is at least 0 .*found \[1\.1, -0\.1\]'),
    ({'e_shares': [[0.5, 0.4995], [1, 0]]}, 'js.bits', r'sum 1 \(within 0\.0001\) in each row, found \[0\.5, 0\.4995'),
    ({'e_shares': [[1, np.nan], [1, 0]]}, 'js.bits', r'e_shares is at least 0 .*found \[1, nan\]'),
    ({'e_shares': [[0, 0], [1, 0]]}, 'bc', r'found \[0, 0\]'),
    ({'e_shares_hat': [[3, 1], [1, 0]]}, 'ece.10', r'e_shares_hat is at least 0 .*found \[3, 1\]'),
    ({'e_shares_hat': [[1, 0, 0], [1, 0, 0]]}, 'bc', r'\(2, 2\), e_shares_hat is \(2, 3\); .* classes as one'),
    ({'e_shares_hat': [1.0, 1.0]}, 'ece.5', r'e is \(2,\), e_shares_hat is \(2,\); expected one shape, and classes'),
    ({'e_shares_hat': [1.0, 1.0], 'e_shares': [1.0, 1.0]}, 'bc', 'expected one shape, and classes as one more axis'),
    ({'e': [0, 2]}, 'brier.class', r"'brier\.class\.e': e has class 2, e_shares_hat only 2 classes"),
    ({'e': [0.0, 1.0]}, 'ece.5', 'wants class indices, found float64'),
  ],
)  # fmt: skip
def test_what_is_no_distribution_is_refused_in_one_line(change, name, says):
  given = {'e': np.array([0, 1]), 'e_shares': np.eye(2), 'e_shares_hat': np.full((2, 2), 0.5)}
  with pytest.raises(UserError, match=says) as caught:
    metrics.compute(f'{name}.e', given | {key: np.array(value) for key, value in change.items()})
  assert '\n' not in str(caught.value)


def test_what_is_nearly_a_distribution_is_divided_by_its_sum():
  near = np.array([[0.5, 0.49995]])
  given = {'e_shares': near, 'e_shares_hat': near / near.sum()}
  assert metrics.compute('js.bits.e', given) == 0 and statistics.normalised(near, '', False).sum() == 1


def test_names_say_what_is_read_and_what_is_best():
  assert metrics.needs('ece.10.emotion.level_3') == ('emotion', 'emotion_shares_hat', 'emotion_level')
  assert metrics.needs('js.bits.emotion') == ('emotion_shares', 'emotion_shares_hat')
  assert metrics.needs('count.emotion') == ('emotion',) and metrics.needs('count.shares.x') == ('x_shares',)
  assert metrics.better('count.emotion') == 'neither' and metrics.counts('count.shares.x')
  rising = {name for name in ALL if metrics.better(f'{name}.e') == 'higher'}
  assert rising == {'bc', 'r2.pearson', 'r2.sklearn', 'entropy.pcc'}
  assert {metrics.better(f'{name}.e') for name in ALL} == {'higher', 'lower'}
  with pytest.raises(UserError, match='level_10'):
    metrics.parse('bc.emotion.level_10')


def sample(name, cells):
  return bootstrap.Sample(name, {key: bootstrap.reduce([name], cell)[name] for key, cell in cells.items()})


@pytest.mark.parametrize('name', ALL)
def test_a_replicate_is_the_metric_of_the_drawn_groups(name):
  given = {(0, s): predictions(s) for s in range(2)}
  for metric in (f'{name}.emotion', f'{name}.emotion.level_1'):
    ours = sample(metric, given)
    for cell, sums in zip(given.values(), ours.cells.values(), strict=True):
      point = metrics.compute(metric, cell)
      assert metrics.value(metric, np.ones(len(sums.groups)) @ sums.sums) == pytest.approx(point, abs=1e-12)
    counts, by_hand = bootstrap.draws(ours.groups)[7].astype(int), []
    for cell in given.values():
      rows = [np.flatnonzero(cell['group'] == g) for g, c in zip(ours.groups, counts, strict=True) for _ in range(c)]
      by_hand.append(metrics.compute(metric, only(cell, np.concatenate(rows))))
    assert ours.replicates(ours.groups)[7] == pytest.approx(np.mean(by_hand), abs=1e-12)
    got = bootstrap.interval(ours)
    assert got.low <= got.mean <= got.high


def test_counts_add_up_over_folds_and_have_no_interval():
  folds = {(f, s): predictions(f, groups=12 + f) for f in range(3) for s in range(2)}
  by_fold = [int((folds[f, 0]['emotion'] >= 0).sum()) for f in range(3)]
  got = bootstrap.interval(sample('count.emotion', folds))
  assert (got.mean, got.sd, got.groups) == (sum(by_fold), 0, 14) and np.isnan([got.low, got.high]).all()
  none = bootstrap.paired(sample('count.emotion', folds), sample('count.emotion.level_0', folds))
  assert none.mean > 0 and np.isnan(none.low)


# Tables and figures


ROWS = ('amber2', 'ce')
LEVELS = ((0.0, 0), (0.918, 1), (1.585, 2))
POINTS = tuple((x, f'js.bits.emotion.level_{level}') for x, level in LEVELS)
SWEEP = {'kind': 'sweep', 'rows': ROWS, 'points': POINTS, 'x_label': "entropy of the raters' votes (bits)",
         'difference': ROWS}  # fmt: skip
LINE = lambda label, row, name: [label, [[f'{x:g} bits', row, f'{name}.emotion.level_{k}'] for x, k in LEVELS]]
BY_LEVEL = {'cells': [LINE('n', 'amber2', 'count'), *(LINE(row, row, 'js.bits') for row in ROWS)]}
N = 'count.emotion'


def arrays(row, fold, seed):
  given = predictions(int(fold), groups=21, votes=4)
  if row == 'ce':
    mixed = np.random.default_rng([int(fold), seed]).dirichlet(np.ones(4), len(given['group']))
    given['emotion_shares_hat'] = 0.6 * given['emotion_shares_hat'] + 0.4 * mixed
  given['group'] = np.char.add(f'{fold}-', given['group'])
  return given


def made(path, **options):
  options = {'metrics': ['js.bits.emotion', N], 'baselines': {'amber2': 'ce'}, **options}
  return build(path, ROWS, arrays=arrays, **options)


def total(level=None):
  folds = [arrays('ce', fold, 0) for fold in '01']
  return sum(int(((x['emotion'] >= 0) & ((x['emotion_level'] == level) | (level is None))).sum()) for x in folds)


def test_a_table_prints_counts_as_numbers_of_things(tmp_path):
  published = [{'row': 'amber2', 'metric': N, 'value': 4370.0, 'source': 'a paper'}]
  claim = {'id': 'n', 'text': 'more', 'compare': [{'row': 'amber2', 'against': 'ce', 'metric': N}]}
  matrices = [{'title': 'By level', **BY_LEVEL}]
  matrix.check(matrices, ROWS)
  text, table = render.render(made(tmp_path, published=published, claims=[claim], matrices=matrices))
  assert f'\n## {N}, added up over folds\n' in text and '\n## js.bits.emotion, lower is better\n' in text
  n = total()
  assert n > 400
  assert cells(text, N)['amber2'] == ['42', f'{n} ± 0', '-', '0 to ce', '4370 [1]', 'undecided (no direction)']
  assert cells(text, 'n: undecided')['amber2'][-1] == (
    'undecided: count.emotion has no direction, so no difference is an improvement'
  )
  by_level = cells(text, 'Matrix: By level')
  assert by_level['n'] == [str(total(level)) for level in range(3)]
  i = bootstrap.interval(sample(POINTS[1][1], {(f, s): arrays('ce', f, s) for f in '01' for s in (0, 1)}))
  assert by_level['ce'][1] == f'{i.mean:.3f} [{i.low:.3f}, {i.high:.3f}]'
  block = section(text, 'Matrix: By level')[2]
  assert block.startswith('Means with 95 % intervals, lower is better.')
  assert '0 bits by count.emotion.level_0 (added up over folds), js.bits.emotion.level_0' in block
  line = next(r for r in rows_of(table) if r['metric'] == N and r['row'] == 'ce')
  assert (line['mean'], line['sd'], line['low'], line['better'], line['verdict']) == (str(n), '0', '', 'neither', '')


def test_a_matrix_of_counts_alone(tmp_path):
  spec = {'title': 'Sizes', 'rows': ['amber2'], 'columns': [['all', N], ['first', f'{N}.level_0']]}
  text, _ = render.render(made(tmp_path, matrices=[spec]))
  assert cells(text, 'Matrix: Sizes')['amber2'] == [str(total()), str(total(0))]
  assert section(text, 'Matrix: Sizes')[2].startswith('Numbers of entries. Columns: all by count.emotion')
  assert claims.beside_published(N, [3.0], bootstrap.Interval(3, 0, np.nan, np.nan, 9), 'prepared') == claims.UNDIRECTED


def test_what_metrics_of_levels_have_in_common():
  assert _style.common([m for _, m in POINTS]) == 'js.bits.emotion'
  assert _style.common(['bc.emotion.level_1']) == 'bc.emotion.level_1' and _style.common(['bc.emotion']) == 'bc.emotion'
  assert _style.common(['bc.emotion.level_1', 'bc.emotion_drop10.level_1']) == 'bc.emotion.level_1'
  assert _style.common(['bc.emotion_a', 'bc.emotion_v']) == 'bc'
  assert _style.quantity('kl.shares.emotion') == 'kl.shares.emotion (nats)'


def run(path, *specs):
  pytest.importorskip('matplotlib')
  figures.check(specs, ROWS)
  workdir = made(path)
  return _run.Run(workdir, summarise(workdir, [m for spec in specs for m in figures._reads(spec)[1]]))


def test_a_sweep_over_levels(tmp_path):
  ours = run(tmp_path, SWEEP)
  figure = sweep.draw(ours, SWEEP)
  above, below = figure.axes
  assert above.get_ylabel() == 'js.bits.emotion\nlower is better'
  assert below.get_ylabel() == 'amber2 \N{MINUS SIGN} ce\nbelow 0: amber2 is better'
  assert [t.get_text() for t in below.get_xticklabels()] == ['0', '0.918', '1.585']
  line = next(line for line in above.lines if len(line.get_xdata()) == 3)
  np.testing.assert_allclose(line.get_ydata(), [ours.interval('amber2', metric).mean for _, metric in POINTS])
  assert len(above.collections) == 6 and len(below.collections) == 3, 'every point has its interval'


def test_a_heat_map_with_counts_as_its_first_line(tmp_path):
  spec = {'kind': 'matrix', **BY_LEVEL}
  ours = run(tmp_path, spec)
  figure = heat.draw(ours, spec)
  texts = [t.get_text() for t in figure.axes[0].texts]
  assert texts[:3] == [str(total(level)) for level in range(3)] and all('\n[' in text for text in texts[3:])
  image = figure.axes[0].images[0]
  assert image.get_array().mask[0].all() and not image.get_array().mask[1:].any() and image.get_clim()[1] < 1
  said = words(figure)
  assert 'js.bits.emotion\nlower is better' in said and 'no number' not in said
  alone = {'kind': 'matrix', 'rows': ROWS, 'columns': [['n', N]]}
  assert len(heat.draw(run(tmp_path / 'alone', alone), alone).axes) == 1, 'no colours, so no bar'


def test_every_kind_is_drawn_to_a_file(tmp_path):
  pytest.importorskip('matplotlib')
  workdir = made(tmp_path, figures=[SWEEP, {'kind': 'matrix', **BY_LEVEL}])
  paths, left_out = figures.draw(workdir)
  assert [p.name for p in paths] == ['js.bits.emotion.png', f'{N}.png', 'sweep.png', 'matrix.png'] and not left_out
