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
from binpose_core.base.stopwatch import Report, Stopwatch, no_report
from binpose_core.frames.camera import Camera
from binpose_core.frames.filters import PoseFilter
from binpose_core.frames.masks import mask_iou
from binpose_core.frames.rgbd_frame import RgbdFrame
from binpose_core.frames.types import Detection, Hypothesis, PoseEstimate
from binpose_core.geometry.transforms import FloatArray
from binpose_core.parts.objects import ObjectModel
from binpose_core.parts.true_detection import true_detection
from binpose_core.rendering.renderer import Renderer
from binpose_core.stages import Refine
from binpose_pipeline.pipeline import REFINEMENT, STAGES, Pipeline, Proposals, TimedResult


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
    keep: float = PoseFilter.threshold
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
    """What is carried from frame to frame: the parts, their detections, and the frames since the networks ran."""

    poses: list[PoseEstimate] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
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
        self.followed.poses, self.followed.detections, self.followed.frames = [], [], 0

    def __call__(self, frame: RgbdFrame, T_cam_before: FloatArray | None = None) -> list[PoseEstimate]:
        """The parts in the frame, best score first.

        Args:
            frame: the next one.
            T_cam_before: (4, 4) from the last frame's camera to this one's, where the camera's motion is known.

        Raises:
            BinposeError: when the frame lacks what a stage needs.
        """
        return self.timed(frame, T_cam_before).poses

    def timed(
        self, frame: RgbdFrame, T_cam_before: FloatArray | None = None, *, report: Report = no_report
    ) -> TimedResult:
        """The same poses, the time of each stage (0 where it did not run), and found and expected detections."""
        c, state, watch = self.config, self.followed, Stopwatch(dict.fromkeys(STAGES, 0.0), report)
        refine = watch.around(REFINEMENT, self.refiner)
        detections, found = state.detections, state.poses
        if T_cam_before is not None:
            found = [replace(pose, T_cam_obj=T_cam_before @ pose.T_cam_obj) for pose in found]
        expected = len(found)
        due = c.mode == "join" or not found or (0 < c.redetect_every <= state.frames)
        if not due:
            detections, found = self.predictor.follow(frame, detections, found, refine, c)
        proposals = Proposals([], [], [])
        if due or len(_going_on(found, c.keep)) < expected:
            state.frames = 0
            followed = self.predictor.expected(frame, detections, _going_on(found, c.keep), c.gate_m[0])
            proposals = self.propose(frame, watch)
            detections, poses = joined(frame.camera, proposals.detections, proposals.estimates, followed, c.overlap)
            found = refine(frame, detections, poses)
        state.frames += 1
        state.detections, state.poses = detections, _going_on(found, c.keep)
        return TimedResult(found, watch.seconds, detections, proposals)


class Predictor:
    """Expects parts where they were."""

    def __init__(self, objects: Mapping[str, ObjectModel]) -> None:
        self._objects = objects
        self._ids = {name: i for i, name in enumerate(objects)}
        self._renderer = Renderer([part.mesh for part in objects.values()])

    def follow(
        self,
        frame: RgbdFrame,
        detections: Sequence[Detection],
        poses: Sequence[PoseEstimate],
        refine: Refine,
        config: TrackingConfig,
    ) -> tuple[list[Detection], list[PoseEstimate]]:
        """The poses refined from where they were, in rounds whose masks come ever closer, after the last one's masks.

        What is given up in one round is in none after it: two poses of one part would share its pixels.
        """
        given_up: list[PoseEstimate] = []
        own = list(detections)
        for gate_m in config.gate_m:
            own, starts = _as_starts(self.expected(frame, own, poses, gate_m))
            found = refine(frame, own, starts)
            poses = _going_on(found, 0.0)
            given_up = [replace(pose, detection_index=None) for pose in given_up]
            given_up += [pose for pose in found if pose.score == 0.0]
        return own, [*poses, *given_up]

    def expected(
        self, frame: RgbdFrame, detections: Sequence[Detection], poses: Sequence[PoseEstimate], gate_m: float
    ) -> list[tuple[Detection, PoseEstimate]]:
        """The parts that are still visible where they were, each with the detection that its expected mask makes."""
        masks = self.expected_masks(frame, poses, gate_m)
        return [
            (self._detection(pose, detections, mask, frame.camera), pose)
            for pose, mask in zip(poses, masks, strict=True)
            if mask.any()
        ]

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

    def _detection(
        self, pose: PoseEstimate, detections: Sequence[Detection], mask: npt.NDArray[np.bool_], camera: Camera
    ) -> Detection:
        """What a pose's expected mask (H, W) makes, with the score of the detection that it came from."""
        score = pose.score if pose.detection_index is None else detections[pose.detection_index].score
        return true_detection(self._objects[pose.object_id], pose.T_cam_obj, mask, camera, score)


def _going_on(poses: Sequence[PoseEstimate], keep: float) -> list[PoseEstimate]:
    """Those that reach the score, and in any case more than 0, which is that of what was not refined."""
    return [pose for pose in poses if pose.score >= keep and pose.score > 0.0]


def joined(
    camera: Camera,
    detections: Sequence[Detection],
    poses: Sequence[PoseEstimate],
    followed: Sequence[tuple[Detection, PoseEstimate]],
    overlap: float,
) -> tuple[list[Detection], list[PoseEstimate]]:
    """Detections and estimates with the followed parts among them.

    Each is a hypothesis of the detection that overlaps its own by at least `overlap` (IoU), or else keeps its own.
    """
    all_detections, all_poses = list(detections), list(poses)
    full = [detection.full_mask(camera.height, camera.width) for detection in detections]
    for own, pose in followed:
        mask = own.full_mask(camera.height, camera.width)
        overlaps = [mask_iou(mask, other) for other in full]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= overlap:
            all_poses = _with_hypothesis(all_poses, best, pose)
        else:
            all_poses.append(_start(pose, len(all_detections)))
            all_detections.append(own)
    return all_detections, all_poses


def _as_starts(followed: Sequence[tuple[Detection, PoseEstimate]]) -> tuple[list[Detection], list[PoseEstimate]]:
    """Followed parts as the detections and poses that a refiner takes."""
    return [own for own, _ in followed], [_start(pose, index) for index, (_, pose) in enumerate(followed)]


def _start(pose: PoseEstimate, index: int) -> PoseEstimate:
    """A pose to be refined, of a detection's place."""
    hypothesis = Hypothesis(pose.object_id, pose.T_cam_obj, pose.score)
    return PoseEstimate(pose.object_id, pose.T_cam_obj, pose.score, detection_index=index, hypotheses=(hypothesis,))


def _with_hypothesis(poses: list[PoseEstimate], index: int, followed: PoseEstimate) -> list[PoseEstimate]:
    """The estimates, with a followed pose as the first hypothesis of one detection's."""
    alone = _start(followed, index)
    for i, pose in enumerate(poses):
        if pose.detection_index == index:
            others = pose.hypotheses or (Hypothesis(pose.object_id, pose.T_cam_obj, pose.score),)
            poses[i] = replace(pose, hypotheses=(*alone.hypotheses, *others))
            return poses
    return [*poses, alone]
