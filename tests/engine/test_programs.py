"""Programs that a process compiled: let go between cells once they are too many, and only then."""

import jax
import jax.numpy as jnp

from affectjax.engine import programs, train
from tests.helpers import small


def live() -> int:
  return len(jax.local_devices()[0].client.live_executables())


def test_programs_are_let_go_when_they_are_too_many(monkeypatch):
  double = jax.jit(lambda x: 2 * x + 1)
  double(jnp.ones(3))
  assert not programs.let_go() and live() >= 1
  for name, limit in (('PROGRAMS', 0), ('MAPPINGS', 1)):
    with monkeypatch.context() as patch:
      patch.setattr(programs, name, limit)
      if name == 'MAPPINGS' and not programs.mappings():
        continue  # this system does not count them
      assert programs.let_go() and live() == 0
    assert double(jnp.ones(3)).tolist() == [3, 3, 3] and live() >= 1, 'compiled again where it is needed'


def test_a_cell_starts_with_few_programs_and_gives_the_same_scores(monkeypatch, tmp_path):
  config = small.config('control_va_afew_va', 'representation', steps=2, eval_every=0, select='last')
  first = train.run(config, tmp_path / 'first')
  held = live()
  monkeypatch.setattr(programs, 'PROGRAMS', 1)
  second = train.run(config, tmp_path / 'second')
  assert second.dev == first.dev and live() <= held
  for lr in (0.01, 0.02, 0.03):
    train.run({**config, 'optim': {**config['optim'], 'lr': lr}}, tmp_path / str(lr))
    assert live() <= held, 'each of them compiles a step of its own'
