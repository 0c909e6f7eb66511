"""What every system learns from: a corpus's examples, their splits, targets, shapes and batches."""
