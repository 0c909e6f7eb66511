"""Six perceived emotions, five partitions of actors, 100 / 50 / 10 % paired."""

from vavl_tables.base import classes


def table(c, rows):
  c.title = 'VAVL on CREMA-D: six perceived emotions with any modality missing'
  classes(c, rows, (100, 50, 10))
