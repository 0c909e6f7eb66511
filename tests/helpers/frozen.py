"""What every row of every table learns from, as hashes: who is on each side, their labels, the first training batches.

    python -m tests.helpers.frozen            the tables on twins, to frozen_twins.json
    python -m tests.helpers.frozen DATA_DIR   those of which the corpora are prepared there, to frozen_real.json

A change that should leave what is learned from alone leaves these files alone. `explain` says which of a cell's arrays
are which, to hold two revisions against each other.
"""

import hashlib
import itertools
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import jax
import numpy as np

from affectjax.common.errors import UserError
from affectjax.engine import train
from affectjax.tables import cells
from affectjax.tables import experiment as experiment_file
from tests.helpers.shared import ROOT, pack

BATCHES = 3
TWINS, REAL = (pathlib.Path(__file__).with_name(f'frozen_{kind}.json') for kind in ('twins', 'real'))


def digest(values: Any) -> str:
  """Of an array: its type, shape and content; of floats only which are NaN, for their last digits are the machine's."""
  values = np.asarray(values)
  kind = 'str' if values.dtype.kind in 'US' else str(values.dtype)
  if kind == 'str':
    content = '\n'.join(map(str, values.ravel().tolist())).encode()
  else:
    content = np.ascontiguousarray(np.isnan(values) if values.dtype.kind == 'f' else values).tobytes()
  return hashlib.sha256(f'{kind} {values.shape}\n'.encode() + content).hexdigest()[:16]


def tables(data_dir: str | None) -> Iterator[tuple[str, str, cells.Table]]:
  """(experiment, table, resolved) of all experiment files."""
  for path in sorted((ROOT / 'experiments').glob('[!_]*.py')):
    for name in experiment_file.load(path).tables:
      config = experiment_file.load(path, name).copy_and_resolve_references().to_dict()
      yield path.stem, name, cells.Table(config, path.name, data_dir)


def configs(table: cells.Table) -> Iterator[tuple[str, dict[str, Any]]]:
  """(name, resolved config) of every row on its first and its last fold."""
  for row in table.config['order']:
    try:
      run = table.row(row)
    except UserError as error:
      if 'with --data_dir' in str(error):  # a twin with other knobs
        continue
      raise
    if run['twins'].get('crema_d', {}).get('votes') == 'real':
      run['twins']['crema_d'] = {**run['twins']['crema_d'], 'pack': str(pack('cremad_votes'))}
    folds = table.folds(run)
    for fold in dict.fromkeys((folds[0], folds[-1])):
      yield f'{row}/{fold}', {**run, 'fold': fold, 'seed': 0}


def described(config: Mapping[str, Any], data_dir: str | None) -> dict[str, dict[str, str]]:
  """`sides`, `labels` and `batches` of a cell, each name -> hash."""
  sides, labels = SIDES[config['system']](config, data_dir)
  experiment = train.system(config['system']).build(config, data_dir)
  found = {}
  if experiment.steps:
    some = list(itertools.islice(experiment.batches('train', 0), BATCHES))
    found = {f'train/{k}': digest(np.stack([b[k] for b in some])) if same(some, k) else
             ' '.join(digest(b[k]) for b in some) for k in some[0]}  # fmt: skip
  for side in ('dev', 'test'):
    first = next(iter(experiment.batches(side, 0)))
    found |= {f'{side}/{k}': digest(v) for k, v in first.items()}
  return {'sides': {k: digest(v) for k, v in sides.items()}, 'labels': labels, 'batches': found}


def same(batches, key: str) -> bool:
  return len({b[key].shape for b in batches}) == 1


def frozen(config: Mapping[str, Any], data_dir: str | None) -> list[str]:
  """A hash each of sides, labels and batches, as on one device."""
  with mock.patch.object(jax, 'local_device_count', lambda: 1):
    told = described(config, data_dir)
  return [hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:16] for part in told.values()]


def _mtclar(config, data_dir):
  from affectjax.examples import splits
  from affectjax.systems.mtclar import frames as frames_lib

  frames = frames_lib.load(config, data_dir)
  rows = splits.split(frames.examples, config)
  labels = {
    f'{side}/{name}': digest(getattr(frames, name)[at])
    for side, at in rows.items()
    for name in ('labels', 'emotion', 'present')
  }
  return {side: frames.id[at] for side, at in rows.items()}, labels


def _vavl(config, data_dir):
  from affectjax.examples import splits
  from affectjax.systems.vavl import clips as clips_lib
  from affectjax.systems.vavl import experiment

  clips = clips_lib.load(config, data_dir, features=config['stage'] != 'reference')
  found = clips_lib.labels(clips, config)
  rows = experiment.labelled(clips, found['label'], config)
  rows['train'] = splits.limited(rows['train'], config['data']['limit'], config['data']['seed'])
  labels = {f'{side}/{k}': digest(v[at]) for side, at in rows.items() for k, v in found.items()}
  return {side: clips.id[at] for side, at in rows.items()}, labels


def _amber2(config, data_dir):
  from affectjax.examples import targets
  from affectjax.systems.amber2 import items as items_lib

  items = items_lib.load(config, data_dir, embedded=config['stage'] != 'reference')
  found = targets.distributions(items, config['target'])
  if str(config['fold']).isdigit() or config['data']['split'] == 'official':
    rows = items_lib.labelled(items, found, config)
  else:
    rows = {'test': np.flatnonzero(found.kept)}
  labels = {
    f'{side}/{name}': digest(getattr(found, name)[at])
    for side, at in rows.items()
    for name in ('votes', 'shares', 'emotion', 'first', 'level')
  }
  return {side: items.id[at] for side, at in rows.items()}, labels


def _masked_ssl(config, data_dir):
  from affectjax.systems.masked_ssl import experiment, sequences, views

  examples, rows = experiment.prepared(config, data_dir)
  if config['stage'] == 'pretrain':
    rows = {**rows, 'train': sequences.pool(examples, rows, config)}
    return {side: examples.id[at] for side, at in rows.items()}, {}
  label, _ = views.labels(examples, config)
  rows = experiment.limited(examples, rows, label, config)
  return ({side: examples.id[at] for side, at in rows.items()},
          {f'{side}/label': digest(label[at]) for side, at in rows.items()})  # fmt: skip


def _label_uncertainty(config, data_dir):
  from affectjax.systems.label_uncertainty import windows

  data = windows.load(config, data_dir)
  labels = {
    f'{side}/{name}': digest(part[name])
    for side, part in data.splits.items()
    for name in ('mean', 'spread', 'count', 'ratings', 'agreement')
  }
  labels['delays'] = digest(np.array(data.delays))
  return {side: part['id'] for side, part in data.splits.items()}, labels


SIDES = {
  'mtclar': _mtclar, 'vavl': _vavl, 'amber2': _amber2, 'masked_ssl': _masked_ssl,
  'label_uncertainty': _label_uncertainty,
}  # fmt: skip


def missing(error: UserError) -> bool:
  """Whether a cell cannot be built because its corpus is not here."""
  return any(part in str(error) for part in ('has no synthetic twin', 'is not prepared in'))


def everything(data_dir: str | None) -> dict[str, list[str]]:
  """experiment:table:row/fold -> its three hashes, of the cells whose corpora are here."""
  found = {}
  for experiment, name, table in tables(data_dir):
    for cell, config in configs(table):
      try:
        found[f'{experiment}:{name}:{cell}'] = frozen(config, data_dir)
      except UserError as error:
        if not missing(error):
          raise
  return found


def explain(cell: str, data_dir: str | None = None) -> dict[str, dict[str, str]]:
  """Every hash of one cell, by its name in the files."""
  experiment, name, row = cell.split(':', 2)
  (table,) = [t for e, n, t in tables(data_dir) if (e, n) == (experiment, name)]
  return described(dict(configs(table))[row], data_dir)


if __name__ == '__main__':
  where = sys.argv[1] if len(sys.argv) > 1 else None
  lines = (f'{json.dumps(cell)}: {json.dumps(hashes)}' for cell, hashes in sorted(everything(where).items()))
  (REAL if where else TWINS).write_text('{\n' + ',\n'.join(lines) + '\n}\n')
