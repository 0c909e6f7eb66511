"""Utterances with cached embeddings per modality: their shape, their sides, their standardisation."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.examples import examples as examples_lib
from affectjax.examples import shape, splits
from affectjax.examples.examples import Examples
from affectjax.examples.targets import Distributions
from affectjax.objectives import distributions


def load(config: Mapping[str, Any], data_dir: str | None, embedded: bool = True) -> Examples:
  """The utterances of a config's corpus; without `embedded` what raters said of them alone."""
  modalities = tuple(config['data']['modalities']) if embedded else ()
  if embedded and not modalities:
    raise UserError('run.data.modalities is empty; expected one or more')
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


def sides(items: Examples, labels: Distributions, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
  """Index of train, dev and test, of the utterances that have a label; training limited to `data.limit`.

  'stratified' (the paper's on MSP-Podcast) balances levels of ambiguity and classes.
  """
  data = config['data']
  strata = labels.level.astype(np.int64) * (labels.votes.shape[1] + 1) + labels.first
  rows = splits.split(items, config, np.flatnonzero(labels.kept), strata)
  return {**rows, 'train': splits.limited(rows['train'], data['limit'], data['seed'])}


def standardisers(items: Examples, index: np.ndarray, on: bool) -> dict[str, dict[str, np.ndarray]]:
  """Mean and scale per feature and modality over the real frames of the examples at `index`; 0 and 1 if not `on`."""
  out = {}
  for m, x in items.streams.items():
    found = shape.standardiser(x, index)
    if found is None:
      raise UserError(f'{items.name}: no training utterance has {m}; leave it out of run.data.modalities')
    out[m] = found if on else shape.unchanged(x.width)
  return out


def entropy_bits(labels: Distributions) -> np.ndarray:
  """Entropy of each label distribution in bits [N]; NaN where nothing is kept."""
  return distributions.entropy(labels.shares.astype(np.float64), 'bits', np)
