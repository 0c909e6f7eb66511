"""Labels, and from outputs to what is scored: intensities of emotions in [0, 3], or one class of several."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError, refuse_unknown
from affectjax.examples import targets, trivial
from affectjax.examples.examples import Examples

KINDS = {'intensity': targets.intensities, 'class': targets.classes}
EMOTION, INTENSITY = 'emotion', 'intensity'
SCORES = {  # the metrics by which may be selected
  'class': ('uar.emotion', 'acc.emotion', 'f1.macro.emotion'),
  'intensity': ('mae.pooled.intensity', 'acc4.intensity', 'skill.intensity'),
}
Outputs = Mapping[str, np.ndarray]


class Select(NamedTuple):
  """What chooses the step and, of learning rates tried together, one: a dev score, and whether more is better."""

  by: str
  most: bool

  def best(self, values: np.ndarray) -> int:
    """The copy that is chosen by dev scores [S]; NaN never is."""
    return int(np.nanargmax(values) if self.most else np.nanargmin(values))


def selection(config: Mapping[str, Any]) -> Select:
  """Of `run.select` and `run.select_mode`."""
  known = ('last', 'loss', *SCORES[config['target']['kind']])
  refuse_unknown('score in run.select', config['select'], known)
  by = config['select']
  mode = 'max' if by in known[2:] and metrics.better(by) == 'higher' else 'min'
  if by != 'last' and config['select_mode'] != mode:
    raise UserError(f'run.select {by!r} with run.select_mode {config["select_mode"]!r}; set it to {mode}')
  return Select(by, mode == 'max')


def labels(examples: Examples, config: Mapping[str, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
  """[N, E] float32 intensities, NaN for none, or [N] int32 classes, -1 for none; and the emotions' names."""
  target = config['target']
  refuse_unknown('run.target.kind', target['kind'], KINDS)
  names = tuple(target['names']) or tuple(examples.meta['emotions'])
  return KINDS[target['kind']](examples, target['label'], names), names


def medians(label: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Of the labels of `rows` per emotion, for every example [N, E]; of classes nothing, [N] zeros."""
  if label.ndim == 1:
    return np.zeros(len(label), np.float32)
  return np.repeat(trivial.median(label[rows])[None], len(label), 0)


def losses(out: Outputs) -> np.ndarray:
  """What selects, of every copy [S]: mean absolute error, or cross-entropy in nats."""
  output, label = np.asarray(out['output'], np.float64), np.asarray(out['label'])  # [N, S, K]
  if label.ndim == 1:
    known = label >= 0
    return -np.log(np.maximum(output[known][np.arange(known.sum()), :, label[known]], 1e-12)).mean(0)
  return np.nanmean(np.abs(output - label[:, None]), (0, 2))


def worth(names: tuple[str, ...], by: str, out: Outputs) -> np.ndarray:
  """The dev score `by` of every copy [S], of `losses` or of `SCORES`; 'last' chooses between copies by their loss."""
  if by in ('loss', 'last'):
    return losses(out)
  copies = np.asarray(out['output']).shape[1]
  one = lambda s: {**out, 'output': np.asarray(out['output'])[:, s : s + 1]}
  return np.array([metrics.selected(by, add(names, one(s)))[by] for s in range(copies)])


def finish(names: tuple[str, ...], select: Select, outputs: Mapping[str, Outputs]) -> dict[str, dict[str, np.ndarray]]:
  """Outputs of the learning rate that is best on dev, as truths and predictions by metric's target."""
  each = worth(names, select.by, outputs['dev'])
  best = select.best(each)
  done = {split: add(names, {**out, 'output': out['output'][:, best : best + 1]}) for split, out in outputs.items()}
  done['dev']['search'] = np.repeat(each[None].astype(np.float32), len(outputs['dev']['label']), 0)
  return done


def add(names: tuple[str, ...], out: Outputs) -> dict[str, np.ndarray]:
  """`emotion`, or `intensity` [N, E] and each emotion by its name, with `_hat` and of intensities `_median`."""
  done, chosen, label = dict(out), np.asarray(out['output'])[:, 0], np.asarray(out['label'])
  if label.ndim == 1:
    return {**done, EMOTION: label, f'{EMOTION}_hat': chosen.argmax(1).astype(np.int32)}
  done |= {INTENSITY: label, f'{INTENSITY}_hat': chosen, f'{INTENSITY}_median': out['median']}
  for i, name in enumerate(names):
    done |= {name: label[:, i], f'{name}_hat': chosen[:, i], f'{name}_median': out['median'][:, i]}
  return done


def score(names: tuple[str, ...], rates: tuple[float, ...], select: Select, out: Outputs) -> dict[str, float]:
  """`loss`, the lowest of all learning rates, what each of several has, and what selects, of the best of them."""
  scores = {'loss': float(np.nanmin(losses(out)))}
  copies = np.asarray(out['output']).shape[1]
  tried = np.asarray(out['search'])[0] if 'search' in out else worth(names, select.by, out)
  if len(tried) > 1:
    scores |= {f'search.lr_{lr:g}': float(v) for lr, v in zip(rates, tried, strict=True)}
  if copies > 1:  # while training: every rate at once
    return scores if select.by in ('loss', 'last') else {**scores, select.by: float(tried[select.best(tried)])}
  return scores | metrics.selected(select.by, add(names, out))
