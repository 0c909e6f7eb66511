"""Figures of a workdir: a forest plot per metric, and those that its experiment file names. Needs matplotlib.

`c.figures = (dict(kind='band', rows=('mu', 't_lu'), target='arousal'), ...)`; kinds are the modules of `plots`. All is
drawn from records and stored predictions alone.
"""

import importlib
import pathlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from affectjax.common.errors import UserError, unknown
from affectjax.tables import plots
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run, names
from affectjax.tables.summary import read_table, summarise

Spec = Mapping[str, Any]
DPI = 150


def kinds() -> list[str]:
  """The kinds of figures there are."""
  return sorted(m.name for m in pkgutil.iter_modules(plots.__path__) if not m.name.startswith('_'))


def _kind(spec: Spec) -> ModuleType:
  if not isinstance(spec, Mapping):
    raise UserError(f'a figure is a mapping of kind and more, found {spec!r}')
  name = spec.get('kind')
  if name not in kinds():
    raise unknown('kind of figure', name, kinds())
  return importlib.import_module(f'{plots.__name__}.{name}')


def _reads(spec: Spec) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure draws; refuses one with wrong keys or values."""
  kind = _kind(spec)
  known = {'kind', 'name', *kind.REQUIRED, *kind.OPTIONAL}
  for key in spec:
    if key not in known:
      raise unknown(f'key in figure {spec["kind"]!r}:', key, known)
  lacking = [key for key in kind.REQUIRED if key not in spec]
  if lacking:
    raise UserError(f'figure {spec["kind"]!r} lacks {", ".join(lacking)}')
  if 'name' in spec and not re.fullmatch(r'\w[\w.-]*', str(spec['name'])):
    raise UserError(f'figure {spec["kind"]!r}: name {spec["name"]!r} is no file name of letters, digits and _ . -')
  return kind.reads(spec)


def check(specs: Iterable[Spec], rows: Iterable[str]) -> None:
  """Refuses figures of unknown kinds, keys, rows or metrics, and values of the wrong form.

  Args:
    specs: of an experiment file.
    rows: the names of its rows.

  Raises:
    UserError: as said.
  """
  for spec in specs:
    for row in _reads(spec)[0]:
      if row not in rows:
        raise unknown(f'row in figure {spec["kind"]!r}:', row, rows)


def _stems(specs: Sequence[Spec]) -> list[str]:
  """A file name for each, without .png; figures that would share one are numbered."""
  out: list[str] = []
  for spec in specs:
    about = names(spec, 'target' if 'target' in spec else 'metric') if {'target', 'metric'} & set(spec) else ()
    stem = re.sub(r'[^\w.-]', '_', str(spec.get('name') or '.'.join([spec['kind'], *about])))
    number = 2
    while (new := stem if number == 2 and stem not in out else f'{stem}-{number}') in out:
      number += 1
    out.append(new)
  return out


def draw(workdir: pathlib.Path) -> tuple[list[pathlib.Path], list[str]]:
  """Draws `<workdir>/figures/*.png`, each whole or not at all.

  Returns:
    The paths: `<metric>.png`, a forest plot per metric that a row has; of the others `<name>.png`, or
    `<kind>.<target or metric>.png`, numbered if need be. And of each figure with nothing to draw a line that says why.

  Raises:
    UserError: matplotlib is not installed, or a figure is none.
  """
  matplotlib, workdir = _style.matplotlib(), pathlib.Path(workdir)
  table = read_table(workdir)
  specs = [{'kind': 'forest', 'metric': m, 'name': m} for m in table['metrics']] + list(table.get('figures', ()))
  run = Run(workdir, summarise(workdir, [metric for spec in specs for metric in _reads(spec)[1]]))
  folder, out, left_out = workdir / 'figures', [], []
  for spec, stem in zip(specs, _stems(specs), strict=True):
    path = folder / f'{stem}.png'
    with matplotlib.rc_context(_style.SETTINGS):
      try:
        figure = _kind(spec).draw(run, spec)
      except Lacks as lack:
        left_out.append(f'{path} not drawn: {lack}')
        continue
      folder.mkdir(exist_ok=True)
      temporary = path.with_name(f'{path.name}.tmp')
      figure.savefig(temporary, dpi=DPI, format='png')
    temporary.replace(path)
    out.append(path)
  return out, left_out
