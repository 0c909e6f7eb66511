"""A fine-tuned encoder on the sequences of a folder: intensities of emotions, or class probabilities."""

import numpy as np

from affectjax.data.corpus import Corpus
from affectjax.engine import predictor as shared
from affectjax.engine.predictor import Cell, Predictor
from affectjax.examples import batches as batches_lib
from affectjax.examples import examples as examples_lib
from affectjax.systems.masked_ssl import experiment, training, views
from affectjax.systems.masked_ssl import sequences as sequences_lib


def inputs(cell: Cell) -> tuple[str, ...]:
  """The one modality that is read."""
  stage = cell.config['stage']
  if stage == 'pretrain':
    raise cell.can_not('a pretraining cell, which knows no labels; use one of stage finetune that starts from it')
  if stage != 'finetune':
    raise cell.can_not(f'a cell of masked_ssl, stage {stage}, is not trained, so it predicts nothing of new sequences; '
                       'use one of stage finetune')  # fmt: skip
  if 'standard' not in cell.config['data']:
    raise cell.can_not(f'an earlier version ran it; {shared.AGAIN}')
  if cell.config['data']['standard'] == 'group':
    raise cell.can_not("its features were standardised by speaker (run.data.standard 'group'), who are not known "
                       "in a folder; use a cell with run.data.standard 'corpus'")  # fmt: skip
  return (cell.config['data']['modality'],)


def predictor(cell: Cell, corpus: Corpus) -> Predictor:
  """Predictions of the learning rate that dev chose, per sequence."""
  config, (name,), final = cell.config, inputs(cell), cell.final()
  data, examples = config['data'], examples_lib.of(corpus, (name,))
  ids = examples.id
  x, real = sequences_lib.stream(sequences_lib.shaped(examples, data)).dense()
  names = config['target']['names'] or cell.labels['emotions']
  spec, by_class = experiment.finetuning(config, len(names)), config['target']['kind'] == 'class'
  best = _by_dev(cell)

  def gather(rows):
    label = np.zeros(len(rows), np.int32) if by_class else np.zeros((len(rows), len(names)), np.float32)
    return {'x': x[rows], 'real': real[rows], 'label': label, 'median': label.astype(np.float32)}

  def table(out):
    shown = np.where(real.any(1)[:, None], out['output'][:, best], np.nan)  # [N, K]
    if by_class:
      return {'id': ids, **shared.classes(names, shown)}
    some = np.nan_to_num(shown).max(1) > 0  # of no emotion at all none is the likeliest
    return {'id': ids, **{k: shown[:, i] for i, k in enumerate(names)},
            shared.EMOTION: shared.likeliest(names, shown, some)}  # fmt: skip

  lengths, most = examples.streams[name].lengths, data['frames'] * data['pool']
  note = (f'{(lengths > most).sum()} of {len(lengths)} sequences have more than {most} frames; as in training, the '
          f'{data["keep"]} {most} count')  # fmt: skip
  return Predictor(
    final['params'], final['extra'], {name: x[real]}, {name: final['extra']['input']}, len(ids),
    config['eval_batch_size'], lambda size: batches_lib.ordered(np.arange(len(ids)), gather, size),
    training.finetune_predict(spec), table, (note,) if (lengths > most).any() else (),
  )  # fmt: skip


def _by_dev(cell: Cell) -> int:
  """The learning rate that is best on dev, as `views.finish` chose it."""
  if len(cell.config['tune']['encoder_lr']) == 1:
    return 0
  dev = cell.stored(['dev/search'])
  if not dev:
    raise cell.can_not(f'predictions.npz does not say which learning rate dev chose; {shared.AGAIN}')
  return views.selection(cell.config).best(dev['dev/search'][0])
