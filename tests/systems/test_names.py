"""Modalities of any name: what a network makes of them follows from their number and order in the config."""

import numpy as np
import pytest

from affectjax import metrics
from affectjax.data.corpus import Corpus, Ragged
from affectjax.data.store import opening
from affectjax.engine import predictor
from affectjax.layers import conformer
from tests.helpers import amber2_small, predict_cells, vavl_small

CLASSES, COUNT = ('calm', 'glad', 'sad'), 90


def corpus(widths: dict[str, int], frames: int) -> Corpus:
  """Ninety clips of nine people, of whom each fifth lacks one modality or the other; votes and a class."""
  rng = np.random.default_rng(0)
  names = np.array([f'clip{i:02d}' for i in range(COUNT)])
  columns = {'id': names, 'group': np.array([f'p{i % 9}' for i in range(COUNT)]), 'item': names}
  for k, (name, width) in enumerate(widths.items()):
    lengths = rng.integers(1, frames + 1, COUNT)
    present = np.arange(COUNT) % 5 != k
    columns[name] = Ragged.stack([rng.normal(size=(n, width)).astype(np.float32) for n in lengths])
    columns[f'{name}_mask'] = Ragged(np.repeat(present, lengths), columns[name].offsets)
  columns['votes'] = rng.multinomial(3, np.ones(3) / 3, COUNT).astype(np.float32)
  columns['emotion'] = columns['votes'].argmax(1).astype(np.int32)
  meta = {'modalities': widths, 'emotions': list(CLASSES), 'rate_hz': dict.fromkeys(widths), 'attributes': []}
  return Corpus('made', 'synthetic', '1', 'f' * 64, {'all': COUNT}, meta, lambda split: columns)


@pytest.fixture
def trained(tmp_path, monkeypatch):
  """Trains one small cell on a corpus of these modalities: its test predictions, and a table of new ones."""

  def train(config, widths, frames):
    made = corpus(widths, frames)
    monkeypatch.setattr(opening, 'open_corpus', lambda *_, **__: made)
    folder = predict_cells.train(tmp_path, {**config, 'corpora': ('made',)})
    cell = predictor.load(folder)
    table = predictor.run(predictor.of(cell).predictor(cell, made), cell)
    assert set(table) == {'id', 'emotion', *(f'p_{name}' for name in CLASSES)}
    assert np.isfinite(np.stack([table[f'p_{name}'] for name in CLASSES])).all()
    return predict_cells.stored(folder), predict_cells.of_ids(table, predict_cells.stored(folder)['id'])

  return train


SPLIT = dict(split='folds', folds=3, seed=1)


@pytest.mark.slow
def test_vavl_takes_any_two(trained, monkeypatch):
  monkeypatch.setattr(conformer, 'Block', vavl_small.Light)
  config = vavl_small.config(
    data=dict(modalities=('voice', 'face'), **SPLIT), target=dict(names=CLASSES, label='emotion')
  )
  stored, table = trained(config, {'face': 4, 'voice': 5}, 6)
  for name in ('f1.macro.emotion', 'f1.macro.emotion_voice', 'f1.macro.emotion_face', 'uar.emotion_drop50'):
    assert np.isfinite(metrics.compute(name, stored)), name
  assert {'output_voice', 'output_face', 'output_both', 'face_present', 'voice_present'} <= set(stored)
  assert not any('audio' in name or 'visual' in name for name in stored)
  known = stored['emotion'] >= 0
  np.testing.assert_array_equal(np.array(CLASSES)[stored['emotion_hat'][known]], table['emotion'][known])


@pytest.mark.slow
def test_amber2_takes_any_number(trained):
  widths = {'face': 4, 'pulse': 3, 'words': 5}
  config = amber2_small.config(
    heads=(*widths, 'fusion'), data=dict(modalities=tuple(widths), **SPLIT), target=dict(names=CLASSES, merge={})
  )
  stored, table = trained(config, widths, 1)
  assert np.isfinite(metrics.compute('js.bits.emotion', stored))
  for m in widths:
    assert {f'emotion_{m}_shares_hat', f'emotion_expert_{m}_shares_hat', f'share_fusion_{m}'} <= set(stored)
  np.testing.assert_allclose(
    np.stack([table[f'p_{name}'] for name in CLASSES], 1), stored['emotion_shares_hat'], atol=1e-6
  )
