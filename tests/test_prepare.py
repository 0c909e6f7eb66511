import json
import os
import re
import signal
import subprocess
import sys

import pytest

from affectjax import doctor, prepare
from affectjax.data.store import opening, shards
from tests.helpers import miniature
from tests.helpers.shared import ROOT

FRAMES = (4, 3, 5, 2, 1, 6, 3, 3, 2, 4, 5, 1)
# prepares like the command, and is killed while it reads example `at`
KILLED = """
import os, signal, sys
from affectjax import prepare
from affectjax.data.store import shards
from affectjax.data.corpora import pyfeat_faces
shards.SHARD_EXAMPLES = 5
read = pyfeat_faces.normalised
count = 0
def normalised(x):
  global count
  count += 1
  if count == {at}:
    os.kill(os.getpid(), signal.SIGKILL)
  return read(x)
pyfeat_faces.normalised = normalised
sys.exit(prepare.main(sys.argv[1:]))
"""


@pytest.fixture
def source(tmp_path):
  return miniature.pyfeat(tmp_path / 'source', FRAMES)


def _arguments(source, data_dir):
  return ['pyfeat_faces', f'--source={source}', f'--data_dir={data_dir}']


@pytest.mark.campaign(3)
@pytest.mark.parametrize('at', [3, 8, 12])
def test_killed_and_continued_is_the_same_as_uninterrupted(tmp_path, monkeypatch, source, at, capsys):
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 5)
  data = tmp_path / 'data'
  command = [sys.executable, '-c', KILLED.format(at=at), *_arguments(source, data)]
  assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == -signal.SIGKILL
  assert doctor.main(['pyfeat_faces', f'--data_dir={data}']) == 2
  assert 'was interrupted; to continue, run: python -m affectjax.prepare pyfeat_faces' in capsys.readouterr().err
  finished = {p: p.stat().st_ino for p in data.rglob('pyfeat_faces-*') if p.suffix != '.json'}
  assert len(finished) == (at - 1) // 5
  assert prepare.main(_arguments(source, data)) == 0
  final = data / 'pyfeat_faces' / '1.0.0'
  for path, inode in finished.items():  # taken over, not written again
    assert (final / path.name).stat().st_ino == inode
  assert prepare.main(_arguments(source, tmp_path / 'whole')) == 0
  whole = tmp_path / 'whole' / 'pyfeat_faces' / '1.0.0'
  assert {p.name: p.read_bytes() for p in whole.iterdir()} == {p.name: p.read_bytes() for p in final.iterdir()}
  assert doctor.main(['pyfeat_faces', f'--data_dir={data}', '--check']) == 0


def test_what_prepare_says(tmp_path, source, capsys):
  assert prepare.main(_arguments(source, tmp_path / 'data')) == 0
  out, err = capsys.readouterr()
  assert re.fullmatch(r'pyfeat_faces 1\.0\.0: all 12 examples, sha256 [0-9a-f]{16}, in .*/pyfeat_faces/1\.0\.0\n', out)
  assert re.fullmatch(r'pyfeat_faces: 12 of 12, [\d,]+ examples/s, eta 0:00\n', err)
  assert prepare.main([*_arguments(source, tmp_path / 'data'), '--nonfinite=mask']) == 2
  assert 'already prepared from other nonfinite' in capsys.readouterr().err


def test_what_is_not_finite_is_said(tmp_path, capsys):
  data = miniature.faces()
  data['au'][5, 3] = float('nan')
  source = miniature.pyfeat(tmp_path / 'source', au=data['au'])
  assert prepare.main([*_arguments(source, tmp_path / 'a'), '--nonfinite=mask']) == 0
  assert 'all: visual was not finite in 1 values, 1 frames, 1 examples' in capsys.readouterr().out
  assert prepare.main([*_arguments(source, tmp_path / 'b'), '--nonfinite=drop']) == 0
  assert 'all: 1 examples dropped: clip02' in capsys.readouterr().out
  assert doctor.main(['pyfeat_faces', f'--data_dir={tmp_path / "b"}']) == 0
  assert '1 examples dropped as not finite' in capsys.readouterr().out


def test_doctor_of_a_prepared_corpus(tmp_path, monkeypatch, capsys):
  miniature.shorten(monkeypatch)
  source = miniature.pack(tmp_path / 'source')
  assert prepare.main(['studyforrest', f'--source={source}', f'--data_dir={tmp_path}']) == 0
  capsys.readouterr()
  assert doctor.main(['studyforrest', f'--data_dir={tmp_path}']) == 0
  out = capsys.readouterr().out
  for expected in (
    r'studyforrest 1.1.0, prepared, sha256 \w{16}, recomputed: unchanged',
    r'licence: CC0',
    r'split all: 32 examples, 8 groups, 8 items',
    r'audio \[T, 2\] at 25 Hz: -\d.* to \d.*, present in 100.0%, 0.0% of frames masked, 25 to 25 frames, median 25',
    r'valence: -\d.* to \d',
    r'emotion: none or tie \d+, [A-Z]+ \d+',
    r'votes: ADMIRATION \d+',
    r'ratings: -1 to 1, 12 raters; share of the time rated: av1o01 \d+.\d%',
    r'agreement in arousal: 1[012] raters, mean pairwise r -?0.\d\d, Krippendorff.* over 32 frames; ICC\(2,1\) ',
    r'folds: 5 by group, examples \(groups\) .*; no group in two',
  ):
    assert re.search(expected, out), expected
  assert doctor.main(['studyforrest', f'--data_dir={tmp_path}', '--folds=9']) == 2
  assert '8 groups cannot fill 9 folds' in capsys.readouterr().err


def test_doctor_of_a_twin_says_synthetic(monkeypatch, capsys):
  twins = opening.names(opening.twins)
  assert doctor.main([twins[0], '--check']) == 0
  assert re.match(rf'{twins[0]} .*, synthetic: \d+ examples', capsys.readouterr().out)


def _flip(path):
  data = bytearray(path.read_bytes())
  data[data.index(b'clip07')] ^= 1
  path.write_bytes(data)


def _reorder(folder):
  """Two shards of one size change places: every record is sound, the corpus is not what was written."""
  a, b = (folder / f'pyfeat_faces-all.array_record-0000{i}' for i in (0, 1))
  one, two = a.read_bytes(), b.read_bytes()
  a.write_bytes(two)
  b.write_bytes(one)


def _edit(folder):
  path = folder / 'affectjax.json'
  manifest = json.loads(path.read_text())
  manifest['splits']['all']['range']['valence'][1] = 0.5
  path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
  'damage, message',
  [
    (lambda d: _flip(d / 'pyfeat_faces-all.array_record-00001'), 'pyfeat_faces-all.array_record-00001: damaged'),
    (lambda d: os.truncate(d / 'pyfeat_faces-all.array_record-00000', 100), 'array_record-00000: 100 bytes, expected'),
    (_reorder, "sha256 of all is"),
    (_edit, 'range of all is'),
    (lambda d: (d / 'affectjax.json').write_text('{"splits"'), 'affectjax.json: missing or damaged'),
  ],
)  # fmt: skip
def test_doctor_finds_damage(tmp_path, monkeypatch, damage, message, capsys):
  monkeypatch.setattr(shards, 'SHARD_EXAMPLES', 5)
  source = miniature.pyfeat(tmp_path / 'source', (3,) * 10)
  assert prepare.main(_arguments(source, tmp_path / 'data')) == 0
  damage(tmp_path / 'data' / 'pyfeat_faces' / '1.0.0')
  capsys.readouterr()
  for flags in ([], ['--check']):
    assert doctor.main(['pyfeat_faces', f'--data_dir={tmp_path / "data"}', *flags]) == 2
    out, err = capsys.readouterr()
    assert message in err and err.count('\n') == 1 and 'prepare' in err and not out


USAGE = {
  'nothing': ([], 'which corpus? there is: '),
  'unknown corpus': (['nope'], "unknown corpus 'nope'; there is: "),
  'unknown flag': (['pyfeat_faces', '--nope=1'], 'unrecognized arguments: --nope=1'),
  'extra argument': (['pyfeat_faces', 'more'], 'unrecognized arguments: more'),
  'shortened flag': (['pyfeat_faces', '--data=x'], 'unrecognized arguments: --data=x'),
}
ONLY_PREPARE = {
  'no source': (['pyfeat_faces', '--data_dir=x'], '--source is missing'),
  'no data_dir': (['pyfeat_faces', '--source=x'], '--data_dir is missing'),
  'no such source': (['pyfeat_faces', '--source=/nowhere', '--data_dir=x'], '/nowhere: no such folder'),
  'policy': (['pyfeat_faces', '--source=.', '--data_dir=x', '--nonfinite=no'], "'no'; there is: drop, error, mask"),
  'option': (['studyforrest', '--source=.', '--data_dir=x', '--option=a=b'], "'a'; there is: audio"),
  'half an option': (['studyforrest', '--source=.', '--data_dir=x', '--option=a'], 'expected --option=key=value'),
  'option twice': (['studyforrest', '--source=.', '--data_dir=x', '--option=a=1', '--option=a=2'], 'give it once'),
  'workers': (['pyfeat_faces', '--workers=many'], "invalid int value: 'many'"),
}
ONLY_DOCTOR = {
  'not prepared': (['pyfeat_faces', '--data_dir=/nowhere'], 'run: python -m affectjax.prepare pyfeat_faces --source='),
  'no twin': (['studyforrest'], 'studyforrest has no synthetic twin'),
  'folds': (['pyfeat_faces', '--folds=many'], "invalid int value: 'many'"),
}


@pytest.mark.parametrize(
  'main, case',
  [(prepare.main, c) for c in (*USAGE, *ONLY_PREPARE)] + [(doctor.main, c) for c in (*USAGE, *ONLY_DOCTOR)],
)
def test_wrong_usage_is_one_line_and_status_2(main, case, capsys, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  arguments, message = {**USAGE, **(ONLY_PREPARE if main is prepare.main else ONLY_DOCTOR)}[case]
  assert main(arguments) == 2
  out, err = capsys.readouterr()
  assert message in err and err.startswith('error: ') and err.count('\n') == 1 and not out
  assert not list(tmp_path.iterdir())
