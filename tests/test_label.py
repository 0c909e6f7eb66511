"""The labelling command: the estimates of the paper's cells, honest spreads, suggestions, what it leaves on disk."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax import label
from affectjax.data.exchange import annotations
from affectjax.systems.mtclar import annotate, network, spread, supports
from tests.helpers import label_cells
from tests.helpers.shared import ROOT

CLOSE = dict(rtol=0, atol=1e-5)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A workdir in which cells are trained when they are asked for."""
  return tmp_path_factory.mktemp('trained')


@pytest.fixture(scope='module')
def cell(tmp_path_factory):
  return label_cells.untrained(tmp_path_factory.mktemp('untrained'))


def command(run, source, support, output, *more) -> int:
  return label.main([f'--run={run}', f'--source={source}', f'--support={support}', f'--output={output}', *more])


@pytest.mark.parametrize('fusion', network.FUSIONS)
def test_folded_weights_give_the_network(fusion):
  net = network.Siamese(fusion)  # in full size
  variables = label_cells.variables(net, 24)
  x = np.random.default_rng(1).normal(size=(48, 24)).astype(np.float32)
  z = jax.jit(lambda v, x: net.apply(v, x, method='encode'))(variables, x)
  wanted = jax.jit(lambda v, a, b: net.apply(v, a, b, method='deltas'))(variables, z[8:], z[:40])
  assert np.abs(wanted).max() > 0.1
  one = np.ones(24, np.float32)
  model = annotate.Model('', fusion, OPTIONS, annotate.fold(**variables), 0 * one, one)
  differences = annotate.Differences(model, x, np.arange(40))
  np.testing.assert_allclose(differences.z, z, **CLOSE)
  np.testing.assert_allclose(differences(np.arange(8, 48), np.arange(40)), wanted, **CLOSE)


@pytest.mark.parametrize(
  'options',
  [
    dict(anchors='past'), dict(anchors='all', temperature=0.1),
    *(pytest.param(options, marks=pytest.mark.slow) for options in (
      dict(anchors='two_sided'), dict(anchors='all'), dict(antisymmetric=True), dict(zeroed=True), dict(smooth_block=5),
    )),
  ],
  ids=str,
)  # fmt: skip
def test_estimates_are_those_of_the_labelling_cell(trained, tmp_path, options):
  run = label_cells.run(trained, 'mtclar', **options)
  out, videos = label_cells.scored(run)
  np.savez(tmp_path / 'clips.npz', **videos)
  frame = np.concatenate([np.arange(len(x)) for x in videos.values()])
  hand = np.flatnonzero(out['support'])
  rows = ((out['item'][i], frame[i], *(float(str(out[k][i])) for k in ('valence', 'arousal'))) for i in hand)
  support = label_cells.hand_csv(tmp_path / 'hand.csv', rows)
  assert command(run, tmp_path / 'clips.npz', support, tmp_path / 'out.csv') == 0
  table = annotations.read(tmp_path / 'out.csv')
  assert list(table.video) == list(out['item']) and list(table.frame) == list(frame)
  assert np.flatnonzero(table.support).tolist() == hand.tolist()
  query = ~out['support']
  for name in ('valence', 'arousal'):
    np.testing.assert_allclose(getattr(table, name)[query], out[f'{name}_hat'][query], **CLOSE)
    assert np.abs(getattr(table, name)[query] - out[name][query]).max() > 0.05  # the network moves labels


@pytest.mark.slow
def test_a_siamese_cell_labels_as_the_cell_that_starts_from_it(trained, tmp_path):
  siamese, labelling = (label_cells.run(trained, row) for row in ('siamese', 'mtclar'))
  _, videos = label_cells.scored(labelling)
  np.savez(tmp_path / 'clips.npz', **videos)
  support = label_cells.hand_csv(tmp_path / 'hand.csv', ((v, 0, 0.5, -0.5) for v in videos))
  for run, name in ((siamese, 'a.csv'), (labelling, 'b.csv')):
    assert command(run, tmp_path / 'clips.npz', support, tmp_path / name) == 0
  assert (tmp_path / 'a.csv').read_bytes() == (tmp_path / 'b.csv').read_bytes()


OPTIONS = dict(anchors='past', smooth_block=1, antisymmetric=False, zeroed=False, temperature=0.0)


def model(size: float) -> annotate.Model:
  """A narrow network whose differences have nothing to do with labels; `size` scales them (0: the label is carried)."""
  variables = label_cells.narrow('concat')
  weights = annotate.fold(variables['params'], variables['batch_stats'])
  deltas = tuple((*layers[:-1], (layers[-1][0] * size, layers[-1][1] * 0)) for layers in weights['deltas'])
  one = np.ones(label_cells.WIDTH, np.float32)
  return annotate.Model('', 'concat', OPTIONS, {**weights, 'deltas': deltas}, 0 * one, one)


def walk(every: int, at_random: bool, seed: int) -> tuple[annotate.Scene, np.ndarray]:
  """12 videos of 400 frames whose labels are random walks; valence moves twice as fast. And the truth [N, 2]."""
  rng, videos, frames = np.random.default_rng(seed), 12, 400
  truth = np.cumsum(rng.normal(size=(videos, frames, 2)) * [0.02, 0.01], 1).reshape(-1, 2)
  hand = np.arange(videos * frames) % every == 0
  hand = rng.permuted(hand.reshape(videos, -1), axis=1).ravel() if at_random else hand
  support = np.flatnonzero(hand)
  scene = annotate.Scene(
    x=rng.normal(size=(videos * frames, label_cells.WIDTH)).astype(np.float32),
    present=np.ones(videos * frames, bool),
    video=np.arange(videos * frames) // frames,
    time_s=np.arange(videos * frames) % frames / 25,
    support=support,
    labels=np.clip(truth[support], -1, 1),
  )
  return scene, np.clip(truth, -1, 1)


@pytest.mark.parametrize('size', [0.0, 0.01], ids=['carried', 'noisy'])
@pytest.mark.parametrize('at_random', [False, True], ids=['even', 'random'])
@pytest.mark.parametrize('how', annotate.ANCHORS)
def test_two_thirds_of_the_errors_lie_within_one_spread(how, at_random, size):
  scene, truth = walk(20, at_random, seed=3)
  labels = annotate.annotate(model(size), scene, how)
  rest = np.setdiff1d(np.arange(len(truth)), scene.support)
  inside = (np.abs(labels.estimate - truth) <= labels.spread)[rest].mean(0)
  assert (inside > 0.55).all() and (inside < 0.8).all(), inside
  assert (labels.spread[scene.support] == 0).all() and np.isfinite(labels.spread).all()
  if how != 'all':
    assert labels.spread[rest, 0].mean() > 1.3 * labels.spread[rest, 1].mean()  # valence does move faster


@pytest.mark.parametrize('options', [dict(smooth_block=5), dict(anchors='all', temperature=0.1)], ids=str)
def test_a_frame_without_a_face_neither_gets_nor_gives_a_difference(options):
  scene, _ = walk(20, False, seed=5)
  lost = np.array([1, 2, 407])
  scene.present[lost] = False
  trained = dataclasses.replace(model(1.0), label={**OPTIONS, **options})
  estimates = []
  for value in (0.0, 3.0):
    scene.x[lost] = value
    estimates.append(annotate.annotate(trained, scene, trained.anchors).estimate)
  np.testing.assert_array_equal(*estimates)
  if 'smooth_block' in options:
    np.testing.assert_allclose(estimates[0][lost], scene.labels[[0, 0, 20]], atol=1e-6)


def test_spread_grows_with_distance_as_the_walk_does():
  scene, _ = walk(20, True, seed=4)
  law = annotate.annotate(model(0.0), scene, 'past').law
  np.testing.assert_allclose(law.b, np.square([0.02, 0.01]) * 25, rtol=0.35)  # variance per second
  assert (law.a < 0.3 * law.b).all()


def test_law_fits_exactly_and_is_never_negative():
  distance = np.array([1.0, 2.0, 5.0])
  law = spread.fit(distance, np.stack([0.5 + 2 * distance, 10 - distance], 1))
  np.testing.assert_allclose([law.a[0], law.b[0], law.b[1]], [0.5, 2, 0], atol=1e-12)
  assert law.a[1] == pytest.approx((9 + 8 + 5) / 3)
  np.testing.assert_allclose(law(np.array([0.0, 4.0]))[:, 0], np.sqrt([0.5, 8.5]))


def test_one_hand_label_gives_estimates_but_no_spread(cell, tmp_path):
  np.save(tmp_path / 'clip.npy', features(30))
  support = label_cells.hand_csv(tmp_path / 'hand.csv', [('clip', 3, 0.25, -0.75)])
  assert command(cell, tmp_path / 'clip.npy', support, tmp_path / 'out.csv', '--suggest=2') == 0
  table = annotations.read(tmp_path / 'out.csv')
  assert np.isfinite(table.valence).all() and np.isnan(np.delete(table.valence_spread, 3)).all()
  assert (tmp_path / 'out.csv').read_text().splitlines()[1].endswith(',,,0')
  assert (tmp_path / 'out.next.csv').read_text() == 'video,frame,spread\nclip,29,\nclip,16,\n'


def features(frames: int, seed: int = 0) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=(frames, label_cells.WIDTH)).astype(np.float32)


def test_suggestions_spread_out():
  pool = supports.Pool(*(np.arange(101), np.zeros(101, np.int64)), np.zeros(101, np.int64), np.arange(101))
  here, time_s = np.ones(101, bool), np.arange(101) / 25
  rows, far = spread.suggest(pool, time_s, np.array([0]), here, 5)
  assert rows.tolist() == [100, 50, 25, 75, 12]  # the farther; of two as far, the earlier
  np.testing.assert_allclose(far * 25, [100, 50, 25, 25, 12])
  rows, _ = spread.suggest(pool, time_s, np.arange(0, 101, 20), here, 5)
  assert rows.tolist() == [10, 30, 50, 70, 90]
  here[100] = False
  assert spread.suggest(pool, time_s, np.array([0]), here, 1)[0].tolist() == [99]
  assert len(spread.suggest(pool, time_s, np.array([0]), here, 1000)[0]) == 99


def test_hand_labels_are_kept_and_faceless_frames_carry_them(cell, tmp_path, capsys):
  x = features(40)
  x[[5, 25], [0, 3]] = np.nan, np.inf
  np.savez(tmp_path / 'clip.npz', x=x)
  hand = [('clip', 0, 0.12345678901234567, -1), ('clip', 20, -0.1, 1)]
  support = label_cells.hand_csv(tmp_path / 'hand.csv', hand)
  assert command(cell, tmp_path / 'clip.npz', support, tmp_path / 'out.csv', '--suggest=38') == 0
  out = capsys.readouterr().out
  assert '40 frames, 1 video, 2 supports, 2 frames without a face' in out and 'frames/s' in out
  table = annotations.read(tmp_path / 'out.csv')
  assert table.valence[[0, 20]].tolist() == [0.12345678901234567, -0.1]
  assert table.valence_spread[[0, 20]].tolist() == [0, 0] and table.support.sum() == 2
  np.testing.assert_allclose(table.valence[[5, 25]], [0.12345679, -0.1], atol=1e-7)
  assert np.abs(table.valence[6] - 0.12345679) > 1e-3
  suggested = [int(line.split(',')[1]) for line in (tmp_path / 'out.next.csv').read_text().splitlines()[1:]]
  assert sorted(suggested) == sorted(set(range(40)) - {0, 5, 20, 25})


def test_the_cell_says_which_anchors_unless_the_flag_does(tmp_path):
  run = label_cells.untrained(tmp_path, anchors='two_sided')
  np.save(tmp_path / 'clip.npy', features(30))
  support = label_cells.hand_csv(tmp_path / 'hand.csv', [('clip', 0, 0, 0), ('clip', 29, 1, 1)])
  for name, more in (('a', []), ('b', ['--anchors=two_sided']), ('c', ['--anchors=past'])):
    assert command(run, tmp_path / 'clip.npy', support, tmp_path / f'{name}.csv', *more) == 0
  a, b, c = ((tmp_path / f'{n}.csv').read_bytes() for n in 'abc')
  assert a == b != c


@pytest.mark.parametrize('suffix', ['csv', 'eaf', 'json'])
def test_what_it_writes_it_reads_as_support(cell, tmp_path, suffix):
  np.savez(tmp_path / 'clips.npz', a=features(30), b=features(12, 1))
  hand = [('a', 4, 1 / 3, 0.1), ('b', 0, -1, -0.7), ('a', 22, 0, 1)]
  support = label_cells.hand_csv(tmp_path / 'hand.csv', hand)
  assert command(cell, tmp_path / 'clips.npz', support, tmp_path / 'first.csv') == 0
  out = tmp_path / f'out.{suffix}'
  assert command(cell, tmp_path / 'clips.npz', support, out) == 0
  assert command(cell, tmp_path / 'clips.npz', out, tmp_path / 'second.csv') == 0
  assert (tmp_path / 'first.csv').read_bytes() == (tmp_path / 'second.csv').read_bytes()
  first, back = annotations.read(tmp_path / 'first.csv'), annotations.read(out)
  for name in annotations.label_table.COLUMNS:
    np.testing.assert_array_equal(getattr(back, name), getattr(first, name))
  assert back.model == ('' if suffix == 'csv' else '0123456789')


def test_format_flag_stands_over_the_suffix(cell, tmp_path):
  np.save(tmp_path / 'clip.npy', features(5))
  support = label_cells.hand_csv(tmp_path / 'hand.csv', [('clip', 0, 0, 0)])
  assert command(cell, tmp_path / 'clip.npy', support, tmp_path / 'out.txt', '--format=label_studio') == 0
  assert len(annotations.read(tmp_path / 'out.txt', 'label_studio')) == 5
  assert sorted(p.name for p in tmp_path.iterdir()) == ['clip.npy', 'hand.csv', 'out.txt']


@pytest.mark.slow
def test_the_command_in_a_process_of_its_own(cell, tmp_path):
  np.save(tmp_path / 'clip.npy', features(50))
  support = label_cells.hand_csv(tmp_path / 'hand.csv', [('clip', 0, 0, 0), ('clip', 9, 0.5, 0.5)])
  flags = [f'--run={cell}', f'--source={tmp_path}/clip.npy', f'--output={tmp_path}/out.eaf']
  start = [sys.executable, '-m', 'affectjax.label', *flags]
  done = subprocess.run([*start, f'--support={support}'], capture_output=True, text=True, cwd=ROOT, check=False)
  assert done.returncode == 0, done.stderr
  assert done.stdout.count('\n') == 1 and (tmp_path / 'out.eaf').is_file()
  (tmp_path / 'out.eaf').unlink()
  bad = subprocess.run(
    [*start, f'--support={tmp_path}/none.csv'], capture_output=True, text=True, cwd=ROOT, check=False
  )
  assert bad.returncode == 2 and bad.stderr.count('\n') == 1 and bad.stderr.startswith('error: ')
  assert not (tmp_path / 'out.eaf').exists()


def test_more_hand_labels_than_are_left_out_in_turn(monkeypatch):
  scene, _ = walk(4, True, seed=5)
  every = annotate.annotate(model(0.01), scene, 'past').law
  monkeypatch.setattr(annotate, 'CALIBRATION', 400)
  some = annotate.annotate(model(0.01), scene, 'past').law
  np.testing.assert_allclose(some(np.ones(1)), every(np.ones(1)), rtol=0.2)


def test_all_anchors_of_many_videos_are_averaged():
  scene, _ = walk(50, True, seed=6)
  annotated = annotate.annotate(model(0.0), scene, 'all')
  for video in range(12):
    labels = scene.labels[scene.video[scene.support] == video]
    rows = np.setdiff1d(np.flatnonzero(scene.video == video), scene.support)
    np.testing.assert_allclose(annotated.estimate[rows], np.broadcast_to(labels.mean(0), (len(rows), 2)), atol=1e-6)


def test_estimates_do_not_depend_on_how_frames_are_batched(monkeypatch):
  scene, _ = walk(20, True, seed=7)
  whole = annotate.annotate(model(0.01), scene, 'two_sided')
  monkeypatch.setattr(annotate, '_PAIRS', 300)
  monkeypatch.setattr(annotate, 'BATCH', 96)
  pieces = annotate.annotate(model(0.01), scene, 'two_sided')
  np.testing.assert_allclose(pieces.estimate, whole.estimate, **CLOSE)
  np.testing.assert_allclose(pieces.spread, whole.spread, **CLOSE)
  assert jnp.float32 == whole.estimate.dtype and jax.tree.leaves(model(1.0).weights)[0].dtype == np.float32
