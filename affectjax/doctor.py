"""Looks a corpus over: counts, ranges, classes, lengths, what is missing, hashes, folds and leaks.

python -m affectjax.doctor CORPUS --data_dir=DIR [--folds=5] [--check]

Without --data_dir it looks at the synthetic twin, and says so. With --check it says only whether all is well.
Exit status: 0 sound; 2 not prepared, changed or damaged, or wrong usage.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.commands import agreement, survey
from affectjax.commands.arguments import Parser
from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpus import Corpus
from affectjax.data.store import opening

_USAGE = 'python -m affectjax.doctor CORPUS [--data_dir=DIR] [--folds=5] [--check]'
_SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
  """Looks one corpus over; returns the exit status."""
  parser = Parser(prog='python -m affectjax.doctor', description=__doc__, hint=f'usage: {_USAGE}',
                   formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  parser.add_argument('corpus', metavar='CORPUS', nargs='?', help=', '.join(opening.names()))
  parser.add_argument('--data_dir', type=Path, help='where it was prepared; without it the synthetic twin')
  parser.add_argument('--folds', type=int, help='how many folds to try; 5, or less if there are fewer groups')
  parser.add_argument('--check', action='store_true', help='say only whether all is well')
  try:
    args = parser.parse_args(argv)
    if args.corpus is None:
      raise UserError(f'which corpus? there is: {", ".join(opening.names())}; usage: {_USAGE}')
    for line in examine(args.corpus, args.data_dir, args.folds, args.check):
      print(line)
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


def examine(name: str, data_dir: Path | None, k: int | None, only_check: bool) -> Iterator[str]:
  """The lines of the report; damage and leaks raise a UserError."""
  corpus = opening.open_corpus(name, data_dir)
  info = {} if data_dir is None else opening.manifest(name, data_dir)
  surveys = {split: _survey(corpus, info, split, data_dir) for split in corpus.counts}
  _refuse_repeated(name, surveys)
  hashed = f'sha256 {corpus.sha256[:16]}' + ('' if data_dir is None else ', recomputed: unchanged')
  if only_check:
    _fold_lines(surveys, k)
    yield f'{name} {corpus.version}, {corpus.kind}: {sum(corpus.counts.values())} examples, {hashed}'
    return
  yield f'{name} {corpus.version}, {corpus.kind}, {hashed}'
  for key in ('licence', 'labels', 'groups'):
    if key in corpus.meta:
      yield f'  {key}: {corpus.meta[key]}'
  for rule, text in corpus.meta.get('rules', {}).items():
    yield f'  rule {rule}: {text}'
  left_out = [(what, n) for what, n in corpus.meta.get('dropped', {}).items() if isinstance(n, int)]
  if left_out:
    yield f'  left out: {agreement.listed(left_out)}'
  for split, s in surveys.items():
    yield f'split {split}: {s.tally.count} examples, {len(s.groups)} groups, {len(s.items)} items'
    yield from (f'  {line}' for line in _split_lines(s, corpus.meta))
    yield from (f'  {line}' for line in _treated(info.get('splits', {}).get(split, {})))
  yield from _shared(surveys)
  yield from _fold_lines(surveys, k)


def _survey(corpus: Corpus, info: Mapping[str, Any], split: str, data_dir: Path | None) -> survey.Survey:
  if data_dir is None:
    return survey.synthetic(corpus.columns(split), corpus.meta)
  return survey.prepared(opening.folder(corpus.name, data_dir), info, split)


def _refuse_repeated(name: str, surveys: Mapping[str, survey.Survey]) -> None:
  for split, s in surveys.items():
    if len(set(s.ids)) < len(s.ids):
      raise UserError(f'{name}: {len(s.ids) - len(set(s.ids))} ids of {split} appear twice; expected none')
  folds.refuse_leak({split: s.ids for split, s in surveys.items()}, what='id')


def _split_lines(s: survey.Survey, meta: Mapping[str, Any]) -> Iterator[str]:
  tally, modalities = s.tally, meta['modalities']
  for name, width in modalities.items():
    rate = meta.get('rate_hz', {}).get(name)
    yield f'{name} [T, {width}]' + (f' at {rate:g} Hz' if rate else '') + f': {_modality(s, name)}'
  for key, low in tally.low.items():
    if key not in modalities and key not in ('emotion', 'ratings', *s.votes):
      total = tally.steps.get(key, tally.count)
      missing = f', {tally.nan[key] / max(total, 1):.1%} not labelled' if tally.nan[key] else ''
      yield f'{key}: {_range(low, tally.high[key])}{missing}{_lengths(s, key)}'
  if s.classes:
    names = {i: str(n) for i, n in enumerate(meta.get('emotions', ()))}
    yield f'emotion: {agreement.listed((names.get(c, "none or tie"), n) for c, n in sorted(s.classes.items()))}'
  yield from agreement.of_votes(s, meta)
  if s.rated is not None:
    names = meta.get('raters') or [f'rater {i}' for i in range(len(s.rated))]
    shares = agreement.joined([f'{name} {n / max(s.steps, 1):.1%}' for name, n in zip(names, s.rated, strict=False)])
    spread = _range(tally.low['ratings'], tally.high['ratings'])
    yield f'ratings: {spread}, {len(s.rated)} raters; share of the time rated: {shares}'
    yield from agreement.of_ratings(s, meta)
  sizes = np.array(list(s.groups.values()))
  yield f'groups: {sizes.min()} to {sizes.max()} examples each, median {np.median(sizes):g}'


def _modality(s: survey.Survey, name: str) -> str:
  tally = s.tally
  steps = max(tally.steps[name], 1)
  masked = 1 - tally.true.get(f'{name}_mask', steps) / steps
  present = tally.true.get(f'{name}_present', tally.count) / tally.count
  spread = _range(tally.low[name], tally.high[name])
  return f'{spread}, present in {present:.1%}, {masked:.1%} of frames masked{_lengths(s, name)}'


def _lengths(s: survey.Survey, key: str) -> str:
  if key not in s.lengths:
    return ''
  n = s.lengths[key]
  return f', {min(n)} to {max(n)} frames, median {np.median(n):g}'


def _range(low: float, high: float) -> str:
  return f'{low:.4g} to {high:.4g}' if low <= high else 'no values'


def _treated(written: Mapping[str, Any]) -> Iterator[str]:
  """What was not finite when the corpus was prepared."""
  for modality, counts in written.get('nonfinite', {}).items():
    if counts:
      yield f'{modality} was not finite in {counts["frames"]} frames of {counts["examples"]} examples'
  if written.get('dropped'):
    yield f'{len(written["dropped"])} examples dropped as not finite'


def _shared(surveys: Mapping[str, survey.Survey]) -> Iterator[str]:
  """Groups that two of the corpus's own splits share: theirs to decide, ours to say."""
  for a, b in itertools.combinations(surveys, 2):
    shared = sorted(surveys[a].groups.keys() & surveys[b].groups.keys())
    names = f': {", ".join(shared[:5])}{", ..." if len(shared) > 5 else ""}' if shared else ''
    yield f'{a} and {b} share {len(shared)} groups{names}'


def _fold_lines(surveys: Mapping[str, survey.Survey], k: int | None) -> list[str]:
  """Grouped folds over all splits together, and the check that none leaks."""
  sizes = sum((s.groups for s in surveys.values()), start=type(next(iter(surveys.values())).groups)())
  groups = np.repeat(np.array(list(sizes), np.str_), list(sizes.values()))
  if k is None:
    k = min(5, len(sizes))
  if len(sizes) < 3:
    return [f'folds: {len(sizes)} groups are too few to hold any out']
  assigned = folds.grouped(groups, k, _SEED)
  for fold in range(k):
    split = folds.rows(assigned, k, fold)
    folds.refuse_leak({name: groups[rows] for name, rows in split.items()})
  counts = [f'{(assigned == f).sum()} ({len(set(groups[assigned == f]))})' for f in range(k)]
  return [f'folds: {k} by group, examples (groups) {", ".join(counts)}; no group in two']


if __name__ == '__main__':
  sys.exit(main())
