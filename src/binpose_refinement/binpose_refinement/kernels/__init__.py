"""The inner loops, in numba: parallel over hypotheses, types inferred from the calls."""
