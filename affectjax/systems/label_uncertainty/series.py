"""Recordings that several raters marked over time, at one rate of labels, whatever the corpus."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.data import features, folds, store
from affectjax.data.corpus import Columns, Corpus
from affectjax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Recording:
  """One recording.

  Attributes:
    id, group, split: of the recording; `group` is what must not leak (speaker, conversation, film segment).
    rate: labels per second.
    x: [T, D] float32 features (or waveform, D = 640); x_mask: [T] bool, whether there are any.
    ratings: [T, R, A] float32 in [-1, 1], NaN where a rater has none.
    true: [T, A, 3] float32 location, scale and degrees of freedom of the twin's true distribution, or None.
  """

  id: str
  group: str
  split: str
  rate: float
  x: np.ndarray
  x_mask: np.ndarray
  ratings: np.ndarray
  true: np.ndarray | None

  def __len__(self) -> int:
    return len(self.ratings)


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

  def part(self, keep: Sequence[int]) -> 'Series':
    """The recordings at these places."""
    return dataclasses.replace(self, recordings=tuple(self.recordings[i] for i in keep))


def load(config: Mapping[str, Any], name: str, data_dir: str | None) -> Series:
  """A corpus of a config as recordings; cached, for a table's cells share it."""
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  data = config['data']
  if not data['modalities'] or ('waveform' in data['modalities'] and len(data['modalities']) > 1):
    raise UserError(f'run.data.modalities is {tuple(data["modalities"])}; expected features, or the waveform alone')
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), tuple(data['modalities']), tuple(data['summary']),
               data['rate_hz'])  # fmt: skip


@functools.lru_cache(maxsize=4)
def _load(name, data_dir, knobs, modalities, summary, rate) -> Series:
  corpus = store.open_corpus(name, data_dir, **json.loads(knobs))
  for key in summary:
    if key not in features.SUMMARIES:
      raise unknown('summary in run.data.summary', key, features.SUMMARIES)
  recordings = [r for split in corpus.counts for r in _recordings(corpus, split, modalities, summary)]
  waveform = modalities == ('waveform',)
  if rate and waveform:
    raise UserError('run.data.rate_hz must be 0 with a waveform: averaged samples are no sound')
  if rate:
    recordings = [resample(r, rate) for r in recordings]
  return Series(name, tuple(corpus.meta['attributes']), waveform, tuple(recordings))


def _recordings(corpus: Corpus, split: str, modalities, summary) -> list[Recording]:
  columns = corpus.columns(split)
  for key in (*modalities, 'ratings', 'group', 'item'):
    if key not in columns:
      raise UserError(f'corpus {corpus.name!r} has no {key!r}; it has {", ".join(sorted(columns))}')
  items = columns['item']
  starts = np.flatnonzero(np.r_[True, items[1:] != items[:-1]])
  if len(set(items.tolist())) != len(starts):
    raise UserError(f'corpus {corpus.name!r}, split {split!r}: the examples of an item do not stand together')
  return [
    _recording(corpus, columns, split, range(first, last), modalities, summary)
    for first, last in zip(starts, np.append(starts[1:], len(items)), strict=True)
  ]


def _recording(corpus: Corpus, columns: Columns, split: str, rows: range, modalities, summary) -> Recording:
  """One item: a single example with many labels, or many examples one after the other (a film, second by second)."""
  attributes = corpus.meta['attributes']
  ratings = np.concatenate([np.where(columns['ratings_mask'][i], columns['ratings'][i], np.nan) for i in rows])
  steps = [len(columns['ratings'][i]) for i in rows]
  streams, masks = [], []
  for name in modalities:
    aligned = [
      align(columns[name][i], columns[f'{name}_mask'][i], n, summary) for i, n in zip(rows, steps, strict=True)
    ]
    streams.append(np.concatenate([x for x, _ in aligned]))
    masks.append(np.concatenate([m for _, m in aligned]))
  true = None
  if all(f'{a}_true' in columns for a in attributes):
    true = np.stack([np.concatenate([columns[f'{a}_true'][i] for i in rows]) for a in attributes], 1)
  return Recording(
    str(columns['item'][rows[0]]), str(columns['group'][rows[0]]), split,
    _label_rate(corpus, columns, rows[0], modalities[0]), np.concatenate(streams, 1), np.all(masks, 0),
    ratings.astype(np.float32), true,
  )  # fmt: skip


def _label_rate(corpus: Corpus, columns: Columns, row: int, modality: str) -> float:
  """Labels per second: the example's own word, or what follows from the rate of its features."""
  if 'label_rate_hz' in columns:
    return float(columns['label_rate_hz'][row])
  rate = corpus.meta['rate_hz'][modality]
  if rate is None:
    raise UserError(f'corpus {corpus.name!r} says neither label_rate_hz nor the rate of {modality!r}')
  return float(rate) * len(columns['ratings'][row]) / len(columns[modality][row])


def align(x: np.ndarray, mask: np.ndarray, steps: int, summary: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
  """Features at the rate of the labels of the same stretch of time.

  Args:
    x: [T, D] features; mask: [T] whether they are real.
    steps: S, number of labels.
    summary: where several frames fall upon a label, what describes them; else a label takes the frame it lies in.

  Returns:
    [S, D] (times the number of summaries if T > S) float32, and [S] bool.
  """
  if len(x) == steps:
    return x, mask
  if len(x) == 0:
    raise UserError('a recording has no frame of features; leave it out when the corpus is prepared')
  if len(x) < steps:
    at = np.arange(steps) * len(x) // steps
    return x[at], mask[at]
  if not summary:
    raise UserError('run.data.summary is empty, but there are more frames than labels; name mean, std or max')
  edges = np.linspace(0, len(x), steps + 1).round().astype(int)
  pieces = [x[a:b][mask[a:b]] for a, b in zip(edges[:-1], edges[1:], strict=True)]
  present = np.array([len(p) > 0 for p in pieces])
  width = x.shape[1] * len(summary)
  rows = [np.concatenate([features.SUMMARIES[s](p, 0) for s in summary]) if len(p) else np.zeros(width) for p in pieces]
  return np.array(rows, np.float32), present


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
    recording, rate=float(rate), x=np.where(x_mask[:, None], x, 0), x_mask=x_mask,
    ratings=average(recording.ratings, np.isfinite(recording.ratings)), true=true,
  )  # fmt: skip


def split(series: Series, config: Mapping[str, Any]) -> dict[str, Series]:
  """Recordings for training, dev (which selects) and test (which is reported); groups never lie on two sides.

  `data.split` 'official': the corpus's partitions, reported on its test partition. 'official_dev': reported on its dev
  partition, as one must where the test labels are withheld; `data.held_out` training groups select. 'values': each
  group is a fold.
  """
  data, groups = config['data'], [r.group for r in series.recordings]
  partition = {s: [i for i, r in enumerate(series.recordings) if r.split == s] for s in ('train', 'dev', 'test')}
  if data['split'] == 'values':
    if not str(config['fold']).isdigit():
      raise UserError("run.data.split 'values' needs folds, but the row has run.per_fold False; set it to True")
    rows = folds.by_value(groups, int(config['fold']))
  elif data['split'] == 'official':
    rows = partition
  elif data['split'] == 'official_dev':
    names = sorted({groups[i] for i in partition['train']})
    held = np.random.default_rng(data['seed']).permutation(names)[: data['held_out']].tolist()
    rows = {
      'train': [i for i in partition['train'] if groups[i] not in held],
      'dev': [i for i in partition['train'] if groups[i] in held], 'test': partition['dev'],
    }  # fmt: skip
  else:
    raise unknown('run.data.split', data['split'], ('official', 'official_dev', 'values'))
  for side, kept in rows.items():
    if not len(kept):
      there = ', '.join(sorted({r.split for r in series.recordings}))
      raise UserError(f'{series.name}: run.data.split {data["split"]!r} leaves no {side} recording; it has: {there}')
  folds.refuse_leak({side: [groups[i] for i in kept] for side, kept in rows.items()}, 'group')
  return {side: series.part([int(i) for i in kept]) for side, kept in rows.items()}


def choose_raters(ratings: np.ndarray, count: int, seed: int, reserve: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Deals a recording's raters to training and to the others: `count` of those who marked anything, 0 for all.

  The order of slots depends on `seed` alone, so that a rater of all recordings is on one side in all of them.

  Args:
    ratings: [T, R, A], NaN where there is none.
    count: raters for training.
    seed: of the draw.
    reserve: raters who are kept from the others, 0 for `count`: rows that train on unequally many raters have the same
      others if they reserve as many.

  Returns:
    (training [R] bool, others [R] bool).
  """
  there = np.isfinite(ratings).any((0, 2))
  if not count:
    return there, np.zeros_like(there)
  order = np.random.default_rng((seed, 71)).permutation(len(there))
  chosen, others = np.zeros_like(there), np.zeros_like(there)
  present = [r for r in order if there[r]]
  chosen[present[:count]] = True
  others[present[max(count, reserve) :]] = True
  return chosen, others


def only(ratings: np.ndarray, raters: np.ndarray) -> np.ndarray:
  """The ratings [T, R, A] of these raters [R] bool, NaN for the others."""
  return np.where(raters[:, None], ratings, np.nan)


def shift(ratings: np.ndarray, delays: Sequence[float], rate: float) -> np.ndarray:
  """Marks moved to the moment they are about, `delays` [A] s earlier; the end then has none.

  Args:
    ratings: [T, ..., A], NaN where there is none.
    delays: s, per attribute.
    rate: labels per second.
  """
  out = np.full_like(ratings, np.nan)
  for a, delay in enumerate(delays):
    lag = min(round(delay * rate), len(ratings))
    out[: len(ratings) - lag, ..., a] = ratings[lag:, ..., a]
  return out
