"""Several steps per dispatch, from a table on the devices: the same training as step by step, resumable, and safe."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import checkpoint, feed, parallel, steps, train
from affectjax.engine.feed import Feed
from affectjax.examples import batches as batches_lib
from tests.helpers import small
from tests.helpers import toy as toys
from tests.helpers.watched import Stop

TABLE = toys.data(np.arange(40))
LENGTH = dict(eval_every=5, patience=0, select='last')


def resident(table=TABLE, step=toys.step, length: int = 14):
  """The toy with its examples in a table; evaluations and the end are no multiples of the steps of a dispatch."""
  gather = lambda rows: {k: v[rows] for k, v in table.items()}

  def batches(split, seed):
    if split == 'rows':
      return batches_lib.shuffled(np.arange(24), lambda rows: {'row': rows.astype(np.int32)}, 16, seed)
    if split == 'train':
      return batches_lib.shuffled(np.arange(24), gather, 16, seed)
    return toys.batches(split, seed)

  score = lambda outputs: {'loss': float(np.square(outputs['y_hat']).mean())}
  return dataclasses.replace(toys.toy(length=length), batches=batches, table=table, step=step, score=score)


def params(folder):
  return checkpoint.load_final(folder)['params']


def test_several_steps_at_once_are_the_same_steps(run, tmp_path):
  one = run(tmp_path / 'one', resident(), **LENGTH)
  for most in (2, 4, 100):
    several = run(tmp_path / f'{most}', resident(), dispatch=most, **LENGTH)
    np.testing.assert_allclose(params(tmp_path / f'{most}')['w'], params(tmp_path / 'one')['w'], rtol=1e-5)
    assert several.steps == one.steps == 14
    assert toys.evaluated(tmp_path / f'{most}') == [5, 10, 14]
    logs = [[x for x in small.lines(tmp_path / k / 'metrics.jsonl') if 'loss' in x] for k in ('one', f'{most}')]
    assert [x['step'] for x in logs[0]] == [x['step'] for x in logs[1]] == list(range(1, 15))
    for key in ('loss', 'grad_norm'):
      np.testing.assert_allclose(*([x[key] for x in log] for log in logs), rtol=1e-4)
  # the loop is one, however often it is entered
  chex.assert_trees_all_equal(params(tmp_path / '2'), params(tmp_path / '100'))


@pytest.mark.campaign(4)
@pytest.mark.parametrize('kill', [5, 9, 10, 14])
def test_a_killed_run_goes_on_bit_for_bit(run, tmp_path, kill):
  changes = dict(LENGTH, dispatch=4)
  whole = run(tmp_path / 'whole', resident(), **changes)
  with pytest.raises(Stop):
    run(tmp_path / 'torn', resident(), kill=kill, **changes)
  again = run(tmp_path / 'torn', resident(), **changes)
  assert again._replace(timing={}) == whole._replace(timing={})
  chex.assert_trees_all_equal(params(tmp_path / 'torn'), params(tmp_path / 'whole'))
  logs = [small.lines(tmp_path / k / 'metrics.jsonl') for k in ('whole', 'torn')]
  timeless = lambda log: [{k: v for k, v in x.items() if k not in ('examples_per_s', 'input_wait')} for x in log]
  assert timeless(logs[0]) == timeless(logs[1])


def test_a_dispatch_never_passes_an_evaluation(run, tmp_path):
  seen, took = [], Feed.take

  class Spied(Feed):
    def take(self, replicated, n):
      seen.append(n)
      return took(self, replicated, n)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(train, 'Feed', Spied)
    run(tmp_path, resident(), dispatch=4, **LENGTH)
  assert seen == [4, 1, 4, 1, 4]


def spoiled(bad: int):
  """A step that is told an infinity where example `bad` is in the batch."""

  def loss(p, state, batch, keys):
    out = toys.loss(p, state, batch, keys)
    return out._replace(losses=jnp.where(batch['number'] == bad, jnp.inf, out.losses))

  table = {**TABLE, 'number': np.arange(40, dtype=np.int32)}
  return resident(table, steps.gradient_step(loss, toys.TX))


def test_a_skipped_update_is_noted_with_its_own_examples(run, tmp_path):
  experiment = spoiled(3)
  run(tmp_path, experiment, dispatch=4, **LENGTH)
  order, wanted = experiment.batches('rows', 0), {}
  for step in range(1, 15):
    ids = [str(r) for r in next(order)['row']]
    if '3' in ids:
      wanted[step] = ids
  noted = {x['step']: x['ids'] for x in small.lines(tmp_path / 'nonfinite.jsonl')}
  assert noted == wanted and 0 < len(wanted) < 14


def test_training_that_diverges_gives_up(run, tmp_path):
  spoil = dataclasses.replace(resident(), table={**TABLE, 'x': np.full_like(TABLE['x'], np.inf)})
  with pytest.raises(UserError, match='diverged: .* 5 updates in a row up to step 5'):
    run(tmp_path, spoil, dispatch=8, **LENGTH)


def test_what_cannot_be_dispatched_is_refused(run, tmp_path):
  with pytest.raises(UserError, match='run.dispatch is 4; .* 1 where batches are made on the host; set it to 1'):
    run(tmp_path, toys.toy(), dispatch=4)
  with pytest.raises(UserError, match='run.dispatch is 0; expected 1 or more steps per dispatch; set it to 1'):
    run(tmp_path, resident(), dispatch=0)


def test_equal_steps_share_one_program():
  assert feed.several(toys.step) is feed.several(toys.step)


def test_eight_devices_take_their_own_rows():
  assert jax.local_device_count() == 8
  given = Feed(resident(), 0, 3)
  state = toys.init(jax.random.key(0), None)
  now, turn = given.take(parallel.replicate(state), 2)
  rows = resident().batches('rows', 0)
  assert [list(i) for i in turn.ids] == [[str(r) for r in next(rows)['row']] for _ in range(2)]
  assert int(parallel.unreplicate(now).step) == 2 and len(list(turn.each())) == 2
  assert np.asarray(turn.scalars['loss']).shape == (8, 3) and not np.asarray(turn.scalars['loss'])[:, 2].any()
