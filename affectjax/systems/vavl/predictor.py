"""VAVL and its baselines on the clips of a folder, with whatever modalities each has."""

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl import experiment, views


def inputs(cell: Cell) -> tuple[str, ...]:
  """The one or two modalities that are read; a clip may lack one of two."""
  config = cell.config
  if config['stage'] != 'network':
    raise cell.can_not(f'a cell of vavl, stage {config["stage"]}, is not trained, so it predicts nothing of new clips; '
                       'use one of stage network')  # fmt: skip
  if config['parity']['attend_across_batch']:
    raise cell.can_not('with run.parity.attend_across_batch a prediction depends on which clips share a batch; use a '
                       'row without it')  # fmt: skip
  return clips_lib.modalities(config)


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """Class probabilities or attributes per clip, from all that it has."""
  config, names, final = cell.config, inputs(cell), cell.final()
  data, target = config['data'], experiment.target_of(config)
  clips = clips_lib.shaped(examples_lib.of(corpus, names), data)
  if len(names) == 1:
    shared.refuse_without(cell, clips.id, clips.present[names[0]], names[0])
  standard = {m: final['extra']['input'][m] for m in names}
  real = {m: x.frames() for m, x in clips.streams.items()}
  spec = experiment.spec(config, {m: x.width for m, x in clips.streams.items()})
  lengths = {m: x.lengths for m, x in clips.streams.items()}
  sizes = batches_lib.Buckets(lengths, data['buckets'], data['max_frames'])
  rows = np.argsort(sizes.of, kind='stable')  # of like length together

  def table(out):
    outputs = {k: v[np.argsort(rows)] for k, v in out.items() if k.startswith('output_')}
    chosen, _ = views.chosen(outputs, {m: clips.present[m] for m in names})
    if target.kind == 'classification':
      return {'id': clips.id, **shared.classes(target.names, shared.softmax(chosen))}
    return {'id': clips.id, **{name: chosen[:, i] for i, name in enumerate(target.names)}}

  return Predictor(
    final['params'], {**final['extra'], 'batch_stats': final['extra'].get('batch_stats') or {}}, real, standard,
    len(rows), config['eval_batch_size'],
    lambda size: batches_lib.ordered(rows, lambda at: clips.gather(at, sizes.needed(at), {}, clips.present), size),
    experiment.predict(spec), table, shared.cut_notes('clips', lengths, data['max_frames']),
  )  # fmt: skip
