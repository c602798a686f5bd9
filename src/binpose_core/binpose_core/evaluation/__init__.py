"""Pose errors, what counts as a right pose, and the figures of many frames."""
