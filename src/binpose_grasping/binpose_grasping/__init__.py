"""Grasps of parts from their CAD files, and reachable, collision-free grasps of the parts in a frame."""
