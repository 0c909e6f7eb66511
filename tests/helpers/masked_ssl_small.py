"""Masked self-supervision small enough for tests: sequences by hand, a config with a narrow network, steps."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import TrainState
from affectjax.examples.examples import Examples
from affectjax.examples.streams import Memory
from affectjax.systems.masked_ssl import experiment as experiments
from affectjax.systems.masked_ssl import training
from affectjax.tables import cells
from tests.helpers import shared

FRAMES, WIDTH = 12, 10
GROUPS = {'voice': [0, 3], 'mcep': [3, 10]}
SIZE = dict(kind='transformer', width=16, blocks=1, heads=2, hidden=16, dropout=0.0)
FEW = dict(
  steps=4, epochs=0.0, eval_every=2, eval_epochs=0.0, log_every=1, patience=0, batch_size=16, eval_batch_size=32,
  model=SIZE, data=dict(frames=FRAMES),
)  # fmt: skip
PRETRAIN = dict(stage='pretrain')
ADAM = dict(name='adam', lr=3e-3, l2=0.0, decay=1e-2, clip=1.0, schedule='constant', warmup=0.0, factor=0.1,
            patience=5, drops=3)  # fmt: skip
SGD = {**ADAM, 'name': 'sgd', 'lr': 0.1, 'decay': 0.0, 'clip': 0.0}
CLASSES = dict(target=dict(kind='class', label='emotion', names=()), tune=dict(loss='cross_entropy'))


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'cmu_mosei') -> dict[str, Any]:
  """What experiments/masked_ssl.py says, as plain values."""
  return shared.experiment('masked_ssl', table).copy_and_resolve_references().to_dict()


def config(*parts, seed: int = 0, fold: str = 'all') -> dict[str, Any]:
  """The file's base run, small, with what `parts` change."""
  run = experiment()['run']
  for part in (FEW, *parts):
    run = cells.merge(run, part, 'tests')
  return {**run, 'fold': fold, 'seed': seed}


def sequences(n: int = 96, seed: int = 0, videos: int = 24, left: bool = False) -> Examples:
  """A corpus in memory: videos of four segments in turn, half of them for training; intensities in thirds."""
  rng = np.random.default_rng(seed)
  x, real = features(n, seed)
  if left:
    x, real = shifted(x, real)
  video = np.arange(n) % videos
  intensity = np.round(3 * np.clip(rng.normal(0.3, 0.7, (n, 6)), 0, 3)) / 3
  official = np.array([0, 1, 0, 2])[video % 4].astype(np.int8)
  names = np.array([f'v{v:02}' for v in video])
  return Examples(
    'made', np.array([f'u{i:04}' for i in range(n)]), names, names.copy(), np.full(n, 'all'),
    {'audio': memory(x, real)}, {'audio': real.any(1)},
    {'intensity': intensity.astype(np.float32), 'official': official, 'emotion': rng.integers(0, 6, n),
     'sentiment': rng.normal(size=n).astype(np.float32)},
    {'emotions': list(experiment()['run']['target']['names']), 'column_groups': GROUPS},
  )  # fmt: skip


def features(n: int, seed: int = 0, frames: int = FRAMES, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
  """Right-padded, of all lengths from 1, zeros behind; x [N, T, D], real [N, T]."""
  rng = np.random.default_rng(seed)
  real = np.arange(frames) < (1 + np.arange(n) % frames)[:, None]
  return np.where(real[..., None], rng.normal(size=(n, frames, width)), 0).astype(np.float32), real


def memory(x: np.ndarray, real: np.ndarray) -> Memory:
  """Examples x [N, T, D] of one length, real [N, T], as a stream of views."""
  offsets = np.arange(len(x) + 1) * x.shape[1]
  return Memory(Ragged(x.reshape(-1, x.shape[2]), offsets), Ragged(real.reshape(-1), offsets))


def shifted(x: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Right-padded sequences, padded on the left."""
  by = real.shape[1] - real.sum(1)
  return np.stack([np.roll(v, s, 0) for v, s in zip(x, by, strict=True)]), np.arange(real.shape[1]) >= by[:, None]


def unshifted(x: np.ndarray, real: np.ndarray) -> np.ndarray:
  """Back again; `real` of the right-padded ones."""
  return np.stack([np.roll(v, -s, 0) for v, s in zip(x, real.shape[1] - real.sum(1), strict=True)])


def batch(n: int = 16, seed: int = 0, left: bool = False) -> dict[str, np.ndarray]:
  """Examples of all lengths with intensities, none of them padding."""
  x, real = features(n, seed)
  if left:
    x, real = shifted(x, real)
  label = np.random.default_rng((seed, 1)).uniform(0, 3, (n, 6)).astype(np.float32)
  return {'x': x, 'real': real, 'label': label, 'median': np.zeros((n, 6), np.float32),
          'row': np.arange(n, dtype=np.int32), 'mask': np.ones(n, np.float32)}  # fmt: skip


def standard(width: int = WIDTH) -> dict[str, np.ndarray]:
  """A standardiser that changes something."""
  return {'mean': np.full(width, 0.1, np.float32), 'scale': np.full(width, 1.5, np.float32), 'on': np.ones(width, bool)}


def drawn(net, *arguments, seed: int = 0):
  """Random parameters, none of them at a special value; the network's own would have to be compiled."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(lambda key: net.init(key, *arguments)['params'], jax.random.key(0))
  return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), shapes)


def pretraining(*parts, meta=None) -> training.Pretraining:
  """What is traced of pretraining on features of `WIDTH`."""
  return experiments.pretraining(config(PRETRAIN, *parts), WIDTH, {'column_groups': GROUPS} if meta is None else meta)


def finetuning(*parts, targets: int = 6) -> training.Finetuning:
  """What is traced of fine-tuning."""
  return experiments.finetuning(config(*parts), targets)


def pretext_state(cell: training.Pretraining, optimizer=SGD, seed: int = 0) -> TrainState:
  """Before the first step, with random biases as well."""
  x, real = np.zeros((1, FRAMES, WIDTH), np.float32), np.ones((1, FRAMES), bool)
  run = lambda key: cell.net.init(key, x, real, real[..., None], key, cell.masking, False)['params']
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
    lambda v: rng.normal(0, 0.3, v.shape).astype(np.float32), jax.eval_shape(run, jax.random.key(0))
  )
  extra = {'input': standard()}
  if cell.net.target == 'ema_latent':
    extra['teacher'] = jax.tree.map(lambda v: v * np.float32(0.9), params)
  return TrainState.create(params, optim.make(optimizer, 10), jax.random.key(seed), extra)


def task_state(cell: training.Finetuning, rates=(1e-3,), optimizer=SGD, seed: int = 0) -> TrainState:
  """Before the first step, all copies alike."""
  x, real = np.zeros((1, FRAMES, WIDTH), np.float32), np.ones((1, FRAMES), bool)
  one = drawn(cell.net, x, real, False, seed=seed)
  params = jax.tree.map(lambda v: np.repeat(v[None], cell.copies, 0), one)
  tx = training.optimiser(cell, optimizer, 10, rates, params)
  extra = jax.tree.map(np.asarray, {'input': standard(), **training.statistics(cell)})
  return TrainState.create(params, tx, jax.random.key(seed), extra)


@functools.lru_cache(maxsize=64)
def pretext_step(cell: training.Pretraining, optimizer: tuple = optim.key(SGD)):
  """The experiment's own, for one device among several."""
  step = experiments._pretext_step(cell, optimizer, 10)
  return jax.jit(jax.vmap(step, axis_name=parallel.AXIS))


@functools.lru_cache(maxsize=64)
def task_step(cell: training.Finetuning, rates: tuple[float, ...], optimizer: tuple = optim.key(SGD)):
  """The experiment's own, for one device among several."""
  step = experiments._task_step(cell, optimizer, 10, rates, (FRAMES, WIDTH))
  return jax.jit(jax.vmap(step, axis_name=parallel.AXIS))


def run(step, start: TrainState, batches, devices: int = 1):
  """Steps over `batches` on so many devices; the state behind them and the scalars of each."""
  key = jax.dtypes.prng_key
  on_host = lambda x: not jax.dtypes.issubdtype(x.dtype, key)  # numpy where it can be: nothing is compiled for it
  copies = lambda x: (np if on_host(x) else jax.numpy).broadcast_to(x, (devices, *np.shape(x)))
  now, told = jax.tree.map(copies, start), []
  for b in batches:
    now, scalars = step(now, {k: np.reshape(v, (devices, -1, *v.shape[1:])) for k, v in b.items()})
    told.append({k: np.asarray(v)[0] for k, v in scalars.items()})
  return jax.tree.map(lambda x: np.asarray(x)[0] if on_host(x) else x[0], now), told


def loss_of(cell, state: TrainState, batch, wrt_extra: bool = False):
  """Losses [B] and the gradient of their mean over real examples; by the parameters, or by a teacher's `extra` too."""
  losses, grads = _gradient(cell)(state.params, state, batch)
  return np.asarray(losses), grads if wrt_extra else grads[0]


@functools.lru_cache(maxsize=64)
def _gradient(cell):
  pretext = isinstance(cell, training.Pretraining)
  teacher = pretext and cell.net.target == 'ema_latent'
  function = training.pretext_loss(cell) if pretext else training.finetune_loss(cell)

  def whole(params, extra, state, batch):
    now, clean = state.replace(extra=extra), steps.without_padding(batch)
    out = function(params, now, clean, steps.Keys(state.key, state.key))
    return jax.numpy.where(clean['mask'] > 0, out.losses, 0.0).sum() / clean['mask'].sum(), out.losses

  def both(params, state, batch):
    grad = jax.value_and_grad(whole, (0, 1) if teacher else (0,), has_aux=True, allow_int=True)
    (_, losses), grads = grad(params, state.extra, state, batch)
    return losses, grads

  return jax.jit(both)


@functools.lru_cache(maxsize=64)
def _predictor(cell):
  pretext = isinstance(cell, training.Pretraining)
  return jax.jit(training.pretext_predict(cell) if pretext else training.finetune_predict(cell))


def predict(cell, state: TrainState, batch) -> dict[str, np.ndarray]:
  """What is predicted of a batch."""
  return {k: np.asarray(v) for k, v in _predictor(cell)(state, batch).items()}


def copy_of(tree, i: int):
  """One of the copies, as the only one."""
  return jax.tree.map(lambda x: np.asarray(x)[i : i + 1], tree)


def same(first, second) -> None:
  """Bit for bit."""
  jax.tree.map(np.testing.assert_array_equal, first, second)


def close(first, second, rtol: float = 1e-5, atol: float = 1e-6) -> None:
  """Trees that agree."""
  jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), first, second)


def differ(first, second) -> bool:
  """Whether any leaf does."""
  return any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True))


def refused(call, *args) -> str:
  """What a call is refused with, in one line."""
  with pytest.raises(UserError) as caught:
    call(*args)
  assert '\n' not in str(caught.value)
  return str(caught.value)
