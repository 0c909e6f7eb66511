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
    """Whether the features may be those of training: no median beyond `SHIFT` or `FACTOR`, and alike standardised."""
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


def fault(name: str, seen: Distance, columns: Sequence[str] = ()) -> str:
  """The message that refuses features this far off, with the numbers; `columns` names the features, if it is known."""
  feature = columns[seen.worst] if seen.worst < len(columns) else f'feature {seen.worst}'
  what = 'standardised already, the training features were not' if seen.standardised else 'scaled as in training'
  return (
    f'{name} {"looks" if seen.standardised else "is not"} {what}: per feature (median) the mean is {seen.shift:.3g} '
    f'training sds off, the sd by a factor of {seen.factor:.3g}; expected at most {SHIFT:g} and {FACTOR:g}; most of '
    f'all {feature}: mean {seen.means[0]:.4g}, sd {seen.sds[0]:.3g}, in training {seen.means[1]:.4g} and '
    f'{seen.sds[1]:.3g}; extract the features as those of training, or give --normalisation=trust to go on'
  )


def check(
  source: object,
  streams: Mapping[str, np.ndarray],
  standard: Mapping[str, Mapping[str, np.ndarray]],
  ids: int,
  columns: Mapping[str, Sequence[str]],
) -> tuple[list[str], list[str]]:
  """Compares every stream of features with the standardiser that its modality had in training.

  Args:
    source: the folder of the features, which messages begin with.
    streams: name -> [M, D] real frames.
    standard: name -> `mean` and `scale` [D] of training, perhaps `on` [D] bool, the features that are used.
    ids: of how many ids the frames are.
    columns: name -> names of features, if they are known.

  Returns:
    Messages, one for each stream that is off, and the names of streams with nothing to compare.
  """
  faults, unknown = [], []
  for name, x in streams.items():
    trained = standard.get(name)
    seen = None
    if trained is not None:
      scale = np.where(trained['on'], trained['scale'], 1.0) if 'on' in trained else trained['scale']
      seen = distance(x, np.asarray(trained['mean']), np.asarray(scale), ids)
    if seen is None:
      unknown.append(name)
    elif not seen.ok:
      faults.append(f'{source}: {fault(name, seen, columns.get(name, ()))}')
  return faults, unknown
