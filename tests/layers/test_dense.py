"""Dense layers: float32 is the plain product, bfloat16 is it within rounding, and parameters stay float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.layers import dense

ROUNDING = 2.0**-8  # of one bfloat16 operand, relative; a product has two


def arrays(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def test_float32_is_the_plain_product():
  x, kernel = arrays((3, 5, 6), (6, 4))
  np.testing.assert_array_equal(dense.product(jnp.asarray(x), kernel, 'float32'), jnp.dot(x, kernel))


def test_bfloat16_is_the_product_within_rounding_and_so_are_its_gradients():
  x, kernel, dy = arrays((3, 7, 32), (32, 16), (3, 7, 16))
  f = jax.jit(lambda x, k: dense.product(x, k, 'bfloat16'))
  out, back = jax.vjp(f, jnp.asarray(x), jnp.asarray(kernel))
  by_x, by_kernel = back(jnp.asarray(dy))
  flat, flat_dy = x.reshape(-1, 32).astype(np.float64), dy.reshape(-1, 16).astype(np.float64)
  for got, a, b in ((out, flat, kernel), (by_x, flat_dy, kernel.T), (by_kernel, flat.T, flat_dy)):
    got, wanted = np.asarray(got, np.float64).reshape(len(a), -1), a @ b.astype(np.float64)
    assert np.asarray(got).dtype == np.float64 and out.dtype == by_x.dtype == by_kernel.dtype == jnp.float32
    bound = np.abs(a) @ np.abs(b.astype(np.float64)) * 2.1 * ROUNDING
    assert (np.abs(got - wanted) <= bound).all()
    error = np.abs(got - wanted).max()
    assert 1e-4 < error, 'it was computed in float32'


def test_bfloat16_is_exact_where_bfloat16_holds_the_operands():
  """Sums are float32: 256 products of numbers that bfloat16 holds, whose sum it does not."""
  x, kernel = np.ones((1, 257), np.float32), np.ones((257, 1), np.float32)
  assert dense.product(jnp.asarray(x), jnp.asarray(kernel), 'bfloat16').item() == 257.0


@pytest.mark.parametrize('compute', dense.COMPUTE)
def test_layer_is_flax_s_with_parameters_in_float32(compute):
  (x,) = arrays((2, 5, 6))
  layer = dense.Dense(4, compute=compute, bias_init=nn.initializers.normal(1.0))
  variables = layer.init(jax.random.key(0), x)
  assert jax.tree.map(lambda p: (p.shape, p.dtype), variables['params']) == {
    'kernel': ((6, 4), jnp.float32), 'bias': ((4,), jnp.float32)
  }  # fmt: skip
  out, wanted = layer.apply(variables, x), nn.Dense(4).apply(variables, x)
  assert out.dtype == jnp.float32
  np.testing.assert_allclose(out, wanted, atol=1e-6 if compute == 'float32' else 0.05)
  grads = jax.jit(jax.grad(lambda v: jnp.sum(jnp.square(layer.apply(v, x)))))(variables)
  assert all(g.dtype == jnp.float32 for g in jax.tree.leaves(grads))
  bare = dense.Dense(4, compute=compute, use_bias=False)
  assert set(bare.init(jax.random.key(0), x)['params']) == {'kernel'}


@pytest.mark.parametrize('compute', dense.COMPUTE)
def test_together_is_one_after_the_other(compute):
  x, *kernels = arrays((2, 5, 6), (6, 4), (6, 3), (6, 1))
  layers = [(jnp.asarray(k), jnp.arange(k.shape[1], dtype=jnp.float32)) for k in kernels]
  found = dense.together(jnp.asarray(x), layers, compute)
  assert [y.shape[-1] for y in found] == [4, 3, 1]
  for y, (kernel, bias) in zip(found, layers, strict=True):
    np.testing.assert_allclose(y, dense.product(jnp.asarray(x), kernel, compute) + bias, atol=1e-6)


def test_weights_without_a_bias_give_zeros():
  layer = dense.Weights(3, use_bias=False)
  variables = layer.init(jax.random.key(0), 5)
  kernel, bias = layer.apply(variables, 5)
  assert kernel.shape == (5, 3) and bias.tolist() == [0, 0, 0] and set(variables['params']) == {'kernel'}


def test_unknown_compute_is_refused():
  with pytest.raises(UserError, match="unknown run.model.compute 'float16'; there is: bfloat16, float32"):
    dense.Dense(2, compute='float16').init(jax.random.key(0), jnp.ones((1, 2)))
