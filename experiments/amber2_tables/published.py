"""Published values of AmbER^2 and of neighbours, their sources, and what is doubtful about them."""

from amber2_tables.base import FIDELITY, metrics_of

DIGEST = 'arXiv 2601.18010, as given in the Audio Paper Digest post of 2026-04-29 (ICASSP 2026 series)'
PUBLISHED = {  # js.bits, bc, r2.pearson, f1.macro, f1.weighted, acc
  'iemocap': {
    'ce_text': (0.302, 0.723, 0.540, 0.581, 0.574, 0.571), 'ce_audio': (0.275, 0.747, 0.526, 0.654, 0.538, 0.544),
    'ce_fusion': (0.216, 0.803, 0.628, 0.690, 0.655, 0.654), 'amber2': (0.193, 0.825, 0.665, 0.695, 0.675, 0.683),
  },
  'msp_podcast': {
    'ce_text': (0.386, 0.648, 0.355, 0.247, 0.535, 0.446), 'ce_audio': (0.388, 0.646, 0.359, 0.247, 0.522, 0.478),
    'ce_fusion': (0.368, 0.664, 0.378, 0.276, 0.552, 0.473), 'amber2': (0.328, 0.707, 0.425, 0.369, 0.445, 0.520),
  },
}  # fmt: skip
DOUBTED = {  # no gate
  ('iemocap', 'ce_audio', 'f1.macro.emotion'),
  *(('msp_podcast', row, f'{m}.emotion') for row in PUBLISHED['msp_podcast'] for m in ('f1.macro', 'f1.weighted')),
}
LLM, AER = 'AER-LLM few-shot, text and speech', 'arXiv 2409.18339'
RELATED = {
  'iemocap': (
    (LLM, 'bc', 0.69, AER), (LLM, 'r2.pearson', 0.59, AER), (LLM, 'acc', 0.5875, f'{AER}, table V'),
    (LLM, 'f1.weighted', 0.5906, f'{AER}, table V'), (LLM, 'ece.5', 0.29, AER),
    (LLM, 'js_sqrt.nats', 0.35, f'{AER}; its code takes this root'),
    ('Scaling Ambiguity, human labels', 'js.bits', 0.302, 'arXiv 2601.14620, table 2; another split'),
    ('Scaling Ambiguity, human labels', 'bc', 0.724, 'arXiv 2601.14620, table 2; another split'),
  ),
  'msp_podcast': tuple((LLM, m, v, f'{AER}; 4 classes, 4,114 utterances') for m, v in (
    ('bc', 0.61), ('r2.pearson', 0.56), ('acc', 0.556), ('f1.weighted', 0.562), ('js_sqrt.nats', 0.40))),
}  # fmt: skip
TRAPS = (
  "Traps in the published figures (experiments/amber2.md, 9): the abstract's gains of 20.3 % in BC and 13.6 % in R2 "
  'are against few-shot AER-LLM, those in accuracy and F1 against a system called Emoent that could not be identified; '
  'against CB-CE fusion on IEMOCAP they are +2.7 % BC, +5.9 % R2, -10.6 % JS, +4.4 % ACC, +3.1 % weighted F1.',
  "AER-LLM's IEMOCAP accuracies as the paper quotes them are off by a row (.434 and .481 are zero-shot); here stands "
  "AER-LLM's own. Its JS is the root of the JSD in nats: no neighbour of JS in bits; compare by BC.",
  'On MSP-Podcast AER-LLM has 4 classes and 4,114 utterances, AmbER^2 8 classes. F1-macro of MSP-Podcast, its weighted '
  'F1, and F1-macro of ce_audio on IEMOCAP (.654 beside an accuracy of .544) look wrong in the digest: no gate.',
  'Of rater-only, modality-only or other students the digest has no rows: those here have no published value beside '
  'them. Which utterances the paper kept is not known.',
)


def published(c, table, rows):
  names = metrics_of((*FIDELITY, 'f1.macro', 'f1.weighted', 'acc'))
  known = [(row, m, v) for row, values in PUBLISHED[table].items() for m, v in zip(names, values, strict=True)]
  found = [(row, m, None, f'{DIGEST}: {v}, doubted (experiments/amber2.md, 9)') if (table, row, m) in DOUBTED else
           (row, m, v, DIGEST) for row, m, v in known]  # fmt: skip
  found += [(row, f'{m}.emotion', v, source) for row, m, v, source in RELATED[table]]
  unknown = ('rater_only', 'modality_uniform', 'student_audio', 'student_text')
  found += [(row, m, None, f'{DIGEST}: no such row') for row in unknown if row in rows for m in names]
  c.published = tuple(dict(row=row, metric=m, value=v, source=source) for row, m, v, source in found)
