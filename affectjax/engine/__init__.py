"""State, devices, step makers, optimisers, checkpoints and the training loop."""
