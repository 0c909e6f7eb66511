"""AffectNet in miniature, in both layouts in which it is distributed and all three of its features."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.corpora import affectnet
from affectjax.data.store import opening, preparing
from tests.helpers.affectnet_miniature import ROWS, WIDTH, stem, vector, write, write_csv, write_features, write_npy


def expected(split: str, classes: int = 8) -> list[tuple]:
  return [r for r in ROWS[split] if r[1] < classes]


def check(example, image, code, v, a) -> None:
  np.testing.assert_array_equal(example['visual'], vector(image)[None])
  assert example['visual'].dtype == np.float32 and example['emotion'] == code
  for got, want in ((example['valence'], v), (example['arousal'], a)):
    assert got.dtype == np.float32 and got.shape == ()
    assert math.isnan(got) if want == -2 else got == np.float32(want)


@pytest.mark.parametrize('kind', ['files', 'npz', 'csv', 'json'])
def test_lists(tmp_path, kind):
  reading = affectnet.read(write(tmp_path, kind=kind))
  for split in ROWS:
    assert reading.keys[split] == [stem(r[0]) for r in expected(split)]
    for row in expected(split):
      got = reading.example(split, stem(row[0]))
      check(got, *row)
      assert got['id'] == got['group'] == got['item'] == stem(row[0])
  assert reading.meta['modalities'] == {'visual': WIDTH}
  assert reading.meta['emotions'] == list(affectnet.EMOTIONS)
  assert reading.meta['dropped'] == {
    'train': {'none': 2, 'uncertain': 1, 'no-face': 1}, 'val': {'none': 0, 'uncertain': 1, 'no-face': 0},
  }  # fmt: skip
  assert reading.meta['labels'].endswith(
    'dropped: train none 2, uncertain 1, no-face 1; val none 0, uncertain 1, no-face 0'
  )
  json.dumps(reading.meta)
  assert all(Path(p).exists() for p in reading.files)


@pytest.mark.parametrize('kind', ['files', 'npz', 'csv', 'json'])
def test_both_layouts_give_the_same_records(tmp_path, kind):
  a = affectnet.read(write(tmp_path / 'a', 'csv', kind))
  b = affectnet.read(write(tmp_path / 'b', 'npy', kind))
  for split in ROWS:
    assert len(a.keys[split]) == len(b.keys[split]) == len(expected(split))
    for key_a, key_b in zip(a.keys[split], b.keys[split], strict=True):
      one, two = a.example(split, key_a), b.example(split, key_b)
      assert key_b.startswith(affectnet.FOLDERS[split]) and two['id'] == key_b
      for name in ('visual', 'valence', 'arousal', 'emotion'):
        np.testing.assert_array_equal(one[name], two[name])
  same = [k for k in a.meta if k != 'layout']
  assert {k: a.meta[k] for k in same} == {k: b.meta[k] for k in same}


def test_numbers_as_text_or_as_numbers(tmp_path):
  ids = write_npy(tmp_path, text=False)
  write_features(tmp_path, 'npz', ids)
  reading = affectnet.read(tmp_path)
  for key, row in zip(reading.keys['train'], expected('train'), strict=True):
    check(reading.example('train', key), *row)


def test_numbers_are_ordered_as_numbers(tmp_path):
  reading = affectnet.read(write(tmp_path, 'npy'))
  assert reading.keys['train'][-2:] == ['train_set/8', 'train_set/10']  # 9 is of no class


@pytest.mark.parametrize('folder', ['Manually_Annotated', 'Manually_Annotated_file_lists'])
def test_lists_are_found_where_the_archives_put_them(tmp_path, folder):
  write_csv(tmp_path / folder)
  write_features(tmp_path)
  assert affectnet.read(tmp_path).keys['val'] == [stem(r[0]) for r in expected('val')]


def test_a_list_without_header(tmp_path):
  write_csv(tmp_path, header=('train',))
  write_features(tmp_path)
  reading = affectnet.read(tmp_path)
  assert reading.keys['val'] == [stem(r[0]) for r in expected('val')]
  check(reading.example('val', '9/v'), *ROWS['val'][0])


def test_seven_classes_drop_contempt(tmp_path):
  for classes in (7, '7'):
    reading = affectnet.read(write(tmp_path / str(type(classes)), kind='npz'), classes=classes)
    assert '12/d' not in reading.keys['train'] and len(reading.keys['train']) == len(expected('train', 7))
    assert reading.meta['dropped']['train']['contempt'] == 1
    assert reading.meta['emotions'] == list(affectnet.EMOTIONS[:7])


def test_cleaned_keeps_what_agrees_with_its_class(tmp_path):
  for cleaned in (True, 'true'):
    reading = affectnet.read(write(tmp_path / str(cleaned), kind='npz'), cleaned=cleaned)
    assert reading.keys['train'] == [
      '7/a',
      '7/b',
      '7/c',
      '12/d',
    ]  # not i: happy with v < 0; h: missing; k: r < .3
    assert reading.keys['val'] == ['9/v', '9/w']  # not x: neutral far from the centre
    assert [reading.meta['dropped'][s]['not cleaned'] for s in ROWS] == [3, 1]


@pytest.mark.parametrize(
  ('name', 'v', 'a', 'kept'),
  [
    ('neutral', 0.1, 0.1, True), ('neutral', 0.2, 0.0, False), ('happy', 0.3, -0.1, True),
    ('happy', 0.1, 0.1, False), ('sad', -0.3, 0.3, True), ('sad', 0.3, -0.3, False),
    ('surprise', -0.3, 0.1, True), ('surprise', 0.3, 0.0, False), ('fear', 0.0, 0.3, True),
    ('fear', 0.1, 0.3, False), ('fear', -0.3, 0.0, True), ('disgust', -0.3, 0.1, True),
    ('disgust', -0.25, 0.1, False), ('anger', 0.3, 0.1, True), ('anger', -0.3, -0.1, False),
    ('contempt', -0.3, 0.0, True), ('contempt', 0.3, 0.0, False),
  ],
)  # fmt: skip
def test_cleaning_rules(name, v, a, kept):
  assert affectnet.CLEANED[name](v, a, math.hypot(v, a)) == kept


def test_the_matrix_is_mapped_not_read(tmp_path):
  reading = affectnet.read(write(tmp_path, kind='csv'))
  changed = np.load(tmp_path / 'features.npy')
  changed[0] = 42.0
  with open(tmp_path / 'features.npy', 'r+b') as f:
    f.seek(-changed.nbytes, 2)
    f.write(changed.tobytes())
  assert (reading.example('train', '7/a')['visual'] == 42.0).all()


def test_options_are_checked(tmp_path):
  write(tmp_path)
  with pytest.raises(UserError, match=r"unknown option of affectnet 'clean'; there is: classes, cleaned"):
    preparing.prepare('affectnet', tmp_path, tmp_path / 'data', options={'clean': True})
  with pytest.raises(UserError, match='option classes: 9'):
    affectnet.read(tmp_path, classes=9)
  with pytest.raises(UserError, match="option cleaned: 'maybe'"):
    affectnet.read(tmp_path, cleaned='maybe')


@pytest.mark.parametrize('layout', ['csv', 'npy'])
def test_prepared_is_what_was_written(tmp_path, layout):
  source = write(tmp_path / 'source', layout)
  prepared = preparing.prepare('affectnet', source, tmp_path / 'data', nonfinite='error')
  assert prepared.kind == 'prepared' and prepared.version == affectnet.VERSION
  reading = affectnet.read(source)
  for split in ROWS:
    columns = prepared.columns(split)
    assert prepared.counts[split] == len(reading.keys[split]) == len(columns['id'])
    where = {str(k): i for i, k in enumerate(columns['id'])}
    for key, row in zip(reading.keys[split], expected(split), strict=True):
      i = where[key]
      check({k: columns[k][i] for k in ('visual', 'valence', 'arousal', 'emotion')}, *row)
      assert columns['group'][i] == columns['item'][i] == key


def test_options_reach_the_adapter_from_the_command(tmp_path):
  write(tmp_path / 'source', kind='npz')
  where = [f'--source={tmp_path / "source"}', f'--data_dir={tmp_path / "data"}']
  assert prepare.main(['affectnet', *where, '--option=classes=7', '--option=cleaned=true']) == 0
  prepared = opening.open_corpus('affectnet', tmp_path / 'data')
  assert dict(prepared.counts) == {'train': 3, 'val': 2}
  assert prepared.meta['classes'] == 7 and prepared.meta['cleaned'] is True
  assert prepared.meta['dropped']['train'] == {
    'contempt': 1, 'none': 2, 'uncertain': 1, 'no-face': 1, 'not cleaned': 3,
  }  # fmt: skip


def test_an_image_without_a_face_is_masked_by_policy(tmp_path):
  source = write(tmp_path / 'source', kind='csv')
  x = np.load(source / 'features.npy')
  x[0] = np.nan
  np.save(source / 'features.npy', x)
  columns = preparing.prepare('affectnet', source, tmp_path / 'data', nonfinite='mask').columns('train')
  i = list(columns['id']).index('7/a')
  assert not columns['visual_present'][i] and not columns['visual_mask'][i].any()
  assert columns['visual_present'].sum() == len(columns['id']) - 1
