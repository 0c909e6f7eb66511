"""What is to be predicted: attributes, intensities, classes, and label distributions from raters' votes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.examples.examples import Examples
from affectjax.labels import label_rules, raters

LEVELS = 9  # of ambiguity that can be named, and one for all others


@dataclasses.dataclass(frozen=True)
class Distributions:
  """What raters said of every example, over a task's K classes.

  Attributes:
    votes: [N, K] float32; all 0 where the label rule keeps nothing.
    shares: [N, K] float32, they sum to 1; NaN where nothing is kept.
    emotion: [N] int32 plurality, -1 on a tie or where nothing is kept.
    first: [N] int32 the first class in order of those with most votes, -1 where nothing is kept.
    level: [N] int32 level of ambiguity, -1 where nothing is kept.
  """

  votes: np.ndarray
  shares: np.ndarray
  emotion: np.ndarray
  first: np.ndarray
  level: np.ndarray

  @property
  def kept(self) -> np.ndarray:
    """Who has a label, [N] bool."""
    return self.first >= 0

  @classmethod
  def of(cls, votes: np.ndarray, level: np.ndarray) -> 'Distributions':
    """From votes [N, K], all 0 where there is no label, and levels [N]."""
    labelled = votes.sum(1) > 0
    return cls(
      votes.astype(np.float32), raters.soft_label(votes).astype(np.float32), raters.plurality(votes).astype(np.int32),
      np.where(labelled, votes.argmax(1), -1).astype(np.int32), np.where(labelled, level, -1).astype(np.int32),
    )  # fmt: skip


def known(label: np.ndarray) -> np.ndarray:
  """Who has a label, [N] bool: a class [N] of 0 or more, or any finite number of [N, A]."""
  return label >= 0 if label.ndim == 1 else np.isfinite(label).any(1)


def attributes(examples: Examples, names: Sequence[str]) -> np.ndarray:
  """The columns of those names, [N, A] float32; NaN where nothing is labelled."""
  return np.stack([examples.column(name).astype(np.float32) for name in names], 1)


def classes(examples: Examples, column: str, names: Sequence[str]) -> np.ndarray:
  """[N] int32 index into `names` of a column of classes; -1 for none, and for classes that are not among them."""
  own, values = tuple(examples.meta['emotions']), examples.column(column)
  _refuse_others(examples, names, own)
  if values.ndim != 1 or values.dtype.kind not in 'iu':
    raise UserError(f'{examples.name}: column {column!r} is {values.dtype} {list(values.shape[1:])} per example; '
                    'expected one integer, a class')  # fmt: skip
  index = np.full(len(own) + 1, -1)  # the last, of -1, stays -1
  index[[own.index(name) for name in names]] = np.arange(len(names))
  return index[values].astype(np.int32)


def intensities(examples: Examples, column: str, names: Sequence[str]) -> np.ndarray:
  """[N, E] float32 of a column with an intensity per class of the corpus, of the classes `names`; NaN for none."""
  own, values = tuple(examples.meta['emotions']), examples.column(column)
  _refuse_others(examples, names, own)
  if values.shape[1:] != (len(own),) or values.dtype.kind != 'f':
    raise UserError(f'{examples.name}: column {column!r} is {values.dtype} {list(values.shape[1:])} per example; '
                    f'expected float32 {[len(own)]}, an intensity per class')  # fmt: skip
  return values[:, [own.index(name) for name in names]].astype(np.float32)


def _refuse_others(examples: Examples, names: Sequence[str], own: Sequence[str]) -> None:
  for name in names:
    if name not in own:
      raise unknown(f'class of {examples.name} in run.target.names', name, own)


def classes_of(examples: Examples, column: str) -> list[str]:
  """The names along the last axis of a column of votes."""
  return list(examples.meta.get('vote_classes', {}).get(column, examples.meta['emotions']))


def votes(
  examples: Examples, columns: Sequence[str], names: Sequence[str], merge: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
  """Votes [N, K] for a task's classes and [N] votes for others, float64, added up over columns of votes.

  Args:
    examples: of a corpus.
    columns: of votes [N, C], one or more, over the same classes.
    names: of the task's K classes.
    merge: class of the task -> classes of the corpus that it is made of; itself if left out.
  """
  if not columns:
    raise UserError('run.target.votes is empty; expected one or more columns of votes')
  total = sum(examples.column(c).astype(np.float64) for c in columns)
  of = {tuple(classes_of(examples, c)) for c in columns}
  if len(of) > 1:
    raise UserError(f'run.target.votes: {", ".join(columns)} of {examples.name} are over different classes')
  return label_rules.merged(total, of.pop(), names, merge)


def distributions(examples: Examples, target: Mapping[str, Any]) -> Distributions:
  """Label distributions by a config's `target`: `votes` (columns), `names`, `merge`, `rule`, `least`, `levels`."""
  inside, outside = votes(examples, tuple(target['votes']), target['names'], target['merge'])
  voters = examples.columns.get('voters') if tuple(target['votes']) == ('votes',) else None  # it is of that column
  agreed = None
  if target['rule'] == 'consensus':
    source = classes_of(examples, 'votes')
    wanted = {source.index(part) for name in target['names'] for part in target['merge'].get(name, (name,))}
    agreed = np.isin(examples.column('consensus'), list(wanted))
  kept = label_rules.kept(inside, outside, target['rule'], target['least'], voters, agreed)
  if not kept.any():
    raise UserError(f'{examples.name}: the rule {target["rule"]!r} (run.target) keeps no example of {len(examples)}')
  how = target['levels']
  if not how or len(how) > LEVELS or list(how) != sorted(how) or target['least'] < 1:
    raise UserError(f'run.target.levels is {tuple(how)}, least {target["least"]}; expected up to {LEVELS} entropies in '
                    'ascending order or one number of bins, and 1 vote or more')  # fmt: skip
  level = label_rules.levels(inside, kept, how[0] if len(how) == 1 and isinstance(how[0], int) else tuple(how))
  return Distributions.of(np.where(kept[:, None], inside, 0.0), level)


def truth(examples: Examples, labels: Distributions, target: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """What a synthetic twin knows besides, of whom the rule keeps: {} for a corpus that has no such columns.

  Returns:
    `true_shares` [N, K] float32, the distribution that raters drew from, within the task's classes; NaN where there is
    no label. `reason` [N] int32 why raters disagree, of the twin's reasons; -1 where there is no label.
  """
  out = {}
  if 'truth' in examples.columns:
    source = classes_of(examples, 'votes')
    inside, _ = label_rules.merged(examples.columns['truth'], source, target['names'], target['merge'])
    inside = np.where(labels.kept[:, None], inside, 0.0)
    out['true_shares'] = raters.soft_label(inside).astype(np.float32)
  if 'reason' in examples.columns:
    out['reason'] = np.where(labels.kept, examples.columns['reason'], -1).astype(np.int32)
  return out
