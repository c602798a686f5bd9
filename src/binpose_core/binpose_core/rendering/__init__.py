"""Rendering of depth, masks and coordinates of meshes by several backends, and gradients of renderings."""
