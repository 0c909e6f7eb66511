"""What every row of every table learns from is what it was: sides, labels and first batches, by their hashes."""

import json

import numpy as np
import pytest

from affectjax import prepare
from tests.helpers import frozen
from tests.helpers.shared import pack

TABLES = {(experiment, name): table for experiment, name, table in frozen.tables(None)}
KNOWN = json.loads(frozen.TWINS.read_text())
KNOWN_REAL = json.loads(frozen.REAL.read_text())
PACKS = {'studyforrest': 'studyforrest_emotions', 'emobank': 'emobank', 'ravdess': 'ravdess', 'emodb': 'emodb',
         'pyfeat_faces': 'pyfeat_news_faces', 'ceap360vr': 'ceap360vr'}  # fmt: skip
FEW = (
  'amber2:cremad_votes', 'label_uncertainty:annotators', 'masked_ssl:pretexts', 'mtclar:ablation', 'vavl:trust',
)  # fmt: skip


def compared(table, prefix: str, known, data_dir: str | None, most: int | None = None) -> int:
  """How many of a table's cells are as they were; one that is not fails, and says in what."""
  count = 0
  for cell, config in frozen.configs(table):
    if f'{prefix}:{cell}' in known and (most is None or count < most):
      found = frozen.frozen(config, data_dir)
      parts = zip(('sides', 'labels', 'batches'), found, known[f'{prefix}:{cell}'], strict=True)
      differs = [part for part, a, b in parts if a != b]
      assert not differs, f'{prefix}:{cell}: other {", ".join(differs)}; look at it with tests.helpers.frozen.explain'
      count += 1
  return count


@pytest.mark.parametrize('prefix', FEW)
def test_a_row_of_each_system_learns_from_what_it_did(prefix):
  experiment, name = prefix.split(':')
  assert compared(TABLES[experiment, name], prefix, KNOWN, None, 1) == 1


@pytest.mark.slow
@pytest.mark.parametrize(('experiment', 'name'), TABLES)
def test_all_rows_on_twins_learn_from_what_they_did(experiment, name):
  prefix = f'{experiment}:{name}'
  assert compared(TABLES[experiment, name], prefix, KNOWN, None) == sum(k.startswith(f'{prefix}:') for k in KNOWN)


@pytest.fixture(scope='module')
def real(tmp_path_factory) -> str:
  """The open corpora, prepared."""
  folder = tmp_path_factory.mktemp('real')
  for corpus, name in PACKS.items():
    assert prepare.main([corpus, f'--source={pack(name)}', f'--data_dir={folder}']) == 0
  return str(folder)


@pytest.mark.slow
def test_all_rows_on_open_corpora_learn_from_what_they_did(real):
  count = 0
  for experiment, name, table in frozen.tables(real):
    count += compared(table, f'{experiment}:{name}', KNOWN_REAL, real)
  assert count == len(KNOWN_REAL) > 600


def test_the_hash_of_an_array_is_of_its_type_shape_and_content():
  some = np.arange(6, dtype=np.float32)
  gap = np.where(some == 2, np.nan, some)
  others = (some.astype(np.float64), some.reshape(2, 3), gap, np.array(['0', '1']), np.array(['0\n1']), some > 2)
  hashes = [frozen.digest(x) for x in (some, *others, some[::-1] > 2)]
  assert len(set(hashes)) == 8 and frozen.digest(some * 1.0000001) == hashes[0]
