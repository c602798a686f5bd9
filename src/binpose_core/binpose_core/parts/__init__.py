"""The catalogue of parts and their symmetries."""
