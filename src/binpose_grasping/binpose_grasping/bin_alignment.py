"""Where the camera sees the bin, compared with where the settings say that it is.

Observed points whose normals fit an inner wall, the floor or the rim of the configured bin are aligned with these
planes by point-to-plane ICP with Cauchy weights. Motions that the seen planes do not determine stay zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import NoDepth
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.surface_normals import DepthFit, surface_normals
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_se3, inverse, rotation_angle_rad, transform
from binpose_core.meshes.closest import DistanceField
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.bin_alignment_config import BinAlignmentConfig
from binpose_grasping.cell import BinConfig

FACES = 2000
FACING = 0.8
"""Least cosine between the normals of an observed point and of the plane that it may belong to."""
SURFACE = DepthFit(near_m=0.002, steepest=2.0)
DETERMINED = 0.005
"""Motions with a smaller eigenvalue of the normal equations, relative to the largest one, stay zero."""
LEFT_OPEN = 0.1
"""Largest squared length of an axis' part in the motions that stay zero, for which its offset is determined."""


@dataclass(frozen=True, eq=False)
class BinAlignment:
    """The place of the bin in one frame.

    T_base_seen: (4, 4) of the middle of the floor as the camera sees it; as configured where `points` is too small.
    offset_m: (3,) its displacement from the configured place, along the axes of the bin.
    angle_rad: its rotation from the configured place.
    wider_m: how much farther outside each wall is, as in bins with slanting walls.
    determined: (3,) whether the offset along each axis of the bin is determined by planes that the camera sees.
    points: number of observed points on the bin.
    residual_m: median distance of these points from the aligned planes.
    """

    T_base_seen: FloatArray
    offset_m: FloatArray
    angle_rad: float
    wider_m: float
    determined: npt.NDArray[np.bool_]
    points: int
    residual_m: float


def align_bin(
    frame: RgbdFrame,
    poses: Sequence[PoseEstimate],
    objects: Mapping[str, ObjectModel],
    bin_: BinConfig,
    T_base_cam: FloatArray,
    config: BinAlignmentConfig,
) -> BinAlignment:
    """Find the bin in the depth image, near its configured place.

    Args:
        frame: with depth.
        poses: of found parts, whose surface is left out.
        objects: the parts by id.
        bin_: the bin, with a size.
        T_base_cam: (4, 4) of the camera in the frame of the arm's base.
        config: settings.

    Raises:
        BinposeError: for a frame without depth.
    """
    T_bin_cam = inverse(bin_.placement.matrix) @ T_base_cam
    points_cam, normals_cam = _surface(frame, config.stride)
    free = ~_on_parts(points_cam, poses, objects, config.part_m)
    points, normals = transform(T_bin_cam, points_cam[free]), normals_cam[free] @ T_bin_cam[:3, :3].T
    T, planes, wider_m, determined = np.eye(4), bin_planes(bin_), 0.0, np.zeros(3, np.bool_)
    for number in range(config.rounds):
        fraction = min(1.0, 2 * number / config.rounds)
        scale_m = config.farthest_m / 3 * (1 - fraction) + config.scale_m * fraction
        moved, turned = transform(T, points), normals @ T[:3, :3].T
        twist, step_m, determined = _step(moved, turned, planes, config, scale_m)
        T, planes, wider_m = exp_se3(twist) @ T, planes.widened(step_m), wider_m + step_m
    moved, turned = transform(T, points), normals @ T[:3, :3].T
    distance_m, plane = planes.nearest(moved, turned, 3 * config.scale_m)
    residuals_m = np.abs(distance_m[plane >= 0])
    if len(residuals_m) < config.least_points:
        none = np.zeros(3)
        return BinAlignment(bin_.placement.matrix, none, 0.0, 0.0, none > 0, len(residuals_m), float("nan"))
    T_bin_seen, angle_rad = inverse(T), float(rotation_angle_rad(T[:3, :3], np.eye(3)))
    T_base_seen, residual_m = bin_.placement.matrix @ T_bin_seen, float(np.median(residuals_m))
    return BinAlignment(T_base_seen, T_bin_seen[:3, 3], angle_rad, wider_m, determined, len(residuals_m), residual_m)


@dataclass(frozen=True, eq=False)
class Planes:
    """K rectangles: their middles (K, 3), normals (K, 3) and half sides along x, y, z (K, 3), in the bin's frame."""

    middles: FloatArray
    normals: FloatArray
    half_m: FloatArray

    def widened(self, by_m: float) -> "Planes":
        """With each wall farther outside; floor and rim stay."""
        walls = self.normals[:, 2:] == 0
        return replace(self, middles=self.middles - by_m * np.where(walls, self.normals, 0.0))

    def nearest(
        self, points: FloatArray, normals: FloatArray, farthest_m: float
    ) -> tuple[FloatArray, npt.NDArray[np.intp]]:
        """Signed distance (N,) of points (N, 3) to the nearest rectangle with a like normal, and its number or -1."""
        offset = points[:, None] - self.middles  # (N, K, 3)
        distance_m = (offset * self.normals).sum(-1)
        beside_m = np.where(self.normals == 0, np.abs(offset) - self.half_m, 0.0).max(-1)
        fits = (normals @ self.normals.T > FACING) & (np.abs(distance_m) <= farthest_m) & (beside_m <= farthest_m)
        plane = np.where(fits, np.abs(distance_m), np.inf).argmin(axis=1)
        rows = np.arange(len(points))
        return distance_m[rows, plane], np.where(fits[rows, plane], plane, -1)


def bin_planes(config: BinConfig) -> Planes:
    """Floor, inner walls and rim of a bin, with normals to the inside and upwards."""
    x, y, h, w = config.size_x_m / 2, config.size_y_m / 2, config.depth_m, config.wall_m
    middles = [[0, 0, 0], [x, 0, h / 2], [-x, 0, h / 2], [0, y, h / 2], [0, -y, h / 2]]
    normals = [[0, 0, 1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0]]
    half = [[x, y, 0], [0, y, h / 2], [0, y, h / 2], [x, 0, h / 2], [x, 0, h / 2]]
    rims = [[x + w / 2, 0, h], [-x - w / 2, 0, h], [0, y + w / 2, h], [0, -y - w / 2, h]]
    rim_half = [[w / 2, y + w, 0], [w / 2, y + w, 0], [x + w, w / 2, 0], [x + w, w / 2, 0]]
    return Planes(
        *(np.array(rows, np.float64) for rows in (middles + rims, normals + [[0, 0, 1]] * 4, half + rim_half))
    )


def _step(
    points: FloatArray, normals: FloatArray, planes: Planes, config: BinAlignmentConfig, scale_m: float
) -> tuple[FloatArray, float, npt.NDArray[np.bool_]]:
    """What brings the points nearer to their planes.

    Returns:
        the motion of the points (6,), translation first; how much wider the bin is; and whether the translation along
        each axis is determined (3,): not by one of two opposite walls where the width is unknown.
    """
    distance_m, plane = planes.nearest(points, normals, config.farthest_m)
    met = plane >= 0
    if not met.any():
        return np.zeros(6), 0.0, np.zeros(3, np.bool_)
    facing, place, residual = planes.normals[plane[met]], points[met], distance_m[met]
    length_m = float(np.abs(planes.middles).max())  # rotations in this unit weigh like translations
    wall = (config.slanting & (facing[:, 2:] == 0)).astype(np.float64)
    rows = np.concatenate([facing, np.cross(place, facing) / length_m, wall], axis=1)
    weight = 1 / (1 + (residual / scale_m) ** 2)
    values, vectors = np.linalg.eigh((rows * weight[:, None]).T @ rows)
    certain = values > DETERMINED * values[-1]
    gain = np.where(certain, 1 / np.maximum(values, 1e-12), 0.0)
    step = vectors @ (gain * (vectors.T @ ((rows * weight[:, None]).T @ -residual)))
    unknown = (vectors[:3, ~certain] ** 2).sum(axis=1)
    return np.concatenate([step[:3], step[3:6] / length_m]), float(step[6]), unknown < LEFT_OPEN


def _surface(frame: RgbdFrame, stride: int) -> tuple[FloatArray, FloatArray]:
    """Observed points (N, 3) with normals (N, 3) in the camera frame, every `stride` pixels."""
    if frame.depth_m is None:
        raise NoDepth(f"Frame {frame.name!r} has no depth; expected it, to find the bin; record depth too.", frame.name)
    needed = np.zeros(frame.depth_m.shape, np.bool_)
    needed[::stride, ::stride] = frame.depth_m[::stride, ::stride] > 0
    normals = surface_normals(frame.depth_m, frame.camera, SURFACE, needed)
    used = needed & normals.any(axis=-1)
    return frame.camera.backproject(frame.depth_m)[used].astype(np.float64), normals[used].astype(np.float64)


def _on_parts(
    points: FloatArray, poses: Sequence[PoseEstimate], objects: Mapping[str, ObjectModel], near_m: float
) -> npt.NDArray[np.bool_]:
    """(N,) which points lie on found parts."""
    on = np.zeros(len(points), np.bool_)
    for pose in poses:
        part = objects[pose.object_id]
        offset = points - part.center_in(pose.T_cam_obj)
        near = np.flatnonzero((offset**2).sum(1) <= (part.diameter_m / 2 + near_m) ** 2)
        field = DistanceField(part.lod(FACES), max(near_m, 1e-6))
        on[near] |= field(transform(inverse(pose.T_cam_obj), points[near])) < near_m
    return on
