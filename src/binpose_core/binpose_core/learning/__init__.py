"""Training loop, weights and the model store."""
