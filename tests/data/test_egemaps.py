import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import egemaps, sound
from tests.helpers import own_miniature as miniature
from tests.helpers import rated
from tests.helpers.shared import ROOT, pack

pytest.importorskip('opensmile', reason='extra `extract` is not installed')


def _wavs(folder, **how):
  return {p.stem: p for p in sorted(miniature.sound(folder, **how).glob('*.wav'))}


def _real(name: str, paths) -> int:
  """Compares descriptors of wavs with those of a pack, rounded as they are there; returns the number of frames."""
  with np.load(pack(name) / 'egemaps_lld_10ms.npz') as z:
    rows = {file: i for i, file in enumerate(z['files'].tolist())}
    offsets, lld = z['offsets'], z['lld']
    assert z['lld_names'].tolist() == list(egemaps.COLUMNS)
  total = 0
  for path in paths:
    egemaps.check(path)
    x = egemaps.describe(sound.read(path, egemaps.SAMPLE_RATE))
    i = rows[path.name]
    np.testing.assert_array_equal(x.astype(np.float16), lld[offsets[i] : offsets[i + 1]], err_msg=path.name)
    total += len(x)
  return total


def test_real_recordings_of_ravdess_are_described_as_in_the_pack():
  """48 kHz, so that mixing and resampling are those of the pack as well."""
  paths = sorted((pack('ravdess') / 'wav').glob('*.wav'))
  assert len(paths) == 24 and _real('ravdess', paths) > 7000


def test_some_real_recordings_of_emodb_are_described_as_in_the_pack():
  _real('emodb', sorted((pack('emodb') / 'wav').glob('*.wav'))[::30])


@pytest.mark.slow
def test_all_real_recordings_of_emodb_are_described_as_in_the_pack():
  assert _real('emodb', sorted((pack('emodb') / 'wav').glob('*.wav'))) == 93847


def test_shape_loudness_and_what_is_too_short(tmp_path):
  assert egemaps.describe(np.zeros(960, np.float32)).shape == (2, 25)
  assert egemaps.describe(np.zeros(16000, np.float32)).shape == (96, 25)
  x = rated.sound(0.5, 0).astype(np.float32)
  loud = egemaps.describe(1.2 * x / np.abs(x).max())  # it would come out at the other end of 16 bits
  np.testing.assert_allclose(loud[:, 0], egemaps.describe(x / np.abs(x).max())[:, 0], rtol=0.2)
  rated.wav(tmp_path / 'x.wav', rated.sound(0.0599, 0))
  with pytest.raises(UserError, match=r'x\.wav: 0\.060 s of sound, expected 0\.06 s or more'):
    egemaps.check(tmp_path / 'x.wav')
  rated.wav(tmp_path / 'x.wav', rated.sound(0.06, 0))
  egemaps.check(tmp_path / 'x.wav')


@pytest.mark.slow
def test_one_process_and_two_and_again(tmp_path):
  wavs, seen = _wavs(tmp_path / 'wav'), []
  a = egemaps.extract(wavs, tmp_path / 'a', progress=lambda *x: seen.append(x))
  b = egemaps.extract(wavs, tmp_path / 'b', workers=2)
  assert a.made == b.made == 12 and not a.faults and seen == [(i, 12) for i in range(13)]
  for name in wavs:
    np.testing.assert_array_equal(np.load(a.paths[name]), np.load(b.paths[name]))
    x = egemaps.describe(sound.read(wavs[name], 16000))
    np.testing.assert_array_equal(np.load(a.paths[name]), x)
  assert egemaps.extract(wavs, tmp_path / 'a') == (a.paths, [], 0)


def test_only_what_changed_is_described_again(tmp_path):
  wavs = _wavs(tmp_path / 'wav')
  a = egemaps.extract(wavs, tmp_path / 'a')
  before = {name: p.stat().st_ino for name, p in a.paths.items()}
  rated.wav(wavs['clip03'], rated.sound(0.4, 9))
  a.paths['clip05'].write_bytes(a.paths['clip05'].read_bytes()[:-4])
  a.paths['clip07'].unlink()
  with open(tmp_path / 'a' / 'notes.jsonl', 'a') as f:
    f.write('{"id": "clip08", "siz')  # cut off
  assert egemaps.extract(wavs, tmp_path / 'a').made == 3
  assert {name for name, p in a.paths.items() if p.stat().st_ino != before[name]} >= {'clip03', 'clip05'}
  assert len(np.load(a.paths['clip03'])) == 36
  assert egemaps.extract(wavs, tmp_path / 'a').made == 0


def test_frames_of_another_version_are_made_again_and_other_folders_left_alone(tmp_path):
  wavs = _wavs(tmp_path / 'wav')
  egemaps.extract(wavs, tmp_path / 'a')
  notes = tmp_path / 'a' / 'notes.jsonl'
  head, *lines = notes.read_text().splitlines()
  assert json.loads(head)['opensmile'] and len(lines) == 12
  notes.write_text('\n'.join([head.replace('openSMILE', 'openSMILE older'), *lines]))
  assert egemaps.extract(wavs, tmp_path / 'a').made == 12
  notes.unlink()
  with pytest.raises(UserError, match='a: holds other things than frames of ours'):
    egemaps.extract(wavs, tmp_path / 'a')
  assert len(list((tmp_path / 'a').glob('*.npy'))) == 12


def test_an_interruption_waits_for_the_file(monkeypatch):
  """Otherwise it would be swallowed where openSMILE hands a frame over, and that frame with it."""
  x = rated.sound(0.5, 0).astype(np.float32)
  real = egemaps._smile()

  def interrupted(*args):
    os.kill(os.getpid(), signal.SIGINT)
    seen.append(real(*args))
    return seen[-1]

  seen, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)
  monkeypatch.setattr(egemaps, '_smile', lambda: interrupted)
  try:
    with pytest.raises(KeyboardInterrupt):
      egemaps.describe(x)
    assert seen[0].shape == (1, 25, 46) and signal.getsignal(signal.SIGINT) is signal.default_int_handler
  finally:
    signal.signal(signal.SIGINT, before)


def test_a_lost_frame_is_noticed(monkeypatch):
  real = egemaps._smile()
  monkeypatch.setattr(egemaps, '_smile', lambda: lambda *args: real(*args)[:, :, 1:])
  with pytest.raises(UserError, match='openSMILE gave 45 frames of 8000 samples, expected 46'):
    egemaps.describe(np.zeros(8000, np.float32))


@pytest.mark.parametrize('workers', [1, 2])
def test_a_damaged_wav_does_not_stop_the_others(tmp_path, workers):
  wavs = _wavs(tmp_path / 'wav')
  wavs['clip02'].write_bytes(wavs['clip02'].read_bytes()[:-100])
  rated.wav(wavs['clip09'], np.full(2000, np.inf), bits=-32)
  extracted = egemaps.extract(wavs, tmp_path / 'a', workers=workers)
  assert extracted.made == 10 and len(extracted.faults) == 2
  assert 'clip02.wav: ' in extracted.faults[0] and 'cut off' in extracted.faults[0]
  assert 'clip09.wav: a sample is inf' in extracted.faults[1]
  assert sorted(p.stem for p in (tmp_path / 'a').glob('*.npy')) == sorted(wavs.keys() - {'clip02', 'clip09'})


def test_without_opensmile_one_line_and_nothing_begun(tmp_path, monkeypatch):
  wavs = _wavs(tmp_path / 'wav')
  monkeypatch.setitem(sys.modules, 'opensmile', None)
  egemaps._smile.cache_clear()
  with pytest.raises(UserError, match=r"pip install 'affectjax\[extract\]' \(free for research, not for commercial"):
    egemaps.extract(wavs, tmp_path / 'a')
  assert not (tmp_path / 'a').exists()
  egemaps._smile.cache_clear()


# extracts with two processes and is killed at the fifth file
KILLED = """
import os, pathlib, signal, sys
from affectjax.data import egemaps
if __name__ == '__main__':
  wavs = {p.stem: p for p in sorted(pathlib.Path(sys.argv[1]).glob('*.wav'))}
  def progress(done, total):
    if done == 5:
      import multiprocessing
      print(*(c.pid for c in multiprocessing.active_children()), flush=True)
      os.kill(os.getpid(), signal.SIGKILL)
  egemaps.extract(wavs, pathlib.Path(sys.argv[2]), workers=int(sys.argv[3]), progress=progress)
"""


@pytest.mark.parametrize('workers', [pytest.param(1, marks=pytest.mark.slow), 2])
def test_killed_and_continued(tmp_path, workers):
  wavs = _wavs(tmp_path / 'wav')
  (tmp_path / 'killed.py').write_text(KILLED)
  command = [sys.executable, str(tmp_path / 'killed.py'), str(tmp_path / 'wav'), str(tmp_path / 'a'), str(workers)]
  done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
  assert done.returncode == -signal.SIGKILL, done.stderr
  children = [int(pid) for pid in done.stdout.split()]
  assert len(children) == (workers if workers > 1 else 0)
  deadline = time.monotonic() + 20
  while any(map(_alive, children)):
    assert time.monotonic() < deadline, 'processes outlive the one they work for'
    time.sleep(0.05)
  assert egemaps.extract(wavs, tmp_path / 'a').made == 7
  whole = egemaps.extract(wavs, tmp_path / 'b')
  for path in whole.paths.values():
    assert path.read_bytes() == (tmp_path / 'a' / path.name).read_bytes()
  assert not [p for p in (tmp_path / 'a').iterdir() if p.suffix == '.tmp']


def _alive(pid: int) -> bool:
  try:
    with open(f'/proc/{pid}/stat') as f:
      return f.read().rpartition(')')[2].split()[0] != 'Z'
  except OSError:
    return False
