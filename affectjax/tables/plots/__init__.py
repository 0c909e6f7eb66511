"""Kinds of figures, a module each, found by its name: `dict(kind='band', ...)` is drawn by `plots/band.py`.

A kind has
  REQUIRED, OPTIONAL: the keys of its spec besides `kind` and `name` (the file's, without .png),
  reads(spec) -> (rows, metrics) that it draws; refuses values of the wrong form with a `UserError`,
  draw(run, spec) -> a matplotlib figure; `Lacks` if nothing of it is finished.
Specs come from the experiment file or, through table.json, as lists where that has tuples. matplotlib is imported
while drawing only.
"""
