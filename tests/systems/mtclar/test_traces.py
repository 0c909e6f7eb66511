"""Equal cells of one process share what was traced, whatever their stage."""

import chex
import jax
import pytest

from affectjax.engine import train
from affectjax.systems.mtclar import heads, labelling, siamese
from tests.helpers import small

TRAINED = {
  'siamese': (siamese, ('siamese',)),
  'va': (heads, ('control_va_afew_va', 'representation')),
  'emotion': (heads, ('control_emotion_afew_va', 'representation')),
}


@pytest.fixture
def traced():
  """What is traced and compiled from now on, as JAX tells of it."""
  events: list[str] = []
  listen = lambda event, duration, **_: events.append(event) if 'trac' in event or 'compile' in event else None
  jax.monitoring.register_event_duration_secs_listener(listen)
  yield events
  jax.monitoring.unregister_event_duration_listener(listen)


def second_cell_traces_nothing(traced, config, folder, *start) -> None:
  train.run(config, folder / 'first', None, *start)
  assert traced
  traced.clear()
  train.run({**config, 'seed': 1}, folder / 'second', None, *start)
  assert not traced, traced


@pytest.mark.parametrize(('module', 'row'), [
  pytest.param(*TRAINED[name], id=name, marks=[pytest.mark.slow] if name == 'siamese' else []) for name in TRAINED
])  # fmt: skip
def test_cells_that_differ_in_their_seed_are_traced_once(traced, module, row, monkeypatch, tmp_path):
  made = module._loss
  monkeypatch.setattr(module, '_loss', lambda *key: chex.assert_max_traces(made(*key), n=1))
  module._step.cache_clear()
  chex.clear_trace_counter()
  second_cell_traces_nothing(traced, small.config(*row, steps=2, eval_every=0, select='last'), tmp_path)
  module._step.cache_clear()


def test_labelling_cells_that_differ_in_their_seed_are_traced_once(traced, tmp_path):
  train.run(small.config('siamese', steps=1, eval_every=0), tmp_path / 'siamese')
  labelling._network_predict.cache_clear()
  second_cell_traces_nothing(traced, small.config('mtclar'), tmp_path, tmp_path / 'siamese')
