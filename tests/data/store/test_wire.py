import numpy as np
import pytest

from affectjax.data.store import wire

FIELDS = {
  'id': ('str', ()),
  'empty': ('str', ()),
  'x': ('float32', (None, 3)),
  'none': ('float32', (None, 3)),
  'mask': ('bool', (None,)),
  'present': ('bool', ()),
  'y': ('float32', ()),
  'class': ('int32', ()),
  'small': ('int32', (4,)),
  'wide': ('int64', (None,)),
}


def _example(seed=0):
  rng = np.random.default_rng(seed)
  t = int(rng.integers(1, 300))
  return {
    'id': 'ü' * int(rng.integers(1, 90)),
    'empty': '',
    'x': rng.normal(size=(t, 3)).astype(np.float32),
    'none': np.zeros((0, 3), np.float32),
    'mask': rng.random(t) < 0.5,
    'present': np.asarray(True),
    'y': np.asarray(np.nan, np.float32),
    'class': np.asarray(-1, np.int32),
    'small': rng.integers(0, 128, 4).astype(np.int32),
    'wide': rng.integers(-(2**63), 2**63, 9) >> rng.integers(0, 63, 9),
  }


@pytest.mark.parametrize('seed', range(20))
def test_round_trip_keeps_values_dtypes_and_shapes(seed):
  example = _example(seed)
  got = wire.decode(wire.encode(example), FIELDS)
  assert got.keys() == example.keys()
  for key, x in example.items():
    if isinstance(x, str):
      assert got[key] == x
    else:
      assert got[key].dtype == x.dtype and got[key].shape == x.shape
      np.testing.assert_array_equal(got[key], x)


def test_the_bytes_are_a_tf_example_and_its_bytes_are_ours():
  from tensorflow_datasets.proto import tf_example_pb2

  example = _example()
  message = tf_example_pb2.Example.FromString(wire.encode(example))
  values = message.features.feature
  np.testing.assert_array_equal(np.reshape(values['x'].float_list.value, (-1, 3)), example['x'].astype(float))
  assert list(values['wide'].int64_list.value) == example['wide'].tolist()
  assert values['id'].bytes_list.value[0].decode() == example['id']
  assert values['class'].int64_list.value[0] == -1
  got = wire.decode(message.SerializeToString(), FIELDS)  # keys in whatever order
  for key, x in example.items():
    np.testing.assert_array_equal(got[key], x)


def test_features_stored_as_float16_come_back_as_float32():
  from tensorflow_datasets.proto import tf_example_pb2

  example = {**_example(), 'whole': np.asarray([[0.1, -65504.0, 6e-8]], np.float32)}
  fields = {**FIELDS, 'whole': ('float32', (None, 3))}
  record = wire.encode(example, ('x', 'none', 'whole'))
  got = wire.decode(record, fields)
  for key in ('x', 'none', 'whole'):
    assert got[key].dtype == np.float32 and got[key].shape == example[key].shape
    np.testing.assert_array_equal(got[key], example[key].astype(np.float16))
  assert got['whole'][0, 1] == -65504 and got['y'].dtype == np.float32 and np.isnan(got['y'])
  stored = tf_example_pb2.Example.FromString(record).features.feature['x'].bytes_list.value[0]
  assert stored == example['x'].astype('<f2').tobytes()
  assert wire.encode(got, ('x', 'none', 'whole')) == record


def test_equal_examples_have_equal_bytes():
  example = _example()
  assert wire.encode(example) == wire.encode(dict(reversed(example.items())))


def test_damage_is_a_value_error():
  record = wire.encode(_example())
  for bad in (record[:-1], record[1:], b'', b'\x0a', record[:40]):
    with pytest.raises(ValueError):
      wire.decode(bad, FIELDS)
  with pytest.raises(ValueError, match="without \\['more'\\]"):
    wire.decode(record, {**FIELDS, 'more': ('float32', ())})
  with pytest.raises(ValueError, match='wide'):
    wire.decode(record, {k: v for k, v in FIELDS.items() if k != 'wide'})
