"""t_lu with departures from the code undone, one by one and all together (experiments/label_uncertainty.md, 11)."""

from _tables import merged
from label_uncertainty_tables.base import NOTES, SYSTEMS


def table(c, rows):
  c.title = 'Label uncertainty: t_lu as released and corrected (RECOLA)'
  released = {
    'bbb_monte_carlo': dict(loss=dict(bbb='monte_carlo')),
    'ccc_mixed': dict(loss=dict(moments='mixed')),
    'no_floor': dict(loss=dict(floor=0.0)),
  }
  corrected = {
    'posterior': dict(loss=dict(nu='a-1', scale='posterior')),
    'wide_bottleneck': dict(model=dict(bottleneck='wide')),
    'bbb_over_data': dict(loss=dict(over='data')),
  }
  rows['t_lu'] = SYSTEMS['t_lu']
  rows['t_lu_released'] = merged(SYSTEMS['t_lu'], *released.values())
  for name, change in {**released, **corrected}.items():
    rows[f't_lu_{name}'] = merged(SYSTEMS['t_lu'], change)
  c.baselines = {row: 't_lu' for row in rows if row != 't_lu'}
  c.notes = ('t_lu: nu = a and scale = s as released; closed-form cost, 1 / n moments and floored spread as corrected. '
             'The waveform frontend has its own switch, run.model.frontend released or integer.', *NOTES)  # fmt: skip
