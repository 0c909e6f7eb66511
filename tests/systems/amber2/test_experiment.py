"""AmbER^2 around its networks: refusals, views, references by hand, the experiment file."""

import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.examples import targets
from affectjax.objectives import distributions
from affectjax.systems import amber2 as system
from affectjax.systems.amber2 import experiment, references, training, views
from affectjax.systems.amber2 import items as items_lib
from affectjax.tables import cells, claims
from tests.helpers import amber2_small as small

SETTINGS = (('lambda_0.3.kappa_2', 0.3, 2.0), ('lambda_0.7.kappa_2', 0.7, 2.0))

# Refusals


@pytest.mark.parametrize(('row', 'changes', 'said'), [
  ('amber2', dict(stage='train'), "unknown stage 'train'; there is: network, reference"),
  ('amber2', dict(heads=('audio', 'video', 'fusion')), "unknown head in run.heads or run.student 'video'; there is: "
   'audio, fusion, text'),
  ('amber2', dict(student='video'), "unknown head in run.heads or run.student 'video'"),
  ('amber2', dict(data=dict(modalities=('text',)), heads=('text', 'fusion')), "'fusion'; there is: text"),
  ('amber2', dict(heads=('audio', 'text')), 'run.heads is audio, text; expected each once, the student fusion among'),
  ('amber2', dict(heads=('audio', 'audio', 'fusion')), 'expected each once'),
  ('amber2', dict(heads=()), 'the student fusion among them'),
  ('amber2', dict(heads=('fusion',)), 'run.heads has no expert beside the student'),
  ('amber2', dict(loss=dict(kind='amber')), "unknown run.loss.kind 'amber'; there is: amber2, cross_entropy"),
  ('amber2', dict(loss=dict(divergence='wasserstein')), "unknown run.loss.divergence 'wasserstein'; there is: bhatt"),
  ('amber2', dict(loss=dict(base='dits')), "unknown run.loss.base 'dits'; there is: bits, nats"),
  ('amber2', dict(loss=dict(weights='equal')), "unknown run.loss.weights 'equal'; there is: reliability, uniform"),
  ('edl', dict(loss=dict(regulariser='l2')), "unknown run.loss.regulariser 'l2'"),
  ('dirichlet_prior', dict(loss=dict(likelihood='flat')), "unknown run.loss.likelihood 'flat'"),
  ('amber2', dict(model=dict(gate='sum')), "unknown run.model.gate 'sum'; there is: concatenation, convex"),
  ('amber2', dict(target=dict(ties='lot')), "unknown run.target.ties 'lot'; there is: excluded, first"),
  ('amber2', dict(model=dict(width=0)), 'expected at least 1 each'),
  ('amber2', dict(model=dict(dropout=1.0)), 'run.model.dropout 1.0'),
  ('amber2', dict(batch_size=0), 'run.batch_size, eval_batch_size, members: expected at least 1 each'),
  ('ensemble', dict(members=0), 'expected at least 1 each'),
  ('edl', dict(loss=dict(regulariser_weight=-1.0)), 'run.loss.regulariser_weight -1.0'),
  ('amber2', dict(target=dict(names=('happy',), merge={}, rule='least')), "run.target.names is ('happy',)"),
  ('amber2', dict(loss=dict(lambda_mai=1.5)), 'lambda_mai [1.5]'),
  ('amber2', dict(loss=dict(kappa=-1.0)), 'kappa [-1.0]; expected 0 to 1, and 0 or more'),
  ('amber2', dict(loss=dict(kappa=float('nan'))), 'kappa [nan]'),
  ('amber2', dict(loss=dict(kappa=float('inf'))), 'kappa inf'),
  ('amber2', dict(loss=dict(lambda_rai=-0.5)), 'run.loss.lambda_rai is -0.5'),
  ('amber2', dict(loss=dict(lambda_rai=0.0)), 'run.loss.lambda_rai is 0'),
  ('amber2', dict(loss=dict(lambda_mai=1.0)), 'raters would weigh 0'),
  ('search', dict(search=dict(lambda_mai=(0.3, 1.0))), 'raters would weigh 0'),
  ('search', dict(loss=dict(weights='uniform')), "run.search.kappa has several values, but run.loss.weights 'uniform'"),
  ('search', dict(search=dict(lambda_mai=(0.3, -0.3))), 'lambda_mai [0.3, -0.3]'),
  ('search', dict(search=dict(lambda_mai=())), 'run.search: lambda_mai or kappa has no values to try'),
  ('search', dict(search=dict(kappa=())), 'run.search: lambda_mai or kappa has no values to try'),
  ('search', dict(search=dict(kappa=(2.0, 2.0))), 'expected two settings or more, none twice'),
  ('search', dict(search=dict(kappa=(2.0,), lambda_mai=(0.3,))), 'expected two settings or more, none twice'),
  ('search', dict(loss=dict(kind='soft')), "run.search.on is for run.loss.kind 'amber2' and one member"),
  ('search', dict(members=2), "run.search.on is for run.loss.kind 'amber2' and one member"),
  ('soft', dict(loss=dict(joint=False)), "run.loss.joint False is for run.loss.kind 'amber2'"),
  ('amber2', dict(loss=dict(joint=False)), 'run.loss.joint False leaves the experts as they are; name the row'),
  ('two_stage', dict(warm_modules=('head_audio',)), 'leaves head_text as it is, but run.warm_modules does not name'),
  ('two_stage', dict(student='audio', warm_modules=('head_text', 'head_fusion')), 'False leaves gate as it is'),
  ('two_stage', dict(warm_modules=()), 'run.warm_modules names nothing'),
  ('amber2', dict(optim=dict(name='adagrad')), "unknown optimizer 'adagrad'"),
  ('amber2', dict(optim=dict(schedule='plateau')), 'run.optim.schedule plateau is not for amber2'),
  ('amber2', dict(optim=dict(schedule='linear')), "unknown schedule 'linear'"),
  ('ce_fusion', dict(loss=dict(beta=1.5)), 'beta is 1.5'),
  ('amber2', dict(steps=-1), 'run.steps -1'), ('amber2', dict(steps=0, epochs=0), 'run.epochs 0'),
  ('amber2', dict(data=dict(max_frames=-1)), 'run.data.max_frames -1'),
  ('amber2', dict(data=dict(modalities=('audio', 'face'))), "'face'; there is: audio, text"),
  ('amber2', dict(data=dict(split='official')), "iemocap: run.data.split 'official' needs the corpus's own split"),
  ('amber2', dict(corpora=('iemocaps',)), "'iemocaps'"),
  ('prior', dict(reference=dict(kind='oracle')), "unknown run.reference.kind 'oracle'; there is: condition, prior"),
  ('prior', dict(reference=dict(votes=('votes',))), 'votes are for condition, and only it'),
  ('rater', dict(reference=dict(kind='condition')), 'votes are for condition, and only it'),
  ('rater', dict(reference=dict(kind='condition', votes=('ballots',))), "unknown column of iemocap 'ballots'"),
  ('rater', dict(reference=dict(by='kind')), 'run.target.names has others'),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(row, changes, said):
  with pytest.raises(UserError) as caught:
    system.build(small.config(row, **changes), None)
  assert said in str(caught.value) and '\n' not in str(caught.value)


def test_a_prior_needs_something_to_learn_from():
  with pytest.raises(UserError, match="'prior' learns from a training split; set run.per_fold to True"):
    system.build(small.config('prior', fold='all'), None)


def test_training_on_nothing_but_ties_is_refused(monkeypatch):
  votes = np.tile(np.array([1, 1, 0, 0], np.float32), (120, 1))
  monkeypatch.setattr(items_lib, 'load', lambda *_, **__: small.utterances(votes=votes))
  with pytest.raises(UserError, match='made: every training utterance is a tie; set run.target.ties to first'):
    system.build(small.config('ce_fusion', target=dict(merge={})), None)


# Views


def outputs(n=6, copies=0, seed=0, heads=('fusion', 'audio', 'text', 'fusion_audio', 'fusion_text')):
  """Predictions of all heads, for everybody; three votes each."""
  rng = np.random.default_rng(seed)
  draw = lambda: rng.dirichlet(np.ones(4), (n, copies) if copies else n).astype(np.float32)
  voted = targets.Distributions.of(rng.multinomial(3, np.ones(4) / 4, n), rng.integers(0, 3, n))
  return {
    **{f'share_{h}': draw() for h in heads}, 'shares': voted.shares, 'emotion': voted.emotion, 'first': voted.first,
    'level': voted.level, 'audio_present': np.ones(n, bool), 'text_present': np.ones(n, bool),
  }  # fmt: skip


BOTH = ('audio', 'text')


def test_truths_and_predictions_by_target():
  out = outputs()
  out['audio_present'][[0, 1]], out['text_present'][[1, 2]] = False, False
  found = views.add('fusion', BOTH, out)
  for name, head, who in (
    ('emotion', 'fusion', [0, 2, 3, 4, 5]), ('emotion_audio', 'fusion_audio', [2, 3, 4, 5]),
    ('emotion_text', 'fusion_text', [0, 3, 4, 5]), ('emotion_expert_audio', 'audio', [2, 3, 4, 5]),
    ('emotion_expert_text', 'text', [0, 3, 4, 5]),
  ):  # fmt: skip
    np.testing.assert_array_equal(found[f'{name}_shares_hat'], out[f'share_{head}'])
    np.testing.assert_array_equal(found[f'{name}_hat'], out[f'share_{head}'].argmax(1))
    np.testing.assert_array_equal(np.isfinite(found[f'{name}_shares']).all(1), np.isin(np.arange(6), who), name)
    np.testing.assert_array_equal(found[name], np.where(np.isin(np.arange(6), who), out['emotion'], -1))
  np.testing.assert_array_equal(found['emotion_first'], np.where(np.arange(6) == 1, -1, out['first']))
  np.testing.assert_array_equal(found['emotion_level'], np.where(np.arange(6) == 1, -1, out['level']))
  np.testing.assert_array_equal(found['emotion_first_hat'], found['emotion_hat'])


def test_a_student_of_one_modality_answers_for_those_who_have_it():
  out = outputs(heads=('fusion', 'audio', 'text', 'fusion_audio', 'fusion_text'))
  out['audio_present'][0] = False
  found = views.add('audio', BOTH, out)
  np.testing.assert_array_equal(found['emotion_shares_hat'], out['share_audio'])
  np.testing.assert_array_equal(found['emotion_audio_shares_hat'], out['share_audio'])
  assert found['emotion'][0] == -1 and np.isnan(found['emotion_shares'][0]).all()
  assert 'emotion_text' not in found and 'emotion_expert_audio' not in found and 'emotion_expert_text' in found
  alone = views.add('text', ('text',), {k: v for k, v in out.items() if 'fusion' not in k and 'audio' not in k})
  assert {'emotion', 'emotion_text'} <= set(alone) and not any('expert' in k for k in alone)


def test_scores_by_hand():
  out = outputs(40)
  found = views.score('fusion', ('fusion',), BOTH, SETTINGS[:1], out, 'acc.emotion')
  scored = views.add('fusion', BOTH, out)
  y, p = out['shares'].astype(np.float64), out['share_fusion'].astype(np.float64)
  assert metrics.compute('js.bits.emotion', scored) == pytest.approx(distributions.js(y, p, 'bits', np).mean())
  assert metrics.compute('bc.emotion', scored) == pytest.approx(np.sqrt(y * p).sum(1).mean())
  clear = out['emotion'] >= 0
  assert 0 < clear.sum() < 40, 'ties are not in the accuracy'
  assert found['acc.emotion'] == pytest.approx((p.argmax(1) == out['emotion'])[clear].mean())
  assert found['loss'] == pytest.approx(metrics.compute('js.bits.emotion', scored))
  assert not any(k.startswith('search') for k in found)


def test_the_setting_with_the_lowest_js_on_dev_is_chosen_for_both_sides():
  dev, test = outputs(30, 2, seed=1), outputs(20, 2, seed=2)
  best = views.settings_js('fusion', test).mean(0).argmin()
  dev['share_fusion'][:, 1 - best] = dev['shares']  # on dev the other one is perfect
  found = views.chosen('fusion', BOTH, {'dev': dev, 'test': test})
  for head in ('fusion', 'audio', 'fusion_text'):
    np.testing.assert_array_equal(found['test'][f'share_{head}'], test[f'share_{head}'][:, 1 - best])
  assert found['dev']['search_js'].shape == (30, 2) and 'search_js' not in found['test']
  scores = views.score('fusion', ('fusion',), BOTH, SETTINGS, found['dev'])
  each = views.settings_js('fusion', dev).mean(0)
  assert [scores[f'search.{s[0]}'] for s in SETTINGS] == pytest.approx(each, abs=1e-6)
  assert scores['search.lambda_mai'] == SETTINGS[1 - best][1] and scores['search.kappa'] == 2.0
  assert scores['loss'] == pytest.approx(0, abs=1e-6)
  during = views.score('fusion', ('fusion',), BOTH, SETTINGS, dev)
  assert during['loss'] == pytest.approx(min(each)) and len(during) == 3
  assert not any(k.startswith('search') for k in views.score('fusion', ('fusion',), BOTH, SETTINGS, found['test']))


def test_one_power_of_all_outputs_is_fitted_on_dev_and_applied_to_both_sides():
  dev, test = outputs(400, seed=1), outputs(20, seed=2)
  y = np.random.default_rng(0).dirichlet(np.full(4, 0.7), 400)
  flat = np.sqrt(y)
  dev['audio_present'][:100] = dev['text_present'][:100] = False  # what is said of them is not looked at
  flat[:100] = flat[:100, ::-1]
  dev |= {'shares': y.astype(np.float32), 'share_fusion': (flat / flat.sum(1, keepdims=True)).astype(np.float32)}
  found = views.tempered('fusion', BOTH, {'dev': dev, 'test': test})
  np.testing.assert_allclose(found['dev']['temper'], 2.0, rtol=1e-2)  # the root undone
  np.testing.assert_allclose(found['dev']['share_fusion'][100:], y[100:], atol=5e-3)
  for head in ('fusion', 'audio', 'fusion_text'):
    squared = np.square(test[f'share_{head}'].astype(np.float64))
    np.testing.assert_allclose(found['test'][f'share_{head}'], squared / squared.sum(1, keepdims=True), atol=1e-2)
    np.testing.assert_array_equal(found['test'][f'share_{head}'].argmax(1), test[f'share_{head}'].argmax(1))
  assert views.score('fusion', ('fusion',), BOTH, SETTINGS[:1], found['dev'])['temper'] == pytest.approx(2, rel=1e-2)
  np.testing.assert_array_equal(found['test']['shares'], test['shares'])


def test_the_step_is_selected_by_all_heads_that_learn_for_themselves():
  out = outputs(30)
  out['audio_present'][:5] = False
  js = {h: distributions.js(*(out[k].astype(np.float64) for k in ('shares', f'share_{h}')), 'bits', np)
        for h in ('fusion', 'audio', 'text')}  # fmt: skip
  js = {h: v[5:].mean() if h == 'audio' else v.mean() for h, v in js.items()}
  found = views.score('fusion', ('audio', 'text', 'fusion'), BOTH, SETTINGS[:1], out, 'js.bits.emotion')
  assert found['loss'] == pytest.approx(np.mean(list(js.values())))
  assert found['js.bits.emotion'] == pytest.approx(js['fusion'])
  judged = lambda row: experiment.judged(small.spec(row))
  assert (judged('amber2'), judged('ce_text')) == (('fusion',), ('text',)) and len(judged('ce_experts')) == 3


def test_what_a_twin_knows_makes_targets_of_its_own():
  out = outputs(40)
  truth = np.random.default_rng(9).dirichlet(np.ones(4), 40).astype(np.float32)
  out |= {'true_shares': truth, 'reason': (np.arange(40) % 5 - 1).astype(np.int32)}
  out['audio_present'][:3] = out['text_present'][:3] = False
  found = views.add('fusion', BOTH, out)
  who = np.arange(40) >= 3
  np.testing.assert_array_equal(found['emotion_true_shares'][who], truth[who])
  assert np.isnan(found['emotion_true_shares'][:3]).all()
  np.testing.assert_array_equal(found['emotion_true_shares_hat'], out['share_fusion'])
  for i, reason in enumerate(('no_reason', 'ambiguous', 'conflict', 'both_reasons')):
    seen = np.isfinite(found[f'emotion_{reason}_shares']).all(1)
    np.testing.assert_array_equal(seen, who & (out['reason'] == i))
    np.testing.assert_array_equal(found[f'emotion_{reason}_shares'][seen], out['shares'][seen])
  assert 'emotion_true' not in views.add('fusion', BOTH, outputs(4))


def test_who_lacks_everything_has_no_part_in_the_choice():
  dev = outputs(4, 2)
  dev['share_fusion'][:, 0], dev['share_fusion'][:, 1] = dev['shares'], dev['shares'][:, ::-1]
  dev['share_fusion'][3, 0], dev['share_fusion'][3, 1] = np.eye(4)[dev['shares'][3].argmin()], dev['shares'][3]
  dev['audio_present'][3] = dev['text_present'][3] = False
  dev['share_fusion'][:3, 0] = 0.9 * dev['shares'][:3] + 0.025
  found = views.chosen('fusion', BOTH, {'dev': dev, 'test': dev})
  np.testing.assert_array_equal(found['test']['share_fusion'], dev['share_fusion'][:, 0])


# References


def made(monkeypatch, **columns):
  items = small.utterances(**columns)
  monkeypatch.setattr(items_lib, 'load', lambda *_, **__: items)
  return items


def whole(row, fold='0', **changes):
  """Predictions of a reference after `finish`."""
  config = small.config(row, fold=fold, **{**changes, 'target': {'merge': {}, **changes.get('target', {})}})
  built = system.build(config, None)
  real = lambda b: {k: v[b['mask'] > 0] for k, v in b.items() if k != 'mask'}
  pieces = {split: [real(b) for b in built.batches(split, 0)] for split in ('dev', 'test')}
  found = {split: {k: np.concatenate([b[k] for b in p]) for k in p[0]} for split, p in pieces.items()}
  return built, built.finish(found)


def test_prior_is_the_mean_distribution_of_the_training_side(monkeypatch):
  items = made(monkeypatch)
  built, found = whole('prior')
  shares = items.columns['votes'] / 3
  mean = shares[np.isin(items.columns['session'], (2, 3, 4))].mean(0, dtype=np.float64)
  assert built.steps == 0 and built.step is None and len(found['test']['id']) == 24
  np.testing.assert_allclose(found['test']['emotion_shares_hat'], np.tile(mean, (24, 1)), rtol=1e-5)
  assert set(found['dev']['emotion_hat'].tolist()) == {int(mean.argmax())}
  trained = np.isin(np.arange(120), np.flatnonzero(items.columns['session'] == 0))
  assert metrics.compute('js.bits.emotion', found['test']) == pytest.approx(
    distributions.js(shares[trained].astype(np.float64), mean.astype(np.float32), 'bits', np).mean(), rel=1e-5
  )


def test_a_condition_is_told_by_the_others_votes(monkeypatch):
  rng = np.random.default_rng(5)
  more = rng.multinomial(2, [0.4, 0.3, 0.2, 0.1], 120).astype(np.float32)
  more[7] = 0
  items = made(monkeypatch, heard=more)
  _, found = whole('rater', 'all', reference=dict(kind='condition', votes=('heard',)))
  out = found['test']
  who = np.arange(120) != 7
  np.testing.assert_allclose(out['emotion_shares_hat'][who], more[who] / 2, rtol=1e-6)
  np.testing.assert_allclose(out['emotion_shares'][who], items.columns['votes'][who] / 3, rtol=1e-6)
  assert np.isnan(out['emotion_shares'][7]).all() and out['emotion'][7] == -1 and out['emotion_hat'][7] == -1
  assert np.isfinite(metrics.compute('js.bits.emotion', out))
  for k, name in enumerate(('neutral', 'happy', 'angry', 'sad')):
    assert (np.isfinite(out[f'emotion_of_{name}_shares']).all(1) == (out['emotion'] == k)).all()


def test_a_rater_against_the_others(monkeypatch):
  votes = np.random.default_rng(3).multinomial(3, [0.4, 0.3, 0.2, 0.1], 120).astype(np.float32)
  votes[0], votes[1] = [1, 0, 0, 0], [0, 0, 4, 0]
  made(monkeypatch, votes=votes)
  _, found = whole('rater', 'all')
  out = found['test']
  one = out['emotion_shares_hat']
  assert (np.sort(one, 1) == [0, 0, 0, 1]).all() and (votes[one > 0] > 0).all(), 'a vote that was given'
  rest = votes - one
  np.testing.assert_allclose(out['emotion_shares'][1:], (rest / rest.sum(1, keepdims=True).clip(1))[1:], rtol=1e-6)
  assert np.isnan(out['emotion_shares'][0]).all() and out['emotion'][0] == -1, 'of one rater nobody is left'
  most = np.sort(rest, 1)
  np.testing.assert_array_equal(out['emotion'] == -1, (most[:, -1] == most[:, -2]) | (np.arange(120) == 0))


def test_every_rater_has_the_same_chance():
  items = small.utterances(2, votes=np.array([[3, 1, 0, 0], [0, 1, 1, 2]], np.float32))
  target = dict(small.config()['target'], merge={})
  labels = targets.distributions(items, target)
  drawn = sum(references.rater(labels=labels, config={'seed': seed})[0] for seed in range(2000)) / 2000
  np.testing.assert_allclose(drawn, [[0.75, 0.25, 0, 0], [0, 0.25, 0.25, 0.5]], atol=0.04)


def test_results_can_be_told_apart_by_another_column(monkeypatch):
  intended = np.arange(120) % 4
  made(monkeypatch, intended=intended)
  _, found = whole('rater', 'all', reference=dict(by='intended'))
  assert (np.isfinite(found['test']['emotion_of_angry_shares']).all(1) == (intended == 2)).all()


# The experiment file


@pytest.mark.parametrize('table', small.experiment()['tables'])
def test_every_table_resolves_and_its_claims_name_rows(table):
  config, found = small.experiment(table), {}
  for data_dir in (None, '/nowhere'):
    resolved = cells.Table(config, 'amber2.py', data_dir)
    rows = [r for r in config['order'] if data_dir is None or 'twins' not in config['rows'][r]]
    found[data_dir] = {row: resolved.row(row) for row in rows}
  runs = found[None]
  assert set(config['order']) == set(config['rows'])
  assert {*config['baselines'], *config['baselines'].values()} <= set(runs)
  for claim in config['claims']:
    claims.check(claim)
    for pair in claim['compare']:
      assert {pair['row'], pair['against']} <= set(runs), claim['id']
  assert {p['metric'] for p in config['published']} <= set(config['metrics']), 'or it would not be shown'
  for run in (*runs.values(), *found['/nowhere'].values()):
    if run['warm_start']:
      assert run['warm_start'] in runs
    if run['stage'] == 'network':
      cell = experiment.spec({**run, 'fold': '0', 'seed': 0}, {m: 8 for m in run['data']['modalities']})
      assert training.frozen(cell) == () or run['warm_modules']
    else:
      assert run['reference']['kind'] in references.METHODS
