"""What the commands share: flags and arguments that are refused in one line, and exit statuses."""

import argparse
import sys
from collections.abc import Callable, Sequence

from absl import flags

from affectjax.common.errors import UserError

USAGE = 2


class Parser(argparse.ArgumentParser):
  """Arguments of the smaller commands, without abbreviations.

  Args:
    hint: ends the one line in which wrong arguments are refused.
  """

  def __init__(self, *args, hint: str, **kwargs):
    super().__init__(*args, allow_abbrev=False, **kwargs)
    self._hint = hint

  def error(self, message: str):
    """Raises what argparse found wrong as a `UserError`, instead of printing the usage."""
    raise UserError(f'{message}; {self._hint}')


def _message(error: Exception) -> str:
  """What an error says, without the quotes that a KeyError puts around it."""
  text = str(error.args[0] if error.args else error).replace("\\'", "'").replace('\\n', ' ')
  return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def run(main: Callable[[list[str]], int | None], argv: Sequence[str] | None = None) -> int:
  """Parses absl flags and runs a command.

  Args:
    main: is given the positional arguments, and returns the exit status; None is 0.
    argv: the command's name and its arguments; those of this process by default.

  Returns:
    The exit status: 2 after a `UserError` or a wrong flag, which is printed in one line on stderr.
  """
  argv = list(sys.argv if argv is None else argv)
  try:
    try:
      rest = flags.FLAGS(argv)[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
      if isinstance(error.__context__, UserError):  # of a flag's own parser; absl wraps what it raises
        raise error.__context__ from None
      raise UserError(f'flags: {_message(error)}') from error
    for argument in rest:
      if '=' in argument:
        raise UserError(f'argument {argument!r} is not a flag; flags begin with two dashes: --{argument}')
    return main(rest) or 0
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return USAGE
