"""What is refused is refused in one line."""

from collections.abc import Callable

import pytest

from affectjax.common.errors import UserError


def refused(message: str, act: Callable[[], object]) -> None:
  """`act` is refused in one line that matches `message`."""
  with pytest.raises(UserError, match=message) as error:
    act()
  assert '\n' not in str(error.value)
