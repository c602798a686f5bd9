"""Cameras, RGB-D frames, detections and poses, and the pixels of an image."""
