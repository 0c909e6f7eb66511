"""Few-shot labelling: baselines and the network's differences by hand, and no label that was not given is ever used."""

import functools

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine import parallel, train
from affectjax.examples.examples import Examples
from affectjax.systems.mtclar import labelling, siamese
from affectjax.systems.mtclar.frames import Frames
from tests.helpers import small

WIDTH = 4
RULES = {
  'every_k': dict(k=4, anchors='past'), 'video_first_k': dict(k=2, anchors='past'),
  'video_rand_k': dict(k=2, anchors='all'), 'actor_first_k': dict(k=2, anchors='random'),
  'actor_rand_k': dict(k=2, anchors='all'), 'other_actor': dict(k=1, anchors='random'),
  'other_video': dict(k=1, anchors='all'), 'any_frame': dict(k=1, anchors='random'),
  'train_bins': dict(k=3, anchors='all'),
}  # fmt: skip


def frames_of(lengths, labels=None, present=None, seed=0) -> Frames:
  """Videos of these lengths; every two are of one actor."""
  rng = np.random.default_rng(seed)
  video = np.repeat(np.arange(len(lengths)), lengths)
  n = len(video)
  x = rng.normal(size=(n, WIDTH)).astype(np.float32)
  labels = rng.uniform(-0.9, 0.9, (n, 2)) if labels is None else labels
  name = np.char.add('v', np.char.zfill(video.astype(str), 2))
  ids = np.char.add(np.char.add(name, '/'), np.char.zfill(np.arange(n).astype(str), 4))
  present = np.ones(n, bool) if present is None else present
  actor = np.char.add('actor', (video // 2).astype(str))
  emotion = np.full(n, -1, np.int32)
  rows = Examples('made', ids, actor, name, np.full(n, 'all'), {}, {}, {'emotion': emotion}, {})
  return Frames(x, present, labels.astype(np.float32), emotion, rows)


def thirds(frames: Frames | Examples) -> dict[str, np.ndarray]:
  """The first third of the videos is train, then dev, then test."""
  video = np.unique(frames.item, return_inverse=True)[1]
  part = video * 3 // (video.max() + 1)
  return {name: np.flatnonzero(part == i) for i, name in enumerate(('train', 'dev', 'test'))}


@pytest.fixture
def label(monkeypatch):
  """(frames, seed=0, **label options) -> predictions of dev and test, network weights as drawn from key 3."""
  monkeypatch.setattr(labelling.splits, 'split', lambda examples, config: thirds(examples))

  def run(frames, split='test', seed=0, **options):
    monkeypatch.setattr(labelling.frames_lib, 'load', lambda *_: frames)
    config = small.config('mtclar', seed=seed, label=options)
    experiment = labelling.build(config, None)
    state = experiment.init(jax.random.key(seed), next(iter(experiment.batches(split, seed))))
    if state.params:
      trained, _ = network(siamese.module(config))
      state = state.replace(params=trained['params'], extra={**state.extra, 'batch_stats': trained['batch_stats']})
    out = train.predict(experiment, parallel.replicate(state), split, seed)
    return {**out, 'hat': np.stack([out['valence_hat'], out['arousal_hat']], 1)}

  run.difference = lambda a, b: difference(small.config('mtclar'), a, b)
  run.similarity = lambda a, b: difference(small.config('mtclar'), a, b, cosine=True)
  return run


@functools.lru_cache(maxsize=2)
def network(net):
  """A network's variables as drawn from key 3, and what applies them."""
  x = np.zeros((2, WIDTH), np.float32)
  return jax.jit(net.init)(jax.random.key(3), x, x), jax.jit(net.apply)


def difference(config, first, second, cosine=False) -> np.ndarray:
  """The network's own differences [N, 2] of rows of features, or the cosines [N]."""
  trained, apply = network(siamese.module(config))
  z1, z2, _, delta = apply(trained, first, second)
  z1, z2, delta = (np.asarray(v, np.float64) for v in (z1, z2, delta))
  return (z1 * z2).sum(1) / np.linalg.norm(z1, axis=1) / np.linalg.norm(z2, axis=1) if cosine else delta


def past(frames: Frames, rows: np.ndarray, k: int) -> np.ndarray:
  """The row of frame k * floor(t / k) of the same video."""
  starts = {v: rows[frames.item[rows] == v][0] for v in np.unique(frames.item[rows])}
  first = np.array([starts[v] for v in frames.item[rows]])
  return first + (rows - first) // k * k


STEPS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, -0.6, -0.4, -0.8])
SHORT = np.tile(np.stack([STEPS, -STEPS], 1), (3, 1))  # videos of 5 and 3 frames, alike in every split


@pytest.mark.parametrize(
  ('method', 'wanted'),
  [
    ('carry_forward', [0.1, 0.1, 0.3, 0.3, 0.5, -0.6, -0.6, -0.8]),
    ('interpolation', [0.1, 0.2, 0.3, 0.4, 0.5, -0.6, -0.7, -0.8]),
    ('support_mean', [0.3, 0.3, 0.3, 0.3, 0.3, -0.7, -0.7, -0.7]),
  ],
)
def test_baselines_by_hand(label, method, wanted):
  frames = frames_of([5, 3] * 3, SHORT)
  out = label(frames, method=method, rule='every_k', k=2)
  np.testing.assert_allclose(out['valence_hat'], wanted, atol=1e-6)
  np.testing.assert_allclose(out['arousal_hat'], -np.array(wanted), atol=1e-6)
  assert out['support'].tolist() == [True, False, True, False, True, True, False, True]
  np.testing.assert_array_equal(out['id'], frames.id[thirds(frames)['test']])


def test_interpolation_carries_past_the_last_support(label):
  labels = np.tile(np.linspace(-0.8, 0.8, 8)[:, None], (3, 2))
  out = label(frames_of([4, 4] * 3, labels), method='interpolation', rule='every_k', k=3)
  a = labels[:8, 0]
  third = lambda i: [a[i], a[i] + (a[i + 3] - a[i]) / 3, a[i] + 2 * (a[i + 3] - a[i]) / 3, a[i + 3]]
  np.testing.assert_allclose(out['valence_hat'], third(0) + third(4), atol=1e-6)
  out = label(frames_of([4, 4] * 3, labels), method='interpolation', rule='every_k', k=2)
  np.testing.assert_allclose(out['valence_hat'][:4], [a[0], a[1], a[2], a[2]], atol=1e-6)


def test_queries_leave_the_supports_out(label):
  out = label(frames_of([9, 8] * 3), method='carry_forward', rule='every_k', k=4)
  rest = ~out['support']
  wanted = metrics.ccc(out['valence'][rest], out['valence_hat'][rest])
  assert metrics.compute('ccc.pooled.valence.queries', out) == pytest.approx(wanted)
  assert metrics.rmse(out['valence'][~rest], out['valence_hat'][~rest]) < 1e-6


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('method', labelling.METHODS)
def test_no_label_but_the_supports_is_used(label, method, rule):
  frames = frames_of([9, 6, 7, 8, 5, 6, 9, 7, 6, 7, 8, 9])
  options = dict(method=method, rule=rule, **RULES[rule])
  before = label(frames, **options)
  test = thirds(frames)['test']
  labels = frames.labels.copy()
  hidden = test[~before['support']]
  labels[hidden] = np.random.default_rng(1).uniform(-0.9, 0.9, (len(hidden), 2))
  other = frames_of([9, 6, 7, 8, 5, 6, 9, 7, 6, 7, 8, 9], labels)
  after = label(other, **options)
  assert len(hidden) and not np.array_equal(after['valence'], before['valence'])
  np.testing.assert_array_equal(after['hat'], before['hat'])
  labels[test[before['support']]] *= -0.5
  if before['support'].any():
    changed = label(frames_of([9, 6, 7, 8, 5, 6, 9, 7, 6, 7, 8, 9], labels), **options)
    assert not np.array_equal(changed['hat'], before['hat']), 'and the supports are'


@pytest.mark.parametrize(('rule', 'owner'), [('other_actor', 'group'), ('other_video', 'item')])
@pytest.mark.parametrize('method', labelling.METHODS)
def test_rules_of_somebody_elses_supports_use_none_of_ones_own(label, method, rule, owner):
  lengths = [6, 5, 6, 5, 7, 6, 5, 6, 6, 5, 7, 6]
  frames = frames_of(lengths)
  options = dict(method=method, rule=rule, k=1, anchors='all')
  before = label(frames, **options)
  mine = getattr(frames, owner) == getattr(frames, owner)[thirds(frames)['test'][0]]
  labels = frames.labels.copy()
  labels[mine] *= -0.7
  after = label(frames_of(lengths, labels), **options)
  here = mine[thirds(frames)['test']]
  np.testing.assert_array_equal(after['hat'][here], before['hat'][here])
  assert not np.array_equal(after['hat'][~here], before['hat'][~here])


def test_ridge_finds_a_linear_law_and_is_clipped(label):
  frames = frames_of([40, 40] * 3)
  law = frames.x @ np.array([[0.2, -0.1], [0.1, 0.3], [0.0, 0.2], [-0.2, 0.0]]) + [0.1, -0.1]
  frames.labels[:] = np.clip(law, -1, 1)
  out = label(frames, method='ridge', rule='every_k', k=2)
  assert np.abs(out['hat'] - frames.labels[thirds(frames)['test']]).max() < 0.1
  frames.labels[:] = 3 * law
  assert np.abs(label(frames, method='ridge', rule='every_k', k=2)['hat']).max() <= 1.0


def test_the_network_adds_its_difference_to_the_anchor(label):
  frames = frames_of([9, 8] * 3)
  test = thirds(frames)['test']
  anchor = past(frames, test, 4)
  delta = label.difference(frames.x[test], frames.x[anchor])
  assert np.abs(delta).mean() > 0.05
  out = label(frames, rule='every_k', k=4)
  np.testing.assert_allclose(out['hat'], np.clip(frames.labels[anchor] + delta, -1, 1), atol=1e-5)
  assert not np.allclose(out['hat'][out['support']], frames.labels[anchor][out['support']]), 'a support is no exception'


def test_estimates_stay_within_the_scale(label):
  frames = frames_of([9, 8] * 3)
  frames.labels[:] = np.sign(frames.labels)
  out = label(frames, rule='every_k', k=4)
  assert np.abs(out['hat']).max() == 1.0


def test_inference_options_by_hand(label):
  frames = frames_of([9, 8] * 3)
  test = thirds(frames)['test']
  anchor = past(frames, test, 4)
  x, xa, base = frames.x[test], frames.x[anchor], frames.labels[anchor]
  d = label.difference
  wanted = {
    'antisymmetric': base + (d(x, xa) - d(xa, x)) / 2,
    'zeroed': base + d(x, xa) - d(xa, xa),
  }
  for option, estimate in wanted.items():
    out = label(frames, rule='every_k', k=4, **{option: True})
    np.testing.assert_allclose(out['hat'], np.clip(estimate, -1, 1), atol=1e-5)
    support = out['support']
    np.testing.assert_allclose(out['hat'][support], base[support], atol=1e-5)  # no frame differs from itself
  with pytest.raises(UserError, match='antisymmetric.*zeroed.*one of them'):
    label(frames, rule='every_k', k=4, antisymmetric=True, zeroed=True)


def test_two_sided_anchors_are_blended_by_time(label):
  frames = frames_of([9, 9] * 3)
  test = thirds(frames)['test']
  left = past(frames, test, 4)
  right = np.where((test - left > 0), left + 4, left)
  share = (test - left)[:, None] / 4
  both = [frames.labels[a] + label.difference(frames.x[test], frames.x[a]) for a in (left, right)]
  out = label(frames, rule='every_k', k=4, anchors='two_sided')
  np.testing.assert_allclose(out['hat'], np.clip((1 - share) * both[0] + share * both[1], -1, 1), atol=1e-5)


def test_similarity_weights_by_hand(label):
  frames = frames_of([8, 8] * 3)
  test = thirds(frames)['test']
  first = np.where(test < test[8], test[0], test[8])
  anchors = [first, first + 4]
  cosine = np.stack([label.similarity(frames.x[test], frames.x[a]) for a in anchors])
  weight = np.exp(cosine / 0.1) / np.exp(cosine / 0.1).sum(0)
  each = [frames.labels[a] + label.difference(frames.x[test], frames.x[a]) for a in anchors]
  out = label(frames, rule='every_k', k=4, anchors='all', temperature=0.1)
  blended = sum(w[:, None] * e for w, e in zip(weight, each, strict=True))
  np.testing.assert_allclose(out['hat'], np.clip(blended, -1, 1), atol=1e-4)


@pytest.mark.parametrize('lengths', [[10, 10] * 3, [9, 8] * 3, [3, 3] * 3])
def test_blocks_share_their_mean_difference(label, lengths):
  """Blocks of five run through the whole split, as the released routine's batches do; the last may be shorter."""
  frames = frames_of(lengths)
  test = thirds(frames)['test']
  anchor = past(frames, test, 4)
  delta = label.difference(frames.x[test], frames.x[anchor])
  blocks = [delta[i : i + 5].mean(0, keepdims=True).repeat(len(delta[i : i + 5]), 0) for i in range(0, len(delta), 5)]
  out = label(frames, rule='every_k', k=4, smooth_block=5)
  np.testing.assert_allclose(out['hat'], np.clip(frames.labels[anchor] + np.concatenate(blocks), -1, 1), atol=1e-5)
  plain, one = label(frames, rule='every_k', k=4), label(frames, rule='every_k', k=4, smooth_block=1)
  np.testing.assert_array_equal(one['hat'], plain['hat'])


@pytest.mark.parametrize('method', ['mtclar', 'ridge'])
def test_a_frame_without_a_face_carries_the_label(label, method):
  frames = frames_of([9, 8] * 3)
  test = thirds(frames)['test']
  lost = np.array([1, 2, 4, 12])  # of test; frame 4 is a support: those compared with it carry its label too
  frames.present[test[lost]] = False
  frames.x[test[lost]] = 0.0
  out = label(frames, method=method, rule='every_k', k=4)
  carried = frames.labels[past(frames, test, 4)]
  np.testing.assert_allclose(out['hat'][lost], carried[lost], atol=1e-6)
  if method == 'mtclar':
    np.testing.assert_allclose(out['hat'][[5, 6, 7]], carried[[5, 6, 7]], atol=1e-6)
  assert not np.allclose(out['hat'][[3, 10]], carried[[3, 10]])


@pytest.mark.parametrize('options', [dict(smooth_block=5), dict(anchors='all', temperature=0.1)], ids=str)
def test_a_frame_without_a_face_neither_gets_nor_gives_a_difference(label, options):
  """What its features are does not matter, to it or to the others of its block."""
  frames = frames_of([9, 8] * 3)
  test, lost = thirds(frames)['test'], np.array([1, 2, 12])
  frames.present[test[lost]] = False
  outs = []
  for value in (0.0, 3.0):
    frames.x[test[lost]] = value
    outs.append(label(frames, rule='every_k', k=4, **options)['hat'])
  np.testing.assert_array_equal(*outs)
  if 'smooth_block' in options:
    np.testing.assert_allclose(outs[0][lost], frames.labels[past(frames, test, 4)][lost], atol=1e-6)
    delta = label.difference(frames.x[test], frames.x[past(frames, test, 4)])
    block = np.clip(frames.labels[past(frames, test, 4)[3]] + delta[[0, 3, 4]].mean(0), -1, 1)
    np.testing.assert_allclose(outs[0][3], block, atol=1e-5)


def test_supports_are_drawn_by_the_seed_and_apart_for_dev_and_test(label):
  frames = frames_of([20, 20] * 3)
  options = dict(method='carry_forward', rule='video_rand_k', k=3)
  first, again, other = (label(frames, seed=s, **options)['support'] for s in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)
  assert not np.array_equal(first, label(frames, split='dev', **options)['support'])


def test_unlabelled_frames_are_neither_supports_nor_scored(label):
  frames = frames_of([9, 8] * 3)
  test = thirds(frames)['test']
  frames.labels[test[[0, 3]], 0] = np.nan
  out = label(frames, method='carry_forward', rule='every_k', k=4)
  np.testing.assert_array_equal(out['id'], frames.id[np.delete(test, [0, 3])])
  assert out['support'].tolist()[:7] == [True, False, False, False, True, False, False]  # counted without the gaps


def test_the_network_needs_a_trained_row(label):
  config = small.config('mtclar', warm_start='')
  with pytest.raises(UserError, match='name a Siamese row in run.warm_start'):
    labelling._init(config, True, jax.random.key(0), {'x': np.zeros((2, WIDTH))})
  with pytest.raises(UserError, match="unknown labelling method 'magic'; there is: carry_forward"):
    label(frames_of([3] * 6), method='magic')
