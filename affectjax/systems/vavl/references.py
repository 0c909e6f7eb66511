"""What takes no training, to hold trained rows against: majority, neighbours in file order, intended emotion, people.

experiments/vavl.md, 8. Each predicts scores [N, K] per view: `both`, `audio`, `visual`.
"""

import collections
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.engine.types import Experiment
from affectjax.examples import trivial
from affectjax.examples.examples import Examples
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl import views
from affectjax.systems.vavl.experiment import labelled, target_of

VOTES = {'audio': 'votes_audio', 'visual': 'votes_visual', 'both': 'votes'}
AROUND = (-2, -1, 1, 2)  # the neighbours in file order whose true labels are looked up
Scores = dict[str, np.ndarray]


def _one_hot(chosen: np.ndarray, classes: int) -> np.ndarray:
  return np.eye(classes, dtype=np.float32)[chosen]


def _every_view(scores: np.ndarray) -> Scores:
  return dict.fromkeys(VOTES, scores)


def majority(clips: Examples, label: np.ndarray, sides, classes: int, seed: int) -> Scores:
  """The training side's most frequent class, or the mean of its labels."""
  del seed
  train = label[sides['train']]
  constant = trivial.mean(train) if label.ndim > 1 else trivial.majority(train, classes)
  return _every_view(np.repeat(constant[None], len(label), 0))


def neighbours(clips: Examples, label: np.ndarray, sides, classes: int, seed: int) -> Scores:
  """Looked up by the TRUE labels of the two clips before and after in file order, the clip itself never seen.

  Each side is a list in file order; the table counts training labels, what it does not know is the majority.
  """
  del seed
  table: Mapping[tuple, np.ndarray] = collections.defaultdict(lambda: np.zeros(classes))
  out = np.zeros((len(label), classes), np.float32)
  keys = {}
  for side, rows in sides.items():
    rows = rows[np.argsort(clips.id[rows], kind='stable')]
    padded = np.pad(label[rows], 2, constant_values=-1)
    around = np.stack([padded[2 + d : 2 + d + len(rows)] for d in AROUND], 1)
    keys[side] = rows, [tuple(k) for k in around.tolist()]
  for row, key in zip(*keys['train'], strict=True):
    table[key][label[row]] += 1
  most = np.bincount(label[sides['train']]).argmax()
  for rows, found in keys.values():
    for row, key in zip(rows, found, strict=True):
      out[row, table[key].argmax() if key in table else most] = 1
  return _every_view(out)


def intended(clips: Examples, label: np.ndarray, sides, classes: int, seed: int) -> Scores:
  """The emotion that the actor was asked for."""
  del label, sides, seed
  return _every_view(_one_hot(clips.column('intended'), classes))


def crowd(clips: Examples, label: np.ndarray, sides, classes: int, seed: int) -> Scores:
  """The plurality of those who only heard, or only saw the clip; a tie is decided by lot."""
  del label, sides, classes
  lot = np.random.default_rng((seed, 31))
  scores = {view: clips.column(key) for view, key in VOTES.items() if view != 'both'}
  return {view: (v + 0.5 * lot.random(v.shape)).astype(np.float32) for view, v in scores.items()}


def rater(clips: Examples, label: np.ndarray, sides, classes: int, seed: int) -> Scores:
  """One person, drawn from those who heard, saw, or heard and saw it; the last is one of those who made the label."""
  del label, sides
  lot, out = np.random.default_rng((seed, 32)), {}
  for view, key in VOTES.items():
    votes = clips.column(key).astype(np.float64)
    place = lot.random(len(votes))[:, None] * votes.sum(1, keepdims=True)
    out[view] = _one_hot((np.cumsum(votes, 1) <= place).sum(1).clip(max=classes - 1), classes)
  return out


METHODS: Mapping[str, Callable[..., Scores]] = {
  'majority': majority, 'neighbours': neighbours, 'intended': intended, 'crowd': crowd, 'rater': rater,
}  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference` names one of `METHODS`; features, if there are any, are not looked at."""
  method, target = config['reference'], target_of(config)
  if method not in METHODS:
    raise unknown('run.reference', method, METHODS)
  if target.kind == 'regression' and method != 'majority':
    raise UserError(
      f'run.reference {method!r} predicts classes; with run.target.kind regression there is majority only'
    )
  clips = clips_lib.load(config, data_dir, features=False)
  label = clips_lib.labels(clips, config)['label']
  sides = labelled(clips, label, config)
  scores = METHODS[method](clips, label, sides, len(target.names), config['seed'])
  told = {'label': label, **clips_lib.group_parts(clips), **{f'output_{view}': s for view, s in scores.items()}}
  return trivial.fixed(
    clips, sides, told, config['eval_batch_size'],
    lambda outputs: {side: views.add(target, out) for side, out in outputs.items()},
  )  # fmt: skip
