"""Reads a corpus as it is distributed and writes it as ArrayRecord (TFDS), checked and hashed.

python -m affectjax.prepare CORPUS --source=DIR --data_dir=DIR [--nonfinite=error|drop|mask] [--option=key=value]
  [--features_as=float32|float16] [--workers=1]
python -m affectjax.prepare features --name=NAME --source=DIR --labels=FILE --data_dir=DIR [--rate_hz=50]
  [--modality=audio] ...

The second form makes a corpus of your own, NAME, of a folder of feature files or wav files (affectjax.data.own.folder)
and a table of labels (affectjax.data.own.labelled). What is extracted from wav files stays in <data_dir>/NAME.frames.

An interrupted run goes on where it was when the same command is given again.
Exit status: 0 prepared; 2 for what the user can put right; 130 interrupted by hand.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from affectjax.commands.arguments import Parser
from affectjax.commands.progress import Counted
from affectjax.common.errors import UserError, unknown
from affectjax.data.corpus import Corpus
from affectjax.data.own import folder, labelled
from affectjax.data.store import opening, preparing

_USAGE = 'python -m affectjax.prepare CORPUS --source=DIR --data_dir=DIR [--nonfinite=...] [--option=key=value]'
_OWN_USAGE = (
  f'python -m affectjax.prepare {opening.OWN} --name=NAME --source=DIR --labels=FILE --data_dir=DIR [--rate_hz=50] '
  '[--modality=audio]'
)
_OWN_FLAGS = ('name', 'labels', 'rate_hz', 'modality')


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
  parser.add_argument('corpus', metavar='CORPUS', nargs='?', help=', '.join((*opening.names(), opening.OWN)))
  parser.add_argument('--source', type=Path, help='the corpus as distributed')
  parser.add_argument('--data_dir', type=Path, help='where prepared corpora go')
  parser.add_argument('--nonfinite', default='error', help='NaN and infinity in features: error, drop or mask')
  parser.add_argument('--features_as', default='float32', help='how features are stored: float32 or float16')
  parser.add_argument('--option', action='append', default=[], help="one of the adapter's, key=value; may be repeated")
  parser.add_argument('--workers', type=int, default=1, help='threads that read ahead; processes that describe wavs')
  own_flags = parser.add_argument_group(f'of {opening.OWN}')
  own_flags.add_argument('--name', help='of the corpus that is made')
  own_flags.add_argument('--labels', type=Path, help='a csv: id, group and labels')
  own_flags.add_argument('--rate_hz', help='frames per second: 50, none, or audio:50,visual:30')
  own_flags.add_argument('--modality', help='what the files are, if there is one modality; audio by default')
  try:
    args = parser.parse_args(argv)
    name = _checked(args)
    corpus = _prepare(args, name)
    _report(name, args.data_dir)
    counts = ', '.join(f'{split} {n}' for split, n in corpus.counts.items())
    print(f'{corpus.name} {corpus.version}: {counts} examples, sha256 {corpus.sha256[:16]}, '
          f'in {opening.folder(name, args.data_dir)}')  # fmt: skip
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('interrupted; the same command goes on from here', file=sys.stderr)
    return 130
  return 0


def _checked(args: argparse.Namespace) -> str:
  """The name of what is prepared; refuses flags that are missing or of the other form."""
  known = ', '.join((*opening.names(), opening.OWN))
  if args.corpus is None:
    raise UserError(f'which corpus? there is: {known}; usage: {_USAGE}')
  own_form = args.corpus == opening.OWN
  if not own_form:
    if args.corpus not in opening.names():  # an unknown corpus is said before a missing flag
      raise unknown('corpus', args.corpus, (*opening.names(), opening.OWN))
    for flag in _OWN_FLAGS:
      if getattr(args, flag) is not None:
        raise UserError(f'--{flag} goes with features of your own; usage: {_OWN_USAGE}')
  for flag in ('name', 'source', 'labels', 'data_dir') if own_form else ('source', 'data_dir'):
    if getattr(args, flag) is None:
      raise UserError(f'--{flag} is missing; usage: {_OWN_USAGE if own_form else _USAGE}')
  return args.name if own_form else args.corpus


def _prepare(args: argparse.Namespace, name: str) -> Corpus:
  """Prepares it, with a line of progress."""
  options, progress, reader = _options(args.option), Counted(name), None
  described = Counted(f'{name}, sound', 'files')
  if args.corpus == opening.OWN:
    opening.refuse_taken(name)
    for key in ('rate_hz', 'modality'):
      if (value := getattr(args, key)) is not None:
        if key in options:
          raise UserError(f'--option={key}={options[key]}: there is also --{key}={value}; give one')
        options[key] = value
    if args.data_dir.expanduser().resolve().is_relative_to(args.source.expanduser().resolve()):
      raise UserError(f'--data_dir={args.data_dir} lies in --source={args.source}; choose a folder outside of it')
    frames = args.data_dir.expanduser() / f'{name}.frames'
    extraction = folder.Extraction(frames, args.workers, described, described.tell)
    reader = labelled.Reader(args.labels.expanduser(), extraction)
  try:
    return preparing.prepare(
      name, args.source, args.data_dir, nonfinite=args.nonfinite, features_as=args.features_as, options=options,
      workers=args.workers, progress=progress, reader=reader,
    )  # fmt: skip
  finally:
    described.close()
    progress.close()


def _report(name: str, data_dir: Path) -> None:
  """Says what was not finite, if anything was."""
  for split, written in opening.manifest(name, data_dir)['splits'].items():
    for modality, counts in written['nonfinite'].items():
      if counts:
        print(f'{split}: {modality} was not finite in {counts["values"]} values, {counts["frames"]} frames, '
              f'{counts["examples"]} examples')  # fmt: skip
    if written['dropped']:
      print(f'{split}: {len(written["dropped"])} examples dropped: {", ".join(written["dropped"][:5])}'
            f'{", ..." if len(written["dropped"]) > 5 else ""}')  # fmt: skip


if __name__ == '__main__':
  sys.exit(main())
