import json
import sys
import types

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import corpora
from affectjax.data.corpus import Corpus, Ragged
from affectjax.data.store import opening, preparing, records, shards
from tests.helpers import miniature
from tests.helpers.miniature import TOY_META as META
from tests.helpers.miniature import toy_example as example


@pytest.fixture
def toy(monkeypatch, tmp_path):
  return miniature.toy(monkeypatch, tmp_path)


def _leftovers(toy):
  return [p for p in (toy.tmp / 'data').rglob('*') if p.is_file()]


def test_columns_are_what_the_adapter_gave_in_its_order(toy):
  corpus = toy.prepare()
  assert corpus.kind == 'prepared' and dict(corpus.counts) == {'train': 20, 'dev': 2}
  columns = corpus.columns('train')
  assert len(json.loads((toy.folder / 'affectjax.json').read_text())['splits']['train']['shards']) == 4
  for i in range(20):
    given = example(i)
    for key, x in given.items():
      got = columns[key][i]
      assert isinstance(columns[key], Ragged) == (np.ndim(x) > 0 and key != 'votes')
      if isinstance(x, str):
        assert got == x
      else:
        np.testing.assert_array_equal(got, np.asarray(x).astype(got.dtype), err_msg=key)
    assert columns['audio_mask'][i].all() and columns['audio_present'][i]
    assert len(columns['visual_mask'][i]) == len(given['visual'])
  assert columns['audio'].values.dtype == np.float32 and columns['emotion'].dtype == np.int32
  assert columns['audio'].values.shape == (columns['audio'].lengths.sum(), 3)


def test_tfds_reads_it_without_tensorflow(toy):
  toy.prepare()
  import tensorflow_datasets as tfds

  builder = tfds.builder_from_directory(str(toy.folder))
  assert builder.info.splits['train'].num_examples == 20
  source = builder.as_data_source('train')
  columns = opening.open_corpus('toy', toy.tmp / 'data').columns('train')
  for i in (0, 5, 6, 19):  # both sides of a shard's border
    for key, x in source[i].items():
      got = columns[key][i]
      np.testing.assert_array_equal(x.decode() if isinstance(x, bytes) else x, got, err_msg=key)
  assert len(builder.as_data_source('train[:50%]')) == 10
  assert 'tensorflow' not in sys.modules


def test_records_by_index_are_padded_and_masked(toy):
  toy.prepare()
  source = records.RecordSource(toy.folder, 'train')
  assert len(source) == 20
  assert source[7]['id'] == 'u007'
  batch = source.gather([19, 3, 0, 3])
  assert batch['id'].tolist() == ['u019', 'u003', 'u000', 'u003']
  assert batch['audio'].shape == (4, 4, 3) and batch['votes'].shape == (4, 3) and batch['ratings'].shape == (4, 4, 2, 2)
  np.testing.assert_array_equal(batch['audio_mask'].sum(1), [4, 4, 1, 4])
  np.testing.assert_array_equal(batch['audio'][2, 1:], 0)
  assert np.isnan(batch['valence'][2, 1:]).all() and np.isnan(batch['ratings'][2, 1:]).all()
  assert not batch['ratings_mask'][2, 1:].any() and not batch['visual_present'][2]
  np.testing.assert_array_equal(batch['audio'][1], example(3)['audio'].astype(np.float32))
  with pytest.raises(UserError, match="'u019': audio has 4 frames, more than max_frames=2"):
    source.gather([19], max_frames=2)
  np.testing.assert_array_equal(source.gather([19], max_frames=2, crop=True)['audio'][0], batch['audio'][0, :2])
  with pytest.raises(IndexError):
    source.gather([20])
  with pytest.raises(UserError, match="unknown split of toy 'test'; there is: dev, train"):
    records.RecordSource(toy.folder, 'test')


def test_workers_and_shards_do_not_change_the_content(toy, monkeypatch):
  sha = toy.prepare().sha256
  assert toy.prepare('b', workers=3).sha256 == sha
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 1000)
  assert toy.prepare('c').sha256 == sha
  monkeypatch.setattr(shards, 'SHARD_BYTES', 100)
  corpus = toy.prepare('d')
  assert corpus.sha256 == sha
  assert corpus.columns('train')['id'].tolist() == [f'u{i:03d}' for i in range(20)]
  miniature.change(toy, 3, note='other')
  assert toy.prepare('e').sha256 != sha


def test_manifest_tells_ranges_and_counts(toy):
  toy.prepare()
  manifest = json.loads((toy.folder / 'affectjax.json').read_text())
  train = manifest['splits']['train']
  columns = opening.open_corpus('toy', toy.tmp / 'data').columns('train')
  assert train['range']['audio'] == [columns['audio'].values.min(), columns['audio'].values.max()]
  assert train['nan']['arousal'] == 10 and train['range']['arousal'] == [0.5, 0.5]
  assert train['steps']['audio'] == columns['audio'].lengths.sum() == 50 and train['longest']['audio'] == 4
  assert train['true']['visual_present'] == 13
  assert manifest['created']['options'] == {} and manifest['created']['nonfinite'] == 'error'
  assert train['sha256'] != manifest['splits']['dev']['sha256'] and manifest['meta'] == META


# Non-finite features


def test_nonfinite_features_are_an_error_by_default(toy):
  miniature.break_audio(toy)
  with pytest.raises(UserError, match=r"id 'u006': audio is nan in frame 1 \(2 of 3 frames are non-finite\)"):
    toy.prepare()
  assert not _leftovers(toy)


def test_nonfinite_frames_can_be_masked(toy):
  x = miniature.break_audio(toy)
  columns = toy.prepare(nonfinite='mask').columns('train')
  assert columns['audio_mask'][6].tolist() == [True, False, False] and columns['audio_present'][6]
  np.testing.assert_array_equal(columns['audio'][6], [x[0].astype(np.float32), [0] * 3, [0] * 3])
  manifest = json.loads((toy.folder / 'affectjax.json').read_text())['splits']['train']
  assert manifest['nonfinite'] == {'audio': {'values': 3, 'frames': 2, 'examples': 1}, 'visual': {}}


def test_a_modality_without_a_finite_frame_is_absent(toy):
  miniature.change(toy, 6, audio=np.full((3, 3), np.nan))
  columns = toy.prepare(nonfinite='mask').columns('train')
  assert not columns['audio_present'][6] and not columns['audio_mask'][6].any()


def test_examples_with_nonfinite_features_can_be_dropped(toy):
  miniature.break_audio(toy)
  corpus = toy.prepare(nonfinite='drop')
  assert corpus.counts['train'] == 19 and 'u006' not in corpus.columns('train')['id']
  manifest = json.loads((toy.folder / 'affectjax.json').read_text())['splits']['train']
  assert manifest['dropped'] == ['u006'] and manifest['nonfinite']['audio']['frames'] == 2
  for i in range(20):
    miniature.change(toy, i, audio=np.full((1, 3), np.nan))
  with pytest.raises(UserError, match='all 20 examples of train were dropped'):
    toy.prepare('b', nonfinite='drop')


def test_masked_frames_may_hold_anything_and_are_stored_as_zero(toy):
  x = np.array([[1, 2, 3], [np.nan] * 3])
  miniature.change(toy, 6, audio=x, audio_mask=np.array([True, False]))
  columns = toy.prepare().columns('train')
  np.testing.assert_array_equal(columns['audio'][6], [[1, 2, 3], [0, 0, 0]])


# Refusals


BAD = {
  'no id': (dict(id=None), 'toy: train example 6: id is None, expected a string'),
  'empty group': (dict(group=''), "id 'u006': group is '', expected a string"),
  'number as item': (dict(item=7), "id 'u006': item is 7"),
  'modality missing': (dict(audio=None), "id 'u006': audio is missing, expected float [frames, 3]"),
  'wrong width': (dict(audio=np.ones((2, 4))), "id 'u006': audio is float32 [2, 4], expected float [frames, 3]"),
  'integers': (dict(audio=np.ones((2, 3), int)), "id 'u006': audio is int64 [2, 3], expected float"),
  'one axis': (dict(audio=np.ones(3)), "id 'u006': audio is float32 [3]"),
  'text': (dict(audio='x'), "id 'u006': audio is text"),
  'objects': (dict(audio=np.array([None])), "id 'u006': audio: dtype object"),
  'mask too long': (dict(audio_mask=np.ones(9, bool)), "id 'u006': audio_mask is bool [9], expected bool [3]"),
  'mask of floats': (dict(audio_mask=np.ones(3)), "id 'u006': audio_mask is float32 [3]"),
  'present but empty': (dict(audio=np.ones((0, 3)), audio_present=np.asarray(True)), 'but 0 frames are unmasked'),
  'absent but unmasked': (
    dict(audio_present=np.asarray(False), audio_mask=np.ones(3, bool)),
    'audio_present is False, but 3',
  ),
  'missing key': (dict(note=None), "id 'u006': keys differ from the first example: missing ['note'], unexpected []"),
  'extra key': (dict(more=1.0), "unexpected ['more']"),
  'other dtype': (dict(emotion=np.int64(1)), "id 'u006': emotion is int64 [], expected int32 [] as in the first"),
  'other width': (dict(ratings=np.zeros((3, 5, 2)), ratings_mask=np.ones((3, 5, 2), bool)), 'float32 [None, 2, 2]'),
  'label over 1': (dict(arousal=np.float32(1.5)), "id 'u006': arousal is 1.5, expected a value in [-1, 1]"),
  'label infinite': (dict(valence=np.array([0, np.inf, 0])), "id 'u006': valence is infinite"),
  'rating over 1': (dict(ratings=np.full((3, 2, 2), -2.0)), "id 'u006': ratings is -2"),
  'ratings of three attributes': (
    dict(ratings=np.zeros((3, 2, 3)), ratings_mask=np.ones((3, 2, 3), bool)),
    'expected [time, raters, 2]',
  ),
  'ratings mask of another shape': (dict(ratings_mask=np.ones((3, 2), bool)), 'ratings_mask is bool [3, 2]'),
  'rating that is not there': (
    dict(ratings=np.full((3, 2, 2), np.nan), ratings_mask=np.ones((3, 2, 2), bool)),
    'ratings are NaN where ratings_mask',
  ),
  'votes below 0': (dict(votes=np.array([1.0, -1, 0])), "id 'u006': votes [1.0, -1.0, 0.0], expected 3 counts"),
  'votes of two classes': (dict(votes=np.ones(2)), 'expected 3 counts'),
  'NaN votes': (dict(votes=np.array([1.0, np.nan, 0])), 'expected 3 counts'),
  'unknown class': (dict(emotion=np.int32(3)), "id 'u006': emotion 3, expected classes 0 to 2, or -1"),
  'class as float': (dict(emotion=1.0), 'expected classes'),
  'same id': (dict(id='u002'), "toy: id 'u002' stands twice, in train example 2 and train example 6"),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_examples_are_one_line_and_leave_nothing(toy, case):
  changes, expected = BAD[case]
  miniature.change(toy, 6, **changes)
  with pytest.raises(UserError) as e:
    toy.prepare()
  assert expected in str(e.value) and str(toy.source) in str(e.value)
  assert not _leftovers(toy)
  with pytest.raises(UserError, match='toy is not prepared'):
    opening.open_corpus('toy', toy.tmp / 'data')


def test_the_same_id_in_two_splits_names_both(toy):
  miniature.change(toy, 21, id='u002')
  with pytest.raises(UserError, match="id 'u002' stands twice, in train example 2 and dev example 1"):
    toy.prepare()


@pytest.mark.parametrize(
  'keys, message',
  [({}, 'no examples'), ({'train': []}, 'no examples'), ({'train': [1], 'dev': []}, "split 'dev' holds no examples"),
   ({'Train set': [1]}, "split 'Train set', expected a name")],
)  # fmt: skip
def test_empty_corpora_and_bad_splits(toy, keys, message):
  toy.keys = keys
  with pytest.raises(UserError, match=message):
    toy.prepare()


def test_bad_calls(toy):
  for kwargs, message in (
    (dict(nonfinite='ignore'), "'ignore'; there is: drop, error, mask"),
    (dict(options={'scal': 2}), "unknown option of toy 'scal'; there is: scale"),
  ):
    with pytest.raises(UserError, match=message):
      toy.prepare(**kwargs)
  with pytest.raises(UserError, match='nowhere: no such folder'):
    preparing.prepare('toy', toy.tmp / 'nowhere', toy.tmp / 'data')
  with pytest.raises(UserError, match="unknown corpus 'tiy'; there is: .*toy"):
    preparing.prepare('tiy', toy.source, toy.tmp / 'data')
  (toy.tmp / 'file').write_text('')
  with pytest.raises(UserError, match='cannot write'):
    preparing.prepare('toy', toy.source, toy.tmp / 'file')


def test_twins_and_knobs(toy, monkeypatch):
  module = types.ModuleType('affectjax.data.twins.toy')
  module.make = lambda seed=0, signal=1.0: Corpus('toy', 'synthetic', '1', 'x', {}, {'s': signal}, None)
  with pytest.raises(UserError, match='toy has no synthetic twin; say where it is prepared with --data_dir'):
    opening.open_corpus('toy')
  with pytest.raises(UserError, match="unknown corpus 'tiy'; there is: .*toy"):
    opening.open_corpus('tiy')
  with pytest.raises(UserError, match="unknown corpus 'tiy'; there is: .*toy"):
    opening.open_corpus('tiy', toy.tmp)
  monkeypatch.setitem(sys.modules, module.__name__, module)
  monkeypatch.setattr(opening, 'names', lambda package=corpora: ['toy'])
  assert opening.open_corpus('toy', signal=0.5).meta == {'s': 0.5}
  with pytest.raises(UserError, match="unknown knob of the twin toy 'sgnal'; there is: seed, signal"):
    opening.open_corpus('toy', sgnal=0.5)
  with pytest.raises(UserError, match='toy: signal can be set for the synthetic twin only'):
    opening.open_corpus('toy', toy.tmp, signal=0.5)
