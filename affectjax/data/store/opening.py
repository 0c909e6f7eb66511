"""Corpora on disk, and which there are: prepared ones and synthetic twins, by name.

    <data_dir>/<corpus>/<version>/
        <corpus>-<split>.array_record-00000, ...      the examples, in the order of the source
        features.json  dataset_info.json              what TFDS needs to read them
        affectjax.json                                what we know of them: metadata, hashes, counts, ranges

A corpus of the user's own (affectjax.data.own) lies there in the same way, under a name that no adapter has.
"""

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from affectjax.common import errors
from affectjax.data import corpora, twins
from affectjax.data.corpus import Corpus
from affectjax.data.store import records

OWN, OWN_VERSION = 'features', '1.0.0'  # what corpora of the user's own are prepared as
_OWN_NAME = '[a-z][a-z0-9_]*'


def names(package: Any = corpora) -> list[str]:
  """The corpora that have an adapter (or, of package `twins`, a synthetic twin)."""
  return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith('_'))


def own_names(data_dir: Path) -> list[str]:
  """The corpora of the user's own that are prepared below `data_dir`, or begun there."""
  root, taken, out = Path(data_dir).expanduser(), {*names(), *names(twins)}, []
  try:
    for place in sorted(root.iterdir()) if root.is_dir() else ():
      if place.is_dir() and place.name not in taken and re.fullmatch(_OWN_NAME, place.name):
        if any(re.fullmatch(r'\d+\.\d+\.\d+(\.incomplete)?', p.name) for p in place.iterdir()):
          out.append(place.name)
  except OSError as e:
    raise errors.UserError(f'{root}: cannot be read ({e}); check its permissions') from e
  return out


def open_corpus(name: str, data_dir: Path | None = None, **knobs: Any) -> Corpus:
  """The prepared corpus below `data_dir`, or without one its synthetic twin.

  Reads only affectjax.json; examples are read when `columns(split)` is called.

  Args:
    name: of the corpus.
    data_dir: where corpora are prepared.
    knobs: of the twin (`seed` and sizes of effects); none with a data_dir.

  Raises:
    UserError: unknown name or knob; not prepared (with the command that does it), incomplete or damaged.
  """
  if data_dir is None:
    return _twin(name, knobs)
  if knobs:
    raise errors.UserError(f'{name}: {", ".join(sorted(knobs))} can be set for the synthetic twin only')
  where = folder(name, data_dir)
  info = manifest(name, data_dir)
  counts = {split: s['examples'] for split, s in info['splits'].items()}
  stored = records.Stored(where, info)
  return Corpus(name, 'prepared', info['version'], info['sha256'], counts, info['meta'], stored.columns, stored)


def folder(name: str, data_dir: Path) -> Path:
  """Where the prepared corpus lies, whether or not it is there; one of the user's own must be there or begun."""
  if name in names():
    version = adapter(name).VERSION
  elif name in (others := own_names(data_dir)):
    version = OWN_VERSION
  else:
    raise errors.unknown('corpus', name, {*names(), *others})
  return Path(data_dir).expanduser() / name / version


def manifest(name: str, data_dir: Path) -> dict[str, Any]:
  """What affectjax.json says; files that are missing or of another size are refused."""
  where = folder(name, data_dir)
  form = name if name in names() else f'{OWN} --name={name} --labels=...'
  command = f'python -m affectjax.prepare {form} --source=... --data_dir={data_dir}'
  again = f'remove {where} and run: {command}'
  if not where.is_dir():
    if incomplete(where).is_dir():
      raise errors.UserError(f'{name}: its preparation in {where} was interrupted; to continue, run: {command}')
    others = sorted(p.name for p in where.parent.glob('*') if p.is_dir())
    have = f' (there is version {", ".join(others)}, this code reads {where.name})' if others else ''
    raise errors.UserError(f'{name} is not prepared in {data_dir}{have}; run: {command}')
  try:
    info = json.loads((where / records.MANIFEST).read_text('utf-8'))
    splits = {split: s['shards'] for split, s in info['splits'].items()}
    sizes = {where / shard['file']: shard['size'] for shards in splits.values() for shard in shards}
    form = info['created'].get('form', name)
  except (OSError, ValueError, KeyError, TypeError) as e:
    raise errors.UserError(f'{where / records.MANIFEST}: missing or damaged ({type(e).__name__}); {again}') from e
  if form == OWN and name in names():
    raise errors.UserError(f'{where}: made of features of your own, and {name} is a corpus with a reader of its own; '
                           f'remove or rename {where.parent}')  # fmt: skip
  for path, size in sizes.items():
    actual = path.stat().st_size if path.is_file() else None
    if actual != size:
      what = 'missing' if actual is None else f'{actual} bytes'
      raise errors.UserError(f'{path}: {what}, expected {size} bytes; {again}')
  return info


def refuse_taken(name: str) -> None:
  """Refuses a name that a corpus of the user's own cannot have."""
  if not re.fullmatch(_OWN_NAME, name):
    raise errors.UserError(f'name {name!r}, expected small letters, digits and underscores, a letter first')
  if name in (OWN, *names(), *names(twins)):
    raise errors.UserError(f'name {name!r} is taken ({", ".join([OWN, *names()])}); choose another')


def adapter(name: str) -> Any:
  """The module affectjax.data.corpora.<name>."""
  if name not in names():
    raise errors.unknown('corpus', name, names())
  return importlib.import_module(f'{corpora.__name__}.{name}')


def _twin(name: str, knobs: Mapping[str, Any]) -> Corpus:
  if name not in names(twins):
    if name in names():
      raise errors.UserError(f'{name} has no synthetic twin; say where it is prepared with --data_dir')
    raise errors.unknown('corpus', name, {*names(), *names(twins)})
  make = importlib.import_module(f'{twins.__name__}.{name}').make
  refuse_unknown(f'knob of the twin {name}', make, knobs)
  return make(**knobs)


def refuse_unknown(what: str, function: Callable, given: Mapping[str, Any]) -> None:
  """Refuses keywords that the function does not have (`source` is not one to choose)."""
  parameters = inspect.signature(function).parameters
  if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
    return
  known = set(parameters) - {'source'}
  for key in given:
    if key not in known:
      raise errors.unknown(what, key, known)


def incomplete(final: Path) -> Path:
  """Where a corpus lies while it is being written."""
  return final.with_name(f'{final.name}.incomplete')
