"""AmbER^2's copies side by side: settings of a search, members of an ensemble; none knows of another."""

import chex
import jax
import numpy as np
import pytest

from tests.helpers import amber2_small as small
from tests.helpers.amber2_small import ADAM, DROPOUT, SGD, copy_of, differ


@pytest.mark.slow
def test_a_setting_of_a_search_is_its_run_alone():
  """Same start, same dropout: three steps with clipping, decay and moments, for each of four settings."""
  batches = [small.batch(32, seed) for seed in range(3)]
  cell, start = small.spec('search', **DROPOUT), small.state('search', ADAM, fresh=True, **DROPOUT)
  together, _ = small.steps(cell, start, batches, ADAM)
  grid = [(0.3, 2.0), (0.3, 8.0), (0.7, 2.0), (0.7, 8.0)]
  assert cell.copies == 4 and start.extra['numbers']['lambda_mai'].tolist() == pytest.approx([g[0] for g in grid])
  predicted = small.predict(cell, together, batches[0])
  for i, (lambda_mai, kappa) in enumerate(grid):
    changes = dict(loss=dict(lambda_mai=lambda_mai, kappa=kappa), **DROPOUT)
    one, first = small.spec(**changes), small.state('amber2', ADAM, fresh=True, **changes)
    chex.assert_trees_all_equal(copy_of(start.params, i), first.params)
    alone, _ = small.steps(one, first, batches, ADAM)
    chex.assert_trees_all_close(copy_of(together.params, i), alone.params, rtol=1e-4, atol=2e-6)
    found = small.predict(one, alone, batches[0])
    for head in ('fusion', 'audio', 'text', 'fusion_audio', 'fusion_text'):
      np.testing.assert_allclose(predicted[f'share_{head}'][:, i], found[f'share_{head}'], atol=2e-6)
  assert len({predicted['share_fusion'][:, i].tobytes() for i in range(4)}) == 4


def test_copies_do_not_leak_into_each_other():
  """What another setting is, however wild, is nothing to a copy: not even by the norm that is clipped."""
  batches = [small.batch(32, seed) for seed in range(3)]
  found = []
  for other in (1e-3, 1e4):
    start = small.state('search', ADAM, **DROPOUT)
    rai = start.extra['numbers']['lambda_rai'].copy()
    rai[1:] *= other
    start = start.replace(extra={**start.extra, 'numbers': {**start.extra['numbers'], 'lambda_rai': rai}})
    after, logged = small.steps(small.spec('search', **DROPOUT), start, batches, ADAM)
    found.append((after, logged))
  assert found[1][1][0]['grad_norm'] > 100 > found[0][1][0]['grad_norm']
  chex.assert_trees_all_equal(copy_of(found[0][0].params, 0), copy_of(found[1][0].params, 0))
  assert differ(copy_of(found[0][0].params, 1), copy_of(found[1][0].params, 1))


@pytest.mark.slow
def test_clipping_is_of_each_copy():
  optimizer, batch = {**SGD, 'clip': 1e-2, 'lr': 1.0}, small.batch(32)
  start = small.state('search', optimizer)
  after, _ = small.steps(small.spec('search'), start, [batch], optimizer)
  moved = jax.tree.map(lambda a, b: np.asarray(a) - b, after.params, start.params)
  norms = np.sqrt(sum(np.square(v).reshape(4, -1).sum(1) for v in jax.tree.leaves(moved)))
  np.testing.assert_allclose(norms, 1e-2, rtol=1e-4)


@pytest.mark.slow
def test_members_of_an_ensemble_differ_and_their_mean_is_predicted():
  cell, batch = small.spec('ensemble', **DROPOUT), small.batch(32)
  start = small.state('ensemble', ADAM, fresh=True, **DROPOUT)
  assert differ(copy_of(start.params, 0), copy_of(start.params, 1))
  after, _ = small.steps(cell, start, [batch, batch], ADAM)
  shares = small.predict(cell, after, batch)['share_fusion']
  assert cell.copies == 3 and shares.shape == (32, 4)
  single = small.spec('ce_fusion', **DROPOUT)
  each = [small.predict(single, after.replace(params=copy_of(after.params, i)), batch)['share_fusion']
          for i in range(3)]  # fmt: skip
  np.testing.assert_allclose(shares, np.mean(each, 0), atol=1e-6)
  assert min(np.abs(each[i] - each[j]).max() for i in range(3) for j in range(i)) > 0.01
  alone, _ = small.steps(single, small.state('ce_fusion', ADAM, fresh=True, **DROPOUT), [batch, batch], ADAM)
  chex.assert_trees_all_close(copy_of(after.params, 0), alone.params, rtol=1e-4, atol=2e-6)


@pytest.mark.slow
def test_members_see_dropout_of_their_own():
  """Two members made alike part in the first step; two settings that are alike do not."""
  cell, start = small.spec('ensemble', **DROPOUT), small.state('ensemble', ADAM, **DROPOUT)
  alike = start.replace(params=jax.tree.map(lambda x: np.repeat(x[:1], 3, 0), start.params))
  after, _ = small.steps(cell, alike, [small.batch(32)], ADAM)
  assert differ(copy_of(after.params, 0), copy_of(after.params, 1))
  settings, start = small.spec('search', **DROPOUT), small.state('search', ADAM, **DROPOUT)
  numbers = {k: np.repeat(v[:1], 4, 0) for k, v in start.extra['numbers'].items()}
  after, _ = small.steps(settings, start.replace(extra={**start.extra, 'numbers': numbers}), [small.batch(32)], ADAM)
  chex.assert_trees_all_equal(copy_of(after.params, 0), copy_of(after.params, 1))
