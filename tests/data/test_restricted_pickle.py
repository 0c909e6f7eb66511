"""The restricted unpickler: arrays and plain containers come through, nothing else does, and nothing is run."""

import builtins
import collections
import datetime
import functools
import io
import os
import pathlib
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import restricted_pickle


class Call:
  """Pickled as a call of `function` with `args`."""

  def __init__(self, function, *args):
    self.function, self.args = function, args

  def __reduce__(self):
    return self.function, self.args


def glob(module: str, name: str, args: str = '') -> bytes:
  """A pickle, protocol 0, that calls module.name with a tuple of the pickled `args`."""
  return f'c{module}\n{name}\n({args}tR.'.encode()


def stacked(module: str, name: str) -> bytes:
  """A pickle, protocol 4, that calls module.name with a command; the name may have dots."""
  text = lambda s: b'\x8c' + bytes([len(s)]) + s.encode()
  return b'\x80\x04' + text(module) + text(name) + b'\x93' + text('touch unpickled') + b'\x85R.'


PLAIN = [
  {'a': [1, -2, 2**80, 0.5, True, None, 'ä', b'\xff', b''], 'b': ({1, 2}, frozenset('x'), 1 + 2j)},
  np.arange(6, dtype=np.float32).reshape(2, 3),
  np.asfortranarray(np.arange(6.0).reshape(2, 3)),
  np.zeros((0, 4)),
  np.array(3.5),
  np.array(['a', 'bc']),
  np.array([b'a', b'bc']),
  np.array(['x', None, [1, np.arange(2)]], object),
  np.array([True, False]),
  np.arange(3, dtype='>i4'),
  np.float32(2.5),
  np.int64(-3),
  np.str_('word'),
  [np.float64(0.1), np.bool_(True)],
]
COMMAND = "S'touch unpickled'\n"
WORD = "S'x'\n"
HOSTILE = {  # name in the refusal -> the pickle
  'posix.system': pickle.dumps(Call(os.system, 'touch unpickled')),
  'os.system': glob('os', 'system', COMMAND),
  'builtins.eval': pickle.dumps(Call(builtins.eval, "open('unpickled', 'w')")),
  'builtins.exec': pickle.dumps(Call(builtins.exec, "open('unpickled', 'w')")),
  '__builtin__.eval': pickle.dumps(Call(builtins.eval, "open('unpickled', 'w')"), 2),
  'builtins.getattr': pickle.dumps(Call(builtins.getattr, 'x', 'upper')),
  'builtins.__import__': pickle.dumps(Call(builtins.__import__, 'os')),
  'builtins.open': glob('builtins', 'open', "S'unpickled'\nS'w'\n"),
  'io.open': pickle.dumps(Call(io.open, 'unpickled', 'w')),
  'subprocess.Popen': pickle.dumps(Call(subprocess.Popen, ['touch', 'unpickled'])),
  'functools.partial': pickle.dumps(functools.partial(os.system, 'touch unpickled')),
  'collections.OrderedDict': pickle.dumps(collections.OrderedDict()),
  'datetime.date': pickle.dumps(datetime.date(2020, 1, 1)),
  'pathlib.PurePosixPath': pickle.dumps(pathlib.PurePosixPath('x')),
  '_pickle.loads': pickle.dumps(Call(pickle.loads, pickle.dumps(Call(os.system, 'touch unpickled')))),
  'numpy.testing._private.utils.runstring': glob('numpy.testing._private.utils', 'runstring', COMMAND + '}'),
  'numpy.testing.rundocs': glob('numpy.testing', 'rundocs', WORD),
  'numpy.load': glob('numpy', 'load', WORD),
  'numpy.fromfile': glob('numpy', 'fromfile', WORD),
  'numpy.memmap': glob('numpy', 'memmap', WORD),
  'numpy.core.multiarray.fromfile': glob('numpy.core.multiarray', 'fromfile', WORD),
  'numpy._core.multiarray.array': glob('numpy._core.multiarray', 'array', WORD),
  'numpy.f2py.compile': glob('numpy.f2py', 'compile', WORD),
  'numpy.distutils.exec_command.exec_command': glob('numpy.distutils.exec_command', 'exec_command', COMMAND),
  'numpy.ndarray.tofile': stacked('numpy', 'ndarray.tofile'),
  'numpy._core.multiarray.os.system': stacked('numpy._core.multiarray', 'os.system'),
  'numpy.core.multiarray._reconstruct.__globals__': stacked('numpy.core.multiarray', '_reconstruct.__globals__'),
  'builtins.set.__init__': stacked('builtins', 'set.__init__'),
  'affectjax.common.files.write_text': glob('affectjax.common.files', 'write_text', WORD),
  'a_module_that_is_not_there.x': glob('a_module_that_is_not_there', 'x', WORD),
}
BROKEN = {  # what goes wrong -> the pickle
  'empty': b'',
  'no pickle': b'this is no pickle',
  'cut': pickle.dumps(PLAIN[1])[:-20],
  'an array by its class': glob('numpy', 'ndarray', '(I99999999\nI99999999\nt'),
  'a new object of a stand-in': b'\x80\x02cnumpy\nndarray\n)\x81.',
  'attributes of a stand-in': b"\x80\x02cnumpy\ndtype\n}S'_call'\nN\x86b.",
  'state of a stand-in': b"\x80\x02c_codecs\nencode\nN}S'_call'\nN\x73\x86b.",
  'a dtype of a record with code': glob('numpy', 'dtype', "S'O,__import__'\n"),
  'a huge shape': glob('numpy._core.multiarray', '_reconstruct', "cnumpy\nndarray\n(I99999999999\ntS'b'\n"),
  'reconstruct another class': glob('numpy.core.multiarray', '_reconstruct', "cbuiltins\nset\n(I0\ntS'b'\n"),
  'a scalar of objects': glob('numpy.core.multiarray', 'scalar', "cnumpy\ndtype\n(S'O'\ntRS'x'\n"),
  'bytes of a codec': glob('_codecs', 'encode', "S'x'\nS'zlib_codec'\n"),
  'many bytes': glob('builtins', 'bytes', 'I99999999999\n'),
  'a persistent id': b'Px\n.',
  'an unknown extension': b'\x82\x01.',
  'a state that is none': b"\x80\x02}S'x'\nb.",
  'a frame longer than the file': b'\x80\x04\x95' + struct.pack('<Q', 2**40) + b'N.',
}


def same(a, b) -> bool:
  if isinstance(b, np.ndarray):
    return isinstance(a, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and all(
      map(same, a.ravel().tolist(), b.ravel().tolist())
    )  # fmt: skip
  if isinstance(b, (list, tuple)):
    return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
  if isinstance(b, dict):
    return a.keys() == b.keys() and all(same(a[k], b[k]) for k in b)
  return type(a) is type(b) and a == b


@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
@pytest.mark.parametrize('value', PLAIN, ids=lambda v: f'{type(v).__name__} {str(v)[:20]}')
def test_arrays_and_plain_containers_come_through(tmp_path, value, protocol):
  path = tmp_path / 'x.pkl'
  path.write_bytes(pickle.dumps(value, protocol))
  assert same(restricted_pickle.load(path), pickle.loads(path.read_bytes()))


def test_what_an_older_numpy_wrote_comes_through(tmp_path):
  path = tmp_path / 'x.pkl'
  path.write_bytes(pickle.dumps({'x': PLAIN[1]}, 2).replace(b'numpy._core', b'numpy.core'))
  np.testing.assert_array_equal(restricted_pickle.load(path)['x'], PLAIN[1])


def test_what_python_2_wrote_comes_through(tmp_path):
  raw = np.arange(3, dtype='<f4').tobytes()
  state = b"(I1\n(I3\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU" + bytes([len(raw)]) + raw
  path = tmp_path / 'x.pkl'
  path.write_bytes(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR" + state + b'tb.')
  np.testing.assert_array_equal(restricted_pickle.load(path), np.arange(3, dtype=np.float32))


@pytest.mark.parametrize('name', HOSTILE)
@pytest.mark.parametrize('inside', [False, True], ids=['alone', 'after an array'])
def test_anything_else_is_refused_in_one_line_and_nothing_is_run(tmp_path, monkeypatch, name, inside):
  monkeypatch.chdir(tmp_path)
  content = HOSTILE[name]
  if inside:
    content = pickle.dumps(PLAIN[1], 2)[:-1] + b'0' + content  # an array, dropped
  path = tmp_path / 'x.pkl'
  path.write_bytes(content)
  before = set(sys.modules)
  with pytest.raises(UserError) as refusal:
    restricted_pickle.load(path)
  line = str(refusal.value)
  assert line.startswith(f'{path}: the pickle names {name!r}, expected arrays') and '\n' not in line
  assert not (tmp_path / 'unpickled').exists()
  assert set(sys.modules) == before, 'nothing is imported'


@pytest.mark.parametrize('what', BROKEN)
def test_a_stream_that_makes_no_sense_is_refused_in_one_line(tmp_path, what):
  path = tmp_path / 'x.pkl'
  path.write_bytes(BROKEN[what])
  with pytest.raises(UserError) as refusal:
    restricted_pickle.load(path)
  assert str(refusal.value).startswith(f'{path}: cannot be read as a pickle of arrays')
  assert '\n' not in str(refusal.value)


def test_stand_ins_stay_as_they_are_and_cannot_be_changed():
  for stand_in in restricted_pickle._TABLE.values():
    assert not hasattr(stand_in, '__dict__') and not isinstance(stand_in, type)
    with pytest.raises(pickle.UnpicklingError):
      stand_in._call = print


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
  with pytest.raises(UserError, match='no such file'):
    restricted_pickle.load(tmp_path / 'x.pkl')
  with pytest.raises(UserError, match='a folder, expected a file'):
    restricted_pickle.load(tmp_path)
