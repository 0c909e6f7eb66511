"""Trained and selected on one corpus, tested on the other as it is: no target statistics, no fine-tuning."""

from _tables import compare, merged
from label_uncertainty_tables.base import BASELINES, NOTES, SPREAD_METRICS, SYSTEMS, named


def table(c, rows):
  c.title = 'Label uncertainty: trained on one corpus, tested on the other'
  systems = ('stl', 'mtl_pu', 'mu', 'mu_lu', 't_lu')
  ways = {
    'to_msp': dict(corpora=('recola', 'msp_conversation'), data=dict(split='official_dev', test_split='official')),
    'to_recola': dict(corpora=('msp_conversation', 'recola'), data=dict(split='official', test_split='official_dev')),
  }
  for way, place in ways.items():
    for name in systems:
      rows[f'{name}_{way}'] = merged(place, SYSTEMS[name])
      if name in BASELINES:
        c.baselines[f'{name}_{way}'] = f'{BASELINES[name]}_{way}'
  c.claims = tuple(
    dict(
      id=f'lu.cross ({way})',
      text="The t loss's gain over the Gaussian one and the baselines stays across corpora.",
      compare=compare(f't_lu_{way}', (f'mu_lu_{way}', f'mtl_pu_{way}', f'mu_{way}'), named(SPREAD_METRICS)),
    )
    for way in ways
  )
  c.notes = ('Direction, scaling and fine-tuning of the paper are not known; here labels are on [-1, 1] and nothing is '
             'fitted to the target corpus. Delays are those chosen on the training corpus.', *NOTES)  # fmt: skip
