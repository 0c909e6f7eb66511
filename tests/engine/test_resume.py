"""A run that stopped and went on is the same run: state, batches, log and predictions, bit for bit."""

import dataclasses
import math

import chex
import numpy as np
import pytest
from jax.tree import leaves

from affectjax.engine import cell, train
from affectjax.systems import mtclar
from tests.helpers import small
from tests.helpers.watched import Spy, Stop

STEPS = 18


@pytest.fixture(scope='module', params=['head', pytest.param('siamese', marks=pytest.mark.slow)])
def built(request):
  """A Siamese run (pairs drawn anew for every batch) or a head (shuffled rows, epochs of 8 steps)."""
  common = dict(steps=STEPS, select='loss', optim=dict(schedule='plateau', patience=0, factor=0.5))
  if request.param == 'siamese':
    config = small.config(**common)
  else:
    config = small.config('control_va_afew_va', 'representation', batch_size=120, head=dict(dropout=0.3), **common)
  return config, mtclar.build(config, None)


def run(built, folder, patch, stop: int | None = None, **changes):
  """Trains (until `stop` steps are checkpointed); returns result, state after training, batches' ids."""
  config, experiment = built
  spies, states = [], []

  def batches(split, seed):
    if split != 'train':
      return experiment.batches(split, seed)
    spies.append(Spy(experiment.batches(split, seed)))
    return spies[-1]

  def watch(step, steps, rate):
    if stop is not None and step > stop:
      raise Stop

  spied = dataclasses.replace(experiment, batches=batches)
  whole = train._train
  patch.setattr(train, 'system', lambda name: type('System', (), {'build': staticmethod(lambda *_: spied)}))
  patch.setattr(train, '_train', lambda *args: states.append(whole(*args)) or states[-1])
  try:
    result = train.run({**config, **changes}, folder, watch=watch)
  except Stop:
    result = None
  patch.undo()
  return result, states[-1] if states else None, spies[-1].ids


def predictions(folder) -> dict[str, np.ndarray]:
  with np.load(folder / 'predictions.npz', allow_pickle=False) as file:
    return dict(file)


# epochs of the head's run end within step 8 (see below), so these are early, within and at the end of an epoch
@pytest.mark.parametrize('stop', [5, 8, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (1, 7))])
def test_resumed_equals_uninterrupted(built, tmp_path, monkeypatch, stop):
  if built[0]['stage'] == 'head':
    rows = mtclar.build(built[0], None).batches('train', 0)
    assert math.ceil(_epoch(rows) / 120) == 8
  whole, wanted, ids = run(built, tmp_path / 'whole', monkeypatch, eval_every=stop)
  nothing, _, before = run(built, tmp_path / 'torn', monkeypatch, stop=stop, eval_every=stop)
  assert nothing is None and len(before) == stop + 1, 'the step past the checkpoint is lost'
  resumed, got, after = run(built, tmp_path / 'torn', monkeypatch, eval_every=stop)
  np.testing.assert_array_equal(np.stack(before[:stop] + after), np.stack(ids))
  chex.assert_trees_all_equal(got, wanted)
  assert int(got.step) == STEPS
  assert resumed._replace(timing={}) == whole._replace(timing={})
  assert small.lines(tmp_path / 'torn' / 'metrics.jsonl') == small.lines(tmp_path / 'whole' / 'metrics.jsonl')
  first, second = predictions(tmp_path / 'torn'), predictions(tmp_path / 'whole')
  assert first.keys() == second.keys()
  for name, value in second.items():
    assert first[name].dtype == value.dtype and first[name].tobytes() == value.tobytes(), name


def _epoch(batches) -> int:
  """Distinct rows of an endless shuffled iterator."""
  seen: set[str] = set()
  while True:
    new = set(next(batches)['id'].tolist()) - seen
    if not new:
      return len(seen)
    seen |= new


def test_stopped_twice_and_between_checkpoints(built, tmp_path, monkeypatch):
  whole, wanted, _ = run(built, tmp_path / 'whole', monkeypatch, eval_every=5)
  for stop in (3, 9, 13):  # nothing saved yet; the checkpoint of step 5; that of step 10
    run(built, tmp_path / 'torn', monkeypatch, stop=stop, eval_every=5)
  resumed, got, _ = run(built, tmp_path / 'torn', monkeypatch, eval_every=5)
  chex.assert_trees_all_equal(got, wanted)
  assert resumed._replace(timing={}) == whole._replace(timing={})
  assert small.lines(tmp_path / 'torn' / 'metrics.jsonl') == small.lines(tmp_path / 'whole' / 'metrics.jsonl')


def test_stopped_after_training_predicts_without_training_again(built, tmp_path, monkeypatch):
  whole, wanted, _ = run(built, tmp_path / 'whole', monkeypatch, eval_every=6)
  with pytest.MonkeyPatch.context() as patch:
    stopping = lambda *_: (_ for _ in ()).throw(Stop)
    patch.setattr(cell.Folder, 'store', stopping)
    nothing, _, _ = run(built, tmp_path / 'torn', monkeypatch, eval_every=6)
  assert nothing is None
  resumed, got, ids = run(built, tmp_path / 'torn', monkeypatch, eval_every=6)
  assert not ids and resumed._replace(timing={}) == whole._replace(timing={})
  chex.assert_trees_all_equal(got, wanted)
  first, second = predictions(tmp_path / 'torn'), predictions(tmp_path / 'whole')
  assert all(first[name].tobytes() == value.tobytes() for name, value in second.items())


def test_two_runs_of_one_seed_agree_and_another_seed_differs(built, tmp_path, monkeypatch):
  _, first, ids = run(built, tmp_path / 'a', monkeypatch)
  _, second, again = run(built, tmp_path / 'b', monkeypatch)
  np.testing.assert_array_equal(np.stack(ids), np.stack(again))
  chex.assert_trees_all_equal(first, second)
  _, third, other = run(built, tmp_path / 'c', monkeypatch, seed=1)
  assert not np.array_equal(np.stack(ids), np.stack(other))
  layer = 'encoder' if built[0]['stage'] == 'siamese' else 'head'
  same = [np.array_equal(a, b) for a, b in zip(*map(leaves, (first.params[layer], third.params[layer])), strict=True)]
  assert not all(same)
