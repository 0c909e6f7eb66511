"""Early stopping: where it ends, what is recorded, that a killed run ends the same; and where a cell's time goes."""

import dataclasses
import math
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import cell, checkpoint, steps, train
from affectjax.engine.clock import Clock
from affectjax.tables import cells, records
from tests.helpers import small
from tests.helpers.table_small import RUN, table
from tests.helpers.toy import CONFIG, CURVE, TX, evaluated, init, loss, toy
from tests.helpers.watched import Stop

NAMES = ['dev/id', 'dev/step', 'dev/y_hat', 'test/id', 'test/step', 'test/y_hat']  # of the predictions

# Where it ends


@pytest.mark.parametrize(
  ('patience', 'taken', 'selected'),
  [(0, 12, 12), (1, 6, 4), (2, 8, 4), (3, 12, 12), (100, 12, 12)],  # with 3 the better score of step 10 comes in time
)
def test_training_ends_so_many_evaluations_after_the_best(run, tmp_path, patience, taken, selected):
  result = run(tmp_path, patience=patience)
  assert (result.steps, result.selected_step) == (taken, selected)
  assert evaluated(tmp_path) == list(range(2, taken + 1, 2))
  assert max(line['step'] for line in small.lines(tmp_path / 'metrics.jsonl')) == taken
  assert result.dev == {'loss': CURVE[selected // 2 - 1], 'acc': -CURVE[selected // 2 - 1]}
  with np.load(tmp_path / 'predictions.npz') as file:
    assert set(file['test/step']) == set(file['dev/step']) == {selected}, 'predictions are those of the selected step'


def test_a_config_without_patience_trains_to_the_end(run, tmp_path, monkeypatch):
  monkeypatch.delitem(CONFIG, 'patience')
  assert run(tmp_path).steps == 12


@pytest.mark.parametrize('curve', [(0.9, 0.5, 0.6, 0.7, 0.1), (0.9, 0.5, math.nan, math.nan, 0.1)])
def test_the_other_mode_and_scores_that_are_no_number(run, tmp_path, curve):
  for mode, select in (('min', 'loss'), ('max', 'acc')):
    result = run(tmp_path / mode, toy(curve), select=select, select_mode=mode)
    assert (result.steps, result.selected_step) == (8, 4)


def test_an_equal_score_is_selected_and_patience_begins_anew(run, tmp_path):
  result = run(tmp_path, toy((0.5, 0.6, 0.5, 0.6, 0.7, 0.1)))
  assert (result.steps, result.selected_step) == (10, 6)
  result = run(tmp_path / 'constant', toy((0.5,) * 5))
  assert (result.steps, result.selected_step) == (10, 10)


def test_the_last_step_may_lie_between_evaluations(run, tmp_path):
  result = run(tmp_path, toy((0.5, 0.6, 0.4), length=5), patience=2)
  assert (result.steps, result.selected_step) == (5, 5) and evaluated(tmp_path) == [2, 4, 5]
  result = run(tmp_path / 'worse', toy((0.5, 0.6, 0.7), length=5), patience=2)
  assert (result.steps, result.selected_step) == (5, 2)


def test_the_record_says_so(tmp_path, monkeypatch):
  monkeypatch.setattr(train, 'system', lambda _: type('S', (), {'build': staticmethod(lambda *_: toy())}))
  made = table({'a': {}}, run={**RUN, **CONFIG, 'system': RUN['system']}, folds=('0',))
  (cell,) = cells.plan(made)
  assert cells.run_cell(made, cell, tmp_path, lambda *_: None, True) is None
  (record,) = records.load(tmp_path).values()
  assert (record['steps'], record['selected_step'], record['config']['patience']) == (8, 4, 2)
  assert set(record['timing']) == {'setup', 'train', 'predict', 'compile'}


@pytest.mark.parametrize(
  'wrong',
  [dict(eval_every=0), dict(select='last'), dict(eval_every=0, select='last'), dict(patience=-1)],
  ids=lambda wrong: ' '.join(wrong),
)
def test_patience_without_effect_is_refused_before_anything_is_done(run, tmp_path, wrong):
  told = {**CONFIG, **wrong}
  message = (
    f"run.patience is {told['patience']}, run.eval_every {told['eval_every']} and run.select '{told['select']}'; "
  )
  with pytest.raises(UserError, match=message) as error:
    run(tmp_path / 'cell', **wrong)
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'cell').exists()


def test_without_patience_nothing_needs_to_be_selected(run, tmp_path):
  result = run(tmp_path, patience=0, eval_every=0, select='last')
  assert (result.steps, result.selected_step) == (12, 12) and evaluated(tmp_path) == [12]


def two(fast, slow, every: int = 2):
  """Two learning rates side by side, whose dev losses are told beforehand; the lower one counts."""

  def score(outputs) -> dict[str, float]:
    at = -(-int(outputs['step'][0]) // every) - 1
    return {'loss': min(fast[at], slow[at]), 'search.fast': fast[at], 'search.slow': slow[at]}

  return dataclasses.replace(toy(fast, every), score=score)


FASTER, SLOWER = (0.5, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9), (0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.4, 0.5, 0.6)


def test_patience_may_wait_for_whatever_is_tried_side_by_side(run, tmp_path):
  best = run(tmp_path / 'best', two(FASTER, SLOWER))
  assert (best.steps, best.selected_step) == (8, 4), 'the slower one still got better'
  each = run(tmp_path / 'each', two(FASTER, SLOWER), patience_for='each')
  assert (each.steps, each.selected_step) == (16, 12)
  alone = run(tmp_path / 'alone', toy(), patience_for='each')  # nothing is tried side by side
  assert (alone.steps, alone.selected_step) == (8, 4)


@pytest.mark.campaign(3)
@pytest.mark.parametrize('kill', [6, 12, 15])
def test_a_killed_run_is_as_patient(run, tmp_path, kill):
  whole = run(tmp_path / 'whole', two(FASTER, SLOWER), patience_for='each')
  with pytest.raises(Stop):
    run(tmp_path / 'torn', two(FASTER, SLOWER), kill=kill, patience_for='each')
  again = run(tmp_path / 'torn', two(FASTER, SLOWER), patience_for='each')
  assert again._replace(timing={}) == whole._replace(timing={})


def test_patience_for_nothing_known_is_refused(run, tmp_path):
  with pytest.raises(UserError, match="unknown run.patience_for 'all'; there is: best, each"):
    run(tmp_path / 'cell', patience_for='all')
  assert not (tmp_path / 'cell').exists()


# Evaluations by epochs


@pytest.mark.parametrize(
  ('epochs', 'epoch', 'every'), [(1.0, 3, 3), (2.0, 3, 6), (0.5, 3, 2), (0.5, 5, 2), (0.01, 3, 1), (1.0, 100, 12)]
)
def test_evaluations_may_be_told_in_epochs(run, tmp_path, epochs, epoch, every):
  """Rounded to steps, one at least; the last step is evaluated as well."""
  experiment = dataclasses.replace(toy((0.5,) * 12, every, length=12), epoch=epoch)
  result = run(tmp_path, experiment, eval_every=0, eval_epochs=epochs, patience=0)
  assert result.steps == 12 and evaluated(tmp_path) == list(range(every, 13, every))


def test_patience_counts_evaluations_whatever_they_are_told_in(run, tmp_path):
  experiment = dataclasses.replace(toy(CURVE, 3), epoch=3)
  result = run(tmp_path, experiment, eval_every=0, eval_epochs=1.0)
  assert (result.steps, result.selected_step) == (12, 6) and evaluated(tmp_path) == [3, 6, 9, 12]
  result = run(tmp_path / 'both', experiment, eval_every=5, eval_epochs=1.0)  # epochs count
  assert (result.steps, result.selected_step) == (12, 6)


@pytest.mark.parametrize(('epochs', 'epoch'), [(-1.0, 3), (1.0, 0)])
def test_epochs_that_cannot_be_counted_are_refused(run, tmp_path, epochs, epoch):
  with pytest.raises(UserError, match=f'run.eval_epochs is {epochs:g}, an epoch of toy has {epoch} steps') as error:
    run(tmp_path, dataclasses.replace(toy(), epoch=epoch), eval_every=0, eval_epochs=epochs)
  assert '\n' not in str(error.value)


# Which steps are written


@pytest.fixture
def saved(monkeypatch):
  """The steps that are written, in order."""
  steps_, save = [], checkpoint.Checkpoints.save
  monkeypatch.setattr(
    checkpoint.Checkpoints, 'save', lambda self, step, *a: steps_.append(step) or save(self, step, *a)
  )
  return steps_


def test_only_steps_that_may_be_reported_are_written_and_a_killed_run_ends_the_same(run, tmp_path, saved):
  made = toy((0.9, 0.5, 0.7, 0.6, 0.8, 0.5, 0.9))  # of steps 2, 4, ..
  whole = run(tmp_path / 'whole', made, patience=0)
  assert saved == [2, 4, 12, 14], 'the better, the equal one, and the last'
  saved.clear()
  with pytest.raises(Stop):
    run(tmp_path / 'torn', made, patience=0, kill=11)
  assert saved == [2, 4]
  same(tmp_path / 'torn', tmp_path / 'whole', run(tmp_path / 'torn', made, patience=0), whole)
  assert saved == [2, 4, 12, 14], 'no more than in one go'


def test_now_and_then_a_step_is_written_all_the_same(run, tmp_path, saved, monkeypatch):
  monkeypatch.setattr(checkpoint, 'EVERY', 2)
  run(tmp_path, toy((0.1, 0.5, 0.7, 0.6, 0.8, 0.5, 0.9)), patience=0)
  assert saved == [2, 6, 10, 14]


# Killed and gone on


def same(torn, whole, resumed, uninterrupted) -> None:
  """Results but for their time, log, predictions and final parameters, bit for bit."""
  assert resumed._replace(timing={}) == uninterrupted._replace(timing={})
  assert small.lines(torn / 'metrics.jsonl') == small.lines(whole / 'metrics.jsonl')
  with np.load(torn / 'predictions.npz') as first, np.load(whole / 'predictions.npz') as second:
    assert sorted(first) == sorted(second) == NAMES
    for name in second:
      assert first[name].tobytes() == second[name].tobytes(), name
  chex.assert_trees_all_equal(checkpoint.load_final(torn), checkpoint.load_final(whole))


@pytest.mark.campaign(4)
@pytest.mark.parametrize('kill', range(1, 9))
def test_killed_at_any_step_it_ends_the_same(run, tmp_path, kill):
  whole = run(tmp_path / 'whole')
  assert (whole.steps, whole.selected_step) == (8, 4)
  with pytest.raises(Stop):
    run(tmp_path / 'torn', kill=kill)
  same(tmp_path / 'torn', tmp_path / 'whole', run(tmp_path / 'torn'), whole)


@pytest.mark.parametrize('where', [(train, '_is_over'), (cell.Folder, 'store')], ids=['_is_over', 'store'])
def test_killed_after_the_last_evaluation_it_trains_no_more(run, tmp_path, monkeypatch, where):
  whole = run(tmp_path / 'whole')
  kept = getattr(*where)

  def stopping(*args):
    if where[1] == 'store' or args[1] == 8:
      raise Stop
    return kept(*args)

  with monkeypatch.context() as patch:
    patch.setattr(*where, stopping)
    with pytest.raises(Stop):
      run(tmp_path / 'torn')
  assert evaluated(tmp_path / 'torn') == [2, 4, 6, 8]
  resumed = run(tmp_path / 'torn', kill=9)  # which is never taken
  same(tmp_path / 'torn', tmp_path / 'whole', resumed, whole)


def test_killed_again_and_again(run, tmp_path):
  whole = run(tmp_path / 'whole')
  for kill in (1, 3, 5, 6, 7):
    with pytest.raises(Stop):
      run(tmp_path / 'torn', kill=kill)
  same(tmp_path / 'torn', tmp_path / 'whole', run(tmp_path / 'torn'), whole)


# Time


def test_compiling_is_told_of_what_is_new_only():
  function, x = jax.jit(lambda x: jnp.sin(3.7 * x) @ x), jnp.ones((8, 8))
  clock = Clock()
  assert clock.compiling() == 0
  began = time.perf_counter()
  function(x).block_until_ready()
  first = clock.compiling()
  assert 0 < first <= time.perf_counter() - began
  later = Clock()
  function(x).block_until_ready()
  assert later.compiling() == 0 and clock.compiling() == first
  function(jnp.asarray(np.ones((4, 4), np.float32))).block_until_ready()  # another shape
  assert later.compiling() > 0 and clock.compiling() == pytest.approx(first + later.compiling())
  assert clock.seconds() > later.seconds() > 0


def test_the_parts_of_a_cells_time_add_up(run, tmp_path):
  experiment = dataclasses.replace(toy(), step=steps.gradient_step(loss, TX))  # not compiled for another test
  timings = []
  for name in ('new', 'known'):
    began = time.perf_counter()
    timing = run(tmp_path / name, experiment).timing
    total = time.perf_counter() - began
    assert set(timing) == {'setup', 'train', 'predict', 'compile'} and min(timing.values()) >= 0
    parts = timing['setup'] + timing['train'] + timing['predict']
    assert parts == pytest.approx(total, abs=0.1)
    assert timing['compile'] <= parts
    timings.append(timing)
  assert timings[0]['compile'] > 0 and timings[1]['compile'] == 0


def test_a_wait_within_setup_is_setups(run, tmp_path):
  def slow(key, batch):
    time.sleep(0.3)
    return init(key, batch)

  timing = run(tmp_path, dataclasses.replace(toy(), init=slow)).timing
  assert timing['setup'] >= 0.3
