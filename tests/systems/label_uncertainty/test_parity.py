"""The network and its losses against a NumPy float64 reference of what was released, with the same weights and draws.

'Agree' is: no entry differs by more than 1e-5 of the largest entry of the reference. The reference has its own tests.
"""

import functools

import jax
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from affectjax.engine import parallel
from affectjax.engine.steps import Keys
from affectjax.engine.types import TrainState
from affectjax.layers import bayesian, convolution, recurrent
from affectjax.objectives import bayes, regression, student_t
from affectjax.systems.label_uncertainty import experiment, losses, network
from tests.helpers import reference_label_uncertainty as reference
from tests.helpers import shared


def slow(*values, **kwargs):
  return pytest.param(*values, marks=pytest.mark.slow, **kwargs)


SMALL, FULL = (16, 25), (256, 50)  # units of the LSTM and frames per draw: small, and as released
WINDOWS, PASSES, RATERS = 2, 3, 6  # each window has two blocks
NUMBERS = np.array([3, 8])  # of the windows
SIZES = [
  pytest.param('released', SMALL, id='released'),
  pytest.param('integer', SMALL, id='integer'),
  slow('released', FULL, id='released-full'),
  slow('integer', FULL, id='integer-full'),
]
HEADS = [pytest.param(SMALL, id='small'), slow(FULL, id='full')]


def agree(ours, theirs, tolerance=1e-5):
  theirs = np.asarray(theirs, np.float64)
  scale = np.abs(theirs).max()
  assert np.shape(ours) == theirs.shape and np.isfinite(scale) and scale > 0
  assert np.abs(np.asarray(ours, np.float64) - theirs).max() <= tolerance * scale


def doubles(tree):
  return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def waveform(seed=0, windows=WINDOWS, frames=2 * SMALL[1]):
  return np.random.default_rng(seed).normal(size=(windows, frames, network.SAMPLES)).astype(np.float32)


def ratings(seed=1, windows=WINDOWS, frames=100):
  rng = np.random.default_rng(seed)
  return rng.normal(rng.normal(size=(windows, frames, 2, 1)) * 0.3, 0.2, (windows, frames, 2, RATERS))


def shapes(frontend, size):
  """A network without dropout and the shapes of its parameters."""
  net = network.Network(2, frontend, hidden=size[0], dropout=0.0, block=size[1])
  start = np.zeros((1, 25, network.SAMPLES), np.float32)
  return net, jax.eval_shape(net.init, jax.random.key(7), start)['params']


@functools.cache
def made(frontend, size=SMALL):
  """A network without dropout and parameters about as large as those it starts from."""
  net, tree = shapes(frontend, size)
  rng = np.random.default_rng(7)

  def values(path, x):
    name = path[-1].key.split('_')[0]
    bound = (np.prod(x.shape[:-1]) if name == 'kernel' and path[0].key == 'frontend' else size[0]) ** -0.5
    low, high = {'mean': (-0.1, 0.1), 'rho': (-3, -2), 'slope': (0.2, 0.3)}.get(name, (-bound, bound))
    return rng.uniform(low, high, x.shape).astype(np.float32)

  return net, jax.tree_util.tree_map_with_path(values, tree)


@functools.cache
def trunk(frontend, size, shape, seed=0):
  """The reference's output of the LSTM for `waveform(seed, ...)`."""
  params = doubles(made(frontend, size)[1])
  frames = reference.frontend(params['frontend'], waveform(seed, *shape[:2]), network.POOLS[frontend])
  return reference.lstm(params['lstm'], frames)


def drawn(params, key, windows, blocks, passes):
  """The reference's weights and slopes: the draws that the network makes, per layer [P, J, I + 1, O]."""
  weights = _drawn(params, key, windows, blocks, passes)
  return doubles(weights), doubles([params[f'slope_{i}'] for i in range(3)])


@functools.partial(jax.jit, static_argnums=(3, 4))
def _drawn(params, key, windows, blocks, passes):
  numbers = network.streams(windows, blocks, passes).T
  return [w.reshape(*numbers.shape, *w.shape[1:]) for _, w in network.draw(params, key, numbers.reshape(-1))]


def posterior(params):
  return tuple(doubles([params[f'{name}_{i}'] for i in range(4)]) for name in ('mean', 'rho'))


# The reference itself.


def test_reference_convolution_pads_the_odd_zero_at_the_end():
  x = np.array([1.0, 2, 3, 4]).reshape(1, 4, 1)
  kernel = np.array([1.0, 10, 100, 1000]).reshape(4, 1, 1)  # one zero before, two after
  assert reference.convolution(x, kernel, np.array([0.5]))[0, :, 0].tolist() == [3210.5, 4321.5, 432.5, 43.5]
  assert reference.max_pool(x, 2)[0, :, 0].tolist() == [2, 4]


def test_reference_frames_are_cut_row_by_row():
  params = {}
  for i, (size, wide, out) in enumerate(((8, 1, 50), (6, 50, 125), (6, 125, 125))):
    params[f'kernel_{i}'], params[f'bias_{i}'] = np.zeros((size, wide, out)), np.zeros(out)
  params['bias_2'] = np.arange(125.0)  # channel c is c at every step
  frames = reference.frontend(params, np.zeros((1, 50, 640)))
  assert frames.shape == (1, 50, 320)
  assert frames[0, 0, 0] == 0 and frames[0, 1, 0] == 70  # frame 1 begins in channel 70 of step 2
  np.testing.assert_array_equal(frames[0, :25], frames[0, 25:])
  whole = reference.frontend(params, np.zeros((1, 50, 640)), reference.POOLS['integer'])
  np.testing.assert_array_equal(whole, np.broadcast_to(np.arange(125.0), (1, 50, 125)))


def test_reference_lstm_by_hand():
  one = lambda *v: np.array([v], np.float64)
  params = {'kernel_0': one(0, 0, 1, 0), 'recurrent_0': one(0, 0, 0, 2), 'bias_0': np.array([0.0, 0, 0, 0])}
  out = reference.lstm(params, np.array([[[1.0], [0.0]]]), layers=1)[0, :, 0]
  c = 0.5 * np.tanh(1)
  first = 0.5 * np.tanh(c)
  assert out == pytest.approx([first, np.tanh(0.5 * c) / (1 + np.exp(-2 * first))], rel=1e-14)


def test_reference_head_by_hand():
  first = np.array([[[[2.0], [1.0]], [[-1.0], [0.0]]]])  # one pass, two blocks: 2 x + 1 and -x
  second = np.array([[[[10.0], [0.0]], [[1.0], [5.0]]]])
  out = reference.head([first, second], [np.array([0.5])], np.array([[[1.0], [-2.0], [3.0], [-4.0]]]), block=2)
  assert out[0, :, 0].tolist() == [30, -15, 3.5, 9]
  means = [np.array([[2.0], [1.0]]), np.array([[10.0], [0.0]])]
  assert reference.mean_head(means, [np.array([0.5])], np.array([[[1.0], [-2.0]]]))[:, 0].tolist() == [30, -15]
  m, s = reference.moments(np.array([[1.0], [2.0], [6.0]]))
  assert (m[0], s[0]) == (3, pytest.approx(7**0.5))


def test_reference_losses_by_hand():
  x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 5, 7])
  # sums of squares 5 and 20, of products 10; means 2.5 and 4
  assert reference.ccc_loss(x, y, 'population') == pytest.approx(1 - 5 / (6.25 + 2.25))
  assert reference.ccc_loss(x, y) == pytest.approx(1 - 5 / (25 / 3 + 2.25))
  assert reference.ccc_loss(x, x) == pytest.approx(1 / 4)
  assert reference.kl_gauss(0.0, 1.0, 1.0, 2.0) == pytest.approx(np.log(2) + 2 / 8 - 0.5)
  assert reference.bbb_closed([np.array([0.5])], [np.log(np.expm1([2.0]))]) == pytest.approx(2.125 - np.log(2) - 0.5)
  w = np.array([9.0, 1.0, 9.0, 2.0]).reshape(2, 2, 1, 1)  # two passes, two blocks: 1 and 2 are the last
  ratio = lambda v: scipy.stats.norm.logpdf(v, 0.5, 2) - scipy.stats.norm.logpdf(v)
  rho = np.log(np.expm1(np.array([[2.0]])))
  cost = reference.bbb_monte_carlo([w], [np.array([[0.5]])], [rho])
  assert cost == pytest.approx((ratio(1) + ratio(2)) / 2)


@pytest.mark.parametrize('nu', [3, 6])
def test_reference_t_kl_is_the_integral(nu):
  t, normal = scipy.stats.t(nu, 0.2, 0.3), scipy.stats.norm(-0.1, 0.5)
  integrand = lambda x: t.pdf(x) * (t.logpdf(x) - normal.logpdf(x))
  expected = scipy.integrate.quad(integrand, -np.inf, np.inf, epsabs=1e-12, limit=500)[0]
  assert reference.kl_t(0.2, 0.3, nu, -0.1, 0.5) == pytest.approx(expected, abs=1e-8)
  best = 0.3 * (nu / (nu - 2)) ** 0.5
  near = [reference.kl_t(0.2, 0.3, nu, 0.2, s) for s in (0.99 * best, best, 1.01 * best)]
  assert near[1] < min(near[0], near[2])
  if nu == 6:
    assert near[1] == pytest.approx(0.0299, abs=5e-5)


# Ours against it.


def test_parameter_counts():
  _, params = shapes('released', FULL)
  size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
  two_biases = 2048  # of PyTorch's LSTM; here there is one per gate
  assert size(params['frontend']) == 131_950
  assert size(params['lstm']) == 1_118_208 - two_biases
  assert size(params['head']) == 527_634 == 2 * 263_432 + 770
  assert size(params) == 1_777_792 - two_biases


@pytest.mark.parametrize('frontend', ['released', 'integer'])
def test_frontend_agrees(frontend):
  net, params = made(frontend)
  pools = network.POOLS[frontend]
  x = waveform(frames=100)
  ours = jax.jit(network.Waveform(pools, 0.0).apply)({'params': params['frontend']}, x)
  agree(ours, reference.frontend(doubles(params['frontend']), x, pools))
  assert ours.shape[-1] == (320 if frontend == 'released' else 125)


@pytest.mark.parametrize('i', range(3))
def test_convolution_agrees_layer_by_layer(i):
  _, params = made('released')
  kernel, bias, pool = params['frontend'][f'kernel_{i}'], params['frontend'][f'bias_{i}'], network.POOLS['released'][i]
  x = np.random.default_rng(i).normal(size=(2, 3000, kernel.shape[1])).astype(np.float32)
  theirs = reference.max_pool(np.maximum(reference.convolution(np.float64(x), *doubles((kernel, bias))), 0), pool)
  agree(jax.jit(convolution.convolve_pool_relu, static_argnums=3)(x, kernel, bias, pool), theirs)


@pytest.mark.parametrize(('frontend', 'size'), SIZES)
def test_lstm_agrees(frontend, size):
  net, params = made(frontend, size)
  width = params['lstm']['kernel_0'].shape[0]
  x = np.random.default_rng(2).normal(size=(WINDOWS, 2 * size[1], width)).astype(np.float32)
  ours = jax.jit(recurrent.LSTM(size[0], backend='scan').apply)({'params': params['lstm']}, x)
  agree(ours, reference.lstm(doubles(params['lstm']), x))


@pytest.mark.slow
@pytest.mark.parametrize(('frontend', 'size'), SIZES)
def test_network_agrees(frontend, size):
  """Trunk, head with draws and moments, and the head with mean weights; each from the waveform on."""
  net, params = made(frontend, size)
  x, key = waveform(frames=2 * size[1]), jax.random.key(11)
  h = trunk(frontend, size, x.shape)

  @jax.jit
  def whole(params, x):
    ours = net.apply({'params': params}, x, method='trunk')
    passes = net.apply({'params': params}, ours, NUMBERS, key, PASSES, method='sampled')
    return ours, passes, network.moments(passes), net.apply({'params': params}, ours, method='plain')

  ours, passes, moments, plain = whole(params, x)
  agree(ours, h)
  weights, slopes = drawn(params['head'], key, NUMBERS, 2, PASSES)
  expected = reference.head(weights, slopes, h, size[1])
  agree(np.reshape(passes, expected.shape), expected)
  for got, wanted in zip(moments, reference.moments(expected), strict=True):
    agree(np.reshape(got, wanted.shape), wanted)
  means, _ = posterior(params['head'])
  agree(np.reshape(plain, (-1, 2)), reference.mean_head(means, slopes, h))


def test_head_with_mean_weights_agrees():
  net, params = made('released')
  h = np.random.default_rng(6).normal(size=(WINDOWS, 50, SMALL[0])).astype(np.float32)
  plain = jax.jit(lambda params, h: net.apply({'params': params}, h, method='plain'))(params, h)
  _, slopes = drawn(params['head'], jax.random.key(5), NUMBERS, 2, PASSES)
  agree(np.reshape(plain, (-1, 2)), reference.mean_head(posterior(params['head'])[0], slopes, h))


@pytest.mark.parametrize('size', HEADS)
def test_head_agrees_layer_by_layer(size):
  """With a layer's input given, its output; draws differ between blocks and passes."""
  head, key = made('released', size)[1]['head'], jax.random.key(5)
  weights, _ = drawn(head, key, NUMBERS, 2, PASSES)
  xs = [np.random.default_rng(i).normal(size=(4, 50, w.shape[2] - 1)).astype(np.float32) for i, w in enumerate(weights)]

  @jax.jit
  def layers(head, xs):
    numbers, seeds = network.streams(NUMBERS, 2, PASSES), network.head_seeds(key)  # [J, P], [4, 2]
    posterior = [((head[f'mean_{i}'], jax.nn.softplus(head[f'rho_{i}'])),) for i in range(4)]
    return [
      bayesian.drawn_stack(x, p, (), seeds[i : i + 1], numbers)
      for i, (x, p) in enumerate(zip(xs, posterior, strict=True))
    ]

  assert len(np.unique(weights[1][..., 0, 0])) == PASSES * 4
  for ours, w, x in zip(layers(head, xs), weights, xs, strict=True):  # ours: [J, P, F, O]
    theirs = reference.head([w], [], x.reshape(1, -1, x.shape[-1]), block=50)
    agree(np.moveaxis(ours, 1, 0).reshape(theirs.shape), theirs)


def predicted(seed=4, frames=200):
  """Predictions of both attributes for `ratings`, [N] each."""
  rng = np.random.default_rng(seed)
  return np.float32(rng.normal(0, 0.3, (frames, 2))), np.float32(rng.uniform(0.05, 0.5, (frames, 2)))


@pytest.mark.parametrize('moments', ['mixed', 'population'])
def test_ccc_loss_agrees(moments):
  m_hat, _ = predicted()
  m = np.float32(ratings().reshape(-1, 2, RATERS).mean(-1))
  ccc = jax.jit(regression.ccc, static_argnums=3)
  ours = 1 - ccc(m_hat[:, 0], m[:, 0], np.ones(len(m), np.float32), moments)
  agree(ours, reference.ccc_loss(np.float64(m_hat[:, 0]), np.float64(m[:, 0]), moments))


@pytest.mark.parametrize('nu', [None, 3, 6, 30])
def test_label_losses_agree_per_frame(nu):
  m_hat, s_hat = predicted()
  y = ratings().reshape(-1, 2, RATERS)
  m, s = np.float32(y.mean(-1)), np.float32(y.std(-1, ddof=1))
  if nu is None:
    ours = jax.jit(student_t.kl_normal_normal)(m, s, m_hat, s_hat)
    theirs = reference.kl_gauss(*doubles((m, s, m_hat, s_hat)))
  else:
    ours = jax.jit(student_t.kl_t_normal, static_argnums=2)(m, s, float(nu), m_hat, s_hat)
    theirs = reference.kl_t(*doubles((m, s)), nu, *doubles((m_hat, s_hat)))
  agree(ours, theirs)
  assert np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 0.1)) < 1e-5  # each frame by itself too


@pytest.mark.parametrize('size', HEADS)
def test_costs_of_the_weights_agree(size):
  _, params = made('released', size)
  key = jax.random.key(2)
  means, rhos = posterior(params['head'])
  ours = jax.jit(bayes.kl_closed)(*([params['head'][f'{name}_{i}'] for i in range(4)] for name in ('mean', 'rho')))
  agree(ours, reference.bbb_closed(means, rhos))
  weights, _ = drawn(params['head'], key, NUMBERS, 2, PASSES)
  loss = losses.Loss.of(config('t_lu', 'monte_carlo', 'mixed'))
  cost = lambda windows: losses.weights_cost(loss, params['head'], key, windows, 2, PASSES)
  mapped = jax.jit(jax.vmap(cost, axis_name=parallel.AXIS))
  agree(mapped(NUMBERS[None])[0], reference.bbb_monte_carlo(weights, means, rhos))


def config(row, bbb, moments, frontend='released', passes=PASSES, size=SMALL):
  """The base run with a row's loss as released: no floor of the raters' spread."""
  table = shared.experiment('label_uncertainty')
  run = table.run
  run.model.update(frontend=frontend, dropout=0.0, passes=passes, hidden=size[0], block=size[1])
  run.loss.update({**table.rows[row].get('loss', {}), 'bbb': bbb, 'moments': moments, 'floor': 0.0})
  return run


def whole_loss(run, params, x, y, windows, key):
  """Loss and its parts of one device holding the whole batch, as the training step takes them."""
  cell = experiment.spec(run, ('arousal', 'valence'), 1.0)
  standard = {'mean': np.zeros(network.SAMPLES, np.float32), 'scale': np.ones(network.SAMPLES, np.float32)}
  state = TrainState(0, params, (), key, {'input': standard}, 0)
  b, t = x.shape[:2]
  batch = dict(
    x=x, x_mask=np.ones((b, t), bool), window=windows, mask=np.ones(b, np.float32),
    mean=np.float32(y.mean(-1)), spread=np.float32(y.std(-1, ddof=1)),
    count=np.full((b, t, 2), RATERS, np.float32),
  )  # fmt: skip

  def one(batch):
    out = experiment._loss(cell)(params, state, batch, Keys(key, key))
    return out.losses.mean(), out.scalars

  loss, scalars = jax.jit(jax.vmap(one, axis_name=parallel.AXIS))(jax.tree.map(lambda v: np.asarray(v)[None], batch))
  return loss[0], {k: v[0] for k, v in scalars.items()}


def compare_whole(run, row, frontend, windows, seed=0, frames=2 * SMALL[1], size=SMALL):
  params, key = made(frontend, size)[1], jax.random.key(13)
  passes = run.model.passes
  x, y = waveform(seed, len(windows), frames), ratings(1, len(windows), frames)
  loss, scalars = whole_loss(run, params, x, y, windows, key)
  h = trunk(frontend, size, x.shape, seed)
  weights, slopes = drawn(params['head'], key, windows, frames // size[1], passes)
  m_hat, s_hat = reference.moments(reference.head(weights, slopes, h, size[1]))
  means, rhos = posterior(params['head'])
  closed = run.loss.bbb == 'closed'
  cost = reference.bbb_closed(means, rhos) if closed else reference.bbb_monte_carlo(weights, means, rhos)
  rated = y.reshape(-1, 2, RATERS)
  agree(scalars['bbb'], cost / len(rated))
  labels = reference.total(row, m_hat, s_hat, rated, 0.0, run.loss.moments)
  concordance = reference.total('mu', m_hat, s_hat, rated, 0.0, run.loss.moments)
  agree(scalars['ccc_loss'], concordance)
  if row != 'mu':
    agree(scalars['label_loss'], labels - concordance)
  agree(loss, reference.total(row, m_hat, s_hat, rated, cost, run.loss.moments))


@pytest.mark.parametrize(
  'row, bbb, moments',
  [
    ('t_lu', 'monte_carlo', 'mixed'),
    slow('mu', 'monte_carlo', 'mixed'),
    slow('mu_lu', 'monte_carlo', 'mixed'),
    slow('mu', 'closed', 'population'),
    slow('mu_lu', 'closed', 'population'),
    slow('t_lu', 'closed', 'population'),
  ],
)
def test_training_losses_agree_end_to_end(row, bbb, moments):
  compare_whole(config(row, bbb, moments), row, 'released', NUMBERS)


@pytest.mark.slow
def test_training_loss_agrees_end_to_end_with_whole_steps_per_frame():
  compare_whole(config('t_lu', 'monte_carlo', 'mixed', 'integer'), 't_lu', 'integer', NUMBERS)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('row', 'frontend', 'bbb', 'moments'),
  [
    *((row, 'released', 'monte_carlo', 'mixed') for row in ('t_lu', 'mu', 'mu_lu')),
    *((row, 'released', 'closed', 'population') for row in ('t_lu', 'mu', 'mu_lu')),
    ('t_lu', 'integer', 'monte_carlo', 'mixed'),
  ],
)
def test_training_losses_agree_at_the_released_size(row, frontend, bbb, moments):
  run = config(row, bbb, moments, frontend, size=FULL)
  compare_whole(run, row, frontend, NUMBERS, frames=2 * FULL[1], size=FULL)


@pytest.mark.slow
def test_a_window_of_12_s_with_30_passes_agrees():
  run = config('t_lu', 'monte_carlo', 'mixed', passes=30, size=FULL)
  compare_whole(run, 't_lu', 'released', np.array([2]), seed=5, frames=300, size=FULL)
