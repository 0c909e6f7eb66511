"""Dense stacks with batch normalisation that is exact over masked examples and over devices."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from affectjax.layers import shapes


class BatchNorm(nn.Module):
  """Batch normalisation over the masked rows of all devices.

  flax.linen.BatchNorm averages the devices' own means, which is wrong once devices hold unequal numbers of real
  rows; here sums and counts are added up first. Momentum and epsilon are PyTorch's, as is the unbiased variance
  kept for evaluation.

  Attributes:
    axis_name: the devices' axis, None on a single device.
    momentum: share of the old running statistics kept.
    eps: added to the variance.
  """

  axis_name: str | None = None
  momentum: float = 0.9
  eps: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array | None, train: bool) -> jax.Array:
    """x [B, H]; mask [B] marks real rows (None: all) and matters only in training."""
    shapes.rows(x, mask)
    width = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (width,))
    bias = self.param('bias', nn.initializers.zeros, (width,))
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (width,))
    var = self.variable('batch_stats', 'var', jnp.ones, (width,))
    if train and not self.is_initializing():
      weight = jnp.ones(x.shape[:1], x.dtype) if mask is None else mask.astype(x.dtype)
      real = weight[:, None] > 0
      total = (lambda v: jax.lax.psum(v, self.axis_name)) if self.axis_name else (lambda v: v)
      count = jnp.maximum(total(weight.sum()), 1.0)
      mu = total(jnp.where(real, x, 0.0).sum(0)) / count
      sigma2 = total(jnp.square(jnp.where(real, x - mu, 0.0)).sum(0)) / count
      keep = self.momentum
      mean.value = keep * mean.value + (1 - keep) * mu
      var.value = keep * var.value + (1 - keep) * sigma2 * count / jnp.maximum(count - 1, 1.0)
    else:
      mu, sigma2 = mean.value, var.value
    return (x - mu) * (jax.lax.rsqrt(sigma2 + self.eps) * scale) + bias


class DenseStack(nn.Module):
  """Dense - BatchNorm - ReLU - Dropout blocks, then a plain Dense: the projectors and heads of MT-CLAR.

  Attributes:
    widths: of the hidden layers.
    out: width of the output.
    dropout: rate before every Dense (`dropout_first`) or behind every ReLU.
    hidden_bias: whether hidden Dense layers have a bias.
    axis_name: as in `BatchNorm`.
  """

  widths: Sequence[int]
  out: int
  dropout: float = 0.0
  dropout_first: bool = False
  hidden_bias: bool = True
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, mask: jax.Array | None, train: bool) -> jax.Array:
    """[B, D] -> [B, out]; mask [B] as in `BatchNorm`."""
    shapes.rows(x, mask)
    drop = lambda v: nn.Dropout(self.dropout, deterministic=not train)(v)
    init = nn.initializers.xavier_uniform()
    x = drop(x) if self.dropout_first else x
    for i, width in enumerate(self.widths):
      x = nn.Dense(width, use_bias=self.hidden_bias, kernel_init=init, name=f'dense_{i}')(x)
      x = BatchNorm(axis_name=self.axis_name, name=f'norm_{i}')(x, mask, train)
      x = drop(nn.relu(x))
    return nn.Dense(self.out, kernel_init=init, name='out')(x)
