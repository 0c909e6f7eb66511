"""From a network's outputs to what is scored: with both modalities, with one, with one dropped at random, by group."""

from collections.abc import Mapping

import numpy as np

from affectjax import metrics
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl.clips import BOTH, PARTS
from affectjax.systems.vavl.training import Target

DROPS = (10, 20, 30, 40, 50, 60, 70, 80, 90)  # per cent of test clips that lose a modality
EMOTION = 'emotion'
Outputs = Mapping[str, np.ndarray]
Presence = Mapping[str, np.ndarray]  # modality, of one or two -> [N] bool, who has it


def chosen(out: Outputs, present: Presence) -> tuple[np.ndarray, np.ndarray]:
  """Of every clip the output [N, K] for what it has, NaN where none is given, and who is answered at all [N] bool."""
  views = dict(present)
  if len(present) == 2:
    (first, a), (second, b) = present.items()
    views = {BOTH: a & b, first: a & ~b, second: b & ~a}
  views = {view: who for view, who in views.items() if f'output_{view}' in out}
  result = np.full(np.shape(out[f'output_{next(iter(views))}']), np.nan, np.float32)
  for view, who in views.items():
    result[who] = out[f'output_{view}'][who]
  return result, np.logical_or.reduce(list(views.values()))


def _entries(target: Target, name: str, out: Outputs, chosen: np.ndarray, who: np.ndarray) -> dict[str, np.ndarray]:
  """Truth and prediction under a name for each class or attribute; no truth for those not asked, `who` [N].

  An output that is not finite stays a wrong answer: class -1, or NaN.
  """
  if target.kind == 'classification':
    finite = np.isfinite(chosen).all(1)
    hat = np.where(finite, np.where(finite[:, None], chosen, 0).argmax(1), -1).astype(np.int32)
    return {f'{EMOTION}{name}': np.where(who, out['label'], -1).astype(np.int32), f'{EMOTION}{name}_hat': hat}
  entries = {}
  for i, attribute in enumerate(target.names):
    entries[f'{attribute}{name}'] = np.where(who, out['label'][:, i], np.nan).astype(np.float32)
    entries[f'{attribute}{name}_hat'] = chosen[:, i]
  return entries


def add(target: Target, modalities: tuple[str, ...], out: Outputs) -> dict[str, np.ndarray]:
  """Outputs [N, K] per view, labels and who has what, as truths and predictions by metric's target.

  `emotion` (or each attribute): with whatever a clip has; `_<modality>`: with that modality alone; `_drop10` ..
  `_drop90`: that share of the clips has lost one of its two modalities, drawn by its id, the same for all rows;
  `_gender`, `_age`: as it is, with `_part` 0 or 1.
  """
  scored, present = dict(out), _present(modalities, out)
  values, answered = chosen(out, present)
  if answered.any():
    scored |= _entries(target, '', out, values, answered)
    for part in (part for part in PARTS if part in out):
      scored |= _entries(target, f'_{part}', out, values, answered)
      code = out[part] if target.kind == 'classification' else np.where(out[part] < 0, np.nan, out[part])
      subjects = (EMOTION,) if target.kind == 'classification' else target.names
      scored |= {f'{name}_{part}_part': code for name in subjects}
  for m, who in present.items():
    if f'output_{m}' in out:
      scored |= _entries(target, f'_{m}', out, np.asarray(out[f'output_{m}']), who)
  paired = np.logical_and.reduce(list(present.values()))
  if len(present) == 2 and paired.any() and all(f'output_{view}' in out for view in (BOTH, *present)):
    number, is_first = clips_lib.drop_draws(out['id'])
    for share in DROPS:
      lost = (number < share / 100) & paired
      left = {m: who & ~(lost & drawn) for (m, who), drawn in zip(present.items(), (is_first, ~is_first), strict=True)}
      scored |= _entries(target, f'_drop{share}', out, *chosen(out, left))
  return scored


def _present(modalities: tuple[str, ...], out: Outputs) -> Presence:
  """Who has which modality; everybody where nothing is said of it."""
  return {m: out.get(f'{m}_present', np.ones(len(out['label']), bool)) for m in modalities}


def score(target: Target, modalities: tuple[str, ...], out: Outputs, select: str = 'loss') -> dict[str, float]:
  """The loss, of the prediction from all a clip has (experiments/vavl.md, 5), and what else selects (`run.select`)."""
  scores = metrics.selected(select, add(target, modalities, out))
  values, answered = chosen(out, _present(modalities, out))
  if answered.any():
    scores['loss'] = loss(target, values[answered].astype(np.float64), np.asarray(out['label'])[answered])
  return scores


def loss(target: Target, chosen: np.ndarray, label: np.ndarray) -> float:
  """Mean cross-entropy in nats, or the number of attributes less the sum of their CCCs; outputs [N, K], labels [N]."""
  if target.kind == 'regression':
    each = [metrics.ccc(label[:, i], chosen[:, i]) for i in range(len(target.names))]
    return float(len(each) - np.sum(each))
  known = label >= 0
  high = chosen.max(1, keepdims=True)
  logs = chosen - high - np.log(np.exp(chosen - high).sum(1, keepdims=True))
  return float(-logs[known, label[known]].mean())
