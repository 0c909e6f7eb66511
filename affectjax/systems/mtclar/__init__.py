"""MT-CLAR: Siamese multi-task contrastive learning of faces, few-shot labelling of videos, supervised heads.

Parameshwara et al., "Efficient Labelling of Affective Video Datasets via Few-Shot & Multi-Task Contrastive
Learning", ACM MM 2023, arXiv 2308.02173. Method and hyperparameters follow the released code (GitHub
ravikiranrao/MTCLAR-FSL); the paper's result tables were not at hand. On precomputed features a small adapter stands
where the paper trains the upper part of EmoNet on a frozen trunk.
"""

from affectjax.engine.types import by_stage
from affectjax.systems.mtclar import heads, labelling, siamese

KEYS = {  # of `run`, by part; what the experiment file must have besides affectjax.tables.experiment.RUN
  '': 'augment emotions head label loss model pairs stage',
  'augment': 'dropout noise',
  'data': 'context modalities summary',
  'head': 'balanced dropout method on_features target',
  'label': 'anchors antisymmetric k method rule smooth_block temperature zeroed',
  'loss': 'delta exponent margin tasks weights',
  'model': 'adapter adapter_dropout dropout embedding fusion head projector',
  'pairs': 'rule same_video',
}
build = by_stage({'siamese': siamese.build, 'label': labelling.build, 'head': heads.build})
