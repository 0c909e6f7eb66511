"""Layers with drawn weights, the LSTM, and convolution with pooling: each against something plain."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from affectjax.layers import bayesian, convolution, recurrent

noise = jax.jit(bayesian.noise, static_argnums=2)
drawn_stack = jax.jit(bayesian.drawn_stack)
scan_layer = jax.jit(recurrent.scan_layer)


def normal(seed, *shape):
  return np.random.default_rng(seed).standard_normal(shape, np.float32)


def value_and_gradients(function, arguments):
  """Of a function's values, and of their sum weighted by one more, last argument; compiled as one program."""

  def weighted(*given):
    out = function(*given[:-1])
    return (out * given[-1]).sum(), out

  both = jax.value_and_grad(weighted, arguments, has_aux=True)
  return jax.jit(lambda *given: (lambda out: (out[0][1], out[1]))(both(*given)))


def test_noise_is_standard_normal():
  z = np.asarray(noise(np.array([7, 11], np.uint32), np.arange(40, dtype=np.uint32), (129, 65)), np.float64)
  n = z.size
  assert abs(z.mean()) < 4 / np.sqrt(n) and abs(z.var() - 1) < 4 * np.sqrt(2 / n)
  assert abs((z**3).mean()) < 4 * np.sqrt(15 / n) and abs((z**4).mean() - 3) < 4 * np.sqrt(96 / n)
  assert stats.kstest(z.ravel()[::3], 'norm').pvalue > 1e-3
  flat = z.reshape(40, -1)
  between = np.corrcoef(flat)[np.triu_indices(40, 1)]  # streams are independent, and so are neighbouring places
  assert np.abs(between).max() < 5.5 / np.sqrt(flat.shape[1])
  assert abs((z[:, :, 1:] * z[:, :, :-1]).mean()) < 4 / np.sqrt(n) and abs((z[:, 1:] * z[:, :-1]).mean()) < 4 / np.sqrt(
    n
  )


def test_noise_depends_on_seed_stream_and_place_only():
  drawn = lambda seed, streams: np.asarray(noise(np.array(seed, np.uint32), np.array(streams, np.uint32), (3, 4)))
  whole = drawn([1, 2], range(5))
  np.testing.assert_array_equal(drawn([1, 2], [4, 1]), whole[[4, 1]])
  assert (drawn([1, 3], range(5)) != whole).mean() > 0.9
  assert len(np.unique(whole)) == whole.size


def test_the_levels_are_close_to_normal():
  q = bayesian.QUANTILES.astype(np.float64)
  assert abs(q.std() - 1) < 1e-6 and abs(q.mean()) < 1e-6
  assert np.abs(stats.norm.cdf(q) - (np.arange(len(q)) + 0.5) / len(q)).max() < 1e-5


def _stack():
  sizes = [(5, 8), (8, 3), (3, 2)]
  layers = tuple(
    (normal(i, a + 1, b) * np.float32(0.3), np.abs(normal(i + 3, a + 1, b)) * np.float32(0.2))
    for i, (a, b) in enumerate(sizes)
  )
  seeds, streams = np.arange(6, dtype=np.uint32).reshape(3, 2), np.arange(12, dtype=np.uint32).reshape(4, 3)
  return normal(7, 4, 6, 5), layers, (np.full(8, 0.25, np.float32), np.full(3, 0.1, np.float32)), seeds, streams


def _plainly(x, layers, slopes, seeds, streams):
  y = jnp.broadcast_to(x[:, None], (4, 3, 6, 5))
  for i, (mean, sigma) in enumerate(layers):
    w = mean + sigma * bayesian.noise(seeds[i], streams.reshape(-1), mean.shape).reshape(4, 3, *mean.shape)
    y = jnp.einsum('kpfi,kpio->kpfo', y, w[:, :, :-1]) + w[:, :, -1:]
    y = jnp.where(y > 0, y, slopes[i] * y) if i < 2 else y
  return y


def test_drawn_stack_is_the_plain_product_with_the_same_draws_in_value_and_gradient():
  given, v = _stack(), normal(8, 4, 3, 6, 2)
  (out, ours), (expected, plain) = (
    value_and_gradients(f, (0, 1, 2))(*given, v) for f in (bayesian.drawn_stack, _plainly)
  )
  np.testing.assert_allclose(out, expected, atol=1e-6)
  chex.assert_trees_all_close(ours, plain, rtol=1e-5, atol=1e-5)


def test_a_stream_is_drawn_alike_whatever_stands_beside_it():
  x, layers, slopes, seeds, streams = _stack()
  whole = drawn_stack(x, layers, slopes, seeds, streams)
  part = drawn_stack(x[2:3], layers, slopes, seeds, streams[2:3, 1:])
  np.testing.assert_array_equal(part, whole[2:3, 1:])


def test_drawn_weights_spread_the_output_as_their_variance_says():
  x, mean, sigma = (np.full(shape, v, np.float32) for shape, v in (((1, 1, 3), 1), ((4, 2), 0), ((4, 2), 0.5)))
  streams = np.arange(20000, dtype=np.uint32)[None]
  y = np.asarray(drawn_stack(x, ((mean, sigma),), (), np.array([[3, 4]], np.uint32), streams))
  assert y.shape == (1, 20000, 1, 2)
  assert abs(float(y.std()) - 1.0) < 0.02  # three weights and a bias of variance 1/4


def _lstm_inputs(batch=3, steps=20, width=5, hidden=4):
  shapes = [(batch, steps, width), (width, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)]
  return [normal(i, *shape) for i, shape in enumerate(shapes)]


def _lstm_plainly(x, kernel, recurrent_, bias):
  h = c = jnp.zeros((x.shape[0], recurrent_.shape[0]))
  out = []
  for t in range(x.shape[1]):
    i, f, g, o = jnp.split(x[:, t] @ kernel + bias + h @ recurrent_, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    out.append(h)
  return jnp.stack(out, 1)


def test_lstm_and_its_gradient_are_those_of_the_plain_recurrence():
  inputs, w = _lstm_inputs(), normal(9, 3, 20, 4)
  (y, ours), (expected, plain) = (
    value_and_gradients(f, (0, 1, 2, 3))(*inputs, w) for f in (recurrent.scan_layer, _lstm_plainly)
  )
  np.testing.assert_allclose(y, expected, atol=1e-6)
  chex.assert_trees_all_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_packed_weights_are_what_cudnn_reads():
  """By jax's own plain twin of the cuDNN operation; the operation itself runs on an NVIDIA GPU only."""
  from jax.experimental import rnn

  x, *first = _lstm_inputs()
  second = [normal(4 + i, *shape) for i, shape in enumerate([(4, 16), (4, 16), (16,)])]

  @jax.jit
  def both(x, first, second):
    flat, zero, lengths = recurrent.packed([first, second]), jnp.zeros((2, 3, 4)), jnp.full((3,), 20)
    weights = rnn.unpack_lstm_weights(flat, 5, 4, 2, False)
    y = rnn.lstm_ref(x, zero, zero, *weights, lengths, 5, 4, 2, 0.0, False)[0]
    return y, recurrent.scan_layer(recurrent.scan_layer(x, *first), *second)

  np.testing.assert_allclose(*both(x, first, second), atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN needs an NVIDIA GPU')
def test_cudnn_lstm_is_the_scan():
  x, *layer = _lstm_inputs()
  np.testing.assert_allclose(recurrent.cudnn_stack(x, [layer]), recurrent.scan_layer(x, *layer), atol=1e-4)


def test_lstm_sees_no_later_frame():
  x, *layer = _lstm_inputs()
  late = x.copy()
  late[:, 12:] = 1e9
  np.testing.assert_array_equal(*(np.asarray(scan_layer(v, *layer))[:, :12] for v in (late, x)))


def _convolution_plainly(x, kernel, bias, pool):
  size = kernel.shape[0]
  y = jax.lax.conv_general_dilated(
    x, kernel, (1,), [((size - 1) // 2, size - 1 - (size - 1) // 2)], dimension_numbers=('NWC', 'WIO', 'NWC')
  )
  y = jax.nn.relu(y + bias)
  return y.reshape(len(x), -1, pool, y.shape[-1]).max(2)


@pytest.mark.parametrize('stretch', [100, 1000, 10**6])
@pytest.mark.parametrize('size', [1, 6, 8])
def test_convolution_with_pooling_is_the_plain_one(monkeypatch, stretch, size):
  monkeypatch.setattr(convolution, 'STRETCH', stretch)
  given = [normal(i, *shape) for i, shape in enumerate([(2, 120, 3), (size, 3, 7), (7,)])]

  def squares(f):
    both = jax.value_and_grad(lambda *a: (lambda y: ((y**2).sum(), y))(f(*a, 5)), (0, 1, 2), has_aux=True)
    (_, y), gradients = jax.jit(both)(*given)
    return y, gradients

  (y, ours), (expected, plain) = squares(convolution.convolve_pool_relu), squares(_convolution_plainly)
  np.testing.assert_allclose(y, expected, atol=1e-5)
  chex.assert_trees_all_close(ours, plain, rtol=1e-4, atol=1e-3)


def test_xla_pads_even_kernels_as_we_do():
  """SAME puts one more at the end, as the released code does: 3 before and 4 after a kernel of 8."""
  x, kernel = normal(0, 1, 20, 1), normal(1, 8, 1, 2)

  @jax.jit
  def both(x, kernel):
    same = jax.lax.conv_general_dilated(x, kernel, (1,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC'))
    return convolution.convolve_pool_relu(x, kernel, jnp.full(2, 100.0), 1) - 100.0, same

  np.testing.assert_allclose(*both(x, kernel), atol=1e-4)
