"""AFEW-VA in miniature, in the folders and files in which it is distributed."""

import json
from pathlib import Path

import numpy as np

WIDTH = 4
# clip -> (actor, first frame, [(valence, arousal), ..]); no clip of the real corpus
CLIPS = {
  '001': ('Ann Actor', 0, [(-3, 5), (-3, 5), (-2, 6), (0, 0)]),
  '002': ('Béla Player', 10, [(10, -10), (9, -9)]),
  '051': ('Ann Actor', 0, [(1, 2), (None, 2), (1, None)]),
  '600': ('Cem', 0, [(0, 1)]),
}


def points(clip: str) -> np.ndarray:
  """Landmarks [T, 68, 2] of a clip, in pixels."""
  rng = np.random.default_rng(int(clip))
  face = rng.uniform(-50, 50, (68, 2))
  face[36:42, 0] -= 60  # the eyes apart
  face[42:48, 0] += 60
  return 300 + face + rng.normal(0, 2, (len(CLIPS[clip][2]), 68, 2)).cumsum(0)


def rows(clip: str) -> np.ndarray:
  return np.random.default_rng(1000 + int(clip)).normal(size=(len(CLIPS[clip][2]), WIDTH)).astype(np.float32)


def frames(clip: str) -> list[int]:
  return [CLIPS[clip][1] + t for t in range(len(CLIPS[clip][2]))]


def content(clip: str) -> dict:
  actor, _, labels = CLIPS[clip]
  entries = zip(frames(clip), labels, points(clip).tolist(), strict=True)
  by_frame = {f'{n:05d}': {'arousal': a, 'valence': v, 'landmarks': p} for n, (v, a), p in entries}
  return {'actor': actor, 'frames': dict(sorted(by_frame.items(), reverse=True)), 'video_id': clip}


def write(source: Path, kind: str = 'npy', zips: bool = False) -> Path:
  """The corpus with features; `zips`: the folders of the archives kept."""
  for clip in CLIPS:
    archive = f'{(int(clip) - 1) // 50 + 1:02d}' if zips else ''
    folder = source / archive / clip
    folder.mkdir(parents=True)
    (folder / f'{clip}.json').write_text(json.dumps(content(clip)))
    write_rows(source / 'features', clip, kind)
  return source


def write_rows(folder: Path, clip: str, kind: str) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  x, n = rows(clip), np.array(frames(clip))
  if kind == 'npy':
    np.save(folder / f'{clip}.npy', x)
  elif kind == 'npz':
    np.savez(folder / f'{clip}.npz', x=x)
  elif kind == 'npz with frames':
    order = np.random.default_rng(0).permutation(len(n))
    np.savez(folder / f'{clip}.npz', frame=n[order], features=x[order])
