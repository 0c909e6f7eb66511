"""What the twins of acted clips share: a pretend voice network and a pretend face network that watch one clip.

A clip shows evidence z [K] (of emotions, or of valence, arousal, dominance) in its voice and in its face. Either
modality lays it out as a path through a latent space of 16 dimensions, which passes an onset, an apex and an offset:

  h(t) = signal * sum_j b_j(t) (z + error) C_j  +  identity * who  +  content(t)  +  noise * drift(t),
  x(t) = tanh(h(t) W) + noise * white(t),

b_j three bumps over the clip's time, C_j fixed random directions; error in proportion to `noise`, one for all of a clip
in either modality: it looks or sounds other than it is, and no model can tell; `who` of the person, the same all along,
so that a difference over time cancels it; content of the spoken sentence; drift of pose or channel; W a fixed random
map of the modality. All of it crowds the same 16 dimensions, so that no linear reading of one frame gets at z
undisturbed.

C_j = sqrt(common) * shared_j + sqrt(1 - common) * own_j: with `common` 1 voice and face say the same thing by the same
path, which layers that serve both can learn once, from either; with 0 they have nothing but the label in common.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data.corpus import Column, Ragged

MODALITIES = ('audio', 'visual')
LATENT = 16
BUMPS = (0.2, 0.5, 0.8)  # onset, apex, offset, of the clip's time
BUMP_WIDTH = 0.13
KNOTS = 6  # of content and drift over a clip's time, linear between
CONTENT, DRIFT = 0.5, 1.0  # sd of content; of drift per unit of `noise`
_MAPS = 20230512  # seed of the maps: one network per modality for all twins
_LIMITS = {  # least and most of a knob
  'seed': (0, 2**63), 'signal_audio': (0, 100), 'signal_visual': (0, 100), 'common': (0, 1), 'conflict': (0, 1),
  'identity': (0, 100), 'noise': (0, 100), 'audio_hz': (1, 1000), 'visual_hz': (1, 1000), 'audio_width': (1, 8192),
  'visual_width': (1, 8192),
}  # fmt: skip
_WHOLE = ('seed', 'actors', 'turns', 'audio_width', 'visual_width')


def check(name: str, knobs: Mapping[str, Any], **more: tuple[float, float]) -> None:
  """Refuses knobs that no twin can be made with; `more` are limits of the twin's own."""
  for key, (least, most) in {**_LIMITS, **more}.items():
    value = knobs.get(key, least)
    number = isinstance(value, int if key in _WHOLE else (int, float))
    if not number or isinstance(value, bool) or not least <= value <= most:
      kind = 'a whole number' if key in _WHOLE else 'a number'
      raise UserError(f'twin {name}: {key} {value!r}, expected {kind} from {least:g} to {most:g}')


def features(
  rng: np.random.Generator,
  shown: Mapping[str, np.ndarray],
  actor: np.ndarray,
  sentence: np.ndarray,
  seconds: np.ndarray,
  knobs: Mapping[str, Any],
  error: float,
) -> dict[str, Column]:
  """The columns `audio` [T, audio_width] and `visual` [T, visual_width] float32, with masks and presence.

  Args:
    rng: of persons, sentences, timing and noise.
    shown: modality -> [N, K] evidence, roughly of unit variance.
    actor: [N] number of each clip's person, from 0.
    sentence: [N] number of what is said, from 0.
    seconds: [N] length of each clip, s.
    knobs: `signal_<modality>`, `<modality>_hz`, `<modality>_width`, `common`, `identity`, `noise`.
    error: sd per unit of `noise` by which a whole clip looks other than its evidence, in either modality.
  """
  n, out = len(seconds), {}
  timing = rng.normal(0, 0.04, (n, 1)) + np.array(BUMPS)  # [N, 3], voice and face together
  for m, name in enumerate(MODALITIES):
    own = np.random.default_rng(rng.integers(2**63))  # a modality's width or rate moves nothing of the other
    who = own.normal(size=(actor.max() + 1, LATENT))[actor]  # [N, H]
    said = own.normal(0, CONTENT, (sentence.max() + 1, KNOTS, LATENT))[sentence]  # [N, S, H]
    drift = own.normal(0, DRIFT, (n, KNOTS, LATENT)) + own.normal(0, 0.5 * DRIFT, (n, 1, LATENT))
    look = shown[name] + own.normal(0, knobs['noise'] * error, shown[name].shape)  # [N, K]
    code = np.einsum('nk,kjh->njh', look, _code(m, look.shape[1], knobs['common']))  # [N, 3, H]
    parts = [
      knobs[f'signal_{name}'] * code,
      said + knobs['identity'] * who[:, None] + knobs['noise'] * drift,  # hats add up to 1: constants come through
    ]
    lengths = np.maximum(1, np.rint(seconds * knobs[f'{name}_hz'])).astype(np.int64)
    width = knobs[f'{name}_width']
    x = _frames(own, np.concatenate(parts, 1) @ _map(m, width), timing, lengths, knobs['noise'])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    out[name] = Ragged(x, offsets)
    out[f'{name}_mask'], out[f'{name}_present'] = Ragged(np.ones(len(x), bool), offsets), np.ones(n, bool)
  return out


def _code(modality: int, evidence: int, common: float) -> np.ndarray:
  """Directions C [K, 3, H] in which evidence moves the latent state at onset, apex and offset."""
  shape = (evidence, len(BUMPS), LATENT)
  shared = np.random.default_rng((_MAPS, evidence)).normal(0, 1 / np.sqrt(evidence), shape)
  own = np.random.default_rng((_MAPS, evidence, 1 + modality)).normal(0, 1 / np.sqrt(evidence), shape)
  return np.sqrt(common) * shared + np.sqrt(1 - common) * own


def _map(modality: int, width: int) -> np.ndarray:
  """W [H, D] of a modality's network."""
  return np.random.default_rng((_MAPS, 100 + modality)).normal(0, 0.6 / np.sqrt(LATENT), (width, LATENT)).T


def _frames(
  rng: np.random.Generator, drive: np.ndarray, timing: np.ndarray, lengths: np.ndarray, noise: float
) -> np.ndarray:
  """Frames [sum of T, D] float32 of all clips, oldest first.

  Args:
    rng: of the white noise.
    drive: [N, 3 + KNOTS, D] what enters the network at each bump and each knot.
    timing: [N, 3] where the bumps are, in a clip's time.
    lengths: [N] frames of each clip.
    noise: sd of the white noise.
  """
  time = np.concatenate([(np.arange(n) + 0.5) / n for n in lengths])  # [sum of T]
  owner = np.repeat(np.arange(len(lengths)), lengths)
  bumps = np.exp(-0.5 * ((time[:, None] - timing[owner]) / BUMP_WIDTH) ** 2)
  hats = np.maximum(0, 1 - np.abs(time[:, None] * (KNOTS - 1) - np.arange(KNOTS)))
  basis = np.concatenate([bumps, hats], 1).astype(np.float32)  # [sum of T, 3 + KNOTS]
  drive = drive.astype(np.float32)
  x, start = np.empty((len(time), drive.shape[2]), np.float32), 0
  for clip, n in enumerate(lengths):  # one product per clip: gathering the drive for every frame would copy gigabytes
    piece = x[start : start + n]
    np.matmul(basis[start : start + n], drive[clip], out=piece)
    np.tanh(piece, out=piece)
    piece += np.float32(noise) * rng.standard_normal(piece.shape, np.float32)
    start += n
  return x


def draw(rng: np.random.Generator, evidence: np.ndarray, raters: np.ndarray) -> np.ndarray:
  """Votes [N, K] float32 of so many raters [N] each, who choose by the softmax of the evidence [N, K]."""
  odds = np.exp(evidence - evidence.max(1, keepdims=True))
  return rng.multinomial(raters, odds / odds.sum(1, keepdims=True)).astype(np.float32)
