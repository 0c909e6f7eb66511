"""VAVL small enough for tests: the experiment's own rows on tiny twins with narrow layers, and networks by hand.

python -m tests.helpers.vavl_small    one step of the network at its full size, in a process of its own; says what came
"""

import functools
import json
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from affectjax.engine import optim, parallel
from affectjax.engine.types import TrainState
from affectjax.layers import conformer
from affectjax.layers.dense import Dense
from affectjax.layers.dropout import Dropout
from affectjax.layers.heads import BatchNorm
from affectjax.layers.transformer import masked_mean
from affectjax.systems.vavl import experiment as experiments
from affectjax.systems.vavl import network, training
from affectjax.tables import cells
from tests.helpers import shared

TWINS = {
  'crema_d': dict(seed=0, actors=6, audio_hz=3.0, visual_hz=2.0, audio_width=5, visual_width=4),
  'msp_improv': dict(seed=0, turns=60, audio_hz=3.0, visual_hz=2.0, audio_width=5, visual_width=4),
}
SIZE = dict(width=8, blocks=1, shared_blocks=1, heads=2, kernel=3)
FEW = dict(
  steps=4, eval_every=2, log_every=1, batch_size=8, eval_batch_size=8,
  data=dict(buckets=1, max_frames=dict(audio=9, visual=0)), model=SIZE,
)  # fmt: skip
STILL = dict(model=dict(dropout=0.0))  # heads have a rate of their own, network.HEAD_DROPOUT
ADAM = dict(
  name='adam', lr=1e-3, beta1=0.95, beta2=0.999, l2=5e-7, decay=0.0, clip=0.0, schedule='constant', factor=0.1,
  patience=5, drops=3,
)  # fmt: skip
SGD = {**ADAM, 'name': 'sgd', 'lr': 0.1}
WIDTHS = {'audio': 5, 'visual': 4}


class Light(nn.Module):
  """In place of a conformer block, where the update is looked at: a step of it compiles in a fraction of the time.

  It has what an update has to do with: parameters, statistics over the real frames of all devices, dropout, and frames
  that see the other frames of their clip.
  """

  heads: int = 8
  kernel: int = 31
  dropout: float = 0.1
  positions: str = 'released'
  compute: str = 'float32'
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array, lengths: jax.Array, train: bool = False) -> jax.Array:
    """x [B, T, D], mask [B, T] -> [B, T, D]."""
    del lengths
    rows = BatchNorm(self.axis_name, name='batch_norm')(x.reshape(-1, x.shape[-1]), mask.reshape(-1), train)
    y = nn.silu(rows.reshape(x.shape))
    y = Dense(x.shape[-1], compute=self.compute, name='out')(y + masked_mean(y, mask)[:, None])
    return x + Dropout(self.dropout)(y, train)


BLOCKS = {'light': Light, 'conformer': conformer.Block}


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'crema_d') -> dict[str, Any]:
  """What experiments/vavl.py says, as plain values."""
  return shared.experiment('vavl', table).copy_and_resolve_references().to_dict()


def home(row: str, table: str) -> str:
  """The table a row is looked up in: rows for parity with the released code have one of their own."""
  return 'parity' if row.startswith('batch_axis') else table


def full(row: str = 'vavl', table: str = 'crema_d') -> dict[str, Any]:
  """A row's config at its real size, as on prepared data."""
  table = home(row, table)
  return {**cells.Table(experiment(table), 'vavl.py', '/nowhere').row(row), 'fold': '0', 'seed': 0}


def config(row: str = 'vavl', table: str = 'crema_d', seed: int = 0, **changes) -> dict[str, Any]:
  """A row's resolved config on tiny twins; `changes` are merged into it."""
  table = home(row, table)
  run = cells.Table(experiment(table), 'vavl.py', None).row(row)
  run = {**run, 'twins': {name: TWINS[name] for name in run['corpora']}}
  return {**cells.merge(cells.merge(run, FEW, 'tests'), changes, 'tests'), 'fold': '0', 'seed': seed}


def spec(row: str = 'vavl', table: str = 'crema_d', **changes) -> training.Spec:
  """What is traced for a row, on features of `WIDTHS`."""
  run = config(row, table, **changes)
  return experiments.spec(run, {m: WIDTHS[m] for m in run['data']['modalities']})


def batch(n: int = 8, seed: int = 0, kind: str = 'classification', frames=(7, 5), classes: int = 6) -> dict:
  """Clips of all lengths, both modalities present; what is masked holds zeros."""
  rng = np.random.default_rng(seed)
  out: dict = {'mask': np.ones(n, np.float32)}
  for (m, width), most in zip(WIDTHS.items(), frames, strict=True):
    mask = np.arange(most) < rng.integers(1, most + 1, n)[:, None]
    x = rng.normal(size=(n, most, width)).astype(np.float32)
    out |= {m: np.where(mask[..., None], x, 0), f'{m}_mask': mask, f'{m}_present': np.ones(n, bool)}
  if kind == 'classification':
    votes = rng.dirichlet(np.ones(classes), n).astype(np.float32)
    return {**out, 'label': votes.argmax(1).astype(np.int32), 'shares': votes}
  return {**out, 'label': rng.uniform(-1, 1, (n, 3)).astype(np.float32)}


def variables(cell: training.Spec, seed: int = 0):
  """Random parameters and running statistics, none of them at a special value; the network's own are not compiled."""
  return _variables(cell, seed, conformer.Block)


@functools.lru_cache(maxsize=32)
def _variables(cell: training.Spec, seed: int, block: type):
  del block  # read when it is traced
  one = {k: v[:1, :2] if v.ndim > 1 else v[:1] for k, v in batch(1).items() if k != 'mask'}
  net = cell.net.clone(across_batch=False) if isinstance(cell.net, network.VAVL) else cell.net
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    name, x = path[-1].key, rng.normal(size=leaf.shape)
    x = {'scale': 1 + 0.1 * x, 'var': np.exp(0.3 * x), 'bias': 0.1 * x, 'mean': 0.1 * x}.get(name, 0.4 * x)
    return x.astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(net.init, jax.random.key(0), one))


def state(cell: training.Spec, optimizer=SGD, seed: int = 0) -> TrainState:
  """Before the first step."""
  v = variables(cell, seed)
  standard = {m: {'mean': np.full(w, 0.1, np.float32), 'scale': np.full(w, 1.5, np.float32)} for m, w in WIDTHS.items()}
  standard = {m: s for m, s in standard.items() if m in cell.net.modalities}
  extra = {'batch_stats': v.get('batch_stats', {}), 'input': standard}
  tx = training.optimiser(optimizer, 10)
  return _on_host(jax.jit(lambda: TrainState.create(v['params'], tx, jax.random.key(seed), extra))())


def _on_host(tree, place=()):
  """As numpy, of which nothing is compiled; keys stay what they are."""
  is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  return jax.tree.map(lambda x: x[place] if is_key(x) else np.asarray(x)[place], tree)


@functools.lru_cache(maxsize=32)
def _compiled(cell: training.Spec, optimizer: tuple, still: bool, block: type):
  del still, block  # the rate of the heads, and the blocks, are read when it is traced
  return jax.jit(jax.vmap(training.make_step(cell, optim.key(dict(optimizer)), 10), axis_name=parallel.AXIS))


def steps(cell: training.Spec, start: TrainState, batches, optimizer=SGD, devices: int = 1):
  """Steps over `batches` on so many devices; the state behind them and the scalars of each."""
  step = _compiled(cell, tuple(sorted(optimizer.items())), network.HEAD_DROPOUT == 0, conformer.Block)
  is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  copy = lambda x: (jax.numpy if is_key(x) else np).broadcast_to(x, (devices, *np.shape(x)))
  now, logged = jax.tree.map(copy, start), []
  for b in batches:
    now, scalars = step(now, {k: np.reshape(v, (devices, -1, *v.shape[1:])) for k, v in b.items()})
    logged.append({k: np.asarray(v)[0] for k, v in scalars.items()})
  return _on_host(now, 0), logged


def full_size() -> dict[str, Any]:
  """A step of the paper's network, default config, on 4 clips of 150 x 1024 and 90 x 1408."""
  config, widths = full(), {'audio': 1024, 'visual': 1408}
  cell = experiments.spec(config, widths)
  rng = np.random.default_rng(0)
  clips = {'mask': np.ones(4, np.float32), 'label': np.arange(4, dtype=np.int32)}
  for (m, width), frames in zip(widths.items(), (150, 90), strict=True):
    clips[m] = rng.normal(size=(4, frames, width)).astype(np.float32)
    clips[f'{m}_mask'], clips[f'{m}_present'] = np.ones((4, frames), bool), np.ones(4, bool)
  standard = {m: {'mean': np.zeros(w, np.float32), 'scale': np.ones(w, np.float32)} for m, w in widths.items()}
  start = experiments.init(cell, training.optimiser(config['optim'], 10), standard, jax.random.key(0), clips)
  step = jax.jit(jax.vmap(training.make_step(cell, optim.key(config['optim']), 10), axis_name=parallel.AXIS))
  put = functools.partial(jax.tree.map, lambda x: jax.numpy.asarray(x)[None])
  after, logged = step(put(start), put(clips))
  scalars = {name: float(logged[name][0]) for name in ('loss', 'loss.fusion')}
  parameters = all(bool(np.isfinite(x).all()) for x in jax.tree.leaves(after.params))
  return {'finite': bool(logged['finite'][0]), 'parameters': parameters, **scalars}


if __name__ == '__main__':
  print(json.dumps(full_size()))
