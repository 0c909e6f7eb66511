"""Reproductions of five emotion-recognition papers in JAX: exact losses, named metrics, checked claims."""

import time

STARTED = time.monotonic()  # what "the first step after ... s" is counted from
