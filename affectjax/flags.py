"""What the commands share: absl flags that refuse in one line, and exit statuses."""

import sys
from collections.abc import Callable, Sequence

from absl import flags

from affectjax.errors import UserError

USAGE = 2


def run(main: Callable[[list[str]], int | None], argv: Sequence[str] | None = None) -> int:
  """Parses flags, runs `main(positional arguments)` and returns the exit status; 2 with one line for bad input."""
  argv = list(sys.argv if argv is None else argv)
  try:
    try:
      rest = flags.FLAGS(argv)[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, ImportError, SyntaxError, OSError) as error:
      raise UserError(f'flags: {error}') from error
    for argument in rest:
      if '=' in argument:
        raise UserError(f'argument {argument!r} is not a flag; flags begin with two dashes: --{argument}')
    return main(rest) or 0
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return USAGE
