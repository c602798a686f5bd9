"""Depth, masks and coordinates of meshes, by several backends; gradients of renderings."""
