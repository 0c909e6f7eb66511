"""VAVL: versatile audio-visual learning, with any modality missing in training or at test.

Goncalves et al., "Versatile Audio-Visual Learning for Emotion Recognition", IEEE TAC 2025, arXiv 2305.07216. Network,
losses and updates follow the released code (GitHub ilucasgoncalves/VAVL, c128439; experiments/vavl.md); what that code
gets wrong (attention across the batch, no masks, a label flipped every other epoch) is corrected here, and the first of
these can be had back by `run.parity`. Of the paper's results one row is known.
"""

from affectjax.engine.types import by_stage
from affectjax.systems.vavl import experiment, references

KEYS = {  # of `run`, by part; what the experiment file must have besides affectjax.tables.experiment.RUN
  '': 'eval_batch_size loss model parity reference stage target update',
  'data': 'buckets context limit max_frames modalities paired pool unpaired',
  'loss': 'rebuild',
  'model': 'blocks compute dropout fusion heads kernel kind positions remat residual shared shared_blocks width',
  'parity': 'attend_across_batch file_order',
  'target': 'kind label merge names soft',
  'update': 'fusion_gradient kind',
}
build = by_stage({'network': experiment.build, 'reference': references.build})  # a reference takes no training
