"""What can be wrong with a folder of one's own, with its table, or with a copy of Emo-DB: one line each, nothing left.

Every case mutates a miniature that is otherwise right, and names the fragments its line must hold.
"""

import functools

import numpy as np
import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.own import folder as folder_lib
from affectjax.data.own import labelled
from affectjax.data.store import opening, preparing
from tests.helpers import faults, rated
from tests.helpers import own_miniature as miniature
from tests.helpers.faults import (
  BOMB,
  Mutation,
  cell,
  clear,
  copy,
  cut,
  drop,
  folder,
  lines,
  move,
  nothing,
  npy,
  put,
  remove,
  row,
  swap,
  text,
  then,
  value,
)

TABLE, LLD = 'metadata.csv', 'egemaps_lld_10ms.npz'
arrays = functools.partial(faults.arrays, LLD)
RATE = {'rate_hz': '50'}


def column(name: str, *cells: str) -> Mutation:
  """Another column of the table, `cells` in turn."""
  return lines('labels.csv', lambda x: x.__setitem__(slice(None), [
    f'{line},{name if i == 0 else cells[(i - 1) % len(cells)]}' for i, line in enumerate(x)]))  # fmt: skip


def wav(name: str, x: np.ndarray, **how) -> Mutation:
  return lambda source: rated.wav(source / name, x, **how)


L, X = 'labels.csv', 'clip03.npy'
# fmt: off
ONE = [  # a flat folder; options rate_hz=50 unless the case says otherwise
  (clear, 'source: no feature files; expected <id>.npy, .npz, .csv or .wav'),
  (then(clear, lambda s: s.rmdir()), 'source: no such folder'),
  (then(clear, lambda s: s.rmdir(), lambda s: s.write_text('x')), 'source: a file; expected a folder of features'),
  (remove(L), f'{L}: no such file'),
  (text(L, ''), f'{L}: empty file'),
  (text(L, 'id,group,emotion\n'), f'{L}: no lines after the header'),
  (text(L, bytes(range(128, 256))), f'{L}: cannot be read as UTF-8 text'),
  (text(L, '"' + 'x' * 200_000), f'{L}: cannot be read as a table'),
  (swap(L, 'id,', 'name,'), f"{L}: no column 'id'; line 1 has: name, group"),
  (swap(L, 'group', 'speaker'), f"{L}: no column 'group'; line 1 has: id, speaker"),
  (swap(L, 'pulse', 'valence'), f'{L}: line 1 is no header; expected the names of the columns, all different'),
  (swap(L, 'valence', 'Valence'), f"{L}: column 'Valence', expected 'valence'"),
  (swap(L, 'valence', ' valence'), f"{L}: column ' valence', expected 'valence'"),
  (swap(L, 'pulse', 'heart rate'), f"{L}: column 'heart rate', expected another name"),
  (swap(L, 'pulse', 'votes'), f"{L}: column 'votes', expected another name"),
  (swap(L, 'pulse', 'audio'), f"{L}: column 'audio' has the name of a modality"),
  (swap(L, 'pulse', 'audio_mask'), f"{L}: column 'audio_mask' has the name of a modality"),
  (lines(L, lambda x: x.__setitem__(slice(None), [','.join(r.split(',')[:3]) for r in x])),
   f'{L}: no column of labels; expected emotion', 'unlabelled=true'),
  (lines(L, lambda x: x.__setitem__(4, x[4] + ',1')), f'{L}: line 5 has 8 cells, the header has 7'),
  (row(L, 3, ''), f'{L}: line 3 has 0 cells, the header has 7'),
  (cell(L, 5, 0, ''), f'{L}: line 5: id is empty, expected the name of a file'),
  (cell(L, 5, 1, ' '), f'{L}: line 5: group is empty, expected the speaker'),
  (cell(L, 5, 2, ''), f'{L}: line 5: item is empty'),
  (cell(L, 5, 0, 'clip01'), f"{L}: line 5: id 'clip01' has an earlier line, 3; expected one"),
  (cell(L, 5, 0, 'clip99'), f"{L}: line 5: id 'clip99' has no file in", '(1 such ids); add it, or remove the line'),
  (drop(L, 5, 7), "clip03.npy: id 'clip03' has no line in", 'labels.csv (2 such files); add it, or remove the file'),
  (cell(L, 5, 4, 'high'), f"{L}: line 5, id 'clip03': valence is 'high', expected a number, or nothing where none is"),
  (cell(L, 5, 4, 'NaN'), f"{L}: line 5, id 'clip03': valence is NaN, expected a finite number"),
  (cell(L, 5, 6, 'inf'), f"{L}: line 5, id 'clip03': pulse is inf, expected a finite number"),
  (cell(L, 5, 6, '1e39'), f"{L}: line 5, id 'clip03': pulse is 1e39, expected a finite number"),
  (cell(L, 5, 6, 'fast'), f"{L}: line 5, id 'clip03': pulse is 'fast', expected a number"),
  (cell(L, 5, 5, '4.5'), f"{L}: line 5, id 'clip03': arousal is 4.5, expected a value in [-1, 1]; scale it"),
  (lines(L, lambda x: x.__setitem__(slice(1, None), [
    ','.join(['' if i == 3 else c for i, c in enumerate(r.split(','))]) for r in x[1:]])),
   f'{L}: column emotion is empty in every line'),
  (column('split', 'train', 'valid'), f"split in {{source}}/{L}: line 3, id 'clip01': 'valid'; there is: dev, test, t"),
  (column('split', 'train', ''), f"split in {{source}}/{L}: line 3, id 'clip01': ''; there is: dev, test, train"),
  (copy(X, 'clip03.npz'), "source: 'clip03' has two files (clip03.npy, clip03.npz), expected one"),
  (copy(X, 'clip03.wav'), 'source: both sound (clip03.wav) and features (clip00.npy)'),
  (copy(X, 'audio/clip03.npy'), 'source: both files (clip00.npy) and folders (audio)'),
  (npy(X, np.zeros((5, 3))), f'{X}: 3 features per frame, expected 4'),
  (npy(X, np.zeros((0, 4))), f'{X}: empty array'),
  (npy(X, np.zeros((2, 3, 4))), f'{X}: array of shape [2, 3, 4]'),
  (npy(X, BOMB), f'{X}: cannot be read as an .npy array'),
  (cut(X), f'{X}: cannot be read as an .npy array'),
  (npy(X, np.array(['a'])), f'{X}: array of dtype <U1'),
  (npy('clip00.npy', np.zeros((5, 3))), 'clip01.npy: 4 features per frame, expected 3'),
  (value(X, (2, 1), np.nan), "id 'clip03': audio is nan in frame 2", '--nonfinite=drop'),
]
OPTIONS = [  # (form, options, mutation, fragments)
  ('one', {}, nothing, '.npy: ', 'frames, and no rate of audio is known; give --rate_hz=<frames per second>, or none'),
  ('one', {'rate_hz': '0'}, nothing, "rate_hz: '0', expected frames per second, above 0, or none"),
  ('one', {'rate_hz': 'fast'}, nothing, "rate_hz: 'fast', expected frames per second"),
  ('one', {'rate_hz': 'video:25'}, nothing, "unknown modality in rate_hz 'video'; there is: audio"),
  ('one', {**RATE, 'modality': 'Audio'}, nothing, "modality 'Audio', expected another name, of small letters"),
  ('one', {**RATE, 'modality': 'valence'}, nothing, "modality 'valence', expected another name"),
  ('one', {**RATE, 'missing': 'drop'}, nothing, "unknown value of the option missing 'drop'; there is: absent, error"),
  ('one', {**RATE, 'unlabelled': 'yes'}, nothing, "unknown value of the option unlabelled 'yes'"),
  ('one', {**RATE, 'emotions': 'joy,anger'}, nothing, 'unknown emotion in', "line 7, id 'clip05': 'calm'; there is"),
  ('one', {**RATE, 'emotions': 'joy,,anger'}, nothing, "option emotions: 'joy,,anger', expected names of classes"),
  ('one', {**RATE, 'folds': '5'}, nothing, "unknown option of mine 'folds'; there is: emotions, licence, missing, mod"),
  ('csv', RATE, swap('clip03.csv', 'f2', 'f9'), "clip03.csv: column 3 is 'f9', expected 'f2' as in the first file"),
  ('csv', RATE, text('clip03.csv', 'f0,f1\n1,2\n'), 'clip03.csv: 2 features per frame, expected 4'),
  ('csv', RATE, text('clip03.csv', 'f0,f1,f2,f3\n1,2,3,x\n'), "clip03.csv: line 2, column 'f3': 'x' is not a number"),
  ('two', {}, nothing, 'frames, and no rate of audio is known'),
  ('two', RATE, nothing, "rate_hz: '50', expected a rate per modality, e.g. audio:50,visual:50"),
  ('two', {'modality': 'audio'}, nothing, "modality 'audio' was given, but there are folders", 'audio, visual'),
  ('two', {}, remove('visual/clip03.npy'), "line 5: id 'clip03' has no file in", 'visual', 'option missing=absent'),
  ('two', {'missing': 'absent'}, then(remove('visual/clip03.npy'), remove('audio/clip03.npy')),
   "line 5: id 'clip03' has no file in", '(1 such ids); add it, or remove the line'),
  ('two', {}, folder('text'), 'source/text: no feature files'),
  ('two', {}, move('visual', 'Visual'), "modality 'Visual', expected another name"),
  ('two', {}, copy('visual/clip03.npy', 'visual/other.npy'), "visual/other.npy: id 'other' has no line in"),
  ('sound', RATE, nothing, "rate_hz: '50', but descriptors of wav files (audio) are 10 ms apart; leave it out"),
  ('sound', {}, cut('clip03.wav'), 'clip03.wav: cannot be read as a wav file (damaged or of another kind): it is cut'),
  ('sound', {}, text('clip03.wav', 'ID3'), 'clip03.wav: cannot be read as a wav file'),
  ('sound', {}, wav('clip03.wav', np.zeros(900)), 'clip03.wav: 0.056 s of sound, expected 0.06 s or more'),
  ('sound', {}, copy('clip03.wav', 'clip03.WAV'), "'clip03' has two files (clip03.WAV, clip03.wav)"),
]
PACK = [  # Emo-DB
  (clear, 'no Emo-DB with features here', 'features/03a01Fa.npy'),
  (folder('features'), f'both {LLD} and features; keep one'),
  (remove(TABLE), f'{TABLE}: no such file'),
  (cut(LLD, 60), f'{LLD}: cannot be read as an .npz archive'),
  (arrays(lld_names=lambda x: False), f"{LLD}: no array 'lld_names'"),
  (arrays(files=lambda x: BOMB), f'{LLD}: cannot be read'),
  (arrays(lld=lambda x: x[:, 0]), f'{LLD}: lld is float16', 'expected floats [N, D]'),
  (arrays(offsets=lambda x: x.astype(float)), f'{LLD}: offsets is float64'),
  (arrays(lld_names=lambda x: x[1:]), f'{LLD}: lld has 5 columns, lld_names 4'),
  (arrays(lld=lambda x: x[:-3]), f'{LLD}: 25 offsets from 0 to'),
  (arrays(offsets=lambda x: x.__setitem__(4, x[3])), f'{LLD}: 03a01Wa.wav has 0 frames by the offsets'),
  (arrays(files=lambda x: x.__setitem__(4, x[3])), f"{LLD}: files has '03a01Wa' twice"),
  (arrays(files=lambda x: x.__setitem__(4, '03a01F.wav')), f"{LLD}: files: name '03a01F', expected seven"),
  (arrays(files=lambda x: x.__setitem__(4, '04a01Fa.wav')), f"{LLD}: files: speaker of '04a01Fa' is '04'"),
  (arrays(files=lambda x: x.__setitem__(4, '03a01Xa.wav')), f"{LLD}: files: emotion of '03a01Xa' is 'X'"),
  (arrays(lld=put((7, 2), np.nan)), "id '03a01", 'audio is nan in frame'),
  (drop(TABLE, 9, 10), f'{TABLE}: 23 rows, {LLD} has 24 recordings'),
  (swap(TABLE, 'natural_pct', 'natural'), f"{TABLE}: no column 'natural_pct'"),
  (cell(TABLE, 5, 2, '8'), f"{TABLE}: line 5: speaker is '8', but {LLD} says '3' of recording 3 (03a01Wa)"),
  (cell(TABLE, 5, 6, 'fear'), f"{TABLE}: line 5: emotion is 'fear', but {LLD} says 'anger'"),
  (cell(TABLE, 5, 10, '400'), f"{TABLE}: line 5: n_frames is '400'"),
  (cell(TABLE, 5, 7, '120'), f"{TABLE}: line 5: recognised_pct is '120', expected a percentage, 0 to 100"),
  (cell(TABLE, 5, 8, ''), f"{TABLE}: line 5: natural_pct is '', expected a percentage"),
]
VECTOR, HEARD = 'features/03a01Wa.npy', 'erkennung.txt'
FOLDER = [
  (then(clear, text('features', 'x')), 'features: a file, expected a folder'),
  (then(clear, folder('features')), 'features: no feature files; expected 03a01Fa.npy'),
  (remove(VECTOR), "features: no feature file for '03a01Wa', which wav has"),
  (remove('wav/03a01Wa.wav'), 'features/03a01Wa.npy: no 03a01Wa.wav in'),
  (move('wav/03a01Wa.wav', 'wav/angry.wav'), "wav/angry.wav: name 'angry', expected seven letters and digits"),
  (move(VECTOR, 'features/03c01Wa.npy'), "features/03c01Wa.npy: sentence of '03c01Wa' is 'c01', expected one of a01"),
  (move(VECTOR, 'features/03a01Wz.npy'), "version of '03a01Wz' is 'z', expected one of a, b"),
  (copy(VECTOR, 'features/03a01Wa.npz'), "'03a01Wa' has 2 feature files"),
  (npy(VECTOR, np.zeros((5, 4))), f'{VECTOR}: 4 features per frame, expected 5'),
  (text(HEARD, 'file,recognised\n'), f"{HEARD}: line 1 is 'file,recognised', expected Nr., Satz"),
  (text(HEARD, 'Nr. Satz erkannt natuerlich\n'), f'{HEARD}: no lines after the first'),
  (text(HEARD, 'Nr. Satz erkannt natuerlich\n1 03a01Fa.wav 90,00\n'), f"{HEARD}: line 2 is '1 03a01Fa.wav 90,00'"),
  (text(HEARD, 'Nr. Satz erkannt natuerlich\n1 03a01Fa.wav 90,00 120,00\n'), f"{HEARD}: line 2: natuerlich is '120"),
  (text(HEARD, 'Nr. Satz erkannt natuerlich\n1 a.wav 1 1\n2 a.wav 1 1\n'), f"{HEARD}: line 3: 'a' has an earlier line"),
]
# fmt: on
OWN = [('one', RATE, *case) for case in ONE] + OPTIONS
EMODB = [('pack', {}, *case) for case in PACK] + [('folder', {}, *case) for case in FOLDER]
EMODB += [('pack', {'audio_hz': '50'}, nothing, 'option audio_hz: 50', '10 ms apart')]
EMODB += [('folder', {'audio_hz': '-1'}, nothing, "option audio_hz: '-1'")]
WRITERS = {
  'one': miniature.one,
  'csv': lambda source: miniature.one(source, '.csv'),
  'two': miniature.two,
  'sound': miniature.sound,
  'pack': miniature.emodb_pack,
  'folder': miniature.emodb_folder,
}


def _named(cases):
  return dict(argvalues=cases, ids=[f'{c[0]}: {c[3]}'.replace('[', '').replace(']', '')[:60] for c in cases])


@pytest.fixture
def written(tmp_path, monkeypatch):
  """Writes a source of a form with a fault; returns its folder."""
  (tmp_path / 'cwd').mkdir()
  monkeypatch.chdir(tmp_path / 'cwd')

  def write(form, mutate):
    WRITERS[form](tmp_path / 'source')
    mutate(tmp_path / 'source')
    return tmp_path / 'source'

  return write


def _check(line: str, wanted: list[str], tmp_path) -> None:
  assert '\n' not in line and len(line) < 600
  for fragment in wanted:
    fragment = fragment.replace('{source}', str(tmp_path / 'source'))
    assert fragment in line, f'{fragment!r} is not in: {line}'
  assert not (tmp_path / 'cwd' / 'unpickled').exists()
  assert not [p for p in (tmp_path / 'data').rglob('*') if p.is_file()], 'something is left half-written'


@pytest.mark.campaign(4)
@pytest.mark.parametrize('case', **_named(OWN))
def test_a_folder_of_ones_own_is_refused_in_one_line(tmp_path, written, case, capsys):
  form, options, mutate, *wanted = case
  source, data = written(form, mutate), tmp_path / 'data'
  extraction = folder_lib.Extraction(data / 'mine.frames')
  with pytest.raises(UserError) as refusal:
    preparing.prepare('mine', source, data, options=options, reader=labelled.Reader(source / L, extraction))
  given = [f'--option={key}={x}' for key, x in options.items()]
  where = [f'--source={source}', f'--labels={source / L}', f'--data_dir={data}']
  said = str(refusal.value)
  assert prepare.main(['features', '--name=mine', *where, *given]) == 2
  out, err = capsys.readouterr()
  *lines, last = err.splitlines(keepends=True)
  assert out == '' and last == f'error: {said}\n' and lines in ([], [f'{said}\n']), (
    'a damaged wav has a line of its own'
  )
  _check(said, wanted, tmp_path)
  assert opening.own_names(data) == []
  with pytest.raises(UserError, match="unknown corpus 'mine'"):
    opening.open_corpus('mine', data)


@pytest.mark.campaign(4)
@pytest.mark.parametrize('case', **_named(EMODB))
def test_a_copy_of_emodb_is_refused_in_one_line(tmp_path, written, case, capsys):
  form, options, mutate, *wanted = case
  source = written(form, mutate)
  given = [f'--option={key}={x}' for key, x in options.items()]
  assert prepare.main(['emodb', f'--source={source}', f'--data_dir={tmp_path / "data"}', *given]) == 2
  out, err = capsys.readouterr()
  assert out == '' and err.startswith('error: ') and err.endswith('\n')
  _check(err[:-1], wanted, tmp_path)
  with pytest.raises(UserError, match='emodb is not prepared'):
    opening.open_corpus('emodb', tmp_path / 'data')


@pytest.mark.parametrize(
  'arguments, said',
  [
    ('features', '--name is missing; usage: python -m affectjax.prepare features --name=NAME'),
    ('features --name=mine', '--source is missing'),
    ('features --name=mine --source=x', '--labels is missing'),
    ('features --name=mine --source=x --labels=y', '--data_dir is missing'),
    ('emodb --source=x --data_dir=y --labels=z', '--labels goes with features of your own'),
    ('emodb --source=x --data_dir=y --rate_hz=50', '--rate_hz goes with features of your own'),
    ('feature --name=mine', "unknown corpus 'feature'; there is: afew_va, affectnet"),
    ('features --name=mine --source=x --labels=y --data_dir=z', 'x: no such folder'),
    ('features --name=mine --source=x --labels=y --data_dir=x/z', '--data_dir=x/z lies in --source=x; choose'),
    (
      'features --name=m --source=x --labels=y --data_dir=z --rate_hz=5 --option=rate_hz=6',
      '--option=rate_hz=6: there',
    ),
    ('features --name=m --source=x --labels=y --data_dir=z --option=labels=y', "unknown option of m 'labels'"),
    ('features --name=mine --source=x --labels=y --data_dir=z --nonfinite=keep', "non-finite features 'keep'"),
  ],
)
def test_flags(tmp_path, monkeypatch, arguments, said, capsys):
  monkeypatch.chdir(tmp_path)
  if '--option=labels' in arguments:
    (tmp_path / 'x').mkdir()
  assert prepare.main(arguments.split()) == 2
  err = capsys.readouterr().err
  assert err.startswith('error: ') and said in err and err.count('\n') == 1
  assert not (tmp_path / 'z').exists()


def test_there_are_faults_enough_and_without_one_each_can_be_prepared(tmp_path):
  assert len(OWN) >= 60 and len(EMODB) >= 35
  for form in ('pack', 'folder'):
    assert preparing.prepare('emodb', WRITERS[form](tmp_path / form), tmp_path / f'{form}.data').counts['all']
  for form, rate in (('one', '50'), ('csv', '50'), ('two', 'audio:50,visual:none')):
    source = WRITERS[form](tmp_path / form)
    reader = labelled.Reader(source / L, folder_lib.Extraction(tmp_path / 'frames'))
    assert preparing.prepare('mine', source, tmp_path / f'{form}.data', options={'rate_hz': rate}, reader=reader)
