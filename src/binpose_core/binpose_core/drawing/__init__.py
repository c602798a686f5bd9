"""Poses and detections drawn into images."""
