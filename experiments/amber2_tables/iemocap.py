"""Four classes, utterances whose every vote lies in them, one session a fold."""

from amber2_tables.base import DEFAULTS, METRICS, ROWS, by_level, claims, controls, metrics_of, missing, networks
from amber2_tables.published import TRAPS, published

VARIANTS = ('ce_inverse', 'gate_concatenation')  # beside the default table, in `:selection`
IEMOCAP_NOTE = (
  'Kept are utterances with every vote in neutral, happy or excited, angry, sad (the rule of AER-LLM, which keeps '
  '4,370; excited counts as happy). Level 1.585, all raters different, has ties only, so that what needs one class is '
  'n/a there; others are utterances of two, or of four and more votes, none of the three entropies. Intervals are over '
  'ten speakers.'
)


def table(c, rows):
  c.title = 'AmbER^2 on IEMOCAP: distributions of raters over four emotions'
  shown = tuple(r for r in ROWS if r not in VARIANTS)
  networks(c, rows, shown)
  c.metrics = metrics_of(METRICS) + metrics_of(('acc', 'f1.macro', 'f1.weighted'), 'emotion_first')
  c.claims = claims((0, 1, 2))
  controls(c, (0, 1, 2))
  by_level(c, (0, 1, 2, 3), ('0', '.918', '1.585', 'others'), 'bits; others, of two or four votes and more, at 2',
            (0.0, 0.918, 1.585, 2.0))  # fmt: skip
  missing(c, tuple(r for r in shown if r not in ('prior', 'rater')), ('audio', 'text'))
  published(c, 'iemocap', rows)
  c.notes = (IEMOCAP_NOTE, *TRAPS, *DEFAULTS)
