"""From heads' label distributions to what is scored: the student's, with all modalities or one, and the experts'."""

from collections.abc import Mapping

import numpy as np
import scipy.optimize

from affectjax import metrics
from affectjax.objectives import distributions
from affectjax.systems.amber2.network import FUSION

EMOTION = 'emotion'
REASONS = ('no_reason', 'ambiguous', 'conflict', 'both_reasons')  # of the twins
Outputs = Mapping[str, np.ndarray]
Splits = Mapping[str, Outputs]


def entries(name: str, out: Outputs, shares: np.ndarray, who: np.ndarray) -> dict[str, np.ndarray]:
  """Truth and prediction [N, K] under a target's name; no truth for those not asked, `who` [N] bool."""
  finite = np.isfinite(shares).all(1)
  hat = np.where(finite, np.where(finite[:, None], shares, 0).argmax(1), -1).astype(np.int32)
  return {
    f'{name}_shares': np.where(who[:, None], out['shares'], np.nan).astype(np.float32), f'{name}_shares_hat': shares,
    name: np.where(who, out['emotion'], -1).astype(np.int32), f'{name}_hat': hat,
  }  # fmt: skip


def answered(student: str, modalities: tuple[str, ...], out: Outputs) -> np.ndarray:
  """Whose modalities let the student answer, [N] bool."""
  present = {m: np.asarray(out[f'{m}_present'], bool) for m in modalities}
  return np.logical_or.reduce(list(present.values())) if student == FUSION else present[student]


def settings_js(student: str, out: Outputs) -> np.ndarray:
  """JS in bits of every copy from the raters [N, S], of the student's head."""
  shares = np.asarray(out[f'share_{student}'], np.float64)
  return distributions.js(np.asarray(out['shares'], np.float64)[:, None], shares, 'bits', np)


def chosen(student: str, modalities: tuple[str, ...], outputs: Splits) -> Splits:
  """Outputs by split of the setting with the lowest JS on dev, with what all had there, `search_js` [N, S]."""
  if np.ndim(outputs['dev'][f'share_{student}']) < 3:  # one setting
    return {split: dict(out) for split, out in outputs.items()}
  js = settings_js(student, outputs['dev']).astype(np.float32)  # as stored: who reads it finds the same setting best
  best = int(np.nanargmin(js[answered(student, modalities, outputs['dev'])].mean(0, dtype=np.float64)))
  done = {split: {k: v[:, best] if k.startswith('share_') else v for k, v in out.items()}
          for split, out in outputs.items()}  # fmt: skip
  done['dev']['search_js'] = js
  return done


def raised(shares: np.ndarray, power: float) -> np.ndarray:
  """Distributions [..., K] raised to a power and renormalised, in float64; 1 leaves them as they are."""
  if power == 1.0:
    return shares
  logs = power * np.log(np.maximum(np.asarray(shares, np.float64), 1e-30))
  out = np.exp(logs - logs.max(-1, keepdims=True))
  return out / out.sum(-1, keepdims=True)


def tempered(student: str, modalities: tuple[str, ...], outputs: Splits) -> Splits:
  """Every distribution raised to the one power, and renormalised, that gives the student the lowest JS on dev.

  It is given per utterance of dev, `temper` [N]; 1 changes nothing, more sharpens.
  """
  dev, who = outputs['dev'], answered(student, modalities, outputs['dev'])
  truth, shares = (np.asarray(dev[k], np.float64)[who] for k in ('shares', f'share_{student}'))
  loss = lambda log: float(distributions.js(truth, raised(shares, np.exp(log)), 'bits', np).mean())
  power = float(np.exp(scipy.optimize.minimize_scalar(loss, bounds=(-3.0, 3.0), method='bounded').x))
  done = {split: {k: raised(v, power).astype(np.float32) if k.startswith('share_') else v for k, v in out.items()}
          for split, out in outputs.items()}  # fmt: skip
  done['dev']['temper'] = np.full(len(who), power, np.float32)
  return done


def add(student: str, modalities: tuple[str, ...], out: Outputs) -> dict[str, np.ndarray]:
  """Heads' distributions [N, K] and labels as truths and predictions by metric's target.

  `emotion`: the student, with what an utterance has; `emotion_<modality>`: the student given that modality alone, if it
  can answer so; `emotion_expert_<modality>`: that modality's own head. Of a twin besides `emotion_true`, the student
  against the distribution that raters drew from, and `emotion_<reason>` of the utterances they disagree about for it.
  """
  scored, shares = dict(out), np.asarray(out[f'share_{student}'])
  who = answered(student, modalities, out)
  scored |= entries(EMOTION, out, shares, who)
  scored[f'{EMOTION}_level'] = np.where(who, out['level'], -1).astype(np.int32)
  scored[f'{EMOTION}_first'] = np.where(who, out['first'], -1).astype(np.int32)
  scored[f'{EMOTION}_first_hat'] = scored[f'{EMOTION}_hat']
  scored[f'{EMOTION}_first_level'] = scored[f'{EMOTION}_level']
  if 'true_shares' in out:
    scored |= entries(f'{EMOTION}_true', {**out, 'shares': out['true_shares']}, shares, who)
  if 'reason' in out:
    for i, reason in enumerate(REASONS):
      scored |= entries(f'{EMOTION}_{reason}', out, shares, who & (np.asarray(out['reason']) == i))
  for m in modalities:
    present = np.asarray(out[f'{m}_present'], bool)
    alone = f'share_fusion_{m}' if student == FUSION else f'share_{m}' if m == student else None
    if alone in out:
      scored |= entries(f'{EMOTION}_{m}', out, np.asarray(out[alone]), present)
    if m != student and f'share_{m}' in out:
      scored |= entries(f'{EMOTION}_expert_{m}', out, np.asarray(out[f'share_{m}']), present)
  return scored


def score(
  student: str, judged: tuple[str, ...], modalities: tuple[str, ...], settings: tuple[tuple[str, float, float], ...],
  out: Outputs, select: str = 'loss',
) -> dict[str, float]:  # fmt: skip
  """`loss`, the mean JS of the judged heads or the lowest of all settings, and what else was tried or selects.

  Args:
    student: the head that answers.
    judged: heads.
    modalities: names.
    settings: (name, lambda_mai, kappa) of every copy of a search, else one.
    out: of one split.
    select: the score that selects the step, a metric perhaps.
  """
  if np.ndim(out[f'share_{student}']) == 3:  # while training: every setting at once
    js = settings_js(student, out)[answered(student, modalities, out)].mean(0)
    js = np.where(np.isnan(js), np.inf, js)  # a setting that diverged is none to choose
    return {'loss': float(js.min()), **{f'search.{s[0]}': float(v) for s, v in zip(settings, js, strict=True)}}
  scores = metrics.selected(select, add(student, modalities, out))
  each = [settings_js(h, {**out, f'share_{h}': out[f'share_{h}'][:, None]}) for h in judged]
  scores['loss'] = float(np.mean([js[answered(h, modalities, out)].mean() for h, js in zip(judged, each, strict=True)]))
  if 'temper' in out:
    scores['temper'] = float(np.mean(out['temper']))
  if 'search_js' in out:
    js = np.asarray(out['search_js'], np.float64)[answered(student, modalities, out)].mean(0)
    name, lambda_mai, kappa = settings[int(np.nanargmin(js))]
    scores |= {f'search.{s[0]}': float(v) for s, v in zip(settings, js, strict=True)}
    scores |= {'search.lambda_mai': lambda_mai, 'search.kappa': kappa}
  return scores
