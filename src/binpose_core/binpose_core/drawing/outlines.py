"""Finds the outlines and inner edges of rendered parts, and draws them over an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.frames.camera import Camera
from binpose_core.geometry.transforms import FloatArray
from binpose_core.rendering.renderer import SceneRendering

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DrawingConfig:
    """Line widths and thresholds of the drawing.

    Widths are in pixels of an image 640 pixels wide and grow with the square root of its width beyond that.
    supersampling: samples per pixel and axis for finding edges, unless the finer grid would be wider than
        widest_grid_px: in a large image lines are several pixels wide, and one sample per pixel is enough.
    crease_angle_rad: least angle between faces that draws an inner edge.
    step_m: least jump in depth inside a part, beyond what its slope explains, that draws an inner edge.
    shortest_crease_px: shorter inner edges are engraving or noise of the mesh and are not drawn.
    """

    outline_px: float = 1.6
    crease_px: float = 0.95
    halo_px: float = 1.3
    fill_alpha: float = 0.16
    crease_alpha: float = 0.75
    halo_alpha: float = 0.45
    supersampling: int = 3
    widest_grid_px: int = 1920
    crease_angle_rad: float = np.deg2rad(30.0)
    step_m: float = 0.0015
    shortest_crease_px: float = 10.0
    labels: bool = True
    axes: bool = False

    def __post_init__(self) -> None:
        if self.supersampling < 1:
            raise BinposeError(f"supersampling must be >= 1, got {self.supersampling}")
        if self.widest_grid_px < 1:
            raise BinposeError(f"widest_grid_px must be >= 1, got {self.widest_grid_px}")
        for name in ("fill_alpha", "crease_alpha", "halo_alpha"):
            if not 0 <= getattr(self, name) <= 1:
                raise BinposeError(f"{name} must be between 0 and 1, got {getattr(self, name)}")

    def grid(self, width_px: int) -> tuple[int, float]:
        """For an image of this width: samples per pixel and axis, and samples per pixel of the config's widths."""
        size = max(1, min(self.supersampling, round(self.widest_grid_px / width_px)))
        return size, size * line_scale(width_px)


def line_scale(width_px: int) -> float:
    """Factor of line and letter sizes relative to an image 640 pixels wide."""
    return max(1.0, float(np.sqrt(width_px / 640)))


@dataclass(frozen=True)
class Edges:
    """Edge pixels on the finer grid (h, w) bool; instance_ids (h, w) int32, -1 = none."""

    outlines: npt.NDArray[np.bool_]
    creases: npt.NDArray[np.bool_]
    instance_ids: npt.NDArray[np.int32]


def find_edges(
    rendering: SceneRendering,
    normals_cam: Sequence[FloatArray],
    camera: Camera,
    config: DrawingConfig,
    samples_per_px: float,
) -> Edges:
    """Silhouettes and creases between neighbouring pixels of a rendered scene.

    An edge between two instances belongs to the one in front, so that nearer parts occlude lines.

    Args:
        rendering: of all instances.
        normals_cam: per instance (F, 3), the unit normals of its faces in the camera frame.
        camera: of the rendering.
        config: thresholds of inner edges.
        samples_per_px: samples per pixel of the config's widths.
    """
    instance = rendering.instance_ids
    first_face = np.cumsum([0, *(len(normals) for normals in normals_cam)], dtype=np.int32)
    face = np.where(instance >= 0, rendering.face_ids + first_face[instance], np.int32(-1))
    seen = _Seen(instance.ravel(), rendering.depth_m.ravel(), face.ravel(), np.concatenate(normals_cam), camera)
    outlines, creases = np.zeros(instance.size, bool), np.zeros(instance.size, bool)
    for axis in (0, 1):
        here, there = _changes(face, axis)
        other = seen.instance[here] != seen.instance[there]
        _mark_nearer(outlines, here[other], there[other], seen.range_m(there[other]) - seen.range_m(here[other]))
        here, there = here[~other], there[~other]
        normal_here, normal_there = seen.normals[seen.face[here]], seen.normals[seen.face[there]]
        cosine = np.einsum("nk,nk->n", normal_here, normal_there)
        # The winding of a mesh may be inconsistent, so a fold and its mirror image are treated alike.
        creases[here[np.abs(cosine) < np.cos(config.crease_angle_rad)]] = True
        difference = seen.depth_m[there] - seen.depth_m[here]
        slope = np.maximum(seen.slope_m(here, normal_here, axis), seen.slope_m(there, normal_there, axis))
        jump = np.abs(difference) > config.step_m + 1.5 * slope
        _mark_nearer(creases, here[jump], there[jump], difference[jump])
    inner = (creases & ~outlines).reshape(instance.shape)
    return Edges(
        outlines.reshape(instance.shape), _without_specks(inner, config.shortest_crease_px * samples_per_px), instance
    )


def _changes(face: npt.NDArray[np.int32], axis: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Flat indices of the pixels whose next one along the axis has another face, and of those next ones."""
    if axis == 0:
        here = np.flatnonzero(face[:-1] != face[1:])
        return here, here + face.shape[1]
    rows, columns = np.divmod(np.flatnonzero(face[:, :-1] != face[:, 1:]), face.shape[1] - 1)
    here = rows * face.shape[1] + columns
    return here, here + 1


def _mark_nearer(
    marks: npt.NDArray[np.bool_],
    here: npt.NDArray[np.intp],
    there: npt.NDArray[np.intp],
    difference_m: FloatArray,
) -> None:
    """Mark the nearer one of two neighbours, `here` if they are equally near."""
    marks[np.where(difference_m >= 0, here, there)] = True


@dataclass(frozen=True)
class _Seen:
    """A rendering's pixels in a flat array (h * w,): instance, depth and face, -1 for none; normals (F, 3) of faces."""

    instance: npt.NDArray[np.int32]
    depth_m: FloatArray
    face: npt.NDArray[np.int32]
    normals: FloatArray
    camera: Camera

    def range_m(self, at: npt.NDArray[np.intp]) -> FloatArray:
        """Depth at pixels; a large value for the background."""
        return np.where(self.instance[at] >= 0, self.depth_m[at], np.float32(1e6))

    def slope_m(self, at: npt.NDArray[np.intp], normal: FloatArray, axis: int) -> FloatArray:
        """Metres by which the depth of planes (N, 3) changes over one pixel along the axis, at most 5 mm."""
        camera = self.camera
        row, column = np.divmod(at, camera.width)
        ray = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones(len(at))], -1)
        toward = np.einsum("nk,nk->n", normal, ray)
        across = normal[:, 1] / camera.fy if axis == 0 else normal[:, 0] / camera.fx
        return np.minimum(np.abs(self.depth_m[at] * across / np.where(np.abs(toward) < 1e-6, 1e-6, toward)), 0.005)


def _without_specks(mask: npt.NDArray[np.bool_], fewest: float) -> npt.NDArray[np.bool_]:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    marked = np.flatnonzero(mask)
    kept = np.zeros(mask.size, bool)
    kept[marked] = statistics[labels.ravel()[marked], cv2.CC_STAT_AREA] >= fewest
    return kept.reshape(mask.shape)


def composite(
    picture: Image,
    edges: Edges,
    colors: npt.NDArray[np.float32],
    config: DrawingConfig,
    size: int,
    samples_per_px: float,
) -> None:
    """Draw fill, creases, a dark halo and outlines in the instances' colours (N, 3) over the image (h, w, 3).

    Only pixels near a part are computed, from size x size samples each.
    """
    # Lines have soft borders: the coverage of a sample follows from its distance to the line's centre.
    outline, halo, crease = (
        samples_per_px * width / 2
        for width in (config.outline_px, config.outline_px + 2 * config.halo_px, config.crease_px)
    )
    to_outline, nearest = cv2.distanceTransformWithLabels(
        (~edges.outlines).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    to_crease = cv2.distanceTransform((~edges.creases).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    owner = np.zeros(nearest.max() + 1, np.int32)
    owner[nearest[edges.outlines]] = edges.instance_ids[edges.outlines]
    near_line = (to_outline < halo + 0.5) | (to_crease < crease + 0.5)
    lined = near_line.reshape(len(picture), size, -1, size).any((1, 3))
    plain = ~lined & (edges.instance_ids[::size, ::size] >= 0)
    below = picture[plain].astype(np.float32)
    filled = below + config.fill_alpha * (colors[edges.instance_ids[::size, ::size][plain]] - below)
    picture[plain] = np.rint(filled).astype(np.uint8)

    rows, columns = np.nonzero(lined)

    def samples(grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.stack([grid[i::size, j::size][rows, columns] for i in range(size) for j in range(size)])

    instance, away = samples(edges.instance_ids), samples(to_outline)
    part, covered = colors[instance], _coverage(away, outline)
    fill = (instance >= 0).astype(np.float32)
    layers = (
        (fill, config.fill_alpha, part),
        (_coverage(samples(to_crease), crease) * fill, config.crease_alpha, part),
        (_coverage(away, halo) - covered, config.halo_alpha, np.zeros((1, 1, 3), np.float32)),
        (covered, 1.0, colors[owner[samples(nearest)]]),
    )
    result = picture[lined].astype(np.float32)
    for coverage, strength, color in layers:
        tint = (coverage[..., None] * color).mean(0)
        result += strength * (tint - coverage.mean(0)[:, None] * result)
    picture[lined] = np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _coverage(distance: npt.NDArray[np.float32], half_width: float) -> npt.NDArray[np.float32]:
    """Fraction of samples at these distances that a line of this half width covers, 0 to 1."""
    return np.clip(np.float32(half_width + 0.5) - distance, 0, 1)
