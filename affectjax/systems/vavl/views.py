"""From a network's outputs to what is scored: with both modalities, with one, with one dropped at random, by group."""

from collections.abc import Mapping

import numpy as np

from affectjax import metrics
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl.training import Target

DROPS = (10, 20, 30, 40, 50, 60, 70, 80, 90)  # per cent of test clips that lose a modality
EMOTION = 'emotion'
PARTS = ('gender', 'age')
Outputs = Mapping[str, np.ndarray]


def chosen(out: Outputs, audio: np.ndarray, visual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The outputs [N, K] for who has which modality [N] bool, and of whom the network says something at all [N] bool."""
  known = {'both': audio & visual, 'audio': audio & ~visual, 'visual': visual & ~audio}
  there = {view: who for view, who in known.items() if f'output_{view}' in out}
  if len(there) == 1:  # a unimodal network does not look at the other modality
    there = {view: {'audio': audio, 'visual': visual}[view] for view in there}
  result = np.full(np.shape(out[f'output_{next(iter(there))}']), np.nan, np.float32)
  for view, who in there.items():
    result[who] = out[f'output_{view}'][who]
  return result, np.logical_or.reduce(list(there.values()))


def _entries(target: Target, name: str, out: Outputs, chosen: np.ndarray, who: np.ndarray) -> dict[str, np.ndarray]:
  """Truth and prediction under a name for each class or attribute; no truth for those not asked, `who` [N].

  An output that is not finite stays a wrong answer: class -1, or NaN.
  """
  if target.kind == 'classification':
    finite = np.isfinite(chosen).all(1)
    hat = np.where(finite, np.where(finite[:, None], chosen, 0).argmax(1), -1).astype(np.int32)
    return {f'{EMOTION}{name}': np.where(who, out['label'], -1).astype(np.int32), f'{EMOTION}{name}_hat': hat}
  found = {}
  for i, attribute in enumerate(target.names):
    found[f'{attribute}{name}'] = np.where(who, out['label'][:, i], np.nan).astype(np.float32)
    found[f'{attribute}{name}_hat'] = chosen[:, i]
  return found


def add(target: Target, out: Outputs) -> dict[str, np.ndarray]:
  """Outputs [N, K] per view, labels and who has what, as truths and predictions by metric's target.

  `emotion` (or each attribute): with whatever a clip has; `_audio`, `_visual`: with that modality alone; `_drop10` ..
  `_drop90`: that share of the clips has lost one of its two modalities, drawn by its id, the same for all rows;
  `_gender`, `_age`: as it is, with `_part` 0 or 1.
  """
  found = dict(out)
  audio, visual = _present(out)
  values, answered = chosen(out, audio, visual)
  if answered.any():
    found |= _entries(target, '', out, values, answered)
    for part in (part for part in PARTS if part in out):
      found |= _entries(target, f'_{part}', out, values, answered)
      code = out[part] if target.kind == 'classification' else np.where(out[part] < 0, np.nan, out[part])
      found |= {f'{name}_{part}_part': code for name in subjects(target)}
  for m, who in (('audio', audio), ('visual', visual)):
    if f'output_{m}' in out:
      found |= _entries(target, f'_{m}', out, np.asarray(out[f'output_{m}']), who)
  if all(f'output_{view}' in out for view in ('both', 'audio', 'visual')) and (audio & visual).any():
    number, is_audio = clips_lib.drop_draws(out['id'])
    for share in DROPS:
      lost = (number < share / 100) & audio & visual
      left, heard = chosen(out, audio & ~(lost & is_audio), visual & ~(lost & ~is_audio))
      found |= _entries(target, f'_drop{share}', out, left, heard)
  return found


def _present(out: Outputs) -> tuple[np.ndarray, np.ndarray]:
  """Who has audio, who has visual, [N] bool each; everybody where nothing is said of it."""
  everybody = np.ones(len(out['label']), bool)
  return tuple(out.get(f'{m}_present', everybody) for m in ('audio', 'visual'))


def subjects(target: Target) -> tuple[str, ...]:
  """What metrics are of: the emotion, or each attribute."""
  return (EMOTION,) if target.kind == 'classification' else target.names


def score(target: Target, out: Outputs, select: str = 'loss') -> dict[str, float]:
  """The loss, of the prediction from all a clip has (experiments/vavl.md, 5), and what else selects (`run.select`)."""
  scores = metrics.selected(select, add(target, out))
  values, answered = chosen(out, *_present(out))
  if answered.any():
    scores['loss'] = loss(target, values[answered].astype(np.float64), np.asarray(out['label'])[answered])
  return scores


def loss(target: Target, chosen: np.ndarray, label: np.ndarray) -> float:
  """Mean cross-entropy in nats, or the number of attributes less the sum of their CCCs."""
  if target.kind == 'regression':
    each = [metrics.ccc(label[:, i], chosen[:, i]) for i in range(len(target.names))]
    return float(len(each) - np.sum(each))
  known = label >= 0
  high = chosen.max(1, keepdims=True)
  logs = chosen - high - np.log(np.exp(chosen - high).sum(1, keepdims=True))
  return float(-logs[known, label[known]].mean())
