"""Label distributions: entropies, divergences and cross-entropies, per example, over the classes of the last axis.

Arguments are [..., K], at least 0, of sum 1 each, and broadcast; results are [...]. `base` is 'nats' or 'bits'. `xp`
is the array namespace, `jax.numpy` by default; with `xp=numpy` the same lines serve the metrics in float64 and start
no JAX. Terms with a factor of 0 are 0, in value and in gradient, so that one-hot distributions are no special case; a
gradient with respect to a share that is exactly 0 is that of its term left out (`smoothed` keeps shares above 0).

References:
  JS, BC and R2 of rater distributions: arXiv 2601.18010 as known by experiments/amber2.md, 4 and 6.
  Class-balanced weights: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", arXiv 1901.05555.
"""

import math
from types import ModuleType
from typing import Any

from affectjax.common.errors import UserError, unknown

Array = Any  # of xp
BASES = {'nats': 1.0, 'bits': 1 / math.log(2)}
EPS = 1e-8  # of `smoothed`: our choice
TINY = 1e-30  # least coefficient whose logarithm is taken


def _namespace(xp: ModuleType | None, *distributions: Array) -> ModuleType:
  """`xp`, or jax.numpy; there, while it is traced, distributions are asserted to be over the same classes."""
  if xp is None:
    import chex
    import jax.numpy as xp

    if len(distributions) > 1:
      message = 'distributions [..., K] are over the same K classes'
      chex.assert_equal_shape_suffix(distributions, 1, custom_message=message)
  return xp


def _unit(base: str) -> float:
  if base not in BASES:
    raise unknown('base', base, BASES)
  return BASES[base]


def _p_log_ratio(xp: ModuleType, p: Array, q: Array) -> Array:
  """p log(p / q) in nats; 0 where p is 0, infinite where q alone is."""
  some = p > 0
  # Not the log of a quotient: the gradient of a quotient squares q, and overflows float32 for shares below 1e-19.
  logs = xp.log(xp.where(some, p, 1.0)) - xp.log(xp.where(some & (q > 0), q, 1.0))
  return xp.where(some, xp.where(q > 0, p * logs, xp.inf), 0.0 * p)  # a NaN share stays NaN


def smoothed(p: Array, eps: float = EPS) -> Array:
  """(p + eps) / its sum: no share is 0."""
  p = p + eps
  return p / p.sum(-1, keepdims=True)


def entropy(p: Array, base: str = 'nats', xp: ModuleType | None = None) -> Array:
  """-sum p log p, in [0, log K]."""
  xp = _namespace(xp)
  some = p > 0
  return -_unit(base) * xp.where(some, p * xp.log(xp.where(some, p, 1.0)), 0.0 * p).sum(-1)


def kl(p: Array, q: Array, base: str = 'nats', xp: ModuleType | None = None) -> Array:
  """KL(p || q), at least 0; infinite where q lacks a class of p."""
  xp = _namespace(xp, p, q)
  return _unit(base) * _p_log_ratio(xp, p, q).sum(-1)


def js(p: Array, q: Array, base: str = 'nats', xp: ModuleType | None = None) -> Array:
  """Jensen-Shannon divergence, in [0, log 2]: the mean KL of both to their mean. In bits at most 1."""
  xp = _namespace(xp, p, q)
  middle = 0.5 * (p + q)
  p, q = (xp.where(middle == 0, 0.0, x) for x in (p, q))  # the half of the least share of all is flushed to 0
  return 0.5 * _unit(base) * (_p_log_ratio(xp, p, middle) + _p_log_ratio(xp, q, middle)).sum(-1)


def js_sqrt(p: Array, q: Array, base: str = 'nats', xp: ModuleType | None = None) -> Array:
  """Square root of the Jensen-Shannon divergence, a metric; gradient 0 where p equals q."""
  xp = _namespace(xp)
  d = js(p, q, base, xp)
  some = ~(d <= 0)  # rounding may leave it below 0; NaN stays
  return xp.where(some, xp.sqrt(xp.where(some, d, 1.0)), 0.0)


def bhattacharyya_coefficient(p: Array, q: Array, xp: ModuleType | None = None) -> Array:
  """sum sqrt(p q), in [0, 1]; 1 for equal distributions."""
  xp = _namespace(xp, p, q)
  product = p * q
  some = ~(product <= 0)
  return xp.where(some, xp.sqrt(xp.where(some, product, 1.0)), 0.0).sum(-1)


def bhattacharyya_distance(p: Array, q: Array, base: str = 'nats', xp: ModuleType | None = None) -> Array:
  """-log of the coefficient, at least 0 up to rounding; that of disjoint distributions is cut at -log 1e-30."""
  xp = _namespace(xp)
  return -_unit(base) * xp.log(xp.maximum(bhattacharyya_coefficient(p, q, xp), TINY))


def hellinger(p: Array, q: Array, xp: ModuleType | None = None) -> Array:
  """sqrt(1 - coefficient), in [0, 1]; gradient 0 where p equals q."""
  xp = _namespace(xp)
  rest = 1.0 - bhattacharyya_coefficient(p, q, xp)
  some = ~(rest <= 0)
  return xp.where(some, xp.sqrt(xp.where(some, rest, 1.0)), 0.0)


def soft_cross_entropy(logits: Array, shares: Array) -> Array:
  """-sum shares log softmax(logits), in nats: KL(shares || softmax) plus the entropy of the shares."""
  import optax

  _namespace(None, logits, shares)
  return optax.softmax_cross_entropy(logits, shares)


def effective_number_weights(counts: Array, beta: float, xp: ModuleType | None = None) -> Array:
  """Weights of classes [K] by (1 - beta) / (1 - beta^n), scaled to mean 1 over the classes that occur; others get 0.

  Args:
    counts: [K] training examples n of each class.
    beta: in [0, 1]: 0 weighs all alike, 1 by inverse frequency (the limit). Cui et al. 2019, eq. 4: .9 to .9999.
  """
  if not 0 <= beta <= 1:
    raise UserError(f'class-balanced weights: beta is {beta}, expected 0 (all alike) to 1 (inverse frequency)')
  xp = _namespace(xp)
  occurs = counts > 0
  n = xp.where(occurs, counts, 1.0)
  raw = 1.0 / n if beta == 1 else (1.0 - beta) / -xp.expm1(n * math.log(beta)) if beta else xp.ones_like(n * 1.0)
  raw = xp.where(occurs, raw, 0.0)
  return raw * occurs.sum() / xp.maximum(raw.sum(), TINY)


def class_balanced_cross_entropy(logits: Array, label: Array, weights: Array) -> Array:
  """weights[label] times the cross-entropy of the one class, in nats.

  Args:
    logits: [..., K].
    label: [...] int in 0 .. K - 1.
    weights: [K].
  """
  import chex
  import optax

  chex.assert_shape(label, logits.shape[:-1], custom_message='labels of logits [..., K] are [...]')
  chex.assert_shape(weights, logits.shape[-1:], custom_message='weights of logits [..., K] are [K]')
  return weights[label] * optax.softmax_cross_entropy_with_integer_labels(logits, label)
