"""What every system learns from: a corpus's examples, their sides, targets, shapes and batches."""
