"""The rows that are trained: AmbER^2, its ablations, the baselines and the related systems."""

import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown, refuse_wrong
from affectjax.engine import parallel
from affectjax.engine.types import Experiment
from affectjax.examples import batches as batches_lib
from affectjax.examples import shape, targets
from affectjax.examples.examples import Examples
from affectjax.objectives import ambiguity, dirichlet, distributions
from affectjax.systems.amber2 import items as items_lib
from affectjax.systems.amber2 import network, training, views

CHOICES = {
  'loss': {
    'kind': training.LOSSES, 'divergence': ambiguity.DIVERGENCES, 'base': distributions.BASES,
    'weights': ('reliability', 'uniform'), 'regulariser': dirichlet.REGULARISERS, 'likelihood': dirichlet.LIKELIHOODS,
  },
  'model': {'gate': network.GATES},
  'target': {'ties': ('excluded', 'first')},
}  # fmt: skip


def settings(config: Mapping[str, Any]) -> tuple[tuple[str, float, float], ...]:
  """(name, lambda_mai, kappa) of every setting that is trained: the grid of a search, or the one of the config."""
  loss = config['loss']
  grid = [loss['lambda_mai']], [loss['kappa']]
  if config['search']['on']:
    grid = config['search']['lambda_mai'], config['search']['kappa']
    if config['loss']['kind'] != 'amber2' or config['members'] > 1:
      raise UserError("run.search.on is for run.loss.kind 'amber2' and one member; set it to False")
    if not (grid[0] and grid[1]):
      raise UserError('run.search: lambda_mai or kappa has no values to try; name some, or set run.search.on to False')
    if len(grid[0]) * len(grid[1]) < 2 or any(len({f'{x:g}' for x in g}) < len(g) for g in grid):
      raise UserError(f'run.search: lambda_mai {list(grid[0])}, kappa {list(grid[1])}; expected two settings or more, '
                      'none twice; for one set run.search.on to False')  # fmt: skip
  if any(not 0 <= x <= 1 for x in grid[0]) or any(not k >= 0 for k in grid[1]):
    raise UserError(f'run.loss (or run.search): lambda_mai {list(grid[0])}, kappa {list(grid[1])}; expected 0 to 1, '
                    'and 0 or more')  # fmt: skip
  return tuple((f'lambda_{x:g}.kappa_{k:g}', float(x), float(k)) for x, k in itertools.product(*grid))


def spec(config: Mapping[str, Any], widths: Mapping[str, int]) -> training.Spec:
  """What is traced for a config, given the features' widths."""
  model, loss, heads = config['model'], config['loss'], config['heads']
  known = (*widths, *([network.FUSION] if len(widths) > 1 else []))
  for head in (*heads, config['student']):
    refuse_unknown('head in run.heads or run.student', head, known)
  if config['student'] not in heads or len(set(heads)) < len(heads):
    raise UserError(f'run.heads is {", ".join(heads)}; expected each once, the student {config["student"]} among them')
  for part, choices in CHOICES.items():
    for key, known in choices.items():
      refuse_unknown(f'run.{part}.{key}', config[part][key], known)
  _refuse_senseless(config)
  size = {k: model[k] for k in ('width', 'hidden', 'dropout', 'gate')}
  net = network.AmbER2(inputs=tuple(widths.items()), heads=tuple(heads), classes=len(config['target']['names']), **size)
  made = training.Spec(
    net=net, loss=loss['kind'], student=config['student'], divergence=loss['divergence'], base=loss['base'],
    stop=bool(loss['stop_gradient']), uniform=loss['weights'] == 'uniform', joint=bool(loss['joint']),
    regulariser=loss['regulariser'], likelihood=loss['likelihood'],
    copies=config['members'] if config['members'] > 1 else len(settings(config)), members=config['members'] > 1,
  )  # fmt: skip
  for module in training.frozen(made):
    if module not in config['warm_modules']:
      raise UserError(f'run.loss.joint False leaves {module} as it is, but run.warm_modules does not name it; expected '
                      f'{", ".join(training.frozen(made))}')  # fmt: skip
  return made


def _refuse_senseless(config: Mapping[str, Any]) -> None:
  """Refuses what no network can be made or trained with, and settings that would be passed over."""
  model, loss, data, tried = config['model'], config['loss'], config['data'], settings(config)
  amber2, weight, kappas = loss['kind'] == 'amber2', loss['lambda_rai'], {k for _, _, k in tried}
  refuse_wrong(
    (min(model['width'], model['hidden'], config['batch_size'], config['eval_batch_size'], config['members']) < 1,
     'run.model.width, hidden, run.batch_size, eval_batch_size, members: expected at least 1 each'),
    (config['steps'] < 0 or (not config['steps'] and config['epochs'] <= 0) or data['max_frames'] < 0,
     f'run.steps {config["steps"]}, run.epochs {config["epochs"]}, run.data.max_frames {data["max_frames"]}; expected '
     '0 or more, and steps or epochs above 0'),
    (config['optim']['schedule'] == 'plateau',  # it goes by one dev loss, copies have one each
     'run.optim.schedule plateau is not for amber2; set it to constant, cosine or step'),
    (not 0 <= model['dropout'] < 1 or loss['regulariser_weight'] < 0,
     f'run.model.dropout {model["dropout"]}, run.loss.regulariser_weight {loss["regulariser_weight"]}; expected a rate '
     'from 0 to below 1, and a weight from 0'),
    (len(config['target']['names']) < 2,
     f'run.target.names is {config["target"]["names"]}; expected two classes or more'),
    (amber2 and len(config['heads']) < 2, 'run.heads has no expert beside the student; AmbER^2 needs one at least'),
    (not amber2 and not loss['joint'],
     "run.loss.joint False is for run.loss.kind 'amber2'; the other losses train every head"),
    (amber2 and not loss['joint'] and not config['warm_start'],
     'run.loss.joint False leaves the experts as they are; name the row that trains them in run.warm_start, and their '
     'heads in run.warm_modules'),
    (config['warm_start'] and not config['warm_modules'],  # () would take over the other row's lambda and kappa too
     f'run.warm_start is {config["warm_start"]}, but run.warm_modules names nothing; expected heads, such as '
     'head_audio'),
    (amber2 and (not (weight == -1 or 0 < weight < math.inf) or math.inf in kappas),
     f'run.loss.lambda_rai is {weight:g}, kappa {", ".join(f"{k:g}" for _, _, k in tried)}; expected a weight above 0, '
     'or -1 for 1 - lambda_mai, and finite numbers'),
    (amber2 and weight == -1 and any(x == 1 for _, x, _ in tried),
     'run.loss.lambda_mai (or run.search.lambda_mai) is 1 and run.loss.lambda_rai -1, so that raters would weigh 0; '
     'expected less than 1'),
    (amber2 and loss['weights'] == 'uniform' and len(kappas) > 1,
     "run.search.kappa has several values, but run.loss.weights 'uniform' takes none; leave one"),
  )  # fmt: skip


def numbers(config: Mapping[str, Any], cell: training.Spec, labels: np.ndarray) -> dict[str, np.ndarray]:
  """What a search varies and what the data decide, one row per copy [S, ...]; `labels` [M] of training, 0 .. K - 1."""
  loss, classes = config['loss'], cell.net.classes
  tried = settings(config)
  lambda_mai = np.array([s[1] for s in tried], np.float32)
  lambda_rai = 1 - lambda_mai if loss['lambda_rai'] == -1 else np.full(len(tried), loss['lambda_rai'], np.float32)
  counts = np.bincount(labels, minlength=classes)
  weights = distributions.effective_number_weights(counts.astype(np.float64), loss['beta'], np)
  out = {
    'lambda_mai': lambda_mai, 'lambda_rai': lambda_rai, 'kappa': np.array([s[2] for s in tried], np.float32),
    'class_weights': np.tile(weights.astype(np.float32), (len(tried), 1)),
    'regulariser': np.full(len(tried), loss['regulariser_weight'], np.float32),
  }  # fmt: skip
  return {k: np.repeat(v, cell.copies, 0) if len(v) < cell.copies else v for k, v in out.items()}


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """The experiment of one cell."""
  items = items_lib.load(config, data_dir)
  modalities, tried = tuple(config['data']['modalities']), settings(config)
  cell = spec(config, {m: items.streams[m].width for m in modalities})
  labels = targets.distributions(items, config['target'])
  rows = items_lib.labelled(items, labels, config)
  # before ties are left out: what starts from a row sees embeddings as that row did, whatever its loss
  standard = shape.standardisers(items, rows['train'], on=config['data']['standardise'])
  hard = labels.emotion if config['target']['ties'] == 'excluded' else labels.first
  if cell.loss == 'cross_entropy':  # a tie has no one class to learn
    rows['train'] = rows['train'][hard[rows['train']] >= 0]
  train = rows['train']
  if not len(train):
    raise UserError(f'{items.name}: every training utterance is a tie; set run.target.ties to first')
  extra = {'input': standard, 'numbers': numbers(config, cell, hard[train][hard[train] >= 0])}
  batch_size, eval_size = (parallel.global_batch(config[k]) for k in ('batch_size', 'eval_batch_size'))
  steps = config['steps'] or math.ceil(config['epochs'] * len(train) / batch_size)
  columns = {
    'votes': labels.votes, 'shares': labels.shares, 'emotion': labels.emotion, 'first': labels.first,
    'level': labels.level, 'label': hard, **targets.truth(items, labels, config['target']),
  }  # fmt: skip
  frames = frames_of(items, config['data']['max_frames'])
  gather = functools.partial(items.gather, frames=frames, columns=columns)

  def batches(split, seed):
    if split == 'train':
      return batches_lib.shuffled(train, gather, batch_size, seed, items.on_disk)
    return batches_lib.ordered(rows[split], gather, eval_size, items.on_disk)

  return Experiment(
    batches=batches,
    init=functools.partial(training.init, cell, config['optim'], steps, extra),
    step=training.make_step(cell, config['optim'], steps),
    predict=training.make_predict(cell),
    score=functools.partial(views.score, cell.student, judged(cell), modalities, tried, select=config['select']),
    steps=steps,
    epoch=math.ceil(len(train) / batch_size),
    finish=functools.partial(_finish, cell.student, modalities, config['temper']),
  )


def judged(cell: training.Spec) -> tuple[str, ...]:
  """The heads whose JS on dev selects the step: the student's, or all where each learns for itself."""
  return (cell.student,) if cell.loss == 'amber2' else cell.net.heads


def _finish(student: str, modalities: tuple[str, ...], temper: bool, outputs):
  best = views.chosen(student, modalities, outputs)
  if temper:
    best = views.tempered(student, modalities, best)
  return {split: views.add(student, modalities, out) for split, out in best.items()}


def frames_of(items: Examples, limit: int) -> dict[str, int]:
  """Frames that a batch has per modality: the longest utterance's, or `limit` if that is less."""
  longest = {m: int(x.lengths.max()) for m, x in items.streams.items()}
  return {m: min(n, limit) if limit else n for m, n in longest.items()}
