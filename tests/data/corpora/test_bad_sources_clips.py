"""What can be wrong with a copy of CREMA-D, MSP-IMPROV or RAVDESS: each fault gives one line that says where.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import functools

import numpy as np
import pytest

from affectjax.data.store import preparing
from tests.helpers import clips_miniature as miniature
from tests.helpers import faults
from tests.helpers.faults import (
  BOMB,
  again,
  cell,
  clear,
  copy,
  cut,
  drop,
  folder,
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

VOTES, SUMMARY = 'processedResults/tabulatedVotes.csv', 'processedResults/summaryTable.csv'
CLIPS, PEOPLE, FOLDS = 'SentenceFilenames.csv', 'VideoDemographics.csv', 'vavl_folds.csv'
CLIP = '1002_DFA_SAD_XX'  # line 9 of SentenceFilenames
SOUND, FACE = f'features/audio/{CLIP}.npy', f'features/visual/{CLIP}.npy'
COUNTS = miniature.crema_votes()['1001_IEO_NEU_XX'][0][0]  # of row 100001, line 2 of the votes
NOBODY = int(np.argmin(COUNTS))  # an emotion that nobody chose there; a level of -1
LEVEL = 12  # the column of the first mean level
EVALUATION, TURN = 'Evalution.txt', f'MSP-IMPROV-{miniature.TURNS[1]}'
LLD, TABLE = 'egemaps_lld_10ms.npz', 'metadata.csv'
arrays = functools.partial(faults.arrays, LLD)
RECORDING = miniature.RECORDINGS[3]

# fmt: off
assert COUNTS[NOBODY] == 0
CREMA_D = [
  (clear, 'no CREMA-D here', 'processedResults/tabulatedVotes.csv'),
  (copy(VOTES, 'tabulatedVotes.csv'), 'both tabulatedVotes.csv and processedResults/tabulatedVotes.csv'),
  (remove(SUMMARY), f'{SUMMARY}: no such file'),
  (remove(CLIPS), f'{CLIPS}: no such file'),
  (remove(PEOPLE), f'{PEOPLE}: no such file'),
  (text(VOTES, ''), f'{VOTES}: empty file'),
  (text(VOTES, bytes(range(128, 256))), f'{VOTES}: cannot be read as a table in UTF-8'),
  (text(VOTES, '"' + 'x' * 200_000), f'{VOTES}: cannot be read as a table'),
  (drop(VOTES, 2), f'{VOTES}: no rows after the header'),
  (swap(VOTES, '"meanSadResp"', '"meanSorrow"'), f"{VOTES}: no columns 'meanSadResp', expected one"),
  (swap(VOTES, '"D"', '"A"'), f"{VOTES}: 2 columns 'A', expected one"),
  (swap(VOTES, '"",', '"row",'), f"{VOTES}: no columns '', expected one"),
  (lines(VOTES, lambda x: x.__setitem__(4, x[4] + ',1')), f'{VOTES}: line 5 has 28 cells, the header has 27'),
  (row(VOTES, 3, ''), f'{VOTES}: line 3 has 0 cells'),
  (cell(VOTES, 2, 0, '"first"'), f"{VOTES}: line 2: name of the row is 'first', expected a whole number"),
  (cell(VOTES, 2, 0, '"400001"'), f'{VOTES}: line 2: name of the row 400001', 'condition (1 to 3)'),
  (cell(VOTES, 2, 0, '"100099"'), f'{VOTES}: line 2: row 100099', 'no clip as 99'),
  (cell(VOTES, 2, 0, '"100002"'), f"{VOTES}: line 2: row 100002 is of clip '1001_IEO_NEU_XX'",
   "SentenceFilenames.csv has '1001_IEO_ANG_HI' as 2"),
  (cell(VOTES, 2, 1, '-1'), f"{VOTES}: line 2: count A is '-1', expected a whole number"),
  (cell(VOTES, 2, 1, '2.5'), f"{VOTES}: line 2: count A is '2.5'"),
  (cell(VOTES, 2, 8, '99'), f'{VOTES}: line 2', f'{COUNTS.sum()} votes in all, numResponses is 99'),
  (cell(VOTES, 2, LEVEL + NOBODY, '30'), f'{VOTES}: line 2: mean', 'is 30, expected -1, for nobody chose it'),
  (cell(VOTES, 2, LEVEL + int(COUNTS.argmax()), '-1'), f'{VOTES}: line 2: mean', 'is -1, expected 0 to 100'),
  (cell(VOTES, 2, LEVEL, 'high'), f"{VOTES}: line 2: meanAngerResp is 'high', expected a number"),
  (cell(VOTES, 2, LEVEL, 'NaN'), f'{VOTES}: line 2: meanAngerResp is NaN'),
  (again(VOTES, 5), f'{VOTES}: line 92', 'voice, has an earlier line'),
  (drop(VOTES, 40, 41), f'{VOTES}: no line for clip', ', face; the file may be cut off'),
  (drop(VOTES, 80), f'{VOTES}: no line for clip', ', voice and face'),
  (swap(CLIPS, CLIP, '1002_DFA_SAD'), f"{CLIPS}: line 9: clip '1002_DFA_SAD', expected <actor>_<sentence>"),
  (swap(CLIPS, CLIP, 'A2_DFA_SAD_XX'), f"{CLIPS}: line 9: clip 'A2_DFA_SAD_XX'"),
  (swap(CLIPS, CLIP, '1002_DFX_SAD_XX'), 'unknown sentence in', f'{CLIPS}: line 9', "'DFX'; there is: DFA, IEO"),
  (swap(CLIPS, CLIP, '1002_DFA_JOY_XX'), 'unknown emotion in', f'{CLIPS}: line 9', "'JOY'; there is: ANG, DIS"),
  (swap(CLIPS, CLIP, '1002_DFA_SAD_X'), 'unknown level in', f'{CLIPS}: line 9', 'HI, LO, MD, XX'),
  (swap(CLIPS, '8,"', '7,"'), f'{CLIPS}: line 9: number 7', 'has an earlier line'),
  (swap(CLIPS, '8,"', 'eight,"'), f"{CLIPS}: line 9: Stimulus_Number is 'eight'"),
  (drop(CLIPS, 9, 10), f'{VOTES}: line 9', f"clip '{CLIP}'", 'no clip as 8'),
  (swap(PEOPLE, '1003', '1007'), f"{PEOPLE}: no line for actor '1003'", '1003_DFA_SAD_XX'),
  (swap(PEOPLE, '1003', '1002'), f"{PEOPLE}: line 4: actor '1002' has an earlier line"),
  (swap(PEOPLE, '"Female"', '"F"'), 'unknown Sex in', f"{PEOPLE}: line 3: 'F'; there is: Female, Male"),
  (swap(PEOPLE, '21,', 'young,'), f"{PEOPLE}: line 3: Age is 'young'"),
  (cell(SUMMARY, 2, 6, '"A:D:F"'), f"{SUMMARY}: line 2: clip '1001_IEO_NEU_XX': MultiModalVote is 'A:D:F'"),
  (cell(SUMMARY, 3, 2, '""'), f'{SUMMARY}: line 3', "VoiceVote is ''", 'most votes in tabulatedVotes.csv'),
  (again(SUMMARY, 4), f'{SUMMARY}: line 32', 'has an earlier line'),
  (drop(SUMMARY, 4, 5), f"{SUMMARY}: no line for clip '1001_DFA_SAD_XX'"),
  (cell(SUMMARY, 4, 0, '"9"'), f"{SUMMARY}: line 4: row 9 is of clip '1001_DFA_SAD_XX'", "'1002_ITS_HAP_XX' as 9"),
  (swap(FOLDS, CLIP, '1009_DFA_SAD_XX'), f"{FOLDS}: line 6: clip '1009_DFA_SAD_XX' is not in {CLIPS}"),
  (again(FOLDS, 6), f"{FOLDS}: line 26: clip '{CLIP}' has an earlier line"),
  (swap(FOLDS, 'Development', 'Dev'), 'unknown fold', f'{FOLDS}: line 2', "'Dev'; there is: Development, Test, Train"),
  (swap(FOLDS, f'{CLIP},Development', f'{CLIP},Train'), f'{FOLDS}: fold1: 1 actor in both Train and Development: 1002'),
  (swap(FOLDS, 'fold5', 'fold6'), f"{FOLDS}: no columns 'fold5', expected one"),
  (lines(FOLDS, lambda x: x.__setitem__(slice(1, None), [r.replace('Test', 'Train') for r in x[1:]])),
   f'{FOLDS}: fold1 has no clip in Test'),
  (move('features/visual', 'features/video'), 'unknown folder or file in', "'video'; there is: audio, visual"),
  (copy(SOUND, f'features/{CLIP}.npy'), 'unknown folder or file in', f"'{CLIP}.npy'; there is: audio, visual"),
  (then(move('features', 'vectors'), folder('features')), 'features: no folder audio or visual', 'modalities=none'),
  (then(move('features/audio', 'audio'), folder('features/audio')), 'features/audio: no feature files'),
  (copy(SOUND, 'features/audio/1002_DFA_SAD.npy'), "features/audio: '1002_DFA_SAD' is no clip of the corpus"),
  (remove(SOUND), f"features/audio: no feature file for '{CLIP}'"),
  (copy(SOUND, SOUND.replace('npy', 'npz')), f"features/audio: '{CLIP}' has 2 feature files"),
  (npy(SOUND, np.zeros((5, 4))), f'{SOUND}: 4 features per frame, expected 5'),
  (npy(FACE, np.zeros((0, 3))), f'{FACE}: empty array'),
  (npy(FACE, BOMB), f'{FACE}: cannot be read'),
  (cut(FACE), f'{FACE}: cannot be read'),
  (value(FACE, (2, 1), np.nan), f"id '{CLIP}': visual is nan in frame 2"),
]
ABSENT = [  # with missing=absent
  (then(remove(SOUND), remove(FACE)), f"features: clip '{CLIP}' has no file in audio or visual"),
  (move(SOUND, 'features/audio/1002_dfa_sad_xx.npy'), "'1002_dfa_sad_xx' is no clip of the corpus"),
]
PACK = [
  (remove('summaryTable.csv'), 'summaryTable.csv: no such file'),
  (cell('tabulatedVotes.csv', 2, 8, '99'), 'tabulatedVotes.csv: line 2', 'numResponses is 99'),
]
MSP = [
  (clear, 'no Evalution.txt (or Evaluation.txt) here'),
  (copy(EVALUATION, 'Evaluation.txt'), 'both Evalution.txt and Evaluation.txt; keep one'),
  (text(EVALUATION, ''), f'{EVALUATION}: empty file'),
  (text(EVALUATION, bytes(range(128, 256))), f'{EVALUATION}: cannot be read as UTF-8 text'),
  (drop(EVALUATION, 1, 2), f"{EVALUATION}: line 1 is 'A1-x; Angry;", 'a line of no turn'),
  (row(EVALUATION, 2, 'A1-x; Angry; ; A:1; V:2;'), f"{EVALUATION}: line 2 is 'A1-x; Angry; ; A:1; V:2;'",
   'a line of a rater'),
  (row(EVALUATION, 2, 'A1-x; Angry; A:1; V:2; D:3; N:1;'), f'{EVALUATION}: line 2', 'a line of a rater such as'),
  (row(EVALUATION, 2, 'A1-x, Angry, , A:1, V:2, D:3, N:1'), f'{EVALUATION}: line 2', 'a line of a rater such as'),
  (swap(EVALUATION, 'A1-x; Angry', 'A1-x; Furious'), 'unknown emotion in', f"{EVALUATION}: line 2, turn 'MSP-IMPROV",
   "'Furious'; there is: Angry, Happy, Neutral, Other, Sad"),
  (swap(EVALUATION, 'A1-x; Angry', 'A1-x; angry'), "'angry'; there is: Angry"),
  (swap(EVALUATION, 'V:1.000000', 'V:0.000000'), f"{EVALUATION}: line 3: V is '0.000000', expected a value of 1 to 5"),
  (swap(EVALUATION, 'V:1.000000', 'V:six'), f"{EVALUATION}: line 3: V is 'six'"),
  (swap(EVALUATION, 'D:4.500000 ;', 'D:5.100000 ;'), f"{EVALUATION}: line 1: D is '5.100000'"),
  (swap(EVALUATION, '.avi; A;', '.avi; Q;'), 'unknown class of a turn in', f"{EVALUATION}: line 1: 'Q'; there is: A"),
  (swap(EVALUATION, '.avi; A;', '.avi;'), f'{EVALUATION}: line 1 is', 'expected a line of a turn'),
  (swap(EVALUATION, 'S01H-F01', 'S01H-F07'), f"{EVALUATION}: line 1: turn 'UTD-IMPROV-S01H-F07", 'F01 to M06'),
  (swap(EVALUATION, 'S01H-F01-T', 'S01H-F01-Q'), f'{EVALUATION}: line 1: turn', 'kind (SPTR)'),
  (swap(EVALUATION, 'S01H-F01', 'S01Z-F01'), f'{EVALUATION}: line 1: turn', 'target emotion (AHNS)'),
  (swap(EVALUATION, miniature.TURNS[1], miniature.TURNS[0]), f'{EVALUATION}: line 6: turn', 'has an earlier line'),
  (drop(EVALUATION, 2, 5), f"{EVALUATION}: line 1: turn 'MSP-IMPROV-S01H-F01-T-FM01' has no line of a rater"),
  (swap(EVALUATION, 'B_2; Angry', 'A1-x; Angry'), f"{EVALUATION}: line 3: rater 'A1-x' has another line",
   'option repeated=first'),
  (remove(f'features/visual/{TURN}.npy'), f"features/visual: no feature file for '{TURN}'"),
  (move(f'features/visual/{TURN}.npy', f'features/visual/UTD{TURN[3:]}.npy'), 'is no clip of the corpus'),
  (npy(f'features/audio/{TURN}.npy', np.zeros((5, 4))), f'{TURN}.npy: 4 features per frame, expected 5'),
  (value(f'features/audio/{TURN}.npy', (1, 1), np.inf), f"id '{TURN}': audio is inf in frame 1"),
]
RAVDESS = [  # the pack
  (clear, 'no RAVDESS here', 'features/03-01-05-01-01-01-01.npy'),
  (folder('features'), f'both {LLD} and features; keep one'),
  (remove(TABLE), f'{TABLE}: no such file'),
  (cut(LLD, 60), f'{LLD}: cannot be read as an .npz archive'),
  (arrays(lld_names=lambda x: False), f"{LLD}: no array 'lld_names'; there is: files, lld, offsets"),
  (arrays(files=lambda x: BOMB), f'{LLD}: cannot be read'),
  (arrays(lld=lambda x: x[:, 0]), f'{LLD}: lld is float16', 'expected floats [N, D]'),
  (arrays(lld=lambda x: x.astype(int)), f'{LLD}: lld is int64'),
  (arrays(offsets=lambda x: x.astype(float)), f'{LLD}: offsets is float64 [33], expected integers [files + 1]'),
  (arrays(lld_names=lambda x: x[1:]), f'{LLD}: lld has 5 columns, lld_names 4'),
  (arrays(lld=lambda x: x[:-3]), f'{LLD}: 33 offsets from 0 to', 'expected 33 from 0 to'),
  (arrays(offsets=lambda x: x[1:]), f'{LLD}: 32 offsets from'),
  (arrays(offsets=lambda x: x.__setitem__(4, x[3])), f'{LLD}: {RECORDING}.wav has 0 frames by the offsets'),
  (arrays(files=lambda x: x.__setitem__(4, x[3])), f"{LLD}: files has '{RECORDING}' twice"),
  (arrays(files=lambda x: x.__setitem__(3, '03-01-04-01.wav')), f"{LLD}: files: name '03-01-04-01'", 'seven numbers'),
  (arrays(files=lambda x: x.__setitem__(3, '03-01-09-01-01-01-01.wav')), f'{LLD}: files: emotion of', 'is 09'),
  (arrays(files=lambda x: x.__setitem__(3, f'01{x[4][2:]}')), f'{LLD}: 01-01-05', 'are one utterance; keep one'),
  (arrays(lld=put((7, 2), np.nan)), "id '03-01-0", 'audio is nan in frame'),
  (drop(TABLE, 9, 10), f'{TABLE}: 31 rows, {LLD} has 32 recordings'),
  (swap(TABLE, 'intensity', 'strength'), f"{TABLE}: no column 'intensity'"),
  (cell(TABLE, 5, 0, '4'), f"{TABLE}: line 5: index is '4', but {LLD} says '3' of recording 3"),
  (cell(TABLE, 5, 1, f'{RECORDING}.mp3'), f"{TABLE}: line 5: file is '{RECORDING}.mp3'"),
  (cell(TABLE, 5, 2, 'happy'), f"{TABLE}: line 5: emotion is 'happy', but {LLD} says 'sad'", RECORDING),
  (cell(TABLE, 5, 7, 'female'), f"{TABLE}: line 5: gender is 'female', but {LLD} says 'male'"),
  (cell(TABLE, 5, 9, '400'), f"{TABLE}: line 5: n_frames is '400'"),
  (lines(TABLE, lambda x: x.insert(3, x.pop(4))), f"{TABLE}: line 4: index is '3'"),
]
VECTOR = f'features/{RECORDING}.npy'
FOLDER = [
  (then(clear, text('features', 'x')), 'features: a file, expected a folder'),
  (then(clear, folder('features')), 'features: no feature files'),
  (move(VECTOR, 'features/angry-01.npy'), "features/angry-01.npy: name 'angry-01', expected seven numbers"),
  (move(VECTOR, 'features/03-02-04-01-01-01-01.npy'), 'channel of', 'is 02, expected 01 (speech)'),
  (move(VECTOR, 'features/02-01-04-01-01-01-01.npy'), 'modality of', 'is 02, expected 01 (audio-visual) or 03 (audio)'),
  (move(VECTOR, 'features/03-01-01-02-01-01-01.npy'), 'is neutral (01) in strong intensity (02)'),
  (move(VECTOR, 'features/03-01-04-01-01-01-25.npy'), 'actor of', 'is 25, expected 01 to 24'),
  (copy(VECTOR, f'features/{RECORDING}.npz'), f"'{RECORDING}' has 2 feature files"),
  (copy(VECTOR, f'features/01{RECORDING[2:]}.npy'), f'features: 01{RECORDING[2:]} and {RECORDING} are one utterance'),
  (npy(VECTOR, np.zeros((5, 4))), f'{VECTOR}: 4 features per frame, expected 5'),
]
OPTIONS = [  # (corpus, options, fragments)
  ('crema_d', {'modalities': 'audio,video'}, "unknown value of the option modalities 'video'; there is: audio, none"),
  ('crema_d', {'missing': 'drop'}, "unknown value of the option missing 'drop'; there is: absent, error"),
  ('crema_d', {'audio_hz': '0'}, "option audio_hz: '0', expected frames per second, above 0"),
  ('crema_d', {'visual_hz': 'fast'}, "option visual_hz: 'fast'"),
  ('crema_d', {'folds': 'nowhere.csv'}, 'nowhere.csv: no such file'),
  ('crema_d', {'fold': '1'}, "unknown option of crema_d 'fold'; there is: audio_hz, folds, missing"),
  ('crema_d.pack', {'modalities': 'visual'}, 'features/visual: no such folder'),
  ('msp_improv', {'repeated': 'mean'}, "unknown value of the option repeated 'mean'; there is: error, first"),
  ('msp_improv', {'audio_hz': 'inf'}, "option audio_hz: 'inf'"),
  ('ravdess', {'audio_hz': '50'}, 'option audio_hz: 50', '10 ms apart'),
  ('ravdess.folder', {'audio_hz': '-1'}, "option audio_hz: '-1'"),
]
# fmt: on
FORMS = [
  ('crema_d', CREMA_D, {}),
  ('crema_d', ABSENT, {'missing': 'absent'}),
  ('crema_d.pack', PACK, {}),
  ('msp_improv', MSP, {}),
  ('ravdess', RAVDESS, {}),
  ('ravdess.folder', FOLDER, {}),
]
CASES = [(form, options, *case) for form, cases, options in FORMS for case in cases]
CASES += [(name, options, nothing, *wanted) for name, options, *wanted in OPTIONS]
WRITERS = {
  'crema_d': miniature.crema_d,
  'crema_d.pack': lambda source: miniature.crema_d(source, 'pack', modalities=()),
  'msp_improv': miniature.msp_improv,
  'ravdess': miniature.ravdess_pack,
  'ravdess.folder': miniature.ravdess_folder,
}


@pytest.fixture(params=CASES, ids=[f'{c[0]}: {c[3]}'.replace('[', '').replace(']', '') for c in CASES])
def fault(request, tmp_path, monkeypatch):
  """(corpus, options, fragments of the line), the faulty source being `tmp_path / 'source'`."""
  form, options, mutate, *wanted = request.param
  faults.write(form, mutate, WRITERS, tmp_path, monkeypatch)
  return form.partition('.')[0], options, wanted


@pytest.mark.campaign(4)
def test_refused_in_one_line_and_by_the_command(tmp_path, fault, capsys):
  faults.prove(*fault, tmp_path, capsys)


@pytest.mark.parametrize('form', WRITERS)
def test_without_a_fault_each_can_be_prepared(tmp_path, form):
  WRITERS[form](tmp_path / 'source')
  assert preparing.prepare(form.partition('.')[0], tmp_path / 'source', tmp_path / 'data').counts['all']


def test_every_corpus_has_its_faults():
  assert len(CASES) >= 55
  assert {c[0] for c in CASES} == set(WRITERS)
