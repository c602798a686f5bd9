"""Rigid registration of points to one surface from many starts at once: point-to-plane with robust weights."""

import numpy as np

from binpose_core.geometry.transforms import FloatArray, exp_se3, transform
from binpose_core.meshes.closest import DistanceField


def register(
    points: FloatArray, normals: FloatArray, field: DistanceField, starts: FloatArray, scales_m: FloatArray
) -> FloatArray:
    """Refine motions that align the points with the surface; points without a match get a low weight.

    Args:
        points: (N, 3) in metres.
        normals: (N, 3), unit length.
        field: the target surface; points farther from it than its cap are ignored.
        starts: (B, 4, 4) initial motions.
        scales_m: (iterations,) the distance at which a point has a quarter of the weight, for each step.

    Returns:
        T (B, 4, 4): ``T @ points`` lies on the surface, up to the local optimum.
    """
    motions = np.array(starts, dtype=np.float64)
    center = points.mean(axis=0)
    reach = float(np.linalg.norm(points - center, axis=1).max())
    for scale_m in scales_m:
        moved = transform(motions, points)
        turned = normals @ np.swapaxes(motions[:, :3, :3], -1, -2)
        steps = _newton_steps(moved - center, turned, center, field, float(scale_m), reach)
        motions = _about(center, exp_se3(steps)) @ motions
    return motions


def _newton_steps(
    moved: FloatArray, turned: FloatArray, center: FloatArray, field: DistanceField, scale_m: float, reach: float
) -> FloatArray:
    """Twists (B, 6) about the center that reduce the weighted point-to-plane distances of moved (B, N, 3)."""
    distances, faces = field.nearest(moved + center)
    plane_normals = field.normals[faces]
    residuals = ((moved + center - field.anchors[faces]) * plane_normals).sum(-1)
    alike = np.abs((turned * plane_normals).sum(-1)) > 0.5  # only surfaces with similar normals are matched
    weights = alike * (faces >= 0) / (1 + (distances / scale_m) ** 2) ** 2
    # Rotations are scaled by `reach`, so that both halves of the system are in metres.
    rows = np.concatenate([plane_normals, np.cross(moved / reach, plane_normals)], axis=-1)
    weighted = rows * weights[..., None]
    system = np.swapaxes(weighted, -1, -2) @ rows
    right = -(np.swapaxes(weighted, -1, -2) @ residuals[..., None])
    damping = 1e-4 * weights.sum(-1)[:, None, None] + 1e-9
    steps = np.linalg.solve(system + damping * np.eye(6), right)[..., 0]
    steps[:, 3:] /= reach
    return np.asarray(steps)


def _about(center: FloatArray, motions: FloatArray) -> FloatArray:
    """The motions (B, 4, 4) with `center` (3,) as their origin."""
    shifted = motions.copy()
    shifted[:, :3, 3] += center - motions[:, :3, :3] @ center
    return shifted
