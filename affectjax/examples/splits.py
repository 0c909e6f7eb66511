"""Who is trained on, who selects, who is reported: one rule per name of `run.data.split`, the same for every system.

official      the corpus's own split, see `official`; with `data.dev_shares_groups` its train and dev may share groups
official_dev  the same where its test labels are withheld: dev is reported, and `data.held_out` training groups select
partitions    the corpus's column `partitions` [N, P]: the fold is one of P divisions into train, dev and test
folds         `data.folds` folds of whole groups: the fold is tested, the next one selects
values        every value of `data.by` (the group by default) is a fold
stratified    `data.folds` folds of examples dealt out evenly over strata, whose groups are NOT apart; of the others a
              share `data.dev` selects
all           nothing is held out but a tenth of the groups, which is dev and test at once: for pretraining alone
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import folds
from affectjax.examples.examples import SPLITS, Examples

Rows = dict[str, np.ndarray]


def split(
  examples: Examples,
  config: Mapping[str, Any],
  index: np.ndarray | None = None,
  strata: np.ndarray | None = None,
) -> Rows:
  """Index of the examples of train, dev and test, by `run.data.split`.

  Args:
    examples: of a corpus.
    config: `data` (`split`, and what its rule needs) and `fold`.
    index: of the examples that are dealt out; all by default.
    strata: [N] int, what 'stratified' balances.

  Raises:
    UserError: no such rule, the corpus lacks what it needs, one of the three is empty, or a group is in two of them.
  """
  data, name = config['data'], config['data']['split']
  index = np.arange(len(examples)) if index is None else index
  fold = _fold(config)
  rows = RULES[name](examples, index, data, fold) if name != 'stratified' else _stratified(strata, index, data, fold)
  for part, at in rows.items():
    if not len(at):
      raise UserError(f'{examples.name}: run.data.split {name!r} leaves no {part} example (fold {config["fold"]}); '
                      'look at it with affectjax.doctor')  # fmt: skip
  apart = LEAKS.get(name, (('train', 'dev'), ('train', 'test'), ('dev', 'test')))
  if name == 'official' and data.get('dev_shares_groups', False):
    apart = apart[1:]
  for pair in apart:
    folds.refuse_leak({part: examples.group[rows[part]] for part in pair}, 'group')
  return rows


def refuse_unserved(examples: Examples, config: Mapping[str, Any]) -> None:
  """Refuses a `run.data.split` that the corpus cannot serve, whichever of its examples a system keeps; as `split`."""
  name, fold = config['data']['split'], _fold(config)
  if name != 'stratified':  # it balances what the labels of a system say
    RULES[name](examples, np.arange(len(examples)), config['data'], fold)


def _fold(config: Mapping[str, Any]) -> int:
  """The fold that a rule is asked for; 0 for one without folds."""
  name = config['data']['split']
  if name not in RULES:
    raise unknown('run.data.split', name, RULES)
  if name == 'all' and config.get('stage') != 'pretrain':
    raise UserError("run.data.split 'all' leaves nothing unseen to test on; it is for run.stage 'pretrain' only")
  if name in PER_FOLD and not str(config['fold']).isdigit():
    raise UserError(f'run.data.split {name!r} needs folds, but the row has run.per_fold False; set it to True')
  return int(config['fold']) if name in PER_FOLD else 0


def limited(index: np.ndarray, count: int, seed: int, items: np.ndarray | None = None) -> np.ndarray:
  """`count` of the training examples at `index`, drawn by lot, in their order; all for 0 or if there are fewer.

  Draws are nested: who is among few is among many.

  Args:
    index: of the training examples.
    count: how many.
    seed: of the lot.
    items: [N] of all examples, to draw whole items (videos, recordings), the last one cut; single examples without.
  """
  if count < 0:
    raise UserError(f'run.data.limit is {count}; expected a number of training examples, or 0 for all')
  if not count or count >= len(index):
    return index
  if items is None:
    return np.sort(np.random.default_rng((seed, 8)).permutation(index)[:count])
  _, item = np.unique(items[index], return_inverse=True)
  rank = np.argsort(np.random.default_rng((seed, 12)).permutation(item.max() + 1))[item]  # when its item is drawn
  return np.sort(index[np.argsort(rank, kind='stable')[:count]])


# The rules


def official(examples: Examples) -> np.ndarray:
  """The corpus's own split of each example, [N] of '', 'train', 'dev' or 'test'.

  It is the column `official` (0, 1, 2 for the three, others for none) or, without one, the part in which the example is
  stored. Where there is a part `val` and no `test`, as in AffectNet, `val` is what is reported.
  """
  names = np.array(['', *SPLITS])
  if 'official' in examples.columns:
    own = examples.column('official').astype(np.int64)
    return names[np.where((own >= 0) & (own < len(SPLITS)), own + 1, 0)]
  known = {'val': 'dev' if 'test' in examples.part else 'test'} | {s: s for s in SPLITS}
  return np.array([known.get(p, '') for p in examples.part.tolist()])


def _official(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  own = official(examples)
  if 'official' not in examples.columns and not {'train', 'test'} <= set(own.tolist()):
    parts = ', '.join(sorted(set(examples.part.tolist())))
    raise UserError(f"{examples.name}: run.data.split 'official' needs the corpus's own split, with train and test; "
                    f'there is no column official, and the parts are: {parts}')  # fmt: skip
  rows = {name: index[own[index] == name] for name in SPLITS}
  if 'dev' in own or not len(rows['train']):
    return rows
  return {**rows, **_held_out(examples, rows['train'], setting(data, 'dev'), data['seed'])}


def _held_out(examples: Examples, train: np.ndarray, share: float, seed: int) -> Rows:
  """A share of training that selects, of each class by lot, or of the groups where these hold several examples."""
  rng, dev = np.random.default_rng(seed), []
  _share(share)
  if len(set(examples.group[train].tolist())) < len(train):
    names = sorted(set(examples.group[train].tolist()))
    chosen = rng.permutation(names)[: max(1, round(share * len(names)))]
    held = np.isin(examples.group[train], chosen)
    return {'train': train[~held], 'dev': train[held]}
  label = examples.column('emotion')[train] if 'emotion' in examples.columns else np.zeros(len(train))
  for value in np.unique(label):
    same = train[label == value]
    dev.append(rng.permutation(same)[: max(1, round(share * len(same)))])
  dev = np.sort(np.concatenate(dev))
  return {'train': np.setdiff1d(train, dev), 'dev': dev}


def _official_dev(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  own, count = official(examples)[index], setting(data, 'held_out')
  if count < 1:
    raise UserError(f'run.data.held_out is {count}; expected one training group or more')
  if not {'train', 'dev'} <= set(own.tolist()):
    parts = ', '.join(sorted(set(examples.part.tolist())))
    raise UserError(f"{examples.name}: run.data.split 'official_dev' needs the corpus's own split, with train and dev; "
                    f'the parts are: {parts}')  # fmt: skip
  train = index[own == 'train']
  names = sorted(set(examples.group[train].tolist()))
  held = np.isin(examples.group[train], np.random.default_rng(data['seed']).permutation(names)[:count])
  return {'train': train[~held], 'dev': train[held], 'test': index[own == 'dev']}


def _partitions(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  own = examples.column('partitions')  # [N, P]
  if not 0 <= fold < own.shape[1]:
    raise unknown(f'fold; the partitions of {examples.name} are', fold, range(own.shape[1]))
  return {name: index[own[index, fold] == i] for i, name in enumerate(SPLITS)}


def _folds(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  places = folds.split(examples.group[index], setting(data, 'folds'), fold, data['seed'])
  return {name: index[at] for name, at in places.items()}


def _values(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  by = data.get('by', 'group')
  values = examples.group if by == 'group' else examples.column(by)
  return {name: index[at] for name, at in folds.by_value(values[index].astype(str), fold).items()}


def _all(examples: Examples, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  held = index[folds.split(examples.group[index], 10, 0, data['seed'])['test']]
  return {'train': np.setdiff1d(index, held), 'dev': held, 'test': held}


def _stratified(strata: np.ndarray | None, index: np.ndarray, data: Mapping[str, Any], fold: int) -> Rows:
  if strata is None:
    raise UserError("run.data.split 'stratified' is for label distributions, whose levels of ambiguity it balances")
  k, share = setting(data, 'folds'), setting(data, 'dev')
  if k < 2 or not 0 <= fold < k:
    raise unknown('fold', fold, range(max(k, 2)))
  _share(share)
  test = _dealt(strata[index], k, data['seed']) == fold
  rest = np.flatnonzero(~test)
  dev = _dealt(strata[index[rest]], round(1 / share), data['seed'] + 1) == 0
  return {'train': index[rest[~dev]], 'dev': index[rest[dev]], 'test': index[test]}


def _dealt(strata: np.ndarray, k: int, seed: int) -> np.ndarray:
  """Folds [M]: examples of one stratum are dealt out evenly, by lot."""
  rng, fold, at = np.random.default_rng(seed), np.empty(len(strata), np.int64), 0
  for stratum in np.unique(strata):
    own = rng.permutation(np.flatnonzero(strata == stratum))
    fold[own] = (at + np.arange(len(own))) % k  # goes on where the last one stopped, or small strata pile up
    at += len(own)
  return fold


def _share(share: float) -> None:
  if not 0 < share <= 0.5:
    raise UserError(f'run.data.dev is {share}; expected a share of training above 0, to one half')


def setting(data: Mapping[str, Any], key: str) -> Any:
  """What a rule needs to know of `run.data`."""
  if key not in data:
    raise UserError(f'run.data.split {data["split"]!r} needs run.data.{key}; set it in the experiment file')
  return data[key]


RULES: Mapping[str, Callable[..., Rows]] = {
  'official': _official, 'official_dev': _official_dev, 'partitions': _partitions, 'folds': _folds, 'values': _values,
  'stratified': _stratified, 'all': _all,
}  # fmt: skip
PER_FOLD = ('partitions', 'folds', 'values', 'stratified')
LEAKS: Mapping[str, Sequence[tuple[str, str]]] = {  # whose groups must be apart, where not all of them
  'stratified': (), 'all': (('train', 'test'),),
}  # fmt: skip
