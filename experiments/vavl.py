"""VAVL (arXiv 2305.07216, IEEE TAC 2025): audio-visual emotion recognition with any modality missing.

Source of network, losses and updates: the released code, GitHub ilucasgoncalves/VAVL (c128439). Of the paper's results
one row is known, CREMA-D audio-visual: F1-macro .779, F1-micro .826 (second hand); everything else is n/k. The
released evaluation lets a clip see its batch mates, in file order: that number is no target for a system that judges
clip by clip.

  python -m affectjax.main --config=experiments/vavl.py                             CREMA-D, six emotions
  python -m affectjax.main --config=experiments/vavl.py:real_votes --config.run.twins.crema_d.pack=DIR
                                                               the same on people's real votes, of the data pack in DIR
  python -m affectjax.main --config=experiments/vavl.py:msp_improv                  arousal, valence, dominance
  python -m affectjax.main --config=experiments/vavl.py:parity                      attention across the batch
  python -m affectjax.main --config=experiments/vavl.py:trust --data_dir=DIR        what takes no training, real votes
  python -m affectjax.main --config=experiments/vavl.py:ravdess --data_dir=DIR      real speech, one modality
  python -m affectjax.main --config=experiments/vavl.py:studyforrest --data_dir=DIR real sound and picture of a film

Rows `_p50`, `_p10` train on 50 and 10 % paired clips, the others having audio or picture only. One seed by default
(--seeds=0,1,2). Synthetic twins run at a reduced size (`TWIN`).
"""

import _tables
from vavl_tables import (
  base,
  crema_d,
  msp_improv,
  parity,
  ravdess,
  real_votes,
  studyforrest,
  trust,
)

TABLES = {
  'crema_d': crema_d.table,
  'real_votes': real_votes.table,
  'msp_improv': msp_improv.table,
  'parity': parity.table,
  'trust': trust.table,
  'ravdess': ravdess.table,
  'studyforrest': studyforrest.table,
}


def get_config(table='crema_d'):
  return _tables.config(
    table, TABLES, base.run(), folds=('0', '1', '2', '3', '4'), figures=(), matrices=(), t_test=True
  )
