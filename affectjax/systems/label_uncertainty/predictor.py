"""Mean and spread of what raters would mark, per label frame, on the recordings of a folder."""

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.examples.examples import Examples
from affectjax.systems.label_uncertainty import experiment, series, windows
from affectjax.systems.label_uncertainty.series import Recording


def inputs(cell: Cell) -> tuple[str, ...]:
  """The modalities that are read; every example must have all."""
  return cell.config['data']['modalities']


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """A row per label frame. Draws of weights are numbered within a recording: its companions change nothing."""
  config, names, final = cell.config, inputs(cell), cell.final()
  examples, attributes = examples_lib.of(corpus, names), tuple(cell.labels['attributes'])
  for m in names:
    shared.refuse_without(cell, examples.id, examples.present[m], m)
  recordings = _recordings(cell, examples, len(attributes))
  name, standard = '+'.join(names), final['extra']['input']
  real = np.concatenate([r.x[r.x_mask] for r in recordings])
  arrays = windows.cut(recordings, config['data']['frames'], 0, attributes)
  arrays['window'] = np.array([int(i.rpartition('/')[2]) for i in arrays['id'].tolist()], np.int32)
  spec = experiment.spec(config, attributes, 0.0)
  count, gather = len(arrays['window']), lambda i: {k: v[i] for k, v in arrays.items()}

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
    final['params'], final['extra'], {name: real}, {name: standard}, count, config['eval_batch_size'],
    lambda size: batches_lib.ordered(np.arange(count), gather, size), experiment.make_predict(spec), table,
  )  # fmt: skip


def _recordings(cell: Cell, examples: Examples, attributes: int) -> list[Recording]:
  """The items of the folder at the rate of the labels, without any."""
  data, modality, first = cell.config['data'], inputs(cell)[0], series.starts(examples)
  rate = _rate(cell, examples)
  # as long as the first modality lasts; one frame less or more of another is the extraction's rounding
  seconds = examples.streams[modality].lengths / _features_rate(cell, examples, modality)
  steps = [max(1, round(s * rate)) for s in seconds.tolist()]
  out = []
  for a, b in zip(first, np.append(first[1:], len(examples)), strict=True):
    x, x_mask = series.frames(examples, np.arange(a, b), steps[a:b], data['summary'])
    ratings = np.full((len(x), 1, attributes), np.nan, np.float32)
    item = str(examples.item[a])
    recording = Recording(item, item, rate, x, x_mask, ratings, None)
    out.append(series.resample(recording, data['rate_hz']) if data['rate_hz'] else recording)
  return out


def _features_rate(cell: Cell, examples: Examples, modality: str) -> float:
  rate = examples.meta['rate_hz'][modality]
  if rate is None:
    raise cell.can_not(f'{modality} has no rate of frames, without which labels have no times')
  return rate


def _rate(cell: Cell, examples: Examples) -> float:
  """Labels per second of the training corpus, before `data.rate_hz` thins them out."""
  if cell.labels['rate_hz'] is not None:
    return float(cell.labels['rate_hz'])
  if cell.config['data']['rate_hz']:  # labels of every frame of the features, averaged later
    return _features_rate(cell, examples, inputs(cell)[0])
  time = cell.stored(['test/time_s']).get('test/time_s', np.zeros((1, 1)))[0]
  time = time[np.isfinite(time)]
  if len(time) < 2:
    raise cell.can_not('the rate of its labels is not known; use a cell whose windows have two frames or more')
  rate = (len(time) - 1) / float(time[-1] - time[0])
  return round(rate, 3) if abs(round(rate, 3) - rate) < 1e-4 else rate
