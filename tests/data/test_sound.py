import struct

import numpy as np
import pytest
from scipy import signal
from scipy.io import wavfile

from affectjax.common.errors import UserError
from affectjax.data import sound
from tests.helpers import rated


@pytest.mark.parametrize('bits', [16, 24, 32, -32])
@pytest.mark.parametrize('channels', [1, 2])
def test_kinds_of_samples(tmp_path, bits, channels):
  x = rated.sound(0.1, 1).reshape(-1, channels)
  rated.wav(tmp_path / 'x.wav', x.ravel(), bits=bits, channels=channels)
  got = sound.read(tmp_path / 'x.wav', 16000)
  assert got.dtype == np.float32 and got.shape == (1600 // channels,)
  np.testing.assert_allclose(got, x.mean(1), atol=2.0**-15 if bits == 16 else 1e-6)
  head = sound.header(tmp_path / 'x.wav')
  assert (head.samples, head.channels, head.rate) == (1600 // channels, channels, 16000)


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'int32', 'float32', 'float64'])
def test_agrees_with_scipy(tmp_path, dtype):
  x = rated.sound(0.05, 2)
  if dtype.startswith('float'):
    written, wanted = x.astype(dtype), x
  else:
    info = np.iinfo(dtype)
    scale = 2.0 ** (info.bits - 1)
    written = np.rint(x * (scale - 1) + (128 if dtype == 'uint8' else 0)).astype(dtype)
    wanted = (written.astype(float) - (128 if dtype == 'uint8' else 0)) / scale
  wavfile.write(tmp_path / 'x.wav', 16000, written)
  np.testing.assert_allclose(sound.read(tmp_path / 'x.wav', 16000), wanted, atol=1e-7)


def test_resampled_by_a_polyphase_filter(tmp_path):
  t = np.arange(4800) / 48000
  rated.wav(tmp_path / 'x.wav', 0.5 * np.sin(2 * np.pi * 440 * t), rate=48000, bits=-32)
  got = sound.read(tmp_path / 'x.wav', 16000)
  assert len(got) == 1600
  np.testing.assert_allclose(got[200:-200], 0.5 * np.sin(2 * np.pi * 440 * t[::3])[200:-200], atol=2e-3)
  x = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
  np.testing.assert_array_equal(got, signal.resample_poly(x, 1, 3))


def _edit(path, at, content):
  raw = bytearray(path.read_bytes())
  raw[at : at + len(content)] = content
  path.write_bytes(raw)


@pytest.mark.parametrize(
  'damage, said',
  [
    (lambda p: p.unlink(), 'no such file'),
    (lambda p: p.write_bytes(b''), 'does not begin as one does'),
    (lambda p: p.write_bytes(b'ID3' + bytes(200)), 'does not begin as one does'),
    (lambda p: p.write_bytes(p.read_bytes()[:-10]), 'it is cut off: 3190 of 3200 bytes of sound'),
    (lambda p: p.write_bytes(p.read_bytes()[:40]), 'no sound found in it'),
    (lambda p: _edit(p, 20, struct.pack('<H', 85)), 'its format is format 85, 16 bit, 1 channels, 16000 Hz'),
    (lambda p: _edit(p, 34, struct.pack('<H', 12)), '12 bit'),
    (lambda p: _edit(p, 22, struct.pack('<H', 0)), '0 channels'),
    (lambda p: _edit(p, 24, struct.pack('<I', 0)), '0 Hz'),
    (lambda p: _edit(p, 12, b'fmx '), 'its format is missing'),
    (lambda p: (p.unlink(), p.mkdir()), 'Is a directory'),
    (lambda p: rated.wav(p, np.zeros(0)), 'it holds no sound'),
    (lambda p: rated.wav(p, np.array([0.0, np.nan]), bits=-32), 'a sample is nan, expected sound within [-1, 1]'),
    (lambda p: rated.wav(p, np.array([0.0, 3e4]), bits=-32), 'a sample is 30000'),
  ],
)
def test_damage_is_one_line(tmp_path, damage, said):
  path = tmp_path / 'x.wav'
  rated.wav(path, rated.sound(0.1, 0))
  damage(path)
  with pytest.raises(UserError) as refusal:
    sound.read(path, 16000)
  assert str(refusal.value).startswith(f'{path}: ') and said in str(refusal.value)
