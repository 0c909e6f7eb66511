"""Pretraining without labels, and fine-tuning with few; the baseline is fine-tuning that starts from nothing.

Beside them constants, which take no training.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import optim, parallel, steps
from affectjax.engine.types import Experiment, TrainState
from affectjax.examples import batches as batches_lib
from affectjax.examples import splits, targets, trivial
from affectjax.examples.examples import Examples
from affectjax.examples.splits import Rows
from affectjax.systems.masked_ssl import backbone, masks, network, training, views
from affectjax.systems.masked_ssl import sequences as sequences_lib


def _encoder(config: Mapping[str, Any]) -> dict[str, Any]:
  """The encoder's sizes; refuses those of which no network can be made."""
  model = config['model']
  refuse_unknown('run.model.kind', model['kind'], backbone.KINDS)
  least = min(model['width'], model['blocks'], model['heads'], model['hidden'])
  if least < 1 or model['width'] % (2 * model['heads']) or not 0 <= model['dropout'] < 1:
    raise UserError(f'run.model: width {model["width"]}, blocks {model["blocks"]}, heads {model["heads"]}, hidden '
                    f'{model["hidden"]}, dropout {model["dropout"]}; expected 1 or more each, a width that is a '
                    'multiple of twice the heads, and a rate below 1')  # fmt: skip
  return {k: model[k] for k in ('kind', 'width', 'blocks', 'heads', 'hidden', 'dropout')}


def prepared(config: Mapping[str, Any], data_dir: str | None) -> tuple[Examples, Rows]:
  """The sequences, and the index of those of each split."""
  examples = sequences_lib.load(config, data_dir)
  return examples, splits.split(examples, config)


def _length(config: Mapping[str, Any], rows: int, batch_size: int) -> tuple[int, int]:
  """Steps in all, `least_steps` at least if epochs decide, and per epoch."""
  if min(config['steps'], config['least_steps']) < 0 or (not config['steps'] and config['epochs'] <= 0):
    raise UserError(f'run.steps {config["steps"]}, least_steps {config["least_steps"]}, run.epochs {config["epochs"]}; '
                    'expected 0 or more, and steps or epochs above 0')  # fmt: skip
  by_epochs = max(math.ceil(config['epochs'] * rows / batch_size), config['least_steps'])
  return config['steps'] or by_epochs, math.ceil(rows / batch_size)


def _batches(
  examples: Examples, more: Mapping[str, np.ndarray], rows: Rows, batch_size: int, eval_size: int
) -> dict[str, Any]:
  """`batches` and `table` of an experiment; a table cannot be had of what stays on disk.

  Args:
    examples: N of them.
    more: columns [N, ...] beside names and features.
    rows: index of the examples of each split.
    batch_size, eval_size: of all devices.
  """
  x, real = sequences_lib.stream(examples).dense()
  table = {'id': examples.id, 'group': examples.group, 'item': examples.item, 'x': x, 'real': real, **more}
  gather, on_disk = lambda index: {k: v[index] for k, v in table.items()}, examples.on_disk

  def batches(split, seed):
    if split == 'rows':
      return batches_lib.shuffled(rows['train'], lambda index: {'row': index.astype(np.int32)}, batch_size, seed)
    if split == 'train':
      return batches_lib.shuffled(rows['train'], gather, batch_size, seed, on_disk)
    return batches_lib.ordered(rows[split], gather, eval_size, on_disk)

  return {'batches': batches, 'table': None if on_disk else table}


# Pretraining


def pretraining(config: Mapping[str, Any], features: int, meta: Mapping[str, Any]) -> training.Pretraining:
  """What is traced of a config."""
  mask, pretext = config['mask'], config['pretext']
  for key, known in (('error', training.ERRORS), ('layout', network.LAYOUTS), ('target', network.TARGETS)):
    refuse_unknown(f'run.pretext.{key}', pretext[key], known)
  named = meta.get('column_groups', {})
  groups = tuple(tuple(g) for g in named.values()) or ((0, features),)
  masking = masks.Masking(mask['kind'], float(mask['ratio']), int(mask['span']), mask['replace'], groups)
  masks.check(masking)
  if pretext['layout'] == 'mae' and mask['kind'] not in ('iid', 'span_fixed'):
    raise UserError("run.pretext.layout 'mae' shows whole steps, a number that is known; set run.mask.kind to iid or "
                    'span_fixed')  # fmt: skip
  if not 0 <= pretext['ema'] < 1:
    raise UserError(f'run.pretext.ema is {pretext["ema"]}; expected from 0 to below 1')
  if pretext['group_weights'] and pretext['target'] != 'features':
    raise UserError('run.pretext.group_weights weighs features, and run.pretext.target is '
                    f'{pretext["target"]!r}; set it to False')  # fmt: skip
  if pretext['layout'] == 'mae' and mask['replace'] != 'learned':
    raise UserError(f"run.mask.replace {mask['replace']!r} with run.pretext.layout 'mae', whose encoder sees nothing "
                    'in place of a hidden step; set it to learned')  # fmt: skip
  if pretext['group_weights'] and len(named) < 2:
    raise UserError(f'run.pretext.group_weights with {len(named)} groups of columns in the corpus; expected 2 or more, '
                    'or all weigh alike; set it to False')  # fmt: skip
  weights = np.ones(features)
  if pretext['group_weights']:  # every group weighs alike, however many features it has
    for first, end in groups:
      weights[first:end] = features / len(groups) / (end - first)
  net = network.Pretext(
    **_encoder(config), features=features, layout=pretext['layout'], target=pretext['target'],
    keep=1 - float(mask['ratio']) if mask['kind'] == 'iid' else 1.0,  # spans that overlap hide less
  )  # fmt: skip
  return training.Pretraining(
    net, masking, pretext['error'], bool(pretext['everywhere']), tuple(weights.tolist()), float(pretext['ema'])
  )


def pretrain(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of a pretraining cell: labels are not looked at."""
  examples, rows = prepared(config, data_dir)
  rows = {**rows, 'train': sequences_lib.pool(examples, rows, config)}
  cell = pretraining(config, sequences_lib.stream(examples).width, examples.meta)
  batch_size, eval_size = (parallel.global_batch(config[k]) for k in ('batch_size', 'eval_batch_size'))
  length, epoch = _length(config, len(rows['train']), batch_size)
  standard = sequences_lib.standardiser(examples, rows['train'])
  number = {'row': np.arange(len(examples), dtype=np.int32)}
  return Experiment(
    **_batches(examples, number, rows, batch_size, eval_size),
    init=functools.partial(_init_pretraining, cell, optim.make(config['optim'], length), standard),
    step=_pretext_step(cell, optim.key(config['optim']), length),
    predict=training.pretext_predict(cell),
    score=lambda out: {k: float(np.mean(out[k])) for k in ('loss', 'loss_mean', 'loss_interpolated')},
    steps=length,
    epoch=epoch,
  )


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _pretext_step(cell: training.Pretraining, config: tuple, length: int):
  return steps.gradient_step(training.pretext_loss(cell), optim.make(optim.unkey(config), length))


def _init_pretraining(cell: training.Pretraining, tx, standard, key, batch) -> TrainState:
  x, real = jnp.zeros((1, *batch['x'].shape[1:])), jnp.ones((1, batch['x'].shape[1]), bool)
  hidden = jnp.arange(batch['x'].shape[1])[None, :, None] < 1
  params = training.initialise(cell.net, key, 0, x, real, hidden, key, cell.masking, False)
  extra = {'input': standard}
  if cell.net.target == 'ema_latent':
    extra['teacher'] = params
  return TrainState.create(params, tx, key, extra)


# Fine-tuning


def finetuning(config: Mapping[str, Any], targets: int) -> training.Finetuning:
  """What is traced of a config."""
  tune = config['tune']
  refuse_unknown('run.tune.loss', tune['loss'], training.LOSSES)
  refuse_unknown('run.tune.head', tune['head'], network.HEADS)
  if not tune['encoder_lr'] or any(not lr > 0 for lr in tune['encoder_lr']) or not 0 < tune['decay'] <= 1:
    raise UserError(f'run.tune: encoder_lr {tuple(tune["encoder_lr"])}, decay {tune["decay"]}; expected one rate or '
                    'more above 0, and a factor above 0, to 1')  # fmt: skip
  if tune['frozen'] and (len(tune['encoder_lr']) > 1 or bool(config['warm_start']) == bool(tune['untrained'])):
    raise UserError('run.tune.frozen leaves the encoder as it came: name the row it comes from in run.warm_start, or, '
                    'for a random one, set run.tune.untrained; and one rate in run.tune.encoder_lr')  # fmt: skip
  if tune['untrained'] and not tune['frozen']:
    raise UserError('run.tune.untrained is of run.tune.frozen, a control; a row without run.warm_start trains from '
                    'nothing as it is; set it to False')  # fmt: skip
  if (tune['loss'] == 'cross_entropy') != (config['target']['kind'] == 'class'):
    raise UserError(f"run.tune.loss {tune['loss']!r} with run.target.kind {config['target']['kind']!r}; cross_entropy "
                    'is for class, and only it')  # fmt: skip
  if config['optim']['schedule'] == 'plateau':  # it follows one dev loss, learning rates have one each
    raise UserError('run.optim.schedule plateau is not for fine-tuning; set it to constant, cosine or step')
  levels = training.LEVELS if tune['loss'] == 'coral' else 0
  net = network.Predictor(
    **_encoder(config), out=targets, head=tune['head'], levels=levels, norm=tune['norm'], still=bool(tune['frozen'])
  )
  return training.Finetuning(
    net, tune['loss'], targets, bool(tune['frozen']), float(tune['decay']), len(tune['encoder_lr'])
  )


def finetune(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of a cell with labels: from a pretrained encoder (`warm_start`), or from nothing."""
  examples, rows = prepared(config, data_dir)
  label, names = views.labels(examples, config)
  median = views.medians(label, rows['train'])  # of all labels, so that skill means the same at every budget
  pool = sequences_lib.pool(examples, rows, config)  # features need no label: as in pretraining
  rows = limited(examples, rows, label, config)
  cell, width = finetuning(config, len(names)), sequences_lib.stream(examples).width
  batch_size = parallel.global_batch(min(config['batch_size'], len(rows['train'])))
  length, epoch = _length(config, len(rows['train']), batch_size)
  extra = {'input': sequences_lib.standardiser(examples, pool), **training.statistics(cell)}
  eval_size = parallel.global_batch(config['eval_batch_size'])
  rates, select = tuple(float(lr) for lr in config['tune']['encoder_lr']), views.selection(config)

  def init(key, batch):
    x, real = jnp.zeros((1, *batch['x'].shape[1:])), jnp.ones((1, batch['x'].shape[1]), bool)
    params = training.initialise(cell.net, key, cell.copies, x, real, False)
    return TrainState.create(params, training.optimiser(cell, config['optim'], length, rates, params), key, extra)

  return Experiment(
    **_batches(examples, {'label': label, 'median': median}, rows, batch_size, eval_size),
    init=init,
    step=_task_step(cell, optim.key(config['optim']), length, rates, (config['data']['frames'], width)),
    predict=training.finetune_predict(cell),
    score=functools.partial(views.score, names, rates, select),
    steps=length,
    epoch=epoch,
    finish=functools.partial(views.finish, names, select),
  )


@functools.lru_cache(maxsize=parallel.PROGRAMS)
def _task_step(cell: training.Finetuning, config: tuple, length: int, rates: tuple[float, ...], shape: tuple[int, ...]):
  """The update; of equal cells the same function, so that what was compiled is shared."""
  x, real = jnp.zeros((1, *shape)), jnp.ones((1, shape[0]), bool)
  like = jax.eval_shape(lambda: training.initialise(cell.net, jax.random.key(0), cell.copies, x, real, False))
  return steps.gradient_step(
    training.finetune_loss(cell), training.optimiser(cell, optim.unkey(config), length, rates, like)
  )


def limited(examples: Examples, rows: Rows, label: np.ndarray, config: Mapping[str, Any]) -> Rows:
  """The labelled examples of each split, training cut to `data.limit`, dev to a quarter of it with `data.limit_dev`.

  Whole items (videos, recordings) are drawn, by the cell's seed.
  """
  data, known = config['data'], targets.known(label)
  labelled = {split: at[known[at]] for split, at in rows.items()}
  for split, at in labelled.items():
    if not len(at):
      raise UserError(f'{examples.name}: no {split} example has a label; look at it with affectjax.doctor')
  limit = data['limit']
  labelled['train'] = splits.limited(labelled['train'], limit, config['seed'], examples.item)
  if data['limit_dev'] and limit:
    labelled['dev'] = splits.limited(labelled['dev'], max(1, limit // 4), config['seed'], examples.item)
  return labelled


# Rows that take no training: constants, which say how much of a score is the labels' own doing

# label, index of training examples, number of classes -> an output for every example
METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
  'zero': lambda label, rows, classes: np.zeros_like(label),  # no emotion at all
  'median': lambda label, rows, classes: views.medians(label, rows),  # the best constant for the absolute error
  'majority': lambda label, rows, classes: np.repeat(trivial.majority(label[rows], classes)[None], len(label), 0),
}


def reference(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference` names one of `METHODS`."""
  name = config['reference']
  refuse_unknown('run.reference', name, METHODS)
  examples, whole = prepared(config, data_dir)
  label, names = views.labels(examples, config)
  if (label.ndim == 1) != (name == 'majority'):
    raise UserError(f'run.reference {name!r} with run.target.kind {config["target"]["kind"]!r}; majority is for class, '
                    'zero and median for intensity')  # fmt: skip
  rows = limited(examples, whole, label, config)
  output = METHODS[name](label, rows['train'], len(names))[:, None]
  columns = {'label': label, 'median': views.medians(label, whole['train']), 'output': output}
  select = views.selection(config)
  return trivial.fixed(
    examples, rows, columns, config['eval_batch_size'], functools.partial(views.finish, names, select),
  )  # fmt: skip
