"""The same fine-tuning behind other pretexts."""

from _tables import merged
from masked_ssl_tables.base import EMOTIONS, METRICS, NOTES, PRETEXTS, PRETRAIN, TUNED, constants, few, on_twins

BIGRU = dict(model=dict(kind='bigru', width=256, blocks=2))  # 128 each way


def table(c, rows):
  c.title = 'Masked self-supervision on CMU-MOSEI: masks, replacements, layouts and targets'
  for name, change in PRETEXTS.items():
    rows[name] = merged(PRETRAIN, change)
  for budget in (100, 1000):
    rows[f'supervised_{budget}'] = merged(TUNED['supervised'], few(budget))
    for name in PRETEXTS:
      row = f'{name.removeprefix("pretrain").lstrip("_") or "ssl"}_{budget}'
      rows[row] = merged(TUNED['ssl'], few(budget), dict(warm_start=name))
      c.baselines[row] = f'supervised_{budget}'
  rows['pretrain_bigru'] = merged(PRETRAIN, BIGRU)
  for budget in (100, 1000):
    rows[f'supervised_bigru_{budget}'] = merged(TUNED['supervised'], few(budget), BIGRU)
    rows[f'bigru_{budget}'] = merged(TUNED['ssl'], few(budget), BIGRU, dict(warm_start='pretrain_bigru'))
    c.baselines[f'bigru_{budget}'] = f'supervised_bigru_{budget}'
  c.metrics = tuple(f'{m}.intensity' for m in METRICS) + tuple(
    f'{m}.{e}' for e in EMOTIONS for m in ('mae.pooled', 'acc4', 'pcc.pooled')
  )
  constants(c, rows)
  c.notes = NOTES
  on_twins(c, rows)
  for name in rows:
    if 'bigru' in name:
      c.on_twins[name] = merged(c.on_twins[name], dict(model=dict(width=64)))
