"""One full-size training step of `vavl`, side by side with the same network and losses in PyTorch, on a CPU.

  pip install torch        (the only thing here that needs it; a CPU build will do)
  python -m pytest -s --optimised -m benchmark tests/benchmarks/bench_vavl.py
  python -m tests.benchmarks.bench_vavl

B = 32 clips of 150 x 1024 acoustic and 90 x 1408 visual frames, six classes, all three phases, on two cores.
torch_vavl.py says what the variants are; targets are against `released`, the others are shown. workers.py says how
time and memory are taken. Run it on an idle machine.
"""

import importlib.util
import statistics
import sys

import numpy as np
import pytest

from tests.benchmarks import workers

TORCH = ('released', 'time', 'tuned')
VARIANTS = ('ours', 'ours_bf16', *TORCH)
CLIPS, FRAMES, DIMS = 32, {'audio': 150, 'visual': 90}, {'audio': 1024, 'visual': 1408}
WARM, STEPS, TURNS = 1, 2, 3
TIME, MEMORY = 0.45, 0.6  # of the released variant's, at most


def data() -> dict[str, np.ndarray]:
  """`audio` [B, 150, 1024], `visual` [B, 90, 1408] and labels `y` [B]."""
  rng = np.random.default_rng(0)
  x = {m: rng.standard_normal((CLIPS, FRAMES[m], DIMS[m]), np.float32) for m in FRAMES}
  return {**x, 'y': rng.integers(0, 6, CLIPS)}


def ours(compute: str = 'float32') -> workers.Made:
  """The step of this project: (what compiles it, a function that makes one step and returns its loss)."""
  import jax

  from affectjax.engine import optim, parallel
  from affectjax.systems.vavl import experiment, training
  from tests.helpers import shared

  run = shared.experiment('vavl').run
  run.model.compute = compute
  cell, drawn = experiment.spec(run, DIMS), data()
  batch = dict(mask=np.ones(CLIPS, np.float32), label=drawn['y'].astype(np.int32))
  for m, frames in FRAMES.items():
    batch |= {m: drawn[m], f'{m}_mask': np.ones((CLIPS, frames), bool), f'{m}_present': np.ones(CLIPS, bool)}
  standard = {m: {'mean': np.zeros(d, np.float32), 'scale': np.ones(d, np.float32)} for m, d in DIMS.items()}
  start = experiment.init(cell, training.optimiser(run.optim, 100), standard, jax.random.key(0), batch)
  state = parallel.replicate(start)
  del start
  batch = jax.block_until_ready(parallel.shard(batch))
  mapped = parallel.pmap(training.make_step(cell, optim.key(run.optim), 100), True)
  compiled = None

  def compile():
    nonlocal compiled
    compiled = mapped.lower(state, batch).compile()

  def step():
    nonlocal state
    state, scalars = compiled(state, batch)
    return float(np.asarray(jax.block_until_ready(scalars)['loss']).ravel()[0])

  return compile, step


def twin(variant: str) -> workers.Made:
  import torch

  from tests.benchmarks import torch_vavl

  net = torch_vavl.Twin(variant)
  batch = {k: torch.from_numpy(v) for k, v in data().items()}
  return lambda: None, lambda: sum(net.step(**batch))


def make(variant: str) -> workers.Made:
  return twin(variant) if variant in TORCH else ours('bfloat16' if variant == 'ours_bf16' else 'float32')


def measure(variants=VARIANTS, turns: int = TURNS) -> tuple[dict[str, list[float]], dict[str, float]]:
  return workers.measure('tests.benchmarks.bench_vavl', variants, turns, WARM, STEPS)


def misses(seconds: dict[str, list[float]], memory: dict[str, float]) -> list[str]:
  """The targets that were not reached, in words."""
  median, out = {v: statistics.median(s) for v, s in seconds.items()}, []
  for what, values, share in (('time', median, TIME), ('memory', memory, MEMORY)):
    got = values['ours'] / values['released']
    if got > share:
      out.append(f"{got:.2f} of the released variant's {what}, not {share}")
  return out


needs_torch = pytest.mark.skipif(not importlib.util.find_spec('torch'), reason='PyTorch is absent: see the docstring')


@needs_torch
@pytest.mark.benchmark
def test_twins_have_the_released_size_and_mix_clips_as_they_should():
  import torch

  from tests.benchmarks import torch_vavl

  x = torch.randn(4, 12, DIMS['audio'])
  vectors, gradients = {}, {}
  for variant in TORCH:
    net = torch_vavl.Twin(variant)
    assert sum(p.numel() for p in net.modules.parameters()) == torch_vavl.PARAMETERS
    net.modules.eval()
    vectors[variant] = r = net.utterance('audio', x)
    changed = net.utterance('audio', torch.cat([x[:1], 2 * x[1:]]))
    alone = (changed[0] - r[0]).abs().max()
    assert alone > 1e-3 if variant == 'released' else alone < 1e-5
    r.square().sum().backward()
    gradients[variant] = {k: p.grad for k, p in net.modules.named_parameters() if p.grad is not None}
  torch.testing.assert_close(vectors['tuned'], vectors['time'], rtol=1e-4, atol=1e-5)
  largest = max(float(g.abs().max()) for g in gradients['time'].values())
  for name, gradient in gradients['time'].items():
    torch.testing.assert_close(gradients['tuned'][name], gradient, rtol=1e-3, atol=1e-5 * largest)


@needs_torch
@pytest.mark.benchmark
def test_dropout_of_the_tuned_twin():
  import torch

  from tests.benchmarks import torch_vavl

  x = torch.ones(1000, 513, requires_grad=True)
  y = torch_vavl.Masked.apply(x, 0.1)
  y.sum().backward()
  torch.testing.assert_close(x.grad, y.detach())
  assert abs(float((y == 0).float().mean()) - 26 / 256) < 0.002 and abs(float(y.mean().detach()) - 1) < 0.002


@needs_torch
@pytest.mark.benchmark
def test_phases_step_what_they_should():
  """Visual and acoustic phases move their own branch and the shared layers, the fusion moves itself alone."""
  import torch

  from tests.benchmarks import torch_vavl

  x, y = {m: torch.randn(3, 5, d) for m, d in DIMS.items()}, torch.tensor([0, 1, 5])
  for variant in ('released', 'time'):
    net = torch_vavl.Twin(variant)
    for phase, moved in (
      (lambda net=net: net.update('visual', x['visual'], y), {'visual', 'shared', 'head_visual', 'reconstruct_visual'}),
      (lambda net=net: net.update('audio', x['audio'], y), {'audio', 'shared', 'head_audio', 'reconstruct_audio'}),
      (lambda net=net: net.fuse(x['audio'], x['visual'], y), {'fusion'}),
    ):
      before = {k: [p.detach().clone() for p in m.parameters()] for k, m in net.modules.items()}
      phase()
      after = {k: list(m.parameters()) for k, m in net.modules.items()}
      changed = {k for k in before if any((a != b).any() for a, b in zip(before[k], after[k], strict=True))}
      assert changed == moved


@needs_torch
@pytest.mark.benchmark
def test_a_step_is_faster_and_smaller_than_in_pytorch():
  missed = misses(*measure())
  assert not missed, 'targets missed: ' + '; '.join(missed)


if __name__ == '__main__':
  if len(sys.argv) > 1:
    workers.work(lambda: make(sys.argv[1]), 'torch' if sys.argv[1] in TORCH else 'jax')
  else:
    print('\n'.join(f'missed: {m}' for m in misses(*measure())) or 'all targets reached')
