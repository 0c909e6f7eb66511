"""Pairs: exactly half and half, never a row with itself, balanced over classes, honest about distance."""

import types

import numpy as np
import pytest
from scipy import stats

from affectjax.common.errors import UserError
from affectjax.systems.mtclar import pairs

CLASSES = np.repeat([0, 1, 2, 3, -1], [500, 100, 20, 2, 30])
ROWS = np.random.default_rng(9).permutation(10_000)[: len(CLASSES)]
CLASS_OF = dict(zip(ROWS.tolist(), CLASSES.tolist(), strict=True))


def rng(seed=0):
  return np.random.default_rng(seed)


def classes_of(rows: np.ndarray) -> np.ndarray:
  return np.array([CLASS_OF[r] for r in rows.tolist()])


def flat(n: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
  """Labels all over the plane and their rows."""
  return rng(seed).uniform(-1, 1, (n, 2)).astype(np.float32), np.arange(n) + 50


@pytest.mark.parametrize('n', [1, 2, 7, 256, 1001])
@pytest.mark.parametrize('kind', ['class', 'distance'])
def test_exactly_half_and_half_and_never_identical(kind, n):
  sampler = pairs.ClassPairs(CLASSES, ROWS) if kind == 'class' else pairs.DistancePairs(*flat(300))
  drawn = sampler.draw(rng(n), n)
  assert len(drawn.first) == len(drawn.second) == len(drawn.same) == n
  assert drawn.same.dtype == np.int32
  np.testing.assert_array_equal(drawn.same, (np.arange(n) + 1) % 2)  # even places positive
  assert (drawn.first != drawn.second).all()


def test_same_means_same_class():
  drawn = pairs.ClassPairs(CLASSES, ROWS).draw(rng(), 20_000)
  first, second = classes_of(drawn.first), classes_of(drawn.second)
  assert (first >= 0).all() and (second >= 0).all(), 'frames without a class are in no pair'
  np.testing.assert_array_equal(first == second, drawn.same == 1)


def test_classes_are_balanced_however_rare():
  drawn = pairs.ClassPairs(CLASSES, ROWS).draw(rng(1), 40_000)
  positive = drawn.same == 1
  first, second = classes_of(drawn.first), classes_of(drawn.second)
  for counts in (first[positive], first[~positive], second[~positive]):
    assert stats.chisquare(np.bincount(counts)).pvalue > 1e-3
  ordered = first[~positive] * 4 + second[~positive]  # every ordered pair of unlike classes alike
  assert stats.chisquare(np.unique(ordered, return_counts=True)[1]).pvalue > 1e-3
  assert len(np.unique(ordered)) == 12


def test_rows_of_a_class_are_uniform_on_either_side():
  classes, rows = np.repeat([0, 1], [7, 5]), np.arange(12)
  drawn = pairs.ClassPairs(classes, rows).draw(rng(2), 60_000)
  for side in (drawn.first, drawn.second):
    for members in (side[side < 7], side[side >= 7]):
      assert stats.chisquare(np.unique(members, return_counts=True)[1]).pvalue > 1e-3
  inside = (drawn.same == 1) & (drawn.first < 7)
  combined = drawn.first[inside] * 7 + drawn.second[inside]
  assert len(np.unique(combined)) == 42  # all ordered pairs but the diagonal
  assert stats.chisquare(np.unique(combined, return_counts=True)[1]).pvalue > 1e-3


def test_a_class_of_one_frame_is_in_negative_pairs_only():
  classes = np.array([0, 1, 1, 1])
  drawn = pairs.ClassPairs(classes, np.arange(4)).draw(rng(), 1000)
  assert not ((drawn.same == 1) & (drawn.first == 0)).any()
  assert ((drawn.same == 0) & (drawn.first == 0)).any()


def test_distance_pairs_keep_to_the_two_bands():
  labels, rows = flat(400)
  drawn = pairs.DistancePairs(labels, rows).draw(rng(), 20_000)
  distance = np.linalg.norm(labels[drawn.first - 50].astype(float) - labels[drawn.second - 50], axis=1)
  assert (distance[drawn.same == 1] < 0.2).all()
  assert (distance[drawn.same == 0] > 0.4).all()


def test_steps_of_a_tenth_are_not_split_by_rounding():
  """Two steps apart is 0.2, not below it; four steps is 0.4, not above it. In float32 some are and some are not."""
  steps = np.stack(np.meshgrid(np.arange(-10, 11), np.arange(-10, 11)), -1).reshape(-1, 2)
  labels = (steps / 10).astype(np.float32)
  rows = np.arange(len(steps))
  videos = np.zeros(len(steps), int)
  for sampler in (pairs.DistancePairs(labels, rows), pairs.VideoPairs(videos, labels, None, rows)):
    drawn = sampler.draw(rng(), 100_000)
    squared = np.square(steps[drawn.first] - steps[drawn.second]).sum(1)
    assert (squared[drawn.same == 1] < 4).all() and (squared[drawn.same == 0] > 16).all()
    between = (squared >= 4) & (squared <= 16)
    np.testing.assert_array_equal(between, drawn.same == -1)


def test_distance_pairs_reach_every_occupied_part_of_the_plane():
  crowd = rng(1).normal([0.5, 0.5], 0.05, (2000, 2))
  few = rng(2).normal([-0.5, -0.5], 0.05, (10, 2))
  labels = np.concatenate([crowd, few])
  drawn = pairs.DistancePairs(labels, np.arange(len(labels))).draw(rng(), 10_000)
  rare = (drawn.first >= 2000).mean()
  assert rare > 0.2, 'as frames stand, it would be one in two hundred'


def test_labels_at_the_edge_of_the_plane():
  labels = np.array([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -0.9]])
  drawn = pairs.DistancePairs(labels, np.arange(4)).draw(rng(), 100)
  assert set(zip(drawn.first[::2].tolist(), drawn.second[::2].tolist(), strict=True)) <= {
    (0, 1),
    (1, 0),
    (2, 3),
    (3, 2),
  }


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: pairs.ClassPairs(np.zeros(5, int), np.arange(5)), 'two classes'),
    (lambda: pairs.ClassPairs(np.full(5, -1), np.arange(5)), 'two classes'),
    (lambda: pairs.ClassPairs(np.arange(5), np.arange(5)), 'with two frames'),
    (lambda: pairs.DistancePairs(np.zeros((1, 2)), np.arange(1)), 'at least two labelled frames, found 1'),
    (lambda: pairs.DistancePairs(np.zeros((9, 2)), np.arange(9)).draw(rng(), 4), 'above 0.4'),
    (lambda: pairs.DistancePairs(np.array([[-1.0, 0], [1, 0]]), np.arange(2)).draw(rng(), 4), 'below 0.2'),
    (lambda: pairs.VideoPairs(np.arange(5), np.zeros((5, 2)), None, np.arange(5)), 'a video with two labelled frames'),
  ],
)
def test_what_cannot_be_paired_is_refused_in_one_line(make, message):
  with pytest.raises(UserError, match=message) as error:
    make()
  assert '\n' not in str(error.value)


def frames_of(videos, labels, emotion):
  return types.SimpleNamespace(item=videos, labels=labels, emotion=emotion)


def test_video_pairs_stay_within_a_video():
  videos = np.repeat(['a', 'b', 'c'], [5, 1, 9])
  labels = rng().uniform(-1, 1, (15, 2))
  drawn = pairs.VideoPairs(videos, labels, None, np.arange(15) + 7).draw(rng(), 3000)
  a, b = drawn.first - 7, drawn.second - 7
  assert (videos[a] == videos[b]).all() and (a != b).all() and not (videos[a] == 'b').any()
  distance = np.linalg.norm(labels[a] - labels[b], axis=1)
  np.testing.assert_array_equal(drawn.same, np.where(distance < 0.2, 1, np.where(distance > 0.4, 0, -1)))
  share = (videos[a] == 'a').mean()
  assert 0.45 < share < 0.55, 'videos alike, however long'


def test_video_pairs_by_class():
  videos, emotion = np.repeat(['a', 'b'], 4), np.array([0, 0, 1, -1, 2, 2, 2, 2])
  drawn = pairs.VideoPairs(videos, np.zeros((8, 2)), emotion, np.arange(8)).draw(rng(), 500)
  a, b = emotion[drawn.first], emotion[drawn.second]
  np.testing.assert_array_equal(drawn.same, np.where((a < 0) | (b < 0), -1, a == b))


def test_mixed_pairs_hold_the_share_asked_for():
  labels, _ = flat(200)
  videos = np.repeat([f'v{i:02d}' for i in range(20)], 10)
  frames = frames_of(videos, labels, np.full(200, -1))
  drawn = pairs.sampler(frames, np.arange(200), 'distance', 0.25).draw(rng(), 400)
  assert len(drawn.first) == 400
  assert (videos[drawn.first[300:]] == videos[drawn.second[300:]]).all()
  np.testing.assert_array_equal(drawn.same[:300], (np.arange(300) + 1) % 2)


def test_the_sampler_takes_what_its_rule_needs():
  labels, _ = flat(60)
  labels[:10] = np.nan
  emotion = rng().integers(0, 3, 60)
  emotion[-5:] = -1
  frames = frames_of(np.repeat(['a', 'b'], 30), labels, emotion)
  rows = np.arange(0, 60, 2)
  by_class = pairs.sampler(frames, rows, 'class').draw(rng(), 2000)
  by_distance = pairs.sampler(frames, rows, 'distance').draw(rng(), 2000)
  assert set(by_class.first) | set(by_class.second) == set(rows[rows < 55].tolist())
  assert set(by_distance.first) | set(by_distance.second) <= set(rows[rows >= 10].tolist())
  with pytest.raises(UserError, match="unknown pair rule 'identity'; there is: class, distance"):
    pairs.sampler(frames, rows, 'identity')


def test_a_draw_depends_on_its_generator_alone():
  for sampler in (pairs.ClassPairs(CLASSES, ROWS), pairs.DistancePairs(*flat(300))):
    first, second = sampler.draw(rng(5), 100), sampler.draw(rng(5), 100)
    np.testing.assert_array_equal(first.first, second.first)
    np.testing.assert_array_equal(first.second, second.second)
