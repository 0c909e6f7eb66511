"""AmbER^2 small enough for tests: a config on tiny twins with narrow heads, and batches and networks by hand."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.engine import parallel
from affectjax.engine.types import TrainState
from affectjax.examples.examples import Examples
from affectjax.examples.streams import Memory
from affectjax.examples.targets import Distributions
from affectjax.systems.amber2 import experiment as experiments
from affectjax.systems.amber2 import training
from affectjax.tables import cells
from tests.helpers import shared

TWINS = {
  'iemocap': dict(seed=0, turns=600, audio_width=12, text_width=12),
  'msp_podcast': dict(seed=0, turns=400, speakers=40, audio_width=12, text_width=12),
}
SIZE = dict(width=16, hidden=8, dropout=0.0)
FEW = dict(
  steps=4, eval_every=2, eval_epochs=0.0, log_every=1, patience=0, batch_size=32, eval_batch_size=64, model=SIZE
)
WIDTHS = {'audio': 12, 'text': 12}
CLASSES = 4
ADAM = dict(name='adam', lr=3e-3, l2=0.0, decay=1e-2, clip=1.0, schedule='constant', factor=0.1, patience=5, drops=3)
DROPOUT = dict(model=dict(dropout=0.3))
SGD = {**ADAM, 'name': 'sgd', 'lr': 0.1, 'decay': 0.0, 'clip': 0.0}
CE = dict(kind='cross_entropy')
TARGET = dict(votes=('votes',), names=('neutral', 'happy', 'angry', 'sad'), merge={}, rule='inside', least=1,
              levels=(0.0, 0.918, 1.585), ties='excluded')  # fmt: skip
ROWS: dict[str, dict[str, Any]] = {
  'amber2': {},
  'search': dict(search=dict(on=True, lambda_mai=(0.3, 0.7), kappa=(2.0, 8.0))),
  'ce_text': dict(heads=('text',), student='text', loss=CE),
  'ce_fusion': dict(heads=('fusion',), loss=CE),
  'ce_experts': dict(loss=CE),
  'two_stage': dict(loss=dict(joint=False), warm_start='ce_experts', warm_modules=('head_audio', 'head_text')),
  'uniform': dict(loss=dict(weights='uniform')),
  'kappa_0': dict(loss=dict(kappa=0.0)),
  'no_stop': dict(loss=dict(stop_gradient=False)),
  'student_audio': dict(student='audio'),
  'student_text': dict(student='text'),
  'concatenation': dict(model=dict(gate='concatenation')),
  'soft': dict(heads=('fusion',), loss=dict(kind='soft')),
  'edl': dict(heads=('fusion',), loss=dict(kind='evidential')),
  'dirichlet_prior': dict(heads=('fusion',), loss=dict(kind='prior')),
  'ensemble': dict(heads=('fusion',), loss=CE, members=3),
  'prior': dict(stage='reference', reference=dict(kind='prior')),
  'rater': dict(stage='reference', reference=dict(kind='rater')),
}


@functools.lru_cache(maxsize=8)
def experiment(table: str = 'iemocap') -> dict[str, Any]:
  """What experiments/amber2.py says, as plain values."""
  return shared.experiment('amber2', table).copy_and_resolve_references().to_dict()


def config(row: str = 'amber2', table: str = 'iemocap', fold: str = '0', seed: int = 0, **changes) -> dict[str, Any]:
  """The run of a table's file with a row of `ROWS`, on tiny twins; `changes` are merged into it."""
  run = experiment(table)['run']
  for part in (FEW, ROWS[row], changes):
    # the classes that make up a class are no fixed keys
    merge = part.get('target', {}).get('merge')
    run = cells.merge(run, part if merge is None else {**part, 'target': {**part['target'], 'merge': {}}}, 'tests')
    if merge is not None:
      run['target'] = {**run['target'], 'merge': merge}
  if 'twins' not in changes:
    run['twins'] = {name: TWINS[name] for name in run['corpora'] if name in TWINS}
  return {**run, 'fold': fold, 'seed': seed}


def spec(row: str = 'amber2', widths: Mapping[str, int] | None = None, **changes) -> training.Spec:
  """What is traced for a row, on features of `WIDTHS`."""
  return experiments.spec(config(row, **changes), WIDTHS if widths is None else widths)


def numbers(row: str, cell: training.Spec, labels=None, **changes) -> dict[str, np.ndarray]:
  """What a search varies and the data decide, as the experiment makes it; `labels` of training, one of each if none."""
  labels = np.arange(cell.net.classes) if labels is None else labels
  return experiments.numbers(config(row, **changes), cell, np.asarray(labels))


def batch(n: int = 16, seed: int = 0, frames: int = 1, widths=None, classes: int = CLASSES, raters: int = 3) -> dict:
  """Utterances of all lengths up to `frames`, every modality present, three votes each; what is masked holds zeros."""
  rng = np.random.default_rng(seed)
  out: dict = {'mask': np.ones(n, np.float32)}
  for m, width in (widths or WIDTHS).items():
    mask = np.arange(frames) < rng.integers(1, frames + 1, n)[:, None]
    x = rng.normal(size=(n, frames, width)).astype(np.float32)
    out |= {m: np.where(mask[..., None], x, 0), f'{m}_mask': mask, f'{m}_present': np.ones(n, bool)}
  votes = rng.multinomial(raters, np.ones(classes) / classes, n).astype(np.float32)
  labels = Distributions.of(votes, np.zeros(n, np.int32))
  return {
    **out, 'votes': labels.votes, 'shares': labels.shares, 'emotion': labels.emotion, 'first': labels.first,
    'level': labels.level, 'label': labels.first,
  }  # fmt: skip


def without(batch: Mapping[str, np.ndarray], modality: str, rows=slice(None), junk: float = 0.0) -> dict:
  """`batch` in which those rows lack a modality and hold `junk` in its place."""
  out = dict(batch)
  out[f'{modality}_mask'], out[modality] = batch[f'{modality}_mask'].copy(), batch[modality].copy()
  out[f'{modality}_present'] = batch[f'{modality}_present'].copy()
  out[f'{modality}_mask'][rows], out[f'{modality}_present'][rows], out[modality][rows] = False, False, junk
  return out


def standard(widths: Mapping[str, int]) -> dict[str, dict[str, np.ndarray]]:
  """Standardisers that change something."""
  return {m: {'mean': np.full(w, 0.1, np.float32), 'scale': np.full(w, 1.5, np.float32)} for m, w in widths.items()}


def drawn(net, seed: int = 0):
  """Random parameters, none of them at a special value; the network's own would have to be compiled."""
  one = {m: np.zeros((1, 1, w), np.float32) for m, w in net.inputs}
  one |= {f'{m}_mask': np.ones((1, 1), bool) for m, _ in net.inputs}
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(lambda: net.init(jax.random.key(0), one, False)['params'])
  return jax.tree.map(lambda x: rng.normal(0, 0.4, x.shape).astype(np.float32), shapes)


def state(row: str = 'amber2', optimizer=SGD, seed: int = 0, fresh: bool = False, labels=None, **changes) -> TrainState:
  """Before the first step: as the experiment makes it if `fresh`, else with random biases as well."""
  cell = spec(row, **changes)
  extra = {'input': standard(dict(cell.net.inputs)), 'numbers': numbers(row, cell, labels, **changes)}
  if fresh:
    return training.init(cell, optimizer, 10, extra, jax.random.key(seed), {})
  copies = [drawn(cell.net, seed + (100 * i if cell.members else 0)) for i in range(cell.copies)]
  params = jax.tree.map(lambda *x: np.stack(x), *copies)
  tx = training.optim.each(training.optim.make(optimizer, 10, training.frozen(cell)))
  return TrainState.create(params, tx, jax.random.key(seed), extra)


def head(p, x: np.ndarray) -> np.ndarray:
  """Dense - ReLU - Dense of one embedding [B, D], in numpy."""
  return np.maximum(x @ p['hidden']['kernel'] + p['hidden']['bias'], 0) @ p['out']['kernel'] + p['out']['bias']


def fused(p, a: np.ndarray, t: np.ndarray) -> np.ndarray:
  """The convex gate of two embeddings [B, D], in numpy."""
  gate = 1 / (1 + np.exp(-(np.concatenate([a, t], 1) @ p['gate_kernel'] + p['gate_bias'])))
  return gate * (a @ p['project_0']['kernel']) + (1 - gate) * (t @ p['project_1']['kernel'])


def logits(now: TrainState, batch) -> dict[str, np.ndarray]:
  """What the heads of the first copy say of a batch without gaps, one frame each; convex gate, in numpy."""
  p = jax.tree.map(lambda v: np.asarray(v)[0], now.params)
  x = {m: (batch[m][:, 0] - s['mean']) / s['scale'] for m, s in now.extra['input'].items()}
  out = {m: head(p[f'head_{m}'], x[m]) for m in x if f'head_{m}' in p}
  return out | ({'fusion': head(p['head_fusion'], fused(p['gate'], x['audio'], x['text']))} if 'gate' in p else {})


@functools.lru_cache(maxsize=64)
def _compiled(cell: training.Spec, optimizer: tuple):
  return jax.jit(jax.vmap(training.make_step(cell, dict(optimizer), 10), axis_name=parallel.AXIS))


def steps(cell: training.Spec, start: TrainState, batches, optimizer=SGD, devices: int = 1):
  """Steps over `batches` on so many devices; the state behind them and the scalars of each."""
  step = _compiled(cell, tuple(sorted(optimizer.items())))
  key = jax.dtypes.prng_key
  on_host = lambda x: not jax.dtypes.issubdtype(x.dtype, key)  # numpy where it can be: nothing is compiled for it
  copies = lambda x: (np if on_host(x) else jax.numpy).broadcast_to(x, (devices, *np.shape(x)))
  now, logged = jax.tree.map(copies, start), []
  for b in batches:
    now, scalars = step(now, {k: np.reshape(v, (devices, -1, *v.shape[1:])) for k, v in b.items()})
    logged.append({k: np.asarray(v)[0] for k, v in scalars.items()})
  return jax.tree.map(lambda x: np.asarray(x)[0] if on_host(x) else x[0], now), logged


@functools.lru_cache(maxsize=32)
def _predictor(cell: training.Spec):
  return jax.jit(training.make_predict(cell))


def predict(cell: training.Spec, start: TrainState, batch) -> dict[str, np.ndarray]:
  """What `training.make_predict` says of a batch."""
  return {k: np.asarray(v) for k, v in _predictor(cell)(start, dict(batch)).items()}


def copy_of(tree, i: int):
  """One of the copies, as the only one."""
  return jax.tree.map(lambda x: np.asarray(x)[i : i + 1], tree)


def differ(first, second) -> bool:
  """Whether any leaf does."""
  return any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True))


def utterances(n: int = 120, seed: int = 0, speakers: int = 20, classes=('neutral', 'happy', 'angry', 'sad'),
               width: int = 3, **columns) -> Examples:  # fmt: skip
  """A corpus in memory: one frame each of audio and text, three votes, speakers in turn, sessions of two speakers."""
  rng = np.random.default_rng(seed)
  place = np.arange(n) % speakers
  real = lambda: Ragged(np.ones(n, bool), np.arange(n + 1))
  frames = lambda: Ragged(rng.normal(size=(n, width)).astype(np.float32), np.arange(n + 1))
  streams = {m: Memory(frames(), real()) for m in ('audio', 'text')}
  votes = rng.multinomial(3, np.ones(len(classes)) / len(classes), n).astype(np.float32)
  known = {'session': (place // 4).astype(np.int32), 'votes': votes, **columns}
  return Examples(
    'made', np.array([f'u{i}' for i in range(n)]), np.array([f's{p}' for p in place]), np.array(['d'] * n),
    np.full(n, 'all'), streams, {m: np.ones(n, bool) for m in streams}, known,
    {'emotions': list(classes), 'modalities': {m: width for m in streams}},
  )  # fmt: skip


def refused(call, *args) -> str:
  """What a call is refused with, in one line."""
  with pytest.raises(UserError) as caught:
    call(*args)
  assert '\n' not in str(caught.value)
  return str(caught.value)
