"""Utterances with cached embeddings per modality and raters' votes: a corpus in memory, its labels, its sides."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax import label_rules, raters
from affectjax.data import corpus as corpus_lib
from affectjax.data import features, folds, store
from affectjax.data.context import reach, summarised
from affectjax.data.corpus import Corpus, Named, Ragged
from affectjax.errors import UserError, unknown
from affectjax.objectives import distributions

LEVELS = 9  # and one for all others
SPLITS = ('values', 'folds', 'official', 'stratified')
OFFICIAL = ('train', 'dev', 'test')


@dataclasses.dataclass(frozen=True)
class Items(Named):
  """All utterances of a corpus, in its own order.

  Attributes:
    name: of the corpus.
    id, group, item: [N] str.
    streams: modality -> frames of each utterance; a single one if they were summarised.
    masks: modality -> [T] bool of each, real frames.
    columns: whatever else the corpus says of an utterance, [N, ...] each.
    meta: of the corpus.
  """

  name: str
  id: np.ndarray
  group: np.ndarray
  item: np.ndarray
  streams: Mapping[str, Ragged]
  masks: Mapping[str, Ragged]
  columns: Mapping[str, np.ndarray]
  meta: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Labels:
  """What raters said of every utterance, over the task's classes.

  Attributes:
    votes: [N, K] float32; all 0 where the label rule keeps nothing.
    shares: [N, K] float32, NaN where nothing is kept.
    emotion: [N] int32 plurality, -1 on a tie or where nothing is kept.
    first: [N] int32 the first class in order of those with most votes, -1 where nothing is kept.
    level: [N] int32 ambiguity level, -1 where nothing is kept.
  """

  votes: np.ndarray
  shares: np.ndarray
  emotion: np.ndarray
  first: np.ndarray
  level: np.ndarray

  @property
  def kept(self) -> np.ndarray:
    """[N] bool."""
    return self.first >= 0


def load(config: Mapping[str, Any], data_dir: str | None, embedded: bool = True) -> Items:
  """The utterances of a config's corpus; cached, for a table's cells share them. Not `embedded`: votes alone."""
  name, data = config['corpora'][0], config['data']
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  if embedded and len(set(data['modalities'])) < max(1, len(data['modalities'])):
    raise UserError(f'run.data.modalities is {data["modalities"]}; expected one or more, none twice')
  if data['context'] < 1:
    raise UserError(f'run.data.context is {data["context"]}; expected a number of examples from 1')
  modalities = tuple(data['modalities']) if embedded else ()
  summary = None if data['frames'] else tuple(data['summary'])
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), modalities, summary, data['context'])


@functools.lru_cache(maxsize=2)
def _load(name, data_dir, knobs, modalities, summary, context) -> Items:
  corpus = store.open_corpus(name, data_dir, **json.loads(knobs))
  parts = [_split(corpus, split, modalities, summary, context) for split in corpus.counts]
  if len(parts) == 1:
    return parts[0]
  join = lambda values: np.concatenate(list(values))
  laid = lambda of, m: Ragged.stack([x for p in parts for x in (of(p)[m][i] for i in range(len(p)))])
  shared = set.intersection(*(set(p.columns) for p in parts))
  return Items(
    name, *(join(getattr(p, k) for p in parts) for k in ('id', 'group', 'item')),
    {m: laid(lambda p: p.streams, m) for m in modalities}, {m: laid(lambda p: p.masks, m) for m in modalities},
    {k: join(p.columns[k] for p in parts) for k in sorted(shared)}, corpus.meta,
  )  # fmt: skip


def _split(corpus: Corpus, split: str, modalities, summary, context: int) -> Items:
  columns = corpus.columns(split)
  for m in modalities:
    if m not in corpus.meta['modalities']:
      raise unknown(f'modality of {corpus.name} in run.data.modalities', m, corpus.meta['modalities'])
  streams, masks = {}, {}
  for m in modalities:
    streams[m], masks[m] = columns[m], columns[f'{m}_mask']
    if summary is not None and (context > 1 or (streams[m].lengths != 1).any()):
      x, there = summarised(streams[m], masks[m], reach(columns['item'], context), summary)
      offsets = np.arange(len(x) + 1)
      streams[m], masks[m] = Ragged(x, offsets), Ragged(there, offsets)
  taken = {'id', 'group', 'item', *(f'{m}{end}' for m in corpus.meta['modalities'] for end in ('', '_mask'))}
  plain = {k: v for k, v in columns.items() if k not in taken and not isinstance(v, Ragged)}
  return Items(corpus.name, columns['id'], columns['group'], columns['item'], streams, masks, plain, corpus.meta)


def classes_of(items: Items, column: str) -> list[str]:
  """The names along the last axis of a column of votes."""
  return list(items.meta.get('vote_classes', {}).get(column, items.meta['emotions']))


def votes_of(items: Items, target: Mapping[str, Any], columns: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Votes [N, K] for the task's classes and [N] votes for others, added up over columns of votes."""
  if not columns:
    raise UserError('run.target.votes is empty; expected one or more columns of votes')
  votes = sum(items.column(c).astype(np.float64) for c in columns)
  names = {tuple(classes_of(items, c)) for c in columns}
  if len(names) > 1:
    raise UserError(f'run.target.votes: {", ".join(columns)} of {items.name} are over different classes')
  return label_rules.merged(votes, names.pop(), target['names'], target['merge'])


def label(items: Items, target: Mapping[str, Any]) -> Labels:
  """The label distributions of a config's `target`: `votes`, `names`, `merge`, `rule`, `least`, `levels`."""
  inside, outside = votes_of(items, target, tuple(target['votes']))
  voters = items.columns.get('voters') if tuple(target['votes']) == ('votes',) else None  # it is of that column
  agreed = None
  if target['rule'] == 'consensus':
    source = classes_of(items, 'votes')
    wanted = {source.index(part) for name in target['names'] for part in target['merge'].get(name, (name,))}
    agreed = np.isin(items.column('consensus'), list(wanted))
  kept = label_rules.kept(inside, outside, target['rule'], target['least'], voters, agreed)
  if not kept.any():
    raise UserError(f'{items.name}: the rule {target["rule"]!r} (run.target) keeps no utterance of {len(items)}')
  how = target['levels']
  if not how or len(how) > LEVELS or list(how) != sorted(how) or target['least'] < 1:
    raise UserError(f'run.target.levels is {tuple(how)}, least {target["least"]}; expected up to {LEVELS} entropies in '
                    'ascending order or one number of bins, and 1 vote or more')  # fmt: skip
  level = label_rules.levels(inside, kept, how[0] if len(how) == 1 and isinstance(how[0], int) else tuple(how))
  return told(np.where(kept[:, None], inside, 0.0), level)


def truth(items: Items, labels: Labels, target: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """What a synthetic twin knows besides, of whom the rule keeps: {} for a corpus that has no such columns.

  Returns:
    `true_shares` [N, K] float32, the distribution that raters drew from, within the task's classes; NaN where there is
    no label. `reason` [N] int32 why raters disagree, of the twin's reasons; -1 where there is no label.
  """
  out = {}
  if 'truth' in items.columns:
    inside, _ = label_rules.merged(items.columns['truth'], classes_of(items, 'votes'), target['names'], target['merge'])
    inside = np.where(labels.kept[:, None], inside, 0.0)
    out['true_shares'] = raters.soft_label(inside).astype(np.float32)
  if 'reason' in items.columns:
    out['reason'] = np.where(labels.kept, items.columns['reason'], -1).astype(np.int32)
  return out


def told(votes: np.ndarray, level: np.ndarray) -> Labels:
  """Labels from votes [N, K], all 0 where there is no label, and levels [N]."""
  there = votes.sum(1) > 0
  return Labels(
    votes.astype(np.float32), raters.soft_label(votes).astype(np.float32), raters.plurality(votes).astype(np.int32),
    np.where(there, votes.argmax(1), -1).astype(np.int32), np.where(there, level, -1).astype(np.int32),
  )  # fmt: skip


def sides(items: Items, labels: Labels, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Rows of train, dev and test that have a label.

  `data.split`: 'values', every value of the column `data.by` (or 'group') is a fold, dev the next; 'folds', so many
  (`data.folds`) grouped folds; 'official', the corpus's own; 'stratified', folds balanced in ambiguity level and class
  whose groups are NOT apart (the paper's on MSP-Podcast), dev a share `data.dev` of training balanced in the same way.
  Groups on two sides are refused, but for 'stratified', and between train and dev of 'official': that is the corpus's.
  """
  data, fold = config['data'], config['fold']
  if data['split'] not in SPLITS:
    raise unknown('run.data.split', data['split'], SPLITS)
  if data['split'] != 'official' and not str(fold).isdigit():
    raise UserError(f'run.data.split {data["split"]!r} needs folds, but the row has run.per_fold False; set it to True')
  rows = np.flatnonzero(labels.kept)
  if data['split'] == 'official':
    told = items.column('official')
    found = {side: rows[told[rows] == i] for i, side in enumerate(OFFICIAL)}
  else:
    if data['split'] == 'stratified':
      at = _balanced(labels, rows, data, int(fold))
    elif data['split'] == 'folds':
      at = folds.split(items.group[rows], data['folds'], int(fold), data['seed'])
    else:
      by = items.group if data['by'] == 'group' else items.column(data['by'])
      at = folds.by_value(by[rows].astype(str), int(fold))
    found = {side: rows[i] for side, i in at.items()}
  for side, there in found.items():
    if not len(there):
      raise UserError(f'{items.name}: no {side} utterance of fold {fold} has a label; look at it with affectjax.doctor')
  for pair in () if data['split'] == 'stratified' else (('train', 'dev'), ('train', 'test'), ('dev', 'test')):
    if data['split'] != 'official' or 'test' in pair:
      folds.refuse_leak({side: items.group[found[side]] for side in pair}, 'group')
  return {**found, 'train': _limited(found['train'], data)}


def _limited(rows: np.ndarray, data: Mapping[str, Any]) -> np.ndarray:
  """Of the training rows `data.train_items`, drawn by `data.seed`, in their order; all for 0 or if there are less."""
  if data['train_items'] < 0:
    raise UserError(f'run.data.train_items is {data["train_items"]}; expected a number of utterances, or 0 for all')
  if not data['train_items']:
    return rows
  return np.sort(np.random.default_rng((data['seed'], 8)).permutation(rows)[: data['train_items']])


def _balanced(labels: Labels, rows: np.ndarray, data: Mapping[str, Any], fold: int) -> dict[str, np.ndarray]:
  """Test is `fold`; dev a share of the rest."""
  if data['folds'] < 2 or not 0 <= fold < data['folds']:
    raise unknown('fold', fold, range(max(data['folds'], 2)))
  parts = round(1 / data['dev']) if 0 < data['dev'] <= 0.5 else 0
  if not parts:
    raise UserError(f'run.data.dev is {data["dev"]}; expected a share of training above 0, to one half')
  test = _stratified(labels, rows, data['folds'], data['seed']) == fold
  rest = np.flatnonzero(~test)
  dev = _stratified(labels, rows[rest], parts, data['seed'] + 1) == 0
  return {'train': rest[~dev], 'dev': rest[dev], 'test': np.flatnonzero(test)}


def _stratified(labels: Labels, rows: np.ndarray, k: int, seed: int) -> np.ndarray:
  """Folds [M] of `rows`: those of one level and class are dealt out evenly, by lot."""
  rng, fold = np.random.default_rng(seed), np.empty(len(rows), np.int64)
  strata = labels.level[rows].astype(np.int64) * (labels.votes.shape[1] + 1) + labels.first[rows]
  at = 0
  for stratum in np.unique(strata):
    there = rng.permutation(np.flatnonzero(strata == stratum))
    fold[there] = (at + np.arange(len(there))) % k  # goes on where the last one stopped, or small strata pile up
    at += len(there)
  return fold


def standardisers(items: Items, rows: np.ndarray, on: bool) -> dict[str, dict[str, np.ndarray]]:
  """Mean and scale per feature and modality over the real frames of the training rows; 0 and 1 if not `on`."""
  out = {}
  for m, x in items.streams.items():
    own = np.zeros(len(items), bool)
    own[rows] = True
    frames = x.values[own[x.owners()] & items.masks[m].values]
    if not len(frames):
      raise UserError(f'{items.name}: no training utterance has {m}; leave it out of run.data.modalities')
    width = x.values.shape[1]
    plain = {'mean': np.zeros(width, np.float32), 'scale': np.ones(width, np.float32)}
    out[m] = features.standardiser(frames) if on else plain
  return out


def gather(x: Ragged, mask: Ragged, rows: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
  """Padded frames [B, frames, D], zeros where none is real, and their mask; what is longer is cut at its end."""
  if len(x.values) == len(x) and (x.lengths == 1).all():
    real = mask.values[rows]
    values = x.values[rows]
    return (values if real.all() else np.where(real[:, None], values, np.float32(0)))[:, None], real[:, None]
  return corpus_lib.gather(x, mask, rows, frames)


def entropy_bits(labels: Labels) -> np.ndarray:
  """Entropy of each label distribution in bits [N]; NaN where nothing is kept."""
  return distributions.entropy(labels.shares.astype(np.float64), 'bits', np)
