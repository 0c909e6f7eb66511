"""Reproductions of five emotion-recognition papers in JAX: exact losses, named metrics, checked claims."""
