"""Frames in memory and on disk: the same lengths, masks, batches, chunks and statistics, bit for bit."""

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.data.store import opening, records
from affectjax.examples import examples, shape, streams
from tests.helpers import miniature

LENGTHS = [3, 1, 4, 0, 5, 2, 6]


@pytest.fixture
def prepared(monkeypatch, tmp_path):
  """A corpus of 22 examples in two splits, prepared in shards of six, and where it lies."""
  toy = miniature.toy(monkeypatch, tmp_path)
  for i in (1, 7, 13):
    miniature.change(toy, i, audio_mask=np.arange(i % 4 + 1) > 0, audio_present=None)
  toy.prepare()
  return str(tmp_path / 'data')


def both(prepared):
  corpus = opening.open_corpus('toy', prepared)
  memory, disk = (examples.of(corpus, ('audio',), gb).streams['audio'] for gb in (1.0, 0.0))
  assert isinstance(memory, streams.Memory) and isinstance(disk, streams.Disk)
  return memory, disk


def memory(lengths=LENGTHS, width=3, seed=0) -> streams.Memory:
  rng = np.random.default_rng(seed)
  values = Ragged.stack([rng.normal(size=(n, width)).astype(np.float32) for n in lengths])
  mask = rng.random(len(values.values)) < 0.8
  return streams.Memory(values, Ragged(mask, values.offsets))


def test_from_disk_as_from_memory(prepared):
  first, second = both(prepared)
  np.testing.assert_array_equal(first.lengths, second.lengths)
  np.testing.assert_array_equal(first.present, second.present)
  assert len(first) == len(second) == 22 and first.width == second.width == 3
  index = np.array([13, 0, 21, 7, 7, 2, 20])
  for frames in (1, 3, 9):
    for a, b in zip(first.gather(index, frames), second.gather(index, frames), strict=True):
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)
  for a, b in zip((first.read(index), first.read(np.arange(22))), (second.read(index), second.read(np.arange(22))),
                  strict=True):  # fmt: skip
    np.testing.assert_array_equal(a.values, b.values)
    np.testing.assert_array_equal(a.offsets, b.offsets)
  for a, b in zip(shape.moments(first, index), shape.moments(second, index), strict=True):
    np.testing.assert_array_equal(a, b)


def test_what_stays_on_disk_is_not_read(prepared, monkeypatch):
  corpus = opening.open_corpus('toy', prepared)
  seen = []
  real = records.Stored.columns

  def spied(self, split, without=()):
    seen.append(set(without))
    return real(self, split, without)

  monkeypatch.setattr(records.Stored, 'columns', spied)
  examples.of(corpus, ('audio',), 0.0)
  examples.of(corpus, (), 1.0)
  assert seen == [{'audio', 'visual'}] * 4
  whole = examples.of(corpus, ('audio',), 1.0)
  assert set(whole.columns) == {'ratings', 'ratings_mask', 'valence', 'arousal', 'votes', 'emotion', 'note'}
  assert whole.part.tolist() == ['train'] * 20 + ['dev'] * 2 and len(whole.series('valence')) == 22
  np.testing.assert_array_equal(whole.present['visual'], np.arange(22) % 3 > 0)


def test_a_stream_is_seen_in_chunks_that_cover_it_in_order(monkeypatch):
  made = memory()
  monkeypatch.setattr(streams, 'CHUNK', 8)
  parts = list(made.chunks())
  assert len(parts) > 2 and np.concatenate([p for p, _ in parts]).tolist() == list(range(len(LENGTHS)))
  np.testing.assert_array_equal(np.concatenate([x.values for _, x in parts]), made.values.values)
  index = np.array([6, 2, 2, 0])
  assert np.concatenate([p for p, _ in made.chunks(index)]).tolist() == [0, 1, 2, 3]
  assert list(made.chunks(np.array([], int))) == []


def test_moments_are_those_of_all_real_frames_at_once(monkeypatch):
  made, index = memory(width=4, lengths=LENGTHS * 9), np.arange(0, 63, 2)
  rows = made.read(index).values[made.mask.take(index).values].astype(np.float64)
  for chunk in (8, 100, 10**6):
    monkeypatch.setattr(streams, 'CHUNK', chunk)
    count, mean, sd = shape.moments(made, index)
    assert count == len(rows)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(sd, rows.std(0), rtol=1e-12)


def test_moments_keep_their_digits_far_from_zero(monkeypatch):
  monkeypatch.setattr(streams, 'CHUNK', 40)
  values = (1e4 + np.arange(300)[:, None] % 2).astype(np.float32)
  made = streams.Memory(Ragged(values, np.arange(0, 301, 10)), Ragged(np.ones(300, bool), np.arange(0, 301, 10)))
  _, mean, sd = shape.moments(made, np.arange(30))
  np.testing.assert_allclose([mean[0], sd[0]], [1e4 + 0.5, 0.5], rtol=1e-12)


def test_gathered_frames_are_padded_cut_and_zero_where_none_is_real():
  made = memory([1, 3, 2])
  made.mask.values[:] = [True, True, False, True, True, True]
  made.values.values[2] = np.nan
  x, real = made.gather(np.array([1, 0, 2]), 2)
  assert real.tolist() == [[True, False], [True, False], [True, True]]
  assert (x[~real] == 0).all() and np.isfinite(x).all() and x.shape == (3, 2, 3)
  y, again = streams.padded(made.read(np.array([1, 0, 2])), made.mask.take(np.array([1, 0, 2])), 2, 3)
  np.testing.assert_array_equal(x, y)
  np.testing.assert_array_equal(real, again)


def test_a_modality_is_asked_for_once_and_must_be_there(prepared):
  config = dict(corpora=('toy',), twins={}, data={})
  for modalities, said in ((('audio', 'audio'), 'expected each once'), (('video',), "modality of toy in .* 'video'")):
    with pytest.raises(UserError, match=said):
      examples.load(config, prepared, modalities)
  with pytest.raises(UserError, match='run.data.memory_gb is -1; expected 0 or more'):
    examples.load({**config, 'data': dict(memory_gb=-1)}, prepared, ('audio',))
