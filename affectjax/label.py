"""Labels videos frame by frame from a few hand labels, with a trained MT-CLAR cell.

python -m affectjax.label --run=CELL --source=features.npz --support=labels.csv --output=out.csv
  [--format=csv|eaf|label_studio] [--suggest=10] [--anchors=past|two_sided|all] [--rate_hz=25]

The output has one row per frame: video, frame, time_s, valence, arousal, their spreads (one standard deviation, in
label units) and support, 1 where the label is the user's own, which is kept as it is. What it writes, it reads again
as --support: csv, .eaf and .json alike. --suggest=k also writes out.next.csv: the k frames to label next.

Exit status: 0 done; 2 bad input or usage.
"""

import argparse
import math
import pathlib
import sys
import time
from collections.abc import Sequence

import numpy as np

from affectjax.commands.arguments import Parser
from affectjax.common.errors import UserError
from affectjax.data.exchange import annotations, elan, label_table
from affectjax.data.own import videos
from affectjax.systems.mtclar import annotate, spread


def _flags(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = Parser(
    prog='python -m affectjax.label',
    description=__doc__.partition('\n')[0],
    hint='see python -m affectjax.label --help',
  )
  path = dict(type=pathlib.Path, required=True)
  parser.add_argument('--run', metavar='CELL', help='folder of a finished cell: siamese, or label by mtclar', **path)
  parser.add_argument(
    '--source', help='features: .npz, .npy, .csv or a folder of these; see data/own/videos.py', **path
  )
  parser.add_argument('--support', help='hand labels: .csv with video,frame,valence,arousal; .eaf; .json', **path)
  parser.add_argument('--output', help='.csv, .eaf (ELAN) or .json (Label Studio)', **path)
  parser.add_argument('--format', choices=annotations.FORMATS, help="of --output, if its suffix doesn't say")
  parser.add_argument('--suggest', type=int, default=0, metavar='K', help='also name K frames to label next')
  parser.add_argument(
    '--anchors', choices=annotate.ANCHORS, help="which hand labels a frame is compared with; the cell's"
  )
  parser.add_argument('--rate_hz', type=float, default=25.0, help='frames per second, if the source gives no times')
  flags = parser.parse_args(argv)
  if flags.suggest < 0:
    raise UserError(f'--suggest={flags.suggest}; expected 0 or more')
  if not 0 < flags.rate_hz < math.inf:
    raise UserError(f'--rate_hz={flags.rate_hz}; expected frames per second')
  if annotations.format_of(flags.output, flags.format) == 'eaf':
    elan.require()
  return flags


def _outputs(flags: argparse.Namespace) -> list[pathlib.Path]:
  """The files to be written: labels, and suggestions if asked for; what is read is never written over."""
  outputs = [flags.output, flags.output.with_suffix('.next.csv')][: 1 + (flags.suggest > 0)]
  if not flags.output.parent.is_dir():
    raise UserError(f'--output={flags.output}: there is no folder {flags.output.parent}; make it first')
  for path in outputs:
    if path.is_dir():
      raise UserError(f'--output={flags.output}: {path} is a folder; expected a file')
    for given in ('source', 'support'):
      if path.resolve() == getattr(flags, given).resolve():
        raise UserError(f'--output={flags.output} would write over --{given}={path}; name another file')
  return outputs


def _scene(clips: Sequence[videos.Video], hand) -> annotate.Scene:
  """All frames end to end, with their hand labels."""
  starts = np.r_[0, np.cumsum([len(c) for c in clips])]
  return annotate.Scene(
    x=np.concatenate([c.x for c in clips]),
    present=np.concatenate([c.present for c in clips]),
    video=np.repeat(np.arange(len(clips)), np.diff(starts)),
    time_s=np.concatenate([c.time_s for c in clips]),
    support=np.concatenate([start + hand[c.name][0] for start, c in zip(starts, clips, strict=False)]),
    labels=np.concatenate([hand[c.name][1] for c in clips]),
  )


def _table(scene: annotate.Scene, names: np.ndarray, labels: annotate.Labels, rate_hz: float, model: str):
  """As it is written: a hand label stays the number that the user gave."""
  value, error = label_table.shortest(labels.estimate), label_table.shortest(labels.spread)
  value[scene.support] = scene.labels
  support = np.isin(np.arange(len(scene.x)), scene.support)
  return label_table.Table(
    names[scene.video], scene.pool.time, scene.time_s, *value.T, *error.T, support, rate_hz, model
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command with these arguments, by default the process's; returns the exit status."""
  try:
    flags = _flags(argv)
    outputs = _outputs(flags)
    hands = annotations.read_hand(flags.support)
    model = annotate.load(flags.run)
    clips = videos.read(flags.source, flags.rate_hz, model.width)
    scene = _scene(clips, annotations.match(flags.support, hands, {c.name: len(c) for c in clips}))
    names = np.array([c.name for c in clips])
    began = time.perf_counter()
    labels = annotate.annotate(model, scene, flags.anchors or model.anchors)
    seconds = time.perf_counter() - began
    annotations.write(_table(scene, names, labels, flags.rate_hz, model.fingerprint), flags.output, flags.format)
    if flags.suggest:
      rows, far = spread.suggest(scene.pool, scene.time_s, scene.support, scene.present, flags.suggest)
      next_ = zip(names[scene.video[rows]], scene.pool.time[rows], labels.law.both(far), strict=True)
      annotations.write_suggestions(outputs[1], list(next_))
  except UserError as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{len(scene.x)} frames, {len(clips)} {"video" if len(clips) == 1 else "videos"}, '
        f'{len(scene.support)} supports, {int((~scene.present).sum())} frames without a face (label carried over), '
        f'{len(scene.x) / seconds:.0f} frames/s: {", ".join(map(str, outputs))}')  # fmt: skip
  return 0


if __name__ == '__main__':
  sys.exit(main())
