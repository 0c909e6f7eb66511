"""Dense layers whose products run in float32 or, as a switch, in bfloat16 with float32 sums.

In bfloat16 only the two operands of a product are rounded; parameters, sums and what comes out are float32. That is the
form which reaches a CPU's and a GPU's matrix units alike: a bfloat16 result would be widened again on a CPU.
"""

from collections.abc import Callable, Sequence

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint

from affectjax.common.errors import unknown

COMPUTE = ('float32', 'bfloat16')


def _rounded(a: jax.Array, b: jax.Array, axes: tuple[tuple[int], tuple[int]]) -> jax.Array:
  return jax.lax.dot_general(a, b, (axes, ((), ())), preferred_element_type=jnp.float32)


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """x [N, I] and kernel [I, O], rounded to bfloat16, times each other: [N, O] float32."""
  return _forward(x, kernel)[0]


def _forward(x, kernel):
  x, kernel = x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16)
  return _rounded(x, kernel, ((1,), (0,))), (x, kernel)


def _backward(kept, dy):
  x, kernel = kept
  dy = dy.astype(jnp.bfloat16)
  back = x.T
  if jax.default_backend() == 'cpu':  # only a transpose that is really made takes the fast path there
    back = with_layout_constraint(back, Layout((0, 1)))
  return _rounded(dy, kernel, ((1,), (1,))), _rounded(back, dy, ((1,), (0,)))


_product.defvjp(_forward, _backward)


def product(x: jax.Array, kernel: jax.Array, compute: str) -> jax.Array:
  """x [..., I] times kernel [I, O] -> [..., O] float32, computed in one of `COMPUTE`."""
  if compute not in COMPUTE:
    raise unknown('run.model.compute', compute, COMPUTE)
  chex.assert_shape(kernel, (x.shape[-1], None), custom_message='the kernel of x [..., I] is [I, O]')
  if compute == 'float32':
    return x @ kernel
  return _product(jnp.asarray(x).reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], kernel.shape[1])


class Weights(nn.Module):
  """The parameters of a dense layer, for layers that are multiplied together.

  Attributes:
    features: O.
    use_bias: whether there is a bias.
    kernel_init, bias_init: of the parameters.
  """

  features: int
  use_bias: bool = True
  kernel_init: Callable = nn.initializers.xavier_uniform()
  bias_init: Callable = nn.initializers.zeros

  @nn.compact
  def __call__(self, width: int) -> tuple[jax.Array, jax.Array]:
    """`kernel` [width, O] and `bias` [O] (zeros without one), float32."""
    kernel = self.param('kernel', self.kernel_init, (width, self.features))
    return kernel, self.param('bias', self.bias_init, (self.features,)) if self.use_bias else jnp.zeros(self.features)


class Dense(Weights):
  """flax.linen.Dense with `compute`.

  Attributes:
    compute: of `COMPUTE`.
  """

  compute: str = 'float32'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., I] -> [..., O]."""
    y = product(x, self.param('kernel', self.kernel_init, (x.shape[-1], self.features)), self.compute)
    return y + self.param('bias', self.bias_init, (self.features,)) if self.use_bias else y


def together(x: jax.Array, layers: Sequence[tuple[jax.Array, jax.Array]], compute: str) -> list[jax.Array]:
  """Dense layers of one input as one product: x [..., I] and (kernel [I, O], bias [O]) each -> [..., O] each."""
  kernel, bias = (jnp.concatenate(parts, -1) for parts in zip(*layers, strict=True))
  chex.assert_shape(bias, kernel.shape[1:], custom_message='each layer has a kernel [I, O] and a bias [O]')
  ends = np.cumsum([k.shape[1] for k, _ in layers])[:-1].tolist()
  return jnp.split(product(x, kernel, compute) + bias, ends, -1)
