"""Real data at a size for a laptop."""

REAL = dict(width=48, blocks=1, shared_blocks=1, heads=4, kernel=9, remat=False)
REAL_NOTES = ('Reduced network (width 48, 1 + 1 blocks), Adam 2e-3; the step with the lowest dev loss is reported.',)


def real(c, steps):
  """Real data at a size for a laptop."""
  c.run.model.update(REAL)
  c.run.optim.lr, c.run.steps, c.run.eval_every = 2e-3, steps, steps // 4
  c.run.eval_batch_size = 128
