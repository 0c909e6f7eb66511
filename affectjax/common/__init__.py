"""What every room may use: refusals, and files that are there whole or not at all."""
