"""What pretraining hides: rates, spans, bands, where padding stands, and what is put in its place."""

import jax
import numpy as np
import pytest

from affectjax.systems.masked_ssl import masks
from affectjax.systems.masked_ssl.masks import KINDS, Masking
from tests.helpers import masked_ssl_small as small

GROUPS = ((0, 3), (3, 10))
DRAW = jax.jit(masks.draw, static_argnums=(2, 3))
REPLACED = jax.jit(masks.replaced, static_argnums=(5,))


def masking(kind: str = 'iid', ratio: float = 0.15, span: int = 3, replace: str = 'learned', groups=GROUPS) -> Masking:
  return Masking(kind, ratio, span, replace, groups)


def draw(real, spec: Masking, features: int = small.WIDTH, seed: int = 0) -> np.ndarray:
  return np.asarray(DRAW(jax.random.key(seed), np.asarray(real), features, spec))


def lengths_of(n: int, frames: int, seed: int = 0) -> np.ndarray:
  return np.arange(frames) < np.random.default_rng(seed).integers(0, frames + 1, n)[:, None]


def runs(row: np.ndarray) -> np.ndarray:
  """Lengths of the runs of True in [T]."""
  edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(int), [0]])))
  return edges[1::2] - edges[::2]


# Whatever is drawn


@pytest.mark.parametrize('ratio', [0.15, *(pytest.param(ratio, marks=pytest.mark.slow) for ratio in (0.01, 0.7))])
@pytest.mark.parametrize('kind', KINDS)
def test_something_is_hidden_and_only_what_is_real(kind, ratio):
  rng = np.random.default_rng(1)
  real = rng.random((300, 12)) < rng.random((300, 1))  # holes and padding anywhere, some with nothing at all
  real[:3] = False
  real[3:6] = np.arange(12) == 11
  hidden = draw(real, masking(kind, ratio))
  assert hidden.shape[2] == (1 if kind in ('iid', 'span_fixed', 'span_geometric') else small.WIDTH)
  assert not hidden[~real].any()
  np.testing.assert_array_equal(hidden.any((1, 2)), real.any(1))


@pytest.mark.parametrize('kind', KINDS)
def test_padding_on_either_side_hides_the_same(kind):
  x, real = small.features(60)
  _, moved = small.shifted(x, real)
  first, second = (draw(r, masking(kind, 0.3, 2)) for r in (real, moved))
  np.testing.assert_array_equal(first, small.unshifted(second, real))
  assert (draw(real, masking(kind, 0.3, 2), seed=1) != first).any()


def test_missing_steps_in_between_are_passed_over():
  """Masks are of real steps in their order: as if those in between were not there."""
  real = np.ones((40, 12), bool)
  real[:, [2, 3, 7]] = False
  full = np.arange(12)[None] < np.full((40, 1), 9)
  for kind in ('iid', 'span_fixed', 'span_geometric', 'per_feature'):
    found, wanted = draw(real, masking(kind, 0.3, 2)), draw(full, masking(kind, 0.3, 2))
    np.testing.assert_array_equal(found[real].reshape(40, 9, -1), wanted[:, :9], kind)


def test_places_count_real_steps():
  real = np.array([[False, True, True, False, True], [True, True, False, False, False], [False] * 5])
  np.testing.assert_array_equal(masks.places(real), [[0, 0, 1, 1, 2], [0, 1, 1, 1, 1], [0] * 5])


# Rates and spans


def test_iid_hides_a_rounded_share_of_the_real_steps_evenly():
  real = lengths_of(400, 50)
  real[0] = True
  hidden = draw(real, masking())[..., 0]
  length = real.sum(1)
  np.testing.assert_array_equal(hidden.sum(1), np.where(length, np.maximum(np.round(0.15 * length), 1), 0))
  even = draw(np.ones((4000, 10), bool), masking(ratio=0.3))[..., 0].mean(0)
  np.testing.assert_allclose(even, 0.3, atol=0.04)  # five standard errors


def test_fixed_spans_have_their_length_and_overlap_or_touch_at_most():
  real = np.ones((600, 50), bool)
  hidden = draw(real, masking('span_fixed', 0.3, 7))[..., 0]  # round(15 / 7) = 2 starts
  kinds = [tuple(sorted(runs(row))) for row in hidden]
  assert all(k == (7, 7) or len(k) == 1 and 8 <= k[0] <= 14 for k in kinds)
  assert 0.55 < np.mean([len(k) == 2 for k in kinds]) < 0.9
  one = draw(real, masking('span_fixed', 0.15, 7))[..., 0]  # round(1.07) = 1
  assert all(list(runs(row)) == [7] for row in one)
  first = one.argmax(1)
  assert first.min() == 0 and first.max() == 43 and abs(first.mean() - 21.5) < 2.6
  short = draw(np.arange(12) < np.array([[3], [7], [8]]), masking('span_fixed', 0.15, 7))[..., 0]
  assert short[0].sum() == 3 and short[1].sum() == 7 and short[2].sum() == 7


@pytest.mark.parametrize(('kind', 'ratio', 'span'), [
  ('span_geometric', 0.15, 3), ('span_geometric', 0.5, 5), ('span_geometric', 0.3, 1), ('per_feature', 0.15, 3),
])  # fmt: skip
def test_the_chain_hides_its_ratio_in_spans_of_its_mean_length(kind, ratio, span):
  features, rows = (8, 8) if kind == 'per_feature' else (1, 64)
  hidden = draw(np.ones((rows, 2000), bool), masking(kind, ratio, span), features)
  hidden = np.moveaxis(hidden, 2, 1).reshape(-1, 2000)
  assert hidden.mean() == pytest.approx(ratio, rel=0.04)
  inner = np.concatenate([runs(row)[1:-1] for row in hidden])  # the ends are cut
  assert inner.mean() == pytest.approx(span, rel=0.04)
  for k in (1, 2, 3):  # geometric
    assert (inner == k).mean() == pytest.approx((1 / span) * (1 - 1 / span) ** (k - 1), abs=0.02)


def test_the_chain_begins_hidden_as_often_as_it_goes_on():
  hidden = draw(np.ones((4000, 60), bool), masking('span_geometric', 0.3, 4))[..., 0]
  np.testing.assert_allclose(hidden[:, [0, 1, 2, 3, 10, 59]].mean(0), 0.3, atol=0.04)


def test_features_are_hidden_by_themselves():
  hidden = draw(np.ones((300, 50), bool), masking('per_feature', 0.3, 3))
  flat = hidden.reshape(-1, small.WIDTH).astype(float)
  np.testing.assert_allclose(np.corrcoef(flat.T), np.eye(small.WIDTH), atol=0.06)
  np.testing.assert_allclose(flat.mean(0), 0.3, atol=0.03)


def test_bands_are_neighbours_within_a_group_over_the_whole_utterance():
  groups = ((0, 11), (11, 36), (36, 61), (61, 74))
  real = np.arange(6) < np.arange(1, 7)[np.arange(900) % 6][:, None]
  hidden = draw(real, masking('band', groups=groups), 74)
  band = hidden.any(1)  # [B, D]
  np.testing.assert_array_equal(hidden, band[:, None] & real[..., None])
  widths, where = band.sum(1), band.argmax(1)
  assert all(len(runs(row)) == 1 for row in band)
  group = np.searchsorted([e for _, e in groups], where, side='right')
  np.testing.assert_array_equal(np.searchsorted([e for _, e in groups], where + widths - 1, side='right'), group)
  np.testing.assert_allclose(np.bincount(group) / 900, 0.25, atol=0.06)
  for g, most in enumerate((11, 14, 14, 13)):  # a fifth of 74, or the group
    assert set(widths[group == g]) == set(range(1, most + 1))


@pytest.mark.slow
def test_mixed_is_both():
  real = np.ones((200, 12), bool)
  hidden = draw(real, masking('mixed', 0.25))
  steps = hidden.all(2)
  np.testing.assert_array_equal(steps, draw(real, masking('iid', 0.25))[..., 0])
  bands = (hidden & ~steps[..., None]).any(1)
  assert (bands.any(1)).all() and all(len(runs(row)) == 1 for row in bands)


# What stands in its place


def replaced(replace: str, x, real, hidden, seed: int = 0) -> np.ndarray:
  learned = np.arange(x.shape[2], dtype=np.float32) - 100
  return np.asarray(REPLACED(jax.random.key(seed), x, hidden, real, learned, masking(replace=replace)))


def test_a_learned_vector_or_zeros_stand_where_it_is_hidden_alone():
  x, real = small.features(24)
  for kind in ('iid', 'per_feature'):
    hidden = draw(real, masking(kind, 0.3))
    wide = np.broadcast_to(hidden, x.shape)
    for replace, value in (('learned', np.broadcast_to(np.arange(10) - 100.0, x.shape)), ('zero', np.zeros(x.shape))):
      found = replaced(replace, x, real, hidden)
      np.testing.assert_array_equal(found[~wide], x[~wide])
      np.testing.assert_array_equal(found[wide], value[wide])


def test_noise_is_standard_normal():
  x, real = np.full((200, 12, 10), 7, np.float32), np.ones((200, 12), bool)
  hidden = draw(real, masking(ratio=0.5))
  found = replaced('noise', x, real, hidden)
  noise = found[hidden[..., 0]]
  assert (found[~hidden[..., 0]] == 7).all()
  assert abs(noise.mean()) < 0.03 and noise.std() == pytest.approx(1, abs=0.03)


def test_80_10_10_is_decided_by_utterance():
  rng = np.random.default_rng(0)
  n = 3000
  x = rng.normal(size=(n, 6, 1)).astype(np.float32)
  real = np.arange(6) < (3 + np.arange(n) % 4)[:, None]
  x[~real] = np.nan  # must never be copied
  hidden = draw(real, masking(ratio=0.6), 1)
  found, where = replaced('80_10_10', x, real, hidden), hidden[..., 0]
  np.testing.assert_array_equal(found[~where], x[~where])
  kinds = []
  for before, after, at, there in zip(x[..., 0], found[..., 0], where, real, strict=True):
    assert np.isfinite(after[at]).all() and np.isin(after[at], [*before[there], 0]).all()
    kinds.append('zero' if (after[at] == 0).all() else 'kept' if (after[at] == before[at]).all() else 'copied')
  # two or more hidden steps: that a copy changes nothing is rare, but not never
  share = {k: kinds.count(k) / n for k in ('zero', 'kept', 'copied')}
  assert share['zero'] == pytest.approx(0.8, abs=0.03)
  assert 0.08 < share['kept'] < 0.15 and 0.06 < share['copied'] < 0.12
  assert share['zero'] + share['kept'] + share['copied'] == pytest.approx(1)


@pytest.mark.parametrize('replace', masks.REPLACE)
def test_padding_on_either_side_is_replaced_alike(replace):
  x, real = small.features(120)
  moved, there = small.shifted(x, real)
  spec = masking(ratio=0.4)
  right, left = (replaced(replace, v, r, draw(r, spec)) for v, r in ((x, real), (moved, there)))
  np.testing.assert_array_equal(right, small.unshifted(left, real))
  assert (right != x).any()


# What is refused


@pytest.mark.parametrize(('changes', 'said'), [
  (dict(kind='block'), "unknown run.mask.kind 'block'; there is: band, iid"),
  (dict(replace='mean'), "unknown run.mask.replace 'mean'; there is: 80_10_10, learned, noise, zero"),
  (dict(ratio=0.0), 'run.mask.ratio 0.0, span 3; expected above 0 and below 1'),
  (dict(ratio=1.0), 'run.mask.ratio 1.0'), (dict(ratio=float('nan')), 'run.mask.ratio nan'),
  (dict(span=0), 'span 0; expected'),
  (dict(kind='span_geometric', ratio=0.6, span=1), 'such spans hide 0.5 at most; set a longer run.mask.span'),
  (dict(kind='per_feature', ratio=0.8), 'such spans hide 0.75 at most'),
])  # fmt: skip
def test_what_cannot_be_drawn_is_refused(changes, said):
  assert said in small.refused(masks.check, masking(**changes))


@pytest.mark.slow
def test_the_most_a_chain_can_hide_is_hidden():
  masks.check(masking('span_geometric', 0.75, 3))
  hidden = draw(np.ones((64, 1000), bool), masking('span_geometric', 0.75, 3))
  assert hidden.mean() == pytest.approx(0.75, abs=0.01)
