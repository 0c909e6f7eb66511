"""Pretrained on RAVDESS (a tenth of it selects the step), fine-tuned on Emo-DB, two of its ten speakers a fold."""

from _tables import merged
from masked_ssl_tables.base import PRETRAIN, tuned
from masked_ssl_tables.real import REAL_NOTES, SPEECH, classes, real


def table(c, rows):
  c.title = 'Masked self-supervision from RAVDESS to Emo-DB: four emotions in German with few labels'
  c.folds = tuple(str(i) for i in range(5))
  c.run.corpora = ('emodb',)
  real(c)
  c.run.target.names = ('anger', 'happiness', 'neutral', 'sadness')
  c.run.data.folds = 5
  rows['pretrain'] = merged(PRETRAIN, SPEECH, dict(corpora=('ravdess',), per_fold=False, data=dict(split='all')))
  budgets = (25, 50, 100, 0)
  tuned(c, rows, budgets)
  classes(c, rows, budgets, 200)
  c.notes = (
    'Features are standardised per corpus, without labels. Ten speakers: few for an interval.', *REAL_NOTES,
  )  # fmt: skip
