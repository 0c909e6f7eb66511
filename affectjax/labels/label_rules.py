"""From votes over a corpus's classes to a label distribution over a task's: merged, filtered, sorted by ambiguity."""

from collections.abc import Mapping, Sequence

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.labels import raters
from affectjax.objectives import distributions

RULES = ('inside', 'majority', 'least', 'consensus')
EXACT = 5e-3  # bits by which an entropy may miss a level that is named


def merged(
  votes: np.ndarray, source: Sequence[str], names: Sequence[str], merge: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
  """Votes for a task's classes, and how many fell outside.

  Args:
    votes: [N, C] counts over the corpus's classes.
    source: their names.
    names: the task's classes.
    merge: class of the task -> those of the corpus it is made of; one that is not in it is the class of its own name.

  Returns:
    [N, K] counts and [N] counts of the others, float64.

  Raises:
    UserError: a class that the corpus has not, or that two classes of the task share.
  """
  known, taken = {name: i for i, name in enumerate(source)}, {}
  for name in merge:
    if name not in names:
      raise unknown('class in merge', name, names)
  out = np.zeros((len(votes), len(names)))
  for k, name in enumerate(names):
    for part in merge.get(name, (name,)):
      if part not in known:
        raise unknown(f'class of the corpus, for {name!r}:', part, known)
      if part in taken:
        raise UserError(f'class {part!r} of the corpus is part of {taken[part]!r} and of {name!r}; expected of one')
      taken[part] = name
      out[:, k] += votes[:, known[part]]
  return out, np.asarray(votes, np.float64).sum(-1) - out.sum(-1)


def kept(
  inside: np.ndarray,
  outside: np.ndarray,
  rule: str,
  least: int,
  voters: np.ndarray | None = None,
  agreed: np.ndarray | None = None,
) -> np.ndarray:
  """Whose votes make a label, [N] bool.

  Args:
    inside: [N, K] votes for the task's classes.
    outside: [N] votes for others.
    rule: 'inside', no vote lies outside; 'majority', more than half of the raters are for one class; 'least', whatever
      lies outside is left out and the rest renormalised; 'consensus', the corpus's own verdict is one of the classes.
    least: fewest votes inside.
    voters: [N] raters, if one may have several votes; else votes are counted.
    agreed: [N] bool, whether that verdict is one of the classes; for 'consensus'.
  """
  if rule not in RULES:
    raise unknown('label rule', rule, RULES)
  enough = inside.sum(-1) >= max(least, 1)
  if rule == 'inside':
    return enough & (outside == 0)
  if rule == 'majority':
    return enough & (2 * inside.max(-1) > (inside.sum(-1) + outside if voters is None else voters))
  if rule == 'consensus':
    if agreed is None:
      raise UserError("label rule 'consensus': the corpus has no consensus; choose another rule")
    return enough & agreed
  return enough


def levels(votes: np.ndarray, keep: np.ndarray, how: Sequence[float] | int) -> np.ndarray:
  """Ambiguity levels [N] int32, from 0; -1 where nothing is kept.

  Args:
    votes: [N, K].
    keep: [N] bool.
    how: entropies in bits, ascending: the level is the index of the one that an item has, and their number for every
      other; or a whole number q of bins between the quantiles of the kept items' entropies. A tie of many equal
      entropies falls into one bin, so that bins may be unequal or empty.
  """
  out = np.full(len(votes), -1, np.int32)
  entropy = distributions.entropy(raters.soft_label(votes[keep]), 'bits', np)
  if how < 2 if isinstance(how, int) else not len(how):
    raise UserError(f'ambiguity levels {how!r}: expected 2 or more bins, or a list of entropies in bits')
  if isinstance(how, int):
    if not len(entropy):
      return out  # nothing has no quantiles
    edges = np.quantile(entropy, np.arange(1, how) / how)
    out[keep] = np.searchsorted(edges, entropy - EXACT, side='right')
    return out
  near = np.abs(entropy[:, None] - np.asarray(how, np.float64)) < EXACT  # [M, levels]
  out[keep] = np.where(near.any(1), near.argmax(1), len(how))
  return out
