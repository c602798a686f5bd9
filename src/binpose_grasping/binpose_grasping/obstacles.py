"""Obstacles around the parts of a frame: observed surface, and the hidden sides of the other parts."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numba
import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.geometry.transforms import FloatArray, inverse, transform
from binpose_core.meshes.closest import DistanceField
from binpose_core.meshes.mesh import Mesh
from binpose_core.parts.objects import ObjectModel
from binpose_grasping.wrench import tangents

FACES = 2000  # level of detail for distances of observed points
COVER_GRID_M = 0.004
BESIDE_M = 0.04  # points within this distance of a part's sphere are beside the part
CELL_M = 0.015  # size of the cells by which points are ordered
PARTS_CACHED = 64


class Obstacles:
    """The points of a frame that a hand could collide with.

    Args:
        frame: with depth.
        poses: of all parts in the frame.
        objects: the parts by id.
        own_m: observed points this close to a part's surface belong to the part.
        grid_m: distance of observed points, and size of the cells in which one surface point of a part is kept.
        reach_m: obstacles count within this distance of a part's surface.
    """

    def __init__(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        objects: Mapping[str, ObjectModel],
        own_m: float,
        grid_m: float,
        reach_m: float,
    ) -> None:
        assert frame.depth_m is not None
        self._poses, self._parts, self._own_m = poses, [objects[pose.object_id] for pose in poses], own_m
        self._camera, self._depth_m = frame.camera, frame.depth_m
        self._observed = by_cells(observed_points(frame.depth_m, frame.camera, grid_m), CELL_M)
        self._surfaces = [
            transform(pose.T_cam_obj, _surface(part.id, part.digest, grid_m, _Points(part)))
            for pose, part in zip(poses, self._parts, strict=True)
        ]
        self._centers = np.stack(
            [part.center_in(pose.T_cam_obj) for pose, part in zip(poses, self._parts, strict=True)]
        )
        self._radii = np.array([part.diameter_m / 2 for part in self._parts])
        self._reach_m = reach_m
        self._others_observed: dict[int, tuple[FloatArray, FloatArray]] = {}

    def observed(self, index: int) -> FloatArray:
        """(N, 3) observed points in the camera frame that are not on a part; neighbours in the array are near by."""
        return self._split(index)[0]

    def observed_near(self, index: int) -> FloatArray:
        """(N, 3) those of `observed` beside the part, which most hands hit first."""
        return self._split(index)[1]

    def _split(self, index: int) -> tuple[FloatArray, FloatArray]:
        if index not in self._others_observed:
            offset = self._observed - self._centers[index]
            squared = np.einsum("ni,ni->n", offset, offset)
            on = np.flatnonzero(squared <= (self._radii[index] + self._own_m) ** 2)
            kept = np.ones(len(self._observed), np.bool_)
            kept[on[self._own(index, self._observed[on])]] = False
            beside = kept & (squared <= (self._radii[index] + BESIDE_M) ** 2)
            self._others_observed[index] = self._observed[kept], self._observed[beside]
        return self._others_observed[index]

    def hidden(self, index: int, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(...) which points (..., 3) of the camera frame are behind an observed surface of something else.

        That space is unknown: the inside or far side of a neighbour, or the table.
        """
        u, v, inside = self._pixels(points)
        depth_m = self._depth_m[v, u]
        hidden: npt.NDArray[np.bool_] = inside & (depth_m > 0) & (points[..., 2] > depth_m + self._own_m)
        seen = _backproject(self._camera, u[hidden], v[hidden], depth_m[hidden])
        hidden[hidden] = ~self._own(index, seen)
        return hidden

    def unseen(self, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(...) which points (..., 3) of the camera frame are outside of the image, or at a pixel without depth."""
        u, v, inside = self._pixels(points)
        return np.asarray(~inside | ~(self._depth_m[v, u] > 0))

    def other_parts(self, index: int) -> FloatArray:
        """(N, 3) surface points of the other parts within reach of a part, including hidden sides; camera frame."""
        return np.concatenate([np.zeros((0, 3)), *(self._surfaces[number] for number in self.near(index))])

    def near(self, index: int) -> list[int]:
        """The other parts whose surface can be within reach of a part."""
        gap_m = np.linalg.norm(self._centers - self._centers[index], axis=1) - self._radii - self._radii[index]
        return [int(number) for number in np.flatnonzero(gap_m < self._reach_m) if number != index]

    def covered(self, index: int, up: FloatArray) -> float:
        """Fraction of a part that others cover, seen along the direction `up` (3,) of the camera frame.

        Surface of other found parts counts, and observed points that are not on the part. They cover a cell of a grid
        if they are above the part's highest point there.
        """
        across, other = tangents(up[None])
        axes = np.stack([across[0], other[0], up])
        own = self._surfaces[index] @ axes.T
        above = np.concatenate([self.observed(index), self.other_parts(index)]) @ axes.T
        return float(_covered(own, above, COVER_GRID_M, self._own_m))

    def _pixels(self, points: FloatArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Columns and rows (...) of points (..., 3), and whether they are inside the image; else 0."""
        camera = self._camera
        z = np.maximum(points[..., 2], 1e-3)
        u = np.rint(points[..., 0] / z * camera.fx + camera.cx).astype(np.int64)
        v = np.rint(points[..., 1] / z * camera.fy + camera.cy).astype(np.int64)
        inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
        return np.where(inside, u, 0), np.where(inside, v, 0), inside

    def _own(self, index: int, points: FloatArray) -> npt.NDArray[np.bool_]:
        """(N,) which points (N, 3) of the camera frame are on a part's surface."""
        field = _field(self._parts[index].lod(FACES), self._own_m)
        return np.asarray(field(transform(inverse(self._poses[index].T_cam_obj), points)) < self._own_m)


def observed_points(depth_m: npt.NDArray[np.float32], camera: Camera, grid_m: float) -> FloatArray:
    """(N, 3) points of a depth image, from pixels that are about `grid_m` apart at its nearest surfaces."""
    valid = depth_m[::8, ::8]
    valid = valid[valid > 0]
    near_m = float(np.quantile(valid, 0.1)) if len(valid) else 1.0
    stride = max(1, int(grid_m * min(camera.fx, camera.fy) / near_m))
    depth = depth_m[::stride, ::stride]
    rows, columns = np.nonzero(depth > 0)
    return _backproject(camera, columns * stride, rows * stride, depth[rows, columns])


def _backproject(
    camera: Camera, u: npt.NDArray[np.integer], v: npt.NDArray[np.integer], depth_m: npt.NDArray[np.float32]
) -> FloatArray:
    z = depth_m.astype(np.float64)
    return np.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)


def thinned(points: FloatArray, grid_m: float) -> FloatArray:
    """The first of the points (N, 3) in each cell of a grid, in their order."""
    if len(points) == 0:
        return points
    return points[np.sort(np.unique(_cells(points, grid_m), return_index=True)[1])]


def by_cells(points: FloatArray, grid_m: float) -> FloatArray:
    """The points (N, 3) ordered by the cells of a grid."""
    return points[np.argsort(_cells(points, grid_m), kind="stable")] if len(points) else points


def _cells(points: FloatArray, grid_m: float) -> npt.NDArray[np.int64]:
    """(N,) number of each point's cell."""
    cells = np.floor((points - points.min(axis=0)) / grid_m).astype(np.int64)
    counts = cells.max(axis=0) + 1
    return np.asarray((cells[:, 0] * counts[1] + cells[:, 1]) * counts[2] + cells[:, 2])


class _Points:
    """A part's points, equal to those of every part: the cache's key has the part's digest already."""

    def __init__(self, part: ObjectModel) -> None:
        self.points = part.points

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Points)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=PARTS_CACHED)
def _surface(id: str, digest: str, grid_m: float, points: _Points) -> FloatArray:
    return by_cells(thinned(points.points, grid_m).astype(np.float64), CELL_M)


@lru_cache(maxsize=PARTS_CACHED)  # meshes are compared by identity
def _field(mesh: Mesh, cap_m: float) -> DistanceField:
    return DistanceField(mesh, cap_m)


@numba.njit(cache=True, nogil=True)
def _covered(own, above, grid, gap):  # type: ignore[no-untyped-def]
    """Fraction of the cells with points of `own` (N, 3) in which one of `above` is higher by more than the gap."""
    low_x, low_y = own[:, 0].min(), own[:, 1].min()
    columns, rows = 1 + int((own[:, 0].max() - low_x) / grid), 1 + int((own[:, 1].max() - low_y) / grid)
    height = np.full((columns, rows), -np.inf)
    hidden = np.zeros((columns, rows), np.bool_)
    for n in range(len(own)):
        u, v = int((own[n, 0] - low_x) / grid), int((own[n, 1] - low_y) / grid)
        height[u, v] = max(height[u, v], own[n, 2])
    for n in range(len(above)):
        x, y = (above[n, 0] - low_x) / grid, (above[n, 1] - low_y) / grid
        if 0 <= x < columns and 0 <= y < rows and above[n, 2] > height[int(x), int(y)] + gap:
            hidden[int(x), int(y)] = True
    occupied, covered = 0, 0
    for u in range(columns):
        for v in range(rows):
            if height[u, v] > -np.inf:
                occupied += 1
                covered += hidden[u, v]
    return covered / occupied
