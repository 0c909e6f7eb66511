"""AmbER^2: emotion recognition that models the ambiguity of raters and of modalities.

Wu, Lin, Song, Picard, "AmbER^2: Dual Ambiguity-Aware Emotion Recognition Applied to Speech and Text", arXiv 2601.18010.
No code was released and the paper itself could not be read: network and losses follow what is known of it
(experiments/amber2.md); what is not is a default that is named there (DEF) and a switch here.
"""

from affectjax.engine.types import by_stage
from affectjax.systems.amber2 import experiment, references

KEYS = {  # of `run`, by part; what the experiment file must have besides affectjax.tables.experiment.RUN
  '': 'eval_batch_size heads loss members model reference search stage student target temper',
  'data': 'context frames limit max_frames modalities standardise summary',
  'loss': 'base beta divergence joint kappa kind lambda_mai lambda_rai likelihood regulariser '
  'regulariser_weight stop_gradient weights',
  'model': 'dropout gate hidden width',
  'reference': 'by kind votes',
  'search': 'kappa lambda_mai on',
  'target': 'least levels merge names rule ties votes',
}
build = by_stage({'network': experiment.build, 'reference': references.build})  # a reference takes no training
