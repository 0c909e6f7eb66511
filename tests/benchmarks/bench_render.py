"""How long a table of 700 cells takes to render from its records.

python -m pytest -s --optimised tests/benchmarks/bench_render.py
"""

import time

import numpy as np
import pytest

from affectjax.tables import render
from tests.helpers.workdirs import build, predictions


@pytest.mark.benchmark
def test_a_large_table_renders_in_time(tmp_path):
  """8 s for 70 rows x 5 folds x 2 seeds of 6,000 examples and ten metrics; a tenth of it is built and timed."""
  names = [f'{m}.valence' for m in ('ccc.pooled', 'pcc.pooled', 'rmse.pooled', 'mae.pooled', 'sagr.pooled')]
  names += ['ccc.per_video.valence', 'acc.emotion', 'uar.emotion', 'f1.macro.emotion', 'f1.weighted.emotion']
  rng = np.random.default_rng(0)

  def arrays(row, fold, seed):
    emotion = rng.integers(0, 8, (2, 6000))
    return predictions(row, fold, seed, 50, 120) | {'emotion': emotion[0], 'emotion_hat': emotion[1]}

  rows = [f'row {i}' for i in range(7)]
  baselines = {row: rows[0] for row in rows[1:]}
  workdir = build(tmp_path, rows, '01234', metrics=names, arrays=arrays, baselines=baselines)
  times = []
  for _ in range(3):
    began = time.perf_counter()
    render.write(workdir)
    times.append(time.perf_counter() - began)
  print(f'70 cells in {min(times):.2f} s')
  assert min(times) < 0.8
