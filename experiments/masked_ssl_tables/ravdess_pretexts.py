"""One draw of labels; every condition has a baseline of its own."""

from _tables import merged
from masked_ssl_tables.base import EMA, PRETRAIN, TUNED, few, named
from masked_ssl_tables.ravdess import RAVDESS
from masked_ssl_tables.real import REAL_NOTES, SPEECH, real

# What else may be hidden of 26 steps, and what else both sides may be given.
SPEECH_PRETEXTS = {
  '': dict(),
  '_half': dict(mask=dict(ratio=0.5)),
  '_80_10_10': dict(mask=dict(ratio=0.5, replace='80_10_10')),
  '_span': dict(mask=dict(kind='span_fixed', span=3, ratio=0.5)),
  '_per_feature': dict(mask=dict(kind='per_feature', span=3, ratio=0.5, replace='zero')),
  '_mae': dict(mask=dict(ratio=0.5), pretext=dict(layout='mae')),
  '_mae_75': dict(mask=dict(ratio=0.75), pretext=dict(layout='mae')),
  '_ema_teacher': EMA,
  '_long': dict(epochs=400.0),
}
CONDITIONS = {
  '_by_speaker': dict(data=dict(standard='group')),
  '_100ms': dict(data=dict(pool=10, frames=52)),
  '_wide': dict(model=dict(width=128, hidden=512)),
}


def table(c, rows):
  c.title = 'Masked self-supervision on RAVDESS: what is hidden, and under which conditions it helps'
  c.folds = tuple(str(i) for i in range(4))
  c.run.corpora = ('ravdess',)
  real(c)
  c.run.target.names, c.seeds = RAVDESS, (0,)
  pairs = [(name, change, '') for name, change in SPEECH_PRETEXTS.items()]
  pairs += [(name, change, name) for name, change in CONDITIONS.items()]
  budgets = (100, 0)
  for name, change, condition in pairs:
    given = change if condition else {}
    rows[f'pretrain{name}'] = merged(PRETRAIN, SPEECH, change)
    for budget in budgets:
      own = named(f'ssl{condition}' if condition or not name else name[1:], budget)
      base = named(f'supervised{condition}', budget)
      some = merged(few(budget), given)
      if condition or not name:
        rows[base] = merged(TUNED['supervised'], some)
      rows[own] = merged(TUNED['ssl'], dict(warm_start=f'pretrain{name}'), some)
      c.baselines[own] = base
  c.metrics = ('uar.emotion', 'acc.emotion', 'f1.macro.emotion')
  c.notes = (
    "by_speaker: every actor's features are standardised by that actor's own, without labels, of test actors too. "
    'wide: width 128. 100ms: steps of 100 ms. long: 400 epochs. These and ssl hide 15 % of the steps, our default; mae '
    'half or three quarters of them from the encoder; span about 40 % (three at a time, overlapping), the others half.',
    *REAL_NOTES,
  )
