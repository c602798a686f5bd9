"""How far the visible surface of a pose is from the observed points: paper 002, equation 5."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError, cKDTree

from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.parts.catalogue import ObjectModel
from binpose_self_training.selection.pose_crops import PoseCrops

VisibleSurface = Literal["rendered", "hidden_point_removal"]
MOST_POINTS = 400
"""Points of each surface that are compared."""
FLIP_RADIUS = 10.0**3
"""Radius of the spherical flip, in distances of the farthest point."""


def surface_distance(
    crops: PoseCrops,
    poses: Sequence[PoseEstimate],
    parts: Sequence[ObjectModel],
    visible: VisibleSurface = "rendered",
    occlusion_aware: bool = True,
) -> FloatArray:
    """d_g of each pose in diameters: the Chamfer distance of its visible surface and the points of its mask.

    Args:
        crops: windows around the poses.
        poses: in the crops' order.
        parts: of the poses.
        visible: how the visible surface is found: drawn by the renderer, or by hidden point removal (Katz et al.,
            2007) of points on the part, as in the paper.
        occlusion_aware: leave out the surface in front of which something else was observed.

    Returns:
        (B,) infinite where no point was observed on the mask, or nothing of the pose is visible.
    """
    distances = np.full(len(crops), np.inf)
    for b, (pose, part) in enumerate(zip(poses, parts, strict=True)):
        observed = _thinned(crops.points(b, crops.observed_depth_m[b], crops.observed_mask[b]))
        if visible == "rendered":
            shown = crops.rendered_mask[b]
            shown = shown & ~crops.occluded[b] if occlusion_aware else shown
            surface = _thinned(crops.points(b, crops.rendered_depth_m[b], shown))
        else:
            surface = transform(pose.T_cam_obj, np.asarray(part.points, np.float64))
            surface = surface[visible_points(surface)]
            surface = _thinned(_not_occluded(crops, b, surface) if occlusion_aware else surface)
        if len(observed) and len(surface):
            distances[b] = chamfer_distance(surface, observed) / part.diameter_m
    return distances


def chamfer_distance(first: FloatArray, second: FloatArray) -> float:
    """Sum of the mean distances from points (N, 3) to the nearest of points (M, 3), and back."""
    forth, _ = cKDTree(second).query(first)
    back, _ = cKDTree(first).query(second)
    return float(np.mean(forth) + np.mean(back))


def visible_points(points_cam: FloatArray) -> npt.NDArray[np.int64]:
    """Indices of the points (N, 3) that a camera at the origin sees, by hidden point removal (Katz et al., 2007).

    Points are reflected at a sphere around the camera; those on the convex hull of the result and the origin are seen.
    """
    distance = np.linalg.norm(points_cam, axis=1, keepdims=True)
    if len(points_cam) < 4 or not (distance > 0).all():
        return np.arange(len(points_cam))
    radius = FLIP_RADIUS * float(distance.max())
    flipped = points_cam + 2 * (radius - distance) * points_cam / distance
    try:
        hull = ConvexHull(np.vstack([flipped, np.zeros((1, 3))]))
    except QhullError:  # all points in a plane with the camera: each is seen
        return np.arange(len(points_cam))
    return np.sort(hull.vertices[hull.vertices < len(points_cam)]).astype(np.int64)


def _not_occluded(crops: PoseCrops, index: int, surface: FloatArray) -> FloatArray:
    """The points of a surface (N, 3) in front of which nothing was observed."""
    fx, fy, cx, cy = crops.intrinsics[index]
    x, y, z = surface.T
    size = crops.inside.shape[1]
    columns = np.round(fx * x / z + cx).astype(np.int64).clip(0, size - 1)
    rows = np.round(fy * y / z + cy).astype(np.int64).clip(0, size - 1)
    observed = crops.observed_depth_m[index][rows, columns]
    return surface[~((observed > 0) & (observed < z - crops.tolerance_m))]


def _thinned(points: FloatArray) -> FloatArray:
    """At most `MOST_POINTS` of points (N, 3), at equal steps: the same input gives the same answer."""
    if len(points) <= MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, MOST_POINTS).astype(np.int64)]
