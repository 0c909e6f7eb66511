"""What the twins of spoken words share: why raters disagree, and pooled embeddings of a voice and of its words.

An utterance means one class. Raters disagree about it for two reasons, each with a knob of its own:

  ambiguous   it is blended in itself: voice AND words carry the same blend of two or three classes, about evenly;
  conflict    voice and words each say a class clearly, but not the same one, and a rater goes by one or the other.

With q_m [K] what modality m carries (one class, or a blend), p_m = (1 - slip) q_m + slip q_m P is how raters take it:
P [K, K] is the known confusion of a class with its neighbours, which is all that is left where neither reason holds.
`truth` = (p_audio + p_text) / 2 is the distribution that first labels are drawn from. Where both reasons hold, each
modality carries a blend of its own.

In a share `unreliable` of utterances, drawn apart from the reasons, one modality (voice or words, by lot) is hard to
make out: raters lean on the other one, truth = LEAN p_other + (1 - LEAN) p_unreliable, which differs from the mean only
in conflict, and its error below is UNRELIABLE times as large.

The embedding of a modality is one vector per utterance, of a pretend encoder:

  x = tanh((signal * ((z + error) C + SEEN * |error| * poor) + identity * nuisance) W) + noise * white,

z the centred logarithm of p_m; error in proportion to `noise`, one for the whole utterance, so that no model can tell
its direction; |error| its root mean square, seen only where the modality is unreliable; nuisance of the speaker in the
voice, of the topic in the words; C, W, poor fixed random maps of the modality. So a model can learn in part from the
embedding itself that a modality is unreliable: from the direction `poor` (a linear probe tells with an area under the
curve of .78 on IEMOCAP's twin), and from the larger spread (the norm alone, .97). That this shows, how much, LEAN and
UNRELIABLE are guesses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpus import Column, Ragged
from affectjax.data.twins import _clips
from affectjax.labels import raters

MODALITIES = ('audio', 'text')
REASONS = ('none', 'ambiguous', 'conflict', 'both')
DOUBTS = ('neither', *MODALITIES)  # which modality is unreliable
ATTRIBUTES = ('valence', 'arousal', 'dominance')
LATENT = 24
SLIP = 0.1  # default share of what a rater takes for a neighbour of it
LEAN = 0.85  # of the raters go by the other modality where one is unreliable
UNRELIABLE = 2.5  # times the error of a modality that is reliable
SEEN = 0.08  # of an unreliable modality's error, in one direction of the latent space
THIRD = 0.6  # of the blends have a third class
EVEN = 12.0  # concentration of the shares in a blend; the larger the more even
FLOOR = 0.01  # under the logarithm of what is carried
_MAPS = 20260118  # seed of the maps: one encoder per modality for all twins
_MORE_LIMITS = {
  'signal_text': (0, 100), 'text_width': (1, 8192), 'ambiguous': (0, 1), 'unreliable': (0, 1), 'slip': (0, 1),
}  # fmt: skip
_MORE_WHOLE = ('text_width', 'sessions', 'speakers')


def check(name: str, knobs: Mapping[str, Any], **more: tuple[float, float]) -> None:
  """Refuses knobs that no twin can be made with; `more` are limits of the twin's own."""
  limits = {**_MORE_LIMITS, **more}
  for key in sorted(set(_MORE_WHOLE) & set(limits)):
    value, (least, most) = knobs.get(key, limits[key][0]), limits[key]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
      raise UserError(f'twin {name}: {key} {value!r}, expected a whole number from {least:g} to {most:g}')
  _clips.check(name, knobs, **limits)


def deal(weights: np.ndarray, total: int, least: int = 0) -> np.ndarray:
  """`total` dealt in proportion to `weights` [N], at least `least` each, largest remainders first; int64 [N]."""
  exact = np.asarray(weights, np.float64) * (total - least * len(weights)) / np.sum(weights)
  out = np.floor(exact).astype(np.int64)
  out[np.argsort(out - exact, kind='stable')[: total - least * len(out) - out.sum()]] += 1
  return out + least


def meta(knobs: Mapping[str, Any], emotions: Sequence[str], seats: int) -> dict[str, Any]:
  """Metadata that all twins of spoken words have alike."""
  return {
    'modalities': {m: knobs[f'{m}_width'] for m in MODALITIES}, 'rate_hz': dict.fromkeys(MODALITIES),
    'attributes': list(ATTRIBUTES), 'emotions': list(emotions), 'raters': [f'seat {r + 1}' for r in range(seats)],
    'licence': 'Apache-2.0', 'fixed': ['truth', 'reason', 'unreliable'],
  }  # fmt: skip


def rules(what: str, kept: Mapping[str, tuple[np.ndarray, str]]) -> dict[str, str]:
  """Per label rule what it says and how many examples it keeps; `kept` is the rule's name -> ([N] bool, its text)."""
  return {name: f'{text}: {keep.sum()} of {len(keep)} {what}' for name, (keep, text) in kept.items()}


def runs(rng: np.random.Generator, place: np.ndarray, classes: int, sd: float) -> np.ndarray:
  """Odds [N, K] of classes that differ from place [N] (a dialogue, a podcast) to place; `sd` of their logarithm."""
  return np.exp(rng.normal(0, sd, (place.max() + 1, classes)))[place]


def choose(rng: np.random.Generator, shares: np.ndarray) -> np.ndarray:
  """One class per row [N] int64, drawn by the shares [N, K], which need not sum to 1."""
  ends = shares.cumsum(1)
  return (rng.random((len(shares), 1)) * ends[:, -1:] >= ends).sum(1)


def doubtful(rng: np.random.Generator, n: int, unreliable: float) -> np.ndarray:
  """Which modality is unreliable, [N] int8 of DOUBTS; a share `unreliable` of the utterances has one."""
  which = 1 + rng.integers(len(MODALITIES), size=n)
  return np.where(rng.random(n) < unreliable, which, 0).astype(np.int8)


def carried(
  rng: np.random.Generator,
  meant: np.ndarray,
  other: np.ndarray,
  neighbours: np.ndarray,
  doubt: np.ndarray,
  knobs: Mapping[str, Any],
) -> dict[str, np.ndarray]:
  """What voice and words carry of utterances, as raters take it.

  Args:
    rng: of reasons and blends.
    meant: [N] the class that is meant.
    other: [N] the class that voice or words say where they are in conflict.
    neighbours: [K, K] what each class is taken for when it is not taken for itself, in any unit; diagonal 0.
    doubt: [N] as `doubtful` made it.
    knobs: `ambiguous`, share of utterances that are blends in themselves; `conflict`, share of those whose voice and
      words say different classes; `slip`, share of what is taken for a neighbour.

  Returns:
    audio, text: [N, K] the distribution of raters who go by it alone; truth: [N, K] of all raters, all float64;
    reason: [N] int8, of REASONS.
  """
  n, neighbours, slip = len(meant), neighbours / neighbours.sum(1, keepdims=True), knobs['slip']
  blended, torn = rng.random(n) < knobs['ambiguous'], rng.random(n) < knobs['conflict']
  voice = rng.random(n) < 0.5
  blends = {key: _blend(rng, e, blended, neighbours) for key, e in (('meant', meant), ('other', other))}
  out = {}
  for m, strays in (('audio', voice), ('text', ~voice)):
    q = np.where((torn & strays)[:, None], blends['other'], blends['meant'])
    out[m] = (1 - slip) * q + slip * q @ neighbours
  voiced = np.array([0.5, 1 - LEAN, LEAN])[doubt][:, None]  # [N, 1] share of raters who go by the voice
  truth = voiced * out['audio'] + (1 - voiced) * out['text']
  return {**out, 'truth': truth, 'reason': (blended + 2 * torn).astype(np.int8)}


def _blend(rng: np.random.Generator, main: np.ndarray, blended: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
  """Shares [N, K] of the classes in each utterance: of `main` [N] alone, or of it and one or two neighbours."""
  eye = np.eye(len(neighbours))
  second = choose(rng, neighbours[main])
  third = choose(rng, (neighbours[main] + neighbours[second]) * (1 - eye[main]) * (1 - eye[second]))
  shares = rng.gamma(EVEN, size=(len(main), 3))  # of a Dirichlet distribution, once divided by their sum
  shares[:, 1:] *= blended[:, None]
  shares[:, 2] *= rng.random(len(main)) < THIRD
  shares /= shares.sum(1, keepdims=True)
  return np.einsum('nj,njk->nk', shares, eye[np.stack([main, second, third], 1)])


def vote(rng: np.random.Generator, truth: np.ndarray, voters: np.ndarray, second: float = 0.0) -> np.ndarray:
  """Votes [N, K] float32: each of `voters` [N] names a class by `truth` [N, K], a share `second` another one too."""
  seats = int(voters.max())
  # Gumbel noise: the largest is a draw by `truth`, the next one a draw without the first
  keys = np.log(np.maximum(truth, 1e-12))[:, None] + rng.gumbel(size=(len(truth), seats, truth.shape[1]))
  ranked = np.argsort(-keys, 2)[..., :2]  # [N, R, 2]
  named = np.arange(seats) < voters[:, None]  # [N, R]
  named = np.stack([named, named & (rng.random(named.shape) < second)], 2)  # [N, R, 2]
  named &= np.take_along_axis(truth[:, None], ranked, 2) > 0  # nobody names what nobody means
  eye = np.eye(truth.shape[1], dtype=np.float32)
  return (eye[ranked] * named[..., None]).sum((1, 2))


def rated(
  rng: np.random.Generator, truth: np.ndarray, centres: np.ndarray, seats: np.ndarray, steps: int, sd: float
) -> dict[str, Column]:
  """Ratings and their means, of valence, arousal and dominance on a scale of whole numbers from 1.

  Args:
    rng: of utterances and raters.
    truth: [N, K] as `carried` made it.
    centres: [K, 3] what each class is like, in [-1, 1].
    seats: [N] how many raters.
    steps: 2 for a scale from 1 to 5, 3 for 1 to 7: marks on either side of its middle.
    sd: of a mark's error, in [-1, 1].

  Returns:
    ratings [1, R, 3] float32, NaN where none, ratings_mask, valence, arousal, dominance [] float32.
  """
  n, most = len(truth), int(seats.max())
  felt = truth @ centres + rng.normal(0, 0.2, (n, 3))
  felt = felt[:, None] + rng.normal(0, sd, (n, most, 3))  # [N, R, 3]
  marks = np.clip(np.rint(steps * felt), -steps, steps) / steps
  taken = np.broadcast_to((np.arange(most) < seats[:, None])[..., None], marks.shape)
  mean, offsets = raters.masked_mean(marks, taken), np.arange(n + 1)
  return {
    'ratings': Ragged(np.where(taken, marks, np.nan).astype(np.float32), offsets),
    'ratings_mask': Ragged(taken.copy(), offsets),
    **{a: mean[:, i].astype(np.float32) for i, a in enumerate(ATTRIBUTES)},
  }


def features(
  rng: np.random.Generator,
  shown: Mapping[str, np.ndarray],
  nuisance: Mapping[str, np.ndarray],
  doubt: np.ndarray,
  knobs: Mapping[str, Any],
  error: Mapping[str, float],
) -> dict[str, Column]:
  """The columns `audio` [1, audio_width] and `text` [1, text_width] float32, with masks and presence.

  Args:
    rng: of nuisances, errors and noise.
    shown: modality -> [N, K] the distribution that it carries.
    nuisance: modality -> [N] number of the speaker, or of the topic, from 0.
    doubt: [N] as `doubtful` made it.
    knobs: `signal_<modality>`, `<modality>_width`, `identity`, `noise`.
    error: modality -> sd per unit of `noise` by which an utterance looks other than its evidence, if it is reliable.
  """
  out = {}
  for m, name in enumerate(MODALITIES):
    own = np.random.default_rng(rng.integers(2**63))  # a modality's width moves nothing of the other
    z = np.log(shown[name] + FLOOR)
    z -= z.mean(1, keepdims=True)
    n, k = z.shape
    weak = doubt[:, None] == DOUBTS.index(name)  # [N, 1]
    off = own.normal(0, knobs['noise'] * error[name], z.shape) * np.where(weak, UNRELIABLE, 1)
    code = np.random.default_rng((_MAPS, k, m)).normal(0, 1 / np.sqrt(k), (k, LATENT))
    poor = np.random.default_rng((_MAPS, 200 + m)).normal(size=LATENT)
    drive = knobs[f'signal_{name}'] * (z + off) @ code
    drive += knobs[f'signal_{name}'] * SEEN * weak * np.sqrt((off**2).mean(1, keepdims=True)) * poor
    drive += knobs['identity'] * own.normal(size=(nuisance[name].max() + 1, LATENT))[nuisance[name]]
    width = knobs[f'{name}_width']
    into = np.random.default_rng((_MAPS, 100 + m)).normal(0, 0.4 / np.sqrt(LATENT), (width, LATENT)).T
    x = np.tanh((drive @ into).astype(np.float32))
    x += np.float32(knobs['noise']) * own.standard_normal(x.shape, np.float32)
    offsets = np.arange(n + 1)
    out[name], out[f'{name}_mask'] = Ragged(x, offsets), Ragged(np.ones(n, bool), offsets)
    out[f'{name}_present'] = np.ones(n, bool)
  return out
