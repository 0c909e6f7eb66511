"""The twin of CMU-MOSEI: the corpus's labels, exactly; what words tell of each other; knobs that do what they say."""

import functools

import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpora import cmu_mosei as adapter
from affectjax.data.store import opening, schema
from affectjax.data.twins import cmu_mosei
from tests.helpers import mosei_miniature as miniature

SMALL = dict(scale=0.01)
KNOBS = [
  {k: v}
  for k, v in dict(seed=1, scale=0.011, structure=0.5, signal=0.5, easy=0.2, identity=0.1, noise=0.2, missing=0.3,
                   nonfinite=0.2, raw=True, unlabelled=0.5).items()
]  # fmt: skip
EASY, HARD = [0, 1, 2], [3, 4, 5]


def columns(**knobs):
  return opening.open_corpus('cmu_mosei', **knobs).columns('all')


def values(column):
  return getattr(column, 'values', column)


def rounded(x):
  return np.floor(np.clip(x, 0, 3) + 0.5)


def normal(c):
  """Frames [sum of T, 74], by mean and sd of what is real in the training fold; 0 where it is not, or is constant."""
  x, mask = c['audio'].values.astype(np.float64), c['audio_mask'].values
  train = (c['official'] == 0)[c['audio'].owners()] & mask
  sd = x[train].std(0)
  z = np.where(sd > 1e-6, (x - x[train].mean(0)) / np.where(sd > 1e-6, sd, 1), 0)
  return np.where(mask[:, None], z, 0), train


@functools.lru_cache(maxsize=4)
def seen(**knobs):
  """A twin, its frames, directions that are predictable and how much so; nothing of it may be changed."""
  c = columns(**knobs)
  z, train = normal(c)
  return c, z, *predictable(c, z, train)


def means(c, z):
  """[N, D] over the real words of each segment."""
  count = np.add.reduceat(c['audio_mask'].values.astype(float), c['audio'].offsets[:-1])
  return np.add.reduceat(z, c['audio'].offsets[:-1], 0) / count[:, None]


def predictable(c, z, train, k=10):
  """Directions [D, k] in which a word tells most of the next one, and how much (correlations [D]); no labels used."""
  owner = c['audio'].owners()
  at = np.flatnonzero(train[:-1] & train[1:] & (owner[:-1] == owner[1:]))
  a, b = z[at], z[at + 1]
  root = np.linalg.cholesky(a.T @ a / len(a) + 1e-3 * np.eye(a.shape[1]))
  lagged = np.linalg.solve(root, np.linalg.solve(root, (a.T @ b + b.T @ a) / 2 / len(a)).T)
  r, v = np.linalg.eigh((lagged + lagged.T) / 2)
  return np.linalg.solve(root.T, v[:, ::-1])[:, :k], r[::-1]


def correlation(x, y, fit, test, weight=30.0):
  """Of a ridge reading of x [N, D], fitted on rows `fit`, with y [N, 6] on rows `test`: [6]."""
  x = (x - x[fit].mean(0)) / (x[fit].std(0) + 1e-9)
  centre = y[fit].mean(0)
  read = x @ np.linalg.solve(x[fit].T @ x[fit] + weight * np.eye(x.shape[1]), x[fit].T @ (y[fit] - centre))
  return np.array([np.corrcoef(read[test, e], y[test, e])[0, 1] for e in range(6)])


def gain(budget, draws=8, **knobs):
  """How much better few labels are read off the predictable directions than off everything; mean over emotions."""
  c, z, directions, _ = seen(**knobs)
  x, y = means(c, z), c['intensity'].astype(np.float64)
  reduced = x @ directions
  pool, test = np.flatnonzero(c['official'] == 0), c['official'] == 2
  gains = []
  for draw in range(draws):
    fit = np.random.default_rng(draw).permutation(pool)[:budget]
    gains.append(correlation(reduced, y, fit, test) - correlation(x, y, fit, test))
  return np.mean(gains, 0)


@pytest.fixture(scope='module')
def whole():
  return columns(scale=1.0)


@pytest.fixture(scope='module')
def plain():
  return seen()[0]


@pytest.fixture(scope='module')
def small():
  corpus = opening.open_corpus('cmu_mosei', **SMALL)
  return corpus, corpus.columns('all')


# Labels


@pytest.mark.parametrize('fold', cmu_mosei.FOLDS)
def test_thirds_have_the_counts_and_the_mean(fold):
  total = cmu_mosei.SEGMENTS[cmu_mosei.FOLDS.index(fold)]
  for present, mean, *classes in cmu_mosei.LABELS[fold]:
    counts = cmu_mosei.thirds(total, present, mean, *classes)
    assert counts.sum() == total and (counts >= 0).all() and counts[1:].sum() == present
    assert [counts[2:5].sum(), counts[5:8].sum(), counts[8:].sum()] == classes
    assert abs(counts @ np.arange(10) / 3 / total - mean) <= 0.5 / 3 / total


def test_folds_and_labels_are_the_corpuss(whole):
  assert len(whole['id']) == 23259 and len(set(whole['group'])) == 3293
  for f, fold in enumerate(cmu_mosei.FOLDS):
    rows = whole['official'] == (f if fold != 'none' else -1)
    assert rows.sum() == cmu_mosei.SEGMENTS[f] and len(set(whole['group'][rows])) == cmu_mosei.VIDEOS[f]
    y = whole['intensity'][rows].astype(np.float64)
    for e, (present, mean, *classes) in enumerate(cmu_mosei.LABELS[fold]):
      assert (y[:, e] > 0).sum() == present
      assert [(rounded(y[:, e]) == q).sum() for q in (1, 2, 3)] == classes
      assert y[:, e].mean() == pytest.approx(mean, abs=6e-5 + 0.5 / 3 / len(y))
  folds.refuse_leak({str(f): set(whole['group'][whole['official'] == f]) for f in (-1, 0, 1, 2)})
  np.testing.assert_allclose(whole['intensity'] * 3, np.rint(whole['intensity'] * 3), atol=1e-5)
  np.testing.assert_allclose(whole['sentiment'] * 3, np.rint(whole['sentiment'] * 3), atol=1e-5)
  np.testing.assert_allclose(whole['valence'] * 3, whole['sentiment'], atol=1e-6)
  assert np.abs(whole['sentiment']).max() == 3


def test_trivial_predictors_score_what_they_score_on_the_corpus(whole):
  y, train = whole['intensity'].astype(np.float64), whole['official'] == 0
  test = y[whole['official'] == 2]
  accuracy, mae = (rounded(test) == 0).mean(0), test.mean(0)
  np.testing.assert_allclose(accuracy, [0.6544, 0.8758, 0.8586, 0.973, 0.9091, 0.9631], atol=6e-5)
  np.testing.assert_allclose(mae, [0.4697, 0.1444, 0.1632, 0.044, 0.1172, 0.0426], atol=1e-4)
  assert round(accuracy.mean(), 4) == 0.8723 and round(mae.mean(), 4) == 0.1635
  median = np.median(y[train], 0)
  np.testing.assert_allclose(median, [1 / 3, 0, 0, 0, 0, 0], atol=1e-6)
  assert round(np.abs(test - median).mean(), 4) == 0.1594
  assert np.abs(test - y[train].mean(0)).mean() == pytest.approx(0.2211, abs=1e-4)


def test_emotions_go_together_as_sentiment_has_it(whole):
  y, sentiment = whole['intensity'], whole['sentiment']
  r = np.array([np.corrcoef(sentiment, y[:, e])[0, 1] for e in range(6)])
  np.testing.assert_allclose(r[EASY], np.array(adapter.TONE)[EASY], atol=0.08)
  assert abs(r[3] - adapter.TONE[3]) < 0.06 and abs(r[5] - adapter.TONE[5]) < 0.06 and r[4] < -0.3
  assert (y[whole['official'] == 0] == 0).all(1).mean() == pytest.approx(0.1464, abs=0.02)


def test_labels_depend_on_the_video(whole):
  """Resampling videos, the accuracy of constant 0 is as uncertain as on the corpus, within a third or so."""
  rows = whole['official'] == 2
  right = (rounded(whole['intensity'][rows]) == 0).astype(np.float64)
  video = np.unique(whole['group'][rows], return_inverse=True)[1]
  n = np.bincount(video)
  total = np.stack([np.bincount(video, right[:, e]) for e in range(6)], 1)
  rng = np.random.default_rng(0)
  drawn = [rng.integers(len(n), size=len(n)) for _ in range(300)]
  sd = np.std([total[d].sum(0) / n[d].sum() for d in drawn], 0)
  np.testing.assert_allclose(sd, [0.0167, 0.0083, 0.0126, 0.0032, 0.0091, 0.0041], rtol=0.4)


@pytest.mark.parametrize('scale', [0.005, 0.05, 0.3])
def test_a_smaller_one_has_the_same_proportions(scale):
  corpus = opening.open_corpus('cmu_mosei', scale=scale)
  c = corpus.columns('all')
  assert corpus.counts == {'all': round(scale * 23259)} and len(c['id']) == corpus.counts['all']
  for f, n in enumerate(cmu_mosei.SEGMENTS[:3]):
    rows = c['official'] == f
    assert abs(rows.sum() - scale * n) <= 2
    assert abs(len(set(c['group'][rows])) - scale * cmu_mosei.VIDEOS[f]) <= 2
    wanted = [0.6534, 0.6799, 0.6544][f]
    assert abs((rounded(c['intensity'][rows, 0]) == 0).mean() - wanted) < 0.03 + 2 / rows.sum()


# Schema


def test_it_has_the_schema_of_the_adapter(tmp_path):
  reading = adapter.read(miniature.sequences(tmp_path))
  real = schema.complete(reading.example('all', '81406[0]'), reading.meta, 'it')
  corpus = opening.open_corpus('cmu_mosei', **SMALL)
  c = corpus.columns('all')
  twin = schema.complete({k: c[k][3] if k != 'id' else str(c[k][3]) for k in c}, corpus.meta, 'it')
  assert set(twin) - set(real) == {'truth'} and set(real) <= set(twin)
  for key, x in real.items():
    if not isinstance(x, str):
      assert x.dtype == twin[key].dtype and np.shape(x)[1:] == np.shape(twin[key])[1:], key
  for key in ('modalities', 'rate_hz', 'columns', 'column_groups', 'emotions', 'attributes', 'official', 'groups'):
    assert corpus.meta[key] == reading.meta[key], key
  assert corpus.meta['fixed'] == ['intensity', 'truth'] and corpus.kind == 'synthetic'
  assert c['id'].tolist() == sorted(set(c['id'].tolist()))
  assert all(i.startswith(f'{g}[') for i, g in zip(c['id'], c['group'], strict=True))


def test_the_doctor_reads_it(capsys):
  assert doctor.main(['cmu_mosei']) == 0
  assert 'synthetic' in capsys.readouterr().out


def test_lengths_and_columns_are_like_the_corpuss(whole):
  lengths, x = whole['audio'].lengths, whole['audio'].values
  mask = whole['audio_mask'].values
  assert 18 <= lengths.mean() <= 20 and 15 <= np.median(lengths) <= 17 and lengths.min() >= 1 and lengths.max() == 50
  assert np.isfinite(x).all() and not x[~mask].any() and whole['audio_present'].all()
  assert 1 - mask.mean() == pytest.approx(0.034, abs=0.003)
  real = x[mask]
  at = cmu_mosei.COLUMNS.index
  assert set(np.unique(real[:, at('VUV')])) == {0, 1} and 0.5 < real[:, at('VUV')].mean() < 0.9
  assert real[:, at('F0')].min() >= 50 and real[:, at('F0')].max() <= 500
  for name in ('Rd_conf', 'creak'):
    assert 0 <= real[:, at(name)].min() and real[:, at(name)].max() <= 1
  sd = real.std(0)
  assert [cmu_mosei.COLUMNS[i] for i in np.flatnonzero(sd == 0)] == list(cmu_mosei.CONSTANT)
  others = sd[sd > 0]
  assert others.max() / others.min() > 50, 'ranges differ'


def test_non_finite_values_can_be_left_in():
  c = columns(scale=0.05, raw=True)
  x, mask = c['audio'].values, c['audio_mask'].values
  bad = ~np.isfinite(x)
  assert bad.sum() == bad.any(1).sum() and bad.any(1).mean() == pytest.approx(0.005, abs=0.002)
  assert not mask[bad.any(1)].any() and np.isfinite(x[mask]).all()
  assert np.isnan(x).any() and np.isposinf(x).any() and np.isneginf(x).any()
  filled = columns(scale=0.05)
  np.testing.assert_array_equal(np.where(mask[:, None], x, 0), filled['audio'].values)


def test_unlabelled_segments_are_of_training_videos():
  plain, more = columns(scale=0.02), columns(scale=0.02, unlabelled=1.0)
  new = np.isnan(more['sentiment'])
  assert opening.open_corpus('cmu_mosei', scale=0.02, unlabelled=1.0).counts['all'] == len(new)
  assert new.sum() == (plain['official'] == 0).sum() and set(more['official'][new]) == {0}
  assert np.isnan(more['intensity'][new]).all() and np.isnan(more['valence'][new]).all()
  assert all('[u' in i for i in more['id'][new]) and not np.isnan(more['intensity'][~new]).any()
  assert set(more['group'][new]) <= set(more['group'][~new]) and np.isfinite(more['truth']).all()


# What is planted


def test_truth_is_of_unit_variance_and_the_order_of_intensities_follows_it(whole):
  np.testing.assert_allclose(whole['truth'].std(0), 1, atol=0.06)
  sure = columns(scale=0.1, signal=1.0, easy=0.0)
  rows = sure['official'] == 0
  for e in range(6):
    order = np.argsort(sure['truth'][rows, e])
    assert (np.diff(sure['intensity'][rows, e][order]) >= 0).all()


def test_words_tell_of_each_other_by_the_structure():
  r = seen()[3]
  assert (r[:7] > 0.5).all() and r[30] < 0.2


@pytest.mark.slow
def test_words_do_not_tell_of_each_other_without_structure():
  assert np.abs(seen(structure=0.0)[3]).max() < 0.08, 'no frame tells of another one'


def test_labels_show_in_the_features_by_the_signal(plain):
  def read(c, z=None):
    x = means(c, normal(c)[0] if z is None else z)
    return correlation(x, c['intensity'].astype(np.float64), c['official'] == 0, c['official'] == 2)

  r = read(plain, seen()[1])
  assert (r[EASY] > 0.5).all() and (r[HARD] < r[EASY].min()).all()
  assert np.abs(read(columns(scale=0.15, signal=0.0))).max() < 0.2, 'nothing shows'
  assert read(columns(scale=0.15, structure=0.0))[EASY].min() > 0.25, 'labels can still be read off'
  turned = read(columns(scale=0.15, easy=-0.8))
  assert turned[HARD].mean() > r[HARD].mean() + 0.15 and turned[EASY].mean() < r[EASY].mean() - 0.15


def test_shares_follow_signal_and_easy():
  share = lambda **k: cmu_mosei.shares({'signal': 0.9, 'easy': 0.8, **k})
  np.testing.assert_allclose(share(), [0.9, 0.9, 0.9, 0.18, 0.18, 0.18])
  np.testing.assert_allclose(share(easy=0.0), 0.9)
  np.testing.assert_allclose(share(easy=-0.5), [0.45, 0.45, 0.45, 0.9, 0.9, 0.9])
  np.testing.assert_allclose(share(signal=0.0), 0)
  separability = opening.open_corpus('cmu_mosei', **SMALL).meta['separability']
  assert list(separability) == list(cmu_mosei.EMOTIONS) and separability['happy'] == 0.9


def test_what_is_shared_over_time_helps_where_labels_are_few():
  """Directions found without labels, by what a word tells of the next one."""
  few, many = gain(50), gain(4000, draws=1)
  assert few[EASY].mean() > 0.04 and few[EASY].mean() > few[HARD].mean()
  assert few[EASY].mean() > many[EASY].mean() + 0.04


@pytest.mark.slow
def test_nothing_helps_where_a_word_tells_nothing_of_the_next_one_or_of_labels():
  assert gain(50, structure=0.0).mean() < 0, 'no structure, no gain'
  assert abs(gain(50, signal=0.0).mean()) < 0.03, 'no signal, no gain'


def test_loud_noise_makes_it_hard_and_none_makes_it_easy(plain):
  quiet = columns(scale=0.25, noise=0.0, identity=0.0)  # the labels of `plain`
  pool, test = np.flatnonzero(quiet['official'] == 0)[:50], quiet['official'] == 2
  read = lambda c, z: correlation(means(c, z), c['intensity'].astype(np.float64), pool, test)[EASY].mean()
  assert read(quiet, normal(quiet)[0]) > read(plain, seen()[1]) + 0.05


# Knobs


def test_a_twin_is_the_same_every_time(small):
  first, second = small[1], columns(**SMALL)
  for key, x in first.items():
    np.testing.assert_array_equal(values(x), values(second[key]))


@pytest.mark.parametrize('change', KNOBS, ids=str)
def test_every_knob_changes_the_hash_and_the_data(small, change):
  (plain, first), changed = small, opening.open_corpus('cmu_mosei', **{**SMALL, **change})
  assert plain.sha256 == opening.open_corpus('cmu_mosei', **SMALL).sha256 != changed.sha256
  assert changed.meta['knobs'] == {**plain.meta['knobs'], **change}
  second = changed.columns('all')
  assert any(not np.array_equal(values(first[k]), values(second[k])) for k in first)


def test_all_knobs_are_tried_above():
  assert {k for change in KNOBS for k in change} == set(opening.open_corpus('cmu_mosei').meta['knobs'])


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'scale': 0}, 'scale 0, expected a number from 0.005 to 10'),
    ({'structure': 1.5}, 'structure 1.5, expected a number from 0 to 1'),
    ({'easy': -2}, 'easy -2, expected a number from -1 to 1'),
    ({'signal': 'much'}, "signal 'much', expected a number"),
    ({'seed': 0.5}, 'seed 0.5, expected a whole number'),
    ({'raw': 1}, 'raw 1, expected True or False'),
    ({'missing': 0.95}, 'missing 0.95, expected'),
    ({'rank': 3}, "unknown knob of the twin cmu_mosei 'rank'; there is: easy"),
  ],
)
def test_wrong_knobs_are_refused_in_one_line(change, message):
  with pytest.raises(UserError) as refusal:
    opening.open_corpus('cmu_mosei', **change)
  assert message in str(refusal.value) and '\n' not in str(refusal.value)
