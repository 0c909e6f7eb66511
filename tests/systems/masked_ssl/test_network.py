"""The networks of masked self-supervision: by hand in numpy, masks, what the encoder of either layout may see."""

import functools
import math

import jax
import numpy as np
import pytest

from affectjax.systems.masked_ssl import backbone, masks, network
from tests.helpers import masked_ssl_small as small

KINDS = ('transformer', 'bigru')


@functools.lru_cache(maxsize=8)
def encoder(kind: str, blocks: int = 2):
  net = network.encoder(kind, 16, blocks, 2, 16, 0.0, 'encoder')
  x, real = small.features(24)
  at = masks.places(real)
  return net, small.drawn(net, x, real, at, False), x, real


@functools.lru_cache(maxsize=16)
def _encoded(net):
  return jax.jit(lambda p, x, real: net.apply({'params': p}, x, real, masks.places(real), False))


def encoded(net, params, x, real) -> list[np.ndarray]:
  return [np.asarray(v) for v in _encoded(net)(params, x, real)]


def sinusoids(steps: int, width: int) -> np.ndarray:
  return np.asarray(jax.jit(backbone.sinusoids, static_argnums=1)(np.arange(steps), width))


def norm(x, p):
  x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
  return x * p['scale'] + p['bias']


def dense(x, p):
  return x @ p['kernel'] + p['bias']


def gelu(x):
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


# Encoders by hand


def test_positions_are_sines_and_cosines():
  found = np.asarray(jax.jit(backbone.sinusoids, static_argnums=1)(np.arange(5)[None], 6))[0]
  for t in range(5):
    for i in range(3):
      angle = t / 10000 ** (2 * i / 6)
      np.testing.assert_allclose(found[t, 2 * i : 2 * i + 2], [math.sin(angle), math.cos(angle)], atol=1e-5)


def test_a_transformer_is_pre_norm_attention_and_gelu_by_hand():
  net, p, x, real = encoder('transformer')
  found, at = encoded(net, p, x, real), sinusoids(12, 16)
  for row in (3, 11, 14):
    n = real[row].sum()
    h = dense(x[row, :n].astype(np.float64), p['input']) + at[:n]
    for i in range(2):
      b = p[f'block_{i}']
      q, k, v = np.split(dense(norm(h, b['norm_attention']), b['qkv']), 3, 1)
      heads = []
      for part in (slice(0, 8), slice(8, 16)):
        weight = np.exp(q[:, part] @ k[:, part].T / np.sqrt(8))
        heads.append(weight / weight.sum(1, keepdims=True) @ v[:, part])
      h = h + dense(np.concatenate(heads, 1), b['out'])
      h = h + dense(gelu(dense(norm(h, b['norm_ff']), b['ff_in'])), b['ff_out'])
      if i == 0:
        np.testing.assert_allclose(found[0][row, :n], h, atol=2e-5)
    np.testing.assert_allclose(found[1][row, :n], norm(h, p['norm']), atol=5e-5)


def gru(x, there, p, name, back: bool):
  """Cho et al. 2014 with the reset behind the product, one sequence [T, D]; a step that is not there is passed over."""
  h, out, half = np.zeros(8), np.zeros((len(x), 8)), 8
  for t in reversed(range(len(x))) if back else range(len(x)):
    if there[t]:
      z, g = dense(x[t], p[f'{name}_input']), h @ p[f'{name}_kernel']
      reset, update = sigmoid(z[:half] + g[:half]), sigmoid(z[half : 2 * half] + g[half : 2 * half])
      new = np.tanh(z[2 * half :] + reset * (g[2 * half :] + p[f'{name}_bias']))
      h = update * h + (1 - update) * new
    out[t] = h
  return out


def test_grus_run_both_ways_over_the_real_steps_by_hand():
  net, p, x, real = encoder('bigru')
  real = real & (np.random.default_rng(0).random(real.shape) > 0.2)  # holes as well
  found = encoded(net, p, x, real)
  for row in range(0, 24, 5):
    h = x[row].astype(np.float64)
    for i in range(2):
      ways = [gru(h, real[row], p, f'gru_{i}_{way}', way == 'back') for way in ('forth', 'back')]
      h = np.where(real[row][:, None], np.concatenate(ways, 1), 0)
      np.testing.assert_allclose(found[i][row], h, atol=1e-5)


# Masks


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_not_real_is_not_seen(kind):
  net, p, x, real = encoder(kind)
  real = real & (np.random.default_rng(0).random(real.shape) > 0.2)
  junk = np.where(real[..., None], x, 1e3).astype(np.float32)
  for a, b in zip(encoded(net, p, x, real), encoded(net, p, junk, real), strict=True):
    np.testing.assert_array_equal(a[real], b[real])


@pytest.mark.parametrize('kind', KINDS)
def test_padding_on_either_side_gives_the_same(kind):
  net, p, x, real = encoder(kind)
  moved, there = small.shifted(x, real)
  for a, b in zip(encoded(net, p, x, real), encoded(net, p, moved, there), strict=True):
    np.testing.assert_allclose(a[real], small.unshifted(b, real)[real], atol=2e-6)


@pytest.mark.parametrize('kind', KINDS)
def test_order_matters(kind):
  """Sequences that are reversed, and the same again at other positions, are told apart."""
  net, p, x, _ = encoder(kind)
  whole = np.ones((24, 12), bool)
  a, b = (encoded(net, p, v, whole)[-1] for v in (x, x[:, ::-1].copy()))
  assert np.abs(a - b[:, ::-1]).max() > 1e-2


@functools.lru_cache(maxsize=8)
def predictor(kind: str = 'transformer', head: str = 'mlp'):
  cell = small.finetuning(dict(model=dict(kind=kind, blocks=2), tune=dict(head=head, encoder_lr=(1e-3,))))
  x, real = small.features(24)
  return cell.net, small.drawn(cell.net, x, real, False), x, real


@functools.lru_cache(maxsize=8)
def _predicted(net):
  return jax.jit(lambda p, x, real: net.apply({'params': p}, x, real, False))


@pytest.mark.parametrize('head', network.HEADS)
def test_a_prediction_is_the_head_of_the_mean_over_real_steps(head):
  net, p, x, real = predictor(head=head)
  found = np.asarray(_predicted(net)(p, x, real))
  h = encoded(network.encoder('transformer', 16, 2, 2, 16, 0.0, 'encoder'), p['encoder'], x, real)[-1]
  mean = (h * real[..., None]).sum(1) / real.sum(1, keepdims=True)
  if head == 'mlp':
    mean = gelu(dense(mean, p['head_in']))
  np.testing.assert_allclose(found, dense(mean, p['head_out']), atol=1e-5)
  assert ('head_in' in p) == (head == 'mlp')
  moved, there = small.shifted(x, real)
  left = _predicted(net)(p, moved, there)
  np.testing.assert_allclose(found, left, atol=2e-6)


def test_nobody_real_is_no_number_out_of_range():
  for kind in KINDS:
    net, p, x, real = predictor(kind)
    found = _predicted(net)(p, x, real & False)
    assert np.isfinite(found).all() and np.ptp(np.asarray(found), 0).max() == 0


# Parameters


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('pretext', [{}, dict(layout='mae'), dict(target='ema_latent')], ids=str)
def test_the_encoder_is_the_same_tree_with_and_without_pretraining(kind, pretext):
  model = dict(kind=kind, blocks=2)
  cell = small.pretraining(dict(model=model, pretext=pretext))
  first = small.pretext_state(cell).params
  shapes = lambda tree: jax.tree.map(np.shape, tree)
  for head in network.HEADS:
    _, second, *_ = predictor(kind, head)
    assert shapes(first['encoder']) == shapes(second['encoder'])
    assert {k for k in second if not k.startswith('head')} == {'encoder'}
  others = {'encoder', 'learned', 'head_in', 'head_norm', 'head_out'}
  assert set(first) == others | ({'hole', 'decoder'} if pretext.get('layout') == 'mae' else set())
  out = first['head_out']['kernel'].shape
  assert out == (16, 16 if pretext.get('target') == 'ema_latent' else small.WIDTH)


def test_the_default_size():
  """Dense 74-128, four blocks of width 128, FF 512: and what each adds; the number by hand."""
  run = small.experiment()['run']
  net = network.encoder(
    *(run['model'][k] for k in ('kind', 'width', 'blocks', 'heads', 'hidden', 'dropout')), 'encoder'
  )
  x, real = np.zeros((1, 50, 74), np.float32), np.ones((1, 50), bool)
  shapes = jax.eval_shape(lambda key: net.init(key, x, real, masks.places(real), False), jax.random.key(0))
  count = sum(math.prod(v.shape) for v in jax.tree.leaves(shapes))
  assert count == 128 * 75 + 4 * (4 * 128 * 129 + 512 * 129 + 128 * 513 + 4 * 128) + 256


# Layouts


def pretext(*parts):
  cell = small.pretraining(*parts)
  params = small.pretext_state(cell).params
  run = jax.jit(
    lambda p, x, real, hidden, key: cell.net.apply({'params': p}, x, real, hidden, key, cell.masking, False)
  )
  return cell, params, lambda x, real, hidden, p=params: np.asarray(run(p, x, real, hidden, jax.random.key(5)))


@functools.lru_cache(maxsize=16)
def _draw(masking):
  return jax.jit(lambda real: masks.draw(jax.random.key(3), real, small.WIDTH, masking))


def hidden_of(cell, real):
  return np.asarray(_draw(cell.masking)(real))


MAE = dict(mask=dict(ratio=0.5), pretext=dict(layout='mae'))


@pytest.mark.parametrize('parts', [
  {}, MAE, dict(model=dict(kind='bigru')),
  pytest.param(dict(MAE, model=dict(kind='bigru')), marks=pytest.mark.slow),
  pytest.param(dict(mask=dict(kind='per_feature', span=2)), marks=pytest.mark.slow),
], ids=str)  # fmt: skip
def test_what_is_hidden_is_not_seen_and_padding_does_not_matter(parts):
  cell, _, run = pretext(parts)
  x, real = small.features(24)
  hidden = hidden_of(cell, real)
  found = run(x, real, hidden)
  garbage = np.where(hidden | ~real[..., None], 1e3, x).astype(np.float32)
  np.testing.assert_array_equal(found[real], run(garbage, real, hidden)[real])
  assert np.abs(found - run(x + 1, real, hidden))[real].max() > 1e-3
  moved, there = small.shifted(x, real)
  left = run(moved, there, small.shifted(np.broadcast_to(hidden, x.shape), real)[0])
  np.testing.assert_allclose(found[real], small.unshifted(left, real)[real], atol=2e-6)


@functools.lru_cache(maxsize=8)
def _of_steps(net):
  return jax.jit(lambda p, x, real, at: net.apply({'params': p}, x, real, at, False)[-1])


@pytest.mark.parametrize('mask', [
  dict(ratio=0.5), pytest.param(dict(kind='span_fixed', ratio=0.5, span=5), marks=pytest.mark.slow)
], ids=str)  # fmt: skip
def test_the_encoder_of_mae_runs_over_the_shown_steps_and_the_decoder_over_all(mask):
  cell, p, run = pretext(dict(model=dict(blocks=2), mask=mask, pretext=dict(layout='mae')))
  x, real = small.features(36)
  hidden = hidden_of(cell, real)
  found = run(x, real, hidden)
  inner, outer = network.encoder('transformer', 16, 2, 2, 16, 0.0, 'encoder'), backbone.Transformer(16, 1, 2, 16, 0.0)
  apply = lambda net, *x: np.asarray(_of_steps(net)(*x))
  first = lambda n: np.arange(12)[None] < n
  for row in (4, 10, 11, 23, 35):
    shown, n = np.flatnonzero(real[row] & ~hidden[row, :, 0]), real[row].sum()
    fill = lambda v, shown=shown: np.concatenate([v, np.zeros((12 - len(shown), *v.shape[1:]), v.dtype)])[None]
    h = np.tile(p['hole'], (12, 1))
    h[shown] = apply(inner, p['encoder'], fill(x[row][shown]), first(len(shown)), fill(shown))[0, : len(shown)]
    h = apply(outer, p['decoder'], h[None], first(n), np.arange(12)[None])[0, :n]
    wanted = dense(norm(gelu(dense(np.asarray(h), p['head_in'])), p['head_norm']), p['head_out'])
    np.testing.assert_allclose(found[row, :n], wanted, atol=1e-4)


def test_mae_shows_every_step_that_spans_leave_over():
  """Spans that overlap hide less than the ratio; no shown step may be lost for it."""
  cell, _, run = pretext(dict(mask=dict(kind='span_fixed', ratio=0.5, span=3), pretext=dict(layout='mae')))
  x, real = small.features(12)
  real[:] = True
  hidden = np.zeros((12, 12, 1), bool)
  hidden[:, 3:7] = True  # two spans, the second a step behind the first
  before = run(x, real, hidden)
  for t in (0, 2, 8, 11):
    other = x.copy()
    other[:, t] += 1
    assert np.abs(run(other, real, hidden) - before).max(axis=(1, 2)).min() > 1e-4, t


def test_latents_are_the_mean_of_normalised_layers():
  cell = small.pretraining(dict(model=dict(blocks=2), pretext=dict(target='ema_latent')))
  p = small.pretext_state(cell).params
  x, real = small.features(24)
  found = np.asarray(jax.jit(lambda p, x, real: cell.net.apply({'params': p}, x, real, method='latents'))(p, x, real))
  layers = encoded(network.encoder('transformer', 16, 2, 2, 16, 0.0, 'encoder'), p['encoder'], x, real)
  for row in range(1, 12):
    n = real[row].sum()
    normed = [(h[row, :n] - h[row, :n].mean(0)) / np.sqrt(h[row, :n].var(0) + 1e-5) for h in layers]
    np.testing.assert_allclose(found[row, :n], np.mean(normed, 0), atol=1e-4)
  assert np.abs(found[0, 0]).max() < 1e-5, 'of a single step nothing is left'
