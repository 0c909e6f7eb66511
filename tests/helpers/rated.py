"""Small sources in the layouts of corpora that several raters marked over time, made of random numbers."""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from affectjax.data.corpora import recola as recola_corpus
from affectjax.data.corpora._ceap360vr import PARTICIPANTS, VIDEOS

FRAMES = 50  # of a recording of RECOLA: 2 s
WIDTH = 3


def wav(path: Path, x: np.ndarray, rate: int = 16000, bits: int = 16, channels: int = 1) -> None:
  """Writes samples in [-1, 1) as PCM, or as floats if `bits` is -32."""
  path.parent.mkdir(parents=True, exist_ok=True)
  kind, size = (3, 4) if bits < 0 else (1, bits // 8)
  if bits < 0:
    raw = x.astype('<f4').tobytes()
  else:
    whole = np.rint(x * 2 ** (bits - 1)).astype('<i4')
    raw = whole.view(np.uint8).reshape(-1, 4)[:, :size].tobytes()
  fmt = struct.pack('<HHIIHH', kind, channels, rate, rate * channels * size, channels * size, size * 8)
  note = b'LIST' + struct.pack('<I', 5) + b'abcde\0'  # a chunk of odd size, padded
  body = b'WAVEfmt ' + struct.pack('<I', 16) + fmt + note + b'data' + struct.pack('<I', len(raw)) + raw
  path.write_bytes(b'RIFF' + struct.pack('<I', len(body)) + body)


def sound(seconds: float, seed: int, rate: int = 16000) -> np.ndarray:
  return np.random.default_rng(seed).uniform(-0.9, 0.9, round(seconds * rate))


def features(folder: Path, names: Mapping[str, int]) -> None:
  """A feature file of `frames` rows per name."""
  (folder / 'features').mkdir(parents=True, exist_ok=True)
  for i, (name, frames) in enumerate(names.items()):
    x = np.random.default_rng((7, i)).normal(size=(frames, WIDTH)).astype(np.float32)
    np.save(folder / 'features' / f'{name}.npy', x)


# RECOLA


def shorten(monkeypatch) -> None:
  """Makes recordings of RECOLA 2 s long."""
  monkeypatch.setattr(recola_corpus, 'FRAMES', FRAMES)


def recola_ratings(name: str, attribute: str, raters: int = 6, frames: int = FRAMES + 1) -> np.ndarray:
  """[frames, raters] with the three decimals that are in the files."""
  rng = np.random.default_rng([ord(c) for c in name + attribute])
  return rng.uniform(-1, 1, (frames, raters)).round(3)


def recola(
  folder: Path, kind: str = 'both', layout: str = 'avec2016', names: Sequence[str] = (), frames: int = FRAMES + 1
) -> Path:
  """RECOLA with `kind` features, sound or both."""
  own = layout == 'recola'
  names = names or (('P16', 'P17', 'P21') if own else ('train_1', 'train_2', 'dev_1', 'dev_9'))
  ratings = folder / ('RECOLA-Annotation/emotional_behaviour' if own else 'ratings_individual')
  for name in names:
    for attribute in ('arousal', 'valence'):
      (ratings / attribute).mkdir(parents=True, exist_ok=True)
      x = recola_ratings(name, attribute, frames=frames)
      header = 'time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3' if own else 'time;FM1;FM2;FM3;FF1;FF2;FF3'
      rows = [f'{i * 0.04:.2f};' + ';'.join(f'{v:.3f}' for v in row) for i, row in enumerate(x)]
      (ratings / attribute / f'{name}.csv').write_text('\n'.join([header, *rows]) + '\n')
  if own:
    rows = [f'{name},{"dev" if i == 1 else "train"}' for i, name in enumerate(names)]
    (folder / 'partitions.csv').write_text('\n'.join(['participant,partition', *rows]) + '\n')
  if kind in ('both', 'features'):
    features(folder, dict.fromkeys(names, FRAMES))
  if kind in ('both', 'sound'):
    for i, name in enumerate(names):
      wav(folder / ('RECOLA-Audio-recordings' if own else 'recordings_audio') / f'{name}.wav', sound(2.0, i))
  return folder


# MSP-Conversation


SPANS = {  # part -> start, end in s; the conversation's wav begins with its first part
  'MSP-Conversation_0002_1': (100.5, 103.5), 'MSP-Conversation_0002_2': (103.5, 105.75),
  'MSP-Conversation_0021_1': (0.0, 2.0), 'MSP-Conversation_0047_1': (7.25, 9.29),
}  # fmt: skip
ANNOTATORS = {  # part -> annotator -> what they marked
  'MSP-Conversation_0002_1': {'001': 'av', '002': 'av', '004': 'a', '012': 'v'},
  'MSP-Conversation_0002_2': {'002': 'av', '004': 'av'},
  'MSP-Conversation_0021_1': {'001': 'av', '007': 'av', '003': 'av'},
  'MSP-Conversation_0047_1': {'005': 'av', '006': 'av', '009': 'av', '010': 'av', '011': 'av'},
}  # fmt: skip
HEADER = ('Time of Rating,x', 'Multimedia File,x', 'Lower Label,x', 'Upper Label,x', 'Minimum Value,-100',
          'Maximum Value,100', 'Number of Steps,9', 'Second,Rating', '%%%%%%,%%%%%%')  # fmt: skip


def trace(part: str, annotator: str, attribute: str, rate: float = 59.0) -> tuple[np.ndarray, np.ndarray]:
  """Times with jitter and steps of a mouse, as a file has them."""
  rng = np.random.default_rng([ord(c) for c in part + annotator + attribute])
  start, end = SPANS[part]
  n = int((end - start) * rate)
  time = (np.arange(n) / rate + rng.uniform(0, 0.9 / rate, n)).round(4)
  return time, np.clip(rng.normal(0, 6, n).cumsum(), -100, 100).round(2)


def msp_conversation(folder: Path, kind: str = 'both', doubled: bool = False) -> Path:
  """MSP-Conversation with `kind` features, sound or both."""
  folder.mkdir(parents=True, exist_ok=True)
  conversations = ('MSP-Conversation_0002;Train', 'MSP-Conversation_0021;Validation', 'MSP-Conversation_0047;Test')
  (folder / 'partitions.txt').write_text('\n'.join(conversations) + '\n')
  (folder / 'Time_Labels').mkdir()
  rows = [f'{part};{start};{end}' for part, (start, end) in SPANS.items()]
  (folder / 'Time_Labels' / 'conversation_parts.txt').write_text('\n'.join(rows) + '\n')
  for attribute in ('Arousal', 'Valence'):
    inside = folder / 'Annotations' / ('Annotations' if doubled else '') / attribute
    inside.mkdir(parents=True)
    for part, who in ANNOTATORS.items():
      for annotator, marked in who.items():
        if attribute[0].lower() in marked:
          rows = [f'{t},{v}' for t, v in zip(*trace(part, annotator, attribute), strict=True)]
          (inside / f'{part}_{annotator}.csv').write_text('\n'.join([*HEADER, *rows]) + '\n')
  if kind in ('both', 'features'):
    features(folder, {part: int((end - start) * 25) for part, (start, end) in SPANS.items()})
  if kind in ('both', 'sound'):
    for i, row in enumerate(conversations):
      name = row.split(';')[0]
      ends = [span for part, span in SPANS.items() if part.startswith(name)]
      place = folder / 'Audio' / ('Audio' if doubled else '')
      wav(place / f'{name}.wav', sound(ends[-1][1] - ends[0][0], i))
  return folder


# CEAP-360VR


LUMINANCE = 'CEAP-360VR/1_Stimuli/CEAP_VideoInfo_Luminance.json'
OLD_LUMINANCE = 'ML_Analysis/Pre_VideoInfo_luminance.json'
RATES = {v: 25 if v == 'V1' else 30 for v in VIDEOS}


def ceap_arrays(seconds: int = 2, seed: int = 0) -> dict[str, np.ndarray]:
  """The arrays of the pack, of short videos; fixations last 7 frames and end as often."""
  rng = np.random.default_rng(seed)
  people, out = len(PARTICIPANTS), {'raters': np.array(PARTICIPANTS)}
  for v in VIDEOS:
    n = seconds * RATES[v]
    out[f'{v}_time_s'] = np.linspace(0, seconds, n).round(3).astype(np.float32)
    for attribute in ('valence', 'arousal'):
      out[f'{v}_{attribute}'] = rng.uniform(1, 9, (people, n)).round(3).astype(np.float32)
    out[f'{v}_luminance'] = rng.uniform(0, 255, n).astype(np.float32)
    rows = seconds * 5 - 1
    head = np.stack([rng.uniform(-90, 90, (people, rows)), rng.uniform(-180, 180, (people, rows))], -1)
    out[f'{v}_head_pitch_yaw_5hz'] = head.round(3).astype(np.float32)
    fixed = np.repeat(rng.uniform(-80, 80, (people, n // 7 + 1, 2)).round(3), 7, axis=1)[:, :n]
    fixed[rng.uniform(size=(people, n // 7 + 1)).repeat(7, 1)[:, :n] < 0.5] = np.nan
    out[f'{v}_fixation_pitch_yaw'] = fixed.astype(np.float32)
  return out


def ceap_sam(seed: int = 0) -> list[tuple[str, str, int, int]]:
  rng = np.random.default_rng(seed)
  return [(p, v, *rng.integers(1, 10, 2).tolist()) for p in PARTICIPANTS for v in VIDEOS]


def ceap_pack(folder: Path, **changes) -> Path:
  """CEAP-360VR as the pack has it; `changes` replace arrays."""
  folder.mkdir(parents=True, exist_ok=True)
  np.savez(folder / 'ceap360vr.npz', **{**ceap_arrays(), **changes})
  rows = [f'V0,NASA,30,{""}', *(f'{v},a video,{RATES[v]},' for v in VIDEOS)]
  (folder / 'videos.csv').write_text('\n'.join(['VideoID,VideoFileName,FrameRate,VideoLink', *rows]) + '\n')
  rows = [','.join(map(str, row)) for row in ceap_sam()]
  (folder / 'sam_ratings.csv').write_text('\n'.join(['participant,video,sam_valence,sam_arousal', *rows]) + '\n')
  return folder


def ceap_clone(
  folder: Path, arrays=None, sam=None, rates=None, people: Sequence[str] = PARTICIPANTS, luminance: str = LUMINANCE
) -> Path:
  """CEAP-360VR as a clone of its repository, from the arrays of the pack; `luminance` is where that file lies."""
  arrays = dict(ceap_arrays() if arrays is None else arrays)
  rates = RATES if rates is None else rates
  sam = {(p, v): x for p, v, *x in (ceap_sam() if sam is None else sam)}
  root = folder / 'CEAP-360VR'
  _json(root / '1_Stimuli' / 'VideoInfo.json',
        {'VideoInfo': [{'VideoID': v, 'FrameRate': r} for v, r in {'V0': 30, **rates}.items()]})  # fmt: skip
  light = [{'VideoID': v, 'V': arrays[f'{v}_luminance'].tolist()} for v in VIDEOS]
  _json(folder / luminance, {'Video_InfoData': light})
  for p in people:
    i = PARTICIPANTS.index(p)
    rated, heads, fixed = [], [], []
    for v in VIDEOS:
      marks = [arrays[f'{v}_{a}'][i].tolist() for a in ('valence', 'arousal')]
      rows = zip(arrays[f'{v}_time_s'].tolist(), *marks, strict=True)
      names = ('TimeStamp', 'Valence', 'Arousal')
      rated.append({'VideoID': v, 'TimeStamp_Valence_Arousal': [dict(zip(names, row, strict=True)) for row in rows]})
      head = arrays[f'{v}_head_pitch_yaw_5hz'][i].tolist()
      path = [{'ID': k + 1, 'Pitch': a, 'Yaw': b} for k, (a, b) in enumerate(head)]
      heads.append({'VideoID': v, 'ID_Pitch_Yaw': path})
      fixed.append({'VideoID': v, 'Fixation': fixations(arrays[f'{v}_fixation_pitch_yaw'][i])})
    asked = [{'VideoID': v, 'ValenceValue': sam[p, v][0], 'ArousalValue': sam[p, v][1]} for v in VIDEOS]
    for name, top, inner, who, blocks in (
      ('3_AnnotationData/Frame/{}_Annotation_FrameData', 'ContinuousAnnotation_FrameData',
       'Video_Annotation_FrameData', p[1:], rated),
      ('4_BehaviorData/HM_ScanPath/{}_Behavior_HeadScanPathData', 'Behavior_HeadScanPath_Data',
       'Video_Behavior_ScanPath_Data', p, heads),
      ('4_BehaviorData/EM_Fixation/{}_Behavior_FixationData', 'Behavior_FixationData',
       'Video_Behavior_FixationData', p, fixed),
      ('2_QuestionnaireData/{}_Questionnaire_Data', 'QuestionnaireData', 'Video_SAMRating_VideoTime_Data', p, asked),
    ):  # fmt: skip
      _json(root / f'{name.format(p)}.json', {top: [{'ParticipantID': who, inner: blocks}]})
  return folder


def fixations(pitch_yaw: np.ndarray) -> list[dict]:
  """Frames [T, 2], NaN between fixations, as a list of fixations."""
  out, start = [], 0
  before, after = pitch_yaw[:-1], pitch_yaw[1:]
  same = ((before == after) | (np.isnan(before) & np.isnan(after))).all(-1)
  for stop in [*(np.flatnonzero(~same) + 1), len(pitch_yaw)]:
    if np.isfinite(pitch_yaw[start]).all():
      pitch, yaw = pitch_yaw[start].tolist()
      out.append({'StartFrame': int(start), 'EndFrame': int(stop) - 1, 'Pitch': pitch, 'Yaw': yaw})
    start = stop
  return out


def _json(path: Path, content: dict) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
