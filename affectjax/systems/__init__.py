"""One module per paper; the module name is its registry entry (`build(config)`)."""
