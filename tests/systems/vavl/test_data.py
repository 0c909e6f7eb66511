"""VAVL's data: what is predicted from what, pairing, splits, labels."""

import dataclasses

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.data.corpus import Ragged
from affectjax.examples import splits
from affectjax.examples.examples import SPLITS, Examples
from affectjax.examples.streams import Memory
from affectjax.systems.vavl import clips as clips_lib
from affectjax.systems.vavl import training, views

CLASSES = training.Target('classification', tuple('abc'), False)
PAIR = ('audio', 'visual')
ATTRIBUTES = training.Target('regression', ('arousal', 'valence'), False)


# Views


def outputs(n=400, width=3, seed=0, **changes):
  rng = np.random.default_rng(seed)
  out = {f'output_{v}': rng.normal(size=(n, width)).astype(np.float32) for v in ('both', 'audio', 'visual')}
  label = rng.integers(0, 3, n).astype(np.int32) if width == 3 else rng.uniform(-1, 1, (n, 2)).astype(np.float32)
  return {**out, 'label': label, 'id': np.array([f'clip{i}' for i in range(n)]), **changes}


def test_views_by_hand():
  has = {
    'audio_present': np.array([True, True, False, False]),
    'visual_present': np.array([True, False, True, False]),
  }
  out = {
    'output_both': np.eye(3, dtype=np.float32)[[0, 0, 0, 0]], 'output_audio': np.eye(3, dtype=np.float32)[[1] * 4],
    'output_visual': np.eye(3, dtype=np.float32)[[2] * 4], 'label': np.array([0, 1, 2, 0], np.int32),
    'id': np.array(list('wxyz')), 'gender': np.array([0, 1, -1, 0], np.int32), **has,
  }  # fmt: skip
  found = views.add(CLASSES, PAIR, out)
  assert found['emotion_hat'][:3].tolist() == [0, 1, 2], 'both, else the one there is'
  assert found['emotion'].tolist() == [0, 1, 2, -1], 'nothing is asked of a clip with neither'
  assert found['emotion_audio'].tolist() == [0, 1, -1, -1] and found['emotion_visual'].tolist() == [0, -1, 2, -1]
  assert set(found['emotion_audio_hat'].tolist()) == {1} and set(found['emotion_visual_hat'].tolist()) == {2}
  assert found['emotion_gender_part'].tolist() == [0, 1, -1, 0]
  scores = views.score(CLASSES, PAIR, out, 'f1.micro.emotion')
  assert scores['f1.micro.emotion'] == 1.0 and metrics.available('gap.uar.emotion_gender', found)
  assert np.isfinite(scores['loss']), 'of the clips that have something'


def test_an_output_that_is_not_finite_is_a_wrong_answer():
  out = outputs()
  out['output_both'][3, 1] = np.nan
  found = views.add(CLASSES, PAIR, out)
  assert found['emotion_hat'][3] == -1 and found['emotion'][3] == out['label'][3]


def test_dropped_views_are_nested_and_of_the_ids_alone():
  out = outputs()
  found, again = (
    views.add(CLASSES, PAIR, out),
    views.add(CLASSES, PAIR, outputs(seed=1, id=out['id'], label=out['label'])),
  )
  number, is_first = clips_lib.drop_draws(out['id'])
  lost = np.zeros(400, bool)
  for share in views.DROPS:
    now = number < share / 100
    assert (now | ~lost).all() and abs(now.mean() - share / 100) < 0.08
    expected = np.where(now & is_first, out['output_visual'].argmax(1), out['output_both'].argmax(1))
    expected = np.where(now & ~is_first, out['output_audio'].argmax(1), expected)
    np.testing.assert_array_equal(found[f'emotion_drop{share}_hat'], expected)
    np.testing.assert_array_equal(found[f'emotion_drop{share}'], again[f'emotion_drop{share}'])
    lost = now
  assert abs(is_first.mean() - 0.5) < 0.08
  shuffled = clips_lib.drop_draws(out['id'][::-1])
  np.testing.assert_array_equal(shuffled[0][::-1], number)
  assert (number >= 0).all() and (number < 1).all() and len(set(number.tolist())) == 400


def test_a_row_with_one_modality_has_its_own_view_and_no_others():
  out = outputs()
  alone = {k: v for k, v in out.items() if k not in ('output_both', 'output_visual')}
  found = views.add(CLASSES, PAIR[:1], alone)
  np.testing.assert_array_equal(found['emotion_hat'], found['emotion_audio_hat'])
  assert not any('visual' in k or 'drop' in k for k in found) and set(views.score(CLASSES, PAIR[:1], alone)) == {'loss'}
  names = {f'uar.emotion{v}' for v in ('', '_audio', '_visual', '_drop10')}
  assert {name for name in names if metrics.available(name, found)} == {'uar.emotion', 'uar.emotion_audio'}


def test_a_unimodal_row_survives_a_clip_without_its_modality():
  out = {k: v for k, v in outputs().items() if k not in ('output_both', 'output_visual')}
  out['audio_present'] = np.arange(400) > 5
  assert (views.add(CLASSES, PAIR[:1], out)['emotion_audio'][:6] == -1).all()
  assert np.isfinite(views.score(CLASSES, PAIR[:1], out)['loss']), 'the score by which the step is selected'


def test_attributes_losses_and_gaps_are_the_metrics_own():
  out = outputs(width=2, gender=np.arange(400, dtype=np.int32) % 3 - 1)
  out['label'][3, 1] = np.nan
  scores, found = views.score(ATTRIBUTES, PAIR, out, 'ccc.pooled.arousal'), views.add(ATTRIBUTES, PAIR, out)
  ccc = [metrics.ccc(out['label'][:, i], out['output_both'][:, i]) for i in range(2)]
  assert scores['ccc.pooled.arousal'] == pytest.approx(ccc[0]) and scores['loss'] == pytest.approx(2 - sum(ccc))
  parts = [metrics.ccc(out['label'][out['gender'] == g, 0], out['output_both'][out['gender'] == g, 0]) for g in (0, 1)]
  assert metrics.compute('gap.ccc.pooled.arousal_gender', found) == pytest.approx(parts[1] - parts[0])
  assert set(scores) == {'loss', 'ccc.pooled.arousal'} and metrics.available('ccc.pooled.valence_drop90', found)
  classes = outputs()
  logs = np.asarray(jax.nn.log_softmax(classes['output_both']), np.float64)
  assert views.score(CLASSES, PAIR, classes)['loss'] == pytest.approx(
    -logs[np.arange(400), classes['label']].mean(), rel=1e-5
  )


# Clips


def clips(n=200, both=True, **columns):
  ragged = Ragged.stack([np.ones((1 + i % 4, 2), np.float32) * i for i in range(n)])
  mask = Ragged(np.ones(len(ragged.values), bool), ragged.offsets)
  names = np.array([f'c{i:03}' for i in range(n)])
  has = {m: np.ones(n, bool) for m in (('audio', 'visual') if both else ('audio',))}
  group = np.array([f'g{i % 10}' for i in range(n)])
  return Examples('made', names, group, names, np.full(n, 'all'), dict.fromkeys(has, Memory(ragged, mask)), has,
                  columns, {'emotions': list('abc')})  # fmt: skip


@pytest.mark.parametrize('unpaired', ['kept', 'left_out'])
def test_pairing_is_nested_of_the_right_share_and_never_takes_both(unpaired):
  made, rows = clips(), np.arange(20, 180)
  shares = (1.0, 0.9, 0.5, 0.1, 0.0)
  given = [clips_lib.presence(made, rows, dict(paired=p, unpaired=unpaired, seed=5)) for p in shares]
  for p, now in zip(shares, given, strict=True):
    audio, visual = now['audio'][rows], now['visual'][rows]
    assert (audio & visual).sum() == round(p * 160)
    assert now['audio'][:20].all() and now['visual'][180:].all(), 'other rows keep what they have'
    if unpaired == 'kept':
      assert (audio | visual).all() and abs((audio & ~visual).sum() - (visual & ~audio).sum()) <= 1
    else:
      assert np.array_equal(audio, visual)
  for more, less in zip(given, given[1:], strict=False):
    for m in more:
      assert (more[m] | ~less[m]).all(), 'who lost a modality lost the same one'
  other = clips_lib.presence(made, rows, dict(paired=0.5, unpaired=unpaired, seed=6))
  assert not np.array_equal(other['audio'], given[2]['audio'])


def test_pairing_never_takes_the_only_modality():
  made = clips()
  made.present['visual'][::2] = False
  now = clips_lib.presence(made, np.arange(200), dict(paired=0.0, unpaired='kept', seed=5))
  assert (now['audio'] | now['visual']).all() and not (now['visual'] & ~made.present['visual']).any()
  half = dict(paired=0.5, unpaired='kept', seed=5)
  whole = clips()
  heard = dataclasses.replace(whole, streams={'audio': whole.streams['audio']})  # what an audio network reads
  given = clips_lib.presence(heard, np.arange(200), half)
  assert list(given) == ['audio'], 'no more of it than others are given'
  np.testing.assert_array_equal(given['audio'], clips_lib.presence(whole, np.arange(200), half)['audio'])
  single = clips_lib.presence(clips(both=False), np.arange(200), dict(paired=0.1, unpaired='kept', seed=5))
  assert single['audio'].all()


def test_splits_refuse_leaks_and_missing_partitions():
  places = np.zeros((200, 2), np.int8)
  places[np.arange(200) % 10 == 8, 0], places[np.arange(200) % 10 == 9, 0] = 1, 2
  config = dict(data=dict(split='partitions', folds=5, seed=5), fold='0')
  rows = splits.split(clips(partitions=places), config)
  assert [len(rows[s]) for s in SPLITS] == [160, 20, 20]
  leaky = places.copy()
  leaky[0, 0] = 2  # group g0, which trains
  with pytest.raises(UserError, match='1 group in both train and test: g0'):
    splits.split(clips(partitions=leaky), config)
  with pytest.raises(UserError, match=r"made: run.data.split 'partitions' leaves no dev example \(fold 1\)"):
    splits.split(clips(partitions=places), {**config, 'fold': '1'})
  for split in ('folds', 'values'):
    rows = splits.split(clips(), dict(data=dict(split=split, folds=5, seed=5), fold='2'))
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(200))


def test_gathered_frames_are_cut_padded_and_masked():
  made = clips(8)
  x, mask = made.streams['audio'].gather(np.array([3, 1, 7]), 3)
  assert mask.tolist() == [[True] * 3, [True, True, False], [True] * 3]
  np.testing.assert_array_equal(x[..., 0], [[3, 3, 3], [1, 1, 0], [7, 7, 7]])


def test_merged_classes_add_up_votes():
  made = clips(2, votes=np.array([[1, 2, 4], [0, 1, 0]], np.float32))
  target = dict(kind='classification', names=('x', 'y'), merge=dict(x=('a', 'b'), y=('c',)), soft=True, label='')
  found = clips_lib.labels(made, dict(target=target))
  assert found['label'].tolist() == [1, 0]
  np.testing.assert_allclose(found['shares'], [[3 / 7, 4 / 7], [1, 0]])
