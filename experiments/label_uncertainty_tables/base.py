"""What label uncertainty's tables share: the base of all rows, the systems, and the size of the twins."""

import ml_collections
from _tables import merged

ATTRIBUTES = ('arousal', 'valence')
# What a row changes of the base, which is MU: L_ccc(m) + L_bbb (experiments/label_uncertainty.md, 4).
PLAIN = dict(label='none', bbb='none')
SYSTEMS = {
  'stl': dict(model=dict(spread='none'), loss=PLAIN),
  'stl_pu': dict(model=dict(spread='only'), loss=dict(PLAIN, mean=0.0, spread=1.0)),
  'mtl_pu': dict(model=dict(spread='direct'), loss=dict(PLAIN, spread=1.0)),
  'mu': dict(),
  'mu_lu': dict(loss=dict(label='gauss')),
  't_lu': dict(loss=dict(label='t')),
  't_lu_t': dict(loss=dict(label='t_t')),  # from here on: beyond the papers
  't_lu_posterior': dict(loss=dict(label='t', nu='a-1', scale='posterior')),
  'mc_dropout': dict(model=dict(spread='dropout', head_dropout=0.5), loss=PLAIN),
  'ensemble': dict(model=dict(spread='members'), loss=PLAIN),
}
BASELINES = {
  'mtl_pu': 'stl', 'mu': 'stl', 'mu_lu': 'mu', 't_lu': 'mu_lu', 't_lu_t': 't_lu', 't_lu_posterior': 't_lu',
  'mc_dropout': 'stl', 'ensemble': 'stl',
}  # fmt: skip
DELAYS = (0.0, 1.0, 2.0, 2.8, 3.6, 4.0, 5.0)  # s
TWIN = dict(
  steps=600, eval_every=150, data=dict(rate_hz=5.0, frames=60), model=dict(hidden=64, width=32, block=60),
  optim=dict(lr=3e-3, clip=1.0),
)  # fmt: skip
MISSING = 'arXiv 2110.03299, 2207.12135, 2209.15449, result tables: not obtained'
SPREAD_METRICS = ('kl.t.{}', 'kl.gauss.{}', 'ccc.pooled.{}_spread', 'nll.raters.{}')
METRICS = (
  'ccc.pooled.{}', 'ccc.per_video.{}', 'ccc.pooled.{}_post', 'ccc.pooled.{}_spread', 'ccc.per_video.{}_spread', 
  'kl.t.{}', 'kl.t_minus_floor.{}', 'kl.gauss.{}', 'kl.true.{}', 'nll.raters.{}', 'crps.raters.{}', 'coverage.50.{}',
  'coverage.80.{}', 'coverage.95.{}', 'calibration.raters.{}', 'ccc.pooled.{}_meanweight',
)  # fmt: skip
PLACES = {  # corpus -> suffix of its rows, what its rows set
  'recola': ('', dict(corpora=('recola',))),
  'msp_conversation': ('_msp', dict(corpora=('msp_conversation',), data=dict(split='official'))),
}
NOTES = (
  'recola is reported on its dev partition, for the organisers withheld the test labels; two of its training '
  'recordings select the step. msp_conversation is reported on test and selects on dev.',
  "kl: from the raters to the prediction, in nats; the raters' spread is floored as sqrt(s^2 + 0.01^2). kl.t takes a "
  'Student-t with nu = number of raters as the truth; kl.t_minus_floor subtracts the least that a Gaussian can reach. '
  't_lu_t predicts a Student-t with 29 degrees of freedom, all others a Gaussian.',
  'The label delay of each attribute is chosen on dev and stands in the record (delay_s).',
)


def named(forms, attributes=ATTRIBUTES):
  return tuple(form.format(a) for a in attributes for form in forms)


def run():
  """The base of all rows: MU."""
  run = ml_collections.ConfigDict()
  run.system, run.corpora = 'label_uncertainty', ('recola',)
  run.seed, run.fold, run.per_fold = 0, 'all', False
  run.epochs, run.steps, run.batch_size, run.eval_batch_size = 100, 0, 5, 16  # steps 0: epochs decide
  run.log_every, run.eval_every = 20, 100
  run.select, run.select_mode = 'loss', 'min'
  run.warm_start, run.warm_modules = '', ()
  run.data = dict(
    modalities=('audio',), summary=('mean', 'std', 'max'), rate_hz=0.0, frames=300, delays=DELAYS, split='official_dev',
    held_out=2, by='group', folds=5, dev=0.1, seed=5, test_split='official', memory_gb=8.0,
  )  # fmt: skip
  run.raters = dict(train=0, score='all', reserve=0)
  run.model = dict(
    frontend='features', width=128, hidden=256, dropout=0.5, head_dropout=0.0, bottleneck='kept', block=50, passes=30,
    members=5, spread='passes', recurrent='auto',
  )  # fmt: skip
  run.loss = dict(
    mean=1.0, spread=0.0, label='none', nu='a', scale='s', bbb='closed', over='batch', moments='population', floor=0.01,
    floor_hat=1e-3, df_hat=29.0,
  )  # fmt: skip
  run.optim = dict(
    name='adam', lr=1e-4, l2=0.0, decay=0.0, clip=0.0, schedule='constant', factor=0.1, patience=5, drops=3
  )
  run.twins = dict(
    recola=dict(seed=0, recordings=9, tails=0.2, agreement=0.45, shift=0.0),
    msp_conversation=dict(seed=0, conversations=24, tails=0.2, agreement=0.3, shift=0.15),
  )
  return run


def reduced(row):
  """The twin's size for a row, less what the row sets itself."""
  return {k: {n: x for n, x in v.items() if n not in row.get(k, {})} if isinstance(v, dict) else v
          for k, v in TWIN.items() if k not in row or isinstance(v, dict)}  # fmt: skip


def rows_of(c, rows, systems):
  for _, (suffix, place) in PLACES.items():
    for name in systems:
      rows[f'{name}{suffix}'] = merged(place, SYSTEMS[name])
      if BASELINES.get(name) in systems:
        c.baselines[f'{name}{suffix}'] = f'{BASELINES[name]}{suffix}'


def pictures(attribute, suffix=''):
  """A recording with its raters and predicted bands, and calibration."""
  place = suffix and f'.{suffix[1:]}'
  row = lambda names: tuple(f'{name}{suffix}' for name in names)
  return (
    dict(kind='band', rows=row(('mu', 'mu_lu', 't_lu')), target=attribute, name=f'band.{attribute}{place}'),
    dict(
      kind='calibration', rows=row(('mtl_pu', 'mu', 'mu_lu', 't_lu', 't_lu_t', 'mc_dropout', 'ensemble')),
      target=attribute, name=f'calibration.{attribute}{place}',
    ),
  )  # fmt: skip
