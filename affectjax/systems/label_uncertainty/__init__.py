"""Label uncertainty in speech emotion recognition: the spread of raters, by Bayesian networks and label losses.

Prabhu et al., arXiv 2110.03299 (Interspeech 2022: Gaussian label loss), 2207.12135 (ACII 2022: Student-t label loss)
and 2209.15449 (TAC: two corpora, across corpora, number of annotators). Network and losses follow the released code
(GitHub sp-uhh/label-uncertainty-ser); the papers' texts and result tables were not at hand, and what they alone say is
a default here, marked in experiments/label_uncertainty.py.
"""

from affectjax.systems.label_uncertainty.experiment import build

__all__ = ['build']

KEYS = {  # of `run`, by part; what the experiment file must have besides affectjax.tables.experiment.RUN
  '': 'eval_batch_size loss model raters',
  'data': 'delays frames modalities rate_hz summary test_split',
  'loss': 'bbb df_hat floor floor_hat label mean moments nu over scale spread',
  'model': 'block bottleneck dropout frontend head_dropout hidden members passes recurrent spread width',
  'raters': 'reserve score train',
}
