"""Masked-timestamp self-supervision on acoustic features, then fine-tuning with few labels.

Nimitsurachat and Washington, arXiv 2307.12343; AI (MDPI) 2024, 5(1), doi 10.3390/ai5010011. Methods and tables of the
paper could not be read and no code was found: this is a re-implementation with defaults of its own
(experiments/masked_ssl.md, 11), which aims at the claims of the abstract.
"""

from affectjax.engine.types import by_stage
from affectjax.systems.masked_ssl import experiment

KEYS = {  # of `run`, by part; what the experiment file must have besides affectjax.tables.experiment.RUN
  '': 'eval_batch_size least_steps mask model pretext reference stage target tune',
  'data': 'frames keep limit limit_dev modality pad pool standard unassigned',
  'mask': 'kind ratio replace span',
  'model': 'blocks dropout heads hidden kind width',
  'pretext': 'ema error everywhere group_weights layout target',
  'target': 'kind label names',
  'tune': 'decay encoder_lr frozen head loss norm untrained',
}
# a reference takes no training
build = by_stage({'pretrain': experiment.pretrain, 'finetune': experiment.finetune, 'reference': experiment.reference})
