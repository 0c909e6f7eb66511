"""Real speech of 24 actors, one modality: what of VAVL is left is its audio branch. Four actors a fold."""

from _tables import compare
from vavl_tables.base import CLASS_FORMS, DEPARTURES, NETWORKS, TEST_NOTE, networks, references
from vavl_tables.real import REAL_NOTES, real

RAVDESS = ('neutral', 'calm', 'happy', 'sad', 'angry', 'fearful', 'disgust', 'surprised')


def table(c, rows):
  c.title = 'VAVL on RAVDESS: eight acted emotions in real speech, audio only'
  c.folds = tuple(str(i) for i in range(6))
  c.run.corpora = ('ravdess',)
  c.run.data.update(modalities=('audio',), pool=dict(audio=16), split='folds', folds=6, buckets=1)
  c.run.target.update(names=RAVDESS, label='emotion')
  real(c, 240)
  names = ('vavl', 'no_residual', 'no_reconstruction', 'batch_axis', 'batch_axis_shuffled')
  networks(c, rows, (100,), {n: NETWORKS[n] for n in names}, twin=False)
  rows['vavl_relative'] = dict(model=dict(positions='relative'))
  c.baselines['vavl_relative'] = 'vavl'
  references(rows, ('majority', 'neighbours'))
  c.metrics = ('uar.emotion', *(m.format('') for m in CLASS_FORMS))
  c.claims = (
    dict(id='vavl.parts', text='The residual connection and reconstruction each help.',
         compare=compare('vavl', ('no_residual', 'no_reconstruction'), ('f1.macro.emotion', 'f1.micro.emotion'))),
  )  # fmt: skip
  c.notes = (
    'Labels are the intended emotions. Features: 25 eGeMAPS descriptors at 100 Hz, averaged over 160 ms.',
    'In file order clips of one emotion stand together, so that neighbours knows nearly all. batch_axis is trained and '
    'tested in that order: each of its batches holds one or two emotions. batch_axis_shuffled sees no order.',
    *REAL_NOTES, TEST_NOTE, DEPARTURES,
  )  # fmt: skip
