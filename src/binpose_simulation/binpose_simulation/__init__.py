"""Bins of parts as a camera sees them: parts, piles, appearance, the depth sensor, and a stream of labelled views.

Its modules are its public interface; a good start is `binpose_simulation.stream.SimulationStream`.
"""
