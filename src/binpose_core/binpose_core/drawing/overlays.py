"""Estimated parts drawn over the picture as they would be seen: outlines that hide one another."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import UnknownObject
from binpose_core.drawing.outlines import DrawingConfig, Edges, Image, composite, find_edges, line_scale
from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import PoseEstimate
from binpose_core.parts.catalogue import ObjectModel
from binpose_core.rendering.renderer import NEAR_M, Renderer

Rgb = tuple[int, int, int]

# Bright and far apart in hue: they stand on grey metal, blue bins and black shadows alike.
PALETTE: tuple[Rgb, ...] = (
    (0, 214, 255), (255, 138, 0), (140, 255, 66), (255, 72, 176), (255, 226, 64),
    (168, 128, 255), (240, 240, 240), (40, 232, 180), (96, 160, 255), (208, 176, 128),
)  # fmt: skip
ALERT: Rgb = (255, 36, 36)
"""Outline of parts that something speaks against; no type has this colour."""


def type_colors(object_ids: Sequence[str]) -> dict[str, Rgb]:
    """One colour per object id, by its place in the sequence."""
    return {object_id: PALETTE[n % len(PALETTE)] for n, object_id in enumerate(object_ids)}


class OverlayDrawer:
    """Draws poses of a fixed set of objects; the meshes are prepared once."""

    def __init__(
        self, objects: Mapping[str, ObjectModel], config: DrawingConfig | None = None, max_faces: int = 20000
    ) -> None:
        self.config = config or DrawingConfig()
        self.objects = dict(objects)
        self.colors = type_colors(list(objects))
        self._index = {object_id: n for n, object_id in enumerate(objects)}
        self._renderer = Renderer([model.lod(max_faces) for model in objects.values()])

    def __call__(
        self,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        colors: Sequence[Rgb] | None = None,
        legend: Sequence[tuple[str, Rgb]] | None = None,
        alert: Sequence[bool] | None = None,
    ) -> Image:
        """The frame's picture (H, W, 3) uint8 with the parts drawn over it.

        Args:
            frame: what the camera saw.
            poses: in any order; scores that are NaN are not written.
            colors: one per pose, by default that of its type.
            legend: texts and their colours, by default the types and how many there are.
            alert: per pose, whether its lines are in the colour ALERT; its score stays in the colour above.

        Raises:
            BinposeError: for a pose of an object that this drawer does not know.
        """
        self._check_known(poses)
        picture = frame.rgb.copy()
        colors = [self.colors[pose.object_id] for pose in poses] if colors is None else colors
        size, samples_per_px = self.config.grid(frame.camera.width)
        window = self._window(poses, frame.camera)
        if window is None:
            return picture
        x0, y0, x1, y1 = window
        edges = self._edges(poses, frame.camera.cropped(x0, y0, x1 - x0, y1 - y0), size, samples_per_px)
        if not edges.outlines.any():
            return picture
        lines = [ALERT if mark else color for mark, color in zip(alert or [False] * len(poses), colors, strict=True)]
        tints = np.array(lines, np.float32)
        composite(picture[y0:y1, x0:x1], edges, tints, self.config, size, samples_per_px)
        scale = line_scale(frame.camera.width)
        if self.config.axes:
            for pose in poses:
                self._draw_axes(picture, pose, frame.camera, scale)
        if self.config.labels:
            self._draw_scores(picture, poses, colors, edges.instance_ids[::size, ::size], (x0, y0), scale)
            draw_legend(picture, self.counts(poses) if legend is None else legend, scale)
        return picture

    def _window(self, poses: Sequence[PoseEstimate], camera: Camera) -> tuple[int, int, int, int] | None:
        """x0, y0, x1, y1 around all that is drawn of the parts; None where they are out of the picture."""
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for pose in poses:
            vertices = self._renderer.meshes[self._index[pose.object_id]].vertices
            points = vertices @ pose.T_cam_obj[:3, :3].T + pose.T_cam_obj[:3, 3]
            if (points[:, 2] < NEAR_M).any():
                return 0, 0, camera.width, camera.height
            pixels = camera.project(points)
            low, high = np.minimum(low, pixels.min(0)), np.maximum(high, pixels.max(0))
        margin = 8 * line_scale(camera.width)
        x0, y0 = np.maximum(np.floor(low - margin), 0)
        x1, y1 = np.minimum(np.ceil(high + margin) + 1, [camera.width, camera.height])
        return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None

    def _edges(self, poses: Sequence[PoseEstimate], window: Camera, size: int, samples_per_px: float) -> Edges:
        """Edges in the part of the picture that the camera `window` sees, on a grid `size` times as fine."""
        T_cam_obj = np.stack([pose.T_cam_obj for pose in poses])
        mesh_ids = np.array([self._index[pose.object_id] for pose in poses])
        fine = window.resized(window.width * size, window.height * size)
        rendering = self._renderer.scene(mesh_ids, T_cam_obj, fine)
        normals = [
            self._renderer.face_normals[m] @ T[:3, :3].T.astype(np.float32)
            for m, T in zip(mesh_ids, T_cam_obj, strict=True)
        ]
        return find_edges(rendering, normals, fine, self.config, samples_per_px)

    def _draw_axes(self, picture: Image, pose: PoseEstimate, camera: Camera, scale: float) -> None:
        model = self.objects[pose.object_id]
        tips_obj = model.center_m + 0.35 * model.diameter_m * np.vstack([np.zeros(3), np.eye(3)])
        tips = tips_obj @ pose.T_cam_obj[:3, :3].T + pose.T_cam_obj[:3, 3]
        if (tips[:, 2] <= 0.01).any():
            return
        pixels = np.rint(camera.project(tips) * 16).astype(int)  # OpenCV draws with 4 fractional bits
        for tip, color in zip(pixels[1:], ((255, 60, 60), (60, 220, 60), (70, 110, 255)), strict=True):
            cv2.line(picture, tuple(pixels[0]), tuple(tip), color, max(1, round(1.4 * scale)), cv2.LINE_AA, 4)

    def _draw_scores(
        self,
        picture: Image,
        poses: Sequence[PoseEstimate],
        colors: Sequence[Rgb],
        instance_ids: npt.NDArray[np.int32],
        corner: tuple[int, int],
        scale: float,
    ) -> None:
        """The score on the middle of what is seen of each part; hidden parts, and those without a score, get none.

        instance_ids (h, w) belong to the pixels from `corner` (x, y) on.
        """
        rows, columns = np.nonzero(instance_ids >= 0)
        owners = instance_ids[rows, columns]
        count, right, down = (np.bincount(owners, weight, len(poses)) for weight in (None, columns, rows))
        for n, pose in enumerate(poses):
            if count[n] and np.isfinite(pose.score):
                center = (corner[0] + right[n] / count[n], corner[1] + down[n] / count[n])
                draw_label(picture, f"{pose.score:.2f}", center, colors[n], scale)

    def counts(self, poses: Sequence[PoseEstimate]) -> list[tuple[str, Rgb]]:
        """The types drawn and how many there are of each."""
        counts = {name: sum(pose.object_id == name for pose in poses) for name in self.colors}
        return [(f"{name} x{count}", self.colors[name]) for name, count in counts.items() if count]

    def _check_known(self, poses: Sequence[PoseEstimate]) -> None:
        unknown = sorted({pose.object_id for pose in poses} - set(self.objects))
        if unknown:
            raise UnknownObject(
                f"Poses of {', '.join(unknown)} to draw; known: {', '.join(self.objects)}. "
                "Use the model that the estimates came from.",
                unknown,
                self.objects,
            )


FONT, FINE = cv2.FONT_HERSHEY_SIMPLEX, 4
TEXT_COLOR = (12, 14, 20)


def _text_metrics(text: str, scale: float) -> tuple[float, int, int, int, int, int]:
    """Font size, stroke, padding, text width, height and baseline on the finer grid that text is drawn on."""
    size, stroke = 0.3 * scale * FINE, max(1, round(0.55 * scale * FINE))
    (width, height), base = cv2.getTextSize(text, FONT, size, stroke)
    return size, stroke, round(2.2 * scale * FINE), width, height, base


def label_size(text: str, scale: float) -> tuple[int, int]:
    """Width and height in pixels of a label."""
    _, _, pad, width, height, _ = _text_metrics(text, scale)
    return (width + 4 * pad) // FINE, (height + 2 * pad) // FINE


def draw_legend(picture: Image, entries: Sequence[tuple[str, Rgb]], scale: float) -> None:
    """Texts on pills of their colours, down the upper left corner."""
    top = 6 * scale
    for text, color in entries:
        width, height = label_size(text, 1.15 * scale)
        draw_label(picture, text, (6 * scale + width / 2, top + height / 2), color, 1.15 * scale)
        top += height + 3 * scale


def draw_label(picture: Image, text: str, center: tuple[float, float], color: Rgb, scale: float) -> None:
    """Small dark text on a pill of the part's colour, centred at (x, y) and kept inside the picture.

    OpenCV's vector font is coarse at this size: it is drawn larger and averaged.
    """
    size, stroke, pad, _, height, _ = _text_metrics(text, scale)
    target = label_size(text, scale)
    pill = np.full((target[1] * FINE, target[0] * FINE, 3), color, np.uint8)
    mask = np.zeros(pill.shape[:2], np.uint8)
    radius = pill.shape[0] // 2
    cv2.line(mask, (radius, radius), (mask.shape[1] - radius - 1, radius), 255, 2 * radius)
    cv2.putText(pill, text, (2 * pad, pad + height), FONT, size, TEXT_COLOR, stroke, cv2.LINE_AA)
    small = cv2.resize(pill, target, interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(mask, target, interpolation=cv2.INTER_AREA).astype(np.float32)[..., None] / 255 * 0.9
    x = int(np.clip(center[0] - target[0] / 2, 0, max(picture.shape[1] - target[0], 0)))
    y = int(np.clip(center[1] - target[1] / 2, 0, max(picture.shape[0] - target[1], 0)))
    window = picture[y : y + target[1], x : x + target[0]]
    part = (slice(window.shape[0]), slice(window.shape[1]))
    window[:] = np.rint(window + alpha[part] * (small[part] - window)).astype(np.uint8)
