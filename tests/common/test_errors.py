"""Refusals: one line, whatever they are made of."""

import pytest

from affectjax.common.errors import UserError, unknown


def test_a_refusal_is_one_line():
  assert str(UserError('two\n  lines\tand   blanks ')) == 'two lines and blanks'
  with pytest.raises(ValueError, match='one'):
    raise UserError('one')


def test_an_unknown_name_comes_with_the_names_that_there_are():
  assert str(unknown('row', 'z', ['b', 'a'])) == "unknown row 'z'; there is: a, b"
  assert str(unknown('fold', 7, [10, 9])) == "unknown fold '7'; there is: 10, 9"
  assert str(unknown('row', 'z', [])) == "unknown row 'z'; there is: none"
