"""Photographs and stereo depth of simulated bins by path tracing with Mitsuba 3 (the extra `path_traced`).

Piles, cameras and labels are those of `binpose_simulation.scene`; only appearance and sensing differ. The views stand
for recordings of a real cell, with known truth: their labels are for evaluation alone.
"""
