"""Where a cell's time goes: how long JAX traced, lowered and compiled, told by JAX itself."""

import functools
import time

import jax

# Tracing is told at every level of nesting, so it is left to the wall clock of whoever asks.
EVENTS = ('/jax/core/compile/jaxpr_to_mlir_module_duration', '/jax/core/compile/backend_compile_duration')


@functools.lru_cache(maxsize=1)
def _spent() -> dict[str, float]:
  """Seconds by event since the first call, which starts to listen."""
  spent = dict.fromkeys(EVENTS, 0.0)

  def listen(event: str, seconds: float, **_) -> None:
    if event in spent:
      spent[event] += seconds

  jax.monitoring.register_event_duration_secs_listener(listen)
  return spent


class Clock:
  """Seconds since it was made, and how many of them went into lowering and compiling."""

  def __init__(self):
    self._began, self._compiled = time.perf_counter(), sum(_spent().values())

  def seconds(self) -> float:
    return time.perf_counter() - self._began

  def compiling(self) -> float:
    """A program found in the persistent cache counts with the time it took to load."""
    return sum(_spent().values()) - self._compiled
