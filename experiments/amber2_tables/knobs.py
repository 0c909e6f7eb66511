"""Where the gain lies, by how many items are ambiguous in themselves and how many say two things."""

from amber2_tables.base import DEFAULTS, FIDELITY, claims, metrics_of, networks

KNOBS, REASONS = (0.0, 0.3, 0.6), ('no_reason', 'ambiguous', 'conflict', 'both_reasons')


def table(c, rows):
  c.title = "AmbER^2 on IEMOCAP's twin: the gain by ambiguous items and by modalities in conflict"
  c.folds = ('0', '1', '2')
  c.run.data.limit = 2000  # alike, though the label rule keeps more where raters agree
  names = ('ce_fusion', 'ce_tempered', 'rater_only', 'amber2_fixed')
  levels, grid = (0, 1, 2), tuple((a, k) for a in KNOBS for k in KNOBS)
  suffix = lambda a, k: f'_a{100 * a:.0f}_c{100 * k:.0f}'
  for a, k in grid:
    twin = dict(twins=dict(iemocap=dict(seed=0, ambiguous=a, conflict=k)))
    networks(c, rows, names, base=twin, suffix=suffix(a, k))
    end = f' (ambiguous {a:g}, conflict {k:g})'
    c.claims += claims(levels, f'amber2_fixed{suffix(a, k)}', f'ce_fusion{suffix(a, k)}', end)
  c.metrics = metrics_of((*FIDELITY, 'acc')) + tuple(
    f'{m}.emotion.level_{i}' for m in ('js.bits', 'bc') for i in levels
  )
  c.metrics += tuple(f'{m}.emotion_{x}' for m in ('js.bits', 'bc') for x in ('true', *REASONS))
  line = lambda name, a, metric: tuple((f'conflict {k:g}', f'{name}{suffix(a, k)}', metric) for k in KNOBS)
  for metric in (f'{m}.{t}' for m in ('js.bits', 'bc') for t in ('emotion', 'emotion.level_0', 'emotion_true')):
    shown = ((name, a) for name in ('ce_fusion', 'amber2_fixed') for a in KNOBS)
    c.matrices += (dict(title=metric, cells=tuple((f'{n}, ambiguous {a:g}', line(n, a, metric)) for n, a in shown)),)
  c.notes = (
    'amber2_fixed: lambda .5, kappa 4, no search. Three folds, 2,000 training utterances in every row. emotion_true: '
    'against the distribution that raters of the twin drew from; emotion_<reason>: utterances by why they disagree.',
    *DEFAULTS,
  )  # fmt: skip
