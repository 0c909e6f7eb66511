import numpy as np

from affectjax.data.corpora import pyfeat_faces
from affectjax.data.store import preparing
from tests.helpers import miniature
from tests.helpers.shared import pack

REAL = 'pyfeat_news_faces'


def test_landmarks_are_free_of_place_roll_and_size():
  points = np.random.default_rng(0).uniform(0, 500, (5, 68, 2))
  x = pyfeat_faces.normalised(points)
  left, right = x[:, 36:42].mean(1), x[:, 42:48].mean(1)
  np.testing.assert_allclose(left, [[-0.5, 0]] * 5, atol=1e-6)
  np.testing.assert_allclose(right, [[0.5, 0]] * 5, atol=1e-6)
  for angle, scale, shift in ((0.3, 2.0, 40.0), (-2.0, 0.1, -900.0)):
    c, s = np.cos(angle), np.sin(angle)
    moved = scale * points @ np.array([[c, s], [-s, c]]) + shift
    np.testing.assert_allclose(pyfeat_faces.normalised(moved), x, atol=1e-4)
  mirrored = points * [-1, 1]  # a similarity does not mirror
  assert np.abs(pyfeat_faces.normalised(mirrored) - x).max() > 0.1


def test_upright_faces_stay_upright():
  points = np.zeros((1, 68, 2))
  points[:, 36:42], points[:, 42:48] = [100, 50], [140, 50]
  points[:, 8] = [120, 130]  # the chin, below the eyes: y grows downwards
  x = pyfeat_faces.normalised(points)
  np.testing.assert_allclose(x[0, 8], [0, 2], atol=1e-6)


def test_clips_in_the_order_of_their_frames(tmp_path):
  data = miniature.faces()
  order = np.random.default_rng(1).permutation(len(data['clip']))
  names = ('au_names', 'blendshape_names', 'pred_emotion_names')
  shuffled = {k: x if k in names else x[order] for k, x in data.items()}
  one = preparing.prepare('pyfeat_faces', miniature.pyfeat(tmp_path / 'a'), tmp_path / 'da')
  two = preparing.prepare('pyfeat_faces', miniature.pyfeat(tmp_path / 'b', **shuffled), tmp_path / 'db')
  assert one.sha256 == two.sha256
  columns = one.columns('all')
  assert columns['id'].tolist() == columns['group'].tolist() == ['clip01', 'clip02', 'clip03', 'clip04']
  assert columns['good_news'].tolist() == [1, 0, 1, 0]
  assert columns['frame'][2].tolist() == [0, 2, 4, 6, 8]  # missing frames stay missing
  rows = data['clip'] == 3
  np.testing.assert_array_equal(columns['valence'][2], data['pred_valence_arousal'][rows, 0])
  np.testing.assert_array_equal(columns['emotion'][2], data['pred_emotion'][rows].argmax(1))
  np.testing.assert_array_equal(columns['visual'][2][:, 136:156], data['au'][rows])
  np.testing.assert_array_equal(columns['visual'][2][:, -3:], data['gaze'][rows])
  assert len(one.meta['columns']['visual']) == one.meta['modalities']['visual'] == 217
  assert 'NO HUMAN RATINGS' in one.meta['labels']


def test_coinciding_eyes_can_be_masked(tmp_path):
  data = miniature.faces()
  data['landmarks68'][5, 36:48] = 300  # frame 1 of clip 2
  source = miniature.pyfeat(tmp_path / 'a', landmarks68=data['landmarks68'])
  columns = preparing.prepare('pyfeat_faces', source, tmp_path / 'd', nonfinite='mask').columns('all')
  assert columns['visual_mask'][1].tolist() == [True, False, True]
  assert (columns['visual'][1][1] == 0).all()


def test_real_clips(tmp_path):
  corpus = preparing.prepare('pyfeat_faces', pack(REAL), tmp_path)
  columns = corpus.columns('all')
  assert corpus.counts == {'all': 20} and columns['visual'].values.shape == (477, 217)
  assert columns['good_news'].sum() == 10
  assert columns['visual'].lengths.min() == 14 and columns['visual'].lengths.max() == 39
  chin, brow = columns['visual'].values[:, 2 * 8 + 1], columns['visual'].values[:, 2 * 19 + 1]
  assert (chin > 0.8).all() and (brow < 0).all()  # in units of the distance between the eyes, y downwards
