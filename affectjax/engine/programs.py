"""How many compiled programs a process keeps: JAX lets go of none of its own accord, however long it runs.

Every program takes memory and, on Linux, some hundred memory mappings, of which a process may have 65,530; whoever
runs a table of many different cells in one process would meet that limit.
"""

import gc
import pathlib

import jax

MAPPINGS = 15_000  # of this process, where the system counts them
PROGRAMS = 500  # compiled and not yet let go


def let_go() -> bool:
  """Forgets all compiled programs if they take up too much; whether it did.

  What is needed again is traced again and, where there is a compilation cache on disk, comes from there. Between cells
  only: it takes some tenths of a second, and what holds a program meanwhile keeps it.
  """
  if mappings() <= MAPPINGS and len(jax.local_devices()[0].client.live_executables()) <= PROGRAMS:
    return False
  jax.clear_caches()
  gc.collect()
  return True


def mappings() -> int:
  """Memory mappings of this process; 0 where the system does not say."""
  path = pathlib.Path('/proc/self/maps')
  return path.read_bytes().count(b'\n') if path.is_file() else 0
