"""A real film, second by second, with sound and picture: attributes and emotions; two of its 8 segments a fold."""

from _tables import merged
from vavl_tables.base import (
  ABLATIONS,
  CLASS_FORMS,
  DEPARTURES,
  NETWORKS,
  PARITY,
  TEST_NOTE,
  VIEWS,
  VIEWS_NOTE,
  claims,
  networks,
  pictures,
  references,
)
from vavl_tables.real import REAL_NOTES, real

MERGED = {  # of the 22 emotions that observers of the film could name; those of one valence and object together
  'joy': ('HAPPINESS', 'HAPPYFOR', 'SATISFACTION', 'GRATIFICATION', 'PRIDE', 'RELIEF', 'GLOATING'),
  'affection': ('LOVE', 'ADMIRATION', 'GRATITUDE'),
  'hope': ('HOPE',),
  'compassion': ('COMPASSION',),
  'sadness': ('SADNESS', 'DISAPPOINTMENT', 'REMORSE', 'SHAME'),
  'fear': ('FEAR', 'FEARSCONFIRMED'),
  'anger': ('ANGERRAGE', 'HATE', 'RESENTMENT', 'CONTEMPT'),
}


def table(c, rows):
  c.title = 'VAVL on studyforrest: portrayed valence, arousal and emotion with any modality missing'
  c.folds = tuple(str(i) for i in range(4))
  c.run.corpora = ('studyforrest',)
  # the last 4 s stand for a second, at 5 frames per second
  c.run.data.update(pool=dict(audio=5, visual=5), context=4, split='folds', folds=4, buckets=1)
  real(c, 120)
  attributes, shares = ('valence', 'arousal'), (100, 50, 10)
  kinds = {
    '': dict(target=dict(kind='regression', names=attributes, label=''), loss=dict(rebuild=1.0)),
    '_emotion': dict(target=dict(names=tuple(MERGED), label='')),
  }
  c.run.target.merge = MERGED
  kept = {n: v for n, v in NETWORKS.items() if n not in PARITY}
  few = {n: v for n, v in kept.items() if n not in ABLATIONS}
  for suffix, kind in kinds.items():
    made: dict = {}
    networks(c, made, (100,), kept, twin=False)
    networks(c, made, (50, 10), few, twin=False)
    references(made, ('majority',))
    rows.update({f'{n}{suffix}': merged(kind, v) for n, v in made.items()})
    c.baselines.update({f'{n}{suffix}': f'{c.baselines[n]}{suffix}' for n in made if n in c.baselines})
  forms = tuple(f'ccc.pooled.{a}{{}}' for a in attributes)
  c.metrics = tuple(m.format(v) for m in (*forms, 'f1.macro.emotion{}', 'uar.emotion{}') for v in VIEWS)
  c.claims = tuple(
    dict(id=f'{claim["id"]} ({name})', text=claim['text'],
         compare=tuple({**x, 'row': x['row'] + s, 'against': x['against'] + s} for x in claim['compare']))
    for name, s, metrics in (('attributes', '', forms), ('emotion', '_emotion', CLASS_FORMS))
    for claim in claims(metrics, shares)
  )  # fmt: skip
  pictures(c, forms, tuple(few), shares)
  pictures(c, ('f1.macro.emotion{}',), tuple(few), shares, '_emotion')
  c.notes = (
    'Emotions: the 22 that observers could name, merged into ' + '; '.join(f'{k}: {", ".join(v).lower()}'
    for k, v in MERGED.items()) + '. The label is the plurality of their votes; seconds without one are not scored.',
    'Features are low-level (loudness, balance, brightness, frame change, perceptual hash). Groups are the 8 film '
    'segments: too few for trustworthy intervals.', *REAL_NOTES, VIEWS_NOTE, TEST_NOTE, DEPARTURES,
  )  # fmt: skip
