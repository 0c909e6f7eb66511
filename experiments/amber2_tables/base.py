"""What AmbER^2's tables share: the base of all rows, the rows by name, claims, and tables by level of ambiguity."""

import ml_collections
from _tables import compare, merged

LEVELS = (0.0, 0.918, 1.585)  # bits: three votes for one class, two to one, all different; then all others
CE = dict(kind='cross_entropy')
ROWS = {
  'ce_text': dict(heads=('text',), student='text', loss=CE),
  'ce_audio': dict(heads=('audio',), student='audio', loss=CE),
  'ce_fusion': dict(heads=('fusion',), loss=CE),
  'ce_tempered': dict(heads=('fusion',), loss=CE, temper=True),  # one power of all outputs, fitted on dev
  'ce_inverse': dict(heads=('fusion',), loss=dict(CE, beta=1.0)),  # weights by inverse frequency
  'amber2': dict(search=dict(on=True)),
  'amber2_fixed': dict(),
  # ablations
  'rater_only': dict(loss=dict(lambda_mai=0.0, lambda_rai=0.5)),
  'modality_uniform': dict(loss=dict(weights='uniform')),
  'kappa_0': dict(loss=dict(kappa=0.0)),
  'no_stop_gradient': dict(loss=dict(stop_gradient=False)),
  'ce_experts': dict(heads=('audio', 'text', 'fusion'), loss=CE),  # what two_stage starts from
  'two_stage': dict(loss=dict(joint=False), warm_start='ce_experts', warm_modules=('head_audio', 'head_text')),
  'kl_instead_of_js': dict(loss=dict(divergence='kl')),
  'bc_instead_of_js': dict(loss=dict(divergence='bhattacharyya')),
  'student_audio': dict(student='audio'),
  'student_text': dict(student='text'),
  'gate_concatenation': dict(model=dict(gate='concatenation')),
  # related systems, each with the same fusion head
  'soft_label': dict(heads=('fusion',), loss=dict(kind='soft')),
  'edl': dict(heads=('fusion',), loss=dict(kind='evidential')),
  'dirichlet_prior': dict(heads=('fusion',), loss=dict(kind='prior')),
  'ensemble': dict(heads=('fusion',), loss=CE, members=5),
  'prior': dict(stage='reference', reference=dict(kind='prior')),
  'rater': dict(stage='reference', reference=dict(kind='rater')),
}
FIDELITY, ACCURACY = ('js.bits', 'bc', 'r2.pearson'), ('acc', 'f1.macro', 'f1.weighted')
METRICS = (
  *FIDELITY, 'js_sqrt.nats', 'r2.sklearn', 'acc', 'uar', 'f1.macro', 'f1.weighted', 'ece.5', 'ece.10', 'ece.15',
  'brier.class', 'brier.shares', 'entropy.pcc',
)  # fmt: skip
SHOWN = ('ce_fusion', 'ce_tempered', 'amber2', 'amber2_fixed', 'rater_only', 'soft_label')
FIFTHS = tuple(f'{i} of 5' for i in range(1, 6))
FOUR = ('neutral', 'happy', 'angry', 'sad')  # the order decides ties in `emotion_first`
DEFAULTS = (
  'Not known of the paper and set by default: gate, widths, dropout .1, lambda_RAI = 1 - lambda_MAI, experts trained '
  'by JS in the same step, gradients stopped at weights and experts, JS in bits within the loss, clipping at 1; the '
  'step (one per epoch, at most 30, none after 5 without gain) and setting with the lowest JS on dev are reported.',
  'modality_uniform and kappa_0 are the same thing done in two ways. rater_only keeps the weight .5 of its term. '
  'Hard labels are pluralities: tied utterances are not trained on by cross-entropy and not in accuracy, F1, UAR, ECE, '
  'brier.class; emotion_first takes the first class of a tie instead.',
  'emotion_<modality>: tested with that modality alone, by the fusion head; emotion_expert_<modality>: that '
  "modality's own head. prior: the mean label distribution of training; rater: one rater against the others.",
)
UNLIKE = (
  'one_..: one rater against the others. His vote is one-hot, and that alone costs in JS and BC: by these, rows with '
  'other numbers of raters cannot be held against each other; accuracy can.'
)
REAL_NOTE = 'Reduced for a laptop: fused embeddings of {}, training ends after 3 epochs without gain on dev.'


def run():
  """The settings of experiments/amber2.md, 3 to 5 and 11; rows and tables change what they name."""
  run = ml_collections.ConfigDict()
  run.system, run.stage, run.corpora = 'amber2', 'network', ('iemocap',)
  run.seed, run.fold, run.per_fold = 0, '0', True
  run.epochs, run.steps, run.batch_size, run.eval_batch_size = 30, 0, 128, 512  # steps 0: epochs decide
  run.log_every, run.eval_every, run.eval_epochs, run.patience = 20, 0, 1.0, 5  # evaluated once per epoch
  run.select, run.select_mode, run.temper = 'loss', 'min', False
  run.warm_start, run.warm_modules = '', ()
  run.heads, run.student, run.members = ('audio', 'text', 'fusion'), 'fusion', 1
  run.reference = dict(kind='', votes=(), by='')
  run.data = dict(
    modalities=('audio', 'text'), frames=False, max_frames=0, summary=('mean',), context=1, standardise=True,
    split='values', by='session', folds=5, dev=0.1, dev_shares_groups=False, seed=5, limit=0, memory_gb=8.0,
  )  # fmt: skip
  run.target = dict(
    votes=('votes',), names=FOUR, merge=dict(happy=('happy', 'excited')), rule='inside', least=1, levels=LEVELS,
    ties='excluded',
  )  # fmt: skip
  run.model = dict(gate='convex', width=768, hidden=256, dropout=0.1)
  run.loss = dict(
    kind='amber2', divergence='js', base='bits', lambda_mai=0.5, lambda_rai=-1.0, kappa=4.0, weights='reliability',
    stop_gradient=True, joint=True, beta=0.9999, regulariser='dirichlet', regulariser_weight=0.8, likelihood='votes',
  )  # fmt: skip
  run.search = dict(on=False, lambda_mai=(0.3, 0.5, 0.7), kappa=(2.0, 4.0, 8.0))
  run.optim = dict(
    name='adam', lr=3e-4, l2=0.0, decay=1e-2, clip=1.0, schedule='constant', factor=0.1, patience=5, drops=3
  )
  run.twins = dict(iemocap=dict(seed=0), msp_podcast=dict(seed=0))
  return run


def metrics_of(metrics, target='emotion', level=''):
  return tuple(f'{m}.{target}{level}' for m in metrics)


def claims(levels, row='amber2', against='ce_fusion', suffix=''):
  """The abstract's claims; of the benefit at the highest ambiguity that at each lower one is taken off."""
  top = f'emotion.level_{levels[-1]}'
  more = tuple(
    dict(row=row, against=against, metric=f'{m}.{top}', minus=dict(metric=f'{m}.emotion.level_{i}'))
    for m in ('bc', 'js.bits') for i in levels[:-1]
  )  # fmt: skip
  return (
    dict(id=f'amber.fidelity{suffix}', text='Modelling both ambiguities gives better label distributions than '
         'cross-entropy.', compare=compare(row, (against,), metrics_of(FIDELITY))),
    dict(id=f'amber.accuracy{suffix}', text='And accuracy and F1 do not suffer, or rise (contradicted: they fall).',
         compare=compare(row, (against,), metrics_of(ACCURACY))),
    dict(id=f'amber.uncertain{suffix}', text='The benefit is largest for highly ambiguous items: larger at the highest '
         'level than at each lower one.', compare=more),
  )  # fmt: skip


def controls(c, levels, suffix=''):
  """What else could explain a gain: the search, one power of the outputs, soft labels alone."""
  c.claims += claims(levels, 'amber2_fixed', 'ce_fusion', f' (no search{suffix})')
  c.claims += claims(levels, 'amber2', 'ce_tempered', f' (against tempered cross-entropy{suffix})')
  c.claims += (
    dict(id=f'amber.modality{suffix}', text='Not of the abstract: the modality term adds to the rater term.',
         compare=compare('amber2_fixed', ('rater_only',), metrics_of((*FIDELITY, 'acc')))),
  )  # fmt: skip


def networks(c, rows, names, modalities=('audio', 'text'), base=None, suffix=''):
  """Rows by name, with the modalities of a corpus in place of audio and text."""
  other_names = dict(zip(('audio', 'text'), modalities, strict=True))
  other = lambda x: other_names.get(x, x)
  for name in names:
    row = {k: v for k, v in ROWS[name].items()}
    if 'heads' in row:
      row['heads'] = tuple(other(h) for h in row['heads'])
    if 'student' in row:
      row['student'] = other(row['student'])
    if 'warm_start' in row:
      row['warm_start'] += suffix
      row['warm_modules'] = tuple(f'head_{m}' for m in modalities)
    rows[renamed(name, other_names) + suffix] = merged(base or {}, row)
  for name in names:
    plain = name.startswith('ce_') or name in ('amber2', 'prior', 'rater')
    against = 'ce_fusion' if plain else 'amber2_fixed'
    if name not in ('ce_fusion', 'amber2_fixed', 'ce_experts') and f'{against}{suffix}' in rows:
      c.baselines[renamed(name, other_names) + suffix] = f'{against}{suffix}'
  if f'amber2_fixed{suffix}' in rows and f'ce_fusion{suffix}' in rows:
    c.baselines[f'amber2_fixed{suffix}'] = f'ce_fusion{suffix}'


def renamed(name, other_names):
  """ce_text and student_text carry the name of a modality; with others they carry that of theirs."""
  for own, other in other_names.items():
    if name.endswith(f'_{own}'):
      return f'{name.removesuffix(own)}{other}'
  return name


def by_level(c, levels, labels, x_label, places=None, rows=SHOWN):
  """Tables and figures of each metric against the ambiguity of the raters; differences stand with the metrics."""
  columns = lambda m: tuple((label, f'{m}.emotion.level_{i}') for i, label in zip(levels, labels, strict=True))
  for n in ('count.shares', 'count'):
    title = f'{n}: utterances by level, all folds' + (
      '' if n == 'count.shares' else ', less ties (of acc, F1, UAR, ECE)'
    )
    c.matrices += (dict(title=title, rows=('ce_fusion',), columns=(('all', f'{n}.emotion'), *columns(n))),)
  for m in METRICS:
    c.matrices += (dict(title=f'{m}.emotion by entropy of the raters ({x_label})', rows=rows, columns=columns(m)),)
    points = tuple((x, f'{m}.emotion.level_{i}') for x, i in zip(places or levels, levels, strict=True))
    c.figures += (
      dict(kind='sweep', name=f'entropy.{m}', rows=('amber2', 'ce_fusion'), points=points,
           difference=('amber2', 'ce_fusion'), x_label=x_label),
    )  # fmt: skip
  c.metrics += tuple(f'{m}.emotion.level_{i}' for m in (*FIDELITY, 'acc') for i in levels)


def missing(c, rows, modalities):
  """What each row says with one modality, by the fusion head and by that modality's expert."""
  for m in ('js.bits', 'acc'):
    targets = ('emotion', *(f'emotion_{x}' for x in modalities), *(f'emotion_expert_{x}' for x in modalities))
    labels = ('both', *modalities, *(f'{x}, expert' for x in modalities))
    columns = tuple((label, f'{m}.{t}') for label, t in zip(labels, targets, strict=True))
    c.matrices += (dict(title=f'{m}: tested with what is named', rows=rows, columns=columns),)


def of_each(c, rows, names):
  """Metrics over all, and a table of them per emotion."""
  c.metrics = metrics_of(('acc', 'js.bits', 'bc', 'r2.pearson', 'uar', 'f1.macro', 'entropy.pcc'))
  for m in ('count', 'acc', 'js.bits', 'bc'):
    columns = (('all', f'{m}.emotion'), *((n, f'{m}.emotion_of_{n}') for n in names))
    c.matrices += (dict(title=f'{m}, by emotion', rows=tuple(rows), columns=columns),)


def real(c, width):
  c.run.model.width, c.run.patience = width, 3
