"""One training step of `t_lu` as released, side by side with the same network, loss and batch in PyTorch, on a CPU.

  pip install torch        (the only thing here that needs it; a CPU build will do)
  python -m pytest -s --optimised -m benchmark tests/benchmarks/bench_label_uncertainty.py
  python -m tests.benchmarks.bench_label_uncertainty

B = 5 windows of 300 frames x 640 samples, 30 passes, new weights every 50 frames, forward + backward + update, on two
cores. torch_label_uncertainty.py says what the variants are; `fast_loop` is shown, the others are the targets.

workers.py says how time and memory are taken; here memory counts from where parameters and batch are made.

Run it on an idle machine. Where other work takes the cores, PyTorch's threads wait for each other in every one of the
loop's thousands of small operations: its steps were then seen to take ten times as long, which says nothing.
"""

import importlib.util
import statistics
import sys

import numpy as np
import pytest

from tests.benchmarks import workers

TORCH = ('loop', 'fast_loop', 'vectorised', 'tuned')
WINDOWS, FRAMES, SAMPLES, RATERS = 5, 300, 640, 6
WARM, STEPS, TURNS = 2, 3, 3
FASTER_THAN_LOOP = 2.5


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
  from tests.helpers import shared

  run = shared.experiment('label_uncertainty').run
  run.model.frontend = 'released'
  run.loss.update(label='t', bbb='monte_carlo', moments='mixed', floor=0.0)
  x, ratings = data()
  batch = dict(
    x=x, x_mask=np.ones(x.shape[:2], bool), mask=np.ones(WINDOWS, np.float32), window=np.arange(WINDOWS),
    mean=ratings.mean(-1), spread=ratings.std(-1, ddof=1), count=np.full(ratings.shape[:-1], RATERS, np.float32),
  )  # fmt: skip
  cell = experiment.spec(run, ('arousal', 'valence'), 1.0)
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


def measure(variants=('ours', *TORCH), turns: int = TURNS) -> tuple[dict[str, list[float]], dict[str, float]]:
  return workers.measure('tests.benchmarks.bench_label_uncertainty', variants, turns, WARM, STEPS)


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
    workers.work(lambda: ours() if sys.argv[1] == 'ours' else twin(sys.argv[1]))
  else:
    print('\n'.join(f'missed: {m}' for m in misses(*measure())) or 'all targets reached')
