"""Toy: a linear classifier against a slower one, on the toy corpus. Nothing is published.

python -m affectjax.main --config=experiments/toy.py    seconds
"""

import _tables
import ml_collections


def _run():
  run = ml_collections.ConfigDict()
  run.system, run.corpora, run.per_fold = 'toy', ('toy_clips',), True
  run.epochs, run.steps, run.batch_size, run.log_every, run.eval_every = 20, 0, 16, 10, 20
  run.select, run.select_mode, run.warm_start, run.warm_modules = 'loss', 'min', '', ()
  run.data = dict(modality='audio', split='folds', folds=3, seed=5)
  run.target = dict(label='emotion', names=('calm', 'angry', 'glad'))
  run.optim = dict(
    name='adam', lr=0.1, l2=0.0, decay=0.0, clip=0.0, schedule='constant', factor=0.1, patience=5, drops=3
  )
  run.twins = dict(toy_clips=dict(seed=0))
  return run


def _clips(c, rows):
  c.title = 'Toy: three emotions by a linear classifier'
  rows['toy'], rows['slow'] = dict(), dict(optim=dict(lr=1e-4))
  c.baselines, c.metrics = dict(toy='slow'), ('acc.emotion', 'uar.emotion')
  c.published = (dict(row='toy', metric='acc.emotion', value=None, source='nowhere'),)
  faster = _tables.compare('toy', ('slow',), ('acc.emotion',))
  c.claims = (dict(id='toy.faster', text='A higher rate learns more in the same time.', compare=faster),)


TABLES = {'clips': _clips}


def get_config(table='clips'):
  return _tables.config(table, TABLES, _run(), folds=('0', '1', '2'))
