"""Synthetic twins: the corpora's geometry, a known truth behind every knob, and the effect that is to be found."""

import inspect

import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.data.store import opening
from affectjax.data.twins import _faces, afew_va, affectnet
from affectjax.engine import train
from affectjax.examples.linear import fit
from tests.helpers import small
from tests.helpers.shared import scores

SMALL = {'affectnet': dict(train=2000, val=400), 'afew_va': dict(clips=40)}
KNOBS = [
  ('affectnet', dict(seed=1)), ('affectnet', dict(train=2400)), ('affectnet', dict(val=480)),
  ('affectnet', dict(signal=0.5)), ('affectnet', dict(identity=0.5)), ('affectnet', dict(noise=0.1)),
  ('affectnet', dict(spread=0.2)), ('affectnet', dict(bias=0.1)),
  ('afew_va', dict(seed=1)), ('afew_va', dict(clips=50)), ('afew_va', dict(speed=0.1)), ('afew_va', dict(signal=0.5)),
  ('afew_va', dict(identity=0.5)), ('afew_va', dict(noise=0.1)), ('afew_va', dict(shift=0.5)),
  ('afew_va', dict(missing=0.1)), ('afew_va', dict(bias=0.1)), ('afew_va', dict(error=0.3)),
]  # fmt: skip


def columns(name, split=None, **knobs):
  corpus = opening.open_corpus(name, **{**SMALL[name], **knobs})
  return corpus.columns(split or next(iter(corpus.counts)))


def values(column):
  return getattr(column, 'values', column)


def ridge_ccc(name, hidden=0, **knobs) -> np.ndarray:
  """CCC of valence and arousal by a ridge on the first half of the examples, scored on the other."""
  examples = columns(name, **knobs)
  x = values(examples['visual'])
  y = np.stack([values(examples[k]) for k in ('valence', 'arousal')], 1)
  half = len(x) // 2
  yhat = fit(x, np.arange(half), y[:half], [0.01])[0](x[half:])
  return np.array([metrics.ccc(y[half:, i], yhat[:, i]) for i in range(2)])


def test_afew_va_has_the_corpus_geometry():
  corpus = opening.open_corpus('afew_va')
  clips = corpus.columns('all')
  lengths = clips['valence'].lengths
  assert corpus.kind == 'synthetic' and corpus.counts == {'all': 600}
  assert lengths.sum() == 30051 and lengths.min() >= 10 and lengths.max() <= 145
  assert len(np.unique(clips['group'])) == 240 and len(np.unique(clips['item'])) == 600
  assert clips['visual'].values.shape == (30051, 256) and clips['visual'].values.dtype == np.float32
  assert clips['id'][0] == '001' and clips['id'][-1] == '600'
  share = sum(-(-n // 20) for n in lengths) / 30051
  assert share == pytest.approx(0.06, abs=0.005), 'every 20th frame is about 6 %'
  absent = ~clips['visual_mask'].values
  assert 0.005 < absent.mean() < 0.015
  np.testing.assert_array_equal(clips['visual'].values[absent], 0)
  steps = clips['valence'].values * 10
  np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
  assert np.abs(steps).max() <= 10
  np.testing.assert_array_equal(clips['frame'][7], np.arange(lengths[7]))


@pytest.mark.parametrize('clips', [5, 30, 33, 600])
def test_clips_keep_the_mean_length(clips):
  lengths = afew_va._lengths(np.random.default_rng(0), clips)
  assert lengths.sum() == round(30051 * clips / 600) and lengths.min() >= 10 and lengths.max() <= 145


def test_affectnet_has_the_corpus_class_shares():
  corpus = opening.open_corpus('affectnet')
  images = corpus.columns('train')
  counts = np.bincount(images['emotion'])
  assert sum(affectnet.TRAIN_COUNTS) == 287_651
  np.testing.assert_allclose(counts / counts.sum(), np.array(affectnet.TRAIN_COUNTS) / 287_651, atol=1e-4)
  assert len(images['id']) == corpus.counts['train'] and len(set(images['id'])) == len(images['id'])
  np.testing.assert_array_equal(np.bincount(corpus.columns('val')['emotion']), np.full(8, 500))
  assert np.array_equal(images['group'], images['id']), 'every face another person'


def test_expressions_lie_where_emonets_rules_want_them():
  images = columns('affectnet', train=8000, spread=0.05)
  v, a, e = (values(images[k]) for k in ('valence', 'arousal', 'emotion'))
  r = np.hypot(v, a)
  rules = {
    0: r < 0.2, 1: (v > 0) & (r > 0.2), 2: (v < 0) & (r > 0.2), 3: (a > 0) & (r > 0.2),
    4: (a >= 0) & (v <= 0) & (r > 0.2), 5: (v < 0) & (r > 0.3), 6: (a > 0) & (r > 0.2), 7: (v < 0) & (r > 0.2),
  }  # fmt: skip
  for emotion, kept in rules.items():
    assert kept[e == emotion].mean() > 0.99, _faces.EMOTIONS[emotion]


@pytest.mark.parametrize('name', SMALL)
def test_a_twin_is_the_same_every_time(name):
  first, second = columns(name), columns(name)
  for key, value in first.items():
    np.testing.assert_array_equal(values(value), values(second[key]))
  other = columns(name, seed=1)
  assert not np.array_equal(values(first['valence']), values(other['valence']))


@pytest.mark.parametrize(('name', 'change'), KNOBS, ids=lambda v: str(v))
def test_every_knob_changes_the_hash_and_the_data(name, change):
  plain = opening.open_corpus(name, **SMALL[name])
  changed = opening.open_corpus(name, **{**SMALL[name], **change})
  assert plain.sha256 == opening.open_corpus(name, **SMALL[name]).sha256 != changed.sha256
  assert changed.meta['knobs'] == {**plain.meta['knobs'], **change}
  split = next(iter(plain.counts)) if 'val' not in change else 'val'
  first, second = plain.columns(split), changed.columns(split)
  assert any(not np.array_equal(values(first[k]), values(second[k])) for k in first)


def test_the_hash_follows_the_generators_code_and_not_its_comments(monkeypatch):
  plain = opening.open_corpus('afew_va').sha256
  source = inspect.getsource
  change = lambda old, new: monkeypatch.setattr(inspect, 'getsource', lambda m: source(m).replace(old, new))
  change('"""Synthetic twin of', '"""A synthetic twin of')
  assert opening.open_corpus('afew_va').sha256 == plain
  change('rho = ', 'rho  =  ')
  assert opening.open_corpus('afew_va').sha256 == plain
  change('0.95', '0.96')
  assert opening.open_corpus('afew_va').sha256 != plain


def test_all_knobs_are_tried_above():
  for name in SMALL:
    known = set(opening.open_corpus(name).meta['knobs'])
    assert {k for n, change in KNOBS if n == name for k in change} == known
  with pytest.raises(UserError, match="unknown knob of the twin afew_va 'pace'; there is: .*speed"):
    opening.open_corpus('afew_va', pace=3)


@pytest.mark.parametrize('speed', [0.0, 0.01, 0.3, 3.0])
def test_walks_stay_on_the_scale_and_keep_their_speed(speed):
  rng = np.random.default_rng(0)
  path = np.concatenate([afew_va._walk(rng, 100, speed)[:, :, None] for _ in range(50)], 2)
  assert path.shape == (100, 2, 50) and np.abs(path).max() <= 1
  steps = np.diff(path, axis=0)
  if speed in (0.0, 0.01):
    assert steps.std() == pytest.approx(speed, rel=0.05)
  assert path[0].std() > 0.1, 'clips begin at different places'


@pytest.mark.parametrize('name', SMALL)
def test_signal_is_what_shows(name):
  assert ridge_ccc(name).mean() > 0.4
  assert ridge_ccc(name, signal=2.0, bias=0.0, noise=0.1).mean() > 0.7
  np.testing.assert_allclose(ridge_ccc(name, signal=0.0, **({'clips': 300} if name == 'afew_va' else {})), 0, atol=0.15)


def test_the_persons_bias_is_in_the_features_and_cancels_within_a_person():
  plain, biased = columns('afew_va', bias=0.0, error=0.0), columns('afew_va', bias=0.6, error=0.0)
  np.testing.assert_array_equal(plain['valence'].values, biased['valence'].values)
  assert ridge_ccc('afew_va', bias=0.6).mean() < ridge_ccc('afew_va', bias=0.0).mean() - 0.1


WIDER = dict(adapter=128, embedding=64, projector=(64, 32))


def labelled(tmp_path, method, speed, signal=1.0) -> float:
  """Mean CCC of valence and arousal over the frames of test that were not given."""
  knobs = dict(clips=60, speed=speed, signal=signal, shift=0.0, error=0.05)
  config = small.config(method, twins=dict(affectnet={}, afew_va=knobs), model=WIDER)
  start = tmp_path / 'siamese' if method == 'mtclar' else None
  folder = tmp_path / f'{method}-{speed}-{signal}'
  train.run(config, folder, None, start)
  return np.mean([*scores(folder, 'ccc.pooled.valence.queries', 'ccc.pooled.arousal.queries').values()])


@pytest.mark.slow
def test_differences_help_where_labels_move_and_only_there(tmp_path):
  """At every 20th frame: a fast walk is labelled better with the network than by carrying forward, a slow one not."""
  config = small.config(
    'siamese', steps=300, eval_every=0, log_every=100, batch_size=128,
    twins=dict(affectnet=dict(train=6000, val=80), afew_va={}), model=dict(dropout=0.1, **WIDER),
    augment=dict(noise=0.05, dropout=0.05), optim=dict(lr=2e-3, schedule='cosine'),
  )  # fmt: skip
  train.run(config, tmp_path / 'siamese')
  fast, slow, blind = (
    {m: labelled(tmp_path, m, speed, signal) for m in ('mtclar', 'carry_forward')}
    for speed, signal in ((0.3, 1.0), (0.01, 1.0), (0.3, 0.0))
  )
  print(f'\nfast {fast}, slow {slow}, no signal {blind}')
  assert fast['mtclar'] > fast['carry_forward'] + 0.2
  assert slow['carry_forward'] > 0.95 and slow['mtclar'] < slow['carry_forward']
  assert blind['mtclar'] < blind['carry_forward'] + 0.05, 'nothing shows, nothing helps'
