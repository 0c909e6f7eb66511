"""Predicts what a folder of features shows, with any trained cell.

python -m affectjax.predict --run=CELL --source=DIR --output=out.csv [--rate_hz=25] [--modality=audio]
  [--items=items.csv] [--nonfinite=error|drop|mask] [--normalisation=check|trust] [--workers=1]

--source is a folder as for `affectjax.prepare features`: <id>.npy (.npz, .csv, .wav), or a folder of these per
modality; see affectjax/data/own/folder.py. They must be the features the cell was trained on: as wide, at the same
rate, scaled alike. An id may lack a modality where the network can do without. What is extracted from wav files stays
beside the output: in out.frames for out.csv.

The output has a row per id, or per frame: id, (frame, seconds), then what the cell predicts: valence, arousal, their
_spread (one standard deviation) and _df, intensities by emotion, or p_<class>; and emotion, the likeliest. An empty
cell says that nothing is known there: the frame is missing.

Exit status: 0 done; 2 bad input or usage; 130 interrupted by hand.
"""

import argparse
import csv
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from affectjax.commands import normalisation
from affectjax.commands.arguments import Parser
from affectjax.commands.progress import Counted
from affectjax.common.errors import UserError
from affectjax.data.own import folder, unlabelled
from affectjax.data.store import schema

_ROWS = 10_000  # written at once


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = Parser(
    prog='python -m affectjax.predict', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    hint='see python -m affectjax.predict --help',
  )  # fmt: skip
  path = dict(type=pathlib.Path, required=True)
  parser.add_argument('--run', metavar='CELL', help='folder of a finished cell, of any paper', **path)
  parser.add_argument('--source', metavar='DIR', help='folder of features or wav files', **path)
  parser.add_argument('--output', help='the csv that is written', **path)
  parser.add_argument('--rate_hz', help='frames per second: 50, none, or audio:50,visual:30')
  parser.add_argument('--modality', help='what the files are, if they lie in the folder itself')
  parser.add_argument('--items', type=pathlib.Path, help='a csv: id, item, if ids are parts of recordings')
  parser.add_argument('--nonfinite', choices=schema.POLICIES, default='error', help='NaN and infinity in features')
  parser.add_argument(
    '--normalisation', choices=('check', 'trust'), default='check', help='of features, against training'
  )
  parser.add_argument('--workers', type=int, default=1, help='processes that describe wav files')
  flags = parser.parse_args(argv)
  if flags.workers < 1:
    raise UserError(f'--workers={flags.workers}; expected 1 or more')
  _refuse_output(flags)
  return flags


def _refuse_output(flags: argparse.Namespace) -> None:
  """Refuses an output that cannot be written, or that would be read, or written over what is read."""
  output = flags.output
  if not output.parent.is_dir():
    raise UserError(f'--output={output}: there is no folder {output.parent}; make it first')
  if output.is_dir():
    raise UserError(f'--output={output}: a folder; expected a file, such as {output / "out.csv"}')
  if output.suffix != '.csv':
    raise UserError(f'--output={output}: expected a name that ends in .csv')
  for flag in ('source', 'run'):
    if output.resolve().is_relative_to(getattr(flags, flag).resolve()):
      raise UserError(f'--output={output} lies in --{flag}={getattr(flags, flag)}; choose a place outside of it')
  if flags.items is not None and output.resolve() == flags.items.resolve():
    raise UserError(f'--output={output} would write over --items={flags.items}; name another file')


class _Telling:
  """Progress of one thing after the other."""

  def __init__(self):
    self._now: Counted | None = None

  def of(self, name: str, unit: str) -> Callable[[int, int], None]:
    """What is counted from here on."""
    self.close()
    self._now = Counted(name, unit)
    return self._now

  def close(self) -> None:
    if self._now is not None:
      self._now.close()


def _predicted(flags: argparse.Namespace, telling: _Telling):
  """(columns, notes)"""
  from affectjax.engine import predictor as engine  # starts JAX, which bad flags need not wait for

  cell = engine.load(flags.run)
  system = engine.of(cell)
  wanted = system.inputs(cell)
  if cell.config['data'].get('context', 1) > 1 and flags.items is None:
    raise UserError(f'{flags.run}: a prediction looks back on the {cell.config["data"]["context"] - 1} examples before '
                    'it in the same recording; say which belong together with --items, a csv: id, item')  # fmt: skip
  for name in wanted:
    if name not in cell.features:
      raise cell.can_not(f'config.json says nothing of its modality {name!r}; {engine.AGAIN}')
  described = Counted('wav files', 'files')
  how = folder.Extraction(flags.output.with_suffix('.frames'), flags.workers, described, described.tell)
  source = unlabelled.Source(flags.source, flags.modality, flags.rate_hz, flags.items, flags.nonfinite, how)
  try:
    corpus = unlabelled.read(source, cell.features, wanted, telling.of('read', 'ids'))
  finally:
    described.close()
  made = system.predictor(cell, corpus)
  engine.refuse_widths(cell, made)
  notes = [*made.notes, *_corpus_notes(corpus.meta)]
  if flags.normalisation == 'check':
    known = {m: description['columns'] for m, description in cell.features.items() if 'columns' in description}
    ids = len(corpus.columns(unlabelled.SPLIT)['id'])
    faults, unknown = normalisation.check(flags.source, made.streams, made.standard, ids, known)
    if faults:
      raise UserError(faults[0])
    if unknown:
      notes.append(f'normalisation of {", ".join(unknown)} not checked: nothing to compare with')
  return engine.run(made, cell, telling.of('predicted', 'batches')), notes


def _corpus_notes(meta) -> Iterator[str]:
  if meta['not_read']:
    yield f'{", ".join(meta["not_read"])} not read by this cell'
  if meta['dropped']:
    yield f'{len(meta["dropped"])} ids dropped for NaN or infinity: {", ".join(meta["dropped"][:5])}'


def _cells(values: np.ndarray) -> list[str]:
  """As they are written: the shortest text that reads back as the same number, nothing for NaN."""
  if values.dtype.kind != 'f':
    return [str(v) for v in values.tolist()]
  if values.dtype == np.float64:
    return ['' if v != v else repr(round(v, 6)) for v in values.tolist()]
  return ['' if np.isnan(v) else str(v) for v in values]


def _write(path: pathlib.Path, columns: dict[str, np.ndarray]) -> int:
  """Writes the table, whole or not at all; returns the number of rows."""
  rows = len(next(iter(columns.values())))
  temporary = path.with_name(path.name + '.tmp')
  try:
    with open(temporary, 'w', encoding='utf-8', newline='') as file:
      table = csv.writer(file, lineterminator='\n')
      table.writerow(columns)
      for start in range(0, rows, _ROWS):
        table.writerows(zip(*(_cells(v[start : start + _ROWS]) for v in columns.values()), strict=True))
    temporary.replace(path)
  except OSError as error:
    temporary.unlink(missing_ok=True)
    raise UserError(f'--output={path}: cannot be written ({error.strerror}); check space and permissions') from error
  return rows


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command with these arguments, by default the process's; returns the exit status."""
  telling, began = _Telling(), time.perf_counter()
  try:
    try:
      flags = _flags(argv)
      columns, notes = _predicted(flags, telling)
    finally:
      telling.close()
    rows = _write(flags.output, columns)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print('interrupted; nothing was written', file=sys.stderr)
    return 130
  for note in notes:
    print(f'note: {note}', file=sys.stderr)
  ids = len(np.unique(columns['id']))
  print(f'{ids} {"id" if ids == 1 else "ids"}, {rows} {"row" if rows == 1 else "rows"}, {", ".join(columns)}: '
        f'{flags.output}, in {time.perf_counter() - began:.1f} s')  # fmt: skip
  return 0


if __name__ == '__main__':
  sys.exit(main())
