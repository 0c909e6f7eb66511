"""One module per corpus: reads the layout in which the corpus is distributed."""
