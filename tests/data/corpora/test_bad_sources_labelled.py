"""What can be wrong with a copy of IEMOCAP or MSP-Podcast: each fault gives one line that says where and what.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import shutil

import numpy as np
import pytest

from affectjax.data.store import preparing
from tests.helpers import faults
from tests.helpers import labelled_miniature as miniature
from tests.helpers.faults import (
  BOMB,
  Mutation,
  again,
  cell,
  clear,
  copy,
  cut,
  data,
  drop,
  folder,
  move,
  nothing,
  npy,
  remove,
  row,
  swap,
  text,
  then,
  value,
)


def away(name: str) -> Mutation:
  """Removes a folder with all that is in it."""
  return lambda source: shutil.rmtree(source / name)


FIRST, SCRIPT = miniature.FIRST, 'Session2/dialog/EmoEvaluation/Ses02M_impro03.txt'
FOLDER = 'Session1/dialog/EmoEvaluation'
TURN = 'Ses01F_impro01_F000'
SOUND, WORDS = f'features/audio/{TURN}.npy', f'features/text/{TURN}.npy'
OTHERS = 'features/text/Ses01F_impro01_F001.npy'
CONSENSUS, DETAILED = 'Labels/labels_consensus.csv', 'Labels/labels_detailed.csv'
GOLD, EACH = 'Labels/labels_consensus.json', 'Labels/labels_detailed.json'
HAPPY, STRANGER, _, ANGRY = (row[0] for row in miniature.CONSENSUS)
SEGMENT = HAPPY[:-4]
VOICE, TEXT = f'features/audio/{SEGMENT}.npy', f'features/text/{SEGMENT}.npy'
TWICE = f'{{"{HAPPY}": 1, "{HAPPY}": 2}}'

# fmt: off
IEMOCAP = [
  (clear, 'no IEMOCAP here', 'Session1 .. Session5'),
  (lambda source: (source / 'IEMOCAP_full_release' / 'Session1').mkdir(parents=True),
   'sessions both here and in IEMOCAP_full_release'),
  (away('Session4'), 'Session4/dialog/EmoEvaluation: no such folder', 'option sessions=1,2,3,5'),
  (move('Session2/dialog/EmoEvaluation', 'Session2/dialog/evaluation'), 'Session2/dialog/EmoEvaluation: no such'),
  (remove(SCRIPT), 'Session2/dialog/EmoEvaluation: no evaluations; expected Ses02F_impro01.txt'),
  (copy(SCRIPT, f'{FOLDER}/Ses02M_impro03.txt'), f'{FOLDER}/Ses02M_impro03.txt: expected an evaluation of session 1'),
  (copy(FIRST, f'{FOLDER}/notes.txt'), f'{FOLDER}/notes.txt: expected an evaluation of session 1'),
  (copy(FIRST, f'{FOLDER}/Ses01F_impro02.txt'), f"Ses01F_impro02.txt: line 3: turn '{TURN}', expected one of"),
  (text(FIRST, ''), f'{FIRST}: empty file'),
  (text(FIRST, bytes(range(128, 256))), f'{FIRST}: cannot be read as UTF-8 text'),
  (lambda source: (source / FIRST).write_text((source / FIRST).read_text(), 'utf-16'), f'{FIRST}: cannot be read'),
  (drop(FIRST, 1, 3), f"{FIRST}: line 1 is '[6.2901 - 8.2357]", 'expected the header with TURN_NAME'),
  (drop(FIRST, 2), f'{FIRST}: no turns after the header'),
  (drop(FIRST, 3, 4), f'{FIRST}: line 3 is', 'a line of no turn; expected'),
  (drop(FIRST, 33), f"{FIRST}: line 32: turn 'Ses01F_impro01_M000' has no class by an evaluator",
   'option unrated=keep'),
  (drop(FIRST, 27, 30), f"{FIRST}: line 26: turn 'Ses01F_impro01_F003' has no class"),
  (cut(FIRST, 33), f'{FIRST}: line 35', 'expected a line of a rater'),
  (swap(FIRST, ' - 8.2357]\t', ' 8.2357\t'), f'{FIRST}: line 3 is', 'expected a line of a turn such as'),
  (swap(FIRST, '[2.5000, 3.0000, 2.0000]', '[2.5000, 3.0000]'), f'{FIRST}: line 3 is', 'a line of a turn such as'),
  (swap(FIRST, '[2.5000, 3.0000, 2.0000]', '[2.5000, 3.0000, low]'), f'{FIRST}: line 3 is', 'a line of a turn such as'),
  (swap(FIRST, '\tneu\t', '\tcalm\t'), 'unknown class of a turn in', f"{FIRST}: line 3: 'calm'; there is: ang, dis"),
  (swap(FIRST, 'impro01_F000', 'impro01_X000'), f"{FIRST}: line 3: turn 'Ses01F_impro01_X000', expected one of"),
  (swap(FIRST, 'Ses01F_impro01_F001', 'Ses01F_impro02_F001'), f"{FIRST}: line 12: turn 'Ses01F_impro02_F001'",
   'e.g. Ses01F_impro01_F000'),
  (swap(FIRST, 'impro01_F001', 'impro01_F000'), f"{FIRST}: line 12: turn '{TURN}' stands in", 'line 3 as well'),
  (row(FIRST, 5, 'E3 says neutral'), f"{FIRST}: line 5 is 'E3 says neutral', expected a line of a rater such as"),
  (row(FIRST, 5, 'C-E3:\tNeutral;'), f'{FIRST}: line 5 is', 'expected a line of a rater'),
  (row(FIRST, 5, 'C-E3:\tNeutral\t()'), f"{FIRST}: line 5: 'Neutral' without a semicolon"),
  (row(FIRST, 5, 'C-E3:\tCalm;\t()'), 'unknown class in', f"{FIRST}: line 5: 'Calm'; there is: Anger, Disgust"),
  (row(FIRST, 5, 'C-E3:\tneutral;\t()'), "line 5: 'neutral'; there is: Anger"),
  (row(FIRST, 5, 'C-E2:\tNeutral;\t()'), f'{FIRST}: line 5: evaluator E2 has an earlier line C- in turn',
   'option repeated=first'),
  (row(FIRST, 9, 'A-E3:\tval 2; act 4; dom 3;\t()'), f'{FIRST}: line 9: evaluator E3 has an earlier line A-'),
  (row(FIRST, 9, 'A-E4:\tval 6; act 4; dom 3;\t()'), f"{FIRST}: line 9: valence is '6', expected a number of 1 to 5",
   'option outside=mask'),
  (row(FIRST, 9, 'A-E4:\tval 2; act 0; dom 3;\t()'), f"{FIRST}: line 9: arousal is '0'"),
  (row(FIRST, 9, 'A-E4:\tval 2; act 3; dom nan;\t()'), f"{FIRST}: line 9: dominance is 'nan'"),
  (row(FIRST, 9, 'A-E4:\tval 2; act high; dom 3;\t()'), f"{FIRST}: line 9: arousal is 'high'"),
  (row(FIRST, 9, 'A-E4:\tval 2; act 3;\t()'), f"{FIRST}: line 9: attributes 'val 2; act 3;', expected e.g."),
  (swap(FIRST, '\tneu\t', '\tsad\t'), f"{FIRST}: line 3: turn '{TURN}' is sad", 'say Neutral (1 such turns)',
   'option consensus=count'),
  (swap(FIRST, '\tneu\t', '\txxx\t', '\thap\t', '\tang\t'), f"{FIRST}: line 3: turn '{TURN}' is xxx", '(2 such turns)'),
  (move('features/text', 'features/words'), 'unknown folder or file in', "'words'; there is: audio, text"),
  (copy(SOUND, f'features/{TURN}.npy'), f"'{TURN}.npy'; there is: audio, text"),
  (then(away('features'), folder('features')), 'features: no folder audio or text', 'modalities=none'),
  (then(away('features/text'), folder('features/text')), 'features/text: no feature files'),
  (move(SOUND, 'features/audio/Ses01F_impro01_F900.npy'), "audio: 'Ses01F_impro01_F900' is no clip of the corpus"),
  (remove(WORDS), f"features/text: no feature file for '{TURN}'"),
  (copy(WORDS, WORDS.replace('npy', 'npz')), f"features/text: '{TURN}' has 2 feature files"),
  (npy(OTHERS, np.zeros(3)), f'{OTHERS}: 3 features per frame, expected 4'),
  (npy(WORDS, np.zeros((2, 2, 4))), f'{WORDS}: array of shape [2, 2, 4]; expected [frames, features] or [features]'),
  (npy(WORDS, np.zeros((0, 4))), f'{WORDS}: empty array'),
  (npy(SOUND, BOMB), f'{SOUND}: cannot be read'),
  (cut(SOUND), f'{SOUND}: cannot be read'),
  (value(SOUND, 2, np.nan), f"id '{TURN}': audio is nan in frame 0"),
]
ABSENT = [  # with missing=absent
  (then(remove(SOUND), remove(WORDS)), f"features: clip '{TURN}' has no file in audio or text"),
]
TWO = [  # with sessions=1,2
  (away('Session2'), 'Session2/dialog/EmoEvaluation: no such folder', 'option sessions=1'),
  (move(SOUND, 'features/audio/Ses02F_impro01_F000.npy'), "'Ses02F_impro01_F000' is no clip of the corpus"),
]
PODCAST = [
  (clear, 'no folder Labels', 'Labels/labels_consensus.csv'),
  (folder('label'), 'Labels and label; keep one'),
  (remove(CONSENSUS), 'Labels: no labels_consensus.csv or .json'),
  (remove(DETAILED), f'{DETAILED}: no such file', 'belongs to labels_consensus.csv'),
  (copy(CONSENSUS, 'Labels/labels_concensus.csv'), 'both labels_consensus.csv and labels_concensus.csv; keep one'),
  (text(CONSENSUS, ''), f'{CONSENSUS}: empty file'),
  (text(CONSENSUS, '\n\n'), f'{CONSENSUS}: empty file'),
  (text(CONSENSUS, bytes(range(128, 256))), f'{CONSENSUS}: cannot be read as a table in UTF-8'),
  (text(DETAILED, '"' + 'x' * 200_000), f'{DETAILED}: cannot be read as a table'),
  (swap(DETAILED, '"Neutral,Other-Curious"', '"Neutral'), f'{DETAILED}: cannot be read as a table'),
  (drop(CONSENSUS, 2), f'{CONSENSUS}: no rows after the header'),
  (drop(DETAILED, 2), f'{DETAILED}: no rows after the header'),
  (swap(CONSENSUS, 'EmoVal', 'Valence'), f"{CONSENSUS}: no columns 'EmoVal', expected one; line 1 has: FileName"),
  (swap(CONSENSUS, 'Gender', 'SpkrID'), f"{CONSENSUS}: 2 columns 'SpkrID', expected one"),
  (swap(DETAILED, 'EmoClass_Major', 'EmoClass'), f"{DETAILED}: no columns 'EmoClass_Major'"),
  (swap(DETAILED, 'WorkerID', 'Rater'), f"{DETAILED}: no columns 'WorkerID', expected one"),
  (cut(CONSENSUS, 12), f'{CONSENSUS}: line 15 has 7 cells, the header has 8'),
  (row(DETAILED, 3, f'{HAPPY},WORKER00000002'), f'{DETAILED}: line 3 has 2 cells, the header has 7'),
  (swap(CONSENSUS, HAPPY, 'MSP-PODCAST_0001.wav'), f"{CONSENSUS}: line 2: file 'MSP-PODCAST_0001.wav', expected e.g."),
  (swap(CONSENSUS, HAPPY, SEGMENT), f"{CONSENSUS}: line 2: file '{SEGMENT}', expected e.g. MSP-PODCAST_0001_0008.wav"),
  (again(CONSENSUS, 2), f"{CONSENSUS}: line 16: segment '{SEGMENT}' has an earlier row"),
  (cell(CONSENSUS, 2, 1, 'Q'), 'unknown EmoClass in', f"{CONSENSUS}: line 2, segment '{SEGMENT}': 'Q'; there is: A, C"),
  (cell(CONSENSUS, 2, 2, '7.5'), f"{CONSENSUS}: line 2, segment '{SEGMENT}': EmoAct is '7.5', expected a number"),
  (cell(CONSENSUS, 2, 3, 'high'), f"{CONSENSUS}: line 2, segment '{SEGMENT}': EmoVal is 'high'"),
  (cell(CONSENSUS, 2, 5, 'A 7'), f"segment '{SEGMENT}': SpkrID is 'A 7', expected a number or Unknown"),
  (cell(CONSENSUS, 2, 6, 'F'), 'unknown Gender in', "'F'; there is: Female, Male, Unknown"),
  (cell(CONSENSUS, 2, 7, 'Test'), 'unknown Split_Set in', "'Test'; there is: Development, Test1, Test2, Test3, Train"),
  (cell(CONSENSUS, 5, 5, '127'), f'{CONSENSUS}: 1 speaker in both Train and Test1: 127', 'option leaks=count'),
  (cell(CONSENSUS, 2, 1, 'S'), f"{CONSENSUS}: EmoClass of segment '{SEGMENT}' is S, but its workers in "
   'labels_detailed.csv say happy 2, surprised 1 (1 such segments)', 'option consensus=count'),
  (cell(CONSENSUS, 2, 1, 'X'), f"EmoClass of segment '{SEGMENT}' is X"),
  (cell(CONSENSUS, 3, 1, 'D'), f"EmoClass of segment '{STRANGER[:-4]}' is D", 'neutral 1, other 1'),
  (drop(CONSENSUS, 2, 3), f"{DETAILED}: line 2, segment '{SEGMENT}' is not among the segments of the consensus"),
  (drop(DETAILED, 2, 5), f"{DETAILED}: no row for segment '{SEGMENT}'", 'option unrated=keep'),
  (swap(DETAILED, ',Surprise,', ',Amused,'), 'unknown class in', f"{DETAILED}: line 4, segment '{SEGMENT}'",
   'option strange=other', "'Amused'; there is: Angry, Contempt"),
  (swap(DETAILED, ',Surprise,', ',,'), 'unknown class in', f'{DETAILED}: line 4'),
  (swap(DETAILED, 'WORKER00000002,Happy', 'WORKER00000001,Happy'), f"{DETAILED}: line 3, segment '{SEGMENT}': worker "
   "'WORKER00000001' has an earlier row", 'option repeated=first'),
  (swap(DETAILED, 'WORKER00000002,Happy', ',Happy'), f'{DETAILED}: line 3', 'a worker without a name'),
  (swap(DETAILED, 'Happy,6,7,6', 'Happy,6,8,6'), f"{DETAILED}: line 3, segment '{SEGMENT}': EmoVal is '8'"),
  (swap(DETAILED, 'Happy,6,7,6', 'Happy,0,7,6'), f"segment '{SEGMENT}': EmoAct is '0', expected a number of 1 to 7"),
  (swap(DETAILED, 'Happy,6,7,6', 'Happy,6,7,inf'), f"segment '{SEGMENT}': EmoDom is 'inf'"),
  (move('features/text', 'features/visual'), 'unknown folder or file in', "'visual'; there is: audio, text"),
  (move(VOICE, 'features/audio/MSP-PODCAST_0001_0009.npy'), "'MSP-PODCAST_0001_0009' is no clip of the corpus"),
  (remove(TEXT), f"features/text: no feature file for '{SEGMENT}'"),
  (npy(f'features/text/{STRANGER[:-4]}.npy', np.zeros(3)), '3 features per frame, expected 4'),
  (value(VOICE, 0, np.inf), f"id '{SEGMENT}': audio is inf in frame 0"),
]
DETAIL = [  # in the form with EmoDetail
  (swap(DETAILED, 'EmoDetail', 'Detail'), f"{DETAILED}: no columns 'WorkerID'"),
  (swap(DETAILED, 'A:4; V:5; D:3;', 'A:4; V:5;'), f"{DETAILED}: line 2: EmoDetail is 'WORKER00000001; Happy;"),
  (swap(DETAILED, 'A:4; V:5; D:3;', 'A:4; V:9; D:3;'), f"{DETAILED}: line 2, segment '{SEGMENT}': EmoVal is '9'"),
  (swap(DETAILED, 'WORKER00000001; Happy; Happy,Amused;', 'W1, Happy, Happy'), f"{DETAILED}: line 2: EmoDetail is 'W1"),
]
JSON = [
  (text(GOLD, '{"a": '), f'{GOLD}: cannot be read as JSON'),
  (cut(EACH, 30), f'{EACH}: cannot be read as JSON'),
  (text(GOLD, '[1, 2]'), f'{GOLD}: holds list, expected an object'),
  (text(GOLD, '{}'), f'{GOLD}: holds dict, expected an object with one entry per segment'),
  (text(GOLD, bytes(range(128, 256))), f'{GOLD}: cannot be read as UTF-8'),
  (text(GOLD, TWICE), f"{GOLD}: '{HAPPY}' stands twice"),
  (swap(EACH, 'WORKER00000002', 'WORKER00000001'), f"{EACH}: 'WORKER00000001' stands twice in one object"),
  (data(GOLD, lambda x: x.update({HAPPY: 'H'})), f'{GOLD}: {HAPPY} holds str, expected an object with EmoClass'),
  (data(GOLD, lambda x: x[HAPPY].pop('SpkrID')), f'{GOLD}: {HAPPY}: no SpkrID; there is: EmoClass, EmoAct'),
  (data(GOLD, lambda x: x.update(Happy=x.pop(HAPPY))), f"{GOLD}: Happy: file 'Happy', expected e.g."),
  (data(EACH, lambda x: x.update({HAPPY: []})), f'{EACH}: {HAPPY} holds list, expected workers'),
  (data(EACH, lambda x: x.update({HAPPY: {}})), f"{EACH}: no row for segment '{SEGMENT}'"),
  (data(EACH, lambda x: x[HAPPY].update(WORKER00000001=3)), f"{EACH}: {HAPPY}, worker 'WORKER00000001' holds int"),
  (data(EACH, lambda x: x[HAPPY]['WORKER00000001'].pop('EmoVal')), "worker 'WORKER00000001': no EmoVal"),
  (data(EACH, lambda x: x[ANGRY]['WORKER00000009'].update(EmoAct='ten')), f'{EACH}: {ANGRY}', "EmoAct is 'ten'"),
]
OPTIONS = [  # (corpus, options, fragments)
  ('iemocap', {'sessions': '1,6'}, "unknown value of the option sessions '6'; there is: 1, 2, 3, 4, 5"),
  ('iemocap', {'sessions': ''}, "unknown value of the option sessions ''"),
  ('iemocap', {'multiple': 'all'}, "unknown value of the option multiple 'all'; there is: each, first"),
  ('iemocap', {'outside': 'clip'}, "unknown value of the option outside 'clip'; there is: error, mask"),
  ('iemocap', {'modalities': 'audio,visual'}, "unknown value of the option modalities 'visual'; there is: audio, none"),
  ('iemocap', {'text_hz': '0'}, "option text_hz: '0', expected frames per second, above 0"),
  ('iemocap', {'visual_hz': '30'}, "unknown option of iemocap 'visual_hz'"),
  ('msp_podcast', {'labels': 'xml'}, "unknown value of the option labels 'xml'; there is: csv, json"),
  ('msp_podcast', {'labels': 'json'}, 'Labels: no labels_consensus.json'),
  ('msp_podcast', {'leaks': 'ignore'}, "unknown value of the option leaks 'ignore'; there is: count, error"),
  ('msp_podcast', {'missing': 'zero'}, "unknown value of the option missing 'zero'; there is: absent, error"),
]
# fmt: on
FORMS = [
  ('iemocap', IEMOCAP, {}),
  ('iemocap', ABSENT, {'missing': 'absent'}),
  ('iemocap', TWO, {'sessions': '1,2'}),
  ('msp_podcast', PODCAST, {}),
  ('msp_podcast.detail', DETAIL, {}),
  ('msp_podcast.json', JSON, {}),
]
CASES = [(form, options, *case) for form, cases, options in FORMS for case in cases]
CASES += [(name, options, nothing, *wanted) for name, options, *wanted in OPTIONS]
WRITERS = {
  'iemocap': miniature.iemocap,
  'msp_podcast': miniature.msp_podcast,
  'msp_podcast.detail': lambda source: miniature.msp_podcast(source, 'detail'),
  'msp_podcast.json': lambda source: miniature.msp_podcast(source, 'json'),
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
  assert len(CASES) >= 100
  assert {c[0] for c in CASES} == set(WRITERS)
