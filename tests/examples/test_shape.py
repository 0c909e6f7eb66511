"""What an example looks back on: where its window starts, and one vector from its real frames, by hand."""

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.examples import shape
from affectjax.examples.streams import Memory

ITEMS = np.array(['a', 'a', 'a', 'a', 'b', 'c', 'c'])
ONE_PART = np.array(['all'] * len(ITEMS))


@pytest.mark.parametrize(
  ('reach', 'known'),
  [
    (1, [0, 1, 2, 3, 4, 5, 6]),
    (2, [0, 0, 1, 2, 4, 5, 5]),
    (3, [0, 0, 0, 1, 4, 5, 5]),
    (100, [0, 0, 0, 0, 4, 5, 5]),
  ],
)
def test_a_window_stays_within_its_item(reach, known):
  np.testing.assert_array_equal(shape.reach(ITEMS, ONE_PART, reach), known)


def test_reach_of_one_example_and_of_none():
  assert shape.reach(np.array(['a']), np.array(['all']), 3) == (0,)
  assert shape.reach(np.array([], str), np.array([], str), 3) == ()


def test_reach_against_a_loop():
  rng = np.random.default_rng(0)
  items = np.repeat(np.arange(40), rng.integers(1, 9, 40))
  for length in (1, 2, 5):
    known = [max(j for j in range(i + 1) if i - j < length and (items[j : i + 1] == items[i]).all() and
                 (j == i - length + 1 or j == 0 or items[j - 1] != items[i])) for i in range(len(items))]  # fmt: skip
    np.testing.assert_array_equal(shape.reach(items, np.zeros(len(items)), length), known)


def test_a_window_stays_within_its_part():
  part = np.array(['train', 'train', 'val', 'val', 'val', 'val', 'val'])
  assert shape.reach(ITEMS, part, 3) == (0, 0, 2, 2, 4, 5, 5)


@pytest.mark.parametrize('length', [0, -1])
def test_a_window_of_nothing_is_refused(length):
  with pytest.raises(UserError, match=rf'run\.data\.context is {length}; expected a number of examples from 1'):
    shape.reach(ITEMS, ONE_PART, length)


STREAM = Ragged.stack([
  np.array([[1, 10], [3, 30]], np.float32), np.array([[5, -50]], np.float32), np.zeros((0, 2), np.float32),
  np.array([[7, 0], [9, 2], [2, 4]], np.float32),
])  # fmt: skip
MASK = Ragged(np.array([True, True, False, True, False, True]), STREAM.offsets)
EVERY = Ragged(np.ones(6, bool), STREAM.offsets)


def summarised(values: Ragged, mask: Ragged, first, summary) -> tuple[np.ndarray, np.ndarray]:
  """The vectors [N, D * summaries] and whether they are of real frames [N]."""
  made = shape.summarised(Memory(values, mask), tuple(first), summary)
  assert (made.lengths == 1).all() and len(made) == len(values)
  return made.values.values, made.mask.values


def test_summaries_by_hand():
  got, present = summarised(STREAM, EVERY, range(4), ('mean', 'max'))
  np.testing.assert_allclose(got, [[2, 20, 3, 30], [5, -50, 5, -50], [0, 0, 0, 0], [6, 2, 9, 4]])
  assert got.dtype == np.float32 and present.dtype == bool
  np.testing.assert_array_equal(present, [1, 1, 0, 1])


def test_windows_take_in_the_frames_before():
  got, present = summarised(STREAM, EVERY, [0, 0, 1, 2], ('mean', 'std'))
  np.testing.assert_allclose(got[:, :2], [[2, 20], [3, -10 / 3], [5, -50], [6, 2]], rtol=1e-6)
  np.testing.assert_allclose(got[1, 2:], np.std([[1, 10], [3, 30], [5, -50]], 0), rtol=1e-6)
  np.testing.assert_array_equal(got[2, 2:], 0)  # of a single frame
  assert present.all()


def test_only_real_frames_count():
  got, present = summarised(STREAM, MASK, [0, 1, 1, 3], ('mean',))
  np.testing.assert_allclose(got, [[2, 20], [0, 0], [0, 0], [4.5, 2]])
  np.testing.assert_array_equal(present, [1, 0, 0, 1])
  junk = Ragged(np.where(MASK.values[:, None], STREAM.values, np.nan), STREAM.offsets)
  again, _ = summarised(junk, MASK, [0, 1, 1, 3], ('mean',))
  np.testing.assert_array_equal(again, got)


def test_a_window_is_the_summary_of_its_frames_laid_together():
  rng = np.random.default_rng(1)
  pieces = [rng.normal(size=(n, 3)).astype(np.float32) for n in rng.integers(0, 6, 30)]
  masks = [rng.random(len(p)) < 0.7 for p in pieces]
  first = shape.reach(np.repeat(np.arange(6), 5), np.zeros(30), 3)
  got, present = summarised(Ragged.stack(pieces), Ragged.stack(masks), first, ('std', 'mean', 'max'))
  for i, start in enumerate(first):
    frames = np.concatenate(pieces[start : i + 1])[np.concatenate(masks[start : i + 1])]
    assert present[i] == (len(frames) > 0)
    known = [frames.std(0), frames.mean(0), frames.max(0)] if len(frames) else np.zeros((3, 3))
    np.testing.assert_allclose(got[i], np.concatenate(known), atol=1e-6)


def test_summaries_that_do_not_exist_and_none_at_all_are_refused():
  with pytest.raises(UserError, match="unknown summary in run.data.summary 'median'; there is: max, mean, std"):
    summarised(STREAM, EVERY, range(4), ('mean', 'median'))
  with pytest.raises(UserError, match=r'run\.data\.summary is empty.*name mean, std or max') as error:
    summarised(STREAM, EVERY, range(4), ())
  assert '\n' not in str(error.value)
