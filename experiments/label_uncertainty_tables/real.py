"""What the tables on real raters share: rows, claims and figures, at a size for a laptop."""

from _tables import compare, merged
from label_uncertainty_tables.base import ATTRIBUTES, BASELINES, SPREAD_METRICS, SYSTEMS, named, pictures

REAL = dict(hidden=64, width=32, block=60)
REAL_NOTES = (
  'Reduced network (a quarter of the units), Adam 3e-3 clipped at norm 1, 150 steps, one draw of weights per window of '
  '60 labels; one seed, and with it one draw of raters.',
  'Six raters train and select in the rows without k; all the others are the truth that is scored.',
)  # fmt: skip


def real(c, rows, counts, extra):
  """Rows and claims of a table on real raters: six train, all the others are the truth of the spread.

  In the rows `_k` fewer or more raters train, all against the same others: those whom the largest k leaves. Their delay
  is fixed, for a delay moves the truth.
  """
  for name, change in SYSTEMS.items():
    rows[name] = merged(change, dict(raters=dict(train=6, score='others')))
    if name in BASELINES:
      c.baselines[name] = BASELINES[name]
  for count in counts:
    few = dict(raters=dict(train=count, score='others', reserve=max(counts)), data=dict(delays=(0.0,)))
    for name in ('mu_lu', 't_lu'):
      rows[f'{name}_k{count}'] = merged(SYSTEMS[name], few)
    c.baselines[f't_lu_k{count}'] = f'mu_lu_k{count}'
  for name, change in extra.items():
    rows[name] = merged(rows[name.partition('_with_')[0]], change)
    c.baselines[name] = name.partition('_with_')[0]
  c.run.model.update(REAL)
  c.run.optim.lr, c.run.optim.clip = 3e-3, 1.0
  c.run.steps, c.run.eval_every = 150, 25
  c.metrics = tuple(m for m in c.metrics if not m.startswith('kl.true')) + tuple(
    f'kl.t.{a}.agreement_{level}' for a in ATTRIBUTES for level in ('low', 'mid', 'high')
  )
  few, many = min(counts), max(counts)
  c.claims = (
    dict(
      id='lu.uncertainty',
      text="The t label loss models the raters' spread better than the Gaussian one and than the baselines.",
      compare=compare('t_lu', ('mu_lu', 'mtl_pu', 'mu'), named(SPREAD_METRICS)),
    ),
    dict(
      id='lu.annotators',
      text='The advantage of the t loss over the Gaussian one grows with fewer annotators.',
      compare=tuple(
        dict(row=f't_lu_k{few}', against=f'mu_lu_k{few}', metric=m,
             minus=dict(row=f't_lu_k{many}', against=f'mu_lu_k{many}'))
        for m in named(('kl.t.{}',))
      ),
    ),
    dict(
      id='lu.agreement',
      text="The t loss's advantage over the Gaussian one grows with inter-annotator correlation.",
      compare=tuple(
        dict(row='t_lu', against='mu_lu', metric=f'kl.t.{a}.agreement_high',
             minus=dict(metric=f'kl.t.{a}.agreement_low'))
        for a in ATTRIBUTES
      ),
    ),
  )  # fmt: skip
  series = tuple((name, tuple((n, f'{name}_k{n}') for n in counts)) for name in ('t_lu', 'mu_lu'))
  c.figures = tuple(figure for a in ATTRIBUTES for figure in pictures(a)) + tuple(
    dict(kind='curve', metric=f'kl.t.{a}', series=series, x_label='raters in training', difference=('t_lu', 'mu_lu'))
    for a in ATTRIBUTES
  )
