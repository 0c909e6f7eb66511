"""Regression losses on bounded labels. `ccc` couples examples: give it all devices' rows."""

import jax
import jax.numpy as jnp

EPS = 1e-8


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
  """(prediction - target)^2 per example, [B] -> [B]."""
  return jnp.square(prediction - target)


def ccc(prediction: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
  """Concordance correlation of the masked rows, [B] each -> [], in [-1, 1]; 0 when both are constant and equal.

  2 cov / (var + var' + (mean - mean')^2) with sample (N - 1) moments, the form with no square root, so that
  value and gradient stay finite at zero variance (Lin 1989; sample moments as in the MT-CLAR code, src/tools/loss.py).
  Padded rows may hold anything.
  """
  weight = mask / jnp.maximum(mask.sum(), 1.0)
  keep = mask > 0
  x, y = jnp.where(keep, prediction, 0.0), jnp.where(keep, target, 0.0)
  mean_x, mean_y = jnp.sum(weight * x), jnp.sum(weight * y)
  dx, dy = jnp.where(keep, x - mean_x, 0.0), jnp.where(keep, y - mean_y, 0.0)
  degrees = jnp.maximum(mask.sum() - 1.0, 1.0)
  cov, var_x, var_y = jnp.sum(dx * dy) / degrees, jnp.sum(dx * dx) / degrees, jnp.sum(dy * dy) / degrees
  denominator = var_x + var_y + jnp.square(mean_x - mean_y)
  return 2.0 * cov / jnp.maximum(denominator, EPS)


def scheduled(mse: jax.Array, concordance: jax.Array, share: jax.Array, alpha: float = 1.0) -> jax.Array:
  """alpha * s * MSE + (1 - s) * (1 - CCC): concordance early, squared error late.

  MT-CLAR code, src/tools/loss.py: s = (e / E)^2 at epoch e of E. `mse` may be per example.
  """
  return alpha * share * mse + (1.0 - share) * (1.0 - concordance)
