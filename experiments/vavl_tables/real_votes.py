"""The twin whose votes, people and partitions are those of a data pack: --config.run.twins.crema_d.pack=DIR."""

from vavl_tables.base import classes


def table(c, rows):
  c.title = 'VAVL on real votes of CREMA-D, with synthetic features'
  c.run.twins.crema_d.votes = 'real'
  classes(c, rows, (100,))
