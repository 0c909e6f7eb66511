import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data.corpora import ravdess
from affectjax.data.store import opening, preparing
from tests.helpers import clips_miniature as miniature
from tests.helpers.shared import pack

REAL = 'ravdess'


def test_names_by_hand():
  utterance = ravdess.parse('03-01-05-02-02-01-14', 'here')
  assert utterance == ('angry', 'strong', 'dogs', 1, 14, 'female')
  assert ravdess.parse('01-01-08-01-01-02-23', 'here') == ('surprised', 'normal', 'kids', 2, 23, 'male')
  wrong = (
    '03-01-05-02-02-01', '03-01-05-02-02-01-25', '02-01-05-01-01-01-01', '03-02-05-01-01-01-01',
    '03-01-01-02-01-01-01', '03-01-09-01-01-01-01', '3-01-05-01-01-01-01', '03_01_05_01_01_01_01',
  )  # fmt: skip
  for name in wrong:
    with pytest.raises(UserError, match='^here: '):
      ravdess.parse(name, 'here')


def test_prepared_columns_and_both_layouts(tmp_path):
  a = preparing.prepare('ravdess', miniature.ravdess_pack(tmp_path / 'pack'), tmp_path / 'a')
  b = preparing.prepare('ravdess', miniature.ravdess_folder(tmp_path / 'folder'), tmp_path / 'b')
  assert a.sha256 == b.sha256 and a.meta == {**b.meta, 'columns': {'audio': [f'd{i}' for i in range(5)]}}
  columns, frames = opening.open_corpus('ravdess', tmp_path / 'a').columns('all'), miniature.ravdess_frames()
  assert columns['id'].tolist() == sorted(frames) and a.meta['rate_hz'] == {'audio': 100.0}
  assert set(columns['group']) == {'actor01', 'actor02', 'actor13', 'actor24'}
  for i, name in enumerate(columns['id']):
    _, _, emotion, intensity, statement, _, actor = map(int, name.split('-'))
    np.testing.assert_array_equal(columns['audio'][i], frames[name].astype(np.float32))
    assert columns['emotion'][i] == emotion - 1 and columns['item'][i] == name
    assert columns['intensity'][i] == ('normal', 'strong')[intensity - 1]
    assert columns['statement'][i] == ('kids', 'dogs')[statement - 1]
    assert columns['gender'][i] == ('female', 'male')[actor % 2]
  for where in 'ab':
    out = '\n'.join(doctor.examine('ravdess', tmp_path / where, None, False))
    assert 'audio [T, 5] at 100 Hz' in out and 'neutral 4, calm 4' in out and '32 examples, 4 groups' in out


def test_rate_of_features_in_a_folder(tmp_path):
  source = miniature.ravdess_folder(tmp_path)
  assert ravdess.read(source, audio_hz='50').meta['rate_hz'] == {'audio': 50.0}


@pytest.mark.slow
def test_real_pack(tmp_path, capsys):
  source = pack(REAL)
  corpus = preparing.prepare('ravdess', source, tmp_path)
  columns = corpus.columns('all')
  assert corpus.counts == {'all': 1440} and len(set(columns['group'])) == 24
  assert np.bincount(columns['emotion']).tolist() == [96, *[192] * 7]  # the description of the pack
  lengths = columns['audio'].lengths
  assert (lengths.min(), lengths.max(), lengths.sum()) == (289, 523, 526547)
  assert columns['audio'].values.shape[1] == 25 and np.isfinite(columns['audio'].values).all()
  with np.load(source / 'egemaps_lld_10ms.npz') as z:
    names, offsets, lld = z['files'].tolist(), z['offsets'], z['lld']
  for i in (0, 700, 1439):
    k = names.index(f'{columns["id"][i]}.wav')
    np.testing.assert_array_equal(columns['audio'][i], lld[offsets[k] : offsets[k + 1]].astype(np.float32))
  assert (columns['gender'] == 'female').sum() == 720 and (columns['intensity'] == 'strong').sum() == 672
  assert doctor.main(['ravdess', f'--data_dir={tmp_path}']) == 0
  assert '1440 examples, 24 groups' in capsys.readouterr().out
