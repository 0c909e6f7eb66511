"""Masked-timestamp self-supervision on acoustic features (arXiv 2307.12343; AI 2024, 5(1)), with few labels.

Methods, tables and figures of the paper could not be read, and no code was found: backbone, masks, sizes and budgets
are defaults (experiments/masked_ssl.md, 11), published values are n/k. The abstract's claims are what is looked at.

  python -m affectjax.main --config=experiments/masked_ssl.py                                CMU-MOSEI, six intensities
  python -m affectjax.main --config=experiments/masked_ssl.py:pretexts                       masks, layouts and targets
  python -m affectjax.main --config=experiments/masked_ssl.py:ravdess --data_dir=DIR         real speech, eight emotions
  python -m affectjax.main --config=experiments/masked_ssl.py:ravdess_pretexts --data_dir=DIR  masks, sizes, rates there
  python -m affectjax.main --config=experiments/masked_ssl.py:emodb_transfer --data_dir=DIR  English to German

Rows `_N` are fine-tuned on N labels, drawn by video (by recording, where each is one), the same for `ssl` and
`supervised`; without a number: on all. Both choose among encoder learning rates on dev. Twins run at a reduced size
(`TWIN`).
"""

import ml_collections

TABLES = ('cmu_mosei', 'pretexts', 'ravdess', 'ravdess_pretexts', 'emodb_transfer')
EMOTIONS = ('happy', 'sad', 'anger', 'surprise', 'disgust', 'fear')
EASY = ('happy', 'sad', 'anger')
BUDGETS = (50, 100, 200, 500, 1000, 2000, 5000, 0)  # 0: all
# A loss against a teacher that moves orders no steps; and .999 would leave half of its first weights after 600.
EMA = dict(mask=dict(ratio=0.5), pretext=dict(target='ema_latent', error='mse', ema=0.99), select='last')
PRETEXTS = {
  'pretrain': dict(),
  'pretrain_span': dict(mask=dict(kind='span_fixed', span=3)),  # of words: 7 would be half of a sentence
  'pretrain_geometric': dict(mask=dict(kind='span_geometric', span=3)),
  'pretrain_per_feature': dict(mask=dict(kind='per_feature', span=3, replace='zero')),
  'pretrain_mixed': dict(mask=dict(kind='mixed')),
  'pretrain_half': dict(mask=dict(ratio=0.5)),
  'pretrain_80_10_10': dict(mask=dict(replace='80_10_10')),
  'pretrain_groups': dict(pretext=dict(group_weights=True)),
  'pretrain_mae': dict(mask=dict(ratio=0.5), pretext=dict(layout='mae')),
  'pretrain_ema_teacher': EMA,
}
BIGRU = dict(model=dict(kind='bigru', width=256, blocks=2))  # 128 each way
PRETRAIN = dict(
  stage='pretrain', batch_size=256, epochs=100.0, select='loss', select_mode='min', patience=0, eval_epochs=5.0,
  optim=dict(lr=1e-3, schedule='cosine', warmup=0.05),
)  # fmt: skip
PROBE = dict(
  optim=dict(lr=1e-2), tune=dict(frozen=True, norm=True, encoder_lr=(1e-4,), head='linear')
)  # fmt: skip
TUNED = {  # what is done with a pretrained encoder, or without one
  'ssl': dict(warm_start='pretrain', warm_modules=('encoder',)),
  'supervised': dict(tune=dict(encoder_lr=(1e-3, 1e-4))),
  'frozen': dict(
    warm_start='pretrain', warm_modules=('encoder',), tune=dict(frozen=True, norm=True, encoder_lr=(1e-4,))
  ),
  'linear_probe': dict(warm_start='pretrain', warm_modules=('encoder',), **PROBE),
  # A random encoder read in the same way: what linear_probe has not above it, pretraining has not taught.
  'random_probe': {**PROBE, 'tune': dict(untrained=True, **PROBE['tune'])},
}
MISSING = 'arXiv 2307.12343 and AI 2024, 5(1), result tables: not obtained'
METRICS = ('mae.pooled', 'acc4', 'skill')
PER_EMOTION = ('mae.pooled', 'acc4', 'rmse.pooled', 'pcc.pooled', 'ccc.pooled', 'uar4', 'ap.presence', 'auc.presence',
               'wa.presence', 'f1.weighted.presence', 'f1.macro.presence')  # fmt: skip
NOTES = (
  'The paper compares pretrained with not pretrained; its own figures are not known here. supervised is the same '
  'network from nothing; it and ssl choose the encoder learning rate (1e-3, 1e-4) on dev, the head has 1e-3.',
  'Intensities are means of raters in [0, 3]; acc4 rounds both sides to 0 .. 3 (halves up). zero and median are the '
  'constants; skill is 1 - MAE / MAE of the median of all training labels. Without a budget for dev, dev is whole '
  '(run.data.limit_dev). Fine-tuning takes 600 steps at least, more than 100 epochs of few labels.',
  'One draw of labels: how much another draw would change is not in the intervals (--seeds=0,1,2,3,4).',
)


def _run():
  """Fine-tuning by the defaults (experiments/masked_ssl.md, 11); rows and tables change what they name."""
  run = ml_collections.ConfigDict()
  run.system, run.stage, run.reference, run.corpora = 'masked_ssl', 'finetune', '', ('cmu_mosei',)
  run.seed, run.fold, run.per_fold = 0, 'all', False
  run.epochs, run.steps, run.least_steps, run.batch_size, run.eval_batch_size = 100.0, 0, 600, 32, 512
  run.log_every, run.eval_every, run.eval_epochs, run.patience = 20, 0, 1.0, 10  # see `_few`
  run.patience_for = 'each'  # of the learning rates
  run.dispatch = 8  # steps that are one program, on examples that stay on the device
  run.select, run.select_mode = 'loss', 'min'
  run.warm_start, run.warm_modules = '', ()
  run.data = dict(
    modality='audio',
    frames=50,
    pool=1,
    standard='corpus',
    keep='last',
    pad='left',
    split='official',
    unassigned=False,  # to pretraining also what the split leaves out (399 segments of MOSEI)
    folds=4,
    seed=5,
    limit=0,  # labels to train on; 0: all
    limit_dev=False,  # to select by a quarter as many
  )
  run.target = dict(kind='intensity', label='intensity', names=EMOTIONS)
  run.model = dict(kind='transformer', width=128, blocks=4, heads=4, hidden=512, dropout=0.1)
  run.mask = dict(kind='iid', ratio=0.15, span=1, replace='learned')
  run.pretext = dict(error='l1', everywhere=False, layout='bert', target='features', ema=0.999, group_weights=False)
  run.tune = dict(loss='l1', head='mlp', norm=False, frozen=False, untrained=False, decay=1.0,
                  encoder_lr=(1e-3, 1e-4))  # fmt: skip
  run.optim = dict(
    name='adam', lr=1e-3, l2=0.0, decay=1e-2, clip=1.0, schedule='constant', warmup=0.0, factor=0.1, patience=5, drops=3
  )
  run.twins = dict(cmu_mosei=dict(seed=0))
  return run


def get_config(table='cmu_mosei'):
  if table not in TABLES:
    raise ValueError(f'unknown table {table!r} of experiments/masked_ssl.py; there is: {", ".join(TABLES)}')
  c = ml_collections.ConfigDict()
  c.table, c.tables = table, TABLES
  c.run, c.baselines = _run(), {}
  rows: dict = {}  # a ConfigDict forgets the order of its keys
  c.on_twins, c.notes, c.figures, c.matrices, c.flags = {}, (), (), (), ()
  c.seeds, c.folds = (0,), ('all',)
  c.metrics, c.published, c.claims = (), (), ()
  globals()[f'_{table}'](c, rows)
  c.rows, c.order = rows, tuple(rows)
  return c


def _merged(*parts):
  out: dict = {}
  for part in parts:
    for key, value in part.items():
      out[key] = _merged(out.get(key, {}), value) if isinstance(value, dict) else value
  return out


def _without(change, row):
  """The twin's size for a row, less what the row sets itself."""
  return {k: _without(v, row.get(k, {})) if isinstance(v, dict) else v
          for k, v in change.items() if isinstance(v, dict) or k not in row}  # fmt: skip


def _named(name, budget):
  return f'{name}_{budget}' if budget else name


def _few(budget):
  """So many labels, 0 for all; evaluated every 20 steps or so: an epoch of 50 is two."""
  return dict(data=dict(limit=budget), **(dict(eval_epochs=max(1.0, 500 / budget)) if budget else {}))


def _tuned(c, rows, budgets, names=tuple(TUNED)):
  """Every way of fine-tuning on every budget."""
  for budget in budgets:
    for name in names:
      rows[_named(name, budget)] = _merged(TUNED[name], _few(budget))
      if name != 'supervised':
        c.baselines[_named(name, budget)] = _named('linear_probe' if name == 'random_probe' else 'supervised', budget)


def _compare(row, against, metrics, **more):
  return tuple(dict(row=row, against=against, metric=m, **more) for m in metrics)


def _claims(c, budgets, metrics, few, easy=()):
  """What the abstract says; `few` and the last budget are compared with each other."""
  last = budgets[-1]
  minus = dict(row=_named('ssl', last), against=_named('supervised', last))
  claims = [
    dict(id='ssl.all', text='Pretraining helps on every metric, at every budget.',
         compare=tuple(x for b in budgets for x in _compare(_named('ssl', b), _named('supervised', b), metrics))),
    dict(id='ssl.features', text='It works on encoded features, not only on raw audio.',
         compare=_compare(_named('ssl', few[0]), _named('supervised', few[0]), metrics)),
    dict(id='ssl.few', text='It helps most when labels are few: more than with all.',
         compare=tuple(x for b in few
                       for x in _compare(_named('ssl', b), _named('supervised', b), metrics, minus=minus))),
  ]  # fmt: skip
  if easy:
    others = tuple(e for e in EMOTIONS if e not in easy)
    claims.append(
      dict(id='ssl.easy', text='The effect is largest for happy, sad and anger: larger than for each other emotion.',
           compare=tuple(dict(row=_named('ssl', few[0]), against=_named('supervised', few[0]), metric=f'{m}.{e}',
                              minus=dict(metric=f'{m}.{o}'))
                         for m in ('mae.pooled', 'acc4') for e in easy for o in others)))  # fmt: skip
  c.claims = tuple(claims)


def _curves(c, budgets, whole, metrics):
  """The learning curves: budget on a log axis, with the difference below."""
  for m in metrics:
    series = tuple((n, tuple((b or whole, _named(n, b)) for b in budgets)) for n in ('ssl', 'supervised'))
    c.figures += (dict(kind='curve', name=f'budget.{m}', series=series, metric=m, log=True, x_label='labels',
                       difference=('ssl', 'supervised')),)  # fmt: skip
    cells = tuple((n, tuple((str(b or 'all'), _named(n, b), m) for b in budgets)) for n in TUNED)
    c.matrices += (dict(title=f'{m} by number of labels', cells=cells),)


TWIN = dict(
  model=dict(width=64, blocks=2, hidden=256), epochs=30.0, batch_size=32, data=dict(frames=32),
)  # fmt: skip
TWIN_PRETRAIN = dict(model=dict(width=64, blocks=2, hidden=256), epochs=20.0, data=dict(frames=32))


def _on_twins(c, rows):
  pretrained = lambda row: row.get('stage') == 'pretrain'
  c.on_twins = {name: TWIN_PRETRAIN if pretrained(row) else _without(TWIN, row) for name, row in rows.items()}


def _cmu_mosei(c, rows):
  """Six intensities, official folds; label budgets."""
  c.title = 'Masked self-supervision on CMU-MOSEI: six intensities with few labels'
  rows['pretrain'] = _merged(PRETRAIN, PRETEXTS['pretrain'])
  budgets = BUDGETS
  _tuned(c, rows, budgets)
  _constants(c, rows)
  overall = tuple(f'{m}.intensity' for m in METRICS)
  c.metrics = overall + tuple(f'{m}.{e}' for e in EMOTIONS for m in PER_EMOTION)
  c.published = tuple(
    dict(row=_named('ssl', b), metric=m, value=None, source=MISSING) for b in budgets for m in overall
  )
  each = tuple(f'{m}.{e}' for e in EMOTIONS for m in ('mae.pooled', 'acc4'))
  _claims(c, budgets, (*overall[:2], *each), (50, 100), EASY)
  _curves(c, budgets, 16327, overall)
  c.notes = (
    *NOTES,
    'The twin has a quarter of the segments, 4,082 to train on: 5,000 labels are all. Curves draw all at 16,327.',
  )
  _on_twins(c, rows)


def _constants(c, rows):
  """What knows nothing, and flags of what knows no more."""
  for name in ('zero', 'median'):
    rows[name] = dict(stage='reference', reference=name)
  flat = tuple(dict(metric=f'pcc.pooled.{e}', near=0.0, within=0.05) for e in EMOTIONS)
  c.flags = (
    dict(name='collapsed', text='no better than the constant 0: acc4 within .002 of its, every |r| below .05',
         when=(dict(metric='acc4.intensity', near='zero', within=0.002), *flat)),
    dict(name='constant', text='no better than some constant: every |r| below .05', when=flat),
  )  # fmt: skip


def _pretexts(c, rows):
  """The same fine-tuning behind other pretexts."""
  c.title = 'Masked self-supervision on CMU-MOSEI: masks, replacements, layouts and targets'
  for name, change in PRETEXTS.items():
    rows[name] = _merged(PRETRAIN, change)
  for budget in (100, 1000):
    rows[f'supervised_{budget}'] = _merged(TUNED['supervised'], _few(budget))
    for name in PRETEXTS:
      row = f'{name.removeprefix("pretrain").lstrip("_") or "ssl"}_{budget}'
      rows[row] = _merged(TUNED['ssl'], _few(budget), dict(warm_start=name))
      c.baselines[row] = f'supervised_{budget}'
  rows['pretrain_bigru'] = _merged(PRETRAIN, BIGRU)
  for budget in (100, 1000):
    rows[f'supervised_bigru_{budget}'] = _merged(TUNED['supervised'], _few(budget), BIGRU)
    rows[f'bigru_{budget}'] = _merged(TUNED['ssl'], _few(budget), BIGRU, dict(warm_start='pretrain_bigru'))
    c.baselines[f'bigru_{budget}'] = f'supervised_bigru_{budget}'
  c.metrics = tuple(f'{m}.intensity' for m in METRICS) + tuple(
    f'{m}.{e}' for e in EMOTIONS for m in ('mae.pooled', 'acc4', 'pcc.pooled')
  )
  _constants(c, rows)
  c.notes = NOTES
  _on_twins(c, rows)
  for name in rows:
    if 'bigru' in name:
      c.on_twins[name] = _merged(c.on_twins[name], dict(model=dict(width=64)))


RAVDESS = ('neutral', 'calm', 'happy', 'sad', 'angry', 'fearful', 'disgust', 'surprised')
SMALL = dict(width=64, blocks=2, heads=4, hidden=256, dropout=0.1)
SPEECH = dict(batch_size=128, eval_epochs=10.0)  # of pretraining on it
REAL_NOTES = (
  'Features: 25 eGeMAPS descriptors, averaged over 200 ms (about a word, as in the default table), the first 5.2 s. '
  'Width 64, two blocks. Pretraining: 100 epochs without labels. Fine-tuning: 30 epochs, 400 steps at least, '
  'unless recall on dev no longer rises, which also selects the step and the encoder learning rate; dev is whole, so '
  'more labels than a small budget (run.data.limit_dev).',
  'The spread over draws of labels and seeds is in the sd of a row, not in the intervals, which are over speakers.',
  *NOTES[:1],
)


def _real(c):
  """Real speech at a size for a laptop: utterances of eGeMAPS frames, one class each."""
  c.run.model.update(SMALL)
  c.run.per_fold, c.run.epochs, c.run.least_steps, c.run.patience = True, 30.0, 400, 6
  c.run.data.update(pool=20, frames=26, keep='first', pad='right', split='folds')
  c.run.select, c.run.select_mode = 'uar.emotion', 'max'
  c.run.tune.loss, c.run.target.kind, c.run.target.label = 'cross_entropy', 'class', 'emotion'
  c.seeds = (0, 1, 2, 3, 4)


def _classes(c, rows, budgets, whole):
  rows['majority'] = dict(stage='reference', reference='majority')
  c.metrics = ('uar.emotion', 'acc.emotion', 'f1.macro.emotion')
  c.published = tuple(dict(row=_named('ssl', b), metric='uar.emotion', value=None, source='not in the paper')
                      for b in budgets)  # fmt: skip
  c.flags = (dict(name='collapsed', text='recall no better than that of the most frequent class',
                  when=(dict(metric='uar.emotion', near='majority', within=0.01),)),)  # fmt: skip
  _claims(c, budgets, c.metrics, budgets[:2])
  _curves(c, budgets, whole, ('uar.emotion', 'f1.macro.emotion'))


def _ravdess(c, rows):
  """Real speech of 24 actors: pretrained on all training actors without labels; six actors a fold."""
  c.title = 'Masked self-supervision on RAVDESS: eight emotions in real speech with few labels'
  c.folds = tuple(str(i) for i in range(4))
  c.run.corpora = ('ravdess',)
  _real(c)
  c.run.target.names = RAVDESS
  rows['pretrain'] = _merged(PRETRAIN, SPEECH)
  budgets = (50, 100, 200, 400, 0)
  _tuned(c, rows, budgets)
  _classes(c, rows, budgets, 720)
  c.notes = ('Labels are the intended emotions. Intervals over 24 actors.', *REAL_NOTES)


# What else may be hidden of 26 steps, and what else both sides may be given.
SPEECH_PRETEXTS = {
  '': dict(),
  '_half': dict(mask=dict(ratio=0.5)),
  '_80_10_10': dict(mask=dict(ratio=0.5, replace='80_10_10')),
  '_span': dict(mask=dict(kind='span_fixed', span=3, ratio=0.5)),
  '_per_feature': dict(mask=dict(kind='per_feature', span=3, ratio=0.5, replace='zero')),
  '_mae': dict(mask=dict(ratio=0.5), pretext=dict(layout='mae')),
  '_mae_75': dict(mask=dict(ratio=0.75), pretext=dict(layout='mae')),
  '_ema_teacher': EMA,
  '_long': dict(epochs=400.0),
}
CONDITIONS = {
  '_by_speaker': dict(data=dict(standard='group')),
  '_100ms': dict(data=dict(pool=10, frames=52)),
  '_wide': dict(model=dict(width=128, hidden=512)),
}


def _ravdess_pretexts(c, rows):
  """One draw of labels; every condition has a baseline of its own."""
  c.title = 'Masked self-supervision on RAVDESS: what is hidden, and under which conditions it helps'
  c.folds = tuple(str(i) for i in range(4))
  c.run.corpora = ('ravdess',)
  _real(c)
  c.run.target.names, c.seeds = RAVDESS, (0,)
  pairs = [(name, change, '') for name, change in SPEECH_PRETEXTS.items()]
  pairs += [(name, change, name) for name, change in CONDITIONS.items()]
  budgets = (100, 0)
  for name, change, condition in pairs:
    given = change if condition else {}
    rows[f'pretrain{name}'] = _merged(PRETRAIN, SPEECH, change)
    for budget in budgets:
      own = _named(f'ssl{condition}' if condition or not name else name[1:], budget)
      base = _named(f'supervised{condition}', budget)
      some = _merged(_few(budget), given)
      if condition or not name:
        rows[base] = _merged(TUNED['supervised'], some)
      rows[own] = _merged(TUNED['ssl'], dict(warm_start=f'pretrain{name}'), some)
      c.baselines[own] = base
  c.metrics = ('uar.emotion', 'acc.emotion', 'f1.macro.emotion')
  c.notes = (
    "by_speaker: every actor's features are standardised by that actor's own, without labels, of test actors too. "
    'wide: width 128. 100ms: steps of 100 ms. long: 400 epochs. These and ssl hide 15 % of the steps, our default; mae '
    'half or three quarters of them from the encoder; span about 40 % (three at a time, overlapping), the others half.',
    *REAL_NOTES,
  )


def _emodb_transfer(c, rows):
  """Pretrained on RAVDESS (a tenth of it selects the step), fine-tuned on Emo-DB, two of its ten speakers a fold."""
  c.title = 'Masked self-supervision from RAVDESS to Emo-DB: four emotions in German with few labels'
  c.folds = tuple(str(i) for i in range(5))
  c.run.corpora = ('emodb',)
  _real(c)
  c.run.target.names = ('anger', 'happiness', 'neutral', 'sadness')
  c.run.data.folds = 5
  rows['pretrain'] = _merged(PRETRAIN, SPEECH, dict(corpora=('ravdess',), per_fold=False, data=dict(split='all')))
  budgets = (25, 50, 100, 0)
  _tuned(c, rows, budgets)
  _classes(c, rows, budgets, 200)
  c.notes = (
    'Features are standardised per corpus, without labels. Ten speakers: few for an interval.', *REAL_NOTES,
  )  # fmt: skip
