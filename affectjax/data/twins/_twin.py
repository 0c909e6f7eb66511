"""A twin as a corpus: what generators share that is not about their data."""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from affectjax.common import files
from affectjax.data.corpus import Columns, Corpus


def corpus(
  name: str,
  modules: Sequence[Any],
  version: str,
  knobs: Mapping[str, Any],
  counts: Mapping[str, int],
  meta: Mapping[str, Any],
  make: Callable[[str], Columns],
) -> Corpus:
  """A synthetic corpus; its hash covers the code of `modules`, which generate it, and the knobs."""
  code = [files.meaning(inspect.getsource(m)) for m in modules]
  identity = json.dumps({'code': code, 'knobs': dict(knobs), 'version': version}, sort_keys=True)
  sha256 = hashlib.sha256(identity.encode()).hexdigest()
  return Corpus(name, 'synthetic', version, sha256, counts, {**meta, 'knobs': dict(knobs)}, make)
