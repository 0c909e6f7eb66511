"""Synthetic twin of CREMA-D: 7,442 clips of 91 actors, six emotions, raters of the voice, of the face and of both.

An actor means one emotion. What voice and face show of it are log odds z [6]: what that emotion typically looks like
(`TYPICAL`), more or less of it by the actor's skill and the level asked for, and a nuisance of the clip; now and then
(`conflict`) voice or face show another emotion. Raters vote by the softmax of z; who hears and sees weighs both and is
drawn to fear and away from neutral. A class that more than half of the audio-visual raters chose is the consensus.

With `votes='real'` names, demographics, votes, labels and partitions are those of the data pack in `pack`, and only the
features are made up: from the logarithm of the voice-only and the face-only raters' shares.

The constants were set so that drawn votes resemble the real ones (seed 0 / real; voice, face, both):
  mean entropy of a clip's votes, nats    .85 .72 .68 / .83 .70 .64
  unanimous                               6 14 14 % / 5 14 15 %
  votes for the intended emotion          40 59 62 % / 40 57 63 %
  most voted of voice and face differ     54 % / 51 % (first class where classes tie)
  consensus                               5,796 / 5,913: anger 858 / 902, sad 353 / 400, disgust 867 / 894,
                                          fear 797 / 874, neutral 1764 / 1651, happy 1157 / 1192
and `SHOWN` and `ERROR` so that a logistic probe of time means gets about what is known of real features. Its accuracy
against the consensus, voice, face, both: .65 .69 .81 (mean of the five partitions; .64 .67 .79 at 10 / 6 Hz, .60 .72
.80 with real votes); of the means of a clip's thirds .69 .77 .84.
"""

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data.corpus import Columns, Corpus
from affectjax.data.twins import _clips, _twin
from affectjax.labels import raters

VERSION = '1.0.0'
PACK = 'cremad_votes'
EMOTIONS = ('anger', 'sad', 'disgust', 'fear', 'neutral', 'happy')  # VAVL's order
CODES = ('ANG', 'SAD', 'DIS', 'FEA', 'NEU', 'HAP')
NEUTRAL = 4
SENTENCES = ('DFA', 'IEO', 'IOM', 'ITH', 'ITS', 'IWL', 'IWW', 'MTI', 'TAI', 'TIE', 'TSI', 'WSI')
LEVELLED = 'IEO'  # the sentence at three levels; the others, and neutral, at none (XX)
LEVELS = {'LO': -1, 'MD': 0, 'HI': 1, 'XX': 0}
ACTORS, MALE, ABSENT = 91, 48, 20  # clips that the corpus lacks
SPLIT, PARTITIONS = (63, 14, 14), 5  # actors in train, dev and test of each partition
# Percent of votes (over EMOTIONS) for a clip meant as each of EMOTIONS, from votes_long.csv, rounded
TYPICAL = {
  'audio': ((53, 1, 21, 5, 18, 2), (2, 25, 7, 12, 53, 1), (12, 10, 29, 9, 37, 3),
            (7, 14, 6, 32, 38, 3), (4, 7, 6, 5, 76, 2), (7, 3, 8, 8, 45, 29)),
  'visual': ((57, 2, 19, 5, 14, 3), (3, 32, 10, 12, 41, 2), (8, 20, 54, 10, 6, 1),
             (9, 14, 10, 44, 22, 2), (4, 8, 8, 4, 71, 4), (1, 1, 1, 1, 9, 88)),
}  # fmt: skip
SHARPNESS, NUISANCE = {'audio': 1.2, 'visual': 1.3}, {'audio': 0.75, 'visual': 0.65}
SKILL, LEVEL = 0.4, 0.4  # sd of an actor's, step of a level; both in log odds against neutral
WEIGHTS, DRAWN_TO = {'audio': 0.55, 'visual': 0.75}, (-0.2, 0.1, 0.0, 0.35, -0.5, 0.0)  # who hears and sees
SEATS = (0.001, 0.002, 0.005, 0.02, 0.09, 0.31, 0.51, 0.06, 0.002)  # shares of clips with 4 to 12 raters
SHOWN = {'audio': 0.9, 'visual': 0.65}  # what a unit of log odds is to the features: sd about 1
REAL = 1.6  # spreads the logarithm of real shares as far as the drawn evidence
ERROR = {'drawn': 1.3, 'real': 0.6}  # sd of what a clip looks like; real shares are off by their few raters already


def make(
  seed: int = 0, actors: int = ACTORS, audio_hz: float = 50.0, visual_hz: float = 30.0, audio_width: int = 64,
  visual_width: int = 88, signal_audio: float = 1.0, signal_visual: float = 1.0, common: float = 0.5,
  conflict: float = 0.08, identity: float = 0.5, noise: float = 0.5, votes: str = 'drawn', pack: str = '',
) -> Corpus:  # fmt: skip
  """Makes the twin of CREMA-D from its law and these knobs; the same knobs give the same examples.

  Args:
    seed: of everything that is drawn.
    actors: number of actors, 4 to 91; with real votes the first so many.
    audio_hz: frames of audio per second.
    visual_hz: frames of the face per second.
    audio_width: of an audio frame.
    visual_width: of a frame of the face.
    signal_audio: how strongly the evidence shows in the audio features; 0: not at all.
    signal_visual: the same of the visual features.
    common: share of the emotion code that voice and face lay out along the same path (see `_clips`); 0: none.
    conflict: share of clips whose voice or face shows another emotion; without effect on real votes.
    identity: how strongly the actor shows.
    noise: sd of feature noise from frame to frame; what drifts over a clip and how far a whole clip looks other than
      it is go with it.
    votes: 'drawn', or 'real': those of the data pack.
    pack: with real votes, the folder of the data pack cremad_votes or any other that `corpora.crema_d` reads. The
      hash of the corpus is of what lies in it, wherever it lies.

  Raises:
    UserError: a knob out of its range, or real votes without a pack that can be read.
  """
  knobs = dict(seed=seed, actors=actors, audio_hz=audio_hz, visual_hz=visual_hz, audio_width=audio_width,
               visual_width=visual_width, signal_audio=signal_audio, signal_visual=signal_visual, common=common,
               conflict=conflict, identity=identity, noise=noise, votes=votes)  # fmt: skip
  _clips.check('crema_d', knobs, actors=(4, ACTORS))
  if votes not in ('drawn', 'real'):
    raise unknown('votes of the twin crema_d', votes, ('drawn', 'real'))
  if votes == 'drawn' and pack:
    raise UserError(f'twin crema_d: pack {pack!r} is of real votes; take votes=real, or leave it out')
  modules = [sys.modules[__name__], _clips, raters]
  if votes == 'real':
    real, rule, pack_sha256, adapter = _pack(pack, actors)
    modules.append(adapter)
  else:
    rule = 'consensus where more than half of the audio-visual raters agree'
  count = len(real['id']) if votes == 'real' else _present(seed, actors)[0].size

  def columns(split: str) -> Columns:
    del split
    clips, shown = (real, _evidence(real)) if votes == 'real' else _drawn(seed, actors, conflict)
    rng = np.random.default_rng((seed, 5))
    _, actor = np.unique(clips['group'], return_inverse=True)
    _, sentence = np.unique(clips['sentence'], return_inverse=True)
    seconds = _seconds(rng, actor, sentence)
    scaled = {m: SHOWN[m] * z for m, z in shown.items()}
    return {**clips, **_clips.features(rng, scaled, actor, sentence, seconds, knobs, ERROR[votes])}

  meta = _meta(knobs, rule)
  corpus = _twin.corpus('crema_d', modules, VERSION, knobs, {'all': count}, meta, columns)
  if votes == 'real':
    corpus = dataclasses.replace(corpus, sha256=hashlib.sha256(f'{corpus.sha256} {pack_sha256}'.encode()).hexdigest())
  return corpus


def _meta(knobs: Mapping[str, Any], rule: str) -> dict[str, Any]:
  """Metadata; `rule` says how the consensus was made."""
  real = knobs['votes'] == 'real'
  kind = f'votes and labels real ({PACK}), features synthetic' if real else 'synthetic'
  return {
    'modalities': {m: knobs[f'{m}_width'] for m in _clips.MODALITIES},
    'rate_hz': {m: float(knobs[f'{m}_hz']) for m in _clips.MODALITIES},
    'emotions': list(EMOTIONS), 'attributes': [], 'labels': f'{kind}; {rule}', 'groups': 'actors',
    'licence': 'Open Database License 1.0 (votes), Apache-2.0 (features)' if real else 'Apache-2.0',
    'fixed': ['votes_audio', 'votes_visual', 'partitions'], 'partitions': [str(p + 1) for p in range(PARTITIONS)],
  }  # fmt: skip


def _seconds(rng: np.random.Generator, actor: np.ndarray, sentence: np.ndarray) -> np.ndarray:
  """Lengths of the clips [N], s: of sentence, actor and chance, about 2.5."""
  pace = rng.normal(0, 0.12, len(SENTENCES))[sentence] + rng.normal(0, 0.1, ACTORS)[actor]
  return np.clip(2.5 * np.exp(pace + rng.normal(0, 0.12, len(actor))), 1.2, 5.0)


def _present(seed: int, actors: int) -> tuple[np.ndarray, np.ndarray]:
  """Which clips there are: number of the actor [N] and of the kind of clip [N], sorted by name."""
  kinds = len(_kinds())
  absent = np.random.default_rng((seed, 1)).permutation(actors * kinds)[: round(ABSENT * actors / ACTORS)]
  return np.divmod(np.setdiff1d(np.arange(actors * kinds), absent), kinds)


def _kinds() -> list[tuple[str, int, str]]:
  """Sentence, class and level of an actor's 82 clips, sorted by name."""
  kinds = []
  for sentence in SENTENCES:
    for k, code in enumerate(CODES):
      levels = ('LO', 'MD', 'HI') if sentence == LEVELLED and k != NEUTRAL else ('XX',)
      kinds += [(f'{sentence}_{code}_{level}', (sentence, k, level)) for level in levels]
  return [kind for _, kind in sorted(kinds)]


def _drawn(seed: int, actors: int, conflict: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
  """All columns but the features, and the evidence [N, 6] of either modality, made up."""
  actor, kind = _present(seed, actors)
  sentence, intended, level = (np.array(v)[kind] for v in zip(*_kinds(), strict=True))
  rng = np.random.default_rng((seed, 2))
  z = _shown(rng, actor, intended, np.array([LEVELS[v] for v in level]), conflict)
  both = sum(WEIGHTS[m] * z[m] for m in z) + np.array(DRAWN_TO)
  seats = lambda: 4 + rng.choice(len(SEATS), len(actor), p=np.array(SEATS) / sum(SEATS))
  votes = {
    'votes': _clips.draw(rng, both, seats()),
    'votes_audio': _clips.draw(rng, z['audio'], seats()), 'votes_visual': _clips.draw(rng, z['visual'], seats()),
  }  # fmt: skip
  agreed = votes['votes'].max(1) > votes['votes'].sum(1) / 2
  male = rng.permutation(np.arange(actors) < round(MALE * actors / ACTORS))
  age = np.clip(20 + rng.gamma(1.3, 13.0, actors), 20, 74).astype(np.int32)
  names = np.array([str(1001 + a) for a in range(actors)])[actor]
  ids = np.array([f'{n}_{s}_{CODES[k]}_{v}' for n, s, k, v in zip(names, sentence, intended, level, strict=True)])
  partitions = np.stack([_partition(rng, actors)[actor] for _ in range(PARTITIONS)], 1)
  return {
    'id': ids, 'item': ids, 'group': names, **votes, 'emotion': raters.plurality(votes['votes']).astype(np.int32),
    'consensus': np.where(agreed, votes['votes'].argmax(1), -1).astype(np.int32),
    'intended': intended.astype(np.int32), 'sentence': sentence, 'level': level,
    'gender': np.where(male, 'male', 'female')[actor], 'age': age[actor],
    'partitions': np.where(agreed[:, None], partitions, -1).astype(np.int8),
  }, z  # fmt: skip


def _shown(
  rng: np.random.Generator, actor: np.ndarray, intended: np.ndarray, level: np.ndarray, conflict: float
) -> dict[str, np.ndarray]:
  """Log odds [N, 6], centred, of what voice and face show of clips [N]; `level` is -1, 0 or 1."""
  n = len(actor)
  torn, voice = rng.random(n) < conflict, rng.random(n) < 0.5
  other = (intended + rng.integers(1, len(EMOTIONS), n)) % len(EMOTIONS)
  z = {}
  for m, strays in (('audio', voice), ('visual', ~voice)):
    displayed = np.where(torn & strays, other, intended)
    against = np.eye(len(EMOTIONS))[displayed] - np.eye(len(EMOTIONS))[NEUTRAL]  # 0 for neutral itself
    more = rng.normal(0, SKILL, actor.max() + 1)[actor] + LEVEL * level
    x = SHARPNESS[m] * np.log(TYPICAL[m])[displayed] + more[:, None] * against
    x += rng.normal(0, NUISANCE[m], x.shape)
    z[m] = x - x.mean(1, keepdims=True)
  return z


def _partition(rng: np.random.Generator, actors: int) -> np.ndarray:
  """A partition: 0 train, 1 dev, 2 test for every actor [A], in the corpus's proportion."""
  held = max(1, round(SPLIT[1] * actors / sum(SPLIT)))
  return rng.permutation(np.repeat([0, 1, 2], [actors - 2 * held, held, held]))


def _pack(pack: str, actors: int) -> tuple[dict[str, np.ndarray], str, str, Any]:
  """All columns of the real pack but features, of its first `actors`; how labels were made; its hash; what read it."""
  folder = Path(pack).expanduser()
  if not pack or not folder.is_dir():
    given = f'pack {pack!r} is no folder' if pack else 'pack is not given'
    raise UserError(
      f'twin crema_d: votes=real needs the data pack {PACK}, but {given}; '
      f'name its folder, e.g. --config.run.twins.crema_d.pack=DIR, or take votes=drawn'
    )
  stats = ((p.name, p.stat()) for p in sorted(folder.glob('*.csv')))
  return _read(folder, actors, tuple((name, s.st_size, s.st_mtime_ns) for name, s in stats))


@functools.lru_cache(maxsize=2)
def _read(folder: Path, actors: int, files: tuple) -> tuple[dict[str, np.ndarray], str, str, Any]:
  """`_pack` once for all cells of a table, as long as its `files` stay as they are."""
  from affectjax.data.corpora import crema_d as adapter

  del files
  reading = adapter.read(folder, modalities='none')
  examples = [reading.example('all', key) for key in reading.keys['all']]
  first = set(sorted({e['group'] for e in examples})[:actors])
  examples = [e for e in examples if e['group'] in first]
  digest = hashlib.sha256()
  for path in sorted(map(Path, reading.files)):
    digest.update(f'{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n'.encode())
  columns = {key: np.stack([e[key] for e in examples]) for key in examples[0]}
  return columns, reading.meta['labels'], digest.hexdigest(), adapter


def _evidence(real: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Log shares [N, 6], smoothed by half a vote and centred, of the real voice-only and face-only votes."""
  z = {m: REAL * np.log(real[f'votes_{m}'] + 0.5) for m in _clips.MODALITIES}
  return {m: x - x.mean(1, keepdims=True) for m, x in z.items()}
