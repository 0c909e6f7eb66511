import numpy as np
import pytest
from scipy import signal

from affectjax import doctor
from affectjax.common.errors import UserError
from affectjax.data import traces
from affectjax.data.corpora import msp_conversation
from affectjax.data.store import preparing
from tests.helpers import rated

PART = 'MSP-Conversation_0002_1'  # 3 s, annotators 001, 002, 004 (arousal only), 012 (valence only)


def slow_resample(when, value, duration):
  """One window after the other; the value before where a window is empty, 0 at first."""
  out, inside_any = [], []
  for k in range(1, int(round(duration * 100)) // 4 + 1):
    low = round(0.04 * k - 0.25, 2) if 0.04 * k - 0.25 >= 0 else 0.0
    high = round(0.04 * k + 0.25, 2) if 0.04 * k + 0.25 <= duration else duration
    inside = [v for t, v in zip(when, value, strict=True) if low <= t < high]
    inside_any.append(bool(inside))
    out.append(np.median(inside) if inside else out[-1] if out else 0.0)
  return np.array(out), np.array(inside_any)


@pytest.mark.parametrize('rate', [59.0, 3.0, 0.7, 200.0])
def test_resampling_is_the_slow_one(rate):
  rng = np.random.default_rng(int(rate))
  for duration in (3.0, 2.04, 0.04, 5.13):
    n = max(1, int(duration * rate))
    when = np.sort(np.r_[rng.uniform(0, duration + 0.3, n), 0.25, 0.29, 0.5]).round(2)  # borders of windows, ties
    value = rng.normal(size=len(when)).round(2)
    wanted, given = slow_resample(when, value, duration)
    medians, mask = traces.resample(when, value, duration)
    np.testing.assert_array_equal(mask, given)
    np.testing.assert_allclose(traces.repeat_last(medians), wanted, atol=1e-12)
    assert np.isnan(medians[~mask]).all()


def test_medians_in_pieces_are_the_same(monkeypatch):
  rng = np.random.default_rng(0)
  when, value = np.sort(rng.uniform(0, 60, 3000)), rng.normal(size=3000)
  whole = traces.resample(when, value, 60.0)[0]
  monkeypatch.setattr(traces, '_WINDOW_CELLS', 100)
  np.testing.assert_array_equal(traces.resample(when, value, 60.0)[0], whole)


def test_lowpass_is_scipys():
  x = np.random.default_rng(0).normal(size=300).cumsum()
  b, a = signal.butter(3, 0.02)
  np.testing.assert_allclose(traces.lowpass(x), signal.filtfilt(b, a, x), rtol=1e-12, atol=1e-12)
  t = np.arange(5000) / 25
  slow, fast = np.sin(2 * np.pi * 0.05 * t), np.sin(2 * np.pi * 2.0 * t)
  np.testing.assert_allclose(traces.lowpass(slow + fast)[500:-500], slow[500:-500], atol=0.01)


def test_repeat_and_shift_by_hand():
  nan = np.nan
  assert traces.repeat_last(np.array([nan, 2, nan, nan, 3, nan])).tolist() == [0, 2, 2, 2, 3, 3]
  x = np.arange(8.0).reshape(4, 1, 2)
  np.testing.assert_array_equal(traces.shift(x, (1, 0))[:, 0], [[2, 1], [4, 3], [6, 5], [nan, 7]])
  np.testing.assert_array_equal(traces.shift(x, (0, 3))[:, 0], [[0, 7], [2, nan], [4, nan], [6, nan]])


def test_example_by_hand(tmp_path):
  source = rated.msp_conversation(tmp_path)
  reading = msp_conversation.read(source)
  assert reading.keys == {
    'train': ['MSP-Conversation_0002_1', 'MSP-Conversation_0002_2'],
    'dev': ['MSP-Conversation_0021_1'], 'test': ['MSP-Conversation_0047_1'],
  }  # fmt: skip
  e = reading.example('train', PART)
  assert (e['id'], e['group'], e['item']) == (PART, 'MSP-Conversation_0002', PART)
  assert e['annotators'] == '001 002 004 012' and e['ratings'].shape == (75, 5, 2)
  for slot, annotator in enumerate(('001', '002', '004', '012')):
    for a, attribute in enumerate(('Valence', 'Arousal')):
      marked = attribute[0].lower() in rated.ANNOTATORS[PART][annotator]
      assert e['ratings_mask'][:, slot, a].all() == e['ratings_mask'][:, slot, a].any() == marked
      if marked:
        wanted = slow_resample(*rated.trace(PART, annotator, attribute), 3.0)[0] / 100
        wanted = np.clip(traces.lowpass(wanted), -1, 1) if annotator == '001' else wanted
        np.testing.assert_allclose(e['ratings'][:, slot, a], wanted, atol=1e-6)
  assert not e['ratings_mask'][:, 4].any()  # as many slots as the part with most annotators has
  np.testing.assert_allclose(e['arousal'], np.nanmean(e['ratings'][:, :, 1], 1), atol=1e-6)
  np.testing.assert_allclose(e['valence'], np.nanmean(e['ratings'][:, :, 0], 1), atol=1e-6)


def test_sound_and_features_of_a_part(tmp_path):
  reading = msp_conversation.read(rated.msp_conversation(tmp_path))
  e = reading.example('train', 'MSP-Conversation_0002_2')  # from 3 s of the wav, 2.25 s long
  whole = np.rint(rated.sound(5.25, 0) * 2**15) / 2**15
  np.testing.assert_allclose(e['waveform'].ravel(), whole[48000 : 48000 + 56 * 640], atol=1e-7)
  assert len(e['ratings']) == len(e['audio']) == 56 and e['ratings'].shape[1] == 5
  np.testing.assert_array_equal(e['audio'], np.load(tmp_path / 'features' / 'MSP-Conversation_0002_2.npy'))


def test_lowpass_is_for_whom_the_option_names(tmp_path):
  source = rated.msp_conversation(tmp_path, 'features')
  default, nobody, one = (
    msp_conversation.read(source, lowpass=x).example('train', PART)['ratings'] for x in ('001,007,009', 'none', '002')
  )
  changed = [~np.isclose(default, nobody, equal_nan=True), ~np.isclose(one, nobody, equal_nan=True)]
  assert [c.any((0, 2)).tolist() for c in changed] == [[True] + [False] * 4, [False, True, False, False, False]]
  np.testing.assert_allclose(default[:, 0, 0], np.clip(traces.lowpass(nobody[:, 0, 0]), -1, 1), atol=1e-6)


def test_delays(tmp_path):
  source = rated.msp_conversation(tmp_path, 'features')
  now = msp_conversation.read(source).example('train', PART)
  late = msp_conversation.read(source, delay_s='0.4').example('train', PART)
  np.testing.assert_array_equal(late['ratings'][:-10], now['ratings'][10:])
  assert not late['ratings_mask'][-10:].any() and np.isnan(late['arousal'][-10:]).all()
  np.testing.assert_array_equal(late['audio'], now['audio'])
  both = msp_conversation.read(source, delay_s='0.8,0.4')
  e = both.example('train', PART)
  np.testing.assert_array_equal(e['valence'][:-20], now['valence'][20:])
  np.testing.assert_array_equal(e['arousal'], late['arousal'])
  assert both.meta['delay_s'] == [0.8, 0.4]


def test_empty_windows_repeat_or_are_masked(tmp_path):
  source = rated.msp_conversation(tmp_path, 'features')
  path = source / 'Annotations' / 'Arousal' / f'{PART}_002.csv'
  path.write_text('\n'.join([*rated.HEADER, '0.9,10', '1.0,20', '1.0,30', '2.2,-50']) + '\n')
  repeated = msp_conversation.read(source).example('train', PART)['ratings'][:, 1, 1]
  masked = msp_conversation.read(source, empty='mask').example('train', PART)
  given = slow_resample([0.9, 1.0, 1.0, 2.2], [10, 20, 30, -50], 3.0)[1]
  np.testing.assert_array_equal(masked['ratings_mask'][:, 1, 1], given)
  np.testing.assert_array_equal(masked['ratings'][given, 1, 1], repeated[given])
  assert 0 < given.sum() < 40 and repeated[0] == 0 and repeated[-1] == np.float32(-0.5)
  assert np.float32(0.2) in repeated  # the median of all three at 1 s
  with pytest.raises(UserError, match=r'_002.csv: no value between 1.00 and 2.20 s .* empty=mask'):
    msp_conversation.read(source, max_gap_s='1').example('train', PART)
  assert msp_conversation.read(source, max_gap_s='1', empty='mask').example('train', PART)


def test_masked_windows_stay_masked_after_the_lowpass(tmp_path):
  source = rated.msp_conversation(tmp_path, 'features')
  path = source / 'Annotations' / 'Valence' / f'{PART}_001.csv'
  rows = [f'{t},{v}' for t, v in zip(*rated.trace(PART, '001', 'Valence'), strict=True) if t > 1.5]
  path.write_text('\n'.join([*rated.HEADER, *rows]) + '\n')
  e = msp_conversation.read(source, empty='mask').example('train', PART)
  assert e['ratings_mask'][:, 0, 0].tolist() == [False] * 31 + [True] * 44


def test_folders_within_themselves_and_prepared(tmp_path, capsys):
  plain = preparing.prepare('msp_conversation', rated.msp_conversation(tmp_path / 'a'), tmp_path / 'data')
  other = preparing.prepare(
    'msp_conversation', rated.msp_conversation(tmp_path / 'b', doubled=True), tmp_path / 'data_b'
  )
  assert plain.sha256 == other.sha256 and plain.counts == {'train': 2, 'dev': 1, 'test': 1}
  columns = plain.columns('train')
  assert columns['group'].tolist() == ['MSP-Conversation_0002'] * 2
  assert columns['label_rate_hz'].tolist() == [25, 25] and len(columns['ratings'][1]) == 56
  assert doctor.main(['msp_conversation', f'--data_dir={tmp_path / "data"}']) == 0
  assert 'slot5 0.0%' in capsys.readouterr().out
