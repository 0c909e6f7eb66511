"""Cells that can label, small enough for tests, in the folders in which a table leaves them."""

import functools
import json
import pathlib
import types

import jax
import numpy as np

from affectjax.engine import checkpoint
from affectjax.examples import splits
from affectjax.systems.mtclar import frames as frames_lib
from affectjax.systems.mtclar import network, siamese
from affectjax.tables import cells
from tests.helpers import small

WIDTH = 6  # features per frame of untrained cells


def table(row: str, **label) -> cells.Table:
  """The experiment's labelling table with tiny twins and few steps; `label` changes the row's labelling options."""
  config = {**small.experiment()}
  config['on_twins'] = {'siamese': dict(steps=20, eval_every=10)}
  model = {**config['run']['model'], **small.NARROW}
  config['run'] = {**config['run'], 'twins': small.TWINS, 'batch_size': 64, 'model': model}
  change = config['rows'][row]
  if label:
    change = {**change, 'label': {**change['label'], **label}}
  config['rows'] = {**config['rows'], row: change}
  return cells.Table(config, 'mtclar.py', None)


def run(workdir: pathlib.Path, row: str, **label) -> pathlib.Path:
  """Trains what a row starts from and runs the row, each once per workdir; returns its folder."""
  of = table(row, **label)
  planned = cells.plan(of, [row], ['0'])
  for cell in planned:
    if not (workdir / cell.folder / 'predictions.npz').is_file():
      assert (failure := cells.run_cell(of, cell, workdir, lambda *_: None, True)) is None, failure
  return workdir / planned[-1].folder


def scored(folder: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """What a labelling cell scored on test, and the features of its videos."""
  config = json.loads((folder / 'config.json').read_text())['config']
  frames = frames_lib.load(config, None)
  rows = np.sort(splits.split(frames.examples, config)['test'])
  with np.load(folder / 'predictions.npz') as stored:
    out = {k.removeprefix('test/'): stored[k] for k in stored.files if k.startswith('test/')}
  assert list(out['id']) == list(frames.id[rows])
  x = np.where(frames.present[rows, None], frames.x[rows], np.float32(np.nan))
  videos = {str(v): x[frames.item[rows] == v] for v in dict.fromkeys(frames.item[rows])}
  return out, videos


def variables(net: network.Siamese, width: int = WIDTH):
  """Parameters and batch statistics of a network that saw nothing; biases, scales and statistics at random."""
  x = np.zeros((2, width), np.float32)
  start = jax.jit(net.init)(jax.random.key(0), x, x)
  rng = np.random.default_rng(0)
  move = lambda v: rng.uniform(0, 0.3, v.shape).astype(np.float32) if v.ndim == 1 else 0
  return jax.tree.map(lambda v: np.asarray(v) + move(v), start)


@functools.lru_cache(maxsize=4)
def narrow(fusion: str):
  """`variables` of a narrow network."""
  return variables(siamese.module(small.config(model=dict(fusion=fusion))))


def untrained(workdir: pathlib.Path, fusion: str = 'concat', **label) -> pathlib.Path:
  """A cell that looks finished; its network is narrow and saw nothing. `label` are labelling options."""
  folder = workdir / 'cells' / 'siamese' / 'all-0-01234567'
  folder.mkdir(parents=True)
  config = small.config(model=dict(fusion=fusion), **({'label': label} if label else {}))
  document = {'config': config, 'fingerprint': '0123456789', 'row': 'siamese', 'kind': 'synthetic', 'warm_start': None}
  (folder / 'config.json').write_text(json.dumps(document))
  np.savez(folder / 'predictions.npz', none=np.zeros(1))
  variables = narrow(fusion)
  scaling = {'mean': np.full(WIDTH, 0.5, np.float32), 'scale': np.full(WIDTH, 2.0, np.float32)}
  extra = {'batch_stats': variables['batch_stats'], 'input': scaling}
  checkpoint.save_final(folder, types.SimpleNamespace(params=variables['params'], extra=extra))
  return folder


def hand_csv(path: pathlib.Path, rows) -> pathlib.Path:
  """Hand labels (video, frame, valence, arousal) as a user writes them."""
  lines = ['video,frame,valence,arousal', *(','.join(map(str, row)) for row in rows)]
  path.write_text('\n'.join(lines) + '\n')
  return path
