"""Batches: every row once per epoch, exact resumption, the same for any number of hosts, padding that is masked."""

import time

import jax
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.examples import batches as batches_lib

N, BATCH = 23, 4
ROWS = np.arange(100, 100 + N)


def gather(rows: np.ndarray) -> dict[str, np.ndarray]:
  return {'row': rows, 'x': rows[:, None] * np.ones((1, 3), np.float32), 'id': np.char.add('a', rows.astype(str))}


def draw(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
  return {'row': rng.integers(0, 1000, n)}


def shuffled(seed=0, batch=BATCH, ahead=False):
  return batches_lib.shuffled(ROWS, gather, batch, seed, ahead)


def drawn(seed=0, batch=BATCH, ahead=False):
  return batches_lib.drawn(draw, lambda d: gather(d['row']), batch, seed, ahead)


def shuffled_ahead(seed=0, batch=BATCH):
  return shuffled(seed, batch, True)


def drawn_ahead(seed=0, batch=BATCH):
  return drawn(seed, batch, True)


ENDLESS = pytest.mark.parametrize('make', [shuffled, drawn, shuffled_ahead, drawn_ahead])


def rows_of(iterator, batches: int) -> np.ndarray:
  return np.concatenate([next(iterator)['row'] for _ in range(batches)])


def test_shuffled_covers_every_row_once_per_epoch_in_new_orders():
  order = rows_of(shuffled(), 5 * N // BATCH + 5)[: 5 * N].reshape(5, N)
  for epoch in order:
    np.testing.assert_array_equal(np.sort(epoch), ROWS)
  assert len({tuple(epoch) for epoch in order}) == 5
  assert not any(np.array_equal(epoch, ROWS) for epoch in order)


def test_shuffled_asks_for_rows_and_not_for_positions():
  assert set(rows_of(shuffled(), 10)) <= set(ROWS.tolist())


def test_fewer_rows_than_a_batch_still_fill_it():
  batches = batches_lib.shuffled(ROWS[:3], gather, 8, 0)
  first = next(batches)
  assert len(first['row']) == 8 and set(first['row']) == {100, 101, 102}
  assert np.bincount(first['row'] - 100).max() <= 3


@ENDLESS
def test_a_seed_decides_everything(make):
  np.testing.assert_array_equal(rows_of(make(0), 9), rows_of(make(0), 9))
  assert not np.array_equal(rows_of(make(0), 9), rows_of(make(1), 9))


@ENDLESS
def test_all_rows_of_a_training_batch_are_real(make):
  batch = next(make())
  assert batch['mask'].dtype == np.float32
  np.testing.assert_array_equal(batch['mask'], np.ones(BATCH))
  assert batch['x'].shape == (BATCH, 3) and batch['id'].dtype.kind == 'U'


@ENDLESS
@pytest.mark.parametrize('at', [0, 1, 5, 6, 40])
def test_state_round_trips(make, at):
  batches = make()
  for _ in range(at):
    next(batches)
  state = batches.get_state()
  rest = rows_of(batches, 12)
  other = make()
  next(other)
  other.set_state(state)
  np.testing.assert_array_equal(rows_of(other, 12), rest)


@ENDLESS
def test_state_is_one_number_that_json_can_hold(make):
  batches = make()
  next(batches), next(batches)
  assert batches.get_state() == {'next_index': 2}


@ENDLESS
@pytest.mark.parametrize('hosts', [2, 4])
def test_hosts_share_one_global_batch(make, hosts, monkeypatch):
  alone = make(batch=8)
  whole = [next(alone) for _ in range(10)]
  parts = []
  for host in range(hosts):
    monkeypatch.setattr(jax, 'process_count', lambda: hosts)
    monkeypatch.setattr(jax, 'process_index', lambda host=host: host)
    own = make(batch=8)
    parts.append([next(own) for _ in range(10)])
  for number, batch in enumerate(whole):
    pieces = [part[number] for part in parts]
    assert all(len(p['mask']) == 8 // hosts for p in pieces)
    for key in ('row', 'x', 'id'):
      np.testing.assert_array_equal(np.concatenate([p[key] for p in pieces]), batch[key])


@pytest.mark.parametrize('make', [shuffled, drawn])
def test_read_ahead_they_are_the_same_and_go_on_from_the_same_state(make):
  inline, ahead = make(), make(ahead=True)
  np.testing.assert_array_equal(rows_of(inline, 40), rows_of(ahead, 40))
  assert inline.get_state() == ahead.get_state() == {'next_index': 40}, 'what is read ahead is not given out yet'
  again = make(ahead=True)
  again.set_state(inline.get_state())
  np.testing.assert_array_equal(rows_of(again, 5), rows_of(inline, 5))


def noted(asked):
  def gather_(rows):
    asked.append(rows[0])
    return gather(rows)

  return gather_


@pytest.mark.parametrize('make', [batches_lib.shuffled, batches_lib.ordered])
def test_batches_are_gathered_before_they_are_asked_for_with_ahead_alone(make):
  for ahead in (False, True):
    asked = []
    batches = make(ROWS, noted(asked), BATCH, *([0] if make is batches_lib.shuffled else []), ahead)
    next(batches)
    wanted = 1 + (batches_lib.AHEAD.prefetch_buffer_size if ahead else 0)
    deadline = time.monotonic() + 30
    while len(asked) < wanted and time.monotonic() < deadline:
      time.sleep(0.01)
    assert len(asked) == wanted


@pytest.mark.parametrize('ahead', [False, True])
def test_what_gathering_refuses_is_raised_where_the_batch_is_asked_for(ahead):
  def refuse(rows):
    if rows[0] >= ROWS[8]:
      raise UserError('shard 3: damaged')
    return gather(rows)

  batches = batches_lib.ordered(ROWS, refuse, BATCH, ahead)
  next(batches), next(batches)
  with pytest.raises(UserError, match='shard 3: damaged'):
    next(batches)


def test_a_batch_that_hosts_cannot_share_is_refused(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 3)
  for make in (shuffled, drawn):
    with pytest.raises(ValueError, match='global batch of 4 does not divide among 3 hosts'):
      make()


def test_drawn_depends_on_seed_and_step_alone():
  batches = drawn(seed=7)
  for step in range(5):
    wanted = np.random.default_rng((7, step)).integers(0, 1000, BATCH)
    np.testing.assert_array_equal(next(batches)['row'], wanted)
  late = drawn(seed=7)
  late.set_state({'next_index': 1_000_000})
  wanted = np.random.default_rng((7, 1_000_000)).integers(0, 1000, BATCH)
  np.testing.assert_array_equal(next(late)['row'], wanted)


@pytest.mark.parametrize('ahead', [False, True])
@pytest.mark.parametrize('n', [1, 3, 4, 5, 8])
def test_ordered_is_one_pass_with_a_masked_tail(n, ahead):
  batches = list(batches_lib.ordered(ROWS[:n], gather, BATCH, ahead))
  assert len(batches) == -(-n // BATCH)
  assert all(len(b['row']) == len(b['mask']) == BATCH for b in batches)
  mask = np.concatenate([b['mask'] for b in batches])
  rows = np.concatenate([b['row'] for b in batches])
  np.testing.assert_array_equal(mask, np.arange(len(mask)) < n)
  np.testing.assert_array_equal(rows[:n], ROWS[:n])
  np.testing.assert_array_equal(rows[n:], np.full(len(rows) - n, batches[-1]['row'][0]))


def test_ordered_nothing_gives_no_batch():
  for ahead in (False, True):
    assert list(batches_lib.ordered(ROWS[:0], gather, BATCH, ahead)) == []
