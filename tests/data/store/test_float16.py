"""Features stored as float16: half the bytes, read as float32 by everything, refused where they do not fit."""

import json
import sys

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.store import opening, records
from affectjax.examples import examples
from tests.helpers import miniature


@pytest.fixture
def toy(monkeypatch, tmp_path):
  return miniature.toy(monkeypatch, tmp_path)


def test_features_are_rounded_and_read_as_float32_and_nothing_else_changes(toy):
  whole, half = toy.prepare('whole'), toy.prepare(features_as='float16')
  for split in half.counts:
    exact, rounded = whole.columns(split), half.columns(split)
    for key, column in exact.items():
      a, b = (getattr(x, 'values', x) for x in (column, rounded[key]))
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a.astype(np.float16).astype(np.float32) if key in ('audio', 'visual') else a, b)
  assert (whole.columns('train')['audio'].values != half.columns('train')['audio'].values).any()
  assert half.sha256 != whole.sha256 and half.stored.gigabytes('audio') == whole.stored.gigabytes('audio')
  memory, disk = (examples.of(half, ('audio',), gb).streams['audio'] for gb in (1.0, 0.0))
  for a, b in zip(memory.gather(np.arange(22), 3), disk.gather(np.arange(22), 3), strict=True):
    assert a.dtype == b.dtype and a.dtype in (np.float32, bool)
    np.testing.assert_array_equal(a, b)
  batch = records.RecordSource(toy.folder, 'train').gather([3, 19])
  assert batch['audio'].dtype == np.float32 and batch['audio'][0, 0, 0] == half.columns('train')['audio'][3][0, 0]


def test_half_the_bytes(toy):
  toy.meta = {**toy.meta, 'modalities': {'audio': 200, 'visual': 2}}
  for i in range(22):
    miniature.change(toy, i, audio=np.random.default_rng(i).normal(size=(50, 200)), ratings=None, ratings_mask=None)
  sizes = {}
  for how in ('float32', 'float16'):
    sizes[how] = toy.prepare(how, features_as=how).stored.info['splits']['train']['bytes']
  assert sizes['float16'] < 0.55 * sizes['float32']


def test_tfds_reads_them_as_float16_without_tensorflow(toy):
  import tensorflow_datasets as tfds

  columns = toy.prepare(features_as='float16').columns('train')
  builder = tfds.builder_from_directory(str(toy.folder))
  assert builder.info.features['audio'].np_dtype == np.float16
  source = builder.as_data_source('train')
  for i in (0, 5, 6, 19):
    for key in ('audio', 'visual', 'audio_mask', 'valence'):
      np.testing.assert_array_equal(source[i][key], columns[key][i], err_msg=key)
  assert 'tensorflow' not in sys.modules


@pytest.mark.parametrize('value', [65505.0, -1e6])
def test_a_value_that_float16_cannot_hold_is_one_line(toy, value):
  x = miniature.toy_example(7)['audio']
  x[1, 2] = value
  miniature.change(toy, 7, audio=x)
  with pytest.raises(UserError) as caught:
    toy.prepare(features_as='float16')
  said = str(caught.value)
  assert f"id 'u007': audio is {value:g} in frame 1, expected at most 65504 in size" in said and '\n' not in said
  assert '--features_as=float32' in said and not toy.folder.exists()
  assert toy.prepare().counts['train'] == 20


def test_the_greatest_value_and_whatever_stands_in_masked_frames_are_taken(toy):
  x, mask = miniature.toy_example(7)['audio'], np.array([True, False, True, True])
  x[0, 0], x[1, 0], x[1, 1] = -65504.0, 1e9, np.nan
  miniature.change(toy, 7, audio=x, audio_mask=mask)
  got = toy.prepare(features_as='float16').columns('train')['audio'][7]
  assert got[0, 0] == -65504 and (got[1] == 0).all()


def test_policies_for_what_is_not_finite_come_first(toy):
  x = miniature.break_audio(toy)
  columns = toy.prepare(features_as='float16', nonfinite='mask').columns('train')
  assert columns['audio_mask'][6].tolist() == [True, False, False]
  np.testing.assert_array_equal(columns['audio'][6][0], x[0].astype(np.float16))


def test_the_manifest_says_it_and_another_preparation_differs(toy):
  toy.prepare()
  created = json.loads((toy.folder / 'affectjax.json').read_text())['created']
  assert 'features_as' not in created, 'corpora prepared before there was a choice are as if prepared today'
  with pytest.raises(UserError, match='already prepared from other features_as; remove it'):
    toy.prepare(features_as='float16')
  toy.prepare('half', features_as='float16')
  folder = toy.tmp / 'half/toy/1.2.0'
  assert json.loads((folder / 'affectjax.json').read_text())['created']['features_as'] == 'float16'
  with pytest.raises(UserError, match='already prepared from other features_as; remove it'):
    toy.prepare('half')
  assert toy.prepare('half', features_as='float16').kind == 'prepared'


def test_interrupted_work_goes_on_to_the_same_bytes(toy):
  sha = toy.prepare('whole', features_as='float16').sha256
  given = toy.example

  def stop(split, i):
    if i == 13:
      raise KeyboardInterrupt
    return given(split, i)

  toy.example = stop
  with pytest.raises(KeyboardInterrupt):
    toy.prepare(features_as='float16')
  toy.example = given
  assert toy.prepare(features_as='float16').sha256 == sha
  manifests = [toy.tmp / folder / 'toy/1.2.0/affectjax.json' for folder in ('whole', 'data')]
  assert manifests[0].read_bytes() == manifests[1].read_bytes()


def test_by_command(tmp_path, capsys):
  source = miniature.pyfeat(tmp_path / 'source')
  flags = ['pyfeat_faces', f'--source={source}', f'--data_dir={tmp_path / "data"}']
  assert prepare.main([*flags, '--features_as=float8']) == 2
  assert "type that features can be stored as 'float8'" in capsys.readouterr().err
  assert prepare.main([*flags, '--features_as=float16']) == 0
  assert opening.manifest('pyfeat_faces', tmp_path / 'data')['created']['features_as'] == 'float16'


def test_few_shards_are_open_at_once(toy, monkeypatch):
  monkeypatch.setattr(records, 'OPEN_SHARDS', 2)
  toy.prepare()
  opened = []
  real = records.open_shard
  monkeypatch.setattr(records, 'open_shard', lambda path: opened.append(path) or real(path))
  source = records.RecordSource(toy.folder, 'train')
  assert [e['id'] for e in source.read([0, 7, 13, 19])] == ['u000', 'u007', 'u013', 'u019'] and len(opened) == 4
  source.read([19, 13])
  assert len(opened) == 4, 'the last two are still open'
  source.read([0])
  assert len(opened) == 5
