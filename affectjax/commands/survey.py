"""Looks through a corpus example by example: what there is, what is missing, whether it is still what was written."""

import collections
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common import errors
from affectjax.data.corpus import Columns
from affectjax.data.store import records, schema


@dataclasses.dataclass
class Survey:
  """Counts, names and labels of all examples of one split.

  Attributes:
    tally: counts, hashes, ranges.
    groups, items: name -> examples.
    ids: all of them, in order.
    classes: class -> examples or frames with it, -1 for none.
    lengths: key -> frames of every example.
    votes: key -> [K] votes per class of every example, for `votes` and every `votes_...` that the corpus has.
    group, intended: of every example, in order; `intended` if the corpus has it.
    rated: [R] steps each rater rated, if there are ratings.
    steps: of the ratings in all.
    ratings: [T, R, A] float32 of every example, NaN where there is none, if there are ratings.
  """

  tally: schema.Tally
  groups: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  items: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  ids: list[str] = dataclasses.field(default_factory=list)
  classes: collections.Counter = dataclasses.field(default_factory=collections.Counter)
  lengths: dict[str, list[int]] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
  votes: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=lambda: collections.defaultdict(list))
  group: list[str] = dataclasses.field(default_factory=list)
  intended: list[int] = dataclasses.field(default_factory=list)
  rated: np.ndarray | None = None
  steps: int = 0
  ratings: list[np.ndarray] = dataclasses.field(default_factory=list)

  def add(self, record: bytes, example: schema.Example) -> None:
    """Counts one more example, given as its bytes on disk (empty for a twin) and as arrays by key."""
    self.tally.add(record, example)
    self.ids.append(example['id'])
    self.groups[example['group']] += 1
    self.items[example['item']] += 1
    for key in self.tally.steps:
      self.lengths[key].append(len(example[key]))
    if 'emotion' in example:
      self.classes.update(np.asarray(example['emotion']).ravel().tolist())
    self.group.append(example['group'])
    if 'intended' in example:
      self.intended.append(int(example['intended']))
    for key in vote_keys(example):
      self.votes[key].append(np.asarray(example[key]))
    if 'ratings' in example:
      rated = np.asarray(example['ratings_mask']).any(-1).reshape(-1, example['ratings'].shape[-2])  # [T, R]
      self.rated = rated.sum(0) + (0 if self.rated is None else self.rated)
      self.steps += len(rated)
      self.ratings.append(np.where(example['ratings_mask'], example['ratings'], np.nan).astype(np.float32))


def vote_keys(keys: Iterable[str]) -> list[str]:
  """The keys that hold votes: `votes` first, then `votes_<condition or attribute>` by name."""
  return [key for key in sorted(keys) if key == 'votes' or key.startswith('votes_')]


def prepared(where: Path, info: Mapping[str, Any], split: str) -> Survey:
  """Reads every record of a prepared split and compares it with what affectjax.json says.

  Raises:
    UserError: naming the shard or the split whose content is not what was written.
  """
  survey = _survey(records.read_examples(where, info, split), records.read_fields(info))
  now, written = json.loads(json.dumps(survey.tally.summary())), info['splits'][split]
  for key, value in now.items():
    if written.get(key) != value:
      raise errors.UserError(
        f'{where}: {key} of {split} is {_short(value)}, {records.MANIFEST} says {_short(written.get(key))}; '
        'the content was changed or damaged: remove the folder and prepare it again'
      )
  return survey


def synthetic(columns: Columns, meta: Mapping[str, Any]) -> Survey:
  """The survey of a split that is in memory, a twin's; there is no manifest to compare it with."""
  examples = _examples(columns)
  first = next(examples)
  return _survey(_chain(first, examples), schema.derive(first[1], meta))


def _survey(examples: Iterable[tuple[bytes, schema.Example]], fields: schema.Fields) -> Survey:
  survey = Survey(schema.Tally(fields))
  for record, example in examples:
    survey.add(record, example)
  return survey


def _examples(columns: Columns) -> Iterator[tuple[bytes, schema.Example]]:
  for i in range(len(columns['id'])):
    row = {key: column[i] for key, column in columns.items()}
    yield b'', {key: str(x) if isinstance(x, str) else np.asarray(x) for key, x in row.items()}


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
  yield first
  yield from rest


def _short(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 80 else f'{text[:77]}...'
