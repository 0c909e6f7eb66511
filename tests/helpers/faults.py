"""Faults of a source, and the proof that each is refused: in one line, by the store and by the command, nothing left.

A mutation is a function of the folder of a source; the functions in the first part make mutations.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.store import opening, preparing

Mutation = Callable[[Path], object]


class Bomb:
  """Leaves a file in the working directory when it is unpickled."""

  def __reduce__(self):
    return os.system, ('touch unpickled',)


BOMB = np.array([Bomb()] * 12, object)


def nothing(source: Path) -> None:
  """For faults of the options."""


def clear(source: Path) -> None:
  for p in sorted(source.rglob('*'), reverse=True):
    p.unlink() if p.is_file() else p.rmdir()


def then(*mutations: Mutation) -> Mutation:
  return lambda source: [m(source) for m in mutations]


def move(name: str, to: str) -> Mutation:
  return lambda source: (source / name).rename(source / to)


def remove(name: str) -> Mutation:
  return lambda source: (source / name).unlink()


def cut(name: str, end: int = 9) -> Mutation:
  return lambda source: (source / name).write_bytes((source / name).read_bytes()[:-end])


def text(name: str, content: str | bytes) -> Mutation:
  content = content if isinstance(content, bytes) else content.encode()
  return lambda source: (source / name).write_bytes(content)


def copy(name: str, to: str) -> Mutation:
  def f(source):
    (source / to).parent.mkdir(parents=True, exist_ok=True)
    (source / to).write_bytes((source / name).read_bytes())

  return f


def swap(name: str, *pairs: str) -> Mutation:
  """Replaces the first of each pair (old, new), which must be there."""

  def f(source):
    content = (source / name).read_text()
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
      assert old in content
      content = content.replace(old, new, 1)
    (source / name).write_text(content)

  return f


def npy(name: str, x: object) -> Mutation:
  return lambda source: np.save(source / name, np.asarray(x), allow_pickle=True)


def npz(name: str, **arrays: object) -> Mutation:
  return lambda source: np.savez(source / name, **arrays)


def value(name: str, at: object, x: float) -> Mutation:
  def f(source):
    array = np.load(source / name)
    array[at] = x
    np.save(source / name, array)

  return f


def lines(name: str, edit: Callable[[list[str]], object]) -> Mutation:
  """Edits the lines of a text file in place."""

  def f(source):
    path = source / name
    content = path.read_text().splitlines()
    edit(content)
    path.write_text('\n'.join(content) + '\n')

  return f


def row(name: str, at: int, content: str) -> Mutation:
  """Replaces line `at`, counted from 1."""
  return lines(name, lambda rows: rows.__setitem__(at - 1, content))


def cell(name: str, at: int, column: int, content: str) -> Mutation:
  """Replaces a cell of line `at`, counted from 1, of a table without commas in its cells."""

  def edit(rows):
    cells = rows[at - 1].split(',')
    cells[column] = content
    rows[at - 1] = ','.join(cells)

  return lines(name, edit)


def drop(name: str, start: int, stop: int | None = None) -> Mutation:
  """Removes the lines from `start`, counted from 1, to before `stop`."""
  return lines(name, lambda rows: rows.__delitem__(slice(start - 1, None if stop is None else stop - 1)))


def again(name: str, at: int) -> Mutation:
  """Puts a copy of line `at` at the end."""
  return lines(name, lambda rows: rows.append(rows[at - 1]))


def data(name: str, edit: Callable[[dict], object]) -> Mutation:
  """Edits the content of a JSON file."""

  def f(source):
    path = source / name
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))

  return f


def arrays(archive: str, /, **changes: Callable[[np.ndarray], object]) -> Mutation:
  """Edits arrays of an .npz: in place, or what is returned takes their place (False: removed)."""

  def f(source):
    with np.load(source / archive) as z:
      content = dict(z)
    for key, edit in changes.items():
      new = edit(content[key])
      if new is False:
        del content[key]
      elif new is not None:
        content[key] = new
    np.savez(source / archive, **content)

  return f


def put(at: object, x: float) -> Callable[[np.ndarray], None]:
  return lambda array: array.__setitem__(at, x)


def folder(name: str) -> Mutation:
  return lambda source: (source / name).mkdir(parents=True)


def check(name: str, line: str, wanted: list[str], data: Path) -> None:
  """One line with all fragments; nothing was unpickled, nothing counts as prepared."""
  assert '\n' not in line and len(line) < 600
  for fragment in wanted:
    assert fragment in line, f'{fragment!r} is not in: {line}'
  assert not Path('unpickled').exists()
  assert not list(data.rglob('affectjax.json'))
  with pytest.raises(UserError, match=f'{name} is not prepared'):
    opening.open_corpus(name, data)


def write(form: str, mutate, writers, folder, monkeypatch) -> None:
  """The faulty source, `folder / 'source'`; the working directory is an empty one beside it."""
  writers[form](folder / 'source')
  mutate(folder / 'source')
  (folder / 'cwd').mkdir()
  monkeypatch.chdir(folder / 'cwd')


def prove(name: str, options, wanted, folder, capsys) -> None:
  """Refused by the store and by the command in the same line, which holds the fragments `wanted`."""
  source, data = folder / 'source', folder / 'data'
  with pytest.raises(UserError) as refusal:
    preparing.prepare(name, source, data, options=options)
  check(name, str(refusal.value), wanted, data)
  given = [f'--option={key}={x}' for key, x in options.items()]
  assert prepare.main([name, f'--source={source}', f'--data_dir={data}', *given]) == 2
  out, err = capsys.readouterr()
  assert out == '' and err == f'error: {refusal.value}\n'
  check(name, err[:-1], wanted, data)
  assert not [p for p in data.rglob('*') if p.is_file()]
