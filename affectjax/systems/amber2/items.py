"""Utterances with cached embeddings of one or more modalities: their shape, their split, their standardisation.

Modalities are named by `run.data.modalities`, in their order; in the paper they are audio and text.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, splits
from affectjax.examples.examples import Examples
from affectjax.examples.targets import Distributions
from affectjax.systems.amber2.network import FUSION
from affectjax.systems.amber2.training import PASSED_ON

_TAKEN = (FUSION, 'id', 'group', 'item', 'mask', 'label', *PASSED_ON)  # by the other head, and by what a batch has


def load(config: Mapping[str, Any], data_dir: str | None, embedded: bool = True) -> Examples:
  """The utterances of a config's corpus; without `embedded` what raters said of them alone."""
  modalities = tuple(config['data']['modalities']) if embedded else ()
  if embedded and (not modalities or set(modalities) & set(_TAKEN)):
    raise UserError(f'run.data.modalities is {modalities}; expected one or more names, none of {", ".join(_TAKEN)}')
  return shaped(examples_lib.load(config, data_dir, modalities), config['data'])


def shaped(items: Examples, data: Mapping[str, Any]) -> Examples:
  """The utterances as they are with `data.frames`; else one vector each, where they or `data.context` have several."""
  if data['frames'] or not items.streams:
    return items
  first, summary = shape.reach(items.item, items.part, data['context']), tuple(data['summary'])
  streams = {
    m: shape.summarised(x, first, summary) if data['context'] > 1 or (x.lengths != 1).any() else x
    for m, x in items.streams.items()
  }
  return dataclasses.replace(items, streams=streams)


def labelled(items: Examples, labels: Distributions, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Index of the utterances of train, dev and test that have a label; training limited to `data.limit`.

  'stratified' (the paper's on MSP-Podcast) balances levels of ambiguity and classes.
  """
  data = config['data']
  strata = labels.level.astype(np.int64) * (labels.votes.shape[1] + 1) + labels.first
  rows = splits.split(items, config, np.flatnonzero(labels.kept), strata)
  return {**rows, 'train': splits.limited(rows['train'], data['limit'], data['seed'])}
