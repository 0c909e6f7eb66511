"""Windows of a fixed number of frames with what the raters say of them: what is trained on and scored."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.examples import shape, splits
from affectjax.examples.examples import SPLITS, Examples
from affectjax.examples.streams import Rows
from affectjax.labels import raters
from affectjax.systems.label_uncertainty import delays as delays_lib
from affectjax.systems.label_uncertainty import series as series_lib
from affectjax.systems.label_uncertainty.series import Recording, Series


@dataclasses.dataclass(frozen=True)
class Data:
  """What a cell works on.

  Attributes:
    splits: 'train', 'dev', 'test' -> arrays [W, ...] by name (see `cut`).
    attributes: names along A.
    delays: s, per attribute.
    standard: mean and scale [D] of the training frames; 0 and 1 for waveforms.
  """

  splits: Mapping[str, Mapping[str, np.ndarray | Rows]]
  attributes: tuple[str, ...]
  delays: tuple[float, ...]
  standard: Mapping[str, np.ndarray]


def load(config: Mapping[str, Any], data_dir: str | None) -> Data:
  """The windows of a config; cached, for rows share them.

  Training and dev frames come from `corpora[0]`, test frames from the last of `corpora`: the same, or another corpus.
  Delays, rater draws and standardisation are those of training; nothing is fitted to the test split.
  """
  if not config['corpora'] or config['data']['frames'] < 1:
    raise UserError('run.corpora is empty, or run.data.frames is below 1')
  parts = {k: config[k] for k in ('corpora', 'data', 'raters', 'twins', 'fold')}
  parts['draw'] = config['seed'] if config['raters']['train'] else 0
  return _load(json.dumps(parts, sort_keys=True, default=list), data_dir)


@functools.lru_cache(maxsize=10)  # as many as a table of folds comes back to
def _load(settings: str, data_dir: str | None) -> Data:
  config = json.loads(settings)
  source, target = config['corpora'][0], config['corpora'][-1]
  parts = _by_split(config, source, data_dir, config['data']['split'])
  if target != source:
    other = _by_split(config, target, data_dir, config['data']['test_split'])['test']
    if other.attributes != parts['train'].attributes:
      raise UserError(f'{source} has the attributes {parts["train"].attributes}, {target} {other.attributes}')
    own, width = (part.recordings[0].x.shape[1] for part in (parts['train'], other))
    if own != width:
      raise UserError(f'{source} has {own} features per frame, {target} {width}; prepare both with the same features')
    parts['test'] = other
  _refuse_rates([r for part in parts.values() for r in part.recordings])
  marked = {split: _marked(part, config, split) for split, part in parts.items()}
  delays = delays_lib.choose(marked['train'], marked['dev'], tuple(config['data']['delays']))
  frames, attributes = config['data']['frames'], parts['train'].attributes
  windows = lambda part, first: cut([_shifted(r, delays) for r in part.recordings], frames, first, attributes)
  arrays, first = {}, 0
  for split in SPLITS:
    arrays[split] = windows(marked[split], first)
    first += len(arrays[split]['window'])
  agreement = arrays['test']['agreement']
  if config['data']['split'] in splits.PER_FOLD:  # thirds of all folds' test windows, not of one fold's
    everything = _recordings(config, series_lib.load(config, data_dir, target))
    agreement = windows(_marked(everything, config, 'test'), 0)['agreement']
  for out in arrays.values():
    out['agreement'] = _thirds(out['agreement'], agreement)
  return Data(arrays, attributes, delays, _standard(parts['train']))


def _by_split(config: Mapping[str, Any], corpus: str, data_dir: str | None, rule: str) -> dict[str, Series]:
  """The recordings of a corpus for training, dev (which selects) and test (which is reported), by a rule of splits."""
  examples = series_lib.load(config, data_dir, corpus)
  config = {**config, 'data': {**config['data'], 'split': rule}}
  rows = splits.split(series_lib.per_recording(examples), config)
  return {split: _recordings(config, examples).take(index) for split, index in rows.items()}


def _recordings(config: Mapping[str, Any], examples: Examples) -> Series:
  return series_lib.of(examples, tuple(config['data']['summary']), config['data']['rate_hz'])


def _refuse_rates(recordings: list[Recording]) -> None:
  rates = sorted({round(r.rate, 3) for r in recordings})
  if len(rates) > 1:
    raise UserError(f'the recordings have {", ".join(f"{r:g}" for r in rates)} labels per s; set run.data.rate_hz, so '
                    'that a window lasts equally long in all')  # fmt: skip


def _marked(part: Series, config: Mapping[str, Any], split: str) -> Series:
  """The part with the ratings of the raters that count in this split."""
  rule = config['raters']
  if rule['score'] not in ('all', 'others'):
    raise UserError(f'run.raters.score is {rule["score"]!r}; expected all or others')
  if rule['score'] == 'others' and not rule['train']:
    raise UserError('run.raters.score is others, but run.raters.train is 0 (all raters train); set how many train')
  if rule['train'] < 0 or (rule['reserve'] and rule['reserve'] < rule['train']):
    raise UserError(f'run.raters.train is {rule["train"]}, reserve {rule["reserve"]}; expected 0 (all) or more, and '
                    'reserve 0 or at least as many')  # fmt: skip
  present = [np.isfinite(r.ratings).any((0, 2)) for r in part.recordings]  # [R] each
  if rule['score'] == 'others' and len(set(map(tuple, present))) > 1:
    raise UserError(f'{part.name}: not all raters mark every recording, so that who trains in one would score in '
                    'another; set run.raters.score to all')  # fmt: skip
  out = []
  for recording, everyone in zip(part.recordings, present, strict=True):
    chosen, others = raters.dealt(recording.ratings, rule['train'], config['draw'], rule['reserve'])
    kept = chosen if split != 'test' else others if rule['score'] == 'others' else everyone
    if kept.sum() < 1 or (rule['train'] and chosen.sum() < rule['train']):
      raise UserError(f'recording {recording.id!r} has {everyone.sum()} raters, of which {rule["train"]} '
                      f'should train and {rule["score"]} score; lower run.raters.train')  # fmt: skip
    out.append(dataclasses.replace(recording, ratings=np.where(kept[:, None], recording.ratings, np.nan)))
  return dataclasses.replace(part, recordings=tuple(out))


def _shifted(recording: Recording, delays: tuple[float, ...]) -> Recording:
  true = recording.true
  if true is not None:
    true = np.moveaxis(raters.shift(np.moveaxis(true, 1, 2), delays, recording.rate), 2, 1)
  ratings = raters.shift(recording.ratings, delays, recording.rate)
  return dataclasses.replace(recording, ratings=ratings, true=true)


def _standard(part: Series) -> dict[str, np.ndarray]:
  width = part.recordings[0].x.shape[1]
  if part.waveform:  # it stays as it is
    return shape.unchanged(width)
  standard = shape.scaling(*shape.moments_of((r.x[r.x_mask] for r in part.recordings), width))
  if standard is None:
    raise UserError(f'{part.name}: no frame of the training recordings has features; look at it with affectjax.doctor')
  return standard


def cut(recordings: list[Recording], frames: int, first: int, attributes: tuple[str, ...]) -> dict[str, np.ndarray]:
  """Windows of whole recordings, one after the other; the last of a recording is padded.

  Returns:
    id, group, item [W] str; window [W] int32, its number; x [W, T, D], `Rows` if features stay on disk; x_mask [W, T];
    time_s [W, T], NaN in padding; mean, spread, count [W, T, A] of the raters (0 where there is none; spread 0 below
    two raters); ratings [W, T, R, A]; true [W, T, A, 3]; agreement [W, A] the raters' mean pairwise correlation, NaN
    where there is none.
  """
  slots = max(r.ratings.shape[1] for r in recordings)
  pieces: dict[str, list[np.ndarray]] = {}
  names: dict[str, list[str]] = {'id': [], 'group': [], 'item': []}
  for r in recordings:
    ratings = np.full((len(r), slots, len(attributes)), np.nan, np.float32)
    ratings[:, : r.ratings.shape[1]] = np.where(r.x_mask[:, None, None], r.ratings, np.nan)
    marked = np.isfinite(ratings)
    arrays = {
      'x_mask': r.x_mask, 'ratings': ratings,
      'time_s': (np.arange(len(r)) / r.rate).astype(np.float32), 'count': marked.sum(1).astype(np.float32),
      'mean': np.nan_to_num(raters.masked_mean(ratings, marked, 1)).astype(np.float32),
      'spread': np.nan_to_num(raters.spread(ratings, marked, 1)).astype(np.float32),
      **({} if r.true is None else {'true': r.true}),
    }  # fmt: skip
    windows = -(-len(r) // frames)
    for key, value in arrays.items():
      pieces.setdefault(key, []).append(_windows(value, windows, frames))
    names['id'] += [f'{r.id}/{i:04d}' for i in range(windows)]
    names['group'] += [r.group] * windows
    names['item'] += [r.id] * windows
  out = {k: np.concatenate(v) for k, v in pieces.items()} | {k: np.array(v) for k, v in names.items()}
  out['window'] = np.arange(first, first + len(out['id']), dtype=np.int32)
  out['agreement'] = np.stack([raters.window_agreement(out['ratings'][..., a]) for a in range(len(attributes))], -1)
  return {**out, 'x': _features(recordings, frames)}


def _features(recordings: list[Recording], frames: int) -> np.ndarray | Rows:
  """The features of `cut`, [W, T, D]."""
  counts = np.array([-(-len(r) // frames) for r in recordings])
  of = lambda r, n: _windows(np.where(r.x_mask[:, None], r.x, 0).astype(np.float32), n, frames)
  if not any(r.on_disk for r in recordings):
    return np.concatenate([of(r, n) for r, n in zip(recordings, counts, strict=True)])
  owner, first = np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - counts
  width = recordings[0].x.shape[1]

  def take(index: np.ndarray) -> np.ndarray:
    x = np.empty((len(index), frames, width), np.float32)
    for k in np.unique(owner[index]):  # a recording is one record on disk, or some in a row
      own = owner[index] == k
      x[own] = of(recordings[k], counts[k])[index[own] - first[k]]
    return x

  return Rows((len(owner), frames, width), take)


def _windows(values: np.ndarray, windows: int, frames: int) -> np.ndarray:
  """[T, ...] -> [windows, frames, ...]; padding is NaN in labels and times, 0 or False in features and counts."""
  fill = np.nan if values.dtype.kind == 'f' and values.ndim != 2 else 0
  padded = np.full((windows * frames, *values.shape[1:]), fill, values.dtype)
  padded[: len(values)] = values
  return padded.reshape(windows, frames, *values.shape[1:])


def _thirds(agreement: np.ndarray, among: np.ndarray) -> np.ndarray:
  """Which third of `among` [V, A] a window's agreement [W, A] lies in, int32; -1 where that is not known."""
  out = np.full(agreement.shape, -1, np.int32)
  for a in range(agreement.shape[1]):
    known = np.isfinite(agreement[:, a])
    if np.isfinite(among[:, a]).any():
      cuts = np.nanquantile(among[:, a], [1 / 3, 2 / 3])
      out[known, a] = np.searchsorted(cuts, agreement[known, a])
  return out
