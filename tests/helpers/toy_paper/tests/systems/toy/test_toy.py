import numpy as np
import pytest

from affectjax.data.store import opening
from affectjax.systems import toy
from tests.helpers import shared


def test_untrained_it_knows_nothing():
  table = shared.experiment('toy')
  cell = {**table.run.to_dict(), 'fold': '0', 'seed': 0}
  experiment = toy.build(cell, None)
  state, outputs = experiment.init(None, next(experiment.batches('train', 0))), []
  for batch in experiment.batches('test', 0):
    real = batch['mask'] > 0
    outputs.append({k: np.asarray(v)[real] for k, v in toy.predict(state, batch).items()})
  assert experiment.score(outputs[0])['loss'] == pytest.approx(np.log(3), rel=1e-6)


def test_clips_of_the_twin_are_of_six_speakers():
  columns = opening.open_corpus('toy_clips').columns('all')
  assert len(columns['id']) == 60 and len(set(columns['group'].tolist())) == 6
