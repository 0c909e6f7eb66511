"""Eight classes; the paper's folds, which share speakers, and folds of speakers beside them."""

from amber2_tables.base import (
  DEFAULTS,
  FIFTHS,
  METRICS,
  SHOWN,
  by_level,
  claims,
  controls,
  metrics_of,
  missing,
  networks,
)
from amber2_tables.published import TRAPS, published

EIGHT = ('angry', 'sad', 'happy', 'surprised', 'fearful', 'disgusted', 'contemptuous', 'neutral')


def table(c, rows):
  c.title = 'AmbER^2 on MSP-Podcast: distributions of raters over eight emotions'
  c.run.corpora = ('msp_podcast',)
  c.run.target.update(names=EIGHT, rule='least', least=3, levels=(5,))
  c.run.target.merge = {}
  c.run.data.update(split='stratified', by='group')
  names = ('ce_text', 'ce_audio', *SHOWN, 'prior', 'rater')
  networks(c, rows, names)
  networks(c, rows, ('ce_fusion', 'amber2'), base=dict(data=dict(split='folds')), suffix='_speakers')
  networks(
    c,
    rows,
    ('ce_fusion', 'amber2'),
    suffix='_official',
    base=dict(data=dict(split='official', dev_shares_groups=True), per_fold=False),
  )
  c.metrics = metrics_of(METRICS) + metrics_of(('acc', 'f1.macro', 'f1.weighted'), 'emotion_first')
  levels = tuple(range(5))
  c.claims = claims(levels) + claims(levels, 'amber2_speakers', 'ce_fusion_speakers', ' (speakers apart)')
  controls(c, levels)
  by_level(c, levels, FIFTHS, 'fifths of entropy')
  missing(c, names[:-2], ('audio', 'text'))
  published(c, 'msp_podcast', rows)
  c.notes = (
    'Kept are segments with three primary votes or more in the eight classes; other votes are left out. The folds of '
    'the paper are balanced in ambiguity and class and share speakers: known voices are tested; dev is a tenth of '
    'training, balanced alike. Rows _speakers have '
    'folds of speakers, _official the partitions of the corpus (Train, Development, Test1).',
    *TRAPS, *DEFAULTS,
  )  # fmt: skip
