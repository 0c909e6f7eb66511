"""Prepared corpora on disk."""
