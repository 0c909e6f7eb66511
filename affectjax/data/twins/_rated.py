"""What the twins of rated speech share: latent mean and spread over time, features that reveal them, raters that mark.

Per attribute a recording has a latent mean m(t) and a latent spread s(t). A rater r marks, `delay` late,

  y_r(t) = m(t) + s(t) e_r(t),   e_r = Q_nu(Phi(z_r)),   z_r ~ N(0, 1) at every moment,

with Q_nu the quantile function of Student's t. z_r mixes the rater's bias, a gain on m(t) and noise that is correlated
in time, and is scaled to unit variance, so that at every moment a rater's mark is distributed exactly as t_nu(m, s):
the true distribution is known (`<attribute>_true`: location, scale, degrees of freedom; infinite: normal), but for the
limits of the scale [-1, 1] and `jitter`, which give raters delays of their own.

Features show tanh of a random mixture of m, log s and nuisances (voice, channel), the same mixture for all twins but
for `shift`. Nothing in them tells which rater marks.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import signal as filters
from scipy import stats

from affectjax.common.errors import UserError
from affectjax.data.corpus import Columns, Ragged

ATTRIBUTES = ('valence', 'arousal')
RATE = 25.0  # labels per second
WIDTH, NUISANCE = 24, 8
SAMPLES = 640  # per frame, 16 kHz
_MAPS = 20220726
MEAN_SD = 0.2  # of m(t) over a recording's time
CENTRE = {'valence': 0.05, 'arousal': 0.0}
SLOW = {'mean': 4.0, 'spread': 8.0, 'noise': 3.0, 'nuisance': 1.5}  # s, time constants
PARTS = {'bias': 0.5, 'gain': 0.3, 'noise': 0.8}  # of z_r


def smooth(rng: np.random.Generator, steps: int, channels: int, constant: float) -> np.ndarray:
  """Unit-variance Gaussian processes [steps, channels], correlated over `constant` seconds, smooth to the eye."""
  decay = np.exp(-2 / (constant * RATE))
  lead = int(8 * constant * RATE)  # forgets its start
  white = rng.normal(size=(steps + lead, channels))
  once = filters.lfilter([1.0], [1.0, -decay], white, axis=0)
  twice = filters.lfilter([1.0], [1.0, -decay], once, axis=0)[lead:]
  return twice / np.sqrt((1 + decay**2) / (1 - decay**2) ** 3)


def check(knobs: Mapping[str, Any]) -> None:
  """Refuses knobs that no twin can be made with."""
  if not 0 <= knobs['tails'] < 0.5:
    raise UserError(f'twin: tails {knobs["tails"]}, expected 0 (normal) or 1 / degrees of freedom, below 0.5')
  for key, least in (('frames', 1), ('raters', 1), ('recordings', 1), ('conversations', 3), ('delay', 0), ('jitter', 0),
                     ('noise', 0), ('spread_sd', 0)):  # fmt: skip
    if key in knobs and knobs[key] < least:
      raise UserError(f'twin: {key} {knobs[key]}, expected at least {least}')
  if not 0 < knobs['agreement'] < 1:
    raise UserError(f'twin: agreement {knobs["agreement"]}, expected a mean correlation of raters between 0 and 1')


def quantiles(tails: float) -> tuple[np.ndarray, np.ndarray]:
  """Standard normal values and the values of t with 1 / `tails` degrees of freedom at the same probabilities."""
  z = np.linspace(-6, 6, 4001)
  return z, z if tails == 0 else stats.t.ppf(stats.norm.cdf(z), 1 / tails)


def disagreement(agreement: float, tails: float, spread_sd: float) -> float:
  """The median scale of marks at which two raters correlate by about `agreement`, var m / (var m + var about m)."""
  variance = MEAN_SD**2 * (1 / agreement - 1)
  heavier = 1.0 if tails == 0 else (1 / tails) / (1 / tails - 2)
  return float(np.sqrt(variance / heavier / np.exp(2 * spread_sd**2)))


def rater_traits(rng: np.random.Generator, raters: int) -> dict[str, np.ndarray]:
  """Bias and gain [R, 2] of a pool of raters, standard normal, and the share of `jitter` each is late, [R]."""
  return {'bias': rng.normal(size=(raters, 2)), 'gain': rng.normal(size=(raters, 2)), 'late': rng.uniform(0, 1, raters)}


def recording(
  rng: np.random.Generator, frames: int, traits: Mapping[str, np.ndarray], raters: np.ndarray, knobs: Mapping[str, Any]
) -> dict[str, np.ndarray]:
  """One recording: `audio` [T, 24], `ratings` [T, R, 2], `true` {attribute: [T, 3]}, `waveform` if asked for.

  Args:
    rng: of the recording.
    frames: T.
    traits: of the pool.
    raters: [R] which of the pool mark it.
    knobs: `signal`, `spread_signal`, `noise`, `shift`, `agreement`, `tails`, `spread_sd`, `delay`, `jitter`,
    `waveform`.
  """
  lag = round((knobs['delay'] + knobs['jitter']) * RATE) + 1  # raters mark what was before the recording, too
  whole = frames + lag
  look = smooth(rng, whole, 2, SLOW['mean'])  # [T, 2]
  unrest = smooth(rng, whole, 2, SLOW['spread'])
  offset = np.array([CENTRE[a] for a in ATTRIBUTES]) + rng.normal(0, 0.08, 2)
  mean = offset + MEAN_SD * look
  scale = disagreement(knobs['agreement'], knobs['tails'], knobs['spread_sd']) * np.exp(knobs['spread_sd'] * unrest)
  marks = np.stack([_marks(rng, mean, scale, look, traits, r, frames, lag, knobs) for r in raters], 1)  # [T, R, 2]
  at = slice(lag - round(knobs['delay'] * RATE), lag - round(knobs['delay'] * RATE) + frames)  # what a mark is about
  df = np.inf if knobs['tails'] == 0 else 1 / knobs['tails']
  out = {
    'audio': features(rng, look[lag:], unrest[lag:], knobs), 'ratings': np.clip(marks, -1, 1).astype(np.float32),
    'true': {a: np.stack([mean[at, i], scale[at, i], np.full(frames, df)], -1).astype(np.float32)
             for i, a in enumerate(ATTRIBUTES)},
  }  # fmt: skip
  if knobs['waveform']:
    out['waveform'] = sound(rng, out['audio'])
  return out


def _marks(rng, mean, scale, look, traits, rater: int, frames: int, lag: int, knobs) -> np.ndarray:
  """One rater's marks [T, 2], not yet cut to the scale."""
  noise = smooth(rng, len(mean), 2, SLOW['noise'])
  gain = PARTS['gain'] * look
  z = PARTS['bias'] * traits['bias'][rater] + gain * traits['gain'][rater] + PARTS['noise'] * noise
  z /= np.sqrt(PARTS['bias'] ** 2 + gain**2 + PARTS['noise'] ** 2)
  y = mean + scale * np.interp(z, *quantiles(knobs['tails']))
  late = round((knobs['delay'] + knobs['jitter'] * traits['late'][rater]) * RATE)
  return y[lag - late : lag - late + frames]


def features(rng: np.random.Generator, look: np.ndarray, unrest: np.ndarray, knobs: Mapping[str, Any]) -> np.ndarray:
  """Frame features [T, 24] float32 of standardised mean and log spread, [T, 2] each."""
  maps = np.random.default_rng(_MAPS)
  shown = np.concatenate([knobs['signal'] * look, knobs['spread_signal'] * unrest], 1)  # [T, 4]
  mix = maps.normal(0, 0.5, (4, WIDTH))
  voice = maps.normal(0, 1 / np.sqrt(NUISANCE), (NUISANCE, WIDTH))
  turn, offset = maps.normal(0, 0.5, (4, WIDTH)), maps.normal(0, 0.5, WIDTH)
  person = rng.normal(0, 0.5, NUISANCE)
  nuisance = person + smooth(rng, len(look), NUISANCE, SLOW['nuisance'])
  x = np.tanh(shown @ (mix + knobs['shift'] * turn) + 0.5 * nuisance @ voice + knobs['shift'] * offset)
  return (x + rng.normal(0, knobs['noise'], x.shape)).astype(np.float32)


def sound(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
  """A waveform [T, 640] float32 in [-1, 1]: 24 tones whose loudness follows the features, over soft noise."""
  frames, width = x.shape
  pitch = 100 * 1.16 ** np.arange(width)  # 100 Hz to 3 kHz
  out = np.empty((frames, SAMPLES), np.float32)
  for start in range(0, frames, 500):  # a whole recording at once would take gigabytes
    piece = x[start : start + 500]
    time = (start * SAMPLES + np.arange(len(piece) * SAMPLES)) / (SAMPLES * RATE)
    loud = np.repeat(np.exp(piece - 3.5), SAMPLES, axis=0)  # [n, 24]
    tone = (loud * np.sin(2 * np.pi * pitch * time[:, None])).sum(1) + rng.normal(0, 0.01, len(time))
    out[start : start + 500] = np.clip(tone, -1, 1).reshape(-1, SAMPLES)
  return out


def columns(made: list[dict[str, Any]], ids: list[str], groups: list[str], slots: int) -> Columns:
  """Recordings laid end to end; raters beyond a recording's own are masked."""

  def seated(ratings):
    out = np.full((len(ratings), slots, 2), np.nan, np.float32)
    out[:, : ratings.shape[1]] = ratings
    return out

  ratings = Ragged.stack([seated(r['ratings']) for r in made])
  mean = np.nanmean(ratings.values, axis=1)
  out = {
    'id': np.array(ids), 'item': np.array(ids), 'group': np.array(groups),
    'audio': Ragged.stack([r['audio'] for r in made]),
    'audio_mask': Ragged(np.ones(len(ratings.values), bool), ratings.offsets),
    'ratings': ratings, 'ratings_mask': Ragged(np.isfinite(ratings.values), ratings.offsets),
    'label_rate_hz': np.full(len(made), RATE, np.float32),
    **{a: Ragged(mean[:, i], ratings.offsets) for i, a in enumerate(ATTRIBUTES)},
    **{f'{a}_true': Ragged.stack([r['true'][a] for r in made]) for a in ATTRIBUTES},
  }  # fmt: skip
  if 'waveform' in made[0]:
    out['waveform'] = Ragged.stack([r['waveform'] for r in made])
    out['waveform_mask'] = out['audio_mask']
  return out


def meta(raters: list[str], waveform: bool) -> dict[str, Any]:
  """Metadata of a rated twin."""
  modalities = {'audio': WIDTH, **({'waveform': SAMPLES} if waveform else {})}
  return {
    'modalities': modalities, 'rate_hz': dict.fromkeys(modalities, RATE), 'label_rate_hz': RATE,
    'attributes': list(ATTRIBUTES), 'labels': 'synthetic: the mean of the raters', 'licence': 'Apache-2.0',
    'raters': raters, 'groups': 'recordings',
  }  # fmt: skip
