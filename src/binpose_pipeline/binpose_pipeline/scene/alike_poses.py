"""Poses of one part modulo its symmetries: distances, the nearest of those that look alike, and weighted means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from binpose_core.geometry.transforms import (
    FloatArray,
    exp_so3,
    from_rotation_translation,
    inverse,
    log_so3,
    quat_xyzw_from_rotation,
    transform,
)
from binpose_core.parts.objects import ObjectModel

POINTS = 32
SYMMETRY_STEP_RAD = np.pi / 18


@dataclass(frozen=True, eq=False)
class PoseMean:
    """T (4, 4), and the covariance (6, 6) of (translation in m, rotation vector in rad) in the frame of the poses."""

    T: FloatArray
    covariance: FloatArray


class AlikePoses:
    """Compares and averages the poses of parts modulo their exact symmetries.

    Args:
        objects: the parts by id.
    """

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self.objects = objects
        self._points = {name: _few(np.asarray(part.points, np.float64)) for name, part in objects.items()}

    def nearest(self, object_id: str, T: FloatArray, reference: FloatArray) -> FloatArray:
        """Of the poses that look like T (4, 4) the one nearest to the reference (4, 4)."""
        part = self.objects[object_id]
        alike = T @ part.symmetries.transforms(SYMMETRY_STEP_RAD)
        there = transform(reference, self._points[object_id])
        distances = np.linalg.norm(transform(alike, self._points[object_id][None]) - there, axis=-1).mean(-1)
        best = alike[int(distances.argmin())]
        if len(part.symmetries.continuous) == 1:
            line = part.symmetries.continuous[0]
            best = best @ _spin(line.axis, line.offset, best[:3, :3].T @ reference[:3, :3])
        return np.asarray(best)

    def distance_m(self, object_id: str, T: FloatArray, reference: FloatArray) -> float:
        """Mean distance of the surfaces of two poses (4, 4), modulo symmetry."""
        points = self._points[object_id]
        alike = self.nearest(object_id, T, reference)
        return float(np.linalg.norm(transform(alike, points) - transform(reference, points), axis=-1).mean())

    def difference(self, object_id: str, T: FloatArray, reference: FloatArray) -> FloatArray:
        """(6,) translation of the origin in m and rotation vector in rad from the reference to T, modulo symmetry."""
        alike = self.nearest(object_id, T, reference)
        turn = log_so3(alike[:3, :3] @ reference[:3, :3].T)
        return np.concatenate([alike[:3, 3] - reference[:3, 3], turn])

    def mean(self, object_id: str, poses: Sequence[FloatArray], covariances: Sequence[FloatArray]) -> PoseMean:
        """The mean of poses (4, 4) weighted by their information, modulo symmetry.

        The covariance of the mean of independent poses is never larger than that of any of them.
        """
        information = [np.linalg.inv(covariance) for covariance in covariances]
        total: FloatArray = np.sum(information, axis=0)
        T: FloatArray = np.asarray(poses[int(np.argmin([np.trace(c[:3, :3]) for c in covariances]))], np.float64)
        for _ in range(3):
            differences = [self.difference(object_id, pose, T) for pose in poses]
            weighted = np.sum([i @ d for i, d in zip(information, differences, strict=True)], axis=0)
            step = np.linalg.solve(total, weighted)
            T = from_rotation_translation(exp_so3(step[3:]) @ T[:3, :3], T[:3, 3] + step[:3])
        return PoseMean(T, np.linalg.inv(total))


def turned_covariance(covariance: FloatArray, rotation: FloatArray) -> FloatArray:
    """A covariance (6, 6) of (translation, rotation vector) in another frame: rotation (3, 3) leads into it."""
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = rotation
    return np.asarray(turn @ covariance @ turn.T)


def moved_covariance(covariance: FloatArray, T_a_b: FloatArray) -> FloatArray:
    """The covariance (6, 6) of a pose T_b_obj as that of T_a_b @ T_b_obj."""
    return turned_covariance(covariance, T_a_b[:3, :3])


def in_camera(T_world_cam: FloatArray, T_world_obj: FloatArray) -> FloatArray:
    """T_cam_obj (..., 4, 4)."""
    return inverse(np.asarray(T_world_cam)) @ T_world_obj


def _spin(axis: FloatArray, offset: FloatArray, rotation: FloatArray) -> FloatArray:
    """The motion (4, 4) about a line that comes nearest to a rotation (3, 3)."""
    quat = quat_xyzw_from_rotation(rotation)
    turn = exp_so3(2.0 * np.arctan2(quat[:3] @ axis, quat[3]) * np.asarray(axis))
    return from_rotation_translation(turn, offset - turn @ offset)


def _few(points: FloatArray) -> FloatArray:
    """(POINTS, 3) of points (N, 3) in random order."""
    return points[:POINTS]
