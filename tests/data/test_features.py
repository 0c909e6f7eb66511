import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import features


def _write(path, x, **kwargs):
  if path.suffix == '.npy':
    np.save(path, x, **kwargs)
  elif path.suffix == '.npz':
    np.savez(path, x=x)
  else:
    path.write_text(
      ','.join(f'f{i}' for i in range(x.shape[1])) + '\n' + '\n'.join(','.join(map(repr, r)) for r in x.tolist())
    )
  return path


@pytest.mark.parametrize('suffix', features.SUFFIXES)
def test_every_kind_gives_the_same_float32(tmp_path, suffix):
  x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
  got = features.load_array(_write(tmp_path / f'a{suffix}', x), width=3, frames=7)
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, x)
  assert features.find(tmp_path, 'a') == tmp_path / f'a{suffix}'


def test_a_single_vector_is_one_frame(tmp_path):
  assert features.load_array(_write(tmp_path / 'a.npy', np.arange(4))).shape == (1, 4)
  assert features.load_array(_write(tmp_path / 'b.csv', np.array([[1.0], [2.0]]))).shape == (2, 1)


def test_nonfinite_values_pass_for_the_policy_to_decide(tmp_path):
  x = np.array([[np.nan, 1.0], [np.inf, 2.0]])
  for suffix in features.SUFFIXES:
    np.testing.assert_array_equal(features.load_array(_write(tmp_path / f'a{suffix}', x)), x.astype(np.float32))


def test_named_arrays_of_an_npz(tmp_path):
  np.savez(tmp_path / 'a.npz', u=np.ones((2, 3)), v=np.zeros((2, 3)))
  assert features.load_array(tmp_path / 'a.npz', name='v').sum() == 0
  with pytest.raises(UserError, match='2 arrays'):
    features.load_array(tmp_path / 'a.npz')
  with pytest.raises(UserError, match="no array 'w'; there is: u, v"):
    features.load_array(tmp_path / 'a.npz', name='w')


def _truncate(path):
  path.write_bytes(path.read_bytes()[:-9])
  return path


BAD = {
  'truncated npy': (lambda d: _truncate(_write(d / 'a.npy', np.ones((5, 3)))), 'cannot be read'),
  'truncated npz': (lambda d: _truncate(_write(d / 'a.npz', np.ones((5, 3)))), 'cannot be read'),
  'empty npy': (lambda d: _text(d / 'a.npy', ''), 'cannot be read'),
  'empty csv': (lambda d: _text(d / 'a.csv', '\n'), 'empty file'),
  'text as npz': (lambda d: _text(d / 'a.npz', 'hello'), 'cannot be read'),
  'text as npy': (lambda d: _text(d / 'a.npy', 'hello'), 'cannot be read'),
  'trailing bytes': (lambda d: _append(_write(d / 'a.npy', np.ones((5, 3)))), 'after the end'),
  'object array': (lambda d: _write(d / 'a.npy', np.array([{}]), allow_pickle=True), 'cannot be read'),
  'object array in npz': (lambda d: _write(d / 'a.npz', np.array([{}])), 'cannot be read'),
  'strings': (lambda d: _write(d / 'a.npy', np.array([['x']])), 'dtype <U1'),
  'complex': (lambda d: _write(d / 'a.npy', np.ones((2, 3), complex)), 'dtype complex128'),
  'scalar': (lambda d: _write(d / 'a.npy', np.float32(3)), r'shape \[\]'),
  'three axes': (lambda d: _write(d / 'a.npy', np.ones((2, 3, 4))), r'shape \[2, 3, 4\]'),
  'no frames': (lambda d: _write(d / 'a.npy', np.ones((0, 3))), 'empty array'),
  'no features': (lambda d: _write(d / 'a.npy', np.ones((3, 0))), 'empty array'),
  'beyond float32': (lambda d: _write(d / 'a.npy', np.full((5, 3), 1e300)), 'beyond the range'),
  'narrow': (lambda d: _write(d / 'a.npy', np.ones((5, 2))), '2 features per frame, expected 3'),
  'short': (lambda d: _write(d / 'a.npy', np.ones((4, 3))), '4 frames, expected 5'),
  'header only': (lambda d: _text(d / 'a.csv', 'a,b,c\n'), 'no rows'),
  'no header': (lambda d: _text(d / 'a.csv', '1,2,3\n4,5,6\n'), 'line 1 holds numbers'),
  'blank header': (lambda d: _text(d / 'a.csv', 'a,,c\n4,5,6\n'), 'line 1 is no header'),
  'word in a cell': (lambda d: _text(d / 'a.csv', 'a,b,c\n1,2,3\n1,x,3\n'), "line 3, column 'b': 'x'"),
  'empty cell': (lambda d: _text(d / 'a.csv', 'a,b,c\n1,2,3\n1,,3\n'), "line 3, column 'b': ''"),
  'ragged row': (lambda d: _text(d / 'a.csv', 'a,b,c\n1,2,3\n1,2\n'), 'line 3 has 2 cells'),
  'blank line': (lambda d: _text(d / 'a.csv', 'a,b,c\n1,2,3\n\n1,2,3\n'), 'line 3 has 0 cells'),
  'latin-1': (lambda d: _bytes(d / 'a.csv', b'a,\xe4,c\n1,2,3\n'), 'UTF-8'),
  'unknown suffix': (lambda d: _text(d / 'a.mat', 'x'), 'unknown kind'),
  'missing': (lambda d: d / 'a.npy', 'no such file'),
  'folder': (lambda d: ((d / 'a.npy').mkdir(), d / 'a.npy')[1], 'a folder'),
}


def _text(path, text):
  path.write_text(text)
  return path


def _bytes(path, data):
  path.write_bytes(data)
  return path


def _append(path):
  return _bytes(path, path.read_bytes() + b'x')


@pytest.mark.parametrize('case', BAD)
def test_bad_files_are_one_line_naming_the_file(tmp_path, case):
  make, expected = BAD[case]
  path = make(tmp_path)
  with pytest.raises(UserError, match=expected) as e:
    features.load_array(path, width=3, frames=5)
  assert str(path) in str(e.value) and '\n' not in str(e.value)


def test_find_refuses_none_and_many(tmp_path):
  with pytest.raises(UserError, match="no feature file for 'a'"):
    features.find(tmp_path, 'a')
  _write(tmp_path / 'a.npy', np.ones(3))
  _write(tmp_path / 'a.npz', np.ones(3))
  with pytest.raises(UserError, match='2 feature files'):
    features.find(tmp_path, 'a')
