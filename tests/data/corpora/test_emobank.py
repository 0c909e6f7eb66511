import builtins
import csv
import shutil

import numpy as np
import pytest

from affectjax import doctor, prepare
from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpora import emobank
from affectjax.data.store import opening, preparing
from tests.helpers.emobank_miniature import DROPPED, FILES, SENTENCES, write
from tests.helpers.shared import pack

REAL = 'emobank'


def test_a_sentence_by_hand(tmp_path):
  reading = emobank.read(write(tmp_path), width=32, chars_width='64', ones='keep')
  assert reading.keys == {'all': ['blog_1_4', 'blog_5_9', 'news_1', 'tale_7_8']}
  e = reading.example('all', 'blog_5_9')
  assert (e['group'], e['item'], e['category'], e['official']) == ('blog', 'blog', 'blog', 0)
  # (3 4 - 3 4)(without the rating of 1, 1, 1), (3 5 - 4 3), (3 3 - 3 3)
  assert [float(e[a]) for a in emobank.ATTRIBUTES] == [0.25, 0.375, 0.0]
  ratings = [[0, 0, 0], [0.5, 1, 0], [-1, -1, -1], [0, 0.5, 0], [0.5, 0, 0], [np.nan] * 3]
  np.testing.assert_array_equal(e['ratings'], [ratings])
  np.testing.assert_array_equal(e['ratings_mask'], ~np.isnan([ratings]))
  assert e['votes_valence_reader'].tolist() == [1, 0, 1, 1, 0] and e['votes_arousal_reader'].tolist() == [1, 0, 1, 0, 1]
  assert e['votes_dominance_writer'].tolist() == [0, 0, 2, 0, 0] and e['votes_arousal_writer'].dtype == np.float32
  assert e['text'].shape == (1, 32) and e['chars'].shape == (1, 64)
  for m in ('text', 'chars'):
    assert np.linalg.norm(e[m]) == pytest.approx(1, abs=1e-6)
  empty = reading.example('all', 'tale_7_8')
  assert not empty['text'].any() and empty['chars'].any()
  meta = reading.meta
  assert meta['raters'] == ['reader 1', 'reader 2', 'reader 3', 'writer 1', 'writer 2', 'writer 3']
  assert meta['conditions'] == ['reader'] * 3 + ['writer'] * 3
  assert meta['emotions'] == [] and meta['vote_classes']['votes_valence_writer'] == ['1', '2', '3', '4', '5']
  assert set(meta['fixed']) == {k for k in e if k.startswith('votes_')} and len(meta['fixed']) == 6
  assert meta['dropped'] == {'not in emobank.csv': 1}
  assert meta['rules'] == {'ones': '2 sentences have ratings of 1, 1, 1, which the means leave out'}


def test_features_are_those_of_scikit_learn(tmp_path):
  from sklearn.feature_extraction.text import HashingVectorizer

  e = emobank.read(write(tmp_path)).example('all', 'blog_1_4')
  word = HashingVectorizer(n_features=1024, ngram_range=(1, 2), token_pattern=r'(?u)\b\w+\b')
  chars = HashingVectorizer(n_features=1024, analyzer='char_wb', ngram_range=(2, 4))
  for key, made in (('text', word), ('chars', chars)):
    np.testing.assert_array_equal(e[key], made.transform(['What do I mean?']).toarray().astype(np.float32))
  # what do i mean, what_do do_i i_mean: 7 with weights of one size, unless two meet in one place
  assert (e['text'] != 0).sum() == 7


def test_ones_can_be_dropped(tmp_path):
  whole, less = (emobank.read(write(tmp_path / ones), ones=ones) for ones in ('keep', 'drop'))
  assert [r.meta['conditions'].count('reader') for r in (whole, less)] == [3, 2]
  by_default = emobank.read(write(tmp_path / 'default')).example('all', 'blog_1_4')
  np.testing.assert_array_equal(by_default['ratings'], less.example('all', 'blog_1_4')['ratings'])
  e = less.example('all', 'blog_1_4')
  assert e['votes_valence_writer'].tolist() == [0, 1, 1, 0, 0] and e['ratings_mask'].sum() == 4 * 3
  for name in SENTENCES:
    a, b = whole.example('all', name), less.example('all', name)
    assert a['valence'] == b['valence'] and a['ratings_mask'].sum() - b['ratings_mask'].sum() == 3 * len(
      DROPPED[name][:1]
    )
    assert float(np.nanmean(b['ratings'][..., 0])) == pytest.approx(float(b['valence']), abs=0.006)


def test_sentences_that_lack_something_are_counted(tmp_path):
  source = write(tmp_path, 'pack')
  for name, rows in (('individual_writer_ratings.csv', 'tale_7_8'), ('individual_reader_ratings.csv', 'news_1')):
    path = source / name
    path.write_text(''.join(l for l in path.read_text().splitlines(True) if not l.startswith(f'{rows},')))
  path = source / 'emobank.csv'
  path.write_text(path.read_text().replace('What do I mean?', ' '))
  with pytest.raises(UserError, match=r"no text for id 'blog_1_4' .*--option=missing=drop"):
    emobank.read(source)
  reading = emobank.read(source, missing='drop')
  assert reading.keys['all'] == ['blog_5_9']
  assert reading.meta['dropped'] == {'not in emobank.csv': 1, 'text': 1, 'reader': 1, 'writer': 1}


def test_both_layouts_prepared_are_the_same_corpus(tmp_path, capsys):
  out = []
  for layout in ('clone', 'pack'):
    source = write(tmp_path / layout, layout)
    args = ['emobank', f'--source={source}', f'--data_dir={tmp_path / "data" / layout}', '--option=width=64']
    assert prepare.main(args) == 0
    out.append(opening.open_corpus('emobank', tmp_path / 'data' / layout))
  assert out[0].sha256 == out[1].sha256 and out[0].meta == out[1].meta and out[0].counts == {'all': 4}
  columns = out[0].columns('all')
  assert columns['text'].values.shape == (4, 64) and columns['votes_valence_reader'].shape == (4, 5)
  assert columns['official'].tolist() == [1, 0, 2, 0]
  capsys.readouterr()
  assert doctor.main(['emobank', f'--data_dir={tmp_path / "data" / "pack"}']) == 0
  assert '4 examples, 3 groups, 3 items' in capsys.readouterr().out


def test_without_scikit_learn_one_line(tmp_path, monkeypatch):
  real = builtins.__import__

  def lacking(name, *args, **kwargs):
    if name.split('.')[0] == 'sklearn':
      raise ImportError('No module named sklearn')
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, '__import__', lacking)
  with pytest.raises(UserError, match=r'scikit-learn \(No module named sklearn\): pip install affectjax\[report\]'):
    emobank.read(write(tmp_path))


# The real corpus


@pytest.fixture(scope='module')
def real(tmp_path_factory):
  source, data = pack(REAL), tmp_path_factory.mktemp('emobank')
  corpus = preparing.prepare('emobank', source, data, options={'ones': 'keep'})
  return corpus, corpus.columns('all'), data


@pytest.mark.slow
def test_real_counts_and_labels(real):
  corpus, columns, _ = real
  assert corpus.counts == {'all': 10062} and columns['id'].tolist() == sorted(columns['id'])
  assert len(set(columns['group'])) == 136 and (columns['group'] == columns['item']).all()
  assert np.bincount(columns['official']).tolist() == [8062, 1000, 1000]
  assert corpus.meta['dropped'] == {'not in emobank.csv': 486}
  assert [corpus.meta['conditions'].count(p) for p in emobank.PERSPECTIVES] == [7, 6]
  assert corpus.meta['rules']['ones'].startswith(f'{10062 - 6420} sentences')
  assert (~columns['text'].values.any(1)).sum() == 7 and columns['chars'].values.any(1).all()
  for a, mean in zip(emobank.ATTRIBUTES, (2.97669, 3.04178, 3.06276), strict=True):
    assert 2 * columns[a].astype(float).mean() + 3 == pytest.approx(mean, abs=1e-5)


@pytest.mark.slow
def test_real_spread_is_that_of_the_description(real):
  """Mean standard deviation within a sentence, over all rated sentences: its README; here those with text."""
  _, columns, _ = real
  ratings = 2 * columns['ratings'].values.astype(float)  # [N, 13, 3], in steps
  for seats, spreads in ((slice(0, 7), (0.53, 0.62, 0.55)), (slice(7, 13), (0.48, 0.60, 0.53))):
    np.testing.assert_allclose(np.nanstd(ratings[:, seats], 1, ddof=1).mean(0), spreads, atol=0.015)


@pytest.mark.slow
def test_real_votes_are_the_ratings(real):
  """Read here by other hands."""
  corpus, columns, _ = real
  row = {name: i for i, name in enumerate(columns['id'])}
  votes = {key: np.zeros((len(row), 5)) for key in corpus.meta['fixed']}
  for p in emobank.PERSPECTIVES:
    with open(pack(REAL) / f'individual_{p}_ratings.csv', newline='') as f:
      for line in csv.DictReader(f):
        if line['id'] in row:
          for a, letter in zip(emobank.ATTRIBUTES, 'VAD', strict=True):
            votes[f'votes_{a}_{p}'][row[line['id']], int(line[letter]) - 1] += 1
  ratings = columns['ratings'].values.astype(float)
  for key, counted in votes.items():
    np.testing.assert_array_equal(columns[key], counted)
    a, p = emobank.ATTRIBUTES.index(key.split('_')[1]), key.split('_')[2]
    seats = np.array(corpus.meta['conditions']) == p
    np.testing.assert_allclose(counted @ np.arange(5), np.nansum(2 * ratings[:, seats, a] + 2, 1), atol=1e-5)
    assert set(counted.sum(1)) <= {5, 6, 7}


@pytest.mark.slow
def test_real_documents_stay_on_one_side(real):
  _, columns, _ = real
  for fold in range(5):
    split = folds.split(columns['group'], 5, fold, 0)
    folds.refuse_leak({name: columns['group'][rows] for name, rows in split.items()})
  with pytest.raises(UserError, match='groups in both'):  # what the official partition does
    folds.refuse_leak({name: columns['group'][columns['official'] == name] for name in range(3)})


def test_miniature_has_the_headers_of_the_real_files(tmp_path):
  source, small = pack(REAL), write(tmp_path, 'pack')
  for name in FILES:
    with open(source / name, encoding='utf-8') as a, open(small / name, encoding='utf-8') as b:
      assert a.readline() == b.readline()


@pytest.mark.slow
def test_real_clone_is_the_real_pack(tmp_path, real):
  (tmp_path / 'clone' / 'corpus').mkdir(parents=True)
  for name in FILES:
    shutil.copy(pack(REAL) / name, tmp_path / 'clone' / 'corpus')
  assert (
    preparing.prepare('emobank', tmp_path / 'clone', tmp_path / 'data', options={'ones': 'keep'}).sha256
    == real[0].sha256
  )
