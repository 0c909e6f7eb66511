"""What can be wrong with a copy of AffectNet or AFEW-VA: each fault gives one line that says where and what.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import json
from collections.abc import Callable

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.store import preparing
from tests.helpers import afew_va_miniature, affectnet_miniature
from tests.helpers.faults import (
  BOMB,
  Mutation,
  check,
  clear,
  copy,
  cut,
  move,
  nothing,
  npy,
  npz,
  remove,
  swap,
  text,
  then,
  value,
)


def note(edit: Callable[[dict], object]) -> Mutation:
  """Edits the annotations of clip 001, which has frames 00000 to 00003."""

  def f(source):
    path = source / '001' / '001.json'
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))

  return f


def frame(edit: Callable[[dict], object]) -> Mutation:
  return note(lambda c: edit(c['frames']['00002']))


def listed(*lines: str) -> Mutation:
  return text('expressions.csv', '\n'.join(['video_id,frame,expression', *lines]) + '\n')


TRAIN, VAL, JSON = 'training.csv', 'validation.csv', '001/001.json'
TRAIN_SET, VAL_SET = 'train_set/annotations', 'val_set/annotations'
# fmt: off
LISTS = [  # AffectNet, layout (a)
  (clear, 'no AffectNet here', 'training.csv', 'train_set'),
  (lambda source: source.rename(source.with_name('elsewhere')), 'source: no such folder'),
  (remove(VAL), 'no validation.csv beside training.csv'),
  (copy(VAL, 'train_set/x'), 'both releases', 'train_set'),
  (copy(TRAIN, 'Manually_Annotated/training.csv'), 'training.csv and Manually_Annotated/training.csv; keep one'),
  (text(VAL, ''), VAL, 'empty file'),
  (text(VAL, 'subDirectory_filePath,expression,valence,arousal\n'), VAL, 'no lines after the header'),
  (swap(TRAIN, 'valence', 'pleasure'), TRAIN, "no column 'valence'", 'pleasure'),
  (text(TRAIN, 'ID3 something\n'), TRAIN, "no column 'subDirectory_filePath'", 'ID3'),
  (cut(TRAIN, 14), TRAIN, 'line 12 has 6 cells, expected 9'),
  (text(TRAIN, bytes(range(128, 256))), TRAIN, 'UTF-8'),
  (swap(TRAIN, ',1,0.7,', ',glad,0.7,'), TRAIN, "line 3, id '7/b', column expression: 'glad' is not a number"),
  (swap(TRAIN, ',1,0.7,', ',11,0.7,'), TRAIN, "id '7/b'", "'11', expected a code 0..10"),
  (swap(TRAIN, ',1,0.7,', ',1.5,0.7,'), TRAIN, "id '7/b'", "'1.5', expected a code 0..10"),
  (swap(TRAIN, ',1,0.7,', ',1,1.7,'), TRAIN, "id '7/b', column valence: 1.7, expected a value in [-1, 1]"),
  (swap(VAL, '0.6', 'nan'), VAL, "id '9/v', column arousal: 'nan' is not a number"),
  (swap(VAL, '0.6', ''), VAL, "id '9/v', column arousal: '' is not a number"),
  (swap(TRAIN, '7/c.png', '7/b.png'), TRAIN, "line 4, id '7/b': this id has an earlier line"),
  (swap(VAL, '9/v.jpg', '7/a.jpg'), VAL, "id '7/a' is in training.csv as well"),
  (swap(TRAIN, '7/c.png', '../../c.png'), TRAIN, 'line 4', '../../c.png', 'a path such as'),
  (swap(VAL, ',3,0', ',9,0', ',4,', ',10,', ',0,0.5', ',8,0.5'), "split 'val' keeps none of 4", 'uncertain 2'),
]
FEATURES = [  # AffectNet, one file per image
  (move('features', 'embeddings'), 'no features; expected one of', 'features_ids.csv'),
  (copy(TRAIN, 'features.npz'), 'features and features.npz', 'expected one'),
  (remove('features/9/k.k.npy'), "features: no feature file for '9/k.k'"),
  (npz('features/7/c.npz', x=np.zeros(5)), "'7/c' has 2 feature files"),
  (cut('features/7/c.npy'), 'features/7/c.npy: cannot be read'),
  (npy('features/12/d.npy', ['one', 'two']), 'features/12/d.npy', 'dtype <U3', 'expected numbers'),
  (npy('features/12/d.npy', BOMB), 'features/12/d.npy: cannot be read'),
  (value('features/12/d.npy', (..., 2), np.nan), "id '12/d'", 'visual is nan in frame 0'),
  (value('features/9/w.npy', (..., 2), -np.inf), "id '9/w'", 'visual is -inf in frame 0'),
  (npy('features/9/v.npy', np.zeros(4)), 'features/9/v.npy: 4 features per frame, expected 5'),
  (npy('features/9/v.npy', np.zeros((2, 5))), 'features/9/v.npy: 2 frames, expected 1'),
]
CSV_MATRIX = [
  (npy('features.npy', np.zeros((11, 5))), 'features.npy', 'shape [11, 5] for 12 ids (features_ids.csv)'),
  (swap('features_ids.csv', '7/b.JPG', '7/a.jpg'), 'features_ids.csv', "'7/a.jpg' stands at rows 0 and 1"),
  (swap('features_ids.csv', '7/b.JPG', '7/z.jpg'), 'features_ids.csv', "'7/z.jpg' (row 1) is of no labelled"),
  (swap('features_ids.csv', 'id\n', 'name\n'), 'features_ids.csv', "no column 'id'", 'name'),
  (cut('features.npy'), 'features.npy: cannot be read'),
  (cut('features.npy', -1), 'features.npy: cannot be read'),
  (npy('features.npy', BOMB), 'features.npy: cannot be read'),
  (npy('features.npy', np.full((12, 5), 'abc')), 'features.npy', 'dtype <U3'),
  (npy('features.npy', np.zeros(12)), 'features.npy', 'shape [12]', 'expected [ids, D]'),
  (value('features.npy', (2, 0), np.nan), "id '7/c'", 'visual is nan'),
]
JSON_MATRIX = [
  (swap('features_ids.json', '7/b.JPG', '12/f.jpg'), 'features_ids.json', "no id '7/b'"),
  (remove('features_ids.json'), 'features.npy: no list of ids', 'features_ids.json'),
  (text('features_ids.csv', 'id\n'), 'features_ids.csv and features_ids.json', 'expected one'),
  (cut('features_ids.json', 3), 'features_ids.json: cannot be read as JSON'),
  (text('features_ids.json', '[1, 2, 3]'), 'features_ids.json', 'JSON list of ids'),
]
ARCHIVE = [
  (npz('features.npz', names=['7/a'], features=np.zeros((1, 5))), 'features.npz', "no array 'ids'", 'names'),
  (npz('features.npz', ids=np.arange(12), features=np.zeros((12, 5))), 'features.npz', 'ids [12] of dtype int64'),
  (npz('features.npz', ids=BOMB, features=np.zeros((12, 5))), 'features.npz: cannot be read'),
  (cut('features.npz', 40), 'features.npz: cannot be read'),
]
ARRAYS = [  # AffectNet, layout (b)
  (move('val_set', 'validation'), f'{VAL_SET}: no such folder'),
  (lambda source: clear(source / 'val_set'), f'{VAL_SET}: no such folder'),
  (lambda source: clear(source / VAL_SET), f'{VAL_SET}: no annotations'),
  (remove(f'{TRAIN_SET}/4_aro.npy'), f'{TRAIN_SET}/4_aro.npy: no such file', "id '4'"),
  (cut(f'{TRAIN_SET}/3_val.npy', 2), f'{TRAIN_SET}/3_val.npy: cannot be read'),
  (npy(f'{TRAIN_SET}/3_exp.npy', BOMB), f'{TRAIN_SET}/3_exp.npy: cannot be read'),
  (npy(f'{VAL_SET}/0_exp.npy', 'happy'), f"{VAL_SET}/0_exp.npy: 'happy' is not a number"),
  (npy(f'{VAL_SET}/0_exp.npy', -1), f'{VAL_SET}/0_exp.npy', "'-1', expected a code 0..10"),
  (npy(f'{VAL_SET}/1_val.npy', 3.0), f'{VAL_SET}/1_val.npy: 3.0, expected a value in [-1, 1]'),
  (npy(f'{VAL_SET}/1_aro.npy', [0.0, 1.0]), f'{VAL_SET}/1_aro.npy', 'shape [2]', 'one number'),
  (npy(f'{VAL_SET}/1_exp.npy', True), f'{VAL_SET}/1_exp.npy', 'dtype bool'),
  (remove('features/val_set/1.npy'), "no feature file for 'val_set/1'"),
]
CLIPS = [  # AFEW-VA, annotations
  (clear, 'no clip here', '001/001.json'),
  (then(clear, text('01.zip', 'PK')), 'no clip here', 'unpack the zip archives'),
  (remove('002/002.json'), '002/002.json: no such file'),
  (move('600', '601'), "clip '601' is unknown"),
  (copy(JSON, '01/001/001.json'), "clip '001' is also in", '01/001'),
  (cut(JSON, 100), f'{JSON}: cannot be read as JSON'),
  (text(JSON, ''), f'{JSON}: cannot be read as JSON'),
  (text(JSON, '[' * 100_000), f'{JSON}: cannot be read as JSON'),
  (text(JSON, '[1, 2]'), JSON, 'a list', 'expected an object'),
  (note(lambda c: c.pop('actor')), JSON, "no 'actor'", "clip '001'"),
  (note(lambda c: c.update(actor=' ')), JSON, "'actor' of clip '001'", 'a non-empty string'),
  (note(lambda c: c.update(actor=7)), JSON, "'actor' of clip '001' is a number (7)"),
  (note(lambda c: c.update(actor='\ud800')), JSON, "actor of clip '001'", 'no valid text'),
  (note(lambda c: c.update(video_id='002')), JSON, "video_id is '002', expected '001'"),
  (note(lambda c: c.update(frames=[])), JSON, "'frames' of clip '001' is a list"),
  (note(lambda c: c.update(frames={})), JSON, "'frames' of clip '001'", 'expected an object with the frames'),
  (note(lambda c: c['frames'].update(first={})), JSON, "frame 'first' of clip '001'"),
  (note(lambda c: c['frames'].update({'1': {}})), JSON, "frame '1' of clip '001' appears twice"),
  (note(lambda c: c['frames'].update({'00002': None})), JSON, "frame '00002' of clip '001' is null"),
  (swap(JSON, '"video_id"', '"actor": "x", "video_id"'), JSON, 'a key appears twice', "'actor'"),
  (frame(lambda f: f.pop('arousal')), JSON, "arousal in frame 00002 of clip '001' is not there"),
  (frame(lambda f: f.update(valence='3')), JSON, "valence in frame 00002 of clip '001' is a string"),
  (frame(lambda f: f.update(valence=True)), JSON, 'valence in frame 00002', 'a boolean'),
  (frame(lambda f: f.update(valence=11)), JSON, "frame 00002 of clip '001' is 11, expected an integer -10..10"),
  (frame(lambda f: f.update(arousal=0.5)), JSON, "arousal in frame 00002 of clip '001' is 0.5", 'not yet'),
  (frame(lambda f: f.update(arousal=float('nan'))), JSON, 'NaN is no JSON'),
]
ROWS = [  # AFEW-VA, features
  (move('features', 'embeddings'), 'no folder features', 'features=landmarks'),
  (remove('features/051.npy'), "no feature file for '051'"),
  (npy('features/051.npy', np.zeros((2, 4))), '051.npy: 2 frames of features for clip', '051.json has 3'),
  (npy('features/051.npy', np.zeros((3, 5))), 'features/051.npy: 5 features per frame, expected 4'),
  (npy('features/051.npy', np.zeros((3, 4, 1))), 'features/051.npy', 'shape [3, 4, 1]'),
  (npy('features/001.npy', np.zeros((4, 4), complex)), 'features/001.npy', 'dtype complex128'),
  (npy('features/001.npy', BOMB), 'features/001.npy: cannot be read'),
  (cut('features/051.npy'), 'features/051.npy: cannot be read'),
  (value('features/051.npy', (1, 2), np.nan), "id '051'", 'visual is nan in frame 1'),
  (value('features/600.npy', (0, 0), np.inf), "id '600'", 'visual is inf in frame 0'),
  (then(remove('features/600.npy'), text('features/600.csv', 'a,b\n1,x\n')), "600.csv: line 2, column 'b'"),
]
NUMBERED_ROWS = [
  (npz('features/002.npz', frame=[10, 12], features=np.zeros((2, 4))), '002.npz: frame 12', 'expected 11'),
  (npz('features/002.npz', frame=[10, 10], features=np.zeros((2, 4))), '002.npz: frame 10', 'repeated'),
  (npz('features/002.npz', frame=[10.0, 11.0], features=np.zeros((2, 4))), '002.npz', 'dtype float64'),
  (npz('features/002.npz', frame=[10, 11], x=np.zeros((2, 4))), '002.npz', "no array 'features'"),
]
LANDMARKS = [
  (frame(lambda f: f.pop('landmarks')), JSON, "landmarks in frame 00002 of clip '001': null", '68'),
  (frame(lambda f: f['landmarks'].pop()), JSON, 'landmarks in frame 00002', '68 pairs'),
  (frame(lambda f: f['landmarks'].append(['1', 2]) or f['landmarks'].pop(0)), JSON, 'not all are numbers'),
  (frame(lambda f: f['landmarks'].append([1e9, 2]) or f['landmarks'].pop(0)), JSON, 'beyond any image'),
  (frame(lambda f: f.update(landmarks=[[1, 1]] * 68)), "id '001'", 'visual is nan in frame 2'),
]
EXPRESSIONS = [
  (listed('001,0,happy', '601,0,happy'), "expressions.csv: line 3, clip '601'", 'unknown video_id'),
  (listed('001,0,happy', '001,9,happy'), "expressions.csv: frame 9 of clip '001'", '4 annotated frames'),
  (listed('001,0,contempt'), "expressions.csv: line 2, clip '001', frame '0'", "'contempt'", 'neutral, happy'),
  (listed('001,00000,happy', '1,0,sad'), "expressions.csv: line 3, clip '1', frame '0'", 'earlier line'),
  (listed('001,x,happy'), "expressions.csv: line 2, clip '001', frame 'x'"),
  (text('expressions.csv', 'video_id,frame,label\n001,0,happy\n'), "expressions.csv: no column 'expression'"),
  (listed('001,0'), 'expressions.csv: line 2 has 2 cells'),
  (text('expressions.csv', ''), 'expressions.csv: empty file'),
]
OPTIONS = [  # (corpus, options, fragments)
  ('affectnet', {'classes': '6'}, "option classes: '6', expected 8"),
  ('affectnet', {'cleaned': 'perhaps'}, "option cleaned: 'perhaps', expected true or false"),
  ('affectnet', {'clean': 'true'}, "unknown option of affectnet 'clean'; there is: classes, cleaned"),
  ('afew_va', {'features': 'pixels'}, "unknown value of the option features 'pixels'; there is: arrays, landmarks"),
  ('afew_va', {'feature': 'landmarks'}, "unknown option of afew_va 'feature'; there is: features"),
]
# fmt: on
FORMS = [
  ('affectnet', LISTS, {}),
  ('affectnet', FEATURES, {}),
  ('affectnet.csv.csv', CSV_MATRIX, {}),
  ('affectnet.csv.json', JSON_MATRIX, {}),
  ('affectnet.csv.npz', ARCHIVE, {}),
  ('affectnet.npy', ARRAYS, {}),
  ('afew_va', CLIPS, {}),
  ('afew_va', ROWS, {}),
  ('afew_va.npz with frames', NUMBERED_ROWS, {}),
  ('afew_va.none', LANDMARKS, {'features': 'landmarks'}),
  ('afew_va', EXPRESSIONS, {}),
]
CASES = [(form, options, *case) for form, cases, options in FORMS for case in cases]
CASES += [(name, options, nothing, *wanted) for name, options, *wanted in OPTIONS]


@pytest.fixture(params=CASES, ids=[f'{c[0]}: {c[3]}'.replace('[', '').replace(']', '') for c in CASES])
def fault(request, tmp_path, monkeypatch):
  """(corpus, options, fragments of the line), the faulty source being `tmp_path / 'source'`."""
  form, options, mutate, *wanted = request.param
  name, *kinds = form.split('.')
  (affectnet_miniature if name == 'affectnet' else afew_va_miniature).write(tmp_path / 'source', *kinds)
  mutate(tmp_path / 'source')
  (tmp_path / 'cwd').mkdir()
  monkeypatch.chdir(tmp_path / 'cwd')
  return name, options, wanted


@pytest.mark.campaign(4)
def test_refused_in_one_line(tmp_path, fault):
  name, options, wanted = fault
  data = tmp_path / 'data'
  with pytest.raises(UserError) as refusal:
    preparing.prepare(name, tmp_path / 'source', data, nonfinite='error', options=options)
  check(name, str(refusal.value), wanted, data)


@pytest.mark.campaign(4)
def test_the_command_prints_it_and_exits_with_2(tmp_path, fault, capsys):
  name, options, wanted = fault
  data = tmp_path / 'data'
  given = [f'--option={key}={x}' for key, x in options.items()]
  assert prepare.main([name, f'--source={tmp_path / "source"}', f'--data_dir={data}', *given]) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.startswith('error: ') and err.endswith('\n')
  check(name, err[:-1], wanted, data)


def test_every_layout_has_its_faults():
  assert len(CASES) >= 36
  assert {c[0] for c in CASES} >= {f'affectnet{k}' for k in ('', '.csv.csv', '.csv.json', '.csv.npz', '.npy')}
