"""Training of a model from simulated bins, and the calibration of its scores."""
