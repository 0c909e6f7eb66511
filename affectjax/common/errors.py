"""The one exception for whatever a user can put right; commands print it as one line and exit with 2."""

from collections.abc import Collection, Iterable


class UserError(ValueError):
  """A refusal in one line: names the file, id, key or flag, what was found, what was expected, what to do."""

  def __init__(self, message: str):
    super().__init__(' '.join(str(message).split()))


def unknown(what: str, name: object, known: Iterable[object]) -> UserError:
  """The refusal of a name that does not exist, with the names that do."""
  listed = ', '.join(sorted(str(k) for k in known)) or 'none'
  return UserError(f'unknown {what} {str(name)!r}; there is: {listed}')


def refuse_unknown(what: str, name: object, known: Collection[object]) -> None:
  """Raises the refusal `unknown` of a name that is not one of `known`."""
  if name not in known:
    raise unknown(what, name, known)


def refuse_wrong(*checks: tuple[object, str]) -> None:
  """Raises the first refusal of (whether something is wrong, the refusal)."""
  for wrong, why in checks:
    if wrong:
      raise UserError(why)
