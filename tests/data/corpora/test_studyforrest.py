import shutil

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.corpora import studyforrest
from affectjax.data.store import opening, preparing
from tests.helpers import miniature
from tests.helpers.shared import pack

REAL = 'studyforrest_emotions'


def test_labels_of_a_second_by_hand(tmp_path):
  rows = [
    '0.5,2.0,A,HIGH,POS,SELF,JOY?,FACE,X',
    '1.2,1.3,A,LOW,POS,SELF,HAPPINESS FEAR,FACE,X',
    '1.9,2.1,A,LOW,NEG,SELF,FEAR,FACE,X',
  ]
  header = 'start,end,character,arousal,valence,direction,emotion,oncue,offcue\n'
  path = tmp_path / 'av1o01.csv'
  path.write_text(header + '\n'.join([rows[0].replace('JOY?', ''), *rows[1:]]))
  labels = studyforrest.read_labels([path])
  assert labels.active[0, :4].tolist() == [1, 3, 1, 0]  # [0.5, 2) does not touch second 2
  np.testing.assert_allclose(labels.arousal[0, :4], [1, -1 / 3, -1, 0])
  np.testing.assert_allclose(labels.valence[0, :4], [1, 1 / 3, -1, 0])
  fear, happy = studyforrest.EMOTIONS.index('FEAR'), studyforrest.EMOTIONS.index('HAPPINESS')
  assert labels.emotions[0, :3, fear].tolist() == [0, 2, 1] and labels.emotions[0, :3, happy].tolist() == [0, 1, 0]
  path.write_text(header + rows[0])
  with pytest.raises(UserError, match=r"line 2: 'JOY\?'; there is: ADMIRATION"):
    studyforrest.read_labels([path])


def test_example_by_hand(tmp_path, monkeypatch):
  miniature.shorten(monkeypatch)
  source = miniature.pack(tmp_path)
  labels = studyforrest.read_labels([source / 'raw' / f'{o}.csv' for o in studyforrest.OBSERVERS])
  film, reading = miniature.film(), studyforrest.read(source)
  assert len(reading.keys['all']) == 32
  e = reading.example('all', 8)
  assert (e['id'], e['group'], e['item']) == ('seg2-00008', 'seg2', 'seg2')  # the segment begins at 8.08 s
  np.testing.assert_array_equal(e['audio'], film['av_audio'][200:225])
  np.testing.assert_array_equal(e['visual'][:, :4], film['av_visual'][200:225])
  assert set(np.unique(e['visual'][:, 4:])) == {0, 1} and e['visual'].shape == (25, 148)
  first_byte = e['visual'][0, 4:12].astype(int)
  assert int(''.join(map(str, first_byte)), 2) == film['av_phash_bits'][200, 0]
  active = labels.active[:, 8] > 0
  assert e['ratings'].shape == (1, 12, 2) and (e['ratings_mask'][0, :, 0] == active).all()
  np.testing.assert_array_equal(np.isnan(e['ratings'][0]), ~e['ratings_mask'][0])
  np.testing.assert_allclose(e['valence'], labels.valence[active, 8].mean())
  np.testing.assert_allclose(e['arousal'], labels.arousal[active, 8].mean())
  named = labels.emotions[:, 8] > 0
  np.testing.assert_array_equal(e['votes'], named.sum(0))
  np.testing.assert_array_equal(e['votes_audiovisual'], named[:9].sum(0))
  np.testing.assert_array_equal(e['votes_audio'], named[9:].sum(0))


def test_the_two_layouts_are_the_same_corpus(tmp_path, monkeypatch):
  miniature.shorten(monkeypatch)
  one, two = miniature.pack(tmp_path / 'pack'), miniature.clones(tmp_path / 'clones')
  for options in ({}, {'audio': 'ao'}):
    where = tmp_path / f'data-{len(options)}'
    a = preparing.prepare('studyforrest', one, where / 'a', options=options)
    for i, source in enumerate([two, two / studyforrest._CONFOUNDS, two / studyforrest._EMOTIONS]):
      b = preparing.prepare('studyforrest', source, where / f'b{i}', options=options)
      assert b.sha256 == a.sha256 and b.meta == a.meta
  assert a.sha256 != opening.open_corpus('studyforrest', tmp_path / 'data-0' / 'a').sha256


def test_frames_lacking_at_the_end_of_a_segment_are_masked(tmp_path, monkeypatch):
  miniature.shorten(monkeypatch)
  film = miniature.film()
  film['ao_audio'][-30:] = np.nan  # the real audio description stops 1.2 s before the film
  miniature.observers(tmp_path / 'pack' / 'raw')
  np.savez(tmp_path / 'pack' / 'features_25hz.npz', **film)
  pairs = [studyforrest.read(s, audio='ao') for s in (tmp_path / 'pack', miniature.clones(tmp_path / 'clones', film))]
  for reading in pairs:
    masks = np.concatenate([reading.example('all', s)['audio_mask'] for s in range(32)])
    assert masks[:-30].all() and not masks[-30:].any()
  corpus = preparing.prepare('studyforrest', tmp_path / 'pack', tmp_path / 'data', options={'audio': 'ao'})
  columns = corpus.columns('all')
  assert not columns['audio_present'][31] and columns['audio_present'][30]
  assert columns['audio_mask'][30].sum() == 20 and (columns['audio'][31] == 0).all()


def test_real_labels_are_those_of_the_pack():
  source = pack(REAL)
  with np.load(source / 'labels_1hz.npz') as packed:
    assert packed['raters'].tolist() == list(studyforrest.OBSERVERS)
    assert packed['emotion_names'].tolist() == list(studyforrest.EMOTIONS)
    labels = studyforrest.read_labels([source / 'raw' / f'{o}.csv' for o in studyforrest.OBSERVERS])
    np.testing.assert_allclose(labels.arousal, packed['arousal_all'], atol=1e-7)
    np.testing.assert_allclose(labels.valence, packed['valence_all'], atol=1e-7)
    np.testing.assert_array_equal(labels.active, packed['n_active_all'])
    np.testing.assert_array_equal(labels.emotions, packed['emotion_counts'])


def test_real_segment_as_distributed_is_that_of_the_pack():
  """The last film segment: the one of which the pack has the original files."""
  source = pack(REAL)
  sample = source / 'original_layout_sample' / studyforrest._CONFOUNDS / 'annotation'
  start = studyforrest._borders()[7]
  with np.load(source / 'features_25hz.npz') as packed:
    n = len(packed['av_audio']) - start
    for key, prefix in (('av_audio', 'fg_av_ger'), ('ao_audio', 'fg_ad')):
      for i, name in enumerate(studyforrest.AUDIO):
        path = sample / 'audio' / f'{prefix}_seg7_{name}.tsv'
        x = studyforrest._numbers(path, studyforrest._read_tsv(path, name, n, 50))
        np.testing.assert_array_equal(x, packed[key][start : start + len(x), i])
        assert np.isnan(packed[key][start + len(x) :, i]).all() and len(x) == n - (30 if key == 'ao_audio' else 0)
    path = sample / 'visual' / 'fg_av_ger_seg7_phash.tsv'
    bits = studyforrest._hashes(path, studyforrest._read_tsv(path, 'phash', n))
    np.testing.assert_array_equal(bits, packed['av_phash_bits'][start:])


@pytest.mark.slow
def test_real_corpus_as_prepared(tmp_path):
  corpus = preparing.prepare('studyforrest', pack(REAL), tmp_path)
  columns = corpus.columns('all')
  assert corpus.counts == {'all': 7086}
  assert columns['group'].tolist() == sorted(columns['group']) and len(set(columns['group'])) == 8
  starts = [np.argmax(columns['group'] == f'seg{k}') for k in range(8)]
  assert starts == [0, 886, 1752, 2612, 3572, 4480, 5342, 6410]
  assert columns['id'][6410] == 'seg7-06410'
  assert columns['audio'].values.shape == (177150, 2) and columns['audio_mask'].values.all()
  ratings = columns['ratings'].values  # [7086, 12, 2]
  silent = np.isnan(ratings[..., 0]).mean(0)
  assert silent.min() > 0.05 and silent.max() < 0.54  # the shares its description names
  rated = ~np.isnan(ratings[..., 0]).all(1)
  np.testing.assert_allclose(columns['valence'][rated], np.nanmean(ratings[rated, :, 0], 1), atol=1e-6)
  assert np.isnan(columns['valence'][~rated]).all() and not rated.all()
  seen, heard = columns['votes_audiovisual'], columns['votes_audio']
  assert seen.shape == heard.shape == (7086, 22) and seen.max() <= 9 and heard.max() <= 3
  np.testing.assert_array_equal(seen + heard, columns['votes'])
  assert seen.any(1).any() and heard.any(1).any()


@pytest.mark.slow
def test_real_clones_are_the_real_pack(tmp_path):
  """Segments 0 to 6 written out in the layout of the clone, segment 7 as anybody gets it."""
  source, clone = pack(REAL), tmp_path / 'clones'
  with np.load(source / 'features_25hz.npz') as packed:
    miniature.clones(clone, {k: packed[k] for k in miniature.film()}, range(7))
  sample = source / 'original_layout_sample' / studyforrest._CONFOUNDS
  shutil.copytree(sample, clone / studyforrest._CONFOUNDS, dirs_exist_ok=True)
  shutil.copytree(source / 'raw', clone / studyforrest._EMOTIONS / 'data' / 'raw')
  a = preparing.prepare('studyforrest', source, tmp_path / 'a')
  b = preparing.prepare('studyforrest', clone, tmp_path / 'b')
  assert a.sha256 == b.sha256 and a.counts == b.counts
  a, b = (studyforrest.read(s, audio='ao') for s in (source, clone))
  for second in (0, 1752, 5000, 7083, 7084, 7085):
    one, two = a.example('all', second), b.example('all', second)
    for key in one:
      np.testing.assert_array_equal(one[key], two[key], err_msg=key)
