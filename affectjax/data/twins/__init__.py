"""One module per synthetic twin: the corpus's schema and geometry with a known truth."""
