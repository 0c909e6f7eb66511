"""Reads a corpus as it is distributed and writes it as ArrayRecord (TFDS), checked and hashed.

python -m affectjax.prepare CORPUS --source=DIR --data_dir=DIR [--nonfinite=error|drop|mask] [--option=key=value]
  [--workers=1]

An interrupted run goes on where it was when the same command is given again.
Exit status: 0 prepared; 2 for what the user can put right; 130 interrupted by hand.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from affectjax.data import store
from affectjax.errors import UserError
from affectjax.flags import Parser

_USAGE = 'python -m affectjax.prepare CORPUS --source=DIR --data_dir=DIR [--nonfinite=...] [--option=key=value]'
_PLAIN_SECONDS = 15.0
_LIVE_SECONDS = 0.25


class _Progress:
  """A line that is drawn over on a terminal, a line now and then otherwise."""

  def __init__(self, name: str):
    self._name, self._began, self._said, self._first = name, 0.0, time.monotonic(), None
    self._live = sys.stderr.isatty()

  def __call__(self, done: int, total: int) -> None:
    now = time.monotonic()
    if self._first is None:
      self._first, self._began = done, now
    if now - self._said < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS) and done < total:
      return
    self._said = now
    rate = (done - self._first) / max(now - self._began, 1e-9)
    left = int((total - done) / rate) if rate else 0
    text = f'{self._name}: {done} of {total}, {rate:,.0f} examples/s, eta {left // 60}:{left % 60:02d}'
    print(f'\r{text}\x1b[K' if self._live else text, end='' if self._live else '\n', file=sys.stderr, flush=True)

  def close(self) -> None:
    if self._live:
      print('\r\x1b[K', end='', file=sys.stderr, flush=True)


def _options(given: Sequence[str]) -> dict[str, str]:
  out = {}
  for text in given:
    key, equals, value = text.partition('=')
    if not (key and equals):
      raise UserError(f'--option={text}: expected --option=key=value')
    if key in out:
      raise UserError(f'--option={text}: {key} is already {out[key]!r}; give it once')
    out[key] = value
  return out


def main(argv: Sequence[str] | None = None) -> int:
  """Prepares one corpus; returns the exit status."""
  parser = Parser(prog='python -m affectjax.prepare', description=__doc__, hint=f'usage: {_USAGE}',
                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument('corpus', metavar='CORPUS', nargs='?', help=', '.join(store.names()))
  parser.add_argument('--source', type=Path, help='the corpus as distributed')
  parser.add_argument('--data_dir', type=Path, help='where prepared corpora go')
  parser.add_argument('--nonfinite', default='error', help='NaN and infinity in features: error, drop or mask')
  parser.add_argument('--option', action='append', default=[], help="one of the adapter's, key=value; may be repeated")
  parser.add_argument('--workers', type=int, default=1, help='threads that read ahead')
  try:
    args = parser.parse_args(argv)
    if args.corpus is None:
      raise UserError(f'which corpus? there is: {", ".join(store.names())}; usage: {_USAGE}')
    store.adapter(args.corpus)  # an unknown corpus is said before a missing flag
    for flag in ('source', 'data_dir'):
      if getattr(args, flag) is None:
        raise UserError(f'--{flag} is missing; usage: {_USAGE}')
    progress = _Progress(args.corpus)
    try:
      corpus = store.prepare(
        args.corpus, args.source, args.data_dir, nonfinite=args.nonfinite, options=_options(args.option),
        workers=args.workers, progress=progress,
      )  # fmt: skip
    finally:
      progress.close()
    _report(args.corpus, args.data_dir)
    counts = ', '.join(f'{split} {n}' for split, n in corpus.counts.items())
    print(f'{corpus.name} {corpus.version}: {counts} examples, sha256 {corpus.sha256[:16]}, '
          f'in {store.folder(args.corpus, args.data_dir)}')  # fmt: skip
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('interrupted; the same command goes on from here', file=sys.stderr)
    return 130
  return 0


def _report(name: str, data_dir: Path) -> None:
  """Says what was not finite, if anything was."""
  for split, told in store.manifest(name, data_dir)['splits'].items():
    for modality, found in told['nonfinite'].items():
      if found:
        print(f'{split}: {modality} was not finite in {found["values"]} values, {found["frames"]} frames, '
              f'{found["examples"]} examples')  # fmt: skip
    if told['dropped']:
      print(f'{split}: {len(told["dropped"])} examples dropped: {", ".join(told["dropped"][:5])}'
            f'{", ..." if len(told["dropped"]) > 5 else ""}')  # fmt: skip


if __name__ == '__main__':
  sys.exit(main())
