"""Feature sequences of one modality, padded to one length, and their labels: a corpus in memory, its sides, budgets."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.data import features, folds, store
from affectjax.data.corpus import Named
from affectjax.errors import UserError, unknown

SIDES = ('train', 'dev', 'test')
SPLITS = ('official', 'folds', 'all')
FRAMES = ('first', 'last')
PADS = ('right', 'left')
STANDARDS = ('corpus', 'group')


@dataclasses.dataclass(frozen=True)
class Sequences(Named):
  """All examples of a corpus, in its own order.

  Attributes:
    name: of the corpus.
    id, group, item: [N] str.
    x: [N, T, D] float32; what is not real may hold anything finite.
    real: [N, T] bool, steps that are neither padding nor missing.
    columns: whatever else the corpus says of an example, [N, ...] each.
    meta: of the corpus.
  """

  name: str
  id: np.ndarray
  group: np.ndarray
  item: np.ndarray
  x: np.ndarray
  real: np.ndarray
  columns: Mapping[str, np.ndarray]
  meta: Mapping[str, Any]


def load(config: Mapping[str, Any], data_dir: str | None) -> Sequences:
  """The examples of a config's corpus; cached, for a table's cells share them."""
  name, data = config['corpora'][0], config['data']
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  if data['frames'] < 1 or data['pool'] < 1:
    raise UserError(f'run.data.frames {data["frames"]}, pool {data["pool"]}; expected whole numbers from 1')
  for key, there in (('keep', FRAMES), ('pad', PADS), ('standard', STANDARDS)):
    if data[key] not in there:
      raise unknown(f'run.data.{key}', data[key], there)
  if config['batch_size'] < 1 or config['eval_batch_size'] < 1:
    raise UserError(f'run.batch_size {config["batch_size"]}, eval_batch_size {config["eval_batch_size"]}; expected 1 '
                    'or more')  # fmt: skip
  shape = tuple(data[k] for k in ('modality', 'frames', 'pool', 'keep', 'pad', 'standard'))
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), *shape)


@functools.lru_cache(maxsize=2)
def _load(name, data_dir, knobs, modality, frames, pool, keep, pad, standard) -> Sequences:
  corpus = store.open_corpus(name, data_dir, **json.loads(knobs))
  if modality not in corpus.meta['modalities']:
    raise unknown(f'modality of {name} in run.data.modality', modality, corpus.meta['modalities'])
  found: dict[str, list[np.ndarray]] = {}
  for split in corpus.counts:
    columns = corpus.columns(split)
    _refuse_cut(name, columns[modality].lengths, frames * pool)
    x, real = _shaped(columns[modality], columns[f'{modality}_mask'], frames, pool, keep, pad)
    plain = {k: v for k, v in columns.items() if isinstance(v, np.ndarray)}
    for key, value in {**plain, 'x': x, 'real': real}.items():
      found.setdefault(key, []).append(value)
  whole = {k: np.concatenate(v) for k, v in found.items() if len(v) == len(corpus.counts)}
  if standard == 'group':
    whole['x'] = _by_group(whole['x'], whole['real'], whole['group'])
  taken = ('id', 'group', 'item', 'x', 'real')
  return Sequences(name, *(whole.pop(k) for k in taken), whole, corpus.meta)


def _refuse_cut(name: str, lengths: np.ndarray, most: int) -> None:
  """Refuses to train on pieces of most examples: the end of an utterance at 100 Hz is half a second, not its words."""
  cut = int((lengths > most).sum())
  if cut > len(lengths) / 2:
    raise UserError(f'{name}: {cut} of {len(lengths)} examples have more than the {most} frames that run.data.frames '
                    f'and pool leave, {int(lengths.max())} at most; set run.data.frames, or run.data.pool')  # fmt: skip


def _shaped(stream, mask, frames: int, pool: int, keep: str, pad: str) -> tuple[np.ndarray, np.ndarray]:
  """[N, frames, D] and [N, frames] bool: `pool` real frames in a row averaged, the first or last steps kept."""
  n, width = len(stream), stream.values.shape[1]
  x, real = np.zeros((n, frames, width), np.float32), np.zeros((n, frames), bool)
  for i in range(n):
    values, good = stream[i], mask[i]
    if pool > 1 and len(values):
      edges = np.arange(0, len(values), pool)
      count = np.add.reduceat(good.astype(np.int64), edges)
      values = np.add.reduceat(np.where(good[:, None], values, 0), edges) / np.maximum(count, 1)[:, None]
      good = count > 0
    cut = slice(0, frames) if keep == 'first' else slice(max(0, len(values) - frames), None)
    values, good = values[cut], good[cut]
    place = slice(0, len(values)) if pad == 'right' else slice(frames - len(values), frames)
    x[i, place], real[i, place] = values, good
  return x, real


def _by_group(x: np.ndarray, real: np.ndarray, group: np.ndarray) -> np.ndarray:
  """x [N, T, D] standardised by the mean and scale of each group's own real steps: of speakers, what is theirs goes."""
  out = x.copy()
  for name in np.unique(group):
    rows = np.flatnonzero(group == name)
    values = x[rows][real[rows]]
    if len(values):
      found = features.standardiser(values)
      out[rows] = np.where(real[rows][..., None], (x[rows] - found['mean']) / found['scale'], x[rows])
  return out


def sides(sequences: Sequences, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Rows of train, dev and test, groups apart.

  `data.split`: 'official', the corpus's own; 'folds', so many (`data.folds`) grouped folds; 'all', for pretraining on
  a whole corpus: dev and test are the same tenth of the groups, which selects nothing but a step; train is the rest.
  """
  data, fold = config['data'], config['fold']
  if data['split'] not in SPLITS:
    raise unknown('run.data.split', data['split'], SPLITS)
  if data['split'] == 'official':
    told = sequences.column('official')
    rows = {side: np.flatnonzero(told == i) for i, side in enumerate(SIDES)}
  elif data['split'] == 'all':
    if config['stage'] != 'pretrain':
      raise UserError("run.data.split 'all' leaves nothing unseen to test on; it is for run.stage 'pretrain' only")
    held = folds.split(sequences.group, 10, 0, data['seed'])['test']
    return {'train': np.setdiff1d(np.arange(len(sequences)), held), 'dev': held, 'test': held}
  else:
    if not str(fold).isdigit():
      raise UserError("run.data.split 'folds' needs folds, but the row has run.per_fold False; set it to True")
    rows = folds.split(sequences.group, data['folds'], int(fold), data['seed'])
  for side, at in rows.items():
    if not len(at):
      raise UserError(f'{sequences.name}: no example on the side {side}; look at it with affectjax.doctor')
  folds.refuse_leak({side: sequences.group[at] for side, at in rows.items()}, 'group')
  return rows


def pool(sequences: Sequences, config: Mapping[str, Any]) -> np.ndarray:
  """The rows that pretraining sees, and by which features are standardised: the training side, without its labels.

  With `data.unassigned` and the corpus's own split also what that split puts on no side.
  """
  rows = sides(sequences, config)
  if not config['data']['unassigned']:
    return rows['train']
  if config['data']['split'] != 'official':
    raise UserError(
      "run.data.unassigned is for run.data.split 'official', which may leave examples out; set it to False"
    )
  more = np.flatnonzero(~np.isin(sequences.column('official'), range(len(SIDES))))
  folds.refuse_leak({'unassigned': sequences.group[more], **{k: sequences.group[rows[k]] for k in ('dev', 'test')}},
                    'group')  # fmt: skip
  return np.sort(np.concatenate([rows['train'], more]))


def budgeted(sequences: Sequences, rows: np.ndarray, budget: int, seed: int) -> np.ndarray:
  """The `budget` labelled rows that a run with this seed may see, 0 for all: whole videos by lot, nested in budget.

  The last video is cut where the budget is reached.
  """
  if budget < 0:
    raise UserError(f'run.data.budget is {budget}; expected a number of labels, or 0 for all')
  if not budget or budget >= len(rows):
    return rows
  _, video = np.unique(sequences.item[rows], return_inverse=True)
  order = np.random.default_rng((seed, 12)).permutation(video.max() + 1)
  rank = np.argsort(order)[video]  # when its video is drawn
  return np.sort(rows[np.argsort(rank, kind='stable')[:budget]])


def standardiser(sequences: Sequences, rows: np.ndarray) -> dict[str, np.ndarray]:
  """Mean and scale per feature over the real steps of `rows`; 0 and no scale (`off`) for what is constant."""
  values = sequences.x[rows][sequences.real[rows]]
  if not len(values):
    raise UserError(f'{sequences.name}: no real step on the training side; look at it with affectjax.doctor')
  found = features.standardiser(values)
  return {**found, 'on': values.std(0, dtype=np.float64) > 1e-6}
