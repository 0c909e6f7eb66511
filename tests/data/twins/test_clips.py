"""The twins of acted clips: the corpora's geometry, votes like the real ones, and knobs that do what they say."""

import collections

import numpy as np
import pytest

from affectjax import doctor, metrics
from affectjax.common.errors import UserError
from affectjax.data import folds
from affectjax.data.corpora import crema_d as adapter
from affectjax.data.store import opening, schema
from affectjax.data.twins import _clips, crema_d, msp_improv
from affectjax.labels import raters
from tests.helpers import clips_miniature as miniature
from tests.helpers import shared

LOW = dict(audio_hz=6, visual_hz=4)
SMALL = {
  'crema_d': dict(actors=6, audio_hz=2, visual_hz=1, audio_width=3, visual_width=2),
  'msp_improv': dict(turns=60, audio_hz=2, visual_hz=1, audio_width=3, visual_width=2),
}
MUTE = {**LOW, 'audio_hz': 1, 'audio_width': 1}  # where only faces matter; they are those of LOW
TINY = dict(audio_hz=1, visual_hz=1, audio_width=1, visual_width=1)  # where only labels matter
CLIPS = dict(seed=1, audio_hz=3, visual_hz=2, audio_width=4, visual_width=3, signal_audio=0.5, signal_visual=0.5,
             common=0.9, identity=0.1, noise=0.2)  # fmt: skip
KNOBS = [
  *(('crema_d', {k: v}) for k, v in {**CLIPS, 'actors': 7, 'conflict': 0.9}.items()),
  *(('msp_improv', {k: v}) for k, v in {**CLIPS, 'turns': 61}.items()),
]
VOTES = ('votes_audio', 'votes_visual', 'votes')


@pytest.fixture
def few(tmp_path):
  """A pack of 30 clips of 6 actors."""
  miniature.crema_d(tmp_path / 'few', 'pack', ())
  return tmp_path / 'few'


@pytest.fixture(scope='module')
def plain():
  return opening.open_corpus('crema_d', **LOW).columns('all')


@pytest.fixture(scope='module')
def turns():
  return opening.open_corpus('msp_improv', **LOW).columns('all')


def columns(name='crema_d', **knobs):
  return opening.open_corpus(name, **knobs).columns('all')


def values(column):
  return getattr(column, 'values', column)


def means(column):
  """[N, D] over time."""
  return np.add.reduceat(column.values, column.offsets[:-1], 0, dtype=np.float64) / column.lengths[:, None]


def ridge(x, y, train, weight=10.0):
  """A linear reading [N, K] of x [N, D], fitted to y [N, K] on the rows `train`."""
  x = np.c_[(x - x[train].mean(0)) / (x[train].std(0) + 1e-9), np.ones(len(x))]
  fit = x[train]
  return x @ np.linalg.solve(fit.T @ fit + weight * np.eye(x.shape[1]), fit.T @ y[train])


def accuracy(c, *modalities):
  """Of a ridge on time means against the consensus: partition 1, fitted on its training actors, scored on test."""
  label, side = c['consensus'], c['partitions'][:, 0]
  x = np.concatenate([means(c[m]) for m in modalities], 1)
  test = side == 2
  return (ridge(x, np.eye(6)[label], side == 0).argmax(1) == label)[test].mean()


def chance(c):
  label, side = c['consensus'], c['partitions'][:, 0]
  return (label[side == 2] == np.bincount(label[side == 0]).argmax()).mean()


# Geometry


def test_crema_d_has_the_corpus_geometry(plain):
  corpus = opening.open_corpus('crema_d')
  assert corpus.kind == 'synthetic' and corpus.counts == {'all': 7442} and len(plain['id']) == 7442
  assert corpus.meta['modalities'] == {'audio': 64, 'visual': 88}
  assert corpus.meta['rate_hz'] == {'audio': 50.0, 'visual': 30.0}
  ids = plain['id'].tolist()
  assert ids == sorted(set(ids)) and plain['item'].tolist() == ids
  actor, sentence, code, level = zip(*(i.split('_') for i in ids), strict=True)
  assert set(actor) == {str(n) for n in range(1001, 1092)} == set(plain['group'])
  assert plain['group'].tolist() == list(actor) and plain['sentence'].tolist() == list(sentence)
  assert plain['level'].tolist() == list(level)
  assert [crema_d.CODES[k] for k in plain['intended']] == list(code)
  per_actor = collections.Counter(actor)
  assert max(per_actor.values()) == 82 and sum(82 - n for n in per_actor.values()) == 20
  levelled = {(s, e) for s, e, v in zip(sentence, code, level, strict=True) if v != 'XX'}
  assert levelled == {('IEO', e) for e in crema_d.CODES if e != 'NEU'} and len(set(sentence)) == 12
  person = dict(zip(plain['group'].tolist(), zip(plain['gender'], plain['age'], strict=True), strict=True))
  assert collections.Counter(g for g, _ in person.values()) == {'male': 48, 'female': 43}
  assert min(a for _, a in person.values()) >= 20 and max(a for _, a in person.values()) <= 74
  seconds = plain['audio'].lengths / 6
  assert 2.2 < seconds.mean() < 2.8 and seconds.std() > 0.3
  assert np.corrcoef(seconds, plain['visual'].lengths)[0, 1] > 0.9, 'both of one clip'


def test_msp_improv_has_the_corpus_geometry(turns):
  assert opening.open_corpus('msp_improv').counts == {'all': 8385}
  assert collections.Counter(turns['kind']) == dict(S=4347, P=2768, T=650, R=620)
  assert collections.Counter(turns['group']) == {
    'dyad1': 979, 'dyad2': 1422, 'dyad3': 1765, 'dyad4': 1108, 'dyad5': 1499, 'dyad6': 1612,
  }  # fmt: skip
  ids = turns['id'].tolist()
  assert ids == sorted(set(ids)) and len(set(turns['speaker'])) == 12
  for name, group, speaker, kind in zip(ids, turns['group'], turns['speaker'], turns['kind'], strict=True):
    assert f'-{speaker}-{kind}-{speaker[0]}' in name and group == f'dyad{speaker[-1]}'
  seconds = turns['audio'].lengths / 6
  assert 3.5 < seconds.mean() < 4.5 and seconds.min() < 1 and seconds.max() == 12
  count = turns['ratings_mask'].values[..., 0].sum(1)
  assert count.min() == 5 and count.max() == 8
  assert [len(set(a.split())) for a in turns['annotators']] == count.tolist()
  few = columns('msp_improv', **SMALL['msp_improv'])
  assert len(few['id']) == 60 and len(set(few['group'])) == 6 and set(few['kind']) == set('SPTR')


def test_partitions_never_share_people(plain, turns):
  for p in range(5):
    side = plain['partitions'][:, p]
    people = [set(plain['group'][side == s]) for s in range(3)]
    assert [len(s) for s in people] == [63, 14, 14]
    folds.refuse_leak({str(i): s for i, s in enumerate(people)})
    np.testing.assert_array_equal(side >= 0, plain['consensus'] >= 0)
    side = turns['partitions'][:, p]
    assert set(turns['group'][side == 2]) == {f'dyad{(5, 3, 2, 1, 6)[p]}'}
    assert set(turns['group'][side == 1]) == {f'dyad{(4, 2, 1, 6, 5)[p]}'}
    assert len(set(turns['group'][side == 0])) == 4
  tests = [frozenset(plain['group'][plain['partitions'][:, p] == 2]) for p in range(5)]
  assert len(set(tests)) == 5 and len(frozenset.union(*tests)) < 70, 'drawn independently: they overlap'


@pytest.mark.parametrize('name', SMALL)
def test_an_example_is_what_the_schema_wants(name, monkeypatch, capsys):
  corpus = opening.open_corpus(name, **SMALL[name])
  examples, fields = corpus.columns('all'), None
  for i in range(len(examples['id'])):
    row = {k: str(v[i]) if isinstance(v[i], str) else v[i] for k, v in examples.items()}
    example = schema.complete(row, corpus.meta, 'here')
    assert example.keys() == row.keys()
    fields = fields or schema.derive(example, corpus.meta)
    schema.check(example, fields)
    assert not schema.treat(example, corpus.meta['modalities'], 'error')
  fixed = {'votes': (6,), 'votes_audio': (6,), 'votes_visual': (6,)} if name == 'crema_d' else {'votes': (4,)}
  for key, shape in {**fixed, 'partitions': (5,)}.items():
    assert fields[key][1] == shape
  monkeypatch.setattr(opening, 'open_corpus', lambda name, data_dir: corpus)  # the whole twin takes the doctor long
  assert doctor.main([name]) == 0 and 'synthetic' in capsys.readouterr().out


# Knobs


@pytest.mark.parametrize('name', SMALL)
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
  if change.keys() & {'seed', 'actors', 'turns', 'conflict'}:
    return
  for key in set(first) - {f'{m}{s}' for m in ('audio', 'visual') for s in ('', '_mask')}:
    np.testing.assert_array_equal(values(first[key]), values(second[key]), key)
  alone = next((m for m in ('audio', 'visual') if m in next(iter(change))), None)
  if alone:  # what is of one modality leaves the other as it is
    other = {'audio': 'visual', 'visual': 'audio'}[alone]
    np.testing.assert_array_equal(first[other].values, second[other].values)


def test_all_knobs_are_tried_above():
  for name in SMALL:
    known = set(opening.open_corpus(name).meta['knobs']) - {'votes'}
    assert {k for n, change in KNOBS if n == name for k in change} == known


@pytest.mark.parametrize(
  ('name', 'knobs', 'said'),
  [
    ('crema_d', dict(actors=3), 'twin crema_d: actors 3, expected a whole number from 4 to 91'),
    ('crema_d', dict(actors=92), 'actors 92'),
    ('crema_d', dict(common=1.5), 'common 1.5, expected a number from 0 to 1'),
    ('crema_d', dict(conflict=-0.1), 'conflict -0.1'),
    ('crema_d', dict(noise=float('nan')), 'noise nan'),
    ('crema_d', dict(audio_width=8.0), 'audio_width 8.0, expected a whole number'),
    ('crema_d', dict(signal_audio='high'), "signal_audio 'high'"),
    ('crema_d', dict(votes='some'), "unknown votes of the twin crema_d 'some'; there is: drawn, real"),
    ('msp_improv', dict(turns=59), 'twin msp_improv: turns 59, expected a whole number from 60'),
    ('msp_improv', dict(visual_hz=0), 'visual_hz 0, expected a number from 1'),
    ('msp_improv', dict(identity=-1), 'identity -1'),
  ],
)
def test_impossible_knobs_are_refused(name, knobs, said):
  with pytest.raises(UserError, match=said):
    opening.open_corpus(name, **knobs)


# What clips show


def test_a_probe_reads_about_as_much_as_from_real_features(plain):
  voice, face, both = accuracy(plain, 'audio'), accuracy(plain, 'visual'), accuracy(plain, 'audio', 'visual')
  print(f'\nvoice {voice:.3f}, face {face:.3f}, both {both:.3f}, chance {chance(plain):.3f}')
  assert 0.5 < voice < 0.72 and 0.55 < face < 0.77 and 0.7 < both < 0.84
  assert both > max(voice, face) + 0.05


@pytest.mark.parametrize('modality', [pytest.param('audio', marks=pytest.mark.slow), 'visual'])
def test_without_signal_a_modality_says_nothing(modality, plain):
  silent = columns(**LOW, **{f'signal_{modality}': 0.0})
  assert accuracy(silent, modality) < chance(silent) + 0.03
  other = {'audio': 'visual', 'visual': 'audio'}[modality]
  assert accuracy(silent, other) == accuracy(plain, other)


@pytest.mark.parametrize(('knobs', 'lost'), [
  (dict(noise=1.5), 0.1), pytest.param(dict(identity=3.0), 0.05, marks=pytest.mark.slow),
], ids=['noise', 'identity'])  # fmt: skip
def test_more_noise_and_more_of_the_person_hide_the_emotion(plain, knobs, lost):
  assert accuracy(columns(**MUTE, **knobs), 'visual') < accuracy(plain, 'visual') - lost


@pytest.mark.slow
def test_a_face_is_the_same_whatever_is_heard(plain):
  np.testing.assert_array_equal(columns(**MUTE)['visual'].values, plain['visual'].values)


def test_common_is_how_alike_the_codes_are():
  for common in (0.0, 0.3, 1.0):
    voice, face = (_clips._code(m, 6, common).ravel() for m in range(2))
    assert np.corrcoef(voice, face)[0, 1] == pytest.approx(common, abs=0.12)


@pytest.mark.parametrize(('common', 'least', 'most'), [(1.0, 0.5, 1.0), (0.0, 0.0, 0.35)])
def test_what_is_learned_of_voices_serves_faces_only_where_the_code_is_common(common, least, most):
  """An encoder that undoes the network's map; a reading of onset, apex and offset fitted on voices, used on faces."""
  c = columns(**LOW, common=common)
  label, side = c['consensus'], c['partitions'][:, 0]
  paths = []
  for m, name in enumerate(_clips.MODALITIES):
    latent = c[name].values @ np.linalg.pinv(_clips._map(m, c[name].values.shape[1]))  # [sum of T, 16]
    starts = np.stack([c[name].offsets[:-1] + part * c[name].lengths // 3 for part in range(3)], 1).ravel()
    steps = np.diff(np.append(starts, len(latent)))[:, None]
    paths.append((np.add.reduceat(latent, starts, 0) / steps).reshape(len(label), -1))  # [N, 48]
  rows = np.concatenate([side == 0, np.zeros(len(side), bool)])
  read = ridge(np.concatenate(paths), np.eye(6)[np.concatenate([label, label])], rows)[len(label) :]
  score = (read.argmax(1) == label)[side == 2].mean()
  assert least <= score <= most


def test_conflict_sets_voice_against_face():
  differ = []
  for conflict in (0.0, 0.5):
    c = columns(**TINY, conflict=conflict)
    differ.append((c['votes_audio'].argmax(1) != c['votes_visual'].argmax(1)).mean())
  assert differ[1] > differ[0] + 0.1


# Votes


def summary_of(c):
  """Figures of three kinds of votes: mean entropy, unanimous, for the intended emotion; [3, 3]."""
  out = []
  for key in VOTES:
    p = raters.soft_label(c[key])
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1).mean()
    out.append((entropy, (p.max(1) == 1).mean(), p[np.arange(len(p)), c['intended']].mean()))
  return np.array(out)


REAL = np.array([[0.829, 0.051, 0.397], [0.699, 0.135, 0.572], [0.640, 0.150, 0.629]])  # of votes_long.csv


@pytest.mark.parametrize('seed', [0, 1])
def test_drawn_votes_are_like_the_real_ones(seed):
  c = columns(**TINY, seed=seed)
  np.testing.assert_allclose(summary_of(c), REAL, atol=0.05)
  differ = (c['votes_audio'].argmax(1) != c['votes_visual'].argmax(1)).mean()
  assert differ == pytest.approx(0.508, abs=0.04)
  counts = np.bincount(c['consensus'] + 1, minlength=7)[1:]
  assert counts.sum() == pytest.approx(5820, abs=150)
  np.testing.assert_allclose(counts, [885, 387, 870, 856, 1632, 1190], atol=170)
  for key in VOTES:
    total = c[key].sum(1)
    assert total.min() >= 4 and total.max() <= 12 and total.mean() == pytest.approx(9.5, abs=0.1)


def test_labels_follow_from_the_votes(plain):
  votes = plain['votes']
  np.testing.assert_array_equal(plain['emotion'], raters.plurality(votes))
  agreed = 2 * votes.max(1) > votes.sum(1)
  np.testing.assert_array_equal(plain['consensus'], np.where(agreed, votes.argmax(1), -1))


def test_higher_levels_show_more_of_the_emotion(plain):
  p = raters.soft_label(plain['votes'])[np.arange(7442), plain['intended']]
  low, middle, high = (p[plain['level'] == v].mean() for v in ('LO', 'MD', 'HI'))
  assert low < middle < high


def as_in_the_pack(folder):
  """The twin with real votes, its columns and what they are compared with."""
  corpus = opening.open_corpus('crema_d', **TINY, votes='real', pack=str(folder))
  reading = adapter.read(folder)
  clips = corpus.columns('all')
  examples = [reading.example('all', key) for key in reading.keys['all']]
  for key in examples[0]:
    np.testing.assert_array_equal(clips[key], np.stack([e[key] for e in examples]), key)
  assert set(clips) - set(examples[0]) == {f'{m}{s}' for m in ('audio', 'visual') for s in ('', '_mask', '_present')}
  assert corpus.kind == 'synthetic' and corpus.counts == {'all': len(examples)}
  assert 'votes and labels real' in corpus.meta['labels'] and 'features synthetic' in corpus.meta['labels']
  first = opening.open_corpus('crema_d', **TINY, votes='real', pack=str(folder), actors=4)
  assert set(first.columns('all')['group']) == {'1001', '1002', '1003', '1004'}
  return corpus, clips


def test_votes_are_those_of_a_small_pack(few):
  corpus, clips = as_in_the_pack(few)
  drawn = opening.open_corpus('crema_d', **TINY, actors=4)
  assert set(drawn.columns('all')) == set(clips) and drawn.sha256 != corpus.sha256


@pytest.mark.slow
def test_real_votes_are_those_of_the_pack():
  corpus, clips = as_in_the_pack(shared.pack(crema_d.PACK))
  np.testing.assert_allclose(summary_of(clips), REAL, atol=0.001)
  assert np.bincount(clips['consensus'] + 1).tolist()[1:] == [885, 387, 870, 856, 1632, 1190]
  assert corpus.counts == {'all': 7442}
  drawn = opening.open_corpus('crema_d', **TINY)
  assert set(drawn.columns('all')) == set(clips) and drawn.sha256 != corpus.sha256


@pytest.mark.slow
def test_the_features_follow_the_real_votes():
  c = columns(**LOW, votes='real', pack=str(shared.pack(crema_d.PACK)))
  voice, face, both = accuracy(c, 'audio'), accuracy(c, 'visual'), accuracy(c, 'audio', 'visual')
  print(f'\nvoice {voice:.3f}, face {face:.3f}, both {both:.3f}, chance {chance(c):.3f}')
  assert 0.5 < voice < face < both < 0.84


def test_the_hash_follows_the_packs_content(few, tmp_path):
  copy = tmp_path / 'copy'
  copy.mkdir()
  for path in few.glob('*.csv'):
    (copy / path.name).write_bytes(path.read_bytes())
  real = lambda folder: opening.open_corpus('crema_d', votes='real', pack=str(folder), actors=4).sha256
  plain = real(few)
  assert real(copy) == plain, 'wherever it lies'
  (copy / 'VideoDemographics.csv').write_bytes((copy / 'VideoDemographics.csv').read_bytes() + b'\n')
  assert real(copy) != plain


def test_real_votes_without_the_pack_are_refused(few, tmp_path, monkeypatch):
  monkeypatch.setenv('AFFECTJAX_SHARED_DATA', str(few.parent))  # which is the tests' alone
  with pytest.raises(UserError, match='cremad_votes, but pack is not given; name its folder') as refused:
    opening.open_corpus('crema_d', votes='real')
  assert '\n' not in str(refused.value)
  with pytest.raises(UserError, match='no_pack.* is no folder; name its folder'):
    opening.open_corpus('crema_d', votes='real', pack=str(tmp_path / 'no_pack'))
  with pytest.raises(UserError, match='is of real votes; take votes=real, or leave it out'):
    opening.open_corpus('crema_d', pack=str(few))


# Ratings


def test_labels_have_the_corpus_moments_and_arousal_is_reversed_once(turns):
  for attribute, (mean, sd) in msp_improv.MOMENTS.items():
    raw = 3 + 2 * turns[attribute].astype(np.float64)
    raw = 6 - raw if attribute == 'arousal' else raw
    assert raw.mean() == pytest.approx(mean, abs=0.05) and raw.std() == pytest.approx(sd, abs=0.05)
    i = msp_improv.ATTRIBUTES.index(attribute)
    np.testing.assert_allclose(np.nanmean(turns['ratings'].values[..., i], 1), turns[attribute], atol=1e-6)
  marks = turns['ratings'].values[turns['ratings_mask'].values]
  assert set(np.unique(marks)) == {-1, -0.5, 0, 0.5, 1}
  mean = lambda a, e: turns[a][turns['emotion'] == msp_improv.EMOTIONS.index(e)].mean()
  assert turns['arousal'].mean() > 0.15, 'active is high: raw 2.53 is more active than not'
  assert mean('arousal', 'angry') > mean('arousal', 'sad') + 0.3
  assert mean('valence', 'happy') > mean('valence', 'neutral') > mean('valence', 'angry')
  assert raters.mean_pairwise_r(turns['ratings'].values[:, :, 0]) > 0.3


def ccc(c, *modalities):
  """CCC of valence, arousal, dominance, by a ridge on time means; partition 1."""
  side = c['partitions'][:, 0]
  y = np.stack([c[a] for a in msp_improv.ATTRIBUTES], 1).astype(np.float64)
  read = ridge(np.concatenate([means(c[m]) for m in modalities], 1), y, side == 0)
  return np.array([metrics.ccc(y[side == 2, i], read[side == 2, i]) for i in range(3)])


def test_voices_tell_arousal_and_dominance_and_faces_valence(turns):
  voice, face = ccc(turns, 'audio'), ccc(turns, 'visual')
  print(f'\nvoice {voice.round(3)}, face {face.round(3)}')
  assert face[0] > voice[0] + 0.2 and voice[1] > face[1] + 0.2 and voice[2] > face[2] + 0.1
  assert max(face[0], voice[1]) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize('modality', ['audio', 'visual'])
def test_without_signal_a_modality_says_nothing_of_attributes(modality):
  silent = columns('msp_improv', **LOW, **{f'signal_{modality}': 0.0})
  np.testing.assert_allclose(ccc(silent, modality), 0, atol=0.1)
