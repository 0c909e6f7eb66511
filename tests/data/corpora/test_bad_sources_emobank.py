"""What can be wrong with a copy of EmoBank: each fault gives one line that says where, and nothing is prepared."""

import pytest

from affectjax.data.store import preparing
from tests.helpers import emobank_miniature as miniature
from tests.helpers import faults
from tests.helpers.faults import (
  Mutation,
  copy,
  cut,
  drop,
  lines,
  nothing,
  remove,
  swap,
  text,
  then,
)

TEXTS, READERS, WRITERS, META = miniature.FILES
ONES = 'news_1,1,1,1'


def repeated(name: str, start: int, stop: int) -> Mutation:
  """Puts copies of lines `start` to before `stop`, counted from 1, at the end."""
  return lines(name, lambda rows: rows.extend(rows[start - 1 : stop - 1]))


# fmt: off
FAULTS = [
  (then(remove(TEXTS), remove(READERS)), 'no EmoBank here; expected corpus/emobank.csv', 'emobank.csv'),
  (copy(TEXTS, f'corpus/{TEXTS}'), 'both emobank.csv and corpus/emobank.csv; keep one'),
  (remove(READERS), f'{READERS}: no such file'),
  (remove(WRITERS), f'{WRITERS}: no such file'),
  (remove(META), f'{META}: no such file'),
  (text(READERS, ''), f'{READERS}: empty file'),
  (text(WRITERS, 'id,V,A,D\n'), f'{WRITERS}: no ratings after the header'),
  (drop(TEXTS, 2), f'{TEXTS}: no sentences after the header'),
  (text(TEXTS, b'id,split,V,A,D,text\nx,train,3,3,3,\xe9\n'), f'{TEXTS}: cannot be read as UTF-8'),
  (swap(READERS, 'id,V,A,D', 'id,V,A'), f"{READERS}: no column 'D'; line 1 has: id, V, A"),
  (swap(TEXTS, 'id,split', 'id,fold'), f"{TEXTS}: no column 'split'"),
  (swap(TEXTS, ',text\n', ',V\n'), f'{TEXTS}: line 1 is no header'),
  (swap(META, '\tdocument', '\tfile'), f"{META}: no column 'document'"),
  (swap(READERS, 'blog_5_9,4,5,3', 'blog_5_9,4,6,3'), f"{READERS}: line 4, id 'blog_5_9': A is '6', expected a whole"),
  (swap(READERS, 'blog_5_9,4,5,3', 'blog_5_9,0,5,3'), f"{READERS}: line 4, id 'blog_5_9': V is '0'"),
  (swap(READERS, 'blog_5_9,4,5,3', 'blog_5_9,4,5,3.5'), f"{READERS}: line 4, id 'blog_5_9': D is '3.5'"),
  (swap(WRITERS, 'blog_5_9,3,4,3', 'blog_5_9,3,,3'), f"{WRITERS}: line 4, id 'blog_5_9': A is ''"),
  (swap(WRITERS, 'blog_5_9,3,4,3', 'blog_5_9,3,4'), f'{WRITERS}: line 4 has 3 cells, the header has 4'),
  (swap(WRITERS, 'blog_5_9,3,4,3', 'blog_5_9,4,4,3'), TEXTS, "id 'blog_5_9': V is 3.5, but the 4 ratings", 'mean 3.75'),
  (repeated(READERS, 3, 6), f"{READERS}: line 12: id 'blog_5_9' comes again after other ids"),
  (drop(READERS, 10), f"{READERS}: no ratings of a reader for id 'tale_7_8' of emobank.csv (1 such)", 'missing=drop'),
  (drop(WRITERS, 11), f"{WRITERS}: no ratings of a writer for id 'tale_7_8' of emobank.csv"),
  (drop(READERS, 9, 10), TEXTS, "id 'news_1': V is 1.5, but the 3 ratings other than 1, 1, 1 have the mean 1.33"),
  (swap(TEXTS, 'What do I mean?', ''), f"{TEXTS}: no text for id 'blog_1_4'"),
  (repeated(TEXTS, 3, 4), f"{TEXTS}: line 6, id 'blog_1_4': expected an id without an earlier line"),
  (swap(TEXTS, '\nnews_1,', '\n,'), f"{TEXTS}: line 4, id '': expected an id"),
  (swap(TEXTS, 'news_1,test', 'news_1,heldout'), 'unknown split in', TEXTS, "'heldout'; there is: dev, test, train"),
  (swap(TEXTS, 'dev,2.25', 'dev,high'), f"{TEXTS}: line 3, id 'blog_1_4': V is 'high', expected a number"),
  (swap(TEXTS, 'dev,2.25', 'dev,nan'), f"{TEXTS}: line 3, id 'blog_1_4': V is nan, expected 1 to 5"),
  (swap(TEXTS, 'dev,2.25', 'dev,5.20'), f"{TEXTS}: line 3, id 'blog_1_4': V is 5.20, expected 1 to 5"),
  (swap(TEXTS, 'dev,2.25', 'dev,2.27'), f"{TEXTS}: line 3, id 'blog_1_4': V is 2.27, but the 4 ratings other than"),
  (swap(TEXTS, 'dev,2.25', 'dev'), f'{TEXTS}: line 3 has 5 cells, the header has 6'),
  (cut(TEXTS, 12), f'{TEXTS}: line 5 has'),
  (drop(META, 6), f"{META}: no line for id 'tale_7_8' of emobank.csv; the file may be cut off"),
  (repeated(META, 3, 4), f"{META}: line 7: id 'blog_5_9' has an earlier line; remove one"),
  (swap(META, 'news_1\tnews\t', 'news_1\t \t'), f"{META}: line 5, id 'news_1': document '', category 'SemEval'"),
  (then(swap(READERS, 'news_1,1,4,1', ONES, 'news_1,2,5,2', ONES),
        swap(WRITERS, 'news_1,1,5,1', ONES, 'news_1,2,4,2', ONES)),
   TEXTS, "id 'news_1': all 4 ratings are 1, 1, 1; expected others"),
]
OPTIONS = [
  ({'width': '8'}, "option width: '8', expected a whole number, 16 to 16384"),
  ({'chars_width': 'wide'}, "option chars_width: 'wide'"),
  ({'missing': 'absent'}, "unknown value of the option missing 'absent'; there is: drop, error"),
  ({'ones': 'yes'}, "unknown value of the option ones 'yes'; there is: drop, keep"),
  ({'folds': '5'}, "unknown option of emobank 'folds'; there is: chars_width, missing, ones, width"),
]
# fmt: on
CASES = [({}, *case) for case in FAULTS] + [(options, nothing, *wanted) for options, *wanted in OPTIONS]


def pack(source):
  """The pack, beside an empty folder of the clone's name."""
  miniature.write(source, 'pack')
  (source / 'corpus').mkdir()
  return source


@pytest.mark.campaign(4)
@pytest.mark.parametrize('case', CASES, ids=[f'{i}: {c[2]}' for i, c in enumerate(CASES)])
def test_refused_in_one_line_and_by_the_command(case, tmp_path, monkeypatch, capsys):
  options, mutate, *wanted = case
  faults.write('pack', mutate, {'pack': pack}, tmp_path, monkeypatch)
  faults.prove('emobank', options, wanted, tmp_path, capsys)


def test_without_a_fault_it_can_be_prepared(tmp_path):
  source = miniature.write(tmp_path / 'source', 'pack')
  assert preparing.prepare('emobank', source, tmp_path / 'data').counts == {'all': 4}


def test_there_are_enough_faults():
  assert len(FAULTS) >= 14
