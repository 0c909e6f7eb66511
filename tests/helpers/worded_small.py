"""The twins of spoken words, small, and what a cheap probe reads from their embeddings; shared by their tests."""

import functools

import numpy as np

from affectjax.data.store import opening
from affectjax.data.twins import iemocap, msp_podcast
from affectjax.labels import raters

NAMES = ('iemocap', 'msp_podcast')
SMALL = {
  'iemocap': dict(turns=320, audio_width=3, text_width=2),
  'msp_podcast': dict(turns=200, speakers=10, audio_width=3, text_width=2),
}


def columns(name, **knobs):
  return opening.open_corpus(name, **knobs).columns('all')


def values(column):
  return getattr(column, 'values', column)


def entropy(p):
  """[N], bits, of shares or counts [N, K]."""
  p = np.asarray(p, np.float64) / p.sum(1, keepdims=True)
  return -(p * np.log2(np.where(p > 0, p, 1))).sum(1)


@functools.lru_cache(maxsize=16)
def carried(name, **knobs):
  """What voice, words and all raters say, and the labels; no features. Nothing of it may be changed."""
  known = dict(opening.open_corpus(name).meta['knobs'], **knobs)
  return {'iemocap': iemocap, 'msp_podcast': msp_podcast}[name]._labelled(known)[1:]


def softmax_probe(x, label, train, classes, steps=300, decay=0.02):
  """Probabilities [N, K] of a multinomial regression fitted to hard labels on the rows `train`; balanced classes."""
  x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-9)
  x, y = np.c_[x, np.ones(len(x))].astype(np.float32), np.eye(classes, dtype=np.float32)
  rows = np.flatnonzero(train & (label >= 0))
  weight = 1 / np.maximum(np.bincount(label[rows], minlength=classes), 1)[label[rows]]
  weight = (weight / weight.sum()).astype(np.float32)[:, None]
  w, step = np.zeros((x.shape[1], classes), np.float32), 4.0 / x.shape[1]
  seen, wanted = x[rows], y[label[rows]]

  def predict(x):
    z = x @ w
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)

  for _ in range(steps):
    w -= step * (seen.T @ (weight * (predict(seen) - wanted)) + decay * w)
  return predict(x)


def four(c):
  """IEMOCAP's votes for neutral, happy + excited, angry, sad [N, 4], and which turns have no others [N]."""
  votes = np.stack([c['votes'][:, iemocap.MERGED == k].sum(1) for k in range(4)], 1)
  return votes, votes.sum(1) == c['votes'].sum(1)


def read(c, *modalities):
  """A probe of the embeddings on turns inside the four classes, session 1 held out: probabilities, labels, rows."""
  votes, inside = four(c)
  x = np.concatenate([c[m].values for m in modalities], 1)[inside]
  label, session = raters.plurality(votes[inside]), c['session'][inside]
  return softmax_probe(x, label, session > 2, 4), label, inside, session == 1


def accuracy(c, *modalities):
  p, label, _, test = read(c, *modalities)
  test &= label >= 0
  return (p.argmax(1) == label)[test].mean()


def ranked_above(score, truth):
  """How often one of `truth` scores higher than one that is not."""
  rank = np.empty(len(score))
  rank[np.argsort(score)] = np.arange(1, len(score) + 1)
  n, m = truth.sum(), (1 - truth).sum()
  return (rank[truth == 1].sum() - n * (n + 1) / 2) / (n * m)
