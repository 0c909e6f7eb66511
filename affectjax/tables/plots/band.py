"""A recording over time: its raters, their mean, and what each row predicts of them, with 50 and 95 % bands.

dict(kind='band', rows=('mu', 't_lu'), target='arousal', item='P41', fold='all', seed=0, span=(60, 120))

item, fold, seed: the first, of the test split, if not given; span: seconds, all if not given.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.special

from affectjax.common.errors import UserError
from affectjax.metrics import predictive
from affectjax.tables.plots import _style
from affectjax.tables.plots._run import Cell, Lacks, Run, names, one_name

REQUIRED, OPTIONAL = ('rows', 'target'), ('item', 'fold', 'seed', 'span')
SHARES = (0.95, 0.50)  # the wider one lies below
SHADES = (0.20, 0.38)
HAT = _style.COLORS[0]
EVER = -np.inf, np.inf


def reads(spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The rows and the metrics that a figure of this kind draws; refuses a spec that is none."""
  one_name(spec, 'target')
  span = spec.get('span', EVER)
  if not (
    isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(s, int | float) for s in span)
    and span[0] < span[1]
  ):  # fmt: skip
    raise UserError(f'figure {spec["kind"]!r}: span is (first, last) in seconds, found {span!r}')
  return names(spec, 'rows'), ()


def _choose(run: Run, spec: Mapping[str, Any]) -> tuple[str, dict[str, Cell]]:
  """The item, and of each row that has one the first finished cell that was tested on it."""
  item, chosen, seen = spec.get('item'), {}, []
  for row in names(spec, 'rows'):
    for cell in run.cells(row, spec.get('fold'), spec.get('seed')):
      items = list(dict.fromkeys(map(str, run.arrays(cell, ('item',)).get('item', ()))))
      seen += [name for name in items if name not in seen]
      item = items[0] if item is None and items else item
      if str(item) in items:
        chosen[row] = cell
        break
  if not chosen:
    known = f'; there is: {", ".join(seen[:8])}{", ..." if len(seen) > 8 else ""}' if seen else ''
    raise Lacks(f'no finished cell of its rows was tested on item {item!r}{known}' if seen else 'no finished cell')
  return str(item), chosen


def _over_time(run: Run, cell: Cell, item: str, target: str, span=EVER) -> dict[str, np.ndarray]:
  """The item's arrays, frames [F, ...] in order of time, with a NaN where time leaps; keys without the target.

  `time_s` and, as far as predicted, '' (raters' mean), '_hat', '_spread_hat', '_df_hat', '_ratings'.
  """
  suffixes = ('', '_hat', '_spread_hat', '_df_hat', '_ratings')
  columns = run.arrays(cell, ('item', 'time_s', *(target + suffix for suffix in suffixes)))
  if 'time_s' not in columns:
    raise Lacks(f'the predictions of row {cell["row"]} have no time_s')
  here = columns['item'].astype(str) == item
  time = columns['time_s'][here].astype(float)
  real = np.isfinite(time) & (time >= span[0]) & (time <= span[1])
  order = np.argsort(time[real], kind='stable')
  time = time[real][order]
  step = np.diff(time)
  leaps = np.flatnonzero(step > 1.5 * np.median(step)) + 1 if len(step) else np.zeros(0, int)
  out = {'time_s': np.insert(time, leaps, np.nan)}
  for suffix in suffixes:
    if target + suffix in columns:
      column = columns[target + suffix][here][real][order].astype(float)
      out[suffix] = np.insert(column, leaps, np.nan, axis=0)
  return out


def half_width(share: float, sd: np.ndarray, df: np.ndarray) -> np.ndarray:
  """Half the central interval of that probability of a Gaussian (df inf) or a Student-t of that standard deviation."""
  _, scale = predictive.predicted(sd, df)
  p = 0.5 + share / 2
  with np.errstate(invalid='ignore'):
    return scale * np.where(df == np.inf, scipy.special.ndtri(p), scipy.special.stdtrit(df, p))


def _predicts(columns: Mapping[str, np.ndarray]) -> str:
  if '_hat' not in columns:
    return 'predicts no mean'
  if not {'_spread_hat', '_df_hat'} <= set(columns):
    return 'predicts no spread'
  df = np.unique(columns['_df_hat'][~np.isnan(columns['_df_hat'])])
  if len(df) == 1 and np.isfinite(df[0]):
    return f'Student-t, {df[0]:g} degrees of freedom'
  return 'Gaussian' if (df == np.inf).all() else 'Student-t'


def _panel(axes, columns: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], np.ndarray]:
  """Draws one row; returns its legend, label -> handle, and values that y should hold.

  Of the wider band it should hold most: where it is widest it may leave the panel.
  """
  time, entries, held = columns['time_s'], {}, []
  if '_ratings' in columns:
    lines = axes.plot(time, columns['_ratings'], color=_style.PALE, linewidth=0.7, alpha=0.75, zorder=1.5)
    entries |= {'raters': lines[0]} if lines else {}
    held.append(columns['_ratings'].ravel())
  if {'_hat', '_spread_hat', '_df_hat'} <= set(columns):
    for share, shade in zip(SHARES, SHADES, strict=True):
      half = half_width(share, columns['_spread_hat'], columns['_df_hat'])
      low, high = columns['_hat'] - half, columns['_hat'] + half
      band = axes.fill_between(time, low, high, color=HAT, alpha=shade, linewidth=0, zorder=2)
      entries[f'predicted {100 * share:g} % interval'] = band
      held += [low, high] if share == min(SHARES) else [_quantile(low, 0.02), _quantile(high, 0.98)]
  for key, color, width, label in (('', 'black', 1.5, "raters' mean"), ('_hat', HAT, 1.5, 'predicted mean')):
    if key in columns:
      entries[label] = axes.plot(time, columns[key], color=color, linewidth=width, zorder=4)[0]
      held.append(columns[key])
  return entries, np.concatenate([x[np.isfinite(x)] for x in held]) if held else np.zeros(0)


def _quantile(x: np.ndarray, p: float) -> np.ndarray:
  x = x[np.isfinite(x)]
  return np.atleast_1d(np.quantile(x, p)) if len(x) else x


def draw(run: Run, spec: Mapping[str, Any]):
  """A panel per row, on the same axes of time and value; one that is not done says so."""
  rows, target = names(spec, 'rows'), one_name(spec, 'target')
  item, chosen = _choose(run, spec)
  columns = {row: _over_time(run, cell, item, target, spec.get('span', EVER)) for row, cell in chosen.items()}
  if not any('' in t or '_ratings' in t for t in columns.values()):
    raise Lacks(f'the predictions have no {target}')
  if not any(len(t['time_s']) for t in columns.values()):
    raise Lacks(f'recording {item} has no frame in {spec.get("span", "it")}')
  fig = _style.figure(9, 1.4 + 2.0 * len(rows))
  panels = fig.subplots(len(rows), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
  entries, held = {}, []
  where = {row: f'fold {c["fold"]}, seed {c["seed"]}' for row, c in chosen.items()}
  alike = len(set(where.values())) == 1
  for row, axes in zip(rows, panels, strict=True):
    axes.set_ylabel(target)
    if row not in columns:
      axes.set_title(row, loc='left')
      axes.grid(visible=False)
      axes.text(0.5, 0.5, 'no finished cell with this recording', color=_style.PALE, ha='center', va='center',
                transform=axes.transAxes)  # fmt: skip
      continue
    axes.set_title(f'{row}: {_predicts(columns[row])}' + ('' if alike else f' ({where[row]})'), loc='left')
    new, values = _panel(axes, columns[row])
    entries |= new
    held.append(values)
  held = np.concatenate(held)
  if len(held):
    room = max(0.05 * np.ptp(held), 1e-3)
    panels[0].set_ylim(held.min() - room, held.max() + room)
  panels[0].margins(x=0.01)
  panels[-1].set_xlabel('time (s)')
  order = ('raters', "raters' mean", 'predicted mean', 'predicted 50 % interval', 'predicted 95 % interval')
  _style.legend(fig, [(entries[label], label) for label in order if label in entries])
  _style.title(fig, run.title, f'recording {item}' + (f', {next(iter(where.values()))}' if alike else ''))
  return fig
