"""Losses of networks that predict a Dirichlet over label distributions, per example, in nats; pure jnp.

A Dirichlet has concentrations alpha [..., K] > 0; alpha_0 is their sum, alpha / alpha_0 its mean, the predicted label
distribution. `counts` [..., K] are raters' votes, N of them.

References:
  Evidential: Wu et al. 2024, arXiv 2402.12862 (experiments/amber2.md, 8).
  Dirichlet prior: Wu et al. 2022, "Estimating the Uncertainty in Emotion Class Labels with Utterance-Specific Dirichlet
  Priors", IEEE TAC, as described in arXiv 2402.12862: the likelihood of raters' one-hot labels under a predicted
  Dirichlet. That sentence has two readings; both are here.
"""

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from affectjax.common.errors import unknown
from affectjax.objectives import distributions

REGULARISERS = ('none', 'dirichlet', 'mean')
LIKELIHOODS = ('votes', 'density')


def mean(alpha: jax.Array) -> jax.Array:
  """alpha / alpha_0 [..., K]."""
  return alpha / alpha.sum(-1, keepdims=True)


def kl_to_uniform(alpha: jax.Array) -> jax.Array:
  """KL(Dir(alpha) || Dir(1, .., 1)), at least 0."""
  total, classes = alpha.sum(-1), alpha.shape[-1]
  spread = (alpha - 1.0) * (digamma(alpha) - digamma(total)[..., None])
  return gammaln(total) - gammaln(float(classes)) - gammaln(alpha).sum(-1) + spread.sum(-1)


def evidential(alpha: jax.Array, counts: jax.Array, regulariser: str = 'dirichlet', weight: float = 0.8) -> jax.Array:
  """sum_k n_k (log alpha_0 - log alpha_k) + weight R.

  Args:
    alpha: evidence + 1, so at least 1.
    counts: votes n; not all 0.
    regulariser: 'dirichlet', R = KL(Dir(y + (1 - y) alpha) || Dir(1)) with shares y, so that evidence against what
      raters chose is held down (the paper's R1); 'mean', R = KL(y || mean of the Dirichlet) (R2); 'none'.
    weight: of R; .8 on IEMOCAP, .2 on CREMA-D.
  """
  chex.assert_equal_shape([alpha, counts], custom_message='concentrations and votes are [..., K] both')
  fit = (counts * (jnp.log(alpha.sum(-1, keepdims=True)) - jnp.log(alpha))).sum(-1)
  shares = counts / jnp.maximum(counts.sum(-1, keepdims=True), 1.0)
  if regulariser == 'dirichlet':
    return fit + weight * kl_to_uniform(shares + (1.0 - shares) * alpha)
  if regulariser == 'mean':
    return fit + weight * distributions.kl(shares, mean(alpha))
  if regulariser == 'none':
    return fit
  raise unknown('regulariser', regulariser, REGULARISERS)


def prior(alpha: jax.Array, counts: jax.Array, likelihood: str = 'votes', smoothing: float = 0.01) -> jax.Array:
  """Negative log likelihood, per rater, of one-hot labels under Dir(alpha).

  Args:
    alpha: [..., K] > 0.
    counts: votes n, N of them; not all 0.
    likelihood: 'votes', raters draw their labels from one distribution that Dir(alpha) has drawn:
      -log [Gamma(alpha_0) / Gamma(alpha_0 + N) prod_k Gamma(alpha_k + n_k) / Gamma(alpha_k)] / N;
      'density', each rater's label is itself a point of the simplex: the mean of -log Dir(label; alpha), where a
      one-hot label, at which the density is 0 or infinite, is smoothed.
    smoothing: share of a label that is spread over all classes, for 'density'.
  """
  chex.assert_equal_shape([alpha, counts], custom_message='concentrations and votes are [..., K] both')
  raters = jnp.maximum(counts.sum(-1), 1.0)
  total = alpha.sum(-1)
  if likelihood == 'votes':
    drawn = (gammaln(alpha + counts) - gammaln(alpha)).sum(-1)
    return -(gammaln(total) - gammaln(total + counts.sum(-1)) + drawn) / raters
  if likelihood == 'density':
    classes = alpha.shape[-1]
    low, high = jnp.log(smoothing / classes), jnp.log(1.0 - smoothing + smoothing / classes)
    shares = counts / raters[..., None]
    logs = shares * high + (1.0 - shares) * low  # mean over raters of the log of each class's share
    return -(gammaln(total) - gammaln(alpha).sum(-1) + ((alpha - 1.0) * logs).sum(-1))
  raise unknown('likelihood', likelihood, LIKELIHOODS)
