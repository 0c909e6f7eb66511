"""Checkpoints: which steps are kept, which is selected, and what comes back."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import checkpoint
from affectjax.engine.types import TrainState


def state_at(step: int, width: int = 3) -> TrainState:
  params = {'encoder': {'w': jnp.full((width, 2), float(step))}, 'head': {'b': jnp.ones(2) * step}}
  extra = {'batch_stats': {'mean': np.full(2, step, np.float32)}, 'input': {'scale': np.ones(width, np.float32)}}
  state = TrainState.create(params, optax.adam(0.1), jax.random.key(step), extra)
  return state.replace(step=np.int32(step), skipped=np.int32(1))


def save(folder, scores, select='loss', mode='min') -> checkpoint.Checkpoints:
  kept = checkpoint.Checkpoints(folder, select, mode)
  for step, value in enumerate(scores, 1):
    kept.save(step, state_at(step), {'batches': {'next_index': 10 * step}}, {'loss': value, 'other': 0.0})
  kept.close()
  return checkpoint.Checkpoints(folder, select, mode)


def on_disk(folder) -> list[int]:
  return sorted(int(p.name) for p in (folder / 'checkpoints' / 'steps').iterdir() if p.name.isdigit())


@pytest.mark.parametrize(
  ('select', 'mode', 'scores', 'selected'),
  [
    ('loss', 'min', [3.0, 1.0, 2.0, 4.0], 2),
    ('loss', 'max', [3.0, 5.0, 2.0, 4.0], 2),
    ('loss', 'min', [3.0, 2.0, 1.0], 3),
    ('loss', 'max', [3.0, 2.0, 1.0], 1),
    ('loss', 'min', [2.0, float('nan'), 1.5, 3.0], 3),
    ('loss', 'max', [2.0, float('nan'), 1.5, 0.5], 1),
    ('loss', 'min', [float('nan'), float('nan')], 2),
    ('loss', 'min', [1.0, 1.0, 1.0], 3),
    ('last', 'min', [3.0, 1.0, 2.0], 3),
  ],
)
def test_latest_and_selected_are_kept_and_no_other(tmp_path, select, mode, scores, selected):
  kept = save(tmp_path, scores, select, mode)
  assert kept.latest() == len(scores)
  assert kept.selected() == selected
  assert on_disk(tmp_path) == sorted({selected, len(scores)})
  state, position = kept.restore(selected, state_at(0))
  chex.assert_trees_all_equal(state, state_at(selected))
  assert position == {'batches': {'next_index': 10 * selected}}
  kept.close()


def test_a_state_comes_back_to_the_bit(tmp_path):
  kept = save(tmp_path, [1.0])
  state, _ = kept.restore(1, state_at(0))
  assert jax.tree.structure(state) == jax.tree.structure(state_at(1))
  chex.assert_trees_all_equal(state, state_at(1))
  for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(state_at(1)), strict=True):
    assert np.dtype(a.dtype) == np.dtype(b.dtype) if not hasattr(b, 'aval') else a.dtype == b.dtype
  kept.close()


def test_nothing_yet(tmp_path):
  kept = checkpoint.Checkpoints(tmp_path)
  assert kept.latest() is None and kept.selected() is None
  kept.close()


def test_a_score_that_is_not_there_is_refused_with_those_that_are(tmp_path):
  kept = checkpoint.Checkpoints(tmp_path, 'ccc', 'max')
  with pytest.raises(UserError, match=r"unknown score in run.select 'ccc'; there is: last, loss, other"):
    kept.save(1, state_at(1), {}, {'loss': 1.0, 'other': 2.0})
  kept.close()


def test_saving_a_step_twice_is_an_error_and_never_silent(tmp_path):
  kept = save(tmp_path, [1.0, 2.0])
  with pytest.raises(Exception, match='2'):
    kept.save(2, state_at(2), {}, {'loss': 1.0})
  kept.close()


def test_final_keeps_parameters_and_extra_and_the_steps_go_when_told(tmp_path):
  save(tmp_path, [1.0, 2.0]).close()
  checkpoint.save_final(tmp_path, state_at(2))
  assert on_disk(tmp_path) == [1, 2]
  checkpoint.drop_steps(tmp_path)
  assert [p.name for p in (tmp_path / 'checkpoints').iterdir()] == ['final']
  checkpoint.drop_steps(tmp_path)  # as often as one likes
  tree = checkpoint.load_final(tmp_path)
  chex.assert_trees_all_equal(tree, {'params': state_at(2).params, 'extra': state_at(2).extra})
  checkpoint.save_final(tmp_path, state_at(1))  # and it can be written again
  chex.assert_trees_all_equal(checkpoint.load_final(tmp_path)['params'], state_at(1).params)


def test_a_cell_that_is_not_finished_is_no_warm_start(tmp_path):
  with pytest.raises(UserError, match='no finished parameters'):
    checkpoint.load_final(tmp_path)


def test_warm_start_takes_all_or_what_is_named(tmp_path):
  checkpoint.save_final(tmp_path, state_at(5))
  source = checkpoint.load_final(tmp_path)
  whole = checkpoint.warm(state_at(0), source, ())
  chex.assert_trees_all_equal(whole.params, state_at(5).params)
  chex.assert_trees_all_equal(whole.extra, state_at(5).extra)
  chex.assert_trees_all_equal(whole.key, state_at(0).key)
  part = checkpoint.warm(state_at(0), source, ('encoder', 'input'))
  chex.assert_trees_all_equal(
    part.params, {'encoder': state_at(5).params['encoder'], 'head': state_at(0).params['head']}
  )
  chex.assert_trees_all_equal(part.extra['batch_stats'], state_at(0).extra['batch_stats'])


def test_warm_start_refuses_what_does_not_fit(tmp_path):
  checkpoint.save_final(tmp_path, state_at(5))
  source = checkpoint.load_final(tmp_path)
  with pytest.raises(UserError, match=r"encoder\['w'\] has shape \(3, 2\) there and \(4, 2\) here"):
    checkpoint.warm(state_at(0, width=4), source, ())
  with pytest.raises(UserError, match=r"'teacher' is not on both sides; there: .*encoder"):
    checkpoint.warm(state_at(0), source, ('teacher',))


def test_a_system_without_parameters_can_be_stored(tmp_path):
  empty = TrainState.create({}, optax.identity(), jax.random.key(0))
  checkpoint.save_final(tmp_path, empty)
  tree = checkpoint.load_final(tmp_path)
  assert not tree['params'] and not tree['extra']


def test_data_positions_are_plain_json(tmp_path):
  save(tmp_path, [1.0]).close()
  files = [p for p in (tmp_path / 'checkpoints' / 'steps' / '1' / 'data').iterdir() if p.is_file()]
  assert any(json.loads(p.read_text()) == {'batches': {'next_index': 10}} for p in files)


@pytest.mark.parametrize('gone', range(5))
def test_a_superseded_checkpoint_deleted_in_part_does_no_harm(tmp_path, gone):
  """A kill while an older step is being removed leaves some of its files."""
  save(tmp_path, [3.0, 1.0, 2.0]).close()
  steps = tmp_path / 'checkpoints' / 'steps'
  shutil.copytree(steps / '2', steps / '1')
  files = sorted(p for p in (steps / '1').rglob('*') if p.is_file())
  for path in files[gone::5]:
    path.unlink()
  (steps / '4.orbax-checkpoint-tmp').mkdir()
  kept = checkpoint.Checkpoints(tmp_path, 'loss', 'min')
  assert kept.latest() == 3 and kept.selected() == 2
  chex.assert_trees_all_equal(kept.restore(3, state_at(0))[0], state_at(3))
  kept.save(4, state_at(4), {}, {'loss': 0.5, 'other': 0.0})
  kept.close()
  assert on_disk(tmp_path) == [4]
  assert not list(steps.glob('*tmp*'))


# Copies, side by side, that start from one


def copies_at(n: int, step: int = 0, width: int = 3) -> TrainState:
  params = jax.tree.map(lambda x: jnp.stack([x] * n), state_at(step, width).params)
  return TrainState.create(params, optax.adam(0.1), jax.random.key(step), dict(state_at(step, width).extra))


@pytest.mark.parametrize('n', [1, 2, 3])  # 3 is also the width of a leaf
def test_one_pretrained_module_goes_into_every_copy(tmp_path, n):
  checkpoint.save_final(tmp_path, state_at(5))
  source = checkpoint.load_final(tmp_path)
  warm = checkpoint.warm(copies_at(n), source, ('encoder', 'input'))
  for i in range(n):
    chex.assert_trees_all_equal(
      jax.tree.map(lambda x, i=i: x[i], warm.params['encoder']), state_at(5).params['encoder']
    )
  assert warm.params['encoder']['w'].shape == (n, 3, 2)
  chex.assert_trees_all_equal(warm.params['head'], copies_at(n).params['head'])
  chex.assert_trees_all_equal(warm.extra['input'], state_at(5).extra['input'])


def test_copies_start_from_as_many_copies(tmp_path):
  checkpoint.save_final(tmp_path, copies_at(2, 5))
  warm = checkpoint.warm(copies_at(2), checkpoint.load_final(tmp_path), ('encoder',))
  chex.assert_trees_all_equal(warm.params['encoder'], copies_at(2, 5).params['encoder'])
  with pytest.raises(UserError, match=r"encoder\['w'\] has shape \(2, 3, 2\) there and \(3, 3, 2\) here"):
    checkpoint.warm(copies_at(3), checkpoint.load_final(tmp_path), ('encoder',))
  with pytest.raises(UserError, match=r"encoder\['w'\] has shape \(2, 3, 2\) there and \(3, 2\) here"):
    checkpoint.warm(state_at(0), checkpoint.load_final(tmp_path), ('encoder',))


def test_copies_do_not_hide_another_width(tmp_path):
  checkpoint.save_final(tmp_path, state_at(5))
  with pytest.raises(UserError, match=r"encoder\['w'\] has shape \(3, 2\) there and \(2, 4, 2\) here"):
    checkpoint.warm(copies_at(2, width=4), checkpoint.load_final(tmp_path), ('encoder',))


def test_a_single_number_is_taken_over_and_goes_into_copies(tmp_path):
  """A leaf without axes is no copy of anything."""
  fresh = lambda value: TrainState.create({}, optax.identity(), jax.random.key(0), {'scale': value})
  checkpoint.save_final(tmp_path, fresh(np.float32(7)))
  source = checkpoint.load_final(tmp_path)
  assert checkpoint.warm(fresh(np.float32(0)), source, ('scale',)).extra['scale'] == 7
  np.testing.assert_array_equal(
    checkpoint.warm(fresh(np.zeros(2, np.float32)), source, ('scale',)).extra['scale'], [7, 7]
  )


# Which steps are written


def test_a_step_is_due_when_it_may_be_reported_or_some_evaluations_have_passed(tmp_path):
  for mode, sign in (('min', 1), ('max', -1)):
    kept = checkpoint.Checkpoints(tmp_path / mode, 'loss', mode)
    score = lambda value, sign=sign: {'loss': sign * value, 'other': 0.0}
    assert kept.due(score(5.0)) and kept.due(score(float('nan'))), 'the first always'
    kept.save(1, state_at(1), {}, score(1.0))
    assert not kept.due(score(1.1)) and not kept.due(score(float('nan')))
    assert kept.due(score(1.0)) and kept.due(score(0.9)), 'the later of equals is reported'
    kept.save(2, state_at(2), {}, score(1.0))
    assert [kept.due(score(1.1)) for _ in range(checkpoint.EVERY)] == [False] * (checkpoint.EVERY - 1) + [True]
    assert kept.due({'other': 0.0}), 'what is missing is refused by save, not here'
    kept.save(3, state_at(3), {}, score(1.1))
    assert not kept.due(score(1.05)), 'the best is still that of step 2'
    kept.close()
    again = checkpoint.Checkpoints(tmp_path / mode, 'loss', mode)
    assert not again.due(score(1.1)) and again.due(score(1.0)), 'a run that goes on knows the best of before'
    assert again.selected() == 2
    again.close()


def test_with_nothing_to_select_by_every_evaluation_is_due(tmp_path):
  kept = checkpoint.Checkpoints(tmp_path)
  kept.save(1, state_at(1), {}, {'loss': 1.0})
  assert kept.due({'loss': 2.0})
  kept.close()
