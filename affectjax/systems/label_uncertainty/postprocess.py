"""The usual chain on a predicted mean: median filter, centring, scaling, shift; each kept only if dev CCC rises.

Trigeorgis et al. 2016, Tzirakis et al. 2017 (experiments/label_uncertainty.md, 6). It is fitted on dev, applied to
test, and never touches the predicted spread.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from affectjax import metrics

WINDOWS = (0.4, 1.0, 2.0, 4.0, 8.0, 12.0, 20.0)  # s
SHIFTS = (0.04, 0.2, 0.4, 1.0, 2.0, 4.0, 7.0, 10.0)  # s


class Track:
  """Truth and prediction of one attribute on one split, as recordings. Windows of a recording lie in order."""

  def __init__(self, out: Mapping[str, np.ndarray], attribute: str):
    self.shape = out[attribute].shape
    self.real = np.isfinite(out['time_s']) & np.isfinite(out[f'{attribute}_hat'])  # no padding, no absent features
    item = np.repeat(out['item'], self.shape[1]).reshape(self.shape)[self.real]
    self.edges = np.flatnonzero(np.r_[True, item[1:] != item[:-1], True])
    self.truth = out[attribute][self.real].astype(np.float64)
    steps = np.diff(out['time_s'][self.real])
    inside = np.setdiff1d(np.arange(len(steps)), self.edges[1:-1] - 1)
    self.rate = float(1 / np.median(steps[inside])) if len(inside) else 1.0

  def pieces(self, values: np.ndarray) -> list[np.ndarray]:
    """Values of all real frames as recordings."""
    return [values[a:b] for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)]

  def back(self, values: np.ndarray) -> np.ndarray:
    """Values of all real frames as windows [N, T] float32, NaN in padding."""
    out = np.full(self.shape, np.nan, np.float32)
    out[self.real] = values
    return out


def median(track: Track, x: np.ndarray, seconds: float) -> np.ndarray:
  """A median filter over an odd number of frames, within each recording."""
  size = max(1, round(seconds * track.rate)) | 1
  return np.concatenate([ndimage.median_filter(p, size, mode='nearest') for p in track.pieces(x)])


def shifted(track: Track, x: np.ndarray, seconds: float) -> np.ndarray:
  """What is predicted `seconds` later (or, if negative, was before), now; the ends repeat their last value."""
  lag = round(seconds * track.rate)
  return np.concatenate([p[np.clip(np.arange(len(p)) + lag, 0, len(p) - 1)] for p in track.pieces(x)])


def chain(dev: Mapping[str, np.ndarray], attribute: str) -> list[tuple[str, float, float]]:
  """The steps that are kept, as (name, a, b): 'median' and 'shift' over a seconds, 'linear' a x + b."""
  track = Track(dev, attribute)
  x = dev[f'{attribute}_hat'][track.real].astype(np.float64)
  known = np.isfinite(track.truth)
  score = lambda p: metrics.ccc(track.truth[known], p[known])
  best, kept = score(x), []

  def attempt(candidates: Sequence[tuple[str, float, float]]):
    nonlocal x, best
    tried = [(score(apply(track, x, [c])), c) for c in candidates]
    top, candidate = max(tried, key=lambda t: t[0])
    if top > best:
      x, best = apply(track, x, [candidate]), top
      kept.append(candidate)

  attempt([('median', s, 0.0) for s in WINDOWS])
  attempt([('linear', 1.0, float((track.truth - x)[known].mean()))])
  spread = float(x[known].std())
  if spread > 0:
    ratio, centre = float(track.truth[known].std()) / spread, float(x[known].mean())
    attempt([('linear', ratio, centre * (1 - ratio))])
  attempt([('shift', sign * s, 0.0) for s in SHIFTS for sign in (-1, 1)])
  return kept


def apply(track: Track, x: np.ndarray, steps: Sequence[tuple[str, float, float]]) -> np.ndarray:
  """The steps one after the other, on all real frames of a split."""
  for name, a, b in steps:
    x = median(track, x, a) if name == 'median' else shifted(track, x, a) if name == 'shift' else a * x + b
  return x


def add(outputs: Mapping[str, Mapping[str, np.ndarray]], attributes: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
  """Dev and test outputs with `<attribute>_post` and `<attribute>_post_hat`, [N, T] each."""
  out = {split: dict(o) for split, o in outputs.items()}
  for attribute in attributes:
    if f'{attribute}_hat' not in outputs['dev']:
      continue
    steps = chain(outputs['dev'], attribute)
    for o in out.values():
      track = Track(o, attribute)
      o[f'{attribute}_post'] = o[attribute]
      x = o[f'{attribute}_hat'][track.real].astype(np.float64)
      o[f'{attribute}_post_hat'] = track.back(apply(track, x, steps))
  return out
