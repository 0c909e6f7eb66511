"""What is traced: once, for however many cells are equal in what is traced; and what a batch, outputs, scalars are."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.engine import parallel, train
from affectjax.engine.types import check_batch
from tests.helpers import amber2_small, lu_small, small, vavl_small
from tests.helpers import toy as toys


@pytest.fixture(autouse=True)
def nothing_kept():
  parallel.pmap.cache_clear()


def test_a_second_equal_cell_traces_nothing(run, tmp_path):
  """Steps, evaluations on dev, dev and test at the end; another experiment object, another seed, the same functions."""
  step, predict = (chex.assert_max_traces(function, n=1) for function in (toys.step, toys.predict))
  for seed in (0, 1):
    run(tmp_path / str(seed), dataclasses.replace(toys.toy(), step=step, predict=predict), seed=seed)
  with pytest.raises(AssertionError, match='traced'):  # equal, but another object
    run(tmp_path / 'other', dataclasses.replace(toys.toy(), step=lambda *args: step(*args), predict=predict))


CELLS = {
  'siamese': lambda **other: small.config('siamese', **other),
  'head': lambda **other: small.config('control_va_afew_va', 'representation', **other),
  'amber2': lambda **other: amber2_small.config('amber2', **other),
  'label_uncertainty': lambda **other: lu_small.config('t_lu', **other),
  'vavl': lambda **other: vavl_small.config('vavl_p10', 'crema_d', **other),
}


@pytest.mark.parametrize('cell', CELLS)
def test_equal_cells_of_a_system_hand_over_the_same_functions(cell):
  """Another seed and another way to select; the length of the run is given, for the schedule is traced."""
  config = {**CELLS[cell](), 'steps': 8}
  one, two = (train.system(config['system']).build(made, None) for made in (config, {**config, 'seed': 1}))
  assert one.step is two.step and one.predict is two.predict
  slower = {**config, 'optim': {**config['optim'], 'lr': 0.5 * config['optim']['lr']}}
  assert train.system(config['system']).build(slower, None).step is not one.step, 'the rate is traced'


@pytest.mark.parametrize('wrong', [
  dict(mask=np.ones((16, 1))), dict(mask=np.ones(15)), dict(x=np.ones((8, 2))), dict(id=np.array(['a']))],
  ids=lambda wrong: '-'.join(wrong))  # fmt: skip
def test_a_batch_is_of_one_length_with_a_mask(wrong):
  batch = {'mask': np.ones(16), 'x': np.ones((16, 2)), 'id': np.array(['a'] * 16)}
  check_batch(batch)
  with pytest.raises(AssertionError):
    check_batch({**batch, **wrong})


def test_a_batch_fills_all_devices_alike():
  n = jax.local_device_count()
  check_batch({'mask': np.ones(2 * n)})
  with pytest.raises(AssertionError):
    check_batch({'mask': np.ones(2 * n - 1)})


def test_scalars_are_scalars_and_predictions_are_of_examples(run, tmp_path):
  def wide(state, batch):
    state, scalars = toys.step(state, batch)
    return state, {**scalars, 'each': batch['y']}

  with pytest.raises(AssertionError, match='rank'):
    run(tmp_path / 'step', dataclasses.replace(toys.toy(), step=wide))
  mean = lambda state, batch: {'y_hat': jnp.zeros(3), 'step': jnp.full(len(batch['mask']), state.step)}
  with pytest.raises(AssertionError, match='shape'):
    run(tmp_path / 'predict', dataclasses.replace(toys.toy(), predict=mean))


def test_parameters_to_start_from_are_finite_where_jax_is_to_look_for_nans(run, tmp_path):
  def init(key, batch):
    state = toys.toy().init(key, batch)
    return state.replace(params=jax.tree.map(lambda x: np.full_like(x, np.nan), state.params))

  spoilt = dataclasses.replace(toys.toy(), init=init)
  with jax.debug_nans(True), pytest.raises(AssertionError, match='finite'):
    run(tmp_path, spoilt)
