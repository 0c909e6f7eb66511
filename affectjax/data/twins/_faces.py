"""What the face twins share: a pretend face network that sees valence, arousal, identity and nuisances.

x = tanh(signal * E(v', a') + identity * I(person) + nuisance * J(pose, light)) + noise, with fixed random maps E, I, J.
A face shows v' = v + bias of the person + error of the moment: some people look more positive, or calmer, than they are
said to be. No regression from one face can undo the bias; a difference between two faces of one person can. That is the
effect the paper claims, with a knob for its size.

The maps are the same for every twin, as one face network would be; a corpus shift adds an offset and turns J.
"""

import numpy as np

WIDTH = 256
IDENTITY = 16
NUISANCE = 8
EMOTIONS = ('neutral', 'happy', 'sad', 'surprise', 'fear', 'disgust', 'anger', 'contempt')
# Where each expression lies in the valence-arousal plane: inside the regions of EmoNet's cleaning rules
# (face-analysis/emonet, emonet/data/affecnet.py; experiments/mtclar.md, 1).
CENTRES = np.array([
  [0.0, 0.0], [0.65, 0.1], [-0.6, -0.25], [0.15, 0.65], [-0.25, 0.75], [-0.65, 0.3], [-0.45, 0.6], [-0.4, 0.1],
])  # fmt: skip
_MAPS = 20230804  # seed of the maps: one network for all twins


def _expand(va: np.ndarray) -> np.ndarray:
  """(v, a) [N, 2] -> smooth functions of them [N, 7]: linear, quadratic and a little of either sign."""
  v, a = va[:, 0], va[:, 1]
  return np.stack([v, a, v * a, v * v, a * a, np.sin(2 * v), np.sin(2 * a)], 1)


def features(
  va: np.ndarray,
  identity: np.ndarray,
  nuisance: np.ndarray,
  rng: np.random.Generator,
  *,
  signal: float,
  identity_strength: float,
  noise: float,
  shift: float = 0.0,
) -> np.ndarray:
  """Features [N, 256] float32 of faces.

  Args:
    va: [N, 2] true valence and arousal.
    identity: [N, 16] of the person; nuisance: [N, 8] pose, light.
    rng: for the noise.
    signal: how strongly valence and arousal show; 0 hides them altogether.
    identity_strength: how strongly the person shows.
    noise: sd of independent noise per feature and frame.
    shift: corpus shift, 0 for the corpus the network was "trained" on.
  """
  maps = np.random.default_rng(_MAPS)
  e = maps.normal(0, 0.5, (7, WIDTH))
  i = maps.normal(0, 1 / np.sqrt(IDENTITY), (IDENTITY, WIDTH))
  j = maps.normal(0, 1 / np.sqrt(NUISANCE), (NUISANCE, WIDTH))
  turned, offset = maps.normal(0, 1 / np.sqrt(NUISANCE), (NUISANCE, WIDTH)), maps.normal(0, 0.5, WIDTH)
  drive = signal * _expand(va) @ e + identity_strength * identity @ i + 0.6 * nuisance @ (j + shift * turned)
  x = np.tanh(drive + shift * offset)
  return (x + rng.normal(0, noise, x.shape)).astype(np.float32)
