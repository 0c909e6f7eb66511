"""Processes that start at once: forked from a server that has imported everything, but has not started JAX."""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.helpers.shared import ROOT

PRELOAD = ['tests.helpers.small', 'affectjax.main', 'affectjax.engine.train', 'affectjax.systems.mtclar']


class Done(NamedTuple):
  """How a command ended."""

  status: int
  out: str
  err: str


def _stop() -> None:
  multiprocessing.forkserver._forkserver._stop()  # no public way, and the next needs its own environment


@contextlib.contextmanager
def server(**environment: str) -> Iterator[Callable[..., multiprocessing.Process]]:
  """Yields `process(function, *arguments)`, not yet started; all share imports and this environment."""
  before = dict(os.environ)
  path = os.pathsep.join(filter(None, (str(ROOT), before.get('PYTHONPATH'))))  # wherever the tests are run from
  os.environ.update({'PYTHONPATH': path, **environment})
  context = multiprocessing.get_context('forkserver')
  _stop()
  context.set_forkserver_preload(PRELOAD)
  try:
    yield lambda function, *arguments: context.Process(target=function, args=arguments)
  finally:
    _stop()
    os.environ.clear()
    os.environ.update(before)


def redirected(function: Callable[[], int], argv: list[str], folder: str) -> None:
  """Runs in the child: stdout and stderr into files, the function's value as exit status."""
  for number, name in ((1, 'out'), (2, 'err')):
    file = os.open(f'{folder}/{name}', os.O_WRONLY | os.O_CREAT)
    os.dup2(file, number)
  sys.argv = argv
  status = function()
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def finish(process, folder: str) -> Done:
  process.join(180)
  assert process.exitcode is not None, 'still running'
  return Done(process.exitcode, *((pathlib.Path(folder) / name).read_text() for name in ('out', 'err')))


def run(process_of: Callable[..., multiprocessing.Process], function: Callable[[], int], argv: list[str]) -> Done:
  """A command run to its end."""
  with tempfile.TemporaryDirectory() as folder:
    process = process_of(redirected, function, argv, folder)
    process.start()
    return finish(process, folder)
