"""Simulated bins: parts, physics, appearance, depth sensors, and a stream of labelled views.

The modules are the public interface; start with `binpose_simulation.stream.SimulationStream`.
"""
