"""Real votes on 7,442 clips: people who only heard, only saw, or heard and saw them, against each other."""

from amber2_tables.base import UNLIKE, of_each

CREMA_D = ('anger', 'sad', 'disgust', 'fear', 'neutral', 'happy')


def table(c, rows):
  c.title = 'CREMA-D: raters of the voice, of the face and of both against each other'
  c.folds = ('all',)
  c.run.corpora, c.run.per_fold, c.run.stage = ('crema_d',), False, 'reference'
  c.run.target.update(names=CREMA_D, levels=(5,))
  c.run.target.merge = {}
  c.run.reference.by = 'intended'
  of = dict(voice=('votes_audio',), face=('votes_visual',), both=('votes',))
  for x, y in (('voice', 'face'), ('face', 'voice'), ('voice', 'both'), ('face', 'both')):
    rows[f'{x}_of_{y}'] = dict(target=dict(votes=of[y]), reference=dict(kind='condition', votes=of[x]))
  for y, votes in of.items():
    rows[f'one_rater_of_{y}'] = dict(target=dict(votes=votes), reference=dict(kind='rater'))
  of_each(c, rows, CREMA_D)
  c.notes = (
    'x_of_y: the shares of the votes of x as a prediction of those of y; one_rater: one of y against the others of y. '
    'emotion_of_<class>: clips by the emotion that the actor was asked for. Accuracy leaves out ties of y; a tie of x '
    'goes to its first class. Groups are the 91 actors.', UNLIKE,
  )  # fmt: skip
