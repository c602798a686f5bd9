"""Geometry, cameras and frames, meshes and the object catalogue, rendering, metrics, data sets and the model store.

Its modules are its public interface: import what you need from them, for example `binpose_core.frames.RgbdFrame`.
"""
