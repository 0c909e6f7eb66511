"""From heads' label distributions to what is scored: the student's, with all modalities or one, and the experts'."""

from collections.abc import Mapping

import numpy as np

from affectjax import metrics
from affectjax.objectives import distributions
from affectjax.systems.amber2.network import FUSION

EMOTION = 'emotion'
SCORES = ('js.bits', 'bc', 'r2.pearson', 'acc', 'uar', 'f1.macro', 'f1.weighted', 'ece.10')
Outputs = Mapping[str, np.ndarray]


def entries(name: str, out: Outputs, found: np.ndarray, who: np.ndarray) -> dict[str, np.ndarray]:
  """Truth and prediction [N, K] under a target's name; no truth for those not asked, `who` [N] bool."""
  finite = np.isfinite(found).all(1)
  hat = np.where(finite, np.where(finite[:, None], found, 0).argmax(1), -1).astype(np.int32)
  return {
    f'{name}_shares': np.where(who[:, None], out['shares'], np.nan).astype(np.float32), f'{name}_shares_hat': found,
    name: np.where(who, out['emotion'], -1).astype(np.int32), f'{name}_hat': hat,
  }  # fmt: skip


def answered(student: str, modalities: tuple[str, ...], out: Outputs) -> np.ndarray:
  """Whose modalities let the student answer, [N] bool."""
  there = {m: np.asarray(out[f'{m}_present'], bool) for m in modalities}
  return np.logical_or.reduce(list(there.values())) if student == FUSION else there[student]


def settings_js(student: str, out: Outputs) -> np.ndarray:
  """JS in bits of every copy from the raters [N, S], of the student's head."""
  found = np.asarray(out[f'share_{student}'], np.float64)
  return distributions.js(np.asarray(out['shares'], np.float64)[:, None], found, 'bits', np)


def searched(student: str, out: Outputs) -> bool:
  """Whether the outputs are those of several settings."""
  return np.ndim(out[f'share_{student}']) == 3


def chosen(
  student: str, modalities: tuple[str, ...], outputs: Mapping[str, Outputs]
) -> dict[str, dict[str, np.ndarray]]:
  """Outputs of the setting with the lowest JS on dev; dev says what all had, `search_js` [N, S]."""
  if not searched(student, outputs['dev']):
    return {side: dict(out) for side, out in outputs.items()}
  js = settings_js(student, outputs['dev']).astype(np.float32)  # as stored: who reads it finds the same setting best
  best = int(js[answered(student, modalities, outputs['dev'])].mean(0, dtype=np.float64).argmin())
  found = {}
  for side, out in outputs.items():
    found[side] = {k: v[:, best] if k.startswith('share_') else v for k, v in out.items()}
  found['dev']['search_js'] = js
  return found


def add(student: str, modalities: tuple[str, ...], out: Outputs) -> dict[str, np.ndarray]:
  """Heads' distributions [N, K] and labels as truths and predictions by metric's target.

  `emotion`: the student, with what an utterance has; `emotion_<modality>`: the student given that modality alone, if it
  can answer so; `emotion_expert_<modality>`: that modality's own head.
  """
  found = dict(out)
  there = {m: np.asarray(out[f'{m}_present'], bool) for m in modalities}
  who = answered(student, modalities, out)
  found |= entries(EMOTION, out, np.asarray(out[f'share_{student}']), who)
  found[f'{EMOTION}_level'] = np.where(who, out['level'], -1).astype(np.int32)
  found[f'{EMOTION}_first'] = np.where(who, out['first'], -1).astype(np.int32)
  found[f'{EMOTION}_first_hat'], found[f'{EMOTION}_first_level'] = found[f'{EMOTION}_hat'], found[f'{EMOTION}_level']
  for m in modalities:
    alone = f'share_fusion_{m}' if student == FUSION else f'share_{m}' if m == student else None
    if alone in out:
      found |= entries(f'{EMOTION}_{m}', out, np.asarray(out[alone]), there[m])
    if m != student and f'share_{m}' in out:
      found |= entries(f'{EMOTION}_expert_{m}', out, np.asarray(out[f'share_{m}']), there[m])
  return found


def score(
  student: str, modalities: tuple[str, ...], settings: tuple[tuple[str, float, float], ...], out: Outputs
) -> dict[str, float]:
  """Named metrics; `loss`, the lowest JS of all settings, selects the step. Of a search what every setting had.

  Args:
    student: the head that answers.
    modalities: names.
    settings: (name, lambda_mai, kappa) of every copy of a search, else one.
    out: of one side.
  """
  if searched(student, out):  # while training: every setting at once
    js = settings_js(student, out)[answered(student, modalities, out)].mean(0)
    return {'loss': float(js.min()), **{f'search.{s[0]}': float(v) for s, v in zip(settings, js, strict=True)}}
  found = add(student, modalities, out)
  scores = {f'{m}.{EMOTION}': metrics.compute(f'{m}.{EMOTION}', found) for m in SCORES}
  scores['loss'] = scores[f'js.bits.{EMOTION}']
  if 'search_js' in out:
    js = np.asarray(out['search_js'], np.float64)[answered(student, modalities, out)].mean(0)
    name, lambda_mai, kappa = settings[int(js.argmin())]
    scores |= {f'search.{s[0]}': float(v) for s, v in zip(settings, js, strict=True)}
    scores |= {'search.lambda_mai': lambda_mai, 'search.kappa': kappa}
  return scores
