import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.corpora import iemocap
from affectjax.data.store import opening, preparing
from tests.helpers import labelled_miniature as miniature

F0, F1, F2, F3, M0 = miniature.HAND_TURNS
NAN = np.nan


@pytest.fixture
def source(tmp_path):
  return miniature.iemocap(tmp_path / 'source')


def edit(source, old: str, new: str) -> None:
  path = source / miniature.FIRST
  content = path.read_text()
  assert old in content
  path.write_text(content.replace(old, new, 1))


def test_examples_by_hand(source):
  reading = iemocap.read(source)
  assert reading.keys['all'] == miniature.iemocap_turns() and len(reading.keys['all']) == 35
  e = reading.example('all', F0)
  assert (e['id'], e['item'], e['group'], e['session'], e['gender'], e['kind']) == (
    F0, 'Ses01F_impro01', 'Ses01_F', 1, 'female', 'improvised')  # fmt: skip
  assert e['votes'].tolist() == [3, 0, 1, 0, 0, 0, 0, 0, 0, 0] and e['votes'].dtype == np.float32
  assert (e['voters'], e['emotion'], e['consensus']) == (3, 0, 0)
  np.testing.assert_array_equal(e['ratings'], [[[0, -0.5, -0.5], [-0.5, 0.5, NAN]]])
  np.testing.assert_array_equal(e['ratings_mask'], ~np.isnan(e['ratings']))
  assert (e['valence'], e['arousal'], e['dominance']) == (-0.25, 0, -0.5)
  np.testing.assert_array_equal(e['audio'], miniature.vectors(F0, 'audio')[:1])
  np.testing.assert_array_equal(e['text'], miniature.vectors(F0, 'text')[:1])


def test_several_classes_a_tie_and_who_speaks(source):
  reading = iemocap.read(source)
  several, tie, man = (reading.example('all', t) for t in (F1, F2, M0))
  assert several['votes'].tolist() == [0, 1, 0, 0, 3, 0, 0, 0, 0, 0] and several['voters'] == 3
  assert (several['emotion'], several['consensus']) == (4, 4)
  assert tie['votes'].tolist() == [1, 1, 0, 1, 0, 1, 0, 0, 0, 0] and tie['voters'] == 3  # E1 named none
  assert (tie['emotion'], tie['consensus']) == (-1, -1) and reading.meta['blank'] == 1
  np.testing.assert_array_equal(tie['ratings'], [[[NAN] * 3, [0, -1, 0.5]]])
  assert (man['group'], man['gender'], man['emotion']) == ('Ses01_M', 'male', 5)
  assert not man['ratings_mask'].any() and np.isnan(man['valence'])
  script = reading.example('all', 'Ses05M_script01_1b_F000')
  assert (script['kind'], script['item'], script['group']) == ('scripted', 'Ses05M_script01_1b', 'Ses05_F')
  speakers = {reading.example('all', name)['group'] for name in reading.keys['all']}
  assert speakers == {f'Ses0{s}_{g}' for s in range(1, 6) for g in 'FM'}


def test_the_first_class_only(source):
  reading = iemocap.read(source, multiple='first')
  several, tie, first = (reading.example('all', t) for t in (F1, F2, F0))
  assert several['votes'].tolist() == [0, 1, 0, 0, 2, 0, 0, 0, 0, 0]
  assert tie['votes'].tolist() == [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
  assert first['votes'].tolist() == [2, 0, 1, 0, 0, 0, 0, 0, 0, 0] and first['voters'] == 3
  assert reading.meta['differ'] == iemocap.read(source).meta['differ'], 'the release is compared with all classes'


def test_rules_are_counted_as_records_say(source):
  reading = iemocap.read(source)
  turns = [reading.example('all', name) for name in reading.keys['all']]
  merged = [0, 1, 2, 3, 1, None, None, None, None, None]
  inside = plain = majority = agreed = 0
  for e in turns:
    votes = [sum(v for v, m in zip(e['votes'], merged, strict=True) if m == k) for k in range(4)]
    inside += sum(votes) == e['votes'].sum()
    plain += sum(votes) == e['votes'].sum() and e['votes'][4] == 0
    majority += max(votes) > e['voters'] / 2
    agreed += 0 <= e['consensus'] <= 4
  assert 0 < plain < inside < len(turns) and 0 < majority < len(turns)
  rules = reading.meta['rules']
  for name, n in (('inside', inside), ('inside_plain', plain), ('majority', majority), ('consensus', agreed)):
    assert f': {n} of 35 turns' in rules[name], name
  assert '4370' in rules['inside'] and '5531' in rules['consensus']
  hand = iemocap.read(source, sessions='1').meta['rules']
  assert ': 9 of 11 turns' in hand['inside'], 'F002 and M000 have frustration'


def test_prepared_columns_are_what_was_read(tmp_path, source, capsys):
  assert prepare.main(['iemocap', f'--source={source}', f'--data_dir={tmp_path / "data"}']) == 0
  assert 'all 35 examples' in capsys.readouterr().out
  corpus = opening.open_corpus('iemocap', tmp_path / 'data')
  assert corpus.counts == {'all': 35} and corpus.meta['modalities'] == {'audio': 5, 'text': 4}
  assert corpus.meta['rate_hz'] == {'audio': None, 'text': None} and corpus.meta['raters'] == ['seat 1', 'seat 2']
  assert corpus.meta['differ'] == {'class': 0, 'valence': 0, 'arousal': 0, 'dominance': 0}
  columns, reading = corpus.columns('all'), iemocap.read(source)
  for i, name in enumerate(reading.keys['all']):
    for key, x in reading.example('all', name).items():
      x = x if isinstance(x, str) or np.asarray(x).dtype.kind in 'bi' else np.float32(x)
      np.testing.assert_array_equal(columns[key][i], x, err_msg=f'{name} {key}')
  assert set(columns) == {
    'id', 'item', 'group', 'audio', 'audio_mask', 'audio_present', 'text', 'text_mask', 'text_present', 'session',
    'gender', 'kind', 'votes', 'voters', 'emotion', 'consensus', 'ratings', 'ratings_mask', 'valence', 'arousal',
    'dominance',
  }  # fmt: skip
  assert columns['votes'].shape == (35, 10) and columns['session'].dtype == columns['consensus'].dtype == np.int32


def test_the_release_below_and_frames_and_no_features(tmp_path, source):
  below = miniature.iemocap(tmp_path / 'below', root='IEMOCAP_full_release', pooled=False)
  frames = iemocap.read(below, audio_hz='50')
  np.testing.assert_array_equal(frames.example('all', F0)['audio'], miniature.vectors(F0, 'audio'))
  assert frames.meta['rate_hz'] == {'audio': 50, 'text': None}
  bare = preparing.prepare('iemocap', miniature.iemocap(tmp_path / 'bare', ()), tmp_path / 'a')
  none = preparing.prepare('iemocap', source, tmp_path / 'b', options={'modalities': 'none'})
  assert bare.meta['modalities'] == {} and bare.sha256 == none.sha256
  text = iemocap.read(source, modalities='text')
  assert text.meta['modalities'] == {'text': 4} and 'audio' not in text.example('all', F0)


def test_an_absent_modality(source):
  (source / 'features' / 'text' / f'{F0}.npy').unlink()
  e = iemocap.read(source, missing='absent').example('all', F0)
  assert not e['text_present'] and e['text'].shape == (1, 4) and not e['text'].any()


def test_some_sessions(source):
  reading = iemocap.read(source, sessions='3,1')
  assert {name[:5] for name in reading.keys['all']} == {'Ses01', 'Ses03'} and reading.meta['sessions'] == [1, 3]
  assert {path.stem[:5] for path in reading.files} == {'Ses01', 'Ses03'}, 'features of other sessions are passed over'


def test_a_rater_twice_values_outside_and_no_votes(source):
  edit(source, 'C-E3:\tExcited;', 'C-E2:\tAnger;')
  edit(source, 'A-E3:\tval 5; act 5; dom  5;', 'A-E3:\tval 6; act 5; dom  0;')
  edit(source, 'C-E2:\tHappiness;\t()\nC-E3:\tHappiness;\t()\nC-E4:\tHappiness;\t()\nA-E3:\tval 4', 'A-E3:\tval 4')
  reading = iemocap.read(source, repeated='first', outside='mask', unrated='keep')
  assert [reading.meta[what] for what in ('repeated', 'outside', 'unrated')] == [1, 2, 1]
  e, none = reading.example('all', F1), reading.example('all', F3)
  assert e['votes'].tolist() == [0, 1, 0, 0, 2, 0, 0, 0, 0, 0] and e['voters'] == 2
  np.testing.assert_array_equal(e['ratings'][0, 0], [NAN, 1, NAN])
  assert (none['voters'], none['emotion'], none['consensus']) == (0, -1, 1) and not none['votes'].any()
  assert ': 8 of 11' in iemocap.read(
    source, sessions='1', repeated='first', outside='mask', unrated='keep').meta['rules']['inside']  # fmt: skip


def test_what_the_release_says_is_compared(source):
  edit(source, 'F000\tneu\t[2.5000, 3.0000, 2.0000]', 'F000\tang\t[2.5090, 3.2000, 2.0000]')
  with pytest.raises(UserError, match=r"line 3: turn 'Ses01F_impro01_F000' is ang, .* say Neutral \(1 such turns\)"):
    iemocap.read(source)
  reading = iemocap.read(source, consensus='count')
  assert reading.meta['differ'] == {'class': 1, 'valence': 0, 'arousal': 1, 'dominance': 0}
  assert reading.example('all', F0)['consensus'] == 2 and reading.example('all', F0)['emotion'] == 0


def test_a_tie_that_the_release_decided_is_counted(source):
  edit(source, 'F002\txxx', 'F002\tsad')
  assert iemocap.read(source).meta['differ']['class'] == 1
