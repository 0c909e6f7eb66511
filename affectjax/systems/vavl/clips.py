"""Clips with one or both of two modalities: who is given what in training, who loses what at test, what is predicted.

The two are named by `run.data.modalities`, in their order; in the paper they are audio and visual.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, targets
from affectjax.examples.examples import Examples
from affectjax.labels import raters

BOTH = 'both'  # the view of what is predicted from both modalities
PARTS = ('gender', 'age')
_TAKEN = (BOTH, *PARTS, 'id', 'group', 'item', 'label', 'shares', 'mask')  # by what a batch has besides


def modalities(config: Mapping[str, Any]) -> tuple[str, ...]:
  """The names of `run.data.modalities`, one or two."""
  names = tuple(config['data']['modalities'])
  if len(names) not in (1, 2) or set(names) & set(_TAKEN):
    raise UserError(f'run.data.modalities is {names}; expected one or two names, none of {", ".join(_TAKEN)}')
  return names


def load(config: Mapping[str, Any], data_dir: str | None, features: bool = True) -> Examples:
  """The clips of a config's corpus; without `features` their labels alone."""
  names = modalities(config)
  return shaped(examples_lib.load(config, data_dir, names if features else ()), config['data'])


def shaped(clips: Examples, data: Mapping[str, Any]) -> Examples:
  """The clips with `data.context` of them as one, and `data.pool` frames in a row averaged, per modality."""
  if not clips.streams:
    return clips
  first = shape.reach(clips.item, clips.part, data['context'])
  streams = {m: shape.pooled(x, first, data['pool'].get(m, 1)) for m, x in clips.streams.items()}
  present = {**clips.present, **{m: x.present for m, x in streams.items()}}
  return dataclasses.replace(clips, streams=streams, present=present)


def labels(clips: Examples, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """What is to be predicted of every clip.

  Returns:
    `label`: [N] int32, -1 for none, and `shares` [N, K] float32 of the votes if these are asked for; or of regression
    [N, A] float32 in [-1, 1], NaN for none.
  """
  target = config['target']
  if target['kind'] == 'regression':
    return {'label': targets.attributes(clips, target['names'])}
  if target['merge']:
    votes, _ = targets.votes(clips, ('votes',), target['names'], target['merge'])
    label = raters.plurality(votes)
  else:
    if tuple(target['names']) != tuple(clips.meta['emotions']):
      raise UserError(f'run.target.names is {", ".join(target["names"])}; the classes of {clips.name} are '
                      f'{", ".join(clips.meta["emotions"])}')  # fmt: skip
    label = targets.classes(clips, target['label'], target['names'])
    votes = clips.columns.get('votes')
  out = {'label': label.astype(np.int32)}
  if target['soft']:
    if votes is None:
      raise UserError(f'run.target.soft: corpus {clips.name!r} has no votes; set it to False')
    out['shares'] = np.nan_to_num(raters.soft_label(votes)).astype(np.float32)
  return out


def presence(clips: Examples, rows: np.ndarray, data: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Which modalities training is given, [N] bool each: a share keeps both, the rest keep one, half of it each.

  Draws are nested: who is paired at 10 % is so at 50 %, and who has lost a modality lost the same one at 10 %.

  Args:
    clips: all of them.
    rows: of training; the others keep what they have.
    data: `paired`, the share in [0, 1]; `unpaired`, whether the rest is 'kept' or 'left_out'; `seed` of the draw.

  A network of one modality is given no more of it than the others are: the draw is of both, whichever it reads.
  """
  paired = data['paired']
  refuse_unknown('run.data.unpaired', data['unpaired'], ('kept', 'left_out'))
  if not 0 <= paired <= 1:
    raise UserError(f'run.data.paired is {paired}; expected a share from 0 to 1')
  out = {m: clips.present[m].copy() for m in clips.streams}
  if paired == 1:
    return out
  order = np.random.default_rng((data['seed'], 9)).permutation(len(rows))
  single = rows[order[round(paired * len(rows)) :]][::-1]  # from the end, so that a larger share takes from the front
  if data['unpaired'] == 'left_out':
    for present in out.values():
      present[single] = False
    return out
  pair = [*out, *(m for m in clips.present if m not in out)][:2]
  if len(out) == 1:
    pair.sort(key=list(clips.present).index)  # the corpus says which comes first
  for i, m in enumerate(pair):
    if m in out and len(pair) == 2:
      lost = single[i::2]
      other = clips.present[pair[1 - i]]
      out[m][lost[other[lost]]] = False  # never the only one
  return out


def drop_draws(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Which test clips lose a modality: by `ids` [N] alone, so the same for every row.

  Returns:
    [N] in [0, 1), the share of dropping from which on a clip loses one; [N] bool, whether that is the first modality.
  """
  words = np.array([list(hashlib.sha256(f'drop:{i}'.encode()).digest()[:9]) for i in ids.tolist()], np.uint64)
  words = words.reshape(-1, 9)
  number = (words[:, :8] << (8 * np.arange(8, dtype=np.uint64))).sum(1)
  return (number >> np.uint64(11)) / 2.0**53, words[:, 8] % 2 == 0


def group_parts(clips: Examples) -> dict[str, np.ndarray]:
  """[N] int32 parts of the clips by gender (0 male, 1 female) and age (0 below 30, 1 from 45), -1 for neither."""
  parts = {'gender': lambda x: (x == 'male', x == 'female'), 'age': lambda x: (x < 30, x >= 45)}
  return {
    name: np.select(parts[name](clips.columns[name]), [0, 1], -1).astype(np.int32)
    for name in PARTS if name in clips.columns
  }  # fmt: skip
