"""What takes no training, to hold trained rows against: majority, neighbours in file order, intended emotion, people.

experiments/vavl.md, 8. Each predicts scores [N, K] per view: either modality and `both`; or the one there is.
"""

import collections
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine.types import Experiment
from affectjax.examples import trivial
from affectjax.examples.examples import Examples
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl import views
from affectjax.systems.vavl.experiment import labelled, target_of

AROUND = (-2, -1, 1, 2)  # the neighbours in file order whose true labels are looked up
Scores = np.ndarray | dict[str, np.ndarray]  # [N, K], of every view or by view


def majority(label: np.ndarray, rows, classes: int, **unused) -> Scores:
  """The most frequent class of the training split, or the mean of its labels."""
  train = label[rows['train']]
  constant = trivial.mean(train) if label.ndim > 1 else trivial.majority(train, classes)
  return np.repeat(constant[None], len(label), 0)


def neighbours(clips: Examples, label: np.ndarray, rows, classes: int, **unused) -> Scores:
  """Looked up by the TRUE labels of the two clips before and after in file order, the clip itself never seen.

  Each split is a list in file order; the table counts training labels, what it does not know is the majority.
  """
  table: Mapping[tuple, np.ndarray] = collections.defaultdict(lambda: np.zeros(classes))
  out = np.zeros((len(label), classes), np.float32)
  keys = {}
  for split, index in rows.items():
    index = index[np.argsort(clips.id[index], kind='stable')]
    padded = np.pad(label[index], 2, constant_values=-1)
    around = np.stack([padded[2 + d : 2 + d + len(index)] for d in AROUND], 1)
    keys[split] = index, [tuple(k) for k in around.tolist()]
  for i, key in zip(*keys['train'], strict=True):
    table[key][label[i]] += 1
  most = np.bincount(label[rows['train']]).argmax()
  for index, around in keys.values():
    for i, key in zip(index, around, strict=True):
      out[i, table[key].argmax() if key in table else most] = 1
  return out


def intended(clips: Examples, classes: int, **unused) -> Scores:
  """The emotion that the actor was asked for."""
  return np.eye(classes, dtype=np.float32)[clips.column('intended')]


def crowd(clips: Examples, columns: Mapping[str, str], seed: int, **unused) -> Scores:
  """The plurality of those who were given one modality of the clip alone; a tie is decided by lot."""
  lot = np.random.default_rng((seed, 31))
  scores = {view: clips.column(key) for view, key in columns.items() if view != clips_lib.BOTH}
  return {view: (v + 0.5 * lot.random(v.shape)).astype(np.float32) for view, v in scores.items()}


def rater(clips: Examples, classes: int, columns: Mapping[str, str], seed: int, **unused) -> Scores:
  """One person, drawn from those who were given one modality, or both; the last is one of those who made the label."""
  lot, out = np.random.default_rng((seed, 32)), {}
  for view, key in columns.items():
    votes = clips.column(key).astype(np.float64)
    place = lot.random(len(votes))[:, None] * votes.sum(1, keepdims=True)
    out[view] = np.eye(classes, dtype=np.float32)[(np.cumsum(votes, 1) <= place).sum(1).clip(max=classes - 1)]
  return out


# each takes what it needs of: clips, label [N] or [N, A], rows by split, classes (number), columns by view, seed
METHODS: Mapping[str, Callable[..., Scores]] = {
  'majority': majority, 'neighbours': neighbours, 'intended': intended, 'crowd': crowd, 'rater': rater,
}  # fmt: skip


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference` names one of `METHODS`; features, if there are any, are not looked at."""
  method, target = config['reference'], target_of(config)
  refuse_unknown('run.reference', method, METHODS)
  if target.kind == 'regression' and method != 'majority':
    raise UserError(
      f'run.reference {method!r} predicts classes; with run.target.kind regression there is majority only'
    )
  clips, modalities = clips_lib.load(config, data_dir, features=False), clips_lib.modalities(config)
  label = clips_lib.labels(clips, config)['label']
  rows = labelled(clips, label, config)
  columns = {m: f'votes_{m}' for m in modalities} | ({clips_lib.BOTH: 'votes'} if len(modalities) > 1 else {})
  scores = METHODS[method](
    clips=clips, label=label, rows=rows, classes=len(target.names), columns=columns, seed=config['seed']
  )
  scores = scores if isinstance(scores, dict) else dict.fromkeys(columns, scores)
  known = {'label': label, **clips_lib.group_parts(clips), **{f'output_{view}': s for view, s in scores.items()}}
  return trivial.fixed(
    clips, rows, known, config['eval_batch_size'],
    lambda outputs: {split: views.add(target, modalities, out) for split, out in outputs.items()},
  )  # fmt: skip
