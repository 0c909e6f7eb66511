"""AmbER^2's student on the utterances of a folder: how raters would share out their votes."""

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.examples.examples import Examples
from affectjax.systems.amber2 import experiment, training, views
from affectjax.systems.amber2 import items as items_lib

_LABELS = (('emotion', np.int32), ('first', np.int32), ('level', np.int32))  # the network passes them on


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
  shared.refuse_widths(cell, real, standard)
  spec = experiment.spec(config, {m: items.streams[m].width for m in names})
  frames = experiment.frames_of(items, data['max_frames'])
  size = shared.batch_size(config['eval_batch_size'], len(items))
  best, power = _by_dev(cell, student, names)

  def gather(rows):
    out = {k: np.zeros(len(rows), dtype) for k, dtype in _LABELS}
    out |= {k: np.zeros((len(rows), len(classes)), np.float32) for k in ('votes', 'shares')}
    for m, x in items.streams.items():
      out[m], out[f'{m}_mask'] = x.gather(rows, frames[m])
      out[f'{m}_present'] = out[f'{m}_mask'].any(1)
    return out

  def table(out):
    found = np.asarray(out[f'share_{student}'], np.float64)  # [N, K], of a search [N, S, K]
    found = _tempered(found[:, best] if found.ndim == 3 else found, power)
    answered = views.answered(student, names, {f'{m}_present': there for m, there in present.items()})
    return {'id': items.id, **shared.classes(classes, np.where(answered[:, None], found, np.nan))}

  return Predictor(
    final['params'], final['extra'], real, standard,
    lambda: batches_lib.ordered(np.arange(len(items)), gather, size), -(-len(items) // size),
    training.make_predict(spec), table, _notes(items, frames),
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


def _tempered(shares: np.ndarray, power: float) -> np.ndarray:
  """Shares [N, K] raised to a power and renormalised; 1 leaves them."""
  if power == 1.0:
    return shares
  logs = power * np.log(np.maximum(shares, 1e-30))
  return shared.softmax(logs)


def _notes(items: Examples, frames) -> tuple[str, ...]:
  notes = []
  for m, x in items.streams.items():
    if (x.lengths > frames[m]).any():
      notes.append(f'{(x.lengths > frames[m]).sum()} of {len(x)} utterances have more than {frames[m]} frames of {m}; '
                   f'as in training, the first {frames[m]} count')  # fmt: skip
  return tuple(notes)
