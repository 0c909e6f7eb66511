import csv

import numpy as np
import pytest

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpora import _clips, crema_d
from affectjax.data.store import opening, preparing, records
from affectjax.labels import raters
from tests.helpers import clips_miniature as miniature
from tests.helpers.shared import pack

REAL = 'cremad_votes'
ORDER = [miniature.LETTERS.index(letter) for letter in crema_d.LETTERS]  # of the tables -> of EMOTIONS
CLASSES = (885, 387, 870, 856, 1632, 1190)  # of the consensus set; experiments/vavl.md, 1
PARTITIONS = {  # (partition, side) -> clips, actors, clips per class; experiments/published/vavl_partitions.csv
  (1, 0): (4043, 63, (605, 284, 595, 582, 1159, 818)),
  (1, 1): (878, 14, (130, 39, 149, 144, 230, 186)),
  (1, 2): (899, 14, (150, 64, 126, 130, 243, 186)),
  (3, 2): (934, 14, (143, 75, 140, 137, 264, 175)),
  (5, 0): (4068, 63, (631, 277, 600, 620, 1101, 839)),
  (5, 1): (844, 14, (115, 56, 121, 106, 282, 164)),
  (5, 2): (908, 14, (139, 54, 149, 130, 249, 187)),
}


@pytest.fixture(scope='module')
def real(tmp_path_factory):
  """(corpus, its columns, where it was prepared)."""
  data = tmp_path_factory.mktemp('real')
  corpus = preparing.prepare('crema_d', pack(REAL), data)
  return corpus, corpus.columns('all'), data


def test_majority_by_hand():
  nan = np.nan
  assert crema_d.majority(np.array([4, 4, 0, 1, 0, 0]), np.array([60, 40, nan, 10, nan, nan])) == 1
  assert crema_d.majority(np.array([5, 4, 0, 1, 0, 0]), np.array([60, 40, nan, 10, nan, nan])) == 0
  assert crema_d.majority(np.array([0, 2, 0, 2, 0, 2]), np.array([nan, 9, nan, 7, nan, 8])) == 3


def test_example_by_hand(tmp_path):
  reading = crema_d.read(miniature.crema_d(tmp_path))
  assert reading.keys['all'] == sorted(miniature.NAMES)
  e = reading.example('all', miniature.TIED)
  assert (e['id'], e['group'], e['item']) == (miniature.TIED, '1001', miniature.TIED)
  assert (e['sentence'], e['level'], e['gender'], e['age']) == ('DFA', 'XX', 'male', 51)
  assert e['votes'].tolist() == [4, 4, 0, 0, 1, 0] and e['votes'].dtype == np.float32
  assert e['emotion'] == -1 and e['consensus'] == 1 and e['intended'] == 1  # sad on the lower level
  counts, _ = miniature.crema_votes()[miniature.TIED]
  np.testing.assert_array_equal(e['votes_audio'], counts[0, ORDER])
  np.testing.assert_array_equal(e['votes_visual'], counts[1, ORDER])
  assert e['partitions'].tolist() == [2, 0, 0, 0, 1] and e['partitions'].dtype == np.int8
  for modality in ('audio', 'visual'):
    np.testing.assert_array_equal(e[modality], miniature.clip(miniature.TIED, modality))
  other = reading.example('all', miniature.OUTSIDE[0])
  assert other['partitions'].tolist() == [-1] * 5 and other['consensus'] == -1
  assert other['level'] == 'XX' and reading.example('all', '1006_IEO_ANG_HI')['level'] == 'HI'


def test_both_layouts_and_every_kind_of_file_are_the_same_corpus(tmp_path):
  a = preparing.prepare('crema_d', miniature.crema_d(tmp_path / 'clone'), tmp_path / 'a')
  for i, (layout, kind) in enumerate([('pack', 'npy'), ('clone', 'npz'), ('pack', 'csv')]):
    source = miniature.crema_d(tmp_path / f's{i}', layout, kind=kind)
    b = preparing.prepare('crema_d', source, tmp_path / f'b{i}')
    assert b.sha256 == a.sha256 and b.meta == a.meta


def test_prepared_columns_are_what_was_read(tmp_path):
  source = miniature.crema_d(tmp_path / 'source')
  corpus = preparing.prepare('crema_d', source, tmp_path / 'data')
  assert corpus.counts == {'all': 30} and corpus.meta['modalities'] == {'audio': 5, 'visual': 3}
  assert corpus.meta['rate_hz'] == {'audio': 50.0, 'visual': 30.0} and corpus.meta['attributes'] == []
  assert corpus.meta['emotions'] == ['anger', 'sad', 'disgust', 'fear', 'neutral', 'happy']
  columns, reading = corpus.columns('all'), crema_d.read(source)
  for i, name in enumerate(reading.keys['all']):
    for key, value in reading.example('all', name).items():
      np.testing.assert_array_equal(columns[key][i], value, err_msg=f'{name} {key}')
  assert columns['votes_audio'].shape == (30, 6) and columns['partitions'].dtype == np.int8
  assert columns['audio_present'].all() and columns['visual_mask'].values.all()
  np.testing.assert_array_equal(columns['emotion'], raters.plurality(columns['votes']))
  lines = '\n'.join(doctor.examine('crema_d', tmp_path / 'data', None, False))
  assert 'audio [T, 5] at 50 Hz' in lines and '30 examples, 6 groups' in lines and 'no group in two' in lines


def test_without_partitions_the_consensus_is_more_than_half(tmp_path):
  source = miniature.crema_d(tmp_path / 'source', folds=False, modalities=())
  reading = crema_d.read(source)
  assert 'more than half' in reading.meta['labels']
  agreed = 0
  for name in reading.keys['all']:
    e, counts = reading.example('all', name), miniature.crema_votes()[name][0][2, ORDER]
    clear = counts.max() > counts.sum() / 2
    assert e['consensus'] == (counts.argmax() if clear else -1) and e['partitions'].tolist() == [-1] * 5
    agreed += clear
  assert 0 < agreed < 30
  listed = miniature.crema_d(tmp_path / 'listed', modalities=())
  assert crema_d.read(listed, folds='none').meta == reading.meta
  elsewhere = crema_d.read(source, folds=str(listed / 'vavl_folds.csv'))
  assert elsewhere.meta == crema_d.read(listed).meta and listed / 'vavl_folds.csv' in elsewhere.files


def test_one_modality_or_none(tmp_path):
  source = miniature.crema_d(tmp_path / 'source')
  only = preparing.prepare('crema_d', source, tmp_path / 'a', options={'modalities': 'visual', 'visual_hz': '25'})
  assert only.meta['modalities'] == {'visual': 3} and only.meta['rate_hz'] == {'visual': 25.0}
  assert not [key for key in only.columns('all') if key.startswith('audio')]
  none = preparing.prepare('crema_d', source, tmp_path / 'b', options={'modalities': 'none'})
  bare = preparing.prepare('crema_d', miniature.crema_d(tmp_path / 'bare', modalities=()), tmp_path / 'c')
  assert none.meta['modalities'] == {} == none.meta['rate_hz'] and none.sha256 == bare.sha256
  opened = opening.open_corpus('crema_d', tmp_path / 'c').columns('all')
  np.testing.assert_array_equal(opened['votes'], only.columns('all')['votes'])
  assert len(records.RecordSource(opening.folder('crema_d', tmp_path / 'c'), 'all').gather([3, 1])['votes']) == 2
  for where in 'abc':
    assert 'votes: anger' in '\n'.join(doctor.examine('crema_d', tmp_path / where, None, False))


def test_a_missing_file_is_an_error_or_an_absent_modality(tmp_path):
  source = miniature.crema_d(tmp_path / 'source')
  first, gone = sorted(miniature.NAMES)[:2]
  (source / 'features' / 'audio' / f'{first}.npy').unlink()
  (source / 'features' / 'visual' / f'{gone}.npy').unlink()
  with pytest.raises(UserError, match=f'no feature file for {first!r}'):
    crema_d.read(source)
  corpus = preparing.prepare('crema_d', source, tmp_path / 'data', options={'missing': 'absent'})
  columns = corpus.columns('all')
  assert columns['audio_present'].tolist() == [False] + [True] * 29
  assert columns['visual_present'].tolist() == [True, False] + [True] * 28
  assert columns['audio'][0].tolist() == [[0] * 5] and columns['audio_mask'][0].tolist() == [False]
  np.testing.assert_array_equal(columns['visual'][0], miniature.clip(first, 'visual'))
  assert 'present in 96.7%' in '\n'.join(doctor.examine('crema_d', tmp_path / 'data', None, False))


def test_features_belong_to_clips_by_name(tmp_path):
  miniature.features(tmp_path, ['b', 'a'], 'audio')
  options = dict(modalities=None, missing='absent', rates={'audio': 50, 'visual': 30})
  clips = _clips.find(tmp_path, ['a', 'b'], **options)
  np.testing.assert_array_equal(clips.read('b')['audio'], miniature.clip('b', 'audio'))
  assert clips.widths == {'audio': 5} and len(clips.files) == 2
  with pytest.raises(UserError, match="clip 'c' has no file in audio"):
    _clips.find(tmp_path, ['a', 'b', 'c'], **options)


# The pack


@pytest.mark.slow
def test_real_classes_and_actors(real):
  corpus, columns, _ = real
  assert corpus.counts == {'all': 7442} and corpus.meta['modalities'] == {}
  assert columns['id'].tolist() == sorted(columns['id'])
  inside = columns['consensus'] >= 0
  assert inside.sum() == 5820
  assert tuple(np.bincount(columns['consensus'][inside])) == CLASSES
  actors = dict(zip(columns['group'], columns['gender'], strict=True))
  assert len(actors) == 91 and list(actors.values()).count('male') == 48
  assert (columns['age'].min(), columns['age'].max()) == (20, 74)
  assert np.bincount(columns['intended']).tolist() == [1271, 1271, 1271, 1271, 1087, 1271]
  ties = inside & (columns['emotion'] < 0)
  assert ties.sum() == 6 and (columns['emotion'][inside & ~ties] == columns['consensus'][inside & ~ties]).all()
  assert ((columns['partitions'] >= 0).all(1) == inside).all() and ((columns['partitions'] < 0).any(1) == ~inside).all()


def test_real_partitions_are_the_published_ones(real):
  _, columns, _ = real
  for (partition, side), (clips, actors, classes) in PARTITIONS.items():
    rows = columns['partitions'][:, partition - 1] == side
    assert rows.sum() == clips and len(set(columns['group'][rows])) == actors
    assert tuple(np.bincount(columns['consensus'][rows])) == classes
  for partition in columns['partitions'].T:
    folds.refuse_leak({side: columns['group'][partition == side] for side in range(3)})


def test_real_votes_are_those_of_the_pack(real):
  """votes_long.csv, made from the same table by other hands, is read here only."""
  _, columns, _ = real
  row = {name: i for i, name in enumerate(columns['id'])}
  keys, seen = {'audio': 'votes_audio', 'video': 'votes_visual', 'audiovisual': 'votes'}, set()
  with open(pack(REAL) / 'votes_long.csv', newline='') as f:
    for line in csv.DictReader(f):
      i = row[line['clip']]
      assert columns[keys[line['modality']]][i].tolist() == [int(line[f'n_{e}']) for e in crema_d.EMOTIONS]
      assert (columns['group'][i], columns['sentence'][i]) == (line['actor'], line['sentence'])
      assert columns['level'][i] == line['acted_level']
      assert crema_d.CODES[columns['intended'][i]] == line['acted_emotion']
      seen.add((i, line['modality']))
  assert len(seen) == 22326


@pytest.mark.slow
def test_real_clips_without_partitions():
  reading = crema_d.read(pack(REAL), folds='none')
  chosen = 0
  for name in reading.keys['all']:
    e = reading.example('all', name)
    assert e['consensus'] in (-1, e['emotion']) and (e['partitions'] == -1).all()
    chosen += e['consensus'] >= 0
  assert chosen == 5913


PLACES = {'tabulatedVotes': 'processedResults', 'summaryTable': 'processedResults', 'SentenceFilenames': '.',
          'VideoDemographics': '.', 'vavl_folds': '.'}  # fmt: skip


def test_miniatures_have_the_headers_of_the_real_pack(tmp_path):
  source, small = pack(REAL), miniature.crema_d(tmp_path, modalities=())
  for name, place in PLACES.items():
    with open(source / f'{name}.csv') as real_file, open(small / place / f'{name}.csv') as file:
      assert file.readline().rstrip('\r\n') == real_file.readline().rstrip('\r\n')


@pytest.mark.slow
def test_real_clone_is_the_real_pack(tmp_path, real):
  """The originals of the pack, where a clone has them."""
  source, clone = pack(REAL), tmp_path / 'clone'
  for name, place in PLACES.items():
    (clone / place).mkdir(parents=True, exist_ok=True)
    (clone / place / f'{name}.csv').write_text((source / f'{name}.csv').read_text())
  assert preparing.prepare('crema_d', clone, tmp_path / 'data').sha256 == real[0].sha256


@pytest.mark.slow
def test_real_corpus_seen_by_the_doctor(real, capsys):
  corpus, _, data = real
  assert doctor.main(['crema_d', f'--data_dir={data}']) == 0
  out = capsys.readouterr().out
  assert corpus.sha256[:16] in out and '7442 examples, 91 groups' in out and 'age: 20 to 74' in out
