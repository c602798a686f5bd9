"""Rigid motions, and diameters of point sets."""
