import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data.corpora import msp_improv
from affectjax.data.store import opening, preparing
from tests.helpers import clips_miniature as miniature

FIRST, TIE, OTHER = (f'MSP-IMPROV-{turn}' for turn in miniature.TURNS[:3])
NAN = np.nan


def test_example_by_hand(tmp_path):
  reading = msp_improv.read(miniature.msp_improv(tmp_path))
  assert reading.keys['all'] == sorted(f'MSP-IMPROV-{t}' for t in miniature.TURNS)
  e = reading.example('all', FIRST)
  assert FIRST == 'MSP-IMPROV-S01H-F01-T-FM01'
  assert (e['id'], e['group'], e['item'], e['speaker'], e['gender'], e['kind']) == (
    FIRST, 'dyad1', FIRST, 'F01', 'female', 'T')  # fmt: skip
  slots = max(map(len, miniature.msp_raters().values()))
  assert e['ratings'].shape == (1, slots, 3) == e['ratings_mask'].shape and slots == 7
  # valence 2, 1, 3; arousal 1, 2, 3 with 1 = very active; dominance 5, NaN, 4
  np.testing.assert_array_equal(e['ratings'][0, :4], [[-0.5, 1, 1], [-1, 0.5, NAN], [0, 0, 0.5], [NAN] * 3])
  assert e['ratings_mask'][0].sum(0).tolist() == [3, 3, 2] and e['annotators'] == 'A1-x B_2 C3'
  np.testing.assert_allclose([e['valence'], e['arousal'], e['dominance']], [-0.5, 0.5, 0.75])
  assert e['votes'].tolist() == [2, 0, 0, 0] and e['emotion'] == 0
  assert reading.example('all', TIE)['emotion'] == -1
  other = reading.example('all', OTHER)
  assert other['emotion'] == -1 and other['votes'].tolist() == [0, 0, 1, 0]
  np.testing.assert_array_equal(e['visual'], miniature.clip(FIRST, 'visual'))


def test_arousal_is_reversed_once():
  file = np.array([[1.0, 1, 1], [5, 5, 5], [3, 3, 3], [2, 2, NAN]])  # valence, arousal, dominance
  before = file.copy()
  np.testing.assert_array_equal(msp_improv.scaled(file), [[-1, 1, -1], [1, -1, 1], [0, 0, 0], [-0.5, 0.5, NAN]])
  np.testing.assert_array_equal(file, before)


def test_partitions_are_those_of_the_label_files():
  table = np.array([msp_improv.partitions(d) for d in range(1, 7)])  # [dyad, partition]
  assert (np.argmax(table == 2, 0) + 1).tolist() == [5, 3, 2, 1, 6]
  assert (np.argmax(table == 1, 0) + 1).tolist() == [4, 2, 1, 6, 5]
  assert ((table == 0).sum(0) == 4).all() and ((table == 2).sum(0) == 1).all()


def test_prepared_columns_are_what_was_read(tmp_path):
  source = miniature.msp_improv(tmp_path / 'source')
  corpus = preparing.prepare('msp_improv', source, tmp_path / 'data')
  assert corpus.meta['attributes'] == ['valence', 'arousal', 'dominance'] and corpus.counts == {'all': 24}
  assert corpus.meta['differ'] == {'class': 0, 'valence': 0, 'arousal': 0, 'dominance': 0}
  columns, reading = opening.open_corpus('msp_improv', tmp_path / 'data').columns('all'), msp_improv.read(source)
  for i, name in enumerate(reading.keys['all']):
    for key, value in reading.example('all', name).items():
      x = value if isinstance(value, str) or np.asarray(value).dtype.kind in 'bi' else np.float32(value)
      np.testing.assert_array_equal(columns[key][i], x, err_msg=f'{name} {key}')
  assert columns['partitions'].shape == (24, 5) and set(columns['group']) == {f'dyad{d}' for d in range(1, 7)}
  out = '\n'.join(doctor.examine('msp_improv', tmp_path / 'data', None, False))
  assert '24 examples, 6 groups' in out and 'agreement in dominance' in out and '7 raters' in out


def test_the_other_name_and_no_features(tmp_path):
  source = miniature.msp_improv(tmp_path / 'source', 'Evaluation.txt', ())
  corpus = preparing.prepare('msp_improv', source, tmp_path / 'data')
  assert corpus.meta['modalities'] == {} and len(corpus.columns('all')['id']) == 24
  text = (source / 'Evaluation.txt').read_text()
  plain = text.replace('UTD-', 'MSP-').replace('.avi', '.wav').replace('; N:3.400000', '').replace('\n\n', '\n')
  (source / 'Evaluation.txt').write_text(plain)
  assert preparing.prepare('msp_improv', source, tmp_path / 'again').sha256 == corpus.sha256


def test_an_absent_modality(tmp_path):
  source = miniature.msp_improv(tmp_path / 'source')
  (source / 'features' / 'visual' / f'{FIRST}.npy').unlink()
  e = msp_improv.read(source, missing='absent').example('all', FIRST)
  assert not e['visual_present'] and e['visual'].shape == (1, 3) and not e['visual'].any()
  with pytest.raises(UserError, match='no feature file'):
    msp_improv.read(source)


def test_a_rater_twice(tmp_path):
  path = miniature.msp_improv(tmp_path, modalities=()) / 'Evalution.txt'
  rows = path.read_text().splitlines()
  once = msp_improv.read_evaluation(path)[0][FIRST]
  path.write_text('\n'.join([*rows[:2], rows[1], *rows[2:]]))  # a copy of the first rater's line
  turns, counted = msp_improv.read_evaluation(path)
  assert repr(turns[FIRST]) == repr(once) and counted['repeated'] == 1
  path.write_text('\n'.join([*rows[:2], rows[1].replace('V:2', 'V:4'), *rows[2:]]))
  with pytest.raises(UserError, match="line 3: rater 'A1-x' has another line in turn"):
    msp_improv.read_evaluation(path)
  turns, counted = msp_improv.read_evaluation(path, 'first')
  assert repr(turns[FIRST]) == repr(once) and counted['repeated'] == 1


def test_lines_of_turns_that_say_other_things_are_counted(tmp_path):
  path = miniature.msp_improv(tmp_path, modalities=()) / 'Evalution.txt'
  rows = path.read_text().splitlines()
  assert rows[0] == 'UTD-IMPROV-S01H-F01-T-FM01.avi; A; A:2.000000; V:2.000000; D:4.500000 ; N:3.400000;'
  rows[0] = 'UTD-IMPROV-S01H-F01-T-FM01.avi; X; A:2.009000; V:2.300000; D:NaN ; N:NaN;'
  path.write_text('\n'.join(rows))
  assert msp_improv.read(tmp_path).meta['differ'] == {'class': 1, 'valence': 1, 'arousal': 0, 'dominance': 1}
