"""Feature sequences of one modality, all of one length: their shape, what pretraining sees, their standardisation."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, refuse_unknown
from affectjax.data import folds
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, splits
from affectjax.examples.examples import Examples
from affectjax.examples.splits import Rows
from affectjax.examples.streams import Stream

CHOICES = {'keep': ('first', 'last'), 'pad': ('right', 'left'), 'standard': ('corpus', 'group')}


def load(config: Mapping[str, Any], data_dir: str | None) -> Examples:
  """The sequences of a config's corpus, of `data.frames` steps each."""
  data = config['data']
  if data['frames'] < 1 or data['pool'] < 1:
    raise UserError(f'run.data.frames {data["frames"]}, pool {data["pool"]}; expected whole numbers from 1')
  for key, choices in CHOICES.items():
    refuse_unknown(f'run.data.{key}', data[key], choices)
  if config['batch_size'] < 1 or config['eval_batch_size'] < 1:
    raise UserError(f'run.batch_size {config["batch_size"]}, eval_batch_size {config["eval_batch_size"]}; expected 1 '
                    'or more')  # fmt: skip
  examples = examples_lib.load(config, data_dir, (data['modality'],), setting='run.data.modality')
  lengths, most = examples.streams[data['modality']].lengths, data['frames'] * data['pool']
  cut = int((lengths > most).sum())
  if cut > len(lengths) / 2:  # the end of an utterance at 100 Hz is half a second, not its words
    raise UserError(f'{examples.name}: {cut} of {len(lengths)} examples have more than the {most} frames that '
                    f'run.data.frames and pool leave, {int(lengths.max())} at most; set run.data.frames, or '
                    'run.data.pool')  # fmt: skip
  return shaped(examples, data)


def shaped(examples: Examples, data: Mapping[str, Any]) -> Examples:
  """The sequences pooled, cut and padded to `data.frames` steps; with `data.standard` 'group' standardised by group."""
  size = tuple(data[k] for k in ('frames', 'pool', 'keep', 'pad'))
  streams = {m: shape.padded(x, *size) for m, x in examples.streams.items()}
  if data['standard'] == 'group':
    group = tuple(examples.group.tolist())
    streams = {m: shape.by_group(x, group) for m, x in streams.items()}
  return dataclasses.replace(examples, streams=streams)


def stream(examples: Examples) -> Stream:
  """Of the one modality; its `dense` is x [N, T, D] and real [N, T]."""
  (only,) = examples.streams.values()
  return only


def pool(examples: Examples, rows: Rows, config: Mapping[str, Any]) -> np.ndarray:
  """What pretraining sees, and by which features are standardised: the training split, without its labels.

  With `data.unassigned` and the corpus's own split also what that split leaves out.

  Args:
    examples: all of them.
    rows: index of the examples of each split.
    config: `data`.

  Returns:
    [M] index of examples.
  """
  if not config['data']['unassigned']:
    return rows['train']
  if config['data']['split'] != 'official':
    raise UserError(
      "run.data.unassigned is for run.data.split 'official', which may leave examples out; set it to False"
    )
  more = np.flatnonzero(splits.official(examples) == '')
  folds.refuse_leak({'unassigned': examples.group[more], **{k: examples.group[rows[k]] for k in ('dev', 'test')}},
                    'group')  # fmt: skip
  return np.sort(np.concatenate([rows['train'], more]))


def standardiser(examples: Examples, index: np.ndarray) -> dict[str, np.ndarray]:
  """Mean and scale per feature [D] over the real steps at `index`; `on` [D] bool: which features are not constant."""
  count, mean, sd = shape.moments(stream(examples), index)
  if not count:
    raise UserError(f'{examples.name}: no real step in the training split; look at it with affectjax.doctor')
  return {**shape.scaling(count, mean, sd), 'on': sd > 1e-6}
