import json

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.corpora import msp_podcast
from affectjax.data.store import opening, preparing
from tests.helpers import labelled_miniature as miniature

HAPPY, NONE, OTHER, ANGRY = (row[0][:-4] for row in miniature.CONSENSUS)
FORMS = ('columns', 'old', 'detail', 'json')
NAN = np.nan


@pytest.fixture
def source(tmp_path):
  return miniature.msp_podcast(tmp_path / 'source')


def edit(source, name: str, old: str, new: str) -> None:
  path = source / 'Labels' / f'labels_{name}.csv'
  content = path.read_text()
  assert old in content
  path.write_text(content.replace(old, new, 1))


@pytest.mark.parametrize('form', FORMS)
def test_examples_by_hand(tmp_path, form):
  reading = msp_podcast.read(miniature.msp_podcast(tmp_path, form))
  names = reading.keys['all']
  assert (
    len(names) == 14 and names == sorted(names) and reading.files[0].suffix == f'.{form if form == "json" else "csv"}'
  )
  e = reading.example('all', HAPPY)
  assert (e['id'], e['item'], e['group'], e['gender'], e['official']) == (
    'MSP-PODCAST_0001_0008', 'MSP-PODCAST_0001', 'spk127', 'female', 0)  # fmt: skip
  assert e['votes'].tolist() == [0, 0, 2, 1, 0, 0, 0, 0, 0] and e['votes'].dtype == np.float32
  assert (e['voters'], e['emotion'], e['consensus']) == (3, 2, 2)
  ratings = np.full((1, 7, 3), NAN)
  ratings[0, :3] = np.array([[1, 0, -1], [3, 2, 2], [2, 1, NAN]]) / 3  # valence, arousal, dominance
  np.testing.assert_array_equal(e['ratings'], ratings)
  np.testing.assert_array_equal(e['ratings_mask'], ~np.isnan(ratings))
  np.testing.assert_allclose([e['valence'], e['arousal'], e['dominance']], [2 / 3, 1 / 3, 1 / 6], rtol=1e-6)
  np.testing.assert_array_equal(e['text'], miniature.vectors(HAPPY, 'text')[:1])


@pytest.mark.parametrize('form', FORMS)
def test_strangers_other_and_no_agreement(tmp_path, form):
  reading = msp_podcast.read(miniature.msp_podcast(tmp_path, form))
  none, other, angry = (reading.example('all', name) for name in (NONE, OTHER, ANGRY))
  assert none['votes'].tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 1] and (none['emotion'], none['consensus']) == (-1, -1)
  assert (none['group'], none['gender']) == ('unknown:MSP-PODCAST_0001', 'unknown')
  assert other['votes'].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 2] and (other['emotion'], other['consensus']) == (8, 8)
  assert (other['group'], other['gender'], other['official']) == ('unknown:MSP-PODCAST_0002', 'male', 1)
  assert (angry['item'], angry['official'], angry['voters'], angry['emotion']) == ('MSP-PODCAST_0003', 2, 5, 0)
  assert (angry['valence'], angry['arousal']) == (-1, 1)
  assert reading.meta['shared'] == {} and reading.meta['differ'] == dict.fromkeys(reading.meta['differ'], 0)


def test_rules_are_counted_as_records_say(source):
  reading = msp_podcast.read(source)
  votes = np.array([reading.example('all', name)['votes'] for name in reading.keys['all']])
  consensus = np.array([reading.example('all', name)['consensus'] for name in reading.keys['all']])
  three, inside = (votes[:, :8].sum(1) >= 3).sum(), (votes[:, [7, 2, 0, 1]].sum(1) == votes.sum(1)).sum()
  assert (three, inside) == (12, 1)
  rules = reading.meta['rules']
  assert rules['three'].endswith(': 12 of 14 segments') and rules['inside'].endswith(': 1 of 14 segments')
  assert rules['consensus'].endswith(f': {((consensus >= 0) & (consensus < 8)).sum()} of 14 segments')


def test_prepared_columns_are_what_was_read(tmp_path, source, capsys):
  assert prepare.main(['msp_podcast', f'--source={source}', f'--data_dir={tmp_path / "data"}']) == 0
  assert 'all 14 examples' in capsys.readouterr().out
  corpus = opening.open_corpus('msp_podcast', tmp_path / 'data')
  assert corpus.meta['modalities'] == {'audio': 5, 'text': 4} and corpus.meta['official'][2] == 'Test1'
  assert corpus.meta['rate_hz'] == {'audio': None, 'text': None} and len(corpus.meta['raters']) == 7
  columns, reading = corpus.columns('all'), msp_podcast.read(source)
  for i, name in enumerate(reading.keys['all']):
    for key, x in reading.example('all', name).items():
      x = x if isinstance(x, str) or np.asarray(x).dtype.kind in 'bi' else np.float32(x)
      np.testing.assert_array_equal(columns[key][i], x, err_msg=f'{name} {key}')
  assert set(columns) == {
    'id', 'item', 'group', 'audio', 'audio_mask', 'audio_present', 'text', 'text_mask', 'text_present', 'gender',
    'official', 'votes', 'voters', 'emotion', 'consensus', 'ratings', 'ratings_mask', 'valence', 'arousal', 'dominance',
  }  # fmt: skip
  assert columns['votes'].shape == (14, 9) and columns['official'].dtype == np.int8
  assert sorted(set(columns['official'].tolist())) == [0, 1, 2, 3, 4]


def test_all_forms_are_one_corpus(tmp_path):
  shas = {
    preparing.prepare('msp_podcast', miniature.msp_podcast(tmp_path / form, form), tmp_path / f'data_{form}').sha256
    for form in FORMS
  }
  assert len(shas) == 1


def test_csv_and_json_side_by_side(tmp_path, source):
  other = miniature.msp_podcast(tmp_path / 'json', 'json', ()) / 'Labels'
  for name in ('labels_consensus.json', 'labels_detailed.json'):
    (source / 'Labels' / name).write_text((other / name).read_text())
  assert {p.suffix for p in msp_podcast.read(source, modalities='none').files} == {'.csv'}
  assert {p.suffix for p in msp_podcast.read(source, modalities='none', labels='json').files} == {'.json'}
  with pytest.raises(UserError, match='no labels_consensus.csv; expected it'):
    msp_podcast.read(other.parent, labels='csv')


def test_null_and_numbers_in_json(tmp_path):
  source = miniature.msp_podcast(tmp_path, 'json', ())
  path = source / 'Labels' / 'labels_detailed.json'
  content = json.loads(path.read_text())
  first = content[f'{HAPPY}.wav']['WORKER00000001']
  first |= {'EmoAct': 4, 'EmoVal': 5.0, 'EmoDom': None}
  path.write_text(json.dumps(content))
  np.testing.assert_array_equal(msp_podcast.read(source).example('all', HAPPY)['ratings'][0, 0], [1 / 3, 0, NAN])


def test_an_old_name_of_a_partition(source):
  edit(source, 'consensus', 'Male,Development', 'Male,Validation')
  assert msp_podcast.read(source).example('all', OTHER)['official'] == 1


def test_a_worker_twice_strange_classes_and_no_workers(source):
  edit(source, 'detailed', 'WORKER00000002,Happy', 'WORKER00000001,Sad')
  edit(source, 'detailed', ',Surprise,', ',Amused,')
  for worker in miniature.WORKERS[f'{ANGRY}.wav']:
    edit(source, 'detailed', f'{ANGRY}.wav,{worker[0]}', f'{HAPPY}.wav,{worker[0]}')
  reading = msp_podcast.read(source, repeated='first', strange='other', unrated='keep', consensus='count')
  assert [reading.meta[what] for what in ('repeated', 'strange', 'unrated')] == [1, 1, 1]
  e, none = reading.example('all', HAPPY), reading.example('all', ANGRY)
  assert e['votes'].tolist() == [5, 0, 1, 0, 0, 0, 0, 0, 1] and e['voters'] == 7
  assert (none['voters'], none['emotion'], none['consensus']) == (0, -1, 0) and np.isnan(none['valence'])


def test_what_the_release_says_is_compared(source):
  edit(source, 'consensus', f'{HAPPY}.wav,H,5.0,6.0', f'{HAPPY}.wav,A,5.009,6.5')
  with pytest.raises(UserError, match=rf"segment '{HAPPY}' is A, .* say happy 2, surprised 1 \(1 such segments\)"):
    msp_podcast.read(source)
  reading = msp_podcast.read(source, consensus='count')
  assert reading.meta['differ'] == {'class': 1, 'valence': 1, 'arousal': 0, 'dominance': 0}


def test_no_agreement_in_spite_of_a_plurality_is_counted(source):
  edit(source, 'consensus', f'{OTHER}.wav,O', f'{OTHER}.wav,X')
  assert msp_podcast.read(source).meta['differ']['class'] == 1


def test_speakers_that_partitions_share(source):
  edit(source, 'consensus', ',9,Male,Test1', ',127,Male,Test1')
  with pytest.raises(UserError, match='1 speaker in both Train and Test1: 127; .*leaks=count'):
    msp_podcast.read(source)
  reading = msp_podcast.read(source, leaks='count')
  assert reading.meta['shared'] == {'Train and Test1': 1}
  edit(source, 'consensus', ',127,Male,Test1', ',201,Male,Test1')  # of Development, not refused
  assert msp_podcast.read(source).meta['shared'] == {'Development and Test1': 1}
