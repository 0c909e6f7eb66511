"""Optimisers: coupled and decoupled decay, clipping, schedules, frozen modules, and the plateau rule."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import optim

BASE = dict(name='adam', lr=0.1, l2=0.0, decay=0.0, clip=0.0, schedule='constant', factor=0.1, patience=2, drops=3)


def adam_by_hand(w, gradients, l2=0.0, decay=0.0, lr=0.1):
  """torch.optim.Adam (l2, added to the gradient) or AdamW (decay, added to the update), default moments."""
  m = v = np.zeros_like(w)
  for t, gradient in enumerate(gradients, 1):
    gradient = gradient + l2 * w
    m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
    w = w - lr * (m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + decay * w)
  return w


def follow(tx, w, gradients):
  """Parameters and state after an update by each gradient."""

  @jax.jit
  def update(gradient, state, w):
    updates, state = tx.update(gradient, state, w)
    return optax.apply_updates(w, updates), state

  state = jax.jit(tx.init)(w)
  for gradient in gradients:
    w, state = update(gradient, state, w)
  return w, state


def run(config, w, gradients, steps=10, **options):
  return follow(optim.make({**BASE, **config}, steps, **options), w, gradients)


@pytest.mark.parametrize('decays', [{}, dict(l2=0.3), dict(decay=0.3), dict(l2=0.2, decay=0.1)])
def test_adam_with_either_decay(decays):
  rng = np.random.default_rng(0)
  w, gradients = rng.normal(size=4), rng.normal(size=(5, 4))
  got, _ = run(decays, jnp.asarray(w, jnp.float32), [jnp.asarray(g, jnp.float32) for g in gradients])
  np.testing.assert_allclose(got, adam_by_hand(w, gradients, **decays), rtol=1e-4, atol=1e-6)


def test_sgd_and_clipping_by_global_norm():
  w = {'a': jnp.zeros(2), 'b': jnp.zeros(1)}
  gradient = {'a': jnp.array([3.0, 0.0]), 'b': jnp.array([4.0])}  # norm 5
  got, _ = run(dict(name='sgd', clip=1.0), w, [gradient])
  np.testing.assert_allclose(got['a'], [-0.06, 0], atol=1e-7)
  np.testing.assert_allclose(got['b'], [-0.08], atol=1e-7)


def steps_taken(config, steps):
  """|update| of SGD on a constant gradient of 1, one per step."""
  tx = optim.make({**BASE, 'name': 'sgd', **config}, steps)
  state, out, zero = tx.init(np.zeros((), np.float32)), [], np.zeros((), np.float32)
  change = jax.jit(tx.update)
  for _ in range(steps):
    update, state = change(zero + 1, state, zero)
    out.append(-float(update))
  return out


def test_schedules():
  np.testing.assert_allclose(steps_taken({}, 4), [0.1] * 4)
  drops = steps_taken(dict(schedule='step', drops=3, factor=0.1), 8)  # 60 epochs, every 15: four equal pieces
  np.testing.assert_allclose(drops, [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4], rtol=1e-5)
  cosine = steps_taken(dict(schedule='cosine'), 4)
  np.testing.assert_allclose(cosine, 0.05 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-5)


def test_frozen_modules_stay_as_they_are_without_decay():
  w = {'encoder': {'k': jnp.ones(2)}, 'head': {'k': jnp.ones(2)}}
  gradient = jax.tree.map(jnp.ones_like, w)
  got, _ = run(dict(l2=0.5, decay=0.5), w, [gradient] * 3, frozen=('encoder',))
  np.testing.assert_array_equal(got['encoder']['k'], [1, 1])
  assert (np.asarray(got['head']['k']) < 0.9).all()


def test_keys_tell_apart_what_is_traced_otherwise():
  config = {'lr': 1.0, 'name': 'sgd', 'betas': [0.9, 0.99]}
  assert optim.unkey(optim.key(config)) == {**config, 'betas': (0.9, 0.99)}
  assert optim.key(config) == optim.key(dict(reversed(config.items()))) != optim.key({**config, 'lr': 1})
  assert hash(optim.key(config)) == hash(optim.key({**config, 'betas': (0.9, 0.99)}))


def test_unknown_names_are_refused():
  for change, listed in ((dict(name='lamb'), 'adam, sgd'), (dict(schedule='linear'), 'constant, cosine, plateau')):
    with pytest.raises(UserError, match=listed):
      optim.make({**BASE, **change}, 10)


def scales(values, factor=0.1, patience=2, threshold=1e-4) -> list[float]:
  """The factor after each value."""
  state, out = optim.make({**BASE, 'schedule': 'plateau'}, 10).init(jnp.zeros(3)), []
  for value in values:
    state = optim.observe(state, value, factor, patience, threshold)
    (plateau,) = (n for n in jax.tree.leaves(state, is_leaf=is_plateau) if is_plateau(n))
    out.append(float(plateau.scale))
  return out


def is_plateau(node) -> bool:
  return isinstance(node, optim.PlateauState)


def test_plateau_tolerates_patience_evaluations_and_lowers_at_the_next():
  # 1.0 is the best; two that do not improve are tolerated, the third lowers; then counting starts anew
  np.testing.assert_allclose(
    scales([1.0, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 0.5, 0.6, 0.4, 0.4, 0.4, 0.4]),
    [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.001], rtol=1e-5,
  )  # fmt: skip


def test_plateau_counts_only_relative_improvements():
  # an improvement must be larger than the relative threshold: 0.99995 is none of 1.0 at 1e-4, 0.9998 is
  np.testing.assert_allclose(scales([1.0, 0.99995, 0.9999, 0.99991]), [1, 1, 1, 0.1], rtol=1e-5)
  np.testing.assert_allclose(scales([1.0, 0.99995, 0.9998, 0.9998]), [1, 1, 1, 1])
  np.testing.assert_allclose(scales([1.0, 0.95, 0.95], patience=0, threshold=0.1), [1, 0.1, 0.01], rtol=1e-5)


def test_plateau_takes_values_that_are_not_finite_for_no_improvement():
  np.testing.assert_allclose(
    scales([np.nan, np.inf, 1.0, np.nan, np.nan, np.nan, 0.5]), [1, 1, 1, 1, 1, 0.1, 0.1], rtol=1e-5
  )
  np.testing.assert_allclose(scales([np.nan, np.nan, np.nan]), [1, 1, 0.1], rtol=1e-5)


def test_plateau_scales_the_update_and_reaches_into_frozen_wrappers():
  tx = optim.make({**BASE, 'name': 'sgd', 'schedule': 'plateau'}, 10, frozen=('encoder',))
  w = {'encoder': jnp.ones(2), 'head': jnp.ones(2)}
  state = tx.init(w)
  for value in (1.0, 2.0, 2.0, 2.0):
    state = optim.observe(state, value, factor=0.5, patience=2)
  updates, _ = tx.update(jax.tree.map(jnp.ones_like, w), state, w)
  np.testing.assert_allclose(updates['head'], [-0.05, -0.05])
  np.testing.assert_array_equal(updates['encoder'], [0, 0])


def test_warm_up_rises_by_steps_and_multiplies_the_schedule():
  np.testing.assert_allclose(steps_taken(dict(warmup=0.4), 10), 0.1 * np.minimum(1, np.arange(1, 11) / 4), rtol=1e-5)
  cosine = 0.05 * (1 + np.cos(np.pi * np.arange(10) / 10))
  rising = np.minimum(1, np.arange(1, 11) / 2)
  np.testing.assert_allclose(steps_taken(dict(warmup=0.2, schedule='cosine'), 10), cosine * rising, rtol=1e-4)
  whole = steps_taken(dict(warmup=1.0), 4)
  np.testing.assert_allclose(whole, [0.025, 0.05, 0.075, 0.1], rtol=1e-5)
  for none in ({}, dict(warmup=0.0), dict(warmup=0.04)):  # less than a step is none
    np.testing.assert_allclose(steps_taken(none, 10), [0.1] * 10)


@pytest.mark.parametrize('warmup', [-0.1, 1.5, float('nan')])
def test_a_warm_up_that_is_no_share_is_refused(warmup):
  with pytest.raises(UserError, match=f'run.optim.warmup is {warmup}; expected a share of the steps'):
    optim.make({**BASE, 'warmup': warmup}, 10)


def test_each_copy_has_an_optimiser_of_its_own():
  """Clipped by its own norm, moments of its own: as if it were alone, whatever the other one's gradients."""
  rng = np.random.default_rng(0)
  config = {**BASE, 'clip': 1.0, 'decay': 0.1, 'warmup': 0.5}
  scale = np.array([1, 1e4], np.float32)  # of the second copy's gradients
  draw = lambda: {k: rng.normal(size=shape).astype(np.float32) for k, shape in (('a', (2, 3)), ('b', (2,)))}
  w = draw()
  gradients = [{k: g * scale.reshape(-1, *[1] * (g.ndim - 1)) for k, g in draw().items()} for _ in range(4)]
  one = optim.make(config, 10)
  now, _ = follow(optim.each(one), w, gradients)
  for i in range(2):
    of = lambda tree, i=i: jax.tree.map(lambda x: x[i], tree)
    alone, _ = follow(one, of(w), [of(g) for g in gradients])
    chex.assert_trees_all_close(of(now), alone, rtol=1e-5, atol=1e-6)
