"""Masked-timestamp self-supervision on acoustic features (arXiv 2307.12343; AI 2024, 5(1)), with few labels.

Methods, tables and figures of the paper could not be read, and no code was found: backbone, masks, sizes and budgets
are defaults (experiments/masked_ssl.md, 11), published values are n/k. The abstract's claims are what is looked at.

  python -m affectjax.main --config=experiments/masked_ssl.py                                CMU-MOSEI, six intensities
  python -m affectjax.main --config=experiments/masked_ssl.py:pretexts                       masks, layouts and targets
  python -m affectjax.main --config=experiments/masked_ssl.py:ravdess --data_dir=DIR         real speech, eight emotions
  python -m affectjax.main --config=experiments/masked_ssl.py:ravdess_pretexts --data_dir=DIR  masks, sizes, rates there
  python -m affectjax.main --config=experiments/masked_ssl.py:emodb_transfer --data_dir=DIR  English to German

Rows `_N` are fine-tuned on N labels, drawn by video (by recording, where each is one), the same for `ssl` and
`supervised`; without a number: on all. Both choose among encoder learning rates on dev. Twins run at a reduced size
(`TWIN`).
"""

import _tables
from masked_ssl_tables import (
  base,
  cmu_mosei,
  emodb_transfer,
  pretexts,
  ravdess,
  ravdess_pretexts,
)

TABLES = {
  'cmu_mosei': cmu_mosei.table,
  'pretexts': pretexts.table,
  'ravdess': ravdess.table,
  'ravdess_pretexts': ravdess_pretexts.table,
  'emodb_transfer': emodb_transfer.table,
}


def get_config(table='cmu_mosei'):
  return _tables.config(table, TABLES, base.run(), folds=('all',), figures=(), matrices=(), flags=())
