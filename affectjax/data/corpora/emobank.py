"""EmoBank: 10,062 English sentences, each rated by readers (what do I feel) and writers (what did the writer feel).

Paper: S. Buechel, U. Hahn, "EmoBank: Studying the Impact of Annotation Perspective and Representation Format on
Dimensional Emotion Analysis", EACL 2017, volume 2, 578-585.
Source: github.com/JULIELab/EmoBank. Licence: CC BY-SA 4.0; texts from MASC and SemEval-2007 Task 14.

  python -m affectjax.prepare emobank --source=../shared/data/emobank --data_dir=DIR

Layouts, found by themselves in `source`:
  clone   corpus/emobank.csv, corpus/individual_reader_ratings.csv, corpus/individual_writer_ratings.csv,
          corpus/meta.tsv
  pack    the same four files beside each other
The sentences are those of emobank.csv. What is rated but not in it has no text here and is counted in meta['dropped']:
486 sentences of the release.

The values in emobank.csv are means over readers and writers together that leave out every rating of 1, 1, 1, which one
in ten is: the lowest of all three, hence rather no rating than one. Nobody says so; found by trial, it gives all
values of all sentences to within their rounding, and the 486 are those that have fewer than two others in one
perspective. A file whose values are not these means is refused. So these ratings are left out of `ratings` and of the
votes as well; option ones=keep leaves them in, as released.

One example per sentence, one split `all`, in the order of ids; item and group are the document (136; all headlines
of SemEval are one). The official partition puts sentences of one document into all splits: for folds use the groups.
  text [1, width]        hashed counts of words and pairs of words, by scikit-learn's HashingVectorizer with its signs
                         (alternate_sign), scaled to length 1; 7 sentences without any word are all 0
  chars [1, chars_width] the same of 2 to 4 characters within words (char_wb)
  votes_<attribute>_<perspective> [5]    how many readers, or writers, gave 1, .., 5
  ratings [1, R, 3]      valence, arousal, dominance in [-1, 1] by (x - 3) / 2: seats of readers, then of writers, as
                         many as any sentence has; the rest is NaN and masked. Raters are not named: a seat is nobody
  valence, arousal, dominance    of emobank.csv, on the same scale
  official int8          0 train, 1 dev, 2 test
  category               'fiction', 'blog', ..
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features, traces
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
ATTRIBUTES = ('valence', 'arousal', 'dominance')
LETTERS = ('V', 'A', 'D')  # of ATTRIBUTES, in the tables
PERSPECTIVES = ('reader', 'writer')
STEPS = ('1', '2', '3', '4', '5')
SPLITS = {'train': 0, 'dev': 1, 'test': 2}
KEYS = {f'votes_{a}_{p}': (p, i) for p in PERSPECTIVES for i, a in enumerate(ATTRIBUTES)}
WIDTHS = (16, 16384)  # of features, from, to
ROUNDED = 0.0101  # two means, each rounded to two places, then their mean
Ratings = dict[str, np.ndarray]  # id -> [n, 3] int, 1 to 5


def read(
  source: Path, *, width: str | int = 1024, chars_width: str | int = 1024, missing: str = 'error', ones: str = 'drop'
) -> Reading:
  """EmoBank as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    width, chars_width: of `text` and `chars`, 16 to 16384.
    missing: 'error', or 'drop' to leave out, and count, sentences without text or without one of the perspectives.
    ones: 'drop' to leave out ratings of 1, 1, 1, as the values do, or 'keep'.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options, or if scikit-learn is not installed.
  """
  traces.choice('missing', missing, ('error', 'drop'))
  traces.choice('ones', ones, ('keep', 'drop'))
  widths = {'text': _width('width', width), 'chars': _width('chars_width', chars_width)}
  hashed = _hashing(widths)
  folder = _folder(Path(source))
  paths = [folder / 'emobank.csv', *(folder / f'individual_{p}_ratings.csv' for p in PERSPECTIVES), folder / 'meta.tsv']
  given = {p: _ratings(path) for p, path in zip(PERSPECTIVES, paths[1:3], strict=True)}
  sentences = _sentences(paths[0])
  documents = _documents(paths[3], sentences)
  kept, dropped = _kept(sentences, given, paths, missing)
  with_ones = [_compare(sentences[name], {p: given[p][name] for p in PERSPECTIVES}) for name in kept]
  if ones == 'drop':
    given = {p: {name: given[p][name][~_ones(given[p][name])] for name in kept} for p in PERSPECTIVES}
  seats = {p: max(len(given[p][name]) for name in kept) for p in PERSPECTIVES}

  def example(split: str, name: str) -> dict[str, Any]:
    where, official, gold, text = sentences[name]
    document, category = documents[name]
    of = {p: given[p][name] for p in PERSPECTIVES}
    ratings = np.concatenate([_seated(of[p], seats[p]) for p in PERSPECTIVES])  # [R, 3]
    return {
      'id': name, 'group': document, 'item': document,
      **{m: make(text) for m, make in hashed.items()},
      **{key: np.bincount(of[p][:, a], minlength=6)[1:].astype(np.float32) for key, (p, a) in KEYS.items()},
      'ratings': ratings[None], 'ratings_mask': ~np.isnan(ratings)[None],
      **{a: np.float32((x - 3) / 2) for a, x in zip(ATTRIBUTES, gold, strict=True)},
      'official': np.int8(official), 'category': category,
    }  # fmt: skip

  meta = _meta(widths, seats, dropped, ones, sum(with_ones))
  return Reading(meta, {'all': kept}, example, paths)


def _meta(
  widths: Mapping[str, int], seats: Mapping[str, int], dropped: Mapping[str, int], ones: str, with_ones: int
) -> dict[str, Any]:
  kept = 'left out' if ones == 'drop' else 'in'
  return {
    'modalities': dict(widths),
    'rate_hz': dict.fromkeys(widths),
    'attributes': list(ATTRIBUTES),
    'emotions': [],
    'vote_classes': {key: list(STEPS) for key in KEYS},
    'fixed': list(KEYS),
    'raters': [f'{p} {i + 1}' for p in PERSPECTIVES for i in range(seats[p])],
    'conditions': [p for p in PERSPECTIVES for _ in range(seats[p])],
    'seats': True,
    'labels': 'valence, arousal, dominance: means over readers and writers as in emobank.csv, (x - 3) / 2, without '
    f'ratings of 1, 1, 1; in `ratings` and the votes these are {kept}',
    'rules': {'ones': f'{with_ones} sentences have ratings of 1, 1, 1, which the means leave out'},
    'dropped': dict(dropped),
    'licence': 'CC BY-SA 4.0',
    'groups': 'documents',
  }


# Files


def _folder(source: Path) -> Path:
  folders = [folder for folder in (source / 'corpus', source) if (folder / 'emobank.csv').is_file()]
  if len(folders) == 2:
    raise UserError(f'{source}: both emobank.csv and corpus/emobank.csv; keep one')
  if not folders:
    raise UserError(
      f'{source}: no EmoBank here; expected corpus/emobank.csv (a clone of JULIELab/EmoBank) or emobank.csv'
    )
  return folders[0]


def _ratings(path: Path) -> Ratings:
  """All ratings of each sentence, in the order of the lines."""
  names, rows = features.load_rows(path, columns=('id', *LETTERS))
  at, columns = names.index('id'), [names.index(letter) for letter in LETTERS]
  out: dict[str, list[list[int]]] = {}
  last = None
  for i, row in enumerate(rows):
    name, cells = row[at], [row[j].strip() for j in columns]
    for letter, cell in zip(LETTERS, cells, strict=True):
      if cell not in STEPS:
        raise UserError(f'{path}: line {i + 2}, id {name!r}: {letter} is {cell!r}, expected a whole number, 1 to 5')
    if name != last and name in out:
      raise UserError(
        f'{path}: line {i + 2}: id {name!r} comes again after other ids; is part of the file in it twice?'
      )
    out.setdefault(name, []).append([int(cell) for cell in cells])
    last = name
  if not out:
    raise UserError(f'{path}: no ratings after the header')
  return {name: np.array(values) for name, values in out.items()}


def _sentences(path: Path) -> dict[str, tuple[str, int, list[float], str]]:
  """id -> where its line is, official split, valence, arousal and dominance in 1 to 5, text."""
  names, rows = features.load_rows(path, columns=('id', 'split', *LETTERS, 'text'))
  at = [names.index(column) for column in ('id', 'split', 'text', *LETTERS)]
  out = {}
  for i, row in enumerate(rows):
    name, split, text, *cells = (row[j] for j in at)
    where = f'{path}: line {i + 2}, id {name!r}'
    if name in out or not name:
      raise UserError(f'{where}: expected an id without an earlier line')
    if split not in SPLITS:
      raise unknown(f'split in {where}:', split, SPLITS)
    gold = []
    for letter, cell in zip(LETTERS, cells, strict=True):
      try:
        gold.append(float(cell))
      except ValueError:
        raise UserError(f'{where}: {letter} is {cell!r}, expected a number') from None
      if not 1 <= gold[-1] <= 5:
        raise UserError(f'{where}: {letter} is {cell}, expected 1 to 5')
    out[name] = where, SPLITS[split], gold, text.strip()
  if not out:
    raise UserError(f'{path}: no sentences after the header')
  return out


def _documents(path: Path, wanted: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
  """id -> its document and category."""
  names, rows = features.load_rows(path, '\t', columns=('id', 'document', 'category'))
  at = [names.index(column) for column in ('id', 'document', 'category')]
  out = {}
  for i, row in enumerate(rows):
    name, document, category = (row[j].strip() for j in at)
    if name in out:
      raise UserError(f'{path}: line {i + 2}: id {name!r} has an earlier line; remove one')
    if not document or not category:
      raise UserError(
        f'{path}: line {i + 2}, id {name!r}: document {document!r}, category {category!r}; expected names'
      )
    out[name] = document, category
  lacking = next((name for name in wanted if name not in out), None)
  if lacking is not None:
    raise UserError(f'{path}: no line for id {lacking!r} of emobank.csv; the file may be cut off')
  return out


def _kept(sentences: Mapping[str, tuple], given: Mapping[str, Ratings], paths: list[Path], missing: str):
  """The ids that have all there should be, in order, and how many lack what."""
  lacks = {'text': [name for name, s in sentences.items() if not s[-1]]}
  lacks |= {p: [name for name in sentences if name not in given[p]] for p in PERSPECTIVES}
  lacks = {what: names for what, names in lacks.items() if names}
  if lacks and missing == 'error':
    what, names = next(iter(lacks.items()))
    path = paths[0] if what == 'text' else paths[1 + PERSPECTIVES.index(what)]
    lack = 'text' if what == 'text' else f'ratings of a {what}'
    raise UserError(
      f'{path}: no {lack} for id {names[0]!r} of emobank.csv ({len(names)} such); '
      'the file may be cut off, or say --option=missing=drop'
    )
  left = {name for names in lacks.values() for name in names}
  kept = sorted(set(sentences) - left)
  if not kept:
    raise UserError(f'{paths[0]}: none of {len(sentences)} sentences has text and ratings of both perspectives')
  rated = set().union(*(given[p] for p in PERSPECTIVES))
  return kept, {'not in emobank.csv': len(rated - set(sentences)), **{what: len(n) for what, n in lacks.items()}}


# Labels


def _ones(ratings: np.ndarray) -> np.ndarray:
  """Which of the ratings [n, 3] are 1, 1, 1."""
  return (ratings == 1).all(1)


def _compare(sentence: tuple, ratings: Ratings) -> bool:
  """Refuses values that are not the means of the ratings without 1, 1, 1; returns whether there are any of these."""
  where, _, gold, _ = sentence
  together = np.concatenate([ratings[p] for p in PERSPECTIVES])
  ones = _ones(together)
  if ones.all():
    raise UserError(
      f'{where}: all {len(together)} ratings are 1, 1, 1; expected others, of which V, A, D are the means'
    )
  computed = together[~ones].mean(0)
  for letter, released, mean in zip(LETTERS, gold, computed, strict=True):
    if abs(released - mean) > ROUNDED:
      raise UserError(
        f'{where}: {letter} is {released:g}, but the {(~ones).sum()} ratings other than 1, 1, 1 have the mean '
        f'{mean:.2f}; fetch all files again'
      )
  return bool(ones.any())


def _seated(ratings: np.ndarray, seats: int) -> np.ndarray:
  """Ratings [n, 3] of 1 to 5 in [-1, 1] on the first n of `seats` seats, NaN on the others."""
  out = np.full((seats, len(ATTRIBUTES)), np.nan)
  out[: len(ratings)] = (ratings - 3) / 2
  return out


# Features


def _width(option: str, given: str | int) -> int:
  low, high = WIDTHS
  if not str(given).isascii() or not str(given).isdigit() or not low <= int(given) <= high:
    raise UserError(f'option {option}: {given!r}, expected a whole number, {low} to {high}')
  return int(given)


def _hashing(widths: Mapping[str, int]) -> dict[str, Callable[[str], np.ndarray]]:
  """modality -> what makes [1, D] float32 of a text."""
  try:
    from sklearn.feature_extraction.text import HashingVectorizer
  except ImportError as error:
    raise UserError(f'emobank makes its features with scikit-learn ({error}): pip install affectjax[report]') from error
  kinds = {
    'text': {'analyzer': 'word', 'ngram_range': (1, 2), 'token_pattern': r'(?u)\b\w+\b'},  # "I" and "a" are words
    'chars': {'analyzer': 'char_wb', 'ngram_range': (2, 4)},
  }

  def make(vectorizer: Any, text: str) -> np.ndarray:
    return vectorizer.transform([text]).toarray().astype(np.float32)

  return {
    name: functools.partial(make, HashingVectorizer(n_features=widths[name], norm='l2', alternate_sign=True, **kind))
    for name, kind in kinds.items()
  }
