"""What masked self-supervision's tables share: the base of all rows, pretexts, fine-tuning, claims, the twins' size."""

import ml_collections
from _tables import compare, merged, without

EMOTIONS = ('happy', 'sad', 'anger', 'surprise', 'disgust', 'fear')
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
NOTES = (
  'The paper compares pretrained with not pretrained; its own figures are not known here. supervised is the same '
  'network from nothing; it and ssl choose the encoder learning rate (1e-3, 1e-4) on dev, the head has 1e-3.',
  'Intensities are means of raters in [0, 3]; acc4 rounds both sides to 0 .. 3 (halves up). zero and median are the '
  'constants; skill is 1 - MAE / MAE of the median of all training labels. Without a budget for dev, dev is whole '
  '(run.data.limit_dev). Fine-tuning takes 600 steps at least, more than 100 epochs of few labels.',
  'One draw of labels: how much another draw would change is not in the intervals (--seeds=0,1,2,3,4).',
)
TWIN = dict(
  model=dict(width=64, blocks=2, hidden=256), epochs=30.0, batch_size=32, data=dict(frames=32),
)  # fmt: skip
TWIN_PRETRAIN = dict(model=dict(width=64, blocks=2, hidden=256), epochs=20.0, data=dict(frames=32))


def run():
  """Fine-tuning by the defaults (experiments/masked_ssl.md, 11); rows and tables change what they name."""
  run = ml_collections.ConfigDict()
  run.system, run.stage, run.reference, run.corpora = 'masked_ssl', 'finetune', '', ('cmu_mosei',)
  run.seed, run.fold, run.per_fold = 0, 'all', False
  run.epochs, run.steps, run.least_steps, run.batch_size, run.eval_batch_size = 100.0, 0, 600, 32, 512
  run.log_every, run.eval_every, run.eval_epochs, run.patience = 20, 0, 1.0, 10  # see `few`
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
    memory_gb=8.0,
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


def named(name, budget):
  return f'{name}_{budget}' if budget else name


def few(budget):
  """So many labels, 0 for all; evaluated every 20 steps or so: an epoch of 50 is two."""
  return dict(data=dict(limit=budget), **(dict(eval_epochs=max(1.0, 500 / budget)) if budget else {}))


def tuned(c, rows, budgets, names=tuple(TUNED)):
  """Every way of fine-tuning on every budget."""
  for budget in budgets:
    for name in names:
      rows[named(name, budget)] = merged(TUNED[name], few(budget))
      if name != 'supervised':
        c.baselines[named(name, budget)] = named('linear_probe' if name == 'random_probe' else 'supervised', budget)


def claims(c, budgets, metrics, few, easy=()):
  """What the abstract says; `few` and the last budget are compared with each other."""
  last = budgets[-1]
  minus = dict(row=named('ssl', last), against=named('supervised', last))
  claims = [
    dict(id='ssl.all', text='Pretraining helps on every metric, at every budget.',
         compare=tuple(x for b in budgets for x in compare(named('ssl', b), (named('supervised', b),), metrics))),
    dict(id='ssl.features', text='It works on encoded features, not only on raw audio.',
         compare=compare(named('ssl', few[0]), (named('supervised', few[0]),), metrics)),
    dict(id='ssl.few', text='It helps most when labels are few: more than with all.',
         compare=tuple(x for b in few
                       for x in compare(named('ssl', b), (named('supervised', b),), metrics, minus=minus))),
  ]  # fmt: skip
  if easy:
    others = tuple(e for e in EMOTIONS if e not in easy)
    claims.append(
      dict(id='ssl.easy', text='The effect is largest for happy, sad and anger: larger than for each other emotion.',
           compare=tuple(dict(row=named('ssl', few[0]), against=named('supervised', few[0]), metric=f'{m}.{e}',
                              minus=dict(metric=f'{m}.{o}'))
                         for m in ('mae.pooled', 'acc4') for e in easy for o in others)))  # fmt: skip
  c.claims = tuple(claims)


def curves(c, budgets, whole, metrics):
  """The learning curves: budget on a log axis, with the difference below."""
  for m in metrics:
    series = tuple((n, tuple((b or whole, named(n, b)) for b in budgets)) for n in ('ssl', 'supervised'))
    c.figures += (dict(kind='curve', name=f'budget.{m}', series=series, metric=m, log=True, x_label='labels',
                       difference=('ssl', 'supervised')),)  # fmt: skip
    cells = tuple((n, tuple((str(b or 'all'), named(n, b), m) for b in budgets)) for n in TUNED)
    c.matrices += (dict(title=f'{m} by number of labels', cells=cells),)


def on_twins(c, rows):
  pretrained = lambda row: row.get('stage') == 'pretrain'
  c.on_twins = {name: TWIN_PRETRAIN if pretrained(row) else without(TWIN, row) for name, row in rows.items()}


def constants(c, rows):
  """What knows nothing, and flags of what knows no more."""
  for name in ('zero', 'median'):
    rows[name] = dict(stage='reference', reference=name)
  flat = tuple(dict(metric=f'pcc.pooled.{e}', near=0.0, within=0.05) for e in EMOTIONS)
  c.flags = (
    dict(name='collapsed', text='no better than the constant 0: acc4 within .002 of its, every |r| below .05',
         when=(dict(metric='acc4.intensity', near='zero', within=0.002), *flat)),
    dict(name='constant', text='no better than some constant: every |r| below .05', when=flat),
  )  # fmt: skip
