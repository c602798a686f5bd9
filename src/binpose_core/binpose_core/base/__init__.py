"""Errors, settings, files, threads and devices."""
