"""Obstacles around the parts of a frame: observed surface, and the hidden sides of the other parts."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel

FACES = 5000  # level of detail for distances of observed points


class Obstacles:
    """The points of a frame that a hand could collide with.

    Args:
        frame: with depth.
        poses: of all parts in the frame.
        objects: the parts by id.
        own_m: observed points this close to a part's surface belong to the part.
        grid_m: size of the cells in which one point is kept.
    """

    def __init__(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        objects: Mapping[str, ObjectModel],
        own_m: float,
        grid_m: float,
    ) -> None:
        assert frame.depth_m is not None
        self._poses, self._objects, self._own_m = poses, objects, own_m
        self._camera, self._seen = frame.camera, frame.camera.backproject(frame.depth_m)
        self._observed = thinned(self._seen[frame.depth_m > 0], grid_m).astype(np.float64)
        self._surfaces = [
            transform(pose.T_cam_obj, thinned(objects[pose.object_id].points, grid_m).astype(np.float64))
            for pose in poses
        ]

    def observed(self, index: int, reach_m: float) -> FloatArray:
        """(N, 3) observed points in the camera frame within `reach_m` of a part's centre that are not on the part."""
        pose = self._poses[index]
        center = transform(pose.T_cam_obj, self._objects[pose.object_id].center_m[None])[0]
        near = self._observed[np.linalg.norm(self._observed - center, axis=1) < reach_m]
        return near[~self._own(index, near)]

    def hidden(self, index: int, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(...) which points (..., 3) of the camera frame are behind an observed surface of something else.

        That space is unknown: the inside or far side of a neighbour, or the table.
        """
        pixels = np.rint(self._camera.project(np.maximum(points, [-np.inf, -np.inf, 1e-3]))).astype(np.int64)
        inside = ((pixels >= 0) & (pixels < [self._camera.width, self._camera.height])).all(axis=-1)
        u, v = np.moveaxis(np.where(np.expand_dims(inside, -1), pixels, 0), -1, 0)
        depth_m = self._seen[v, u, 2]
        behind = points[..., 2] > depth_m + self._own_m
        hidden: npt.NDArray[np.bool_] = np.logical_and.reduce([inside, depth_m > 0, behind])
        hidden[hidden] = ~self._own(index, self._seen[v[hidden], u[hidden]].astype(np.float64))
        return hidden

    def _own(self, index: int, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) which points (N, 3) of the camera frame are on a part's surface."""
        pose = self._poses[index]
        field = _field(self._objects[pose.object_id].lod(FACES), self._own_m)
        return np.asarray(field(transform(inverse(pose.T_cam_obj), points)) < self._own_m)

    def other_parts(self, index: int) -> FloatArray:
        """(N, 3) surface points of all other parts in the camera frame, including hidden sides."""
        others = [points for number, points in enumerate(self._surfaces) if number != index]
        return np.concatenate([np.zeros((0, 3)), *others])


def thinned(points: FloatArray, grid_m: float) -> FloatArray:
    """The first of the points (N, 3) in each cell of a grid, in their order."""
    if len(points) == 0:
        return points
    cells = np.floor((points - points.min(axis=0)) / grid_m).astype(np.int64)
    counts = cells.max(axis=0) + 1
    keys = (cells[:, 0] * counts[1] + cells[:, 1]) * counts[2] + cells[:, 2]
    return points[np.sort(np.unique(keys, return_index=True)[1])]


@lru_cache(maxsize=64)  # meshes are compared by identity
def _field(mesh: Mesh, cap_m: float) -> DistanceField:
    return DistanceField(mesh, cap_m)
