"""The same cells as the default table, scored per third of inter-rater correlation (12 s windows)."""

from label_uncertainty_tables.base import ATTRIBUTES, NOTES, PLACES, rows_of


def table(c, rows):
  c.title = 'Label uncertainty: by agreement of the raters'
  rows_of(c, rows, ('mu', 'mu_lu', 't_lu'))
  levels = ('low', 'mid', 'high')
  c.metrics = tuple(
    f'{m}.{a}.agreement_{level}' for a in ATTRIBUTES for m in ('kl.t', 'kl.gauss', 'nll.raters', 'ccc.pooled')
    for level in levels
  )  # fmt: skip
  c.claims = tuple(
    dict(
      id=f'lu.agreement ({corpus})',
      text="The t loss's advantage over the Gaussian one grows with inter-annotator correlation.",
      compare=tuple(
        dict(row=f't_lu{s}', against=f'mu_lu{s}', metric=f'kl.t.{a}.agreement_high',
             minus=dict(metric=f'kl.t.{a}.agreement_low'))
        for a in ATTRIBUTES
      ),
    )
    for corpus, (s, _) in PLACES.items()
  )  # fmt: skip
  c.notes = ('Thirds of the test windows by the mean pairwise correlation of their raters, per attribute.', *NOTES)
