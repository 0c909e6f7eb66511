"""The table of a run again, from its records alone: `python -m affectjax.report WORKDIR [--figures]`."""

import itertools
import pathlib
import sys
from collections.abc import Sequence

from affectjax.commands.arguments import Parser
from affectjax.common.errors import UserError
from affectjax.tables import figures, render


def main(argv: Sequence[str] | None = None) -> int:
  """Prints and rewrites the table; returns the exit status: 0, or 2 for what the user can put right."""
  parser = Parser(
    prog='python -m affectjax.report', description=__doc__, hint='usage: python -m affectjax.report WORKDIR [--figures]'
  )
  parser.add_argument('workdir', type=pathlib.Path, metavar='WORKDIR', help='the --workdir of a run')
  parser.add_argument('--figures', action='store_true', help='also draw WORKDIR/figures/*.png')
  try:
    args = parser.parse_args(argv)
    render.console(render.write(args.workdir))
    if args.figures:
      for line in itertools.chain(*figures.draw(args.workdir)):
        print(line, file=sys.stderr)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
