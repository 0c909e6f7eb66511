"""Supervised heads on the features of a folder: valence and arousal, or classes, per frame or per example."""

import re

import numpy as np

from affectjax.data import pipeline, unlabelled
from affectjax.data.corpus import Corpus, Ragged
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
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
  data, columns, final = config['data'], corpus.columns(unlabelled.SPLIT), cell.final()
  for m in names:
    there = np.array([columns[f'{m}_mask'][i].any() for i in range(len(columns['id']))])
    shared.refuse_without(cell, columns['id'], there, m)
  per_frame = _per_frame(cell)
  frames = frames_lib._split(_with_labels(corpus, names[0], per_frame), unlabelled.SPLIT, names, data['summary'],
                             data['context'])  # fmt: skip
  name, standard = '+'.join(names), final['extra']['input']
  shared.refuse_widths(cell, {name: frames.x}, {name: standard})
  size = shared.batch_size(config['batch_size'], len(frames))
  target, net = config['head']['target'], heads.module(config)

  def gather(rows):
    n = len(rows)
    return {'x': frames.x[rows], 'label': np.zeros((n, 2), np.float32), 'emotion': np.zeros(n, np.int32)}

  def table(out):
    made = _place(columns, names[0], cell.features[names[0]]['rate_hz'], per_frame)
    if target == 'emotion':
      p = np.where(frames.present[:, None], shared.softmax(out['emotion_logits']), np.nan)
      return {**made, **shared.classes(config['emotions'], p)}
    return {**made, **{k: np.where(frames.present, out[f'{k}_hat'], np.nan) for k in ('valence', 'arousal')}}

  return Predictor(
    final['params'], final['extra'], {name: frames.x[frames.present]}, {name: standard},
    lambda: pipeline.ordered(np.arange(len(frames)), gather, size), -(-len(frames) // size),
    heads._predict(net, target), table,
  )  # fmt: skip


def _per_frame(cell: Cell) -> bool:
  """Whether training had a label per frame; examples of many frames and one label are summarised."""
  if not cell.config['data']['summary']:
    return True
  ids = cell.stored(['test/id']).get('test/id', np.array(['']))
  return all(_FRAME.fullmatch(i) for i in ids.tolist())


def _with_labels(corpus: Corpus, modality: str, per_frame: bool) -> Corpus:
  """The corpus with labels that are not known, of the shape that says what a row is."""
  columns = corpus.columns(unlabelled.SPLIT)
  offsets = columns[modality].offsets
  if per_frame:
    label = Ragged(np.full(offsets[-1], np.nan, np.float32), offsets)
  else:
    label = np.full(len(offsets) - 1, np.nan, np.float32)
  made = {**columns, 'valence': label, 'arousal': label}
  return Corpus(corpus.name, corpus.kind, '', '', corpus.counts, corpus.meta, lambda split: made)


def _place(columns, modality: str, rate: float | None, per_frame: bool) -> dict[str, np.ndarray]:
  """Which row is what: the id, and of frames the number and its time."""
  if not per_frame:
    return {'id': columns['id']}
  stream = columns[modality]
  owner = stream.owners()
  frame = np.arange(len(owner)) - stream.offsets[:-1][owner]
  if rate is None and not frame.any():  # images
    return {'id': columns['id']}
  return {'id': columns['id'][owner], 'frame': frame, **({} if rate is None else {'seconds': frame / rate})}
