"""Label uncertainty (arXiv 2110.03299, 2207.12135, 2209.15449): the mean and the spread of raters, every moment.

Source of network and losses: the released code, GitHub sp-uhh/label-uncertainty-ser. The papers' result tables were not
at hand: published values are n/k. What the code does not say is a default: Adam 1e-4, batches of 5 windows, 100 epochs,
the step with the lowest dev loss, delays chosen on dev, frame features instead of waveforms (run.model.frontend
'released' and run.data.modalities ('waveform',) give the raw network).

  python -m affectjax.main --config=experiments/label_uncertainty.py                 within RECOLA and MSP-Conversation
  python -m affectjax.main --config=experiments/label_uncertainty.py:cross_corpus    trained on one, tested on the other
  python -m affectjax.main --config=experiments/label_uncertainty.py:annotators      3 to 6 raters train, all score
  python -m affectjax.main --config=experiments/label_uncertainty.py:agreement       thirds of inter-rater correlation
  python -m affectjax.main --config=experiments/label_uncertainty.py:switches        released or corrected, one by one
  python -m affectjax.main --config=experiments/label_uncertainty.py:ceap360vr --data_dir=DIR     32 real raters
  python -m affectjax.main --config=experiments/label_uncertainty.py:studyforrest --data_dir=DIR  12 real raters

Of the released code's peculiarities (experiments/label_uncertainty.md, 11) the rows keep nu = a, scale = s, the reshape
of frames and the bottleneck; cost of the weights in closed form, CCC with 1 / n moments and a floored spread are
corrected; `:switches` shows both. One seed by default (--seeds=0,1,2).

Synthetic twins run at a reduced size (`TWIN`): 5 labels per second, a quarter of the units, 600 steps, new weights
every 12 s as in the first release of the code (2 s later), Adam 3e-3 with gradients clipped at norm 1.
"""

import ml_collections

TABLES = ('within', 'cross_corpus', 'annotators', 'agreement', 'switches', 'ceap360vr', 'studyforrest')
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


def _named(forms, attributes=ATTRIBUTES):
  return tuple(form.format(a) for a in attributes for form in forms)


def _run():
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
    held_out=2, by='group', folds=5, dev=0.1, seed=5, test_split='official',
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


def get_config(table='within'):
  if table not in TABLES:
    raise ValueError(f'unknown table {table!r} of experiments/label_uncertainty.py; there is: {", ".join(TABLES)}')
  c = ml_collections.ConfigDict()
  c.table, c.tables = table, TABLES
  c.run, c.baselines = _run(), {}
  rows: dict = {}  # a ConfigDict forgets the order of its keys
  c.on_twins, c.notes, c.figures = {}, (), ()
  c.seeds, c.folds = (0,), ('all',)
  c.metrics, c.published, c.claims = _named(METRICS), (), ()
  globals()[f'_{table}'](c, rows)
  c.rows, c.order = rows, tuple(rows)
  if table not in ('ceap360vr', 'studyforrest'):
    c.on_twins = {row: _reduced(rows[row]) for row in rows}
  return c


def _reduced(row):
  """The twin's size for a row, less what the row sets itself."""
  return {k: {n: x for n, x in v.items() if n not in row.get(k, {})} if isinstance(v, dict) else v
          for k, v in TWIN.items() if k not in row or isinstance(v, dict)}  # fmt: skip


def _merged(*parts):
  out: dict = {}
  for part in parts:
    for key, value in part.items():
      out[key] = {**out.get(key, {}), **value} if isinstance(value, dict) else value
  return out


def _compare(row, against, metrics):
  return tuple(dict(row=row, against=a, metric=m) for a in against for m in metrics)


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


def _rows_of(c, rows, systems):
  for _, (suffix, place) in PLACES.items():
    for name in systems:
      rows[f'{name}{suffix}'] = _merged(place, SYSTEMS[name])
      if BASELINES.get(name) in systems:
        c.baselines[f'{name}{suffix}'] = f'{BASELINES[name]}{suffix}'


def _within(c, rows):
  """Every system on each corpus; the claim of the three papers."""
  c.title = 'Label uncertainty: mean and spread of raters, within corpus'
  _rows_of(c, rows, SYSTEMS)
  c.published = tuple(
    dict(row=f'{r}{s}', metric=m, value=None, source=MISSING)
    for s in ('', '_msp') for r in ('stl', 'mtl_pu', 'mu', 'mu_lu', 't_lu')
    for m in _named(('ccc.pooled.{}', 'ccc.pooled.{}_spread', 'kl.t.{}'))
    if not (r == 'stl' and not m.startswith('ccc.pooled.') or r == 'stl' and m.endswith('_spread'))
  )  # fmt: skip
  c.claims = tuple(
    dict(
      id=f'lu.uncertainty ({corpus})',
      text="The t label loss models the raters' spread better than the Gaussian one and than the baselines.",
      compare=_compare(f't_lu{s}', (f'mu_lu{s}', f'mtl_pu{s}', f'mu{s}'), _named(SPREAD_METRICS)),
    )
    for corpus, (s, _) in PLACES.items()
  )
  c.notes = NOTES
  c.figures = tuple(figure for s in ('', '_msp') for a in ATTRIBUTES for figure in _pictures(a, s))


def _pictures(attribute, suffix=''):
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


def _cross_corpus(c, rows):
  """Trained and selected on one corpus, tested on the other as it is: no target statistics, no fine-tuning."""
  c.title = 'Label uncertainty: trained on one corpus, tested on the other'
  systems = ('stl', 'mtl_pu', 'mu', 'mu_lu', 't_lu')
  ways = {
    'to_msp': dict(corpora=('recola', 'msp_conversation'), data=dict(split='official_dev', test_split='official')),
    'to_recola': dict(corpora=('msp_conversation', 'recola'), data=dict(split='official', test_split='official_dev')),
  }
  for way, place in ways.items():
    for name in systems:
      rows[f'{name}_{way}'] = _merged(place, SYSTEMS[name])
      if name in BASELINES:
        c.baselines[f'{name}_{way}'] = f'{BASELINES[name]}_{way}'
  c.claims = tuple(
    dict(
      id=f'lu.cross ({way})',
      text="The t loss's gain over the Gaussian one and the baselines stays across corpora.",
      compare=_compare(f't_lu_{way}', (f'mu_lu_{way}', f'mtl_pu_{way}', f'mu_{way}'), _named(SPREAD_METRICS)),
    )
    for way in ways
  )
  c.notes = ('Direction, scaling and fine-tuning of the paper are not known; here labels are on [-1, 1] and nothing is '
             'fitted to the target corpus. Delays are those chosen on the training corpus.', *NOTES)  # fmt: skip


def _annotators(c, rows):
  """Few raters train, all are the truth; a seed draws the raters as well as the weights."""
  c.title = 'Label uncertainty: how many raters train (RECOLA)'
  c.seeds = (0, 1, 2)
  counts = (3, 4, 5, 6)
  for count in counts:
    for name in ('mu_lu', 't_lu'):
      rows[f'{name}_a{count}'] = _merged(SYSTEMS[name], dict(raters=dict(train=count, score='all')))
    c.baselines[f't_lu_a{count}'] = f'mu_lu_a{count}'
  c.claims = (
    dict(
      id='lu.annotators',
      text='The advantage of the t loss over the Gaussian one grows with fewer annotators.',
      compare=tuple(
        dict(row='t_lu_a3', against='mu_lu_a3', metric=m, minus=dict(row='t_lu_a6', against='mu_lu_a6'))
        for m in _named(('kl.t.{}',))
      ),
    ),
  )
  c.notes = ('Each seed draws its own raters; with six of six only the weights differ.', *NOTES)
  series = tuple((name, tuple((n, f'{name}_a{n}') for n in counts)) for name in ('t_lu', 'mu_lu'))
  c.figures = tuple(
    dict(kind='curve', metric=f'kl.t.{a}', series=series, x_label='raters in training', difference=('t_lu', 'mu_lu'))
    for a in ATTRIBUTES
  )


def _agreement(c, rows):
  """The same cells as the default table, scored per third of inter-rater correlation (12 s windows)."""
  c.title = 'Label uncertainty: by agreement of the raters'
  _rows_of(c, rows, ('mu', 'mu_lu', 't_lu'))
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


def _switches(c, rows):
  """t_lu with departures from the code undone, one by one and all together (experiments/label_uncertainty.md, 11)."""
  c.title = 'Label uncertainty: t_lu as released and corrected (RECOLA)'
  released = {
    'bbb_monte_carlo': dict(loss=dict(bbb='monte_carlo')),
    'ccc_mixed': dict(loss=dict(moments='mixed')),
    'no_floor': dict(loss=dict(floor=0.0)),
  }
  corrected = {
    'posterior': dict(loss=dict(nu='a-1', scale='posterior')),
    'wide_bottleneck': dict(model=dict(bottleneck='wide')),
    'bbb_over_data': dict(loss=dict(over='data')),
  }
  rows['t_lu'] = SYSTEMS['t_lu']
  rows['t_lu_released'] = _merged(SYSTEMS['t_lu'], *released.values())
  for name, change in {**released, **corrected}.items():
    rows[f't_lu_{name}'] = _merged(SYSTEMS['t_lu'], change)
  c.baselines = {row: 't_lu' for row in rows if row != 't_lu'}
  c.notes = ('t_lu: nu = a and scale = s as released; closed-form cost, 1 / n moments and floored spread as corrected. '
             'The waveform frontend has its own switch, run.model.frontend released or integer.', *NOTES)  # fmt: skip


REAL = dict(hidden=64, width=32, block=60)
REAL_NOTES = (
  'Reduced network (a quarter of the units), Adam 3e-3 clipped at norm 1, 150 steps, one draw of weights per window of '
  '60 labels; one seed, and with it one draw of raters.',
  'Six raters train and select in the rows without k; all the others are the truth that is scored.',
)  # fmt: skip


def _real(c, rows, counts, extra):
  """Rows and claims of a table on real raters: six train, all the others are the truth of the spread.

  In the rows `_k` fewer or more raters train, all against the same others: those whom the largest k leaves. Their delay
  is fixed, for a delay moves the truth.
  """
  for name, change in SYSTEMS.items():
    rows[name] = _merged(change, dict(raters=dict(train=6, score='others')))
    if name in BASELINES:
      c.baselines[name] = BASELINES[name]
  for count in counts:
    few = dict(raters=dict(train=count, score='others', reserve=max(counts)), data=dict(delays=(0.0,)))
    for name in ('mu_lu', 't_lu'):
      rows[f'{name}_k{count}'] = _merged(SYSTEMS[name], few)
    c.baselines[f't_lu_k{count}'] = f'mu_lu_k{count}'
  for name, change in extra.items():
    rows[name] = _merged(rows[name.partition('_with_')[0]], change)
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
      compare=_compare('t_lu', ('mu_lu', 'mtl_pu', 'mu'), _named(SPREAD_METRICS)),
    ),
    dict(
      id='lu.annotators',
      text='The advantage of the t loss over the Gaussian one grows with fewer annotators.',
      compare=tuple(
        dict(row=f't_lu_k{few}', against=f'mu_lu_k{few}', metric=m,
             minus=dict(row=f't_lu_k{many}', against=f'mu_lu_k{many}'))
        for m in _named(('kl.t.{}',))
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
  c.figures = tuple(figure for a in ATTRIBUTES for figure in _pictures(a)) + tuple(
    dict(kind='curve', metric=f'kl.t.{a}', series=series, x_label='raters in training', difference=('t_lu', 'mu_lu'))
    for a in ATTRIBUTES
  )


def _ceap360vr(c, rows):
  """32 real raters of 8 videos; every video is a fold."""
  c.title = 'Label uncertainty on ceap360vr: felt valence and arousal, 32 raters, 8 videos'
  c.folds = tuple(str(i) for i in range(8))
  c.run.corpora, c.run.per_fold = ('ceap360vr',), True
  c.run.data.update(modalities=('visual',), summary=('mean', 'std'), rate_hz=5.0, frames=60, split='values')
  behaviour = dict(data=dict(modalities=('visual', 'behaviour')))
  _real(c, rows, (3, 6, 12), {'mu_lu_with_behaviour': behaviour, 't_lu_with_behaviour': behaviour})
  c.notes = (
    'Input is the luminance of the video. The rows with_behaviour also see head and eye movements, averaged over all '
    'participants: those who score are among them.',
    'Few items: intervals over 8 videos are too narrow.', *REAL_NOTES, *NOTES[1:],
  )  # fmt: skip


def _studyforrest(c, rows):
  """12 real raters of a film, second by second; its 8 segments are the folds."""
  c.title = 'Label uncertainty on studyforrest: portrayed valence and arousal, 12 raters of a film'
  c.folds = tuple(str(i) for i in range(8))
  c.run.corpora, c.run.per_fold = ('studyforrest',), True
  # marks are episodes, set by hand to the moment they are about: no delay
  c.run.data.update(modalities=('audio', 'visual'), rate_hz=1.0, frames=60, split='values', delays=(0.0,))
  _real(c, rows, (3, 4, 6), {})
  c.notes = (
    'A rater who marked nothing in a second is missing there: seconds need two raters for a spread, three for kl.t. In '
    'a third to half of the seconds all raters agree, and kl there is a matter of the floor.',
    'Features are low-level (loudness, brightness, frame change, perceptual hash). Groups are the 8 film segments. '
    'Three of the raters only heard the film; they are dealt like the others.', *REAL_NOTES, *NOTES[1:],
  )  # fmt: skip
