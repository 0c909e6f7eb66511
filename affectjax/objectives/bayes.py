"""Bayes by backprop: the cost of a diagonal Gaussian posterior against a Gaussian prior, in nats.

The posterior of a weight is N(mu, sigma^2) with sigma = softplus(rho) = log(1 + e^rho), its prior N(0, prior_std^2).

References:
  Blundell et al. 2015, "Weight Uncertainty in Neural Networks", arXiv 1505.05424. As used for label uncertainty:
  experiments/label_uncertainty.md, 3 and 4 (the released code takes Monte Carlo means of `log_ratio` over 30 draws,
  prior_std 1).
"""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from affectjax.objectives import student_t


def sigma(rho: jax.Array) -> jax.Array:
  """softplus(rho) > 0, the posterior's standard deviation; float32 reaches 0 below rho = -87."""
  return jax.nn.softplus(rho)


def kl_closed(mu: Any, rho: Any, prior_std: float = 1.0) -> jax.Array:
  """KL(posterior || prior) summed over all weights -> []; the expectation of `log_ratio`, without its variance.

  Args:
    mu, rho: pytrees of one structure, of arrays of any shapes.
    prior_std: > 0.
  """
  chex.assert_trees_all_equal_shapes(mu, rho)
  terms = jax.tree.map(lambda m, r: jnp.sum(student_t.kl_normal_normal(m, sigma(r), 0.0, prior_std)), mu, rho)
  return sum(jax.tree.leaves(terms), start=jnp.zeros(()))


def log_ratio(
  eps: jax.Array, mu: jax.Array, rho: jax.Array, prior_std: float = 1.0, axis: int | Sequence[int] | None = None
) -> jax.Array:
  """log q(w) - log P(w) at w = mu + sigma eps, summed over `axis` (None: over all).

  Args:
    eps: [..., *shape] standard normal draws, which broadcast with mu and rho: draws stand in front.
    mu, rho: [*shape].
    prior_std: > 0.
    axis: of the weights within [..., *shape]; what is not summed, the draws, remains.
  """
  chex.assert_equal_shape([mu, rho], custom_message='means and rhos of the weights have one shape')
  message = 'draws [..., *shape] end in the shape of the weights'
  chex.assert_equal_shape_suffix([eps, mu], mu.ndim, custom_message=message)
  spread = sigma(rho)
  scaled = (mu + spread * eps) / prior_std
  terms = 0.5 * (scaled * scaled - eps * eps) - jnp.log(spread / prior_std)
  return jnp.sum(terms, axis=axis)
