"""Whatever is wrong with what the labelling command is given: exit 2, one line that says what, and no output."""

import json

import numpy as np
import pytest

from affectjax import label
from affectjax.data.exchange import annotations
from tests.helpers import label_cells

HAND = 'video,frame,valence,arousal\n'


@pytest.fixture(scope='module')
def cell(tmp_path_factory):
  return label_cells.untrained(tmp_path_factory.mktemp('untrained'))


@pytest.fixture
def given(cell, tmp_path):
  """Good input, for each test to spoil: flags, and the files they name."""
  rng = np.random.default_rng(0)
  a, b = (rng.normal(size=(n, label_cells.WIDTH)).astype(np.float32) for n in (8, 5))
  np.savez(tmp_path / 'clips.npz', a=a, b=b)
  label_cells.hand_csv(tmp_path / 'hand.csv', [('a', 0, 0, 0), ('a', 7, 0.5, 0.5), ('b', 2, 1, -1)])
  names = dict(source='clips.npz', support='hand.csv', output='out.csv')
  return {'run': cell, **{k: tmp_path / v for k, v in names.items()}}


def refused(flags, capsys, *says, more=()) -> None:
  folder = flags['source'].parent
  before = {p: p.stat().st_mtime_ns for p in folder.rglob('*')}
  capsys.readouterr()
  assert label.main([*(f'--{k}={v}' for k, v in flags.items()), *more]) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.startswith('error: ') and err.count('\n') == 1, (out, err)
  for word in says:
    assert str(word) in err, err
  assert {p: p.stat().st_mtime_ns for p in folder.rglob('*')} == before


def test_the_input_that_the_others_spoil_is_good(given):
  assert label.main([f'--{k}={v}' for k, v in given.items()]) == 0
  assert len(annotations.read(given['output'])) == 13


SUPPORTS = {
  'empty file': ('', 'empty file'),
  'no rows': (HAND, 'no hand label'),
  'no labels column': ('video,frame,valence\na,0,0\n', 'arousal'),
  'unknown video': (HAND + 'a,0,0,0\nc,0,0,0\n', "line 3: unknown video 'c'"),
  'frame past the end': (HAND + 'a,8,0,0\n', 'line 2: frame 8'),
  'frame below zero': (HAND + 'a,-1,0,0\n', 'line 2: frame -1'),
  'frame not whole': (HAND + 'a,1.5,0,0\n', "line 2: frame '1.5'"),
  'frame beyond all numbers': (HAND + f'a,{"9" * 40},0,0\n', 'line 2: frame'),
  'labelled twice': (HAND + 'a,0,0,0\nb,1,0,0\na,0,0,0\n', 'line 4', 'twice'),
  'not a number': (HAND + 'a,0,0,0\na,1,happy,0\n', "line 3: valence 'happy'"),
  'nan label': (HAND + 'a,0,nan,0\n', "line 2: valence 'nan'"),
  'empty label': (HAND + 'a,0,0,\n', "line 2: arousal ''"),
  'label out of range': (HAND + 'a,0,0,-1.001\n', 'line 2: arousal -1.001', '[-1, 1]'),
  'video without a label': (HAND + 'a,0,0,0\n', "video 'b'"),
  'no video column': ('frame,valence,arousal\n0,0,0\n', "'video'", '2 videos'),
  'ragged row': (HAND + 'a,0,0,0\nb,0,0\n', 'line 3'),
  'not text': (b'\xff\xfe\x00a', 'UTF-8'),
  'strange support': ('video,frame,valence,arousal,support\na,0,0,0,yes\n', "line 2: support 'yes'"),
}


@pytest.mark.parametrize('text, says', [(t, s) for t, *s in SUPPORTS.values()], ids=SUPPORTS)
def test_bad_hand_labels(given, capsys, text, says):
  given['support'].write_bytes(text if isinstance(text, bytes) else text.encode())
  refused(given, capsys, given['support'], *says)


@pytest.mark.parametrize('suffix', ['.eaf', '.json'])
@pytest.mark.parametrize('how', ['truncated', 'empty', 'binary', 'another kind', 'folder'])
def test_damaged_annotation_files(given, capsys, tmp_path, suffix, how):
  good = tmp_path / f'good{suffix}'
  assert label.main([f'--{k}={v}' for k, v in {**given, 'output': good}.items()]) == 0
  given['support'] = tmp_path / f'bad{suffix}'
  other = {'.eaf': '<html><body>no</body></html>', '.json': '[{"data": {"video": "a"}, "annotations": []}]'}
  content = {'truncated': good.read_bytes()[:900], 'empty': b'', 'binary': bytes(range(256)),
             'another kind': other[suffix].encode()}  # fmt: skip
  if how == 'folder':
    given['support'].mkdir()
  else:
    given['support'].write_bytes(content[how])
  refused(given, capsys, given['support'])


def _edit(path, change) -> None:
  tasks = json.loads(path.read_text())
  change(tasks[0])
  path.write_text(json.dumps(tasks))


TASKS = {
  'no hand labels': (lambda t: t.update(annotations=[]), "no hand label for video 'a'"),
  'no predictions': (lambda t: t.pop('predictions'), "no 'predictions'"),
  'no rate': (lambda t: t['data'].pop('rate_hz'), "no 'rate_hz'"),
  'rate of zero': (lambda t: t['data'].update(rate_hz=0), 'rate_hz is 0'),
  'video not text': (lambda t: t['data'].update(video=3), "'video' is int; expected text"),
  'region without a number': (lambda t: t['annotations'][0]['result'].pop(1), "no number 'valence'"),
  'region of many frames': (
    lambda t: t['annotations'][0]['result'][0]['value']['ranges'][0].update(end=9), 'a region of frames 1 to 9'),
  'frame from nowhere': (
    lambda t: t['annotations'][0]['result'][0]['value'].update(ranges=[{'start': 90, 'end': 90}]), 'frame 89'),
  'number as text': (lambda t: t['annotations'][0]['result'][1]['value'].update(number='0.5'), 'expected a number'),
  'number not finite': (lambda t: t['annotations'][0]['result'][1]['value'].update(number=float('nan')), 'NaN'),
  'labelled twice': (lambda t: t['annotations'].append(t['annotations'][0]), 'labelled by hand twice'),
  'a task that is none': (lambda t: t.update(annotations=['x']), 'annotation 0 is str; expected an object'),
}  # fmt: skip


@pytest.mark.parametrize('change, says', TASKS.values(), ids=TASKS)
def test_tasks_that_lack_what_is_needed(given, capsys, tmp_path, change, says):
  path = tmp_path / 'tasks.json'
  assert label.main([f'--{k}={v}' for k, v in {**given, 'output': path}.items()]) == 0
  _edit(path, change)
  refused({**given, 'support': path}, capsys, path, says)


ELAN = {
  'tier gone': ('TIER_ID="a/arousal"', 'TIER_ID="a/other"', "no tier 'a/arousal'"),
  'value no number': ('<ANNOTATION_VALUE>0.5<', '<ANNOTATION_VALUE>half<', "frame 7: valence 'half'"),
  'frame no number': ('<ANNOTATION_VALUE>0<', '<ANNOTATION_VALUE>start<', "frame 'start'"),
  'rate gone': ('affectjax:rate_hz', 'rate', "no property 'affectjax:rate_hz'"),
  'value emptied': ('<ANNOTATION_VALUE>0.5<', '<ANNOTATION_VALUE><', "frame 7: valence ''"),
}


@pytest.mark.parametrize('old, new, says', ELAN.values(), ids=ELAN)
def test_elan_files_that_lack_what_is_needed(given, capsys, tmp_path, old, new, says):
  path = tmp_path / 'edited.eaf'
  assert label.main([f'--{k}={v}' for k, v in {**given, 'output': path}.items()]) == 0
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  refused({**given, 'support': path}, capsys, path, says)


def _npz(path, **arrays):
  np.savez(path, **arrays)


def _cut(path):
  path.write_bytes(path.read_bytes()[:200])


GOOD = np.zeros((8, label_cells.WIDTH), np.float32)
SOURCES = {
  'truncated': (_cut, 'clips.npz'),
  'object array': (lambda p: _npz(p, a=np.array([{}, None]), b=GOOD), 'clips.npz'),
  'wrong width': (lambda p: _npz(p, a=GOOD, b=GOOD[:, :5]), "'b' has 5 features", 'trained on 6'),
  'text': (lambda p: _npz(p, a=GOOD.astype('U8'), b=GOOD), 'clips.npz/a: array of dtype <U8'),
  'complex': (lambda p: _npz(p, a=GOOD + 1j, b=GOOD), 'complex'),
  'one dimension': (lambda p: _npz(p, a=GOOD[0], b=GOOD), "'a' has shape [6]"),
  'three dimensions': (lambda p: _npz(p, a=GOOD[None], b=GOOD), "'a' has shape [1, 8, 6]"),
  'no frames': (lambda p: _npz(p, a=GOOD[:0], b=GOOD), "'a' has shape [0, 6]"),
  'no arrays': (lambda p: _npz(p), 'no arrays'),
  'not an archive': (lambda p: p.write_text('hello'), 'clips.npz'),
  'gone': (lambda p: p.unlink(), 'no such file'),
  'times of nothing': (lambda p: _npz(p, **{'a': GOOD, 'b': GOOD, 'c/time': np.arange(8)}), "'c/time'"),
  'times too few': (lambda p: _npz(p, **{'a': GOOD, 'b': GOOD, 'b/time': np.arange(7)}), 'expected 8 numbers'),
  'times going back': (lambda p: _npz(p, **{'a': GOOD, 'b': GOOD, 'b/time': -np.arange(8.0)}), 'strictly increasing'),
  'name not printable': (lambda p: _npz(p, **{'a': GOOD, 'b\n': GOOD}), 'printable'),
  'both x and visual': (lambda p: _npz(p, x=GOOD, visual=GOOD), 'visual, x'),
}


@pytest.mark.parametrize('spoil, says', [(t, s) for t, *s in SOURCES.values()], ids=SOURCES)
def test_bad_sources(given, capsys, spoil, says):
  spoil(given['source'])
  refused(given, capsys, given['source'], *says)


def test_bad_folders_of_sources(given, capsys, tmp_path):
  folder = given['source'] = tmp_path / 'features'
  folder.mkdir()
  refused(given, capsys, folder, 'no feature files')
  np.save(folder / 'a.npy', GOOD)
  np.savez(folder / 'a.npz', GOOD)
  refused(given, capsys, 'a.npy and a.npz')
  given['source'] = tmp_path / 'features.mat'
  given['source'].write_text('x')
  refused(given, capsys, 'unknown kind of feature file')


FLAGS = {
  'unknown anchors': (['--anchors=nearest'], "'nearest'"),
  'unknown format': (['--format=xml'], "'xml'"),
  'unknown flag': (['--supports=x'], '--supports'),
  'no flag': (['x=3'], 'x=3'),
  'suggest not whole': (['--suggest=1.5'], "'1.5'"),
  'suggest below zero': (['--suggest=-1'], '--suggest=-1'),
  'rate of zero': (['--rate_hz=0'], '--rate_hz=0'),
  'rate not a number': (['--rate_hz=nan'], '--rate_hz=nan'),
  'suffix of no format': (['--output=out.txt'], 'out.txt', '--format'),
  'folder of the output gone': (['--output=none/out.csv'], 'no folder none'),
}


@pytest.mark.parametrize('more, says', [(t, s) for t, *s in FLAGS.values()], ids=FLAGS)
def test_bad_flags(given, capsys, more, says):
  refused(given, capsys, *says, more=more)


def test_nothing_that_is_read_is_written_over(given, capsys, tmp_path):
  refused({**given, 'output': given['support']}, capsys, 'would write over --support')
  given['support'] = given['support'].rename(tmp_path / 'out.next.csv')
  refused(given, capsys, 'would write over --support', more=['--suggest=3'])
  refused({**given, 'output': tmp_path}, capsys, more=['--format=csv'])


def test_a_missing_flag_is_named(capsys):
  assert label.main(['--run=x']) == 2
  err = capsys.readouterr().err
  assert '--source' in err and err.count('\n') == 1


def _change(folder, **change):
  path = folder / 'config.json'
  document = json.loads(path.read_text())
  document['config'].update(change)
  path.write_text(json.dumps(document))


def _break(folder):
  for path in sorted((folder / 'checkpoints' / 'final').rglob('*')):
    if path.is_file() and path.stat().st_size > 20:
      path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _gone(folder, name='config.json'):
  (folder / name).unlink()


CELLS = {
  'not a cell': (_gone, 'not a cell'),
  'config damaged': (lambda f: (f / 'config.json').write_text('{"config": '), 'config.json'),
  'config of nothing': (lambda f: (f / 'config.json').write_text('[]'), 'config.json'),
  'config without a model': (lambda f: _change(f, model=None), 'config.json'),
  'another system': (lambda f: _change(f, system='vavl'), 'vavl'),
  'a head': (lambda f: _change(f, stage='head'), 'a cell of mtclar, head'),
  'a baseline': (lambda f: _change(f, stage='label', label={'method': 'ridge'}), 'ridge'),
  'no warm start': (lambda f: _change(f, stage='label'), 'config.json'),
  'not finished': (lambda f: _gone(f, 'predictions.npz'), 'not finished'),
  'failed': (lambda f: (f / 'FAILED').write_text('x'), 'failed'),
  'no parameters': (lambda f: (f / 'checkpoints' / 'final').rename(f / 'checkpoints' / 'other'), 'finished parameters'),
  'parameters damaged': (_break, 'checkpoints/final'),
}


@pytest.mark.parametrize('spoil, says', CELLS.values(), ids=CELLS)
def test_cells_that_cannot_label(given, capsys, tmp_path, spoil, says):
  given['run'] = label_cells.untrained(tmp_path / 'runs')
  spoil(given['run'])
  refused(given, capsys, given['run'], says)


def test_a_cell_that_is_not_there(given, capsys, tmp_path):
  refused({**given, 'run': tmp_path / 'none'}, capsys, 'none', 'no such folder')
