"""32 real raters of 8 videos; every video is a fold."""

from label_uncertainty_tables.base import NOTES
from label_uncertainty_tables.real import REAL_NOTES, real


def table(c, rows):
  c.title = 'Label uncertainty on ceap360vr: felt valence and arousal, 32 raters, 8 videos'
  c.folds = tuple(str(i) for i in range(8))
  c.run.corpora, c.run.per_fold = ('ceap360vr',), True
  c.run.data.update(modalities=('visual',), summary=('mean', 'std'), rate_hz=5.0, frames=60, split='values')
  behaviour = dict(data=dict(modalities=('visual', 'behaviour')))
  real(c, rows, (3, 6, 12), {'mu_lu_with_behaviour': behaviour, 't_lu_with_behaviour': behaviour})
  c.notes = (
    'Input is the luminance of the video. The rows with_behaviour also see head and eye movements, averaged over all '
    'participants: those who score are among them.',
    'Few items: intervals over 8 videos are too narrow.', *REAL_NOTES, *NOTES[1:],
  )  # fmt: skip
