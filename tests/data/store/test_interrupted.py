"""A preparation that is interrupted, repeated, run twice, out of space; a prepared corpus that is damaged."""

import json
import os
import resource

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data.store import opening, records, shards
from tests.helpers import miniature


@pytest.fixture
def toy(monkeypatch, tmp_path):
  return miniature.toy(monkeypatch, tmp_path)


class Stop(BaseException):
  pass


def _interrupted(toy, at: int, **kwargs):
  """Prepares until example `at` is asked for."""
  whole = toy.example

  def stop(split, i):
    if i == at:
      raise Stop
    return whole(split, i)

  toy.example = stop
  with pytest.raises(Stop):
    toy.prepare(**kwargs)
  toy.example = whole


@pytest.mark.parametrize('at', [0, 5, 6, 13, 20, 21])
def test_interrupted_work_goes_on_with_the_next_shard(toy, at):
  sha = toy.prepare('whole').sha256
  _interrupted(toy, at)
  with pytest.raises(UserError, match='was interrupted; to continue, run: python -m affectjax.prepare toy'):
    opening.open_corpus('toy', toy.tmp / 'data')
  asked, whole = [], toy.example
  toy.example = lambda split, i: asked.append(i) or whole(split, i)
  done = []
  assert toy.prepare(progress=lambda *x: done.append(x)).sha256 == sha
  finished = 20 if at >= 20 else at // 6 * 6
  assert asked == list(range(finished, 22))
  assert done == [(i, 22) for i in range(1, 23)]
  names = {p.name for p in toy.folder.iterdir()}
  assert names == {p.name for p in (toy.tmp / 'whole/toy/1.2.0').iterdir()}
  for name in names:
    assert (toy.folder / name).read_bytes() == (toy.tmp / 'whole/toy/1.2.0' / name).read_bytes()


def test_duplicates_are_found_across_an_interruption(toy):
  miniature.change(toy, 15, id='u002')
  _interrupted(toy, 13)
  with pytest.raises(UserError, match="'u002' stands twice, in train example 2 and train example 15"):
    toy.prepare()


def test_drops_and_masks_are_counted_across_an_interruption(toy):
  miniature.break_audio(toy)
  miniature.change(toy, 1, audio=np.full((2, 3), np.inf))
  for policy in ('drop', 'mask'):
    toy.prepare(f'whole-{policy}', nonfinite=policy)
    whole = json.loads((toy.tmp / f'whole-{policy}/toy/1.2.0/affectjax.json').read_text())
    _interrupted(toy, 13, nonfinite=policy)
    toy.prepare(nonfinite=policy)
    assert json.loads((toy.folder / 'affectjax.json').read_text()) == whole
    for path in toy.folder.iterdir():
      path.unlink()
    toy.folder.rmdir()


@pytest.mark.parametrize('change', ['source', 'options', 'nonfinite', 'version'])
def test_work_of_another_preparation_is_not_continued(toy, change):
  _interrupted(toy, 13)
  kwargs = {}
  if change == 'source':
    (toy.source / 'list.txt').write_text('longer')
  elif change == 'options':
    kwargs = {'options': {'scale': '2'}}
  elif change == 'nonfinite':
    kwargs = {'nonfinite': 'drop'}
  else:
    toy.module.VERSION = '1.2.1'
  asked, whole = [], toy.example
  toy.example = lambda split, i: asked.append(i) or whole(split, i)
  toy.prepare(**kwargs)
  assert asked == list(range(22))


def test_prepared_once_it_is_taken_as_it_is_unless_something_differs(toy):
  toy.prepare()
  toy.example = None
  assert toy.prepare().counts['train'] == 20
  with pytest.raises(UserError, match='already prepared from other nonfinite; remove it'):
    toy.prepare(nonfinite='mask')
  (toy.source / 'list.txt').write_text('longer')
  with pytest.raises(UserError, match='already prepared from other files; remove it'):
    toy.prepare()


def test_two_preparations_at_once_are_refused(toy):
  whole = toy.example

  def inner(split, i):
    toy.example = whole
    with pytest.raises(UserError, match='another preparation is writing there'):
      toy.prepare()
    return whole(split, i)

  toy.example = inner
  assert toy.prepare().counts['train'] == 20


def test_a_full_disk_is_one_line_and_work_goes_on_after(toy, monkeypatch):
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 1000)
  toy.keys = {'train': list(range(3000))}
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
  try:
    with pytest.raises(UserError, match='incomplete: cannot write .*; check space and permissions'):
      toy.prepare()
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
  assert toy.prepare().counts['train'] == 3000


def _truncate(path):
  os.truncate(path, path.stat().st_size - 9)


@pytest.mark.parametrize(
  'damage, message',
  [
    (lambda d: _truncate(d / 'toy-train.array_record-00001'), 'toy-train.array_record-00001: .* bytes, expected'),
    (lambda d: (d / 'toy-dev.array_record-00000').unlink(), 'toy-dev.array_record-00000: missing, expected'),
    (lambda d: (d / 'affectjax.json').unlink(), 'affectjax.json: missing or damaged'),
    (lambda d: _truncate(d / 'affectjax.json'), 'affectjax.json: missing or damaged'),
    (lambda d: (d / 'affectjax.json').write_text('[]'), 'affectjax.json: missing or damaged'),
    (lambda d: d.rename(d.with_name('0.9.0')), r'not prepared in .*there is version 0.9.0, this code reads 1.2.0'),
  ],
)
def test_opening_refuses_what_is_damaged_and_says_what_to_do(toy, damage, message):
  toy.prepare()
  damage(toy.folder)
  with pytest.raises(UserError, match=message) as e:
    opening.open_corpus('toy', toy.tmp / 'data')
  assert f'python -m affectjax.prepare toy --source=... --data_dir={toy.tmp / "data"}' in str(e.value)


def test_a_flipped_bit_is_found_when_columns_are_read(toy):
  corpus = toy.prepare()
  path = toy.folder / 'toy-train.array_record-00001'
  data = bytearray(path.read_bytes())
  data[data.index(b'u008')] ^= 1
  path.write_bytes(data)
  with pytest.raises(UserError, match='toy-train.array_record-00001: damaged'):
    corpus.columns('train')
  with pytest.raises(UserError, match='toy-train.array_record-00001: damaged'):
    records.RecordSource(toy.folder, 'train').gather([8])


def test_opening_reads_no_examples(toy, monkeypatch):
  toy.prepare()
  monkeypatch.setattr(records, 'open_shard', None)
  corpus = opening.open_corpus('toy', toy.tmp / 'data')
  assert corpus.describe()['counts'] == {'train': 20, 'dev': 2}
  with pytest.raises(UserError, match="unknown split of toy 'test'; there is: dev, train"):
    corpus.columns('test')
