"""Rows that take no training: constants, which say how much of a score is the labels' own doing."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.engine.types import Experiment
from affectjax.examples import trivial
from affectjax.systems.masked_ssl import experiment, views

# label, index of training examples, number of classes -> an output for every example
METHODS: Mapping[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
  'zero': lambda label, rows, classes: np.zeros_like(label),  # no emotion at all
  'median': lambda label, rows, classes: views.medians(label, rows),  # the best constant for the absolute error
  'majority': lambda label, rows, classes: np.repeat(trivial.majority(label[rows], classes)[None], len(label), 0),
}


def build(config: Mapping[str, Any], data_dir: str | None) -> Experiment:
  """`run.reference` names one of `METHODS`."""
  name = config['reference']
  refuse_unknown('run.reference', name, METHODS)
  examples, whole = experiment.prepared(config, data_dir)
  label, names = views.labels(examples, config)
  if (label.ndim == 1) != (name == 'majority'):
    raise UserError(f'run.reference {name!r} with run.target.kind {config["target"]["kind"]!r}; majority is for class, '
                    'zero and median for intensity')  # fmt: skip
  rows = experiment.limited(examples, whole, label, config)
  output = METHODS[name](label, rows['train'], len(names))[:, None]
  columns = {'label': label, 'median': views.medians(label, whole['train']), 'output': output}
  select = views.selection(config)
  return trivial.fixed(
    examples, rows, columns, config['eval_batch_size'], functools.partial(views.finish, names, select),
  )  # fmt: skip
