"""Label uncertainty (arXiv 2110.03299, 2207.12135, 2209.15449): the mean and the spread of raters, every moment.

Source of network and losses: the released code, GitHub sp-uhh/label-uncertainty-ser. The papers' result tables were not
at hand: published values are n/k. What the code does not say is a default: Adam 1e-4, batches of 5 windows, 100 epochs,
the step with the lowest dev loss, delays chosen on dev, frame features instead of waveforms (run.model.frontend
'released' and run.data.modalities ('waveform',) give the raw network).

  python -m affectjax.main --config=experiments/label_uncertainty.py                 within RECOLA and MSP-Conversation
  python -m affectjax.main --config=experiments/label_uncertainty.py:cross_corpus    trained on one, tested on the other
  python -m affectjax.main --config=experiments/label_uncertainty.py:annotators      3 to 6 raters train, all score
  python -m affectjax.main --config=experiments/label_uncertainty.py:agreement       thirds of inter-rater correlation
  python -m affectjax.main --config=experiments/label_uncertainty.py:switches        released or corrected, one by one
  python -m affectjax.main --config=experiments/label_uncertainty.py:ceap360vr --data_dir=DIR     32 real raters
  python -m affectjax.main --config=experiments/label_uncertainty.py:studyforrest --data_dir=DIR  12 real raters

Of the released code's peculiarities (experiments/label_uncertainty.md, 11) the rows keep nu = a, scale = s, the reshape
of frames and the bottleneck; cost of the weights in closed form, CCC with 1 / n moments and a floored spread are
corrected; `:switches` shows both. One seed by default (--seeds=0,1,2).

Synthetic twins run at a reduced size (`TWIN`): 5 labels per second, a quarter of the units, 600 steps, new weights
every 12 s as in the first release of the code (2 s later), Adam 3e-3 with gradients clipped at norm 1.
"""

import _tables
from label_uncertainty_tables import (
  agreement,
  annotators,
  base,
  ceap360vr,
  cross_corpus,
  studyforrest,
  switches,
  within,
)

TABLES = {
  'within': within.table,
  'cross_corpus': cross_corpus.table,
  'annotators': annotators.table,
  'agreement': agreement.table,
  'switches': switches.table,
  'ceap360vr': ceap360vr.table,
  'studyforrest': studyforrest.table,
}


def get_config(table='within'):
  c = _tables.config(table, TABLES, base.run(), folds=('all',), metrics=base.named(base.METRICS), figures=())
  if table not in ('ceap360vr', 'studyforrest'):
    c.on_twins = {name: _tables.without(base.TWIN, c.rows[name].to_dict()) for name in c.order}
  return c
