"""What pretraining hides: which steps or entries, and what stands in their place. experiments/masked_ssl.md, 8, 11.

Masks are drawn over an utterance's real steps alone, in their order, wherever padding stands: left- and right-padded
copies hide the same steps. At least one real step of every utterance with any is hidden.
"""

import dataclasses

import jax
import jax.numpy as jnp

from affectjax.common.errors import UserError, refuse_unknown

KINDS = ('iid', 'span_fixed', 'span_geometric', 'per_feature', 'band', 'mixed')
REPLACE = ('learned', 'zero', '80_10_10', 'noise')
BAND = 0.2  # widest band, as a share of the features (TERA)


@dataclasses.dataclass(frozen=True)
class Masking:
  """How to hide.

  Attributes:
    kind: 'iid' (the paper): steps at random; 'span_fixed': spans of `span` steps, which may overlap (Mockingjay);
      'span_geometric': spans of mean length `span` by a chain of two states (TST); 'per_feature': that chain for every
      feature by itself; 'band': neighbouring features of one group over the whole utterance (TERA); 'mixed': 'iid' and
      a band.
    ratio: share of the real steps (of entries, for 'per_feature') that is hidden, above 0 and below 1.
    span: steps, at least 1.
    replace: 'learned' vector, 'zero', 'noise' N(0, 1), or '80_10_10': for an utterance zeros (.8), frames from
      elsewhere in it (.1) or nothing done (.1).
    groups: (first, behind the last) feature of each group, for bands.
  """

  kind: str
  ratio: float
  span: int
  replace: str
  groups: tuple[tuple[int, int], ...]


def check(masking: Masking) -> None:
  """Refuses what cannot be drawn."""
  refuse_unknown('run.mask.kind', masking.kind, KINDS)
  refuse_unknown('run.mask.replace', masking.replace, REPLACE)
  if not 0 < masking.ratio < 1 or masking.span < 1:
    raise UserError(f'run.mask.ratio {masking.ratio}, span {masking.span}; expected above 0 and below 1, and 1 or more')
  most = masking.span / (1 + masking.span)  # of the chain that is left at 1 / span and entered at once
  if masking.kind in ('span_geometric', 'per_feature') and masking.ratio > most:
    raise UserError(f'run.mask.ratio {masking.ratio} with run.mask.kind {masking.kind!r} and span {masking.span}; such '
                    f'spans hide {most:.3g} at most; set a longer run.mask.span, or a lower ratio')  # fmt: skip


def places(real: jax.Array) -> jax.Array:
  """The number of each real step among the real ones [B, T], from 0; real [B, T] bool."""
  return jnp.maximum(jnp.cumsum(real.astype(jnp.int32), -1) - 1, 0)


def draw(key: jax.Array, real: jax.Array, features: int, masking: Masking) -> jax.Array:
  """What is hidden, [B, T, 1] bool for whole steps, else [B, T, D]; nothing that is not real [B, T]."""
  kind, at = masking.kind, places(real)
  spread = lambda compact: jnp.take_along_axis(compact, at, 1) & real  # [B, T] over real steps -> in their places
  if kind in ('iid', 'mixed'):
    steps = spread(_iid(key, real, masking.ratio))[..., None]
    return steps | _band(jax.random.fold_in(key, 1), real, features, masking) if kind == 'mixed' else steps
  if kind == 'span_fixed':
    return spread(_spans(key, real, masking))[..., None]
  if kind == 'span_geometric':
    return spread(_chain(key, real, (), masking))[..., None]
  if kind == 'band':
    return _band(key, real, features, masking)
  compact = _chain(key, real, (features,), masking)
  return jnp.take_along_axis(compact, at[..., None], 1) & real[..., None]


def _iid(key: jax.Array, real: jax.Array, ratio: float) -> jax.Array:
  """round(ratio L) of the first L steps, one at least."""
  length = real.sum(-1, keepdims=True)
  count = jnp.maximum(jnp.round(ratio * length), 1)
  return _lowest(jax.random.uniform(key, real.shape), jnp.arange(real.shape[-1]) < length, count)


def _lowest(score: jax.Array, allowed: jax.Array, count: jax.Array) -> jax.Array:
  """Marks the `count` [B, 1] lowest scores [B, T] among the allowed."""
  rank = jnp.argsort(jnp.argsort(jnp.where(allowed, score, jnp.inf), -1), -1)
  return (rank < count) & allowed


def _spans(key: jax.Array, real: jax.Array, masking: Masking) -> jax.Array:
  """round(ratio L / span) starts without repetition, one at least; a span ends with the utterance."""
  length, steps = real.sum(-1, keepdims=True), jnp.arange(real.shape[-1])
  count = jnp.maximum(jnp.round(masking.ratio * length / masking.span), 1)
  allowed = steps < jnp.maximum(length - masking.span + 1, jnp.minimum(length, 1))
  starts = _lowest(jax.random.uniform(key, real.shape), allowed, count).astype(jnp.int32)
  total = jnp.cumsum(starts, -1)
  before = jnp.pad(total, ((0, 0), (masking.span, 0)))[:, : total.shape[1]]
  return (total - before > 0) & (steps < length)


def _chain(key: jax.Array, real: jax.Array, more: tuple[int, ...], masking: Masking) -> jax.Array:
  """Hidden and shown by turns, spans of mean length `span`, share `ratio` in the long run; [B, T, *more]."""
  leave = 1.0 / masking.span
  enter = min(1.0, leave * masking.ratio / (1 - masking.ratio))
  shape = (real.shape[1], real.shape[0], *more)
  draws = jax.random.uniform(key, shape)  # [T, B, ..]
  first = draws[0] < masking.ratio

  def advance(hidden, u):
    hidden = jnp.where(hidden, u >= leave, u < enter)
    return hidden, hidden

  _, rest = jax.lax.scan(advance, first, draws[1:])
  out = jnp.moveaxis(jnp.concatenate([first[None], rest]), 0, 1)  # [B, T, ..]
  length = real.sum(-1).reshape(-1, 1, *[1] * len(more))
  inside = jnp.arange(real.shape[1]).reshape(1, -1, *[1] * len(more)) < length
  none = ~(out & inside).any(tuple(range(1, out.ndim)), keepdims=True)
  score = jnp.where(inside, jnp.moveaxis(draws, 0, 1), jnp.inf)
  lowest = score == score.min(tuple(range(1, out.ndim)), keepdims=True)
  return (out | (none & lowest)) & inside


def _band(key: jax.Array, real: jax.Array, features: int, masking: Masking) -> jax.Array:
  """Neighbouring features of one group, 1 to a fifth of all of them wide, of every real step; [B, T, D]."""
  keys, batch = jax.random.split(key, 3), real.shape[:1]
  begins, ends = jnp.array(masking.groups).T  # [G] each
  group = jax.random.randint(keys[0], batch, 0, len(masking.groups))
  size = (ends - begins)[group]
  widest = jnp.minimum(size, max(1, int(BAND * features)))
  width = 1 + jnp.floor(jax.random.uniform(keys[1], batch) * widest).astype(jnp.int32)
  start = begins[group] + jnp.floor(jax.random.uniform(keys[2], batch) * (size - width + 1)).astype(jnp.int32)
  at = jnp.arange(features)
  band = (at >= start[:, None]) & (at < (start + width)[:, None])  # [B, D]
  return band[:, None] & real[..., None]


def replaced(
  key: jax.Array, x: jax.Array, hidden: jax.Array, real: jax.Array, learned: jax.Array, masking: Masking
) -> jax.Array:
  """x [B, T, D] with something else where it is `hidden`; learned [D]."""
  if masking.replace == 'learned':
    return jnp.where(hidden, learned, x)
  if masking.replace == 'zero':
    return jnp.where(hidden, 0.0, x)
  at = places(real)  # what is drawn is drawn over real steps, as in `draw`
  if masking.replace == 'noise':
    return jnp.where(hidden, jnp.take_along_axis(jax.random.normal(key, x.shape), at[..., None], 1), x)
  keys = jax.random.split(key, 2)
  dice = jax.random.uniform(keys[0], (len(x), 1, 1))
  inside = jnp.arange(real.shape[1]) < real.sum(-1, keepdims=True)
  order = jnp.argsort(jnp.where(inside, jax.random.uniform(keys[1], real.shape), jnp.inf), -1)
  chosen = jnp.take_along_axis(jnp.argsort(~real, -1, stable=True), jnp.take_along_axis(order, at, 1), 1)
  other = jnp.take_along_axis(x, chosen[..., None], 1)
  return jnp.where(hidden, jnp.where(dice < 0.8, 0.0, jnp.where(dice < 0.9, other, x)), x)
