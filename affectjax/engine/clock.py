"""Where a cell's time goes: how long JAX traced, lowered and compiled, by JAX's own events."""

import time

import jax

# Tracing is reported at every level of nesting, so it is left to the wall clock of whoever asks.
EVENTS = ('/jax/core/compile/jaxpr_to_mlir_module_duration', '/jax/core/compile/backend_compile_duration')


_SPENT = dict.fromkeys(EVENTS, 0.0)  # seconds since this module was imported


def _listen(event: str, seconds: float, **_) -> None:
  if event in _SPENT:
    _SPENT[event] += seconds


jax.monitoring.register_event_duration_secs_listener(_listen)


class Clock:
  """Seconds since it was made, and how many of them went into lowering and compiling."""

  def __init__(self):
    self._began, self._compiled = time.perf_counter(), sum(_SPENT.values())

  def seconds(self) -> float:
    """Since the clock was made."""
    return time.perf_counter() - self._began

  def compiling(self) -> float:
    """Seconds of lowering and compiling; a program from the persistent cache counts with the time it took to load."""
    return sum(_SPENT.values()) - self._compiled
