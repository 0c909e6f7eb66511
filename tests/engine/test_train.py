"""The loop: what it writes, what it selects, and what it does with updates that are not finite."""

import dataclasses
import json

import chex
import jax
import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.engine import checkpoint, parallel, train
from affectjax.engine.feed import Dispatch
from affectjax.systems import mtclar
from tests.helpers import small
from tests.helpers.watched import Spy

# what a batch holds of each example, and what stands in the predictions
HEAD = dict(
  x='x',
  label='label',
  target='valence',
  outputs=('valence', 'valence_hat', 'arousal', 'arousal_hat'),
  rows=dict(dev=285, test=308),
  score='ccc.pooled.valence',
)
SIAMESE = dict(x='first', label='delta', target='delta_valence', score='acc.same',
               outputs=('delta_valence', 'delta_valence_hat', 'same', 'same_hat'),
               rows=dict(dev=22, test=80))  # fmt: skip  # stratified: 5 % of each class, at least one


@pytest.fixture(scope='module', params=['head', pytest.param('siamese', marks=pytest.mark.slow)])
def built(request):
  """A head's or a Siamese experiment of 12 steps and its config, built once so that it is compiled once."""
  row = ('siamese', 'labelling') if request.param == 'siamese' else ('control_va_afew_va', 'representation')
  config = small.config(*row, select='last')
  return config, mtclar.build(config, None)


def names(config):
  return SIAMESE if config['stage'] == 'siamese' else HEAD


def run(built, folder, patch, spoil=(), watch=lambda *_: None, **changes):
  """Runs the loop on the prepared experiment; returns its result and the training iterators it used."""
  config, experiment = built
  spies = []

  def batches(split, seed):
    if split != 'train':
      return experiment.batches(split, seed)
    spies.append(Spy(experiment.batches(split, seed), spoil))
    return spies[-1]

  spied = dataclasses.replace(experiment, batches=batches)
  patch.setattr(train, 'system', lambda name: type('System', (), {'build': staticmethod(lambda *_: spied)}))
  return train.run({**config, **changes}, folder, watch=watch), spies


def test_what_a_cell_leaves_behind(built, tmp_path, monkeypatch):
  seen = []
  result, _ = run(built, tmp_path, monkeypatch, watch=lambda *now: seen.append(now))
  log = small.lines(tmp_path / 'metrics.jsonl')
  losses = [line for line in log if 'loss' in line]
  assert [line['step'] for line in losses] == list(range(1, 13))
  assert set(losses[0]) == {'step', 'loss', 'grad_norm', 's'}
  assert [line['step'] for line in log if 'dev/loss' in line] == [4, 8, 12]
  assert [step for step, _, _ in seen] == list(range(1, 13)) and {steps for _, steps, _ in seen} == {12}
  assert result.steps == result.selected_step == 12
  assert result.dev == pytest.approx({k[4:]: v for k, v in log[-1].items() if k.startswith('dev/')})
  with np.load(tmp_path / 'predictions.npz', allow_pickle=False) as file:
    kind = names(built[0])
    for split, rows in kind['rows'].items():
      for name in ('id', 'group', 'item', *kind['outputs']):
        assert len(file[f'{split}/{name}']) == rows
      assert not {f'{split}/mask', f'{split}/{kind["x"]}'} & set(file)
  assert not (tmp_path / 'nonfinite.jsonl').exists()
  assert not list(tmp_path.rglob('*.tmp'))
  assert set(checkpoint.load_final(tmp_path)) == {'params', 'extra'}


def test_every_step_is_logged_with_rate_and_wait(built, tmp_path, monkeypatch):
  run(built, tmp_path, monkeypatch, log_every=5)
  log = small.lines(tmp_path / 'metrics.jsonl', without=())
  steps = [line for line in log if 'loss' in line]
  assert [line['step'] for line in steps] == [1, 5, 10]
  assert all(line['examples_per_s'] > 0 and 0 <= line['input_wait'] <= 1 for line in steps)


@pytest.mark.campaign(2)
@pytest.mark.parametrize(('mode', 'pick'), [('min', min), ('max', max)])
def test_the_selected_step_is_the_one_reported(built, tmp_path, monkeypatch, mode, pick):
  result, _ = run(built, tmp_path, monkeypatch, select='loss', select_mode=mode, eval_every=1)
  dev = {line['step']: line['dev/loss'] for line in small.lines(tmp_path / 'metrics.jsonl') if 'dev/loss' in line}
  assert len(dev) == 12
  assert result.selected_step == pick(dev, key=dev.get)
  assert result.dev['loss'] == dev[result.selected_step]


def test_an_unknown_score_to_select_by_is_refused_in_one_line(built, tmp_path, monkeypatch):
  asked = {**built[0], 'select': 'ccc'}
  with pytest.raises(UserError, match=f"unknown score in run.select 'ccc'; there is: .*{names(asked)['score']}.*loss"):
    run((asked, mtclar.build(asked, None)), tmp_path, monkeypatch)


def test_a_metric_selects_if_it_is_asked_for_and_no_other_is_computed(built, tmp_path, monkeypatch):
  asked = {**built[0], 'select': names(built[0])['score'], 'select_mode': 'max', 'steps': 4, 'eval_every': 2}
  result, _ = run((asked, mtclar.build(asked, None)), tmp_path, monkeypatch)
  dev = [{k: v for k, v in line.items() if k.startswith('dev/')} for line in small.lines(tmp_path / 'metrics.jsonl')]
  found = {k for k in dev[-1] if not k.startswith('dev/acc.same.')}
  assert found == {'dev/loss', f'dev/{asked["select"]}'} and asked['select'] in result.dev
  assert result.selected_step in (2, 4)


def test_updates_that_are_not_finite_are_skipped_and_their_ids_kept(built, tmp_path, monkeypatch):
  states = {}
  kept_save = checkpoint.Checkpoints.save
  monkeypatch.setattr(
    checkpoint.Checkpoints, 'save', lambda *args: (states.update({args[1]: args[2]}), kept_save(*args))[1]
  )
  spoil = (3, 4, 5, 6, 9)  # four in a row are not five, and counting starts anew
  result, (_, spy) = run(
    built, tmp_path, monkeypatch, spoil, eval_every=1, optim={**built[0]['optim'], 'schedule': 'constant'}
  )
  assert result.steps == 12
  lines = [json.loads(line) for line in (tmp_path / 'nonfinite.jsonl').read_text().splitlines()]
  assert [line['step'] for line in lines] == list(spoil)
  for line in lines:
    assert line['ids'] == list(spy.ids[line['step'] - 1]) and len(line['ids']) == 32
  for step in range(2, 13):
    before, after = states[step - 1], states[step]
    assert int(after.step) == step
    assert int(after.skipped) == {3: 1, 4: 2, 5: 3, 6: 4, 9: 1}.get(step, 0)
    same = [
      np.array_equal(a, b)
      for part in ('params', 'opt_state', 'extra')
      for a, b in zip(*(jax.tree.leaves(getattr(s, part)) for s in (before, after)), strict=True)
    ]
    assert all(same) if step in spoil else not all(same)
  strict = lambda constant: pytest.fail(f'metrics.jsonl holds {constant}, which is no JSON')
  for line in (tmp_path / 'metrics.jsonl').read_text().splitlines():
    line = json.loads(line, parse_constant=strict)
    assert (line.get('loss', 0) is None) == (line['step'] in spoil and 'loss' in line)


def test_five_in_a_row_fail_in_one_line_and_keep_the_last_checkpoint(built, tmp_path, monkeypatch):
  with pytest.raises(UserError, match='training diverged.*5 updates in a row up to step 9.*nonfinite.jsonl') as error:
    run(built, tmp_path, monkeypatch, (5, 6, 7, 8, 9))
  assert '\n' not in str(error.value)
  assert len((tmp_path / 'nonfinite.jsonl').read_text().splitlines()) == 5
  kept = checkpoint.Checkpoints(tmp_path)
  assert kept.latest() == 8
  config, experiment = built
  like = experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  state, _ = kept.restore(8, like)
  assert int(state.skipped) == 4
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
  kept.close()
  assert not (tmp_path / 'predictions.npz').exists()


def test_a_diverged_cell_goes_on_once_the_cause_is_gone(built, tmp_path, monkeypatch):
  with pytest.raises(UserError, match='diverged'):
    run(built, tmp_path, monkeypatch, (5, 6, 7, 8, 9))
  result, (_, spy) = run(built, tmp_path, monkeypatch, (5, 6, 7, 8))
  assert result.steps == 12 and len(spy.ids) == 4


def test_one_step_of_the_real_loss_ignores_padding(built):
  config, experiment = built
  batch = dict(next(iter(experiment.batches('train', 0))))
  state = experiment.init(jax.random.key(0), batch)
  numbers, _ = parallel.split_strings(batch)
  half = {k: v.copy() for k, v in numbers.items()}
  half['mask'][1::4] = 0  # the same rows are masked in both, with other content
  junk = {k: v.copy() for k, v in half.items()}
  for key in {'first', 'second', 'x', 'delta', 'label'} & set(junk):
    junk[key][1::4] = np.inf if key in ('first', 'x') else np.nan
  for key in {'same', 'emotion'} & set(junk):
    junk[key][1::4] = -1
  step = parallel.pmap(experiment.step, True)
  outs = [step(parallel.replicate(state), parallel.shard(b)) for b in (half, junk)]
  (plain, wanted), (dirty, got) = outs
  assert np.isfinite(got['loss']).all()
  np.testing.assert_array_equal(got['loss'], wanted['loss'])
  chex.assert_trees_all_equal(parallel.unreplicate(dirty), parallel.unreplicate(plain))


def test_an_empty_split_is_refused(built, tmp_path, monkeypatch):
  config, experiment = built
  nothing = lambda split, seed: iter(()) if split == 'dev' else experiment.batches(split, seed)
  replaced = dataclasses.replace(experiment, batches=nothing)
  state = experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  with pytest.raises(UserError, match="split 'dev' has no examples"):
    train.predict(replaced, parallel.replicate(state), 'dev', 0)


def test_predictions_keep_order_and_drop_padding(built):
  config, experiment = built
  state = experiment.init(jax.random.key(0), next(iter(experiment.batches('train', 0))))
  out = train.predict(experiment, parallel.replicate(state), 'test', 0)
  real = [b['mask'] > 0 for b in experiment.batches('test', 0)]
  ids = np.concatenate([b['id'][r] for b, r in zip(experiment.batches('test', 0), real, strict=True)])
  kind, rows = names(config), names(config)['rows']['test']
  wanted = np.concatenate([b[kind['label']][r, 0] for b, r in zip(experiment.batches('test', 0), real, strict=True)])
  np.testing.assert_array_equal(out['id'], ids)
  np.testing.assert_array_equal(out[kind['target']], wanted)
  assert sum(r.sum() for r in real) == rows and sum(map(len, real)) == -(-rows // 32) * 32


def test_an_unknown_system_is_refused():
  with pytest.raises(UserError, match="unknown system 'emonet'; there is: .*mtclar"):
    train.system('emonet')


def test_a_log_torn_by_a_kill_is_cut_back_to_the_checkpoint(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  whole = [json.dumps({'step': s, 'loss': 0.5}) + '\n' for s in (1, 2, 3, 4)]
  path.write_text(''.join(whole) + '{"step": 5, "lo')
  train._Log(tmp_path, 1).rewind(3)
  assert path.read_text() == ''.join(whole[:3])
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']


@pytest.mark.parametrize(('host', 'files'), [(0, ['metrics.jsonl', 'nonfinite.jsonl']), (1, ['nonfinite-1.jsonl'])])
def test_every_host_notes_its_own_examples_and_the_first_the_rest(tmp_path, monkeypatch, host, files):
  monkeypatch.setattr(jax, 'process_index', lambda: host)
  log = train._Log(tmp_path, 1)
  value = lambda x: parallel.pmap(lambda _: jax.numpy.float32(x))(np.zeros(8))
  scalars = {'loss': value(np.nan), 'finite': value(0), 'skipped': value(1)}
  log.dispatch(1, Dispatch(scalars, [np.array(['a', 'b'])], 2, 0.0))
  assert sorted(p.name for p in tmp_path.iterdir()) == files
  assert json.loads((tmp_path / files[-1]).read_text()) == {'step': 1, 'ids': ['a', 'b'], 'loss': 'nan'}
