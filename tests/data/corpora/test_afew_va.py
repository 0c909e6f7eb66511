"""AFEW-VA in miniature, in the folders and files in which it is distributed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.corpora import afew_va
from affectjax.data.store import opening, preparing
from tests.helpers.afew_va_miniature import CLIPS, WIDTH, frames, points, rows, write


def check(example, clip: str) -> None:
  actor, _, labels = CLIPS[clip]
  assert (example['id'], example['item'], example['group']) == (clip, clip, actor)
  want = np.array([[math.nan if y is None else y / 10 for y in pair] for pair in labels], np.float32)
  np.testing.assert_array_equal(example['valence'], want[:, 0])
  np.testing.assert_array_equal(example['arousal'], want[:, 1])
  np.testing.assert_array_equal(example['frame'], frames(clip))
  assert example['frame'].dtype == np.int32 and example['valence'].dtype == np.float32


@pytest.mark.parametrize('zips', [False, True])
@pytest.mark.parametrize('kind', ['npy', 'npz', 'npz with frames'])
def test_clips(tmp_path, kind, zips):
  reading = afew_va.read(write(tmp_path, kind, zips))
  assert dict(reading.keys) == {'all': list(CLIPS)}
  for clip in CLIPS:
    example = reading.example('all', clip)
    check(example, clip)
    np.testing.assert_array_equal(example['visual'], rows(clip))
    assert example['visual'].dtype == np.float32 and 'emotion' not in example
  assert reading.meta['modalities'] == {'visual': WIDTH} and reading.meta['emotions'] == []
  assert (reading.meta['clips'], reading.meta['clips_expected']) == (4, 600)
  assert reading.meta['labels'].endswith('4 of 600 clips')
  json.dumps(reading.meta)
  assert all(Path(p).is_file() for p in reading.files)


def test_what_lies_beside_the_clips_is_no_clip(tmp_path):
  write(tmp_path)
  for name in ('001_cropped', '__MACOSX/003', '.cache/004', 'features/005'):
    (tmp_path / name).mkdir(parents=True)
  assert list(afew_va.read(tmp_path).keys['all']) == list(CLIPS)


def test_expressions(tmp_path):
  write(tmp_path)
  (tmp_path / 'expressions.csv').write_text(
    'frame,video_id,expression\n0,001,Neutral\n00001,1,angry\n3,001,\n11,002,Fear\n0,300,sad\n'
  )
  reading = afew_va.read(tmp_path)
  assert reading.meta['emotions'] == list(afew_va.EMOTIONS)
  wanted = {'001': [0, 6, -1, -1], '002': [-1, 4], '051': [-1, -1, -1], '600': [-1]}
  for clip, emotion in wanted.items():
    got = reading.example('all', clip)['emotion']
    np.testing.assert_array_equal(got, emotion)
    assert got.dtype == np.int32


def test_landmarks_need_no_feature_files(tmp_path):
  source = write(tmp_path, kind='none')
  reading = afew_va.read(source, features='landmarks')
  assert reading.meta['modalities'] == {'visual': 272}
  for clip in CLIPS:
    example = reading.example('all', clip)
    check(example, clip)
    wanted = afew_va.shape_features(points(clip), np.array(frames(clip)))
    np.testing.assert_array_equal(example['visual'], wanted)


def test_shapes_are_free_of_shift_scale_and_roll():
  p, frame = points('001'), np.arange(4)
  x = afew_va.shape_features(p, frame)
  assert x.shape == (4, 272) and x.dtype == np.float32
  c, s = math.cos(0.7), math.sin(0.7)
  moved = 3.5 * p @ np.array([[c, s], [-s, c]]) + np.array([-40.0, 900.0])
  np.testing.assert_allclose(afew_va.shape_features(moved, frame), x, atol=1e-5)
  face = x[:, :136].reshape(4, 68, 2)
  np.testing.assert_allclose(face[:, 36:42].mean(1), [[-0.5, 0]] * 4, atol=1e-6)
  np.testing.assert_allclose(face[:, 42:48].mean(1), [[0.5, 0]] * 4, atol=1e-6)


def test_changes_are_first_differences_per_frame():
  p = points('001')
  x = afew_va.shape_features(p, np.arange(4))
  assert (x[0, 136:] == 0).all()
  np.testing.assert_allclose(x[1:, 136:], np.diff(x[:, :136], axis=0), atol=1e-6)
  gap = afew_va.shape_features(p[[0, 2]], np.array([0, 2]))
  np.testing.assert_allclose(gap[1, 136:], (x[2, :136] - x[0, :136]) / 2, atol=1e-6)


def test_a_face_without_eye_distance_is_not_finite():
  p = points('001')
  p[1] = 0.0
  x = afew_va.shape_features(p, np.arange(4))
  assert np.isnan(x[1]).all() and np.isnan(x[2, 136:]).all()
  assert np.isfinite(x[[0, 3]]).all() and np.isfinite(x[2, :136]).all()


def test_options_are_checked(tmp_path):
  write(tmp_path)
  with pytest.raises(UserError, match=r"unknown option of afew_va 'feature'; there is: features"):
    preparing.prepare('afew_va', tmp_path, tmp_path / 'data', options={'feature': 'landmarks'})
  with pytest.raises(UserError, match=r"features 'pixels'; there is: arrays, landmarks"):
    afew_va.read(tmp_path, features='pixels')


@pytest.mark.parametrize('zips', [False, True])
def test_prepared_is_what_was_written(tmp_path, zips):
  source = write(tmp_path / 'source', zips=zips)
  prepared = preparing.prepare('afew_va', source, tmp_path / 'data', nonfinite='error')
  assert prepared.kind == 'prepared' and prepared.version == afew_va.VERSION
  assert dict(prepared.counts) == {'all': len(CLIPS)}
  columns = prepared.columns('all')
  assert sorted(columns['id']) == sorted(CLIPS)
  for i, clip in enumerate(str(k) for k in columns['id']):
    check({k: columns[k][i] for k in ('id', 'item', 'group', 'frame', 'valence', 'arousal')}, clip)
    np.testing.assert_array_equal(columns['visual'][i], rows(clip))


def test_landmarks_and_expressions_from_the_command(tmp_path):
  source = write(tmp_path / 'source', kind='none')
  (source / 'expressions.csv').write_text('video_id,frame,expression\n002,11,Fear\n')
  where = [f'--source={source}', f'--data_dir={tmp_path / "data"}']
  assert prepare.main(['afew_va', *where, '--option=features=landmarks']) == 0
  prepared = opening.open_corpus('afew_va', tmp_path / 'data')
  assert prepared.meta['features'] == 'landmarks' and prepared.meta['clips'] == 4
  columns = prepared.columns('all')
  i = list(columns['id']).index('002')
  np.testing.assert_array_equal(columns['emotion'][i], [-1, 4])
  wanted = afew_va.shape_features(points('002'), np.array(frames('002')))
  np.testing.assert_array_equal(columns['visual'][i], wanted)
  assert columns['visual_mask'].values.all()
