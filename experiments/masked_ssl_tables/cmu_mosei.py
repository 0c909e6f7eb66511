"""Six intensities, official folds; label budgets."""

from _tables import merged
from masked_ssl_tables.base import (
  EMOTIONS,
  METRICS,
  MISSING,
  NOTES,
  PRETEXTS,
  PRETRAIN,
  claims,
  constants,
  curves,
  named,
  on_twins,
  tuned,
)

EASY = ('happy', 'sad', 'anger')
BUDGETS = (50, 100, 200, 500, 1000, 2000, 5000, 0)  # 0: all
PER_EMOTION = ('mae.pooled', 'acc4', 'rmse.pooled', 'pcc.pooled', 'ccc.pooled', 'uar4', 'ap.presence', 'auc.presence',
               'wa.presence', 'f1.weighted.presence', 'f1.macro.presence')  # fmt: skip


def table(c, rows):
  c.title = 'Masked self-supervision on CMU-MOSEI: six intensities with few labels'
  rows['pretrain'] = merged(PRETRAIN, PRETEXTS['pretrain'])
  budgets = BUDGETS
  tuned(c, rows, budgets)
  constants(c, rows)
  overall = tuple(f'{m}.intensity' for m in METRICS)
  c.metrics = overall + tuple(f'{m}.{e}' for e in EMOTIONS for m in PER_EMOTION)
  c.published = tuple(dict(row=named('ssl', b), metric=m, value=None, source=MISSING) for b in budgets for m in overall)
  each = tuple(f'{m}.{e}' for e in EMOTIONS for m in ('mae.pooled', 'acc4'))
  claims(c, budgets, (*overall[:2], *each), (50, 100), EASY)
  curves(c, budgets, 16327, overall)
  c.notes = (
    *NOTES,
    'The twin has a quarter of the segments, 4,082 to train on: 5,000 labels are all. Curves draw all at 16,327.',
  )
  on_twins(c, rows)
