"""The loop, from top to bottom: init or resume, train, select on dev, predict dev and test once, store."""

import importlib
import json
import math
import os
import pathlib
import pkgutil
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.engine import checkpoint, optim, parallel, programs
from affectjax.engine.cell import Folder
from affectjax.engine.clock import Clock
from affectjax.engine.feed import Dispatch, Feed
from affectjax.engine.types import Experiment, TrainState, check_batch

SYSTEMS = 'affectjax.systems'
MAX_SKIPPED = 5  # updates skipped in a row before a cell gives up
PATIENCE = ('best', 'each')
DEV = 'dev/'
SEARCH = 'search.'  # begins the names of dev scores of what is trained side by side

Watch = Callable[[int, int, float], None]  # (step, steps, examples per second)


class Result(NamedTuple):
  """What the training of a cell came to; what it is worth on test, its stored predictions say.

  Attributes:
    dev: the scores of the reported step that select; {} where nothing is trained.
    steps: that were taken.
    selected_step: the one that is reported.
    timing: s of `setup` (until the first step), `train` (from there on, evaluation and checkpoints included) and
      `predict` (the rest); and of `compile`, what of all three went into compiling.
  """

  dev: dict[str, float]
  steps: int
  selected_step: int
  timing: dict[str, float]


def system(name: str):
  """The module of a paper, found by its name; the engine imports none itself."""
  known = [m.name for m in pkgutil.iter_modules(importlib.import_module(SYSTEMS).__path__)]
  if name not in known:
    raise unknown('system', name, known)
  return importlib.import_module(f'{SYSTEMS}.{name}')


def run(
  config: Mapping[str, Any],
  folder: pathlib.Path,
  data_dir: str | None = None,
  warm_start: pathlib.Path | None = None,
  watch: Watch = lambda step, steps, rate: None,
) -> Result:
  """Runs one cell to its end, or goes on where an interrupted one stopped.

  Args:
    config: `system`, `seed`, `fold`, `log_every`, `eval_every` (0: only at the end) or `eval_epochs` (the same in
      passes over the training split; 0 or left out: `eval_every` counts), `select` ('last' or a dev score),
      `select_mode`, perhaps `patience` (evaluations after the best, the later of equals, at which training ends; 0 or
      left out: never), `patience_for` ('best', or 'each': as long as any of the dev scores `search.*`, of what is
      trained side by side, still gets better; 'best' if left out), perhaps `dispatch` (steps per dispatch, for a system
      that keeps its examples on the devices; 1 if left out), `optim`, `warm_modules`, and what the system reads.
    folder: the cell's folder; metrics.jsonl, predictions.npz and checkpoints/ go there. Once the cell is recorded,
      `checkpoint.drop_steps` removes the checkpoints that only an interrupted training needs.
    data_dir: prepared corpora; None for the synthetic twins.
    warm_start: folder of the finished cell whose parameters this one starts from.
    watch: called after every step.

  Raises:
    UserError: for input the user can put right, and when training diverges.
  """
  clock = Clock()
  programs.let_go()  # what the cells before compiled, if it has become too much
  _patience(config)
  folder.mkdir(parents=True, exist_ok=True)
  experiment = system(config['system']).build(config, data_dir)
  config = _in_steps(config, experiment)
  first = next(iter(experiment.batches('train' if experiment.steps else 'test', config['seed'])))
  state = experiment.init(jax.random.key(config['seed']), first)
  if warm_start is not None:
    state = checkpoint.warm(state, checkpoint.load_final(warm_start), tuple(config['warm_modules']))
  if jax.config.jax_debug_nans:  # JAX itself looks at what is computed only
    chex.assert_tree_all_finite(state.params)
  selected, steps, marks = 0, 0, [clock.seconds()]
  if experiment.steps:
    kept = checkpoint.Checkpoints(folder, config['select'], config['select_mode'])
    try:
      state = _train(experiment, state, kept, config, folder, watch)
      selected, steps = kept.selected(), int(state.step)
      if selected != steps:
        state, _ = kept.restore(selected, state)
    finally:
      kept.close()
  marks.append(clock.seconds())
  replicated = parallel.replicate(state)
  outputs = {split: predict(experiment, replicated, split, config['seed']) for split in ('dev', 'test')}
  outputs = experiment.finish(outputs)
  dev = _scored(experiment, outputs['dev']) if experiment.steps else {}
  if jax.process_index() == 0:
    Folder(folder).store(outputs)
  if experiment.steps:
    checkpoint.save_final(folder, state)
  marks.append(clock.seconds())
  timing = {
    'setup': marks[0],
    'train': marks[1] - marks[0],
    'predict': marks[2] - marks[1],
    'compile': clock.compiling(),
  }
  return Result(dev, steps, selected, {k: round(v, 3) for k, v in timing.items()})


def _train(experiment, state, kept, config, folder, watch) -> TrainState:
  """Trains to the last step, saving and evaluating on the way; returns the last state, on the host."""
  feed = Feed(experiment, config['seed'], config.get('dispatch', 1))
  log = _Log(folder, config['log_every'])
  if (latest := kept.latest()) is not None:
    state, position = kept.restore(latest, state)
    feed.set_state(position['batches'])
  log.rewind(int(state.step))
  replicated, pending, every = parallel.replicate(state), None, config['eval_every']
  over = _is_over(log.evaluations, int(state.step), config)  # a run that was killed after its last evaluation
  step = experiment.steps if over else int(state.step)
  while step < experiment.steps:
    stop = min(experiment.steps, (step // every + 1) * every) if every else experiment.steps
    first, step = step + 1, min(step + feed.most, stop)
    replicated, dispatch = feed.take(replicated, step - first + 1)
    # Looked at one dispatch late: the device works while the host makes the next batch, and never more than two
    # dispatches are in flight (virtual CPU devices deadlock on more).
    if pending:
      log.dispatch(*pending)
    pending = (first, dispatch)
    watch(step, experiment.steps, log.rate)
    if step == experiment.steps or (every and step % every == 0):
      log.dispatch(*pending)
      pending = None
      replicated = _evaluate_and_save(experiment, replicated, kept, config, feed, log, step)
      if _is_over(log.evaluations, step, config):
        break
  return jax.device_get(parallel.unreplicate(replicated))


def _in_steps(config: Mapping[str, Any], experiment: Experiment) -> Mapping[str, Any]:
  """The config with `eval_every` in steps, where it was given in epochs."""
  epochs = config.get('eval_epochs', 0)
  if not epochs or not experiment.steps:
    return config
  if epochs < 0 or not experiment.epoch:
    raise UserError(f'run.eval_epochs is {epochs:g}, an epoch of {config["system"]} has {experiment.epoch} steps; '
                    'expected more than 0; set run.eval_epochs to 0 and run.eval_every to steps')  # fmt: skip
  return {**config, 'eval_every': max(1, round(epochs * experiment.epoch))}


def _patience(config: Mapping[str, Any]) -> int:
  """Of early stopping; 0 for none. Refused where it can never have an effect, before anything is trained."""
  patience = config.get('patience', 0)
  evaluated = config['eval_every'] or config.get('eval_epochs', 0)
  if patience < 0 or patience and (not evaluated or config['select'] == 'last'):
    raise UserError(
      f'run.patience is {patience}, run.eval_every {config["eval_every"]} and run.select {config["select"]!r}; '
      'expected evaluations on the way and a dev score to select by; set these two, or run.patience to 0'
    )
  if config.get('patience_for', 'best') not in PATIENCE:
    raise unknown('run.patience_for', config['patience_for'], PATIENCE)
  return patience


def _is_over(evaluations: list[tuple[int, Mapping[str, float]]], step: int, config: Mapping[str, Any]) -> bool:
  """Early stopping: whether `patience` evaluations have passed since the best one, the later of equals."""
  patience = _patience(config)
  if not patience or not evaluations:
    return False
  sign = 1.0 if config['select_mode'] == 'min' else -1.0
  each = [k for k in evaluations[-1][1] if k.startswith(SEARCH) and config.get('patience_for') == 'each']
  worth = lambda scores, name: np.inf if scores[name] is None or np.isnan(scores[name]) else sign * scores[name]
  best = lambda name: min(evaluations, key=lambda e: (worth(e[1], name), -e[0]))[0]
  return step - max(map(best, (config['select'], *each))) >= patience * config['eval_every']


def _evaluate_and_save(experiment, replicated, kept, config, feed, log, step):
  scores = _scored(experiment, predict(experiment, replicated, 'dev', config['seed']))
  log.write({'step': step, **{f'{DEV}{k}': v for k, v in scores.items()}})
  plateau = config['optim']
  lowers = plateau['schedule'] == 'plateau'
  if not (lowers or kept.due(scores) or step == experiment.steps):
    return replicated
  state = jax.device_get(parallel.unreplicate(replicated))
  if lowers:
    opt_state = optim.observe(state.opt_state, scores['loss'], plateau['factor'], plateau['patience'])
    state = state.replace(opt_state=opt_state)
    replicated = parallel.replicate(state)
  kept.save(step, state, {'batches': feed.get_state()}, scores)
  return replicated


def predict(experiment: Experiment, replicated: TrainState, split: str, seed: int) -> dict[str, np.ndarray]:
  """Predictions over a whole split, real examples only, with the batches' strings; [N, ...] each.

  Every host predicts the whole split on its own devices: evaluation is light, and each can then score it.
  """
  predict_fn = parallel.pmap(experiment.predict)
  pieces: list[dict[str, np.ndarray]] = []
  pending = None

  def collect(outputs, strings, mask):
    real, values, devices = np.asarray(mask) > 0, jax.device_get(local(outputs)), jax.local_device_count()
    if not pieces:
      chex.assert_tree_shape_prefix(values, (devices, len(real) // devices))
    flat = {k: v.reshape(-1, *v.shape[2:])[real] for k, v in values.items()}
    pieces.append({**{k: np.asarray(v)[real] for k, v in strings.items()}, **flat})

  local = lambda tree: jax.tree.map(lambda x: np.concatenate([s.data for s in x.addressable_shards]), tree)
  for batch in experiment.batches(split, seed):
    if not pending:
      check_batch(batch)
    numbers, strings = parallel.split_strings(batch)
    outputs = predict_fn(replicated, parallel.shard(numbers))
    if pending:
      collect(*pending)
    pending = (outputs, strings, numbers['mask'])
  if pending is None:
    raise UserError(f'split {split!r} has no examples; check folds and the corpus with affectjax.doctor')
  collect(*pending)
  return {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}


def _scored(experiment: Experiment, outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
  return {k: float(v) for k, v in experiment.score(outputs).items()}


def _add_line(path: pathlib.Path, line: Mapping[str, Any]) -> None:
  """Flushed to disk; numbers that are not finite have no JSON and become null."""
  line = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
  with open(path, 'a') as file:
    file.write(json.dumps(line) + '\n')
    file.flush()
    os.fsync(file.fileno())


class _Log:
  """metrics.jsonl of a cell, by the first host, and nonfinite.jsonl, by every host: each sees its own examples only."""

  def __init__(self, folder: pathlib.Path, every: int):
    self._host = jax.process_index()
    self._path, self._nonfinite = Folder(folder).metrics, Folder(folder).nonfinite(self._host)
    self._every = every
    self.evaluations: list[tuple[int, dict[str, float]]] = []  # step and dev scores
    self._examples, self._waited, self._since = 0, 0.0, time.perf_counter()
    self.rate = 0.0

  def rewind(self, step: int) -> None:
    """Drops lines past the step that is resumed from; what was evaluated until then, every host is to know."""
    self._remember(map(json.loads, self._until(self._path, step)))
    for path in (self._path, self._nonfinite) if self._host == 0 else (self._nonfinite,):
      lines = path.read_text().splitlines(keepends=True) if path.exists() else []
      if (whole := self._until(path, step)) != lines:
        temporary = path.with_name(path.name + '.tmp')
        temporary.write_text(''.join(whole))
        temporary.replace(path)

  def _until(self, path: pathlib.Path, step: int) -> list[str]:
    """A log's whole lines up to a step."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith('\n') and json.loads(line)['step'] <= step]

  def write(self, line: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    self._remember([line])
    if self._host == 0:
      _add_line(self._path, line)

  def _remember(self, lines) -> None:
    """The evaluations among lines."""
    for line in lines:
      scores = {k.removeprefix(DEV): v for k, v in line.items() if k.startswith(DEV)}
      if scores:
        self.evaluations.append((line['step'], scores))

  def dispatch(self, first: int, dispatch: Dispatch) -> None:
    """Waits for the scalars of a dispatch, whose first step is `first`, and logs each of its steps."""
    self._waited += dispatch.waited
    for i, values in enumerate(dispatch.each()):
      self._examples += dispatch.examples
      self._step(first + i, values, dispatch.ids[i])

  def _step(self, step: int, values: dict[str, float], ids) -> None:
    """Notes a skipped update with its ids, and gives up after too many."""
    if not values.pop('finite', 1.0):
      _add_line(self._nonfinite, {'step': step, 'ids': [str(i) for i in ids], 'loss': str(values['loss'])})
      if values['skipped'] >= MAX_SKIPPED:
        raise UserError(
          f'training diverged: loss or gradient not finite in {MAX_SKIPPED} updates in a row up to step {step}; '
          f'their ids are in {self._nonfinite.name}, the last good checkpoint is kept; lower run.optim.lr or '
          'look at these examples with affectjax.doctor'
        )
    values.pop('skipped', None)
    if step % self._every == 0 or step == 1:
      seconds = time.perf_counter() - self._since
      self.rate = self._examples / max(seconds, 1e-9)
      self.write({'step': step, **values, 'examples_per_s': round(self.rate, 1),
                  'input_wait': round(self._waited / max(seconds, 1e-9), 4)})  # fmt: skip
      self._examples, self._waited, self._since = 0, 0.0, time.perf_counter()
