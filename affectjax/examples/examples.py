"""A corpus as what can be learned from: who an example is, its modalities, and whatever else is known of it."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data.corpus import Column, Corpus, Ragged
from affectjax.data.store import opening
from affectjax.examples.streams import Disk, Memory, Stream

SPLITS = ('train', 'dev', 'test')
MEMORY_GB = 8.0  # a modality that takes more stays on disk, where `run.data.memory_gb` does not say otherwise


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
  """All N examples of a corpus, in its own order.

  Attributes:
    name: of the corpus.
    id, group, item: [N] str; `item` is the video, dialogue or recording, `group` the speaker (or whatever else must not
      be in two of train, dev and test).
    part: [N] str, the part of the corpus (its split on disk) that an example is stored in.
    streams: modality -> its frames, of those that were asked for.
    present: modality -> [N] bool, whether an example has it; of all modalities of the corpus.
    columns: whatever else the corpus says of an example: [N, ...] each, or ragged in time.
    meta: of the corpus, see `affectjax.data.corpus.Corpus`.
  """

  name: str
  id: np.ndarray
  group: np.ndarray
  item: np.ndarray
  part: np.ndarray
  streams: Mapping[str, Stream]
  present: Mapping[str, np.ndarray]
  columns: Mapping[str, Column]
  meta: Mapping[str, Any]

  def __len__(self) -> int:
    return len(self.id)

  @property
  def on_disk(self) -> bool:
    """Whether frames of any modality stay on disk, so that batches are best read ahead (see `batches`)."""
    return any(x.on_disk for x in self.streams.values())

  def column(self, key: str) -> np.ndarray:
    """A column [N, ...] by name; one that is not there, or has time, is refused with those there are."""
    plain = {k: v for k, v in self.columns.items() if not isinstance(v, Ragged)}
    if key not in plain:
      raise unknown(f'column of {self.name}', key, plain)
    return plain[key]

  def series(self, key: str) -> Ragged:
    """A column with time, [T, ...] per example, by name; one that is not there is refused with those there are."""
    ragged = {k: v for k, v in self.columns.items() if isinstance(v, Ragged)}
    if key not in ragged:
      raise unknown(f'column with time of {self.name}', key, ragged)
    return ragged[key]

  def gather(
    self,
    index: np.ndarray,
    frames: Mapping[str, int],
    columns: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray] | None = None,
  ) -> dict[str, np.ndarray]:
    """A batch: `id`, `group`, `item`; per modality m its frames, `m_mask` and `m_present`; and rows of `columns`.

    Args:
      index: [B] of the batch.
      frames: modality -> how many frames T it has in the batch, [B, T, D]; of those that the batch has.
      columns: name -> [N, ...], labels and whatever else.
      given: modality -> [N] bool, who is given it; by default those with a real frame among the T.
    """
    out = {'id': self.id[index], 'group': self.group[index], 'item': self.item[index]}
    for m, count in frames.items():
      out[m], mask = self.streams[m].gather(index, count)
      present = mask.any(1) if given is None else given[m][index]
      out[f'{m}_mask'], out[f'{m}_present'] = mask & present[:, None], present
    return {**out, **{k: v[index] for k, v in columns.items()}}


def load(
  config: Mapping[str, Any],
  data_dir: str | None,
  modalities: tuple[str, ...],
  corpus: str | None = None,
  setting: str = 'run.data.modalities',
) -> Examples:
  """The examples of a config's corpus; kept, for a table's cells share them.

  Args:
    config: `corpora` (the first is read), `twins` (knobs by corpus), `data`.
    data_dir: of prepared corpora; None for the synthetic twins.
    modalities: whose frames are wanted; () where labels alone are.
    corpus: another one than the first of `corpora`.
    setting: which names the modalities, for a refusal.

  Raises:
    UserError: the corpus is not there, or has not these modalities.
  """
  name = corpus or config['corpora'][0]
  if len(set(modalities)) < len(modalities):
    raise UserError(f'{setting} is {tuple(modalities)}; expected each once')
  knobs = {} if data_dir else dict(config['twins'].get(name, {}))
  limit = float(config['data'].get('memory_gb', MEMORY_GB))
  if limit < 0:
    raise UserError(f'run.data.memory_gb is {limit:g}; expected 0 or more')
  return _load(name, data_dir, json.dumps(knobs, sort_keys=True), tuple(modalities), limit, setting)


@functools.lru_cache(maxsize=4)
def _load(
  name: str, data_dir: str | None, knobs: str, modalities: tuple[str, ...], limit: float, setting: str
) -> Examples:
  return of(opening.open_corpus(name, data_dir, **json.loads(knobs)), modalities, limit, setting)


def of(
  corpus: Corpus, modalities: Sequence[str], memory_gb: float = MEMORY_GB, setting: str = 'run.data.modalities'
) -> Examples:
  """The examples of an open corpus, with the frames of these modalities (which `setting` names).

  A modality that would take more than `memory_gb` stays on disk.
  """
  name, known = corpus.name, corpus.meta['modalities']
  for m in modalities:
    if m not in known:
      raise unknown(f'modality of {name} in {setting}', m, known)
  stored = corpus.stored
  on_disk = {m for m in modalities if stored is not None and stored.gigabytes(m) > memory_gb}
  if stored is None:
    columns = _joined({split: corpus.columns(split) for split in corpus.counts})
  else:  # what stays on disk, or is not wanted, is not read
    without = on_disk | (set(known) - set(modalities))
    columns = _joined({split: stored.columns(split, without) for split in corpus.counts})
  masks = {m: columns[f'{m}_mask'] for m in known if f'{m}_mask' in columns}
  streams: dict[str, Stream] = {}
  for m in modalities:
    if m in on_disk:
      streams[m] = Disk(m, int(known[m]), [stored.source(split) for split in corpus.counts], masks[m])
    else:
      streams[m] = Memory(columns[m], masks[m])
  taken = {'id', 'group', 'item', *(f'{m}{end}' for m in known for end in ('', '_mask', '_present'))}
  return Examples(
    name, columns['id'], columns['group'], columns['item'], _parts(corpus), streams,
    {m: np.array([mask[i].any() for i in range(len(mask))], bool) for m, mask in masks.items()},
    {k: v for k, v in columns.items() if k not in taken}, corpus.meta,
  )  # fmt: skip


def _parts(corpus: Corpus) -> np.ndarray:
  return np.repeat(list(corpus.counts), list(corpus.counts.values()))


def _joined(parts: Mapping[str, Mapping[str, Column]]) -> dict[str, Column]:
  """The parts of a corpus one after the other; a column that not all of them have is left out."""
  tables = list(parts.values())
  if len(tables) == 1:
    return dict(tables[0])
  shared = [k for k in tables[0] if all(k in t for t in tables)]
  return {k: _concatenated([t[k] for t in tables]) for k in shared}


def _concatenated(columns: list[Column]) -> Column:
  if not isinstance(columns[0], Ragged):
    return np.concatenate(columns)
  lengths = np.concatenate([c.lengths for c in columns])
  return Ragged(np.concatenate([c.values for c in columns]), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
