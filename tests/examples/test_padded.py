"""Examples of one length: frames pooled, cut and padded; standardised by what is a group's own."""

import numpy as np
import pytest

from affectjax.data.corpus import Ragged
from affectjax.examples import shape
from affectjax.examples.streams import Memory


def even(x: np.ndarray, real: np.ndarray) -> Memory:
  """x [N, T, D], real [N, T] as a stream."""
  return Memory(Ragged.stack(list(x)), Ragged.stack(list(real)))


def test_frames_are_pooled_cut_and_padded_by_hand():
  values = Ragged.stack([np.arange(7.0)[:, None] * [1, 10], np.arange(2.0)[:, None] * [1, 10]])
  mask = Ragged.stack([np.array([1, 1, 0, 1, 0, 0, 1], bool), np.array([1, 1], bool)])
  stream = Memory(values, mask)
  x, real = shape.padded(stream, 3, 2, 'first', 'right').dense()  # means of (0, 1), (3), nothing, (6)
  np.testing.assert_array_equal(real, [[1, 1, 0], [1, 0, 0]])
  np.testing.assert_allclose(x[0, :2], [[0.5, 5], [3, 30]])
  np.testing.assert_allclose(x[1], [[0.5, 5], [0, 0], [0, 0]])
  x, real = shape.padded(stream, 3, 2, 'last', 'left').dense()
  np.testing.assert_array_equal(real, [[1, 0, 1], [0, 0, 1]])
  np.testing.assert_allclose(x[0, [0, 2]], [[3, 30], [6, 60]])
  np.testing.assert_allclose(x[1, 2], [0.5, 5])
  x, real = shape.padded(stream, 8, 1, 'last', 'left').dense()
  np.testing.assert_array_equal(x[0, 1:, 0], np.arange(7.0))
  np.testing.assert_array_equal(real[0], [0, 1, 1, 0, 1, 0, 0, 1])


def test_what_is_padded_is_kept_and_looked_at_without_a_copy():
  stream = Memory(Ragged.stack([np.ones((3, 2), np.float32), np.ones((5, 2), np.float32)]),
                  Ragged.stack([np.ones(3, bool), np.ones(5, bool)]))  # fmt: skip
  padded = shape.padded(stream, 4, 1, 'first', 'right')
  assert padded is shape.padded(stream, 4, 1, 'first', 'right') and padded.lengths.tolist() == [4, 4]
  x, real = padded.dense()
  assert x.shape == (2, 4, 2) and np.shares_memory(x, padded.values.values)
  assert real.tolist() == [[True] * 3 + [False], [True] * 4] and np.shares_memory(real, padded.mask.values)
  with pytest.raises(ValueError, match='examples of 3 to 5 frames'):
    stream.dense()


def test_features_by_group_lose_what_is_the_groups_own():
  rng = np.random.default_rng(0)
  group, real = np.repeat(['a', 'b', 'c'], 4), rng.random((12, 6)) < 0.7
  real[8:] = False  # nothing of c
  x = (rng.normal(size=(12, 6, 3)) * 2 + np.repeat([5.0, -7.0, 0.0], 4)[:, None, None]).astype(np.float32)
  x[..., 2] = 4
  names = tuple(group.tolist())
  out, mask = shape.by_group(even(x, real), names).dense()
  np.testing.assert_array_equal(mask, real)
  for g in 'ab':
    values = out[group == g][real[group == g]]
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(values.std(0), [1, 1, 0], atol=1e-5)
  np.testing.assert_array_equal(out[8:], x[8:])
  np.testing.assert_array_equal(out[~real], x[~real])
  scaled, _ = shape.by_group(even(x * 3 + 1, real), names).dense()
  np.testing.assert_allclose(scaled[real], out[real], atol=1e-5)
