"""What the rows minimise: CCC of the mean or the spread, cost of the weights' posterior, divergence from the raters.

experiments/label_uncertainty.md, 4, 8 and 11; all weights are 1, attributes are averaged, means run over all marked
frames of all devices.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine import parallel
from affectjax.objectives import bayes, regression, student_t
from affectjax.systems.label_uncertainty import network

LABELS = ('none', 'gauss', 't', 't_t')
CHOICES = {
  'label': LABELS, 'nu': ('a', 'a-1'), 'scale': ('s', 'posterior'), 'bbb': ('none', 'monte_carlo', 'closed'),
  'over': ('batch', 'data'), 'moments': ('mixed', 'population', 'sample'),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Loss:
  """A row's loss.

  Attributes:
    mean, spread: weights of 1 - CCC of the predicted mean and spread.
    label: 'none', 'gauss' (KL of Gaussians), 't' (Student-t truth, Gaussian prediction; as released) or 't_t' (the
      prediction is a Student-t as well, the exact KL).
    nu: degrees of freedom of the truth with a raters: 'a' (released) or 'a-1'.
    scale: 's' (released) or 'posterior', s sqrt(1 + 1 / a).
    bbb: cost of the weights' posterior: 'none', 'monte_carlo' (released: the last block's draws, mean over passes) or
      'closed', its expectation.
    over: what the cost is divided by: 'batch', its frames (released), or 'data', all training frames that are marked
      (Blundell et al. 2015).
    moments: of the CCC; 'mixed' as released, 'population' (1 / n).
    floor: s is taken as sqrt(s^2 + floor^2); 0 as released, where frames on which all raters agree have no finite loss.
    floor_hat: least predicted standard deviation.
    df_hat: degrees of freedom of the prediction for 't_t'.
  """

  mean: float
  spread: float
  label: str
  nu: str
  scale: str
  bbb: str
  over: str
  moments: str
  floor: float
  floor_hat: float
  df_hat: float

  @classmethod
  def of(cls, config: Mapping[str, Any]) -> 'Loss':
    """From `config['loss']`; unknown choices are refused with those there are."""
    loss = config['loss']
    for key, known in CHOICES.items():
      refuse_unknown(f'run.loss.{key}', loss[key], known)
    return cls(**loss)

  @property
  def fewest(self) -> int:
    """Raters that a frame needs for the label loss: nu must exceed 2, a spread needs two."""
    return 2 if self.label in ('none', 'gauss') else 3 if self.nu == 'a' else 4


def refuse_few(loss: Loss, most: float) -> None:
  """Refuses a label loss that no frame has raters enough for: KL(t || Gaussian) is infinite for nu <= 2."""
  if loss.label != 'none' and most < loss.fewest:
    what = f'nu = {loss.nu}' if loss.label != 'gauss' else 'a standard deviation'
    raise UserError(
      f'run.loss.label {loss.label!r} with {what} needs {loss.fewest} raters a frame (a Student-t with nu <= 2 has no '
      f'variance), the training data have at most {most:g}; take label gauss, nu a, or more raters'
    )


def label_divergence(loss: Loss, batch, m_hat: jax.Array, s_hat: jax.Array) -> tuple[jax.Array, jax.Array]:
  """KL from the raters to the prediction per frame, and where there is one; [B, T, A] each.

  Args:
    batch: `mean`, `spread`, `count` [B, T, A] of the raters.
    m_hat, s_hat: [B, T, A].
  """
  a = batch['count']
  marked = a >= loss.fewest
  safe = lambda x, other: jnp.where(marked, x, other)  # masked frames must not make NaN gradients
  m, m_hat = safe(batch['mean'], 0.0), safe(m_hat, 0.0)
  s = safe(jnp.sqrt(jnp.square(batch['spread']) + loss.floor**2) if loss.floor else batch['spread'], 1.0)
  s_hat, a = safe(jnp.maximum(s_hat, loss.floor_hat), 1.0), safe(a, 8.0)
  if loss.label == 'gauss':
    return student_t.kl_normal_normal(m, s, m_hat, s_hat), marked
  nu = a if loss.nu == 'a' else a - 1.0
  s = s if loss.scale == 's' else s * jnp.sqrt(1.0 + 1.0 / a)
  if loss.label == 't':
    return student_t.kl_t_normal(m, s, nu, m_hat, s_hat), marked
  return student_t.kl_t_t(m, s, nu, m_hat, s_hat, loss.df_hat), marked


def weights_cost(loss: Loss, head, key: jax.Array, windows: jax.Array, blocks: int, passes: int) -> jax.Array:
  """Cost of the Bayesian head's posterior in nats, [].

  Args:
    head: its parameters.
    key: of the draws of this step.
    windows: [B] numbers of this device's windows.
    blocks: per window.
    passes: draws per block.
  """
  means, rhos = ([head[f'{name}_{i}'] for i in range(4)] for name in ('mean', 'rho'))
  if loss.bbb == 'closed':
    return bayes.kl_closed(means, rhos)
  last = parallel.gather(windows)[-1:]  # each layer keeps its last block's draw only, code: layers.py
  numbers = network.streams(last, blocks, passes)[-1]  # [P]
  drawn = network.draw(head, key, numbers)
  cost = [bayes.log_ratio(noise, m, r).sum() for (noise, _), m, r in zip(drawn, means, rhos, strict=True)]
  return sum(cost) / passes


def concordance(loss: Loss, batch, prediction: jax.Array, target: jax.Array, fewest: int) -> jax.Array:
  """1 - CCC over all devices' frames, mean over attributes, []; frames with fewer raters are left out.

  Args:
    batch: `count` [B, T, A] and the mask of examples.
    prediction, target: [B, T, A].
    fewest: raters.
  """
  marked = ((batch['count'] >= fewest) & (batch['mask'] > 0)[:, None, None]).astype(jnp.float32)
  rows = [parallel.gather(v) for v in (prediction, target, marked)]
  each = [regression.ccc(*(v[..., i] for v in rows), moments=loss.moments) for i in range(target.shape[-1])]
  return 1.0 - sum(each) / len(each)


def per_example(values: jax.Array, marked: jax.Array, mask: jax.Array) -> jax.Array:
  """Losses [B] whose mean over all devices' real examples is the mean of `values` over all marked frames.

  Args:
    values: [B, T, A]; attributes are averaged.
    marked: [B, T, A] bool.
    mask: [B] real examples.
  """
  marked = marked & (mask > 0)[:, None, None]
  frames = jnp.maximum(parallel.total(marked.sum((0, 1)).astype(jnp.float32)), 1.0)  # [A]
  share = jnp.where(marked, values, 0.0).sum(1) / frames  # [B, A]
  return share.mean(-1) * parallel.total(mask.sum())
