"""Labels per frame as an ELAN file (EAF 3.0), by pympi.

Per video a time-aligned tier `frame`, one annotation per frame, whose value is the frame's number. On it hang, one by
one, annotations of the tiers `valence`, `arousal`, `valence_spread`, `arousal_spread` and `support`, and of `time_s`
where frames have times of their own: rounding to milliseconds moves no value to another frame. With many videos the
tiers are `<video>/frame` and so on; a tier's participant is its video. No media is linked.

To label a frame by hand in ELAN, correct its values and set its `support` to 1.
"""

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import features
from affectjax.data.exchange.label_table import NUMBERS, Table, flag, real, some, text, whole

RATE, MODEL = 'affectjax:rate_hz', 'affectjax:model'  # properties of the document


def require() -> Any:
  """The module pympi, which nothing else needs; a UserError says how to install it."""
  try:
    import pympi
  except ImportError as error:
    raise UserError(f'.eaf needs the package pympi-ling ({error}): pip install affectjax[label]') from error
  return pympi


def write(table: Table, path: Path) -> None:
  """Writes the labels of all frames as an .eaf file."""
  eaf = require().Eaf(author='affectjax')
  eaf.adocument.update(
    {
      'VERSION': '3.0',
      'FORMAT': '3.0',
      'DATE': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      'xsi:noNamespaceSchemaLocation': 'http://www.mpi.nl/tools/elan/EAFv3.0.xsd',
    }
  )
  eaf.header = {'MEDIA_FILE': '', 'TIME_UNITS': 'milliseconds'}
  eaf.tiers.clear()
  eaf.linguistic_types.clear()
  eaf.add_linguistic_type('frame')
  eaf.add_linguistic_type('value', constraints='Symbolic_Association', timealignable=False)
  videos = list(table.by_video())
  for video, rows in videos:
    prefix = f'{video}/' if len(videos) > 1 else ''
    eaf.add_tier(prefix + 'frame', 'frame', part=video)
    borders = milliseconds(table.time_s[rows])
    for start, end, frame in zip(borders[:-1], borders[1:], table.frame[rows], strict=True):
      eaf.add_annotation(prefix + 'frame', start, end, str(frame))
    columns = {n: [text(v) for v in getattr(table, n)[rows]] for n in NUMBERS}
    columns['support'] = [str(int(s)) for s in table.support[rows]]
    if not table.regular(rows):
      columns['time_s'] = [text(v) for v in table.time_s[rows]]
    for name, values in columns.items():
      _hang(eaf, prefix, name, video, values)
  eaf.properties = [(RATE, text(table.rate_hz)), (MODEL, table.model), ('lastUsedAnnotationId', eaf.maxaid)]
  eaf.to_file(path)


def _hang(eaf, prefix: str, name: str, video: str, values: list[str]) -> None:
  """A tier with one annotation per annotation of the frame tier; none where the value is ''."""
  tier, parents = prefix + name, eaf.tiers[prefix + 'frame'][0]
  eaf.add_tier(tier, 'value', parent=prefix + 'frame', part=video)
  references = eaf.tiers[tier][1]  # add_ref_annotation would search the parent tier once per frame
  for parent, value in zip(parents, values, strict=True):
    if value:
      key = eaf.generate_annotation_id()
      references[key] = (parent, value, None, None)
      eaf.annotations[key] = tier


def milliseconds(time_s: np.ndarray) -> list[int]:
  """Borders [T + 1] of the frames' intervals, strictly increasing whole milliseconds: ELAN knows no finer times."""
  step = np.median(np.diff(time_s)) if len(time_s) > 1 else 0.001
  rounded = np.rint(np.r_[time_s, time_s[-1] + step] * 1000).astype(np.int64)
  count = np.arange(len(rounded))
  return (np.maximum.accumulate(rounded - count) + count).tolist()


def read(path: Path) -> Table:
  """Reads back what `write` wrote, edited in ELAN or not."""
  pympi = require()
  features.read_lines(path)  # refuses what is missing, empty or no text
  try:
    eaf = pympi.Eaf(str(path), suppress_version_warning=True)
  except Exception as error:  # pympi raises a bare Exception for broken XML, KeyError for other XML
    raise UserError(f'{path}: cannot be read as an ELAN file (damaged or of another kind): {error!r}') from error
  properties = dict(eaf.properties)
  if RATE not in properties:
    raise UserError(f'{path}: no property {RATE!r}; expected a file written by affectjax.label')
  rate = real(properties[RATE] or '', str(path), RATE)
  if not rate > 0:
    raise UserError(f'{path}: {RATE} is {rate}; expected frames per second')
  parents = [name for name in eaf.tiers if name == 'frame' or name.endswith('/frame')]
  if not parents:
    raise UserError(f"{path}: no tier 'frame'; there is: {some(eaf.tiers)}")
  rows = [row for name in parents for row in _rows(path, eaf, name.removesuffix('frame'), rate)]
  return Table.of(rows, rate, properties.get(MODEL) or '')


def _rows(path: Path, eaf, prefix: str, rate: float) -> list[tuple]:
  """The rows of one video, in the order of its frame tier."""
  frames, _, attributes, _ = eaf.tiers[prefix + 'frame']
  video = attributes.get('PARTICIPANT') or prefix.removesuffix('/')
  values: dict[str, dict[str, str]] = {}
  for name in (*NUMBERS, 'support', 'time_s'):
    tier = eaf.tiers.get(prefix + name)
    if tier is None and name != 'time_s':
      raise UserError(f'{path}: no tier {prefix + name!r}; there is: {some(eaf.tiers)}')
    values[name] = {parent: value for parent, value, *_ in tier[1].values()} if tier else {}
  rows = []
  for key, (_, _, number, _) in frames.items():
    frame = whole(number, f'{path}: tier {prefix + "frame"!r}, annotation {key}')
    where = f'{path}: video {video!r}, frame {frame}'
    numbers = [real(values[n].get(key, ''), where, n, n.endswith('spread')) for n in NUMBERS]
    time_s = real(values['time_s'][key], where, 'time_s') if key in values['time_s'] else frame / rate
    rows.append((video, frame, time_s, *numbers, flag(values['support'].get(key, ''), where)))
  return rows
