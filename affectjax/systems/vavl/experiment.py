"""The rows that are trained: VAVL, its ablations and the baselines, on clips with whatever modalities they have."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.engine import parallel
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples import splits, targets
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
  if target['kind'] not in TARGETS:
    raise unknown('run.target.kind', target['kind'], TARGETS)
  if not target['names']:
    raise UserError('run.target.names is empty; name the classes or attributes that are predicted')
  if target['soft'] and target['kind'] == 'regression':
    raise UserError('run.target.soft is True with regression; votes make soft labels of classes only')
  return training.Target(target['kind'], tuple(target['names']), bool(target['soft']))


def spec(config: Mapping[str, Any], widths: Mapping[str, int]) -> training.Spec:
  """What is traced for a config, given the features' widths."""
  model, update, parity, target = config['model'], config['update'], config['parity'], target_of(config)
  _refuse_senseless(config, widths)
  size = {k: model[k] for k in ('width', 'blocks', 'shared_blocks', 'heads', 'dropout')}
  size |= dict(out=len(target.names), classes=target.kind == 'classification', compute=model['compute'])
  if model['kind'] == 'vavl':
    net = network.VAVL(
      inputs=tuple(widths.items()), kernel=model['kernel'], shared=model['shared'], residual=model['residual'],
      positions=model['positions'], fusion=model['fusion'], across_batch=parity['attend_across_batch'],
      remat=bool(model['remat']), **size,
    )  # fmt: skip
  else:
    net = baselines.KINDS[model['kind']](**size)
  return training.Spec(net, target, float(config['loss']['rebuild']), update['kind'], bool(update['fusion_gradient']))


def _refuse_senseless(config: Mapping[str, Any], widths: Mapping[str, int]) -> None:
  """Refuses what no network can be made or trained with."""
  model = config['model']
  for key, known in (('kind', KINDS), ('compute', COMPUTE), ('fusion', ('head', 'mean'))):
    if model[key] not in known:
      raise unknown(f'run.model.{key}', model[key], known)
  if model['width'] % model['heads'] or model['width'] < 2:
    raise UserError(f'run.model.width {model["width"]} is no multiple of run.model.heads {model["heads"]}')
  if model['kernel'] % 2 == 0 or min(model['blocks'], model['shared_blocks'], model['kernel']) < 1:
    raise UserError(f'run.model: blocks {model["blocks"]}, shared_blocks {model["shared_blocks"]}, kernel '
                    f'{model["kernel"]}; expected at least 1 each, and an odd kernel')  # fmt: skip
  if not 0 <= model['dropout'] < 1 or config['loss']['rebuild'] < 0:
    raise UserError(f'run.model.dropout {model["dropout"]}, run.loss.rebuild {config["loss"]["rebuild"]}; expected a '
                    'rate from 0 to below 1, and a weight from 0')  # fmt: skip
  if not widths or (model['kind'] != 'vavl' and len(widths) < 2):
    raise UserError(f'run.data.modalities is {tuple(widths)}; {model["kind"]} needs '
                    f'{"one or both of" if model["kind"] == "vavl" else "both"} audio and visual')  # fmt: skip
  for key in ('batch_size', 'eval_batch_size'):
    if config[key] < 1:
      raise UserError(f'run.{key} is {config[key]}; expected at least 1')
  _refuse_without_effect(config)


def _refuse_without_effect(config: Mapping[str, Any]) -> None:
  """Refuses settings that would be passed over."""
  model, update, across = config['model'], config['update'], config['parity']['attend_across_batch']
  if update['fusion_gradient'] and update['kind'] != 'joint':
    raise UserError("run.update.fusion_gradient has no effect in phases; set run.update.kind to 'joint', or leave it")
  if model['kind'] != 'vavl' and (across or update['kind'] != 'phases' or model['fusion'] != 'head'):
    raise UserError(f'run.model.kind {model["kind"]!r} has one update and a fusion of its own: run.update.kind, '
                    'run.model.fusion and run.parity.attend_across_batch belong to vavl')  # fmt: skip
  if across and config['eval_batch_size'] != config['batch_size']:
    raise UserError(f'run.parity.attend_across_batch: run.eval_batch_size is {config["eval_batch_size"]}, trained are '
                    f'{config["batch_size"]} clips at a time; expected the same')  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of one cell."""
  target_of(config)  # refused before anything is read
  clips = clips_lib.load(config, data_dir)
  told = clips_lib.labels(clips, config)
  sides = labelled(clips, told['label'], config)
  data, parity = config['data'], config['parity']
  sides['train'] = splits.limited(sides['train'], data['limit'], data['seed'])
  given = clips_lib.presence(clips, sides['train'], data)
  lengths = {m: x.lengths for m, x in clips.streams.items()}
  sizes = batches_lib.Buckets(lengths, data['buckets'], data['max_frames'])
  cell = spec(config, {m: x.width for m, x in clips.streams.items()})
  batch_size = parallel.global_batch(config['batch_size'])
  eval_size = parallel.global_batch(config['eval_batch_size'])
  steps = config['steps'] or math.ceil(config['epochs'] * len(sides['train']) / batch_size)
  train = functools.partial(gather, clips, told, given)
  test = functools.partial(gather, clips, {'label': told['label'], **clips_lib.group_parts(clips)}, clips.present)
  standard = clips_lib.standardisers(clips, sides['train'], given)

  def batches(side, seed):
    rows = sides[side]
    if side != 'train':
      if parity['attend_across_batch'] and not parity['file_order']:  # who is whose batch mate decides outputs
        rows = np.random.default_rng((seed, 7)).permutation(rows)
      elif not parity['file_order']:
        rows = rows[np.argsort(sizes.of[rows], kind='stable')]  # of like length together
      return batches_lib.ordered(rows, lambda at: test(at, sizes.needed(at)), eval_size, clips.on_disk)
    rows = rows[[any(given[m][i] for m in given) for i in rows]]
    if parity['file_order']:
      return batches_lib.in_file_order(rows, sizes, train, batch_size, clips.on_disk)
    return batches_lib.bucketed(rows, sizes, train, batch_size, seed, clips.on_disk)

  return Experiment(
    batches=batches,
    init=functools.partial(_init, cell, training.optimiser(config['optim'], steps), standard),
    step=training.make_step(cell, config['optim'], steps),
    predict=predict(cell),
    score=functools.partial(views.score, cell.target, select=config['select']),
    steps=steps,
    finish=lambda outputs: {side: views.add(cell.target, out) for side, out in outputs.items()},
  )


def labelled(clips: Examples, label: np.ndarray, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Rows of the sides that have a label, [N] or [N, A]; a side that is left with none is refused."""
  known = targets.known(label)
  rows = {side: at[known[at]] for side, at in splits.split(clips, config).items()}
  for side, at in rows.items():
    if not len(at):
      raise UserError(f'{clips.name}: no {side} clip of fold {config["fold"]} has a label '
                      f'({", ".join(config["target"]["names"])}); look at it with affectjax.doctor')  # fmt: skip
  return rows


def gather(clips: Examples, told, present, rows: np.ndarray, frames: Mapping[str, int]) -> dict[str, np.ndarray]:
  """A batch: ids, frames and masks per modality, who has it, and what is told of each clip."""
  out = {'id': clips.id[rows], 'group': clips.group[rows], 'item': clips.item[rows]}
  for m, x in clips.streams.items():
    there = present[m][rows]
    values, mask = x.gather(rows, frames[m])
    out[m], out[f'{m}_mask'], out[f'{m}_present'] = values, mask & there[:, None], there
  return {**out, **{k: v[rows] for k, v in told.items()}}


def _init(cell: training.Spec, tx, standard, key: jax.Array, batch) -> TrainState:
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
    x = training.inputs(cell, state.extra, batch)
    variables = {'params': state.params, 'batch_stats': state.extra['batch_stats']}
    out = {f'output_{view}': y for view, y in cell.net.apply(variables, x).items()}
    kept = ('label', 'audio_present', 'visual_present', *views.PARTS)
    return {**out, **{k: batch[k] for k in kept if k in batch}}

  return outputs
