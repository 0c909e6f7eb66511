"""Faces, frames or seconds as rows: what MT-CLAR trains on and labels, whatever the corpus."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.data import folds, store
from affectjax.data.context import reach, summarised
from affectjax.data.corpus import Corpus, Ragged
from affectjax.errors import UserError, unknown


@dataclasses.dataclass(frozen=True)
class Frames:
  """All rows of one or more splits of a corpus, videos contiguous and oldest first.

  Attributes:
    x: [N, D] float32 features.
    present: [N] bool, False where no face was found.
    labels: [N, 2] float32 valence and arousal in [-1, 1], NaN where unlabelled.
    emotion: [N] int32 class, -1 for none.
    id, group, item: [N] str; `item` is the video, `group` the person (or whatever must not leak).
    split: [N] str, the corpus's own split.
  """

  x: np.ndarray
  present: np.ndarray
  labels: np.ndarray
  emotion: np.ndarray
  id: np.ndarray
  group: np.ndarray
  item: np.ndarray
  split: np.ndarray

  def __len__(self) -> int:
    return len(self.x)

  @property
  def labelled(self) -> np.ndarray:
    """[N] bool, both labels there."""
    return np.isfinite(self.labels).all(1)


def load(config: Mapping[str, Any], data_dir: str | None) -> Frames:
  """The frames of a config's corpus; cached, for a table's cells share them."""
  name = config['corpora'][0]
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  data = config['data']
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), tuple(data['modalities']),
               tuple(data['summary']), data['context'])  # fmt: skip


@functools.lru_cache(maxsize=4)
def _load(name, data_dir, knobs, modalities, summary, context) -> Frames:
  corpus = store.open_corpus(name, data_dir, **json.loads(knobs))
  parts = [_split(corpus, split, modalities, summary, context) for split in corpus.counts]
  return Frames(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Frames)))


def _split(corpus: Corpus, split: str, modalities, summary, context) -> Frames:
  columns = corpus.columns(split)
  for name in (*modalities, 'valence', 'arousal', 'group', 'item'):
    if name not in columns:
      raise UserError(f'corpus {corpus.name!r} has no {name!r}; it has {sorted(columns)}')
  streams = [columns[m] for m in modalities]
  masks = [columns.get(f'{m}_mask') for m in modalities]
  n, per_frame = len(columns['id']), isinstance(columns['valence'], Ragged)
  if per_frame:  # one label per frame: rows are frames
    for name in (*modalities, 'arousal'):
      _refuse_unlike(corpus.name, split, columns, name)
    owner = columns['valence'].owners()
    x = np.concatenate([s.values for s in streams], 1)
    present = np.all([m.values for m in masks if m is not None] or [np.ones(len(x), bool)], axis=0)
    position = np.arange(len(owner)) - columns['valence'].offsets[:-1][owner]
    number = columns['frame'].values if 'frame' in columns else position
    ids = np.char.add(np.char.add(columns['id'][owner], '/'), np.char.zfill(number.astype(str), 5))
  else:  # one label per example: rows are images, or moments summarised over the recent past
    owner, ids = np.arange(n), columns['id']
    x, present = _moments(streams, masks, columns['item'], summary, context)
  label = lambda k: columns[k].values if isinstance(columns[k], Ragged) else columns[k]
  labels = np.stack([label('valence'), label('arousal')], 1).astype(np.float32)  # [N, 2]
  emotion = label('emotion') if 'emotion' in columns else np.full(len(owner), -1)
  emotion = emotion if len(emotion) == len(owner) else emotion[owner]
  order = np.lexsort((np.arange(len(owner)), _first_seen(columns['item'][owner])))
  return Frames(
    *(v[order] for v in (
      x.astype(np.float32), present, labels, emotion.astype(np.int32), ids, columns['group'][owner],
      columns['item'][owner], np.full(len(owner), split),
    ))
  )  # fmt: skip


def _refuse_unlike(corpus: str, split: str, columns, name: str) -> None:
  """Refuses a column that has not as many steps as there are labels."""
  unlike = np.flatnonzero(columns[name].lengths != columns['valence'].lengths)
  if len(unlike):
    i = unlike[0]
    raise UserError(
      f'corpus {corpus!r}, split {split!r}: {name} has {columns[name].lengths[i]} steps where valence has '
      f'{columns["valence"].lengths[i]} (id {str(columns["id"][i])!r}); prepare it with features at the '
      'rate of the labels'
    )


def _first_seen(values: np.ndarray) -> np.ndarray:
  """Integer codes in order of first appearance, [N]."""
  _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
  return np.argsort(np.argsort(first))[inverse]


def _moments(streams, masks, items, summary, context):
  """Streams of T_i steps per example -> [N, D * summaries] over the last `context` examples of the same item.

  A single step per example (an image) is passed on as it is.
  """
  if all(len(s.values) == len(s) for s in streams):
    present = np.all([m.values for m in masks if m is not None] or [np.ones(len(items), bool)], axis=0)
    return np.concatenate([s.values for s in streams], 1), present
  first = reach(items, context)  # never into the item before
  found = [summarised(stream, mask, first, summary) for stream, mask in zip(streams, masks, strict=True)]
  return np.concatenate([x for x, _ in found], 1), np.all([there for _, there in found], axis=0)


def split_rows(frames: Frames, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Rows of 'train', 'dev' and 'test', groups apart; a leak is refused with its ids.

  `data.split` is 'folds' (grouped k folds: test is `fold`, dev the next), 'values' (every group its own fold) or
  'official' (dev is a stratified share `data.dev` of train; test the corpus's own 'val').
  """
  data, fold = config['data'], config['fold']
  if data['split'] in ('folds', 'values') and not str(fold).isdigit():
    raise UserError(f'run.data.split {data["split"]!r} needs folds, but the row has run.per_fold False; set it to True')
  if data['split'] == 'official':
    rows = _official(frames, data['dev'], data['seed'])
  elif data['split'] == 'folds':
    rows = folds.split(frames.group, data['folds'], int(fold), data['seed'])
  elif data['split'] == 'values':
    rows = folds.by_value(frames.group, int(fold))
  else:
    raise unknown('run.data.split', data['split'], ('folds', 'values', 'official'))
  folds.refuse_leak({k: frames.group[v] for k, v in rows.items()}, 'group')
  return rows


def _official(frames: Frames, share: float, seed: int) -> dict[str, np.ndarray]:
  train, test = np.flatnonzero(frames.split == 'train'), np.flatnonzero(frames.split == 'val')
  if not (len(train) and len(test)):
    there = ', '.join(sorted(set(frames.split.tolist())))
    raise UserError(f"run.data.split 'official' needs the corpus's own splits train and val; there is: {there}")
  rng, dev = np.random.default_rng(seed), []
  for label in np.unique(frames.emotion[train]):
    rows = train[frames.emotion[train] == label]
    dev.append(rng.permutation(rows)[: max(1, round(share * len(rows)))])
  dev = np.sort(np.concatenate(dev))
  return {'train': np.setdiff1d(train, dev), 'dev': dev, 'test': test}
