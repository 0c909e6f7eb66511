"""A table of an experiment with few keys, made of rows by hand."""

from affectjax.tables import cells

RUN = dict(
  system='mtclar', stage='label', corpora=('afew_va',), per_fold=True, warm_start='', seed=0, fold='0', steps=10,
  select='last', twins=dict(afew_va=dict(clips=10), affectnet=dict(train=400)), optim=dict(lr=0.1, clip=0.0),
  label=dict(k=20),
)  # fmt: skip


def table(rows, given=(), data_dir=None, **more) -> cells.Table:
  """Of two folds and one seed; `given`: keys set by flag; `more` replaces what the table says."""
  config = dict(
    title='A table', table='main', run=RUN, rows=rows, order=tuple(rows), on_twins={}, seeds=(0,), folds=('0', '1'),
    metrics=('acc.x',), baselines={}, published=(), claims=(), notes=(),
  )  # fmt: skip
  return cells.Table({**config, **more}, 'table.py', data_dir, frozenset(given))
