"""What a finished cell has reached, from its stored predictions alone: nothing is scored while it is trained."""

from collections.abc import Iterable

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine.cell import Folder
from affectjax.tables import bootstrap


def _read(folder: Folder, names: Iterable[str]) -> dict[str, np.ndarray]:
  """Predictions of the test split that these metrics read, and `group`; ValueError if they cannot be read."""
  keys = {key.removeprefix('test/') for key in folder.stored() if key.startswith('test/')}
  wanted = {'group'}.union(*(metrics.needs(name) for name in names if metrics.available(name, keys)))
  read = folder.predictions([f'test/{key}' for key in sorted(wanted)])
  out = {key.removeprefix('test/'): column for key, column in read.items()}
  lengths = {key: len(column) for key, column in out.items()}
  if len(set(lengths.values())) > 1:
    raise ValueError(f'columns differ in length: {lengths}')
  return out


def sums(folder: Folder, names: Iterable[str]) -> dict[str, bootstrap.Sums]:
  """A finished cell's metrics on test as sums per group, those of `names` that its predictions have.

  Raises:
    UserError: a metric does not fit the predictions.
    ValueError: they cannot be read, and why.
  """
  names = list(names)
  predictions = _read(folder, names)
  names = [name for name in names if metrics.available(name, predictions)]
  try:
    return bootstrap.reduce(names, predictions) if names else {}
  except UserError as error:
    raise UserError(f'{folder.path}/predictions.npz: {error}') from error


def points(folder: Folder, names: Iterable[str]) -> dict[str, float]:
  """The values of the same metrics; raises as `sums`."""
  return {name: float(metrics.value(name, s.sums.sum(0))) for name, s in sums(folder, names).items()}
