"""Images that explain poses: observed | rendered | residual, before and after refinement, for each part of a frame."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from binpose_core.base.files import write_bytes
from binpose_core.frames.camera import Camera
from binpose_core.frames.image_files import encode_png
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.parts.objects import ObjectModel
from binpose_core.rendering.renderer import Renderer, Rendering
from binpose_core.stages import Refiner, SceneRefiner
from binpose_pipeline.runs import EXPLAIN, FrameOutcome, RunDirectory

Image = npt.NDArray[np.uint8]

PANEL_PX = 256
MARGIN = 1.3  # of the projected diameter
FULL_COLOR_M = 0.005  # residual at which the colours saturate
TEXT_PX = 22
TITLES = ("observed", "rendered", "residual: blue in front, red behind")
BEHIND, IN_FRONT, AGREES, UNKNOWN = (214, 69, 65), (58, 110, 212), (240, 240, 240), (60, 60, 60)


@dataclass
class RecordingRefiner:
    """A refiner that stores its input poses of the last frame.

    If a frame is refined in several rounds, as in tracking, the input of the first round is kept.

    poses: the input poses, with their detection indices of the last round.
    detections: of the last round.
    """

    refiner: Refiner
    poses: list[PoseEstimate] = field(default_factory=list)
    detections: Sequence[Detection] = ()
    _frame: RgbdFrame | None = None
    _found: list[PoseEstimate] = field(default_factory=list)

    def __call__(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate]
    ) -> list[PoseEstimate]:
        """The refiner's poses."""
        pasts = {past.detection_index: past for past in self.poses} if frame is self._frame else {}
        origins = {_place(pose): pasts.get(pose.detection_index) for pose in self._found}
        self.poses = [replace(origins.get(_place(p)) or p, detection_index=p.detection_index) for p in poses]
        self.detections = detections
        self._frame, self._found = frame, self.refiner(frame, detections, poses)
        return self._found


class RecordingSceneRefiner(RecordingRefiner):
    """The same for a refiner that chooses among several looks at a frame; the inputs of all looks are stored."""

    def verify(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        before: Any | None = None,
    ) -> Any:
        """See `SceneRefiner.verify`."""
        self.poses = [*(self.poses if before is not None else []), *poses]
        self.detections, self._frame = detections, None
        return self._scene.verify(frame, detections, poses, before)

    def choose(self, frame: RgbdFrame, pool: Any) -> list[PoseEstimate]:
        """See `SceneRefiner.choose`."""
        return self._scene.choose(frame, pool)

    def explained(self, frame: RgbdFrame, poses: Sequence[PoseEstimate]) -> npt.NDArray[np.bool_]:
        """See `SceneRefiner.explained`."""
        return self._scene.explained(frame, poses)

    @property
    def _scene(self) -> SceneRefiner:
        assert isinstance(self.refiner, SceneRefiner)
        return self.refiner


def recording(refiner: Refiner) -> RecordingRefiner:
    """The refiner, with its input poses stored."""
    return RecordingSceneRefiner(refiner) if isinstance(refiner, SceneRefiner) else RecordingRefiner(refiner)


def _place(pose: PoseEstimate) -> tuple[str, bytes]:
    """A key that is equal for equal poses of the same object."""
    return pose.object_id, pose.T_cam_obj.tobytes()


class Explainer:
    """Draws and writes the explanations of the poses of frames."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self._objects, self._ids = objects, {name: i for i, name in enumerate(objects)}
        self._renderer = Renderer([part.mesh for part in objects.values()])

    def write(
        self,
        directory: Path,
        frame: RgbdFrame,
        poses: Sequence[PoseEstimate],
        before: Sequence[PoseEstimate],
        detections: Sequence[Detection],
    ) -> list[Path]:
        """One PNG for each pose under `directory`; those of an earlier run are removed.

        Args:
            directory: of the frame's explanations.
            frame: the images.
            poses: after refinement.
            before: the refiner's input poses, with hypotheses.
            detections: the refiner's input detections.

        Raises:
            BinposeError: if the directory cannot be written to.
        """
        for stale in directory.glob("*.png"):
            stale.unlink()
        paths = []
        for number, pose in enumerate(poses):
            path = directory / f"{number:02d}_{pose.object_id}.png"
            write_bytes(path, encode_png(self.draw(frame, pose, before, detections)), durable=False)
            paths.append(path)
        return paths

    def draw(
        self,
        frame: RgbdFrame,
        pose: PoseEstimate,
        before: Sequence[PoseEstimate] = (),
        detections: Sequence[Detection] = (),
    ) -> Image:
        """(H, W, 3) uint8: a row for the initial pose and a row for the pose, each observed | rendered | residual."""
        part = self._objects[pose.object_id]
        initial = initial_pose_of(pose, before, part)
        found = None if pose.detection_index is None else detections[pose.detection_index]
        rows = [] if initial is None else [self._row(frame, pose, initial, found, "before refinement")]
        rows.append(self._row(frame, pose, pose.T_cam_obj, found, f"after refinement, score {pose.score:.2f}"))
        return np.concatenate([_band([f"{pose.object_id}: {t}" if not i else t for i, t in enumerate(TITLES)]), *rows])

    def _row(
        self, frame: RgbdFrame, pose: PoseEstimate, T_cam_obj: FloatArray, found: Detection | None, text: str
    ) -> Image:
        window = _window(self._objects[pose.object_id], pose.T_cam_obj, frame.camera)
        camera = frame.camera
        zoom = PANEL_PX / window[2]
        intrinsics = np.array(
            [camera.fx * zoom, camera.fy * zoom, (camera.cx - window[0]) * zoom, (camera.cy - window[1]) * zoom]
        )
        ids = np.array([self._ids[pose.object_id]])
        drawn = self._renderer.crops(ids, T_cam_obj[None], intrinsics, PANEL_PX, PANEL_PX)
        seen = _crop(frame.rgb, window, cv2.INTER_LINEAR)
        if found is not None:
            mask = _crop(found.full_mask(camera.height, camera.width).astype(np.uint8), window)
            _outline(seen, mask > 0, (255, 200, 0))
        residual, note = _residual(frame, drawn, window)
        shown = drawn.shaded()[0]
        shown[~drawn.mask[0]] = _crop(frame.rgb, window, cv2.INTER_LINEAR)[~drawn.mask[0]] // 3
        return np.concatenate([np.concatenate([seen, shown, residual], 1), _band([text, "", note])])


@dataclass(frozen=True)
class FrameExplainer:
    """Writes a frame's explanations into its folder of a run."""

    explainer: Explainer
    recorder: RecordingRefiner
    run: RunDirectory

    def __call__(self, frame: RgbdFrame, outcome: FrameOutcome) -> str:
        """The figure for the report."""
        directory = self.run.frame_directory(outcome.name) / EXPLAIN
        before, detections = self.recorder.poses, self.recorder.detections
        paths = self.explainer.write(directory, frame, outcome.poses, before, detections)
        return links(paths, self.run.root, outcome.name)


def initial_pose_of(pose: PoseEstimate, before: Sequence[PoseEstimate], part: ObjectModel) -> FloatArray | None:
    """The initial pose (4, 4) of a refined pose: the nearest hypothesis of the same part and detection.

    Refinement rotates hypotheses by near-symmetries, so distances are modulo near-symmetries. Of poses that are equal
    under exact symmetries, the one nearest to the refined pose is returned.
    """
    if pose.detection_index is None:
        return None
    same = [p for p in before if p.detection_index == pose.detection_index]
    hypotheses = [h.T_cam_obj for p in same for h in (p.hypotheses or (p,)) if h.object_id == pose.object_id]
    if not hypotheses:
        return None
    points = part.points[:: max(1, len(part.points) // 64)]

    def nearest(poses: FloatArray) -> tuple[float, FloatArray]:
        distance = np.linalg.norm(transform(poses, points) - transform(pose.T_cam_obj, points), axis=-1).mean(-1)
        return float(distance.min()), poses[distance.argmin()]

    alike = part.symmetries.transforms(np.pi / 12, include_near=True)
    came_from = min(hypotheses, key=lambda T: nearest(T @ alike)[0])
    return nearest(came_from @ part.symmetries.transforms(np.pi / 12))[1]


def links(paths: Sequence[Path], root: Path, name: str) -> str:
    """A figure for the report that links a frame's explanations, relative to the page at `root`."""
    anchors = ", ".join(
        f"<a href='{html.escape(path.relative_to(root).as_posix(), quote=True)}'>{html.escape(path.stem)}</a>"
        for path in paths
    )
    return f"<figure><figcaption>{html.escape(name)}, part by part: {anchors}</figcaption></figure>"


def _window(part: ObjectModel, T_cam_obj: FloatArray, camera: Camera) -> tuple[float, float, float]:
    """(u0, v0, side) in pixels of the frame, around the part."""
    x, y, z = transform(T_cam_obj, part.center_m[None])[0]
    z = max(z, 1e-3)  # parts behind the camera have no position in the image
    side = max(MARGIN * part.diameter_m * camera.fx / z, 8.0)
    return camera.fx * x / z + camera.cx - side / 2, camera.fy * y / z + camera.cy - side / 2, side


def _crop(image: npt.NDArray[np.generic], window: tuple[float, float, float], how: int = cv2.INTER_NEAREST) -> Image:
    """The window, PANEL_PX wide and high; black outside of the image."""
    u0, v0, side = window
    zoom = PANEL_PX / side
    matrix = np.array([[zoom, 0, -u0 * zoom], [0, zoom, -v0 * zoom]])
    cut: Image = cv2.warpAffine(image, matrix, (PANEL_PX, PANEL_PX), flags=how)
    return cut


def _residual(frame: RgbdFrame, drawn: Rendering, window: tuple[float, float, float]) -> tuple[Image, str]:
    """Observed minus rendered depth in colours, and a text with its median."""
    rendered, mask = drawn.depth_m[0], drawn.mask[0]
    seen = np.zeros_like(rendered) if frame.depth_m is None else _crop(frame.depth_m, window)
    known = mask & (seen > 0)
    difference = np.where(known, seen - rendered, 0.0)
    weight = np.clip(np.abs(difference) / FULL_COLOR_M, 0.0, 1.0)[..., None]
    color = np.where(difference[..., None] > 0, BEHIND, IN_FRONT)
    image = (1 - weight) * np.array(AGREES) + weight * color
    image = np.where(known[..., None], image, np.where(mask[..., None], UNKNOWN, 0)).astype(np.uint8)
    if not known.any():
        return image, "no depth on the part"
    near = np.abs(difference[known & (np.abs(difference) < FULL_COLOR_M)])
    middle = f"{1e3 * float(np.median(near)):.2f} mm" if near.size else "-"
    return image, f"median {middle}, {near.size / known.sum():.0%} within {1e3 * FULL_COLOR_M:.0f} mm"


def _outline(image: Image, mask: npt.NDArray[np.bool_], color: tuple[int, int, int]) -> None:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, contours, -1, color, 1)


def _band(texts: Sequence[str]) -> Image:
    """A line of text under (or over) three panels."""
    band = np.full((TEXT_PX, PANEL_PX * len(texts), 3), 255, np.uint8)
    for i, text in enumerate(texts):
        cv2.putText(band, text, (PANEL_PX * i + 4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (20, 20, 20), 1, cv2.LINE_AA)
    return band
