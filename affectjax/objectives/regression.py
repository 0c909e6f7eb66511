"""Regression losses on bounded labels. `ccc` couples examples: give it all devices' rows."""

import chex
import jax
import jax.numpy as jnp

from affectjax.common.errors import unknown

EPS = 1e-8
# What is taken off n in the covariance and in the variances.
MOMENTS = {'sample': (1.0, 1.0), 'population': (0.0, 0.0), 'mixed': (0.0, 1.0)}


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """(prediction - target)^2 per example, [B] -> [B] (or any one shape)."""
  chex.assert_equal_shape([prediction, target], custom_message='predictions and targets have one shape')
  return jnp.square(prediction - target)


def ccc(prediction: jax.Array, target: jax.Array, mask: jax.Array, moments: str = 'sample') -> jax.Array:
  """Concordance correlation of the masked entries, all pooled -> [], in [-1, 1]; 0 when both are constant and equal.

  2 cov / (var + var' + (mean - mean')^2), the form with no square root, so that value and gradient stay finite at
  zero variance (Lin 1989). Padded entries may hold anything.

  Args:
    prediction, target, mask: of one shape, whichever; mask 1 for real entries, 0 for padding.
    moments: 'sample', 1 / (n - 1) throughout (MT-CLAR code, src/tools/loss.py); 'population', 1 / n throughout, as in
      evaluation; 'mixed', the covariance 1 / n and the variances 1 / (n - 1), so that perfect agreement has
      (n - 1) / n (label-uncertainty code, loss.py).
  """
  if moments not in MOMENTS:
    raise unknown('moments', moments, MOMENTS)
  chex.assert_equal_shape([prediction, target, mask], custom_message='predictions, targets and mask have one shape')
  weight = mask / jnp.maximum(mask.sum(), 1.0)
  keep = mask > 0
  x, y = jnp.where(keep, prediction, 0.0), jnp.where(keep, target, 0.0)
  mean_x, mean_y = jnp.sum(weight * x), jnp.sum(weight * y)
  dx, dy = jnp.where(keep, x - mean_x, 0.0), jnp.where(keep, y - mean_y, 0.0)
  degrees = lambda less: jnp.maximum(mask.sum() - less, 1.0)
  of_cov, of_var = (degrees(less) for less in MOMENTS[moments])
  cov, var_x, var_y = jnp.sum(dx * dy) / of_cov, jnp.sum(dx * dx) / of_var, jnp.sum(dy * dy) / of_var
  denominator = var_x + var_y + jnp.square(mean_x - mean_y)
  return 2.0 * cov / jnp.maximum(denominator, EPS)


def scheduled(mse: jax.Array, concordance: jax.Array, share: jax.Array, alpha: float = 1.0) -> jax.Array:
  """alpha * s * MSE + (1 - s) * (1 - CCC): concordance early, squared error late.

  MT-CLAR code, src/tools/loss.py: s = (e / E)^2 at epoch e of E. `mse` may be per example.
  """
  return alpha * share * mse + (1.0 - share) * (1.0 - concordance)
