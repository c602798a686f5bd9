"""Silhouettes of single parts, also where they are occluded or outside of the image, for the visible fraction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from binpose_core.frames.camera import Camera
from binpose_core.frames.masks import box_xyxy
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.rendering.renderer import Renderer

BATCH_PX = 4_000_000


@dataclass(frozen=True)
class Silhouette:
    """mask (h, w) bool of a window whose first pixel is (x0, y0) of the image; it may extend beyond the image."""

    mask: npt.NDArray[np.bool_]
    x0: int = 0
    y0: int = 0

    @property
    def box_xywh(self) -> list[int]:
        """BOP's bounding box, [-1, -1, -1, -1] if empty."""
        x0, y0, x1, y1 = box_xyxy(self.mask)
        return [x0 + self.x0, y0 + self.y0, x1 - x0, y1 - y0] if x1 > x0 else [-1, -1, -1, -1]

    @property
    def pixels(self) -> int:
        """All pixels of the part, including those outside of the image."""
        return int(np.count_nonzero(self.mask))

    def count(self, image: npt.NDArray[np.bool_]) -> int:
        """The number of pixels of the silhouette within the image (H, W) that are true there."""
        height, width = self.mask.shape
        top, left = max(self.y0, 0), max(self.x0, 0)
        bottom, right = min(self.y0 + height, image.shape[0]), min(self.x0 + width, image.shape[1])
        if top >= bottom or left >= right:
            return 0
        own = self.mask[top - self.y0 : bottom - self.y0, left - self.x0 : right - self.x0]
        return int(np.count_nonzero(own & image[top:bottom, left:right]))

    def visible_fraction(self, visible_px: int) -> float:
        """BOP's visib_fract in [0, 1]: visible pixels by all pixels of the part, including those outside of the image.

        A part that the image border cuts in half is at most half visible.
        """
        return min(1.0, visible_px / self.pixels) if self.pixels else 0.0


def silhouettes(renderer: Renderer, mesh_ids: Sequence[int], T_cam_obj: FloatArray, camera: Camera) -> list[Silhouette]:
    """The silhouettes of N parts at poses (N, 4, 4) in metres.

    They extend at most one image beyond its borders, as in BOP; that of a part behind the camera is empty.
    """
    windows = [
        _window(renderer.meshes[mesh_id].vertices, pose, camera)
        for mesh_id, pose in zip(mesh_ids, T_cam_obj, strict=True)
    ]
    found = [Silhouette(np.zeros((0, 0), dtype=bool))] * len(windows)
    shown = [number for number, (_, _, width, height) in enumerate(windows) if width > 0 and height > 0]
    # One call renders many parts in parallel, grouped by size to avoid empty pixels.
    shown.sort(key=lambda number: windows[number][3] * windows[number][2])
    while shown:
        batch = _take_batch(shown, windows)
        width, height = (max(windows[number][axis] for number in batch) for axis in (2, 3))
        intrinsics = [camera.cropped(*windows[number]).intrinsics for number in batch]
        ids = np.array([mesh_ids[number] for number in batch])
        rendering = renderer.crops(ids, np.asarray(T_cam_obj)[batch], np.stack(intrinsics), height, width)
        for number, mask in zip(batch, rendering.depth_m > 0, strict=True):
            x0, y0, own_width, own_height = windows[number]
            found[number] = Silhouette(mask[:own_height, :own_width], x0, y0)
    return found


def _take_batch(waiting: list[int], windows: Sequence[tuple[int, int, int, int]]) -> list[int]:
    """Remove the first waiting parts, as many as fit into one rendering."""
    batch = [waiting.pop(0)]
    width, height = windows[batch[0]][2:]
    while waiting:
        width, height = max(width, windows[waiting[0]][2]), max(height, windows[waiting[0]][3])
        if width * height * (len(batch) + 1) > BATCH_PX:
            break
        batch.append(waiting.pop(0))
    return batch


def _window(vertices: FloatArray, T_cam_obj: FloatArray, camera: Camera) -> tuple[int, int, int, int]:
    """x0, y0, width, height around the part, with zero width for an invisible one."""
    points_cam, size = transform(T_cam_obj, vertices), np.array([camera.width, camera.height])
    if not (points_cam[:, 2] > 0).any():
        return 0, 0, 0, 0
    if (points_cam[:, 2] > 0).all():
        pixels = camera.project(points_cam)
        low = np.clip(np.floor(pixels.min(axis=0)), -size, 2 * size).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, -size, 2 * size).astype(int)
    else:  # it extends behind the camera and may project anywhere
        low, high = -size, 2 * size
    (x0, y0), (width, height) = low.tolist(), (high - low).tolist()
    return x0, y0, width, height
