"""Training and prediction of every row: deterministic, Bayesian, dropout at test, ensemble."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import optim, parallel
from affectjax.engine.steps import Losses, gradient_step
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples.streams import Rows
from affectjax.metrics import predictive
from affectjax.systems.label_uncertainty import losses, network, postprocess, windows

# How a row comes by its spread: from passes with drawn weights, from an output of its own, from passes with dropout,
# from members trained apart; 'none' predicts the mean only, 'only' nothing but the spread.
SPREADS = ('passes', 'direct', 'dropout', 'members', 'none', 'only')
TRAINED = ('id', 'window', 'x', 'x_mask', 'mean', 'spread', 'count')  # of `windows.cut`
_INIT, _PREDICT = 2**31 - 1, 2**31 - 2


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is traced: equal specs share what was compiled."""

  net: network.Network
  spread: str
  passes: int
  members: int
  loss: losses.Loss
  attributes: tuple[str, ...]
  data_frames: float


def spec(config: Mapping[str, Any], attributes: tuple[str, ...], data_frames: float) -> Spec:
  """The spec of a config."""
  model, loss = config['model'], losses.Loss.of(config)
  refuse_unknown('run.model.spread', model['spread'], SPREADS)
  bayes = model['spread'] == 'passes'
  if (loss.bbb != 'none') != bayes:
    raise UserError(f'run.loss.bbb is {loss.bbb!r} with run.model.spread {model["spread"]!r}; the cost of the weights '
                    "belongs to 'passes' and to no other")  # fmt: skip
  if loss.label != 'none' and model['spread'] not in ('passes', 'direct'):
    raise UserError(f'run.loss.label {loss.label!r} needs a spread that is trained: run.model.spread passes or direct')
  net = network.Network(
    len(attributes) * (2 if model['spread'] == 'direct' else 1), model['frontend'], model['width'], model['hidden'],
    model['dropout'], 'bayes' if bayes else 'dense', model['head_dropout'], model['bottleneck'], model['block'],
    # cuDNN's LSTM cannot be batched over members or passes
    'scan' if model['spread'] in ('members', 'dropout') else model['recurrent'],
  )  # fmt: skip
  _refuse_senseless(model, loss, config)
  over = data_frames if loss.over == 'data' else 0.0
  return Spec(net, model['spread'], model['passes'], model['members'], loss, attributes, over)


def _refuse_senseless(model: Mapping[str, Any], loss: losses.Loss, config: Mapping[str, Any]) -> None:
  """Refuses numbers that no network can be made or trained with."""
  for key, least in (('passes', 2), ('members', 2), ('block', 1), ('hidden', 2), ('width', 1)):
    if model[key] < least:
      raise UserError(f'run.model.{key} is {model[key]}; expected at least {least}')
  for key in ('batch_size', 'eval_batch_size'):
    if config[key] < 1:
      raise UserError(f'run.{key} is {config[key]}; expected at least 1')
  for key in ('dropout', 'head_dropout'):
    if not 0 <= model[key] < 1:
      raise UserError(f'run.model.{key} is {model[key]}; expected a rate from 0 to below 1')
  if loss.floor < 0 or loss.floor_hat <= 0 or loss.df_hat <= 2:
    raise UserError(f'run.loss: floor {loss.floor}, floor_hat {loss.floor_hat}, df_hat {loss.df_hat}; expected at '
                    'least 0, above 0, and above 2 (a Student-t with fewer has no variance)')  # fmt: skip
  if (loss.mean and model['spread'] == 'only') or (loss.spread and model['spread'] in ('none', 'dropout', 'members')):
    raise UserError(f'run.loss.mean {loss.mean}, spread {loss.spread}: run.model.spread {model["spread"]!r} does '
                    'not train that')  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of one cell."""
  data = windows.load(config, data_dir)
  batch_size = parallel.global_batch(config['batch_size'])
  train = data.splits['train']
  steps = config['steps'] or math.ceil(config['epochs'] * len(train['window']) / batch_size)
  cell = spec(config, data.attributes, float((train['count'] > 0).any(-1).sum()))
  losses.refuse_few(cell.loss, float(train['count'].max()))
  members = cell.members if cell.spread == 'members' else 1
  optimizer = {**config['optim'], 'clip': config['optim']['clip'] * math.sqrt(members)}  # the norm is of all members
  state = functools.partial(_init, cell, optim.make(optimizer, steps), data.standard)

  def batches(split, seed):
    arrays = data.splits[split]
    index, on_disk = np.arange(len(arrays['window'])), isinstance(arrays['x'], Rows)
    names = TRAINED if split == 'train' else tuple(arrays)
    gather = lambda at: {k: arrays[k][at] for k in names}
    if split == 'train':
      return batches_lib.shuffled(index, gather, batch_size, seed, on_disk)
    return batches_lib.ordered(index, gather, parallel.global_batch(config['eval_batch_size']), on_disk)

  return Experiment(
    batches=batches,
    init=state,
    step=_step(cell, optim.key(optimizer), steps),
    predict=make_predict(cell),
    score=functools.partial(_score, cell, data.delays, select=config['select']),
    steps=steps,
    finish=functools.partial(postprocess.add, attributes=data.attributes),
  )


def _init(cell: Spec, tx, standard, key: jax.Array, batch) -> TrainState:
  x, key0 = jnp.zeros((1, *batch['x'].shape[1:])), jax.random.fold_in(key, _INIT)
  members = cell.spread == 'members'
  keys = jax.random.split(key0, cell.members) if members else key0
  params = _initialiser(cell.net, members)(keys, x)['params']
  return TrainState.create(params, tx, key, {'input': standard})


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _initialiser(net: network.Network, members: bool):
  """`net.init`, of one key or of one per member, compiled once for all cells that share the network."""
  return jax.jit(jax.vmap(net.init, (0, None)) if members else net.init)


def _inputs(state: TrainState, batch) -> jax.Array:
  """Standardised features, 0 (the training mean) where there are none."""
  x = (batch['x'] - state.extra['input']['mean']) / state.extra['input']['scale']
  return jnp.where(batch['x_mask'][..., None], x, 0.0)


def _plain(cell: Spec, params, x: jax.Array, train: bool, key: jax.Array) -> jax.Array:
  """One deterministic network, [B, T, D] -> [B, T, O]; dropout where `train`."""
  trunk, head = jax.random.split(key)
  h = cell.net.apply({'params': params}, x, train, method='trunk', rngs={'dropout': trunk})
  return cell.net.apply({'params': params}, h, train, method='plain', rngs={'dropout': head})


def _split(cell: Spec, out: jax.Array) -> tuple[jax.Array | None, jax.Array | None]:
  """Outputs [..., O] as mean and spread [..., A]; what a row does not predict is None."""
  if cell.spread == 'direct':
    mean, spread = jnp.split(out, 2, -1)
    return mean, jax.nn.softplus(spread)
  return (None, jax.nn.softplus(out)) if cell.spread == 'only' else (out, None)


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _step(cell: Spec, optimizer: tuple, steps: int):
  return gradient_step(_loss(cell), optim.make(optim.unkey(optimizer), steps))


def _loss(cell: Spec):
  loss = cell.loss

  def loss_fn(params, state, batch, keys) -> Losses:
    x, scalars = _inputs(state, batch), {}
    zero = jnp.zeros(batch['mask'].shape)
    if cell.spread == 'members':  # every member has its own loss; one program, one sum
      each = jax.vmap(lambda p, k: _plain(cell, p, x, True, k))(params, jax.random.split(keys.device, cell.members))
      total = sum(losses.concordance(loss, batch, each[i], batch['mean'], 1) for i in range(cell.members))
      return Losses(zero + total, {'ccc_loss': total / cell.members}, state.extra)
    if cell.spread == 'passes':
      h = cell.net.apply({'params': params}, x, True, method='trunk', rngs={'dropout': keys.device})
      passes = cell.net.apply({'params': params}, h, batch['window'], keys.shared, cell.passes, method='sampled')
      mean, spread = network.moments(passes)
    else:
      mean, spread = _split(cell, _plain(cell, params, x, True, keys.device))
    total = zero
    if loss.mean:
      scalars['ccc_loss'] = losses.concordance(loss, batch, mean, batch['mean'], 1)
      total += loss.mean * scalars['ccc_loss']
    if loss.spread:
      scalars['ccc_spread_loss'] = losses.concordance(loss, batch, spread, batch['spread'], 2)
      total += loss.spread * scalars['ccc_spread_loss']
    if loss.bbb != 'none':
      blocks = batch['x'].shape[1] // cell.net.block
      cost = losses.weights_cost(loss, params['head'], keys.shared, batch['window'], blocks, cell.passes)
      frames = cell.data_frames or parallel.total((batch['x_mask'].sum(1) * batch['mask']).sum())
      scalars['bbb'] = cost / frames
      total += scalars['bbb']
    if loss.label != 'none':
      values, marked = losses.label_divergence(loss, batch, mean, spread)
      label = losses.per_example(values, marked, batch['mask'])
      scalars['label_loss'] = parallel.total((label * batch['mask']).sum()) / parallel.total(batch['mask'].sum())
      total += label
    return Losses(total, scalars, state.extra)

  return loss_fn


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def make_predict(cell: Spec):
  """(state, batch) -> what is predicted and what was marked, see `_outputs`; one per spec."""

  def predict(state, batch):
    x, params = _inputs(state, batch), state.params
    key = jax.random.fold_in(state.key, _PREDICT)
    weights = None
    if cell.spread == 'passes':
      h = cell.net.apply({'params': params}, x, method='trunk')
      passes = cell.net.apply({'params': params}, h, batch['window'], key, cell.passes, method='sampled')
      mean, spread = network.moments(passes)
      weights = cell.net.apply({'params': params}, h, method='plain')
    elif cell.spread == 'members':
      mean, spread = network.moments(jax.vmap(lambda p: _plain(cell, p, x, False, key))(params))
    elif cell.spread == 'dropout':
      own = jax.vmap(lambda w: jax.random.split(jax.random.fold_in(key, w), cell.passes))(batch['window'])  # [B, P]
      one = lambda x, k: _plain(cell, params, x[None], True, k)[0]
      mean, spread = network.moments(jax.vmap(jax.vmap(one, (None, 0)), (0, 0), 1)(x, own))
    else:
      mean, spread = _split(cell, _plain(cell, params, x, False, key))
    return _outputs(cell, batch, mean, spread, weights)

  return predict


def _outputs(cell: Spec, batch, mean, spread, mean_weight) -> dict[str, jax.Array]:
  """Truth and prediction per attribute, [B, T] each; NaN where nothing is scored."""
  out = {'time_s': batch['time_s']}
  for i, name in enumerate(cell.attributes):
    count = batch['count'][..., i]
    truth = jnp.where(count > 0, batch['mean'][..., i], jnp.nan)
    known = lambda x, i=i: jnp.where(batch['x_mask'], x[..., i], jnp.nan)
    if mean is not None:
      out[name], out[f'{name}_hat'] = truth, known(mean)
    if mean_weight is not None:
      out[f'{name}_meanweight'], out[f'{name}_meanweight_hat'] = truth, known(mean_weight)
    if spread is None:
      continue
    student = cell.loss.label == 't_t'
    widen = math.sqrt(cell.loss.df_hat / (cell.loss.df_hat - 2)) if student else 1.0
    out[f'{name}_spread'] = jnp.where(count > 1, batch['spread'][..., i], jnp.nan)
    out[f'{name}_spread_hat'] = widen * known(jnp.maximum(spread, cell.loss.floor_hat))
    if mean is None:
      continue
    out[f'{name}_raters'], out[f'{name}_ratings'] = count, batch['ratings'][..., i]
    out[f'{name}_df_hat'] = jnp.full(truth.shape, cell.loss.df_hat if student else jnp.inf)
    out[f'{name}_agreement'] = batch['agreement'][:, i]
    if 'true' in batch:
      for j, part in enumerate(('loc', 'scale', 'df')):
        out[f'{name}_true_{part}'] = jnp.where(count > 0, batch['true'][..., i, j], jnp.nan)
  return out


def _score(
  cell: Spec, delays: tuple[float, ...], out: Mapping[str, np.ndarray], select: str = 'loss'
) -> dict[str, float]:
  """The loss, what the row minimises without the cost of the weights, the delays, and what else selects."""
  ccc = lambda name: metrics.ccc(out[name], out[f'{name}_hat'])
  concordance = lambda suffix: float(np.mean([ccc(a + suffix) for a in cell.attributes]))
  loss = cell.loss.spread * (1 - concordance('_spread')) if cell.loss.spread else 0.0
  loss += cell.loss.mean * (1 - concordance('')) if cell.loss.mean else 0.0
  if cell.loss.label != 'none':
    loss += float(np.mean([_label_loss(cell.loss, out, a) for a in cell.attributes]))
  chosen = metrics.selected(select, out)
  return {**chosen, **{f'delay_s.{a}': d for a, d in zip(cell.attributes, delays, strict=True)}, 'loss': loss}


def _label_loss(loss: losses.Loss, out: Mapping[str, np.ndarray], name: str) -> float:
  """The row's own divergence from the raters, mean over the frames that have enough of them."""
  enough = out[f'{name}_raters'] >= loss.fewest
  a, m, s, m_hat, s_hat, df_hat = (
    np.asarray(out[f'{name}{key}'], np.float64)[enough]
    for key in ('_raters', '', '_spread', '_hat', '_spread_hat', '_df_hat')
  )
  s = np.sqrt(s**2 + loss.floor**2)
  if loss.label == 'gauss':
    nu = np.full_like(a, np.inf)
  else:
    nu = a if loss.nu == 'a' else a - 1
    s = s if loss.scale == 's' else s * np.sqrt(1 + 1 / a)
  return float(predictive.kl(m, s, nu, m_hat, s_hat, df_hat).mean())
