"""What `affectjax.predict` refuses, each in one line that says what was found and what to do; nothing is written."""

import json
import shutil

import numpy as np
import pytest

from affectjax import predict
from affectjax.commands import normalisation
from affectjax.data import egemaps
from tests.helpers import amber2_small, own_miniature, predict_cells

WIDTH = 25
TWIN = dict(seed=0, turns=400, audio_width=WIDTH, text_width=12)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A cell that reads audio and text, and its corpus's features in a folder."""
  place = tmp_path_factory.mktemp('trained')
  config = amber2_small.config('ce_fusion', twins=dict(iemocap=TWIN))
  run = predict_cells.train(place, config)
  ids = predict_cells.export(config, place / 'in', ('audio', 'text'), lambda m, i: i < 12)
  return run, place / 'in', ids[:12]


class Case:
  """A cell and a folder that may be spoilt."""

  def __init__(self, trained, place):
    self.run, self.source = place / 'cell', place / 'in'
    self.output = place / 'out.csv'
    shutil.copytree(trained[0], self.run)
    shutil.copytree(trained[1], self.source)
    self.ids = trained[2].tolist()
    self.flags = []

  def file(self, i=0, modality='audio'):
    return self.source / modality / f'{self.ids[i]}.npy'

  def config(self, **changes):
    """Changes keys of the run's config; dots go down."""
    self.document(lambda d: [_set(d['config'], k.split('__'), v) for k, v in changes.items()])

  def document(self, change):
    path = self.run / 'config.json'
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))

  def features(self, modality='audio', **changes):
    self.document(lambda d: d['features'][modality].update(changes))

  def every(self, change, modality='audio'):
    for i in range(len(self.ids)):
      if self.file(i, modality).exists():
        np.save(self.file(i, modality), change(np.load(self.file(i, modality))).astype(np.float32))

  def call(self) -> int:
    flags = [f'--run={self.run}', f'--source={self.source}', f'--output={self.output}', *self.flags]
    return predict.main(flags)


def _set(tree, keys, value):
  for key in keys[:-1]:
    tree = tree[key]
  tree[keys[-1]] = value


def _csv(case, header, modality='audio'):
  for i in range(len(case.ids)):
    if case.file(i, modality).exists():
      x = np.load(case.file(i, modality))
      rows = [','.join(header), *(','.join(map(repr, r)) for r in x.tolist())]
      case.file(i, modality).with_suffix('.csv').write_text('\n'.join(rows) + '\n')
      case.file(i, modality).unlink()


def _items(case, lines):
  path = case.source.parent / 'items.csv'
  path.write_text('\n'.join(['id,item', *lines]) + '\n')
  case.flags.append(f'--items={path}')


def _flat(case):
  case.source = case.source / 'audio'


def _remove(path):
  shutil.rmtree(path) if path.is_dir() else path.unlink()


NAMES = [f'f{i}' for i in range(WIDTH)]
CASES = {
  # the cell
  'no such cell': (lambda c: setattr(c, 'run', c.run / 'nowhere'), 'nowhere: no such folder; expected WORKDIR/cells'),
  'no cell': (lambda c: _remove(c.run / 'config.json'), 'not a cell, there is no config.json'),
  'config damaged': (lambda c: (c.run / 'config.json').write_text('{"config": '), 'cannot be read as the config'),
  'config of nothing': (lambda c: (c.run / 'config.json').write_text('[]'), 'cannot be read as the config of a cell'),
  'failed': (lambda c: (c.run / 'FAILED').write_text('x'), 'this cell failed, see its file FAILED'),
  'unfinished': (lambda c: _remove(c.run / 'predictions.npz'), 'not finished, there is no predictions.npz'),
  'older': (lambda c: c.document(lambda d: d.pop('features')), 'says no width and rate of the training features'),
  'no parameters': (lambda c: _remove(c.run / 'checkpoints'), 'holds no finished parameters'),
  'parameters damaged': (
    lambda c: [_remove(p) for p in (c.run / 'checkpoints' / 'final').iterdir()], 'cannot be read (damaged?)'
  ),
  'predictions damaged': (lambda c: (c.run / 'predictions.npz').write_bytes(b'PK'), 'predictions.npz cannot be read'),
  'unknown system': (lambda c: c.config(system='oracle'), "unknown system 'oracle'; there is: amber2"),
  'key is gone': (lambda c: c.document(lambda d: d['config']['data'].pop('summary')), "says nothing of 'summary'"),
  'other network': (lambda c: c.config(model__hidden=9), 'its parameters do not fit the network of this version'),
  'reference': (lambda c: c.config(stage='reference'), 'amber2, stage reference, is not trained'),
  'unknown modality of the cell': (
    lambda c: c.document(lambda d: d['features'].pop('text')), "says nothing of its modality 'text'"
  ),
  'siamese': (lambda c: c.config(system='mtclar', stage='siamese'), 'python -m affectjax.label --run='),
  'ridge': (lambda c: c.config(system='mtclar', stage='head', head={'method': 'ridge'}), 'leaves no parameters behind'),
  'pretraining': (lambda c: c.config(system='masked_ssl', stage='pretrain'), 'a pretraining cell'),
  'earlier': (lambda c: c.config(system='masked_ssl', stage='finetune'), 'an earlier version ran it; remove'),
  'by speaker': (lambda c: c.config(system='masked_ssl', stage='finetune', data=dict(standard='group')), 'by speaker'),
  'constant': (lambda c: c.config(system='masked_ssl', stage='reference'), 'stage reference, is not trained'),
  'crowd': (lambda c: c.config(system='vavl', stage='reference'), 'vavl, stage reference, is not trained'),
  'across the batch': (
    lambda c: c.config(system='vavl', stage='network', parity={'attend_across_batch': True}), 'share a batch'
  ),
  'looks back': (lambda c: c.config(data__context=3), 'looks back on the 2 examples before it'),
  # the folder
  'no source': (lambda c: shutil.rmtree(c.source), 'no such folder; expected a folder of features'),
  'empty source': (
    lambda c: [_remove(p) for p in (c.source / 'audio', c.source / 'text')], 'no feature files; expected <id>.npy'
  ),
  'strange folder': (lambda c: shutil.copytree(c.source / 'text', c.source / 'odour'), "'odour'; there is: audio"),
  'nothing that is read': (
    lambda c: [c.config(data__modalities=['audio'], heads=['audio'], student='audio'), _remove(c.source / 'audio')],
    'text, but the cell reads audio',
  ),
  'one modality of two': (_flat, 'files of one modality, but the cell reads audio and text; say which with --modality'),
  'wrong modality': (lambda c: [_flat(c), c.flags.append('--modality=scent')], "'scent'; there is: audio, text"),
  'two files of an id': (lambda c: shutil.copy(c.file(), c.file().with_suffix('.npz')), 'has two files'),
  'damaged file': (lambda c: c.file(3).write_bytes(b'no array'), 'cannot be read as an .npy array'),
  'other width': (
    lambda c: c.every(lambda x: x[:, :9]), '9 features per frame of audio, the cell was trained on 25'
  ),
  'other width of one': (lambda c: np.save(c.file(4), np.zeros((1, 9), np.float32)), '9 features per frame'),
  'rate is not said': (lambda c: c.features(rate_hz=50.0), 'give --rate_hz=audio:50 if that is what they have'),
  'other rate': (
    lambda c: [c.features(rate_hz=50.0), c.flags.append('--rate_hz=audio:25')],
    'audio has 25 frames per second, the cell was trained on 50 frames per second',
  ),
  'a rate of words': (lambda c: c.flags.append('--rate_hz=text:4'), 'the cell was trained on frames without a rate'),
  'rate of nothing': (lambda c: c.flags.append('--rate_hz=audio:fast'), 'expected frames per second, above 0, or none'),
  'other columns': (
    lambda c: [c.features(columns=[*NAMES[:-1], 'pitch']), _csv(c, NAMES)],
    "feature 25 of audio is 'f24', in training it was 'pitch'",
  ),
  'not finite': (lambda c: c.every(lambda x: x * np.nan), 'audio is nan in frame 0'),
  'nothing finite': (
    lambda c: [c.every(lambda x: x * np.nan), c.flags.append('--nonfinite=drop')], 'ids has NaN or infinity'
  ),
  'a modality that is needed': (
    lambda c: [c.config(heads=['text'], student='text'), _remove(c.file(2, 'text'))], 'has no text (1 of'
  ),
  # normalisation
  'moved': (lambda c: c.every(lambda x: x + 90, 'text'), 'text is not scaled as in training: per feature (median) the'),
  'scaled': (lambda c: c.every(lambda x: x * 20), 'the sd by a factor of'),
  'squeezed': (lambda c: c.every(lambda x: x / 20), 'or give --normalisation=trust to go on'),
  # items
  'no items': (lambda c: c.flags.append('--items=nowhere.csv'), 'nowhere.csv: no such file'),
  'item of nothing': (lambda c: _items(c, ['ghost,film']), "line 2: id 'ghost' has no file"),
  'id without item': (lambda c: _items(c, [f'{c.ids[0]},film']), 'has no line in'),
  'item is empty': (lambda c: _items(c, [f'{c.ids[0]},']), 'line 2: item is empty'),
  'item twice': (lambda c: _items(c, [f'{c.ids[0]},film'] * 2), 'has an earlier line'),
  # the output
  'no folder': (lambda c: setattr(c, 'output', c.output.parent / 'no' / 'out.csv'), 'there is no folder'),
  'output is a folder': (lambda c: setattr(c, 'output', c.source), 'a folder; expected a file'),
  'output is no csv': (lambda c: setattr(c, 'output', c.output.with_suffix('.xls')), 'a name that ends in .csv'),
  'output in the source': (lambda c: setattr(c, 'output', c.source / 'out.csv'), 'lies in --source'),
  'output in the cell': (lambda c: setattr(c, 'output', c.run / 'out.csv'), 'lies in --run'),
  # flags
  'unknown flag': (lambda c: c.flags.append('--speed=9'), '--speed=9; see python -m affectjax.predict --help'),
  'no workers': (lambda c: c.flags.append('--workers=0'), '--workers=0; expected 1 or more'),
  'unknown policy': (lambda c: c.flags.append('--nonfinite=zero'), "invalid choice: 'zero'"),
}  # fmt: skip


@pytest.mark.campaign(3)
@pytest.mark.parametrize('name', CASES)
def test_it_is_refused_in_one_line(trained, tmp_path, capsys, name):
  spoil, message = CASES[name]
  case = Case(trained, tmp_path)
  spoil(case)
  before = sorted(tmp_path.rglob('*'))
  assert case.call() == 2
  err = capsys.readouterr().err.splitlines()
  errors = [line for line in err if line.startswith('error: ')]
  assert len(errors) == 1 and err[-1] == errors[0], err
  assert message in errors[0], errors[0]
  assert 'Traceback' not in '\n'.join(err)
  assert sorted(tmp_path.rglob('*')) == before, 'nothing is left behind'


def test_trust_goes_on_and_says_nothing_of_it(trained, tmp_path, capsys):
  case = Case(trained, tmp_path)
  case.every(lambda x: x + 90, 'text')
  case.flags.append('--normalisation=trust')
  _remove(case.file(0, 'text'))
  assert case.call() == 0
  out = capsys.readouterr()
  assert out.out.startswith('12 ids, 12 rows, id, p_neutral') and 'error' not in out.err
  written = predict_cells.read(case.output)
  shares = np.stack([v for k, v in written.items() if k.startswith('p_')], 1)
  np.testing.assert_allclose(shares.sum(1), 1, atol=1e-5)


def test_an_id_of_which_nothing_is_left_has_empty_cells(trained, tmp_path):
  case = Case(trained, tmp_path)
  for m in ('audio', 'text'):
    if case.file(0, m).exists():
      np.save(case.file(0, m), np.load(case.file(0, m)) * np.nan)
  case.flags.append('--nonfinite=mask')
  assert case.call() == 0
  lines = case.output.read_text().splitlines()
  assert f'{case.ids[0]},,,,,' in lines and sum(',,' in line for line in lines) == 1


def test_wavs_are_described_as_they_are_prepared(trained, tmp_path, capsys):
  pytest.importorskip('opensmile')
  case = Case(trained, tmp_path)
  case.features(rate_hz=100.0, columns=list(egemaps.COLUMNS))
  shutil.rmtree(case.source)
  own_miniature.sound(case.source)
  (case.source / 'labels.csv').unlink()
  case.flags = ['--modality=audio', '--normalisation=trust']
  assert case.call() == 0
  first = case.output.read_bytes()
  assert len(list((tmp_path / 'out.frames' / 'audio').glob('*.npy'))) == len(own_miniature.IDS)
  case.flags = ['--modality=audio']
  assert case.call() == 2
  assert 'sma3' in capsys.readouterr().err, 'the feature is named'
  assert case.output.read_bytes() == first


def features(frames: int, width: int = 40):
  rng = np.random.default_rng(0)
  mean, scale = rng.normal(0, 5, width), np.exp(rng.normal(0, 1, width))
  return (mean + scale * rng.normal(size=(frames, width))).astype(np.float32), mean, scale


def test_features_like_those_of_training_pass():
  x, mean, scale = features(500)
  distance = normalisation.distance(x, mean, scale, 20)
  assert distance.ok and distance.shift < 0.1 and distance.factor < 1.1
  one = normalisation.distance(x[:1], mean, scale, 1)
  assert one.ok and one.shift < 1.5, 'one frame has no sd'
  still = normalisation.distance(np.repeat(x[:1], 50, 0), mean, scale, 1)
  assert still.ok, 'a face that does not move'


def test_distance_is_in_training_sds_and_ignores_constants():
  x, mean, scale = features(2000)
  x[:, 0], half = 1e6, scale / 2
  half[0] = 1.0
  distance = normalisation.distance(x, mean + 4 * scale, half, 20)
  assert (
    distance.shift == pytest.approx(8, rel=0.02) and distance.factor == pytest.approx(2, rel=0.02) and not distance.ok
  )
  assert distance.worst != 0


def test_standardised_features_are_told_apart_from_those_trained_on_such():
  x = np.random.default_rng(1).normal(size=(500, 40)).astype(np.float32)
  _, mean, scale = features(2)
  distance = normalisation.distance(x, mean / 10, scale, 20)
  assert distance.standardised and not distance.ok
  assert 'audio looks standardised already, the training features were not' in normalisation.fault('audio', distance)
  assert normalisation.distance(x, np.zeros(40), np.full(40, 1.01), 20).ok


def test_nothing_to_compare_is_said():
  x = features(10)[0]
  plain = {'mean': np.zeros(40), 'scale': np.ones(40)}
  assert normalisation.check('dir', {'a': x, 'b': x[:0]}, {'a': plain}, 3, {}) == ([], ['a', 'b'])
