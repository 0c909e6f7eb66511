"""Variants of one step, each in a process of its own, measured in turns. For bench_*.py; nothing here knows a system.

Time is the median of all steps after each process's warm-up; processor time is printed beside it. Peak memory is that
of a further process: the highest resident set during steps less what was resident with the library imported and nothing
made, so parameters, moments and batch count for everyone; what compiling took on the way does not.

Where a virtual machine hands out memory lazily, fresh pages cost more than the arithmetic, so all processes are told to
take huge pages and, while timed, to keep what they freed.
"""

import contextlib
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CORES = 2
HUGE = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
KEEP = {'MALLOC_MMAP_THRESHOLD_': str(2**34), 'MALLOC_TRIM_THRESHOLD_': str(2**34), 'MALLOC_TOP_PAD_': str(2**28)}
Made = tuple[Callable[[], object], Callable[[], float]]  # what compiles the step, and the step, which returns a loss


def resident(what: str) -> float:
  """'VmRSS', or 'VmHWM' its maximum, in MB."""
  lines = Path('/proc/self/status').read_text().splitlines()
  return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def work(make: Callable[[], Made], library: str | None = None) -> None:
  """A worker: answers 'step' with seconds, processor seconds and loss, 'memory' with the peak of its steps in MB.

  Args:
    make: the step, see `Made`.
    library: memory counts from where this is imported and nothing made; None: from where `make` has returned.
  """
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  if library:
    __import__(library)
  base = resident('VmRSS')
  compile, step = make()
  base = base if library else resident('VmRSS')
  compile()
  ctypes.CDLL(None).malloc_trim(0)  # what compiling has freed is not held against the step
  Path('/proc/self/clear_refs').write_text('5')  # the maximum begins anew: compiling is not stepping
  print('ready', flush=True)
  for order in sys.stdin:
    if order.strip() == 'memory':
      print(resident('VmHWM') - base, flush=True)
      continue
    began, used = time.perf_counter(), time.process_time()
    loss = step()
    print(time.perf_counter() - began, time.process_time() - used, loss, flush=True)


class Worker:
  """A variant in a process of its own: `python -m module variant` must call `work`; programs are kept in `cache`."""

  def __init__(self, module: str, variant: str, keep: bool, cache: str):
    # Imported modules must not inherit the eight virtual devices of the tests.
    env = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'NPROC')}
    env |= {'JAX_PLATFORMS': 'cpu', 'JAX_COMPILATION_CACHE_DIR': cache, **HUGE, **(KEEP if keep else {})}
    command, root = [sys.executable, '-W', 'ignore', '-m', module, variant], Path(__file__).parents[2]
    self.process = subprocess.Popen(
      command, cwd=root, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    self._line()

  def _line(self) -> list[str]:
    line = self.process.stdout.readline()
    if not line:
      raise RuntimeError(f'a worker ended with status {self.process.wait()}; its error stands above')
    return line.split()

  def ask(self, order: str) -> list[float]:
    print(order, file=self.process.stdin, flush=True)
    return [float(v) for v in self._line()]

  def close(self) -> None:
    self.process.stdin.close()
    self.process.wait()


def measure(
  module: str, variants: Sequence[str], turns: int, warm: int, steps: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
  """Seconds of every step and peak memory in MB by variant, printed; the machine's load beside them."""
  print(f'load {os.getloadavg()[0]:.1f} before')
  seconds, used, loss, memory = {v: [] for v in variants}, {v: [] for v in variants}, {}, {}
  with tempfile.TemporaryDirectory() as cache:
    for _ in range(turns):
      for v in variants:
        with contextlib.closing(Worker(module, v, True, cache)) as worker:
          rows = [worker.ask('step') for _ in range(warm + steps)][warm:]
        seconds[v] += [row[0] for row in rows]
        used[v] += [row[1] for row in rows]
        loss[v] = rows[-1][2]
        print(f'{v:11}', ' '.join(f'{row[0]:.3f}' for row in rows), flush=True)
    for v in variants:
      with contextlib.closing(Worker(module, v, False, cache)) as worker:
        for _ in range(3):
          worker.ask('step')
        memory[v] = worker.ask('memory')[0]
  median, first = statistics.median, variants[0]
  for v in variants:
    print(f'{v:11} {median(seconds[v]):.3f} s ({min(seconds[v]):.3f} to {max(seconds[v]):.3f}), '
          f'{median(seconds[v]) / median(seconds[first]):.2f} x {first}; processor {median(used[v]):.2f} s, '
          f'{median(used[v]) / median(used[first]):.2f} x; {memory[v]:.0f} MB; loss {loss[v]:.3f}')  # fmt: skip
  print(f'load {os.getloadavg()[0]:.1f} after')
  return seconds, memory
