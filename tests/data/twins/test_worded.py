"""The twins of spoken words: geometry, schema, votes and ratings, determinism and knobs."""

import numpy as np
import pytest

from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpora import iemocap as iemocap_adapter
from affectjax.data.store import opening, schema
from affectjax.data.twins import _worded, iemocap
from affectjax.labels import raters
from tests.helpers.worded_small import NAMES, SMALL, columns, entropy, four, values

PLAIN = dict(audio_width=1, text_width=1)  # where only labels matter
CHANGES = dict(seed=1, audio_width=4, text_width=3, signal_audio=0.5, signal_text=0.5, ambiguous=0.1, conflict=0.9,
               unreliable=0.9, slip=0.3, identity=0.1, noise=0.2)  # fmt: skip
KNOBS = [
  *(('iemocap', {k: v}) for k, v in {**CHANGES, 'turns': 330, 'sessions': 3}.items()),
  *(('msp_podcast', {k: v}) for k, v in {**CHANGES, 'turns': 210, 'speakers': 12}.items()),
]
MODALITY = {f'{m}{s}' for m in ('audio', 'text') for s in ('', '_mask', '_present')}
COMMON = {
  'id', 'item', 'group', 'gender', 'votes', 'voters', 'emotion', 'consensus', 'ratings', 'ratings_mask', 'valence',
  'arousal', 'dominance', *MODALITY,
}  # fmt: skip
KEYS = {'iemocap': COMMON | {'session', 'kind'}, 'msp_podcast': COMMON | {'official'}}
LATENT = {'truth', 'reason', 'unreliable'}


@pytest.fixture(scope='module')
def turns():
  return opening.open_corpus('iemocap').columns('all')


@pytest.fixture(scope='module')
def segments():
  return opening.open_corpus('msp_podcast').columns('all')


# Geometry


def test_iemocap_has_the_corpus_geometry(turns):
  corpus = opening.open_corpus('iemocap')
  assert corpus.kind == 'synthetic' and corpus.counts == {'all': 10039} and len(turns['id']) == 10039
  assert corpus.meta['modalities'] == {'audio': 768, 'text': 768}
  assert turns['audio'].values.shape == turns['text'].values.shape == (10039, 768)
  ids = turns['id'].tolist()
  assert ids == sorted(set(ids)) and len(set(turns['item'])) == 151 and len(set(turns['group'])) == 10
  assert np.bincount(turns['session'])[1:].tolist() == [1819, 1811, 2136, 2103, 2170]
  dialogues = [len({i for i in turns['item'].tolist() if i.startswith(f'Ses0{s}')}) for s in range(1, 6)]
  assert dialogues == [28, 30, 32, 30, 31]
  assert {'Ses03M_impro05a', 'Ses03M_impro08b', 'Ses05M_script01_1b'} <= set(turns['item'])
  columns = zip(ids, *(turns[k].tolist() for k in ('item', 'group', 'gender', 'kind', 'session')), strict=True)
  for name, item, group, gender, kind, session in columns:
    letter = name[len(item) + 1]
    assert name.startswith(item) and group == f'{name[:5]}_{letter}' and int(name[3:5]) == session
    assert gender == {'F': 'female', 'M': 'male'}[letter] and kind[:5] == {'i': 'impro', 's': 'scrip'}[item[7]]
  assert all(iemocap_adapter._NAME.fullmatch(name) for name in ids[::7]), 'names that the adapter reads'
  assert iemocap.EMOTIONS == iemocap_adapter.EMOTIONS
  assert set(turns['voters']) == {3, 4} and (turns['voters'] == 4).mean() < 0.02


def test_msp_podcast_has_the_corpus_geometry(segments):
  corpus = opening.open_corpus('msp_podcast')
  assert corpus.kind == 'synthetic' and corpus.counts == {'all': 12000} and len(segments['id']) == 12000
  ids = segments['id'].tolist()
  assert ids == sorted(set(ids))
  assert all(name.rsplit('_', 1)[0] == item for name, item in zip(ids, segments['item'].tolist(), strict=True))
  np.testing.assert_allclose(np.bincount(segments['official']) / 12000, [0.554, 0.131, 0.202, 0.098, 0.0155], atol=2e-3)
  groups = [set(segments['group'][segments['official'] == s]) for s in range(5)]
  folds.refuse_leak({str(i): s for i, s in enumerate(groups)})
  unknown = np.char.startswith(segments['group'], 'unknown:')
  assert 0.05 < unknown.mean() < 0.25 and set(segments['official'][unknown]) == {0}
  assert (segments['group'][unknown] == np.char.add('unknown:', segments['item'][unknown])).all()
  np.testing.assert_array_equal(segments['gender'] == 'unknown', unknown)
  known = set(segments['group'][~unknown])
  assert 330 < len(known) <= 400 and all(g.startswith('spk') for g in known)
  pairs = set(zip(segments['group'][~unknown].tolist(), segments['gender'][~unknown].tolist(), strict=True))
  assert len(pairs) == len(known), 'a speaker has one gender'
  assert segments['voters'].min() == 5 and segments['voters'].max() == 9
  np.testing.assert_array_equal(segments['votes'].sum(1), segments['voters'])


@pytest.mark.parametrize('knobs', [dict(turns=100, speakers=5), dict(turns=100, speakers=10), dict(speakers=1200)])
def test_every_partition_of_msp_podcast_has_segments_and_speakers_of_its_own(knobs):
  c = columns('msp_podcast', **PLAIN, **knobs)
  assert len(c['id']) == knobs.get('turns', 12000) == len(set(c['id']))
  groups = [set(c['group'][c['official'] == s]) for s in range(5)]
  assert all(groups)
  folds.refuse_leak({str(i): s for i, s in enumerate(groups)})


def test_fewer_sessions_are_the_first_ones():
  c = columns('iemocap', **PLAIN, turns=400, sessions=2)
  assert len(c['id']) == 400 and len(set(c['item'])) == 58
  assert set(c['group']) == {'Ses01_F', 'Ses01_M', 'Ses02_F', 'Ses02_M'}
  assert len(set(columns('iemocap', **PLAIN, turns=302)['item'])) == 151


@pytest.mark.parametrize('name', NAMES)
def test_an_example_is_what_the_schema_wants(name):
  corpus = opening.open_corpus(name, **SMALL[name])
  examples, fields = corpus.columns('all'), None
  assert set(examples) == KEYS[name] | LATENT and set(corpus.meta['fixed']) == LATENT
  for i in range(len(examples['id'])):
    row = {k: str(v[i]) if isinstance(v[i], str) else v[i] for k, v in examples.items()}
    example = schema.complete(row, corpus.meta, 'here')
    fields = fields or schema.derive(example, corpus.meta)
    schema.check(example, fields)
    assert len(example['audio']) == len(example['text']) == len(example['ratings']) == 1
  classes, seats = {'iemocap': (10, 3), 'msp_podcast': (9, 9)}[name]
  wanted = {
    'votes': ('float32', (classes,)), 'truth': ('float32', (classes,)), 'reason': ('int8', ()),
    'unreliable': ('int8', ()),
    'voters': ('int32', ()), 'emotion': ('int32', ()), 'consensus': ('int32', ()), 'valence': ('float32', ()),
    'ratings': ('float32', (None, seats, 3)), 'audio': ('float32', (None, 3)), 'text': ('float32', (None, 2)),
    **({'session': ('int32', ())} if name == 'iemocap' else {'official': ('int8', ())}),
  }  # fmt: skip
  assert {key: fields[key] for key in wanted} == wanted
  assert len(corpus.meta['raters']) == seats and corpus.meta['attributes'] == list(_worded.ATTRIBUTES)


# Votes and ratings


def test_iemocaps_votes_are_like_the_real_ones(turns):
  real = np.array([1708, 595, 1103, 1084, 1041, 1849, 107, 40, 2, 3])
  counts = np.bincount(turns['consensus'] + 1, minlength=11)[1:]
  np.testing.assert_allclose(counts, real, rtol=0.16, atol=60)
  votes, inside = four(turns)
  assert inside.sum() == pytest.approx(4370, abs=200)
  v = votes[inside].astype(np.float64)
  n, share = v.sum(1), v.sum(0) / v.sum()
  agreed = ((v * (v - 1)).sum(1) / (n * (n - 1))).mean()
  assert (agreed - (share**2).sum()) / (1 - (share**2).sum()) == pytest.approx(0.542, abs=0.03)
  assert entropy(v).mean() == pytest.approx(0.431, abs=0.04)


def test_msp_podcasts_consensus_is_like_the_real_one(segments):
  labelled = segments['consensus'][segments['official'] < 4]
  shares = np.bincount(labelled + 1, minlength=10) / len(labelled)
  real = np.array([20863, 10212, 9745, 24861, 3506, 1175, 1504, 2816, 36203, 1827]) / 112712
  np.testing.assert_allclose(shares, real, atol=0.012)


@pytest.mark.parametrize('name', NAMES)
def test_labels_follow_from_votes_and_marks(name, turns, segments):
  c = {'iemocap': turns, 'msp_podcast': segments}[name]
  emotion = raters.plurality(c['votes'])
  np.testing.assert_array_equal(c['emotion'], emotion)
  agreed = (2 * c['votes'].max(1) > c['voters']) | (name == 'msp_podcast')
  np.testing.assert_array_equal(c['consensus'], np.where(agreed, emotion, -1))
  steps = {'iemocap': 2, 'msp_podcast': 3}[name]
  marks, mask = c['ratings'].values, c['ratings_mask'].values
  assert set(np.unique(np.rint(marks[mask] * steps))) == set(range(-steps, steps + 1))
  np.testing.assert_allclose(marks[mask] * steps, np.rint(marks[mask] * steps), atol=1e-6)
  np.testing.assert_array_equal(np.isnan(marks), ~mask)
  for i, attribute in enumerate(_worded.ATTRIBUTES):
    np.testing.assert_allclose(np.nanmean(marks[..., i], 1), c[attribute], atol=1e-6)
  names = opening.open_corpus(name).meta['emotions']
  mean = lambda a, e: c[a][emotion == names.index(e)].mean()
  assert mean('valence', 'happy') > mean('valence', 'neutral') > mean('valence', 'angry')
  assert mean('arousal', 'angry') > mean('arousal', 'sad')


def test_rules_count_what_they_say(turns, segments):
  said = {n: opening.open_corpus(n).meta['rules'] for n in NAMES}
  votes, inside = four(turns)
  plain = inside & (turns['votes'][:, iemocap.EMOTIONS.index('excited')] == 0)
  merged = np.array([*iemocap.MERGED, -1])[turns['consensus']]
  kept = [inside, plain, 2 * votes.max(1) > turns['voters'], merged >= 0]
  for rule, rows in zip(('inside', 'inside_plain', 'majority', 'consensus'), kept, strict=True):
    assert said['iemocap'][rule].endswith(f': {rows.sum()} of 10039 turns')
  three = segments['votes'][:, :8].sum(1) >= 3
  assert said['msp_podcast']['three'].endswith(f': {three.sum()} of 12000 segments')


@pytest.mark.parametrize('name', NAMES)
def test_a_twin_is_the_same_every_time(name):
  first, second = columns(name, **SMALL[name]), columns(name, **SMALL[name])
  for key, value in first.items():
    np.testing.assert_array_equal(values(value), values(second[key]))
  assert opening.open_corpus(name, **SMALL[name]).sha256 == opening.open_corpus(name, **SMALL[name]).sha256


@pytest.mark.parametrize(('name', 'change'), KNOBS, ids=lambda v: str(v))
def test_every_knob_changes_the_hash_and_the_data(name, change):
  plain, changed = (opening.open_corpus(name, **{**SMALL[name], **c}) for c in ({}, change))
  assert plain.sha256 != changed.sha256 and changed.meta['knobs'] == {**plain.meta['knobs'], **change}
  first, second = plain.columns('all'), changed.columns('all')
  assert any(not np.array_equal(values(first[k]), values(second[k])) for k in first)
  if change.keys() & {'seed', 'turns', 'sessions', 'speakers', 'ambiguous', 'conflict', 'unreliable', 'slip'}:
    return
  for key in set(first) - {f'{m}{s}' for m in ('audio', 'text') for s in ('', '_mask')}:
    np.testing.assert_array_equal(values(first[key]), values(second[key]), key)
  alone = next((m for m in ('audio', 'text') if m in next(iter(change))), None)
  if alone:  # what is of one modality leaves the other as it is
    other = {'audio': 'text', 'text': 'audio'}[alone]
    np.testing.assert_array_equal(first[other].values, second[other].values)


def test_all_knobs_are_tried_above():
  for name in NAMES:
    assert {k for n, change in KNOBS if n == name for k in change} == set(opening.open_corpus(name).meta['knobs'])


@pytest.mark.parametrize(
  ('name', 'knobs', 'said'),
  [
    ('iemocap', dict(turns=301), 'twin iemocap: turns 301, expected a whole number from 302'),
    ('iemocap', dict(sessions=6), 'sessions 6, expected a whole number from 1 to 5'),
    ('iemocap', dict(sessions=2.0), 'sessions 2.0, expected a whole number from 1 to 5'),
    ('iemocap', dict(ambiguous=1.1), 'ambiguous 1.1, expected a number from 0 to 1'),
    ('iemocap', dict(ambiguous=float('nan')), 'ambiguous nan'),
    ('iemocap', dict(conflict=-0.1), 'conflict -0.1'),
    ('iemocap', dict(unreliable=1.5), 'unreliable 1.5, expected a number from 0 to 1'),
    ('iemocap', dict(slip=-0.1), 'slip -0.1, expected a number from 0 to 1'),
    ('iemocap', dict(text_width=8.0), 'text_width 8.0, expected a whole number'),
    ('iemocap', dict(text_width=True), 'text_width True, expected a whole number'),
    ('iemocap', dict(signal_text='high'), "signal_text 'high'"),
    ('msp_podcast', dict(turns=99), 'twin msp_podcast: turns 99, expected a whole number from 100'),
    ('msp_podcast', dict(turns='many'), "turns 'many', expected a whole number"),
    ('msp_podcast', dict(speakers=4), 'speakers 4, expected a whole number from 5 to 1200'),
    ('msp_podcast', dict(turns=100, speakers=11), 'speakers 11, expected a whole number from 5 to 10'),
    ('msp_podcast', dict(identity=-1), 'identity -1'),
  ],
)
def test_impossible_knobs_are_refused(name, knobs, said):
  with pytest.raises(UserError, match=said) as refused:
    opening.open_corpus(name, **knobs)
  assert '\n' not in str(refused.value)
