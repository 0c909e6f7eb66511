"""Supports and anchors on pools small enough to list, and the share of labelled frames on long ones."""

import types

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.systems.mtclar import supports

VIDEO = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])  # three videos of 5, 3 and 2 frames
ACTOR = np.array([0, 0, 0, 0, 0, 1, 1, 1, 0, 0])  # the third is of the first's actor
POOL = supports.Pool(np.arange(10) + 100, VIDEO, ACTOR, np.array([0, 1, 2, 3, 4, 0, 1, 2, 0, 1]))
BEYOND = ('actor_first_k', 'actor_rand_k', 'other_actor', 'other_video', 'any_frame')


def rng(seed=0):
  return np.random.default_rng(seed)


def pool_of(lengths) -> supports.Pool:
  video = np.repeat(np.arange(len(lengths)), lengths)
  time = np.concatenate([np.arange(n) for n in lengths])
  return supports.Pool(np.arange(len(video)), video, video // 2, time)


@pytest.mark.parametrize('k', [1, 5, 10, 20, 50])
def test_every_kth_frame_and_its_latest_past_anchor(k):
  lengths = rng().integers(1, 146, 60)
  pool = pool_of(lengths)
  support = supports.choose(pool, 'every_k', k, rng())
  assert len(support) == sum(-(-n // k) for n in lengths)
  np.testing.assert_array_equal(pool.time[support] % k, 0)
  anchor, weight = supports.anchors(pool, support, 'every_k', 'past', rng())
  np.testing.assert_array_equal(pool.time[anchor[:, 0]], k * (pool.time // k))
  np.testing.assert_array_equal(pool.video[anchor[:, 0]], pool.video)
  np.testing.assert_array_equal(weight, np.ones((len(pool), 1)))


def test_the_share_of_labelled_frames_of_the_corpus():
  """600 videos, 30,051 frames: k = 20 is the paper's about 6 %."""
  lengths = np.full(600, 50) + (np.arange(600) < 51)
  share = len(supports.choose(pool_of(lengths), 'every_k', 20, rng())) / 30051
  assert share == pytest.approx(0.06, abs=0.002)


def test_first_and_random_frames_of_videos_and_actors():
  choose = lambda rule, k, seed=0: supports.choose(POOL, rule, k, rng(seed)).tolist()
  assert choose('video_first_k', 1) == [0, 5, 8]
  assert choose('video_first_k', 3) == [0, 1, 2, 5, 6, 7, 8, 9]
  assert choose('actor_first_k', 1) == [0, 5]
  assert choose('actor_first_k', 6) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
  for seed in range(20):
    found = np.array(choose('video_rand_k', 2, seed))
    np.testing.assert_array_equal(np.bincount(VIDEO[found]), [2, 2, 2])
    assert len(set(found)) == 6 and (np.diff(found) > 0).all()
    np.testing.assert_array_equal(np.bincount(ACTOR[choose('actor_rand_k', 2, seed)]), [2, 2])
    for rule in ('other_actor', 'other_video'):
      np.testing.assert_array_equal(np.bincount(VIDEO[choose(rule, 1, seed)]), [1, 1, 1])
    assert len(choose('any_frame', 1, seed)) == 1
  assert {tuple(choose('video_rand_k', 1, s)) for s in range(40)} > {(0, 5, 8)}, 'random, not the first'
  assert len({tuple(choose('any_frame', 1, s)) for s in range(60)}) == 10


def test_neighbours_stay_in_their_video():
  past, future = supports.neighbours(POOL, np.array([1, 3, 6]))
  assert past.tolist() == [-1, 1, 1, 3, 3, -1, 6, 6, -1, -1]
  assert future.tolist() == [1, 3, 3, -1, -1, 6, -1, -1, -1, -1]


def test_past_anchors_and_the_first_ahead_where_there_is_no_past():
  support = np.array([1, 3, 6, 9])
  anchor, weight = supports.anchors(POOL, support, 'video_rand_k', 'past', rng())
  assert anchor[:, 0].tolist() == [1, 1, 1, 3, 3, 6, 6, 6, 9, 9]
  np.testing.assert_array_equal(weight, 1)


def test_two_sided_anchors_are_weighted_by_closeness():
  support = np.array([0, 4, 6, 9])
  anchor, weight = supports.anchors(POOL, support, 'video_rand_k', 'two_sided', rng())
  assert anchor.tolist() == [[0, 4], [0, 4], [0, 4], [0, 4], [4, 4], [6, 6], [6, 6], [6, 6], [9, 9], [9, 9]]
  np.testing.assert_allclose(weight[:5, 1], [0, 0.25, 0.5, 0.75, 0])
  np.testing.assert_allclose(weight.sum(1), 1)
  assert weight.dtype == np.float32


@pytest.mark.parametrize(
  ('rule', 'allowed'),
  [
    ('video_rand_k', [{0, 3}] * 5 + [{6}] * 3 + [{9}] * 2),
    ('actor_rand_k', [{0, 3, 9}] * 5 + [{6}] * 3 + [{0, 3, 9}] * 2),
    ('other_actor', [{6}] * 5 + [{0, 3, 9}] * 3 + [{6}] * 2),
    ('other_video', [{6, 9}] * 5 + [{0, 3, 9}] * 3 + [{0, 3, 6}] * 2),
    ('any_frame', [{0, 3, 6, 9}] * 10),
  ],
)
def test_who_may_be_compared_with_whom(rule, allowed):
  support = np.array([0, 3, 6, 9])
  anchor, weight = supports.anchors(POOL, support, rule, 'all', rng())
  for i, wanted in enumerate(allowed):
    used = weight[i] > 0
    assert set(anchor[i][used].tolist()) == wanted
    np.testing.assert_allclose(weight[i][used], 1 / len(wanted), rtol=1e-6)
  seen = [set() for _ in allowed]
  for seed in range(60):
    one, whole = supports.anchors(POOL, support, rule, 'random', rng(seed))
    assert one.shape == (10, 1)
    np.testing.assert_array_equal(whole, 1)
    for i, a in enumerate(one[:, 0].tolist()):
      seen[i].add(a)
  assert seen == allowed


def test_train_bins_take_up_to_so_many_of_each_tenth():
  valence = np.concatenate([np.full(50, -1.0), np.full(3, 0.05), np.linspace(0.8, 1.0, 30)])
  found = supports.train_bins(valence, 10, rng())
  bins = np.clip(((valence[found] + 1) * 5).astype(int), 0, 9)
  assert np.bincount(bins, minlength=10).tolist() == [10, 0, 0, 0, 0, 3, 0, 0, 0, 10]
  assert len(set(found.tolist())) == 23


def test_the_pool_holds_labelled_frames_only():
  frames = types.SimpleNamespace(
    item=np.repeat(['v2', 'v1'], [4, 3]),
    group=np.repeat(['b', 'a'], [4, 3]),
    labelled=np.array([True, False, True, True, True, True, True]),
  )
  pool = supports.Pool.of(frames, np.array([6, 5, 3, 2, 1, 0]))
  assert pool.row.tolist() == [0, 2, 3, 5, 6]
  assert pool.time.tolist() == [0, 1, 2, 0, 1]
  assert pool.video.tolist() == [1, 1, 1, 0, 0] and pool.actor.tolist() == [1, 1, 1, 0, 0]
  assert supports.choose(pool, 'every_k', 2, rng()).tolist() == [0, 2, 3]
  with pytest.raises(UserError, match='no frame of this split has both valence and arousal'):
    supports.Pool.of(frames, np.array([1]))


def test_refusals_are_one_line_and_list_what_there_is():
  for act, message in (
    (lambda: supports.choose(POOL, 'every', 1, rng()), "unknown support rule 'every'; there is: .*every_k"),
    (lambda: supports.choose(POOL, 'every_k', 0, rng()), 'run.label.k is 0; expected 1 or more'),
    (lambda: supports.anchors(POOL, np.array([0]), 'every_k', 'next', rng()), 'there is: all, past, random, two_sided'),
    (lambda: supports.anchors(POOL, np.array([0, 5]), 'other_video', 'past', rng()), 'there is: all, random'),
  ):
    with pytest.raises(UserError, match=message):
      act()
  alone = pool_of([4])
  for rule in ('other_actor', 'other_video'):
    for how in ('all', 'random'):
      with pytest.raises(UserError, match='4 frames have no support they may use.*a second actor or video'):
        supports.anchors(alone, np.array([2]), rule, how, rng())


@pytest.mark.parametrize('rule', ['every_k', 'video_first_k', 'video_rand_k', *BEYOND])
def test_weights_sum_to_one_and_point_at_supports(rule):
  pool = pool_of(rng(1).integers(1, 30, 12))
  support = supports.choose(pool, rule, 3, rng(2))
  hows = supports.ANCHORS if rule not in BEYOND else ('all', 'random')
  for how in hows:
    anchor, weight = supports.anchors(pool, support, rule, how, rng(3))
    assert anchor.shape == weight.shape and len(anchor) == len(pool)
    np.testing.assert_allclose(weight.sum(1), 1, atol=1e-6)
    assert (weight >= 0).all() and np.isin(anchor[weight > 0], support).all()
