"""Learning rates side by side and by blocks, a frozen encoder, and a pretrained one in every copy."""

import jax
import numpy as np
import pytest

from affectjax.engine import checkpoint, optim
from affectjax.systems.masked_ssl import training
from tests.helpers import masked_ssl_small as small
from tests.helpers.masked_ssl_small import ADAM, close, copy_of, differ, same

KINDS = ('transformer', 'bigru')
DROPOUT = dict(model=dict(dropout=0.3))
AWAY = {**ADAM, 'schedule': 'cosine', 'warmup': 0.2}


def without_key_bias(params):
  """Its gradient is 0 (a softmax does not see it), so that Adam makes steps of what is rounded."""
  attention = params['encoder']['block_0']['qkv']
  bias = np.where((np.arange(48) // 16) == 1, 0, attention['bias'])
  block = {**params['encoder']['block_0'], 'qkv': {**attention, 'bias': bias}}
  return {**params, 'encoder': {**params['encoder'], 'block_0': block}}


RATES = (1e-2, 1e-3)


def three_steps(rates):
  """From one start, with clipping, decay, warm-up, moments and dropout: cell, first and last state, a batch."""
  batches, optimizer = [small.batch(24, seed) for seed in range(3)], optim.key(AWAY)
  cell = small.finetuning(DROPOUT, dict(tune=dict(encoder_lr=rates)))
  first = small.task_state(cell, rates, AWAY)
  last, _ = small.run(small.task_step(cell, rates, optimizer), first, batches)
  return cell, first, last, batches[0]


@pytest.fixture(scope='module')
def together():
  return three_steps(RATES)


@pytest.mark.slow
def test_rates_side_by_side_make_copies_that_differ(together):
  cell, _, last, batch = together
  seen = small.predict(cell, last, batch)['output']
  assert seen.shape == (24, 2, 6)
  assert len({np.asarray(seen[:, i]).tobytes() for i in range(2)}) == 2


@pytest.mark.slow
@pytest.mark.parametrize('i', [0, 1])
def test_a_learning_rate_among_several_is_its_run_alone(together, i):
  """Same start, same dropout: three steps with clipping, decay, warm-up and moments."""
  _, first, alone, _ = three_steps(RATES[i : i + 1])
  close(*(without_key_bias(p) for p in (copy_of(together[2].params, i), alone.params)), rtol=1e-4, atol=2e-6)
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), alone.params, first.params)
  assert max(jax.tree.leaves(moved['encoder'])) < 4 * RATES[i] and moved['head_out']['kernel'] > 1e-3


@pytest.mark.parametrize('kind', KINDS)
def test_rates_fall_by_blocks_below_the_head(kind):
  cell = small.finetuning(dict(model=dict(kind=kind, blocks=3), tune=dict(decay=0.5, encoder_lr=(1e-4,))))
  found = training.rates(cell, small.task_state(cell).params, 1e-4, 1e-3)
  assert set(jax.tree.leaves({k: v for k, v in found.items() if k != 'encoder'})) == {1e-3}
  number = lambda name: (
    int(name.split('_')[1]) if name.startswith(('block_', 'gru_')) else {'input': -1, 'norm': 2}[name]
  )
  for name, part in found['encoder'].items():
    np.testing.assert_allclose(jax.tree.leaves(part), 1e-4 * 0.5 ** (2 - number(name)), err_msg=name)
  assert len(set(jax.tree.leaves(found['encoder']))) == (4 if kind == 'transformer' else 3)
  even = small.finetuning(dict(model=dict(kind=kind)))
  assert set(jax.tree.leaves(training.rates(even, small.task_state(even).params, 1e-4, 1e-3))) == {1e-3, 1e-4}


def test_the_update_is_the_rate_times_the_gradient():
  cell = small.finetuning(dict(model=dict(blocks=2), tune=dict(decay=0.5, encoder_lr=(0.2, 0.1))))
  rates, batch = (0.2, 0.1), small.batch(24)
  state = small.task_state(cell, rates)
  _, grads = small.loss_of(cell, state, batch)
  after, _ = small.run(small.task_step(cell, rates), state, [batch])
  factor = {'input': 0.25, 'block_0': 0.5, 'block_1': 1.0, 'norm': 1.0}
  for i, rate in enumerate(rates):
    moved = jax.tree.map(lambda a, b, i=i: (b - a)[i], after.params, state.params)
    for name, f in factor.items():
      close(
        moved['encoder'][name],
        jax.tree.map(lambda g, i=i, f=f, r=rate: r * f * g[i], grads['encoder'][name]),
        atol=1e-6,
      )
    close(moved['head_out'], jax.tree.map(lambda g, i=i: 0.1 * g[i], grads['head_out']), atol=1e-6)


@pytest.mark.parametrize(('head', 'norm'), [
  *(pytest.param(head, False, marks=pytest.mark.slow) for head in ('mlp', 'linear')), ('linear', True)
])  # fmt: skip
def test_a_frozen_encoder_is_the_pretrained_one_bit_for_bit(head, norm):
  """Weight decay included; the head learns."""
  source = small.pretext_state(small.pretraining(), seed=3)
  given_ = {'params': source.params, 'extra': source.extra}
  tune = dict(frozen=True, head=head, norm=norm, encoder_lr=(1e-4,))
  cell = small.finetuning(dict(warm_start='pretrain', tune=tune))
  start = checkpoint.warm(small.task_state(cell, (1e-4,), ADAM), given_, ('encoder',))
  step = small.task_step(cell, (1e-4,), optim.key(ADAM))
  after, _ = small.run(step, start, [small.batch(24, seed) for seed in range(3)])
  same(jax.tree.map(lambda v: v[0], after.params['encoder']), source.params['encoder'])
  assert all(differ(after.params[k], start.params[k]) for k in after.params if k != 'encoder')


@pytest.mark.parametrize('frozen', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_frozen_encoder_has_no_dropout(frozen):
  """Its outputs, and the statistics of a norm behind it, are those of evaluation; a trained one has it."""
  dropout = dict(model=dict(dropout=0.5))
  tune = dict(frozen=frozen, head='linear', norm=True, encoder_lr=(1e-4,))
  cell = small.finetuning(dict(warm_start='pretrain' if frozen else '', tune=tune), dropout)
  seen = []
  for seed in (0, 1):  # of the step's own randomness
    start = small.task_state(cell, (1e-4,)).replace(key=jax.random.key(seed))
    after, _ = small.run(small.task_step(cell, (1e-4,)), start, [small.batch(24)])
    seen.append(after.extra['batch_stats'])
  if frozen:
    same(*seen)
  else:
    assert differ(*seen)


def test_a_pretrained_encoder_goes_into_every_copy():
  first = small.pretraining()
  source = small.pretext_state(first, seed=3)
  cell = small.finetuning(dict(tune=dict(encoder_lr=(1e-3, 1e-4))))
  fresh = small.task_state(cell, (1e-3, 1e-4))
  warm = checkpoint.warm(fresh, {'params': source.params, 'extra': source.extra}, ('encoder',))
  for i in range(2):
    same(jax.tree.map(lambda v, i=i: v[i], warm.params['encoder']), source.params['encoder'])
  same(
    {k: v for k, v in warm.params.items() if k != 'encoder'}, {k: v for k, v in fresh.params.items() if k != 'encoder'}
  )


def test_all_copies_begin_alike_and_the_head_does_not_depend_on_the_learning_rates():
  x, real = np.zeros((1, 12, 10), np.float32), np.ones((1, 12), bool)
  made = {}
  for rates in ((1e-3,), (1e-3, 1e-4)):
    cell = small.finetuning(dict(tune=dict(encoder_lr=rates)))
    made[len(rates)] = training.initialise(cell.net, jax.random.key(2), cell.copies, x, real, False)
  same(copy_of(made[2], 0), copy_of(made[2], 1))
  same(copy_of(made[2], 0), made[1])
