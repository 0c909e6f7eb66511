"""What one example must look like, what is done about non-finite features, and what is counted on the way.

See `Corpus` for the metadata. An example has `id`, `group`, `item` (strings), every modality of the metadata
as `<modality>` [T, D] with `<modality>_mask` [T] and `<modality>_present` [], and labels. The first axis of
an array is time and may vary between examples, except for `votes` and the keys the metadata lists as `fixed`.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common import errors

POLICIES = ('error', 'drop', 'mask')
FLOATS = ('float32', 'float16')  # what features can be stored as
LABELS = ('valence', 'arousal', 'dominance', 'ratings')
Example = dict[str, np.ndarray | str]
Fields = dict[str, tuple[str, tuple[int | None, ...]]]  # key -> (dtype name or 'str', shape; None varies)


class Dropped(Exception):
  """This example has non-finite features and the policy is to drop it."""


def complete(raw: Mapping[str, Any], meta: Mapping[str, Any], where: str) -> Example:
  """Checks an adapter's example and fills in what it may omit: masks, presence.

  Floats become float32, other dtypes stay. Frames of a modality that is not present are masked.

  Args:
    raw: as the adapter gave it.
    meta: of the corpus.
    where: what to call the example if it has no id.

  Raises:
    UserError: naming the id, the key, what was given and what was expected.
  """
  where = f'id {raw["id"]!r}' if isinstance(raw.get('id'), str) and raw['id'] else where
  for key in ('id', 'group', 'item'):
    if not isinstance(raw.get(key), str) or not raw[key]:
      raise errors.UserError(f'{where}: {key} is {raw.get(key)!r}, expected a string that is not empty')
  out = {key: _plain(value, f'{where}: {key}') for key, value in raw.items()}
  for name, width in meta['modalities'].items():
    _complete_modality(out, name, int(width), where)
  _check_labels(out, meta, where)
  return out


def _plain(value: Any, where: str) -> np.ndarray | str:
  if isinstance(value, str):
    return str(value)
  x = np.asarray(value)
  if x.dtype.kind not in 'fiub':
    raise errors.UserError(f'{where}: dtype {x.dtype}, expected numbers or one string')
  return x.astype(np.float32, copy=False) if x.dtype.kind == 'f' else x


def _complete_modality(out: Example, name: str, width: int, where: str) -> None:
  x = out.get(name)
  if not isinstance(x, np.ndarray) or x.ndim != 2 or x.shape[1] != width or x.dtype != np.float32:
    given = 'missing' if x is None else 'text' if isinstance(x, str) else f'{x.dtype.name} {list(x.shape)}'
    raise errors.UserError(f'{where}: {name} is {given}, expected float [frames, {width}]')
  mask = np.asarray(out.get(f'{name}_mask', np.full(len(x), np.all(out.get(f'{name}_present', True)))))
  present = np.asarray(out.get(f'{name}_present', mask.any()))
  if present.shape or present.dtype != np.bool_:
    raise errors.UserError(f'{where}: {name}_present is {present.dtype.name} {list(present.shape)}, expected a bool')
  if mask.shape != (len(x),) or mask.dtype != np.bool_:
    raise errors.UserError(f'{where}: {name}_mask is {mask.dtype.name} {list(mask.shape)}, expected bool [{len(x)}]')
  if present != mask.any():
    raise errors.UserError(f'{where}: {name}_present is {bool(present)}, but {mask.sum()} frames are unmasked')
  out[f'{name}_mask'], out[f'{name}_present'] = mask, present


def _check_labels(out: Example, meta: Mapping[str, Any], where: str) -> None:
  for key, x in out.items():
    if isinstance(x, str) or key in meta['modalities'] or x.dtype != np.float32:
      continue
    if np.isinf(x).any():
      raise errors.UserError(f'{where}: {key} is infinite; expected a number, or NaN where nothing is labelled')
    if key in LABELS and (np.abs(x) > 1).any():
      worst = x[np.abs(x) > 1][0]
      raise errors.UserError(f'{where}: {key} is {worst:g}, expected a value in [-1, 1], or NaN')
  if 'ratings' in out:
    _check_ratings(out, len(meta.get('attributes', ())), where)
  classes = len(meta.get('emotions', ()))
  if 'votes' in out:
    votes = np.asarray(out['votes'])
    if votes.shape != (classes,) or not (votes >= 0).all():
      raise errors.UserError(f'{where}: votes {votes.tolist()}, expected {classes} counts of 0 or more')
  if 'emotion' in out:
    emotion = np.asarray(out['emotion'])
    if emotion.dtype.kind not in 'iu' or ((emotion < -1) | (emotion >= classes)).any():
      raise errors.UserError(f'{where}: emotion {emotion.tolist()}, expected classes 0 to {classes - 1}, or -1')


def _check_ratings(out: Example, attributes: int, where: str) -> None:
  ratings = np.asarray(out['ratings'])
  mask = np.asarray(out.setdefault('ratings_mask', np.isfinite(ratings)))
  if ratings.ndim != 3 or ratings.shape[-1] != attributes:
    raise errors.UserError(f'{where}: ratings {list(ratings.shape)}, expected [time, raters, {attributes}]')
  if mask.shape != ratings.shape or mask.dtype != np.bool_:
    raise errors.UserError(
      f'{where}: ratings_mask is {mask.dtype.name} {list(mask.shape)}, expected bool {list(ratings.shape)}'
    )
  if not np.isfinite(ratings[mask]).all():
    raise errors.UserError(f'{where}: ratings are NaN where ratings_mask says that there is one')


def derive(example: Example, meta: Mapping[str, Any]) -> Fields:
  """The dtype and shape every example must have, from the first."""
  fixed = {'votes', *meta.get('fixed', ())}
  return {key: _field(x, key in fixed) for key, x in sorted(example.items())}


def _field(x: np.ndarray | str, fixed: bool) -> tuple[str, tuple[int | None, ...]]:
  if isinstance(x, str):
    return 'str', ()
  return x.dtype.name, (tuple(x.shape) if fixed or not x.ndim else (None, *x.shape[1:]))


def check(example: Example, fields: Fields) -> None:
  """Refuses an example that is not like the first."""
  if example.keys() != fields.keys():
    missing, extra = sorted(fields.keys() - example.keys()), sorted(example.keys() - fields.keys())
    raise errors.UserError(
      f'id {example["id"]!r}: keys differ from the first example: missing {missing}, unexpected {extra}'
    )
  for key, x in example.items():
    dtype, shape = _field(x, bool(fields[key][1]) and fields[key][1][0] is not None)
    if (dtype, shape) != fields[key]:
      given, wanted = f'{dtype} {list(shape)}', f'{fields[key][0]} {list(fields[key][1])}'
      raise errors.UserError(f'id {example["id"]!r}: {key} is {given}, expected {wanted} as in the first example')


def treat(example: Example, modalities: Mapping[str, int], policy: str) -> dict[str, dict[str, int]]:
  """Applies the policy for NaN and infinity among the real frames, in place; masked frames become 0.

  Returns:
    modality -> how many values and frames were non-finite; only those with any.

  Raises:
    UserError: policy 'error', naming id, modality and first frame.
    Dropped: policy 'drop'; its argument is what is returned otherwise.
  """
  counts = {}
  for name in modalities:
    x, mask = example[name], example[f'{name}_mask']
    finite = np.isfinite(x)
    bad = mask & ~finite.all(1)  # [T]
    if bad.any():
      counts[name] = {'values': int((~finite[bad]).sum()), 'frames': int(bad.sum())}
      if policy == 'error':
        t = int(np.argmax(bad))
        raise errors.UserError(
          f'id {example["id"]!r}: {name} is {x[t][~finite[t]][0]} in frame {t} '
          f'({bad.sum()} of {len(x)} frames are non-finite); expected finite features, '
          'or say --nonfinite=drop or --nonfinite=mask'
        )
      mask = mask & ~bad
      example[f'{name}_mask'], example[f'{name}_present'] = mask, np.asarray(mask.any())
    if not mask.all():
      example[name] = np.where(mask[:, None], x, np.float32(0))
  if counts and policy == 'drop':
    raise Dropped(counts)
  return counts


def halve(example: Example, modalities: Mapping[str, int]) -> None:
  """Rounds the features, which are finite, to what float16 holds, in place; they stay float32.

  Raises:
    UserError: a value is beyond the range of float16, naming id, modality and first frame.
  """
  for name in modalities:
    x, most = example[name], float(np.finfo(np.float16).max)
    beyond = (np.abs(x) > most).any(1)  # [T]
    if beyond.any():
      t = int(np.argmax(beyond))
      raise errors.UserError(
        f'id {example["id"]!r}: {name} is {x[t][np.argmax(np.abs(x[t]))]:g} in frame {t}, expected at most {most:g} in '
        'size, which is all that float16 holds; say --features_as=float32'
      )
    example[name] = x.astype(np.float16).astype(np.float32)


@dataclasses.dataclass
class Tally:
  """What is known of a split once all its examples have gone by: hashes, ranges, lengths."""

  fields: Fields
  count: int = 0
  size: int = 0

  def __post_init__(self):
    self.sha, self.ids_sha = hashlib.sha256(), hashlib.sha256()
    self.low = {k: np.inf for k, (dtype, _) in self.fields.items() if dtype not in ('str', 'bool')}
    self.high = {k: -np.inf for k in self.low}
    self.nan = dict.fromkeys(self.low, 0)
    self.steps = {k: 0 for k, (_, shape) in self.fields.items() if shape and shape[0] is None}
    self.longest = dict.fromkeys(self.steps, 0)
    self.true = {k: 0 for k, (dtype, _) in self.fields.items() if dtype == 'bool'}

  def add(self, record: bytes, example: Example) -> None:
    """Counts one example; `record` is what is stored of it."""
    self.count += 1
    self.size += len(record)
    self.sha.update(record)
    self.ids_sha.update(f'{example["id"]}\n'.encode())
    for key in self.low:
      self._range(key, example[key], example.get(f'{key}_mask'))
    for key in self.steps:
      self.steps[key] += len(example[key])
      self.longest[key] = max(self.longest[key], len(example[key]))
    for key in self.true:
      self.true[key] += int(example[key].sum())

  def _range(self, key: str, x: np.ndarray, mask: np.ndarray | None) -> None:
    if mask is not None and not mask.all():
      x = x[mask]
    if not x.size:
      return
    low, high = x.min(), x.max()
    if np.isnan(low):
      absent = np.isnan(x)
      self.nan[key] += int(absent.sum())
      if absent.all():
        return
      low, high = np.nanmin(x), np.nanmax(x)
    self.low[key], self.high[key] = min(self.low[key], low.item()), max(self.high[key], high.item())

  def summary(self) -> dict[str, Any]:
    """As stored in affectjax.json; a range is null where no value is a number."""
    ranges = {k: [self.low[k], self.high[k]] if self.low[k] <= self.high[k] else None for k in self.low}
    return {
      'examples': self.count, 'bytes': self.size,
      'sha256': self.sha.hexdigest(), 'ids_sha256': self.ids_sha.hexdigest(),
      'range': ranges, 'nan': self.nan, 'true': self.true, 'steps': self.steps, 'longest': self.longest,
    }  # fmt: skip
