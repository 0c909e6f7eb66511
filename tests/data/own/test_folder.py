"""Corpora of the user's own: a folder and a table, from the command to what is opened."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from affectjax import doctor, prepare
from affectjax.common.errors import UserError
from affectjax.data import egemaps, sound
from affectjax.data.corpus import Ragged
from affectjax.data.own import folder, labelled
from affectjax.data.store import opening, preparing, shards
from tests.helpers import own_miniature as miniature
from tests.helpers.shared import ROOT, pack

NONE = folder.Extraction(None)  # of sources without sound


def arguments(tmp_path, source, *more, name='mine'):
  return ['features', f'--name={name}', f'--source={source}', f'--labels={source / "labels.csv"}',
          f'--data_dir={tmp_path / "data"}', *more]  # fmt: skip


@pytest.mark.parametrize('kind', ['.npy', '.npz', '.csv'])
def test_one_modality_from_the_command_to_the_columns(tmp_path, kind, capsys):
  source = miniature.one(tmp_path / 'source', kind)
  assert prepare.main(arguments(tmp_path, source, '--rate_hz=50', '--option=licence=mine')) == 0
  out, err = capsys.readouterr()
  assert re.fullmatch(r'mine 1\.0\.0: all 12 examples, sha256 [0-9a-f]{16}, in .*/mine/1\.0\.0\n', out)
  assert re.fullmatch(r'mine: 12 of 12, [\d,]+ examples/s, eta 0:00\n', err)
  corpus = opening.open_corpus('mine', tmp_path / 'data')
  assert corpus.meta == {
    'modalities': {'audio': 4}, 'rate_hz': {'audio': 50.0}, 'attributes': ['valence', 'arousal'],
    'emotions': ['anger', 'calm', 'joy'], 'labels': 'as in labels.csv', 'groups': 'as in labels.csv',
    'licence': 'mine', **({'columns': {'audio': ['f0', 'f1', 'f2', 'f3']}} if kind == '.csv' else {}),
  }  # fmt: skip
  columns = corpus.columns('all')
  assert columns['id'].tolist() == miniature.IDS and isinstance(columns['audio'], Ragged)
  for i, name in enumerate(miniature.IDS):
    np.testing.assert_array_equal(columns['audio'][i], miniature.frames(name))
    assert columns['emotion'][i] == (-1 if i == 2 else [2, 0, 1][i % 3])
    assert (columns['group'][i], columns['item'][i]) == (f'p{i % 4}', f'film{i % 2}')
    np.testing.assert_array_equal(columns['valence'][i], np.float32(np.nan if i == 3 else round(i / 6 - 1, 3)))
    assert columns['arousal'][i] == np.float32(round(0.5 - i / 20, 3)) and columns['pulse'][i] == 60 + i
  assert columns['pulse'].dtype == np.float32
  lines = '\n'.join(doctor.examine('mine', tmp_path / 'data', None, False))
  assert '12 examples, 4 groups, 2 items' in lines and 'audio [T, 4] at 50 Hz' in lines and 'pulse: 60 to 71' in lines


def test_several_modalities_splits_and_what_is_absent(tmp_path):
  source = miniature.two(tmp_path / 'source')
  miniature.labels(source, split=True)
  (source / 'visual' / 'clip04.npy').unlink()
  more = ['--rate_hz=audio:100,visual:none', '--option=missing=absent', '--option=emotions=joy,calm,anger,fear']
  assert prepare.main(arguments(tmp_path, source, *more)) == 0
  corpus = opening.open_corpus('mine', tmp_path / 'data')
  assert dict(corpus.counts) == {'train': 8, 'dev': 2, 'test': 2}
  assert corpus.meta['modalities'] == {'audio': 4, 'visual': 3}
  assert corpus.meta['rate_hz'] == {'audio': 100.0, 'visual': None}
  assert corpus.meta['emotions'] == ['joy', 'calm', 'anger', 'fear']
  train = corpus.columns('train')
  assert train['emotion'].tolist() == [0, 2, -1, 0, 2, 1, 0, 2]
  assert train['visual_present'].tolist() == [True] * 4 + [False] + [True] * 3
  assert train['visual'][4].tolist() == [[0, 0, 0]] and not train['visual_mask'][4].any()
  np.testing.assert_array_equal(train['visual'][5], miniature.frames('clip05', 'visual'))


def test_pooled_features_need_no_rate_and_any_name_will_do(tmp_path):
  source = tmp_path / 'source'
  for name in miniature.IDS:
    miniature.save(source / f'{name}.npy', miniature.frames(name)[0])
  (source / '.hidden.npy').write_bytes(b'')
  (source / 'notes.txt').write_text('nobody reads this')
  table = miniature.labels(tmp_path / 'elsewhere')
  table.write_text('\n'.join(','.join(line.split(',')[:2]) for line in table.read_text().splitlines()))
  given = [f'--labels={table}', '--modality=physio', '--option=unlabelled=true']
  assert prepare.main([*arguments(tmp_path, source), *given]) == 0
  corpus = opening.open_corpus('mine', tmp_path / 'data')
  assert corpus.meta['modalities'] == {'physio': 4} and corpus.meta['rate_hz'] == {'physio': None}
  columns = corpus.columns('all')
  assert set(columns) == {'id', 'group', 'item', 'physio', 'physio_mask', 'physio_present'}
  assert columns['item'].tolist() == miniature.IDS


def test_again_and_with_other_options_or_another_table(tmp_path, capsys):
  source = miniature.one(tmp_path / 'source')
  command = arguments(tmp_path, source, '--rate_hz=50')
  assert prepare.main(command) == 0 == prepare.main(command)
  capsys.readouterr()
  assert prepare.main([*command[:-1], '--rate_hz=25']) == 2
  assert 'already prepared from other options; remove it' in capsys.readouterr().err
  (source / 'labels.csv').write_text((source / 'labels.csv').read_text().replace('calm', 'cold'))
  assert prepare.main(command) == 2
  assert 'already prepared from other files; remove it' in capsys.readouterr().err


def test_a_name_of_ones_own_shadows_nothing(tmp_path, capsys, monkeypatch):
  source, data = miniature.one(tmp_path / 'source'), tmp_path / 'data'
  for name in ('emodb', 'features', 'affectnet'):
    assert prepare.main(arguments(tmp_path, source, '--rate_hz=50', name=name)) == 2
    assert f"error: name '{name}' is taken (features, afew_va, affectnet, " in capsys.readouterr().err
  for name in ('Mine', '../mine', '1st', 'my corpus', ''):
    assert prepare.main(arguments(tmp_path, source, '--rate_hz=50', name=name)) == 2
    assert f'error: name {name!r}, expected small letters' in capsys.readouterr().err
  assert not data.exists()
  assert prepare.main(arguments(tmp_path, source, '--rate_hz=50')) == 0
  assert opening.own_names(data) == ['mine']
  capsys.readouterr()
  assert doctor.main(['theirs', f'--data_dir={data}']) == 2
  assert re.search("unknown corpus 'theirs'; there is: afew_va, .*, iemocap, mine, msp", capsys.readouterr().err)
  real = opening.names  # a later version brings a corpus of that name
  monkeypatch.setattr(opening, 'names', lambda *a: [*real(*a), 'mine'])
  monkeypatch.setattr(opening, 'adapter', lambda name: type('Adapter', (), {'VERSION': '1.0.0'}))
  with pytest.raises(UserError, match='made of features of your own, and mine is a corpus with a reader of its own'):
    opening.open_corpus('mine', data)


def test_damage_and_interruption_name_the_command(tmp_path):
  source, data = miniature.one(tmp_path / 'source'), tmp_path / 'data'
  assert prepare.main(arguments(tmp_path, source, '--rate_hz=50')) == 0
  (data / 'mine' / '1.0.0' / 'affectjax.json').write_text('{')
  command = 'python -m affectjax.prepare features --name=mine --labels=... --source=... --data_dir='
  with pytest.raises(UserError, match=f'missing or damaged .* run: {command}'):
    opening.open_corpus('mine', data)
  (data / 'mine' / '1.0.0').rename(data / 'mine' / '1.0.0.incomplete')
  with pytest.raises(UserError, match=f'interrupted; to continue, run: {command}'):
    opening.open_corpus('mine', data)


def test_reading_goes_through_the_same_checks_without_the_command(tmp_path):
  source = miniature.one(tmp_path / 'source')
  reading = labelled.Reader(source / 'labels.csv', NONE).read(source, rate_hz=25)
  assert reading.keys == {'all': miniature.IDS} and len(reading.files) == 13
  files = folder.find(source, besides=[source / 'labels.csv'])
  assert files.ids == miniature.IDS and not files.wavs
  streams = folder.Streams(files, folder.rates('25', files), NONE)  # as without labels
  np.testing.assert_array_equal(streams.read('clip03')['audio'], miniature.frames('clip03'))
  assert folder.rates(None, files) != folder.rates('none', files) == {'audio': None}


# Sound


@pytest.fixture
def opensmile():
  pytest.importorskip('opensmile', reason='extra `extract` is not installed')


HOW = {'clip01': {'rate': 48000}, 'clip02': {'channels': 2}, 'clip03': {'bits': 24}, 'clip04': {'bits': -32}}


@pytest.mark.slow
def test_sound_is_described_and_kept(tmp_path, opensmile, capsys):
  source = miniature.sound(tmp_path / 'source', HOW)
  command = arguments(tmp_path, source, '--workers=2')
  assert prepare.main(command) == 0
  assert re.match(r'mine, sound: 12 of 12, [\d,]+ files/s, eta 0:00\n', capsys.readouterr().err)
  corpus = opening.open_corpus('mine', tmp_path / 'data')
  assert corpus.meta['rate_hz'] == {'audio': 100.0}
  assert corpus.meta['columns'] == {'audio': list(egemaps.COLUMNS)} and corpus.meta['modalities'] == {'audio': 25}
  columns = corpus.columns('all')
  for i, name in enumerate(miniature.IDS):
    x = egemaps.describe(sound.read(source / f'{name}.wav', 16000))
    np.testing.assert_array_equal(columns['audio'][i], x)
  assert doctor.main(['mine', f'--data_dir={tmp_path / "data"}', '--check']) == 0
  # with other labels nothing is described again
  (source / 'labels.csv').write_text((source / 'labels.csv').read_text().replace('calm', 'cold'))
  for path in sorted((tmp_path / 'data' / 'mine').rglob('*'), reverse=True):
    path.unlink() if path.is_file() else path.rmdir()
  capsys.readouterr()
  assert prepare.main(command) == 0
  assert 'sound' not in capsys.readouterr().err
  assert opening.open_corpus('mine', tmp_path / 'data').meta['emotions'] == ['anger', 'cold', 'joy']


def test_sound_of_one_modality_beside_features_of_another(tmp_path, opensmile):
  source = miniature.sound(tmp_path / 'source' / 'voice').parent
  (source / 'voice' / 'labels.csv').rename(source / 'labels.csv')
  for name in miniature.IDS:
    miniature.save(source / 'visual' / f'{name}.npy', miniature.frames(name, 'visual'))
  assert prepare.main(arguments(tmp_path, source, '--rate_hz=visual:30')) == 0
  meta = opening.open_corpus('mine', tmp_path / 'data').meta
  assert meta['modalities'] == {'visual': 3, 'voice': 25} and meta['rate_hz'] == {'visual': 30.0, 'voice': 100.0}


def test_every_damaged_wav_is_a_line_before_anything_is_described(tmp_path, capsys):
  source = miniature.sound(tmp_path / 'source')
  for name in ('clip02', 'clip07'):
    path = source / f'{name}.wav'
    path.write_bytes(path.read_bytes()[:-8])
  assert prepare.main(arguments(tmp_path, source)) == 2
  *lines, last = capsys.readouterr().err.splitlines()
  assert [re.match(r'.*/(clip\d\d)\.wav: cannot be read as a wav file .* cut off', x)[1] for x in lines] == [
    'clip02', 'clip07'
  ]  # fmt: skip
  assert last.startswith('error: ') and last.endswith('; 2 of 12 wav files are like that')
  assert not (tmp_path / 'data').exists()


# prepares like the command, and is killed while it describes or reads example `at`
KILLED = """
import os, signal, sys
from affectjax import prepare
from affectjax.data import egemaps
from affectjax.data.own import folder
from affectjax.data.store import shards
shards.SHARD_EXAMPLES = 5
if __name__ == '__main__':
  module, name, at = {what}, sys.argv[1], int(sys.argv[2])
  real, count = getattr(module, name), 0
  def counted(*args, **kwargs):
    global count
    count += 1
    if count == at:
      os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
  setattr(module, name, counted)
  sys.exit(prepare.main(sys.argv[3:]))
"""


@pytest.mark.parametrize(('what', 'name', 'at'), [('egemaps', '_one', 5), ('folder.Streams', 'read', 8)])
def test_killed_and_continued_is_the_same_as_uninterrupted(tmp_path, opensmile, monkeypatch, what, name, at):
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 5)
  source, data = miniature.sound(tmp_path / 'source'), tmp_path / 'data'
  command = [sys.executable, '-c', KILLED.format(what=what), name, str(at), *arguments(tmp_path, source)]
  assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
  kept = {p: p.stat().st_ino for p in (data / 'mine.frames').rglob('*.npy')}
  assert len(kept) == (4 if what == 'egemaps' else 12)
  assert doctor.main(['mine', f'--data_dir={data}']) == 2
  assert prepare.main(arguments(tmp_path, source)) == 0
  assert {p: p.stat().st_ino for p in kept} == kept, 'taken over, not made again'
  assert prepare.main([*arguments(tmp_path, source)[:-1], f'--data_dir={tmp_path / "whole"}']) == 0
  final, whole = data / 'mine' / '1.0.0', tmp_path / 'whole' / 'mine' / '1.0.0'
  assert {p.name: p.read_bytes() for p in whole.iterdir()} == {p.name: p.read_bytes() for p in final.iterdir()}
  assert json.loads((final / 'affectjax.json').read_text())['created']['form'] == 'features'


@pytest.mark.parametrize('workers', [1, 2])
def test_interrupted_by_hand(tmp_path, opensmile, monkeypatch, capsys, workers):
  source, real, count = miniature.sound(tmp_path / 'source'), prepare.Counted.__call__, []

  def progress(self, done, total):
    count.append(done)
    if done == 5:
      raise KeyboardInterrupt
    real(self, done, total)

  with monkeypatch.context() as patch:
    patch.setattr(prepare.Counted, '__call__', progress)
    assert prepare.main(arguments(tmp_path, source, f'--workers={workers}')) == 130
  assert capsys.readouterr().err.endswith('interrupted; the same command goes on from here\n') and count[-1] == 5
  assert prepare.main(arguments(tmp_path, source, f'--workers={workers}')) == 0
  assert opening.open_corpus('mine', tmp_path / 'data').counts == {'all': 12}


@pytest.mark.slow
def test_all_real_recordings_of_emodb_make_a_corpus(tmp_path, opensmile):
  real = pack('emodb')
  columns = preparing.prepare('emodb', real, tmp_path).columns('all')
  table = tmp_path / 'labels.csv'
  lines = [f'{i},{g}' for i, g in zip(columns['id'], columns['group'], strict=True)]
  table.write_text('\n'.join(['id,group', *lines]))
  given = [f'--source={real / "wav"}', f'--labels={table}', f'--data_dir={tmp_path}', '--option=unlabelled=true']
  assert prepare.main(['features', '--name=mine', *given, f'--workers={min(2, os.cpu_count())}']) == 0
  got = opening.open_corpus('mine', tmp_path).columns('all')
  assert got['id'].tolist() == columns['id'].tolist()
  np.testing.assert_array_equal(got['audio'].values.astype(np.float16), columns['audio'].values)
