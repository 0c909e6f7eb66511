"""What the released layout gains from seeing its batch mates in file order (experiments/vavl.md, 8)."""

from vavl_tables.base import (
  CLASS_METRICS,
  DEPARTURES,
  NETWORKS,
  PARITY,
  PARITY_NOTE,
  TEST_NOTE,
  TRUST_NOTES,
  TWIN_NOTE,
  VIEWS_NOTE,
  networks,
  references,
)


def table(c, rows):
  c.title = 'VAVL as released: attention and convolution across the batch, on CREMA-D'
  networks(c, rows, (100,), {n: NETWORKS[n] for n in ('vavl', *PARITY)})
  references(rows, ('majority', 'neighbours'))
  c.metrics = tuple(m.format('') for m in CLASS_METRICS)
  c.notes = (VIEWS_NOTE, PARITY_NOTE, TEST_NOTE, DEPARTURES, TWIN_NOTE, *TRUST_NOTES)
