"""The rows that are trained: VAVL, its ablations and the baselines, on clips with whatever modalities they have."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import UserError, refuse_unknown, refuse_wrong
from affectjax.engine import optim, parallel
from affectjax.engine import steps as engine_steps
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples import shape, splits, targets
from affectjax.examples.examples import Examples
from affectjax.layers.dense import COMPUTE
from affectjax.systems.vavl import baselines, network, training, views
from affectjax.systems.vavl import clips as clips_lib

TARGETS = ('classification', 'regression')
KINDS = ('vavl', *baselines.KINDS)
_INIT = 2**31 - 1


def target_of(config: Mapping[str, Any]) -> training.Target:
  """What a config predicts."""
  target = config['target']
  refuse_unknown('run.target.kind', target['kind'], TARGETS)
  if not target['names']:
    raise UserError('run.target.names is empty; name the classes or attributes that are predicted')
  if target['soft'] and target['kind'] == 'regression':
    raise UserError('run.target.soft is True with regression; votes make soft labels of classes only')
  return training.Target(target['kind'], tuple(target['names']), bool(target['soft']))


def spec(config: Mapping[str, Any], widths: Mapping[str, int]) -> training.Spec:
  """What is traced for a config, given the features' widths."""
  model, update, parity, target = config['model'], config['update'], config['parity'], target_of(config)
  _refuse_senseless(config, widths)
  size = {k: model[k] for k in ('width', 'blocks', 'shared_blocks', 'heads', 'dropout', 'compute')}
  size |= dict(inputs=tuple(widths.items()), out=len(target.names), classes=target.kind == 'classification')
  if model['kind'] == 'vavl':
    net = network.VAVL(
      kernel=model['kernel'], shared=model['shared'], residual=model['residual'],
      positions=model['positions'], fusion=model['fusion'], across_batch=parity['attend_across_batch'],
      remat=bool(model['remat']), **size,
    )  # fmt: skip
  else:
    net = baselines.KINDS[model['kind']](**size)
  return training.Spec(net, target, float(config['loss']['rebuild']), update['kind'], bool(update['fusion_gradient']))


def _refuse_senseless(config: Mapping[str, Any], widths: Mapping[str, int]) -> None:
  """Refuses what no network can be made or trained with, and settings that would be passed over."""
  model, update, across = config['model'], config['update'], config['parity']['attend_across_batch']
  for key, known in (('kind', KINDS), ('compute', COMPUTE), ('fusion', ('head', 'mean'))):
    refuse_unknown(f'run.model.{key}', model[key], known)
  other, rebuild = model['kind'] != 'vavl', config['loss']['rebuild']
  refuse_wrong(
    (model['width'] % model['heads'] or model['width'] < 2,
     f'run.model.width {model["width"]} is no multiple of run.model.heads {model["heads"]}'),
    (model['kernel'] % 2 == 0 or min(model['blocks'], model['shared_blocks'], model['kernel']) < 1,
     f'run.model: blocks {model["blocks"]}, shared_blocks {model["shared_blocks"]}, kernel {model["kernel"]}; expected '
     'at least 1 each, and an odd kernel'),
    (not 0 <= model['dropout'] < 1 or rebuild < 0,
     f'run.model.dropout {model["dropout"]}, run.loss.rebuild {rebuild}; expected a rate from 0 to below 1, and a '
     'weight from 0'),
    (other and len(widths) < 2, f'run.data.modalities is {tuple(widths)}; {model["kind"]} needs two'),
    (config['batch_size'] < 1 or config['eval_batch_size'] < 1,
     f'run.batch_size is {config["batch_size"]}, eval_batch_size {config["eval_batch_size"]}; expected at least 1'),
    (update['fusion_gradient'] and update['kind'] != 'joint',
     "run.update.fusion_gradient has no effect in phases; set run.update.kind to 'joint', or leave it"),
    (other and (across or update['kind'] != 'phases' or model['fusion'] != 'head'),
     f'run.model.kind {model["kind"]!r} has one update and a fusion of its own: run.update.kind, run.model.fusion and '
     'run.parity.attend_across_batch belong to vavl'),
    (across and config['eval_batch_size'] != config['batch_size'],
     f'run.parity.attend_across_batch: run.eval_batch_size is {config["eval_batch_size"]}, trained are '
     f'{config["batch_size"]} clips at a time; expected the same'),
  )  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of one cell."""
  target_of(config)  # refused before anything is read
  clips = clips_lib.load(config, data_dir)
  labels = clips_lib.labels(clips, config)
  rows = labelled(clips, labels['label'], config)
  data, parity, modalities = config['data'], config['parity'], tuple(clips.streams)
  rows['train'] = splits.limited(rows['train'], data['limit'], data['seed'])
  given = clips_lib.presence(clips, rows['train'], data)
  sizes = batches_lib.Buckets({m: x.lengths for m, x in clips.streams.items()}, data['buckets'], data['max_frames'])
  cell = spec(config, {m: x.width for m, x in clips.streams.items()})
  batch_size, eval_size = (parallel.global_batch(config[k]) for k in ('batch_size', 'eval_batch_size'))
  steps = config['steps'] or math.ceil(config['epochs'] * len(rows['train']) / batch_size)
  standard = shape.standardisers(clips, rows['train'], given)
  parts = {'label': labels['label'], **clips_lib.group_parts(clips)}
  train = lambda at, frames: clips.gather(at, frames, labels, given)
  test = lambda at: clips.gather(at, sizes.needed(at), parts, clips.present)

  def batches(split, seed):
    index = rows[split]
    if split != 'train':
      if parity['attend_across_batch'] and not parity['file_order']:  # who is whose batch mate decides outputs
        index = np.random.default_rng((seed, 7)).permutation(index)
      elif not parity['file_order']:
        index = index[np.argsort(sizes.of[index], kind='stable')]  # of like length together
      return batches_lib.ordered(index, test, eval_size, clips.on_disk)
    index = index[[any(given[m][i] for m in given) for i in index]]
    if parity['file_order']:
      return batches_lib.in_file_order(index, sizes, train, batch_size, clips.on_disk)
    return batches_lib.bucketed(index, sizes, train, batch_size, seed, clips.on_disk)

  return Experiment(
    batches=batches,
    init=functools.partial(init, cell, training.optimiser(config['optim'], steps), standard),
    step=training.make_step(cell, optim.key(config['optim']), steps),
    predict=predict(cell),
    score=functools.partial(views.score, cell.target, modalities, select=config['select']),
    steps=steps,
    finish=lambda outputs: {split: views.add(cell.target, modalities, out) for split, out in outputs.items()},
  )


def labelled(clips: Examples, label: np.ndarray, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Index of the clips of each split that have a label, [N] or [N, A]; a split that is left with none is refused."""
  known = targets.known(label)
  rows = {split: index[known[index]] for split, index in splits.split(clips, config).items()}
  for split, index in rows.items():
    if not len(index):
      raise UserError(f'{clips.name}: no {split} clip of fold {config["fold"]} has a label '
                      f'({", ".join(config["target"]["names"])}); look at it with affectjax.doctor')  # fmt: skip
  return rows


def init(cell: training.Spec, tx, standard, key: jax.Array, batch) -> TrainState:
  """The state before the first step: of the network of `cell`, its optimiser, and the standardisers by modality."""
  small = {}
  for m in standard:
    small[m] = jnp.zeros((1, 2, batch[m].shape[-1]))
    small[f'{m}_mask'], small[f'{m}_present'] = jnp.ones((1, 2), bool), jnp.ones(1, bool)
  variables = _initialiser(cell.net)(jax.random.fold_in(key, _INIT), small)
  extra = {'batch_stats': variables.get('batch_stats', {}), 'input': standard}
  return TrainState.create(variables['params'], tx, key, extra)


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _initialiser(net):
  """`net.init`, compiled once for all cells that share the network; without optimisation, for it runs once."""
  net = net.clone(across_batch=False) if isinstance(net, network.VAVL) else net  # no devices to gather from yet
  return jax.jit(net.init, compiler_options={'xla_backend_optimization_level': 0})


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def predict(cell: training.Spec):
  """(state, batch) -> outputs per view and what is scored with them, of the network of `cell`."""

  def outputs(state, batch):
    x = engine_steps.standardised(batch, state.extra['input'])
    variables = {'params': state.params, 'batch_stats': state.extra['batch_stats']}
    out = {f'output_{view}': y for view, y in cell.net.apply(variables, x).items()}
    kept = ('label', *(f'{m}_present' for m in cell.net.modalities), *clips_lib.PARTS)
    return {**out, **{k: batch[k] for k in kept if k in batch}}

  return outputs
