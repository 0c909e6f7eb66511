"""What an example may look back on: the examples before it in the same video, summarised to one vector."""

from collections.abc import Sequence

import numpy as np

from affectjax.data import features
from affectjax.data.corpus import Ragged
from affectjax.errors import UserError, unknown


def reach(items: np.ndarray, context: int) -> np.ndarray:
  """The first of the `context` examples, of the same item, that end with each; [N]. Items stand together."""
  at = np.arange(len(items))
  starts = np.maximum.accumulate(np.where(np.r_[True, items[1:] != items[:-1]], at, 0))
  return np.maximum(at - context + 1, starts)


def summarised(
  stream: Ragged, mask: Ragged | None, first: np.ndarray, summary: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
  """One vector per example from the real frames of examples first .. i.

  Args:
    stream: [T_i, D] frames; mask: [T_i] bool, None for all.
    first: [N], from `reach`.
    summary: keys of `features.SUMMARIES`.

  Returns:
    [N, D * summaries] float32, zeros where no frame is real, and [N] bool where one is.
  """
  for name in summary:
    if name not in features.SUMMARIES:
      raise unknown('summary', name, features.SUMMARIES)
  if not summary:
    raise UserError('run.data.summary is empty, but examples hold many steps and one label each; name mean, std or max')
  good = np.ones(len(stream.values), bool) if mask is None else mask.values
  rows, present = [], np.zeros(len(first), bool)
  for i, start in enumerate(first):
    window = slice(stream.offsets[start], stream.offsets[i + 1])
    frames = stream.values[window][good[window]]
    present[i] = len(frames) > 0
    frames = frames if len(frames) else np.zeros((1, stream.values.shape[1]), np.float32)
    rows.append(np.concatenate([features.SUMMARIES[s](frames, 0) for s in summary]))
  return np.stack(rows).astype(np.float32), present
