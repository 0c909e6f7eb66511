import csv
import json

import numpy as np
import pytest

from affectjax import doctor, prepare
from affectjax.data.corpora import _ceap360vr, ceap360vr
from affectjax.data.store import preparing
from tests.helpers import rated
from tests.helpers.shared import pack


def same_records(a, b, names=_ceap360vr.VIDEOS) -> None:
  assert a.meta == b.meta
  for v in names:
    one, two = a.example('all', v), b.example('all', v)
    assert one.keys() == two.keys()
    for key in one:
      np.testing.assert_array_equal(one[key], two[key], err_msg=f'{v} {key}')


def test_example_by_hand(tmp_path):
  arrays = rated.ceap_arrays()
  reading = ceap360vr.read(rated.ceap_pack(tmp_path))
  assert reading.keys == {'all': [f'V{i}' for i in range(1, 9)]} and len(reading.meta['raters']) == 32
  e = reading.example('all', 'V2')
  assert (e['id'], e['group'], e['item'], float(e['label_rate_hz'])) == ('V2', 'V2', 'V2', 30.0)
  assert reading.example('all', 'V1')['label_rate_hz'] == 25 and reading.meta['label_rate_hz'] is None
  np.testing.assert_allclose(e['ratings'][:, :, 1], (arrays['V2_arousal'].T - 5) / 4, atol=1e-6)
  np.testing.assert_allclose(e['valence'], (arrays['V2_valence'].mean(0) - 5) / 4, atol=1e-6)
  np.testing.assert_allclose(e['sam'][3], (np.array(rated.ceap_sam()[3 * 8 + 1][2:]) - 5) / 4)
  assert e['ratings'].shape == (60, 32, 2) and e['ratings_mask'].all() and e['head'].shape == (9, 64)
  np.testing.assert_array_equal(e['visual'][:, 0], arrays['V2_luminance'])
  np.testing.assert_allclose(e['visual'][1:, 1], np.diff(arrays['V2_luminance']), atol=1e-4)
  np.testing.assert_array_equal(e['head'][:, 2:4], arrays['V2_head_pitch_yaw_5hz'][1])


def test_behaviour_by_hand():
  rate, frames = 30.0, 60
  pitch, yaw = [[10, 20, 30, 30, 30, 30, 30, 30, 30], [0] * 9], [[170] * 9, [-170, -170, -150, *[90] * 6]]
  head = np.stack([pitch, yaw], -1).astype(np.float32)  # [2, 9, 2]
  fixating = np.zeros((2, frames), bool)
  fixating[0, 10:20], fixating[1, 15:] = True, True
  light = np.arange(frames, dtype=np.float32)
  video = _ceap360vr.Video(rate, np.full((2, frames, 2), 5.0), np.ones((2, 2)), light, head, fixating)
  x = ceap360vr.streams(video)['behaviour'].astype(np.float64)
  assert x.shape == (frames, 8)
  np.testing.assert_allclose(x[[0, 5, 6, 12, 59], 0], [5, 5, 10, 15, 15])  # a row of head lasts 6 frames, the last 12
  np.testing.assert_allclose(x[[0, 6, 12], 1], [5, 10, 15])
  np.testing.assert_allclose(x[0, 2:5], [-1, 0, np.cos(np.deg2rad(10))], atol=1e-6)  # 170 and -170 meet at 180
  middle = np.deg2rad(190)  # of 170 and 210
  np.testing.assert_allclose(x[12, 2:5], [np.cos(middle), np.sin(middle), np.cos(np.deg2rad(20))], atol=1e-6)
  np.testing.assert_allclose(x[[0, 6], 5], [25, 25], atol=1e-4)  # one person turns by 10 degrees in 0.2 s, one by none
  np.testing.assert_allclose(x[12, 5:7], [(50 + 100) / 2, 25], atol=1e-4)
  np.testing.assert_allclose(x[[9, 10, 15, 20], 7], [0, 0.5, 1, 0.5])


def test_speed_is_the_angle_between_directions():
  rng = np.random.default_rng(0)
  head = np.stack([rng.uniform(-89, 89, (4, 20)), rng.uniform(-180, 180, (4, 20))], -1)
  p, y = np.deg2rad(head[..., 0]), np.deg2rad(head[..., 1])
  unit = np.stack([np.cos(p) * np.cos(y), np.cos(p) * np.sin(y), np.sin(p)], -1)
  angle = np.rad2deg(np.arccos(np.clip((unit[:, 1:] * unit[:, :-1]).sum(-1), -1, 1)))
  speed = ceap360vr.head_speed(head)
  np.testing.assert_allclose(speed[:, 1:], 5 * angle, atol=1e-5)
  np.testing.assert_array_equal(speed[:, 0], speed[:, 1])


def test_the_two_layouts_are_the_same_corpus(tmp_path):
  one, two = rated.ceap_pack(tmp_path / 'pack'), rated.ceap_clone(tmp_path / 'clone')
  same_records(ceap360vr.read(one), ceap360vr.read(two))
  a = preparing.prepare('ceap360vr', one, tmp_path / 'a')
  for i, source in enumerate((two, two / 'CEAP-360VR')):
    assert preparing.prepare('ceap360vr', source, tmp_path / f'b{i}').sha256 == a.sha256
  some = ceap360vr.read(one, participants='P31,P2')
  same_records(some, ceap360vr.read(two, participants='P2,P31'))
  older = rated.ceap_clone(tmp_path / 'older', luminance=rated.OLD_LUMINANCE)
  for i, source in enumerate((older, older / 'CEAP-360VR')):
    assert preparing.prepare('ceap360vr', source, tmp_path / f'c{i}').sha256 == a.sha256, 'before the luminance moved'
  assert some.meta['raters'] == ['P2', 'P31'] and some.meta['modalities']['head'] == 4


def test_a_rating_that_is_missing_is_masked_in_both(tmp_path):
  arrays = rated.ceap_arrays()
  arrays['V3_valence'][4, 7:9] = np.nan
  one = rated.ceap_pack(tmp_path / 'pack', **arrays)
  two = rated.ceap_clone(tmp_path / 'clone')
  path = two / 'CEAP-360VR/3_AnnotationData/Frame/P5_Annotation_FrameData.json'
  content = json.loads(path.read_text())
  for row in content['ContinuousAnnotation_FrameData'][0]['Video_Annotation_FrameData'][2]['TimeStamp_Valence_Arousal'][
    7:9
  ]:
    row['Valence'] = None
  path.write_text(json.dumps(content))
  same_records(ceap360vr.read(one), ceap360vr.read(two))
  e = ceap360vr.read(one).example('all', 'V3')
  assert (~e['ratings_mask']).sum() == 2 and not e['ratings_mask'][7:9, 4, 0].any()
  wanted = (np.delete(arrays['V3_valence'][:, 7], 4).mean() - 5) / 4
  np.testing.assert_allclose(e['valence'][7], wanted, atol=1e-6)


def test_prepared_and_looked_over(tmp_path, capsys):
  corpus = preparing.prepare('ceap360vr', rated.ceap_pack(tmp_path / 'source'), tmp_path / 'data')
  columns, reading = corpus.columns('all'), ceap360vr.read(tmp_path / 'source')
  for i, v in enumerate(_ceap360vr.VIDEOS):
    for key, value in reading.example('all', v).items():
      np.testing.assert_array_equal(columns[key][i], value, err_msg=key)
  assert doctor.main(['ceap360vr', f'--data_dir={tmp_path / "data"}']) == 0
  out = capsys.readouterr().out
  assert 'P30 100.0%' in out and 'head [T, 64] at 5 Hz' in out


# The real pack


def test_real_files_of_one_participant_are_the_packs():
  """P1, of whom the pack has the original files."""
  source = pack('ceap360vr')
  root = source / 'original_layout_sample' / 'CEAP-360VR'
  videos, _ = _ceap360vr.read_pack(source, ('P1',))
  info = root / '1_Stimuli' / 'VideoInfo.json'
  rates = {b['VideoID']: b['FrameRate'] for b in json.loads(info.read_text())['VideoInfo']}
  clone, files = _ceap360vr.read_clone(source / 'original_layout_sample', ('P1',))
  assert (root / '1_Stimuli' / 'CEAP_VideoInfo_Luminance.json').resolve() in {path.resolve() for path in files}
  for v, video in videos.items():
    assert video.rate == rates[v] == clone[v].rate
    for field in ('ratings', 'head', 'fixating', 'sam', 'luminance'):
      np.testing.assert_array_equal(getattr(clone[v], field), getattr(video, field), err_msg=f'{v} {field}')


def test_a_clone_of_today_is_prepared_by_the_command(tmp_path, capsys):
  sample = pack('ceap360vr') / 'original_layout_sample'
  for i, source in enumerate((sample, sample / 'CEAP-360VR')):
    command = ['ceap360vr', f'--source={source}', f'--data_dir={tmp_path / str(i)}', '--option=participants=P1']
    assert prepare.main(command) == 0
    assert 'all 8 examples' in capsys.readouterr().out


def test_fixations_of_the_helper_are_those_of_the_sample():
  source = pack('ceap360vr')
  path = source / 'original_layout_sample/CEAP-360VR/4_BehaviorData/EM_Fixation/P1_Behavior_FixationData.json'
  blocks = json.loads(path.read_text())['Behavior_FixationData'][0]['Video_Behavior_FixationData']
  with np.load(source / 'ceap360vr.npz') as arrays:
    for block in blocks[:2]:
      frames = [(f['StartFrame'], f['EndFrame']) for f in block['Fixation']]
      made = rated.fixations(arrays[f'{block["VideoID"]}_fixation_pitch_yaw'][0])
      assert [(f['StartFrame'], f['EndFrame']) for f in made] == frames


def test_real_pack(tmp_path, capsys):
  corpus = preparing.prepare('ceap360vr', pack('ceap360vr'), tmp_path)
  columns = corpus.columns('all')
  assert corpus.counts == {'all': 8} and columns['label_rate_hz'].tolist() == [25, *[30] * 7]
  assert columns['ratings'].lengths.tolist() == [1500, *[1800] * 7] == columns['visual'].lengths.tolist()
  assert columns['ratings'].values.shape[1:] == (32, 2) and columns['ratings_mask'].values.all()
  assert (columns['head'].lengths == 299).all() and columns['sam'].shape == (8, 32, 2)
  spread = 4 * columns['ratings'].values[:, :, 0].std(1).reshape(-1)
  assert 1.3 < spread[:1500].mean() < 2.3  # as the pack says of valence
  x = columns['behaviour'].values
  assert (x[:, 4] <= 1).all() and (np.abs(np.hypot(x[:, 2], x[:, 3]) - 1) < 1e-5).all() and (x[:, 5:] >= 0).all()
  assert doctor.main(['ceap360vr', f'--data_dir={tmp_path}', '--check']) == 0
  assert 'prepared: 8 examples' in capsys.readouterr().out


@pytest.mark.slow
def test_real_pack_written_as_a_clone_gives_the_same_records(tmp_path):
  source = pack('ceap360vr')
  with np.load(source / 'ceap360vr.npz') as arrays, open(source / 'sam_ratings.csv', newline='') as f:
    sam = [(r['participant'], r['video'], int(r['sam_valence']), int(r['sam_arousal'])) for r in csv.DictReader(f)]
    rated.ceap_clone(tmp_path, dict(arrays), sam)
  same_records(ceap360vr.read(source), ceap360vr.read(tmp_path))
