"""Shapes asserted where arrays enter a layer: while it is traced, so that the program is the same."""

import chex
import jax


def sequences(x: jax.Array, mask: jax.Array | None = None, lengths: jax.Array | None = None) -> None:
  """Asserts x [B, T, D], and of what is given the mask [B, T] and the lengths [B]."""
  chex.assert_rank(x, 3, custom_message='frames are [B, T, D]')
  if mask is not None:
    chex.assert_shape(mask, x.shape[:2], custom_message='the mask of frames [B, T, D] is [B, T]')
  if lengths is not None:
    chex.assert_shape(lengths, x.shape[:1], custom_message='the lengths of frames [B, T, D] are [B]')


def rows(x: jax.Array, mask: jax.Array | None = None) -> None:
  """Asserts x [B, D] and, if it is given, the mask [B]."""
  chex.assert_rank(x, 2, custom_message='rows are [B, D]')
  if mask is not None:
    chex.assert_shape(mask, x.shape[:1], custom_message='the mask of rows [B, D] is [B]')
