"""Every layer refuses arrays of another shape where they enter, before anything is compiled."""

import jax
import jax.numpy as jnp
import pytest

from affectjax.layers import bayesian, conformer, convolution, dense, dropout, heads, recurrent, transformer

X, MASK, LENGTHS = jnp.zeros((2, 4, 6)), jnp.ones((2, 4), bool), jnp.full(2, 4)
SEEDS, STREAMS = jnp.zeros((1, 2), jnp.uint32), jnp.zeros((2, 3), jnp.uint32)
LAYER = jnp.zeros((7, 5)), jnp.ones((7, 5))
CELL = jnp.zeros((6, 12)), jnp.zeros((3, 12)), jnp.zeros(12)


def traced(module, *args):
  return lambda: jax.eval_shape(lambda: module.init(jax.random.key(0), *args))


@pytest.mark.parametrize(('call', 'said'), [
  (traced(conformer.Block(2, 3), X, MASK[:, :3], LENGTHS), 'mask of frames'),
  (traced(conformer.Block(2, 3), X, MASK, LENGTHS[:1]), 'lengths of frames'),
  (traced(conformer.Attention(2, 0.0, 'relative', 'float32'), X[0], MASK, LENGTHS, False), 'frames are'),
  (traced(conformer.Convolution(3, 0.0, 'float32', None), X, MASK.T, False), 'mask of frames'),
  (lambda: conformer.shifted(jnp.zeros((4, 4))), 'scores by distance'),
  (lambda: conformer.wrapped(jnp.zeros((1, 2, 4, 5)), LENGTHS), 'scores by position'),
  (lambda: conformer.depthwise(X, jnp.zeros((3, 5))), 'the kernel of x'),
  (lambda: dense.product(X, jnp.zeros((5, 6)), 'float32'), 'the kernel of x'),
  (lambda: dense.together(X, [(jnp.zeros((6, 2)), jnp.zeros(3))], 'float32'), 'a bias'),
  (lambda: dropout.kept(jnp.zeros(3, jnp.uint32), (4,), 0.5), 'two words'),
  (traced(heads.BatchNorm(), X, MASK, False), 'rows are'),
  (traced(heads.DenseStack((4,), 2), X[:, 0], MASK[:, 0][:1], False), 'mask of rows'),
  (traced(recurrent.LSTM(3), X[0]), 'frames are'),
  (lambda: recurrent.scan_layer(X, CELL[0][:5], *CELL[1:]), 'a layer has'),
  (lambda: recurrent.cudnn_stack(X, [(CELL[0], CELL[1], CELL[2][:3])]), 'a layer has'),
  (lambda: convolution.convolve_pool_relu(X, jnp.zeros((3, 5, 2)), jnp.zeros(2), 2), 'the kernel of x'),
  (lambda: convolution.convolve_pool_relu(X, jnp.zeros((3, 6, 2)), jnp.zeros(2), 3), 'a multiple'),
  (traced(transformer.Attention(2, 0.0, 'float32'), X, X[:, :, :4], MASK, False), 'queries are'),
  (traced(transformer.Layer(2), X, MASK, X[:, :3]), 'mask of frames'),
  (traced(transformer.Stack(1, 2), X, MASK[:1]), 'mask of frames'),
  (lambda: transformer.masked_mean(X, MASK[:, None]), 'mask of frames'),
  (lambda: bayesian.noise(SEEDS, STREAMS[0], (2,)), 'two words'),
  (lambda: bayesian.drawn_stack(X, (LAYER,), (), SEEDS, STREAMS[:1]), 'streams of K blocks'),
  (lambda: bayesian.drawn_stack(X, ((LAYER[0][1:], LAYER[1][1:]),), (), SEEDS, STREAMS), 'a layer is'),
  (traced(bayesian.BayesStack((5,)), X, SEEDS[0], STREAMS), 'seeds are'),
])  # fmt: skip
def test_another_shape_is_refused(call, said):
  with pytest.raises(AssertionError, match=said):
    call()
