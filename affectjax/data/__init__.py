"""Corpora on disk, their synthetic twins, batches and grouped folds."""
