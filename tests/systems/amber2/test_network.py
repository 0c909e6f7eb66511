"""AmbER^2's heads and gate: sizes and formulas by hand, padding and absent modalities, one modality alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from affectjax.systems.amber2 import network
from tests.helpers import amber2_small as small
from tests.helpers.amber2_small import drawn, fused, head

THREE = {'audio': 5, 'text': 4, 'visual': 3}
HEADS = ('audio', 'text', 'fusion')


def net(widths=None, heads=HEADS, **more) -> network.AmbER2:
  sizes = {**dict(classes=4, width=16, hidden=8, dropout=0.0), **more}
  return network.AmbER2(inputs=tuple((widths or small.WIDTHS).items()), heads=heads, **sizes)


def embeddings(n=6, frames=1, widths=None, seed=0):
  made = small.batch(n, seed, frames, widths or small.WIDTHS)
  return {k: v for k, v in made.items() if k.removesuffix('_mask') in (widths or small.WIDTHS)}


@functools.lru_cache(maxsize=32)
def _forward(model, alone):
  return jax.jit(lambda p, x: model.apply({'params': p}, x, False, alone=alone))


def forward(model, params, x, alone=False):
  return {k: np.asarray(v) for k, v in _forward(model, alone)(params, x).items()}


def equal(first, second):
  assert first.keys() == second.keys()
  for k in first:
    np.testing.assert_array_equal(first[k], second[k], err_msg=k)


# Sizes


def sizes(model) -> dict[str, int]:
  flat = flatten_dict(drawn(model))
  return {top: sum(v.size for k, v in flat.items() if k[0] == top) for top in {k[0] for k in flat}}


def test_parameters_counted_by_hand():
  modality = (12 * 8 + 8) + (8 * 4 + 4)
  fusion = (16 * 8 + 8) + (8 * 4 + 4)
  convex = (24 * 16 + 16) + 2 * 12 * 16
  assert sizes(net()) == {'head_audio': modality, 'head_text': modality, 'head_fusion': fusion, 'gate': convex}
  assert sizes(net(heads=('text',))) == {'head_text': modality}, 'heads that are not asked for cost nothing'
  both = sizes(net(heads=('fusion',), gate='concatenation'))
  assert both == {'gate': 24 * 24 + 24, 'head_fusion': (24 * 8 + 8) + (8 * 4 + 4)}
  three = sizes(net(THREE, heads=('fusion',)))
  assert three['gate'] == (12 * 2 * 16 + 2 * 16) + 12 * 16, 'a softmax of three has two scores that are free'


def test_the_papers_sizes():
  """768-d embeddings, gate and heads of experiments/amber2.md, 11: two million in the gate."""
  model = net({'audio': 768, 'text': 768}, width=768, hidden=256)
  per_head = 768 * 256 + 256 + 256 * 4 + 4
  shapes = jax.eval_shape(
    lambda: model.init(jax.random.key(0), {
      **{m: jnp.zeros((1, 1, 768)) for m in ('audio', 'text')},
      **{f'{m}_mask': jnp.ones((1, 1), bool) for m in ('audio', 'text')},
    }, False)
  )['params']  # fmt: skip
  total = sum(np.prod(x.shape) for x in jax.tree.leaves(shapes))
  assert total == 3 * per_head + 1536 * 768 + 768 + 2 * 768 * 768


# Formulas


def test_the_convex_gate_of_two_is_a_sigmoid():
  model = net()
  p, x = drawn(model), embeddings()
  out = forward(model, p, x)
  a, t = x['audio'][:, 0], x['text'][:, 0]
  np.testing.assert_allclose(out['fusion'], head(p['head_fusion'], fused(p['gate'], a, t)), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(out['audio'], head(p['head_audio'], a), rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(out['text'], head(p['head_text'], t), rtol=1e-4, atol=1e-5)


def test_the_concatenation_gate():
  model = net(gate='concatenation')
  p, x = drawn(model), embeddings()
  both = np.concatenate([x['audio'][:, 0], x['text'][:, 0]], 1)
  gate = 1 / (1 + np.exp(-(both @ p['gate']['gate_kernel'] + p['gate']['gate_bias'])))
  np.testing.assert_allclose(forward(model, p, x)['fusion'], head(p['head_fusion'], gate * both), rtol=1e-4, atol=1e-5)


def gate(present, widths=None, ones=False, kind='convex', seed=0):
  """Fused embeddings [B, 16] of random ones; `ones`: of projections to 1 everywhere, so that shares add up."""
  widths = widths or THREE
  rng = np.random.default_rng(seed)
  x = [rng.normal(size=(len(present), w)).astype(np.float32) for w in widths.values()]
  x = [np.where(t[:, None], v, 1e3).astype(np.float32) for t, v in zip(np.array(present).T, x, strict=True)]
  if ones:
    x = [np.concatenate([v[:, 1:], np.ones((len(v), 1), np.float32)], 1) for v in x]
  module = network.Gate(kind, 16)
  views = [[jnp.asarray(t) for t in np.array(present).T]]
  p = jax.tree.map(
    lambda s: rng.normal(0, 0.5, s.shape).astype(np.float32),
    jax.eval_shape(lambda: module.init(jax.random.key(0), x, views)),
  )['params']
  if ones:
    for i, v in enumerate(x):
      p[f'project_{i}']['kernel'] = np.zeros_like(p[f'project_{i}']['kernel'])
      p[f'project_{i}']['kernel'][v.shape[1] - 1] = 1
  return np.asarray(jax.jit(lambda p, x, views: module.apply({'params': p}, x, views)[0])(p, x, views)), x, p


def test_shares_of_three_modalities_sum_to_one_whoever_is_missing():
  present = [[True, True, True], [True, True, False], [False, True, True], [True, False, False], [False, False, True]]
  shares, _, _ = gate(present, ones=True)
  np.testing.assert_allclose(shares, 1.0, rtol=1e-5)
  nobody, _, _ = gate([[False, False, False]], ones=True)
  np.testing.assert_array_equal(nobody, 0.0)


def test_the_gate_of_three_by_hand():
  present = np.array([[True, True, True], [True, False, True], [False, True, False]])
  found, x, p = gate(present)
  begins = np.cumsum([0, *(v.shape[1] for v in x)])
  for row, who in enumerate(present):
    kernels = [p['gate_kernel'][b:e] for b, e in zip(begins, begins[1:], strict=False)]
    scores = p['gate_bias'] + sum(x[i][row] @ kernels[i] for i in range(3) if who[i])
    scores = np.concatenate([scores.reshape(2, 16), np.zeros((1, 16))])[who]
    share = np.exp(scores) / np.exp(scores).sum(0)
    values = np.stack([x[i][row] @ p[f'project_{i}']['kernel'] for i in range(3) if who[i]])
    np.testing.assert_allclose(found[row], (share * values).sum(0), rtol=1e-4, atol=1e-4)


def test_dropout_is_in_the_hidden_layer_of_every_head_in_training_alone():
  model = net(heads=('audio',), dropout=0.5)
  p, x = drawn(model), embeddings(64)
  still = forward(model, p, x)['audio']
  np.testing.assert_array_equal(still, forward(net(heads=('audio',)), p, x)['audio'])
  draw = lambda key: model.apply({'params': p}, x, True, rngs={'dropout': key})['audio']
  keys = jax.random.wrap_key_data(np.array([(0, 0), (0, 0), *((1, k) for k in range(200))], np.uint32))
  noisy = np.asarray(jax.jit(jax.vmap(draw))(keys))
  np.testing.assert_array_equal(noisy[0], noisy[1])
  assert np.abs(noisy[0] - noisy[2]).max() > 0.1
  assert np.abs(noisy[2:].mean(0) - still).mean() < 0.15 * np.abs(noisy[0] - still).mean(), (
    'its mean is what is said without it'
  )


# Frames and what is missing


@pytest.mark.parametrize('gate_', network.GATES)
def test_frames_that_are_not_real_do_not_matter(gate_):
  model = net(gate=gate_)
  p, x = drawn(model), embeddings(frames=4)
  more = dict(x)
  for m in small.WIDTHS:
    more[m] = np.concatenate([x[m], np.full((6, 3, 12), 7.0, np.float32)], 1)
    more[f'{m}_mask'] = np.concatenate([x[f'{m}_mask'], np.zeros((6, 3), bool)], 1)
    more[m] = np.where(more[f'{m}_mask'][..., None], more[m], np.nan).astype(np.float32)
  first, second = forward(model, p, x, True), forward(model, p, more, True)
  for k in first:
    np.testing.assert_allclose(first[k], second[k], rtol=1e-5, atol=1e-6, err_msg=k)


def test_frames_are_the_same_as_their_mean():
  model = net()
  p, x = drawn(model), embeddings(frames=5)
  pooled = {}
  for m in small.WIDTHS:
    rows = zip(x[m], x[f'{m}_mask'], strict=True)
    pooled[m] = np.stack([v[real].mean(0, dtype=np.float64) for v, real in rows])[:, None].astype(np.float32)
    pooled[f'{m}_mask'] = np.ones((6, 1), bool)
  first, second = forward(model, p, x), forward(model, p, pooled)
  for k in first:
    np.testing.assert_allclose(first[k], second[k], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('gate_', network.GATES)
@pytest.mark.parametrize('junk', [0.0, 1e6, np.nan, np.inf])
def test_whatever_an_absent_modality_holds_changes_nothing(gate_, junk):
  model = net(gate=gate_)
  p, x = drawn(model), embeddings()
  clean = small.without({**x, **{f'{m}_present': np.ones(6, bool) for m in small.WIDTHS}}, 'audio', [0, 3])
  dirty = small.without(clean, 'audio', [0, 3], junk)
  only = lambda b: {k: v for k, v in b.items() if not k.endswith('_present')}
  first, second = forward(model, p, only(clean), True), forward(model, p, only(dirty), True)
  equal(first, second)
  assert all(np.isfinite(v).all() for v in second.values())
  present = np.array([1, 2, 4, 5])
  whole = forward(model, p, x)
  np.testing.assert_array_equal(whole['fusion'][present], second['fusion'][present])
  assert (np.abs(whole['fusion'][[0, 3]] - second['fusion'][[0, 3]]).max(1) > 1e-3).all()


@pytest.mark.parametrize('gate_', network.GATES)
@pytest.mark.parametrize('widths', [small.WIDTHS, THREE])
def test_alone_is_the_forward_pass_with_the_others_masked(gate_, widths):
  model = net(widths, (*widths, 'fusion'), gate=gate_)
  p, x = drawn(model), embeddings(widths=widths)
  out = forward(model, p, x, True)
  assert set(out) == {*widths, 'fusion', *(f'fusion_{m}' for m in widths)}
  for m in widths:
    masked = {k: np.zeros_like(v) if k.endswith('_mask') and not k.startswith(m) else v for k, v in x.items()}
    np.testing.assert_array_equal(forward(model, p, masked, True)['fusion'], out[f'fusion_{m}'])
  np.testing.assert_array_equal(forward(model, p, x)['fusion'], out['fusion'])
