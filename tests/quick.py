"""Compiling in a third of the time, for tests of graphs that are large and of arrays that are tiny."""

import functools

import jax

from affectjax.engine import parallel

FAST = {'xla_backend_optimization_level': 0, 'xla_cpu_use_fusion_emitters': False}
jit = functools.partial(jax.jit, compiler_options=FAST)


class Mapped:
  """jax.pmap of a function, compiled by `FAST` for each shape of its arguments.

  Attributes:
    made: what was compiled, by shapes.
  """

  def __init__(self, function, donate: bool):
    self._pmap = jax.pmap(function, axis_name=parallel.AXIS, donate_argnums=(0,) if donate else ())
    self.made: dict = {}

  def __call__(self, *args):
    leaves, tree = jax.tree.flatten(args)
    key = tree, tuple((x.shape, str(x.dtype)) for x in leaves)
    if key not in self.made:
      self.made[key] = self._pmap.lower(*args).compile(compiler_options=FAST)
    return self.made[key](*args)


@functools.lru_cache(maxsize=64)
def pmap(function, donate: bool = False) -> Mapped:
  """In place of `parallel.pmap`."""
  return Mapped(function, donate)
