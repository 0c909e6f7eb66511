"""Which frames of a video are labelled by hand (supports), and which of them each frame is compared with (anchors).

experiments/mtclar.md, 8 (code: fsl_mtclar.py, src/data/afewva.py). All on the host, vectorised over frames.
"""

import dataclasses

import numpy as np

from affectjax.common.errors import UserError, unknown

RULES = (
  'every_k', 'video_first_k', 'video_rand_k', 'actor_first_k', 'actor_rand_k', 'other_actor', 'other_video',
  'any_frame', 'train_bins',
)  # fmt: skip
WITHIN_VIDEO = ('every_k', 'video_first_k', 'video_rand_k')
ANCHORS = ('past', 'two_sided', 'all', 'random')
BINS = 10  # valence bins of train_bins


@dataclasses.dataclass(frozen=True)
class Pool:
  """Frames that are labelled together: a test (or dev) split, videos contiguous and oldest first.

  Attributes:
    row: [N] rows of `Frames`.
    video, actor: [N] int64 codes.
    time: [N] int64 position of the frame among its video's labelled frames.
  """

  row: np.ndarray
  video: np.ndarray
  actor: np.ndarray
  time: np.ndarray

  @classmethod
  def of(cls, frames, rows: np.ndarray) -> 'Pool':
    """The labelled frames among `rows`, in the order of `frames`."""
    rows = np.sort(rows[frames.labelled[rows]])
    if not len(rows):
      raise UserError('labelling: no frame of this split has both valence and arousal')
    video = np.unique(frames.item[rows], return_inverse=True)[1]
    starts = np.maximum.accumulate(np.where(np.r_[True, video[1:] != video[:-1]], np.arange(len(rows)), 0))
    actor = np.unique(frames.group[rows], return_inverse=True)[1]
    return cls(rows, video, actor, np.arange(len(rows)) - starts)

  def __len__(self) -> int:
    return len(self.row)


def _first_of(owner: np.ndarray, rank: np.ndarray, k: int) -> np.ndarray:
  """Positions of the k lowest-ranked frames of each owner, ascending."""
  order = np.lexsort((rank, owner))
  starts = np.maximum.accumulate(np.where(np.r_[True, np.diff(owner[order]) != 0], np.arange(len(order)), 0))
  return np.sort(order[np.arange(len(order)) - starts < k])


def choose(pool: Pool, rule: str, k: int, rng: np.random.Generator) -> np.ndarray:
  """Positions (into the pool) of the support frames, ascending.

  `every_k` takes frames 0, k, 2k, ... of each video; `*_first_k` and `*_rand_k` k frames of each video or actor;
  `other_actor` and `other_video` one random frame of each video (the query then uses somebody else's);
  `any_frame` one frame of all.
  """
  if k < 1:
    raise UserError(f'run.label.k is {k}; expected 1 or more')
  if rule == 'every_k':
    return np.flatnonzero(pool.time % k == 0)
  if rule in ('video_first_k', 'video_rand_k', 'actor_first_k', 'actor_rand_k'):
    owner = pool.video if rule.startswith('video') else pool.actor
    rank = np.arange(len(pool)) if 'first' in rule else rng.permutation(len(pool))
    return _first_of(owner, rank, k)
  if rule in ('other_actor', 'other_video'):
    return _first_of(pool.video, rng.permutation(len(pool)), 1)
  if rule == 'any_frame':
    return np.array([rng.integers(len(pool))])
  raise unknown('support rule', rule, RULES)


def train_bins(valence: np.ndarray, per_bin: int, rng: np.random.Generator) -> np.ndarray:
  """Up to `per_bin` random positions from each of 10 equal valence bins on [-1, 1]; valence [N] of training frames."""
  bins = np.clip(((valence + 1) / 2 * BINS).astype(np.int64), 0, BINS - 1)
  return _first_of(bins, rng.permutation(len(valence)), per_bin)


def neighbours(pool: Pool, support: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Latest support at or before, and first after, each frame within its own video.

  Returns:
    past, future: [N] positions into the pool, -1 where the video has none on that side.
  """
  index = np.searchsorted(support, np.arange(len(pool)), side='right')
  padded = np.r_[-1, support, -1]
  past, future = padded[index], padded[index + 1]
  same = lambda other: np.where((other >= 0) & (pool.video[other] == pool.video), other, -1)
  return same(past), same(future)


def _candidates(pool: Pool, support: np.ndarray, rule: str) -> np.ndarray:
  """[N, S] bool: which supports a frame may use."""
  if rule in ('any_frame', 'train_bins'):
    return np.ones((len(pool), len(support)), bool)
  owner = pool.actor if 'actor' in rule else pool.video
  same = owner[:, None] == owner[support]
  return ~same if rule.startswith('other') else same


def anchors(pool: Pool, support: np.ndarray, rule: str, how: str, rng) -> tuple[np.ndarray, np.ndarray]:
  """The supports each frame is compared with.

  Args:
    pool, support, rule: as chosen.
    how: 'past' (causal nearest; the first support after it where none came before), 'two_sided' (both
      neighbours, weighted by closeness in time), 'all' (equal weights over what the rule allows) or 'random' (one
      of these). Rules that reach beyond the video have no time order: they allow 'all' and 'random' only.
    rng: for 'random'.

  Returns:
    anchor [N, A] positions into the pool, weight [N, A] float32, rows summing to 1.
  """
  within = rule in WITHIN_VIDEO
  if how not in ANCHORS or (how in ('past', 'two_sided') and not within):
    raise unknown(f'anchor choice for {rule}', how, ANCHORS if within else ('all', 'random'))
  if how in ('past', 'two_sided'):
    past, future = neighbours(pool, support)
    nearest = np.where(past >= 0, past, future)
    if how == 'past':
      return nearest[:, None], np.ones((len(pool), 1), np.float32)
    return two_sided(pool, past, future)
  allowed = _candidates(pool, support, rule)
  if how == 'random':
    scores = np.where(allowed, rng.random(allowed.shape), -1.0)
    only = np.zeros_like(allowed)
    only[np.arange(len(pool)), scores.argmax(1)] = allowed.any(1)
    allowed = only
  counts = allowed.sum(1)
  if (counts == 0).any():
    raise UserError(
      f'labelling: {int((counts == 0).sum())} frames have no support they may use; other_actor and other_video '
      'need a second actor or video in the split'
    )
  order = np.argsort(~allowed, axis=1, kind='stable')[:, : counts.max()]
  weight = (np.arange(counts.max()) < counts[:, None]) / counts[:, None]
  return support[order], weight.astype(np.float32)


def two_sided(pool: Pool, past: np.ndarray, future: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Both neighbours [N, 2], weighted by closeness in time: linear interpolation between supports."""
  left, right = np.where(past >= 0, past, future), np.where(future >= 0, future, past)
  span = pool.time[right] - pool.time[left]
  share = np.divide(pool.time - pool.time[left], span, out=np.zeros(len(pool)), where=span > 0)
  return np.stack([left, right], 1), np.stack([1 - share, share], 1).astype(np.float32)
