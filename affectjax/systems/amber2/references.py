"""Rows that take no training: what the classes' shares alone say, and raters held against other raters."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.engine.types import Experiment
from affectjax.examples import targets, trivial
from affectjax.examples.examples import Examples
from affectjax.examples.targets import Distributions
from affectjax.labels import raters
from affectjax.systems.amber2 import items as items_lib
from affectjax.systems.amber2 import views

HEAD = 'raters'


def prior(items: Examples, labels: Distributions, sides, config) -> tuple[np.ndarray, Distributions]:
  """The mean label distribution of the training side, for everybody."""
  del items, config
  return np.repeat(trivial.mean(labels.shares[sides['train']])[None], len(labels.first), 0), labels


def condition(items: Examples, labels: Distributions, sides, config) -> tuple[np.ndarray, Distributions]:
  """The shares of the votes in `run.reference.votes`: of those who only heard, say, against those who only saw."""
  del sides
  target = config['target']
  votes, _ = targets.votes(items, tuple(config['reference']['votes']), target['names'], target['merge'])
  there = votes.sum(1) > 0
  return np.where(there[:, None], raters.soft_label(votes), np.nan), _where(labels, there)


def rater(items: Examples, labels: Distributions, sides, config) -> tuple[np.ndarray, Distributions]:
  """One rater, drawn by lot from those who made the label, against the others' shares."""
  del items, sides
  lot, classes = np.random.default_rng((config['seed'], 41)), labels.votes.shape[1]
  total = labels.votes.sum(1)
  place = lot.random(len(total)) * total
  one = np.eye(classes)[(np.cumsum(labels.votes, 1) <= place[:, None]).sum(1).clip(max=classes - 1)]
  votes = np.where(total[:, None] >= 2, labels.votes - one, 0.0)  # of one rater nobody is left
  told = Distributions.of(votes, labels.level)
  return one, told


METHODS: Mapping[str, Callable[..., tuple[np.ndarray, Distributions]]] = {
  'prior': prior, 'condition': condition, 'rater': rater,
}  # fmt: skip


def _where(labels: Distributions, there: np.ndarray) -> Distributions:
  """Labels of those who are `there` [N] bool, and none of the others."""
  return Distributions.of(np.where(there[:, None], labels.votes, 0.0), labels.level)


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference.kind` names one of `METHODS`. On the fold 'all' the whole corpus is both dev and test."""
  told = config['reference']
  if told['kind'] not in METHODS:
    raise unknown('run.reference.kind', told['kind'], METHODS)
  if bool(told['votes']) != (told['kind'] == 'condition'):
    raise UserError(f'run.reference.votes {told["votes"]}, kind {told["kind"]!r}; votes are for condition, and only it')
  items = items_lib.load(config, data_dir, embedded=False)
  labels = targets.distributions(items, config['target'])
  if str(config['fold']).isdigit():
    sides = items_lib.sides(items, labels, config)
  elif told['kind'] == 'prior':
    raise UserError("run.reference.kind 'prior' learns from a training side; set run.per_fold to True")
  else:
    sides = dict.fromkeys(('dev', 'test'), np.flatnonzero(labels.kept))
  found, labels = METHODS[told['kind']](items, labels, sides, config)
  classes = _classes(items, labels, config)
  columns = {
    f'share_{HEAD}': found.astype(np.float32), 'shares': labels.shares, 'emotion': labels.emotion,
    'first': labels.first, 'level': labels.level, f'{HEAD}_present': np.isfinite(found).all(1), 'class': classes,
  }  # fmt: skip

  return trivial.fixed(
    items, sides, columns, config['eval_batch_size'],
    functools.partial(_finish, tuple(config['target']['names'])),
  )  # fmt: skip


def _classes(items: Examples, labels: Distributions, config: Mapping[str, Any]) -> np.ndarray:
  """[N] int32 the class by which results are told apart: of the column `run.reference.by`, or the raters' plurality."""
  by = config['reference']['by']
  if not by:
    return labels.emotion
  if tuple(targets.classes_of(items, 'votes')) != tuple(config['target']['names']):
    raise UserError(f'run.reference.by {by!r} counts over the classes of {items.name}; run.target.names has others')
  return items.column(by).astype(np.int32)


def _finish(names: tuple[str, ...], outputs):
  """As scored: `emotion`, and `emotion_of_<class>` for the utterances of each class."""
  done = {}
  for side, out in outputs.items():
    done[side] = views.add(HEAD, (HEAD,), out)
    there = np.asarray(out[f'{HEAD}_present'], bool)
    for k, name in enumerate(names):
      who = there & (np.asarray(out['class']) == k)
      done[side] |= views.entries(f'{views.EMOTION}_of_{name}', out, np.asarray(out[f'share_{HEAD}']), who)
  return done
