"""Real speech of 24 actors: pretrained on all training actors without labels; six actors a fold."""

from _tables import merged
from masked_ssl_tables.base import PRETRAIN, tuned
from masked_ssl_tables.real import REAL_NOTES, SPEECH, classes, real

RAVDESS = ('neutral', 'calm', 'happy', 'sad', 'angry', 'fearful', 'disgust', 'surprised')


def table(c, rows):
  c.title = 'Masked self-supervision on RAVDESS: eight emotions in real speech with few labels'
  c.folds = tuple(str(i) for i in range(4))
  c.run.corpora = ('ravdess',)
  real(c)
  c.run.target.names = RAVDESS
  rows['pretrain'] = merged(PRETRAIN, SPEECH)
  budgets = (50, 100, 200, 400, 0)
  tuned(c, rows, budgets)
  classes(c, rows, budgets, 720)
  c.notes = ('Labels are the intended emotions. Intervals over 24 actors.', *REAL_NOTES)
