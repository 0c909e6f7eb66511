"""One example as bytes: the `tf.train.Example` message that TFDS stores, written and read by NumPy alone.

TFDS builds these messages value by value (655 examples of [100, 74] floats per second on one core); here
the floats of an array go in and out as one block of memory (tens of thousands). Keys are sorted, so that
equal examples have equal bytes and a hash over them means something; a protobuf map promises no order.

The grammar, from the message's public definition (field number, wire type 2 = length-delimited throughout):

    Example  := 1: Features          Features := 1: entry, repeated
    entry    := 1: key  2: Feature   Feature  := 1: BytesList | 2: FloatList | 3: Int64List
    lists    := 1: values (floats little-endian, integers as varints; both packed)

Features that are stored as float16 are the one value of a BytesList, which is what TFDS calls encoding='bytes'.
"""

import math
from collections.abc import Collection, Mapping

import numpy as np

Example = Mapping[str, np.ndarray | str]
_BYTES, _FLOATS, _INTS = 0x0A, 0x12, 0x1A


def encode(example: Example, half: Collection[str] = ()) -> bytes:
  """Bytes of an example of strings, float32 arrays, integer arrays and bool arrays.

  Args:
    example: key -> value.
    half: keys of float32 arrays that are stored as float16.
  """
  entries = []
  for key in sorted(example):
    value = example[key]
    if isinstance(value, str):
      kind, payload = _BYTES, value.encode()
    elif key in half:
      kind, payload = _BYTES, value.astype('<f2').tobytes()
    elif value.dtype == np.float32:
      kind, payload = _FLOATS, np.ascontiguousarray(value, '<f4').tobytes()
    else:
      kind, payload = _INTS, _pack_ints(value)
    name = _delimited(0x0A, key.encode())
    # an empty list is an empty message; an empty string is still one value
    values = _head(0x0A, len(payload)) if payload or kind == _BYTES else b''
    feature = _head(kind, len(values) + len(payload))
    inner = _head(0x12, len(feature) + len(values) + len(payload))
    size = len(name) + len(inner) + len(feature) + len(values) + len(payload)
    entries += [_head(0x0A, size), name, inner, feature, values, payload]
  return b''.join([_head(0x0A, sum(map(len, entries))), *entries])


def decode(
  record: bytes, fields: Mapping[str, tuple[str, tuple[int | None, ...]]], keys: Collection[str] | None = None
) -> dict[str, np.ndarray | str]:
  """Reads an example back.

  Args:
    record: as written by `encode`, or by TFDS.
    fields: key -> (dtype name or 'str', shape with None for the axis that varies).
    keys: which of them are wanted; all by default.

  Returns:
    Strings and arrays; float arrays are read-only views into `record`, or float32 copies of what is stored as float16.

  Raises:
    ValueError: the bytes are no such message, or its keys and shapes are not those of `fields`.
  """
  out = {}
  wanted = set(fields) if keys is None else set(keys)
  try:
    i, end = _open(record, 0, 0x0A)
    while i < end and (keys is None or len(out) < len(wanted)):
      i, stop = _open(record, i, 0x0A)
      start, i = _open(record, i, 0x0A)
      key = record[start:i].decode()
      if keys is None or key in wanted:
        i, _ = _open(record, i, 0x12)
        kind = record[i]
        i, _ = _open(record, i, kind)
        if i < stop:
          i, _ = _open(record, i, 0x0A)
        out[key] = _value(record, i, stop, kind, *fields[key])
      i = stop
  except (IndexError, KeyError, UnicodeDecodeError) as e:
    raise ValueError(f'not an example of this corpus: {type(e).__name__} {e}') from e
  if len(out) != len(wanted):
    raise ValueError(f'an example without {sorted(wanted - set(out))}')
  return out


def _value(record: bytes, start: int, stop: int, kind: int, dtype: str, shape: tuple) -> np.ndarray | str:
  if dtype == 'str':
    return record[start:stop].decode()
  if kind == _FLOATS:
    values = np.frombuffer(record, '<f4', (stop - start) // 4, start)
  elif kind == _BYTES:
    values = np.frombuffer(record, '<f2', (stop - start) // 2, start).astype(np.float32)
  else:
    values = _unpack_ints(record[start:stop]).astype(dtype)
  if None in shape:
    rest = math.prod(n for n in shape if n is not None)
    shape = tuple(len(values) // rest if n is None else n for n in shape)
  return values.reshape(shape)


def _head(tag: int, size: int) -> bytes:
  """A tag and the length of what follows, as a varint."""
  out = [tag]
  while size > 0x7F:
    out.append(size & 0x7F | 0x80)
    size >>= 7
  out.append(size)
  return bytes(out)


def _delimited(tag: int, payload: bytes) -> bytes:
  return _head(tag, len(payload)) + payload


def _open(record: bytes, i: int, tag: int) -> tuple[int, int]:
  """Start and end of the length-delimited field with this tag at i."""
  if record[i] != tag:
    raise ValueError(f'not an example: tag {record[i]} at byte {i}, expected {tag}')
  size = shift = 0
  while True:
    i += 1
    byte = record[i]
    size |= (byte & 0x7F) << shift
    shift += 7
    if byte < 0x80:
      break
  if i + 1 + size > len(record):
    raise ValueError(f'not an example: a field of {size} bytes at byte {i} of {len(record)}')
  return i + 1, i + 1 + size


def _pack_ints(value: np.ndarray) -> bytes:
  """Varints of 64 bits, two's complement."""
  v = value.ravel()
  if v.dtype == np.bool_ or not v.size or (v.min() >= 0 and v.max() < 0x80):
    return v.astype(np.uint8).tobytes()
  v = v.astype(np.int64).view(np.uint64)
  groups = v[:, None] >> (np.arange(10, dtype=np.uint64) * np.uint64(7))  # [N, 10] seven bits each, low ones first
  used = np.maximum((groups > 0).sum(1), 1)  # [N] bytes needed
  rank = np.arange(10)
  out = (groups & np.uint64(0x7F)).astype(np.uint8) | np.where(rank < used[:, None] - 1, 0x80, 0).astype(np.uint8)
  return out[rank < used[:, None]].tobytes()


def _unpack_ints(packed: bytes) -> np.ndarray:
  """The inverse of `_pack_ints`: [N] int64, or uint8 where every value takes one byte."""
  raw = np.frombuffer(packed, np.uint8)
  if packed.isascii():
    return raw
  if len(raw) == 10 and raw[:9].min() >= 0x80:  # one negative number, such as the class -1
    value = sum((byte & 0x7F) << (7 * k) for k, byte in enumerate(packed))
    return np.array([value & 0xFFFFFFFFFFFFFFFF], np.uint64).view(np.int64)
  ends = np.flatnonzero(raw < 0x80)
  starts = np.concatenate([[0], ends[:-1] + 1])
  out = np.zeros(len(ends), np.uint64)
  for k in range(int((ends - starts).max()) + 1):
    on = starts + k <= ends
    out[on] |= (raw[starts[on] + k] & 0x7F).astype(np.uint64) << np.uint64(7 * k)
  return out.view(np.int64)
