"""The reference itself: its shift, positions, size and independence, against other ways to say the same."""

import numpy as np
import pytest

from tests.helpers import reference_conformer as reference


def parameters(d, heads, rng, size=31):
  def dense(i, o):
    return {'kernel': rng.standard_normal((i, o)) / np.sqrt(i), 'bias': rng.standard_normal(o)}

  def norm():
    return {'scale': 1 + 0.1 * rng.standard_normal(d), 'bias': 0.1 * rng.standard_normal(d)}

  def feed_forward():
    return {'norm': norm(), 'in': dense(d, 4 * d), 'out': dense(4 * d, d)}

  attention = {'norm': norm(), 'position': {'kernel': rng.standard_normal((d, d)) / np.sqrt(d)}}
  attention |= {name: dense(d, d) for name in ('query', 'key', 'value', 'out')}
  attention |= {name: rng.standard_normal((heads, d // heads)) for name in 'uv'}
  conv = {'norm': norm(), 'in': dense(d, 2 * d), 'depthwise': {'kernel': rng.standard_normal((size, d)) / 5}}
  conv |= {'batch_norm': norm(), 'out': dense(d, d)}
  return {'ff_1': feed_forward(), 'attention': attention, 'conv': conv, 'ff_2': feed_forward(), 'norm': norm()}


def count(tree):
  return sum(map(count, tree.values())) if isinstance(tree, dict) else tree.size


def pad_and_reshape(s):
  """The shift as a recipe."""
  n = len(s)
  return np.concatenate([np.zeros((n, 1)), s], 1).reshape(n + 1, n)[1:].reshape(n, n)


def test_a_block_has_6_323_200_parameters():
  p = parameters(512, 8, np.random.default_rng(0))
  assert count(p) == 6_323_200
  assert [count(p[name]) for name in ('ff_1', 'attention', 'conv', 'ff_2', 'norm')] == [
    2_100_736, 1_314_816, 805_888, 2_100_736, 1_024
  ]  # fmt: skip


def test_the_released_shift_by_hand_and_by_its_recipe():
  s = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
  np.testing.assert_array_equal(reference.shift_released(s), [[3, 0, 4], [5, 6, 0], [7, 8, 9]])
  for n in (1, 2, 5, 12):
    s = np.random.default_rng(n).standard_normal((n, n))
    np.testing.assert_array_equal(reference.shift_released(s), pad_and_reshape(s))


def test_sinusoids_at_a_few_places():
  table = reference.sinusoids(np.array([0, 3, -3]), 6)
  np.testing.assert_allclose(table[0], [0, 1, 0, 1, 0, 1])
  assert table[1, 2] == pytest.approx(np.sin(3 / 10000 ** (1 / 3)))
  assert table[1, 5] == pytest.approx(np.cos(3 / 10000 ** (2 / 3)))
  np.testing.assert_allclose(table[2], table[1] * [-1, 1, -1, 1, -1, 1])


def test_proper_attention_is_that_of_a_direct_sum_over_distances():
  rng = np.random.default_rng(1)
  p, x = parameters(8, 2, rng)['attention'], rng.standard_normal((5, 8))
  y = reference.layer_norm(p['norm'], x)
  query, key, value = ((y @ p[k]['kernel'] + p[k]['bias']).reshape(5, 2, 4) for k in ('query', 'key', 'value'))
  out = np.zeros((5, 2, 4))
  for h in range(2):
    for i in range(5):
      scores = []
      for j in range(5):
        row = (reference.sinusoids(np.array([i - j]), 8) @ p['position']['kernel']).reshape(2, 4)[h]
        scores.append((query[i, h] + p['u'][h]) @ key[j, h] + (query[i, h] + p['v'][h]) @ row)
      weights = np.exp(np.array(scores) / np.sqrt(8))
      out[i, h] = weights @ value[:, h] / weights.sum()
  out = out.reshape(5, 8) @ p['out']['kernel'] + p['out']['bias']
  np.testing.assert_allclose(reference.attention(p, x, 'proper'), out, atol=1e-12)
  assert np.abs(reference.attention(p, x) - out).max() > 1e-2


def test_an_unknown_form_is_refused():
  p, x = parameters(8, 2, np.random.default_rng(2)), np.ones((3, 8))
  with pytest.raises(ValueError, match='other'):
    reference.block(p, [x], form='other')


@pytest.mark.parametrize('form', ['released', 'proper'])
def test_clips_meet_in_the_batch_statistics_alone(form):
  rng = np.random.default_rng(3)
  p, clips = parameters(16, 4, rng), [rng.standard_normal((n, 16)) for n in (40, 7, 1)]
  together, stats = reference.block(p, clips, form=form)
  assert [y.shape for y in together] == [x.shape for x in clips]
  for x, y in zip(clips, together, strict=True):
    (alone,), _ = reference.block(p, [x], stats, form)
    np.testing.assert_allclose(alone, y, atol=1e-12)
  (other,), _ = reference.block(p, clips[:1], form=form)
  assert np.abs(other - together[0]).max() > 1e-3


def test_depthwise_is_a_correlation():
  rng = np.random.default_rng(4)
  kernel, x = rng.standard_normal((31, 3)), rng.standard_normal((9, 3))
  for c in range(3):
    expected = np.convolve(x[:, c], kernel[::-1, c])[15:-15]
    np.testing.assert_allclose(reference.depthwise(kernel, x)[:, c], expected, atol=1e-12)
