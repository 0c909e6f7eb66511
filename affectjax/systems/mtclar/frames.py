"""Faces, frames or seconds as rows with two labels each: what MT-CLAR trains on and labels, whatever the corpus."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.examples import examples as examples_lib
from affectjax.examples import linear, shape
from affectjax.examples.examples import Examples
from affectjax.examples.streams import Rows


@dataclasses.dataclass(frozen=True)
class Frames:
  """All rows of a corpus, videos contiguous and oldest first within a part of it.

  Attributes:
    x: [N, D] float32 features, `Rows` if a modality stays on disk.
    present: [N] bool, False where no face was found.
    labels: [N, 2] float32 valence and arousal in [-1, 1], NaN where unlabelled.
    emotion: [N] int32 class, -1 for none.
    examples: every row as an example, for a split: its id, group (the person, or whatever must not leak), item (the
      video), part and columns, no streams.
  """

  x: np.ndarray | Rows
  present: np.ndarray
  labels: np.ndarray
  emotion: np.ndarray
  examples: Examples

  def __len__(self) -> int:
    return len(self.x)

  @property
  def id(self) -> np.ndarray:
    """[N] str, of a frame its example's with the frame's number."""
    return self.examples.id

  @property
  def group(self) -> np.ndarray:
    """[N] str."""
    return self.examples.group

  @property
  def item(self) -> np.ndarray:
    """[N] str, the video."""
    return self.examples.item

  @property
  def on_disk(self) -> bool:
    """Whether features are read where they are indexed."""
    return isinstance(self.x, Rows)

  @property
  def labelled(self) -> np.ndarray:
    """[N] bool, both labels known."""
    return np.isfinite(self.labels).all(1)


def load(config: Mapping[str, Any], data_dir: str | None) -> Frames:
  """The frames of a config's corpus; cached, for a table's cells share them."""
  data = config['data']
  names = tuple(data['modalities'])
  if not names:
    raise UserError('run.data.modalities is empty; expected one or more')
  return of(examples_lib.load(config, data_dir, names), tuple(data['summary']), data['context'])


@functools.lru_cache(maxsize=4)
def of(examples: Examples, summary: tuple[str, ...], context: int) -> Frames:
  """A row per frame where frames are labelled, else one per example, as `features` has them.

  Args:
    examples: with the columns valence and arousal, both with time or both without.
    summary, context: see `features`.
  """
  columns, n = examples.columns, len(examples)
  per_frame = isinstance(columns.get('valence'), Ragged)
  labels = [(examples.series if per_frame else examples.column)(k) for k in ('valence', 'arousal')]
  steps = {k: v.lengths for k, v in columns.items() if k in ('arousal', 'emotion', 'frame') and isinstance(v, Ragged)}
  if per_frame:
    steps |= {m: stream.lengths for m, stream in examples.streams.items()}
  _refuse_unlike(examples, {'valence': labels[0].lengths if per_frame else np.ones(n, int), **steps})
  x, present, owner = features(examples, per_frame, summary, context)
  of_rows = lambda column: column.values if isinstance(column, Ragged) else column[owner]
  emotion = of_rows(columns.get('emotion', np.full(n, -1))).astype(np.int32)
  ids = examples.id[owner]
  if per_frame:
    number = of_rows(columns['frame']) if 'frame' in steps else position(owner)
    ids = np.char.add(np.char.add(ids, '/'), np.char.zfill(number.astype(str), 5))
  values = np.stack([of_rows(v) for v in labels], 1).astype(np.float32)
  order = _videos_together(examples.part[owner], examples.item[owner])
  at = owner[order]
  rows = dataclasses.replace(
    examples, id=ids[order], group=examples.group[at], item=examples.item[at], part=examples.part[at], streams={},
    present={}, columns={
      **{k: v[at] for k, v in columns.items() if not isinstance(v, Ragged)}, 'emotion': emotion[order],
    },
  )  # fmt: skip
  return Frames(_reordered(x, order), present[order], values[order], emotion[order], rows)


def standardiser(frames: Frames, rows: np.ndarray) -> dict[str, np.ndarray]:
  """Mean and scale [D] of the features at `rows` [M], one or more."""
  parts = (frames.x[at] for at in linear.pieces(frames.x, rows))
  return shape.scaling(*shape.moments_of(parts, frames.x.shape[1]))


def features(
  examples: Examples, per_frame: bool, summary: tuple[str, ...], context: int
) -> tuple[np.ndarray | Rows, np.ndarray, np.ndarray]:
  """The features of all rows, modalities side by side, in the order of the examples.

  Args:
    examples: with one stream or more.
    per_frame: a row per frame; else one per example: its frame if all have a single one (images), or the summary of
      its and the last examples' frames.
    summary: names of `shape.summarised`.
    context: how many examples of an item a summary is over.

  Returns:
    x [N, D] float32, to be read where a modality stays on disk; present [N] bool, whether all modalities are; owner
    [N] int64, the example a row is of.
  """
  streams = examples.streams
  if per_frame:
    _refuse_unlike(examples, {m: stream.lengths for m, stream in streams.items()})
  elif not all((stream.lengths == 1).all() for stream in streams.values()):
    first = shape.reach(examples.item, examples.part, context)
    streams = {m: shape.summarised(stream, first, summary) for m, stream in streams.items()}
  present = np.all([stream.mask.values for stream in streams.values()], axis=0)
  mask = next(iter(streams.values())).mask
  owner = mask.owners()

  def read(index: np.ndarray) -> np.ndarray:
    own, at = np.unique(owner[index], return_inverse=True)
    place = index - mask.offsets[owner[index]]
    parts = [stream.read(own) for stream in streams.values()]
    return np.concatenate([part.values[part.offsets[at] + place] for part in parts], 1)

  if any(stream.on_disk for stream in streams.values()):
    return Rows((len(owner), sum(stream.width for stream in streams.values())), read), present, owner
  x = [stream.read(np.arange(len(examples))).values for stream in streams.values()]
  return (x[0] if len(x) == 1 else np.concatenate(x, 1)).astype(np.float32, copy=False), present, owner


def _reordered(x: np.ndarray | Rows, order: np.ndarray | slice) -> np.ndarray | Rows:
  if isinstance(x, Rows) and not isinstance(order, slice):
    return Rows(x.shape, lambda index: x[order[index]])
  return x if isinstance(order, slice) else x[order]


def position(owner: np.ndarray) -> np.ndarray:
  """The number of a row among those of its example, from 0; [N] as `owner`, ascending."""
  return np.arange(len(owner)) - np.searchsorted(owner, owner)


def _refuse_unlike(examples: Examples, lengths: Mapping[str, np.ndarray]) -> None:
  """Refuses what has not as many steps in every example as the first of `lengths`, name -> [N]."""
  (first, wanted), *others = lengths.items()
  for name, own in others:
    unlike = np.flatnonzero(own != wanted)
    if len(unlike):
      i = unlike[0]
      raise UserError(
        f'corpus {examples.name!r}, split {str(examples.part[i])!r}: {name} has {own[i]} steps where {first} has '
        f'{wanted[i]} (id {str(examples.id[i])!r}); prepare it with features at the rate of the labels'
      )


def _videos_together(part: np.ndarray, item: np.ndarray) -> np.ndarray | slice:
  """An order of rows in which those of an item stand together within a part, items as they first appear."""
  code = lambda values: np.unique(values, return_inverse=True)[1]
  both = code(part) * (len(item) + 1) + code(item)
  _, first, inverse = np.unique(both, return_index=True, return_inverse=True)
  order = np.argsort(first[inverse], kind='stable')
  return slice(None) if (order[1:] > order[:-1]).all() else order  # in order already: nothing is copied
