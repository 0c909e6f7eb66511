"""What the loop's tests share."""

import pytest

from affectjax.engine import train
from tests.helpers import toy
from tests.helpers.watched import Stop


@pytest.fixture
def run(monkeypatch):
  """Runs the toy in a folder; with `kill`, until that step was taken."""

  def call(folder, experiment=None, kill: int | None = None, **changes):
    experiment = experiment or toy.toy()
    monkeypatch.setattr(train, 'system', lambda _: type('S', (), {'build': staticmethod(lambda *_: experiment)}))

    def watch(at, of, rate):
      if at == kill:
        raise Stop

    return train.run({**toy.CONFIG, **changes}, folder, watch=watch)

  return call
