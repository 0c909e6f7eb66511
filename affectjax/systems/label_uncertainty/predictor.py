"""Mean and spread of what raters would mark, per label frame, on the recordings of a folder."""

import numpy as np

from affectjax.data import pipeline, unlabelled
from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.systems.label_uncertainty import experiment, series, windows
from affectjax.systems.label_uncertainty.series import Recording


def inputs(cell: Cell) -> tuple[str, ...]:
  """The modalities that are read; all must be there."""
  return cell.config['data']['modalities']


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """A row per label frame. Draws of weights are numbered within a recording: its companions change nothing."""
  config, names, final = cell.config, inputs(cell), cell.final()
  columns, attributes = corpus.columns(unlabelled.SPLIT), tuple(cell.labels['attributes'])
  for m in names:
    there = np.array([columns[f'{m}_mask'][i].any() for i in range(len(columns['id']))])
    shared.refuse_without(cell, columns['id'], there, m)
  recordings = _recordings(cell, corpus, len(attributes))
  name, standard = '+'.join(names), final['extra']['input']
  real = np.concatenate([r.x[r.x_mask] for r in recordings])
  shared.refuse_widths(cell, {name: real}, {name: standard})
  arrays = windows._side(recordings, config['data']['frames'], 0, attributes)
  arrays['window'] = np.array([int(i.rpartition('/')[2]) for i in arrays['id'].tolist()], np.int32)
  spec = experiment.spec(config, attributes, 0.0)
  size = shared.batch_size(config['eval_batch_size'], len(arrays['window']))

  def table(out):
    at = np.isfinite(out['time_s'])  # [W, T]
    frame = arrays['window'][:, None] * at.shape[1] + np.arange(at.shape[1])
    made = {'id': np.repeat(arrays['item'][:, None], at.shape[1], 1)[at], 'frame': frame[at],
            'seconds': frame[at] / recordings[0].rate}  # fmt: skip
    for a in attributes:
      made |= {f'{a}{end}': out[f'{a}{end}_hat'][at] for end in ('', '_spread') if f'{a}{end}_hat' in out}
      if np.isfinite(out.get(f'{a}_df_hat', np.inf)).all():
        made[f'{a}_df'] = out[f'{a}_df_hat'][at]
    return made

  return Predictor(
    final['params'], final['extra'], {name: real}, {name: standard},
    lambda: pipeline.ordered(np.arange(len(arrays['window'])), lambda i: {k: v[i] for k, v in arrays.items()}, size),
    -(-len(arrays['window']) // size), experiment._predict(spec), table,
  )  # fmt: skip


def _recordings(cell: Cell, corpus: Corpus, attributes: int) -> list[Recording]:
  """The items of the folder at the rate of the labels, without any."""
  config, columns, names = cell.config, corpus.columns(unlabelled.SPLIT), inputs(cell)
  data, item = config['data'], columns['item']
  rate = _rate(cell, corpus)
  starts = np.flatnonzero(np.r_[True, item[1:] != item[:-1]])
  out = []
  for first, end in zip(starts, np.append(starts[1:], len(item)), strict=True):
    streams, masks = [], []
    for i in range(first, end):
      x = {m: columns[m][i] for m in names}
      # as long as the first modality lasts; one frame less or more of another is the extraction's rounding
      steps = max(1, round(len(x[names[0]]) / _features_rate(cell, corpus, names[0]) * rate))
      aligned = [series.align(x[m], columns[f'{m}_mask'][i], steps, data['summary']) for m in names]
      streams.append(np.concatenate([a for a, _ in aligned], 1))
      masks.append(np.all([b for _, b in aligned], 0))
    x, x_mask = np.concatenate(streams), np.concatenate(masks)
    ratings = np.full((len(x), 1, attributes), np.nan, np.float32)
    recording = Recording(str(item[first]), str(item[first]), unlabelled.SPLIT, rate, x, x_mask, ratings, None)
    out.append(series.resample(recording, data['rate_hz']) if data['rate_hz'] else recording)
  return out


def _features_rate(cell: Cell, corpus: Corpus, modality: str) -> float:
  rate = corpus.meta['rate_hz'][modality]
  if rate is None:
    raise cell.can_not(f'{modality} has no rate of frames, without which labels have no times')
  return rate


def _rate(cell: Cell, corpus: Corpus) -> float:
  """Labels per second of the training corpus, before `data.rate_hz` thins them out."""
  if cell.labels['rate_hz'] is not None:
    return float(cell.labels['rate_hz'])
  if cell.config['data']['rate_hz']:  # labels of every frame of the features, averaged later
    return _features_rate(cell, corpus, inputs(cell)[0])
  time = cell.stored(['test/time_s']).get('test/time_s', np.zeros((1, 1)))[0]
  time = time[np.isfinite(time)]
  if len(time) < 2:
    raise cell.can_not('the rate of its labels cannot be told; use a cell whose windows have two frames or more')
  rate = (len(time) - 1) / float(time[-1] - time[0])
  return round(rate, 3) if abs(round(rate, 3) - rate) < 1e-4 else rate
