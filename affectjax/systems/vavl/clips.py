"""Clips with audio, visual or both: who is given what in training, who loses what at test, what is asked of whom."""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, targets
from affectjax.examples.examples import Examples
from affectjax.labels import raters

MODALITIES = ('audio', 'visual')


def load(config: Mapping[str, Any], data_dir: str | None, features: bool = True) -> Examples:
  """The clips of a config's corpus; without `features` their labels alone."""
  modalities = config['data']['modalities'] if features else ()
  for m in modalities:
    if m not in MODALITIES:
      raise unknown('modality in run.data.modalities', m, MODALITIES)
  return shaped(examples_lib.load(config, data_dir, tuple(m for m in MODALITIES if m in modalities)), config['data'])


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
    for present in out.values():
      present[single] = False
    return out
  for m, present in out.items():
    i = MODALITIES.index(m)
    lost = single[i::2]
    other = clips.present.get(MODALITIES[1 - i], np.zeros(len(clips), bool))
    present[lost[other[lost]]] = False  # never the only one
  return out


def drop_draws(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """For each id a number in [0, 1), from which share of dropping on it loses a modality, and whether that is audio."""
  words = np.array([list(hashlib.sha256(f'drop:{i}'.encode()).digest()[:9]) for i in ids.tolist()], np.uint64)
  words = words.reshape(-1, 9)
  number = (words[:, :8] << (8 * np.arange(8, dtype=np.uint64))).sum(1)
  return (number >> np.uint64(11)) / 2.0**53, words[:, 8] % 2 == 0


def standardisers(
  clips: Examples, rows: np.ndarray, present: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
  """Mean and scale per feature and modality over the real frames of the training rows that are given."""
  out = {}
  for m, x in clips.streams.items():
    found = shape.standardiser(x, rows[present[m][rows]])
    if found is None:
      raise UserError(f'{clips.name}: no training clip has {m}; leave it out of run.data.modalities')
    out[m] = found
  return out


def group_parts(clips: Examples) -> dict[str, np.ndarray]:
  """[N] int32 parts of the clips by gender (0 male, 1 female) and age (0 below 30, 1 from 45), -1 for neither."""
  out, columns = {}, clips.columns
  if 'gender' in columns:
    gender = columns['gender']
    out['gender'] = np.select([gender == 'male', gender == 'female'], [0, 1], -1).astype(np.int32)
  if 'age' in columns:
    age = columns['age']
    out['age'] = np.select([age < 30, age >= 45], [0, 1], -1).astype(np.int32)
  return out
