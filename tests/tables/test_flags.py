"""Flags: which runs have collapsed onto what a constant scores, by run, in the table and in the csv."""

import numpy as np
import pytest

from affectjax import metrics
from affectjax.common.errors import UserError
from affectjax.tables import cells as cells_lib
from affectjax.tables import flags, render
from tests.helpers.refusals import refused
from tests.helpers.table_small import table
from tests.helpers.workdirs import build, cells, rows_of, section

ACC, R = 'acc4.intensity', ('pcc.pooled.happy', 'pcc.pooled.sad')
ROWS = ('constant', 'ssl', 'scratch', 'other', 'absent')
WHEN = (dict(metric=ACC, near='constant', within=0.002), *(dict(metric=r, near=0.0, within=0.05) for r in R))
COLLAPSED = dict(name='collapsed', text='It says no more than the constant.', when=WHEN)


def arrays(row, fold, seed, groups=10, n=40):
  """Of 'scratch', seed 1 and all of fold 1 say next to nothing; 'other' has no intensities, 'absent' is not done."""
  if row == 'absent':
    return None
  rng, own = np.random.default_rng(int(fold)), np.random.default_rng([len(row), int(fold), seed])
  group = np.array([f'v{fold}-{g}' for g in np.repeat(np.arange(groups), n)])
  if row == 'other':
    return {'group': group, 'x': rng.integers(0, 2, groups * n), 'x_hat': own.integers(0, 2, groups * n)}
  y = rng.choice([0, 1 / 3, 1, 2], (groups * n, 2), p=[0.6, 0.1, 0.2, 0.1])
  yhat = np.zeros_like(y) + [1 / 3, 0]
  if row == 'ssl' or (row == 'scratch' and (fold, seed) == ('0', 0)):
    yhat = 0.8 * y + own.normal(size=y.shape) * 0.1
  out = {'group': group, 'intensity': y, 'intensity_hat': yhat}
  return out | {f'{e}{s}': out[f'intensity{s}'][:, i] for i, e in enumerate(('happy', 'sad')) for s in ('', '_hat')}


def made(path, **options):
  options = {'metrics': [ACC, 'acc.x'], 'baselines': {}, 'flags': [COLLAPSED], **options}
  return build(path, options.pop('rows', ROWS), arrays=options.pop('arrays', arrays), **options)


def test_a_run_that_says_no_more_than_the_constant_is_named(tmp_path):
  text, table = render.render(made(tmp_path))
  assert section(text, 'collapsed')[2] == (
    'It says no more than the constant. A run is flagged if acc4.intensity is within 0.002 of that of row constant and '
    'pcc.pooled.happy is within 0.05 of 0 and pcc.pooled.sad is within 0.05 of 0.'
  )
  assert cells(text, 'collapsed') == {'scratch': ['3 of 4', 'fold 0: seed 1; fold 1: seeds 0, 1']}
  headings = [line for line in text.split('\n') if line.startswith('## ')]
  assert headings == [f'## {ACC}, higher is better', '## acc.x, higher is better', '## Flags', '## Unfinished']
  assert section(text, ACC)[-2] == 'collapsed: scratch (3 of 4 runs); see Flags.'
  assert 'see Flags' not in '\n'.join(section(text, 'acc.x'))
  found = [r for r in rows_of(table) if r['type'] == 'flag']
  assert [(r['id'], r['row'], r['cells'], r['expected'], r['kind'], r['text']) for r in found] == [
    ('collapsed', 'ssl', '0', '4', 'prepared', ''),
    ('collapsed', 'scratch', '3', '4', 'prepared', 'fold 0: seed 1; fold 1: seeds 0, 1'),
  ], 'neither the constant itself nor a row without the metrics'


def test_correlation_of_all_entries_would_hide_a_constant_per_emotion(tmp_path):
  assert metrics.compute('pcc.pooled.intensity', arrays('scratch', '1', 0)) == pytest.approx(0, abs=0.1)
  one = {'intensity': np.array([[1.0, 0], [2, 0]]), 'intensity_hat': np.array([[1 / 3, 0], [1 / 3, 0]])}
  assert metrics.compute('pcc.pooled.intensity', one) > 0.8


def test_near_a_number_every_row_may_be_flagged(tmp_path):
  at = {fold: metrics.compute(ACC, arrays('constant', fold, 0)) for fold in '01'}
  near = dict(name='trivial', text='As it is known.', when=(dict(metric=ACC, near=at['1'], within=0.0),))
  text, _ = render.render(made(tmp_path, flags=[near]))
  assert cells(text, 'trivial') == {row: ['2 of 4', 'fold 1: seeds 0, 1'] for row in ('constant', 'scratch')}, (
    'compared with a number, the constant is a row like others'
  )
  assert f'acc4.intensity is within 0 of {at["1"]:g}.' in text and at['0'] != at['1']


def test_none_is_said_as_well(tmp_path):
  text, _ = render.render(made(tmp_path, rows=('constant', 'ssl'), kind='synthetic'))
  found = section(text, 'collapsed (synthetic)')
  assert 'None of 4 runs of 1 rows is.' in found and 'see Flags' not in text and '## Flags (synthetic)' in text


def test_what_cannot_be_compared_is_told_and_not_flagged(tmp_path):
  alone, _ = render.render(made(tmp_path / 'a', rows=('scratch',)))
  assert cells(alone, 'collapsed') == {'scratch': ['0 of 0', '4 not checked']}
  assert flags.UNCHECKED in section(alone, 'collapsed')

  def torn(row, fold, seed):
    given = arrays(row, fold, seed)
    if (row, fold) == ('constant', '0'):
      return None
    if (row, fold, seed) == ('scratch', '1', 1):
      given['sad_hat'] = np.full_like(given['sad_hat'], np.nan)
    return given

  some, _ = render.render(made(tmp_path / 'b', arrays=torn))
  assert cells(some, 'collapsed') == {
    'ssl': ['0 of 2', '2 not checked'], 'scratch': ['1 of 1', '3 not checked; fold 1: seed 0'],
  }  # fmt: skip


def test_a_constant_without_folds_stands_for_all_of_them_and_all_conditions_must_hold():
  sample = lambda **runs: type('Sample', (), {'cells': {
    tuple(run.split('_')[1:]): type('Sums', (), {'sums': np.array([[x, 1.0]])}) for run, x in runs.items()
  }})  # fmt: skip
  loaded = type('Loaded', (), {
    'samples': {('constant', ACC): sample(_all_0=0.4, _all_1=0.6), ('a', ACC): sample(_0_0=0.45, _1_0=0.75),
                ('a', 'acc4.x'): sample(_0_0=0.2, _1_0=0.2)},
    'finished': {'constant': [], 'a': [{'fold': '0', 'seed': '0'}, {'fold': '1', 'seed': '0'}]},
  })  # fmt: skip
  when = [dict(metric=ACC, near=near, within=0.1) for near in ('constant', 0.5)]
  more = [dict(metric='acc4.x', near=0.1, within=within) for within in (0.11, 0.09)]
  first = (('0', '0'),)
  for given, flagged in (([when[0]], first), ([when[1]], first), ([when[0], more[0]], first), ([*when, more[1]], ())):
    rule = flags.read([dict(name='n', text='t', when=given)])[0]
    assert flags.judge(rule, loaded).rows[-1] == flags.OfRow('a', flagged, 2, 2)


def test_a_table_without_flags_says_nothing_of_them(tmp_path):
  text, table = render.render(made(tmp_path, flags=[]))
  assert 'lags' not in text and 'flag' not in table


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    (3, 'a flag is a mapping of name, text, when, found 3'),
    ({'name': ''}, "a flag has a name of its own, found ''"), ({'name': 7}, 'a name of its own, found 7'),
    ({'txt': 'x'}, "unknown key in flag 'collapsed': 'txt'; there is: name, text, when"),
    ({'text': None}, "flag 'collapsed': text says what it means, found None"),
    ({'when': ()}, r'when is \(dict\('), ({'when': 'acc'}, "found 'acc'"), ({'when': ('acc',)}, "found 'acc'"),
    ({'when': (dict(metric=ACC, near=0.5),)}, r"when is .*found \{'metric'"),
    ({'when': (dict(metric=ACC, near=None, within=0.1),)}, 'near None'),
    ({'when': (dict(metric=ACC, near=float('nan'), within=0.1),)}, 'near nan'),
    ({'when': (dict(metric=ACC, near=True, within=0.1),)}, 'near True'),
    ({'when': (dict(metric=ACC, near=0.5, within=-1),)}, 'within is a number of at least 0, found -1'),
    ({'when': (dict(metric=ACC, near=0.5, within='x'),)}, "found 'x'"),
    ({'when': (dict(metric='acc5.x', near=0.5, within=0.1),)}, "unknown metric 'acc5.x'"),
    ({'when': (dict(metric=ACC, near='constnt', within=0.1),)},
     "unknown row in flag 'collapsed': 'constnt'; there is: constant, ssl"),
  ],
)  # fmt: skip
def test_a_flag_that_is_none_is_refused_in_one_line(change, says):
  spec = {**COLLAPSED, **change} if isinstance(change, dict) else change
  with pytest.raises(UserError, match=says) as caught:
    flags.check([spec], ['constant', 'ssl'])
  assert '\n' not in str(caught.value)


def test_two_flags_of_one_name_are_refused():
  with pytest.raises(UserError, match="a flag has a name of its own, found 'collapsed' twice"):
    flags.read([COLLAPSED, COLLAPSED])


def test_flags_are_told_checked_before_anything_runs_and_change_no_fingerprint():
  one = (dict(COLLAPSED, when=(dict(metric=ACC, near='a', within=0.002),)),)
  marked, plain = table({'a': {}, 'b': {}}, flags=one), table({'a': {}, 'b': {}})
  told = cells_lib.definition(marked, cells_lib.plan(marked))
  assert told['flags'] == list(one) and 'flags' not in cells_lib.definition(plain, cells_lib.plan(plain))
  assert [c.fingerprint for c in cells_lib.plan(marked)] == [c.fingerprint for c in cells_lib.plan(plain)]
  alone = table({'b': {}}, flags=one)
  refused("unknown row in flag 'collapsed': 'a'", lambda: cells_lib.definition(alone, cells_lib.plan(alone)))
