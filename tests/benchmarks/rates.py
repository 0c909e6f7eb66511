"""How often per second something is done, and how that is told."""

import statistics
import time

REPEATS = 7


def per_second(function, items: int) -> list[float]:
  """Rates of seven repetitions, after one that warms up."""
  rates = []
  for _ in range(REPEATS + 1):
    began = time.perf_counter()
    function()
    rates.append(items / (time.perf_counter() - began))
  return rates[1:]


def report(what: str, rates: list[float], target: float, unit: str) -> float:
  """Prints median and spread; returns the median."""
  middle = statistics.median(rates)
  print(f'\n{what}: median {middle:,.0f} {unit}/s, {min(rates):,.0f} to {max(rates):,.0f} (target {target:,.0f})')
  return middle
