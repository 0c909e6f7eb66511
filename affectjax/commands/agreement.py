"""What the doctor says of a corpus's raters: how well votes and ratings agree, where conditions differ."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.commands.survey import Survey
from affectjax.labels import raters
from affectjax.objectives import distributions
from affectjax.tables import bootstrap

_SHOWN = 30  # classes, raters
_FRAMES = 20_000  # at most, over which agreement of ratings is computed
_UNNAMED = ('seat', 'slot')  # how the names of raters begin that are places, each time taken by whoever rated


def of_votes(s: Survey, meta: Mapping[str, Any]) -> Iterator[str]:
  """The lines about every set of votes of a split, and about every two of them over the same classes."""
  names = {key: _classes(key, meta) for key in s.votes}
  votes = {key: np.stack(rows).astype(np.float64) for key, rows in s.votes.items()}  # [N, K]
  for key, counts in votes.items():
    yield f'{key}: {listed(zip(names[key], counts.sum(0).tolist(), strict=True))}'
    yield from _one(key, counts, names[key], _parts(s, counts, names[key], meta))
  for a, b in itertools.combinations(votes, 2):
    if names[a] == names[b] and _attribute(a, meta) == _attribute(b, meta):
      by = _parts(s, votes['votes' if names.get('votes') == names[a] else a], names[a], meta)
      yield from _two((a, votes[a]), (b, votes[b]), names[a], np.array(s.group), by)


def of_ratings(s: Survey, meta: Mapping[str, Any]) -> Iterator[str]:
  """The lines about the ratings of a split in each attribute, of all raters and of each condition."""
  ratings = np.concatenate(s.ratings)  # [frames, R, A]
  conditions = np.array(meta.get('conditions', ()))
  named = meta.get('raters')
  seats = not named or all(name.startswith(_UNNAMED) for name in named)
  for a, attribute in enumerate(meta['attributes']):
    yield _ratings(attribute, ratings[..., a], meta.get('seats', seats))
    for condition in dict.fromkeys(conditions.tolist()) if len(set(conditions)) > 1 else ():
      of = f'{attribute}, {condition} only'
      yield '  ' + _ratings(of, ratings[:, conditions == condition, a], meta.get('seats', seats))


# Votes


def _classes(key: str, meta: Mapping[str, Any]) -> list[str]:
  return list(meta.get('vote_classes', {}).get(key, meta['emotions']))


def _attribute(key: str, meta: Mapping[str, Any]) -> str | None:
  """Votes of different attributes are not compared: a 5 in one is nothing like a 5 in the other."""
  return next((a for a in meta.get('attributes', ()) if f'_{a}' in key), None)


def _parts(s: Survey, votes: np.ndarray, names: Sequence[str], meta: Mapping[str, Any]) -> tuple[str, dict]:
  """By which classes items are listed, and the rows [N] bool of each: the intended one if there is such."""
  what, of = 'plurality', raters.plurality(votes)
  if s.intended and names == list(meta['emotions']):
    what, of = 'intended', np.array(s.intended)
  return what, {name: of == k for k, name in enumerate(names) if (of == k).any()}


def _one(key: str, votes: np.ndarray, names: Sequence[str], by: tuple[str, dict]) -> Iterator[str]:
  """How well those agree who gave `votes` [N, K]."""
  each = votes.sum(1)
  some = each[each > 0]
  if not len(some):
    yield f'agreement in {key}: no item has votes'
    return
  pairs = each >= 2
  if not pairs.any():
    yield f'agreement in {key}: {len(some)} of {len(each)} items have votes, none of them two or more'
    return
  alpha = lambda level: f"Krippendorff's alpha ({level}) {_decimal(raters.krippendorff_alpha_of_counts(votes, level))}"
  levels = ('nominal', 'ordinal') if all(name.isdigit() for name in names) else ('nominal',)
  yield (
    f'agreement in {key}: {len(some)} of {len(each)} items have votes, {some.min():g} to {some.max():g} each, mean '
    f"{some.mean():.2f}; of the {pairs.sum()} with two or more: Fleiss' kappa {_decimal(raters.fleiss_kappa(votes))}, "
    f'{", ".join(map(alpha, levels))}, {_spread(votes[pairs])}, '
    f'tied {(raters.plurality(votes[pairs]) < 0).mean():.1%}'
  )
  what, rows = by
  parts = [f'{name} {_spread(votes[pairs & of])}' for name, of in rows.items() if (pairs & of).any()]
  yield f'  by {what} class: {joined(parts, "; ")}'


def _spread(votes: np.ndarray) -> str:
  """Mean entropy, and the share that is unanimous, of items with votes [N, K], at least one item."""
  bits = distributions.entropy(raters.soft_label(votes), 'bits', np).mean()
  return f'entropy {bits:.3f} bits, unanimous {(votes.max(1) == votes.sum(1)).mean():.1%}'


def _two(
  first: tuple[str, np.ndarray], second: tuple[str, np.ndarray], names: Sequence[str], groups: np.ndarray, by
) -> Iterator[str]:
  """In how many items two conditions come to another plurality."""
  (a, x), (b, y) = first, second
  differ = raters.disagreement(x, y)
  if np.isnan(differ).all():
    yield f'{a} and {b}: no item has one plurality in each'
    return
  order = np.argsort(names, kind='stable')
  lax = raters.disagreement(x[:, order], y[:, order], 'first')
  yield (
    f'pluralities of {a} and {b} differ in {_share(differ, groups)} of the {(~np.isnan(differ)).sum()} items without a '
    f'tie; in {_share(lax, groups)} of {(~np.isnan(lax)).sum()} if a tie goes to the class that is first by name'
  )
  what, rows = by
  parts = [(name, differ[of & ~np.isnan(differ)]) for name, of in rows.items()]
  yield f'  by {what} class: {joined([f"{name} {part.mean():.1%}" for name, part in parts if len(part)], "; ")}'


def _share(differ: np.ndarray, groups: np.ndarray) -> str:
  """A mean of [N], NaN left out, with its 95 % interval over groups drawn with replacement."""
  decided = ~np.isnan(differ)
  names, of = np.unique(groups[decided], return_inverse=True)
  sums = np.stack([np.bincount(of, differ[decided]), np.bincount(of)], 1)  # [G, 2]
  text = f'{differ[decided].mean():.1%}'
  if len(names) < 2:
    return text
  drawn = bootstrap.draws(tuple(names.tolist())) @ sums
  tail = 50 * (1 - bootstrap.LEVEL)
  low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [tail, 100 - tail])
  few = f', only {len(names)} groups' if len(names) < bootstrap.FEW else ''
  return f'{text} [{low:.1%}, {high:.1%}{few}]'


# Ratings


def _ratings(what: str, ratings: np.ndarray, seats: bool) -> str:
  """How well raters agree, ratings [frames, R]; of seats who sits in them changes, so only what asks for no names."""
  step = -(-len(ratings) // _FRAMES)
  over = f'{len(ratings)} frames' if step == 1 else f'{len(ratings[::step])} of {len(ratings)} frames, evenly chosen'
  x = ratings[::step].astype(np.float64)
  x = x[:, ~np.isnan(x).all(0)]  # raters who rated this attribute
  alpha = f"Krippendorff's alpha (interval) {_decimal(raters.krippendorff_alpha(x, 'interval'))}, over {over}"
  if seats:
    return f'agreement in {what}: {x.shape[1]} seats, taken by other raters from example to example, {alpha}'
  full = int((~np.isnan(x)).all(1).sum()) if x.shape[1] else 0
  return (
    f'agreement in {what}: {x.shape[1]} raters, mean pairwise r {_decimal(raters.mean_pairwise_r(x))}, {alpha}; '
    f'ICC(2,1) {_decimal(raters.icc(x))}, over the {full} that all rated'
  )


# Text


def _decimal(x: float) -> str:
  return 'n/a' if np.isnan(x) else f'{x:.2f}'


def listed(pairs: Iterable[tuple[str, float]]) -> str:
  """`name count, name count, ...`, cut to as many as a line has room for."""
  return joined([f'{name} {count:g}' for name, count in pairs])


def joined(parts: Sequence[str], between: str = ', ') -> str:
  """The first `_SHOWN` parts, joined, and how many more there are."""
  more = f'{between}and {len(parts) - _SHOWN} more' if len(parts) > _SHOWN else ''
  return between.join(parts[:_SHOWN]) + more
