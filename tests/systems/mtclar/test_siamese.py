"""The Siamese objective: task weights, the schedule's ends, what unknown targets count for, and the selection loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine import parallel
from affectjax.objectives import regression
from affectjax.systems import mtclar
from affectjax.systems.mtclar import heads, network, siamese
from tests.helpers import small

draw = jax.jit(siamese.task_weights, static_argnums=(1, 2))


def weights(seed, tasks=siamese.TASKS, kind='random'):
  return np.asarray(draw(jax.random.key(seed), tasks, kind))


def test_random_weights_sum_to_one_and_change_with_every_batch():
  drawn = np.stack([weights(seed) for seed in range(200)])
  np.testing.assert_allclose(drawn.sum(1), 1, atol=1e-6)
  assert (drawn > 0).all() and len(np.unique(drawn.round(6), axis=0)) == 200
  np.testing.assert_allclose(drawn.mean(0), 0.25, atol=0.03)
  uniform = np.asarray(jax.random.uniform(jax.random.key(5), (4,)))
  np.testing.assert_allclose(weights(5), uniform / uniform.sum(), rtol=1e-6)


def test_tasks_left_out_weigh_nothing():
  for kind in ('random', 'equal'):
    found = weights(0, ('valence', 'arousal'), kind)
    assert found.sum() == pytest.approx(1) and found[1] == found[3] == 0
  np.testing.assert_allclose(weights(0, kind='equal'), 0.25)
  np.testing.assert_allclose(weights(0, ('arousal',)), [0, 0, 1, 0])


@pytest.mark.parametrize(('steps', 'epochs'), [(600, 40), (1500, 40), (44945, 40), (50, 20), (7, 10), (100, 1)])
def test_the_schedule_ends_in_pure_squared_error(steps, epochs):
  step = np.arange(steps, dtype=np.int32)
  share = np.asarray(jax.jit(siamese.progress, static_argnums=(1, 2, 3))(step, steps, epochs, 2.0))
  epoch = step.astype(np.int64) * epochs // steps + 1  # 1 .. E
  np.testing.assert_allclose(share, (epoch / epochs) ** 2, rtol=1e-6)
  assert share[0] == pytest.approx(1 / epochs**2) and (np.diff(share) >= 0).all()
  if steps >= epochs:
    assert share[-1] == 1.0
    mse = jnp.array([0.3])
    np.testing.assert_array_equal(regression.scheduled(mse, jnp.array([0.9]), share[-1]), mse)


def on_devices(function, *arrays):
  """Per-example losses [B] of a function that sees all devices."""
  wrapped = lambda batch: function(*batch.values())
  batch = parallel.shard({str(i): np.asarray(a, np.float32) for i, a in enumerate(arrays)})
  return np.asarray(parallel.pmap(wrapped)(batch)).reshape(-1)


@pytest.mark.parametrize('kind', ['scheduled', 'mse', 'ccc'])
def test_differences_that_are_not_known_neither_count_nor_dilute(kind):
  rng = np.random.default_rng(0)
  prediction, target = rng.normal(size=(2, 16))
  target[[1, 6, 7]] = np.nan
  mask = np.ones(16)
  mask[8:] = 0
  known = np.isfinite(target) & (mask > 0)
  loss = lambda p, t, m: siamese._delta_losses(p, t, m, jnp.float32(0.3), kind)
  losses = on_devices(loss, prediction, target, mask)
  mse = np.square(prediction - target)[known].mean()
  ccc = float(jax.jit(regression.ccc)(prediction[known], target[known], np.ones(known.sum())))
  wanted = {'mse': mse, 'ccc': 1 - ccc, 'scheduled': 0.3 * mse + 0.7 * (1 - ccc)}[kind]
  assert losses[mask > 0].mean() == pytest.approx(wanted, rel=1e-5)


def test_pairs_without_a_class_neither_count_nor_dilute():
  losses, same, mask = np.arange(16.0), np.tile([1, 0, -1, 1], 4), np.r_[np.ones(12), np.zeros(4)]
  found = on_devices(siamese._classified, losses, same, mask)
  assert found[mask > 0].mean() == pytest.approx(losses[:12][same[:12] >= 0].mean())


def predictions(n=60, seed=0):
  rng = np.random.default_rng(seed)
  out = {
    'same': rng.integers(0, 2, n), 'same_hat': rng.integers(0, 2, n), 'same_logit': rng.normal(size=n),
    'cosine': rng.uniform(-1, 1, n), 'emotion_first': rng.integers(0, 3, n), 'emotion_second': rng.integers(0, 3, n),
  }  # fmt: skip
  for d in ('valence', 'arousal'):
    out |= {f'delta_{d}': rng.normal(size=n), f'delta_{d}_hat': rng.normal(size=n)}
  return out


@pytest.mark.parametrize('margin', [0.25, 0.5])
def test_the_selection_loss_by_hand(margin):
  """All weights a quarter, s a half (experiments/mtclar.md, 4)."""
  out = predictions()
  out['same'][:5] = -1
  known = out['same'] >= 0
  right = np.where(out['same'] == 1, out['same_logit'], -out['same_logit'])[known]
  contrast = np.where(out['same'] == 1, 1 - out['cosine'], np.maximum(0, out['cosine'] - margin))[known]
  wanted = np.log1p(np.exp(-right)).mean() + contrast.mean()
  for d in ('valence', 'arousal'):
    y, yhat = out[f'delta_{d}'], out[f'delta_{d}_hat']
    wanted += 0.5 * np.square(y - yhat).mean() + 0.5 * (1 - metrics.ccc(y, yhat))
  scores = siamese.score(('a', 'b', 'c'), margin, out, 'acc.same')
  assert scores['loss'] == pytest.approx(wanted / 4)
  assert scores['acc.same'] == pytest.approx((out['same'] == out['same_hat'])[known].mean())


def test_accuracy_is_broken_down_by_unordered_pair_of_classes():
  out = predictions()
  scores = siamese.score(('a', 'b', 'c'), 0.25, out)
  hit = out['same'] == out['same_hat']
  first, second = out['emotion_first'], out['emotion_second']
  rows = ((first == 0) & (second == 2)) | ((first == 2) & (second == 0))
  assert scores['acc.same.a-c'] == pytest.approx(hit[rows].mean())
  assert len([k for k in scores if k.startswith('acc.same.')]) == 6


def test_feature_dropout_and_noise():
  x, augment = np.ones((4000, 8), np.float32), jax.jit(siamese.augment, static_argnums=(2, 3))
  np.testing.assert_array_equal(augment(jax.random.key(0), x, 0.0, 0.0), x)
  dropped = np.asarray(augment(jax.random.key(0), x, 0.25, 0.0))
  assert set(np.unique(dropped.round(4))) == {0.0, np.float32(1.3333)}
  assert (dropped == 0).mean() == pytest.approx(0.25, abs=0.01)
  noisy = np.asarray(augment(jax.random.key(0), x, 0.0, 0.05))
  assert noisy.std() == pytest.approx(0.05, rel=0.03) and noisy.mean() == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (dict(loss=dict(delta='huber')), "unknown run.loss.delta 'huber'; there is: ccc, mse, scheduled"),
    (dict(loss=dict(tasks=('identity',))), "unknown task 'identity'; there is: arousal, contrast"),
    (dict(loss=dict(weights='learned')), "unknown run.loss.weights 'learned'; there is: equal, random"),
    (dict(loss=dict(tasks=())), 'run.loss.tasks is empty'),
    (dict(pairs=dict(rule='identity')), "unknown pair rule 'identity'"),
    (dict(pairs=dict(same_video=1.5)), 'run.pairs.same_video is 1.5; expected 0 or more, below 1'),
    (dict(model=dict(fusion='sum')), "unknown fusion 'sum'; there is: abs, concat, mult"),
    (dict(stage='train'), "unknown stage 'train'; there is: head, label, siamese"),
  ],
)
def test_wrong_settings_are_refused_in_one_line_before_training(change, message):
  config = small.config(**change)
  with pytest.raises(UserError, match=message) as error:
    experiment = mtclar.build(config, None)
    experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  assert '\n' not in str(error.value)


ALIKE = [dict(loss=dict(exponent=2)), dict(optim=dict(lr=0.5)), dict(epochs=7), dict(steps=13)]
SIAMESE = [dict(loss=dict(margin=0.5)), dict(augment=dict(noise=0.2)), dict(model=dict(dropout=0.1))]


@pytest.mark.parametrize(('row', 'table', 'others'), [
  ('siamese', 'labelling', ALIKE + SIAMESE),
  ('control_va_afew_va', 'representation', [*ALIKE, dict(head=dict(dropout=0.1))]),
])  # fmt: skip
def test_cells_share_a_step_if_all_that_is_traced_is_alike(row, table, others):
  step = lambda **changes: mtclar.build(small.config(row, table, **changes), None).step
  assert step() is step(seed=5)
  assert isinstance(small.config(row, table)['loss']['exponent'], float), 'an integer is another program'
  found = [step(), *(step(**changes) for changes in others)]
  assert len(set(map(id, found))) == len(found)


@pytest.mark.parametrize(('hosts', 'asked', 'got'), [(1, 20, 32), (1, 256, 256), (2, 33, 64), (2, 256, 256)])
def test_batches_fill_all_devices_with_whole_pairs(hosts, asked, got, monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: hosts)
  assert parallel.global_batch(asked, 2) == got


def test_differences_lie_in_the_open_interval_of_the_scale():
  net = network.Siamese()
  x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32) * 100
  variables = network.initialiser(net)(jax.random.key(0), x, x)
  z1, z2, logits, delta = jax.jit(net.apply)(variables, x, x[::-1])
  assert z1.shape == z2.shape == (6, 256) and logits.shape == (6, 2) and delta.shape == (6, 2)
  assert (np.abs(delta) <= 2).all()
  count = sum(w.size for name in ('similarity', 'delta_valence') for w in jax.tree.leaves(variables['params'][name]))
  assert count / 2 == pytest.approx(3.75e6, rel=0.01)  # experiments/mtclar.md, 3: 3.75 M parameters each


@pytest.mark.parametrize('target', ['va', 'emotion'])
def test_the_heads_selection_loss_by_hand(target):
  rng = np.random.default_rng(0)
  names = ('valence', 'arousal')
  if target == 'va':
    out = {k: rng.uniform(-1, 1, 40) for d in names for k in (d, f'{d}_hat')}
    squared = sum(np.square(out[d] - out[f'{d}_hat']).mean() for d in names)
    wanted = 0.25 * squared + 0.75 * (1 - sum(metrics.ccc(out[d], out[f'{d}_hat']) for d in names) / 2)
  else:
    logits, y = rng.normal(size=(40, 3)), rng.integers(0, 3, 40)
    out = {'emotion': y, 'emotion_hat': logits.argmax(1), 'emotion_logits': logits}
    wanted = -np.log(np.exp(logits)[np.arange(40), y] / np.exp(logits).sum(1)).mean()
  assert heads._score(target, out)['loss'] == pytest.approx(wanted)


def test_balanced_rows_are_uniform_over_classes():
  classes, rows = np.repeat([0, 1, 2], [90, 9, 1]), np.arange(100) + 7
  drawn = heads._balanced(classes, rows, np.random.default_rng(0), 30_000) - 7
  np.testing.assert_allclose(np.bincount(classes[drawn]) / 30_000, 1 / 3, atol=0.01)
  counts = np.bincount(drawn)[90:99]
  np.testing.assert_allclose(counts / counts.sum(), 1 / 9, atol=0.02)
