"""Finished cells: what of the code makes them run again, and what leaves them done, in a copy of the package."""

import ast
import json
import shutil
import subprocess
import sys

import pytest

from affectjax.common import files
from affectjax.common.errors import UserError
from affectjax.tables import fingerprints
from tests.helpers.shared import ROOT

SYSTEMS = ('amber2', 'label_uncertainty', 'masked_ssl', 'mtclar', 'vavl')
ALL = set(SYSTEMS)
RECALL = 'uar.emotion'


def hashes(select='loss') -> dict[str, str]:
  return {system: fingerprints.code_hash(system, select) for system in SYSTEMS}


@pytest.fixture(scope='module')
def before():
  return {select: hashes(select) for select in ('loss', RECALL)}


@pytest.fixture
def changed(tmp_path, monkeypatch, before):
  """(file, old, new[, select]) -> the systems whose hash the edit of a copy of the package changes."""
  shutil.copytree(ROOT / 'affectjax', tmp_path / 'affectjax', ignore=shutil.ignore_patterns('__pycache__'))
  monkeypatch.setattr(fingerprints, 'ROOT', tmp_path / 'affectjax')
  fingerprints.code_hash.cache_clear()

  def change(name, old, new, select='loss') -> set[str]:
    path = tmp_path / 'affectjax' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ''
    assert old in text, f'{name} has no {old!r}'
    path.write_text(text.replace(old, new, 1))
    fingerprints.code_hash.cache_clear()
    return {system for system, value in hashes(select).items() if value != before[select][system]}

  yield change
  fingerprints.code_hash.cache_clear()


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'systems'),
  [
    ('objectives/contrastive.py', '1.0 - cosine', '2.0 - cosine', {'mtclar'}),
    ('objectives/dirichlet.py', 'jnp.log', 'jnp.log1p', {'amber2'}),
    ('layers/conformer.py', 'nn.LayerNorm', 'nn.RMSNorm', {'vavl'}),
    ('layers/bayesian.py', 'LEVELS = 65536', 'LEVELS = 32768', {'label_uncertainty'}),
    ('layers/heads.py', 'momentum: float = 0.9', 'momentum: float = 0.99', {'mtclar', 'masked_ssl', 'vavl'}),
    ('layers/transformer.py', 'nn.LayerNorm', 'nn.RMSNorm', {'vavl'}),
    ('layers/transformer.py', 'def masked_mean(', 'def masked_mean(*more, ', {'amber2', 'masked_ssl', 'vavl'}),
    ('layers/bayesian.py', '.defvjp(', '.defvjp(*(), ', {'label_uncertainty'}),
    ('examples/splits.py', "'values', 'stratified')", "'stratified')", ALL),
    ('examples/batches.py', '.permutation(rows)', '.permutation(rows)[::-1]', ALL),
    ('data/folds.py', 'k < 3', 'k < 2', ALL),
    ('engine/optim.py', "config['l2']))", "2 * config['l2']))", ALL),
    ('engine/steps.py', 'state.skipped + 1', 'state.skipped + 2', ALL),
    ('engine/train.py', 'MAX_SKIPPED = 5', 'MAX_SKIPPED = 6', ALL),
    ('systems/mtclar/pairs.py', 'NEAR, FAR = 0.2', 'NEAR, FAR = 0.3', {'mtclar'}),
    ('systems/amber2/views.py', 'bounds=(-3.0, 3.0)', 'bounds=(-4.0, 3.0)', {'amber2'}),
    # what is chosen or selected by: concordance, a divergence, the presence that a head is trained for
    ('metrics/statistics.py', 'ROUNDING = 1e-12', 'ROUNDING = 1e-10', {'mtclar', 'label_uncertainty', 'vavl'}),
    ('metrics/predictive.py', 'TERMS = 64', 'TERMS = 32', {'label_uncertainty'}),
    ('metrics/statistics.py', 'PRESENT = 1 / 6', 'PRESENT = 1 / 5', {'masked_ssl'}),
  ],
)
def test_cells_of_the_systems_that_use_it_run_again(changed, name, old, new, systems):
  assert changed(name, old, new) == systems


NEW_METRIC = "'nothing': Metric('neither', statistics.ones, statistics.mean_value),\n  'acc': Metric("


@pytest.mark.parametrize(
  ('name', 'old', 'new'),
  [
    ('metrics/table.py', "'acc': Metric(", NEW_METRIC),
    ('metrics/table.py', "'queries': (", "'none': ('group', lambda group: group < 0), 'queries': ("),
    ('metrics/statistics.py', 'ROUNDING = ', 'def nothing(x):\n  return 0 * x\n\n\nROUNDING = '),
    ('metrics/__init__.py', 'must lie in one group', 'lies in one group'),
    ('data/store/records.py', 'missing or damaged', 'damaged or missing'),
    ('data/store/opening.py', 'is not prepared in', 'has not been prepared in'),
    ('data/store/shards.py', 'import', 'import os\nimport'),
    ('data/corpora/afew_va.py', 'import', 'import os\nimport'),
    ('data/own/folder.py', 'import', 'import os\nimport'),
    ('common/errors.py', 'there is:', 'known are:'),
    ('engine/cell.py', 'import json', 'import json\nimport os'),
    ('engine/train.py', 'training diverged:', 'no numbers any more:'),
    ('engine/feed.py', 'expected 1 or more steps per dispatch', 'expected at least one'),
    ('engine/feed.py', 'check_batch(batches[0])', 'check_batch(batches[0])  # once'),
    ('examples/splits.py', 'UserError(f', 'UserError("Well, " f'),
    ('systems/amber2/experiment.py', 'expected at least 1 each', 'expected 1 or more each'),
    ('systems/label_uncertainty/experiment.py', 'expected at least 1', 'expected 1 or more'),
    ('systems/masked_ssl/experiment.py', 'multiple of twice the heads', 'multiple of two times the heads'),
    ('systems/mtclar/heads.py', 'prepare the', 'do prepare the'),
    ('systems/vavl/experiment.py', 'is no multiple of', 'must be a multiple of'),
    ('systems/mtclar/labelling.py', "'labelling method'", "'method of labelling'"),
    ('systems/mtclar/predictor.py', 'import', 'import os\nimport'),
    ('systems/mtclar/pairs.py', 'NEAR, FAR = 0.2', 'NEAR, FAR =    0.2'),
    ('systems/mtclar/pairs.py', '\n\nclass', '\n\n# Pairs.\nclass'),
    ('layers/heads.py', '"""Batch normalisation over', '"""Normalises over'),
    ('objectives/regression.py', 'import jax', 'import chex\nimport jax'),
    ('systems/another.py', '', 'def build(config, data_dir):\n  return 1\n'),
    ('tables/render.py', 'UNLIKE = ', 'UNLIKE = "none" or '),
    ('tables/scores.py', 'import', 'import os\nimport'),
    ('commands/progress.py', 'import', 'import os\nimport'),
    ('main.py', 'import os', 'import os\nimport re'),
  ],
)
def test_what_cannot_change_a_result_leaves_all_cells_done(changed, name, old, new):
  assert changed(name, old, new) == set()


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'again'),
  [
    ('metrics/statistics.py', 'def uar_value(sums: np.ndarray', 'def uar_value(sums: np.ndarray, more=0', True),
    ('metrics/statistics.py', 'def _per_class(', 'def _per_class(*more, ', True),
    ('metrics/table.py', "'uar': Metric('higher'", "'uar': Metric('lower'", True),
    ('metrics/table.py', "'acc': Metric('higher'", "'acc': Metric('lower'", False),
    ('metrics/statistics.py', 'def skill_value(', 'def skill_value(*more, ', False),
  ],
)
def test_the_metric_that_selects_counts_and_no_other(changed, name, old, new, again):
  assert changed(name, old, new, RECALL) == (ALL if again else set())


def test_a_metric_without_an_entry_of_its_own_counts_with_all_of_the_table(changed):
  one = fingerprints.code_hash('mtclar', 'f1.macro4.x')
  assert fingerprints.code_hash('mtclar', 'f1.macro4.y') == one, 'the definition counts, the config has the name'
  changed('metrics/table.py', "'acc': Metric('higher'", "'acc': Metric('lower'")
  assert fingerprints.code_hash('mtclar', 'f1.macro4.x') != one


def test_a_subset_counts_where_it_selects(changed):
  select = f'{RECALL}.queries'
  one = fingerprints.code_hash('mtclar', select)
  changed('metrics/table.py', '~support.astype(bool)', 'support.astype(bool)')
  assert fingerprints.code_hash('mtclar', select) != one


def test_another_system_has_another_hash_and_an_unknown_one_is_refused(changed):
  assert len(set(hashes().values())) == len(SYSTEMS)
  with pytest.raises(UserError, match="unknown system 'emonet'; there is: amber2, (.*, )?mtclar"):
    fingerprints.code_hash('emonet', 'loss')


@pytest.mark.parametrize('system', SYSTEMS)
def test_systems_call_metrics_by_functions_that_name_one(system):
  """A name that is put together when it runs would not be seen; the one that selects is in the config."""
  for path in (ROOT / 'affectjax' / 'systems' / system).glob('*.py'):
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)]
    named = {n.attr for n in calls if isinstance(n.value, ast.Name) and n.value.id == 'metrics'}
    assert named <= {'ccc', 'rmse', 'selected', 'better'}, path.name


def test_texts_of_refusals_and_checks_of_shapes_are_no_part_of_the_meaning():
  plain = 'def f(x):\n  if x > 0:\n    raise UserError\n  return x\n'
  worded = 'import chex\n\ndef f(x):\n  """Doc."""\n  chex.assert_rank(x, 0)\n  if x > 0:  # why\n    raise {}\n'
  means = {files.meaning(worded.format(f'{name}({text})') + '  return x\n') for name, text in (
    ('UserError', "f'x is {x}'"), ('UserError', "'x', x"))}  # fmt: skip
  assert means == {files.meaning(plain.replace('raise UserError', 'raise UserError()'))}
  assert files.meaning(plain.replace('> 0', '> 1')) != files.meaning(plain)
  listed = 'for wrong, why in ((x > {}, {!r}),):\n  if wrong:\n    raise UserError(why)\n'
  assert files.meaning(listed.format(0, 'a')) == files.meaning(listed.format(0, 'b'))
  assert files.meaning(listed.format(0, 'a')) != files.meaning(listed.format(1, 'a'))
  assert files.meaning("refuse_unknown('a', x, K)") == files.meaning("refuse_unknown('b', x, K)")
  assert files.meaning("refuse_unknown('a', x, K)") != files.meaning("refuse_unknown('a', x, L)")
  assert files.meaning("refuse_wrong((x, 'a'), (y, 'b'))") == files.meaning("refuse_wrong((x, 'c'), (y, f'{b}'))")
  assert files.meaning("refuse_wrong((x, 'a'), (y, 'b'))") != files.meaning("refuse_wrong((x, 'a'), (z, 'b'))")
  assert files.meaning('def f():\n  chex.assert_rank(1, 0)\n') == 'def f():\n    pass'


TWINS = """
import json, linecache, pathlib, sys
sys.dont_write_bytecode = True

def hashes():
  for name in [name for name in sys.modules if name.startswith('affectjax')]:
    del sys.modules[name]
  linecache.clearcache()
  from affectjax.data import twins
  from affectjax.data.store import opening
  return {name: opening.open_corpus(name).sha256 for name in opening.names(twins)}

before, out = hashes(), []
for name, old, new in json.loads(sys.argv[1]):
  path = pathlib.Path('affectjax', name)
  text = path.read_text()
  assert old in text, (name, old)
  path.write_text(text.replace(old, new, 1))
  out.append([name for name, value in hashes().items() if value != before[name]])
  path.write_text(text)
print(json.dumps(out))
"""
WORDED = ['cmu_mosei', 'iemocap', 'msp_podcast']
VOTED = ['cmu_mosei', 'crema_d', 'iemocap', 'msp_improv', 'msp_podcast']
LAWS = [
  ('data/twins/afew_va.py', 'speed: float = 0.05', 'speed: float = 0.06', ['afew_va']),
  ('data/twins/_faces.py', '+ 0.6 * nuisance', '+ 0.5 * nuisance', ['afew_va', 'affectnet']),
  ('data/twins/_worded.py', 'LEAN = 0.85', 'LEAN = 0.8', WORDED),
  ('labels/raters.py', 'def soft_label(', 'MORE = 1\n\n\ndef soft_label(', VOTED),
  ('labels/label_rules.py', 'def merged(', 'MORE = 1\n\n\ndef merged(', ['iemocap', 'msp_podcast']),
  ('data/twins/_worded.py', 'UserError(f', 'UserError("Well, " f', []),
  ('data/twins/affectnet.py', '"""', '"""Once more: ', []),
  ('data/store/shards.py', 'import', 'import os\nimport', []),
]


@pytest.mark.slow
def test_a_twins_law_is_its_own(tmp_path):
  shutil.copytree(ROOT / 'affectjax', tmp_path / 'affectjax', ignore=shutil.ignore_patterns('__pycache__'))
  command = [sys.executable, '-c', TWINS, json.dumps([law[:3] for law in LAWS])]
  done = subprocess.run(command, cwd=tmp_path, env={'PYTHONPATH': str(tmp_path)}, capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout) == [law[3] for law in LAWS]
