"""The gate between a candidate model and the model in use."""
