"""A frame and where its camera was: what several views of one resting bin have in common is the world.

`T_world_cam @ points_cam -> points_world`. The world is any frame that rests with the bin, such as a robot's base.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from binpose_core.base.errors import BinposeError
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.geometry.transforms import FloatArray, from_rotation_translation

RIGID = 1e-3
"""Largest deviation of R R^T from the identity: poses in text files are rounded."""
FARTHEST_M = 1000.0
"""Largest distance of a camera from the world's origin; a larger one is probably in another unit."""


@dataclass(frozen=True, eq=False)
class CameraView:
    """A frame with the pose of its camera.

    frame: what the camera saw.
    T_world_cam: (4, 4) float64, metres, of the optical frame.

    Raises:
        BinposeError: for a pose that is not finite or not rigid.
    """

    frame: RgbdFrame
    T_world_cam: FloatArray

    def __post_init__(self) -> None:
        pose = rigid_pose(self.T_world_cam, "T_world_cam", f"view {self.frame.name!r}")
        object.__setattr__(self, "T_world_cam", pose)

    @property
    def name(self) -> str:
        """Of its frame."""
        return self.frame.name


def rigid_pose(values: Any, key: str, where: str) -> FloatArray:
    """A pose (4, 4) float64 from outside, with its rotation made exactly orthonormal.

    Args:
        values: 4 rows of 4 numbers, or 16 numbers row by row; metres.
        key: its name, for the error.
        where: its place, for the error.

    Raises:
        BinposeError: unless it is a finite rigid motion at a plausible distance.
    """
    pose = _numbers(values)
    if pose is None or not np.isfinite(pose).all():
        raise _error(key, where, values, "16 finite numbers, a 4x4 matrix row by row in metres")
    rotation, last = pose[:3, :3], pose[3]
    square = np.abs(rotation @ rotation.T - np.eye(3)).max() <= RIGID and np.linalg.det(rotation) > 0
    if not square or np.abs(last - [0, 0, 0, 1]).max() > RIGID:
        raise _error(key, where, values, "a rigid motion: an orthonormal right-handed rotation and last row 0 0 0 1")
    if np.linalg.norm(pose[:3, 3]) > FARTHEST_M:
        raise _error(key, where, values, f"a translation in metres, of at most {FARTHEST_M:g} m")
    u, _, v = np.linalg.svd(rotation)
    return from_rotation_translation(u @ v, pose[:3, 3])


def _numbers(values: Any) -> FloatArray | None:
    try:
        return np.array(values, np.float64).reshape(4, 4)
    except (OverflowError, TypeError, ValueError):
        return None


def _error(key: str, where: str, values: Any, expected: str) -> BinposeError:
    shown = " ".join(str(values).split())
    shown = shown if len(shown) <= 120 else f"{shown[:120]}..."
    return BinposeError(f"{key} is {shown} in {where}; expected {expected}; correct or remove it.")
