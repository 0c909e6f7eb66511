"""A linear regression with noise, the smallest experiment, whose scores are told beforehand.

Its functions are those of the module, so that all experiments of a process share what is compiled.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from affectjax.engine import steps
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from tests.helpers import small

CONFIG = dict(
  system='toy', seed=0, fold='0', log_every=1, eval_every=2, select='loss', select_mode='min', patience=2,
  optim=dict(schedule='constant'), warm_modules=(),
)  # fmt: skip
# dev loss of the evaluations at steps 2, 4, ..: the best of the first four is 4
CURVE = (0.9, 0.5, 0.6, 0.55, 0.3, 0.2)
TX = optax.sgd(0.05, momentum=0.9)


def data(rows: np.ndarray) -> dict[str, np.ndarray]:
  x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
  y = (x @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
  return {'id': np.array([f'{r}' for r in rows]), 'x': x[rows], 'y': y[rows]}


def batches(split: str, seed: int):
  if split == 'train':
    return batches_lib.shuffled(np.arange(24), data, 16, seed)
  return batches_lib.ordered(np.arange(24, 32) if split == 'dev' else np.arange(32, 40), data, 8)


def init(key, batch) -> TrainState:
  del batch
  return TrainState.create({'w': np.zeros(3, np.float32)}, TX, key)


def loss(params, state, batch, keys) -> steps.Losses:
  x = batch['x'] + 0.1 * jax.random.normal(keys.device, batch['x'].shape)
  return steps.Losses(jnp.square(x @ params['w'] - batch['y']), {}, state.extra)


def predict(state, batch) -> dict[str, jax.Array]:
  return {'y_hat': batch['x'] @ state.params['w'], 'step': jnp.full(len(batch['mask']), state.step)}


step = steps.gradient_step(loss, TX)


def toy(curve=CURVE, every: int = 2, length: int | None = None) -> Experiment:
  """An experiment whose dev scores are told beforehand; `length` steps, or as many as the curve has evaluations."""

  def score(outputs) -> dict[str, float]:
    worth = curve[-(-int(outputs['step'][0]) // every) - 1]
    return {'loss': worth, 'acc': -worth}

  return Experiment(batches, init, step, predict, score, length or every * len(curve))


def evaluated(folder) -> list[int]:
  return [line['step'] for line in small.lines(folder / 'metrics.jsonl') if 'dev/loss' in line]
