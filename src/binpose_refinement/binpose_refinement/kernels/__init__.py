"""Inner loops in numba, parallel over hypotheses; types are inferred from the calls."""
