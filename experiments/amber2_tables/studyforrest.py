"""A real film, second by second: seven emotions, twelve observers; sound and picture; a segment a fold."""

from amber2_tables.base import (
  DEFAULTS,
  FIFTHS,
  METRICS,
  REAL_NOTE,
  SHOWN,
  by_level,
  claims,
  controls,
  metrics_of,
  missing,
  networks,
  real,
)

EMOTIONS = {  # of the 22 that observers of the film could name; those of one valence and object together
  'joy': ('HAPPINESS', 'HAPPYFOR', 'SATISFACTION', 'GRATIFICATION', 'PRIDE', 'RELIEF', 'GLOATING'),
  'affection': ('LOVE', 'ADMIRATION', 'GRATITUDE'),
  'hope': ('HOPE',),
  'compassion': ('COMPASSION',),
  'sadness': ('SADNESS', 'DISAPPOINTMENT', 'REMORSE', 'SHAME'),
  'fear': ('FEAR', 'FEARSCONFIRMED'),
  'anger': ('ANGERRAGE', 'HATE', 'RESENTMENT', 'CONTEMPT'),
}
MERGED = 'Emotions: the 22 that observers could name, merged into ' + '; '.join(
  f'{k}: {", ".join(v).lower()}' for k, v in EMOTIONS.items()
) + '. An observer who marked several at once counts with each.'  # fmt: skip
REAL = ('ce_fusion', 'ce_tempered', 'amber2', 'amber2_fixed', 'rater_only', 'modality_uniform', 'no_stop_gradient',
        'ce_experts', 'two_stage', 'soft_label', 'edl', 'dirichlet_prior', 'ensemble', 'prior', 'rater')  # fmt: skip


def table(c, rows):
  c.title = 'AmbER^2 on studyforrest: distributions of twelve observers over seven emotions of a film'
  c.folds = tuple(str(i) for i in range(8))
  c.run.corpora = ('studyforrest',)
  real(c, 256)
  c.run.heads = ('audio', 'visual', 'fusion')
  c.run.data.update(modalities=('audio', 'visual'), summary=('mean', 'std', 'max'), context=15, by='group')
  c.run.target.update(names=tuple(EMOTIONS), rule='least', least=3, levels=(5,))
  c.run.target.merge = EMOTIONS
  networks(c, rows, ('ce_text', 'ce_audio', *REAL, 'student_audio', 'student_text'), ('audio', 'visual'))
  c.metrics = metrics_of(METRICS)
  levels = tuple(range(5))
  c.claims = claims(levels)
  controls(c, levels)
  by_level(c, levels, FIFTHS, 'fifths of entropy', rows=(*SHOWN, 'prior'))
  missing(c, tuple(r for r in rows if r not in ('prior', 'rater')), ('audio', 'visual'))
  c.notes = (
    MERGED, 'Kept are seconds with three votes or more. Features are low-level (loudness, balance, brightness, frame '
    'change, perceptual hash; mean, sd and maximum of the last 15 s of the same segment). Groups are the 8 film '
    'segments: too few for trustworthy intervals.', REAL_NOTE.format(256), *DEFAULTS,
  )  # fmt: skip
