"""Every system on each corpus; the claim of the three papers."""

from _tables import compare
from label_uncertainty_tables.base import (
  ATTRIBUTES,
  MISSING,
  NOTES,
  PLACES,
  SPREAD_METRICS,
  SYSTEMS,
  named,
  pictures,
  rows_of,
)


def table(c, rows):
  c.title = 'Label uncertainty: mean and spread of raters, within corpus'
  rows_of(c, rows, SYSTEMS)
  c.published = tuple(
    dict(row=f'{r}{s}', metric=m, value=None, source=MISSING)
    for s in ('', '_msp') for r in ('stl', 'mtl_pu', 'mu', 'mu_lu', 't_lu')
    for m in named(('ccc.pooled.{}', 'ccc.pooled.{}_spread', 'kl.t.{}'))
    if not (r == 'stl' and not m.startswith('ccc.pooled.') or r == 'stl' and m.endswith('_spread'))
  )  # fmt: skip
  c.claims = tuple(
    dict(
      id=f'lu.uncertainty ({corpus})',
      text="The t label loss models the raters' spread better than the Gaussian one and than the baselines.",
      compare=compare(f't_lu{s}', (f'mu_lu{s}', f'mtl_pu{s}', f'mu{s}'), named(SPREAD_METRICS)),
    )
    for corpus, (s, _) in PLACES.items()
  )
  c.notes = NOTES
  c.figures = tuple(figure for s in ('', '_msp') for a in ATTRIBUTES for figure in pictures(a, s))
