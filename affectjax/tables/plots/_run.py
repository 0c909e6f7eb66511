"""What a kind of figure draws from: a run's summary, its samples and the stored predictions of its finished cells."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine.cell import Folder
from affectjax.tables import bootstrap
from affectjax.tables.summary import Summary

Cell = Mapping[str, Any]


class Lacks(Exception):
  """Nothing of a figure can be drawn from what is finished; says why."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
  """A workdir as figures see it."""

  workdir: pathlib.Path
  summary: Summary

  @property
  def title(self) -> str:
    """Of the table; says so where data are synthetic."""
    return self.summary.table['title'] + (' (synthetic)' if self.summary.kind == 'synthetic' else '')

  def cells(self, row: str, fold: Any = None, seed: Any = None) -> list[Cell]:
    """The row's finished cells in the table's order, perhaps of one fold (or of none) and one seed only."""
    finished = self.summary.loaded.finished.get(row, ())
    wanted = lambda cell, key, value: value is None or str(cell[key]) in (str(value), *['all'] * (key == 'fold'))
    return [c for c in finished if wanted(c, 'fold', fold) and wanted(c, 'seed', seed)]

  def label(self, row: str) -> str:
    """The row's name, with how much of it is finished if that is not all."""
    done, expected = len(self.cells(row)), self.summary.loaded.expected.get(row, 0)
    return row if done == expected else f'{row} ({done} of {expected} cells)'

  def arrays(self, cell: Cell, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """The test split's arrays of these keys, as far as the cell predicted them."""
    folder = Folder(self.workdir / cell['dir'])
    try:
      read = folder.predictions([f'test/{key}' for key in keys])
    except ValueError as error:
      raise Lacks(f'{folder.path}: {error}') from error
    return {key.removeprefix('test/'): value for key, value in read.items()}

  def interval(self, row: str, metric: str) -> bootstrap.Interval | None:
    """The row's metric, without interval where some cell lacks; None where all do."""
    loaded, sample = self.summary.loaded, self.summary.loaded.samples.get((row, metric))
    if sample is None:
      return None
    return bootstrap.interval(sample) if not loaded.lack(row, metric) else bootstrap.mean_only(sample)

  def difference(self, row: str, against: str, metric: str) -> bootstrap.Difference | None:
    """Row minus against, or None where cells lack."""
    loaded = self.summary.loaded
    if loaded.lack(row, metric) or loaded.lack(against, metric):
      return None
    return bootstrap.paired(loaded.samples[row, metric], loaded.samples[against, metric])


def names(spec: Mapping[str, Any], key: str) -> tuple[str, ...]:
  """One or several names under a key."""
  value = spec[key]
  value = (value,) if isinstance(value, str) else value
  if not isinstance(value, Sequence) or not value or not all(isinstance(name, str) and name for name in value):
    raise UserError(f'figure {spec["kind"]!r}: {key} is a name or several, found {spec[key]!r}')
  return tuple(value)


def one_name(spec: Mapping[str, Any], key: str) -> str:
  """The one name under a key."""
  value = names(spec, key)
  if len(value) > 1:
    raise UserError(f'figure {spec["kind"]!r}: {key} is one name, found {spec[key]!r}; name one figure for each')
  return value[0]


def metric_names(spec: Mapping[str, Any]) -> tuple[str, ...]:
  """Known metrics under `metric`."""
  for name in names(spec, 'metric'):
    metrics.parse(name)
  return names(spec, 'metric')
