"""Data parallelism over all devices of all hosts; the one place that knows `pmap`."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = 'batch'
PROGRAMS = 16  # that each cache of them keeps: a few rows take turns with as many; each holds memory mappings


@functools.lru_cache(maxsize=1)
def _sharding() -> NamedSharding:
  # The mesh axis must carry pmap's own axis name, or pmap refuses the input. It spans this host only, as what pmap
  # takes and gives does; in any other sharding its input is copied, and donated in vain.
  return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), PartitionSpec(AXIS))


def initialize(coordinator: str | None, processes: int | None, process: int | None) -> None:
  """Joins the other hosts. On a TPU pod all three may be None; a single host needs no call at all."""
  jax.distributed.initialize(coordinator, processes, process)


def replicate(tree: Any) -> Any:
  """A copy of each leaf on every local device: leaves gain a leading axis [local devices]."""
  n = jax.local_device_count()
  stacked = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), tree)
  return jax.device_put(stacked, _sharding())


def unreplicate(tree: Any) -> Any:
  """The first local device's copy, without the leading axis, on the host: numbers as numpy, typed keys as they are.

  Slicing on the device would be one dispatched operation per leaf, slower than a small step.
  """

  def first(x):
    mine = x.addressable_shards[0].data
    # a copy: on a CPU numpy would look into the device's buffer, which the next step is given
    return mine[0] if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else np.array(np.asarray(mine)[0])

  return jax.tree.map(first, tree)


def split_strings(batch: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """Numbers, which go to the devices, and strings, which stay on the host."""
  numbers, strings = {}, {}
  for name, value in batch.items():
    (strings if np.asarray(value).dtype.kind in 'US' else numbers)[name] = value
  return numbers, strings


def shard(batch: Mapping[str, Any]) -> dict[str, Any]:
  """Numeric arrays [B, ...] -> [local devices, B / local devices, ...]; B must be a multiple of the devices."""
  n = jax.local_device_count()
  out = {k: np.reshape(v, (n, len(v) // n, *np.shape(v)[1:])) for k, v in batch.items()}
  return jax.device_put(out, _sharding())


@functools.lru_cache(maxsize=PROGRAMS)
def pmap(function: Callable, donate: bool = False) -> Callable:
  """`function` on every device, compiled once per function: equal cells share what was compiled."""
  return jax.pmap(function, axis_name=AXIS, donate_argnums=(0,) if donate else ())


def gather(x: jax.Array) -> jax.Array:
  """All devices' rows [B / devices, ...] -> [B, ...], for losses that couple examples. Differentiable."""
  return jax.lax.all_gather(x, AXIS, tiled=True)


def total(x: jax.Array) -> jax.Array:
  """The sum over devices."""
  return jax.lax.psum(x, AXIS)


def round_up(n: int, multiple: int = 1) -> int:
  """The smallest batch size >= n that fills every local device with a multiple of `multiple` examples."""
  unit = jax.local_device_count() * multiple
  return -(-n // unit) * unit


def global_batch(n: int, multiple: int = 1) -> int:
  """The smallest batch size >= n over all hosts that fills every device with a multiple of `multiple` examples."""
  hosts = jax.process_count()
  return round_up(-(-n // hosts), multiple) * hosts
