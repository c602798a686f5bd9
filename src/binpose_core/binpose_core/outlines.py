"""Where the lines of a drawn part go, and how they are laid over a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.camera import Camera
from binpose_core.errors import BinposeError
from binpose_core.geometry import FloatArray
from binpose_core.rendering import SceneRendering

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DrawingConfig:
    """How parts are drawn.

    Widths are in pixels of a 640 pixel wide picture and grow with the square root of its width beyond that.
    supersampling: how finely, per pixel and axis, edges are found before they are averaged.
    crease_angle_rad: faces that meet at more than this draw an inner edge.
    step_m: a jump in depth inside a part beyond what its slant explains draws one too.
    shortest_crease_px: inner edges with fewer pixels than this are engraving and noise of the mesh, not shape.
    """

    outline_px: float = 1.5
    crease_px: float = 0.8
    halo_px: float = 1.2
    fill_alpha: float = 0.16
    crease_alpha: float = 0.75
    halo_alpha: float = 0.45
    supersampling: int = 3
    crease_angle_rad: float = np.deg2rad(30.0)
    step_m: float = 0.0015
    shortest_crease_px: float = 10.0
    labels: bool = True
    axes: bool = False

    def __post_init__(self) -> None:
        if self.supersampling < 1:
            raise BinposeError(f"supersampling must be >= 1, got {self.supersampling}")
        for name in ("fill_alpha", "crease_alpha", "halo_alpha"):
            if not 0 <= getattr(self, name) <= 1:
                raise BinposeError(f"{name} must be between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Edges:
    """Where lines go, on the supersampled grid (h, w) bool; instance_ids (h, w) int32, -1 = none."""

    outlines: npt.NDArray[np.bool_]
    creases: npt.NDArray[np.bool_]
    instance_ids: npt.NDArray[np.int32]


def find_edges(
    rendering: SceneRendering, normals_cam: Sequence[FloatArray], camera: Camera, config: DrawingConfig
) -> Edges:
    """Silhouettes and creases between neighbouring pixels of a rendered scene.

    An edge between two instances belongs to the one in front, so that lines hide behind nearer parts.

    Args:
        rendering: of all instances together.
        normals_cam: per instance (F, 3), the unit normals of its faces in the camera frame.
        camera: of the rendering.
        config: from which angle and step on an inner edge is drawn.
    """
    instance, depth = rendering.instance_ids, rendering.depth_m
    outlines, creases = np.zeros(instance.shape, bool), np.zeros(instance.shape, bool)
    near = np.where(instance >= 0, depth, np.inf)
    first_face = np.cumsum([0, *(len(normals) for normals in normals_cam)])
    normals = np.concatenate(normals_cam)
    face = np.where(instance >= 0, rendering.face_ids + first_face[instance], -1)
    for axis in (0, 1):
        here, there = _neighbours(axis)
        other = instance[here] != instance[there]
        front_here = near[here] <= near[there]
        outlines[here] |= other & front_here
        outlines[there] |= other & ~front_here
        inner = ~other & (face[here] != face[there])
        bent = np.zeros(inner.shape, bool)
        cosine = np.einsum("nk,nk->n", normals[face[here][inner]], normals[face[there][inner]])
        # The winding of a mesh may be inconsistent, so a fold and its mirror are not told apart.
        bent[inner] = np.abs(cosine) < np.cos(config.crease_angle_rad)
        creases[here] |= bent
        jump_here, jump_there = _depth_steps(depth, instance, normals, face, camera, axis, config.step_m)
        creases[here] |= jump_here
        creases[there] |= jump_there
    creases = _without_specks(creases & ~outlines, config.shortest_crease_px * config.supersampling)
    return Edges(outlines, creases, instance)


def _neighbours(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Index of each pixel and of the next one along the axis."""
    whole = slice(None)
    if axis == 0:
        return (slice(None, -1), whole), (slice(1, None), whole)
    return (whole, slice(None, -1)), (whole, slice(1, None))


def _depth_steps(
    depth: FloatArray,
    instance: npt.NDArray[np.int32],
    normals: FloatArray,
    face: npt.NDArray[np.integer],
    camera: Camera,
    axis: int,
    step_m: float,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Jumps inside one instance beyond what both faces' slants explain, marked on the nearer side."""
    here, there = _neighbours(axis)
    inner = (instance[here] == instance[there]) & (instance[here] >= 0) & (face[here] != face[there])
    rows, columns = np.nonzero(inner)
    shift = np.array([axis == 0, axis == 1], int)
    a, b = (rows, columns), (rows + shift[0], columns + shift[1])
    explained = np.maximum(_slope(depth, normals, face, camera, a, axis), _slope(depth, normals, face, camera, b, axis))
    difference = depth[b] - depth[a]
    jump = np.abs(difference) > step_m + 1.5 * explained
    marks = np.zeros((2, *inner.shape), bool)
    marks[0][a] = jump & (difference > 0)
    marks[1][a] = jump & (difference <= 0)
    return marks[0], marks[1]


def _slope(
    depth: FloatArray,
    normals: FloatArray,
    face: npt.NDArray[np.integer],
    camera: Camera,
    at: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    axis: int,
) -> FloatArray:
    """Metres by which the depth of the face's plane changes over one pixel along the axis, at most 5 mm."""
    normal = normals[face[at]]
    ray = np.stack([(at[1] - camera.cx) / camera.fx, (at[0] - camera.cy) / camera.fy, np.ones(len(at[0]))], -1)
    toward = np.einsum("nk,nk->n", normal, ray)
    across = normal[:, 1] / camera.fy if axis == 0 else normal[:, 0] / camera.fx
    return np.minimum(np.abs(depth[at] * across / np.where(np.abs(toward) < 1e-6, 1e-6, toward)), 0.005)


def _without_specks(mask: npt.NDArray[np.bool_], fewest: float) -> npt.NDArray[np.bool_]:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return mask & (statistics[:, cv2.CC_STAT_AREA] >= fewest)[labels]


def composite(
    picture: Image, edges: Edges, colors: npt.NDArray[np.float32], config: DrawingConfig, scale: float
) -> Image:
    """The picture (h, w, 3) with fill, creases, a dark halo and outlines in the instances' colours (N, 3)."""
    size = config.supersampling
    # Lines are as wide as the disc they are thickened with, and take the colour of the part they lie on.
    outline = _thickened(edges.outlines, config.outline_px * scale * size)
    halo = _thickened(edges.outlines, (config.outline_px + 2 * config.halo_px) * scale * size)
    crease = _thickened(edges.creases, config.crease_px * scale * size)
    fill = edges.instance_ids >= 0
    color = colors[_nearest_instance(edges)]
    layers = (
        (fill, config.fill_alpha, color),
        (crease & fill, config.crease_alpha, color),
        (halo & ~outline, config.halo_alpha, np.zeros(3, np.float32)),
        (outline, 1.0, color),
    )
    result = picture.astype(np.float32)
    for mask, strength, layer_color in layers:
        alpha = _averaged(mask.astype(np.float32), size)[..., None]
        tint = _averaged(mask[..., None] * layer_color, size) / np.maximum(alpha, 1e-6)
        result += strength * alpha * (tint - result)
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _thickened(mask: npt.NDArray[np.bool_], width: float) -> npt.NDArray[np.bool_]:
    diameter = max(1, round(width)) | 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cv2.dilate(mask.astype(np.uint8), disc) > 0


def _averaged(image: FloatArray, size: int) -> FloatArray:
    """Blocks of size x size pixels averaged: (h * size, w * size, ...) to (h, w, ...)."""
    return cv2.resize(image.astype(np.float32), None, fx=1 / size, fy=1 / size, interpolation=cv2.INTER_AREA)


def _nearest_instance(edges: Edges) -> npt.NDArray[np.int32]:
    """(h, w) instance of the closest outline pixel near outlines, else of the pixel itself."""
    distance, labels = cv2.distanceTransformWithLabels(
        (~edges.outlines).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner = np.zeros(labels.max() + 1, np.int32)
    owner[labels[edges.outlines]] = edges.instance_ids[edges.outlines]
    inside = (edges.instance_ids >= 0) & (distance > 0) & ~edges.outlines
    return np.where(inside & (distance > 12), edges.instance_ids, owner[labels])
