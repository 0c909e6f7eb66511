"""Clips with audio, visual or both: a corpus in memory, its sides, what is paired, what is asked of whom."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax import raters
from affectjax.data import features, folds, store
from affectjax.data.context import reach
from affectjax.data.corpus import Corpus, Named, Ragged
from affectjax.errors import UserError, unknown

SPLITS = ('partitions', 'folds', 'values')
SIDES = ('train', 'dev', 'test')
STREAMS = ('audio', 'visual')


@dataclasses.dataclass(frozen=True)
class Clips(Named):
  """All clips of a corpus, in its own order.

  Attributes:
    name: of the corpus.
    id, group, item: [N] str.
    streams: modality -> its frames; masks: modality -> [T] bool of each clip.
    present: modality -> [N] bool, of the corpus's modalities that are not read as well.
    columns: whatever else the corpus says of a clip, [N, ...] each.
    meta: of the corpus.
  """

  name: str
  id: np.ndarray
  group: np.ndarray
  item: np.ndarray
  streams: Mapping[str, Ragged]
  masks: Mapping[str, Ragged]
  present: Mapping[str, np.ndarray]
  columns: Mapping[str, np.ndarray]
  meta: Mapping[str, Any]


def load(config: Mapping[str, Any], data_dir: str | None) -> Clips:
  """The clips of a config's corpus; cached, for a table's cells share them."""
  name, data = config['corpora'][0], config['data']
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  for m in data['modalities']:
    if m not in STREAMS:
      raise unknown('modality in run.data.modalities', m, STREAMS)
  pool = tuple((m, data['pool'].get(m, 1)) for m in STREAMS if m in data['modalities'])
  if any(n < 1 for _, n in pool) or data['context'] < 1:
    raise UserError(f'run.data.pool {dict(pool)}, context {data["context"]}; expected whole numbers from 1')
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), pool, data['context'])


@functools.lru_cache(maxsize=4)
def _load(name, data_dir, knobs, pool, context) -> Clips:
  corpus = store.open_corpus(name, data_dir, **json.loads(knobs))
  parts = [_split(corpus, split, pool, context) for split in corpus.counts]
  join = lambda values: np.concatenate(list(values))
  columns = set.intersection(*(set(p.columns) for p in parts))
  laid = lambda get: {m: Ragged.stack([r[i] for p in parts for r in [get(p)[m]] for i in range(len(r))])
                        for m, _ in pool}  # fmt: skip
  one = len(parts) == 1
  return Clips(
    name, *(join(getattr(p, k) for p in parts) for k in ('id', 'group', 'item')),
    parts[0].streams if one else laid(lambda p: p.streams), parts[0].masks if one else laid(lambda p: p.masks),
    {m: join(p.present[m] for p in parts) for m in parts[0].present},
    {k: join(p.columns[k] for p in parts) for k in sorted(columns)}, corpus.meta,
  )  # fmt: skip


def _split(corpus: Corpus, split: str, pool, context: int) -> Clips:
  columns = corpus.columns(split)
  for m, _ in pool:
    if m not in columns:
      raise UserError(f'corpus {corpus.name!r} has no {m!r}; it has {", ".join(sorted(columns))}')
  n = len(columns['id'])
  starts = reach(columns['item'], context)
  found = {m: _pooled(columns[m], columns[f'{m}_mask'], starts, size) for m, size in pool}
  masks = {m: columns[f'{m}_mask'] for m in STREAMS if f'{m}_mask' in columns} | {m: k for m, (_, k) in found.items()}
  there = {m: np.array([mask[i].any() for i in range(n)]) for m, mask in masks.items()}
  taken = {'id', 'group', 'item', 'ratings', *(k for m in STREAMS for k in (m, f'{m}_mask', f'{m}_present'))}
  plain = {k: v for k, v in columns.items() if k not in taken and not isinstance(v, Ragged)}
  return Clips(corpus.name, columns['id'], columns['group'], columns['item'], {m: x for m, (x, _) in found.items()},
               {m: mask for m, (_, mask) in found.items()}, there, plain, corpus.meta)  # fmt: skip


def _pooled(x: Ragged, mask: Ragged, starts: np.ndarray, size: int) -> tuple[Ragged, Ragged]:
  """Frames of examples start .. i as one sequence each, `size` real frames in a row averaged."""
  n = len(x)
  if size == 1 and (starts == np.arange(n)).all():
    return x, mask
  out, masks = [], []
  for i in range(n):
    rows = slice(x.offsets[starts[i]], x.offsets[i + 1])
    values, good = x.values[rows], mask.values[rows]
    edges = np.arange(0, len(values), size)
    count = np.add.reduceat(good.astype(np.int64), edges) if len(values) else np.zeros(0, np.int64)
    total = np.add.reduceat(np.where(good[:, None], values, 0), edges) if len(values) else values
    out.append((total / np.maximum(count, 1)[:, None]).astype(np.float32))
    masks.append(count > 0)
  return Ragged.stack(out), Ragged.stack(masks)


def limited(rows: np.ndarray, data: Mapping[str, Any]) -> np.ndarray:
  """Of the training rows `data.train_clips`, drawn by `data.seed`, in their order; all for 0."""
  if data['train_clips'] < 0:
    raise UserError(f'run.data.train_clips is {data["train_clips"]}; expected a number of clips, or 0 for all')
  if not data['train_clips']:
    return rows
  return np.sort(np.random.default_rng((data['seed'], 8)).permutation(rows)[: data['train_clips']])


def sides(clips: Clips, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Rows of train, dev and test, groups apart: the corpus's partitions, grouped folds, or each group a fold."""
  data, fold = config['data'], config['fold']
  if data['split'] not in SPLITS:
    raise unknown('run.data.split', data['split'], SPLITS)
  if not str(fold).isdigit():
    raise UserError(f'run.data.split {data["split"]!r} needs folds, but the row has run.per_fold False; set it to True')
  if data['split'] == 'partitions':
    rows = partition(clips, int(fold))
  elif data['split'] == 'folds':
    rows = folds.split(clips.group, data['folds'], int(fold), data['seed'])
  else:
    rows = folds.by_value(clips.group, int(fold))
  folds.refuse_leak({side: clips.group[at] for side, at in rows.items()}, 'group')
  return rows


def partition(clips: Clips, fold: int) -> dict[str, np.ndarray]:
  """Rows of the corpus's own partition number `fold`, from 0."""
  told = clips.column('partitions')  # [N, P]
  if not 0 <= fold < told.shape[1]:
    raise unknown(f'fold; the partitions of {clips.name} are', fold, range(told.shape[1]))
  rows = {side: np.flatnonzero(told[:, fold] == i) for i, side in enumerate(SIDES)}
  for side, at in rows.items():
    if not len(at):
      raise UserError(f'{clips.name}: partition {fold + 1} has no {side} clip; prepare the corpus with its partitions '
                      "(vavl_folds.csv), or set run.data.split to 'folds'")  # fmt: skip
  return rows


def labels(clips: Clips, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """What is to be predicted of every clip.

  Returns:
    `label`: [N] int32, -1 for none, and `shares` [N, K] float32 of the votes if these are asked for; or of regression
    [N, A] float32 in [-1, 1], NaN for none.
  """
  target = config['target']
  if target['kind'] == 'regression':
    return {'label': np.stack([clips.column(a).astype(np.float32) for a in target['names']], 1)}
  if target['merge']:
    votes = merged(clips, target)
    label = raters.plurality(votes)
  else:
    label = clips.column(target['label']).astype(np.int64)
    refuse_other_classes(clips, target['names'])
    votes = clips.columns.get('votes')
  out = {'label': label.astype(np.int32)}
  if target['soft']:
    if votes is None:
      raise UserError(f'run.target.soft: corpus {clips.name!r} has no votes; set it to False')
    out['shares'] = np.nan_to_num(raters.soft_label(votes)).astype(np.float32)
  return out


def refuse_other_classes(clips: Clips, names: Sequence[str]) -> None:
  """Refuses classes that are not the corpus's own, in its order."""
  if tuple(names) != tuple(clips.meta['emotions']):
    raise UserError(f'run.target.names is {", ".join(names)}; the classes of {clips.name} are '
                    f'{", ".join(clips.meta["emotions"])}')  # fmt: skip


def merged(clips: Clips, target: Mapping[str, Any]) -> np.ndarray:
  """Votes [N, K] for classes that are made of several of the corpus's: `merge` maps a class to theirs."""
  known = {name: i for i, name in enumerate(clips.meta['emotions'])}
  votes = np.zeros((len(clips), len(target['names'])), np.float32)
  for k, name in enumerate(target['names']):
    if name not in target['merge']:
      raise unknown('class in run.target.merge', name, target['merge'])
    for source in target['merge'][name]:
      if source not in known:
        raise unknown(f'class of {clips.name} in run.target.merge.{name}', source, known)
      votes[:, k] += clips.column('votes')[:, known[source]]
  return votes


def presence(clips: Clips, rows: np.ndarray, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Which modalities training is given, [N] bool each: a share keeps both, the rest keep one, half of it each.

  Draws are nested: who is paired at 10 % is so at 50 %, and who has lost a modality lost the same one at 10 %.

  Args:
    clips: all of them.
    rows: of training; the others keep what they have.
    data: `paired`, the share in [0, 1]; `unpaired`, whether the rest is 'kept' or 'left_out'; `seed` of the draw.

  A network of one modality is given no more of it than the others are: the draw is of both, whichever it reads.
  """
  paired = data['paired']
  if data['unpaired'] not in ('kept', 'left_out'):
    raise unknown('run.data.unpaired', data['unpaired'], ('kept', 'left_out'))
  if not 0 <= paired <= 1:
    raise UserError(f'run.data.paired is {paired}; expected a share from 0 to 1')
  out = {m: clips.present[m].copy() for m in clips.streams}
  if paired == 1:
    return out
  order = np.random.default_rng((data['seed'], 9)).permutation(len(rows))
  single = rows[order[round(paired * len(rows)) :]][::-1]  # from the end, so that a larger share takes from the front
  if data['unpaired'] == 'left_out':
    for there in out.values():
      there[single] = False
    return out
  for m, there in out.items():
    i = STREAMS.index(m)
    lost = single[i::2]
    other = clips.present.get(STREAMS[1 - i], np.zeros(len(clips), bool))
    there[lost[other[lost]]] = False  # never the only one
  return out


def drop_draws(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """For each id a number in [0, 1), from which share of dropping on it loses a modality, and whether that is audio."""
  words = np.array([list(hashlib.sha256(f'drop:{i}'.encode()).digest()[:9]) for i in ids.tolist()], np.uint64)
  words = words.reshape(-1, 9)
  number = (words[:, :8] << (8 * np.arange(8, dtype=np.uint64))).sum(1)
  return (number >> np.uint64(11)) / 2.0**53, words[:, 8] % 2 == 0


def standardisers(
  clips: Clips, rows: np.ndarray, present: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
  """Mean and scale per feature and modality over the real frames of the training rows that are given."""
  out = {}
  for m, x in clips.streams.items():
    own = np.zeros(len(clips), bool)
    own[rows] = present[m][rows]
    frames = x.values[own[x.owners()] & clips.masks[m].values]
    if not len(frames):
      raise UserError(f'{clips.name}: no training clip has {m}; leave it out of run.data.modalities')
    out[m] = features.standardiser(frames)
  return out


def group_parts(clips: Clips) -> dict[str, np.ndarray]:
  """[N] int32 parts of the clips by gender (0 male, 1 female) and age (0 below 30, 1 from 45), -1 for neither."""
  out, columns = {}, clips.columns
  if 'gender' in columns:
    gender = columns['gender']
    out['gender'] = np.select([gender == 'male', gender == 'female'], [0, 1], -1).astype(np.int32)
  if 'age' in columns:
    age = columns['age']
    out['age'] = np.select([age < 30, age >= 45], [0, 1], -1).astype(np.int32)
  return out
