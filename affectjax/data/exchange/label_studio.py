"""Labels per frame as Label Studio tasks (JSON), one task per video.

Every frame is a region of one frame (Label Studio counts from 1, `frame` here from 0), labelled `hand` or `estimate`,
with its numbers per region. Hand labels are an annotation. Estimates are a prediction, whose score is 1 minus their
root mean square spread, at least 0, and is left out where no spread is known. The labelling configuration to show them:

    <View>
      <Video name="video" value="$video" frameRate="$rate_hz"/>
      <TimelineLabels name="kind" toName="video"> <Label value="hand"/> <Label value="estimate"/> </TimelineLabels>
      <Number name="valence" toName="video" perRegion="true" min="-1" max="1" step="0.01"/>
      (and so on for arousal, valence_spread and arousal_spread)
    </View>

To label a frame by hand there, give an annotation a region of that one frame, labelled `hand`, with both numbers.
Reference: Label Studio's documentation of its task format and of the tags TimelineLabels and Number.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.exchange.label_table import NUMBERS, Table

HAND, ESTIMATE = 'hand', 'estimate'
_KINDS = {dict: 'an object', list: 'a list', str: 'text', (int, float): 'a number', int: 'a whole number'}


def write(table: Table, path: Path) -> None:
  """Writes the labels of all frames as a list of tasks, one per video."""
  tasks = []
  for number, (video, rows) in enumerate(table.by_video()):
    data = {'video': video, 'rate_hz': table.rate_hz, 'frames': len(rows)}
    if not table.regular(rows):
      data['time_s'] = table.time_s[rows].tolist()
    hand, estimated = rows[table.support[rows]], rows[~table.support[rows]]
    prediction = {'model_version': table.model, 'result': _results(table, estimated, ESTIMATE, f'v{number}')}
    spread = np.stack([table.valence_spread[estimated], table.arousal_spread[estimated]])
    if spread.size and np.isfinite(spread).all():
      prediction['score'] = max(0.0, 1 - float(np.sqrt(np.square(spread).mean())))
    tasks.append(
      {
        'data': data,
        'annotations': [{'ground_truth': True, 'result': _results(table, hand, HAND, f'v{number}')}],
        'predictions': [prediction],
      }
    )
  with open(path, 'w', encoding='utf-8') as file:
    file.write('[\n' + ',\n'.join(json.dumps(t, allow_nan=False) for t in tasks) + '\n]\n')


def _results(table: Table, rows: np.ndarray, kind: str, prefix: str) -> list[dict[str, Any]]:
  """A region and its numbers for each row; a spread that is not known is left out."""
  numbers = {n: getattr(table, n)[rows].tolist() for n in NUMBERS}
  results = []
  for i, frame in enumerate(table.frame[rows].tolist()):
    span = [{'start': frame + 1, 'end': frame + 1}]
    shared = {'id': f'{prefix}-f{frame}', 'to_name': 'video'}
    results.append({**shared, 'from_name': 'kind', 'type': 'timelinelabels',
                    'value': {'ranges': span, 'timelinelabels': [kind]}})  # fmt: skip
    for name in NUMBERS:
      if not math.isnan(value := numbers[name][i]):
        results.append({**shared, 'from_name': name, 'type': 'number', 'value': {'ranges': span, 'number': value}})
  return results


def read(path: Path) -> Table:
  """Reads back what `write` wrote, edited in Label Studio or not.

  Hand labels are the regions labelled `hand` of annotations that were not cancelled; a hand label stands over an
  estimate of the same frame.
  """
  try:
    tasks = json.loads('\n'.join(features.read_lines(path)), parse_constant=_refuse_constant)
  except (ValueError, RecursionError) as error:
    raise (
      error
      if isinstance(error, UserError)
      else UserError(f'{path}: cannot be read as JSON (damaged or of another kind): {error}')
    ) from error
  rows, rates, models = [], set(), set()
  for i, task in enumerate(_of(tasks, list, f'{path}: the document')):
    where = f'{path}: task {i}'
    data = _get(task, 'data', dict, where)
    video, rate = _get(data, 'video', str, f'{where}: data'), _get(data, 'rate_hz', (int, float), f'{where}: data')
    if not rate > 0:
      raise UserError(f'{where}: data.rate_hz is {rate}; expected frames per second')
    frames: dict[int, tuple] = {}
    for j, prediction in enumerate(_get(task, 'predictions', list, where)):
      place = f'{where}: prediction {j}'
      models.add(_get(prediction, 'model_version', str, place))
      frames |= _regions(_get(prediction, 'result', list, place), ESTIMATE, place)
    hand: dict[int, tuple] = {}
    for j, annotation in enumerate(_get(task, 'annotations', list, where)):
      place = f'{where}: annotation {j}'
      if not _of(annotation, dict, place).get('was_cancelled'):
        regions = _regions(_get(annotation, 'result', list, place), HAND, place)
        if twice := hand.keys() & regions.keys():
          raise UserError(f'{place}: frame {min(twice)} of video {video!r} is labelled by hand twice; keep one')
        hand |= regions
    rates.add(rate)
    times = data.get('time_s')
    for frame, values in sorted((frames | hand).items()):
      rows.append((video, frame, _time(times, frame, rate, where), *values, frame in hand))
  return Table.of(rows, rates.pop() if len(rates) == 1 else math.nan, models.pop() if len(models) == 1 else '')


def _time(times, frame: int, rate: float, where: str) -> float:
  if times is None:
    return frame / rate
  if frame >= len(_of(times, list, f'{where}: data.time_s')):
    raise UserError(f'{where}: frame {frame}, but data.time_s has {len(times)} times')
  return _of(times[frame], (int, float), f'{where}: data.time_s')


def _regions(results: list, kind: str, where: str) -> dict[int, tuple[float, ...]]:
  """frame -> NUMBERS of the regions labelled `kind`."""
  regions: dict[int, str] = {}
  numbers: dict[str, dict[str, float]] = {}
  for k, result in enumerate(results):
    place = f'{where}: result {k}'
    what, value = _get(result, 'type', str, place), _get(result, 'value', dict, place)
    if what not in ('timelinelabels', 'number'):
      continue
    key = _get(result, 'id', str, place)
    if what == 'number':
      name, number = _get(result, 'from_name', str, place), _get(value, 'number', (int, float), place)
      numbers.setdefault(key, {})[name] = float(number)
    elif kind in _get(value, 'timelinelabels', list, place):
      frame = _frame(value, place)
      if regions.setdefault(frame, key) != key:
        raise UserError(f'{place}: frame {frame} has two regions labelled {kind!r}; keep one')
  out = {}
  for frame, key in regions.items():
    given = numbers.get(key, {})
    missing = [n for n in NUMBERS[:2] if n not in given]
    if missing:
      raise UserError(f'{where}: region {key!r} (frame {frame}) has no number {missing[0]!r}')
    spreads = (given.get(n, 0.0 if kind == HAND else math.nan) for n in NUMBERS[2:])
    out[frame] = (given['valence'], given['arousal'], *spreads)
  return out


def _frame(value: dict, where: str) -> int:
  """The one frame of a region, from 0."""
  ranges = _get(value, 'ranges', list, where)
  span = _of(ranges[0] if len(ranges) == 1 else None, dict, f'{where}: the one range')
  start, end = (_get(span, k, int, where) for k in ('start', 'end'))
  if start != end or not 1 <= start < 2**53:
    raise UserError(f'{where}: a region of frames {start} to {end}; expected regions of one frame, counted from 1')
  return start - 1


def _get(holder: Any, key: str, kind, where: str) -> Any:
  if key not in _of(holder, dict, where):
    raise UserError(f'{where}: no {key!r}; expected an export of tasks that affectjax.label wrote')
  return _of(holder[key], kind, f'{where}: {key!r}')


def _of(value: Any, kind, where: str) -> Any:
  if not isinstance(value, kind) or isinstance(value, bool):
    raise UserError(f'{where} is {type(value).__name__}; expected {_KINDS[kind]}')
  return value


def _refuse_constant(name: str):
  raise ValueError(f'{name} is no JSON number')
