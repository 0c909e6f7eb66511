"""A folder of features without labels (affectjax.data.own.folder) in memory, held against a training corpus.

The table of items, a csv with a header, has a line per id, oldest first within an item, and the columns

    id, item        the file's name without suffix; the recording, film or dialogue that it is a part of

Without it every id is an item of its own.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import features
from affectjax.data.corpus import Corpus, Ragged
from affectjax.data.own import folder
from affectjax.data.store import schema

SPLIT = 'all'
Wanted = Mapping[str, Mapping[str, Any]]  # modality -> width, rate_hz, perhaps columns


@dataclasses.dataclass(frozen=True)
class Source:
  """What the user says of a folder.

  Attributes:
    folder: where the files are.
    modality: of files that lie in the folder itself; None if there is one only that they can be.
    rate_hz: see `folder.rates`.
    items: the table of items, or None.
    nonfinite: what to do about NaN and infinity: 'error', 'drop' the id, or 'mask' the frame.
    extraction: how wav files are described.
  """

  folder: Path
  modality: str | None
  rate_hz: str | None
  items: Path | None
  nonfinite: str
  extraction: folder.Extraction


def find(source: Source, known: Wanted, wanted: Sequence[str]) -> tuple[folder.Files, list[str]]:
  """The files of the modalities that are read, and the names of those that are not.

  Args:
    source: of the files.
    known: all modalities of the training corpus.
    wanted: those that are read.

  Raises:
    UserError: in one line, for a modality that training did not have, or none that is read.
  """
  if source.modality is not None and source.modality not in wanted:
    raise unknown('modality in --modality; read by this cell', source.modality, wanted)
  besides = [] if source.items is None else [source.items]
  files = folder.find(source.folder, source.modality, besides=besides)
  paths = dict(files.paths)
  if source.modality is None and next(iter(next(iter(paths.values())).values())).parent == source.folder:
    if len(wanted) > 1:
      raise UserError(f'{source.folder}: files of one modality, but the cell reads {" and ".join(wanted)}; say which '
                      f'with --modality, or make a folder per modality: {", ".join(wanted)}')  # fmt: skip
    paths = {wanted[0]: next(iter(paths.values()))}
  for name in paths:
    if name not in known:
      raise unknown(f'modality in {source.folder}; trained on', name, known)
  read = {m: paths[m] for m in wanted if m in paths}
  if not read:
    raise UserError(f'{source.folder}: {", ".join(paths)}, but the cell reads {", ".join(wanted)}; add that folder')
  return folder.Files(source.folder, read), [m for m in paths if m not in read]


def read(
  source: Source, known: Wanted, wanted: Sequence[str], progress: Callable[[int, int], None] = lambda done, total: None
) -> Corpus:
  """The folder's examples, split `all`: `id`, `group`, `item`, and every wanted modality with its mask.

  A modality that an id lacks is one frame of zeros, masked.

  Args:
    source: of the files.
    known: all modalities of the training corpus.
    wanted: those that are read.
    progress: called with (done, total) as ids are read.

  Returns:
    A corpus; its `meta` also has `not_read`, names of modalities, and `dropped`, ids.

  Raises:
    UserError: in one line, for what is damaged, or other than in training.
  """
  files, rest = find(source, known, wanted)
  rates = folder.rates(source.rate_hz, files)
  _refuse_rates(source, rates, known)
  rates = {m: None if known[m]['rate_hz'] is None and np.isnan(r or 0) else r for m, r in rates.items()}
  streams = folder.Streams(files, rates, source.extraction)
  _refuse_features(files, streams, known)
  items = _items(source.items, files)
  widths = {m: int(known[m]['width']) for m in wanted}
  examples, dropped = [], []
  progress(0, len(items))
  for i, name in enumerate(items):
    example = {'id': name, **{m: x for m, x in streams.read(name).items() if m in widths}}
    for m, width in widths.items():
      present = m in files.paths and name in files.paths[m]
      example.setdefault(m, np.zeros((1, width), np.float32))
      example[f'{m}_mask'] = np.full(len(example[m]), present)
    try:
      schema.treat(example, widths, source.nonfinite)
      examples.append(example)
    except schema.Dropped:
      dropped.append(name)
    except UserError as error:
      raise UserError(f'{source.folder}: {error}') from error
    progress(i + 1, len(items))
  if not examples:
    raise UserError(f'{source.folder}: every one of {len(dropped)} ids has NaN or infinity; look at the extraction, or '
                    'give --nonfinite=mask')  # fmt: skip
  return _corpus(source, examples, items, widths, streams.rates, {'not_read': rest, 'dropped': dropped})


def _corpus(source, examples, items, widths, rates, more) -> Corpus:
  ids = np.array([e['id'] for e in examples])
  item = np.array([items[name] for name in ids.tolist()])
  keys = [k for m in widths for k in (m, f'{m}_mask')]
  columns = {'id': ids, 'group': item, 'item': item, **{k: Ragged.stack([e[k] for e in examples]) for k in keys}}
  meta = {'modalities': widths, 'rate_hz': {m: rates.get(m) for m in widths}, 'emotions': [], 'attributes': [], **more}
  return Corpus(str(source.folder), 'unlabelled', '', '', {SPLIT: len(ids)}, meta, lambda split: columns)


def _refuse_rates(source: Source, rates: Mapping[str, float | None], known: Wanted) -> None:
  for name, rate in rates.items():
    trained = known[name]['rate_hz']
    if rate is not None and np.isnan(rate):
      if trained is not None:
        raise UserError(f'{source.folder}: no rate of {name} is known; the cell was trained on {trained:g} frames per '
                        f'second: give --rate_hz={name}:{trained:g} if that is what they have')  # fmt: skip
    elif (rate is None) != (trained is None) or (rate is not None and abs(rate / trained - 1) > 1e-3):
      said = ['frames without a rate' if r is None else f'{r:g} frames per second' for r in (rate, trained)]
      raise UserError(f'{source.folder}: {name} has {said[0]}, the cell was trained on {said[1]}; extract it at that '
                      'rate')  # fmt: skip


def _refuse_features(files: folder.Files, streams: folder.Streams, known: Wanted) -> None:
  """Refuses features of another width or with other names than in training."""
  for name, of in files.paths.items():
    first, width, trained = next(iter(of.values())), streams.widths[name], int(known[name]['width'])
    if width != trained:
      raise UserError(f'{first}: {width} features per frame of {name}, the cell was trained on {trained}; extract the '
                      'same features')  # fmt: skip
    columns, wanted = streams.columns.get(name), known[name].get('columns')
    if columns is None or wanted is None:
      continue
    for i, (a, b) in enumerate(zip(columns, wanted, strict=True)):
      if a != b:
        raise UserError(f'{first}: feature {i + 1} of {name} is {a!r}, in training it was {b!r}; extract the same '
                        'features, in the same order')  # fmt: skip


def _items(path: Path | None, files: folder.Files) -> dict[str, str]:
  """id -> item, the ids of an item together, in the table's order."""
  ids = files.ids
  if path is None:
    return {name: name for name in ids}
  header, lines = features.load_rows(path, columns=('id', 'item'))
  at, out, known = [header.index(k) for k in ('id', 'item')], {}, set(ids)
  for i, line in enumerate(lines):
    name, item = (line[k].strip() for k in at)
    if not name or not item:
      raise UserError(f'{path}: line {i + 2}: {"item" if name else "id"} is empty; expected a name')
    if name in out:
      raise UserError(f'{path}: line {i + 2}: id {name!r} has an earlier line; expected one')
    if name not in known:
      raise UserError(f'{path}: line {i + 2}: id {name!r} has no file in {files.source}; add it, or remove the line')
    out[name] = item
  absent = [name for name in ids if name not in out]
  if absent:
    raise UserError(f'{files.source}: id {absent[0]!r} has no line in {path} ({len(absent)} such ids); add it')
  order = {item: i for i, item in enumerate(dict.fromkeys(out.values()))}
  return dict(sorted(out.items(), key=lambda pair: order[pair[1]]))
