"""The folds of CMU-MOSEI: lists of videos, in a file of the SDK or of your own."""

import ast
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from affectjax.common.errors import UserError, unknown
from affectjax.data import features

NAMES = {'train': 0, 'valid': 1, 'dev': 1, 'test': 2}
FOLDS = ('train', 'valid', 'test')
_PATTERNS = ('*std_folds*.py', 'folds.json', 'folds.csv')


def candidates(source: Path) -> list[Path]:
  """The files in a folder that, by their names, may hold the folds."""
  return sorted(p for pattern in _PATTERNS for p in source.glob(pattern))


def read(source: Path, given: str | None, videos: Collection[str]) -> tuple[dict[str, int], list[Path]]:
  """video -> 0 train, 1 valid, 2 test, and the files this was read from.

  Args:
    source: the corpus.
    given: a file, 'none' for no folds, or None for the one in `source`.
    videos: those that have labels.

  Raises:
    UserError: no file or several; not of one of the forms; a video that is in two folds, or twice in one; a fold none
      of whose videos has labels.
  """
  if given == 'none':
    return {}, []
  paths = [Path(given)] if given is not None else candidates(source)
  if len(paths) != 1:
    what = f'{paths[0].name} and {paths[1].name}; keep one' if paths else (
      'no folds; expected cmu_mosei_std_folds.py of the SDK, folds.json or folds.csv; add it, or give option folds=none'
    )  # fmt: skip
    raise UserError(f'{source}: {what}')
  path = paths[0]
  readers = {'.py': _python, '.json': _json, '.csv': _csv, '.txt': _csv}
  if path.suffix not in readers:
    raise UserError(f'{path}: a file of folds is a .py of the SDK, a .json or a .csv')
  lists = readers[path.suffix](path)
  out: dict[str, int] = {}
  for fold in FOLDS:
    for video in lists[fold]:
      if video in out:
        where = f'twice in {fold}' if out[video] == NAMES[fold] else f'in both {FOLDS[out[video]]} and {fold}'
        raise UserError(f'{path}: video {video!r} is {where}; expected each video in one')
      out[video] = NAMES[fold]
    if not any(video in videos for video in lists[fold]):
      raise UserError(f'{path}: none of the {len(lists[fold])} videos in {fold} has labels, e.g. {lists[fold][:1]}; '
                      'expected ids of videos as in the labels')  # fmt: skip
  return out, [path]


def _lists(path: Path, lists: dict[str, Any], wanted: dict[str, str]) -> dict[str, list[str]]:
  """Fold -> its videos, of `lists` by their names in the file; `wanted` is fold -> name."""
  for name in wanted.values():
    value = lists.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
      what = 'missing' if value is None else 'not a list of ids'
      raise UserError(f'{path}: {name} is {what}; expected a list of videos, as text')
  return {fold: lists[name] for fold, name in wanted.items()}


def _python(path: Path) -> dict[str, list[str]]:
  """Three lists that a Python file assigns; it is parsed, never run."""
  text = '\n'.join(features.read_lines(path))
  wanted = {fold: f'standard_{fold}_fold' for fold in FOLDS}
  lists = {}
  try:
    tree = ast.parse(text)
  except (SyntaxError, ValueError, RecursionError, MemoryError) as e:
    raise UserError(f'{path}: cannot be read as lists of videos: {e}') from e
  for node in tree.body:
    names = [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
    for name in set(names) & set(wanted.values()):
      try:
        lists[name] = ast.literal_eval(node.value)
      except (ValueError, TypeError, RecursionError, MemoryError) as e:
        raise UserError(f'{path}: line {node.lineno}: {name} is no list of plain text; expected ids of videos') from e
  return _lists(path, lists, wanted)


def _json(path: Path) -> dict[str, list[str]]:
  try:
    lists = json.loads('\n'.join(features.read_lines(path)))
  except (ValueError, RecursionError) as e:
    raise UserError(f'{path}: cannot be read as JSON: {e}') from e
  if not isinstance(lists, dict):
    raise UserError(f'{path}: expected train, valid and test, each a list of videos')
  for name in lists:
    if name not in NAMES:
      raise unknown(f'fold in {path}:', name, FOLDS)
  if 'dev' in lists and 'valid' in lists:
    raise UserError(f'{path}: both valid and dev; keep one')
  return _lists(path, lists, {'train': 'train', 'valid': 'dev' if 'dev' in lists else 'valid', 'test': 'test'})


def _csv(path: Path) -> dict[str, list[str]]:
  """Lines of a video and its fold, by a comma or blanks; a header `video,fold` may stand above."""
  out: dict[str, list[str]] = {fold: [] for fold in FOLDS}
  for i, line in enumerate(features.read_lines(path)):
    cells = line.replace(',', ' ').split()
    if i == 0 and cells == ['video', 'fold']:
      continue
    if len(cells) != 2:
      raise UserError(f'{path}: line {i + 1} is {line[:60]!r}, expected a video and its fold')
    if cells[1] not in NAMES:
      raise unknown(f'fold in {path}: line {i + 1}:', cells[1], FOLDS)
    out[FOLDS[NAMES[cells[1]]]].append(cells[0])
  return out
