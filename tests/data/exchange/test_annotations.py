"""Labels on disk: the same numbers back from every format, in files that the tools they are for understand."""

import collections
import json
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pympi
import pytest

from affectjax.common.errors import UserError
from affectjax.data.exchange import annotations, elan, label_table
from affectjax.data.own import videos

FORMATS = {'csv': 'out.csv', 'eaf': 'out.eaf', 'label_studio': 'out.json'}
NAMES = {'many': ['second', 'first, "quoted"', 'dir/третий & <b>'], 'one': ['clip/7']}


def table(names, frames=17, rate=30.0, seed=0, known=True, times=False) -> label_table.Table:
  """Videos of `frames` frames, every fifth labelled by hand; `times`: of their own, not at the rate."""
  rng = np.random.default_rng(seed)
  n = len(names) * frames
  frame = np.tile(np.arange(frames), len(names))
  time_s = np.cumsum(rng.uniform(0.001, 0.1, (len(names), frames)), 1).ravel() if times else frame / rate
  support = frame % 5 == 0
  value = label_table.shortest(rng.uniform(-1, 1, (4, n)).astype(np.float32))
  value[:2, support] = rng.uniform(-1, 1, (2, n))[:, support]  # a user may give all the digits of float64
  value[2:] = np.where(support, 0.0, np.abs(value[2:]) if known else np.nan)
  value[0, 1], value[1, 1] = -1.0, 1e-9
  return label_table.Table(np.repeat(np.array(names), frames), frame, time_s, *value, support, rate, 'abc123')


def same(a: label_table.Table, b: label_table.Table) -> None:
  for name in label_table.COLUMNS:
    np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize('kind', FORMATS)
@pytest.mark.parametrize('names', NAMES)
@pytest.mark.parametrize('change', [{}, {'known': False}, {'times': True}, {'rate': 4000.0}, {'rate': 29.97}], ids=str)
def test_all_numbers_come_back(tmp_path, kind, names, change):
  written = table(NAMES[names], **change)
  path = tmp_path / FORMATS[kind]
  annotations.write(written, path)
  same(annotations.read(path), written)
  if kind != 'csv':
    assert annotations.read(path).rate_hz == written.rate_hz and annotations.read(path).model == 'abc123'
  assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('kind', FORMATS)
def test_hand_labels_come_back(tmp_path, kind):
  written = table(NAMES['many'])
  annotations.write(written, tmp_path / FORMATS[kind])
  hands = annotations.read_hand(tmp_path / FORMATS[kind])
  rows = np.flatnonzero(written.support)
  assert [(h.video, h.frame, h.valence, h.arousal) for h in hands] == [
    (written.video[i], written.frame[i], written.valence[i], written.arousal[i]) for i in rows
  ]
  by_video = annotations.match(tmp_path / FORMATS[kind], hands, dict.fromkeys(NAMES['many'], 17))
  assert {k: v[0].tolist() for k, v in by_video.items()} == dict.fromkeys(NAMES['many'], [0, 5, 10, 15])


def test_a_float32_survives_in_its_shortest_digits():
  x = np.random.default_rng(0).normal(size=5000).astype(np.float32)
  x[:4] = 0.1, 1 / 3, np.float32(1e-30), -0.0
  decimal = label_table.shortest(x)
  assert (decimal.astype(np.float32) == x).all() and label_table.text(decimal[0]) == '0.1'
  assert max(len(label_table.text(v).lstrip('-').replace('.', '').lstrip('0').partition('e')[0]) for v in decimal) <= 9
  assert label_table.text(np.nan) == '' and np.isnan(label_table.shortest(np.float32([np.nan]))[0])


def test_elan_file_as_pympi_sees_it(tmp_path):
  written = table(['a', 'b'], rate=25.0)
  annotations.write(written, tmp_path / 'out.eaf')
  eaf = pympi.Eaf(str(tmp_path / 'out.eaf'))
  assert eaf.adocument['VERSION'] == eaf.adocument['FORMAT'] == '3.0' and not eaf.media_descriptors
  values = [f'{v}/{n}' for v in 'ab' for n in (*label_table.NUMBERS, 'support')]
  assert set(eaf.get_tier_names()) == {'a/frame', 'b/frame', *values}
  frames = sorted(eaf.get_annotation_data_for_tier('b/frame'))
  assert frames == [(40 * i, 40 * (i + 1), str(i)) for i in range(17)]
  valence = sorted(eaf.get_annotation_data_for_tier('b/valence'))
  assert [(start, float(value), int(frame)) for start, _, value, frame in valence] == [
    (40 * i, v, i) for i, v in enumerate(written.valence[17:])
  ]
  assert eaf.get_parameters_for_tier('b/valence')['PARENT_REF'] == 'b/frame'
  hung = eaf.get_parameters_for_linguistic_type('value')
  assert (hung['CONSTRAINTS'], hung['TIME_ALIGNABLE']) == ('Symbolic_Association', 'false')


def test_elan_file_keeps_the_rules_of_the_format(tmp_path):
  """What the schema EAFv3.0.xsd asks of the parts that are used: order, keys, references, times."""
  annotations.write(table(NAMES['many'], known=False), tmp_path / 'out.eaf')
  root = ET.parse(tmp_path / 'out.eaf').getroot()
  order = ['HEADER', 'TIME_ORDER', 'TIER', 'LINGUISTIC_TYPE', 'CONSTRAINT']
  tags = [child.tag for child in root]
  assert list(dict.fromkeys(tags)) == order and tags == sorted(tags, key=order.index)
  assert {'AUTHOR', 'DATE', 'FORMAT', 'VERSION'} <= set(root.attrib)
  assert root.find('HEADER').attrib == {'MEDIA_FILE': '', 'TIME_UNITS': 'milliseconds'}
  slots = {s.get('TIME_SLOT_ID'): int(s.get('TIME_VALUE')) for s in root.iter('TIME_SLOT')}
  aligned = {a.get('ANNOTATION_ID'): a for a in root.iter('ALIGNABLE_ANNOTATION')}
  references = {a.get('ANNOTATION_ID'): a for a in root.iter('REF_ANNOTATION')}
  ids = collections.Counter([*slots, *aligned, *references])
  assert max(ids.values()) == 1
  assert all(slots[a.get('TIME_SLOT_REF1')] < slots[a.get('TIME_SLOT_REF2')] for a in aligned.values())
  assert {a.get('ANNOTATION_REF') for a in references.values()} == set(aligned)
  types = {t.get('LINGUISTIC_TYPE_ID') for t in root.iter('LINGUISTIC_TYPE')}
  tiers = {t.get('TIER_ID'): t for t in root.iter('TIER')}
  assert {t.get('LINGUISTIC_TYPE_REF') for t in tiers.values()} == types
  assert all(t.get('PARENT_REF') in tiers for t in tiers.values() if t.get('PARENT_REF'))


def test_frames_finer_than_a_millisecond_stay_apart():
  borders = np.array(elan.milliseconds(np.arange(500) / 4000))
  assert (np.diff(borders) >= 1).all() and len(borders) == 501
  assert elan.milliseconds(np.arange(4) / 30) == [0, 33, 67, 100, 133]


def test_a_frame_can_be_labelled_by_hand_in_elan(tmp_path):
  written = table(['clip'])
  annotations.write(written, tmp_path / 'out.eaf')
  eaf = pympi.Eaf(str(tmp_path / 'out.eaf'))
  parent = next(k for k, (_, _, value, _) in eaf.tiers['frame'][0].items() if value == '7')
  for tier, value in (('valence', '0.5'), ('arousal', '-0.25'), ('support', '1')):
    key = next(k for k, (reference, *_) in eaf.tiers[tier][1].items() if reference == parent)
    eaf.tiers[tier][1][key] = (parent, value, None, None)
  eaf.to_file(tmp_path / 'edited.eaf')
  hand = {h.frame: (h.valence, h.arousal) for h in annotations.read_hand(tmp_path / 'edited.eaf')}
  assert set(hand) == {0, 5, 7, 10, 15} and hand[7] == (0.5, -0.25)


def test_label_studio_tasks_have_its_own_format(tmp_path):
  written = table(['a', 'b'])
  annotations.write(written, tmp_path / 'out.json')
  tasks = json.loads((tmp_path / 'out.json').read_text())
  assert [t['data'] for t in tasks] == [{'video': v, 'rate_hz': 30.0, 'frames': 17} for v in 'ab']
  (annotation,), (prediction,) = tasks[1]['annotations'], tasks[1]['predictions']
  spread = np.stack([written.valence_spread, written.arousal_spread])[:, 17:][:, ~written.support[17:]]
  assert prediction['score'] == pytest.approx(1 - np.sqrt(np.square(spread).mean()))
  assert prediction['model_version'] == 'abc123'
  for results, kind, frames in ((annotation['result'], 'hand', 4), (prediction['result'], 'estimate', 13)):
    regions = [r for r in results if r['type'] == 'timelinelabels']
    assert len(regions) == frames and len(results) == 5 * frames
    for result in results:
      (span,) = result['value']['ranges']
      assert span['start'] == span['end'] >= 1 and result['to_name'] == 'video' and '-f' in result['id']
    assert all(r['value']['timelinelabels'] == [kind] and r['from_name'] == 'kind' for r in regions)
  fifth = [r for r in annotation['result'] if r['value']['ranges'][0]['start'] == 6]  # counted from 1
  assert {r['from_name']: r['value'].get('number') for r in fifth}['valence'] == written.valence[17 + 5]
  ids = [{r['id'] for r in p['result']} for t in tasks for p in (*t['annotations'], *t['predictions'])]
  assert len(set.union(*ids)) == sum(map(len, ids))


def test_a_frame_can_be_labelled_by_hand_in_label_studio(tmp_path):
  annotations.write(table(['clip']), tmp_path / 'out.json')
  tasks = json.loads((tmp_path / 'out.json').read_text())
  region = lambda kind, **value: {'id': 'x9', 'type': kind, 'to_name': 'video', 'origin': 'manual',
                                  'value': {'ranges': [{'start': 8, 'end': 8}], **value}}  # fmt: skip
  drawn = [
    {**region('timelinelabels', timelinelabels=['hand']), 'from_name': 'kind'},
    {**region('number', number=1), 'from_name': 'valence'},
    {**region('number', number=-0.25), 'from_name': 'arousal'},
    {'type': 'choices', 'from_name': 'other', 'value': {'choices': ['yes']}, 'id': 'y'},
  ]
  tasks[0]['annotations'].append({'id': 3, 'result': drawn})
  tasks[0]['annotations'].append({'id': 4, 'was_cancelled': True, 'result': drawn})
  (tmp_path / 'edited.json').write_text(json.dumps(tasks))
  hand = {h.frame: (h.valence, h.arousal) for h in annotations.read_hand(tmp_path / 'edited.json')}
  assert set(hand) == {0, 5, 7, 10, 15} and hand[7] == (1.0, -0.25)
  assert len(annotations.read(tmp_path / 'edited.json')) == 17


def test_a_csv_may_leave_the_video_out_and_say_which_rows_are_by_hand(tmp_path):
  path = tmp_path / 'hand.csv'
  path.write_text('arousal,frame,valence,note\n0.5, 3 ,-1,x\n0,0,1e-1,\n')
  labels = annotations.match(path, annotations.read_hand(path), {'clip': 4})
  assert labels['clip'][0].tolist() == [0, 3] and labels['clip'][1].tolist() == [[0.1, 0.0], [-1.0, 0.5]]
  path.write_text('frame,valence,arousal,support\n0,0.5,0.5,1\n1,9,9,0\n')
  assert [h.frame for h in annotations.read_hand(path)] == [0]


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'out.csv'
  annotations.write(table(['a']), path)
  before = path.read_bytes()

  def breaks(written, temporary):
    temporary.write_text('half')
    raise OSError(28, 'No space left on device')

  monkeypatch.setitem(annotations._WRITERS, 'csv', breaks)
  with pytest.raises(UserError, match='No space left'):
    annotations.write(table(['b']), path)
  assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_elan_without_pympi_names_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'pympi', None)
  for use in (elan.require, lambda: annotations.write(table(['a']), tmp_path / 'out.eaf')):
    with pytest.raises(UserError, match=r'pip install affectjax\[label\]'):
      use()
  assert not list(tmp_path.iterdir())


def test_sources_of_every_kind(tmp_path):
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(5, 3)).astype(np.float32), rng.normal(size=(2, 3))
  np.save(tmp_path / 'a.npy', a)
  np.savez(tmp_path / 'b.npz', visual=b, audio=np.zeros((9, 1)))
  (tmp_path / 'c.csv').write_text('x,y,z\n1,2,3\n4,nan,6\n')
  (tmp_path / 'notes.txt').write_text('not a video')
  clips = videos.read(tmp_path, 25.0, 3)
  assert [(c.name, len(c)) for c in clips] == [('a', 5), ('b', 2), ('c', 2)]
  np.testing.assert_array_equal(clips[0].x, a)
  np.testing.assert_array_equal(clips[1].x, b.astype(np.float32))
  assert clips[2].present.tolist() == [True, False] and clips[2].x.tolist() == [[1, 2, 3], [0, 0, 0]]
  assert clips[0].time_s.tolist() == [i / 25 for i in range(5)]
  assert [c.name for c in videos.read(tmp_path / 'b.npz', 25.0, 3)] == ['b']
  np.savez(tmp_path / 'many.npz', **{'z': a, 'y': b, 'y/time': [0.5, 0.75]})
  clips = videos.read(tmp_path / 'many.npz', 10.0, 3)
  assert [c.name for c in clips] == ['z', 'y'] and clips[1].time_s.tolist() == [0.5, 0.75]
  np.savez(tmp_path / 'unnamed.npz', a)
  assert [c.name for c in videos.read(tmp_path / 'unnamed.npz', 10.0, 3)] == ['unnamed']
