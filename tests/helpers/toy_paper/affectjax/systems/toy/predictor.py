"""The toy's classifier on the clips of a folder."""

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches
from affectjax.examples import examples as examples_lib
from affectjax.systems import toy


def inputs(cell: Cell) -> tuple[str, ...]:
  """The modality that is read."""
  return (cell.config['data']['modality'],)


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """Probabilities of the classes per clip."""
  (modality,), final = inputs(cell), cell.final()
  examples = examples_lib.of(corpus, (modality,))
  shared.refuse_without(cell, examples.id, examples.present[modality], modality)
  x = toy.pooled(examples, modality).frames()
  standard = {modality: final['extra']['input']}
  gather = lambda index: {'x': x[index], 'label': np.zeros(len(index), np.int32)}
  table = lambda out: {'id': examples.id, **shared.classes(cell.config['target']['names'], np.exp(out['emotion_log']))}
  one_pass = lambda size: batches.ordered(np.arange(len(x)), gather, size)
  return Predictor(
    final['params'],
    final['extra'],
    {modality: x},
    standard,
    len(x),
    cell.config['batch_size'],
    one_pass,
    toy.predict,
    table,
  )
