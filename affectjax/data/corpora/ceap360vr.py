"""CEAP-360VR: 32 participants rated what they felt, by joystick, in every frame of 8 videos of 60 s in virtual reality.

Paper: T. Xue, A. El Ali, T. Zhang, G. Ding, P. Cesar, "CEAP-360VR: A Continuous Physiological and Behavioral Emotion
Annotation Dataset for 360 VR Videos", IEEE Transactions on Multimedia, 2021, doi 10.1109/TMM.2021.3124080.
Licence: CC BY-NC 4.0; cite the paper.

Layouts, found by themselves in `source`; both give the same records:
  clone  of github.com/cwi-dis/CEAP-360VR-Dataset, or its folder CEAP-360VR
    CEAP-360VR/1_Stimuli/VideoInfo.json                            frame rates
    CEAP-360VR/2_QuestionnaireData/P<n>_Questionnaire_Data.json    ratings after each video (SAM)
    CEAP-360VR/3_AnnotationData/Frame/P<n>_Annotation_FrameData.json
    CEAP-360VR/4_BehaviorData/HM_ScanPath/P<n>_Behavior_HeadScanPathData.json
    CEAP-360VR/4_BehaviorData/EM_Fixation/P<n>_Behavior_FixationData.json
    CEAP-360VR/1_Stimuli/CEAP_VideoInfo_Luminance.json             mean brightness of the pixels that are not black; in
                                                   older clones it is ML_Analysis/Pre_VideoInfo_luminance.json
  pack   ceap360vr.npz, videos.csv, sam_ratings.csv: the same numbers, stacked
All numbers are taken as float32. Option participants=P1,P5,.. takes some of the 32; without it a missing one is an
error.

One example per video, one split `all`; id = item = group = V1 .. V8: leave videos out, all have the same raters.
T video frames, at 25 (V1) or 30 per second (`label_rate_hz`), P participants:
  ratings [T, P, 2]   valence and arousal, (x - 5) / 4 of 1..9; null or NaN in the source is masked
  valence, arousal [T]   the mean over the participants whose rating is not masked
  sam [P, 2]          the participants' one rating after the video, on the same scale
  visual [T, 2]       brightness 0..255 of the frame, and its change since the frame before (0 in the first)
  head [299, 2 P]     pitch and yaw of P1, of P2, ..: means over 0.2 s in degrees, 5 Hz; row k is (0.2 k, 0.2 (k + 1)]
                      s; the last 0.2 s of a minute are not in the source
  behaviour [T, 8]    over the participants: mean and standard deviation (over P) of head pitch; cosine and sine of the
                      circular mean of head yaw (0 if there is none) and its resultant length 0..1; mean and standard
                      deviation of head speed in degrees/s, the angle between successive rows of `head` over 0.2 s (that
                      of the first row is the second's); share of participants with a fixation in this frame. A frame
                      takes the row of `head` it lies in, those after the last row take the last.
Raters rest at 5 (0 here) when a video begins. No delay is taken out. Physiology and gaze paths are not read.
"""

from pathlib import Path
from typing import Any

import numpy as np

from affectjax.common.errors import UserError, unknown
from affectjax.data import traces
from affectjax.data.corpora import _ceap360vr
from affectjax.data.corpora._ceap360vr import HEAD_RATE, PARTICIPANTS, VIDEOS, Video
from affectjax.data.corpus import Reading

VERSION = '1.0.0'
BEHAVIOUR = ('pitch_mean', 'pitch_sd', 'yaw_cos', 'yaw_sin', 'yaw_length', 'speed_mean', 'speed_sd', 'fixating')


def read(source: Path, *, participants: str | None = None) -> Reading:
  """CEAP-360VR as found in `source`.

  Args:
    source: a folder in one of the layouts above.
    participants: those to take, comma separated; all 32 by default.

  Raises:
    UserError: in one line, for whatever is wrong with the files or options.
  """
  source, people = Path(source), PARTICIPANTS if participants is None else tuple(participants.split(','))
  for person in people:
    if person not in PARTICIPANTS:
      raise unknown('participant in the option participants', person, PARTICIPANTS)
  if len(set(people)) < len(people):
    raise UserError(f'option participants: {participants}, expected each once')
  people = tuple(p for p in PARTICIPANTS if p in people)
  if (source / 'ceap360vr.npz').is_file():
    videos, files = _ceap360vr.read_pack(source, people)
  else:
    videos, files = _ceap360vr.read_clone(source, people)

  def example(split: str, name: str) -> dict[str, Any]:
    video = videos[name]
    scaled = (np.moveaxis(video.ratings, 0, 1).astype(np.float64) - 5) / 4  # [T, P, 2]
    return {
      'id': name, 'group': name, 'item': name, **traces.labels(scaled, video.rate), **streams(video),
      'sam': ((video.sam.astype(np.float64) - 5) / 4).astype(np.float32),
    }  # fmt: skip

  meta = {
    'modalities': {'visual': 2, 'behaviour': len(BEHAVIOUR), 'head': 2 * len(people)},
    'rate_hz': {'visual': None, 'behaviour': None, 'head': HEAD_RATE},
    'label_rate_hz': None,  # per video, see the key of this name
    'attributes': list(traces.ATTRIBUTES),
    'labels': "felt emotions in every video frame, (x - 5) / 4; valence and arousal are the mean over the raters that "
    'are there',
    'groups': 'videos',
    'raters': list(people),
    'licence': 'CC BY-NC 4.0',
    'fixed': ['sam'],
    'columns': {'visual': ['brightness', 'change'], 'behaviour': list(BEHAVIOUR),
                'head': [f'{p}_{angle}' for p in people for angle in ('pitch', 'yaw')]},
  }  # fmt: skip
  return Reading(meta, {'all': list(VIDEOS)}, example, files)


# Features


def streams(video: Video) -> dict[str, np.ndarray]:
  """`visual` [T, 2], `behaviour` [T, 8] and `head` [H, 2 P] of a video, float32."""
  light = video.luminance.astype(np.float64)
  rows = _over_participants(video.head.astype(np.float64))  # [H, 7]
  frames = len(light)
  at = (np.arange(frames) * HEAD_RATE / video.rate + 1e-9).astype(int)
  fixating = video.fixating.mean(0)[:, None]  # [T, 1]
  return {
    'visual': np.stack([light, np.diff(light, prepend=light[0])], 1).astype(np.float32),
    'behaviour': np.concatenate([rows[np.minimum(at, len(rows) - 1)], fixating], 1).astype(np.float32),
    'head': np.moveaxis(video.head, 0, 1).reshape(video.head.shape[1], -1).astype(np.float32),
  }


def _over_participants(head: np.ndarray) -> np.ndarray:
  """The first seven columns of `behaviour` per row of `head`, [H, 7]."""
  pitch, yaw = head[..., 0], np.deg2rad(head[..., 1])  # [P, H]
  centre = np.exp(1j * yaw).mean(0)  # [H]
  length = np.abs(centre)
  direction = np.where(length > 1e-12, centre / np.maximum(length, 1e-12), 0)
  speed = head_speed(head)
  return np.stack([pitch.mean(0), pitch.std(0), direction.real, direction.imag, length, speed.mean(0), speed.std(0)], 1)


def head_speed(head: np.ndarray) -> np.ndarray:
  """Angle between successive directions over 0.2 s, degrees/s, [P, H]; the first is that of the second.

  Args:
    head: [P, H, 2] pitch and yaw, degrees.
  """
  pitch, yaw = np.deg2rad(np.moveaxis(head, -1, 0))
  high, turn = np.diff(pitch, axis=1), np.diff(yaw, axis=1)
  haversine = np.sin(high / 2) ** 2 + np.cos(pitch[:, 1:]) * np.cos(pitch[:, :-1]) * np.sin(turn / 2) ** 2
  speed = np.rad2deg(2 * np.arcsin(np.sqrt(np.minimum(haversine, 1)))) * HEAD_RATE
  return np.concatenate([speed[:, :1], speed], 1)
