"""Sources of the open corpora that are broken in one way each: one line, status 2, nothing that counts as prepared."""

import csv
import os
import shutil

import numpy as np
import pytest

from affectjax import prepare
from affectjax.data.corpora import studyforrest
from tests.helpers import miniature

AUDIO = f'{studyforrest._CONFOUNDS}/annotation/audio'
VISUAL = f'{studyforrest._CONFOUNDS}/annotation/visual'
RAW = f'{studyforrest._EMOTIONS}/data/raw'


# Ways to break a file


def truncated(name, keep=0.6):
  return lambda d: os.truncate(d / name, int((d / name).stat().st_size * keep))


def text(name, content):
  return lambda d: (d / name).write_text(content)


def missing(name):
  return lambda d: (d / name).unlink()


def removed(name):
  return lambda d: shutil.rmtree(d / name)


def arrays(name, **changes):
  """Changes arrays of an .npz; None removes, a function maps."""

  def do(d):
    with np.load(d / name) as z:
      out = dict(z)
    for key, value in changes.items():
      if value is None:
        del out[key]
      else:
        out[key] = value(out[key].copy()) if callable(value) else value
    np.savez(d / name, **out)

  return do


def put(index, value):
  """An array with one element changed."""

  def do(x):
    x[index] = value
    return x

  return do


def rows(name, change, delimiter=','):
  """Changes a table: `change(list of rows)` in place; row 0 is the header."""

  def do(d):
    with open(d / name, newline='') as f:
      table = list(csv.reader(f, delimiter=delimiter))
    change(table)
    with open(d / name, 'w', newline='') as f:
      csv.writer(f, delimiter=delimiter, lineterminator='\n').writerows(table)

  return do


def cell(name, line, column, value, delimiter=','):
  """Changes one cell; lines count from 1 as in an editor."""
  return rows(name, lambda t: t[line - 1].__setitem__(t[0].index(column), value), delimiter)


def keep_rows(name, count, delimiter=','):
  return rows(name, lambda t: t.__delitem__(slice(count, None)), delimiter)


def commas(name):
  return lambda d: (d / name).write_text((d / name).read_text().replace('\t', ','))


def tsv(name, line, column, value):
  return cell(name, line, column, value, '\t')


def link(name):
  def do(d):
    (d / name).unlink()
    (d / name).symlink_to('../../.git/annex/objects/not-here')

  return do


NPZ = 'features_25hz.npz'
PACK = {
  'truncated': (truncated(NPZ), [NPZ, 'cannot be read as an .npz archive']),
  'not a zip': (text(NPZ, 'hello'), [NPZ, 'cannot be read as an .npz archive']),
  'empty file': (text(NPZ, ''), [NPZ, 'cannot be read as an .npz archive']),
  'array missing': (arrays(NPZ, av_visual=None), [NPZ, "no array 'av_visual'; there is: ao_audio"]),
  'text for numbers': (arrays(NPZ, av_audio=lambda x: x.astype(str)), [NPZ, 'av_audio is <U32', 'float32 [800, 2]']),
  'integers for floats': (arrays(NPZ, av_visual=lambda x: x.astype(int)), [NPZ, 'av_visual is int64']),
  'floats for bits': (arrays(NPZ, av_phash_bits=lambda x: x * 1.0), [NPZ, 'av_phash_bits is float64', 'uint8']),
  'pickled objects': (arrays(NPZ, av_audio=lambda x: x.astype(object)), [NPZ, 'Object arrays']),
  'frame count': (arrays(NPZ, av_visual=lambda x: x[:-1]), [NPZ, 'float32 [799, 4], expected float32 [800, 4]']),
  'width': (arrays(NPZ, av_audio=lambda x: x[:, :1]), [NPZ, 'float32 [800, 1], expected float32 [800, 2]']),
  'other segments': (arrays(NPZ, segment_start_s=lambda x: x + 1), [NPZ, 'segment_start_s [1.0, ']),
  'NaN': (arrays(NPZ, av_audio=put((210, 1), np.nan)), ["id 'seg2-00008'", 'audio is nan in frame 10']),
  'infinity': (arrays(NPZ, av_visual=put((0, 2), -np.inf)), ["id 'seg0-00000'", 'visual is -inf in frame 0']),
  'observer missing': (missing('raw/av1o04.csv'), ['raw/av1o04.csv: no such file']),
  'observers missing': (removed('raw'), ['raw/av1o01.csv: no such file']),
  'observer unknown': (text('raw/av1o10.csv', 'x'), ['raw', "'av1o10.csv'; there is: ao1o01.csv"]),
  'empty table': (text('raw/ao1o02.csv', ''), ['ao1o02.csv: empty file']),
  'no episodes': (keep_rows('raw/ao1o02.csv', 1), ['ao1o02.csv: no episodes', "'ao1o02'"]),
  'bad header': (cell('raw/av1o02.csv', 1, 'valence', 'pleasure'), ['av1o02.csv', "no column 'valence'"]),
  'header twice': (cell('raw/av1o02.csv', 1, 'valence', 'arousal'), ['av1o02.csv', 'line 1 is no header']),
  'start no number': (cell('raw/av1o02.csv', 3, 'start', 'soon'), ['av1o02.csv: line 3', "'soon'"]),
  'end before start': (cell('raw/av1o02.csv', 3, 'end', '0.0'), ['av1o02.csv: line 3', 'expected 0 <= start < end']),
  'after the film': (cell('raw/av1o02.csv', 3, 'end', '99'), ['av1o02.csv: line 3', 'to 99 s', '<= 32']),
  'start NaN': (cell('raw/av1o02.csv', 3, 'start', 'nan'), ['av1o02.csv: line 3', 'from nan']),
  'arousal unknown': (cell('raw/av1o02.csv', 4, 'arousal', 'MEDIUM'), ['line 4', "'MEDIUM', expected HIGH or LOW"]),
  'valence empty': (cell('raw/av1o02.csv', 4, 'valence', ''), ['line 4', "valence is '', expected POS or NEG"]),
  'emotion unknown': (cell('raw/av1o02.csv', 5, 'emotion', 'JOY'), ['02.csv: line 5', "'JOY'; there is: ADMIR"]),
  'short row': (rows('raw/av1o02.csv', lambda t: t[5].pop()), ['av1o02.csv: line 6 has 8 cells, the header has 9']),
  'not UTF-8': (lambda d: (d / 'raw/av1o02.csv').write_bytes(b'start,\xff'), ['av1o02.csv', 'UTF-8']),
}  # fmt: skip

RMS, HASH = f'{AUDIO}/fg_av_ger_seg3_rms.tsv', f'{VISUAL}/fg_av_ger_seg5_phash.tsv'
UPDOWN = f'{VISUAL}/fg_av_ger_seg0_brud.tsv'
CLONES = {
  'file missing': (missing(RMS), ['fg_av_ger_seg3_rms.tsv: no such file']),
  'not fetched': (link(RMS), ['fg_av_ger_seg3_rms.tsv', 'run datalad get']),
  'cut off': (keep_rows(RMS, 30, '\t'), ['seg3_rms.tsv: 29 frames, expected 101 or more']),
  'cut somewhere': (truncated(RMS, 0.5), ['seg3_rms.tsv: ']),
  'empty': (text(RMS, ''), ['seg3_rms.tsv: empty file']),
  'frame twice': (rows(RMS, lambda t: t.insert(9, list(t[8])), '\t'), ['rms.tsv: line 10', "'0.28', expected 0.32"]),
  'frame left out': (rows(RMS, lambda t: t.pop(9), '\t'), ['seg3_rms.tsv: line 10', "onset '0.36', expected 0.32"]),
  'other column': (tsv(RMS, 1, 'rms', 'power'), ['seg3_rms.tsv', "no column 'rms'; line 1 has: onset, "]),
  'commas': (commas(RMS), ['rms.tsv', "no column 'onset'"]),
  'no number': (tsv(RMS, 12, 'rms', 'loud'), ["seg3_rms.tsv: line 12: 'loud' is not a number"]),
  'NaN': (tsv(RMS, 12, 'rms', 'nan'), ["id 'seg3-00012'", 'audio is nan in frame 14']),
  'infinity': (tsv(UPDOWN, 2, 'brud', 'inf'), ["id 'seg0-00000'", 'visual is inf in frame 0']),
  'short hash': (tsv(HASH, 7, 'phash', 'abc'), ["seg5_phash.tsv: line 7: 'abc', expected a hash of 36"]),
  'hash no hex': (tsv(HASH, 7, 'phash', 'x' * 36), ['seg5_phash.tsv: line 7', 'hex digits']),
  'no observers': (removed(studyforrest._EMOTIONS), [f'nor {studyforrest._EMOTIONS};', 'side by side']),
  'no features': (removed(studyforrest._CONFOUNDS), [f'nor {studyforrest._CONFOUNDS};', 'side by side']),
  'observer missing': (missing(f'{RAW}/ao1o03.csv'), ['ao1o03.csv: no such file']),
  'emotion unknown': (cell(f'{RAW}/ao1o03.csv', 2, 'emotion', 'JOY'), ['ao1o03.csv: line 2', "'JOY'"]),
}  # fmt: skip

FACES = 'faces.npz'
CLIPS = {
  'truncated': (truncated(FACES), [FACES, 'cannot be read as an .npz archive']),
  'not a zip': (text(FACES, 'PK'), [FACES, 'cannot be read as an .npz archive']),
  'missing': (missing(FACES), ['faces.npz: no such file']),
  'array missing': (arrays(FACES, gaze=None), [FACES, "no array 'gaze'"]),
  'complex numbers': (arrays(FACES, landmarks68=lambda x: x * 1j), [FACES, 'landmarks68 is complex64']),
  'integers': (arrays(FACES, pose=lambda x: x.astype(int)), [FACES, 'pose is int64', 'floats [14, 6]']),
  'frame count': (arrays(FACES, au=lambda x: x[:-1]), [FACES, 'au is float32 [13, 20], expected floats [14, 20]']),
  'width': (arrays(FACES, blendshapes=lambda x: x[:, :51]), [FACES, 'blendshapes is float32 [14, 51]']),
  'no frames': (arrays(FACES, clip=lambda x: x[:0]), [FACES, 'clip is [0]']),
  'names': (arrays(FACES, au_names=lambda x: x[:3]), [FACES, 'au_names', 'expected 20 names']),
  'NaN': (arrays(FACES, landmarks68=put((5, 3, 0), np.nan)), ["id 'clip02'", 'visual is nan in frame 1']),
  'infinity': (arrays(FACES, au=put((13, 0), np.inf)), ["id 'clip04'", 'visual is inf in frame 1']),
  'eyes in one place': (arrays(FACES, landmarks68=put((5, slice(36, 48)), 9)), ["id 'clip02'", 'nan in frame 1']),
  'valence out of range': (arrays(FACES, pred_valence_arousal=put((4, 0), 1.5)), ["'clip02'", 'valence is 1.5']),
  'arousal infinite': (arrays(FACES, pred_valence_arousal=put((4, 1), np.inf)), ["id 'clip02'", 'arousal is infinite']),
  'no scores': (arrays(FACES, pred_emotion=put((8, 2), np.nan)), [FACES, 'clip 3, frame 2, is not finite']),
  'frame twice': (arrays(FACES, frame=put(1, 0)), [FACES, 'frame 0 of clip 1 appears twice']),
  'frame below 0': (arrays(FACES, frame=put(0, -2)), [FACES, 'frame -2 of clip 1']),
  'clip unknown': (arrays(FACES, clip=put(13, 99)), ['clip_attrs.csv', 'no row for clip 99']),
  'clip below 0': (arrays(FACES, clip=put(0, -1)), [FACES, 'clip -1']),
  'news disagree': (arrays(FACES, good_news=put(5, 1)), [FACES, 'good_news of clip 2 disagrees']),
  'no classes': (missing('clip_attrs.csv'), ['clip_attrs.csv: no such file']),
  'clip twice': (cell('clip_attrs.csv', 3, 'clipN', '1'), ['clip_attrs.csv: line 3', 'clip 1 appears twice']),
  'class unknown': (cell('clip_attrs.csv', 3, 'class', 'bad'), ['attrs.csv: line 3', "'bad', expected gn or ists"]),
  'clip no number': (cell('clip_attrs.csv', 3, 'clipN', 'two'), ['clip_attrs.csv: line 3', "'two', expected a number"]),
  'bad header': (cell('clip_attrs.csv', 1, 'class', 'kind'), ['clip_attrs.csv', "no column 'class'"]),
}  # fmt: skip

CORPORA = {
  'pack': ('studyforrest', miniature.pack, PACK),
  'clones': ('studyforrest', miniature.clones, CLONES),
  'faces': ('pyfeat_faces', miniature.pyfeat, CLIPS),
}


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
  """A sound source per layout."""
  folder = tmp_path_factory.mktemp('sound')
  return {layout: make(folder / layout) for layout, (_, make, _) in CORPORA.items()}


@pytest.mark.parametrize('layout, case', [(layout, case) for layout, c in CORPORA.items() for case in c[2]])
def test_broken_source(layout, case, sound, tmp_path, monkeypatch, capsys):
  miniature.shorten(monkeypatch)
  corpus, _, cases = CORPORA[layout]
  damage, expected = cases[case]
  source = shutil.copytree(sound[layout], tmp_path / 'source')
  damage(source)
  assert prepare.main([corpus, f'--source={source}', f'--data_dir={tmp_path / "data"}']) == 2
  out, err = capsys.readouterr()
  assert not out and err.splitlines()[-1].startswith('error: ')
  assert sum(line.startswith('error: ') for line in err.splitlines()) == 1 and 'Traceback' not in err
  for part in (str(source), *expected):
    assert part in err
  assert not [p for p in (tmp_path / 'data').rglob('*') if p.is_file()]


@pytest.mark.parametrize('layout', CORPORA)
def test_unbroken_source(layout, sound, tmp_path, monkeypatch):
  miniature.shorten(monkeypatch)
  assert prepare.main([CORPORA[layout][0], f'--source={sound[layout]}', f'--data_dir={tmp_path}']) == 0
