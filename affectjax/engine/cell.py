"""A cell's folder, written and read in one place.

config.json        the resolved config, the cell's fingerprint and row, and what it was trained on
metrics.jsonl      a line per logged step and per evaluation (nonfinite.jsonl: updates that were skipped)
predictions.npz    ids, groups, labels and outputs of dev and test, `<split>/<name>`; there once it is finished
checkpoints/       see `affectjax.engine.checkpoint`
FAILED             the traceback, if the cell failed
"""

import json
import pathlib
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.common.files import write_json, write_text

AGAIN = 'remove its folder and run it again'
# What numpy and zipfile raise for a damaged archive.
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Folder:
  """One cell's folder; nothing is read before it is asked for."""

  def __init__(self, path: pathlib.Path):
    self.path = pathlib.Path(path)

  @property
  def config(self) -> pathlib.Path:
    """The resolved config and what the cell was trained on; `document` reads it."""
    return self.path / 'config.json'

  @property
  def metrics(self) -> pathlib.Path:
    """The log of steps and evaluations."""
    return self.path / 'metrics.jsonl'

  @property
  def steps(self) -> pathlib.Path:
    """Checkpoints of training, which go once the cell is recorded."""
    return self.path / 'checkpoints' / 'steps'

  @property
  def final(self) -> pathlib.Path:
    """The parameters that are reported, to start from or to predict with."""
    return self.path / 'checkpoints' / 'final'

  def nonfinite(self, host: int = 0) -> pathlib.Path:
    """The log of skipped updates; every host sees its own examples only."""
    return self.path / (f'nonfinite-{host}.jsonl' if host else 'nonfinite.jsonl')

  # Written

  def begin(self, document: Mapping[str, Any]) -> None:
    """Before training: what config.json says; an earlier failure is forgotten."""
    self.path.mkdir(parents=True, exist_ok=True)
    self._failure.unlink(missing_ok=True)
    write_json(self.config, document)

  def fail(self, text: str) -> None:
    """Notes a failure."""
    self.path.mkdir(parents=True, exist_ok=True)
    write_text(self._failure, text)

  def store(self, outputs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Predictions by split and name, compressed, written whole or not at all."""
    temporary = self._predictions.with_name(self._predictions.name + '.tmp')
    with open(temporary, 'wb') as file:
      np.savez_compressed(file, **{f'{s}/{k}': v for s, out in outputs.items() for k, v in out.items()})
    temporary.replace(self._predictions)

  # Read

  @property
  def finished(self) -> bool:
    """Whether predictions are there."""
    return self._predictions.is_file()

  @property
  def failure(self) -> str:
    """The last line of the traceback; '' if the cell did not fail."""
    lines = self._failure.read_text(errors='replace').split('\n') if self._failure.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), 'FAILED' if lines else '')

  def predictions(self, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays `<split>/<name>` of these names that are there.

    Raises:
      ValueError: predictions.npz cannot be read, and why.
    """
    try:
      with np.load(self._predictions, allow_pickle=False) as file:
        return {name: file[name] for name in names if name in file.files}
    except _BROKEN as error:
      raise _unreadable(error) from error

  def stored(self) -> tuple[str, ...]:
    """The names `<split>/<name>` of all arrays; ValueError as of `predictions`."""
    try:
      with np.load(self._predictions, allow_pickle=False) as file:
        return tuple(file.files)
    except _BROKEN as error:
      raise _unreadable(error) from error

  def document(self) -> dict[str, Any]:
    """What config.json says, of a cell that is finished and did not fail.

    Raises:
      UserError: no cell, damaged, failed or unfinished.
    """
    if not self.config.is_file():
      what = 'not a cell, there is no config.json' if self.path.is_dir() else 'no such folder'
      raise UserError(f'{self.path}: {what}; expected WORKDIR/cells/<row>/<fold>-<seed>-<fingerprint>')
    try:
      document = json.loads(self.config.read_text('utf-8'))
      if not isinstance(document['config']['system'], str):
        raise TypeError('system is no name')
    except (ValueError, KeyError, TypeError, OSError) as error:
      raise UserError(f'{self.config}: cannot be read as the config of a cell: {error!r}; {AGAIN}') from error
    if self._failure.is_file():
      raise UserError(f'{self.path}: this cell failed, see its file FAILED; run it to its end first')
    if not self.finished:
      raise UserError(f'{self.path}: this cell is not finished, there is no predictions.npz; run it to its end first')
    return document

  @property
  def _predictions(self) -> pathlib.Path:
    return self.path / 'predictions.npz'

  @property
  def _failure(self) -> pathlib.Path:
    return self.path / 'FAILED'


def _unreadable(error: Exception) -> ValueError:
  why = error.strerror if isinstance(error, OSError) and error.strerror else error  # tables hold no paths
  return ValueError(f'predictions.npz cannot be read: {why}')
