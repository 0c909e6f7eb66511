"""What the tables on real speech share, at a size for a laptop."""

from masked_ssl_tables.base import NOTES, claims, curves, named

SMALL = dict(width=64, blocks=2, heads=4, hidden=256, dropout=0.1)
SPEECH = dict(batch_size=128, eval_epochs=10.0)  # of pretraining on it
REAL_NOTES = (
  'Features: 25 eGeMAPS descriptors, averaged over 200 ms (about a word, as in the default table), the first 5.2 s. '
  'Width 64, two blocks. Pretraining: 100 epochs without labels. Fine-tuning: 30 epochs, 400 steps at least, '
  'unless recall on dev no longer rises, which also selects the step and the encoder learning rate; dev is whole, so '
  'more labels than a small budget (run.data.limit_dev).',
  'The spread over draws of labels and seeds is in the sd of a row, not in the intervals, which are over speakers.',
  *NOTES[:1],
)


def real(c):
  """Real speech at a size for a laptop: utterances of eGeMAPS frames, one class each."""
  c.run.model.update(SMALL)
  c.run.per_fold, c.run.epochs, c.run.least_steps, c.run.patience = True, 30.0, 400, 6
  c.run.data.update(pool=20, frames=26, keep='first', pad='right', split='folds')
  c.run.select, c.run.select_mode = 'uar.emotion', 'max'
  c.run.tune.loss, c.run.target.kind, c.run.target.label = 'cross_entropy', 'class', 'emotion'
  c.seeds = (0, 1, 2, 3, 4)


def classes(c, rows, budgets, whole):
  rows['majority'] = dict(stage='reference', reference='majority')
  c.metrics = ('uar.emotion', 'acc.emotion', 'f1.macro.emotion')
  c.published = tuple(dict(row=named('ssl', b), metric='uar.emotion', value=None, source='not in the paper')
                      for b in budgets)  # fmt: skip
  c.flags = (dict(name='collapsed', text='recall no better than that of the most frequent class',
                  when=(dict(metric='uar.emotion', near='majority', within=0.01),)),)  # fmt: skip
  claims(c, budgets, c.metrics, budgets[:2])
  curves(c, budgets, whole, ('uar.emotion', 'f1.macro.emotion'))
