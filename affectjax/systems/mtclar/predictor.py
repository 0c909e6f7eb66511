"""Supervised heads on the features of a folder: valence and arousal, or classes, per frame or per example."""

import re

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar import heads

_FRAME = re.compile(r'.*/\d{5,}')  # the id of a row that is a frame


def inputs(cell: Cell) -> tuple[str, ...]:
  """The modalities that are read; heads only, for other stages need labels of some frames."""
  config = cell.config
  if config['stage'] != 'head':
    raise cell.can_not(f'a cell of mtclar, stage {config["stage"]}, which says how frames differ from hand labels; use '
                       f'python -m affectjax.label --run={cell.folder}, or a cell of stage head')  # fmt: skip
  if config['head']['method'] != 'head':
    raise cell.can_not(f'run.head.method {config["head"]["method"]!r} leaves no parameters behind; use a cell of '
                       "method 'head'")  # fmt: skip
  return config['data']['modalities']


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """A row per frame, or per example where training summarised them; of frames that are missing nothing is said."""
  config, names = cell.config, inputs(cell)
  data, final = config['data'], cell.final()
  examples = examples_lib.of(corpus, names)
  for m in names:
    shared.refuse_without(cell, examples.id, examples.present[m], m)
  per_frame = _per_frame(cell)
  x, present, owner = frames_lib.features(examples, per_frame, tuple(data['summary']), data['context'])
  name = '+'.join(names)
  target, net = config['head']['target'], heads.module(config)

  def gather(rows):
    n = len(rows)
    return {'x': x[rows], 'label': np.zeros((n, 2), np.float32), 'emotion': np.zeros(n, np.int32)}

  def table(out):
    made = _place(examples.id, owner, cell.features[names[0]]['rate_hz'], per_frame)
    if target == 'emotion':
      p = np.where(present[:, None], shared.softmax(out['emotion_logits']), np.nan)
      return {**made, **shared.classes(config['emotions'], p)}
    return {**made, **{k: np.where(present, out[f'{k}_hat'], np.nan) for k in ('valence', 'arousal')}}

  return Predictor(
    final['params'], final['extra'], {name: x[present]}, {name: final['extra']['input']}, len(x), config['batch_size'],
    lambda size: batches_lib.ordered(np.arange(len(x)), gather, size), heads.predict(net, target), table,
  )  # fmt: skip


def _per_frame(cell: Cell) -> bool:
  """Whether training had a label per frame; examples of many frames and one label are summarised."""
  if not cell.config['data']['summary']:
    return True
  ids = cell.stored(['test/id']).get('test/id', np.array(['']))
  return all(_FRAME.fullmatch(i) for i in ids.tolist())


def _place(ids: np.ndarray, owner: np.ndarray, rate: float | None, per_frame: bool) -> dict[str, np.ndarray]:
  """Which row is what: the id, and of frames the number and its time; `owner` [N] is the example a row is of."""
  frame = frames_lib.position(owner)
  if not per_frame or (rate is None and not frame.any()):  # examples, or images
    return {'id': ids}
  return {'id': ids[owner], 'frame': frame, **({} if rate is None else {'seconds': frame / rate})}
