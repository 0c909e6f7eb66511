"""Whether new features are scaled as those that a network was trained on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

SHIFT = 2.0  # training sds by which the mean may be off, median over features
FACTOR = 3.0  # by which the sd may be off, median over features
FEW = 5  # ids; fewer vary less than a corpus does, which says nothing of their scale
NEAR, MOST = 0.25, 0.8  # a feature is standardised if |mean| and |log sd| are below; features are if most of them are


class Distance(NamedTuple):
  """How far features are from the training's, as medians over the features that can be compared.

  Attributes:
    shift: of the mean, in training sds.
    factor: of the sd, 1 or more.
    standardised: whether these features are standardised already, and the training's are not.
    worst: the feature whose mean is farthest off.
    means, sds: of that feature (here, in training).
  """

  shift: float
  factor: float
  standardised: bool
  worst: int
  means: tuple[float, float]
  sds: tuple[float, float]

  @property
  def ok(self) -> bool:
    return self.shift <= SHIFT and self.factor <= FACTOR and not self.standardised


def distance(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, ids: int) -> Distance | None:
  """Compares features with the training's standardiser.

  Args:
    x: [M, D] real frames, before they are standardised.
    mean, scale: [D] of training; a scale of exactly 1 is that of a constant feature, which is left out.
    ids: of how many ids the frames are. Of fewer than `FEW`, only a larger sd counts.

  Returns:
    None where there is nothing to compare: no frame, or nothing was standardised in training.
  """
  at = np.flatnonzero(scale != 1)
  if not len(at) or not len(x):
    return None
  x, mean, scale = x[:, at], mean[at].astype(np.float64), scale[at].astype(np.float64)
  here, sd = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
  shift = np.abs(here - mean) / scale
  logs = np.log(np.maximum(sd, 1e-12) / scale)
  logs = np.abs(logs) if ids >= FEW else np.maximum(logs, 0.0)
  own = _standardised(here, sd).mean() >= MOST and _standardised(mean, scale).mean() < 0.5
  worst = int(shift.argmax())
  return Distance(float(np.median(shift)), float(np.exp(np.median(logs))), bool(own and ids >= FEW), int(at[worst]),
                  (float(here[worst]), float(mean[worst])), (float(sd[worst]), float(scale[worst])))  # fmt: skip


def _standardised(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
  return (np.abs(mean) < NEAR) & (np.abs(np.log(np.maximum(sd, 1e-12))) < NEAR)


def fault(name: str, found: Distance, columns: Sequence[str] = ()) -> str:
  """What is wrong, with the numbers; `columns` are names of features, if they are known."""
  feature = columns[found.worst] if found.worst < len(columns) else f'feature {found.worst}'
  what = 'standardised already, the training features were not' if found.standardised else 'scaled as in training'
  return (
    f'{name} {"looks" if found.standardised else "is not"} {what}: per feature (median) the mean is {found.shift:.3g} '
    f'training sds off, the sd by a factor of {found.factor:.3g}; expected at most {SHIFT:g} and {FACTOR:g}; most of '
    f'all {feature}: mean {found.means[0]:.4g}, sd {found.sds[0]:.3g}, in training {found.means[1]:.4g} and '
    f'{found.sds[1]:.3g}; extract the features as those of training, or give --normalisation=trust to go on'
  )


def check(
  source: object,
  streams: Mapping[str, np.ndarray],
  standard: Mapping[str, Mapping[str, np.ndarray]],
  ids: int,
  columns: Mapping[str, Sequence[str]],
) -> tuple[list[str], list[str]]:
  """Compares all streams.

  Args:
    source: what to name in a fault.
    streams: name -> [M, D] real frames.
    standard: name -> `mean` and `scale` [D] of training, perhaps `on` [D] bool, the features that are used.
    ids: how many.
    columns: name -> names of features, if they are known.

  Returns:
    (faults, names of streams of which nothing can be said).
  """
  faults, unknown = [], []
  for name, x in streams.items():
    told = standard.get(name)
    found = None
    if told is not None:
      scale = np.where(told['on'], told['scale'], 1.0) if 'on' in told else told['scale']
      found = distance(x, np.asarray(told['mean']), np.asarray(scale), ids)
    if found is None:
      unknown.append(name)
    elif not found.ok:
      faults.append(f'{source}: {fault(name, found, columns.get(name, ()))}')
  return faults, unknown
