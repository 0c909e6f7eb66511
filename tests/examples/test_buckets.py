"""Batches of clips of like length: few shapes, every row once in an epoch, the same after a stop."""

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.examples import batches as batches_lib

RNG = np.random.default_rng(0)
LENGTHS = {'audio': RNG.integers(3, 200, 103), 'visual': RNG.integers(0, 60, 103)}


def gather(rows, frames):
  return {'row': rows, **{m: np.zeros((len(rows), n, 2), np.float32) for m, n in frames.items()}}


def batches(rows=None, count=4, size=8, seed=0, longest=(), make=batches_lib.bucketed, ahead=False):
  rows = np.arange(103) if rows is None else rows
  made = batches_lib.Buckets(LENGTHS, count, dict(longest))
  return make(rows, made, gather, size, *([seed] if make is batches_lib.bucketed else []), ahead)


def take(iterator, n):
  return [next(iterator) for _ in range(n)]


@pytest.mark.parametrize('count', [1, 3, 4, 50])
def test_a_bucket_holds_its_clips_and_all_shorter_ones(count):
  made = batches_lib.Buckets(LENGTHS, count, {})
  assert 1 <= len(made.frames) <= count and made.of.min() >= 0 and made.of.max() == len(made.frames) - 1
  for rows in (np.arange(103), np.array([5]), RNG.choice(103, 10)):
    assert all((LENGTHS[m][rows] <= n).all() for m, n in made.needed(rows).items())
  for m in LENGTHS:
    frames = [f[m] for f in made.frames]
    assert frames == sorted(frames) and frames[-1] == LENGTHS[m].max()


def test_lengths_by_hand():
  lengths = {'audio': np.array([10, 20, 40, 80]), 'visual': np.array([9, 3, 12, 1])}
  made = batches_lib.Buckets(lengths, 2, {})  # shares of the longest: .75, .25, 1, 1
  assert made.of.tolist() == [0, 0, 1, 1] and made.frames == [{'audio': 20, 'visual': 9}, {'audio': 80, 'visual': 12}]
  cut = batches_lib.Buckets(lengths, 1, {'audio': 30, 'visual': 0})
  assert cut.frames == [{'audio': 30, 'visual': 12}]
  nothing = batches_lib.Buckets({'audio': np.zeros(3, int)}, 2, {})
  assert nothing.needed(np.arange(3)) == {'audio': 1}
  assert batches_lib.Buckets({}, 2, {}).needed(np.arange(3)) == {}


@pytest.mark.parametrize('count', [0, -1])
def test_no_buckets_are_refused(count):
  with pytest.raises(UserError, match=f'{count} buckets'):
    batches_lib.Buckets(LENGTHS, count, {})


def test_every_shape_is_of_a_small_set_and_padding_shrinks():
  frames = {}
  for count in (1, 4):
    made = take(batches(count=count), 60)
    assert len({(b['audio'].shape, b['visual'].shape) for b in made}) <= count
    frames[count] = np.mean([b['audio'].shape[1] for b in made])
  assert frames[4] < 0.85 * frames[1]
  assert {b['audio'].shape[1] for b in take(batches(count=1, longest={'audio': 50}), 3)} == {50}


def test_an_epoch_has_each_row_at_most_once_and_nearly_all():
  made = take(batches(), 12 * 3)  # 103 // 8 = 12 batches in an epoch
  epochs = [np.concatenate([b['row'] for b in made[i : i + 12]]) for i in (0, 12, 24)]
  assert all(len(set(e.tolist())) == 96 for e in epochs)
  assert len(set(np.concatenate(epochs).tolist())) > 100, 'who is left over changes'
  assert not np.array_equal(epochs[0], epochs[1])
  assert all((b['mask'] == 1).all() for b in made)


def test_batches_are_a_function_of_seed_and_step():
  first, second, other = (take(batches(seed=s), 30) for s in (0, 0, 1))
  same = lambda a, b: [np.array_equal(x['row'], y['row']) for x, y in zip(a, b, strict=True)]
  assert all(same(first, second)) and not any(same(first, other))


@pytest.mark.parametrize('make', [batches_lib.bucketed, batches_lib.in_file_order])
@pytest.mark.parametrize('stop', [1, 12, 17])
def test_resumed_goes_on_where_it_stopped(make, stop):
  whole, torn = batches(make=make), batches(make=make)
  rows = [b['row'] for b in take(whole, 30)]
  take(torn, stop)
  again = batches(make=make)
  again.set_state(torn.get_state())
  np.testing.assert_array_equal(np.stack([b['row'] for b in take(again, 30 - stop)]), np.stack(rows[stop:]))


@pytest.mark.parametrize('make', [batches_lib.bucketed, batches_lib.in_file_order])
def test_read_ahead_they_are_the_same(make):
  inline, ahead = batches(make=make), batches(make=make, ahead=True)
  for a, b in zip(take(inline, 30), take(ahead, 30), strict=True):
    assert a.keys() == b.keys()
    for key in a:
      np.testing.assert_array_equal(a[key], b[key])
  assert inline.get_state() == ahead.get_state() == {'next_index': 30}


def test_clips_of_a_batch_are_of_like_length():
  made = batches_lib.Buckets(LENGTHS, 4, {})
  spread = [np.ptp(made.of[b['row']]) for b in take(batches(), 24)]
  assert max(spread) <= 1 and np.mean(spread) < 0.5


def test_fewer_rows_than_a_batch_are_padded():
  for make in (batches_lib.bucketed, batches_lib.in_file_order):
    for batch in take(batches(rows=np.array([7, 9, 30]), make=make), 3):
      assert batch['mask'].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
      assert set(batch['row'][:3].tolist()) == {7, 9, 30} and len(batch['row']) == 8


def test_file_order_is_that_of_the_rows_every_epoch():
  rows = np.arange(20)[::-1]
  made = take(batches(rows=rows, make=batches_lib.in_file_order), 6)
  real = [b['row'][b['mask'] > 0].tolist() for b in made]
  assert sum(real[:3], []) == sum(real[3:], []) == rows.tolist() and [len(r) for r in real[:3]] == [8, 8, 4]


def test_by_step_asks_for_a_host_s_own_slice(monkeypatch):
  import jax

  make = lambda step, own: {'rows': np.arange(step * 8, step * 8 + 8)[own]}
  it = batches_lib.by_step(make, 8)
  assert [next(it)['rows'].tolist() for _ in range(2)] == [list(range(8)), list(range(8, 16))]
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'process_index', lambda: 1)
  assert next(batches_lib.by_step(make, 8))['rows'].tolist() == [4, 5, 6, 7]
  with pytest.raises(ValueError, match='global batch of 7'):
    batches_lib.by_step(make, 7)
