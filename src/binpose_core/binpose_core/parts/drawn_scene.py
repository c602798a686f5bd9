"""A drawing of parts on a table with the truth about it, to run stages on before the first frame has come."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from binpose_core.frames.camera import Camera
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, exp_so3, from_rotation_translation
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.true_detection import true_detection
from binpose_core.rendering.renderer import Renderer

CAMERA = Camera(300.0, 300.0, 79.5, 59.5, 160, 120)
PARTS, PART_PX, GAP = 3, 45.0, 0.8
"""Parts in the scene, their size in pixels, and the distance of their centres in diameters."""
TURN_RAD = (0.4, 0.3, 0.2)


@dataclass(frozen=True)
class DrawnScene:
    """A frame of parts on a table, and the truth about it, as detections and poses."""

    frame: RgbdFrame
    detections: tuple[Detection, ...]
    poses: tuple[PoseEstimate, ...]


def drawn_scene(objects: Mapping[str, ObjectModel]) -> DrawnScene:
    """Copies of the first parts side by side on a table, the smallest one `PART_PX` pixels long."""
    parts = [*objects.values()][:PARTS]
    parts = (parts * PARTS)[:PARTS]
    size_m = min(part.diameter_m for part in parts)
    distance_m = CAMERA.fx * size_m / PART_PX
    T_cam_obj = np.stack([_pose(part, place, distance_m) for place, part in enumerate(parts)])
    rendering = Renderer([part.mesh for part in parts]).scene(np.arange(PARTS), T_cam_obj, CAMERA)
    seen = rendering.instance_ids >= 0
    depth_m = np.where(seen, rendering.depth_m, np.float32(distance_m + size_m)).astype(np.float32)
    color = np.repeat(np.where(seen, 180, 90).astype(np.uint8)[..., None], 3, axis=-1)
    detections: list[Detection] = []
    poses: list[PoseEstimate] = []
    for number, part in enumerate(parts):
        mask = rendering.instance_ids == number
        if mask.any():
            poses.append(_estimate(part, T_cam_obj[number], len(detections)))
            detections.append(true_detection(part, T_cam_obj[number], mask, CAMERA))
    return DrawnScene(RgbdFrame(color, depth_m, CAMERA), tuple(detections), tuple(poses))


def _pose(part: ObjectModel, place: int, distance_m: float) -> FloatArray:
    R = exp_so3(np.array(TURN_RAD) * (1 + place))
    across_m = GAP * part.diameter_m * (place - (PARTS - 1) / 2)
    return from_rotation_translation(R, np.array([across_m, 0.0, distance_m]) - R @ part.center_m)


def _estimate(part: ObjectModel, T_cam_obj: FloatArray, detection_index: int) -> PoseEstimate:
    """The true pose, and one that is a little off, as hypotheses."""
    off = from_rotation_translation(exp_so3(np.array([0.1, 0.0, 0.0])), np.zeros(3))
    hypotheses = tuple(Hypothesis(part.id, T, score) for T, score in ((T_cam_obj, 0.9), (T_cam_obj @ off, 0.1)))
    return PoseEstimate(part.id, T_cam_obj, 0.9, detection_index, hypotheses=hypotheses)
