"""AmbER^2's student on the utterances of a folder: how raters would share out their votes."""

import functools

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.systems.amber2 import experiment, training, views
from affectjax.systems.amber2 import items as items_lib


def inputs(cell: Cell) -> tuple[str, ...]:
  """The modalities that are read; an utterance may lack some if the student is the fusion head."""
  if cell.config['stage'] != 'network':
    raise cell.can_not(f'a cell of amber2, stage {cell.config["stage"]}, is not trained, so it predicts nothing of new '
                       'utterances; use one of stage network')  # fmt: skip
  return cell.config['data']['modalities']


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """The label distribution per utterance, of the setting and with the temper that dev chose."""
  config, names, final = cell.config, inputs(cell), cell.final()
  data, student, classes = config['data'], config['student'], config['target']['names']
  items = items_lib.shaped(examples_lib.of(corpus, names), data)
  present = {m: x.present for m, x in items.streams.items()}
  if student in names:
    shared.refuse_without(cell, items.id, present[student], student)
  standard = {m: final['extra']['input'][m] for m in names}
  real = {m: x.frames() for m, x in items.streams.items()}
  spec = experiment.spec(config, {m: items.streams[m].width for m in names})
  frames = experiment.frames_of(items, data['max_frames'])
  gather = functools.partial(items.gather, frames=frames, columns={})
  best, power = _by_dev(cell, student, names)

  def table(out):
    shares = np.asarray(out[f'share_{student}'], np.float64)  # [N, K], of a search [N, S, K]
    shares = views.raised(shares[:, best] if shares.ndim == 3 else shares, power)
    answered = views.answered(student, names, {f'{m}_present': has for m, has in present.items()})
    return {'id': items.id, **shared.classes(classes, np.where(answered[:, None], shares, np.nan))}

  return Predictor(
    final['params'], final['extra'], real, standard, len(items), config['eval_batch_size'],
    lambda size: batches_lib.ordered(np.arange(len(items)), gather, size), training.make_predict(spec), table,
    shared.cut_notes('utterances', {m: x.lengths for m, x in items.streams.items()}, frames),
  )  # fmt: skip


def _by_dev(cell: Cell, student: str, names: tuple[str, ...]) -> tuple[int, float]:
  """Which setting of a search has the lowest JS on dev, and the power that tempers shares; as `views` chose them."""
  dev = {k.removeprefix('dev/'): v for k, v in cell.stored(
    ['dev/search_js', 'dev/temper', *(f'dev/{m}_present' for m in names)]
  ).items()}  # fmt: skip
  best = 0
  if 'search_js' in dev:
    best = int(np.nanargmin(dev['search_js'][views.answered(student, names, dev)].mean(0, dtype=np.float64)))
  return best, float(dev['temper'][0]) if 'temper' in dev else 1.0
