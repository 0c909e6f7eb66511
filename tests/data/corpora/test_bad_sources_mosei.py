"""What can be wrong with a copy of CMU-MOSEI: each fault gives one line that says where, and nothing is left behind.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import json
import os
import pickle
from collections.abc import Callable

import h5py
import numpy as np
import pytest

from affectjax.data.store import preparing
from tests.helpers import faults
from tests.helpers import mosei_miniature as miniature
from tests.helpers.faults import (
  Bomb,
  Mutation,
  clear,
  copy,
  cut,
  nothing,
  remove,
  swap,
  text,
  then,
)
from tests.helpers.mosei_miniature import COVAREP, LABELS, STD_FOLDS, TENSORS, WORDS

VIDEO = '81406'
AUDIO, KEPT, SPOKEN = f'COVAREP/data/{VIDEO}', f'All Labels/data/{VIDEO}', f'glove_vectors/data/{VIDEO}'


def h5(name: str, edit: Callable[[h5py.File], object]) -> Mutation:
  """Edits a file in place."""

  def f(source):
    with h5py.File(source / name, 'r+') as file:
      edit(file)

  return f


def put(name: str, key: str, edit: Callable[[np.ndarray], object]) -> Mutation:
  """Edits one array: in place, or what is returned takes its place."""

  def f(file):
    x = file[key][()]
    new = edit(x)
    del file[key]
    file[key] = x if new is None else new

  return h5(name, f)


def drop(name: str, key: str) -> Mutation:
  return h5(name, lambda file: file.__delitem__(key))


def overwrite(name: str, share: float) -> Mutation:
  """Damages a file from some place on."""

  def f(source):
    raw = bytearray((source / name).read_bytes())
    start = int(len(raw) * share)
    raw[start : start + 4096] = b'\xff' * len(raw[start : start + 4096])
    (source / name).write_bytes(raw)

  return f


def cell(row: int, column: int, x: float) -> Mutation:
  return put(LABELS, f'{KEPT}/features', lambda values: values.__setitem__((row, column), x))


def folds(**changes: object) -> Mutation:
  """folds.json instead of the SDK's file; a value None removes a fold."""

  def f(source):
    (source / STD_FOLDS).unlink()
    lists = {**miniature.FOLDS, **changes}
    (source / 'folds.json').write_text(json.dumps({k: v for k, v in lists.items() if v is not None}))

  return f


def data(edit: Callable[[dict], object]) -> Mutation:
  """Edits the content of the pickle: in place, or what is returned takes its place."""

  def f(source):
    content = miniature.dataset()
    new = edit(content)
    (source / TENSORS).write_bytes(pickle.dumps(content if new is None else new))

  return f


def hostile(content: object) -> Mutation:
  return lambda source: (source / TENSORS).write_bytes(pickle.dumps(content))


class Eval:
  def __reduce__(self):
    return eval, ("open('unpickled', 'w')",)


class Run:
  """As numpy.testing's own way to run text."""

  def __reduce__(self):
    from numpy.testing._private.utils import runstring

    return runstring, ("open('unpickled', 'w')", {})


class FromFile:
  """A member of numpy's multiarray that is no reconstructor."""

  def __reduce__(self):
    return np.fromfile, ('x',)


# fmt: off
SEQUENCES = [
  (clear, 'no CMU-MOSEI here', 'COVAREP, All Labels and glove_vectors or words'),
  (lambda source: source.rename(source.with_name('elsewhere')), 'source: no such folder'),
  (remove(COVAREP), 'no .csd file with the root COVAREP; there is: All Labels, FACET 4.2, glove_vectors'),
  (remove(LABELS), 'no .csd file with the root All Labels; there is: COVAREP'),
  (remove(WORDS), 'no .csd file with the root glove_vectors or words; there is: All Labels, COVAREP'),
  (copy(LABELS, 'old/Labels.csd'), "Labels.csd: holds 'All Labels' as", 'does; keep one'),
  (text(COVAREP, ''), f'{COVAREP}: cannot be read as a computational sequence'),
  (text(LABELS, 'ID3 something'), f'{LABELS}: cannot be read as a computational sequence'),
  (text(LABELS, pickle.dumps(Bomb())), f'{LABELS}: cannot be read as a computational sequence'),
  (cut(COVAREP, 200_000), f'{COVAREP}: cannot be read as a computational sequence'),
  (overwrite(LABELS, 0.02), 'CMU_MOSEI_Labels.csd'),
  (h5(LABELS, lambda f: f.create_group('more')), f'{LABELS}: 2 groups (All Labels, more), expected one'),
  (h5(LABELS, lambda f: f.move('All Labels', 'Sentiment Labels')), 'no .csd file with the root All Labels',
   'Sentiment Labels'),
  (drop(COVAREP, 'COVAREP/data'), f'{COVAREP}: COVAREP/data is missing or empty'),
  (h5(COVAREP, lambda f: [f.__delitem__('COVAREP'), f.create_dataset('COVAREP', data=[1.0])]),
   f'{COVAREP}: COVAREP/data is missing or empty'),
  (h5(COVAREP, lambda f: f.move(AUDIO, f'{AUDIO}[')), f'{COVAREP}: COVAREP/data/{VIDEO}[: expected a video, or video['),
  (h5(COVAREP, lambda f: f.move(AUDIO, f'{AUDIO}[0]')), f'{COVAREP}: some keys are videos, some are video[row]'),
  (drop(COVAREP, f'{AUDIO}/features'), f'{COVAREP}: {AUDIO}: no features'),
  (drop(LABELS, f'{KEPT}/intervals'), f'{LABELS}: {KEPT}: no intervals'),
  (put(COVAREP, f'{AUDIO}/features', lambda x: x[:, :73]), f'{AUDIO}: features are float32 [', '73], expected numbers'),
  (put(COVAREP, f'{AUDIO}/features', lambda x: x[:, 0]), f'{AUDIO}: features are float32 [470], expected [470, D]'),
  (put(COVAREP, f'{AUDIO}/features', lambda x: x.astype('S8')), f'{AUDIO}: features are |S8 [470, 74]'),
  (put(COVAREP, f'{AUDIO}/intervals', lambda x: x[:-3]), f'{AUDIO}: features are', 'expected [467, D] as there are'),
  (put(COVAREP, f'{AUDIO}/intervals', lambda x: x[:, :1]), f'{AUDIO}: intervals are float64 [470, 1], expected'),
  (put(COVAREP, f'{AUDIO}/intervals', lambda x: x.__setitem__((7, 1), np.nan)), f'{AUDIO}: interval 7 is ['),
  (put(COVAREP, f'{AUDIO}/intervals', lambda x: x[:, ::-1]), f'{AUDIO}: interval 0 is [0.01, 0.0], expected a start'),
  (then(put(COVAREP, f'{AUDIO}/features', lambda x: x[:0]), put(COVAREP, f'{AUDIO}/intervals', lambda x: x[:0])),
   f'{AUDIO}: empty; expected one row at least'),
  (put(COVAREP, f'{AUDIO}/features', lambda x: x.__setitem__((slice(None), 3), np.inf)), f"id '{VIDEO}[0]': audio is",
   '--nonfinite=mask'),
  (put(WORDS, f'{SPOKEN}/intervals', lambda x: x[:4]), f'{WORDS}: {SPOKEN}: features are'),
  (put(WORDS, f'{SPOKEN}/intervals', lambda x: x.__setitem__((2, 0), np.inf)), f'{SPOKEN}: interval 2 is [inf,'),
  (h5(WORDS, lambda f: [f.move(f'glove_vectors/data/{v}', f'glove_vectors/data/{v}[0]')
                        for v in list(f['glove_vectors/data'])]), f'{WORDS}: its entries are segments, video[k]'),
  (h5(COVAREP, lambda f: [f.move(f'COVAREP/data/{v}', f'COVAREP/data/{v}[0]') for v in list(f['COVAREP/data'])]),
   f'{COVAREP}: its entries are segments, video[k]; give option align=given'),
  (put(LABELS, f'{KEPT}/features', lambda x: x[:, :6]), f'{KEPT}: features are float64 [4, 6]', 'numbers [N, 7]'),
  (put(LABELS, f'{KEPT}/features', lambda x: np.c_[x, x]), f'{KEPT}: features are float64 [4, 14]'),
  (put(LABELS, f'{KEPT}/intervals', lambda x: x[:3]), f'{KEPT}: features are float64 [4, 7], expected [3, D]'),
  (put(LABELS, f'{KEPT}/intervals', lambda x: x.__setitem__((1, 1), x[1, 0])), f'{KEPT}: interval 1 is', 'some length'),
  (cell(2, 0, 3.5), f'{KEPT}: row 2: sentiment is 3.5, expected -3 to 3'),
  (cell(2, 0, np.nan), f'{KEPT}: row 2: sentiment is nan'),
  (cell(1, 4, 7), f'{KEPT}: row 1: column 4 (an intensity) is 7, expected 0 to 3'),
  (cell(1, 6, -0.333), f'{KEPT}: row 1: column 6 (an intensity) is -0.333'),
  (cell(3, 2, np.nan), f'{KEPT}: row 3: column 2 (an intensity) is nan'),
  (remove(STD_FOLDS), 'no folds; expected cmu_mosei_std_folds.py of the SDK, folds.json or folds.csv'),
  (copy(STD_FOLDS, 'my_std_folds.py'), f'{STD_FOLDS} and my_std_folds.py; keep one'),
  (text(STD_FOLDS, ''), f'{STD_FOLDS}: empty file'),
  (text(STD_FOLDS, 'standard_train_fold=['), f'{STD_FOLDS}: cannot be read as lists of videos'),
  (text(STD_FOLDS, 'standard_train_fold=open("unpickled", "w")'),
   f'{STD_FOLDS}: line 1: standard_train_fold is no list of plain text'),
  (swap(STD_FOLDS, 'standard_valid_fold', 'standard_dev_fold'), f'{STD_FOLDS}: standard_valid_fold is missing'),
  (swap(STD_FOLDS, f"'{VIDEO}'", VIDEO), f'{STD_FOLDS}: standard_train_fold is not a list of ids'),
  (swap(STD_FOLDS, "'Or-9Nc_GAq8'", f"'{VIDEO}'"), f"{STD_FOLDS}: video '{VIDEO}' is in both train and test"),
  (swap(STD_FOLDS, "'hh04W3xXa5s'", f"'{VIDEO}'"), f"{STD_FOLDS}: video '{VIDEO}' is twice in train"),
  (folds(test=['nobody_knows']), "folds.json: none of the 1 videos in test has labels, e.g. ['nobody_knows']"),
  (folds(valid=None), 'folds.json: valid is missing; expected a list of videos'),
  (folds(test=[]), 'folds.json: test is not a list of ids'),
  (folds(holdout=['x']), 'unknown fold in', "folds.json: 'holdout'; there is: test, train, valid"),
  (folds(dev=['x']), 'folds.json: both valid and dev; keep one'),
  (then(remove(STD_FOLDS), text('folds.json', '{"train":')), 'folds.json: cannot be read as JSON'),
  (then(remove(STD_FOLDS), text('folds.json', '[1]')), 'folds.json: expected train, valid and test'),
  (then(remove(STD_FOLDS), text('folds.csv', f'{VIDEO},train,x')), "folds.csv: line 1 is '81406,train,x', expected"),
  (then(remove(STD_FOLDS), text('folds.csv', f'{VIDEO},learn')), 'unknown fold in', "folds.csv: line 1: 'learn'"),
]
TENSOR = [
  (remove('CMU_MOSEI_Labels.csd'), 'no .csd file with the root All Labels; there is: none'),
  (copy(TENSORS, 'unaligned_50.pkl'), 'both aligned_50.pkl and unaligned_50.pkl; keep one'),
  (lambda source: miniature.write(source / 'COVAREP.csd', 'COVAREP', miniature.content()['COVAREP']),
   'both aligned_50.pkl and COVAREP.csd; keep one'),
  (hostile(Bomb()), f"{TENSORS}: the pickle names 'posix.system', expected arrays", 'nothing was run'),
  (hostile({'train': {'id': [Eval()]}}), f"{TENSORS}: the pickle names 'builtins.eval'"),
  (hostile([Run()]), f"{TENSORS}: the pickle names 'numpy.testing._private.utils.runstring'"),
  (hostile(FromFile()), f"{TENSORS}: the pickle names 'numpy", 'fromfile'),
  (data(lambda x: x['train'].update(audio=np.array([Bomb()], object))), f"{TENSORS}: the pickle names 'posix.system'"),
  (cut(TENSORS, 1000), f'{TENSORS}: cannot be read as a pickle of arrays'),
  (text(TENSORS, ''), f'{TENSORS}: cannot be read as a pickle of arrays'),
  (text(TENSORS, 'PK something'), f'{TENSORS}: cannot be read as a pickle of arrays'),
  (data(lambda x: [x]), f'{TENSORS}: a list, expected a dict of train, valid, test'),
  (data(lambda x: x.pop('valid') and None), f"{TENSORS}: no dict 'valid'; there is: train, test"),
  (data(lambda x: x['test'].pop('id') and None), f"{TENSORS}: test has no 'id'; there is: audio, vision"),
  (data(lambda x: x['test'].__delitem__('regression_labels')), f"{TENSORS}: test has no 'labels'"),
  (data(lambda x: x['train'].update(audio=x['train']['audio'][..., :5])), f'{TENSORS}: train: audio is float32 [28, 6',
   'expected numbers [N, T, 74]'),
  (data(lambda x: x['train'].update(audio=x['train']['audio'][:, 0])), f'{TENSORS}: train: audio is float32 [28, 74]'),
  (data(lambda x: x['train'].update(audio=x['train']['audio'][:-1])), f'{TENSORS}: train: regression_labels is float'),
  (data(lambda x: x['train'].update(id=x['train']['id'][:-1])), f'{TENSORS}: train: id has 27 entries, audio 28'),
  (data(lambda x: x['valid'].update(id=7)), f'{TENSORS}: valid: id has int entries, audio 8'),
  (data(lambda x: x['valid']['id'].__setitem__(2, 'CLkTjujFVKU-2')), f"{TENSORS}: valid: id 2 is 'CLkTjujFVKU-2'"),
  (data(lambda x: x['valid']['id'].__setitem__(2, ['CLkTjujFVKU', '5.0', '4.0'])), f'{TENSORS}: valid: id 2 is'),
  (data(lambda x: x['valid']['id'].__setitem__(2, 'CLkTjujFVKU$_$9')), "valid: id 2 ('CLkTjujFVKU', 9) has no label"),
  (data(lambda x: x['valid']['id'].__setitem__(2, ['CLkTjujFVKU', 0.11, 4.0])), 'valid: id 2', 'has no label (1 of 44'),
  (data(lambda x: x['valid']['regression_labels'].__setitem__(2, 9)), 'valid: id 2', 'has sentiment 9, its label'),
  (data(lambda x: x['test'].update({k: np.concatenate([v, x['train'][k][:1]]) for k, v in x['test'].items()})),
   f"{TENSORS}: test: id 8 is '-vAbc_12345[0]', as is id 0 of train"),
  (data(lambda x: [x['test'].update({k: np.concatenate([v, x['train'][k][:1]]) for k, v in x['test'].items()}),
                   x['train'].update({k: v[1:] for k, v in x['train'].items()})] and None),
   f"{TENSORS}: video '-vAbc_12345' is in both train and test"),
  (lambda source: (source / 'folds.csv').write_text('\n'.join(
    f'{v},{"test" if v == VIDEO else name}' for name, of in miniature.FOLDS.items() for v in of)),
   f"{TENSORS}: video '{VIDEO}' is in train, but not so in", 'option folds=none'),
  (data(lambda x: x['train']['audio'].__setitem__((3, 5, 2), -np.inf)), "id '-vAbc_12345[3]': audio is -inf in frame"),
]
OPTIONS = [  # (form, options, fragments)
  ('sequences', {'align': 'phones'}, "unknown value of the option align 'phones'; there is: 20hz, given, none, words"),
  ('sequences', {'align': 'given'}, 'its entries are videos; align=given is for entries video[k]'),
  ('sequences', {'collapse': 'max'}, "unknown value of the option collapse 'max'"),
  ('sequences', {'seq_len': '0'}, "option seq_len: '0', expected auto, all, or a whole number above 0"),
  ('sequences', {'seq_len': '2.5'}, "option seq_len: '2.5'"),
  ('sequences', {'keep': 'middle'}, "unknown value of the option keep 'middle'"),
  ('sequences', {'sdk_last50': 'yes', 'align': '20hz'}, 'option sdk_last50: yes stands for align=words'),
  ('sequences', {'order': 'random'}, "unknown value of the option order 'random'"),
  ('sequences', {'folds': 'nowhere.json'}, 'nowhere.json: no such file'),
  ('sequences', {'folds': 'folds.pkl'}, 'folds.pkl: a file of folds is a .py of the SDK, a .json or a .csv'),
  ('sequences', {'unlabelled': '1'}, "unknown value of the option unlabelled '1'"),
  ('sequences', {'audio_hz': '20'}, 'option audio_hz: 20, but it is for tensors'),
  ('sequences', {'pad': 'left'}, "unknown option of cmu_mosei 'pad'; there is: align, audio_hz, collapse"),
  ('tensors', {'align': '20hz'}, 'options align, collapse, seq_len', 'are for .csd files'),
  ('tensors', {'audio_hz': 'fast'}, "option audio_hz: 'fast', expected frames per second"),
  ('tensors', {'mismatch': 'mean'}, "unknown value of the option mismatch 'mean'"),
  ('given', {}, 'its entries are segments, video[k]; give option align=given'),
  ('given', {'align': 'given', 'unlabelled': 'yes'}, 'no .csd file with the root glove_vectors or words'),
]
# fmt: on
WRITERS = {'sequences': miniature.sequences, 'tensors': miniature.tensors, 'given': miniature.given}
CASES = [('sequences', {}, *case) for case in SEQUENCES]
CASES += [('tensors', {}, *case) for case in TENSOR]
CASES += [(form, options, nothing, *wanted) for form, options, *wanted in OPTIONS]


@pytest.fixture(params=CASES, ids=[f'{c[0]}: {c[3]}'.replace('[', '').replace(']', '') for c in CASES])
def fault(request, tmp_path, monkeypatch):
  """(options, fragments of the line), the faulty source being `tmp_path / 'source'`."""
  form, options, mutate, *wanted = request.param
  faults.write(form, mutate, WRITERS, tmp_path, monkeypatch)
  return options, wanted


@pytest.mark.campaign(4)
def test_refused_in_one_line_and_by_the_command(tmp_path, fault, capsys):
  faults.prove('cmu_mosei', *fault, tmp_path, capsys)
  assert not os.listdir(tmp_path / 'cwd'), 'nothing was run'


@pytest.mark.parametrize('form', WRITERS)
def test_without_a_fault_each_can_be_prepared(tmp_path, form):
  WRITERS[form](tmp_path / 'source')
  options = {'align': 'given'} if form == 'given' else {}
  assert preparing.prepare('cmu_mosei', tmp_path / 'source', tmp_path / 'data', options=options).counts['all']


def test_there_are_enough_faults():
  assert len(CASES) >= 100 and {c[0] for c in CASES} == set(WRITERS)
