"""Attributes instead of classes, by config alone; dyads in five partitions."""

from vavl_tables.base import (
  ABLATIONS,
  ATTRIBUTES,
  DEPARTURES,
  GAP_NOTE,
  MISSING,
  NETWORKS,
  PARITY,
  TEST_NOTE,
  TWIN_NOTE,
  VIEWS_NOTE,
  claims,
  networks,
  pictures,
  references,
)


def table(c, rows):
  c.title = 'VAVL on MSP-IMPROV: arousal, dominance and valence with any modality missing'
  c.run.corpora = ('msp_improv',)
  c.run.target.update(kind='regression', names=ATTRIBUTES, label='')
  c.run.loss.rebuild, c.run.batch_size, c.run.eval_every = 1.0, 9, 620  # about an epoch
  kept = {k: v for k, v in NETWORKS.items() if k not in PARITY}
  few, shares = {k: v for k, v in kept.items() if k not in ABLATIONS}, (100, 50, 10)
  networks(c, rows, (100,), kept)
  networks(c, rows, (50, 10), few)
  references(rows, ('majority',))
  forms = tuple(f'ccc.pooled.{a}{{}}' for a in ATTRIBUTES)
  c.metrics = tuple(m.format(v) for v in ('', '_audio', '_visual') for m in forms) + tuple(
    f'{m}.{a}{p}' for a in ATTRIBUTES for m, p in (('rmse.pooled', ''), ('gap.ccc.pooled', '_gender'))
  )
  c.published = tuple(dict(row='vavl', metric=m.format(v), value=None, source=MISSING)
                      for m in forms for v in ('', '_audio', '_visual'))  # fmt: skip
  c.claims = claims(forms, shares)
  pictures(c, forms, tuple(few), shares)
  c.notes = (VIEWS_NOTE, GAP_NOTE, TEST_NOTE, DEPARTURES, TWIN_NOTE)
