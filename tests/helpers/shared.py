"""Where the real data packs lie (without them a test skips with its reason, in CI it fails), experiments, devices."""

import os
import pathlib
import re

import ml_collections
import pytest

from affectjax.engine.cell import Folder
from affectjax.tables import experiment as experiment_file
from affectjax.tables import scores as scores_lib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pack(name: str) -> pathlib.Path:
  """The folder of a data pack, from AFFECTJAX_SHARED_DATA or ../shared/data beside the checkout."""
  folder = pathlib.Path(os.environ.get('AFFECTJAX_SHARED_DATA', ROOT.parent / 'shared' / 'data')) / name
  if not folder.is_dir():
    message = f'data pack {name} is not at {folder}; set AFFECTJAX_SHARED_DATA'
    if os.environ.get('CI') == 'true':
      pytest.fail(message)
    pytest.skip(message)
  return folder


def scores(folder: pathlib.Path, *names: str) -> dict[str, float]:
  """Metrics of a finished cell on test, those of `names` that it has, from its stored predictions."""
  return scores_lib.points(Folder(folder), names)


def flags_for(devices: int) -> str:
  """XLA_FLAGS for a process of a test: as here, with so many virtual devices."""
  return re.sub(r'(device_count=)\d+', rf'\g<1>{devices}', os.environ['XLA_FLAGS'])


def experiment(paper: str, table: str | None = None) -> ml_collections.ConfigDict:
  """What experiments/<paper>.py says of a table, of its default table without one."""
  return experiment_file.load(ROOT / 'experiments' / f'{paper}.py', table)
