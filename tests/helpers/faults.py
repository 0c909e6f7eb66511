"""How a faulty source is proven to be refused: one line, by the store and by the command, and nothing is left."""

import pytest

from affectjax import prepare
from affectjax.common.errors import UserError
from affectjax.data.store import preparing
from tests.data.corpora.test_bad_sources_gated import check


def write(form: str, mutate, writers, folder, monkeypatch) -> None:
  """The faulty source, `folder / 'source'`; the working directory is an empty one beside it."""
  writers[form](folder / 'source')
  mutate(folder / 'source')
  (folder / 'cwd').mkdir()
  monkeypatch.chdir(folder / 'cwd')


def prove(name: str, options, wanted, folder, capsys) -> None:
  """Refused by the store and by the command in the same line, which holds the fragments `wanted`."""
  source, data = folder / 'source', folder / 'data'
  with pytest.raises(UserError) as refusal:
    preparing.prepare(name, source, data, options=options)
  check(name, str(refusal.value), wanted, data)
  given = [f'--option={key}={x}' for key, x in options.items()]
  assert prepare.main([name, f'--source={source}', f'--data_dir={data}', *given]) == 2
  out, err = capsys.readouterr()
  assert out == '' and err == f'error: {refusal.value}\n'
  check(name, err[:-1], wanted, data)
  assert not [p for p in data.rglob('*') if p.is_file()]
