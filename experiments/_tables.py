"""What the experiment files share: a table chosen by its name, rows put together from parts, what claims compare."""

import ml_collections


def config(name, tables, run, **preset):
  """The config of one table.

  Args:
    name: of the table.
    tables: name -> function(c, rows) that sets `c.title` and whatever else the table changes, and adds its rows.
    run: the base of all rows, a ConfigDict.
    preset: what the paper's tables have alike: `folds`, `metrics`, and keys that not every experiment has.

  Raises:
    ValueError: there is no such table; it lists those there are.
  """
  if name not in tables:
    raise ValueError(f'unknown table {name!r}; there is: {", ".join(tables)}')
  c = ml_collections.ConfigDict()
  c.table, c.tables = name, tuple(tables)
  c.run, c.baselines, c.on_twins = run, {}, {}
  c.seeds, c.metrics, c.published, c.claims, c.notes = (0,), (), (), (), ()
  for key, value in preset.items():
    c[key] = value
  rows: dict = {}  # a ConfigDict forgets the order of its keys
  tables[name](c, rows)
  c.rows, c.order = rows, tuple(rows)
  return c


def merged(*parts):
  """Nested dicts laid over each other, later ones on top."""
  out: dict = {}
  for part in parts:
    for key, value in part.items():
      out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
  return out


def without(change, row):
  """`change` less what the row sets itself: a size for the twin, for example."""
  return {k: without(v, row.get(k, {})) if isinstance(v, dict) else v
          for k, v in change.items() if isinstance(v, dict) or k not in row}  # fmt: skip


def compare(row, against, metrics, **more):
  """Comparisons of a claim: the row with each of the others, in each metric."""
  return tuple(dict(row=row, against=a, metric=m, **more) for a in against for m in metrics)
