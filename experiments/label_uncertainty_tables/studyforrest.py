"""12 real raters of a film, second by second; its 8 segments are the folds."""

from label_uncertainty_tables.base import NOTES
from label_uncertainty_tables.real import REAL_NOTES, real


def table(c, rows):
  c.title = 'Label uncertainty on studyforrest: portrayed valence and arousal, 12 raters of a film'
  c.folds = tuple(str(i) for i in range(8))
  c.run.corpora, c.run.per_fold = ('studyforrest',), True
  # marks are episodes, set by hand to the moment they are about: no delay
  c.run.data.update(modalities=('audio', 'visual'), rate_hz=1.0, frames=60, split='values', delays=(0.0,))
  real(c, rows, (3, 4, 6), {})
  c.notes = (
    'A rater who marked nothing in a second is missing there: seconds need two raters for a spread, three for kl.t. In '
    'a third to half of the seconds all raters agree, and kl there is a matter of the floor.',
    'Features are low-level (loudness, brightness, frame change, perceptual hash). Groups are the 8 film segments. '
    'Three of the raters only heard the film; they are dealt like the others.', *REAL_NOTES, *NOTES[1:],
  )  # fmt: skip
