"""The twin whose votes, people and partitions are the real ones (AFFECTJAX_SHARED_DATA names where the pack lies)."""

from vavl_tables.base import classes


def table(c, rows):
  c.title = 'VAVL on real votes of CREMA-D, with synthetic features'
  c.run.twins.crema_d.votes = 'real'
  classes(c, rows, (100,))
