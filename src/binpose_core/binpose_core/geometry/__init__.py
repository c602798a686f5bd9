"""Rigid motions and sizes of point sets."""
