"""All hypotheses of a frame as arrays, and the windows of the image in which they are drawn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import Renderer, Rendering

CROPS_AT_ONCE = 1024
"""Number of hypotheses that are rendered at once (about 0.2 GB at most)."""
WINDOW_MARGIN = 1.2  # of the projected diameter: room for a pose that is not yet aligned
SURFACE_SAMPLES = 512
RIGID = 0.01
"""Tolerance of the check for rigid motions: poses read from text are rounded."""


@dataclass(frozen=True, eq=False)
class HypothesisBatch:
    """B hypotheses.

    owner: (B,) int64 index of the detection; part: (B,) int64 index of the object in the `PartRenderer`.
    T_cam_obj: (B, 4, 4) float64 in metres; confidence: (B,) float64 of the network.
    initial: (B, 4, 4) T_cam_obj before refinement; by default `T_cam_obj`.
    """

    owner: npt.NDArray[np.int64]
    part: npt.NDArray[np.int64]
    T_cam_obj: FloatArray
    confidence: FloatArray
    initial: FloatArray = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.initial is None:
            object.__setattr__(self, "initial", self.T_cam_obj)

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, index: npt.NDArray[Any]) -> "HypothesisBatch":
        """The hypotheses of an index or boolean array."""
        return HypothesisBatch(*(column[index] for column in self.columns))

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """All arrays, in their order."""
        return self.owner, self.part, self.T_cam_obj, self.confidence, self.initial

    def moved(self, T_cam_obj: FloatArray) -> "HypothesisBatch":
        """The same hypotheses at other poses."""
        return replace(self, T_cam_obj=T_cam_obj)

    def turned(self, T_obj_obj: FloatArray) -> "HypothesisBatch":
        """The hypotheses (B) and their initial poses after motions (B, 4, 4) of the part in its own frame."""
        return replace(self, T_cam_obj=self.T_cam_obj @ T_obj_obj, initial=self.initial @ T_obj_obj)

    def joined(self, other: "HypothesisBatch") -> "HypothesisBatch":
        """These hypotheses followed by the other's."""
        return HypothesisBatch(*(np.concatenate(pair) for pair in zip(self.columns, other.columns, strict=True)))


def in_chunks(
    batch: HypothesisBatch, function: Callable[[HypothesisBatch], Sequence[npt.NDArray[Any]]]
) -> list[npt.NDArray[Any]]:
    """A function's arrays (B, ...) for all hypotheses, computed in chunks; a detection is never split."""
    if len(batch) <= CROPS_AT_ONCE:
        return list(function(batch))
    order = np.argsort(batch.owner, kind="stable")
    owners, first = np.unique(batch.owner[order], return_index=True)
    turns = np.cumsum(np.diff([*first, len(order)])) // (CROPS_AT_ONCE + 1)
    cuts = first[1:][np.diff(turns) > 0] if len(owners) > 1 else np.zeros(0, np.int64)
    found = [function(batch.take(rows)) for rows in np.split(order, cuts)]
    back = np.argsort(order, kind="stable")
    return [np.concatenate(columns)[back] for columns in zip(*found, strict=True)]


class PartRenderer:
    """Renders the parts at several levels of detail.

    Attributes:
        ids: object ids; the position of an id is the index of the part.
        diameter_m: (P,); center_m: (P, 3) bounding box centres in the object frame.
        surface: (P, N, 3) float32 points spread over the parts' surfaces.
        normals: (F, 3) float32 of all levels' faces; first_face: (P, levels) index of each mesh's first face.
        backend: name of the rendering backend, see `Renderer`.
    """

    def __init__(self, objects: Mapping[str, ObjectModel], faces: tuple[int, ...], backend: str = "numba") -> None:
        self.objects = tuple(objects.values())
        self.ids = tuple(objects)
        self.levels = len(faces)
        self.backend = backend
        self.renderer = Renderer([part.lod(count) for part in self.objects for count in faces], backend)
        self.diameter_m = np.array([part.diameter_m for part in self.objects], dtype=np.float64)
        self.center_m = np.array([part.center_m for part in self.objects], dtype=np.float64).reshape(-1, 3)
        fewest = min(SURFACE_SAMPLES, *(len(part.points) for part in self.objects))
        self.surface = np.stack([part.points[:fewest] for part in self.objects]).astype(np.float32)
        self.normals = np.concatenate([*self.renderer.face_normals, np.zeros((1, 3), np.float32)])
        counts = [len(normals) for normals in self.renderer.face_normals]
        self.first_face = np.cumsum([0, *counts])[:-1].reshape(len(self.objects), self.levels).astype(np.int64)

    def draw(self, batch: HypothesisBatch, level: int, windows: FloatArray, camera: Camera, size_px: int) -> Rendering:
        """Render every hypothesis in its window."""
        ids = batch.part * self.levels + level
        return self.renderer.crops(ids, batch.T_cam_obj, window_intrinsics(windows, camera), size_px, size_px)

    def centers_cam(self, batch: HypothesisBatch) -> FloatArray:
        """(B, 3) bounding box centres in the camera frame."""
        center = self.center_m[batch.part]
        return np.einsum("bij,bj->bi", batch.T_cam_obj[:, :3, :3], center) + batch.T_cam_obj[:, :3, 3]

    def windows(self, batch: HypothesisBatch, camera: Camera, size_px: int, whole_steps: bool = False) -> FloatArray:
        """Square windows (B, 3) = (u0, v0, step): pixel (i, j) of the crop is frame pixel (u0 + step i, v0 + step j).

        Args:
            batch: hypotheses with their poses.
            camera: of the frame.
            size_px: rows and columns of the crops.
            whole_steps: the step is an integer, so that every crop pixel is a pixel of the frame.
        """
        x, y, z = self.centers_cam(batch).T
        step = np.maximum(self.extents_px(batch, camera) / (size_px - 1), 1.0)
        step = np.ceil(step) if whole_steps else step
        half = 0.5 * step * (size_px - 1)
        u0 = np.round(camera.fx * x / z + camera.cx - half)
        v0 = np.round(camera.fy * y / z + camera.cy - half)
        return np.stack([u0, v0, step], -1)

    def largest_px(self, batch: HypothesisBatch, camera: Camera) -> int:
        """Crop size at which the crops of all hypotheses have the frame's resolution, at most the frame's size."""
        largest = float(self.extents_px(batch, camera).max(initial=16.0))
        # Even, as the largest crops are: then the pixels of all sizes lie on the same grid.
        return 2 * int(np.ceil(min(largest, max(camera.width, camera.height)) / 2)) + 2

    def extents_px(self, batch: HypothesisBatch, camera: Camera) -> FloatArray:
        """(B,) side of each window in pixels of the frame."""
        z = self.centers_cam(batch)[:, 2]
        return WINDOW_MARGIN * self.diameter_m[batch.part] * max(camera.fx, camera.fy) / z + 6

    def unusable(self, batch: HypothesisBatch, camera: Camera) -> npt.NDArray[np.object_]:
        """(B,) why a hypothesis cannot be drawn, "" where it can."""
        reasons = np.full(len(batch), "", dtype=object)
        finite = np.asarray(np.isfinite(batch.T_cam_obj).all(axis=(1, 2)))
        x, y, z = np.where(finite[:, None], self.centers_cam(batch), 1.0).T
        radius = self.diameter_m[batch.part] / 2
        front = np.maximum(z, 1e-9)
        u, v = camera.fx * x / front + camera.cx, camera.fy * y / front + camera.cy
        reach = radius * camera.fx / front
        outside = (u < -reach) | (v < -reach) | (u > camera.width + reach) | (v > camera.height + reach)
        reasons[outside] = "outside_image"
        reasons[z <= radius] = "behind_camera"
        reasons[~_rigid(batch.T_cam_obj)] = "not_rigid"
        reasons[~finite] = "not_finite"
        return reasons


def _rigid(T: FloatArray) -> npt.NDArray[np.bool_]:
    """(B,) whether matrices (B, 4, 4) are rigid motions, without scale, shear or reflection."""
    R, last = T[:, :3, :3], T[:, 3]
    with np.errstate(invalid="ignore", over="ignore"):
        square = np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max((1, 2)) <= RIGID
        return np.asarray(square & (np.linalg.det(R) > 0) & (np.abs(last - [0, 0, 0, 1]).max(1) <= RIGID))


def window_intrinsics(windows: FloatArray, camera: Camera) -> FloatArray:
    """(B, 4) fx, fy, cx, cy of the crops in windows (B, 3)."""
    u0, v0, step = windows.T
    return np.stack([camera.fx / step, camera.fy / step, (camera.cx - u0) / step, (camera.cy - v0) / step], -1)
