"""Draws poses and detections into images."""
