import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data.corpora import emodb
from affectjax.data.store import opening, preparing
from tests.helpers import own_miniature as miniature
from tests.helpers.shared import pack

REAL = 'emodb'


def test_names_by_hand():
  assert emodb.parse('03a01Fa', 'here') == (3, 'male', 31, 'a01', 'happiness')
  assert emodb.parse('16b10Wf', 'here') == (16, 'female', 31, 'b10', 'anger')
  assert [emodb.parse(f'08a02{letter}b', '').emotion for letter in 'WFNTLEA'] == [
    'anger', 'happiness', 'neutral', 'sadness', 'boredom', 'disgust', 'fear'
  ]  # fmt: skip
  for name in ('3a01Fa', '01a01Fa', '03a03Fa', '03a01Xa', '03a01Fg', '03a01F', '03A01Fa', '03a01fa'):
    with pytest.raises(UserError, match='^here: '):
      emodb.parse(name, 'here')


def test_prepared_columns_and_both_layouts(tmp_path):
  a = preparing.prepare('emodb', miniature.emodb_pack(tmp_path / 'pack'), tmp_path / 'a')
  b = preparing.prepare('emodb', miniature.emodb_folder(tmp_path / 'folder'), tmp_path / 'b')
  assert a.sha256 == b.sha256 and a.meta == {**b.meta, 'columns': {'audio': [f'd{i}' for i in range(5)]}}
  assert a.meta['rate_hz'] == {'audio': 100.0}
  assert a.meta['emotions'] == ['anger', 'happiness', 'neutral', 'sadness']
  columns = opening.open_corpus('emodb', tmp_path / 'a').columns('all')
  assert columns['id'].tolist() == sorted(miniature.RECORDINGS) == columns['item'].tolist()
  assert set(columns['group']) == {'speaker03', 'speaker08', 'speaker16'}
  for i, name in enumerate(columns['id'].tolist()):
    x = miniature.frames(name, width=5).astype(np.float16)
    np.testing.assert_array_equal(columns['audio'][i], x.astype(np.float32))
    assert columns['emotion'][i] == 'WFNT'.index(name[5]) and columns['sentence'][i] == name[2:5]
    assert columns['gender'][i] == ('male' if name[:2] == '03' else 'female')
    assert columns['age'][i] == {'03': 31, '08': 34, '16': 31}[name[:2]]
    shares = columns['recognised'][i], columns['natural'][i]
    assert shares == tuple(np.float32(x / 100) for x in miniature.shares(name))
  assert any('24 examples, 3 groups' in line for line in doctor.examine('emodb', tmp_path / 'a', None, False))


def test_all_emotions_once_another_is_there_and_no_listeners(tmp_path):
  source = miniature.emodb_folder(tmp_path, more=('03a01Lb', '08a02Aa'))
  reading = emodb.read(source, audio_hz='50')
  assert reading.meta['emotions'] == [*emodb.LETTERS.values()] and reading.meta['rate_hz'] == {'audio': 50.0}
  got = reading.example('all', '08a02Aa')
  assert got['emotion'] == 6 and np.isnan(got['recognised']), 'the table does not have it'
  assert reading.example('all', '03a01Fa')['recognised'] == np.float32(miniature.shares('03a01Fa')[0] / 100)
  (source / 'erkennung.txt').unlink()
  assert np.isnan(emodb.read(source).example('all', '03a01Fa')['natural'])


def test_real_pack(tmp_path):
  source = pack(REAL)
  corpus = preparing.prepare('emodb', source, tmp_path)
  columns = corpus.columns('all')
  assert corpus.counts == {'all': 339} and len(set(columns['group'])) == 10
  assert np.bincount(columns['emotion']).tolist() == [127, 71, 79, 62]  # the description of the pack
  assert columns['audio'].values.shape == (93847, 25) and np.isfinite(columns['audio'].values).all()
  assert columns['recognised'].min() >= np.float32(0.8) and columns['natural'].max() == 1
  with np.load(source / 'egemaps_lld_10ms.npz') as z:
    names, offsets, lld = z['files'].tolist(), z['offsets'], z['lld']
  for i in (0, 170, 338):
    k = names.index(f'{columns["id"][i]}.wav')
    np.testing.assert_array_equal(columns['audio'][i], lld[offsets[k] : offsets[k + 1]].astype(np.float32))


def test_real_listeners(tmp_path):
  """The table as distributed says of every recording what the pack says."""
  source = pack(REAL)
  shares = emodb._read_listeners(source / 'erkennung.txt')
  assert len(shares) == 816
  columns = preparing.prepare('emodb', source, tmp_path).columns('all')
  for i, name in enumerate(columns['id'].tolist()):
    assert (columns['recognised'][i], columns['natural'][i]) == tuple(map(np.float32, shares[name]))
