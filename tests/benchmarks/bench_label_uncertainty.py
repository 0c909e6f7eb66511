"""One training step of `t_lu` as released, side by side with the same network, loss and batch in PyTorch, on a CPU.

  pip install torch        (the only thing here that needs it; a CPU build will do)
  python -m pytest -s -m benchmark tests/benchmarks/bench_label_uncertainty.py
  python -m tests.benchmarks.bench_label_uncertainty

B = 5 windows of 300 frames x 640 samples, 30 passes, new weights every 50 frames, forward + backward + update, on two
cores. torch_label_uncertainty.py says what the variants are; `fast_loop` is shown, the others are the targets.

The variants take turns, a fresh process each time, so that other work on the machine meets all of them alike. Time is
the median of all steps after each process's warm-up; processor time is printed beside it. Peak memory is that of a
further process: the highest resident set during steps less what was resident with parameters and batch made and nothing
run (ours: before it was compiled).

Where a virtual machine hands out memory lazily, fresh pages cost more than the arithmetic, so all processes are told to
take huge pages and, while timed, to keep what they freed.

Run it on an idle machine. Where other work takes the cores, PyTorch's threads wait for each other in every one of the
loop's thousands of small operations: its steps were then seen to take ten times as long, which says nothing.
"""

import contextlib
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TORCH = ('loop', 'fast_loop', 'vectorised', 'tuned')
WINDOWS, FRAMES, SAMPLES, RATERS = 5, 300, 640, 6
CORES, WARM, STEPS, TURNS = 2, 2, 3, 3
FASTER_THAN_LOOP = 2.5
HUGE = {'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1'}
KEEP = {'MALLOC_MMAP_THRESHOLD_': str(2**34), 'MALLOC_TRIM_THRESHOLD_': str(2**34), 'MALLOC_TOP_PAD_': str(2**28)}


def data() -> tuple[np.ndarray, np.ndarray]:
  """Waveforms [B, T, 640] and ratings [B, T, 2, a]."""
  rng = np.random.default_rng(0)
  x = rng.standard_normal((WINDOWS, FRAMES, SAMPLES), np.float32)
  return x, (0.3 * rng.standard_normal((WINDOWS, FRAMES, 2, RATERS))).astype(np.float32)


def ours():
  """The step of this project: (what compiles it, a function that makes one step and returns its loss)."""
  import jax

  from affectjax.engine import optim, parallel
  from affectjax.systems.label_uncertainty import experiment
  from experiments import label_uncertainty

  run = label_uncertainty.get_config().run
  run.model.frontend = 'released'
  run.loss.update(label='t', bbb='monte_carlo', moments='mixed', floor=0.0)
  x, ratings = data()
  batch = dict(
    x=x, x_mask=np.ones(x.shape[:2], bool), mask=np.ones(WINDOWS, np.float32), window=np.arange(WINDOWS),
    mean=ratings.mean(-1), spread=ratings.std(-1, ddof=1), count=np.full(ratings.shape[:-1], RATERS, np.float32),
  )  # fmt: skip
  cell = experiment.spec(run, label_uncertainty.ATTRIBUTES, 1.0)
  standard = {'mean': np.zeros(SAMPLES, np.float32), 'scale': np.ones(SAMPLES, np.float32)}
  tx = optim.make(run.optim, 100)
  state = parallel.replicate(experiment._init(cell, tx, standard, jax.random.key(0), batch))
  batch = jax.block_until_ready(parallel.shard(batch))
  mapped = parallel.pmap(experiment._step(cell, tuple(sorted(run.optim.items())), 100), True)
  compiled = None

  def compile():
    nonlocal compiled
    compiled = mapped.lower(state, batch).compile()

  def step():
    nonlocal state
    state, scalars = compiled(state, batch)
    return float(np.asarray(jax.block_until_ready(scalars)['loss']).ravel()[0])

  return compile, step


def twin(variant: str):
  import torch

  from tests.benchmarks import torch_label_uncertainty

  net = torch_label_uncertainty.Twin(variant)
  x, ratings = (torch.from_numpy(v) for v in data())
  return lambda: None, lambda: net.step(x, ratings)


def resident(what: str) -> float:
  """'VmRSS', or 'VmHWM' its maximum, in MB."""
  lines = Path('/proc/self/status').read_text().splitlines()
  return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def work(variant: str) -> None:
  """A worker: answers 'step' with seconds, processor seconds and loss, 'memory' with the peak of its steps in MB."""
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
  compile, step = ours() if variant == 'ours' else twin(variant)
  base = resident('VmRSS')
  compile()
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
  """A variant in a process of its own."""

  def __init__(self, variant: str, keep: bool):
    # Imported modules must not inherit the eight virtual devices of the tests.
    env = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'NPROC')}
    env |= {'JAX_PLATFORMS': 'cpu', **HUGE, **(KEEP if keep else {})}
    command = [sys.executable, '-W', 'ignore', '-m', 'tests.benchmarks.bench_label_uncertainty', variant]
    root = Path(__file__).parents[2]
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


def peak(variant: str) -> float:
  """MB of a fresh process that makes three steps."""
  with contextlib.closing(Worker(variant, keep=False)) as worker:
    for _ in range(3):
      worker.ask('step')
    return worker.ask('memory')[0]


def measure(variants=('ours', *TORCH), turns: int = TURNS) -> tuple[dict[str, list[float]], dict[str, float]]:
  """Seconds of every step and peak memory, printed; the machine's load before and after beside them."""
  print(f'load {os.getloadavg()[0]:.1f} before')
  seconds, used, loss, memory = {v: [] for v in variants}, {v: [] for v in variants}, {}, {}
  for _ in range(turns):
    for v in variants:
      with contextlib.closing(Worker(v, keep=True)) as worker:
        rows = [worker.ask('step') for _ in range(WARM + STEPS)][WARM:]
      seconds[v] += [row[0] for row in rows]
      used[v] += [row[1] for row in rows]
      loss[v] = rows[-1][2]
      print(f'{v:11}', ' '.join(f'{row[0]:.3f}' for row in rows), flush=True)
  for v in variants:
    memory[v] = peak(v)
  median = statistics.median
  for v in variants:
    print(f'{v:11} {median(seconds[v]):.3f} s ({min(seconds[v]):.3f} to {max(seconds[v]):.3f}), '
          f'{median(seconds[v]) / median(seconds["ours"]):.2f} x ours; processor {median(used[v]):.2f} s, '
          f'{median(used[v]) / median(used["ours"]):.2f} x; {memory[v]:.0f} MB; loss {loss[v]:.1f}')  # fmt: skip
  print(f'load {os.getloadavg()[0]:.1f} after')
  return seconds, memory


def misses(seconds: dict[str, list[float]], memory: dict[str, float]) -> list[str]:
  """The targets that were not reached, in words."""
  median = {v: statistics.median(s) for v, s in seconds.items()}
  out = []
  if median['loop'] < FASTER_THAN_LOOP * median['ours']:
    out.append(f'{median["loop"] / median["ours"]:.2f} times as fast as the loop, not {FASTER_THAN_LOOP}')
  for v in ('vectorised', 'tuned'):
    if median['ours'] > median[v]:
      out.append(f'{median["ours"] / median[v]:.2f} times as long as {v!r}')
    if memory['ours'] > memory[v]:
      out.append(f'{memory["ours"]:.0f} MB, {v!r} takes {memory[v]:.0f}')
  return out


needs_torch = pytest.mark.skipif(not importlib.util.find_spec('torch'), reason='PyTorch is absent: see the docstring')


@needs_torch
@pytest.mark.benchmark
def test_variants_of_the_twin_compute_the_same(monkeypatch):
  """The hand-written gradient is autograd's; without noise all heads and frontends give the same values."""
  import torch

  from tests.benchmarks import torch_label_uncertainty as twins

  torch.manual_seed(0)
  h, mean, sigma = torch.randn(7, 5, 6), torch.randn(6, 3), torch.rand(6, 3) + 0.5
  leaves = [v.clone().requires_grad_() for v in (h, mean, sigma)]
  w = torch.empty(7, 6, 3)
  y = twins.DrawnProduct.apply(*leaves, w, twins.Pieces())
  noise, weights = ((w - mean) / sigma).clone(), torch.randn(y.shape)
  (y * weights).sum().backward()
  plain = [v.clone().requires_grad_() for v in (h, mean, sigma)]
  (torch.bmm(plain[0], plain[1] + plain[2] * noise) * weights).sum().backward()
  for a, b in zip(leaves, plain, strict=True):
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
  outs = []
  for variant in twins.VARIANTS:
    net = twins.Twin(variant, passes=2)
    still = [tuple(torch.full_like(rho, 1e-9) for rho in pair) for pair in net.rhos]
    rows = torch.randn(100, 256, generator=torch.Generator().manual_seed(1))
    outs.append(getattr(net, f'_{variant}')(rows, still)[0])
  for out in outs[1:]:
    torch.testing.assert_close(out, outs[0], rtol=1e-4, atol=1e-5)
  x, slow, fast = torch.randn(1, 25, SAMPLES), twins.Frontend(False).eval(), twins.Frontend(True).eval()
  for a, b in zip(fast.parameters(), slow.parameters(), strict=True):
    a.data.copy_(b.data.view(a.shape))
  monkeypatch.setattr(twins.F, 'dropout', lambda y, rate: y)
  torch.testing.assert_close(fast(x), slow(x), rtol=1e-4, atol=1e-5)


@needs_torch
@pytest.mark.benchmark
def test_a_step_is_faster_and_smaller_than_in_pytorch():
  missed = misses(*measure())
  assert not missed, 'targets missed: ' + '; '.join(missed)


if __name__ == '__main__':
  if len(sys.argv) > 1:
    work(sys.argv[1])
  else:
    print('\n'.join(f'missed: {m}' for m in misses(*measure())) or 'all targets reached')
