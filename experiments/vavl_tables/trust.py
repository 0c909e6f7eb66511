"""Real votes, no features: what can be had without looking or listening (experiments/vavl.md, 8)."""

from vavl_tables.base import CLASS_METRICS, GAPS, TRUST_NOTES, references


def table(c, rows):
  c.title = "VAVL's trust checks: what takes no training, on CREMA-D's real votes"
  references(rows)
  c.metrics = tuple(m.format('') for m in CLASS_METRICS) + GAPS
  counted = 'computed from the released label files (experiments/vavl.md, 8)'
  names = ('f1.macro.emotion', 'f1.micro.emotion')
  known = {'majority': (0.074, 0.286), 'neighbours': (0.640, 0.684), 'intended': (0.797, 0.820)}
  c.published = tuple(
    dict(row=row, metric=metric, value=value, source=counted)
    for row, values in known.items() for metric, value in zip(names, values, strict=True)
  )  # fmt: skip
  c.notes = TRUST_NOTES
