"""Real sentences: valence and arousal as readers and writers rate them, in three bins; words and characters."""

from _tables import merged
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


def table(c, rows):
  c.title = 'AmbER^2 on EmoBank: distributions of valence and arousal ratings of sentences'
  c.run.corpora = ('emobank',)
  real(c, 128)
  c.run.epochs = 10
  c.run.heads = ('text', 'chars', 'fusion')
  c.run.data.update(modalities=('text', 'chars'), split='folds')
  bins = dict(low=('1', '2'), middle=('3',), high=('4', '5'))
  c.run.target.update(names=tuple(bins), rule='least', least=4, levels=(5,))
  c.run.target.merge = bins
  names = ('ce_text', 'ce_audio', *SHOWN, 'edl', 'dirichlet_prior', 'prior', 'rater')
  for attribute in ('valence', 'arousal'):
    votes = tuple(f'votes_{attribute}_{who}' for who in ('reader', 'writer'))
    suffix = '' if attribute == 'valence' else '_arousal'
    searched = names if attribute == 'valence' else tuple(n for n in names if n != 'amber2')
    networks(c, rows, searched, ('chars', 'text'), base=dict(target=dict(votes=votes)), suffix=suffix)
    reader, writer = (dict(stage='reference', target=dict(votes=(v,))) for v in votes)
    rows[f'readers_of_writers{suffix}'] = merged(writer, dict(reference=dict(kind='condition', votes=votes[:1])))
    rows[f'writers_of_readers{suffix}'] = merged(reader, dict(reference=dict(kind='condition', votes=votes[1:])))
  c.metrics = metrics_of(METRICS)
  levels = tuple(range(5))
  c.claims = claims(levels) + claims(levels, 'amber2_fixed_arousal', 'ce_fusion_arousal', ' (arousal)')
  controls(c, levels)
  by_level(c, levels, FIFTHS, 'fifths of entropy', rows=(*SHOWN, 'prior'))
  missing(c, tuple(r for r in rows if not r.endswith('_arousal') and rows[r].get('stage') != 'reference'),
           ('text', 'chars'))  # fmt: skip
  c.notes = (
    'Distributions of valence (rows without a suffix) and arousal over three bins: low 1 or 2, middle 3, high 4 or 5; '
    'five readers and five writers together. Streams: hashed word and character n-grams, l2-normalised. Folds and '
    'intervals by document. At most 10 epochs; arousal without a '
    'search.', REAL_NOTE.format(128), *DEFAULTS,
  )  # fmt: skip
