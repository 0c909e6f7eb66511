"""Synthetic twin of MSP-IMPROV: 8,385 turns of six pairs of actors, rated in valence, arousal and dominance.

A turn has true valence, arousal and dominance: a cloud about the emotion it aims at (natural turns hardly aim at any),
scaled so that the mean ratings have the moments of the corpus. Five to eight of 120 raters mark it in steps of one on
the corpus's scales (1 to 5, arousal from 1 = VERY ACTIVE), each with biases and errors of their own, and vote by what
they perceived: positive is happy, negative is angry if active and else sad, neither is neutral. Labels are made of the
marks as the adapter does it, arousal reversed once.

The voice tells arousal and dominance better, the face valence (`TELLS`). Dyads, kinds of turns and moments are those
of the label files behind VAVL (experiments/vavl.md, 1); how the raters are, how long turns are and what
features tell is a guess. Measured for seed 0: raw means (sd) valence 3.09 (.84), arousal 2.56 (.71), dominance 3.10
(.57) of the corpus's 3.09 (.86), 2.53 (.72), 3.10 (.56). A ridge on time means at 10 / 6 Hz, mean of the five
partitions, gets CCC for valence, arousal, dominance .24 .67 .53 by voice, .70 .33 .31 by face, .71 .66 .56 by both.
"""

import sys
from collections.abc import Mapping

import numpy as np

from affectjax.data.corpus import Columns, Corpus, Ragged
from affectjax.data.twins import _clips, _twin
from affectjax.labels import raters

VERSION = '1.0.0'
ATTRIBUTES = ('valence', 'arousal', 'dominance')
EMOTIONS = ('angry', 'sad', 'happy', 'neutral')
LETTERS = 'ASHN'  # of EMOTIONS, in the names of turns
DYADS = (979, 1422, 1765, 1108, 1499, 1612)  # turns
KINDS = {'S': 4347, 'P': 2768, 'T': 650, 'R': 620}  # turns: other improvised, natural, target improvised, target read
TURNS, LEAST = sum(DYADS), 60
TEST_DYADS, DEV_DYADS = (5, 3, 2, 1, 6), (4, 2, 1, 6, 5)  # of the five partitions
SENTENCES = 20
# mean and sd of mean ratings on the corpus's scales; arousal's 1 is very active
MOMENTS = {'valence': (3.09, 0.86), 'arousal': (2.53, 0.72), 'dominance': (3.10, 0.56)}
CENTRES = ((-1.2, 1.0, 0.9), (-1.1, -1.1, -0.8), (1.4, 0.6, 0.3), (0.0, -0.3, 0.0))  # of EMOTIONS, in sd, active high
TOGETHER = 0.5  # correlation of arousal and dominance within an aim
AIM = {'S': 0.9, 'P': 0.5, 'T': 1.0, 'R': 1.1}
PEOPLE, SEATS = 120, (5, 8)  # raters in all, of a turn
BIAS, SLIP = 0.3, 0.7  # sd of a rater's bias and of a mark's error, in steps of the scale
REGION = 0.25  # perceived valence beyond this is not neutral, of [-1, 1]
TELLS = {'audio': (0.35, 1.0, 0.8), 'visual': (1.0, 0.4, 0.4)}  # of valence, arousal, dominance
ERROR = 1.2


def make(
  seed: int = 0, turns: int = TURNS, audio_hz: float = 50.0, visual_hz: float = 30.0, audio_width: int = 64,
  visual_width: int = 88, signal_audio: float = 1.0, signal_visual: float = 1.0, common: float = 0.5,
  identity: float = 0.5, noise: float = 0.5,
) -> Corpus:  # fmt: skip
  """Makes the twin of MSP-IMPROV from its law and these knobs; the same knobs give the same examples.

  Args:
    seed: of everything that is drawn.
    turns: number of turns, 60 or more, of all dyads and kinds in the corpus's proportion.
    audio_hz: frames of audio per second.
    visual_hz: frames of the face per second.
    audio_width: of an audio frame.
    visual_width: of a frame of the face.
    signal_audio: how strongly the attributes show in the audio features; 0: not at all.
    signal_visual: the same of the visual features.
    common: share of the code of the attributes that voice and face lay out along the same path (see `_clips`); 0: none.
    identity: how strongly the actor shows.
    noise: sd of feature noise from frame to frame; what drifts over a turn and how far a whole turn looks other than
      it is go with it.
  """
  knobs = dict(seed=seed, turns=turns, audio_hz=audio_hz, visual_hz=visual_hz, audio_width=audio_width,
               visual_width=visual_width, signal_audio=signal_audio, signal_visual=signal_visual, common=common,
               identity=identity, noise=noise)  # fmt: skip
  _clips.check('msp_improv', knobs, turns=(LEAST, 100 * TURNS))

  def columns(split: str) -> Columns:
    del split
    named, place = _names(np.random.default_rng((seed, 1)), turns)
    true = _true(np.random.default_rng((seed, 2)), place)
    marked = _marked(np.random.default_rng((seed, 3)), true)
    rng = np.random.default_rng((seed, 4))
    seconds = np.clip(3.5 * np.exp(rng.normal(0, 0.6, turns)), 0.5, 12.0)
    shown = {m: true * np.array(TELLS[m]) for m in _clips.MODALITIES}
    features = _clips.features(rng, shown, place['speaker'], place['content'], seconds, knobs, ERROR)
    return {**named, **marked, **features}

  meta = {
    'modalities': {m: knobs[f'{m}_width'] for m in _clips.MODALITIES},
    'rate_hz': {m: float(knobs[f'{m}_hz']) for m in _clips.MODALITIES},
    'attributes': list(ATTRIBUTES), 'emotions': list(EMOTIONS),
    'labels': 'synthetic: mean of 5 to 8 raters, 1 to 5 scaled to [-1, 1], arousal reversed (active is high)',
    'licence': 'Apache-2.0', 'groups': 'dyads (pairs of actors)', 'fixed': ['partitions'],
    'partitions': [str(p + 1) for p in range(len(TEST_DYADS))],
  }  # fmt: skip
  return _twin.corpus(
    'msp_improv', (sys.modules[__name__], _clips, raters), VERSION, knobs, {'all': turns}, meta, columns
  )


def _shares(counts: np.ndarray, total: int) -> np.ndarray:
  """`total` dealt in proportion to `counts`, largest remainders first, int64."""
  exact = np.array(counts) * total / np.sum(counts)
  out = np.floor(exact).astype(np.int64)
  out[np.argsort(out - exact, kind='stable')[: total - out.sum()]] += 1
  return out


def _names(rng: np.random.Generator, turns: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """What the names of the turns tell, sorted by name: columns, and the same as numbers.

  The numbers: speaker 0 to 11, aim (of EMOTIONS), kind (of KINDS), content (what is said: read and target turns share
  20 sentences, all others say something of their own).
  """
  dyad = np.repeat(np.arange(1, 7), _shares(DYADS, turns))
  kind = rng.permutation(np.repeat(list(KINDS), _shares(list(KINDS.values()), turns)))
  male, sentence = rng.integers(0, 2, turns), rng.integers(0, SENTENCES, turns)
  aim = rng.integers(0, len(EMOTIONS), turns)
  count, ids = {}, []
  for n in range(turns):
    sex = 'FM'[male[n]]
    stem = f'MSP-IMPROV-S{sentence[n] + 1:02d}{LETTERS[aim[n]]}-{sex}0{dyad[n]}-{kind[n]}-{sex}{"MF"[male[n]]}'
    count[stem] = count.get(stem, 0) + 1
    ids.append(f'{stem}{count[stem]:02d}')
  order = np.argsort(ids)
  ids, dyad, kind, male, aim = np.array(ids)[order], dyad[order], kind[order], male[order], aim[order]
  content = np.where(np.isin(kind, ('T', 'R')), sentence[order], SENTENCES + np.arange(turns))
  splits = np.array([[2 if d == test else 1 if d == dev else 0 for test, dev in zip(TEST_DYADS, DEV_DYADS, strict=True)]
                    for d in range(1, 7)], np.int8)  # fmt: skip
  return {
    'id': ids, 'item': ids, 'group': np.array([f'dyad{d}' for d in range(1, 7)])[dyad - 1],
    'speaker': np.array([f'{"FM"[m]}0{d}' for d, m in zip(dyad, male, strict=True)]),
    'gender': np.where(male == 1, 'male', 'female'), 'kind': kind, 'partitions': splits[dyad - 1],
  }, {'speaker': 2 * (dyad - 1) + male, 'aim': aim, 'kind': kind, 'content': content}  # fmt: skip


def _true(rng: np.random.Generator, place: Mapping[str, np.ndarray]) -> np.ndarray:
  """True valence, arousal, dominance [N, 3] in sd about their mean, active is high."""
  x = np.array([AIM[k] for k in place['kind']])[:, None] * np.array(CENTRES)[place['aim']]
  more = rng.normal(size=x.shape)
  more[:, 2] = TOGETHER * more[:, 1] + np.sqrt(1 - TOGETHER**2) * more[:, 2]
  x = x + more
  return (x - x.mean(0)) / x.std(0)


def _marked(rng: np.random.Generator, true: np.ndarray) -> dict[str, np.ndarray | Ragged]:
  """The columns of ratings and votes of turns with true values [N, 3]."""
  n = len(true)
  seats = rng.integers(SEATS[0], SEATS[1] + 1, n)
  who = rng.random((n, PEOPLE)).argsort(1)[:, : SEATS[1]]  # [N, R]
  taken = np.arange(SEATS[1]) < seats[:, None]  # [N, R]
  centre, sd = np.array([MOMENTS[a] for a in ATTRIBUTES]).T
  sign = np.array([1, -1, 1])  # the corpus's arousal is reversed
  steps = SLIP**2 + 1 / 12  # variance of a mark that is not the turn's: error and rounding
  # sd of the turns' true values; 1.06 makes up for the ends of the scale, at which marks are cut
  own = 1.06 * np.sqrt(sd**2 - (steps + BIAS**2) * np.mean(1 / seats))
  felt = (centre + sign * own * true)[:, None] + rng.normal(0, BIAS, (PEOPLE, 3))[who]
  felt += rng.normal(0, SLIP, felt.shape)  # [N, R, 3]
  marks = np.clip(np.rint(felt), 1, 5)
  ratings = np.where(taken[..., None], sign * (marks - 3) / 2, np.nan).astype(np.float32)
  mask = np.isfinite(ratings)
  mean = raters.masked_mean(ratings, mask)
  valence, arousal = (sign * (felt - 3) / 2)[..., :2].transpose(2, 0, 1)  # [N, R], as perceived
  choice = np.where(valence > REGION, 2, np.where(valence >= -REGION, 3, np.where(arousal > 0, 0, 1)))
  votes = (np.eye(len(EMOTIONS))[choice] * taken[..., None]).sum(1)
  offsets = np.arange(n + 1)
  return {
    'ratings': Ragged(ratings, offsets), 'ratings_mask': Ragged(mask, offsets),
    'annotators': np.array([' '.join(f'r{w + 1:03d}' for w in row[:s]) for row, s in zip(who, seats, strict=True)]),
    **{a: mean[:, i].astype(np.float32) for i, a in enumerate(ATTRIBUTES)},
    'votes': votes.astype(np.float32), 'emotion': raters.plurality(votes).astype(np.int32),
  }  # fmt: skip
