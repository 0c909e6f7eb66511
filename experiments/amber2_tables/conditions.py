"""Real raters only: the three who heard the film described against the nine who saw and heard it."""

from amber2_tables.base import UNLIKE, of_each
from amber2_tables.studyforrest import EMOTIONS, MERGED


def table(c, rows):
  c.title = 'studyforrest: observers who only heard the film against those who saw it'
  c.folds = ('all',)
  c.run.corpora, c.run.per_fold, c.run.stage = ('studyforrest',), False, 'reference'
  c.run.target.update(names=tuple(EMOTIONS), rule='least', least=2, levels=(5,))
  c.run.target.merge = EMOTIONS
  heard, seen = ('votes_audio',), ('votes_audiovisual',)
  rows['listeners_of_viewers'] = dict(target=dict(votes=seen), reference=dict(kind='condition', votes=heard))
  rows['viewers_of_listeners'] = dict(target=dict(votes=heard), reference=dict(kind='condition', votes=seen))
  rows['one_viewer_of_viewers'] = dict(target=dict(votes=seen), reference=dict(kind='rater'))
  rows['one_listener_of_listeners'] = dict(target=dict(votes=heard), reference=dict(kind='rater'))
  of_each(c, rows, EMOTIONS)
  c.notes = (
    MERGED, 'x_of_y: the shares of the votes of x as a prediction of those of y, scored where y has two votes or more. '
    'emotion_of_<class>: seconds whose plurality (of y) is that class. Groups are the 8 film segments.', UNLIKE,
  )  # fmt: skip
