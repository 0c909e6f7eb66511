"""Few raters train, all are the truth; a seed draws the raters as well as the weights."""

from _tables import merged
from label_uncertainty_tables.base import ATTRIBUTES, NOTES, SYSTEMS, named


def table(c, rows):
  c.title = 'Label uncertainty: how many raters train (RECOLA)'
  c.seeds = (0, 1, 2)
  counts = (3, 4, 5, 6)
  for count in counts:
    for name in ('mu_lu', 't_lu'):
      rows[f'{name}_a{count}'] = merged(SYSTEMS[name], dict(raters=dict(train=count, score='all')))
    c.baselines[f't_lu_a{count}'] = f'mu_lu_a{count}'
  c.claims = (
    dict(
      id='lu.annotators',
      text='The advantage of the t loss over the Gaussian one grows with fewer annotators.',
      compare=tuple(
        dict(row='t_lu_a3', against='mu_lu_a3', metric=m, minus=dict(row='t_lu_a6', against='mu_lu_a6'))
        for m in named(('kl.t.{}',))
      ),
    ),
  )
  c.notes = ('Each seed draws its own raters; with six of six only the weights differ.', *NOTES)
  series = tuple((name, tuple((n, f'{name}_a{n}') for n in counts)) for name in ('t_lu', 'mu_lu'))
  c.figures = tuple(
    dict(kind='curve', metric=f'kl.t.{a}', series=series, x_label='raters in training', difference=('t_lu', 'mu_lu'))
    for a in ATTRIBUTES
  )
