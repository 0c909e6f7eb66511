"""Whether it is the loss, or when training ends: the last of 30 epochs, the best accuracy, a power of the outputs."""

from _tables import merged
from amber2_tables.base import ACCURACY, DEFAULTS, FIDELITY, ROWS, claims, metrics_of, networks
from amber2_tables.iemocap import IEMOCAP_NOTE, VARIANTS


def table(c, rows):
  c.title = 'AmbER^2 on IEMOCAP: how much is due to which step is reported'
  last, accuracy = dict(select='last', patience=0), dict(select='acc.emotion', select_mode='max')
  networks(c, rows, ('ce_fusion', 'ce_tempered', 'amber2_fixed', 'rater_only', *VARIANTS))
  for name in ('ce_fusion', 'amber2_fixed'):
    for end, change in (('_last', last), ('_accuracy', accuracy)):
      rows[name + end], c.baselines[name + end] = merged(ROWS[name], change), name
  c.metrics = metrics_of((*FIDELITY, *ACCURACY, 'ece.10', 'entropy.pcc'))
  for end, what in (('', 'lowest JS on dev'), ('_last', 'last step'), ('_accuracy', 'best accuracy on dev')):
    c.claims += claims((0, 1, 2), f'amber2_fixed{end}', f'ce_fusion{end}', f' ({what})')
  c.notes = (
    '_last: 30 epochs, the last step. _accuracy: the step with the best accuracy on dev.', IEMOCAP_NOTE, *DEFAULTS,
  )  # fmt: skip
