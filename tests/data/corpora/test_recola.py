import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data.corpora import _streams, recola
from affectjax.data.store import preparing
from tests.helpers import rated


@pytest.fixture(autouse=True)
def short(monkeypatch):
  rated.shorten(monkeypatch)


def edit(path, change):
  lines = path.read_text().split('\n')
  change(lines)
  path.write_text('\n'.join(lines))


def test_example_by_hand(tmp_path):
  source = rated.recola(tmp_path)
  reading = recola.read(source)
  assert reading.keys == {'train': ['train_1', 'train_2'], 'dev': ['dev_1', 'dev_9']}
  assert reading.meta['modalities'] == {'audio': rated.WIDTH, 'waveform': 640}
  assert reading.meta['rate_hz'] == {'audio': 25.0, 'waveform': 25.0} and reading.meta['label_rate_hz'] == 25.0
  assert reading.meta['raters'] == list(recola.RATERS) and reading.meta['attributes'] == ['valence', 'arousal']
  e = reading.example('dev', 'dev_9')
  assert (e['id'], e['group'], e['item']) == ('dev_9', 'dev_9', 'dev_9') and e['label_rate_hz'] == 25
  marks = [rated.recola_ratings('dev_9', a)[: rated.FRAMES] for a in ('valence', 'arousal')]
  np.testing.assert_allclose(e['ratings'], np.stack(marks, -1), atol=1e-7)  # 51 labels, 50 frames of features
  np.testing.assert_allclose(e['valence'], marks[0].mean(1), atol=1e-6)
  np.testing.assert_allclose(e['arousal'], marks[1].mean(1), atol=1e-6)
  assert e['ratings_mask'].all()
  np.testing.assert_array_equal(e['audio'], np.load(tmp_path / 'features' / 'dev_9.npy'))
  samples = np.rint(rated.sound(2.0, 3) * 2**15) / 2**15
  np.testing.assert_allclose(e['waveform'].ravel(), samples, atol=1e-7)


def test_a_rater_who_is_missing_is_masked_and_nobody_else(tmp_path):
  source = rated.recola(tmp_path)
  gone = source / 'ratings_individual' / 'valence' / 'train_2.csv'
  edit(gone, lambda lines: lines.__setitem__(slice(None), [';'.join(x.split(';')[:-1]) for x in lines if x]))
  new = source / 'ratings_individual' / 'arousal' / 'train_2.csv'
  edit(new, lambda lines: lines.__setitem__(slice(None), [f'{x};{"G1" if i == 0 else 0.5}' for i, x in
                                                           enumerate(lines) if x]))  # fmt: skip
  reading = recola.read(source)
  assert reading.meta['raters'] == [*recola.RATERS, 'G1']
  full, ragged = reading.example('train', 'train_1'), reading.example('train', 'train_2')
  assert full['ratings'].shape == ragged['ratings'].shape == (rated.FRAMES, 7, 2)
  assert full['ratings_mask'].all((0, 2)).tolist() == [True] * 6 + [False]
  assert ragged['ratings_mask'].all(0).tolist() == [[True, True]] * 5 + [[False, True], [False, True]]
  np.testing.assert_array_equal(np.isnan(ragged['ratings']), ~ragged['ratings_mask'])
  marks = rated.recola_ratings('train_2', 'valence')[: rated.FRAMES]
  np.testing.assert_allclose(ragged['valence'], marks[:, :5].mean(1), atol=1e-6)


def test_nan_is_a_missing_value(tmp_path):
  source = rated.recola(tmp_path)
  path = source / 'ratings_individual' / 'arousal' / 'train_1.csv'
  edit(path, lambda lines: lines.__setitem__(4, '0.12;NaN;nan;NaN;NaN;NaN;NaN'))
  e = recola.read(source).example('train', 'train_1')
  assert np.isnan(e['arousal'][3]) and not e['ratings_mask'][3, :, 1].any()
  assert np.isfinite(e['arousal']).sum() == rated.FRAMES - 1 and np.isfinite(e['valence']).all()


def test_own_layout_needs_partitions_and_gives_the_same_numbers(tmp_path):
  source = rated.recola(tmp_path, layout='recola')
  with pytest.raises(UserError, match=r"RECOLA's own layout has no partitions; give option partitions=FILE"):
    recola.read(source)
  reading = recola.read(source, partitions=str(source / 'partitions.csv'))
  assert reading.keys == {'train': ['P16', 'P21'], 'dev': ['P17']} and reading.meta['raters'] == list(recola.RATERS)
  marks = rated.recola_ratings('P21', 'arousal')[: rated.FRAMES]
  np.testing.assert_allclose(reading.example('train', 'P21')['ratings'][:, :, 1], marks, atol=1e-7)


def test_test_recordings_are_read_where_they_are_rated(tmp_path):
  names = ('train_1', 'dev_1', 'test_3')
  assert recola.read(rated.recola(tmp_path, names=names)).keys['test'] == ['test_3']


@pytest.mark.parametrize('frames', [rated.FRAMES, rated.FRAMES + 1])
def test_both_numbers_of_lines_are_right(tmp_path, frames):
  e = recola.read(rated.recola(tmp_path, frames=frames)).example('train', 'train_1')
  assert len(e['ratings']) == rated.FRAMES


def test_features_that_differ_a_little_are_cut(tmp_path):
  source = rated.recola(tmp_path, 'features')
  reading = recola.read(source)
  for frames, kept in ((rated.FRAMES - 11, rated.FRAMES - 11), (rated.FRAMES + 13, rated.FRAMES + 1)):  # 12 off
    np.save(source / 'features' / 'dev_1.npy', np.zeros((frames, rated.WIDTH)))
    e = reading.example('dev', 'dev_1')
    assert {len(e[k]) for k in ('audio', 'ratings', 'valence', 'arousal', 'ratings_mask')} == {kept}


def test_modalities_can_be_chosen(tmp_path):
  source = rated.recola(tmp_path)
  assert list(recola.read(source, modalities='waveform').meta['modalities']) == ['waveform']
  e = recola.read(source, modalities='audio').example('dev', 'dev_1')
  assert 'waveform' not in e and 'audio' in e


def test_unpacked_into_a_folder_of_its_own_name(tmp_path):
  source = rated.recola(tmp_path, 'sound')
  for name in ('ratings_individual', 'recordings_audio'):
    (source / name).rename(source / 'moved')
    (source / name).mkdir()
    (source / 'moved').rename(source / name / name)
  assert recola.read(source).example('dev', 'dev_1')['waveform'].shape == (rated.FRAMES, 640)


# Sound


@pytest.mark.parametrize('bits', [16, 24, 32, -32])
def test_wav_of_every_kind(tmp_path, bits):
  x = rated.sound(0.1, 0)
  rated.wav(tmp_path / 'a.wav', x, bits=bits)
  samples = _streams.read_wav(tmp_path / 'a.wav')
  assert samples.dtype == np.float32
  np.testing.assert_allclose(samples, x, atol=2.0**-16 if bits == 16 else 2.0**-23)
  part = _streams.read_wav(tmp_path / 'a.wav', 0.025, 0.05)
  np.testing.assert_array_equal(part, samples[400:800])


def test_wav_is_what_scipy_reads(tmp_path):
  from scipy.io import wavfile

  wavfile.write(tmp_path / 'a.wav', 16000, (1000 * rated.sound(0.1, 0)).astype(np.int16))
  np.testing.assert_array_equal(_streams.read_wav(tmp_path / 'a.wav') * 2**15, wavfile.read(tmp_path / 'a.wav')[1])


def test_resampled_tone_keeps_its_pitch(tmp_path):
  time = np.arange(44100) / 44100
  rated.wav(tmp_path / 'a.wav', 0.5 * np.sin(2 * np.pi * 440 * time), rate=44100)
  with pytest.raises(UserError, match='44100 samples per second, expected 16000; give option resample=true'):
    _streams.read_wav(tmp_path / 'a.wav')
  x = _streams.read_wav(tmp_path / 'a.wav', resample=True)
  assert len(x) == 16000
  wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
  np.testing.assert_allclose(x[1000:-1000], wanted[1000:-1000], atol=2e-3)


# Prepared


def test_prepared_and_looked_over(tmp_path, capsys):
  source = rated.recola(tmp_path / 'source')
  corpus = preparing.prepare('recola', source, tmp_path / 'data')
  assert corpus.counts == {'train': 2, 'dev': 2}
  columns, reading = corpus.columns('dev'), recola.read(source)
  for i, name in enumerate(('dev_1', 'dev_9')):
    for key, value in reading.example('dev', name).items():
      np.testing.assert_array_equal(columns[key][i], value, err_msg=key)
  assert doctor.main(['recola', f'--data_dir={tmp_path / "data"}']) == 0
  out = capsys.readouterr().out
  assert 'FM1 100.0%' in out and 'waveform [T, 640] at 25 Hz' in out
