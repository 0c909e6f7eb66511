import subprocess
import sys

import numpy as np
import pytest

from affectjax import report
from affectjax.tables import render
from tests.helpers.shared import ROOT
from tests.helpers.workdirs import CCC, build, predictions


def test_it_prints_what_the_run_printed(tmp_path, capsys):
  workdir = build(tmp_path)
  render.console(render.write(workdir))
  printed, table = capsys.readouterr().out, (workdir / 'table.csv').read_bytes()
  (workdir / 'table.md').unlink()
  assert report.main([str(workdir)]) == 0
  assert capsys.readouterr().out == printed == (workdir / 'table.md').read_text()
  assert (workdir / 'table.csv').read_bytes() == table


@pytest.mark.parametrize(
  ('argv', 'says'),
  [(['nowhere'], 'no table.json'), ([], 'WORKDIR'), (['.', '--figure'], '--figure'), (['.', '.'], 'unrecognized')],
)
def test_wrong_use_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, argv, says):
  monkeypatch.chdir(tmp_path)
  assert report.main(argv) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.startswith('error: ') and err.count('\n') == 1 and says in err


def test_figures_are_drawn_one_per_metric(tmp_path, capsys):
  pyplot = pytest.importorskip('matplotlib.pyplot')
  given = lambda *cell: None if cell == ('good', '1', 1) else predictions(*cell)
  published = [{'row': 'base', 'metric': CCC, 'value': 0.5, 'source': 'x'}]
  workdir = build(tmp_path, arrays=given, published=published)
  assert report.main([str(workdir), '--figures']) == 0
  drawn = sorted(p.name for p in (workdir / 'figures').iterdir())
  assert drawn == ['acc.same.png', 'ccc.pooled.valence.png', 'rmse.pooled.valence.png']
  picture = pyplot.imread(workdir / 'figures' / f'{CCC}.png')
  assert picture.shape[1] == 1200 and np.ptp(picture[..., :3]) > 0.5


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'matplotlib', None)
  assert report.main([str(build(tmp_path)), '--figures']) == 2
  err = capsys.readouterr().err
  assert 'affectjax[report]' in err and err.count('\n') == 1
  assert not (tmp_path / 'figures').exists()


def test_it_starts_without_jax(tmp_path):
  code = (
    'import sys, affectjax.report; sys.exit(any(m in sys.modules for m in ("jax", "tensorflow_datasets", "grain")))'
  )
  assert subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=False).returncode == 0
