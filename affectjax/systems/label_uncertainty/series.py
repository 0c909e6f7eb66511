"""Recordings that several raters marked over time, at one rate of labels, made from the examples of any corpus."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.data import features
from affectjax.data.corpus import Ragged
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape
from affectjax.examples.examples import Examples


@dataclasses.dataclass(frozen=True)
class Recording:
  """One recording.

  Attributes:
    id, group: of the recording; `group` is what must not leak (speaker, conversation, film segment).
    rate: labels per second.
    source: `x`, or a function that reads it.
    x_mask: [T] bool, whether there are features.
    ratings: [T, R, A] float32 in [-1, 1], NaN where a rater has none.
    true: [T, A, 3] float32 location, scale and degrees of freedom of the twin's true distribution, or None.
  """

  id: str
  group: str
  rate: float
  source: np.ndarray | Callable[[], np.ndarray]
  x_mask: np.ndarray
  ratings: np.ndarray
  true: np.ndarray | None

  def __len__(self) -> int:
    return len(self.ratings)

  @property
  def on_disk(self) -> bool:
    """Whether features are read when they are asked for."""
    return callable(self.source)

  @property
  def x(self) -> np.ndarray:
    """[T, D] float32 features (or waveform, D = 640)."""
    return self.source() if callable(self.source) else self.source


@dataclasses.dataclass(frozen=True)
class Series:
  """A corpus as recordings, in its own order.

  Attributes:
    attributes: names along the last axis of `ratings`.
    waveform: x are samples of sound, not features.
  """

  name: str
  attributes: tuple[str, ...]
  waveform: bool
  recordings: tuple[Recording, ...]

  def take(self, index: Sequence[int] | np.ndarray) -> 'Series':
    """The recordings at `index`, in that order."""
    return dataclasses.replace(self, recordings=tuple(self.recordings[i] for i in index))


def load(config: Mapping[str, Any], data_dir: str | None, corpus: str) -> Examples:
  """The examples of one of a config's corpora, with the frames of `run.data.modalities`."""
  modalities = tuple(config['data']['modalities'])
  if not modalities or ('waveform' in modalities and len(modalities) > 1):
    raise UserError(f'run.data.modalities is {modalities}; expected features, or the waveform alone')
  return examples_lib.load(config, data_dir, modalities, corpus)


def starts(examples: Examples) -> np.ndarray:
  """Index [M] of the first example of each of M recordings: a recording is an item, within its part of the corpus."""
  item, part = examples.item, examples.part
  first = np.flatnonzero(np.r_[True, (item[1:] != item[:-1]) | (part[1:] != part[:-1])][: len(examples)])
  if len(set(zip(item.tolist(), part.tolist(), strict=True))) < len(first):
    raise UserError(f'corpus {examples.name!r}: the examples of an item do not stand together')
  return first


def per_recording(examples: Examples) -> Examples:
  """One example per recording, with the columns of its first and no frames: what a split deals out."""
  first = starts(examples)
  item = examples.item[first]
  columns = {k: v[first] for k, v in examples.columns.items() if not isinstance(v, Ragged)}
  return Examples(examples.name, item, examples.group[first], item, examples.part[first], {}, {}, columns,
                  examples.meta)  # fmt: skip


@functools.lru_cache(maxsize=4)
def of(examples: Examples, summary: tuple[str, ...], rate: float) -> Series:
  """The recordings of a corpus by a config's `summary` and `rate_hz`; kept, for a table's cells share them."""
  for key in summary:
    refuse_unknown('summary in run.data.summary', key, features.SUMMARIES)
  waveform = tuple(examples.streams) == ('waveform',)
  if rate and waveform:
    raise UserError('run.data.rate_hz must be 0 with a waveform: averaged samples are no sound')
  first = starts(examples)
  bounds = zip(first, np.append(first[1:], len(examples)), strict=True)
  recordings = [_recording(examples, np.arange(a, b), summary, rate) for a, b in bounds]
  return Series(examples.name, tuple(examples.meta['attributes']), waveform, tuple(recordings))


def _recording(examples: Examples, index: np.ndarray, summary: Sequence[str], rate: float) -> Recording:
  """One item: a single example with many labels, or many examples one after the other (a film, second by second)."""
  whole = functools.partial(_read, examples, index, summary, rate)
  return dataclasses.replace(whole(), source=lambda: whole().x) if examples.on_disk else whole()


def _read(examples: Examples, index: np.ndarray, summary: Sequence[str], rate: float) -> Recording:
  """`_recording` with its features in memory, at `rate` labels per second, or their own for 0."""
  given, mask = (examples.series(key).take(index) for key in ('ratings', 'ratings_mask'))
  ratings = np.where(mask.values, given.values, np.nan)
  x, x_mask = frames(examples, index, given.lengths, summary)
  true, names = None, [f'{a}_true' for a in examples.meta['attributes']]
  if all(name in examples.columns for name in names):
    true = np.stack([examples.series(name).take(index).values for name in names], 1)
  made = Recording(str(examples.item[index[0]]), str(examples.group[index[0]]), _label_rate(examples, index[0]), x,
                   x_mask, ratings.astype(np.float32), true)  # fmt: skip
  return resample(made, rate) if rate else made


def _label_rate(examples: Examples, i: int) -> float:
  """Labels per second: the example's own, or what follows from the rate of its features."""
  if 'label_rate_hz' in examples.columns:
    return float(examples.column('label_rate_hz')[i])
  modality, stream = next(iter(examples.streams.items()))
  rate = examples.meta['rate_hz'][modality]
  if rate is None:
    raise UserError(f'corpus {examples.name!r} has neither label_rate_hz nor a rate of {modality!r}')
  return float(rate) * len(examples.series('ratings')[i]) / len(stream.mask[i])


def frames(
  examples: Examples, index: np.ndarray, steps: Sequence[int] | np.ndarray, summary: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
  """The features of all modalities of examples in a row, one after the other, at the rate of the labels.

  Args:
    examples: with the frames of those modalities.
    index: [N] of the examples.
    steps: [N] labels of each; S altogether.
    summary: see `shape.align`.

  Returns:
    [S, D] float32, the modalities side by side, and [S] bool, where all of them are real.
  """
  values, masks = [], []
  for stream in examples.streams.values():
    x, mask = stream.read(index), stream.mask.take(index)
    aligned = [shape.align(x[i], mask[i], n, summary) for i, n in enumerate(steps)]
    values.append(np.concatenate([v for v, _ in aligned]))
    masks.append(np.concatenate([m for _, m in aligned]))
  return np.concatenate(values, 1), np.all(masks, 0)


def resample(recording: Recording, rate: float) -> Recording:
  """Fewer labels per second: marks and features are averaged over the frames of each step (missing ones left out)."""
  if rate >= recording.rate:
    if rate > recording.rate * 1.001:
      raise UserError(
        f'recording {recording.id!r}: run.data.rate_hz {rate:g}, but it has {recording.rate:g} labels per s'
      )
    return recording
  step = (np.arange(len(recording)) / recording.rate * rate + 1e-9).astype(int)
  count = step[-1] + 1

  def average(values, weight):  # [T, ...], bool of the same shape
    flat, w = np.where(weight, values, 0).reshape(len(step), -1), weight.reshape(len(step), -1)
    starts = np.searchsorted(step, np.arange(count))
    total, n = np.add.reduceat(flat, starts, dtype=np.float64), np.add.reduceat(w.astype(np.int64), starts)
    mean = np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
    return mean.reshape(count, *values.shape[1:]).astype(np.float32)

  x = average(recording.x, np.broadcast_to(recording.x_mask[:, None], recording.x.shape))
  x_mask = np.isfinite(x).all(1)
  true = recording.true
  if true is not None:
    df = true[np.searchsorted(step, np.arange(count)), :, 2:]  # inf does not average
    true = np.concatenate([average(true[..., :2], np.ones(true[..., :2].shape, bool)), df], -1)
  return dataclasses.replace(
    recording, rate=float(rate), source=np.where(x_mask[:, None], x, 0), x_mask=x_mask,
    ratings=average(recording.ratings, np.isfinite(recording.ratings)), true=true,
  )  # fmt: skip
