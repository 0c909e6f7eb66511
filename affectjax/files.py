"""Files that are there whole or not at all."""

import json
import pathlib
from typing import Any


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes to a temporary name beside `path` and renames."""
  temporary = path.with_name(path.name + '.tmp')
  temporary.write_text(text, encoding='utf-8')
  temporary.replace(path)


def write_json(path: pathlib.Path, value: Any) -> None:
  """As `write_text`, sorted keys."""
  write_text(path, json.dumps(value, indent=1, sort_keys=True) + '\n')
