"""Files that are there whole or not at all, and what of a source file can change a result."""

import json
import pathlib

import pytest

from affectjax.common import files


def test_text_is_written_whole_and_nothing_else_stays(tmp_path):
  path = tmp_path / 'a.txt'
  for text in ('first', 'größer\n'):
    files.write_text(path, text)
    assert path.read_bytes() == text.encode()
  assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_is_interrupted_leaves_what_was_there(tmp_path, monkeypatch):
  path, whole = tmp_path / 'a.txt', pathlib.Path.write_text
  files.write_text(path, 'before')

  def torn(self, text, **how):
    whole(self, text[:3], **how)
    raise KeyboardInterrupt

  monkeypatch.setattr(pathlib.Path, 'write_text', torn)
  with pytest.raises(KeyboardInterrupt):
    files.write_text(path, 'afterwards')
  assert path.read_bytes() == b'before'


def test_json_is_the_same_whatever_the_order_of_its_keys(tmp_path):
  value = {'b': [1, 2.5, None], 'a': {'y': 'ä', 'x': True}}
  for name, given in (('one', value), ('two', dict(reversed(value.items())))):
    files.write_json(tmp_path / name, given)
  assert (tmp_path / 'one').read_bytes() == (tmp_path / 'two').read_bytes()
  assert json.loads((tmp_path / 'one').read_text()) == value


SOURCE = '''"""A module."""

def f(x):
  """Twice."""
  return 2 * x
'''


@pytest.mark.parametrize(
  ('other', 'alike'),
  [
    ('def f( x ):  # doubled\n\n    return (2 * x)', True),
    (SOURCE.replace('Twice', 'Two times').replace('A module', 'Another'), True),
    (SOURCE.replace('2 * x', 'x * 2'), False),
    (SOURCE.replace('(x)', '(x, y=1)'), False),
    (SOURCE.replace('return', '"text"; return'), False),
  ],
)
def test_the_meaning_of_a_source_is_its_code_without_comments_and_docstrings(other, alike):
  assert (files.meaning(other) == files.meaning(SOURCE)) == alike


def test_what_has_a_docstring_alone_still_means_something():
  assert files.meaning('class A:\n  """Nothing."""') == files.meaning('class A:\n  pass')
