"""How many of the raters' values lie in the predicted central intervals, against how many should.

dict(kind='calibration', rows=('mu', 't_lu'), target='arousal')                     target: one, or a panel for each
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.metrics import predictive
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Lacks, Run, names

REQUIRED, OPTIONAL = ('rows', 'target'), ()
SHARES = np.linspace(0, 1, 101)


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  names(spec, 'target')
  return names(spec, 'rows'), ()


def observed(x: np.ndarray, m: np.ndarray, s: np.ndarray, df: np.ndarray) -> np.ndarray:
  """Share of the values x [M, R] inside the central intervals of `SHARES`, as `coverage.*`; NaN where unknown."""
  kept = ~np.isnan(x).all(1)
  off = 2 * np.abs(predictive.pit(x[kept], m[kept], s[kept], df[kept]) - 0.5)
  off = off[~np.isnan(x[kept])]
  if not len(off) or np.isnan(off).any():
    return np.full(SHARES.shape, np.nan)
  return np.searchsorted(np.sort(off), SHARES, side='right') / len(off)


def _of_row(run: Run, row: str, target: str) -> np.ndarray | str:
  """The mean over seeds of the mean over folds [len(SHARES)], or what lacks."""
  cells, seeds = run.cells(row), {}
  if not cells:
    return 'no finished cell'
  for cell in cells:
    keys = [target + suffix for suffix in ('_ratings', '_hat', '_spread_hat', '_df_hat')]
    arrays = run.arrays(cell, keys)
    if set(arrays) != set(keys):
      return 'predicts no distribution'
    ratings = arrays[keys[0]].astype(float)
    flat = [arrays[key].astype(float).ravel() for key in keys[1:]]
    seeds.setdefault(cell['seed'], []).append(observed(ratings.reshape(-1, ratings.shape[-1]), *flat))
  means = np.mean([np.mean(folds, axis=0) for folds in seeds.values()], axis=0)
  return 'nothing scored' if np.isnan(means).any() else means


def draw(run: Run, spec: Mapping[str, Any]):
  """A panel per target, a line per row; a row that cannot be drawn is named in the legend."""
  rows, targets = names(spec, 'rows'), names(spec, 'target')
  lines = {(row, target): _of_row(run, row, target) for row in rows for target in targets}
  if all(isinstance(line, str) for line in lines.values()):
    raise Lacks('; '.join(dict.fromkeys(f'{row}: {line}' for (row, _), line in lines.items())))
  fig = _style.figure(max(6.0, 4.4 * len(targets)), (6.0 if len(targets) == 1 else 5.0) + 0.2 * (len(rows) // 4))
  panels = fig.subplots(1, len(targets), sharex=True, sharey=True, squeeze=False)[0]
  entries = {}
  for axes, target in zip(panels, targets, strict=True):
    ideal = axes.plot([0, 1], [0, 1], color=_style.INK, linewidth=0.9, zorder=2)[0]
    for i, row in enumerate(rows):
      line = lines[row, target]
      if isinstance(line, str):
        everywhere = all(isinstance(lines[row, t], str) for t in targets)
        entries[row, '' if everywhere else target] = None, f'{row}: {line}{"" if everywhere else f" ({target})"}'
        continue
      entries[row, ''] = axes.plot(
        SHARES, line, color=_style.color(i), linestyle=_style.dashes(i), marker=_style.marker(i), markersize=4.5,
        markevery=(5 + 4 * (i % 4), 16), linewidth=1.6, zorder=3,
      )[0], run.label(row)  # fmt: skip
    for x, y, text, side in ((0.02, 0.98, 'intervals too wide', 'left'), (0.98, 0.02, 'intervals too narrow', 'right')):
      axes.text(x, y, text, ha=side, va='top' if y > 0.5 else 'bottom', color=_style.PALE, fontsize=9)
    axes.set_aspect('equal')
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_title(target)
    axes.set_xlabel('probability of the central interval')
  panels[0].set_ylabel("share of raters' values inside")
  _style.legend(
    fig, [*(entries[key] for key in sorted(entries, key=lambda key: rows.index(key[0]))), (ideal, 'calibrated')]
  )
  _style.title(fig, run.title)
  return fig
