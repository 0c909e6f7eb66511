"""Reads pickles that hold arrays and plain containers, and nothing that could run.

A pickle is a program: it names functions and has them called. Here every name is looked up in a table of a few
stand-ins, which rebuild NumPy arrays, dtypes and scalars (pickled by NumPy 1 or 2, by Python 2 or 3), sets and complex
numbers. All other names are refused before anything is imported. Stand-ins are no functions and no classes: a pickle
cannot call them otherwise than they are meant, nor set attributes of them. What is left besides are dicts, lists,
tuples, strings, bytes, numbers, booleans and None.
"""

import io
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError

_DTYPE = re.compile(r'[<>=|]?(?:[?biufcSUVO]\d*|bool|object|(?:u?int|float|complex)\d+)')
# what the unpickler and NumPy raise for a stream that makes no sense
_BROKEN = (pickle.UnpicklingError, ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, OverflowError,
           MemoryError, ImportError, RecursionError, NotImplementedError, SystemError)  # fmt: skip


class _StandIn:
  """Called in place of what a pickle names."""

  __slots__ = ('_call',)

  def __init__(self, call: Callable[..., Any]):
    object.__setattr__(self, '_call', call)

  def __call__(self, *args: Any) -> Any:
    return self._call(*args)

  def __setattr__(self, name: str, value: Any) -> None:
    raise pickle.UnpicklingError(f'the pickle would set {name}')


def _no_call(*args: Any) -> Any:
  raise pickle.UnpicklingError('an array made otherwise than NumPy pickles it')


_NDARRAY = _StandIn(_no_call)


def _reconstruct(kind: Any, shape: Any, dtype: Any) -> np.ndarray:
  if kind is not _NDARRAY or shape != (0,):
    raise pickle.UnpicklingError('an array made otherwise than NumPy pickles it')
  return np.ndarray(0, np.int8)  # its state follows


def _dtype(name: Any, align: Any = False, copy: Any = True) -> np.dtype:
  if not isinstance(name, str) or not _DTYPE.fullmatch(name):
    raise pickle.UnpicklingError(f'a dtype {str(name)[:40]!r}')
  return np.dtype(name, bool(align), bool(copy))


def _plain(dtype: Any) -> np.dtype:
  if not isinstance(dtype, np.dtype) or dtype.hasobject:
    raise pickle.UnpicklingError('a scalar or buffer of objects')
  return dtype


def _scalar(dtype: Any, content: Any) -> Any:
  content = content.encode('latin1') if isinstance(content, str) else content  # pickled by Python 2
  return np.frombuffer(content, _plain(dtype), 1)[0]


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
  return np.frombuffer(buffer, _plain(dtype)).reshape(shape, order=order)


def _encode(text: Any, codec: Any = 'latin1') -> bytes:
  if not isinstance(text, str) or codec not in ('latin1', 'latin-1'):
    raise pickle.UnpicklingError(f'bytes in {str(codec)[:40]!r}')
  return text.encode('latin1')


def _empty(*args: Any) -> bytes:
  if args:
    raise pickle.UnpicklingError('bytes made by a call')
  return b''


_TABLE = {
  ('numpy', 'ndarray'): _NDARRAY,
  ('numpy', 'dtype'): _StandIn(_dtype),
  **{(f'numpy.{core}.multiarray', '_reconstruct'): _StandIn(_reconstruct) for core in ('core', '_core')},
  **{(f'numpy.{core}.multiarray', 'scalar'): _StandIn(_scalar) for core in ('core', '_core')},
  **{(f'numpy.{core}.numeric', '_frombuffer'): _StandIn(_frombuffer) for core in ('core', '_core')},
  ('_codecs', 'encode'): _StandIn(_encode),
  **{
    (module, name): _StandIn(call)
    for module in ('builtins', '__builtin__')
    for name, call in (('set', set), ('frozenset', frozenset), ('complex', complex), ('bytes', _empty))
  },
}


class _Unpickler(pickle.Unpickler):
  def __init__(self, stream: io.BufferedIOBase, path: Path):
    super().__init__(stream, fix_imports=False, encoding='latin1')
    self._path = path

  def find_class(self, module: str, name: str) -> Any:
    try:
      return _TABLE[module, name]
    except KeyError:
      raise UserError(
        f'{self._path}: the pickle names {f"{module}.{name}"[:120]!r}, expected arrays, dicts, lists, tuples, sets, '
        'strings and numbers only; nothing was run. Save it again as such, from a copy you trust'
      ) from None

  def persistent_load(self, pid: Any) -> Any:
    raise pickle.UnpicklingError('a persistent id')


def load(path: Path) -> Any:
  """What a pickle holds.

  Args:
    path: the file; text in it that Python 2 wrote is read as Latin-1.

  Raises:
    UserError: in one line: no such file, damaged, or of something else than arrays and plain containers, in which case
      the line names it and nothing of the pickle was run.
  """
  path = Path(path)
  if not path.is_file():
    raise UserError(f'{path}: no such file' if not path.exists() else f'{path}: a folder, expected a file')
  try:
    with open(path, 'rb') as stream:
      return _Unpickler(stream, path).load()
  except UserError:
    raise
  except (*_BROKEN, OSError) as e:
    reason = str(e)[:120] or type(e).__name__
    raise UserError(f'{path}: cannot be read as a pickle of arrays (damaged or of another kind): {reason}') from e
