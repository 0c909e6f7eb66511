"""What can be wrong with a copy of RECOLA, MSP-Conversation or CEAP-360VR: each fault gives one line that says where.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import functools
from collections.abc import Callable

import numpy as np
import pytest

from tests.helpers import faults, rated
from tests.helpers.faults import (
  BOMB,
  Mutation,
  clear,
  copy,
  cut,
  data,
  lines,
  move,
  nothing,
  npy,
  put,
  remove,
  row,
  swap,
  text,
  then,
  value,
)


def wav(name: str, seconds: float = 2.0, **how) -> Mutation:
  return lambda source: rated.wav(source / name, rated.sound(seconds, 0, how.get('rate', 16000)), **how)


def block(kind: str, edit: Callable[[dict], object]) -> Mutation:
  """Edits the block of V2 of participant P3."""
  name, top, inner = BLOCKS[kind]
  return data(name, lambda content: edit(content[top][0][inner][1]))


AROUSAL, OTHER = 'ratings_individual/arousal/train_2.csv', 'ratings_individual/valence/train_2.csv'
SOUND, FEATURES = 'recordings_audio/train_2.wav', 'features/train_2.npy'
OWN = 'RECOLA-Annotation/emotional_behaviour'
PART = 'MSP-Conversation_0002_1'
TRACE, FAULTY = f'Annotations/Arousal/{PART}_002.csv', f'Annotations/Valence/{PART}_001.csv'
PARTS, PARTITIONS = 'Time_Labels/conversation_parts.txt', 'partitions.txt'
HEADER = '\n'.join(rated.HEADER)
ROOT = 'CEAP-360VR'
RATED, LIGHT = (
  f'{ROOT}/3_AnnotationData/Frame/P3_Annotation_FrameData.json',
  f'{ROOT}/1_Stimuli/CEAP_VideoInfo_Luminance.json',
)
HEAD = f'{ROOT}/4_BehaviorData/HM_ScanPath/P3_Behavior_HeadScanPathData.json'
FIXED = f'{ROOT}/4_BehaviorData/EM_Fixation/P3_Behavior_FixationData.json'
ASKED, INFO = f'{ROOT}/2_QuestionnaireData/P3_Questionnaire_Data.json', f'{ROOT}/1_Stimuli/VideoInfo.json'
BLOCKS = {
  'rated': (RATED, 'ContinuousAnnotation_FrameData', 'Video_Annotation_FrameData'),
  'head': (HEAD, 'Behavior_HeadScanPath_Data', 'Video_Behavior_ScanPath_Data'),
  'fixed': (FIXED, 'Behavior_FixationData', 'Video_Behavior_FixationData'),
  'asked': (ASKED, 'QuestionnaireData', 'Video_SAMRating_VideoTime_Data'),
}
STAMPS = 'TimeStamp_Valence_Arousal'
arrays = functools.partial(faults.arrays, 'ceap360vr.npz')

# fmt: off
RECOLA = [
  (clear, 'no RECOLA here', 'ratings_individual/arousal/train_1.csv'),
  (move('ratings_individual/valence', 'elsewhere'), 'valence: no such folder', 'ratings of valence'),
  (remove(OTHER), f'{OTHER}: no such file', "'train_2' has other ratings"),
  (move(AROUSAL, 'ratings_individual/arousal/training_2.csv'), "unknown recording 'training_2'", 'train_1.csv'),
  (copy(AROUSAL, 'ratings_individual/arousal/train_10.csv'), "unknown recording 'train_10'"),
  (copy(AROUSAL, f'{OWN}/arousal/P16.csv'), 'both ratings_individual and emotional_behaviour'),
  (text(AROUSAL, ''), f'{AROUSAL}: empty file'),
  (text(AROUSAL, bytes(range(128, 256))), f'{AROUSAL}: cannot be read as UTF-8 text'),
  (lines(AROUSAL, lambda x: x.pop(0)), f'{AROUSAL}: line 1 is', 'expected time;FM1'),
  (row(AROUSAL, 1, 'time,FM1,FM2'), f"{AROUSAL}: line 1 is 'time,FM1,FM2'"),
  (row(AROUSAL, 1, 'time;FM1;FM1;FM3;FF1;FF2;FF3'), f'{AROUSAL}: line 1'),
  (row(AROUSAL, 1, 'time;FM1;;FM3;FF1;FF2;FF3'), f'{AROUSAL}: line 1'),
  (row(AROUSAL, 1, 'time;FM1;FM2;FM3;FF1;FF2'), f'{AROUSAL}: line 2 has 7 cells, expected 6'),  # an annotator lacks
  (row(AROUSAL, 1, 'time;1;2;3;4;5;6'), f'{AROUSAL}: line 1 holds numbers'),
  (lines(AROUSAL, lambda x: x.__delitem__(slice(1, None))), f'{AROUSAL}: no rows after line 1'),
  (row(AROUSAL, 9, '0.28;0;0;0;0;0'), f'{AROUSAL}: line 9 has 6 cells, expected 7'),
  (row(AROUSAL, 9, '0.28;0;0;high;0;0;0'), f"{AROUSAL}: line 9, column 'FM3': 'high' is not a number"),
  (row(AROUSAL, 9, '0.28;0;0;;0;0;0'), f"{AROUSAL}: line 9, column 'FM3': '' is not a number"),
  (row(AROUSAL, 9, '0,28;0;0;0;0;0;0'), f"{AROUSAL}: line 9, column 'time': '0,28' is not a number"),
  (row(AROUSAL, 9, '0.28;0;0;0;0;0;inf'), f'{AROUSAL}: line 9: FF3 is inf'),
  (row(AROUSAL, 9, 'NaN;0;0;0;0;0;0'), f'{AROUSAL}: line 9: time is nan'),
  (row(AROUSAL, 9, '0.28;0;0;0;0;1.2;0'), f'{AROUSAL}: line 9: FF2 is 1.2, expected a value in [-1, 1]'),
  (lines(AROUSAL, lambda x: x.__delitem__(20)), f'{AROUSAL}: line 21: time 0.8, expected 0.76'),  # a gap
  (lines(AROUSAL, lambda x: x.insert(20, x[20])), f'{AROUSAL}: line 22: time 0.76, expected 0.8'),  # a time twice
  (lines(AROUSAL, lambda x: x.insert(10, x.pop(11))), f'{AROUSAL}: line 11: time 0.4, expected 0.36'),  # unsorted
  (lines(AROUSAL, lambda x: x.__delitem__(slice(30, None))), f'{AROUSAL}: 29 lines of ratings, expected 50 or 51'),
  (lines(AROUSAL, lambda x: x.__setitem__(slice(1, None), [f'{i / 25};' + ';'.join(['NaN'] * 6) for i in range(50)])),
   f'{AROUSAL}: every value is NaN'),
  (remove(FEATURES), "no feature file for 'train_2'"),
  (npy(FEATURES, np.zeros((37, 3))), f'{FEATURES}: 37 frames (1.48 s)', 'train_2 have 51 (2.04 s)', '0.5 s'),
  (npy(FEATURES, np.zeros((500, 3))), f'{FEATURES}: 500 frames'),
  (npy(FEATURES, np.zeros((50, 4))), f'{FEATURES}: 4 features per frame, expected 3'),
  (npy(FEATURES, BOMB), f'{FEATURES}: cannot be read'),
  (value(FEATURES, (4, 1), np.nan), "id 'train_2'", 'audio is nan in frame 4'),
  (remove(SOUND), f'{SOUND}: no such file', 'modalities=audio'),
  (wav(SOUND, rate=44100), f'{SOUND}: 44100 samples per second, expected 16000', 'resample=true'),
  (wav(SOUND, channels=2), f'{SOUND}: 2 channels, expected one'),
  (wav(SOUND, seconds=1.2), f'{SOUND}: 30 frames (1.20 s)', '51'),
  (cut(SOUND, 1000), f'{SOUND}: cannot be read as a wav file', 'it is cut off'),
  (wav(SOUND, bits=40), f'{SOUND}: cannot be read as a wav file', 'format 1, 40 bit'),
  (text(SOUND, 'ID3' * 100), f'{SOUND}: cannot be read as a wav file', 'it does not begin as one does'),
  (text(SOUND, b'RIFF\0\0\0\0WAVEfmt \x10\0\0\0'), f'{SOUND}: cannot be read as a wav file'),
  (text(SOUND, ''), f'{SOUND}: cannot be read as a wav file'),
]
RECOLA_BARE = [(nothing, 'no folder features and no folder recordings_audio')]
LIST = 'partitions.csv'
RECOLA_OWN = [
  (remove(LIST), f'{LIST}: no such file'),
  (swap(LIST, 'P21,train', 'P21,eval'), f"{LIST}: line 4: 'eval'; there is: dev, test, train"),
  (swap(LIST, 'P21,train', 'P22,train'), f"{LIST}: line 4: participant 'P22' has no ratings"),
  (swap(LIST, 'P21', 'P16'), f"{LIST}: line 4: participant 'P16' has an earlier line"),
  (swap(LIST, 'P21,train\n', ''), f"{LIST}: no line for participant 'P21'"),
  (swap(LIST, 'participant', 'name'), f"{LIST}: no column 'participant'"),
  (move(f'{OWN}/arousal/P16.csv', f'{OWN}/arousal/Q16.csv'), "unknown recording 'Q16'"),
]
MSP = [
  (remove(PARTITIONS), f'{PARTITIONS}: no such file'),
  (remove(PARTS), f'{PARTS}: no such file'),
  (text(PARTITIONS, ''), f'{PARTITIONS}: empty file'),
  (row(PARTITIONS, 2, 'MSP-Conversation_0021;Development'), f"{PARTITIONS}: line 2: 'Development'",
   'Test, Train, Validation'),
  (row(PARTITIONS, 2, 'MSP-Conversation_0021,Train'), f'{PARTITIONS}: line 2 is', 'conversation;Train|Validation|Test'),
  (row(PARTITIONS, 2, 'MSP-Conversation_0002;Train'), f'{PARTITIONS}: line 2', 'has an earlier line'),
  (lines(PARTITIONS, lambda x: x.pop()), f'{PARTS}: line 4', "'MSP-Conversation_0047' is not in partitions.txt"),
  (lines(PARTITIONS, lambda x: x.append('MSP-Conversation_0050;Train')),
   "no part of conversation 'MSP-Conversation_0050'"),
  (row(PARTS, 1, f'{PART};103.5;100.5'), f'{PARTS}: line 1', f"part '{PART}'", 'from 103.5 to 100.5 s'),
  (row(PARTS, 1, f'{PART};100.5'), f'{PARTS}: line 1', 'expected part;start;end'),
  (row(PARTS, 1, f'{PART};early;103.5'), f'{PARTS}: line 1', "'early' is not a number of seconds"),
  (row(PARTS, 1, f'{PART};0;inf'), f'{PARTS}: line 1', "'inf' is not a number of seconds"),
  (row(PARTS, 1, f'{PART};100.5;100.52'), f'{PARTS}: line 1', 'at least 0.04 s'),
  (row(PARTS, 2, f'{PART};100.5;103.5'), f'{PARTS}: line 2', 'has an earlier line'),
  (row(PARTS, 1, 'MSP-Conversation_0002;100.5;103.5'), f'{PARTS}: line 1', 'is not in partitions.txt'),
  (lines(PARTS, lambda x: x.pop(1)), "part 'MSP-Conversation_0002_2' is not in conversation_parts.txt"),
  (lines(PARTS, lambda x: x.append('MSP-Conversation_0021_2;2;3')),
   "part 'MSP-Conversation_0021_2' has no trace of valence"),
  (move('Annotations/Valence', 'Annotations/Pleasure'), 'Valence: no such folder'),
  (move(TRACE, 'Annotations/Arousal/notes.csv'), 'notes.csv: expected <conversation>_<part>_<annotator>.csv'),
  (then(*(remove(f'Annotations/Valence/MSP-Conversation_0002_2_{a}.csv') for a in ('002', '004'))),
   "part 'MSP-Conversation_0002_2' has no trace of valence"),
  (text(TRACE, ''), f'{TRACE}: empty file'),
  (text(TRACE, bytes(range(128, 256))), f'{TRACE}: cannot be read as UTF-8 text'),
  (text(TRACE, HEADER), f'{TRACE}: 9 lines, expected 9 of header'),
  (lines(TRACE, lambda x: x.pop(0)), f'{TRACE}: line 9 holds a time and a value'),
  (lines(TRACE, lambda x: x.insert(0, 'Program,x')), f"{TRACE}: line 10, column 'time': '%%%%%%' is not a number"),
  (row(TRACE, 20, '0.2;5'), f'{TRACE}: line 20 has 1 cells, expected 2'),
  (row(TRACE, 20, '0.2,5,6'), f'{TRACE}: line 20 has 3 cells, expected 2'),
  (row(TRACE, 20, '0.18,much'), f"{TRACE}: line 20, column 'value': 'much' is not a number"),
  (row(TRACE, 20, '0.18,'), f"{TRACE}: line 20, column 'value': '' is not a number"),
  (row(TRACE, 20, '0.18,NaN'), f'{TRACE}: line 20: value is NaN'),
  (row(TRACE, 20, '0.18,101'), f'{TRACE}: line 20: value beyond the scale', "'0.18,101'"),
  (row(TRACE, 10, '-0.1,1'), f'{TRACE}: line 10: time below 0 s'),
  (lines(TRACE, lambda x: x.insert(30, x.pop(40))), f'{TRACE}: line 32: time goes back'),
  (lines(TRACE, lambda x: x.append('14.5,0')), f'{TRACE}: runs to 14.50 s, its part lasts 3.00 s'),
  (remove('Audio/MSP-Conversation_0002.wav'), 'Audio/MSP-Conversation_0002.wav: no such file'),
  (wav('Audio/MSP-Conversation_0002.wav', 4.0), 'MSP-Conversation_0002.wav: 25 frames (1.00 s)', '0002_2'),
  (wav('Audio/MSP-Conversation_0002.wav', rate=8000), 'MSP-Conversation_0002.wav: 8000 samples per second'),
  (remove(f'features/{PART}.npy'), f"no feature file for '{PART}'"),
  (npy(f'features/{PART}.npy', np.zeros((90, 3))), f'{PART}.npy: 90 frames (3.60 s)', '75 (3.00 s)'),
]
MSP_GAPS = [  # with max_gap_s=0.5
  (lines(TRACE, lambda x: x.__delitem__(slice(50, 120))), f'{TRACE}: no value between 0.6', 'empty=mask'),
  (lines(TRACE, lambda x: x.__delitem__(slice(100, None))), f'{TRACE}: no value between', 'and 3.00 s'),
  (lines(TRACE, lambda x: x.__delitem__(slice(9, 80))), f'{TRACE}: no value between 0.00 and'),
]
MSP_SHORT = [
  (then(row(PARTS, 1, f'{PART};100.5;100.9'), lambda source: [
    p.unlink() or p.write_text(f'{HEADER}\n0.1,1\n') for p in source.glob(f'Annotations/*/{PART}_*.csv')]),
   f'{FAULTY}: 10 labels, too few for the low-pass filter', 'leave annotator 001 out of the option lowpass'),
]
CLONE = [
  (clear, 'no CEAP-360VR here', 'ceap360vr.npz'),
  (move(ROOT, 'CEAP'), 'no CEAP-360VR here'),
  (remove(RATED), f'{RATED}: no such file', 'option participants'),
  (remove(LIGHT), f'{LIGHT}: no such file'),
  (remove(FIXED), f'{FIXED}: no such file'),
  (cut(RATED, 100), f'{RATED}: cannot be read as JSON'),
  (text(RATED, ''), f'{RATED}: cannot be read as JSON'),
  (text(RATED, bytes(range(128, 256))), f'{RATED}: cannot be read as JSON'),
  (text(RATED, '[1, 2]'), f"{RATED}: expected 'ContinuousAnnotation_FrameData' with one participant"),
  (data(RATED, lambda c: c['ContinuousAnnotation_FrameData'][0].update(ParticipantID='4')),
   f"{RATED}: ParticipantID '4', expected 'P3'"),
  (data(RATED, lambda c: c['ContinuousAnnotation_FrameData'][0]['Video_Annotation_FrameData'].pop(1)),
   f'{RATED}: nothing of V2'),
  (block('rated', lambda b: b.update(VideoID='V1')), f"{RATED}: video 'V1' appears twice"),
  (block('rated', lambda b: b.pop(STAMPS)), f"{RATED}: V2: no '{STAMPS}'"),
  (block('rated', lambda b: b[STAMPS].pop()), f'{RATED}: V2: 59 frames rated', 'luminance has 60'),
  (block('rated', lambda b: b[STAMPS][7].update(Valence='high')), f'{RATED}: V2: Valence of sample 7 is "high"'),
  (block('rated', lambda b: b[STAMPS][7].pop('Arousal')), f'{RATED}: V2: Arousal of sample 7 is null'),
  (block('rated', lambda b: b[STAMPS][7].update(Valence=0)), f'{RATED}: V2: valence in frame 7 is 0, ', '1 to 9'),
  (block('rated', lambda b: b[STAMPS][7].update(TimeStamp=0.2)), f'{RATED}: V2: time of frame 7 is 0.2 s, not after'),
  (block('rated', lambda b: [r.update(TimeStamp=i / 25) for i, r in enumerate(b[STAMPS])]),
   f'{RATED}: V2: time of frame 8 is 0.32 s', 'at 30 frames per s'),
  (block('rated', lambda b: b[STAMPS].__setitem__(7, 3)), f'{RATED}: V2: TimeStamp of sample 7'),
  (block('head', lambda b: b['ID_Pitch_Yaw'].pop(3)), f'{HEAD}: V2: ID 5, expected 4'),
  (block('head', lambda b: b['ID_Pitch_Yaw'].pop()), f'{HEAD}: V2: 8 head directions, P1 has 9'),
  (block('head', lambda b: b.update(ID_Pitch_Yaw=b['ID_Pitch_Yaw'][:4])), f'{HEAD}: V2: 4 head directions (0.8 s)'),
  (block('head', lambda b: b['ID_Pitch_Yaw'][3].update(Yaw=None)), f'{HEAD}: V2: Yaw of sample 3 is null'),
  (block('head', lambda b: b['ID_Pitch_Yaw'][3].update(Pitch=95)), f'{HEAD}: V2: pitch 3 is 95, expected', '-90 to 90'),
  (block('fixed', lambda b: b['Fixation'].append({'StartFrame': 9, 'EndFrame': 4})), f'{FIXED}: V2: fix', '9 to 4'),
  (block('fixed', lambda b: b['Fixation'].append({'StartFrame': 9, 'EndFrame': 60})), f'{FIXED}: V2: fixation', '< 60'),
  (block('fixed', lambda b: b['Fixation'].append(None)), f'{FIXED}: V2: fixation', 'frame None'),
  (block('asked', lambda b: b.update(ValenceValue=10)), f'{ASKED}: P3, V2: rating 10', '1 to 9'),
  (block('asked', lambda b: b.pop('ArousalValue')), f'{ASKED}: P3, V2: rating None'),
  (data(INFO, lambda c: c['VideoInfo'].pop(2)), f'{INFO}: nothing of V2'),
  (data(INFO, lambda c: c['VideoInfo'][2].update(FrameRate='fast')), f"{INFO}: V2: frame rate 'fast'"),
  (data(INFO, lambda c: c.pop('VideoInfo')), f"{INFO}: no 'VideoInfo'"),
  (data(LIGHT, lambda c: c['Video_InfoData'][1].update(V=[])), f'{LIGHT}: V2: no brightness'),
  (data(LIGHT, lambda c: c['Video_InfoData'][1]['V'].__setitem__(5, None)), f'{LIGHT}: V2: V of sample 5 is null'),
  (data(LIGHT, lambda c: c['Video_InfoData'][1]['V'].__setitem__(5, 300)), f'{LIGHT}: V2: luminance of frame 5 is 300'),
]
PACK = [
  (arrays(V3_valence=lambda x: False), "ceap360vr.npz: no array 'V3_valence'"),
  (arrays(V3_valence=lambda x: x[:, 1:]), 'ceap360vr.npz: V3_valence is float32 [32, 59], expected floats [32, 60]'),
  (arrays(V3_valence=lambda x: x[:31]), 'ceap360vr.npz: V3_valence is float32 [31, 60]'),
  (arrays(V3_valence=lambda x: x.astype(int)), 'ceap360vr.npz: V3_valence is int64'),
  (arrays(V3_arousal=put((2, 5), 9.5)), 'ceap360vr.npz: V3: arousal in frame 5 is 9.5'),
  (arrays(V3_time_s=put(5, 0.1)), 'ceap360vr.npz: V3: time of frame 5 is 0.1 s'),
  (arrays(V3_time_s=put(5, np.nan)), 'ceap360vr.npz: V3: time of frame 5 is nan'),
  (arrays(V3_luminance=put(5, np.nan)), 'ceap360vr.npz: V3_luminance is NaN in frame 5'),
  (arrays(V3_head_pitch_yaw_5hz=put((1, 2, 0), np.nan)), 'ceap360vr.npz: V3: a head direction is missing'),
  (arrays(V3_head_pitch_yaw_5hz=lambda x: x[:, :3]), 'ceap360vr.npz: V3: 3 head directions (0.6 s)'),
  (arrays(V3_head_pitch_yaw_5hz=put((1, 2, 1), 200)), 'ceap360vr.npz: V3: yaw 2 is 200'),
  (arrays(raters=lambda x: x[::-1]), "ceap360vr.npz: raters ['P32', 'P31', 'P30'] .., expected P1 to P32"),
  (arrays(raters=lambda x: BOMB), 'ceap360vr.npz: cannot be read'),
  (cut('ceap360vr.npz', 60), 'ceap360vr.npz: cannot be read'),
  (remove('sam_ratings.csv'), 'sam_ratings.csv: no such file'),
  (lines('sam_ratings.csv', lambda x: x.pop()), 'sam_ratings.csv: nothing of P32, V8'),
  (row('sam_ratings.csv', 4, 'P1,V3,0,4'), "sam_ratings.csv: P1, V3: rating '0'"),
  (row('sam_ratings.csv', 4, 'P1,V2,3,4'), 'sam_ratings.csv: P1, V2 appears twice'),
  (swap('videos.csv', 'FrameRate', 'fps'), "videos.csv: no column 'FrameRate'"),
  (lines('videos.csv', lambda x: x.pop()), 'videos.csv: nothing of V8'),
  (swap('videos.csv', 'V2,a video,30', 'V2,a video,25'), 'npz: V2: time of frame 10 is 0.339 s', 'at 25 frames'),
]
OPTIONS = [
  ('recola', {'modalities': 'video'}, "unknown value of the option modalities 'video'; there is: audio, waveform"),
  ('recola', {'resample': 'yes'}, "unknown value of the option resample 'yes'; there is: false, true"),
  ('recola', {'partitions': 'x.csv'}, 'option partitions: x.csv', 'leave it out'),
  ('recola', {'delay': '2'}, "unknown option of recola 'delay'"),
  ('msp_conversation', {'empty': 'zero'}, "unknown value of the option empty 'zero'; there is: mask, repeat"),
  ('msp_conversation', {'delay_s': 'long'}, "option delay_s: 'long' is not a number of seconds"),
  ('msp_conversation', {'delay_s': '-1'}, 'option delay_s: -1, expected seconds'),
  ('msp_conversation', {'delay_s': '1,2,3'}, 'option delay_s: 1,2,3', 'valence,arousal'),
  ('msp_conversation', {'delay_s': 'inf'}, 'option delay_s: inf'),
  ('msp_conversation', {'delay_s': '2.9'}, "0002_2': delay_s leaves nothing of valence in 2.25 s"),
  ('msp_conversation', {'max_gap_s': 'nan'}, 'option max_gap_s: nan'),
  ('msp_conversation', {'lowpass': '1,7'}, "unknown annotator in the option lowpass '1'", '001'),
  ('ceap360vr', {'participants': 'P1,P33'}, "unknown participant in the option participants 'P33'"),
  ('ceap360vr', {'participants': 'P1,P1'}, 'option participants: P1,P1, expected each once'),
]
# fmt: on
FORMS = [
  ('recola', RECOLA, {}),
  ('recola.none', RECOLA_BARE, {}),
  ('recola.own', RECOLA_OWN, {'partitions': LIST}),
  ('msp_conversation', MSP, {}),
  ('msp_conversation.features', MSP_GAPS, {'max_gap_s': '0.5'}),
  ('msp_conversation.none', [(nothing, 'no folder features and no folder Audio/Audio or Audio')], {}),
  ('msp_conversation.sound', MSP_SHORT, {}),
  ('ceap360vr.clone', CLONE, {'participants': 'P1,P3'}),
  ('ceap360vr', PACK, {}),
]
CASES = [(form, options, *case) for form, cases, options in FORMS for case in cases]
CASES += [(name, options, nothing, *wanted) for name, options, *wanted in OPTIONS]
KINDS = {'none': 'none', 'features': 'features', 'sound': 'sound'}


@pytest.fixture(params=CASES, ids=[f'{c[0]}: {c[3]}'.replace('[', '').replace(']', '') for c in CASES])
def fault(request, tmp_path, monkeypatch):
  """(corpus, options, fragments of the line), the faulty source being `tmp_path / 'source'`."""
  form, options, mutate, *wanted = request.param
  name, _, kind = form.partition('.')
  source = tmp_path / 'source'
  rated.shorten(monkeypatch)
  if name == 'recola':
    rated.recola(source, KINDS.get(kind, 'both'), 'recola' if kind == 'own' else 'avec2016')
  elif name == 'msp_conversation':
    rated.msp_conversation(source, KINDS.get(kind, 'both'))
  elif kind == 'clone':
    rated.ceap_clone(source, people=('P1', 'P3'))
  else:
    rated.ceap_pack(source)
  mutate(source)
  (tmp_path / 'cwd').mkdir()
  monkeypatch.chdir(tmp_path / 'cwd')
  if 'partitions' in options and kind == 'own':
    options = {**options, 'partitions': str(source / LIST)}
  return name, options, wanted


@pytest.mark.campaign(4)
def test_refused_in_one_line_and_by_the_command(tmp_path, fault, capsys):
  name, options, wanted = fault
  faults.prove(name, options, wanted, tmp_path, capsys)


def test_every_layout_has_its_faults():
  assert len(CASES) >= 45
  assert {c[0].split('.')[0] for c in CASES} == {'recola', 'msp_conversation', 'ceap360vr'}
