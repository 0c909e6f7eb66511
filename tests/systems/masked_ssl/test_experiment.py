"""Masked self-supervision around its networks: refusals, sides, budgets, references, views, the file."""

import functools

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.engine.types import passed_on
from affectjax.systems import masked_ssl as system
from affectjax.systems.masked_ssl import experiment, training, views
from affectjax.systems.masked_ssl import sequences as sequences_lib
from affectjax.tables import cells, claims
from tests.helpers import masked_ssl_small as small
from tests.helpers.masked_ssl_small import CLASSES, PRETRAIN, differ, refused, same

SSL = dict(warm_start='pretrain', warm_modules=('encoder',))
FOLDS = dict(data=dict(split='folds', folds=4))


@pytest.fixture
def made(monkeypatch):
  """The corpus in memory in place of the one that is named."""
  found = small.sequences()
  monkeypatch.setattr(sequences_lib, 'load', lambda *_: found)
  return found


# Refusals


REFUSED = [
  (dict(stage='train'), "unknown stage 'train'; there is: finetune, pretrain, reference"),
  (dict(model=dict(kind='lstm')), "unknown run.model.kind 'lstm'; there is: bigru, transformer"),
  (dict(model=dict(width=18, heads=4)), 'run.model: width 18, blocks 1, heads 4'),
  (dict(model=dict(blocks=0)), 'blocks 0'), (dict(model=dict(dropout=1.0)), 'dropout 1.0; expected'),
  (dict(steps=-1), 'run.steps -1'), (dict(steps=0, epochs=0.0), 'run.epochs 0.0; expected 0 or more'),
  (dict(tune=dict(loss='l2')), "unknown run.tune.loss 'l2'"),
  (dict(tune=dict(head='cnn')), "unknown run.tune.head 'cnn'; there is: linear, mlp"),
  (dict(tune=dict(encoder_lr=())), 'expected one rate or more above 0'),
  (dict(tune=dict(encoder_lr=(1e-3, 0.0))), 'encoder_lr (0.001, 0.0)'),
  (dict(tune=dict(decay=0.0)), 'decay 0.0; expected'), (dict(tune=dict(decay=1.1)), 'decay 1.1'),
  (dict(tune=dict(frozen=True, encoder_lr=(1e-4,))), 'run.tune.frozen leaves the encoder as it came: name the row'),
  (dict(SSL, tune=dict(frozen=True)), 'one rate in run.tune.encoder_lr'),
  (dict(SSL, tune=dict(frozen=True, untrained=True, encoder_lr=(1e-4,))), 'for a random one, set run.tune.untrained'),
  (dict(tune=dict(untrained=True)), 'run.tune.untrained is of run.tune.frozen, a control'),
  (dict(tune=dict(loss='cross_entropy')), "run.tune.loss 'cross_entropy' with run.target.kind 'intensity'"),
  (dict(CLASSES, tune=dict(loss='l1')), "run.tune.loss 'l1' with run.target.kind 'class'"),
  (dict(target=dict(kind='rank')), "unknown run.target.kind 'rank'; there is: class, intensity"),
  (dict(target=dict(names=('happy', 'calm'))), "unknown class of made in run.target.names 'calm'"),
  (dict(target=dict(label='ratings')), "unknown column of made 'ratings'; there is: emotion, intensity"),
  (dict(target=dict(label='sentiment')), "made: column 'sentiment' is float32 [] per example; expected float32 [6]"),
  (dict(CLASSES, target=dict(kind='class', label='intensity', names=())), 'expected one integer, a class'),
  (dict(data=dict(split='random')), "unknown run.data.split 'random'; there is: all, folds, official, official_dev"),
  (dict(data=dict(split='all')), "run.data.split 'all' leaves nothing unseen to test on"),
  (dict(data=dict(split='folds')), "run.data.split 'folds' needs folds, but the row has run.per_fold False"),
  (dict(data=dict(limit=-5)), 'run.data.limit is -5; expected a number of training examples, or 0 for all'),
  (dict(optim=dict(name='adagrad')), "unknown optimizer 'adagrad'"),
  (dict(optim=dict(schedule='linear')), "unknown schedule 'linear'"),
  (dict(optim=dict(schedule='plateau')), 'run.optim.schedule plateau is not for fine-tuning'),
  (dict(optim=dict(warmup=1.5)), 'run.optim.warmup is 1.5; expected a share of the steps, 0 to 1'),
  (dict(PRETRAIN, optim=dict(warmup=-0.1)), 'run.optim.warmup is -0.1'),
  (dict(PRETRAIN, mask=dict(kind='block')), "unknown run.mask.kind 'block'"),
  (dict(PRETRAIN, mask=dict(ratio=1.0)), 'run.mask.ratio 1.0'),
  (dict(PRETRAIN, mask=dict(kind='span_geometric', ratio=0.8)), 'such spans hide 0.5 at most'),
  (dict(PRETRAIN, pretext=dict(error='l2')), "unknown run.pretext.error 'l2'; there is: huber, l1, mse"),
  (dict(PRETRAIN, pretext=dict(layout='gpt')), "unknown run.pretext.layout 'gpt'; there is: bert, mae"),
  (dict(PRETRAIN, pretext=dict(target='codes')), "unknown run.pretext.target 'codes'; there is: ema_latent, features"),
  (dict(PRETRAIN, pretext=dict(layout='mae'), mask=dict(kind='band')), "run.pretext.layout 'mae' shows whole steps"),
  (dict(PRETRAIN, pretext=dict(ema=1.0)), 'run.pretext.ema is 1.0; expected from 0 to below 1'),
  (dict(PRETRAIN, pretext=dict(target='ema_latent', group_weights=True)), 'run.pretext.group_weights weighs features'),
  (dict(PRETRAIN, pretext=dict(layout='mae'), mask=dict(replace='zero')), "run.mask.replace 'zero' with"),
  (dict(select='loss', select_mode='max'), "run.select 'loss' with run.select_mode 'max'; set it to min"),
  (dict(select='acc4.intensity'), "run.select 'acc4.intensity' with run.select_mode 'min'; set it to max"),
  (dict(PRETRAIN, data=dict(unassigned=True, split='all')), "run.data.unassigned is for run.data.split 'official'"),
  (dict(stage='reference', reference='mean'), "unknown run.reference 'mean'; there is: majority, median, zero"),
  (dict(stage='reference', reference='majority'), "run.reference 'majority' with run.target.kind 'intensity'"),
  (dict(CLASSES, stage='reference', reference='zero'), "run.reference 'zero' with run.target.kind 'class'"),
]  # fmt: skip


@pytest.mark.parametrize(('change', 'said'), REFUSED, ids=lambda v: str(v)[:60])
def test_what_cannot_be_is_refused_in_one_line(made, change, said):
  assert said in refused(system.build, small.config(change), None)


@pytest.mark.parametrize(('change', 'said'), [
  (dict(corpora=('cmu_moseis',)), "'cmu_moseis'"),
  (dict(data=dict(modality='text')), "unknown modality of cmu_mosei in run.data.modality 'text'; there is: audio"),
  (dict(data=dict(frames=0)), 'run.data.frames 0, pool 1'), (dict(data=dict(pool=0)), 'pool 0; expected whole numbers'),
  (dict(data=dict(keep='middle')), "unknown run.data.keep 'middle'; there is: first, last"),
  (dict(data=dict(pad='both')), "unknown run.data.pad 'both'; there is: left, right"),
  (dict(data=dict(standard='speaker')), "unknown run.data.standard 'speaker'; there is: corpus, group"),
  (dict(data=dict(frames=4)), 'examples have more than the 4 frames that run.data.frames and pool leave'),
  (dict(batch_size=0), 'run.batch_size 0, eval_batch_size 32; expected 1 or more'),
  (dict(stage='reference', reference='zero', eval_batch_size=0), 'eval_batch_size 0; expected 1 or more'),
  (dict(twins=dict(cmu_mosei=dict(seed=0, louder=1))), 'louder'),
], ids=lambda v: str(v)[:60])  # fmt: skip
def test_a_corpus_that_cannot_be_read_so_is_refused_in_one_line(change, said):
  few = dict(twins=dict(cmu_mosei=dict(seed=0, scale=0.01)))
  assert said in refused(system.build, small.config(few, change), None)


def test_weights_of_groups_need_groups():
  run = small.config(PRETRAIN, dict(pretext=dict(group_weights=True)))
  assert 'run.pretext.group_weights with 0 groups' in refused(experiment.pretraining, run, 10, {})
  assert experiment.pretraining(small.config(PRETRAIN), 10, {}).masking.groups == ((0, 10),)


def test_sides_without_examples_or_labels_are_refused(monkeypatch):
  official, label = small.sequences().columns['official'], small.sequences().columns['intensity']
  for column, value, said in (
    ('official', np.where(official == 2, -1, official), "run.data.split 'official' leaves no test example (fold all)"),
    ('intensity', np.where((official == 1)[:, None], np.nan, label), 'no dev example has a label'),
  ):
    changed = small.sequences()
    changed.columns[column] = value
    monkeypatch.setattr(sequences_lib, 'load', lambda *_, v=changed: v)
    assert f'made: {said}; look at it with affectjax.doctor' in refused(system.build, small.config(), None)


# Sides


def sides_of(config) -> dict[str, np.ndarray]:
  return experiment.prepared(config, None)[1]


@pytest.mark.parametrize('parts', [[], [FOLDS]], ids=['official', 'folds'])
def test_no_group_lies_on_two_sides(made, parts):
  sides = sides_of(small.config(*parts, fold='1'))
  groups = [set(made.group[rows]) for rows in sides.values()]
  assert sum(map(len, groups)) == len(set.union(*groups)) == 24 and sum(map(len, sides.values())) == 96


def test_a_leak_is_refused(made):
  made.group[made.columns['official'] == 2] = made.group[0]
  assert 'in both train and test' in refused(sides_of, small.config())


def test_pretraining_on_a_whole_corpus_holds_out_a_tenth_to_select_by(made):
  sides = sides_of(small.config(PRETRAIN, dict(data=dict(split='all'))))
  np.testing.assert_array_equal(sides['dev'], sides['test'])
  assert not set(made.group[sides['train']]) & set(made.group[sides['dev']])
  assert len(sides['train']) + len(sides['dev']) == 96 and 8 <= len(sides['dev']) <= 12


def test_what_no_side_has_may_be_pretrained_on(made):
  free = {v for v in made.item if v.endswith('3')}
  made.columns['official'][np.isin(made.item, list(free))] = -1
  plain, more = (small.config(PRETRAIN, dict(data=dict(unassigned=u))) for u in (False, True))
  known = sides_of(plain)
  same(sequences_lib.pool(made, known, plain), known['train'])
  found = sequences_lib.pool(made, known, more)
  same(found, np.sort(np.concatenate([known['train'], np.flatnonzero(made.columns['official'] == -1)])))
  seen = {str(i) for b in range(12) for i in next(system.build(more, None).batches('train', b))['id']}
  assert seen & {str(i) for i in made.id[made.columns['official'] == -1]}
  same(rows_of(made, 0, 0, dict(data=dict(unassigned=True)))['train'], known['train'])
  test = np.flatnonzero(made.columns['official'] == 2)[0]
  made.group[np.flatnonzero(made.columns['official'] == -1)[0]] = made.group[test]
  assert 'in both unassigned and test' in refused(sequences_lib.pool, made, known, more)
  folds = small.config(PRETRAIN, FOLDS, dict(data=dict(unassigned=True)), fold='1')
  assert "run.data.unassigned is for run.data.split 'official'" in refused(
    sequences_lib.pool, made, sides_of(folds), folds
  )


# Budgets


def rows_of(made, limit: int, seed: int = 0, *parts) -> dict[str, np.ndarray]:
  config = small.config(dict(data=dict(limit=limit)), *parts, seed=seed)
  label, _ = views.labels(made, config)
  return experiment.limited(made, sides_of(config), label, config)


def test_budgets_are_nested_and_by_video(made):
  before = np.array([], int)
  for budget in (1, 3, 4, 10, 30, 47, 48, 500, 0):
    rows = rows_of(made, budget)['train']
    assert len(rows) == (min(budget, 48) if budget else 48) and set(before) <= set(rows)
    counts = np.unique(made.item[rows], return_counts=True)[1]
    assert (counts < 4).sum() <= 1, 'whole videos but for the last'
    assert (made.columns['official'][rows] == 0).all()
    before = rows
  assert any(differ(rows_of(made, 10, s)['train'], rows_of(made, 10)['train']) for s in (1, 2))


def test_budgets_are_the_same_for_everybody(made):
  kinds = (SSL, dict(tune=dict(encoder_lr=(1e-2,), loss='coral')), dict(model=dict(kind='bigru')), dict(steps=9))
  plain = rows_of(made, 10, 3)
  for kind in kinds:
    same(plain, rows_of(made, 10, 3, kind))
  same(rows_of(made, 10, 3)['dev'], rows_of(made, 0, 3)['dev'])
  reference, few = dict(stage='reference', reference='median'), dict(data=dict(limit=10))
  first = lambda kind: next(iter(system.build(small.config(few, kind, seed=3), None).batches('train', 0)))
  seen = [set(first(kind)['id']) for kind in (SSL, {})]
  assert seen[0] == seen[1] == set(made.id[plain['train']])
  same(plain, rows_of(made, 10, 3, reference))


def test_dev_may_be_of_the_budget_too(made):
  dev = dict(data=dict(limit_dev=True))
  for n in (1, 4, 16, 40):
    found = rows_of(made, n, 0, dev)
    assert len(found['dev']) == max(1, n // 4) and set(found['dev']) <= set(rows_of(made, n)['dev'])
  same(rows_of(made, 0, 0, dev), rows_of(made, 0))


def test_what_has_no_label_is_for_pretraining_only(made):
  made.columns['intensity'][::3] = np.nan
  made.columns['intensity'][1, 2:] = np.nan  # labelled in part
  found = rows_of(made, 0)
  everything = np.concatenate(list(found.values()))
  assert 1 in everything and not set(everything) & set(range(0, 96, 3))
  pretrain = system.build(small.config(PRETRAIN), None)
  seen = {i for _ in range(9) for i in next(iter(pretrain.batches('train', _)))['id']}
  assert seen & set(made.id[::3])
  assert not {'label', 'median', 'intensity'} & set(next(iter(pretrain.batches('train', 0))))


def test_features_are_scaled_by_the_whole_training_side_whatever_the_budget(made, monkeypatch):
  monkeypatch.setattr(training, 'initialise', lambda *_: {'head_out': np.zeros((2, 1), np.float32)})
  x, real = sequences_lib.stream(made).dense()
  x[:, :, 6] = 3.0
  pool = np.flatnonzero(made.columns['official'] == 0)
  frames = x[pool][real[pool]].astype(np.float64)
  for parts in ([PRETRAIN], [], [dict(data=dict(limit=4))]):
    built = system.build(small.config(*parts), None)
    found = built.init(jax.random.key(0), next(iter(built.batches('train', 0)))).extra['input']
    np.testing.assert_allclose(found['mean'], frames.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.where(found['on'], found['scale'], 0), frames.std(0), atol=1e-5)
    assert found['on'].tolist() == [i != 6 for i in range(10)]
  batch = {'x': x[:4] * 100, 'real': real[:4], 'mask': np.array([1, 1, 1, 0], np.float32)}
  x, real = training.inputs({'input': found}, batch)
  assert np.abs(x).max() == 5 and not np.any(x[..., 6]) and not np.any(x[3]) and not np.any(real[3])


# References and views


def whole(change, *parts):
  """Predictions of a reference on test after `finish`, and its metrics by name."""
  built = system.build(small.config(dict(stage='reference', **change), *parts), None)
  real = lambda b: {k: v[b['mask'] > 0] for k, v in b.items()}
  pieces = {side: [real(b) for b in built.batches(side, 0)] for side in ('dev', 'test')}
  outputs = {side: {k: np.concatenate([b[k] for b in p]) for k in p[0]} for side, p in pieces.items()}
  found = built.finish({side: passed_on(None, out) for side, out in outputs.items()})
  assert built.steps == 0 and built.step is None
  return found['test'], functools.partial(metrics.compute, predictions=found['test'])


def test_zero_and_median_by_hand(made):
  label, official = made.columns['intensity'].astype(np.float64), made.columns['official']
  truth, median = label[official == 2], np.median(label[official == 0], 0)
  for name, constant in (('zero', np.zeros(6)), ('median', median)):
    found, scores = whole(dict(reference=name))
    np.testing.assert_allclose(found['intensity_hat'], np.tile(constant, (24, 1)), rtol=1e-6)
    assert scores('mae.pooled.intensity') == pytest.approx(np.abs(truth - constant).mean(), rel=1e-5)
    level = lambda v: np.floor(v + 0.5)
    assert scores('acc4.intensity') == pytest.approx((level(truth) == level(constant.astype(np.float32))).mean())
    skill = 1 - np.abs(truth - constant).mean() / np.abs(truth - median).mean()
    assert scores('skill.intensity') == pytest.approx(skill, abs=1e-5)
  few, _ = whole(dict(reference='median'), dict(data=dict(limit=5)))
  rows = rows_of(made, 5)['train']
  np.testing.assert_allclose(few['happy_hat'], np.full(24, np.median(label[rows, 0])), rtol=1e-6)
  np.testing.assert_allclose(few['fear_median'], median[5], err_msg='skill is against one median, whatever the budget')


def test_majority_by_hand(made):
  chosen = np.bincount(made.columns['emotion'][made.columns['official'] == 0]).argmax()
  found, scores = whole(dict(CLASSES, reference='majority'))
  assert set(found['emotion_hat'].tolist()) == {int(chosen)} and scores('uar.emotion') == pytest.approx(1 / 6)
  assert scores('acc.emotion') == pytest.approx(
    (made.columns['emotion'][made.columns['official'] == 2] == chosen).mean()
  )


def test_classes_may_be_some_of_the_corpus_own(made):
  made.columns['emotion'][:5] = -1
  names = ('fear', 'happy')
  label, found = views.labels(made, small.config(CLASSES, dict(target=dict(names=names))))
  assert found == names
  np.testing.assert_array_equal(
    label, np.select([made.columns['emotion'] == 5, made.columns['emotion'] == 0], [0, 1], -1)
  )
  label, _ = views.labels(made, small.config(dict(target=dict(names=names))))
  np.testing.assert_array_equal(label, made.columns['intensity'][:, [5, 0]])


def test_the_rate_with_the_lowest_dev_loss_is_chosen_for_both_sides():
  rng = np.random.default_rng(0)
  label = {side: rng.uniform(0, 3, (n, 2)).astype(np.float32) for side, n in (('dev', 30), ('test', 20))}
  label['dev'][4, 1] = np.nan
  noise = {'dev': (0.5, 0.1, 0.3), 'test': (0.1, 0.5, 0.3)}
  out = {side: {'output': np.stack([label[side] + s for s in noise[side]], 1), 'label': label[side],
                'median': np.zeros_like(label[side])} for side in label}  # fmt: skip
  out['dev']['output'] = np.nan_to_num(out['dev']['output'])
  np.testing.assert_allclose(views.losses(out['dev']), noise['dev'], rtol=1e-5)
  by = views.Select('loss', False)
  found = views.finish(('happy', 'sad'), by, out)
  for side in label:
    np.testing.assert_array_equal(found[side]['intensity_hat'], out[side]['output'][:, 1])
    np.testing.assert_array_equal(found[side]['sad_hat'], out[side]['output'][:, 1, 1])
  rates = (1e-2, 1e-3, 1e-4)
  dev, test = (views.score(('happy', 'sad'), rates, by, found[side]) for side in ('dev', 'test'))
  assert dev['loss'] == pytest.approx(0.1) and test['loss'] == pytest.approx(0.5)
  assert [dev[f'search.lr_{r:g}'] for r in rates] == pytest.approx(noise['dev'])
  assert not any(k.startswith('search') for k in test)
  assert metrics.compute('mae.pooled.intensity', found['test']) == pytest.approx(0.5)
  during = views.score(('happy', 'sad'), rates, by, out['dev'])
  assert set(during) == {'loss', *(f'search.lr_{r:g}' for r in rates)} and during['loss'] == pytest.approx(0.1)


def test_classes_are_selected_by_cross_entropy():
  label = np.array([0, 2, -1, 1])
  shares = np.random.default_rng(0).dirichlet(np.ones(3), (4, 2))
  wanted = [-np.mean([np.log(shares[i, s, label[i]]) for i in (0, 1, 3)]) for s in range(2)]
  np.testing.assert_allclose(views.losses({'output': shares, 'label': label}), wanted, rtol=1e-6)


def test_classes_may_be_selected_by_recall_instead():
  label = np.array([0, 0, 0, 1])
  right = np.where(label[:, None] == [0, 1], 0.6, 0.4)  # barely; the other rate is surer, and misses a class
  sure = np.array([[0.99, 0.01]] * 3 + [[0.51, 0.49]])
  shares = np.stack([right, sure], 1)
  out = {'output': shares, 'label': label}
  assert views.losses(out).argmin() == 1
  select = views.Select('uar.emotion', True)
  np.testing.assert_allclose(views.worth(('a', 'b'), 'uar.emotion', out), [1, 0.5])
  found = views.finish(('a', 'b'), select, {'dev': out, 'test': out})
  np.testing.assert_array_equal(found['test']['emotion_hat'], label)
  during = views.score(('a', 'b'), (1e-3, 1e-4), select, out)
  assert during['uar.emotion'] == 1 and (during['search.lr_0.001'], during['search.lr_0.0001']) == (1, 0.5)
  assert views.score(('a', 'b'), (1e-3, 1e-4), select, found['dev'])['uar.emotion'] == 1


def test_what_selects_is_a_score_of_the_cell():
  classes = dict(select='uar.emotion', select_mode='max')
  assert views.selection(small.config(CLASSES, classes)) == ('uar.emotion', True)
  assert views.selection(small.config(dict(select='mae.pooled.intensity'))) == ('mae.pooled.intensity', False)
  assert not views.selection(small.config(CLASSES, dict(classes, select='last'))).most
  assert "unknown score in run.select 'uar.emotion'" in small.refused(views.selection, small.config(classes))


# The experiment file


@pytest.mark.parametrize('table', small.experiment()['tables'])
def test_every_table_resolves_and_its_claims_name_rows(table):
  config, found = small.experiment(table), {}
  for data_dir in (None, '/nowhere'):
    resolved = cells.Table(config, 'masked_ssl.py', data_dir)
    found[data_dir] = {row: resolved.row(row) for row in config['order']}
  runs = found[None]
  assert set(config['order']) == set(config['rows'])
  assert {*config['baselines'], *config['baselines'].values()} <= set(runs)
  for claim in config['claims']:
    claims.check(claim)
    for pair in claim['compare']:
      assert {pair['row'], pair['against']} <= set(runs), claim['id']
  assert {p['metric'] for p in config['published']} <= set(config['metrics']), 'or it would not be shown'
  assert all(p['value'] is None for p in config['published']), 'none is known'
  for run in (*runs.values(), *found['/nowhere'].values()):
    run = {**run, 'fold': '0', 'seed': 0}
    if run['stage'] == 'pretrain':
      meta = {'column_groups': small.GROUPS} if run['corpora'] == ('cmu_mosei',) else {}
      assert experiment.pretraining(run, small.WIDTH, meta).masking.ratio == run['mask']['ratio']
    elif run['stage'] == 'finetune':
      assert experiment.finetuning(run, 6).frozen == run['tune']['frozen']
      assert bool(run['warm_start']) == bool(run['warm_modules'])
  for runs in found.values():
    for run in runs.values():
      if run['warm_start']:
        source = runs[run['warm_start']]
        assert source['model'] == run['model']
        read = lambda r: [r['data'][k] for k in ('modality', 'frames', 'pool', 'standard', 'keep', 'pad')]
        assert read(source) == read(run), 'features as they were in pretraining'
  for name, run in found['/nowhere'].items():  # ssl differs from supervised in where it starts alone
    if name.startswith('ssl'):
      other = found['/nowhere'][config['baselines'][name]]
      assert {k for k in run if run[k] != other[k]} == {'warm_start', 'warm_modules'}, name
