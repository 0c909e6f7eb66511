"""Gaps between two parts of the same predictions: equal to the libraries on each part, and drawn by groups."""

import audmetric
import numpy as np
import pytest
import sklearn.metrics

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables import bootstrap

CLASSES = ('gap.f1.macro', 'gap.f1.micro', 'gap.uar')
NAMES = (*(f'{name}.emotion_gender' for name in CLASSES), 'gap.ccc.pooled.v_gender')


def predictions(seed, groups=24, n=10, offset=0.0, women=None):
  """Rows of people, every third of whom is neither; some have no label; of part 1 the labels lie `offset` higher.

  `women`: the groups of part 1 (of the others, those of part 0 are all), if not every third.
  """
  rng = np.random.default_rng(seed)
  person = np.repeat(np.arange(groups), n)
  part = person % 3 - 1 if women is None else np.isin(person, women).astype(int)
  real = np.where(part < 0, np.nan, part)
  v = rng.normal(size=groups * n) + np.where(part == 1, offset, 0)
  emotion = rng.integers(-1, 5, groups * n)
  emotion[(part == 0) & (emotion == 4)] = 0  # a class that only part 1 has
  said = np.where(rng.random(groups * n) < 0.4 + 0.3 * (part == 1), emotion, rng.integers(0, 6, groups * n))
  return {
    'group': np.char.add('g', np.char.zfill(person.astype(str), 2)), 'emotion_gender': emotion,
    'emotion_gender_part': part, 'emotion_gender_hat': np.maximum(said, 0), 'v_gender_part': real,
    'v_gender': np.where(rng.random(groups * n) < 0.1, np.nan, v), 'v_gender_hat': v + rng.normal(size=groups * n),
  }  # fmt: skip


def only(given, rows):
  return {key: column[rows] for key, column in given.items()}


def of_part(given, name, part):
  """A metric of one part by the library that defines it."""
  key = 'v_gender' if 'ccc' in name else 'emotion_gender'
  y, yhat = given[key], given[f'{key}_hat']
  keep = (given[f'{key}_part'] == part) & (~np.isnan(y) if 'ccc' in name else y >= 0)
  y, yhat = y[keep], yhat[keep]
  if 'ccc' in name:
    return audmetric.concordance_cc(y, yhat)
  labels = np.unique(y)
  if 'uar' in name:
    return sklearn.metrics.recall_score(y, yhat, average='macro', labels=labels, zero_division=0)
  average, labels = ('macro', labels) if 'macro' in name else ('micro', np.arange(8))
  return sklearn.metrics.f1_score(y, yhat, average=average, labels=labels, zero_division=0)


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('seed', range(10))
def test_a_gap_is_part_1_minus_part_0(name, seed):
  given = predictions(seed)
  want = of_part(given, name, 1) - of_part(given, name, 0)
  assert metrics.compute(name, given) == pytest.approx(want, abs=1e-12) and abs(want) > 1e-6
  rows = np.random.default_rng(seed).permutation(len(given['group']))
  assert metrics.compute(name, only(given, rows)) == pytest.approx(want, abs=1e-12)
  swapped = given | {
    'emotion_gender_part': np.where(given['emotion_gender_part'] < 0, -1, 1 - given['emotion_gender_part'])
  }
  swapped['v_gender_part'] = 1 - given['v_gender_part']
  assert metrics.compute(name, swapped) == pytest.approx(-want, abs=1e-12)


def test_parts_that_lie_far_apart_lose_nothing():
  """Centred on the mean of both parts, squares of 1e8 would leave nothing of the variance within a part."""
  near, far = predictions(3), predictions(3)
  shift = np.where(far['v_gender_part'] == 1, 2.0**27, 0)
  for key in ('v_gender', 'v_gender_hat'):
    near[key] = np.round(near[key] * 2**20) / 2**20  # exact at that offset
    far[key] = near[key] + shift
  name = 'gap.ccc.pooled.v_gender'
  assert metrics.compute(name, far) == pytest.approx(metrics.compute(name, near), abs=1e-12)
  parts = [metrics.ccc(near['v_gender'][rows], near['v_gender_hat'][rows]) for rows in (
    (near['v_gender_part'] == p) & ~np.isnan(near['v_gender']) for p in (0, 1))]  # fmt: skip
  assert metrics.compute(name, near) == pytest.approx(parts[1] - parts[0], abs=1e-12)


@pytest.mark.parametrize('name', NAMES)
def test_a_part_without_anything_scored_has_no_gap(name):
  given = predictions(0)
  for part in (0, 1):
    assert np.isnan(metrics.compute(name, only(given, given['emotion_gender_part'] != part)))
  assert np.isnan(metrics.compute(name, only(given, slice(0, 0))))
  unlabelled = given | {'v_gender': np.full(240, np.nan), 'emotion_gender': np.full(240, -1)}
  assert np.isnan(metrics.compute(name, unlabelled))


def test_a_flat_part_has_no_correlation_and_a_nan_output_is_not_hidden():
  given = predictions(1)
  flat = given | {'v_gender_hat': np.where(given['v_gender_part'] == 0, 0.3, given['v_gender_hat'])}
  one = of_part(given, 'ccc', 1)
  assert metrics.compute('gap.ccc.pooled.v_gender', flat) == pytest.approx(one, abs=1e-12)
  assert np.isnan(metrics.compute('gap.ccc.pooled.v_gender', given | {'v_gender_hat': np.full(240, np.nan)}))


def test_names_say_what_is_read_and_what_is_best():
  assert metrics.needs(NAMES[0]) == ('emotion_gender', 'emotion_gender_part', 'emotion_gender_hat')
  assert {metrics.better(name) for name in NAMES} == {'nearer to 0'}
  assert metrics.available(NAMES[3], predictions(0)) and not metrics.available('gap.uar.emotion', predictions(0))
  with pytest.raises(UserError, match=r'gap\.uar'):
    metrics.parse('gap.acc.emotion')


@pytest.mark.parametrize(
  ('name', 'key', 'value', 'says'),
  [
    (NAMES[0], 'emotion_gender_part', 2, "'gap.f1.macro.emotion_gender': emotion_gender_part is 0 or 1, or -1 of none"),
    (NAMES[3], 'v_gender_part', -1.0, 'v_gender_part is 0 or 1, or NaN of none, found -1'),
    (NAMES[0], 'emotion_gender_part', 0.5, 'class indices'),
  ],
)  # fmt: skip
def test_any_other_part_is_refused(name, key, value, says):
  with pytest.raises(UserError, match=says):
    metrics.compute(name, predictions(0) | {key: np.full(240, value)})


def sample(name, cells):
  return bootstrap.Sample(name, {key: bootstrap.reduce([name], cell)[name] for key, cell in cells.items()})


@pytest.mark.parametrize('name', NAMES)
def test_a_replicate_is_the_gap_of_the_drawn_groups(name):
  cells = {(0, s): predictions(s) for s in range(2)}
  ours = sample(name, cells)
  assert len(ours.groups) == 16, 'those in neither part are not drawn'
  counts = bootstrap.draws(ours.groups)[11].astype(int)
  by_hand = []
  for cell in cells.values():
    rows = [np.flatnonzero(cell['group'] == g) for g, c in zip(ours.groups, counts, strict=True) for _ in range(c)]
    again = only(cell, np.concatenate(rows))
    by_hand.append(of_part(again, name, 1) - of_part(again, name, 0))
  assert ours.replicates(ours.groups)[11] == pytest.approx(np.mean(by_hand), abs=1e-12)
  got = bootstrap.interval(ours)
  assert got.low < got.mean < got.high and got.groups == 16


def test_a_part_in_one_group_has_no_interval():
  name = NAMES[0]
  alone, two = (sample(name, {(0, 0): predictions(0, women=women)}) for women in ([5], [5, 9]))
  assert np.isfinite(bootstrap.interval(alone).mean) and np.isnan(bootstrap.interval(alone).low)
  assert np.isnan(bootstrap.paired(alone, two).low) and np.isfinite(bootstrap.interval(two).low)


def test_a_fold_counts_in_the_draws_that_have_both_of_its_parts():
  """Six folds of one woman and one man: in hardly any draw are all twelve there."""
  cells = {}
  for fold in range(6):
    given = predictions(fold, groups=2, n=40, women=[1])
    cells[fold, 0] = given | {'group': np.char.add(f'fold {fold} ', given['group'])}
  ours = sample(NAMES[1], cells)
  counts = dict(zip(ours.groups, bootstrap.draws(ours.groups)[2], strict=True))
  weight = [sum(counts[g] for g in s.groups.tolist()) * all(counts[g] for g in s.groups.tolist()) / 2
            for s in ours.cells.values()]  # fmt: skip
  gaps = [metrics.compute(NAMES[1], cell) for cell in cells.values()]
  assert 0 < sum(w > 0 for w in weight) < 6
  assert ours.replicates(ours.groups)[2] == pytest.approx(np.average(gaps, weights=weight), abs=1e-12)
  assert np.isnan(ours.replicates(ours.groups)).mean() < 0.1
  assert bootstrap.interval(ours).mean == pytest.approx(np.mean(gaps), abs=1e-12)
