"""Rows that take no training: what the classes' shares alone say, and raters held against other raters."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine.types import Experiment
from affectjax.examples import targets, trivial
from affectjax.examples.examples import Examples
from affectjax.examples.targets import Distributions
from affectjax.labels import raters
from affectjax.systems.amber2 import items as items_lib
from affectjax.systems.amber2 import views

HEAD = 'raters'


def prior(labels: Distributions, rows, **unused) -> tuple[np.ndarray, Distributions]:
  """The mean label distribution of the training split, for everybody."""
  return np.repeat(trivial.mean(labels.shares[rows['train']])[None], len(labels.first), 0), labels


def condition(items: Examples, labels: Distributions, config, **unused) -> tuple[np.ndarray, Distributions]:
  """The shares of the votes in `run.reference.votes`: of those who only heard, say, against those who only saw."""
  target = config['target']
  votes, _ = targets.votes(items, tuple(config['reference']['votes']), target['names'], target['merge'])
  voted = votes.sum(1, keepdims=True) > 0
  others = Distributions.of(np.where(voted, labels.votes, 0.0), labels.level)
  return np.where(voted, raters.soft_label(votes), np.nan), others


def rater(labels: Distributions, config, **unused) -> tuple[np.ndarray, Distributions]:
  """One rater, drawn by lot from those who made the label, against the others' shares."""
  lot, classes = np.random.default_rng((config['seed'], 41)), labels.votes.shape[1]
  total = labels.votes.sum(1)
  place = lot.random(len(total)) * total
  one = np.eye(classes)[(np.cumsum(labels.votes, 1) <= place[:, None]).sum(1).clip(max=classes - 1)]
  votes = np.where(total[:, None] >= 2, labels.votes - one, 0.0)  # of one rater nobody is left
  return one, Distributions.of(votes, labels.level)


METHODS: Mapping[str, Callable[..., tuple[np.ndarray, Distributions]]] = {
  'prior': prior, 'condition': condition, 'rater': rater,
}  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference.kind` names one of `METHODS`. On the fold 'all' the whole corpus is both dev and test."""
  kind, votes = config['reference']['kind'], config['reference']['votes']
  refuse_unknown('run.reference.kind', kind, METHODS)
  if bool(votes) != (kind == 'condition'):
    raise UserError(f'run.reference.votes {votes}, kind {kind!r}; votes are for condition, and only it')
  items = items_lib.load(config, data_dir, embedded=False)
  labels = targets.distributions(items, config['target'])
  if str(config['fold']).isdigit():
    rows = items_lib.labelled(items, labels, config)
  elif kind == 'prior':
    raise UserError("run.reference.kind 'prior' learns from a training split; set run.per_fold to True")
  else:
    rows = dict.fromkeys(('dev', 'test'), np.flatnonzero(labels.kept))
  shares, labels = METHODS[kind](items=items, labels=labels, rows=rows, config=config)
  columns = {
    f'share_{HEAD}': shares.astype(np.float32), 'shares': labels.shares, 'emotion': labels.emotion,
    'first': labels.first, 'level': labels.level, f'{HEAD}_present': np.isfinite(shares).all(1),
    'class': _classes(items, labels, config),
  }  # fmt: skip
  return trivial.fixed(
    items, rows, columns, config['eval_batch_size'],
    functools.partial(_finish, tuple(config['target']['names'])),
  )  # fmt: skip


def _classes(items: Examples, labels: Distributions, config: Mapping[str, Any]) -> np.ndarray:
  """[N] int32 the class by which results are grouped: of the column `run.reference.by`, or the raters' plurality."""
  by = config['reference']['by']
  if not by:
    return labels.emotion
  if tuple(targets.classes_of(items, 'votes')) != tuple(config['target']['names']):
    raise UserError(f'run.reference.by {by!r} counts over the classes of {items.name}; run.target.names has others')
  return items.column(by).astype(np.int32)


def _finish(names: tuple[str, ...], outputs):
  """As scored: `emotion`, and `emotion_of_<class>` for the utterances of each class."""
  done = {}
  for split, out in outputs.items():
    done[split] = views.add(HEAD, (HEAD,), out)
    present = np.asarray(out[f'{HEAD}_present'], bool)
    for k, name in enumerate(names):
      who = present & (np.asarray(out['class']) == k)
      done[split] |= views.entries(f'{views.EMOTION}_of_{name}', out, np.asarray(out[f'share_{HEAD}']), who)
  return done
