import pytest

from affectjax.common.errors import UserError
from affectjax.tables import bootstrap, claims

NAN = float('nan')


def difference(low, high):
  return bootstrap.Difference((low + high) / 2, low, high, 30, True)


def claim(*compare):
  return {'id': 'paper.claim', 'text': 'it is better', 'compare': compare}


def compare(metric, against='base'):
  return {'row': 'ours', 'against': against, 'metric': metric}


@pytest.mark.parametrize(
  ('low', 'high', 'verdict'),
  [(0.1, 0.3, 'holds'), (-0.3, -0.1, 'contradicted'), (-0.1, 0.3, 'undecided'), (0.0, 0.0, 'undecided'),
   (0.0, 0.1, 'undecided'), (NAN, NAN, 'undecided')],
)  # fmt: skip
def test_an_interval_decides_only_when_it_excludes_zero(low, high, verdict):
  assert claims.of_interval(low, high) == verdict


def test_improvement_points_up_for_errors_too():
  judged = claims.judge(claim(compare('rmse.pooled.v')), lambda *_: difference(-0.3, -0.1))
  assert judged.verdict == 'holds'
  improvement = judged.comparisons[0].improvement
  assert (improvement.mean, improvement.low, improvement.high) == (0.2, 0.1, 0.3)
  assert claims.judge(claim(compare('ccc.pooled.v')), lambda *_: difference(-0.3, -0.1)).verdict == 'contradicted'


@pytest.mark.parametrize(
  ('found', 'verdict'),
  [
    (['up', 'up'], 'holds'), (['up', 'flat'], 'undecided'), (['up', 'down'], 'contradicted'),
    (['flat', 'down'], 'contradicted'), (['up', 'gone'], 'undecided'), (['gone', 'down'], 'contradicted'),
  ],
)  # fmt: skip
def test_a_claim_holds_if_all_of_it_holds(found, verdict):
  kinds = {
    'up': difference(0.1, 0.2), 'flat': difference(-0.1, 0.2), 'down': difference(-0.2, -0.1),
    'gone': 'base: 2 of 5 cells',
  }  # fmt: skip
  comparisons = [compare('ccc.pooled.v', against) for against in found]
  judged = claims.judge(claim(*comparisons), lambda row, against, metric: kinds[against])
  assert judged.verdict == verdict
  for c in judged.comparisons:
    assert (c.reason, c.improvement) == (kinds['gone'], None) if c.against == 'gone' else c.reason == ''


def test_no_interval_is_said():
  judged = claims.judge(claim(compare('ccc.pooled.v')), lambda *_: difference(NAN, NAN))
  assert (judged.verdict, judged.comparisons[0].reason) == ('undecided', 'no interval')


def test_a_claim_that_says_nothing_is_refused():
  for wrong in (claim(), {'id': 'x', 'text': 'y'}, claim({'row': 'a', 'metric': 'ccc.pooled.v'})):
    with pytest.raises(UserError, match='claim'):
      claims.judge(wrong, lambda *_: difference(0.1, 0.2))
  with pytest.raises(UserError, match='unknown metric'):
    claims.judge(claim(compare('ccc.v')), lambda *_: difference(0.1, 0.2))


def test_what_minus_leaves_out_is_the_comparisons_own():
  asked = []
  one = compare('kl.t.v') | {'minus': {'row': 'few', 'against': 'plain'}}
  two = compare('kl.t.v.agreement_high') | {'minus': {'metric': 'kl.t.v.agreement_low'}}
  judged = claims.judge(claim(one, two), lambda *names: asked.append(names) or difference(-0.3, -0.1))
  assert asked == [
    ('ours', 'base', 'kl.t.v', ('few', 'plain', 'kl.t.v')),
    ('ours', 'base', 'kl.t.v.agreement_high', ('ours', 'base', 'kl.t.v.agreement_low')),
  ]
  assert [c.minus for c in judged.comparisons] == [names[3] for names in asked]
  assert judged.verdict == 'holds' and judged.comparisons[0].improvement.low == 0.1
  assert claims.judge(claim(compare('kl.t.v')), lambda *_: difference(0.1, 0.3)).comparisons[0].minus is None


@pytest.mark.parametrize(
  ('minus', 'says'),
  [
    ({'metric': 'ccc.pooled.v'}, 'of kl.t.v lower is better, of ccc.pooled.v in minus higher'),
    ({'metric': 'kl.v'}, 'unknown metric'), ({'against': 'base'}, 'compared with itself'), ({}, 'minus is a mapping'),
    ({'rows': 'few'}, 'minus is a mapping'), ('few', 'minus is a mapping'),
  ],
)  # fmt: skip
def test_a_minus_that_cannot_be_taken_off_is_refused(minus, says):
  with pytest.raises(UserError, match=says):
    claims.judge(claim(compare('kl.t.v') | {'minus': minus}), lambda *_: difference(0.1, 0.2))


def test_a_metric_that_is_best_near_a_value_improves_nothing():
  judged = claims.judge(claim(compare('coverage.80.v')), lambda *_: difference(0.1, 0.2))
  assert judged.verdict == 'undecided' and judged.comparisons[0].improvement is None
  assert judged.comparisons[0].reason == 'coverage.80.v is best nearer to 0.8, so no difference is an improvement'
  interval = bootstrap.Interval(0.8, NAN, 0.7, 0.9, 30)
  assert claims.beside_published('coverage.80.v', [0.8], interval, 'prepared') == 'undecided (no direction)'
  assert claims.beside_published('coverage.80.v', [0.8], interval, 'synthetic') == 'n/a (synthetic)'


@pytest.mark.parametrize(
  ('metric', 'values', 'low', 'high', 'verdict'),
  [
    ('ccc.pooled.v', [0.5], 0.4, 0.6, 'holds'), ('ccc.pooled.v', [0.5], 0.6, 0.7, 'holds'),
    ('ccc.pooled.v', [0.5], 0.3, 0.4, 'contradicted'), ('ccc.pooled.v', [0.5, 0.8], 0.4, 0.6, 'contradicted'),
    ('rmse.pooled.v', [0.5], 0.4, 0.6, 'holds'), ('rmse.pooled.v', [0.5], 0.6, 0.7, 'contradicted'),
    ('rmse.pooled.v', [0.5], 0.3, 0.4, 'holds'), ('rmse.pooled.v', [None, 0.5], 0.3, 0.4, 'holds'),
    ('ccc.pooled.v', [None], 0.3, 0.4, 'undecided'), ('ccc.pooled.v', [0.5], NAN, NAN, 'undecided'),
  ],
)  # fmt: skip
def test_beside_a_published_value(metric, values, low, high, verdict):
  interval = bootstrap.Interval((low + high) / 2, NAN, low, high, 30)
  assert claims.beside_published(metric, values, interval, 'prepared') == verdict
  assert claims.beside_published(metric, values, interval, 'synthetic') == 'n/a (synthetic)'
