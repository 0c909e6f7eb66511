"""CMU-MOSEI: sequences and tensors as they are distributed, aligned as they say they are."""

import json
import pickle
import sys

import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data.corpora import _cmu_mosei, _cmu_mosei_folds, cmu_mosei
from affectjax.data.store import preparing
from tests.helpers import mosei_miniature as miniature

FOLD_OF = {video: fold for fold, of in enumerate(miniature.FOLDS.values()) for video in of}


def examples(source, **options):
  """id -> example, as the adapter gives it, and the metadata."""
  reading = cmu_mosei.read(source, **options)
  return {key: reading.example('all', key) for key in reading.keys['all']}, reading.meta


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  return miniature.sequences(tmp_path_factory.mktemp('mosei'))


@pytest.fixture(scope='module')
def content():
  return miniature.content()


def meets(interval, start, end):
  return min(interval[1], end) - max(interval[0], start) > 1e-5


def by_hand(content, video, k, collapse=True):
  """Rows of a segment and which are real: word by word, frame by frame."""
  intervals, frames = content['COVAREP'][video]
  start, end = content['All Labels'][video][0][k]
  rows, real = [], []
  for word in content['glove_vectors'][video][0]:
    near = [i for i, interval in enumerate(intervals) if meets(interval, *word)]
    if not near:
      if meets(word, start, end):
        rows.append(np.zeros(74))
        real.append(False)
    elif collapse:
      hull = max(intervals[near[0]][0], word[0]), min(intervals[near[-1]][1], word[1])
      if meets(hull, start, end):
        rows.append(frames[near].mean(0, dtype=np.float64))
        real.append(True)
    else:
      for i in near:
        if meets((max(intervals[i][0], word[0]), min(intervals[i][1], word[1])), start, end):
          rows.append(frames[i])
          real.append(True)
  return np.array(rows), np.array(real)


# Schema


def test_an_example_is_what_the_schema_says(source):
  segments, meta = examples(source)
  assert list(segments) == sorted(segments) and len(segments) == 48
  for name, e in segments.items():
    video, k = name[:-1].split('[')
    assert e['id'] == name and e['group'] == e['item'] == video and 0 <= int(k) < 4
    assert e['audio'].dtype == np.float32 and e['audio'].shape[1] == 74 and 1 <= len(e['audio']) <= 50
    assert e['audio_mask'].shape == (len(e['audio']),) and e['audio_present'] == e['audio_mask'].any()
    assert not e['audio'][~e['audio_mask']].any()
    assert e['official'] == FOLD_OF.get(video, -1) and e['official'].dtype == np.int8
    assert e['intensity'].shape == (6,) and e['intensity'].dtype == np.float32
    assert e['valence'] == np.float32(e['sentiment'] / 3) or abs(e['valence'] - e['sentiment'] / 3) < 1e-6
  assert set(segments['81406[0]']) == {
    'id', 'group', 'item', 'audio', 'audio_mask', 'audio_present', 'intensity', 'sentiment', 'valence', 'official',
  }  # fmt: skip
  assert meta['modalities'] == {'audio': 74} and meta['rate_hz'] == {'audio': None} and meta['fixed'] == ['intensity']
  assert len(meta['columns']['audio']) == 74 and meta['columns']['audio'][:3] == ['F0', 'VUV', 'NAQ']
  assert meta['columns']['audio'][11] == 'MCEP_0' and meta['columns']['audio'][61] == 'HMPDD_0'
  assert meta['column_groups'] == {'voice': [0, 11], 'mcep': [11, 36], 'hmpdm': [36, 61], 'hmpdd': [61, 74]}
  assert meta['emotions'] == ['happy', 'sad', 'anger', 'surprise', 'disgust', 'fear']
  assert meta['attributes'] == ['valence'] and meta['groups'] == 'videos'
  assert meta['folds'] == {'train': [28, 7], 'dev': [8, 2], 'test': [8, 2], 'none': [4, 1]}
  json.dumps(meta)


def test_labels_are_those_of_the_file(source, content):
  segments, _ = examples(source)
  for video, (_, values) in content['All Labels'].items():
    for k, value in enumerate(values):
      np.testing.assert_allclose(segments[f'{video}[{k}]']['sentiment'], value[0], atol=1e-6)
      np.testing.assert_allclose(segments[f'{video}[{k}]']['intensity'], value[1:], atol=1e-6)


def test_prepared_it_comes_back_and_the_doctor_can_read_it(source, tmp_path, capsys):
  corpus = preparing.prepare('cmu_mosei', source, tmp_path)
  columns = corpus.columns('all')
  wanted, meta = examples(source)
  assert columns['id'].tolist() == list(wanted) and corpus.meta == json.loads(json.dumps(meta))
  for i, e in enumerate(wanted.values()):
    np.testing.assert_array_equal(columns['audio'][i], e['audio'])
    np.testing.assert_array_equal(columns['audio_mask'][i], e['audio_mask'])
    np.testing.assert_array_equal(columns['intensity'][i], e['intensity'])
  assert doctor.main(['cmu_mosei', f'--data_dir={tmp_path}']) == 0
  assert 'cmu_mosei' in capsys.readouterr().out


def test_threads_read_the_same(source, tmp_path):
  one = preparing.prepare('cmu_mosei', source, tmp_path / 'one')
  four = preparing.prepare('cmu_mosei', source, tmp_path / 'four', workers=4)
  assert one.sha256 == four.sha256


# Alignment


@pytest.mark.parametrize('collapse', ['mean', 'none'])
def test_words_are_means_of_their_frames_or_keep_them(source, content, collapse):
  segments, meta = examples(source, collapse=collapse, seq_len='all')
  missing = 0
  for name, e in segments.items():
    video, k = name[:-1].split('[')
    x, real = by_hand(content, video, int(k), collapse == 'mean')
    np.testing.assert_array_equal(e['audio_mask'], real)
    np.testing.assert_allclose(e['audio'], x, rtol=1e-5, atol=1e-5)
    missing += (~real).sum()
  assert missing > 3, 'words in the silence'
  assert meta['alignment'] == {'align': 'words', 'collapse': collapse, 'seq_len': None, 'keep': 'last'}


def test_raw_words_leave_out_silence(tmp_path, content):
  source = miniature.sequences(tmp_path / 'words', words='words')
  plain, _ = examples(miniature.sequences(tmp_path / 'vectors'))
  said, _ = examples(source)
  for name, e in plain.items():
    np.testing.assert_array_equal(e['audio'], said[name]['audio'])


@pytest.mark.parametrize('keep', ['last', 'first'])
def test_the_last_or_first_rows_are_kept(source, keep):
  whole, _ = examples(source)
  few, _ = examples(source, seq_len='3', keep=keep)
  for name, e in whole.items():
    kept = slice(-3, None) if keep == 'last' else slice(3)
    np.testing.assert_array_equal(few[name]['audio'], e['audio'][kept])
    np.testing.assert_array_equal(few[name]['audio_mask'], e['audio_mask'][kept])


def test_the_sdks_script_amounts_to_the_last_half_second(source, content):
  quirk, meta = examples(source, sdk_last50='yes')
  whole, _ = examples(source, collapse='none', seq_len='all')
  assert meta['alignment'] == {'align': 'words', 'collapse': 'none', 'seq_len': 50, 'keep': 'last'}
  lengths = [len(e['audio']) for e in quirk.values()]
  assert max(lengths) == 50 and np.median([len(e['audio']) for e in whole.values()]) > 60
  for name, e in quirk.items():
    np.testing.assert_array_equal(e['audio'], whole[name]['audio'][-50:])


def test_frames_as_they_are(source, content):
  segments, meta = examples(source, align='none')
  assert meta['rate_hz'] == {'audio': 100.0}
  for video, (intervals, _) in content['All Labels'].items():
    when, frames = content['COVAREP'][video]
    for k, (start, end) in enumerate(intervals):
      inside = np.array([meets(w, start, end) for w in when])
      np.testing.assert_array_equal(segments[f'{video}[{k}]']['audio'], frames[inside])


def test_20_hz_are_means_over_50_ms(source, content):
  segments, meta = examples(source, align='20hz')
  assert meta['rate_hz'] == {'audio': 20.0} and meta['alignment']['seq_len'] == 500
  for video, (intervals, _) in content['All Labels'].items():
    when, frames = content['COVAREP'][video]
    for k, (start, end) in enumerate(intervals):
      e = segments[f'{video}[{k}]']
      assert len(e['audio']) == np.ceil((end - start) * 20)
      inside = np.flatnonzero([meets(w, start, end) for w in when])
      at = np.clip(np.floor((when[inside].mean(1) - start) * 20 + 1e-6), 0, len(e['audio']) - 1)
      for b in range(len(e['audio'])):
        rows = inside[at == b]
        assert e['audio_mask'][b] == (len(rows) > 0)
        if len(rows):
          np.testing.assert_allclose(e['audio'][b], frames[rows].mean(0, dtype=np.float64), rtol=1e-5, atol=1e-5)


def test_what_the_sdk_has_aligned_is_taken_as_it_is(tmp_path):
  segments, meta = examples(miniature.given(tmp_path), align='given')
  assert len(segments) == 48 and meta['alignment']['seq_len'] is None
  for name, e in segments.items():
    if name == '81406[3]':  # not there
      assert e['audio'].shape == (1, 74) and not e['audio_present'] and not e['audio'].any()
      continue
    k = int(name[-2])
    assert len(e['audio']) == 3 + k and e['audio_mask'].tolist() == [True, False] + [True] * (1 + k)


def test_a_video_without_features_or_words_is_absent(tmp_path):
  source = miniature.sequences(tmp_path)
  content = miniature.content()
  del content['COVAREP']['81406'], content['glove_vectors']['hh04W3xXa5s']
  miniature.write(source / miniature.COVAREP, 'COVAREP', content['COVAREP'])
  miniature.write(source / miniature.WORDS, 'glove_vectors', content['glove_vectors'])
  got, _ = examples(source)
  for name, e in got.items():
    assert e['audio_present'] == (e['group'] not in ('81406', 'hh04W3xXa5s')), name
    if not e['audio_present']:
      assert e['audio'].shape == (1, 74) and not e['audio'].any() and np.isfinite(e['intensity']).all()
  assert preparing.prepare('cmu_mosei', source, tmp_path / 'data').counts == {'all': 48}


def test_a_mean_is_of_the_finite_values_of_each_column():
  x = np.array([[1, np.nan, np.inf], [3, 4, np.nan], [5, 6, -np.inf]], np.float32)
  np.testing.assert_array_equal(_cmu_mosei.mean(x), [3, 5, np.nan])


def test_a_word_of_which_nothing_is_finite_is_for_the_policy(tmp_path):
  source = miniature.sequences(tmp_path)
  content = miniature.content()
  intervals, frames = content['COVAREP']['81406']
  frames[:, 9] = np.nan
  frames[5, 3] = -np.inf  # one frame of its word
  miniature.write(source / miniature.COVAREP, 'COVAREP', content['COVAREP'])
  with pytest.raises(UserError, match=r"id '81406\[0\]': audio is nan in frame 0"):
    preparing.prepare('cmu_mosei', source, tmp_path / 'data')
  corpus = preparing.prepare('cmu_mosei', source, tmp_path / 'data', nonfinite='mask')
  got = corpus.columns('all')
  rows = got['group'] == '81406'
  assert np.isfinite(got['audio'].values).all() and not got['audio_present'][rows].any()
  assert got['audio_present'][~rows].all()


# Segments without labels


def test_unlabelled_segments_lie_between_the_labelled_ones(source, content):
  segments, meta = examples(source, unlabelled='yes')
  new = {name: e for name, e in segments.items() if '[u' in name}
  assert len(segments) == 48 + len(new) and meta['unlabelled'] == len(new) > 12
  assert 'noLabels_01' in {e['group'] for e in new.values()}, 'videos without labels have them as well'
  for e in new.values():
    assert np.isnan(e['intensity']).all() and np.isnan(e['sentiment']) and np.isnan(e['valence'])
    assert e['official'] == FOLD_OF.get(e['group'], -1)
  spans = {
    video: _cmu_mosei.runs(content['glove_vectors'][video][0], content['All Labels'].get(video, (np.zeros((0, 2)),))[0],
                           50, 0.5)
    for video in content['glove_vectors']
  }  # fmt: skip
  assert sum(map(len, spans.values())) == len(new)
  for video, of in spans.items():
    for start, end in of:
      assert not any(meets(i, start, end) for i in content['All Labels'].get(video, ([],))[0])


def test_unlabelled_segments_end_at_pauses_and_after_so_many_words():
  spans = np.array([[0, 0.3], [0.3, 0.6], [0.6, 0.9], [1.5, 1.8], [1.8, 2.0], [2.0, 2.5], [2.5, 3.0]])
  taken = np.array([[1.85, 1.95]])
  assert _cmu_mosei.runs(spans, taken[:0], 50, 0.5) == [(0, 0.9), (1.5, 3.0)]
  assert _cmu_mosei.runs(spans, taken[:0], 2, 0.5) == [(0, 0.6), (0.6, 0.9), (1.5, 2.0), (2.0, 3.0)]
  assert _cmu_mosei.runs(spans, taken, 50, 0.5) == [(0, 0.9), (1.5, 1.8), (2.0, 3.0)]


# Labels


def test_intensities_above_3_are_taken_for_3_and_counted(tmp_path):
  source = miniature.sequences(tmp_path)
  content = miniature.content()
  content['All Labels']['81406'][1][1, 1:3] = 4, 3.333
  miniature.write(source / miniature.LABELS, 'All Labels', content['All Labels'])
  got, meta = examples(source)
  assert meta['clamped'] == 2 and got['81406[1]']['intensity'][:2].tolist() == [3, 3]


def test_columns_in_alphabetical_order_are_noticed(tmp_path):
  source = miniature.sequences(tmp_path)
  plain, _ = examples(source)
  labels = miniature.content()['All Labels']
  at = [0, *(1 + cmu_mosei.EMOTIONS.index(e) for e in sorted(cmu_mosei.EMOTIONS))]
  miniature.write(source / miniature.LABELS, 'All Labels', {v: (i, x[:, at]) for v, (i, x) in labels.items()})
  with pytest.raises(UserError, match='emotions look alphabetical; give option order=alphabetical'):
    examples(source)
  right, _ = examples(source, order='alphabetical')
  for name, e in plain.items():
    np.testing.assert_array_equal(e['intensity'], right[name]['intensity'])
  wrong, _ = examples(source, order='readme')
  assert any((wrong[name]['intensity'] != e['intensity']).any() for name, e in plain.items())


# Folds


@pytest.mark.parametrize('form', ['python', 'json', 'json with dev', 'csv', 'elsewhere', 'none'])
def test_folds_may_be_told_in_several_ways(source, tmp_path, form):
  folder = miniature.sequences(tmp_path / 'source')
  options = {}
  if form.startswith('json'):
    (folder / miniature.STD_FOLDS).unlink()
    named = {('dev' if form.endswith('dev') and k == 'valid' else k): of for k, of in miniature.FOLDS.items()}
    (folder / 'folds.json').write_text(json.dumps(named))
  elif form == 'csv':
    (folder / miniature.STD_FOLDS).unlink()
    rows = [f'{video},{name}' for name, of in miniature.FOLDS.items() for video in of]
    (folder / 'folds.csv').write_text('\n'.join(['video,fold', *rows]))
  elif form == 'elsewhere':
    (folder / miniature.STD_FOLDS).rename(tmp_path / 'mine.py')
    options = {'folds': str(tmp_path / 'mine.py')}
  elif form == 'none':
    options = {'folds': 'none'}
  segments, _ = examples(folder, **options)
  for e in segments.values():
    assert e['official'] == (-1 if form == 'none' else FOLD_OF.get(e['group'], -1))


def test_a_python_file_of_folds_is_not_run(tmp_path):
  path = tmp_path / 'my_std_folds.py'
  miniature.folds(path)
  path.write_text(f'open({str(tmp_path / "ran")!r}, "w")\n' + path.read_text())
  folds, _ = _cmu_mosei_folds.read(tmp_path, None, miniature.VIDEOS)
  assert folds == FOLD_OF and not (tmp_path / 'ran').exists()


# Tensors


@pytest.mark.parametrize('ids', ['mmsa', 'time', 'sdk', 'mult'])
def test_tensors_get_the_labels_of_their_segments(tmp_path, content, ids):
  segments, meta = examples(miniature.tensors(tmp_path, ids))
  assert len(segments) == 44 and meta['folds']['train'] == [28, 7] and meta['mismatched'] == 0
  for name, e in segments.items():
    video, k = name[:-1].split('[')
    value = content['All Labels'][video][1][int(k)]
    np.testing.assert_allclose(e['intensity'], value[1:], atol=1e-6)
    x = miniature.dataset(ids)[list(miniature.FOLDS)[e['official']]]['audio']
    rng = np.random.default_rng((miniature.VIDEOS.index(video), int(k)))
    wanted = rng.normal(size=(2 + int(k) % 3, 74)).astype(np.float32)
    assert e['official'] == FOLD_OF[video] and x.shape[1:] == (6, 74)
    if int(k) == 2:
      assert e['audio_mask'].tolist() == [True, True, False, True]
      wanted[-2] = 0
    np.testing.assert_array_equal(e['audio'], wanted)


def test_tensors_are_prepared_and_have_a_rate_if_they_are_told_one(tmp_path):
  source = miniature.tensors(tmp_path / 'source')
  corpus = preparing.prepare('cmu_mosei', source, tmp_path, options={'audio_hz': '20'})
  assert corpus.counts == {'all': 44} and corpus.meta['rate_hz'] == {'audio': 20.0}


def test_tensors_that_agree_with_no_label_may_be_left_out(tmp_path):
  source = miniature.tensors(tmp_path)
  content = miniature.dataset()
  content['train']['regression_labels'][3] += 0.5
  (source / miniature.TENSORS).write_bytes(pickle.dumps(content))
  with pytest.raises(UserError, match=r'train: id 3 .* has sentiment .* \(1 of 44 rows\)'):
    examples(source)
  got, meta = examples(source, mismatch='drop')
  assert len(got) == 43 and meta['mismatched'] == 1


# The house


def test_without_h5py_one_line_says_what_to_install(source, monkeypatch):
  monkeypatch.setitem(sys.modules, 'h5py', None)
  with pytest.raises(UserError, match=r'h5py is needed to read it; run: pip install "affectjax\[extract\]"'):
    cmu_mosei.read(source)
