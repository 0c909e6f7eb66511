"""Training that is watched by a test: stopped at a step, its batches noted or spoiled."""

import numpy as np


class Stop(BaseException):
  """Not an Exception: nothing may catch it, as nothing catches a kill."""


class Spy:
  """A training iterator that notes the ids it gave and may spoil batches, by number from 1."""

  def __init__(self, batches, spoil=()):
    self._batches, self._spoil, self.ids = batches, spoil, []

  def __iter__(self):
    return self

  def __next__(self):
    number = self._batches.get_state()['next_index'] + 1
    batch = dict(next(self._batches))
    self.ids.append(batch['id'])
    if number in self._spoil:
      name = 'first' if 'first' in batch else 'x'
      batch[name] = np.full_like(batch[name], np.inf)
    return batch

  def get_state(self):
    return self._batches.get_state()

  def set_state(self, state):
    self._batches.set_state(state)
