"""Poses from frame to frame: the last frame's are where the next one starts, as long as they verify.

For a moving camera, or a bin whose parts settle. While all parts are followed, no network runs: each part's mask is
what its own rendering predicts and the depth confirms. When one is lost, or new ones may have come, detection runs
again and the parts that were followed join what it finds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from binpose_core.base.errors import BinposeError
from binpose_core.evaluation.matching import EvaluationConfig
from binpose_core.frames.camera import Camera
from binpose_core.frames.masks import box_xyxy
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray, transform
from binpose_core.parts.objects import ObjectModel
from binpose_core.rendering.renderer import Renderer
from binpose_core.stages import Refine
from binpose_pipeline.pipeline import Pipeline, Stopwatch, TimedResult

STAGES = ("detection", "pose", "refinement")


@dataclass(frozen=True)
class TrackingConfig:
    """How parts are followed.

    mode: "replace" runs the networks only when a part is lost or `redetect_every` frames have passed; "join" runs them
        on every frame and adds the last poses to their hypotheses.
    keep: least score of a part that is followed further.
    gate_m: how far the depth may be from where a part was expected, in the first round and in those that follow.
    redetect_every: frames after which new parts are looked for, 0 = only when one is lost.
    overlap: IoU from which a detection and a followed part count as the same.
    """

    mode: Literal["replace", "join"] = "replace"
    keep: float = EvaluationConfig.score_threshold
    gate_m: tuple[float, float] = (0.015, 0.005)
    redetect_every: int = 10
    overlap: float = 0.3

    def __post_init__(self) -> None:
        if self.mode not in ("replace", "join"):
            raise BinposeError(f"TrackingConfig.mode is {self.mode!r}; expected replace or join.")
        if not 0.0 <= self.keep <= 1.0 or not 0.0 < self.overlap <= 1.0:
            raise BinposeError(f"TrackingConfig: keep {self.keep} and overlap {self.overlap}; expected both in [0, 1].")
        if not all(0.0 < gate < 1.0 for gate in self.gate_m) or self.redetect_every < 0:
            raise BinposeError(
                f"TrackingConfig: gate_m {self.gate_m} and redetect_every {self.redetect_every}; expected distances "
                "between 0 and 1 m and a number of frames."
            )


@dataclass
class Followed:
    """What is carried from frame to frame: the parts, and the frames since the networks ran."""

    poses: list[PoseEstimate] = field(default_factory=list)
    frames: int = 0


@dataclass(frozen=True)
class TrackingPipeline(Pipeline):
    """A pipeline that remembers. Frames come in their order; `reset` begins anew.

    objects: by id, in the order of the refiner's.
    """

    objects: Mapping[str, ObjectModel] = field(default_factory=dict)
    config: TrackingConfig = field(default_factory=TrackingConfig)
    followed: Followed = field(default_factory=Followed)

    def __post_init__(self) -> None:
        if not self.objects:
            raise BinposeError("TrackingPipeline got no objects; expected those of the model bundle.")

    @cached_property
    def predictor(self) -> "Predictor":
        """Draws what is expected."""
        return Predictor(self.objects)

    def reset(self) -> None:
        """Forget all parts."""
        self.followed.poses, self.followed.frames = [], 0

    def __call__(self, frame: RgbdFrame, T_cam_before: FloatArray | None = None) -> list[PoseEstimate]:
        """The parts in the frame, best score first.

        Args:
            frame: the next one.
            T_cam_before: (4, 4) from the last frame's camera to this one's, where the camera's motion is known.

        Raises:
            BinposeError: when the frame lacks what a stage needs.
        """
        return self.timed(frame, T_cam_before).poses

    def timed(self, frame: RgbdFrame, T_cam_before: FloatArray | None = None) -> TimedResult:
        """The same poses, and the time of each stage; those that did not run took none and give no detections."""
        c, state, watch = self.config, self.followed, Stopwatch(dict.fromkeys(STAGES, 0.0))
        refine = watch.around("refinement", self.refiner)
        expected = state.poses
        if T_cam_before is not None:
            expected = [replace(pose, T_cam_obj=T_cam_before @ pose.T_cam_obj) for pose in expected]
        due = c.mode == "join" or not expected or (0 < c.redetect_every <= state.frames)
        found = expected if due else self.predictor.follow(frame, expected, refine, c)
        detections: list[Detection] = []
        if due or len(_going_on(found, c.keep)) < len(expected):
            state.frames = 0
            detections = watch.around("detection", self.segmenter)(frame)
            poses = watch.around("pose", self.estimator)(frame, detections)
            going_on = _going_on(found, c.keep)
            found = refine(frame, *self.predictor.joined(frame, detections, poses, going_on, c))
        state.frames += 1
        state.poses = _going_on(found, c.keep)
        return TimedResult(found, watch.seconds, detections)


class Predictor:
    """Expects parts where they were."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self._objects = objects
        self._ids = {name: i for i, name in enumerate(objects)}
        self._renderer = Renderer([part.mesh for part in objects.values()])

    def follow(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], refine: Refine, config: TrackingConfig
    ) -> list[PoseEstimate]:
        """The poses refined from where they were, in rounds whose masks come ever closer.

        What is given up in one round is in none after it: two poses of one part would share its pixels.
        """
        given_up: list[PoseEstimate] = []
        for gate_m in config.gate_m:
            masks = self.expected_masks(frame, poses, gate_m)
            seen = [(pose, mask) for pose, mask in zip(poses, masks, strict=True) if mask.any()]
            starts = [_start(pose, mask, frame.camera, self._objects) for pose, mask in seen]
            found = refine(frame, [start.detection for start in starts if start.detection], starts)
            poses = _going_on(found, 0.0)
            given_up += [pose for pose in found if pose.score == 0.0]
        return [*poses, *given_up]

    def joined(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        followed: Sequence[PoseEstimate],
        config: TrackingConfig,
    ) -> tuple[list[Detection], list[PoseEstimate]]:
        """Detections and estimates with the followed parts among them: as hypotheses of their own detection where
        there is one, else with an expected one.
        """
        all_detections, all_poses = list(detections), list(poses)
        masks = self.expected_masks(frame, followed, config.gate_m[0])
        shape = frame.camera.height, frame.camera.width
        full = [detection.full_mask(*shape) for detection in detections]
        for pose, mask in zip(followed, masks, strict=True):
            overlaps = [_iou(mask, other) for other in full]
            best = int(np.argmax(overlaps)) if overlaps else -1
            if best >= 0 and overlaps[best] >= config.overlap:
                all_poses = _with_hypothesis(all_poses, all_detections, best, pose)
            elif mask.any():
                start = _start(pose, mask, frame.camera, self._objects)
                assert start.detection is not None
                all_detections.append(start.detection)
                all_poses.append(start)
        return all_detections, all_poses

    def expected_masks(
        self, frame: RgbdFrame, poses: Sequence[PoseEstimate], gate_m: float
    ) -> list[npt.NDArray[np.bool_]]:
        """(H, W) each: where the part would be seen, and the depth is as expected or unknown."""
        if not poses:
            return []
        ids = np.array([self._ids[pose.object_id] for pose in poses])
        scene = self._renderer.scene(ids, np.stack([pose.T_cam_obj for pose in poses]), frame.camera)
        plausible = scene.instance_ids >= 0
        if frame.depth_m is not None:
            plausible &= (frame.depth_m == 0) | (np.abs(frame.depth_m - scene.depth_m) < gate_m)
        return [plausible & (scene.instance_ids == i) for i in range(len(poses))]


def _going_on(poses: Sequence[PoseEstimate], keep: float) -> list[PoseEstimate]:
    """Those that reach the score, and in any case more than 0, which is that of what was not refined."""
    return [pose for pose in poses if pose.score >= keep and pose.score > 0.0]


def _start(
    pose: PoseEstimate, mask: npt.NDArray[np.bool_], camera: Camera, objects: Mapping[str, ObjectModel]
) -> PoseEstimate:
    """A pose to be refined, with the detection that its mask (H, W) makes."""
    x0, y0, x1, y1 = box_xyxy(mask)
    center = transform(pose.T_cam_obj, objects[pose.object_id].center_m[None])[0]
    center_px = camera.fx * center[0] / center[2] + camera.cx, camera.fy * center[1] / center[2] + camera.cy
    score = pose.score if pose.detection is None else pose.detection.score
    detection = Detection(
        pose.object_id, score, (x0, y0, x1, y1), mask[y0:y1, x0:x1], center_px, center_depth_m=float(center[2])
    )
    hypothesis = Hypothesis(pose.object_id, pose.T_cam_obj, pose.score)
    return PoseEstimate(pose.object_id, pose.T_cam_obj, pose.score, detection=detection, hypotheses=(hypothesis,))


def _with_hypothesis(
    poses: list[PoseEstimate], detections: Sequence[Detection], which: int, followed: PoseEstimate
) -> list[PoseEstimate]:
    """The estimates, with a followed pose as the first hypothesis of one detection's."""
    hypothesis = Hypothesis(followed.object_id, followed.T_cam_obj, followed.score)
    for i, pose in enumerate(poses):
        if pose.detection is detections[which]:
            others = pose.hypotheses or (Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),)
            poses[i] = replace(pose, hypotheses=(hypothesis, *others))
            return poses
    alone = PoseEstimate(
        followed.object_id, followed.T_cam_obj, followed.score, detection=detections[which], hypotheses=(hypothesis,)
    )
    return [*poses, alone]


def _iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(int((a | b).sum()), 1))
