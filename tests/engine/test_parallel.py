"""Devices: what goes there comes back, keys differ where they should, donated buffers are gone, one equals eight."""

import json
import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from affectjax.engine import parallel, steps
from affectjax.engine.types import TrainState
from tests.helpers import small
from tests.helpers.shared import ROOT, flags_for


def linear_state(width: int = 3) -> TrainState:
  params = {'w': jnp.arange(1.0, width + 1), 'b': jnp.zeros(())}
  return TrainState.create(params, optax.sgd(0.1, momentum=0.9), jax.random.key(7), {'seen': np.zeros((), np.float32)})


def linear_loss(params, state, batch, keys):
  del keys
  error = batch['x'] @ params['w'] + params['b'] - batch['y']
  seen = state.extra['seen'] + parallel.total(batch['mask'].sum())
  return steps.Losses(jnp.square(error), {}, {'seen': seen})


def linear_batch(n: int, seed: int = 0) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(seed)
  x = rng.normal(size=(n, 3)).astype(np.float32)
  return {'x': x, 'y': rng.normal(size=n).astype(np.float32), 'mask': np.ones(n, np.float32)}


def linear_step():
  return parallel.pmap(steps.gradient_step(linear_loss, optax.sgd(0.1, momentum=0.9)), True)


def test_eight_devices():
  assert jax.local_device_count() == 8, 'tests/conftest.py asks for eight virtual devices'


def test_replicate_and_unreplicate_round_trip():
  state = linear_state()
  replicated = parallel.replicate(state)
  for leaf, copied in zip(jax.tree.leaves(state), jax.tree.leaves(replicated), strict=True):
    assert copied.shape == (8, *np.shape(leaf))
    assert len({shard.device for shard in copied.addressable_shards}) == 8
  back = parallel.unreplicate(replicated)
  assert jax.tree.structure(back) == jax.tree.structure(state)
  chex.assert_trees_all_equal(back, state)
  assert jax.random.key_impl(back.key) == jax.random.key_impl(state.key)


def test_shard_round_trip_and_strings_stay_behind():
  batch = {**linear_batch(16), 'id': np.array([f'a{i}' for i in range(16)]), 'name': ['x'] * 16}
  numbers, strings = parallel.split_strings(batch)
  assert set(strings) == {'id', 'name'} and set(numbers) == {'x', 'y', 'mask'}
  sharded = parallel.shard(numbers)
  assert sharded['x'].shape == (8, 2, 3) and sharded['y'].shape == (8, 2)
  assert {len(s.data) for s in sharded['x'].addressable_shards} == {1}
  for key, value in numbers.items():
    np.testing.assert_array_equal(np.asarray(sharded[key]).reshape(value.shape), value)


def test_a_batch_that_does_not_fill_the_devices_is_refused():
  with pytest.raises(ValueError, match='cannot reshape'):
    parallel.shard(linear_batch(12))


def test_round_up():
  assert [parallel.round_up(n) for n in (1, 8, 9, 256)] == [8, 8, 16, 256]
  assert [parallel.round_up(n, 5) for n in (1, 40, 41)] == [40, 40, 80]


def test_total_and_gather_see_all_devices_and_are_differentiable():
  x = np.arange(16.0, dtype=np.float32)

  def function(batch):
    rows = parallel.gather(batch)
    return parallel.total(batch.sum()), rows, jax.grad(lambda b: jnp.sum(parallel.gather(b) ** 2))(batch)

  total, rows, gradient = parallel.pmap(function)(parallel.shard({'x': x})['x'])
  np.testing.assert_array_equal(total, np.full(8, x.sum()))
  np.testing.assert_array_equal(rows, np.tile(x, (8, 1)))
  # every device adds up all rows: the derivative of the devices' sum is eight times that of one
  np.testing.assert_allclose(np.asarray(gradient).reshape(-1), 8 * 2 * x)


def test_pmap_is_compiled_once_per_function():
  function = lambda x: x
  assert parallel.pmap(function) is parallel.pmap(function)
  assert parallel.pmap(function) is not parallel.pmap(function, True)


def test_donated_buffers_are_deleted():
  step, replicated = linear_step(), parallel.replicate(linear_state())
  for seed in range(3):
    before = jax.tree.leaves(replicated)
    replicated, _ = step(replicated, parallel.shard(linear_batch(16, seed)))
    assert all(leaf.is_deleted() for leaf in before), f'step {seed} kept a copy of its input'
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(replicated))


def test_keys_differ_between_steps_and_devices():
  draw = parallel.pmap(lambda s: tuple(jax.random.key_data(k) for k in steps.step_keys(s)))
  found = set()
  for step in range(4):
    state = linear_state().replace(step=np.int32(step))
    shared, device = (np.asarray(k) for k in draw(parallel.replicate(state)))
    assert len({k.tobytes() for k in shared}) == 1, 'shared keys agree on all devices'
    assert len({k.tobytes() for k in device}) == 8
    found |= {k.tobytes() for k in (*shared, *device)}
  assert len(found) == 4 * (1 + 8), 'no key comes twice'
  again = np.asarray(draw(parallel.replicate(state))[1])
  np.testing.assert_array_equal(again, device)


def test_the_step_by_hand():
  """One update of momentum SGD on the mean over all rows, against numpy."""
  state, batch = linear_state(), linear_batch(16)
  after, scalars = linear_step()(parallel.replicate(state), parallel.shard(batch))
  w = np.arange(1.0, 4)
  error = batch['x'] @ w - batch['y']
  gradient = 2 * (error[:, None] * batch['x']).mean(0)
  after = parallel.unreplicate(after)
  np.testing.assert_allclose(after.params['w'], w - 0.1 * gradient, rtol=1e-5)
  np.testing.assert_allclose(np.asarray(scalars['loss']), np.full(8, (error**2).mean()), rtol=1e-5)
  norm = np.sqrt((gradient**2).sum() + (2 * error.mean()) ** 2)
  np.testing.assert_allclose(np.asarray(scalars['grad_norm'])[0], norm, rtol=1e-5)
  assert int(after.step) == 1 and int(after.skipped) == 0


@pytest.mark.parametrize('junk', [0.0, 1e30, np.inf, np.nan])
def test_padding_is_invisible_in_the_step(junk):
  full = linear_batch(16)
  real = np.ones(32, bool)
  real[[0, 1, 2, 3, 9, *range(21, 32)]] = False  # a device with padding only, others with some
  padded = {k: np.full((32, *v.shape[1:]), junk, v.dtype) for k, v in full.items()}
  for key, value in full.items():
    padded[key][real] = value
  padded['mask'] = real.astype(np.float32)
  step = linear_step()
  plain, wanted = step(parallel.replicate(linear_state()), parallel.shard(full))
  masked, got = step(parallel.replicate(linear_state()), parallel.shard(padded))
  np.testing.assert_allclose(np.asarray(got['loss']), np.asarray(wanted['loss']), rtol=1e-6)
  masked, plain = parallel.unreplicate(masked), parallel.unreplicate(plain)
  chex.assert_trees_all_equal(masked.key, plain.key)
  chex.assert_trees_all_close(masked.replace(key=None), plain.replace(key=None), rtol=1e-5, atol=1e-6)


def curve(folder, devices: int) -> list[float]:
  """Losses of 50 SGD steps of the real MT-CLAR loss, in a process with so many devices."""
  changes = dict(steps=50, eval_every=0, select='last', optim=small.SGD, loss=dict(weights='random'), **small.STILL)
  environment = {**os.environ, 'XLA_FLAGS': flags_for(devices)}
  subprocess.run(
    [sys.executable, '-m', 'tests.helpers.small', str(folder), json.dumps(changes)],
    check=True,
    cwd=ROOT,
    env=environment,
  )
  return [line['loss'] for line in small.lines(folder / 'metrics.jsonl') if 'loss' in line]


@pytest.mark.slow
def test_one_device_and_eight_train_the_same_curve(tmp_path):
  one, eight = curve(tmp_path / 'one', 1), curve(tmp_path / 'eight', 8)
  assert len(one) == len(eight) == 50
  np.testing.assert_allclose(eight, one, atol=1e-5)
  assert np.mean(one[-10:]) < np.mean(one[:10]), 'the curve must go somewhere for the comparison to mean anything'
