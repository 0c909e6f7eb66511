"""AmbER^2's losses: a student matches the raters and those experts (heads of other modalities) that match them too.

Wu et al., arXiv 2601.18010; experiments/amber2.md, 4. Distributions are [..., K]; experts are [..., M, K].

What the source leaves open is an argument: `base` of the logarithm, whether gradients flow through reliability weights
and experts (`stop`), and the divergence itself (an ablation).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from affectjax.common.errors import unknown
from affectjax.objectives import distributions

Divergence = Callable[..., jax.Array]
# (first, second, base); the order of arguments matters for KL alone.
DIVERGENCES: dict[str, Divergence] = {
  'js': distributions.js, 'kl': distributions.kl, 'bhattacharyya': distributions.bhattacharyya_distance,
}  # fmt: skip


def divergence(name: str) -> Divergence:
  """A divergence by its name."""
  if name not in DIVERGENCES:
    raise unknown('divergence', name, DIVERGENCES)
  return DIVERGENCES[name]


def _assert_shapes(shares: jax.Array, experts: jax.Array, present: jax.Array | None = None) -> None:
  """Asserts one distribution [..., K], experts [..., M, K] and presence [..., M]."""
  wanted = (*shares.shape[:-1], None, shares.shape[-1])
  chex.assert_shape(experts, wanted, custom_message='experts of a distribution [..., K] are [..., M, K]')
  if present is not None:
    chex.assert_shape(present, experts.shape[:-1], custom_message='who is present, of experts [..., M, K], is [..., M]')


def rater_term(y: jax.Array, student: jax.Array, name: str = 'js', base: str = 'bits') -> jax.Array:
  """L_RAI = D(y || s) [...]; y the raters' shares, both [..., K]."""
  chex.assert_equal_shape([y, student], custom_message="raters' shares and the student are [..., K] both")
  return divergence(name)(y, distributions.smoothed(student), base)


def _filled(experts: jax.Array, present: jax.Array | None) -> jax.Array:
  """Experts, a uniform one in place of each that is absent: its own may be anything, and 0 times NaN is NaN."""
  return experts if present is None else jnp.where(present[..., None], experts, 1.0 / experts.shape[-1])


def reliability(
  y: jax.Array, experts: jax.Array, kappa: jax.Array, present: jax.Array | None = None, name: str = 'js',
  base: str = 'bits',
) -> jax.Array:  # fmt: skip
  """u_m = exp(-kappa D_m) / sum of the same over the experts that are there, [..., M]; 0 where one is not.

  D_m is the divergence of expert m from the raters' shares, for KL in the order KL(y || p_m): the other is infinite
  where no rater chose a class.

  Args:
    y: [..., K].
    experts: [..., M, K].
    kappa: sharpness, at least 0; 0 trusts all alike.
    present: [..., M] bool, whose modality is there; None: all. What an absent expert says may be anything.
  """
  _assert_shapes(y, experts, present)
  distance = divergence(name)(y[..., None, :], distributions.smoothed(_filled(experts, present)), base)
  scores = -kappa * distance
  if present is None:
    return jax.nn.softmax(scores, -1)
  scores = jnp.where(present, scores, -jnp.inf)
  some = present.any(-1, keepdims=True)
  return jnp.where(some, jax.nn.softmax(jnp.where(some, scores, 0.0), -1), 0.0)


def modality_term(
  student: jax.Array, experts: jax.Array, weights: jax.Array, name: str = 'js', base: str = 'bits'
) -> jax.Array:
  """L_MAI = sum_m u_m D(s || p_m) [...]; student [..., K], experts [..., M, K], weights u [..., M]."""
  _assert_shapes(student, experts, weights)
  student, experts = distributions.smoothed(student), distributions.smoothed(experts)
  return (weights * divergence(name)(student[..., None, :], experts, base)).sum(-1)


def expert_term(
  y: jax.Array, experts: jax.Array, present: jax.Array | None = None, name: str = 'js', base: str = 'bits'
) -> jax.Array:
  """sum_m D(y || p_m) [...] over the experts that are there: how they are trained in the joint form (DEF-1)."""
  _assert_shapes(y, experts, present)
  each = divergence(name)(y[..., None, :], distributions.smoothed(_filled(experts, present)), base)
  return (each if present is None else jnp.where(present, each, 0.0)).sum(-1)


def total(
  y: jax.Array, student: jax.Array, experts: jax.Array, *, lambda_rai: jax.Array, lambda_mai: jax.Array,
  kappa: jax.Array, present: jax.Array | None = None, name: str = 'js', base: str = 'bits', stop: bool = True,
  joint: bool = True,
) -> dict[str, jax.Array]:  # fmt: skip
  """L = lambda_RAI L_RAI + lambda_MAI L_MAI, and lambda_RAI times the experts' own term if they learn at once.

  Args:
    y, student, experts, kappa, present: as above.
    lambda_rai, lambda_mai: weights, at least 0.
    name: of the divergence in the rater and the modality term; reliability and the experts' own term are JS always.
    base: of all logarithms.
    stop: no gradient through the weights u and through the experts in L_MAI.
    joint: whether experts are trained by the same loss (DEF-1); without, whatever trained them is not changed here.

  Returns:
    `loss`, `rai`, `mai`, `experts` [...] each, and `weights` [..., M].
  """
  fixed, experts = jax.lax.stop_gradient if stop else lambda x: x, _filled(experts, present)
  weights = fixed(reliability(y, experts, kappa, present, 'js', base))
  terms = {
    'rai': rater_term(y, student, name, base),
    'mai': modality_term(student, fixed(experts), weights, name, base),
    'experts': expert_term(y, experts, present, 'js', base),
  }
  loss = lambda_rai * terms['rai'] + lambda_mai * terms['mai'] + (lambda_rai * terms['experts'] if joint else 0.0)
  return {'loss': loss, **terms, 'weights': weights}
