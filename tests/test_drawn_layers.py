"""Layers with drawn weights, the LSTM, and convolution with pooling: each against something plain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from affectjax.layers import bayesian, convolution, recurrent

KEYS = jax.random.split(jax.random.key(0), 12)


def test_noise_is_standard_normal():
  z = np.asarray(
    bayesian.noise(jnp.array([7, 11], jnp.uint32), jnp.arange(40, dtype=jnp.uint32), (129, 65)), np.float64
  )
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
  seed = jnp.array([1, 2], jnp.uint32)
  whole = bayesian.noise(seed, jnp.arange(5, dtype=jnp.uint32), (3, 4))
  np.testing.assert_array_equal(bayesian.noise(seed, jnp.array([4, 1], jnp.uint32), (3, 4)), whole[jnp.array([4, 1])])
  assert (bayesian.noise(seed.at[1].set(3), jnp.arange(5, dtype=jnp.uint32), (3, 4)) != whole).mean() > 0.9
  assert len(np.unique(whole)) == whole.size


def test_the_levels_are_close_to_normal():
  q = bayesian.QUANTILES.astype(np.float64)
  assert abs(q.std() - 1) < 1e-6 and abs(q.mean()) < 1e-6
  assert np.abs(stats.norm.cdf(q) - (np.arange(len(q)) + 0.5) / len(q)).max() < 1e-5


def _stack():
  sizes = [(5, 8), (8, 3), (3, 2)]
  layers = tuple(
    (jax.random.normal(KEYS[i], (a + 1, b)) * 0.3, jnp.abs(jax.random.normal(KEYS[i + 3], (a + 1, b))) * 0.2)
    for i, (a, b) in enumerate(sizes)
  )
  x = jax.random.normal(KEYS[7], (4, 6, 5))
  seeds, streams = jnp.arange(6, dtype=jnp.uint32).reshape(3, 2), jnp.arange(12, dtype=jnp.uint32).reshape(4, 3)
  return x, layers, (jnp.full(8, 0.25), jnp.full(3, 0.1)), seeds, streams


def _plainly(x, layers, slopes, seeds, streams):
  y = jnp.broadcast_to(x[:, None], (4, 3, 6, 5))
  for i, (mean, sigma) in enumerate(layers):
    w = mean + sigma * bayesian.noise(seeds[i], streams.reshape(-1), mean.shape).reshape(4, 3, *mean.shape)
    y = jnp.einsum('kpfi,kpio->kpfo', y, w[:, :, :-1]) + w[:, :, -1:]
    y = jnp.where(y > 0, y, slopes[i] * y) if i < 2 else y
  return y


def test_drawn_stack_is_the_plain_product_with_the_same_draws():
  x, layers, slopes, seeds, streams = _stack()
  out = bayesian.drawn_stack(x, layers, slopes, seeds, streams)
  np.testing.assert_allclose(out, _plainly(x, layers, slopes, seeds, streams), atol=1e-6)


def test_drawn_stack_has_the_gradient_of_the_plain_product():
  *inputs, seeds, streams = _stack()
  v = jax.random.normal(KEYS[8], (4, 3, 6, 2))
  ours = jax.grad(lambda *a: (bayesian.drawn_stack(*a, seeds, streams) * v).sum(), (0, 1, 2))(*inputs)
  plain = jax.grad(lambda *a: (_plainly(*a, seeds, streams) * v).sum(), (0, 1, 2))(*inputs)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, plain)


def test_a_stream_is_drawn_alike_whatever_stands_beside_it():
  x, layers, slopes, seeds, streams = _stack()
  whole = bayesian.drawn_stack(x, layers, slopes, seeds, streams)
  part = bayesian.drawn_stack(x[2:3], layers, slopes, seeds, streams[2:3, 1:])
  np.testing.assert_array_equal(part, whole[2:3, 1:])


def test_drawn_weights_spread_the_output_as_their_variance_says():
  x, mean, sigma = jnp.ones((1, 1, 3)), jnp.zeros((4, 2)), jnp.full((4, 2), 0.5)
  streams = jnp.arange(20000, dtype=jnp.uint32)[None]
  y = bayesian.drawn_stack(x, ((mean, sigma),), (), jnp.array([[3, 4]], jnp.uint32), streams)
  assert y.shape == (1, 20000, 1, 2)
  assert abs(float(y.std()) - 1.0) < 0.02  # three weights and a bias of variance 1/4


def _lstm_inputs(batch=3, steps=20, width=5, hidden=4):
  shapes = [(batch, steps, width), (width, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)]
  return [jax.random.normal(k, s) for k, s in zip(KEYS, shapes, strict=False)]


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
  inputs, w = _lstm_inputs(), jax.random.normal(KEYS[9], (3, 20, 4))
  np.testing.assert_allclose(recurrent.scan_layer(*inputs), _lstm_plainly(*inputs), atol=1e-6)
  ours = jax.grad(lambda *a: (recurrent.scan_layer(*a) * w).sum(), (0, 1, 2, 3))(*inputs)
  plain = jax.grad(lambda *a: (_lstm_plainly(*a) * w).sum(), (0, 1, 2, 3))(*inputs)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, plain)


def test_packed_weights_are_what_cudnn_reads():
  """By jax's own plain twin of the cuDNN operation; the operation itself runs on an NVIDIA GPU only."""
  from jax.experimental import rnn

  x, *first = _lstm_inputs()
  second = [jax.random.normal(k, s) for k, s in zip(KEYS[4:], [(4, 16), (4, 16), (16,)], strict=False)]
  flat, zero, lengths = recurrent.packed([first, second]), jnp.zeros((2, 3, 4)), jnp.full((3,), 20)
  w_ih, w_hh, b_ih, b_hh = rnn.unpack_lstm_weights(flat, 5, 4, 2, False)
  y = rnn.lstm_ref(x, zero, zero, w_ih, w_hh, b_ih, b_hh, lengths, 5, 4, 2, 0.0, False)[0]
  np.testing.assert_allclose(y, recurrent.scan_layer(recurrent.scan_layer(x, *first), *second), atol=1e-6)


@pytest.mark.skipif(jax.default_backend() != 'gpu', reason='cuDNN needs an NVIDIA GPU')
def test_cudnn_lstm_is_the_scan():
  x, *layer = _lstm_inputs()
  np.testing.assert_allclose(recurrent.cudnn_stack(x, [layer]), recurrent.scan_layer(x, *layer), atol=1e-4)


def test_lstm_sees_no_later_frame():
  x, *layer = _lstm_inputs()
  y = recurrent.scan_layer(x.at[:, 12:].set(1e9), *layer)
  np.testing.assert_array_equal(y[:, :12], recurrent.scan_layer(x, *layer)[:, :12])


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
  x, kernel, bias = (jax.random.normal(k, s) for k, s in zip(KEYS, [(2, 120, 3), (size, 3, 7), (7,)], strict=False))
  ours = lambda *a: (convolution.convolve_pool_relu(*a, 5) ** 2).sum()
  plain = lambda *a: (_convolution_plainly(*a, 5) ** 2).sum()
  np.testing.assert_allclose(
    convolution.convolve_pool_relu(x, kernel, bias, 5), _convolution_plainly(x, kernel, bias, 5), atol=1e-5
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3),
    jax.grad(ours, (0, 1, 2))(x, kernel, bias), jax.grad(plain, (0, 1, 2))(x, kernel, bias),
  )  # fmt: skip


def test_xla_pads_even_kernels_as_we_do():
  """SAME puts one more at the end (sheet, section 2): 3 before and 4 after a kernel of 8."""
  x, kernel = jax.random.normal(KEYS[0], (1, 20, 1)), jax.random.normal(KEYS[1], (8, 1, 2))
  same = jax.lax.conv_general_dilated(x, kernel, (1,), 'SAME', dimension_numbers=('NWC', 'WIO', 'NWC'))
  ours = convolution.convolve_pool_relu(x, kernel, jnp.full(2, 100.0), 1) - 100.0
  np.testing.assert_allclose(ours, same, atol=1e-4)
