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
from binpose_grasping.wrench import tangents

FACES = 2000  # level of detail for distances of observed points
COVER_GRID_M, COVER_REACH_M = 0.004, 0.05


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
        self._centers = np.stack([objects[pose.object_id].center_in(pose.T_cam_obj) for pose in poses])
        self._radii = np.array([objects[pose.object_id].diameter_m / 2 for pose in poses])

    def observed(self, index: int, reach_m: float) -> FloatArray:
        """(N, 3) observed points in the camera frame within `reach_m` of a part's centre that are not on the part."""
        offset = self._observed - self._centers[index]
        near = self._observed[np.einsum("ni,ni->n", offset, offset) < reach_m**2]
        far = np.abs(near - self._centers[index]).max(axis=1) > self._radii[index] + self._own_m
        far[~far] = ~self._own(index, near[~far])
        return near[far]

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

    def other_parts(self, index: int, reach_m: float) -> FloatArray:
        """(N, 3) surface points of the other parts within `reach_m` of a part, including hidden sides; camera frame."""
        return np.concatenate([np.zeros((0, 3)), *(self._surfaces[number] for number in self.near(index, reach_m))])

    def near(self, index: int, reach_m: float) -> list[int]:
        """The other parts whose surface can be within `reach_m` of a part's centre."""
        distance_m = np.linalg.norm(self._centers - self._centers[index], axis=1) - self._radii
        return [int(number) for number in np.flatnonzero(distance_m < reach_m) if number != index]

    def covered(self, index: int, up: FloatArray) -> float:
        """Fraction of a part that others cover, seen along the direction `up` (3,) of the camera frame.

        Surface of other found parts counts, and observed points that are not on the part. They cover a cell of a grid
        if they are above the part's highest point there.
        """
        across, other = tangents(up[None])
        axes = np.stack([across[0], other[0], up])
        own = self._surfaces[index] @ axes.T
        reach_m = self._radii[index] + COVER_REACH_M
        above = np.concatenate([self.observed(index, reach_m), self.other_parts(index, reach_m)]) @ axes.T
        low = own[:, :2].min(axis=0)
        cells = np.floor((own[:, :2] - low) / COVER_GRID_M).astype(np.int64)
        counts = cells.max(axis=0) + 1
        height = np.full(counts, -np.inf)
        np.maximum.at(height, (cells[:, 0], cells[:, 1]), own[:, 2])
        places = np.floor((above[:, :2] - low) / COVER_GRID_M).astype(np.int64)
        inside = ((places >= 0) & (places < counts)).all(axis=1)
        u, v = places[inside].T
        higher = above[inside, 2] > height[u, v] + self._own_m
        hidden = np.zeros(counts, np.bool_)
        hidden[u[higher], v[higher]] = True
        occupied = np.isfinite(height)
        return float((hidden & occupied).sum() / max(occupied.sum(), 1))


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
