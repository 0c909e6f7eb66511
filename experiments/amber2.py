"""AmbER^2 (arXiv 2601.18010, ICASSP 2026): label distributions under the ambiguity of raters and of modalities.

Source: experiments/amber2.md. The paper was not readable and no code was released; figures are those of a digest of it
(`DIGEST`), settings it does not give are defaults (DEF). Published on IEMOCAP, mean of 5 seeds: CB-CE fusion JS
.216, BC .803, R2 .628, ACC .654; AmbER^2 JS .193, BC .825, R2 .665, ACC .683.

  python -m affectjax.main --config=experiments/amber2.py                             IEMOCAP, four classes, all rows
  python -m affectjax.main --config=experiments/amber2.py:msp_podcast                 MSP-Podcast, eight classes
  python -m affectjax.main --config=experiments/amber2.py:selection                   which step is reported
  python -m affectjax.main --config=experiments/amber2.py:knobs                       the gain by the twin's two reasons
  python -m affectjax.main --config=experiments/amber2.py:studyforrest --data_dir=DIR 12 real raters of a film
  python -m affectjax.main --config=experiments/amber2.py:conditions --data_dir=DIR   its listeners against its viewers
  python -m affectjax.main --config=experiments/amber2.py:emobank --data_dir=DIR      readers and writers of sentences
  python -m affectjax.main --config=experiments/amber2.py:cremad_votes --data_dir=DIR raters of voice, face and both

Rows that search (run.search) train every setting of the paper's grid side by side and report the one with the lowest JS
on dev; what all settings had on dev is in the record (`dev`, search.*). The ablations differ in one thing from
`amber2_fixed`, which has lambda .5 and kappa 4 (two_stage: its experts have learnt by cross-entropy, DEF-2).
One seed by default (the paper: --seeds=0,1,2,3,4).
"""

import _tables
from amber2_tables import (
  base,
  conditions,
  cremad_votes,
  emobank,
  iemocap,
  knobs,
  msp_podcast,
  selection,
  studyforrest,
)

TABLES = {
  'iemocap': iemocap.table,
  'msp_podcast': msp_podcast.table,
  'selection': selection.table,
  'knobs': knobs.table,
  'studyforrest': studyforrest.table,
  'conditions': conditions.table,
  'emobank': emobank.table,
  'cremad_votes': cremad_votes.table,
}


def get_config(table='iemocap'):
  return _tables.config(table, TABLES, base.run(), folds=('0', '1', '2', '3', '4'), figures=(), matrices=())
