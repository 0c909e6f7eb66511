"""Folds over groups: speakers, dyads or videos never lie in two splits."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from affectjax.common import errors


def grouped(groups: Sequence[str], k: int, seed: int) -> np.ndarray:
  """Deals whole groups to k folds, balanced in examples.

  The largest group goes first, each into the fold that is lightest so far; groups of one size are taken in
  an order shuffled by `seed`. The order of rows has no influence.

  Args:
    groups: [N] the group of each example.
    k: number of folds, 2 or more.
    seed: of the shuffle.

  Returns:
    [N] int64, the fold of each example, in [0, k); no fold is empty.

  Raises:
    UserError: fewer groups than folds.
  """
  names, owner, sizes = np.unique(np.asarray(groups, np.str_), return_inverse=True, return_counts=True)
  if k < 2:
    raise errors.UserError(f'folds: {k} asked for; expected 2 or more')
  if len(names) < k:
    raise errors.UserError(f'folds: {len(names)} groups cannot fill {k} folds; ask for at most {len(names)}')
  order = np.random.default_rng(seed).permutation(len(names))
  order = order[np.argsort(-sizes[order], kind='stable')]
  fold = np.empty(len(names), np.int64)
  weight = np.zeros(k, np.int64)
  for group in order:
    fold[group] = np.argmin(weight)
    weight[fold[group]] += sizes[group]
  return fold[owner]


def split(groups: Sequence[str], k: int, fold: int, seed: int) -> dict[str, np.ndarray]:
  """Rows for training, development and test: test is `fold`, dev the next, train the rest (k >= 3).

  Returns:
    train, dev, test: row indices, ascending; together every row once, no group in two of them.
  """
  return rows(grouped(groups, k, seed), k, fold)


def by_value(groups: Sequence[str], fold: int, order: Sequence[str] | None = None) -> dict[str, np.ndarray]:
  """As `split`, with every group its own fold: leave-one-session-out, one film segment at a time.

  Args:
    groups: [N] the group of each example.
    fold: which group is the test fold, an index into `order`; dev is the next one.
    order: the groups in order; sorted by name if not given. It names all groups of the data, and no more.
  """
  names = sorted(set(map(str, groups))) if order is None else list(order)
  index = {name: i for i, name in enumerate(names)}
  missing = sorted(set(map(str, groups)) - set(index))
  if missing:
    raise errors.UserError(f'folds: group {missing[0]!r} of the data is not among the folds {", ".join(names)}')
  absent = sorted(set(index) - set(map(str, groups)))
  if absent:
    raise errors.UserError(f'folds: fold {absent[0]!r} has no examples; drop it from the folds')
  return rows(np.array([index[str(g)] for g in groups], np.int64), len(names), fold)


def rows(assigned: np.ndarray, k: int, fold: int) -> dict[str, np.ndarray]:
  """Turns fold indices [N] into the rows of train, dev (fold + 1 mod k) and test (fold)."""
  if k < 3:
    raise errors.UserError(f'folds: {k} folds leave nothing to train on beside dev and test; expected 3 or more')
  if not 0 <= fold < k:
    raise errors.unknown('fold', fold, range(k))
  dev = (fold + 1) % k
  return {
    'train': np.flatnonzero((assigned != fold) & (assigned != dev)),
    'dev': np.flatnonzero(assigned == dev),
    'test': np.flatnonzero(assigned == fold),
  }


def refuse_leak(members: Mapping[str, Iterable[str]], what: str = 'group') -> None:
  """Refuses groups (or ids, items) that two splits share; `members` is split -> its groups."""
  sets = {name: set(map(str, values)) for name, values in members.items()}
  for a, b in itertools.combinations(sets, 2):
    shared = sorted(sets[a] & sets[b])
    if shared:
      first = ', '.join(shared[:5]) + (', ...' if len(shared) > 5 else '')
      raise errors.UserError(
        f'{len(shared)} {what}{"s" if len(shared) > 1 else ""} in both {a} and {b}: {first}; '
        'expected none, or the scores are of known data'
      )
