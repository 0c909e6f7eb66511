"""VAVL from config to scores: refusals, batches, every row from start to end, the experiment file."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.engine import parallel, train
from affectjax.systems import vavl as system
from affectjax.systems.vavl import experiment, training, views
from affectjax.tables import cells, claims
from tests.helpers import shared, small, vavl_small
from tests.helpers.shared import scores

# Refusals


@pytest.mark.parametrize(('changes', 'said'), [
  (dict(stage='train'), "unknown stage 'train'; there is: network, reference"),
  (dict(model=dict(kind='vaval')), "unknown run.model.kind 'vaval'"),
  (dict(model=dict(compute='float16')), "unknown run.model.compute 'float16'"),
  (dict(model=dict(fusion='sum')), "unknown run.model.fusion 'sum'"),
  (dict(model=dict(positions='absolute')), "unknown positions 'absolute'"),
  (dict(model=dict(width=9)), 'width 9 is no multiple of run.model.heads 2'),
  (dict(model=dict(kernel=4)), 'kernel 4; expected at least 1 each, and an odd kernel'),
  (dict(model=dict(blocks=0)), 'blocks 0'),
  (dict(model=dict(dropout=1.0)), 'run.model.dropout 1.0'),
  (dict(loss=dict(rebuild=-1.0)), 'run.loss.rebuild -1.0'),
  (dict(update=dict(kind='alternating')), "unknown run.update.kind 'alternating'; there is: joint, phases"),
  (dict(target=dict(kind='ranking')), "unknown run.target.kind 'ranking'"),
  (dict(target=dict(names=())), 'run.target.names is'),
  (dict(target=dict(names=('anger', 'sad'))), 'the classes of crema_d are anger, sad, disgust'),
  (dict(target=dict(label='mood')), "unknown column of crema_d 'mood'"),
  (dict(target=dict(kind='regression')), "unknown column of crema_d 'anger'"),
  (dict(merge=dict(anger=('rage',))), "'rage'; there is: anger"),
  (dict(merge=dict(calm=('neutral',))), "unknown class in merge 'calm'; there is: anger"),
  (dict(data=dict(modalities=('audio', 'text'))), "unknown modality of crema_d in run.data.modalities 'text'"),
  (dict(data=dict(modalities=())), 'run.data.modalities is (); expected one or two names'),
  (dict(data=dict(modalities=('audio', 'visual', 'text'))), 'expected one or two names'),
  (dict(data=dict(modalities=('audio', 'both'))), 'expected one or two names, none of both, gender, age'),
  (dict(data=dict(modalities=('audio', 'audio'))), 'expected each once'),
  (dict(model=dict(kind='mult'), data=dict(modalities=('audio',))), "is ('audio',); mult needs two"),
  (dict(data=dict(split='random')), "unknown run.data.split 'random'; there is: all, folds, official"),
  (dict(data=dict(paired=1.5)), 'run.data.paired is 1.5'),
  (dict(data=dict(paired=0.5, unpaired='dropped')), "unknown run.data.unpaired 'dropped'"),
  (dict(data=dict(paired=0.0, unpaired='left_out')), 'no training example has audio'),
  (dict(data=dict(buckets=0)), '0 buckets'),
  (dict(data=dict(context=0)), 'run.data.context is 0; expected'),
  (dict(data=dict(pool=dict(audio=0))), 'run.data.pool is 0; expected a number of frames from 1'),
  (dict(batch_size=0), 'run.batch_size is 0'),
  (dict(update=dict(fusion_gradient=True)), 'run.update.fusion_gradient has no effect in phases'),
  (dict(model=dict(kind='uavm'), update=dict(kind='joint')), "run.model.kind 'uavm' has one update"),
  (dict(model=dict(kind='mult'), parity=dict(attend_across_batch=True)), "run.model.kind 'mult' has one update"),
  (dict(parity=dict(attend_across_batch=True), eval_batch_size=64), 'run.eval_batch_size is 64, trained are 8'),
  (dict(data=dict(limit=-1)), 'run.data.limit is -1'),
  (dict(optim=dict(name='adamw')), "unknown optimizer 'adamw'"),
  (dict(corpora=('cremad',)), 'cremad'),
  (dict(stage='reference', reference='oracle'), "unknown run.reference 'oracle'"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(changes, said):
  with pytest.raises(UserError) as caught:
    config = vavl_small.config(**{k: v for k, v in changes.items() if k != 'merge'})
    config['target'] = {**config['target'], 'merge': changes.get('merge', {})}  # it has keys of its own
    made = system.build(config, None)
    made.init(jax.random.key(0), next(iter(made.batches('train', 0))))
  assert said in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(('fold', 'said'), [('all', 'has run.per_fold False'), ('9', "'9'; there is: 0, 1, 2, 3, 4")])
def test_folds_that_are_not_there_are_refused(fold, said):
  with pytest.raises(UserError) as caught:
    system.build({**vavl_small.config(), 'fold': fold}, None)
  assert said in str(caught.value) and '\n' not in str(caught.value)


def test_settings_for_classes_are_refused_with_attributes():
  config = vavl_small.config('majority', 'msp_improv')
  with pytest.raises(UserError, match='there is majority only'):
    system.build({**config, 'reference': 'rater'}, None)
  with pytest.raises(UserError, match='run.target.soft is True with regression'):
    system.build(vavl_small.config('vavl', 'msp_improv', target=dict(soft=True)), None)


@pytest.mark.parametrize('row', ['vavl', 'majority'])
def test_attributes_without_a_name_are_refused(row):
  with pytest.raises(UserError, match='run.target.names is empty'):
    system.build(vavl_small.config(row, 'msp_improv', target=dict(names=())), None)


# Batches


def test_training_batches_have_few_shapes_and_only_labelled_clips_of_the_side():
  config = vavl_small.config('vavl_p10', data=dict(buckets=3, max_frames=dict(audio=6, visual=0)))
  made = system.build(config, None)
  held = {split: np.concatenate([b['group'] for b in made.batches(split, 0)]) for split in ('dev', 'test')}
  batches = made.batches('train', 0)
  seen = [next(batches) for _ in range(60)]
  assert len({tuple(b[m].shape for m in ('audio', 'visual')) for b in seen}) <= 3
  for b in seen:
    assert (b['label'] >= 0).all() and not set(b['group'].tolist()) & set(np.concatenate(list(held.values())).tolist())
    assert (b['audio_present'] | b['visual_present']).all()
    for m in ('audio', 'visual'):
      assert not b[f'{m}_mask'][~b[f'{m}_present']].any() and np.isfinite(b[m]).all()
  paired = np.concatenate([b['audio_present'] & b['visual_present'] for b in seen]).mean()
  assert 0.05 < paired < 0.15
  tests = list(made.batches('test', 0))
  assert all(b['audio_present'].all() and b['visual_present'].all() for b in tests), 'test keeps what it has'
  real = np.concatenate([b['id'][b['mask'] > 0] for b in tests])
  assert len(real) == len(set(real.tolist()))


# From start to end


def predictions(folder, split='test'):
  with np.load(folder / 'predictions.npz', allow_pickle=False) as file:
    return {k.split('/')[1]: file[k] for k in file.files if k.startswith(f'{split}/')}


def check(result, folder, config):
  out, target = predictions(folder), config['target']
  modalities = config['data']['modalities'] if config['stage'] == 'network' else ()
  assert np.isfinite(result.dev['loss'])
  names = ('emotion',) if target['kind'] == 'classification' else target['names']
  found = ['', *(f'_{m}' for m in modalities), *([f'_drop{d}' for d in views.DROPS] if len(modalities) > 1 else [])]
  if config['reference'] != 'crowd':
    for name in names:
      for view in found:
        assert {f'{name}{view}', f'{name}{view}_hat'} <= out.keys()
        assert len(out[f'{name}{view}_hat']) == len(out['id'])
  assert np.isfinite([v for k, v in out.items() if k.startswith('output_')]).all()
  for line in (folder / 'metrics.jsonl').read_text().splitlines() if config['stage'] == 'network' else ():
    assert json.loads(line).get('skipped', 0) == 0
  return out


@pytest.fixture
def traced(monkeypatch):
  """Grows by one whenever a step is traced, to be compiled; no test before has compiled one."""
  training.make_step.cache_clear()
  parallel.pmap.cache_clear()
  found, keys = [], training.steps.step_keys
  monkeypatch.setattr(training.steps, 'step_keys', lambda state: (found.append(state), keys(state))[1])
  return found


def trained(row, table, folder, traced, **changes):
  config = vavl_small.config(row, table, **changes)
  out = check(train.run(config, folder), folder, config)
  assert len(traced) == 1, 'one shape, compiled once'
  return out


SHORT = dict(optim=dict(name='sgd', lr=0.01), model=dict(dropout=0.0))  # its step compiles in a third of the time


def test_a_row_trains_and_is_scored(tmp_path, traced):
  trained('audio_only', 'crema_d', tmp_path, traced, **SHORT)


# one of each way to train; the others differ in what test_network.py looks at
TRAINED = [('crema_d', 'vavl_p10'), ('crema_d', 'joint'), ('crema_d', 'auxformer'), ('parity', 'batch_axis'),
           ('msp_improv', 'vavl'), ('msp_improv', 'uavm'), ('crema_d', 'audio_only')]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('table', 'row'), TRAINED)
def test_every_row_trains_and_is_scored(tmp_path, traced, table, row):
  trained(row, table, tmp_path, traced)


@pytest.mark.parametrize(('row', 'table'), [*((r, 'crema_d') for r in ('majority', 'neighbours', 'intended', 'rater')),
                                            ('majority', 'msp_improv')])  # fmt: skip
def test_references_take_no_training(tmp_path, row, table):
  config = vavl_small.config(row, table)
  result = train.run(config, tmp_path)
  out = predictions(tmp_path)
  assert result.steps == 0 and not list(tmp_path.glob('checkpoints'))
  if table == 'crema_d':
    found = scores(tmp_path, 'f1.macro.emotion', 'f1.micro.emotion_audio')
    assert len(found) == 2 and all(0 <= value <= 1 for value in found.values())
  if row == 'majority':
    assert len(set(out['emotion_hat' if table == 'crema_d' else 'arousal_hat'].tolist())) == 1


def test_crowd_answers_by_one_modality_alone(tmp_path):
  train.run(vavl_small.config('crowd'), tmp_path)
  known = {'uar.emotion_audio', 'uar.emotion_visual'}
  assert set(scores(tmp_path, 'uar.emotion', *known)) == known


@pytest.mark.parametrize(('row', 'changes', 'at', 'shapes'), [
  ('audio_only', SHORT, 3, 1),
  pytest.param('vavl_p50', dict(steps=12, eval_every=4, data=dict(buckets=2)), 6, 2, marks=pytest.mark.slow),
], ids=['audio_only', 'vavl_p50'])  # fmt: skip
def test_resumed_is_uninterrupted_and_shapes_are_compiled_once(tmp_path, monkeypatch, traced, row, changes, at, shapes):
  config = vavl_small.config(row, **changes)

  class Stop(BaseException):
    pass

  def stop(step, steps, rate):
    if step == at:
      raise Stop

  whole = train.run(config, tmp_path / 'whole')
  compiled = len(traced)
  with pytest.raises(Stop):
    train.run(config, tmp_path / 'torn', watch=stop)
  again = train.run(config, tmp_path / 'torn')
  timeless = lambda result: result._replace(timing={})._asdict()
  np.testing.assert_equal(timeless(again), timeless(whole))  # a gap needs both parts and may be NaN
  assert len(traced) == compiled and 0 < compiled <= shapes
  first, second = (predictions(tmp_path / name) for name in ('whole', 'torn'))
  assert first.keys() == second.keys() and all(first[k].tobytes() == second[k].tobytes() for k in first)
  lines = [small.lines(tmp_path / name / 'metrics.jsonl') for name in ('whole', 'torn')]  # without times
  assert lines[0] == lines[1]


@pytest.mark.slow
def test_a_full_size_step_is_finite():
  """In a process of its own, which ends with the memory that its compilation takes."""
  ran = subprocess.run([sys.executable, '-m', 'tests.helpers.vavl_small'], capture_output=True, text=True,
                       cwd=shared.ROOT, env={**os.environ, 'XLA_FLAGS': shared.flags_for(1)})  # fmt: skip
  assert ran.returncode == 0, ran.stderr
  printed = json.loads(ran.stdout.splitlines()[-1])
  assert printed['finite'] and np.isfinite(printed['loss']) and printed['parameters']
  assert printed['loss.fusion'] == pytest.approx(np.log(6), abs=1.0)


# The experiment file


def of_anything(target, modalities) -> tuple[training.Target, tuple[str, ...], dict[str, np.ndarray]]:
  """A target, modalities, and outputs of a network with all of them for clips of which all is known."""
  found = training.Target(target['kind'], tuple(target['names']), False)
  shape = (4, len(found.names))
  out = {f'output_{view}': np.zeros(shape, np.float32) for view in (*modalities, *['both'] * (len(modalities) > 1))}
  label = np.zeros(4, np.int32) if found.kind == 'classification' else np.zeros(shape, np.float32)
  parts = dict.fromkeys(('gender', 'age'), np.arange(4) % 2)
  return found, tuple(modalities), {**out, 'label': label, 'id': np.array(list('abcd')), **parts}


@pytest.mark.parametrize('table', vavl_small.experiment()['tables'])
def test_every_table_resolves_and_its_claims_name_rows(table):
  config = vavl_small.experiment(table)
  for data_dir in (None, '/nowhere'):
    resolved = cells.Table(config, 'vavl.py', data_dir)
    runs = {row: resolved.row(row) for row in config['order']}
  assert set(config['order']) == set(config['rows']) and set(config['baselines']) | set(
    config['baselines'].values()
  ) <= set(runs)
  for claim in config['claims']:
    claims.check(claim)
    for pair in claim['compare']:
      assert {pair['row'], pair['against']} <= set(runs), claim['id']
  assert {p['row'] for p in config['published']} <= set(runs)
  stored = [{'group', *views.add(*of_anything(run['target'], run['data']['modalities']))} for run in runs.values()]
  for name in {*config['metrics'], *(pair['metric'] for claim in config['claims'] for pair in claim['compare'])}:
    assert any(metrics.available(name, keys) for keys in stored), name
  for run in runs.values():
    if run['stage'] == 'network' and run['corpora'][0] in ('crema_d', 'msp_improv'):
      cell = experiment.spec(run, {m: 8 for m in run['data']['modalities']})
      assert training.phases(cell)
